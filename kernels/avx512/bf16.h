/* bf16.h: this folder's bf16 kernels, gathered into one table by ops_bf16.c; and what they share.
 */
#ifndef KERNELS_AVX512_BF16_H
#define KERNELS_AVX512_BF16_H

#include <immintrin.h>

#include "kernels/bf16.h"

extern kn_bf16_tile_fn *const kn_bf16_gemm_dense__avx512[];
extern kn_bf16_tile_fn *const kn_bf16_gemm_stem__avx512[];

kn_bf16_maxpool_fn kn_bf16_maxpool__avx512;
kn_bf16_avgpool_fn kn_bf16_avgpool__avx512;
kn_bf16_gemv_fn kn_bf16_gemv__avx512;

/* 16 values as fp32 */
static inline __m512 widen(const uint16_t *x)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_load_si256((const __m256i *)(const void *)x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* The even and the odd ones of 32 values: with pairs of inputs, those of the first, of the second.
 */
static inline __m512 widen_even(const uint16_t *x)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_load_si512(x), 16));
}

static inline __m512 widen_odd(const uint16_t *x)
{
    return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(0xaaaaaaaa, x));
}

#endif
