/* gemm_bf16.c: up to 14 pixels x 32 output channels in bf16, for CPUs without an instruction for
 * it, and for those where it is slower than this.
 *
 * The inputs of a run, 32 channels, are widened into a buffer that stays in L1, 14 x 128 bytes;
 * then it is the fp32 tile: 28 accumulators + 2 vectors of weights + 1 broadcast input. Weights lie
 * in pairs of inputs: shifting left gives the first of each, loading under a mask the second, so
 * that 2 instructions go with 56 FMAs.
 *
 * The accumulators are single variables and the FMAs volatile: so gcc and clang both keep every
 * accumulator in a register (tests/guards reads the disassembly).
 */
#include "kernels/avx512/bf16.h"

enum {
    PIXELS = KN_BF16_MAX_PIXELS,
    BLOCK = KN_BF16_BLOCK,
    SPLIT = 7,
    NEAR = 8 /* pairs: how far ahead weights are brought from L2 into L1 */
};

#define INLINE static inline __attribute__((always_inline))

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13)

#define FMA(acc, v, x) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(v), "v"(x))

#define DECLARE(i) __m512 p##i = b0, q##i = b1;

#define WIDEN(i)                                                                                   \
    if (i < pixels) {                                                                              \
        const uint16_t *a = (i < SPLIT ? first : second) + i * t->a_pixel;                         \
        _mm512_store_ps(wide + BLOCK * i, widen(a));                                               \
        _mm512_store_ps(wide + BLOCK * i + 16, widen(a + 16));                                     \
    }

#define MULTIPLY_ADD(i)                                                                            \
    if (i < pixels) {                                                                              \
        __m512 v = _mm512_set1_ps((i < SPLIT ? x : x2)[i * x_pixel]);                              \
        FMA(p##i, v, x0);                                                                          \
        FMA(q##i, v, x1);                                                                          \
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
        store(t->y + AT(i), _mm512_max_ps(low, p##i));                                             \
        store(t->y + AT(i) + 16, _mm512_max_ps(low, q##i));                                        \
    }

#define FINISH                                                                                     \
    if (t->residual) {                                                                             \
        EACH(ADD_RESIDUAL)                                                                         \
    }                                                                                              \
    __m512 low = _mm512_set1_ps(t->low);                                                           \
    EACH(STORE)

/* Rounded to the nearest, ties to even; a NaN stays one. */
INLINE void store(uint16_t *y, __m512 v)
{
    __m512i bits = _mm512_castps_si512(v), high = _mm512_srli_epi32(bits, 16);
    __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    __m512i carry = _mm512_add_epi32(_mm512_set1_epi32(0x7fff), odd);
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, carry), 16);
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);

    rounded = _mm512_mask_or_epi32(rounded, nan, high, _mm512_set1_epi32(0x40));
    _mm256_store_si256((__m256i *)(void *)y, _mm512_cvtepi32_epi16(rounded));
}

INLINE void dense(const struct kn_bf16_tile *t, const int pixels)
{
    enum { x_pixel = BLOCK };
    const uint16_t *w = t->w;
    const char *ahead = t->ahead;
    float *wide = t->wide;
    __m512 b0 = _mm512_load_ps(t->bias), b1 = _mm512_load_ps(t->bias + 16);
    EACH(DECLARE)

    EACH(FETCH_OUTPUT)
    if (t->residual && t->residual != t->y) {
        EACH(FETCH_RESIDUAL)
    }
    for (int o = 0; o < t->n_koff; o++) {
        const uint16_t *first = (const uint16_t *)t->a + t->koff[o], *second = first + t->a_gap;
        EACH(WIDEN)
#pragma GCC unroll 1
        for (int j = 0; j < t->ahead_lines; j++, ahead += 64)
            _mm_prefetch(ahead, _MM_HINT_T1);
        const float *x = wide;
#pragma GCC unroll 1
        for (int k = 0; k < BLOCK; k += 2, w += 2 * BLOCK, x++) {
            const float *x2 = x;
            _mm_prefetch(w + 2 * BLOCK * NEAR, _MM_HINT_T0);
            _mm_prefetch(w + 2 * BLOCK * NEAR + BLOCK, _MM_HINT_T0);
            __m512 x0 = widen_even(w), x1 = widen_even(w + BLOCK);
            EACH(MULTIPLY_ADD)
            x2 = ++x;
            x0 = widen_odd(w);
            x1 = widen_odd(w + BLOCK);
            EACH(MULTIPLY_ADD)
        }
    }
    FINISH
}

/* Inputs are fp32 already, and the filter's columns do not lie in pairs. */
INLINE void stem(const struct kn_bf16_tile *t, const int pixels)
{
    enum { COLUMNS = 7, x_pixel = 2 };
    const uint16_t *w = t->w;
    __m512 b0 = _mm512_load_ps(t->bias), b1 = _mm512_load_ps(t->bias + 16);
    EACH(DECLARE)

    EACH(FETCH_OUTPUT)
    for (int o = 0; o < t->n_koff; o++) {
        const float *x = (const float *)t->a + t->koff[o];
#pragma GCC unroll 1
        for (int k = 0; k < COLUMNS; k++, w += BLOCK, x++) {
            const float *x2 = x + t->a_gap;
            __m512 x0 = widen(w), x1 = widen(w + 16);
            EACH(MULTIPLY_ADD)
        }
    }
    FINISH
}

#define DEFINE(n)                                                                                  \
    static void dense_##n(const struct kn_bf16_tile *t)                                            \
    {                                                                                              \
        dense(t, n);                                                                               \
    }                                                                                              \
    static void stem_##n(const struct kn_bf16_tile *t)                                             \
    {                                                                                              \
        stem(t, n);                                                                                \
    }

#define SIZES(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
SIZES(DEFINE)

#define DENSE(n) [n] = dense_##n,
#define STEM(n)  [n] = stem_##n,

kn_bf16_tile_fn *const kn_bf16_gemm_dense__avx512[PIXELS + 1] = {SIZES(DENSE)};
kn_bf16_tile_fn *const kn_bf16_gemm_stem__avx512[PIXELS + 1] = {SIZES(STEM)};
