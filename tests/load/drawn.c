/* drawn.c: pictures of which one knows what resizing does to them. */
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "tests/load/compare.h"

enum { SIDE = 256 };

static const uint8_t colour[][3] = {[T_DRAWN_GRAY] = {128, 128, 128},
                                    [T_DRAWN_RED] = {200, 60, 40},
                                    [T_DRAWN_BLUE] = {40, 60, 200}};

/* Waves of several lengths: something for every filter of the network. */
static uint8_t wave(int x, int y, int c)
{
    int slow = x * (c + 1) + y * (3 - c), fast = (x ^ y) * (c + 2);

    return (uint8_t)((slow / 4 + fast) & 0xFF);
}

int t_drawn_make(int which, uint8_t **bytes, size_t *n)
{
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = SIDE, .height = SIDE, .format = PNG_FORMAT_RGB};
    uint8_t *pixels = malloc((size_t)SIDE * SIDE * 3);
    png_alloc_size_t size = 0;

    *bytes = NULL;
    for (int i = 0; pixels != NULL && i < SIDE * SIDE * 3; i++)
        pixels[i] = which == T_DRAWN_PATTERN ? wave(i / 3 % SIDE, i / 3 / SIDE, i % 3)
                                             : colour[which][i % 3];
    if (pixels != NULL && png_image_write_to_memory(&image, NULL, &size, 0, pixels, 0, NULL) &&
        (*bytes = malloc(size)) != NULL &&
        !png_image_write_to_memory(&image, *bytes, &size, 0, pixels, 0, NULL)) {
        free(*bytes);
        *bytes = NULL;
    }
    free(pixels);
    *n = size;
    return *bytes != NULL ? 0 : -1;
}
