/* WebP through fcgi_image_crop(), against a plain decode, a plain composition and the plain resize;
 * then ways of breaking one. (Against Pillow: tests/pillow.t.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fixtures/webp.h"

static const struct t_webp kinds[] = {
    {.lossless = 0},
    {.lossless = 1},
    {.alpha = 1},
    {.alpha = 1, .lossless = 1},
    {.orientation = 6},
    {.orientation = 3, .alpha = 1},
    {.animated = 1},
    {.animated = 1, .lossless = 1, .alpha = 1},
    {.animated = 1, .alpha = 1, .orientation = 8},
};
enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const int sizes[][2] = {{61, 43}, {40, 77}, {16, 16}, {1, 1}, {7, 130}, {300, 190}};

static struct t_bytes made(int w, int h, const struct t_webp *kind)
{
    struct t_image drawn = t_image_draw(w, h, 5);
    struct t_bytes webp = t_webp_make(&drawn, kind);

    free(drawn.rgb);
    return webp;
}

/* The canvas: white behind what knows alpha, black behind what does not. */
static struct t_image compose(const struct t_image *drawn, const struct t_webp *kind)
{
    struct t_bytes simple = t_webp_encode(drawn, kind);
    int wider = kind->animated ? T_WEBP_WIDER : 0, higher = kind->animated ? T_WEBP_HIGHER : 0;
    int left = kind->animated ? T_WEBP_LEFT : 0, top = kind->animated ? T_WEBP_TOP : 0;
    struct t_image canvas = t_image_new(drawn->w + wider, drawn->h + higher);
    uint8_t *rgba = WebPDecodeRGBA(simple.p, simple.n, NULL, NULL);

    memset(canvas.rgb, kind->alpha ? 255 : 0, (size_t)canvas.w * (size_t)canvas.h * 3);
    for (int y = 0; y < drawn->h; y++)
        for (int x = 0; x < drawn->w; x++)
            for (int c = 0; c < 3; c++) {
                const uint8_t *p = rgba + ((size_t)y * (size_t)drawn->w + (size_t)x) * 4;
                double alpha = kind->alpha ? p[3] / 255.0 : 1;

                t_pixel(&canvas, left + x, top + y)[c] =
                    (uint8_t)floor(p[c] * alpha + 255 * (1 - alpha) + 0.5 + 1e-9);
            }
    WebPFree(rgba);
    free(simple.p);
    return canvas;
}

static void every_kind(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            int orientation = kinds[k].orientation != 0 ? kinds[k].orientation : 1;
            struct t_image drawn = t_image_draw(sizes[i][0], sizes[i][1], (uint32_t)k);
            struct t_image canvas = compose(&drawn, &kinds[k]);
            struct t_image expected = t_recipe_crop(&canvas, orientation, 32, 28, 0, 0);
            struct t_bytes webp = t_webp_make(&drawn, &kinds[k]);
            uint8_t crop[T_CROP_BYTES];
            struct fcgi_image_info info;
            struct fcgi_err err;

            if (t_crop(&webp, &t_roomy, crop, &err) != FCGI_E_OK)
                fail_msg("kind %d %dx%d: %s", k, drawn.w, drawn.h, err.text);
            if (memcmp(crop, expected.rgb, sizeof(crop)) != 0)
                fail_msg("kind %d %dx%d: other pixels", k, drawn.w, drawn.h);
            assert_int_equal(fcgi_image_probe(webp.p, webp.n, &info, &err), FCGI_E_OK);
            assert_int_equal(info.format, FCGI_IMAGE_WEBP);
            assert_int_equal(info.width, canvas.w);
            assert_int_equal(info.height, canvas.h);
            assert_int_equal(info.orientation, orientation);
            assert_int_equal(info.channels, kinds[k].alpha ? 4 : 3);
            free(webp.p);
            free(expected.rgb);
            free(canvas.rgb);
            free(drawn.rgb);
        }
}

/* ---- broken ---------------------------------------------------------------------------------- */

static void truncated_anywhere(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        struct t_bytes webp = made(40, 30, &kinds[k]);

        for (size_t n = 12; n < webp.n; n++)
            t_refuse(&(struct t_bytes){webp.p, n}, &t_roomy, FCGI_E_IMAGE_UNDECODABLE, "truncated");
        free(webp.p);
    }
}

/* What the container promises and the picture inside does not keep. */
static void short_inside(void **state)
{
    (void)state;
    for (int lossless = 0; lossless <= 1; lossless++) {
        struct t_bytes webp = made(61, 43, &(struct t_webp){.lossless = lossless});
        size_t n = webp.n / 2 & ~(size_t)1;

        webp.p[4] = (uint8_t)(n - 8);
        webp.p[5] = (uint8_t)((n - 8) >> 8);
        webp.p[16] = (uint8_t)(n - 20);
        webp.p[17] = (uint8_t)((n - 20) >> 8);
        t_refuse(&(struct t_bytes){webp.p, n}, &t_roomy, FCGI_E_IMAGE_UNDECODABLE,
                 "the WebP cannot be decoded");
        free(webp.p);
    }
}

static void trailing_garbage(void **state)
{
    struct t_bytes webp = made(61, 43, &kinds[0]);
    struct t_bytes longer = t_bytes_append(&webp, "RIFF and more", 13);
    uint8_t crop[T_CROP_BYTES], same[T_CROP_BYTES];
    struct fcgi_err err;

    (void)state;
    assert_int_equal(t_crop(&webp, &t_roomy, crop, &err), FCGI_E_OK);
    assert_int_equal(t_crop(&longer, &t_roomy, same, &err), FCGI_E_OK);
    assert_memory_equal(crop, same, sizeof(crop));
    free(longer.p);
    free(webp.p);
}

/* A canvas of 2^24 by 2^24 pixels is refused by its header; so is one that libwebp would take. */
static void canvas_that_claims(void **state)
{
    struct t_bytes webp = made(61, 43, &(struct t_webp){.animated = 1});

    (void)state;
    memset(webp.p + 24, 0xff, 6);
    t_refuse(&webp, &t_roomy, FCGI_E_IMAGE_UNDECODABLE, "the WebP cannot be decoded");
    memcpy(webp.p + 24, "\xff\x3f\x00\xff\x3f\x00", 6);
    t_refuse(&webp, &t_roomy, FCGI_E_IMAGE_TOO_LARGE, "16384 x 16384 = 268435456 pixels");
    memcpy(webp.p + 24, "\x07\x00\x00\xff\x0f\x00", 6); /* smaller than its frame */
    t_refuse(&webp, &t_roomy, FCGI_E_IMAGE_UNDECODABLE, "the WebP cannot be decoded");
    free(webp.p);
}

static void memory_from_the_header(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        struct t_bytes webp = made(701, 503, &kinds[k]);
        struct fcgi_image_limits limits = t_roomy;
        uint8_t crop[T_CROP_BYTES];
        struct fcgi_image_info info;
        struct fcgi_err err;

        assert_int_equal(fcgi_image_probe(webp.p, webp.n, &info, &err), FCGI_E_OK);
        limits.max_decode_bytes = info.decode_bytes;
        assert_int_equal(t_crop(&webp, &limits, crop, &err), FCGI_E_OK);
        limits.max_decode_bytes--;
        t_refuse(&webp, &limits, FCGI_E_IMAGE_TOO_LARGE, " WebP takes ");
        free(webp.p);
    }
}

static void any_byte_damaged(void **state)
{
    static const uint8_t values[] = {0x00, 0xff, 0x7f, 0x01, 0x80};

    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        struct t_bytes webp = made(12, 9, &kinds[k]);

        for (size_t at = 12; at < webp.n; at++)
            for (size_t v = 0; v < sizeof(values); v++) {
                uint8_t kept = webp.p[at];

                webp.p[at] = values[v];
                t_survive(&webp);
                webp.p[at] = kept;
            }
        free(webp.p);
    }
}

static void ticks_and_stops(void **state)
{
    (void)state;
    for (int lossless = 0; lossless <= 1; lossless++) {
        struct t_bytes webp = made(64, 640, &(struct t_webp){.lossless = lossless});

        t_ticks_and_stops(&webp, 16, 65);
        free(webp.p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind),         cmocka_unit_test(truncated_anywhere),
        cmocka_unit_test(short_inside),       cmocka_unit_test(trailing_garbage),
        cmocka_unit_test(canvas_that_claims), cmocka_unit_test(memory_from_the_header),
        cmocka_unit_test(any_byte_damaged),   cmocka_unit_test(ticks_and_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
