/* pool_u8.c: pooling of one block of 64 channels, and the classifier's product. */
#include <immintrin.h>

#include "kernels/avx2/u8.h"

void kn_u8_maxpool__avx2(const uint8_t *x, ptrdiff_t row, int h, int w, ptrdiff_t step, int n,
                         uint8_t *y)
{
    for (int i = 0; i < n; i++, x += step, y += 64)
        for (int c = 0; c < 64; c += 32) {
            __m256i best = _mm256_load_si256((const void *)(x + c));
            for (int ky = 0; ky < h; ky++)
                for (int kx = 0; kx < w; kx++) {
                    const void *at = x + ky * row + 64 * kx + c;
                    best = _mm256_max_epu8(best, _mm256_load_si256(at));
                }
            _mm256_store_si256((void *)(y + c), best);
        }
}

void kn_u8_pool_sum__avx2(const uint8_t *x, ptrdiff_t row, int h, int w, int32_t *y)
{
    for (int c = 0; c < 64; c += 8) {
        __m256i sum = _mm256_setzero_si256();
        for (int i = 0; i < h; i++)
            for (int j = 0; j < w; j++) {
                const void *at = x + i * row + 64 * j + c;
                sum = _mm256_add_epi32(sum, _mm256_cvtepu8_epi32(_mm_loadl_epi64(at)));
            }
        _mm256_storeu_si256((void *)(y + c), sum);
    }
}

void kn_u8_gemv__avx2(const int16_t *w, const int16_t *x, int n, int32_t *sum)
{
    __m256i *out = (void *)sum, s0 = _mm256_loadu_si256(out), s1 = _mm256_loadu_si256(out + 1);

    for (int k = 0; k < n; k += 2, w += 32) {
        int32_t two;
        __builtin_memcpy(&two, x + k, sizeof two);
        __m256i v = _mm256_set1_epi32(two);
        _mm_prefetch((const char *)(w + 32 * 32), _MM_HINT_T0);
        s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(v, _mm256_load_si256((const void *)w)));
        s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(v, _mm256_load_si256((const void *)(w + 16))));
    }
    _mm256_storeu_si256(out, s0);
    _mm256_storeu_si256(out + 1, s1);
}
