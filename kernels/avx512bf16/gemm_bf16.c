/* gemm_bf16.c: up to 14 pixels x 32 output channels by VDPBF16PS: two multiply-adds a lane.
 *
 * 28 accumulators + 2 vectors of weights + 1 broadcast pair of inputs use 31 of the 32 registers;
 * 16 loads go with 28 multiply-adds of 32 products each. Everything else is as in the fp32 tile, at
 * half the bytes. gcc 12 spills around the intrinsic; as one volatile instruction it does not
 * (tests/guards reads the disassembly).
 */
#include <immintrin.h>

#include "kernels/avx512bf16/bf16.h"

enum {
    PIXELS = KN_BF16_MAX_PIXELS,
    BLOCK = KN_BF16_BLOCK,
    SPLIT = 7,
    NEAR = 8 /* pairs: how far ahead weights are brought from L2 into L1 */
};

#define INLINE static inline __attribute__((always_inline))

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13)

#define DOT(acc, v, x) __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(v), "v"(x))

#define DECLARE(i) __m512 p##i = b0, q##i = b1;

/* Pixel i, pair k: i, pixels, stride are constants wherever this is expanded. */
#define MULTIPLY_ADD(i)                                                                            \
    if (i < pixels) {                                                                              \
        __m512i v = _mm512_set1_epi32((i < SPLIT ? a : a2)[i * stride / 2 + k]);                   \
        DOT(p##i, v, x0);                                                                          \
        DOT(q##i, v, x1);                                                                          \
    }

#define AT(i) (BLOCK * i + (i < SPLIT ? 0 : t->y_gap))

#define FETCH_OUTPUT(i)                                                                            \
    if (i < pixels)                                                                                \
        __builtin_prefetch(t->y + AT(i), 1, 3);

#define FETCH_RESIDUAL(i)                                                                          \
    if (i < pixels)                                                                                \
        __builtin_prefetch(t->residual + AT(i), 0, 3);

#define ADD_RESIDUAL(i)                                                                            \
    if (i < pixels) {                                                                              \
        p##i = _mm512_add_ps(p##i, widen(t->residual + AT(i)));                                    \
        q##i = _mm512_add_ps(q##i, widen(t->residual + AT(i) + 16));                               \
    }

/* max(low, x) hands a NaN on; max(x, low) would hide it. */
#define STORE(i)                                                                                   \
    if (i < pixels) {                                                                              \
        __m512bh y = _mm512_cvtne2ps_pbh(_mm512_max_ps(low, q##i), _mm512_max_ps(low, p##i));      \
        _mm512_store_si512(t->y + AT(i), (__m512i)y);                                              \
    }

INLINE __m512 widen(const uint16_t *x)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_load_si256((const __m256i *)(const void *)x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

INLINE void tile(const struct kn_bf16_tile *t, const int pixels, const int stride)
{
    enum { PAIRS = BLOCK / 2, UNROLL = 4 };
    const uint16_t *w = t->w;
    const char *ahead = t->ahead;
    __m512 b0 = _mm512_load_ps(t->bias), b1 = _mm512_load_ps(t->bias + 16);
    EACH(DECLARE)

    EACH(FETCH_OUTPUT)
    if (t->residual && t->residual != t->y) {
        EACH(FETCH_RESIDUAL)
    }
    for (int o = 0; o < t->n_koff; o++) {
        const uint16_t *first = (const uint16_t *)t->a + t->koff[o];
        const int32_t *a = (const int32_t *)(const void *)first;
#pragma GCC unroll 1
        for (int j = 0; j < t->ahead_lines; j++, ahead += 64)
            _mm_prefetch(ahead, _MM_HINT_T1);
#pragma GCC unroll 1
        for (int u = 0; u < PAIRS; u += UNROLL, a += UNROLL) {
            const int32_t *a2 = a + t->a_gap / 2;
#pragma GCC unroll 4
            for (int k = 0; k < UNROLL; k++, w += 2 * BLOCK) {
                _mm_prefetch(w + 2 * BLOCK * NEAR, _MM_HINT_T0);
                _mm_prefetch(w + 2 * BLOCK * NEAR + BLOCK, _MM_HINT_T0);
                __m512i x0 = _mm512_load_si512(w), x1 = _mm512_load_si512(w + BLOCK);
                EACH(MULTIPLY_ADD)
            }
        }
    }
    if (t->residual) {
        EACH(ADD_RESIDUAL)
    }
    __m512 low = _mm512_set1_ps(t->low);
    EACH(STORE)
}

#define DEFINE(n)                                                                                  \
    static void dense_##n(const struct kn_bf16_tile *t)                                            \
    {                                                                                              \
        tile(t, n, BLOCK);                                                                         \
    }                                                                                              \
    static void strided_##n(const struct kn_bf16_tile *t)                                          \
    {                                                                                              \
        tile(t, n, 2 * BLOCK);                                                                     \
    }

#define SIZES(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
SIZES(DEFINE)

#define DENSE(n)   [n] = dense_##n,
#define STRIDED(n) [n] = strided_##n,

kn_bf16_tile_fn *const kn_bf16_gemm_dense__avx512bf16[PIXELS + 1] = {SIZES(DENSE)};
kn_bf16_tile_fn *const kn_bf16_gemm_strided__avx512bf16[PIXELS + 1] = {SIZES(STRIDED)};
