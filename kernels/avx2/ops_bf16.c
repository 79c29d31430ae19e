/* ops_bf16.c: the bf16 kernels of this folder as one table. */
#include "kernels/avx2/bf16.h"

const struct kn_bf16_ops kn_bf16_ops_avx2 = {
    .isa = "avx2",
    .pixels = 6,
    .split = 0,
    .dense = kn_bf16_gemm_dense__avx2,
    .strided = kn_bf16_gemm_dense__avx2,
    .stem = kn_bf16_gemm_stem__avx2,
    .maxpool = kn_bf16_maxpool__avx2,
    .avgpool = kn_bf16_avgpool__avx2,
    .gemv = kn_bf16_gemv__avx2,
};
