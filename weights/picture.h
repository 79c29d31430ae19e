/* picture.h: 8-bit pictures as the network's input, and pictures out of nothing but a seed.
 * Internal to weights/. */
#ifndef WEIGHTS_PICTURE_H
#define WEIGHTS_PICTURE_H

#include <stdint.h>

#include "weights/weights.h"

/* Pictures cropped as the recipe says: [n, side, side, 3], R G B. */
struct wt_crops {
    uint8_t *pixels;
    int n, side;
};

/* In each channel three slanted waves and some noise, by integers only, so the same bits
 * everywhere. pixels: [side, side, 3] */
void wt_picture_draw(uint8_t *pixels, int side, uint64_t seed);

/* pixels: [crop, crop, 3] -> x: [3, crop, crop], (v / 255 - mean) / std in float, as a photograph
 * of a request becomes it. */
void wt_picture_normalise(const uint8_t *pixels, const struct wt_recipe *recipe, float *x);

/* Of such a picture, number i: pixels of crops. */
const uint8_t *wt_picture_of(const struct wt_crops *crops, int i);

#endif
