/* PNG through fcgi_image_crop(), against the pixels that it was made of and the plain resize; then
 * ways of breaking one. (Every colour type and depth, against Pillow: tests/pillow.t.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fixtures/png.h"

static const struct t_png kinds[] = {
    {.alpha = 0},
    {.alpha = 1},
    {.deep = 1},
    {.deep = 1, .alpha = 1},
    {.gray = 1},
    {.gray = 1, .alpha = 1, .deep = 1},
    {.interlaced = 1},
    {.interlaced = 1, .alpha = 1},
    {.interlaced = 1, .deep = 1, .alpha = 1},
};
enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const int sizes[][2] = {{61, 43}, {40, 77}, {16, 16}, {1, 1}, {7, 130}, {130, 3}};

static struct t_bytes made(int w, int h, const struct t_png *kind)
{
    struct t_image drawn = t_image_draw(w, h, 5);
    struct t_bytes png = t_png_make(&drawn, kind);

    free(drawn.rgb);
    return png;
}

/* What is seen of it: gray from the first channel, over white. */
static void flatten(struct t_image *image, const struct t_png *kind)
{
    for (int y = 0; y < image->h; y++)
        for (int x = 0; x < image->w; x++) {
            uint8_t *p = t_pixel(image, x, y);
            double alpha = kind->alpha ? t_png_alpha(x, y) / 255.0 : 1;

            if (kind->gray)
                p[1] = p[2] = p[0];
            for (int c = 0; c < 3; c++)
                p[c] = (uint8_t)floor(p[c] * alpha + 255 * (1 - alpha) + 0.5 + 1e-9);
        }
}

static void every_kind(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct t_image drawn = t_image_draw(sizes[i][0], sizes[i][1], (uint32_t)k), expected;
            struct t_bytes png = t_png_make(&drawn, &kinds[k]);
            uint8_t crop[T_CROP_BYTES];
            struct fcgi_image_info info;
            struct fcgi_err err;

            flatten(&drawn, &kinds[k]);
            expected = t_recipe_crop(&drawn, 1, 32, 28, 0, 0);
            if (t_crop(&png, &t_roomy, crop, &err) != FCGI_E_OK)
                fail_msg("kind %d %dx%d: %s", k, drawn.w, drawn.h, err.text);
            if (memcmp(crop, expected.rgb, sizeof(crop)) != 0)
                fail_msg("kind %d %dx%d: other pixels", k, drawn.w, drawn.h);
            assert_int_equal(fcgi_image_probe(png.p, png.n, &info, &err), FCGI_E_OK);
            assert_int_equal(info.format, FCGI_IMAGE_PNG);
            assert_int_equal(info.width, drawn.w);
            assert_int_equal(info.height, drawn.h);
            assert_int_equal(info.progressive, kinds[k].interlaced);
            assert_int_equal(info.channels, kinds[k].alpha ? 4 : 3);
            free(expected.rgb);
            free(png.p);
            free(drawn.rgb);
        }
}

static const uint8_t exif[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0,
                               3,   0,   0, 0,  1, 0, 6, 0, 0, 0, 0, 0,    0};

/* Before the rows, behind them, and cut off. */
static void orientation(void **state)
{
    struct t_bytes png = made(61, 43, &kinds[0]);
    size_t rows = t_png_find(&png, "IDAT"), end = t_png_find(&png, "IEND");
    struct t_bytes before = t_png_insert(&png, rows, "eXIf", exif, sizeof(exif));
    struct t_bytes behind = t_png_insert(&png, end, "eXIf", exif, sizeof(exif));
    struct t_bytes cut = t_png_insert(&png, rows, "eXIf", exif, 17);
    const struct {
        const struct t_bytes *bytes;
        int orientation;
    } cases[] = {{&png, 1}, {&before, 6}, {&behind, 6}, {&cut, 1}};

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct fcgi_image_info info;
        struct fcgi_err err;

        assert_int_equal(fcgi_image_probe(cases[i].bytes->p, cases[i].bytes->n, &info, &err),
                         FCGI_E_OK);
        assert_int_equal(info.orientation, cases[i].orientation);
    }
    free(cut.p);
    free(behind.p);
    free(before.p);
    free(png.p);
}

/* ---- broken ---------------------------------------------------------------------------------- */

/* Also where the crop does not need the rows that are missing. Without its last chunk, or a part of
 * it, a picture is complete. */
static void truncated_anywhere(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++)
        for (int portrait = 0; portrait <= 1; portrait++) {
            struct t_bytes png = made(portrait ? 9 : 40, portrait ? 60 : 30, &kinds[k]);
            size_t end = t_png_find(&png, "IEND");
            uint8_t crop[T_CROP_BYTES];
            struct fcgi_err err;

            for (size_t n = 8; n < end; n++)
                t_refuse(&(struct t_bytes){png.p, n}, &t_roomy, FCGI_E_IMAGE_UNDECODABLE,
                         "truncated");
            assert_int_equal(t_crop(&(struct t_bytes){png.p, end}, &t_roomy, crop, &err),
                             FCGI_E_OK);
            free(png.p);
        }
}

static void headers_that_claim(void **state)
{
    static const struct {
        uint32_t width, height;
        uint8_t depth, type, interlace;
        enum fcgi_code code;
        const char *says;
    } claims[] = {
        {0, 43, 8, 2, 0, FCGI_E_IMAGE_UNDECODABLE, "cannot be decoded"},
        {61, 0x80000000, 8, 2, 0, FCGI_E_IMAGE_UNDECODABLE, "cannot be decoded"},
        {61, 43, 3, 2, 0, FCGI_E_IMAGE_UNDECODABLE, "cannot be decoded"},
        {61, 43, 8, 5, 0, FCGI_E_IMAGE_UNDECODABLE, "cannot be decoded"},
        {61, 43, 8, 3, 0, FCGI_E_IMAGE_UNDECODABLE, "PLTE"},
        {61, 43, 8, 2, 2, FCGI_E_IMAGE_UNDECODABLE, "cannot be decoded"},
        {0x7fffffff, 1, 8, 2, 0, FCGI_E_IMAGE_TOO_LARGE, "2147483647 x 1"},
        {0x7fffffff, 0x7fffffff, 8, 2, 0, FCGI_E_IMAGE_TOO_LARGE, "x 2147483647"},
        {64000000, 1, 1, 0, 0, FCGI_E_IMAGE_TOO_LARGE, "of memory"},
        {1, 64000000, 1, 0, 0, FCGI_E_IMAGE_UNDECODABLE, "cannot be decoded"}, /* of another size */
        {8001, 8000, 8, 2, 0, FCGI_E_IMAGE_TOO_LARGE, "accepts 64000000"},
        {8000, 8000, 8, 6, 0, FCGI_E_IMAGE_UNDECODABLE, "cannot be decoded"},
        {8000, 8000, 16, 6, 1, FCGI_E_IMAGE_UNDECODABLE, "cannot be decoded"},
        {8001, 8001, 16, 6, 1, FCGI_E_IMAGE_TOO_LARGE, "8001 x 8001 = 64016001 pixels"},
        {62, 43, 8, 2, 0, FCGI_E_IMAGE_UNDECODABLE, "cannot be decoded"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        struct t_bytes png = made(61, 43, &kinds[0]);

        t_png_put32(png.p + 16, claims[i].width);
        t_png_put32(png.p + 20, claims[i].height);
        png.p[24] = claims[i].depth;
        png.p[25] = claims[i].type;
        png.p[28] = claims[i].interlace;
        t_png_repair(&png);
        t_refuse(&png, &t_roomy, claims[i].code, claims[i].says);
        free(png.p);
    }
}

/* Resized, it would be longer than an int can say. */
static void too_long_to_resize(void **state)
{
    static const struct wt_recipe recipe = {.resize = 256, .crop = 224};
    struct t_bytes png = made(61, 43, &kinds[0]);
    uint8_t *crop = malloc((size_t)224 * 224 * 3);
    struct fcgi_err err;

    (void)state;
    t_png_put32(png.p + 16, 8388608);
    t_png_put32(png.p + 20, 1);
    t_png_repair(&png);
    assert_int_equal(fcgi_image_crop(png.p, png.n, &recipe, &t_roomy, crop, NULL, NULL, NULL, &err),
                     FCGI_E_IMAGE_TOO_LARGE);
    assert_non_null(strstr(err.text, "sides of up to 8388607 pixels"));
    free(crop);
    free(png.p);
}

static void wrong_checksum(void **state)
{
    struct t_bytes png = made(61, 43, &kinds[0]);

    (void)state;
    png.p[t_png_find(&png, "IDAT") + 20] ^= 1;
    t_refuse(&png, &t_roomy, FCGI_E_IMAGE_UNDECODABLE, "the PNG cannot be decoded");
    free(png.p);
}

/* What the header says is enough: nothing asks for more. */
static void memory_from_the_header(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        struct t_bytes png = made(701, 503, &kinds[k]);
        struct fcgi_image_limits limits = t_roomy;
        uint8_t crop[T_CROP_BYTES];
        struct fcgi_image_info info;
        struct fcgi_err err;

        assert_int_equal(fcgi_image_probe(png.p, png.n, &info, &err), FCGI_E_OK);
        limits.max_decode_bytes = info.decode_bytes;
        assert_int_equal(t_crop(&png, &limits, crop, &err), FCGI_E_OK);
        limits.max_decode_bytes--;
        t_refuse(&png, &limits, FCGI_E_IMAGE_TOO_LARGE,
                 kinds[k].interlaced ? "701 x 503 interlaced PNG takes" : "701 x 503 PNG takes");
        if (kinds[k].interlaced)
            assert_in_range(info.decode_bytes, 701 * 503 * 3, 701 * 503 * 8);
        else
            assert_in_range(info.decode_bytes, 701 * 16, 701 * 503);
        free(png.p);
    }
}

/* A profile, text, a suggested palette: two megabytes, and none of it is kept. (They are not even
 * inflated: these are no deflate streams.) */
static void large_chunks_cost_nothing(void **state)
{
    static const char *const types[] = {"iCCP", "zTXt", "iTXt", "tEXt", "sPLT", "eXIf", "prVt"};
    uint8_t *junk = calloc(2, 1 << 20);
    struct t_bytes png = made(61, 43, &kinds[0]);
    struct fcgi_image_limits limits = t_roomy;

    (void)state;
    limits.max_decode_bytes = 300 * 1024;
    memcpy(junk, "name\0\0", 6);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct t_bytes more = t_png_insert(&png, t_png_find(&png, "IDAT"), types[i], junk, 2 << 20);
        uint8_t crop[T_CROP_BYTES];
        struct fcgi_err err;

        if (t_crop(&more, &limits, crop, &err) != FCGI_E_OK)
            fail_msg("%s: %s", types[i], err.text);
        free(more.p);
    }
    free(png.p);
    free(junk);
}

/* Any single byte changed, with and without checksums that agree. */
static void any_byte_damaged(void **state)
{
    static const uint8_t values[] = {0x00, 0xff, 0x7f, 0x01, 0x80};

    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        struct t_bytes png = made(12, 9, &kinds[k]);
        struct t_bytes turned =
            t_png_insert(&png, t_png_find(&png, "IDAT"), "eXIf", exif, sizeof(exif));
        struct t_bytes copy = {malloc(turned.n), turned.n};

        for (size_t at = 8; at < turned.n; at++)
            for (size_t v = 0; v < sizeof(values); v++) {
                memcpy(copy.p, turned.p, turned.n);
                copy.p[at] = values[v];
                t_survive(&copy);
                t_png_repair(&copy);
                t_survive(&copy);
            }
        free(copy.p);
        free(turned.p);
        free(png.p);
    }
}

static void ticks_and_stops(void **state)
{
    (void)state;
    for (int interlaced = 0; interlaced <= 1; interlaced++) {
        struct t_bytes png = made(64, 640, &(struct t_png){.interlaced = interlaced});

        t_ticks_and_stops(&png, 640 / 32, 640 * 2);
        free(png.p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind),
        cmocka_unit_test(orientation),
        cmocka_unit_test(truncated_anywhere),
        cmocka_unit_test(headers_that_claim),
        cmocka_unit_test(too_long_to_resize),
        cmocka_unit_test(wrong_checksum),
        cmocka_unit_test(memory_from_the_header),
        cmocka_unit_test(large_chunks_cost_nothing),
        cmocka_unit_test(any_byte_damaged),
        cmocka_unit_test(ticks_and_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
