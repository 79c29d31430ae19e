/* ops_bf16.c: the bf16 kernels of this folder as one table. */
#include "kernels/avx512/bf16.h"

const struct kn_bf16_ops kn_bf16_ops_avx512 = {
    .isa = "avx512",
    .pixels = KN_BF16_MAX_PIXELS,
    .split = 7,
    .dense = kn_bf16_gemm_dense__avx512,
    .strided = kn_bf16_gemm_dense__avx512,
    .stem = kn_bf16_gemm_stem__avx512,
    .maxpool = kn_bf16_maxpool__avx512,
    .avgpool = kn_bf16_avgpool__avx512,
    .gemv = kn_bf16_gemv__avx512,
};
