/* gemm_f32.c: tiles of up to 6 pixels x 16 output channels.
 *
 * 12 accumulators + 2 vectors of weights + 1 broadcast input use 15 of the 16 registers; 8 loads go
 * with 12 FMAs. Each pixel has a pointer of its own, so that a tile may leave its row anywhere, and
 * one kernel serves every stride.
 *
 * The accumulators are single variables and the FMAs volatile: so gcc and clang both keep every
 * accumulator in a register (tests/guards reads the disassembly).
 */
#include <immintrin.h>

#include "kernels/avx2/f32.h"

enum {
    PIXELS = 6,
    NEAR = 16 /* inputs: how far ahead weights are brought from L2 into L1 */
};

#define INLINE static inline __attribute__((always_inline))

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5)

#define FMA(acc, v, x) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(v), "x"(x))

#define DECLARE(i)                                                                                 \
    __m256 p##i = b0, q##i = b1;                                                                   \
    ptrdiff_t a_at##i = i * t->a_pixel + (i < t->split ? 0 : t->a_gap);

#define POINT(i) const float *a##i = t->a + t->koff[o] + a_at##i;

/* Pixel i, input k: i, pixels are constants wherever this is expanded. */
#define MULTIPLY_ADD(i)                                                                            \
    if (i < pixels) {                                                                              \
        __m256 v = _mm256_broadcast_ss(a##i + k);                                                  \
        FMA(p##i, v, x0);                                                                          \
        FMA(q##i, v, x1);                                                                          \
    }

#define Y(i) (t->y + 16 * i + (i < t->split ? 0 : t->y_gap))

#define FETCH_OUTPUT(i)                                                                            \
    if (i < pixels)                                                                                \
        __builtin_prefetch(Y(i), 1, 3);

#define ADD_RESIDUAL(i)                                                                            \
    if (i < pixels) {                                                                              \
        p##i = _mm256_add_ps(p##i, _mm256_load_ps(Y(i) + residual));                               \
        q##i = _mm256_add_ps(q##i, _mm256_load_ps(Y(i) + residual + 8));                           \
    }

/* max(low, x) hands a NaN on; max(x, low) would hide it. */
#define STORE(i)                                                                                   \
    if (i < pixels) {                                                                              \
        _mm256_store_ps(Y(i), _mm256_max_ps(low, p##i));                                           \
        _mm256_store_ps(Y(i) + 8, _mm256_max_ps(low, q##i));                                       \
    }

/* run is a multiple of unroll. */
INLINE void tile(const struct kn_f32_tile *t, const int pixels, const int run, const int unroll)
{
    const float *w = t->w;
    const char *ahead = t->ahead;
    __m256 b0 = _mm256_load_ps(t->bias), b1 = _mm256_load_ps(t->bias + 8);
    EACH(DECLARE)

    EACH(FETCH_OUTPUT)
    for (int o = 0; o < t->n_koff; o++) {
        EACH(POINT)
#pragma GCC unroll 1
        for (int j = 0; j < t->ahead_lines; j++, ahead += 64)
            _mm_prefetch(ahead, _MM_HINT_T1);
#pragma GCC unroll 1
        for (int u = 0; u < run; u += unroll, w += 16 * unroll) {
#pragma GCC unroll 7
            for (int j = 0; j < unroll; j++) {
                int k = u + j;
                _mm_prefetch(w + 16 * (j + NEAR), _MM_HINT_T0);
                __m256 x0 = _mm256_load_ps(w + 16 * j), x1 = _mm256_load_ps(w + 16 * j + 8);
                EACH(MULTIPLY_ADD)
            }
        }
    }
    if (t->residual) {
        ptrdiff_t residual = t->residual - t->y;
        EACH(ADD_RESIDUAL)
    }
    __m256 low = _mm256_set1_ps(t->low);
    EACH(STORE)
}

#define DEFINE(n)                                                                                  \
    static void dense_##n(const struct kn_f32_tile *t)                                             \
    {                                                                                              \
        tile(t, n, 16, 4);                                                                         \
    }                                                                                              \
    static void stem_##n(const struct kn_f32_tile *t)                                              \
    {                                                                                              \
        tile(t, n, 7, 7);                                                                          \
    }

#define SIZES(X) X(1) X(2) X(3) X(4) X(5) X(6)
SIZES(DEFINE)

#define DENSE(n) [n] = dense_##n,
#define STEM(n)  [n] = stem_##n,

kn_f32_tile_fn *const kn_f32_gemm_dense__avx2[PIXELS + 1] = {SIZES(DENSE)};
kn_f32_tile_fn *const kn_f32_gemm_stem__avx2[PIXELS + 1] = {SIZES(STEM)};
