/* bf16.h: what the bf16 drivers and their micro-kernels agree on. Internal to kernels/.
 *
 * bf16 is the upper half of an IEEE single. Activations are blocked: 32 channels, one cache line,
 * belong together, [c/32][h][w][32]; the channels that fill up the last block are zero, and a value
 * that a 3x3 convolution reads has a halo of zero pixels around it. Weights are in panels of 32
 * outputs (pack_bf16.c). The image comes in, and means and logits leave, as fp32.
 *
 * Sums, bias, residual and ReLU are fp32; each output is one accumulator's sum in one order and is
 * rounded once, to the nearest, ties to even: hence the same bits for every tile, thread and batch.
 * VDPBF16PS adds in an order of its own, so its bits are not those of the widening kernels.
 */
#ifndef KERNELS_BF16_H
#define KERNELS_BF16_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    KN_BF16_BLOCK = 32,     /* channels of a block, outputs of a panel */
    KN_BF16_MAX_PIXELS = 14 /* of any tile */
};

static inline float kn_bf16_widen(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float wide;

    memcpy(&wide, &bits, sizeof wide);
    return wide;
}

/* A NaN stays one: its upper half alone could be an infinity's. */
static inline uint16_t kn_bf16_round(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    if (x != x)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* One tile: up to 14 pixels x one panel, the whole reduction, its epilogue in registers:
 *
 *   y[i][o] = round(max(low, bias[o] + sum over k of a[i][k] * w[k][o] + residual[i][o]))
 *
 * Pixels from `split` on lie `a_gap` and `y_gap` elements further than in one row. */
struct kn_bf16_tile {
    const void *a;         /* first pixel, first input: bf16; fp32 in the stem */
    const ptrdiff_t *koff; /* [n_koff] elements from a to each run of inputs */
    int n_koff;            /* a run is 32 channels; in the stem, the 7 columns of a filter row */
    int split;             /* a kernel may demand one value: kn_bf16_ops.split */
    ptrdiff_t a_pixel;     /* elements from one pixel to the next: 32 x stride; stem: 2 */
    ptrdiff_t a_gap, y_gap;
    const uint16_t *w;        /* [n_koff * 16][32][2], pairs of inputs; stem: [n_koff * 7][32] */
    const float *bias;        /* [32], aligned */
    const uint16_t *residual; /* as y (may be y itself), or NULL */
    uint16_t *y;              /* pixels 32 elements apart */
    float low;                /* 0 for ReLU, -infinity without */
    float *wide;              /* [14][32] that the kernel may write, aligned */
    const char *ahead;        /* what will be needed next, fetched into L2 on the way */
    int ahead_lines;          /* cache lines for each run */
};

typedef void kn_bf16_tile_fn(const struct kn_bf16_tile *tile);

/* Largest of a h x w window, for `n` pixels of one row; x: the first window's first pixel, windows
 * `step` elements apart, rows `row` */
typedef void kn_bf16_maxpool_fn(const uint16_t *x, ptrdiff_t row, int h, int w, ptrdiff_t step,
                                int n, uint16_t *y);
/* y: [32] means over h x w pixels */
typedef void kn_bf16_avgpool_fn(const uint16_t *x, ptrdiff_t row, int h, int w, float *y);
/* y: [32] outputs of the classifier: bias + sum over n inputs, a multiple of 32. w: [n / 2][32][2]
 */
typedef void kn_bf16_gemv_fn(const float *x, int n, const uint16_t *w, const float *bias, float *y);

/* One ISA's kernels: complete, no entry is NULL. */
struct kn_bf16_ops {
    const char *isa;
    int pixels;                      /* of the largest tile */
    int split;                       /* 0: a tile may leave its row before any pixel; else only
                                        before this one */
    kn_bf16_tile_fn *const *dense;   /* [pixels + 1] by size, a_pixel 32, run 32 */
    kn_bf16_tile_fn *const *strided; /* a_pixel 64, run 32 */
    kn_bf16_tile_fn *const *stem;    /* a_pixel 2 */
    kn_bf16_maxpool_fn *maxpool;
    kn_bf16_avgpool_fn *avgpool;
    kn_bf16_gemv_fn *gemv;
};

extern const struct kn_bf16_ops kn_bf16_ops_avx512; /* avx512/ops_bf16.c */
extern const struct kn_bf16_ops kn_bf16_ops_avx2;   /* avx2/ops_bf16.c */

/* Puts VDPBF16PS into a table of avx512's (avx512bf16/ops_bf16.c). */
void kn_bf16_ops_override__avx512bf16(struct kn_bf16_ops *ops);

#endif
