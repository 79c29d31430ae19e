/* blocked_u8.h: where the pixels of an int8 value lie: [c / 64][h + 2 halo][w + 2 halo][64], u8 or
 * s16, distances in bytes. Internal to kernels/. */
#ifndef KERNELS_BLOCKED_U8_H
#define KERNELS_BLOCKED_U8_H

#include <stddef.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/pack_s8.h"

/* Of one block of channels. pixel: bytes of one */
static inline ptrdiff_t kn_blocked_u8_plane(int h, int w, int halo, int pixel)
{
    return (ptrdiff_t)(h + 2 * halo) * (w + 2 * halo) * pixel;
}

/* From the start of a block to its first pixel inside the halo. */
static inline ptrdiff_t kn_blocked_u8_start(int w, int halo, int pixel)
{
    return ((ptrdiff_t)halo * (w + 2 * halo) + halo) * pixel;
}

static inline int kn_blocked_u8_blocks(int c)
{
    return (c + KN_S8_BLOCK - 1) / KN_S8_BLOCK;
}

/* Zeroes the halo of a layer's output. */
static inline void kn_blocked_u8_clear_halo(void *value, const struct kn_layer *l, int halo,
                                            int pixel)
{
    size_t row = (size_t)(l->ow + 2 * halo) * (size_t)pixel, edge = (size_t)(halo * pixel);
    size_t inside = (size_t)l->ow * (size_t)pixel, frame = (size_t)halo * row + edge;
    unsigned char *y = value;

    for (int b = 0; halo > 0 && b < kn_blocked_u8_blocks(l->oc); b++) {
        memset(y, 0, frame);
        y += frame + inside;
        for (int i = 1; i < l->oh; i++, y += 2 * edge + inside)
            memset(y, 0, 2 * edge);
        memset(y, 0, frame);
        y += frame;
    }
}

#endif
