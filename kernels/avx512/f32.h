/* f32.h: this folder's fp32 kernels, gathered into one table by ops_f32.c. */
#ifndef KERNELS_AVX512_F32_H
#define KERNELS_AVX512_F32_H

#include "kernels/f32.h"

extern kn_f32_tile_fn *const kn_f32_gemm_dense__avx512[];
extern kn_f32_tile_fn *const kn_f32_gemm_strided__avx512[];
extern kn_f32_tile_fn *const kn_f32_gemm_stem__avx512[];

kn_f32_winograd_in_fn kn_f32_winograd3_in__avx512, kn_f32_winograd4_in__avx512,
    kn_f32_winograd_strided_in__avx512;
kn_f32_winograd_out_fn kn_f32_winograd3_out__avx512, kn_f32_winograd4_out__avx512,
    kn_f32_winograd_strided_out__avx512;
kn_f32_maxpool_fn kn_f32_maxpool__avx512;
kn_f32_avgpool_fn kn_f32_avgpool__avx512;

#endif
