/* ops_bf16.c: a table of bf16 kernels with those of this folder put in. */
#include "kernels/avx512bf16/bf16.h"

void kn_bf16_ops_override__avx512bf16(struct kn_bf16_ops *ops)
{
    ops->isa = "avx512bf16";
    ops->split = 7;
    ops->dense = kn_bf16_gemm_dense__avx512bf16;
    ops->strided = kn_bf16_gemm_strided__avx512bf16;
}
