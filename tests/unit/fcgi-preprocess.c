/* torchvision's geometry and arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/preprocess.h"

static const struct wt_recipe imagenet = {
    .resize = 256, .crop = 224, .mean = {0.485f, 0.456f, 0.406f}, .std = {0.229f, 0.224f, 0.225f}};

/* width, height, resize, crop, squash -> out, first, count, pad across and down; by hand from
 * torchvision's Resize and CenterCrop. */
static const struct {
    int w, h, resize, crop, squash;
    int across[4], down[4];
} cases[] = {
    {500, 375, 256, 224, 0, {341, 58, 224, 0}, {256, 16, 224, 0}}, /* 58.5 rounds to even: 58 */
    {375, 500, 256, 224, 0, {256, 16, 224, 0}, {341, 58, 224, 0}},
    {343, 256, 256, 224, 0, {343, 60, 224, 0}, {256, 16, 224, 0}}, /* 59.5 rounds to even: 60 */
    {256, 256, 256, 224, 0, {256, 16, 224, 0}, {256, 16, 224, 0}},
    {500, 375, 224, 224, 1, {224, 0, 224, 0}, {224, 0, 224, 0}},
    {500, 375, 100, 131, 0, {133, 1, 131, 0}, {100, 0, 100, 15}}, /* 31 missing: 15 before */
    {10, 10, 8, 11, 0, {8, 0, 8, 1}, {8, 0, 8, 1}},
    {65500, 1, 256, 224, 0, {16768000, 8383888, 224, 0}, {256, 16, 224, 0}},
};

static void check(const struct fcgi_extent *e, int in, const int expected[4])
{
    assert_int_equal(e->in, in);
    assert_int_equal(e->out, expected[0]);
    assert_int_equal(e->first, expected[1]);
    assert_int_equal(e->count, expected[2]);
    assert_int_equal(e->pad, expected[3]);
}

static void geometry(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wt_recipe recipe = {
            .resize = cases[i].resize, .crop = cases[i].crop, .squash = cases[i].squash};
        struct fcgi_extent across, down;

        fcgi_preprocess_extents(&recipe, cases[i].w, cases[i].h, &across, &down);
        check(&across, cases[i].w, cases[i].across);
        check(&down, cases[i].h, cases[i].down);
    }
}

/* Bits of ToTensor + Normalize in PyTorch for bytes 0, 1, 127, 128, 254, 255 of each channel. */
static const uint32_t torch_bits[3][6] = {
    {0xc0078bbd, 0xc006732b, 0x3d6939a6, 0x3d97af32, 0x400ed58a, 0x400fee1d},
    {0xc0024924, 0xc0012a4f, 0x3e402de4, 0x3e521b48, 0x401a4ee0, 0x401b6db7},
    {0xbfe6f809, 0xbfe4bcea, 0x3ed170bd, 0x3eda5d3c, 0x4027d834, 0x4028f5c3},
};

static void same_bits_as_torch(void **state)
{
    static const uint8_t values[6] = {0, 1, 127, 128, 254, 255};
    struct wt_recipe recipe = imagenet;
    uint8_t crop[3 * 3 * 3] = {0};
    float x[3 * 3 * 3];

    (void)state;
    recipe.crop = 3;
    for (size_t i = 0; i < 6; i++)
        memset(crop + i * 3, values[i], 3);
    fcgi_preprocess_normalise(crop, &recipe, x);
    for (size_t c = 0; c < 3; c++)
        assert_memory_equal(x + c * 9, torch_bits[c], sizeof(torch_bits[c]));
}

static void planes_in_order(void **state)
{
    struct wt_recipe recipe = {.crop = 2, .std = {1.0f, 1.0f, 1.0f}};
    uint8_t crop[12] = {0, 255, 0, 255, 0, 0, 0, 0, 255, 255, 255, 255};
    static const float expected[12] = {0, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 1};
    float x[12];

    (void)state;
    fcgi_preprocess_normalise(crop, &recipe, x);
    assert_memory_equal(x, expected, sizeof(x));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geometry),
        cmocka_unit_test(same_bits_as_torch),
        cmocka_unit_test(planes_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
