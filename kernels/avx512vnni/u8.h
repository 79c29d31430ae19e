/* u8.h: this folder's int8 kernels, gathered into one table by ops_u8.c. */
#ifndef KERNELS_AVX512VNNI_U8_H
#define KERNELS_AVX512VNNI_U8_H

#include "kernels/u8.h"

extern kn_u8_tile_fn *const kn_u8_gemm_dense__avx512vnni[];
extern kn_u8_tile_fn *const kn_u8_gemm_strided__avx512vnni[];
extern kn_u8_tile_fn *const kn_u8_gemm_stem__avx512vnni[];

kn_u8_maxpool_fn kn_u8_maxpool__avx512vnni;
kn_u8_sum_fn kn_u8_pool_sum__avx512vnni;
kn_u8_gemv_fn kn_u8_gemv__avx512vnni;
kn_u8_pixels_fn kn_u8_pixels__avx512vnni;

#endif
