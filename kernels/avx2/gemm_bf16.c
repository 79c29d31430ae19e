/* gemm_bf16.c: tiles of up to 6 pixels x 32 output channels in bf16, 16 channels at a time.
 *
 * The inputs of a run, 32 channels, are widened into a buffer that stays in L1; then it is the fp32
 * tile: 12 accumulators + 2 vectors of weights + 1 broadcast input. Weights lie in pairs of inputs:
 * shifting left gives the first of each, shifting right and left the second, which needs no
 * register for a mask.
 *
 * The accumulators are single variables and the FMAs volatile: so gcc and clang both keep every
 * accumulator in a register (tests/guards reads the disassembly).
 */
#include "kernels/avx2/bf16.h"

enum {
    PIXELS = 6,
    BLOCK = KN_BF16_BLOCK,
    NEAR = 8 /* pairs: how far ahead weights are brought from L2 into L1 */
};

#define INLINE static inline __attribute__((always_inline))

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5)

#define FMA(acc, v, x) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(v), "x"(x))

#define DECLARE(i) __m256 p##i = b0, q##i = b1;

#define WIDEN(i)                                                                                   \
    if (i < pixels)                                                                                \
        widen_block((const uint16_t *)t->a + t->koff[o] + i * t->a_pixel +                         \
                        (i < t->split ? 0 : t->a_gap),                                             \
                    t->wide + BLOCK * i);

#define POINT(i)                                                                                   \
    const float *a##i =                                                                            \
        (const float *)t->a + t->koff[o] + i * t->a_pixel + (i < t->split ? 0 : t->a_gap);

/* Pixel i, input k: i, pixels are constants wherever this is expanded. */
#define MULTIPLY_ADD(i, input)                                                                     \
    if (i < pixels) {                                                                              \
        __m256 v = _mm256_broadcast_ss(input);                                                     \
        FMA(p##i, v, x0);                                                                          \
        FMA(q##i, v, x1);                                                                          \
    }
#define FROM_WIDE(i)  MULTIPLY_ADD(i, x + BLOCK * i)
#define FROM_IMAGE(i) MULTIPLY_ADD(i, a##i + k)

#define AT(i) (BLOCK * i + (i < t->split ? 0 : t->y_gap) + half)

#define FETCH_OUTPUT(i)                                                                            \
    if (i < pixels)                                                                                \
        __builtin_prefetch(t->y + AT(i), 1, 3);

#define ADD_RESIDUAL(i)                                                                            \
    if (i < pixels) {                                                                              \
        p##i = _mm256_add_ps(p##i, widen(t->residual + AT(i)));                                    \
        q##i = _mm256_add_ps(q##i, widen(t->residual + AT(i) + 8));                                \
    }

/* max(low, x) hands a NaN on; max(x, low) would hide it. */
#define PUT_ASIDE(i)                                                                               \
    if (i < pixels) {                                                                              \
        _mm256_store_ps(t->wide + 16 * i, _mm256_max_ps(low, p##i));                               \
        _mm256_store_ps(t->wide + 16 * i + 8, _mm256_max_ps(low, q##i));                           \
    }

/* Rounding takes more registers than the accumulators leave. */
#define FINISH                                                                                     \
    if (t->residual) {                                                                             \
        EACH(ADD_RESIDUAL)                                                                         \
    }                                                                                              \
    __m256 low = _mm256_set1_ps(t->low);                                                           \
    EACH(PUT_ASIDE)                                                                                \
    for (int i = 0; i < pixels; i++)                                                               \
        store(t->y + AT(i), t->wide + 16 * i);

INLINE void widen_block(const uint16_t *a, float *wide)
{
#pragma GCC unroll 4
    for (int c = 0; c < BLOCK; c += 8)
        _mm256_store_ps(wide + c, widen(a + c));
}

/* The upper half of each lane, rounded to the nearest, ties to even; a NaN stays one. */
INLINE __m256i rounded(__m256 v)
{
    __m256i bits = _mm256_castps_si256(v), high = _mm256_srli_epi32(bits, 16);
    __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    __m256i carry = _mm256_add_epi32(_mm256_set1_epi32(0x7fff), odd);
    __m256i near = _mm256_srli_epi32(_mm256_add_epi32(bits, carry), 16);
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));

    return _mm256_blendv_epi8(near, _mm256_or_si256(high, _mm256_set1_epi32(0x40)), nan);
}

INLINE void store(uint16_t *y, const float *x)
{
    __m256i low = rounded(_mm256_load_ps(x)), high = rounded(_mm256_load_ps(x + 8));
    __m256i mixed = _mm256_packus_epi32(low, high); /* quarters 0 2 1 3 */
    _mm256_store_si256((__m256i *)(void *)y, _mm256_permute4x64_epi64(mixed, 0xd8));
}

/* half: the first output channel of the panel, 0 or 16. */
INLINE void dense(const struct kn_bf16_tile *t, const int pixels, int half)
{
    const uint16_t *w = t->w + 2 * half;
    const char *ahead = t->ahead + (half ? (ptrdiff_t)t->n_koff * t->ahead_lines / 2 * 64 : 0);
    int lines = t->ahead_lines / 2;
    __m256 b0 = _mm256_load_ps(t->bias + half), b1 = _mm256_load_ps(t->bias + half + 8);
    EACH(DECLARE)

    EACH(FETCH_OUTPUT)
    for (int o = 0; o < t->n_koff; o++) {
        EACH(WIDEN)
#pragma GCC unroll 1
        for (int j = 0; j < lines; j++, ahead += 64)
            _mm_prefetch(ahead, _MM_HINT_T1);
        const float *x = t->wide;
#pragma GCC unroll 1
        for (int k = 0; k < BLOCK; k += 2, w += 2 * BLOCK, x++) {
            _mm_prefetch(w + 2 * BLOCK * NEAR, _MM_HINT_T0);
            __m256 x0 = widen_even(w), x1 = widen_even(w + 16);
            EACH(FROM_WIDE)
            x++;
            x0 = widen_odd(w);
            x1 = widen_odd(w + 16);
            EACH(FROM_WIDE)
        }
    }
    FINISH
}

/* Inputs are fp32 already, and the filter's columns do not lie in pairs. */
INLINE void stem(const struct kn_bf16_tile *t, const int pixels, int half)
{
    enum { COLUMNS = 7 };
    const uint16_t *w = t->w + half;
    __m256 b0 = _mm256_load_ps(t->bias + half), b1 = _mm256_load_ps(t->bias + half + 8);
    EACH(DECLARE)

    EACH(FETCH_OUTPUT)
    for (int o = 0; o < t->n_koff; o++) {
        EACH(POINT)
#pragma GCC unroll 1
        for (int k = 0; k < COLUMNS; k++, w += BLOCK) {
            __m256 x0 = widen(w), x1 = widen(w + 8);
            EACH(FROM_IMAGE)
        }
    }
    FINISH
}

/* Not inlined: constants of the epilogue, kept over both halves, would take accumulators'
 * registers. */
#define HALF(n, name)                                                                              \
    static __attribute__((noinline)) void name##_half_##n(const struct kn_bf16_tile *t, int half)  \
    {                                                                                              \
        name(t, n, half);                                                                          \
    }                                                                                              \
    static void name##_##n(const struct kn_bf16_tile *t)                                           \
    {                                                                                              \
        name##_half_##n(t, 0);                                                                     \
        name##_half_##n(t, BLOCK / 2);                                                             \
    }
#define DEFINE(n) HALF(n, dense) HALF(n, stem)

#define SIZES(X) X(1) X(2) X(3) X(4) X(5) X(6)
SIZES(DEFINE)

#define DENSE(n) [n] = dense_##n,
#define STEM(n)  [n] = stem_##n,

kn_bf16_tile_fn *const kn_bf16_gemm_dense__avx2[PIXELS + 1] = {SIZES(DENSE)};
kn_bf16_tile_fn *const kn_bf16_gemm_stem__avx2[PIXELS + 1] = {SIZES(STEM)};
