/* Recipes: flags, ranges, the form in a model file; and which weights are known by their hash. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "weights/recipe.h"
#include "weights/sources.h"

static void the_default_is_torchvisions(void **state)
{
    const struct wt_recipe *r = &wt_recipe_default;
    struct wt_err err = {.text = ""};

    (void)state;
    assert_int_equal(wt_recipe_check(r, &err), WT_OK);
    assert_int_equal(r->resize, 256);
    assert_int_equal(r->crop, 224);
    assert_int_equal(r->squash, 0);
    assert_string_equal(wt_recipe_interpolation(r->interpolation), "bilinear");
    assert_string_equal(wt_recipe_activation(r->activation), "softmax");
    assert_string_equal(wt_recipe_exif(r->exif), "apply");
    assert_true(r->mean[0] == 0.485f && r->mean[1] == 0.456f && r->mean[2] == 0.406f);
    assert_true(r->std[0] == 0.229f && r->std[1] == 0.224f && r->std[2] == 0.225f);
}

static void flags_set_what_they_say(void **state)
{
    static const char *const flags[][2] = {
        {"resize", "232"},         {"crop", "192"},        {"interpolation", "bicubic"},
        {"mean", "0.5,0.25,1e-1"}, {"std", "1,0.5,0.125"}, {"squash", NULL},
        {"activation", "sigmoid"}, {"exif", "ignore"},
    };
    struct wt_recipe r = wt_recipe_default;
    struct wt_err err = {.text = ""};

    (void)state;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        assert_int_equal(wt_recipe_set(&r, flags[i][0], flags[i][1], &err), WT_OK);
    assert_int_equal(wt_recipe_check(&r, &err), WT_OK);
    assert_int_equal(r.resize, 232);
    assert_int_equal(r.crop, 192);
    assert_int_equal(r.squash, 1);
    assert_int_equal(r.interpolation, WT_BICUBIC);
    assert_int_equal(r.activation, WT_SIGMOID);
    assert_int_equal(r.exif, WT_EXIF_IGNORE);
    assert_true(r.mean[0] == 0.5f && r.mean[1] == 0.25f && r.mean[2] == 0.1f);
    assert_true(r.std[0] == 1 && r.std[1] == 0.5f && r.std[2] == 0.125f);
}

static void wrong_values_are_named(void **state)
{
    static const char *const flags[][3] = {
        {"resize", "", "expected a number of pixels"},
        {"resize", "256px", "found \"256px\""},
        {"resize", "-1", "expected a number of pixels"},
        {"crop", "99999999999999999999", "expected a number of pixels"},
        {"mean", "0.5", "expected three numbers R,G,B"},
        {"mean", "0.5,0.5,0.5,0.5", "expected three numbers"},
        {"std", "a,b,c", "found \"a,b,c\""},
        {"interpolation", "nearest", "expected bilinear or bicubic"},
        {"activation", "relu", "expected softmax or sigmoid"},
        {"exif", "maybe", "expected apply or ignore"},
        {"zoom", "1", "no such"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        struct wt_recipe r = wt_recipe_default;
        struct wt_err err = {.text = ""};
        assert_int_equal(wt_recipe_set(&r, flags[i][0], flags[i][1], &err), WT_ERECIPE);
        assert_non_null(strstr(err.text, flags[i][0]));
        assert_non_null(strstr(err.text, flags[i][2]));
        assert_memory_equal(&r, &wt_recipe_default, sizeof(r)); /* refused: nothing changed */
    }
}

static void assert_out_of_range(struct wt_recipe recipe, const char *words)
{
    struct wt_err err = {.text = ""};

    assert_int_equal(wt_recipe_check(&recipe, &err), WT_ERECIPE);
    if (strstr(err.text, words) == NULL)
        fail_msg("expected \"%s\", found %s", words, err.text);
}

static void ranges_are_checked(void **state)
{
    struct wt_recipe r = wt_recipe_default;

    (void)state;
    r.crop = 31;
    assert_out_of_range(r, "crop: expected 32..1024 pixels, found 31");
    r.crop = 1025;
    assert_out_of_range(r, "found 1025");
    r.crop = 257;
    assert_out_of_range(r, "resize: expected 257..4096 pixels (no less than the crop), found 256");
    r = wt_recipe_default;
    r.resize = 4097;
    assert_out_of_range(r, "found 4097");
    r = wt_recipe_default;
    r.mean[2] = 123.675f;
    assert_out_of_range(r, "divide means of 0..255 by 255");
    r.mean[2] = NAN;
    assert_out_of_range(r, "mean");
    r = wt_recipe_default;
    r.std[0] = 0;
    assert_out_of_range(r, "std");
    r.std[0] = 58.395f;
    assert_out_of_range(r, "divide deviations of 0..255 by 255");
    r.std[0] = INFINITY;
    assert_out_of_range(r, "std");
}

static void model_files_keep_it(void **state)
{
    struct wt_recipe r = wt_recipe_default, back;
    struct wt_rnm_recipe disk;
    struct wt_err err = {.text = ""};

    (void)state;
    r.squash = 1;
    r.interpolation = WT_BICUBIC;
    r.activation = WT_SIGMOID;
    r.exif = WT_EXIF_IGNORE;
    wt_recipe_pack(&disk, &r);
    assert_int_equal(wt_recipe_unpack(&back, &disk, &err), WT_OK);
    assert_memory_equal(&back, &r, sizeof(r));

    const struct wt_rnm_recipe good = disk;
    uint32_t *const fields[] = {&disk.resize,        &disk.crop,       &disk.squash,
                                &disk.interpolation, &disk.activation, &disk.exif};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        *fields[i] = UINT32_MAX;
        assert_int_equal(wt_recipe_unpack(&back, &disk, &err), WT_ERECIPE);
        disk = good;
    }
    disk.std[1] = -1;
    assert_int_equal(wt_recipe_unpack(&back, &disk, &err), WT_ERECIPE);
}

static void every_known_source_can_be_read(void **state)
{
    struct wt_known known;
    struct wt_err err = {.text = ""};
    int rows = 0, found;

    (void)state;
    while ((found = wt_sources_row(&known, rows, &err)) > 0) {
        assert_int_equal(strspn(known.sha256, "0123456789abcdef"), strlen(known.sha256));
        assert_int_equal(strncmp(known.url, "https://", 8), 0);
        rows++;
    }
    if (found < 0)
        fail_msg("row %d: %s", rows, err.text);
    assert_in_range(rows, 3, 100);
}

static void known_weights_bring_their_recipe(void **state)
{
    char sha256[65] = "0676ba61";
    struct wt_known known;

    (void)state;
    memset(sha256 + 8, 'a', 56);
    assert_true(wt_sources_find(&known, sha256)); /* torchvision V1, by the prefix it publishes */
    assert_int_equal(known.recipe.resize, 256);
    memcpy(sha256, "11ad3fa6", 8);
    assert_true(wt_sources_find(&known, sha256)); /* V2 */
    assert_int_equal(known.recipe.resize, 232);
    assert_int_equal(known.recipe.crop, 224);
    memcpy(sha256, "5d061a3c593d795b", 16);
    assert_true(wt_sources_find(&known, sha256)); /* timm */
    memcpy(sha256, "5d061a3c593d795c", 16);
    assert_false(wt_sources_find(&known, sha256));
    assert_false(wt_sources_find(&known, "0676ba6"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_is_torchvisions),
        cmocka_unit_test(flags_set_what_they_say),
        cmocka_unit_test(wrong_values_are_named),
        cmocka_unit_test(ranges_are_checked),
        cmocka_unit_test(model_files_keep_it),
        cmocka_unit_test(every_known_source_can_be_read),
        cmocka_unit_test(known_weights_bring_their_recipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
