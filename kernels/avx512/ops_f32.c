/* ops_f32.c: the fp32 kernels of this folder as one table. */
#include "kernels/avx512/f32.h"

const struct kn_f32_ops kn_f32_ops_avx512 = {
    .isa = "avx512",
    .pixels = 14,
    .panels = 2,
    .split = 7,
    .dense = kn_f32_gemm_dense__avx512,
    .strided = kn_f32_gemm_strided__avx512,
    .stem = kn_f32_gemm_stem__avx512,
    .winograd_in = {kn_f32_winograd3_in__avx512, kn_f32_winograd4_in__avx512,
                    kn_f32_winograd_strided_in__avx512},
    .winograd_out = {kn_f32_winograd3_out__avx512, kn_f32_winograd4_out__avx512,
                     kn_f32_winograd_strided_out__avx512},
    .maxpool = kn_f32_maxpool__avx512,
    .avgpool = kn_f32_avgpool__avx512,
};
