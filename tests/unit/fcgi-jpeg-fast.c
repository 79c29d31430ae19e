/* RESNET_DECODE=fast: nearly the crop that exact decoding gives, the same verdicts, and faster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "tests/fixtures/jpeg.h"

#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
enum { SANITIZED = __has_feature(address_sanitizer) };
#else
enum { SANITIZED = 0 };
#endif

static const struct fcgi_image_limits fast = {
    .max_pixels = 64000000, .max_decode_bytes = (uint64_t)256 << 20, .fast = 1};

static const struct t_jpeg kinds[] = {
    {.h_samp = 1},
    {.h_samp = 2},
    {.v_samp = 2},
    {.h_samp = 2, .v_samp = 2},
    {.h_samp = 4},
    {.h_samp = 4, .v_samp = 2},
    {.space = JCS_GRAYSCALE},
    {.space = JCS_GRAYSCALE, .h_samp = 2, .v_samp = 2},
    {.restart_rows = 1, .h_samp = 2, .v_samp = 2},
    {.quality = 100, .h_samp = 2, .v_samp = 2},
    {.orientation = 3, .h_samp = 2, .v_samp = 2},
    {.orientation = 6},
    {.orientation = 8, .h_samp = 2},
    /* left to libjpeg */
    {.space = JCS_RGB},
    {.space = JCS_CMYK},
    {.progressive = 1, .h_samp = 2, .v_samp = 2},
    {.arithmetic = 1},
    {.multiscan = 1},
};
enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* As photographs are: large things, some noise, nothing that is lost at a quarter of the size. */
static struct t_image draw(int w, int h)
{
    struct t_image image = t_image_new(w, h);
    uint32_t seed = 3;

    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            double wave = sin(x * 25.0 / w) + sin(y * 19.0 / h) + sin((x + y) * 31.0 / (w + h));

            for (int c = 0; c < 3; c++) {
                seed = seed * 1664525u + 1013904223u;
                t_pixel(&image, x, y)[c] =
                    (uint8_t)(128 + (c + 1) * 10 * wave + x * 20 / w + (int)(seed >> 29));
            }
        }
    return image;
}

struct difference {
    double mean;
    int most;
};

static struct difference differ(const uint8_t *a, const uint8_t *b)
{
    struct difference d = {0, 0};

    for (int i = 0; i < T_CROP_BYTES; i++) {
        int by = abs(a[i] - b[i]);

        d.mean += (double)by / T_CROP_BYTES;
        d.most = by > d.most ? by : d.most;
    }
    return d;
}

/* 32 pixels are wanted of the shorter side: from 128 on it is decoded at a half, then a quarter, an
 * eighth; of odd sizes the last block is a part. */
static void nearly_the_same(void **state)
{
    static const int sizes[][2] = {{127, 130}, {128, 171}, {200, 143}, {257, 301},
                                   {301, 259}, {515, 640}, {701, 533}};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (int k = 0; k < N_KINDS; k++) {
            struct t_image drawn = draw(sizes[i][0], sizes[i][1]);
            struct t_bytes jpeg = t_jpeg_make(&drawn, &kinds[k]);
            uint8_t exact[T_CROP_BYTES], crop[T_CROP_BYTES];
            struct difference d;
            struct fcgi_err err;

            assert_int_equal(t_crop(&jpeg, &t_roomy, exact, &err), FCGI_E_OK);
            if (t_crop(&jpeg, &fast, crop, &err) != FCGI_E_OK)
                fail_msg("kind %d, %dx%d: %s", k, drawn.w, drawn.h, err.text);
            d = differ(exact, crop);
            if (d.mean > 1.5 || d.most > 12)
                fail_msg("kind %d, %dx%d: differs by %.2f, at most %d", k, drawn.w, drawn.h, d.mean,
                         d.most);
            if (drawn.w < 128)
                assert_int_equal(d.most, 0); /* too small: exact */
            else
                assert_int_not_equal(d.most, 0);
            free(jpeg.p);
            free(drawn.rgb);
        }
}

/* A file that ends early is refused, wherever it ends, as exact decoding refuses it. */
static void truncated_anywhere(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        struct t_image drawn = draw(150, 130);
        struct t_bytes jpeg = t_jpeg_make(&drawn, &kinds[k]);

        for (size_t n = 3; n < jpeg.n; n += 1 + n / 30)
            t_refuse(&(struct t_bytes){jpeg.p, n}, &fast, FCGI_E_IMAGE_UNDECODABLE, "truncated");
        t_refuse(&(struct t_bytes){jpeg.p, jpeg.n - 1}, &fast, FCGI_E_IMAGE_UNDECODABLE,
                 "truncated");
        free(jpeg.p);
        free(drawn.rgb);
    }
}

/* Damage gets the verdict of exact decoding. */
static void any_byte_damaged(void **state)
{
    static const uint8_t values[] = {0x00, 0xff, 0x7f, 0xd9, 0xd3};
    struct t_image drawn = draw(140, 128);

    (void)state;
    for (int k = 3; k < 9; k++) {
        struct t_bytes jpeg = t_jpeg_make(&drawn, &kinds[k]);

        for (size_t at = 3; at < jpeg.n; at += 1 + (at > 700 ? 40 : 0))
            for (size_t v = 0; v < sizeof(values); v++) {
                uint8_t crop[T_CROP_BYTES], kept = jpeg.p[at];
                struct fcgi_err err;
                int exact;

                jpeg.p[at] = values[v];
                exact = t_crop(&jpeg, &t_roomy, crop, &err);
                assert_int_equal(t_crop(&jpeg, &fast, crop, &err), exact);
                jpeg.p[at] = kept;
            }
        free(jpeg.p);
    }
    free(drawn.rgb);
}

static double cpu_s(const struct t_bytes *jpeg, const struct fcgi_image_limits *limits)
{
    static const struct wt_recipe recipe = {.resize = 256, .crop = 224};
    static uint8_t crop[224 * 224 * 3];
    struct timespec start, end;
    struct fcgi_err err;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    assert_int_equal(
        fcgi_image_crop(jpeg->p, jpeg->n, &recipe, limits, crop, NULL, NULL, NULL, &err),
        FCGI_E_OK);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    return (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) * 1e-9;
}

/* CPU time, the least of alternating rounds, and of more where others' load was in the way.
 * Measured: 3.2 times (fcgi/README.md). */
static void faster_at_12_megapixels(void **state)
{
    struct t_image drawn;
    struct t_bytes jpeg;
    double exact = 1e9, shrunk = 1e9;

    (void)state;
    if (SANITIZED) {
        print_message("a sanitizer's time is not the program's\n");
        skip();
    }
    drawn = draw(4000, 3000);
    jpeg = t_jpeg_make(&drawn, &(struct t_jpeg){.h_samp = 2, .v_samp = 2});
    for (int round = 0; round < 5 || (round < 40 && exact <= shrunk * 2.2); round++) {
        exact = fmin(exact, cpu_s(&jpeg, &t_roomy));
        shrunk = fmin(shrunk, cpu_s(&jpeg, &fast));
    }
    print_message("exact %.1f ms, fast %.1f ms: %.2f times\n", exact * 1e3, shrunk * 1e3,
                  exact / shrunk);
    assert_true(exact > shrunk * 2.2);
    free(jpeg.p);
    free(drawn.rgb);
}

static void ticks_and_stops(void **state)
{
    struct t_image drawn = draw(130, 640);
    struct t_bytes jpeg = t_jpeg_make(&drawn, &kinds[3]);
    struct t_ticks ticks = {0, 3};
    uint8_t crop[T_CROP_BYTES];
    struct fcgi_err err;

    (void)state;
    assert_int_equal(
        fcgi_image_crop(jpeg.p, jpeg.n, &t_small, &fast, crop, NULL, t_count_tick, &ticks, &err),
        FCGI_E_DEADLINE_EXCEEDED);
    assert_int_equal(ticks.n, 3);
    free(jpeg.p);
    free(drawn.rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearly_the_same),         cmocka_unit_test(truncated_anywhere),
        cmocka_unit_test(any_byte_damaged),        cmocka_unit_test(ticks_and_stops),
        cmocka_unit_test(faster_at_12_megapixels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
