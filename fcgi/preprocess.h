/* preprocess.h: bytes of a crop to the network's float input, and the resize that makes the crop.
 */
#ifndef FCGI_PREPROCESS_H
#define FCGI_PREPROCESS_H

#include <stdint.h>

#include "weights/weights.h"

/* crop: [size, size, 3] bytes -> x: [3, size, size] floats, (v / 255 - mean) / std in the very
 * operations of torchvision (float division by 255, subtract, divide), so that the bits agree. */
void fcgi_preprocess_normalise(const uint8_t *crop, const struct wt_recipe *recipe, float *x);

#endif
