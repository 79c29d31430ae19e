/* gemm_u8.c: tiles of up to 6 pixels x 32 output channels, of which 8 are summed at a time (16 in
 * the stem).
 *
 * VPMADDUBSW saturates, so both factors are widened to 16 bits first and VPMADDWD multiplies: of
 * u8 by s8 it gives two sums of two products for each output, added up at the end. 12 accumulators
 * + 2 vectors of weights + 1 broadcast input + 1 product use all 16 registers. The epilogue follows
 * by itself, pixel by pixel; it is little beside the sums.
 *
 * The accumulators are single variables and the multiply-adds volatile: so gcc and clang both keep
 * every accumulator in a register (tests/guards reads the disassembly).
 */
#include <immintrin.h>

#include "kernels/avx2/u8.h"

enum {
    PIXELS = 6,
    LANES = 32,
    NEAR = 8 /* groups: how far ahead weights are brought from L2 into L1 */
};

#define INLINE static inline __attribute__((always_inline))

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5)

#define DECLARE(i)                                                                                 \
    __m256i p##i = _mm256_setzero_si256(), q##i = p##i;                                            \
    ptrdiff_t a_at##i = i * t->a_pixel + (i < t->split ? 0 : t->a_gap);

#define POINT(i) const char *a##i = (const char *)t->a + t->koff[o] + a_at##i;

#define MADD(acc, v, x)                                                                            \
    __asm__ volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"                                    \
                     : "+x"(acc), "=&x"(product)                                                   \
                     : "x"(v), "x"(x))

/* Four bytes, again and again: one load, where gcc makes three instructions of _mm_set1_epi32(). */
#define BROADCAST(at) _mm_castps_si128(_mm_broadcast_ss((const float *)(const void *)(at)))

/* Pixel i, group k: i, pixels and stem are constants wherever this is expanded. */
#define MULTIPLY_ADD(i)                                                                            \
    if (i < pixels) {                                                                              \
        __m128i group = BROADCAST(a##i + 4 * k);                                                   \
        __m256i v = stem ? _mm256_broadcastd_epi32(group) : _mm256_cvtepu8_epi16(group);           \
        MADD(p##i, v, x0);                                                                         \
        MADD(q##i, v, x1);                                                                         \
    }

/* Of u8 by s8: p has sums of outputs 0-3, two each, q of 4-7. Of s16: p has 0-7, q 8-15. */
#define KEEP(i)                                                                                    \
    if (i < pixels && stem) {                                                                      \
        _mm256_store_si256((void *)(sums + LANES * i), p##i);                                      \
        _mm256_store_si256((void *)(sums + LANES * i + 8), q##i);                                  \
    } else if (i < pixels) {                                                                       \
        __m256i both = _mm256_permute4x64_epi64(_mm256_hadd_epi32(p##i, q##i), 0xd8);              \
        _mm256_store_si256((void *)(sums + LANES * i), both);                                      \
    }

/* Some lanes of the tile: w: their weights in the first group. sums: [pixels][32], from their first
 * lane on */
INLINE void sum_lanes(const struct kn_u8_tile *t, const char *w, int32_t *sums, const int pixels,
                      const int stem)
{
    const char *ahead = t->ahead;
    EACH(DECLARE)

    for (int o = 0; o < t->n_koff; o++) {
        EACH(POINT)
#pragma GCC unroll 1
        for (int j = 0; j < t->ahead_lines; j++, ahead += 64)
            _mm_prefetch(ahead, _MM_HINT_T1);
        const int groups = stem ? t->groups : 16;
#pragma GCC unroll 1
        for (int k = 0; k < groups; k++, w += 128) {
            const __m128i *at = (const void *)w;
            __m256i product;
            _mm_prefetch(w + 128 * NEAR, _MM_HINT_T0);
            __m256i x0 = stem ? _mm256_load_si256((const void *)w)
                              : _mm256_cvtepi8_epi16(_mm_load_si128(at));
            __m256i x1 = stem ? _mm256_load_si256((const void *)(w + 32))
                              : _mm256_cvtepi8_epi16(_mm_load_si128(at + 1));
            EACH(MULTIPLY_ADD)
        }
    }
    EACH(KEEP)
}

/* ---- the epilogue: quant.h's rule ----------------------------------------------------------- */

/* Eight lanes: sums that become floats; a residual times a number that is added to such. */
INLINE __m256 scaled(const struct kn_u8_tile *t, const int32_t *sums, int lane)
{
    __m256i sum = _mm256_add_epi32(_mm256_load_si256((const void *)(sums + lane)),
                                   _mm256_load_si256((const void *)(t->bias + lane)));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_load_ps(t->multiplier + lane));
}

INLINE __m256 add_times(__m256 f, __m256i residual, __m256 times)
{
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(residual), times, f);
}

/* Eight channels of 16 that begin at `residual`, u8 or s16: unpacked within 128 bits, channels in
 * order are the lanes of the first panel (second 0) or of the second one. */
INLINE __m256i residual_lanes(const struct kn_u8_tile *t, const char *residual, const int second)
{
    if (t->residual_s16) {
        __m256i r = _mm256_load_si256((const void *)residual);
        r = second ? _mm256_unpackhi_epi16(r, r) : _mm256_unpacklo_epi16(r, r);
        return _mm256_srai_epi32(r, 16);
    }
    __m256i zero = _mm256_setzero_si256();
    __m256i r = _mm256_cvtepu8_epi16(_mm_load_si128((const void *)residual));
    return second ? _mm256_unpackhi_epi16(r, zero) : _mm256_unpacklo_epi16(r, zero);
}

/* Channels [16 half, 16 half + 16) of a pixel in their order, limited to s16. */
INLINE __m256i finish_half(const struct kn_u8_tile *t, const int32_t *sums, const char *residual,
                           const int half)
{
    __m256 f0 = scaled(t, sums, 8 * half), f1 = scaled(t, sums, 16 + 8 * half);

    if (residual != NULL) {
        __m256 times = _mm256_set1_ps(t->residual_multiplier);
        residual += half * (16 << t->residual_s16);
        f0 = add_times(f0, residual_lanes(t, residual, 0), times);
        f1 = add_times(f1, residual_lanes(t, residual, 1), times);
    }
    return _mm256_packs_epi32(_mm256_cvtps_epi32(f0), _mm256_cvtps_epi32(f1));
}

/* Pixel i. */
static void finish(const struct kn_u8_tile *t, int i)
{
    ptrdiff_t at = 64 * i + (i < t->split ? 0 : t->y_gap >> t->y_s16); /* in u8 */
    const char *residual = t->residual;
    const int32_t *sums = t->sums + LANES * i;

    if (residual != NULL)
        residual += at << t->residual_s16;
    __m256i first = finish_half(t, sums, residual, 0), second = finish_half(t, sums, residual, 1);
    char *y = (char *)t->y + (at << t->y_s16);
    if (t->y_s16) {
        _mm256_store_si256((void *)y, first);
        _mm256_store_si256((void *)(y + 32), second);
    } else {
        __m256i bytes = _mm256_packus_epi16(first, second);
        _mm256_store_si256((void *)y, _mm256_permute4x64_epi64(bytes, 0xd8));
    }
}

INLINE void tile(const struct kn_u8_tile *t, const int pixels, const int stem)
{
    const int lanes = stem ? 16 : 8;

    for (int lane = 0; lane < LANES; lane += lanes)
        sum_lanes(t, (const char *)t->w + 4 * lane, t->sums + lane, pixels, stem);
    for (int i = 0; i < pixels; i++)
        finish(t, i);
}

#define DEFINE(n)                                                                                  \
    static void dense_##n(const struct kn_u8_tile *t)                                              \
    {                                                                                              \
        tile(t, n, 0);                                                                             \
    }                                                                                              \
    static void stem_##n(const struct kn_u8_tile *t)                                               \
    {                                                                                              \
        tile(t, n, 1);                                                                             \
    }

#define SIZES(X) X(1) X(2) X(3) X(4) X(5) X(6)
SIZES(DEFINE)

#define DENSE(n) [n] = dense_##n,
#define STEM(n)  [n] = stem_##n,

kn_u8_tile_fn *const kn_u8_gemm_dense__avx2[PIXELS + 1] = {SIZES(DENSE)};
kn_u8_tile_fn *const kn_u8_gemm_stem__avx2[PIXELS + 1] = {SIZES(STEM)};
