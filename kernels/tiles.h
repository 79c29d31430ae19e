/* tiles.h: how the pixels of an output are cut into tiles. Internal to kernels/. */
#ifndef KERNELS_TILES_H
#define KERNELS_TILES_H

#include <stddef.h>

/* A tile's place: elements from the first output's window, and from the first output. Pixels from
 * `split` on lie a_gap and y_gap further than in one row. */
struct kn_spot {
    ptrdiff_t a, y, a_gap, y_gap;
    int split, pixels;
};

struct kn_tiles {
    int oh, ow;
    int pixels;               /* of the largest tile */
    int split;                /* 0: it may leave its row anywhere; else only before this */
    ptrdiff_t x_row, x_pixel; /* elements of the input, for one output row or pixel */
    ptrdiff_t y_row, y_pixel; /* the same of the output */
};

/* Fills in the list, in the order of pixels. spots: [kn_tiles_most()]. Returns how many there are.
 */
int kn_tiles_list(const struct kn_tiles *how, struct kn_spot *spots);

/* No tile list is longer, whatever the largest tile, from 6 pixels on. */
size_t kn_tiles_most(int oh, int ow);

#endif
