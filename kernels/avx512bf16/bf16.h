/* bf16.h: this folder's kernels. What they lack is taken from avx512/ (dispatch.c). */
#ifndef KERNELS_AVX512BF16_BF16_H
#define KERNELS_AVX512BF16_BF16_H

#include "kernels/bf16.h"

extern kn_bf16_tile_fn *const kn_bf16_gemm_dense__avx512bf16[];
extern kn_bf16_tile_fn *const kn_bf16_gemm_strided__avx512bf16[];

#endif
