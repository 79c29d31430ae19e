/* resample.c: the loops of a resize in plain C, and which ones this CPU gets. */
#include "fcgi/resample.h"

#include "kernels/kernels.h"

enum { STEP = 64 }; /* columns whose sums are kept at a time */

static uint8_t rounded(int32_t sum)
{
    sum >>= FCGI_RESAMPLE_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static int32_t weight(const struct fcgi_tap *tap, int k)
{
    const struct fcgi_weights *w = &tap->weights[k / 4];

    return w->high[k % 4] * (1 << FCGI_RESAMPLE_LOW_BITS) + w->low[k % 4];
}

static void one_along(const struct fcgi_tap *tap, const uint8_t *in, uint8_t *out)
{
    const uint8_t *p = in + (size_t)tap->first * 3;
    int32_t r = 1 << (FCGI_RESAMPLE_BITS - 1), g = r, b = r;

    for (int k = 0; k < tap->count; k++, p += 3) {
        int32_t w = weight(tap, k);

        r += p[0] * w;
        g += p[1] * w;
        b += p[2] * w;
    }
    out[0] = rounded(r);
    out[1] = rounded(g);
    out[2] = rounded(b);
}

static void along(const struct fcgi_tap *tap, int n, const struct fcgi_rows *rows, size_t stride)
{
    for (int i = 0; i < n; i++, tap++)
        for (int row = 0; row < rows->n; row++)
            one_along(tap, rows->in[row], rows->out[row] + (size_t)tap->at * stride);
}

static void down(const struct fcgi_tap *tap, const uint8_t *const *line, int n, uint8_t *out)
{
    for (int from = 0; from < n; from += STEP) {
        int columns = n - from < STEP ? n - from : STEP;
        int32_t sums[STEP];

        for (int i = 0; i < columns; i++)
            sums[i] = 1 << (FCGI_RESAMPLE_BITS - 1);
        for (int k = 0; k < tap->count; k++) {
            const uint8_t *in = line[k] + from;
            int32_t w = weight(tap, k);

            for (int i = 0; i < columns; i++)
                sums[i] += in[i] * w;
        }
        for (int i = 0; i < columns; i++)
            out[from + i] = rounded(sums[i]);
    }
}

const struct fcgi_resample fcgi_resample_plain = {along, down};

const struct fcgi_resample *fcgi_resample_best(void)
{
#if defined(__x86_64__)
    if (kn_cpu()->avx2)
        return &fcgi_resample_avx2;
#endif
    return &fcgi_resample_plain;
}
