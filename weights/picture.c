/* picture.c: 8-bit pictures as the network's input. */
#include "weights/picture.h"

#include <stddef.h>

#include "weights/prng.h"

/* Goes up and down between 0 and 255. */
static unsigned triangle(unsigned t)
{
    t &= 511;
    return t < 256 ? t : 511 - t;
}

void wt_picture_draw(uint8_t *pixels, int side, uint64_t seed)
{
    struct wt_prng prng = {seed};

    for (unsigned c = 0; c < 3; c++) {
        uint64_t wave[3]; /* 16 bits each: phase, slope down, slope along */
        for (int k = 0; k < 3; k++)
            wave[k] = wt_prng_next(&prng);
        for (unsigned i = 0; i < (unsigned)(side * side); i++) {
            unsigned v = (unsigned)(wt_prng_next(&prng) >> 59); /* 0..31 */
            for (int k = 0; k < 3; k++) {
                unsigned down = (unsigned)(wave[k] >> 16 & 127), along = wave[k] >> 32 & 127;
                unsigned t = (unsigned)(wave[k] & 0xffff) + down * (i / (unsigned)side) +
                             along * (i % (unsigned)side);
                v += triangle(t / 16) * 74 / 255; /* three make up the other 0..222 */
            }
            pixels[3 * i + c] = (uint8_t)v;
        }
    }
}

void wt_picture_normalise(const uint8_t *pixels, const struct wt_recipe *recipe, float *x)
{
    size_t plane = (size_t)recipe->crop * (size_t)recipe->crop;

    for (size_t c = 0; c < 3; c++) {
        float value[256];
        for (int v = 0; v < 256; v++)
            value[v] = ((float)v / 255.0f - recipe->mean[c]) / recipe->std[c];
        for (size_t i = 0; i < plane; i++)
            x[c * plane + i] = value[pixels[3 * i + c]];
    }
}

const uint8_t *wt_picture_of(const struct wt_crops *crops, int i)
{
    return crops->pixels + (size_t)i * 3 * (size_t)crops->side * (size_t)crops->side;
}
