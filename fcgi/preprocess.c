/* preprocess.c: Resize, CenterCrop, ToTensor and Normalize as torchvision defines them. */
#include "fcgi/preprocess.h"

#include <assert.h>
#include <stddef.h>

/* The side that `side` pixels become when the shorter side, `shorter`, becomes `resize`:
 * torchvision's int(resize * side / shorter). The quotient of such small integers is never rounded
 * up to a whole number, so that integer division gives the same. */
static int resized(int side, int shorter, int resize)
{
    return (int)((int64_t)resize * side / shorter);
}

/* Python's round(n / 2): half to even. */
static int half(int n)
{
    return n / 2 + (n % 2 != 0 && n / 2 % 2 != 0);
}

static void centre(struct fcgi_extent *extent, int crop)
{
    if (extent->out >= crop) {
        extent->first = half(extent->out - crop);
        extent->count = crop;
        extent->pad = 0;
    } else {
        extent->first = 0;
        extent->count = extent->out;
        extent->pad = (crop - extent->out) / 2;
    }
}

void fcgi_preprocess_extents(const struct wt_recipe *recipe, int width, int height,
                             struct fcgi_extent *across, struct fcgi_extent *down)
{
    int shorter = width < height ? width : height;

    assert(width > 0 && height > 0);
    across->in = width;
    down->in = height;
    across->shrink = down->shrink = 1;
    across->out = recipe->squash ? recipe->resize : resized(width, shorter, recipe->resize);
    down->out = recipe->squash ? recipe->resize : resized(height, shorter, recipe->resize);
    centre(across, recipe->crop);
    centre(down, recipe->crop);
}

void fcgi_preprocess_normalise(const uint8_t *crop, const struct wt_recipe *recipe, float *x)
{
    size_t plane = (size_t)recipe->crop * (size_t)recipe->crop;

    for (int c = 0; c < 3; c++) {
        float value[256];

        for (int v = 0; v < 256; v++)
            value[v] = ((float)v / 255.0f - recipe->mean[c]) / recipe->std[c];
        for (size_t i = 0; i < plane; i++)
            x[(size_t)c * plane + i] = value[crop[i * 3 + (size_t)c]];
    }
}
