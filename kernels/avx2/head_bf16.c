/* head_bf16.c: pooling, the mean over all pixels, and the classifier. */
#include "kernels/avx2/bf16.h"

enum { BLOCK = KN_BF16_BLOCK };

/* A window's maximum is NaN if any value is. vmaxps is b when either is NaN: a NaN already found
 * goes second and stays, and one just met is taken by the compare. */
static inline __m256 larger(__m256 best, __m256 x)
{
    return _mm256_blendv_ps(_mm256_max_ps(x, best), x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

/* What was bf16 loses nothing. */
static inline void narrow(uint16_t *y, __m256 low, __m256 high)
{
    __m256i a = _mm256_srli_epi32(_mm256_castps_si256(low), 16);
    __m256i b = _mm256_srli_epi32(_mm256_castps_si256(high), 16);
    __m256i mixed = _mm256_packus_epi32(a, b); /* quarters 0 2 1 3 */
    _mm256_store_si256((__m256i *)(void *)y, _mm256_permute4x64_epi64(mixed, 0xd8));
}

void kn_bf16_maxpool__avx2(const uint16_t *x, ptrdiff_t row, int h, int w, ptrdiff_t step, int n,
                           uint16_t *y)
{
    for (int i = 0; i < n; i++, x += step, y += BLOCK)
        for (int c = 0; c < BLOCK; c += 16) {
            __m256 best0 = widen(x + c), best1 = widen(x + c + 8);
            for (int ky = 0; ky < h; ky++)
                for (int kx = 0; kx < w; kx++) {
                    const uint16_t *at = x + ky * row + BLOCK * kx + c;
                    best0 = larger(best0, widen(at));
                    best1 = larger(best1, widen(at + 8));
                }
            narrow(y + c, best0, best1);
        }
}

void kn_bf16_avgpool__avx2(const uint16_t *x, ptrdiff_t row, int h, int w, float *y)
{
    for (int c = 0; c < BLOCK; c += 8) {
        __m256 sum = _mm256_setzero_ps();
        for (int i = 0; i < h; i++)
            for (int j = 0; j < w; j++)
                sum = _mm256_add_ps(sum, widen(x + i * row + BLOCK * j + c));
        _mm256_store_ps(y + c, _mm256_div_ps(sum, _mm256_set1_ps((float)(h * w))));
    }
}

/* 16 outputs at a time. Even and odd inputs have sums of their own: four chains hide the latency.
 */
void kn_bf16_gemv__avx2(const float *x, int n, const uint16_t *w, const float *bias, float *y)
{
    enum { NEAR = 32 }; /* pairs */

    for (int half = 0; half < BLOCK; half += 16) {
        const uint16_t *at = w + 2 * half;
        __m256 even0 = _mm256_load_ps(bias + half), even1 = _mm256_load_ps(bias + half + 8);
        __m256 odd0 = _mm256_setzero_ps(), odd1 = odd0;
        for (int i = 0; i < n; i += 2, at += 2 * BLOCK) {
            __m256 x0 = _mm256_broadcast_ss(x + i), x1 = _mm256_broadcast_ss(x + i + 1);
            _mm_prefetch(at + 2 * BLOCK * NEAR, _MM_HINT_T0);
            even0 = _mm256_fmadd_ps(x0, widen_even(at), even0);
            even1 = _mm256_fmadd_ps(x0, widen_even(at + 16), even1);
            odd0 = _mm256_fmadd_ps(x1, widen_odd(at), odd0);
            odd1 = _mm256_fmadd_ps(x1, widen_odd(at + 16), odd1);
        }
        _mm256_store_ps(y + half, _mm256_add_ps(even0, odd0));
        _mm256_store_ps(y + half + 8, _mm256_add_ps(even1, odd1));
    }
}
