/* bf16.h: this folder's bf16 kernels, gathered into one table by ops_bf16.c; and what they share.
 */
#ifndef KERNELS_AVX2_BF16_H
#define KERNELS_AVX2_BF16_H

#include <immintrin.h>

#include "kernels/bf16.h"

extern kn_bf16_tile_fn *const kn_bf16_gemm_dense__avx2[];
extern kn_bf16_tile_fn *const kn_bf16_gemm_stem__avx2[];

kn_bf16_maxpool_fn kn_bf16_maxpool__avx2;
kn_bf16_avgpool_fn kn_bf16_avgpool__avx2;
kn_bf16_gemv_fn kn_bf16_gemv__avx2;

/* 8 values as fp32 */
static inline __m256 widen(const uint16_t *x)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_load_si128((const __m128i *)(const void *)x));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

/* The even and the odd ones of 16 values: with pairs of inputs, those of the first, of the second.
 */
static inline __m256 widen_even(const uint16_t *x)
{
    __m256i pairs = _mm256_load_si256((const __m256i *)(const void *)x);
    return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}

static inline __m256 widen_odd(const uint16_t *x)
{
    __m256i pairs = _mm256_load_si256((const __m256i *)(const void *)x);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_srli_epi32(pairs, 16), 16));
}

#endif
