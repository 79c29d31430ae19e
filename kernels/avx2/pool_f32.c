/* pool_f32.c: pooling of one block of 16 channels, 8 at a time. */
#include <immintrin.h>

#include "kernels/avx2/f32.h"

/* vmaxps gives its second operand when either is NaN: a NaN already found goes second and stays,
 * and one just met is blended in. */
static inline __m256 larger(__m256 best, __m256 x)
{
    return _mm256_blendv_ps(_mm256_max_ps(x, best), x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

void kn_f32_maxpool__avx2(const float *x, ptrdiff_t row, int h, int w, ptrdiff_t step, int n,
                          float *y)
{
    for (int i = 0; i < n; i++, x += step, y += 16) {
        __m256 low = _mm256_load_ps(x), high = _mm256_load_ps(x + 8);
        for (int ky = 0; ky < h; ky++)
            for (int kx = 0; kx < w; kx++) {
                low = larger(low, _mm256_load_ps(x + ky * row + 16 * kx));
                high = larger(high, _mm256_load_ps(x + ky * row + 16 * kx + 8));
            }
        _mm256_store_ps(y, low);
        _mm256_store_ps(y + 8, high);
    }
}

void kn_f32_avgpool__avx2(const float *x, ptrdiff_t row, int h, int w, float *y)
{
    __m256 low = _mm256_setzero_ps(), high = low, pixels = _mm256_set1_ps((float)(h * w));
    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++) {
            low = _mm256_add_ps(low, _mm256_load_ps(x + i * row + 16 * j));
            high = _mm256_add_ps(high, _mm256_load_ps(x + i * row + 16 * j + 8));
        }
    _mm256_store_ps(y, _mm256_div_ps(low, pixels));
    _mm256_store_ps(y + 8, _mm256_div_ps(high, pixels));
}
