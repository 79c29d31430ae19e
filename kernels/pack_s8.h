/* pack_s8.h: where each weight lies in the layout "s8.n32". Internal to kernels/.
 *
 * Outputs are in pairs of panels of 16, and are rounded up to whole blocks of 64 channels, inputs
 * too; what that adds is zero. An instruction multiplies four neighbouring u8 with four s8, or two
 * s16 with two s16, in each of 16 lanes:
 *
 *   filters          s8   [pair][ic64 / 64][kh][kw][16][2 panels][16 lanes][4 inputs]
 *   the first layer  s16  [pair][kh][(kw ic) / 2][2 panels][16 lanes][2 inputs], columns and
 *                         channels of a filter row as one sequence
 *   the classifier   s16  [oc / 16][ic / 2][16 lanes][2 inputs], no pairs
 *
 * Of a pair's 32 channels the first panel has those with (channel / 4) even: packing the sums of
 * both panels to 16 and then 8 bits, within 128-bit lanes, brings all 32 into their order.
 */
#ifndef KERNELS_PACK_S8_H
#define KERNELS_PACK_S8_H

#include <stddef.h>

#include "kernels/kernels.h"

enum {
    KN_S8_BLOCK = 64, /* channels of an activation's block, a cache line */
    KN_S8_PAIR = 32,  /* outputs that are computed together */
    KN_S8_PANEL = 16,
};

size_t kn_pack_s8_bytes(const struct kn_layer *layer);

/* 1: this layer's weights are s16. */
int kn_pack_s8_wide(const struct kn_layer *layer);

/* The index, in weights, of filter (o, i) at tap t = ky * kw + kx. */
size_t kn_pack_s8_place(const struct kn_layer *layer, size_t o, size_t i, size_t t);

/* Inputs of a filter row of the first layer, rounded up to pairs; of the classifier. */
static inline size_t kn_pack_s8_even(size_t n)
{
    return (n + 1) / 2 * 2;
}

/* Where output o of a pair (0..31) is found among its 32 lanes. */
static inline size_t kn_pack_s8_lane(size_t o)
{
    return o / 4 % 2 * KN_S8_PANEL + o / 8 * 4 + o % 4;
}

#endif
