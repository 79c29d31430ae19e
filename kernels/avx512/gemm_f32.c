/* gemm_f32.c: the tile that does nearly all the work: up to 14 pixels x 32 output channels.
 *
 * 28 accumulators + 2 vectors of weights + 1 broadcast input use 31 of the 32 registers; each input
 * is loaded (broadcast) once for two multiply-adds, so that 16 loads go with 28 FMAs: half of the
 * load ports. Weights stream from L2, 9 bytes a cycle.
 * Prefetches: the panels in hand go to L1 a little before they are used (3 % where pixels are few);
 * `ahead` brings the next panel from memory into L2; PREFETCHW brings the output's
 * lines, which would otherwise be read for ownership at the end (5-20 % on the wide 1x1 layers).
 *
 * The accumulators are single variables and the FMAs volatile: so gcc and clang both keep every
 * accumulator in a register (tests/guards reads the disassembly).
 */
#include <immintrin.h>

#include "kernels/avx512/f32.h"

enum {
    PIXELS = 14,
    SPLIT = 7,
    NEAR = 8 /* inputs: how far ahead weights are brought from L2 into L1 */
};

#define INLINE static inline __attribute__((always_inline))

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13)

/* The output's lines of four pixels, and the residual's where they are not the same. Pixels beyond
 * the split are a little off: that costs a prefetch, no more. */
INLINE void fetch_output(const struct kn_f32_tile *t, int i)
{
    const float *y = t->y + 16 * i + (i < SPLIT ? 0 : t->y_gap);
    const float *r = t->residual ? t->residual + (y - t->y) : y;

#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        __builtin_prefetch(y + 16 * j, 1, 3);
        __builtin_prefetch(y + 16 * j + t->y_block, 1, 3);
    }
    if (r == y)
        return;
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        __builtin_prefetch(r + 16 * j, 0, 3);
        __builtin_prefetch(r + 16 * j + t->y_block, 0, 3);
    }
}

/* volatile keeps the order of this page: left to itself gcc 12 gathers loads of several k, for
 * which there are no registers, and spills accumulators. */
#define FMA(acc, v, x) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(v), "v"(x))

/* Pixel i, input k: i, pixels, stride are constants wherever this is expanded. */
#define MULTIPLY_ADD(i)                                                                            \
    if (i < pixels) {                                                                              \
        __m512 v = _mm512_set1_ps((i < SPLIT ? a : a2)[i * stride + k]);                           \
        FMA(p##i, v, x0);                                                                          \
        FMA(q##i, v, x1);                                                                          \
    }

#define DECLARE(i) __m512 p##i = b0, q##i = b1;

#define AT(i) (16 * i + (i < SPLIT ? 0 : t->y_gap))

#define ADD_RESIDUAL(i)                                                                            \
    if (i < pixels) {                                                                              \
        p##i = _mm512_add_ps(p##i, _mm512_load_ps(r0 + AT(i)));                                    \
        q##i = _mm512_add_ps(q##i, _mm512_load_ps(r1 + AT(i)));                                    \
    }

/* max(low, x) hands a NaN on; max(x, low) would hide it. */
#define STORE(i)                                                                                   \
    if (i < pixels) {                                                                              \
        _mm512_store_ps(y0 + AT(i), _mm512_max_ps(low, p##i));                                     \
        _mm512_store_ps(y1 + AT(i), _mm512_max_ps(low, q##i));                                     \
    }

/* run, unroll: run is a multiple of unroll. far: how many of ahead_lines go between the inputs of a
 * run, evenly; the rest at its start. */
INLINE void tile(const struct kn_f32_tile *t, const int pixels, const int stride, const int run,
                 const int unroll, const int far)
{
    const float *w0 = t->w, *w1 = t->w + t->w_panel;
    const char *ahead = t->ahead;
    __m512 b0 = _mm512_load_ps(t->bias), b1 = _mm512_load_ps(t->bias + 16);
    EACH(DECLARE)

    for (int o = 0; o < t->n_koff; o++) {
        const float *a = t->a + t->koff[o];
        if (4 * o < pixels)
            fetch_output(t, 4 * o);
#pragma GCC unroll 1
        for (int j = far; j < t->ahead_lines; j++, ahead += 64)
            _mm_prefetch(ahead, _MM_HINT_T1);
#pragma GCC unroll 1
        for (int u = 0; u < run; u += unroll) {
            const float *a2 = a + t->a_gap;
#pragma GCC unroll 4
            for (int k = 0; k < unroll; k++, w0 += 16, w1 += 16) {
                _mm_prefetch(w0 + 16 * NEAR, _MM_HINT_T0);
                _mm_prefetch(w1 + 16 * NEAR, _MM_HINT_T0);
                if (far > 0 && k % (run / far) == 0) {
                    _mm_prefetch(ahead, _MM_HINT_T1);
                    ahead += 64;
                }
                __m512 x0 = _mm512_load_ps(w0), x1 = _mm512_load_ps(w1);
                EACH(MULTIPLY_ADD)
            }
            a += unroll;
        }
    }
    float *y0 = t->y, *y1 = t->y + t->y_block;
    if (t->residual) {
        const float *r0 = t->residual, *r1 = t->residual + t->y_block;
        EACH(ADD_RESIDUAL)
    }
    __m512 low = _mm512_set1_ps(t->low);
    EACH(STORE)
}

/* Lines of `ahead` are asked for one by one where there are many: a burst of them takes all the
 * buffers that loads wait in (5 % of a layer that streams its weights). Apart, so that no variant
 * costs another one registers. */
#define VARIANT(n, stride, far)                                                                    \
    static __attribute__((noinline)) void ahead##far##_##n##_##stride(const struct kn_f32_tile *t) \
    {                                                                                              \
        tile(t, n, stride, 16, 4, far);                                                            \
    }

#define CHOOSE(name, n, stride)                                                                    \
    VARIANT(n, stride, 8)                                                                          \
    VARIANT(n, stride, 16)                                                                         \
    static void name##_##n(const struct kn_f32_tile *t)                                            \
    {                                                                                              \
        if (t->ahead_lines >= 16)                                                                  \
            ahead16_##n##_##stride(t);                                                             \
        else if (t->ahead_lines >= 8)                                                              \
            ahead8_##n##_##stride(t);                                                              \
        else                                                                                       \
            tile(t, n, stride, 16, 4, 0);                                                          \
    }

#define DEFINE(n)                                                                                  \
    CHOOSE(dense, n, 16)                                                                           \
    CHOOSE(strided, n, 32)                                                                         \
    static void stem_##n(const struct kn_f32_tile *t)                                              \
    {                                                                                              \
        tile(t, n, 2, 7, 1, 0);                                                                    \
    }

#define SIZES(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
SIZES(DEFINE)

#define DENSE(n)   [n] = dense_##n,
#define STRIDED(n) [n] = strided_##n,
#define STEM(n)    [n] = stem_##n,

kn_f32_tile_fn *const kn_f32_gemm_dense__avx512[PIXELS + 1] = {SIZES(DENSE)};
kn_f32_tile_fn *const kn_f32_gemm_strided__avx512[PIXELS + 1] = {SIZES(STRIDED)};
kn_f32_tile_fn *const kn_f32_gemm_stem__avx512[PIXELS + 1] = {SIZES(STEM)};
