/* ops_f32.c: the fp32 kernels of this folder as one table. */
#include "kernels/avx2/f32.h"

const struct kn_f32_ops kn_f32_ops_avx2 = {
    .isa = "avx2",
    .pixels = 6,
    .panels = 1,
    .split = 0,
    .dense = kn_f32_gemm_dense__avx2,
    .strided = kn_f32_gemm_dense__avx2,
    .stem = kn_f32_gemm_stem__avx2,
    .winograd_in = {kn_f32_winograd3_in__avx2, kn_f32_winograd4_in__avx2,
                    kn_f32_winograd_strided_in__avx2},
    .winograd_out = {kn_f32_winograd3_out__avx2, kn_f32_winograd4_out__avx2,
                     kn_f32_winograd_strided_out__avx2},
    .maxpool = kn_f32_maxpool__avx2,
    .avgpool = kn_f32_avgpool__avx2,
};
