/* recipe.c: how a photograph becomes the network's input: defaults, flags, ranges. */
#include "weights/recipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CROP_MIN_PX = 32, /* the network halves five times */
    CROP_MAX_PX = 1024,
    RESIZE_MAX_PX = 4096,
};

/* A std below this would blow rounding errors of 8-bit pixels up beyond reason. */
static const float std_min = 1.0f / 1024.0f;

const struct wt_recipe wt_recipe_default = {
    .resize = 256,
    .crop = 224,
    .interpolation = WT_BILINEAR,
    .activation = WT_SOFTMAX,
    .exif = WT_EXIF_APPLY,
    .mean = {0.485f, 0.456f, 0.406f},
    .std = {0.229f, 0.224f, 0.225f},
};

static const char *const interpolations[] = {"bilinear", "bicubic", NULL};
static const char *const activations[] = {"softmax", "sigmoid", NULL};
static const char *const exifs[] = {"apply", "ignore", NULL};

const char *wt_recipe_interpolation(enum wt_interpolation interpolation)
{
    return interpolations[interpolation];
}

const char *wt_recipe_activation(enum wt_activation activation)
{
    return activations[activation];
}

const char *wt_recipe_exif(enum wt_exif exif)
{
    return exifs[exif];
}

int wt_recipe_check(const struct wt_recipe *recipe, struct wt_err *err)
{
    if (recipe->crop < CROP_MIN_PX || recipe->crop > CROP_MAX_PX)
        return wt_fail(err, WT_ERECIPE, "crop: expected %d..%d pixels, found %d", CROP_MIN_PX,
                       CROP_MAX_PX, recipe->crop);
    if (recipe->resize < recipe->crop || recipe->resize > RESIZE_MAX_PX)
        return wt_fail(err, WT_ERECIPE,
                       "resize: expected %d..%d pixels (no less than the crop), found %d",
                       recipe->crop, RESIZE_MAX_PX, recipe->resize);
    for (int i = 0; i < 3; i++) {
        if (!(recipe->mean[i] >= 0 && recipe->mean[i] <= 1))
            return wt_fail(err, WT_ERECIPE,
                           "mean: expected 0..1, found %g; divide means of 0..255 by 255",
                           (double)recipe->mean[i]);
        if (!(recipe->std[i] >= std_min && recipe->std[i] <= 1))
            return wt_fail(err, WT_ERECIPE,
                           "std: expected %g..1, found %g; divide deviations of 0..255 by 255",
                           (double)std_min, (double)recipe->std[i]);
    }
    return WT_OK;
}

static int set_px(int *px, const char *flag, const char *value, struct wt_err *err)
{
    char *end;

    errno = 0;
    long number = strtol(value, &end, 10);
    if (end == value || *end != '\0' || errno != 0 || number < 1 || number > RESIZE_MAX_PX)
        return wt_fail(err, WT_ERECIPE, "%s: expected a number of pixels, 1..%d, found \"%s\"",
                       flag, RESIZE_MAX_PX, value);
    *px = (int)number;
    return WT_OK;
}

/* The locale is "C": resnet-pack never sets another, so strtof() reads a point. */
static int set_rgb(float rgb[3], const char *flag, const char *value, struct wt_err *err)
{
    const char *at = value;
    char *end;
    float parsed[3];

    for (int i = 0; i < 3; i++) {
        parsed[i] = strtof(at, &end);
        if (end == at || *end != (i < 2 ? ',' : '\0'))
            return wt_fail(err, WT_ERECIPE,
                           "%s: expected three numbers R,G,B like 0.485,0.456,0.406, found \"%s\"",
                           flag, value);
        at = end + 1;
    }
    memcpy(rgb, parsed, sizeof(parsed));
    return WT_OK;
}

/* -> the choice's index, or -1 with err set */
static int choose(const char *const choices[], const char *flag, const char *value,
                  struct wt_err *err)
{
    for (int i = 0; choices[i] != NULL; i++)
        if (strcmp(choices[i], value) == 0)
            return i;
    wt_fail(err, WT_ERECIPE, "%s: expected %s or %s, found \"%s\"", flag, choices[0], choices[1],
            value);
    return -1;
}

int wt_recipe_set(struct wt_recipe *recipe, const char *flag, const char *value, struct wt_err *err)
{
    int choice;

    if (strcmp(flag, "resize") == 0)
        return set_px(&recipe->resize, flag, value, err);
    if (strcmp(flag, "crop") == 0)
        return set_px(&recipe->crop, flag, value, err);
    if (strcmp(flag, "mean") == 0)
        return set_rgb(recipe->mean, flag, value, err);
    if (strcmp(flag, "std") == 0)
        return set_rgb(recipe->std, flag, value, err);
    if (strcmp(flag, "squash") == 0) {
        recipe->squash = 1;
        return WT_OK;
    }
    if (strcmp(flag, "interpolation") == 0) {
        if ((choice = choose(interpolations, flag, value, err)) >= 0)
            recipe->interpolation = (enum wt_interpolation)choice;
    } else if (strcmp(flag, "activation") == 0) {
        if ((choice = choose(activations, flag, value, err)) >= 0)
            recipe->activation = (enum wt_activation)choice;
    } else if (strcmp(flag, "exif") == 0) {
        if ((choice = choose(exifs, flag, value, err)) >= 0)
            recipe->exif = (enum wt_exif)choice;
    } else {
        return wt_fail(err, WT_ERECIPE, "%s: no such preprocessing flag", flag);
    }
    return choice >= 0 ? WT_OK : WT_ERECIPE;
}

void wt_recipe_pack(struct wt_rnm_recipe *disk, const struct wt_recipe *recipe)
{
    *disk = (struct wt_rnm_recipe){
        .resize = (uint32_t)recipe->resize,
        .crop = (uint32_t)recipe->crop,
        .squash = (uint32_t)recipe->squash,
        .interpolation = recipe->interpolation,
        .activation = recipe->activation,
        .exif = recipe->exif,
    };
    memcpy(disk->mean, recipe->mean, sizeof(disk->mean));
    memcpy(disk->std, recipe->std, sizeof(disk->std));
}

int wt_recipe_unpack(struct wt_recipe *recipe, const struct wt_rnm_recipe *disk, struct wt_err *err)
{
    if (disk->resize > RESIZE_MAX_PX || disk->crop > CROP_MAX_PX || disk->squash > 1 ||
        disk->interpolation > WT_BICUBIC || disk->activation > WT_SIGMOID ||
        disk->exif > WT_EXIF_IGNORE)
        return wt_fail(err, WT_ERECIPE,
                       "recipe: resize %u, crop %u, squash %u, interpolation %u, activation %u, "
                       "exif %u: at least one is unknown here",
                       disk->resize, disk->crop, disk->squash, disk->interpolation,
                       disk->activation, disk->exif);
    *recipe = (struct wt_recipe){
        .resize = (int)disk->resize,
        .crop = (int)disk->crop,
        .squash = (int)disk->squash,
        .interpolation = (enum wt_interpolation)disk->interpolation,
        .activation = (enum wt_activation)disk->activation,
        .exif = (enum wt_exif)disk->exif,
    };
    memcpy(recipe->mean, disk->mean, sizeof(recipe->mean));
    memcpy(recipe->std, disk->std, sizeof(recipe->std));
    return wt_recipe_check(recipe, err);
}
