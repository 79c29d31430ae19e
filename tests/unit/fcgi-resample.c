/* The loops of the resize: plain C against sums in 64 bits, and vectors against plain C. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/resample.h"
#include "kernels/kernels.h"

enum { PIXELS = 200, MOST = 61, TAPS = 90 };

struct taps {
    struct fcgi_tap tap[TAPS];
    struct fcgi_weights weights[TAPS][(MOST + 3) / 4];
};

static uint32_t seed = 1;

static uint32_t next(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void set_weight(struct fcgi_weights *w, int k, int32_t value)
{
    w[k / 4].high[k % 4] = (int16_t)(value >> FCGI_RESAMPLE_LOW_BITS);
    w[k / 4].low[k % 4] = (int16_t)(value & ((1 << FCGI_RESAMPLE_LOW_BITS) - 1));
}

static int64_t weight(const struct fcgi_tap *tap, int k)
{
    const struct fcgi_weights *w = &tap->weights[k / 4];

    return (int64_t)w->high[k % 4] * (1 << FCGI_RESAMPLE_LOW_BITS) + w->low[k % 4];
}

/* Every number of taps; weights that add up to one, some negative, as a cubic has them. */
static void make_taps(struct taps *taps)
{
    memset(taps, 0, sizeof(*taps));
    for (int i = 0; i < TAPS; i++) {
        struct fcgi_tap *tap = &taps->tap[i];
        int32_t left = 1 << FCGI_RESAMPLE_BITS;

        tap->count = i < MOST ? i + 1 : 1 + (int)next(MOST);
        tap->first = i % 3 == 0 ? PIXELS - tap->count : (int)next(PIXELS - MOST);
        tap->at = TAPS - 1 - i;
        tap->weights = taps->weights[i];
        for (int k = 0; k + 1 < tap->count; k++) {
            uint32_t share = (1u << FCGI_RESAMPLE_BITS) / (uint32_t)tap->count;
            int32_t value = (int32_t)next(share) - (int32_t)share / 4;

            set_weight(taps->weights[i], k, value);
            left -= value;
        }
        set_weight(taps->weights[i], tap->count - 1, left);
    }
}

static uint8_t expected(int64_t sum)
{
    sum = (sum + (1 << (FCGI_RESAMPLE_BITS - 1))) >> FCGI_RESAMPLE_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* Bytes in a block of their own, with the slack that the contract grants, filled with seed noise
 * or with the extremes. */
static uint8_t *bytes(size_t n, int extreme)
{
    uint8_t *p = malloc(n + FCGI_RESAMPLE_SLACK);

    for (size_t i = 0; i < n + FCGI_RESAMPLE_SLACK; i++)
        p[i] = (uint8_t)(extreme ? next(2) * 255 : next(256));
    return p;
}

static void check_along(const struct fcgi_resample *resample, const struct taps *taps, int n,
                        int extreme)
{
    uint8_t *in[2] = {bytes(PIXELS * 3, extreme), bytes(PIXELS * 3, extreme)};
    uint8_t out[2][TAPS * 5];
    struct fcgi_rows rows = {{in[0], in[1]}, {out[0], out[1]}, n};

    memset(out, 0xee, sizeof(out));
    resample->along(taps->tap, TAPS, &rows, 5);
    for (int row = 0; row < 2; row++)
        for (int i = 0; i < TAPS; i++) {
            const struct fcgi_tap *tap = &taps->tap[i];

            for (int c = 0; c < 5; c++) {
                uint8_t want = 0xee; /* nothing is written beside the pixels */
                int64_t sum = 0;

                for (int k = 0; k < tap->count && c < 3; k++)
                    sum += in[row][(tap->first + k) * 3 + c] * weight(tap, k);
                if (row < n && c < 3)
                    want = expected(sum);
                assert_int_equal(out[row][tap->at * 5 + c], want);
            }
        }
    free(in[0]);
    free(in[1]);
}

static void check_down(const struct fcgi_resample *resample, const struct fcgi_tap *tap, int n,
                       int extreme)
{
    uint8_t *line[MOST], out[PIXELS + 1];

    for (int k = 0; k < tap->count; k++)
        line[k] = bytes((size_t)n, extreme);
    memset(out, 0xee, sizeof(out));
    resample->down(tap, (const uint8_t *const *)line, n, out);
    for (int i = 0; i < n; i++) {
        int64_t sum = 0;

        for (int k = 0; k < tap->count; k++)
            sum += line[k][i] * weight(tap, k);
        assert_int_equal(out[i], expected(sum));
    }
    assert_int_equal(out[n], 0xee);
    for (int k = 0; k < tap->count; k++)
        free(line[k]);
}

static void check(const struct fcgi_resample *resample)
{
    struct taps taps;

    make_taps(&taps);
    for (int extreme = 0; extreme <= 1; extreme++) {
        check_along(resample, &taps, 1, extreme);
        check_along(resample, &taps, 2, extreme);
        for (int i = 0; i < TAPS; i++)
            check_down(resample, &taps.tap[i], 1 + (int)next(PIXELS), extreme);
        for (int n = 1; n <= 70; n++)
            check_down(resample, &taps.tap[n % MOST], n, extreme);
    }
}

static void plain(void **state)
{
    (void)state;
    check(&fcgi_resample_plain);
}

static void avx2(void **state)
{
    (void)state;
#if defined(__x86_64__)
    if (kn_cpu()->avx2) {
        check(&fcgi_resample_avx2);
        return;
    }
#endif
    print_message("this CPU has no AVX2\n");
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(avx2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
