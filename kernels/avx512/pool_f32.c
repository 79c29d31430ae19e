/* pool_f32.c: pooling of one block of 16 channels. */
#include <immintrin.h>

#include "kernels/avx512/f32.h"

/* max(a, b) of vmaxps is b when either is NaN: a NaN already found goes second and stays, and one
 * just met is taken by the compare. */
static inline __m512 larger(__m512 best, __m512 x)
{
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_mask_mov_ps(_mm512_max_ps(x, best), nan, x);
}

void kn_f32_maxpool__avx512(const float *x, ptrdiff_t row, int h, int w, ptrdiff_t step, int n,
                            float *y)
{
    for (int i = 0; i < n; i++, x += step, y += 16) {
        __m512 best = _mm512_load_ps(x);
        for (int ky = 0; ky < h; ky++)
            for (int kx = 0; kx < w; kx++)
                best = larger(best, _mm512_load_ps(x + ky * row + 16 * kx));
        _mm512_store_ps(y, best);
    }
}

void kn_f32_avgpool__avx512(const float *x, ptrdiff_t row, int h, int w, float *y)
{
    __m512 sum = _mm512_setzero_ps();
    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++)
            sum = _mm512_add_ps(sum, _mm512_load_ps(x + i * row + 16 * j));
    _mm512_store_ps(y, _mm512_div_ps(sum, _mm512_set1_ps((float)(h * w))));
}
