/* pool_u8.c: pooling of one block of 64 channels, and the classifier's product. */
#include <immintrin.h>

#include "kernels/avx512vnni/u8.h"

void kn_u8_maxpool__avx512vnni(const uint8_t *x, ptrdiff_t row, int h, int w, ptrdiff_t step, int n,
                               uint8_t *y)
{
    for (int i = 0; i < n; i++, x += step, y += 64) {
        __m512i best = _mm512_load_si512(x);
        for (int ky = 0; ky < h; ky++)
            for (int kx = 0; kx < w; kx++)
                best = _mm512_max_epu8(best, _mm512_load_si512(x + ky * row + 64 * kx));
        _mm512_store_si512(y, best);
    }
}

void kn_u8_pool_sum__avx512vnni(const uint8_t *x, ptrdiff_t row, int h, int w, int32_t *y)
{
    for (int c = 0; c < 64; c += 16) {
        __m512i sum = _mm512_setzero_si512();
        for (int i = 0; i < h; i++)
            for (int j = 0; j < w; j++) {
                const void *at = x + i * row + 64 * j + c;
                sum = _mm512_add_epi32(sum, _mm512_cvtepu8_epi32(_mm_load_si128(at)));
            }
        _mm512_storeu_si512(y + c, sum);
    }
}

/* Four sums, because one would wait for itself. */
void kn_u8_gemv__avx512vnni(const int16_t *w, const int16_t *x, int n, int32_t *sum)
{
    __m512i s[4];
    int pairs = n / 2, k = 0;

    s[0] = _mm512_loadu_si512(sum);
    s[1] = s[2] = s[3] = _mm512_setzero_si512();
    for (; k + 4 <= pairs; k += 4)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const int16_t *at = w + 32 * (k + i);
            int32_t two;
            __builtin_memcpy(&two, x + 2 * (k + i), sizeof two);
            _mm_prefetch((const char *)(at + 32 * 32), _MM_HINT_T0);
            s[i] = _mm512_dpwssd_epi32(s[i], _mm512_load_si512(at), _mm512_set1_epi32(two));
        }
    for (; k < pairs; k++) {
        int32_t two;
        __builtin_memcpy(&two, x + 2 * k, sizeof two);
        s[0] = _mm512_dpwssd_epi32(s[0], _mm512_load_si512(w + 32 * k), _mm512_set1_epi32(two));
    }
    s[0] = _mm512_add_epi32(_mm512_add_epi32(s[0], s[1]), _mm512_add_epi32(s[2], s[3]));
    _mm512_storeu_si512(sum, s[0]);
}
