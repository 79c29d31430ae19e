/* Every kind of JPEG through fcgi_image_crop(), against a plain decode and the plain resize; then
 * every way of breaking one. Run under AddressSanitizer, it also shows that no refusal leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fixtures/jpeg.h"

static struct t_bytes made(int w, int h, const struct t_jpeg *kind)
{
    struct t_image drawn = t_image_draw(w, h, 5);
    struct t_bytes jpeg = t_jpeg_make(&drawn, kind);

    free(drawn.rgb);
    return jpeg;
}

static const struct {
    const char *name;
    struct t_jpeg kind;
} kinds[] = {
    {"4:4:4", {.h_samp = 1}},
    {"4:2:2", {.h_samp = 2}},
    {"4:4:0", {.v_samp = 2}},
    {"4:2:0", {.h_samp = 2, .v_samp = 2}},
    {"4:1:1", {.h_samp = 4}},
    {"4:1:0", {.h_samp = 4, .v_samp = 2}},
    {"gray", {.space = JCS_GRAYSCALE}},
    {"RGB, Adobe", {.space = JCS_RGB}},
    {"RGB by component names", {.space = JCS_RGB, .no_adobe = 1}},
    {"CMYK, Adobe", {.space = JCS_CMYK}},
    {"CMYK without Adobe", {.space = JCS_CMYK, .no_adobe = 1}},
    {"YCCK, Adobe", {.space = JCS_YCCK, .h_samp = 2, .v_samp = 2}},
    {"progressive 4:4:4", {.progressive = 1}},
    {"progressive 4:2:0", {.progressive = 1, .h_samp = 2, .v_samp = 2}},
    {"progressive gray", {.progressive = 1, .space = JCS_GRAYSCALE}},
    {"progressive CMYK", {.progressive = 1, .space = JCS_CMYK}},
    {"baseline, a scan per component", {.multiscan = 1, .h_samp = 2, .v_samp = 2}},
    {"restart markers", {.restart_rows = 1, .h_samp = 2, .v_samp = 2}},
    {"progressive, restart markers", {.restart_rows = 1, .progressive = 1}},
    {"arithmetic", {.arithmetic = 1, .h_samp = 2, .v_samp = 2}},
    {"arithmetic progressive", {.arithmetic = 1, .progressive = 1}},
    {"lowest quality", {.quality = 1, .h_samp = 2, .v_samp = 2}},
    {"orientation 6", {.orientation = 6, .h_samp = 2, .v_samp = 2}},
    {"orientation 3, progressive", {.orientation = 3, .progressive = 1}},
    {"orientation out of range", {.orientation = 9}},
};

static const int sizes[][2] = {{61, 43}, {40, 77},  {16, 16}, {1, 1},
                               {7, 130}, {333, 45}, {530, 41}};

static void check_kind(size_t k, int w, int h)
{
    const struct t_jpeg *kind = &kinds[k].kind;
    int orientation = kind->orientation >= 1 && kind->orientation <= 8 ? kind->orientation : 1;
    struct t_image drawn = t_image_draw(w, h, (uint32_t)k);
    struct t_bytes jpeg = t_jpeg_make(&drawn, kind);
    struct t_image decoded = t_jpeg_decode(&jpeg);
    struct t_image expected = t_recipe_crop(&decoded, orientation, 32, 28, 0, 0);
    uint8_t crop[T_CROP_BYTES];
    struct fcgi_image_info info;
    struct fcgi_err err;

    if (t_crop(&jpeg, &t_roomy, crop, &err) != FCGI_E_OK)
        fail_msg("%s %dx%d: %s", kinds[k].name, w, h, err.text);
    if (memcmp(crop, expected.rgb, T_CROP_BYTES) != 0)
        fail_msg("%s %dx%d: other pixels than a plain decode and resize", kinds[k].name, w, h);
    assert_int_equal(fcgi_image_probe(jpeg.p, jpeg.n, &info, &err), FCGI_E_OK);
    assert_int_equal(info.format, FCGI_IMAGE_JPEG);
    assert_int_equal(info.width, w);
    assert_int_equal(info.height, h);
    assert_int_equal(info.orientation, orientation);
    assert_int_equal(info.progressive, kind->progressive || kind->multiscan);
    free(expected.rgb);
    free(decoded.rgb);
    free(jpeg.p);
    free(drawn.rgb);
}

static void every_kind(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            check_kind(k, sizes[i][0], sizes[i][1]);
}

/* Columns that the crop does not need are not transformed: wherever the cut is, nothing shows. */
static void every_width(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
        for (int w = 64; w < 300; w += k < 6 ? 1 : 7)
            check_kind(k, w, 33);
}

/* Before the EXIF segment: another APP1, markers without length, fill bytes, a second EXIF after.
 */
static void exif_among_other_segments(void **state)
{
    static const uint8_t before[] = {0xff, 0xe1, 0,    9,    'h',  't', 't', 'p',  ':',  '/',
                                     0,    0xff, 0xd3, 0xff, 0x01, 0,   7,   0xff, 0xff, 0xff};
    static const uint8_t after[] = {0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0,    0, 'I', 'I',
                                    42,   0,    8, 0,  0,   0,   1,   0,   0x12, 1, 3,   0,
                                    1,    0,    0, 0,  3,   0,   0,   0,   0,    0, 0,   0};
    struct t_bytes jpeg = made(61, 43, &(struct t_jpeg){.orientation = 6});
    size_t exif = t_jpeg_find(&jpeg, 0xe1, 2), n = jpeg.n + sizeof(before) + sizeof(after);
    uint8_t *more = malloc(n), *at = more;
    struct fcgi_image_info info;
    struct fcgi_err err;

    (void)state;
    at = (uint8_t *)memcpy(at, jpeg.p, exif) + exif;
    at = (uint8_t *)memcpy(at, before, sizeof(before)) + sizeof(before);
    at = (uint8_t *)memcpy(at, jpeg.p + exif, sizeof(after)) + sizeof(after); /* as long */
    at = (uint8_t *)memcpy(at, after, sizeof(after)) + sizeof(after);
    memcpy(at, jpeg.p + exif + sizeof(after), jpeg.n - exif - sizeof(after));
    assert_int_equal(fcgi_image_probe(more, n, &info, &err), FCGI_E_OK);
    assert_int_equal(info.orientation, 6);
    more[exif + sizeof(before) + 4] = 'e'; /* no longer Exif: the second one counts */
    assert_int_equal(fcgi_image_probe(more, n, &info, &err), FCGI_E_OK);
    assert_int_equal(info.orientation, 3);
    free(more);
    free(jpeg.p);
}

static void ignore_exif(void **state)
{
    struct t_image drawn = t_image_draw(61, 43, 1);
    struct t_bytes jpeg = t_jpeg_make(&drawn, &(struct t_jpeg){.orientation = 6});
    struct t_image decoded = t_jpeg_decode(&jpeg);
    struct t_image expected = t_recipe_crop(&decoded, 1, 32, 28, 0, 0);
    struct wt_recipe recipe = t_small;
    uint8_t crop[T_CROP_BYTES];
    struct fcgi_err err;

    (void)state;
    recipe.exif = WT_EXIF_IGNORE;
    assert_int_equal(
        fcgi_image_crop(jpeg.p, jpeg.n, &recipe, &t_roomy, crop, NULL, NULL, NULL, &err),
        FCGI_E_OK);
    assert_memory_equal(crop, expected.rgb, T_CROP_BYTES);
    free(expected.rgb);
    free(decoded.rgb);
    free(jpeg.p);
    free(drawn.rgb);
}

/* ---- broken ---------------------------------------------------------------------------------- */

/* Whatever the kind, and also where the rows that are missing are not needed for the crop. */
static void truncated_anywhere(void **state)
{
    static const struct t_jpeg some[] = {
        {.h_samp = 2, .v_samp = 2}, {.progressive = 1}, {.restart_rows = 1, .orientation = 8},
        {.arithmetic = 1},          {.multiscan = 1},   {.space = JCS_CMYK},
    };

    (void)state;
    for (size_t k = 0; k < sizeof(some) / sizeof(some[0]); k++)
        for (int portrait = 0; portrait <= 1; portrait++) {
            struct t_bytes jpeg = made(portrait ? 9 : 40, portrait ? 60 : 30, &some[k]);

            for (size_t n = 3; n < jpeg.n; n++)
                t_refuse(&(struct t_bytes){jpeg.p, n}, &t_roomy, FCGI_E_IMAGE_UNDECODABLE,
                         "truncated");
            free(jpeg.p);
        }
}

static void trailing_garbage(void **state)
{
    static const uint8_t garbage[] = {0, 0xff, 0xd8, 0xff, 'm', 'o', 'r', 'e', 0xff, 0xda, 0xff};
    struct t_bytes jpeg = made(61, 43, &(struct t_jpeg){.h_samp = 2});
    struct t_bytes longer = t_bytes_append(&jpeg, garbage, sizeof(garbage));
    uint8_t crop[T_CROP_BYTES], same[T_CROP_BYTES];
    struct fcgi_err err;

    (void)state;
    assert_int_equal(t_crop(&jpeg, &t_roomy, crop, &err), FCGI_E_OK);
    assert_int_equal(t_crop(&longer, &t_roomy, same, &err), FCGI_E_OK);
    assert_memory_equal(crop, same, T_CROP_BYTES);
    free(longer.p);
    free(jpeg.p);
}

static void headers_that_claim(void **state)
{
    static const struct {
        int precision, height, width;
        enum fcgi_code code;
        const char *says;
    } claims[] = {
        {12, 43, 61, FCGI_E_IMAGE_UNDECODABLE, "12 bits"},
        {8, 0, 61, FCGI_E_IMAGE_UNDECODABLE, "no pixels"},
        {8, 43, 0, FCGI_E_IMAGE_UNDECODABLE, "no pixels"},
        {8, 65500, 65500, FCGI_E_IMAGE_TOO_LARGE, "65500 x 65500 = 4290250000 pixels"},
        {8, 65535, 65535, FCGI_E_IMAGE_TOO_LARGE, "65500"},
        {8, 8001, 8000, FCGI_E_IMAGE_TOO_LARGE, "accepts 64000000"},
        {8, 4000, 4000, FCGI_E_IMAGE_UNDECODABLE, "truncated"}, /* within limits: decoding starts */
    };

    (void)state;
    for (int progressive = 0; progressive <= 1; progressive++)
        for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
            struct t_bytes jpeg = made(61, 43, &(struct t_jpeg){.progressive = progressive});

            jpeg.n -= 2;
            t_jpeg_claim(&jpeg, claims[i].precision, claims[i].height, claims[i].width);
            t_refuse(&jpeg, &t_roomy, claims[i].code, claims[i].says);
            free(jpeg.p);
        }
}

static void components(void **state)
{
    struct t_bytes jpeg = made(16, 16, &(struct t_jpeg){.space = JCS_GRAYSCALE});
    size_t frame = t_jpeg_frame(&jpeg), scan = t_jpeg_find(&jpeg, 0xda, frame);
    struct t_bytes two = {malloc(jpeg.n + 3), jpeg.n + 3};

    (void)state;
    /* a second component in the frame; the scan keeps its one */
    memcpy(two.p, jpeg.p, frame + 13);
    memcpy(two.p + frame + 13, "\x02\x11\x00", 3);
    memcpy(two.p + frame + 16, jpeg.p + frame + 13, jpeg.n - frame - 13);
    two.p[frame + 3] = 14;
    two.p[frame + 9] = 2;
    assert_true(scan > frame);
    t_refuse(&two, &t_roomy, FCGI_E_IMAGE_UNDECODABLE, "2 components");
    free(two.p);
    free(jpeg.p);
}

/* Lossless and hierarchical processes, by the frame's marker. */
static void unsupported_process(void **state)
{
    (void)state;
    for (int marker = 0xc3; marker <= 0xcf; marker++) {
        struct t_bytes jpeg = made(16, 16, &(struct t_jpeg){.h_samp = 1});
        struct fcgi_image_info info;
        struct fcgi_err err;

        jpeg.p[t_jpeg_frame(&jpeg) + 1] = (uint8_t)marker;
        if (marker != 0xc9 && marker != 0xca) {
            assert_int_equal(fcgi_image_probe(jpeg.p, jpeg.n, &info, &err),
                             FCGI_E_IMAGE_UNDECODABLE);
            assert_non_null(strstr(err.text, "cannot be decoded"));
        }
        free(jpeg.p);
    }
}

static void scan_bomb(void **state)
{
    struct t_bytes jpeg = made(61, 43, &(struct t_jpeg){.progressive = 1});
    struct t_bytes some = t_jpeg_repeat_scan(&jpeg, 100), bomb = t_jpeg_repeat_scan(&jpeg, 400);
    uint8_t crop[T_CROP_BYTES];
    struct fcgi_err err;

    (void)state;
    assert_int_equal(t_crop(&some, &t_roomy, crop, &err), FCGI_E_OK);
    t_refuse(&bomb, &t_roomy, FCGI_E_IMAGE_UNDECODABLE, "200 scans");
    free(bomb.p);
    free(some.p);
    free(jpeg.p);
}

/* What is large may have fewer: each goes over every block, however few bytes it has. */
static void scan_bomb_of_many_pixels(void **state)
{
    struct t_bytes jpeg = made(61, 43, &(struct t_jpeg){.progressive = 1, .space = JCS_GRAYSCALE});
    struct t_bytes some = t_jpeg_repeat_scan(&jpeg, 10), bomb = t_jpeg_repeat_scan(&jpeg, 60);
    uint8_t crop[T_CROP_BYTES];
    struct fcgi_err err;

    (void)state;
    t_jpeg_claim(&some, 8, 5000, 5200);
    assert_int_equal(t_crop(&some, &t_roomy, crop, &err), FCGI_E_OK);
    t_jpeg_claim(&bomb, 8, 5000, 5200);
    t_refuse(&bomb, &t_roomy, FCGI_E_IMAGE_UNDECODABLE, "49 scans of 5200 x 5000 pixels");
    free(bomb.p);
    free(some.p);
    free(jpeg.p);
}

/* What the header says is enough: libjpeg is held to the same number and does not ask for more. */
static void memory_from_the_header(void **state)
{
    static const struct t_jpeg some[] = {
        {.progressive = 1, .h_samp = 2, .v_samp = 2},
        {.progressive = 1, .space = JCS_CMYK},
        {.multiscan = 1, .h_samp = 4, .v_samp = 2},
        {.h_samp = 2, .v_samp = 2},
        {.space = JCS_CMYK},
    };

    (void)state;
    for (size_t k = 0; k < sizeof(some) / sizeof(some[0]); k++) {
        struct t_bytes jpeg = made(701, 503, &some[k]);
        struct fcgi_image_limits limits = t_roomy;
        struct fcgi_image_info info;
        uint8_t crop[T_CROP_BYTES];
        struct fcgi_err err;

        assert_int_equal(fcgi_image_probe(jpeg.p, jpeg.n, &info, &err), FCGI_E_OK);
        limits.max_decode_bytes = info.decode_bytes;
        assert_int_equal(t_crop(&jpeg, &limits, crop, &err), FCGI_E_OK);
        limits.max_decode_bytes--;
        t_refuse(&jpeg, &limits, FCGI_E_IMAGE_TOO_LARGE, "bytes of memory");
        if (info.progressive)
            assert_in_range(info.decode_bytes, 701 * 503 * 2, 701 * 503 * 10);
        else
            assert_in_range(info.decode_bytes, 701 * 16, 701 * 503 * 2);
        free(jpeg.p);
    }
}

/* Any single byte of the file changed: an answer or a refusal, never more than that. */
static void any_byte_damaged(void **state)
{
    static const struct t_jpeg some[] = {
        {.h_samp = 2, .v_samp = 2, .orientation = 6}, {.progressive = 1}, {.arithmetic = 1}};
    static const uint8_t values[] = {0x00, 0xff, 0x7f, 0x01, 0xda};

    (void)state;
    for (size_t k = 0; k < sizeof(some) / sizeof(some[0]); k++) {
        struct t_bytes jpeg = made(24, 18, &some[k]);

        for (size_t at = 3; at < jpeg.n; at++)
            for (size_t v = 0; v < sizeof(values); v++) {
                uint8_t kept = jpeg.p[at];

                jpeg.p[at] = values[v];
                t_survive(&jpeg);
                jpeg.p[at] = kept;
            }
        free(jpeg.p);
    }
}

/* ---- ticks ----------------------------------------------------------------------------------- */

static void ticks_and_stops(void **state)
{
    (void)state;
    for (int progressive = 0; progressive <= 1; progressive++) {
        struct t_bytes jpeg = made(64, 640, &(struct t_jpeg){.progressive = progressive});

        t_ticks_and_stops(&jpeg, 640 / 32, 640 * 2);
        free(jpeg.p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind),
        cmocka_unit_test(every_width),
        cmocka_unit_test(exif_among_other_segments),
        cmocka_unit_test(ignore_exif),
        cmocka_unit_test(truncated_anywhere),
        cmocka_unit_test(trailing_garbage),
        cmocka_unit_test(headers_that_claim),
        cmocka_unit_test(components),
        cmocka_unit_test(unsupported_process),
        cmocka_unit_test(scan_bomb),
        cmocka_unit_test(scan_bomb_of_many_pixels),
        cmocka_unit_test(memory_from_the_header),
        cmocka_unit_test(any_byte_damaged),
        cmocka_unit_test(ticks_and_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
