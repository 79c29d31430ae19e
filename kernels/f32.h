/* f32.h: what the fp32 drivers and their micro-kernels agree on. Internal to kernels/.
 *
 * Activations are blocked: 16 channels, one cache line, belong together, [c/16][h][w][16]; the
 * channels that fill up the last block are zero. A value that a 3x3 convolution reads has a halo of
 * zero pixels around it. Weights are in panels of 16 output channels (pack.c).
 *
 * Every output is summed by one accumulator in one order (bias, then blocks of input channels,
 * filter rows, columns, channels), whatever the tile, the thread or the batch it falls into: hence
 * the same bits.
 */
#ifndef KERNELS_F32_H
#define KERNELS_F32_H

#include <stddef.h>

enum {
    KN_F32_BLOCK = 16,     /* channels of a block, outputs of a panel */
    KN_F32_MAX_PIXELS = 14 /* of any tile */
};

/* One tile: up to 14 pixels x 1 or 2 panels, the whole reduction, its epilogue in registers:
 *
 *   y[p][i] = max(low, bias[p] + sum over k of a[i][k] * w[p][k] + residual[p][i])
 *
 * Pixels from `split` on lie `a_gap` and `y_gap` floats further than in one row. */
struct kn_f32_tile {
    const float *a;         /* first pixel, first input */
    const ptrdiff_t *koff;  /* [n_koff] floats from a to each run of inputs */
    int n_koff;             /* a run is 16 channels; in the stem, the 7 columns of a filter row */
    int split;              /* a kernel may demand one value: kn_f32_ops.split */
    ptrdiff_t a_pixel;      /* floats from one pixel to the next: 16 x stride; stem: 2 */
    ptrdiff_t a_gap, y_gap; /* floats */
    const float *w;         /* [panel][n_koff * run][16] */
    ptrdiff_t w_panel;      /* floats to the second panel; 0 computes one panel twice */
    const float *bias;      /* [32], aligned */
    const float *residual;  /* as y (may be y itself), or NULL */
    float *y;               /* pixels 16 floats apart */
    ptrdiff_t y_block;      /* floats to the second panel's block; 0 with w_panel */
    float low;              /* 0 for ReLU, -infinity without */
    const char *ahead;      /* what will be needed next, fetched into L2 on the way */
    int ahead_lines;        /* cache lines for each run */
};

typedef void kn_f32_tile_fn(const struct kn_f32_tile *tile);

/* Winograd's transforms of one tile and one channel block (winograd.h).
 * d: first pixel of the window, rows `row` floats apart, pixels 16
 * v: [points] vectors of 16, `point` floats apart */
typedef void kn_f32_winograd_in_fn(const float *d, ptrdiff_t row, float *v, ptrdiff_t point);
/* m: [points] vectors as v; y: m x m pixels; y = max(low, transform + bias + residual).
 * residual has y's strides, or is NULL */
typedef void kn_f32_winograd_out_fn(const float *m, ptrdiff_t point, const float *bias,
                                    const float *residual, float *y, ptrdiff_t row, float low);

/* Largest of a h x w window, for `n` pixels of one row; x: the first window's first pixel, windows
 * `step` floats apart, rows `row` */
typedef void kn_f32_maxpool_fn(const float *x, ptrdiff_t row, int h, int w, ptrdiff_t step, int n,
                               float *y);
/* y: [16] means over h x w pixels */
typedef void kn_f32_avgpool_fn(const float *x, ptrdiff_t row, int h, int w, float *y);

/* One ISA's kernels: complete, no entry is NULL. */
struct kn_f32_ops {
    const char *isa;
    int pixels; /* of the largest tile */
    int panels; /* of every tile */
    int split;  /* 0: a tile may leave its row before any pixel; else only before this one */
    kn_f32_tile_fn *const *dense;          /* [pixels + 1] by size, a_pixel 16, run 16 */
    kn_f32_tile_fn *const *strided;        /* a_pixel 32, run 16 */
    kn_f32_tile_fn *const *stem;           /* a_pixel 2 */
    kn_f32_winograd_in_fn *winograd_in[3]; /* F(3,3), F(4,3), F(2,3) of stride 2 */
    kn_f32_winograd_out_fn *winograd_out[3];
    kn_f32_maxpool_fn *maxpool;
    kn_f32_avgpool_fn *avgpool;
};

extern const struct kn_f32_ops kn_f32_ops_avx512; /* avx512/ops_f32.c */
extern const struct kn_f32_ops kn_f32_ops_avx2;   /* avx2/ops_f32.c */

#endif
