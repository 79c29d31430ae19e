/* u8.h: what the int8 drivers and their micro-kernels agree on. Internal to kernels/.
 *
 * Activations are blocked: 64 channels of a pixel, one cache line of u8, belong together,
 * [c/64][h][w][64]; the channels that fill up the last block are zero. A value that a 3x3
 * convolution reads has a halo of zero pixels around it. Projections are the same in s16. Weights
 * are in pairs of 16 outputs (pack_s8.h). Sums are integers: any order gives the same bits, and
 * what follows the sum does what quant.h says, operation by operation.
 */
#ifndef KERNELS_U8_H
#define KERNELS_U8_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/pack_s8.h"

enum { KN_U8_MAX_PIXELS = 14 /* of any tile */ };

/* One tile: up to 14 pixels x 32 output channels, the whole reduction, its epilogue in registers:
 *
 *   y[i][o] = (bias[o] + sum over k of a[i][k] * w[k][o]) * multiplier[o]
 *             (+ residual[i][o] * residual_multiplier), rounded and limited
 *
 * Pixels from `split` on lie `a_gap` and `y_gap` bytes further than in one row. */
struct kn_u8_tile {
    const void *a;         /* first pixel, first input: u8; in the stem s16 */
    const ptrdiff_t *koff; /* [n_koff] bytes from a to each run of inputs */
    int n_koff;
    int groups;        /* of a run: 16 of 4 channels; in the stem, pairs of s16 in a filter row */
    int split;         /* a kernel may demand one value: kn_u8_ops.split */
    ptrdiff_t a_pixel; /* bytes from one pixel to the next: 64 x stride; stem: 4 x channels */
    ptrdiff_t a_gap, y_gap;
    const void *w;           /* [n_koff * groups][2][16][4 s8 or 2 s16] */
    const int32_t *bias;     /* [32] lanes (kn_pack_s8_lane()), aligned, as is multiplier */
    const float *multiplier; /* [32] lanes */
    const void *residual; /* u8, shaped like y (may be y itself); or s16, twice as far; or NULL */
    int residual_s16;
    float residual_multiplier;
    void *y; /* pixels 64 bytes apart, or s16 and 128 */
    int y_s16;
    int32_t *sums;     /* [14][32] that the kernel may write, aligned */
    const char *ahead; /* what will be needed next, fetched into L2 on the way */
    int ahead_lines;   /* cache lines for each run */
};

typedef void kn_u8_tile_fn(const struct kn_u8_tile *tile);

/* Largest of a h x w window, for `n` pixels of one row and one block; x: the first window's first
 * pixel, windows `step` bytes apart, rows `row` */
typedef void kn_u8_maxpool_fn(const uint8_t *x, ptrdiff_t row, int h, int w, ptrdiff_t step, int n,
                              uint8_t *y);
/* y: [64] sums over h x w pixels of one block */
typedef void kn_u8_sum_fn(const uint8_t *x, ptrdiff_t row, int h, int w, int32_t *y);
/* Sums of 16 classes. w: [n / 2][16][2], x: [n], n a multiple of 2; sum: [16], added to */
typedef void kn_u8_gemv_fn(const int16_t *w, const int16_t *x, int n, int32_t *sum);
/* kn_quant_pixels(), or the same faster. */
typedef void kn_u8_pixels_fn(const float *input, const float *x, size_t plane, int c, size_t n,
                             uint8_t *out);

/* One ISA's kernels: complete, no entry is NULL. */
struct kn_u8_ops {
    const char *isa;
    int pixels;                    /* of the largest tile */
    int split;                     /* 0: a tile may leave its row before any pixel; else only before
                                      this one */
    kn_u8_tile_fn *const *dense;   /* [pixels + 1] by size, a_pixel 64 */
    kn_u8_tile_fn *const *strided; /* a_pixel 128, no residual */
    kn_u8_tile_fn *const *stem;    /* any a_pixel, no residual, y u8 */
    kn_u8_maxpool_fn *maxpool;
    kn_u8_sum_fn *sum;
    kn_u8_gemv_fn *gemv;
    kn_u8_pixels_fn *convert;
};

extern const struct kn_u8_ops kn_u8_ops_avx512vnni; /* avx512vnni/ops_u8.c */
extern const struct kn_u8_ops kn_u8_ops_avx2;       /* avx2/ops_u8.c */

#endif
