/* gemm_u8.c: the tile that does nearly all the work: up to 14 pixels x 32 output channels, four
 * inputs at a time.
 *
 * 28 accumulators + 2 vectors of weights + 1 broadcast of inputs use 31 of the 32 registers, as in
 * avx512/gemm_f32.c; the inputs have to be broadcast by themselves, because only the signed factor
 * of VPDPBUSD may come from memory. The stem multiplies two s16 with two s16 (VPDPWSSD) instead.
 *
 * The accumulators are single variables and the multiply-adds volatile: so gcc and clang both keep
 * every accumulator in a register (tests/guards reads the disassembly).
 */
#include <immintrin.h>

#include "kernels/avx512vnni/u8.h"

enum {
    PIXELS = 14,
    SPLIT = 7,
    NEAR = 8 /* groups: how far ahead weights are brought from L2 into L1 */
};

#define INLINE static inline __attribute__((always_inline))

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13)

/* Bytes from the first to the i-th of pixels `size` bytes apart. */
#define AT(i, size, gap) ((size) * (i) + ((i) < SPLIT ? 0 : (gap)))

/* The output's lines of four pixels, which would otherwise be read for ownership at the end. */
INLINE void fetch_output(const struct kn_u8_tile *t, int i)
{
    const char *y = (const char *)t->y + AT(i, 64 << t->y_s16, t->y_gap);

#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        __builtin_prefetch(y + (64 << t->y_s16) * j, 1, 3);
}

/* volatile keeps the order of this page: left to itself gcc 12 spills accumulators around the
 * intrinsic. */
#define MADD_U8(acc, v, x)  __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(v), "v"(x))
#define MADD_S16(acc, v, x) __asm__ volatile("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(v), "v"(x))

/* Goes on to the next pixel; the compiler is kept from computing 14 addresses ahead, for which
 * there are no registers, when `stride` is no constant. */
#define WALK(stride)                                                                               \
    at += stride;                                                                                  \
    if (!__builtin_constant_p(stride))                                                             \
        __asm__("" : "+r"(at));

/* Pixel i: i, pixels, stem are constants wherever this is expanded, and stride mostly. */
#define MULTIPLY_ADD(i)                                                                            \
    if (i < pixels) {                                                                              \
        int32_t group;                                                                             \
        at += i == SPLIT ? t->a_gap : 0;                                                           \
        __builtin_memcpy(&group, at, sizeof group);                                                \
        __m512i v = _mm512_set1_epi32(group);                                                      \
        if (stem) {                                                                                \
            MADD_S16(p##i, v, x0);                                                                 \
            MADD_S16(q##i, v, x1);                                                                 \
        } else {                                                                                   \
            MADD_U8(p##i, v, x0);                                                                  \
            MADD_U8(q##i, v, x1);                                                                  \
        }                                                                                          \
        WALK(stride)                                                                               \
    }

#define DECLARE(i) __m512i p##i = b0, q##i = b1;

/* ---- the epilogue: quant.h's rule ----------------------------------------------------------- */

#define FLOAT(x) _mm512_castsi512_ps(x)
#define BITS(x)  _mm512_castps_si512(x)

#define MULTIPLY(i)                                                                                \
    if (i < pixels) {                                                                              \
        p##i = BITS(_mm512_mul_ps(_mm512_cvtepi32_ps(p##i), m0));                                  \
        q##i = BITS(_mm512_mul_ps(_mm512_cvtepi32_ps(q##i), m1));                                  \
    }

INLINE __m512i add_times(__m512i f, __m512i residual, __m512 times)
{
    return BITS(_mm512_fmadd_ps(_mm512_cvtepi32_ps(residual), times, FLOAT(f)));
}

/* 32 channels in order are, unpacked within 128 bits, the lanes of both panels. */
#define ADD_U8(i)                                                                                  \
    if (i < pixels) {                                                                              \
        const void *at = (const char *)t->residual + AT(i, 64, t->y_gap);                          \
        __m512i r = _mm512_cvtepu8_epi16(_mm256_load_si256(at)), zero = _mm512_setzero_si512();    \
        p##i = add_times(p##i, _mm512_unpacklo_epi16(r, zero), times);                             \
        q##i = add_times(q##i, _mm512_unpackhi_epi16(r, zero), times);                             \
    }

#define ADD_S16(i)                                                                                 \
    if (i < pixels) {                                                                              \
        const void *at = (const char *)t->residual + 2 * AT(i, 64, t->y_gap);                      \
        __m512i r = _mm512_load_si512(at);                                                         \
        p##i = add_times(p##i, _mm512_srai_epi32(_mm512_unpacklo_epi16(r, r), 16), times);         \
        q##i = add_times(q##i, _mm512_srai_epi32(_mm512_unpackhi_epi16(r, r), 16), times);         \
    }

/* Packing limits to s16 and brings the lanes into order. */
#define PACK(i) _mm512_packs_epi32(_mm512_cvtps_epi32(FLOAT(p##i)), _mm512_cvtps_epi32(FLOAT(q##i)))

/* Two pixels' channels, limited to 0..255, eight of one by eight of the other: sorted out. */
#define STORE_U8(i, j)                                                                             \
    if (i < pixels) {                                                                              \
        __m512i both = _mm512_packus_epi16(PACK(i), j < pixels ? PACK(j) : PACK(i));               \
        both = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), both);          \
        _mm256_store_si256((void *)((char *)t->y + AT(i, 64, t->y_gap)),                           \
                           _mm512_castsi512_si256(both));                                          \
        if (j < pixels)                                                                            \
            _mm256_store_si256((void *)((char *)t->y + AT(j, 64, t->y_gap)),                       \
                               _mm512_extracti64x4_epi64(both, 1));                                \
    }

#define PAIRS(X) X(0, 1) X(2, 3) X(4, 5) X(6, 7) X(8, 9) X(10, 11) X(12, 13)

#define STORE_S16(i)                                                                               \
    if (i < pixels)                                                                                \
        _mm512_store_si512((char *)t->y + AT(i, 128, t->y_gap), PACK(i));

/* ---- tiles ---------------------------------------------------------------------------------- */

/* groups is a multiple of unroll. The stem has no residual, and its output is u8. */
INLINE void tile(const struct kn_u8_tile *t, const int pixels, const ptrdiff_t stride,
                 const int groups, const int unroll, const int stem)
{
    const char *w = t->w, *ahead = t->ahead;
    __m512i b0 = _mm512_load_si512(t->bias), b1 = _mm512_load_si512(t->bias + 16);
    EACH(DECLARE)

    for (int o = 0; o < t->n_koff; o++) {
        const char *a = (const char *)t->a + t->koff[o];
        if (4 * o < pixels)
            fetch_output(t, 4 * o);
#pragma GCC unroll 1
        for (int j = 0; j < t->ahead_lines; j++, ahead += 64)
            _mm_prefetch(ahead, _MM_HINT_T1);
#pragma GCC unroll 1
        for (int u = 0; u < groups; u += unroll) {
#pragma GCC unroll 4
            for (int k = 0; k < unroll; k++, a += 4, w += 128) {
                const char *at = a;
                _mm_prefetch(w + 128 * NEAR, _MM_HINT_T0);
                _mm_prefetch(w + 128 * NEAR + 64, _MM_HINT_T0);
                __m512i x0 = _mm512_load_si512(w), x1 = _mm512_load_si512(w + 64);
                EACH(MULTIPLY_ADD)
            }
        }
    }
    __m512 m0 = _mm512_load_ps(t->multiplier), m1 = _mm512_load_ps(t->multiplier + 16);
    EACH(MULTIPLY)
    if (!stem && t->residual != NULL) {
        __m512 times = _mm512_set1_ps(t->residual_multiplier);
        if (t->residual_s16) {
            EACH(ADD_S16)
        } else {
            EACH(ADD_U8)
        }
    }
    if (!stem && t->y_s16) {
        EACH(STORE_S16)
    } else {
        PAIRS(STORE_U8)
    }
}

/* Of three channels the pixels' distance is a constant; of others it is not. */
#define DEFINE(n)                                                                                  \
    static void dense_##n(const struct kn_u8_tile *t)                                              \
    {                                                                                              \
        tile(t, n, 64, 16, 2, 0);                                                                  \
    }                                                                                              \
    static void strided_##n(const struct kn_u8_tile *t)                                            \
    {                                                                                              \
        tile(t, n, 128, 16, 2, 0);                                                                 \
    }                                                                                              \
    static void stem_##n(const struct kn_u8_tile *t)                                               \
    {                                                                                              \
        if (t->a_pixel == 12)                                                                      \
            tile(t, n, 12, t->groups, 1, 1);                                                       \
        else                                                                                       \
            tile(t, n, t->a_pixel, t->groups, 1, 1);                                               \
    }

#define SIZES(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
SIZES(DEFINE)

#define DENSE(n)   [n] = dense_##n,
#define STRIDED(n) [n] = strided_##n,
#define STEM(n)    [n] = stem_##n,

kn_u8_tile_fn *const kn_u8_gemm_dense__avx512vnni[PIXELS + 1] = {SIZES(DENSE)};
kn_u8_tile_fn *const kn_u8_gemm_strided__avx512vnni[PIXELS + 1] = {SIZES(STRIDED)};
kn_u8_tile_fn *const kn_u8_gemm_stem__avx512vnni[PIXELS + 1] = {SIZES(STEM)};
