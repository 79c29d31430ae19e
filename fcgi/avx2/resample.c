/* resample.c: the loops of a resize in 256-bit vectors: two rows side by side along, a row to each
 * half, and 32 columns at a time down.
 */
#include "fcgi/resample.h"

#include <immintrin.h>
#include <string.h>

enum { STEP = 32 }; /* columns */

#define INLINE static inline __attribute__((always_inline))

/* The high and the low part of eight sums. */
struct sums {
    __m256i high, low;
};

/* Two 16-bit numbers to all lanes. */
INLINE __m256i two(const int16_t *p)
{
    int32_t both;

    memcpy(&both, p, sizeof(both));
    return _mm256_set1_epi32(both);
}

/* pairs: each lane has two neighbours' samples; k: the first one's weight, even */
INLINE void add(struct sums *sums, __m256i pairs, const struct fcgi_weights *w, int k)
{
    sums->high = _mm256_add_epi32(sums->high, _mm256_madd_epi16(pairs, two(w->high + k)));
    sums->low = _mm256_add_epi32(sums->low, _mm256_madd_epi16(pairs, two(w->low + k)));
}

INLINE __m256i total(const struct sums *sums)
{
    __m256i high = _mm256_slli_epi32(sums->high, FCGI_RESAMPLE_LOW_BITS);

    return _mm256_srai_epi32(_mm256_add_epi32(high, sums->low), FCGI_RESAMPLE_BITS);
}

/* Nothing yet but the half that makes the last shift a rounding. */
INLINE struct sums nothing(void)
{
    return (struct sums){_mm256_setzero_si256(), _mm256_set1_epi32(1 << (FCGI_RESAMPLE_BITS - 1))};
}

/* Four pixels of both rows. */
INLINE __m256i load(const uint8_t *a, const uint8_t *b)
{
    __m128i low = _mm_loadu_si128((const __m128i *)a), high = _mm_loadu_si128((const __m128i *)b);

    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

/* R G B of two neighbours, as R R G G B B in 16 bits each. */
#define PAIR(i)                                                                                    \
    _mm256_setr_epi8(i, -1, i + 3, -1, i + 1, -1, i + 4, -1, i + 2, -1, i + 5, -1, -1, -1, -1, -1, \
                     i, -1, i + 3, -1, i + 1, -1, i + 4, -1, i + 2, -1, i + 5, -1, -1, -1, -1, -1)

INLINE void put(uint8_t *to, int pixel)
{
    uint32_t rgb = (uint32_t)pixel;

    to[0] = (uint8_t)rgb;
    to[1] = (uint8_t)(rgb >> 8);
    to[2] = (uint8_t)(rgb >> 16);
}

static void along(const struct fcgi_tap *tap, int n, const struct fcgi_rows *rows, size_t stride)
{
    const __m256i first = PAIR(0), second = PAIR(6);
    int last = rows->n - 1; /* a single row goes both ways */

    for (int i = 0; i < n; i++, tap++) {
        const uint8_t *a = rows->in[0] + (size_t)tap->first * 3;
        const uint8_t *b = rows->in[last] + (size_t)tap->first * 3;
        const struct fcgi_weights *w = tap->weights;
        struct sums sums = nothing();
        size_t at = (size_t)tap->at * stride;

        for (int k = 0; k < tap->count; k += 4, w++, a += 12, b += 12) {
            __m256i four = load(a, b);

            add(&sums, _mm256_shuffle_epi8(four, first), w, 0);
            add(&sums, _mm256_shuffle_epi8(four, second), w, 2);
        }
        __m256i rgb = _mm256_packs_epi32(total(&sums), _mm256_setzero_si256());
        rgb = _mm256_packus_epi16(rgb, rgb);
        put(rows->out[0] + at, _mm256_extract_epi32(rgb, 0));
        put(rows->out[last] + at, _mm256_extract_epi32(rgb, 4));
    }
}

/* Sums of 32 columns: of each half, sums[j] has columns 4j..4j+3. */
INLINE void add_lines(struct sums sums[4], __m256i a, __m256i b, const struct fcgi_weights *w,
                      int k)
{
    __m256i zero = _mm256_setzero_si256();
    __m256i front = _mm256_unpacklo_epi8(a, b), back = _mm256_unpackhi_epi8(a, b);

    add(&sums[0], _mm256_unpacklo_epi8(front, zero), w, k);
    add(&sums[1], _mm256_unpackhi_epi8(front, zero), w, k);
    add(&sums[2], _mm256_unpacklo_epi8(back, zero), w, k);
    add(&sums[3], _mm256_unpackhi_epi8(back, zero), w, k);
}

INLINE __m256i columns(const struct fcgi_tap *tap, const uint8_t *const *line, int at)
{
    struct sums sums[4] = {nothing(), nothing(), nothing(), nothing()};
    const __m256i *a, *b;
    int k = 0;

    for (; k + 1 < tap->count; k += 2) {
        a = (const __m256i *)(line[k] + at);
        b = (const __m256i *)(line[k + 1] + at);
        add_lines(sums, _mm256_loadu_si256(a), _mm256_loadu_si256(b), &tap->weights[k / 4], k % 4);
    }
    if (k < tap->count) {
        a = (const __m256i *)(line[k] + at);
        add_lines(sums, _mm256_loadu_si256(a), _mm256_setzero_si256(), &tap->weights[k / 4], k % 4);
    }
    return _mm256_packus_epi16(_mm256_packs_epi32(total(&sums[0]), total(&sums[1])),
                               _mm256_packs_epi32(total(&sums[2]), total(&sums[3])));
}

/* The last step overlaps the one before it. Lines too short for one go the plain way. */
static void down(const struct fcgi_tap *tap, const uint8_t *const *line, int n, uint8_t *out)
{
    if (n < STEP) {
        fcgi_resample_plain.down(tap, line, n, out);
        return;
    }
    for (int at = 0; at < n; at += STEP) {
        int from = at + STEP <= n ? at : n - STEP;

        _mm256_storeu_si256((__m256i *)(out + from), columns(tap, line, from));
    }
}

const struct fcgi_resample fcgi_resample_avx2 = {along, down};
