/* recipe.h: recipes as flags and as bytes of a model file; internal to weights/. */
#ifndef WEIGHTS_RECIPE_H
#define WEIGHTS_RECIPE_H

#include "weights/model_format.h"
#include "weights/weights.h"

/* Sets what the flag (without dashes: "resize", "mean", "squash" ...) says. Errors: WT_ERECIPE,
 * naming the flag, what it takes and what was given. Ranges are wt_recipe_check()'s. */
int wt_recipe_set(struct wt_recipe *recipe, const char *flag, const char *value,
                  struct wt_err *err);

const char *wt_recipe_interpolation(enum wt_interpolation interpolation); /* "bilinear" */
const char *wt_recipe_activation(enum wt_activation activation);          /* "softmax" */
const char *wt_recipe_exif(enum wt_exif exif);                            /* "apply" */

void wt_recipe_pack(struct wt_rnm_recipe *disk, const struct wt_recipe *recipe);

/* Checks ranges too. */
int wt_recipe_unpack(struct wt_recipe *recipe, const struct wt_rnm_recipe *disk,
                     struct wt_err *err);

#endif
