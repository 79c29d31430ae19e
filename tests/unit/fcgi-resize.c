/* The streamed resize against the plain oracle of fixtures/pillow.h, and the oracle itself against
 * checksums of what Pillow made of the same drawings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fcgi/preprocess.h"
#include "tests/fixtures/pillow.h"

struct shape {
    int w, h, resize, crop, squash;
};

static const struct shape shapes[] = {
    {64, 48, 32, 28, 0},   /* plain downscale */
    {48, 64, 32, 28, 0},   /* portrait */
    {61, 47, 32, 27, 0},   /* odd everything: offsets that end in a half */
    {50, 37, 33, 28, 0},   /* offsets of both parities */
    {32, 45, 32, 28, 0},   /* no resize across */
    {32, 32, 32, 32, 0},   /* nothing to do at all */
    {9, 7, 32, 28, 0},     /* upscale */
    {1, 1, 32, 28, 0},     /* one pixel */
    {1, 90, 16, 14, 0},    /* a thread */
    {200, 3, 16, 14, 0},   /* a ribbon: up across, up down, mostly cropped away */
    {64, 48, 20, 31, 0},   /* crop larger than the resized picture: zeros, odd margin */
    {64, 20, 20, 24, 0},   /* larger in one direction only */
    {70, 30, 28, 28, 1},   /* squashed, no crop */
    {30, 70, 32, 25, 1},   /* squashed up and down */
    {333, 250, 16, 14, 0}, /* many taps a pixel */
};

/* In strips of different heights, each in memory of its own with nothing but the slack behind it.
 */
static void give_rows(struct fcgi_resize *resize, const struct t_image *stored)
{
    int left = fcgi_resize_first_column(resize), columns = fcgi_resize_end_column(resize) - left;
    int end = fcgi_resize_end_row(resize), n = 1;

    for (int y = fcgi_resize_first_row(resize); y < end; y += n, n = n % 5 + 1) {
        struct fcgi_strip strip = {.stride = (size_t)columns * 3, .left = left, .top = y};
        uint8_t *rows;

        strip.n = n = end - y < n ? end - y : n;
        strip.rgb = rows = malloc((size_t)n * strip.stride + FCGI_RESIZE_SLACK);
        memset(rows, 0xee, (size_t)n * strip.stride + FCGI_RESIZE_SLACK);
        for (int i = 0; i < n; i++)
            memcpy(rows + (size_t)i * strip.stride, t_pixel(stored, left, y + i), strip.stride);
        fcgi_resize_rows(resize, &strip);
        free(rows);
    }
}

static void stream(const struct t_image *stored, const struct shape *s, int orientation, int cubic,
                   uint8_t *crop)
{
    struct wt_recipe recipe = {.resize = s->resize, .crop = s->crop, .squash = s->squash};
    int turned = orientation >= 5;
    struct fcgi_extent across, down;
    struct fcgi_resize *resize;

    fcgi_preprocess_extents(&recipe, turned ? s->h : s->w, turned ? s->w : s->h, &across, &down);
    resize = fcgi_resize_new(&across, &down, orientation, cubic ? WT_BICUBIC : WT_BILINEAR, crop,
                             s->crop);
    assert_non_null(resize);
    assert_in_range(fcgi_resize_first_row(resize), 0, s->h - 1);
    assert_in_range(fcgi_resize_end_row(resize), fcgi_resize_first_row(resize) + 1, s->h);
    give_rows(resize, stored);
    fcgi_resize_free(resize);
}

static void same_as_oracle(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        for (int orientation = 1; orientation <= 8; orientation++)
            for (int cubic = 0; cubic <= 1; cubic++) {
                const struct shape *s = &shapes[i];
                struct t_image stored = t_image_draw(s->w, s->h, (uint32_t)i + 1);
                struct t_image expected =
                    t_recipe_crop(&stored, orientation, s->resize, s->crop, cubic, s->squash);
                size_t n = (size_t)s->crop * (size_t)s->crop * 3;
                uint8_t *crop = malloc(n);

                memset(crop, 0xee, n);
                stream(&stored, s, orientation, cubic, crop);
                if (memcmp(crop, expected.rgb, n) != 0)
                    fail_msg("%dx%d -> %d crop %d squash %d orientation %d %s differs", s->w, s->h,
                             s->resize, s->crop, s->squash, orientation,
                             cubic ? "bicubic" : "bilinear");
                free(crop);
                free(expected.rgb);
                free(stored.rgb);
            }
}

/* Adler-like, so that Python's side is one line: sum of (position + 1) * byte, modulo 2^32. */
static uint32_t checksum(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (uint32_t)(i + 1) * p[i];
    return sum;
}

/* Made by fixtures/pillow_sums.py with Pillow 9.4; [shape][cubic], orientations 1..8 summed up. */
static const uint32_t pillow_sums[][2] = {
    {0x6069de8a, 0x6049d0b6}, {0x318f04cd, 0x31a263de}, {0x01d42b2b, 0x01e606aa},
    {0x1754a214, 0x1761a638}, {0xd1123afe, 0xd1123afe}, {0xf8f6463a, 0xf8f6463a},
    {0x3b7e076d, 0x3b65706a}, {0xd1a5c940, 0xd1a5c940}, {0x1829193c, 0x180e7234},
    {0x279c8584, 0x2738da53}, {0xddeb49ea, 0xdde3552a}, {0x0252da3c, 0x0252da3c},
    {0x5dba2219, 0x5d899dd7}, {0x3a84f69e, 0x3a7e1c87}, {0x30d6438e, 0x30e2bcf6},
};

static void same_as_pillow(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        for (int cubic = 0; cubic <= 1; cubic++) {
            const struct shape *s = &shapes[i];
            struct t_image stored = t_image_draw(s->w, s->h, (uint32_t)i + 1);
            size_t n = (size_t)s->crop * (size_t)s->crop * 3;
            uint8_t *crop = malloc(n);
            uint32_t sum = 0;

            for (int orientation = 1; orientation <= 8; orientation++) {
                stream(&stored, s, orientation, cubic, crop);
                sum += (uint32_t)orientation * checksum(crop, n);
            }
            if (sum != pillow_sums[i][cubic])
                fail_msg("shape %zu %s: sum 0x%08x, Pillow's is 0x%08x", i,
                         cubic ? "bicubic" : "bilinear", sum, pillow_sums[i][cubic]);
            free(crop);
            free(stored.rgb);
        }
}

/* Only what the crop needs is asked for. */
static void asks_for_few_rows(void **state)
{
    struct wt_recipe recipe = {.resize = 256, .crop = 224};
    uint8_t *crop = malloc((size_t)224 * 224 * 3);
    struct fcgi_extent across, down;
    struct fcgi_resize *resize;

    (void)state;
    fcgi_preprocess_extents(&recipe, 512, 1024, &across, &down);
    resize = fcgi_resize_new(&across, &down, 1, WT_BILINEAR, crop, 224);
    /* resized rows 144..367 of 512, each a triangle over the two stored rows on either side */
    assert_int_equal(fcgi_resize_first_row(resize), 287);
    assert_int_equal(fcgi_resize_end_row(resize), 737);
    assert_int_equal(fcgi_resize_first_column(resize), 31);
    assert_int_equal(fcgi_resize_end_column(resize), 481);
    fcgi_resize_free(resize);
    fcgi_resize_free(NULL);
    free(crop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_oracle),
        cmocka_unit_test(same_as_pillow),
        cmocka_unit_test(asks_for_few_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
