/* preprocess.h: torchvision's geometry and arithmetic: which part of a photograph the network
 * sees, and its bytes as the network's float input. */
#ifndef FCGI_PREPROCESS_H
#define FCGI_PREPROCESS_H

#include <stdint.h>

#include "fcgi/resize.h"
#include "weights/weights.h"

/* width, height: of the oriented picture, px, at least 1. Resize(recipe->resize) and
 * CenterCrop(recipe->crop), padding with zeros where the crop is larger than the picture. */
void fcgi_preprocess_extents(const struct wt_recipe *recipe, int width, int height,
                             struct fcgi_extent *across, struct fcgi_extent *down);

/* crop: [size, size, 3] bytes -> x: [3, size, size] floats, (v / 255 - mean) / std in the very
 * operations of torchvision (float division by 255, subtract, divide), so that the bits agree. */
void fcgi_preprocess_normalise(const uint8_t *crop, const struct wt_recipe *recipe, float *x);

#endif
