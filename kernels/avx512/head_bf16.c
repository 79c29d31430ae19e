/* head_bf16.c: pooling, the mean over all pixels, and the classifier. */
#include "kernels/avx512/bf16.h"

/* A window's maximum is NaN if any value is. vmaxps is b when either is NaN: a NaN already found
 * goes second and stays, and one just met is taken by the compare. */
static inline __m512 larger(__m512 best, __m512 x)
{
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_mask_mov_ps(_mm512_max_ps(x, best), nan, x);
}

/* What was bf16 loses nothing. */
static inline void narrow(uint16_t *y, __m512 v)
{
    __m512i high = _mm512_srli_epi32(_mm512_castps_si512(v), 16);
    _mm256_store_si256((__m256i *)(void *)y, _mm512_cvtepi32_epi16(high));
}

void kn_bf16_maxpool__avx512(const uint16_t *x, ptrdiff_t row, int h, int w, ptrdiff_t step, int n,
                             uint16_t *y)
{
    for (int i = 0; i < n; i++, x += step, y += KN_BF16_BLOCK) {
        __m512 best0 = widen(x), best1 = widen(x + 16);
        for (int ky = 0; ky < h; ky++)
            for (int kx = 0; kx < w; kx++) {
                const uint16_t *at = x + ky * row + KN_BF16_BLOCK * kx;
                best0 = larger(best0, widen(at));
                best1 = larger(best1, widen(at + 16));
            }
        narrow(y, best0);
        narrow(y + 16, best1);
    }
}

void kn_bf16_avgpool__avx512(const uint16_t *x, ptrdiff_t row, int h, int w, float *y)
{
    __m512 sum0 = _mm512_setzero_ps(), sum1 = sum0, n = _mm512_set1_ps((float)(h * w));

    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++) {
            const uint16_t *at = x + i * row + KN_BF16_BLOCK * j;
            sum0 = _mm512_add_ps(sum0, widen(at));
            sum1 = _mm512_add_ps(sum1, widen(at + 16));
        }
    _mm512_store_ps(y, _mm512_div_ps(sum0, n));
    _mm512_store_ps(y + 16, _mm512_div_ps(sum1, n));
}

/* Even and odd inputs have sums of their own: four chains hide the latency. */
void kn_bf16_gemv__avx512(const float *x, int n, const uint16_t *w, const float *bias, float *y)
{
    enum { NEAR = 32 }; /* pairs */
    __m512 even0 = _mm512_load_ps(bias), even1 = _mm512_load_ps(bias + 16);
    __m512 odd0 = _mm512_setzero_ps(), odd1 = odd0;

    for (int i = 0; i < n; i += 2, w += 2 * KN_BF16_BLOCK) {
        __m512 x0 = _mm512_set1_ps(x[i]), x1 = _mm512_set1_ps(x[i + 1]);
        _mm_prefetch(w + 2 * KN_BF16_BLOCK * NEAR, _MM_HINT_T0);
        _mm_prefetch(w + 2 * KN_BF16_BLOCK * NEAR + KN_BF16_BLOCK, _MM_HINT_T0);
        even0 = _mm512_fmadd_ps(x0, widen_even(w), even0);
        even1 = _mm512_fmadd_ps(x0, widen_even(w + KN_BF16_BLOCK), even1);
        odd0 = _mm512_fmadd_ps(x1, widen_odd(w), odd0);
        odd1 = _mm512_fmadd_ps(x1, widen_odd(w + KN_BF16_BLOCK), odd1);
    }
    _mm512_store_ps(y, _mm512_add_ps(even0, odd0));
    _mm512_store_ps(y + 16, _mm512_add_ps(even1, odd1));
}
