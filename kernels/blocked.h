/* blocked.h: where a blocked activation's pixels lie: [c / 16][h + 2 halo][w + 2 halo][16] floats.
 * Internal to kernels/. */
#ifndef KERNELS_BLOCKED_H
#define KERNELS_BLOCKED_H

#include <stddef.h>
#include <string.h>

#include "kernels/f32.h"
#include "kernels/kernels.h"

/* Floats of one block of channels. */
static inline ptrdiff_t kn_blocked_plane(int h, int w, int halo)
{
    return (ptrdiff_t)(h + 2 * halo) * (w + 2 * halo) * KN_F32_BLOCK;
}

/* Floats from the start of a block to its first pixel inside the halo. */
static inline ptrdiff_t kn_blocked_start(int w, int halo)
{
    return ((ptrdiff_t)halo * (w + 2 * halo) + halo) * KN_F32_BLOCK;
}

static inline int kn_blocked_blocks(int c)
{
    return (c + KN_F32_BLOCK - 1) / KN_F32_BLOCK;
}

/* Zeroes the halo of a layer's output. */
static inline void kn_blocked_clear_halo(float *y, const struct kn_layer *l, int halo)
{
    size_t pixel = KN_F32_BLOCK, row = (size_t)(l->ow + 2 * halo) * pixel;
    size_t edge = (size_t)halo * pixel;

    for (int b = 0; halo > 0 && b < kn_blocked_blocks(l->oc); b++) {
        memset(y, 0, ((size_t)halo * row + edge) * sizeof *y);
        y += (size_t)halo * row + edge;
        for (int i = 1; i < l->oh; i++) {
            y += (size_t)l->ow * pixel;
            memset(y, 0, 2 * edge * sizeof *y);
            y += 2 * edge;
        }
        y += (size_t)l->ow * pixel;
        memset(y, 0, ((size_t)halo * row + edge) * sizeof *y);
        y += (size_t)halo * row + edge;
    }
}

#endif
