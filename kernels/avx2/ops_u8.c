/* ops_u8.c: the int8 kernels of this folder as one table. */
#include "kernels/avx2/u8.h"
#include "kernels/quant.h"

const struct kn_u8_ops kn_u8_ops_avx2 = {
    .isa = "avx2",
    .pixels = 6,
    .split = 0,
    .dense = kn_u8_gemm_dense__avx2,
    .strided = kn_u8_gemm_dense__avx2,
    .stem = kn_u8_gemm_stem__avx2,
    .maxpool = kn_u8_maxpool__avx2,
    .sum = kn_u8_pool_sum__avx2,
    .gemv = kn_u8_gemv__avx2,
    .convert = kn_quant_pixels,
};
