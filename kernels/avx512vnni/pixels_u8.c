/* pixels_u8.c: a float image brought back to pixels, 16 at a time. */
#include <immintrin.h>

#include "kernels/avx512vnni/u8.h"
#include "kernels/quant.h"

/* Of one channel. The second operand of maximum is what a NaN becomes. */
static inline __m512i pixels_of(const float *x, __mmask16 mask, float gain, float shift)
{
    __m512 f = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x), _mm512_set1_ps(gain));

    f = _mm512_max_ps(_mm512_add_ps(f, _mm512_set1_ps(shift)), _mm512_setzero_ps());
    return _mm512_cvtps_epi32(_mm512_min_ps(f, _mm512_set1_ps(KN_QUANT_U8_MOST)));
}

/* Three bytes of each of 16 numbers, one after the other. */
static inline __m512i three_bytes(__m512i x)
{
    const __m512i within = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
    const __m512i across = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(across, _mm512_shuffle_epi8(x, within));
}

void kn_u8_pixels__avx512vnni(const float *input, const float *x, size_t plane, int c, size_t n,
                              uint8_t *out)
{
    if (c != 3) {
        kn_quant_pixels(input, x, plane, c, n, out);
        return;
    }
    for (size_t i = 0; i < n; i += 16, x += 16, out += 48) {
        unsigned some = n - i < 16 ? (unsigned)(n - i) : 16;
        __mmask16 mask = (__mmask16)((1u << some) - 1);
        __m512i r = pixels_of(x, mask, input[0], input[3]);
        __m512i g = pixels_of(x + plane, mask, input[1], input[4]);
        __m512i b = pixels_of(x + 2 * plane, mask, input[2], input[5]);
        __m512i all = _mm512_or_si512(_mm512_slli_epi32(g, 8), _mm512_slli_epi32(b, 16));
        _mm512_mask_storeu_epi8(out, ((__mmask64)1 << 3 * some) - 1,
                                three_bytes(_mm512_or_si512(r, all)));
    }
}
