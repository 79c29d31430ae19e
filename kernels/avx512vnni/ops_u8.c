/* ops_u8.c: the int8 kernels of this folder as one table. */
#include "kernels/avx512vnni/u8.h"

const struct kn_u8_ops kn_u8_ops_avx512vnni = {
    .isa = "avx512vnni",
    .pixels = 14,
    .split = 7,
    .dense = kn_u8_gemm_dense__avx512vnni,
    .strided = kn_u8_gemm_strided__avx512vnni,
    .stem = kn_u8_gemm_stem__avx512vnni,
    .maxpool = kn_u8_maxpool__avx512vnni,
    .sum = kn_u8_pool_sum__avx512vnni,
    .gemv = kn_u8_gemv__avx512vnni,
    .convert = kn_u8_pixels__avx512vnni,
};
