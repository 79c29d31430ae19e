/* engine.h: what an engine is made of. Internal to kernels/.
 *
 * An engine ("ref", "blas", later one an instruction set) is one row of functions, one for each
 * kind of layer, that agree on the layout of weights and activations. dispatch.c fills the rows,
 * plan.c binds each layer of a network to one of them.
 */
#ifndef KERNELS_ENGINE_H
#define KERNELS_ENGINE_H

#include "kernels/kernels.h"

struct kn_bf16_ops;
struct kn_f32_ops;
struct kn_threads;
struct kn_u8_ops;

/* The kinds of layer that an engine may want different functions for. */
enum kn_kind {
    KN_CONV_1X1,         /* stride 1, no padding */
    KN_CONV_1X1_STRIDED, /* no padding */
    KN_CONV_3X3,         /* stride 1 */
    KN_CONV_3X3_MIDDLE,  /* the same, from KN_MIDDLE_PIXELS of output on */
    KN_CONV_3X3_LARGE,   /* and from KN_LARGE_PIXELS on */
    KN_CONV_3X3_STRIDED, /* stride 2, from KN_MIDDLE_PIXELS on */
    KN_CONV_STEM,        /* 7x7, stride 2: the first one, its input is NCHW in every engine */
    KN_CONV_ANY,         /* every other convolution */
    KN_POOL_MAX,
    KN_POOL_AVG,
    KN_CLASSIFIER,
    KN_N_KINDS
};

/* Where one Winograd transform gives way to another (pack.c needs to know it too, so it is the same
 * for every instruction set); tests/bench/README.md has the times. */
enum { KN_MIDDLE_PIXELS = 10 * 10, KN_LARGE_PIXELS = 20 * 20 };

enum kn_kind kn_kind_of(const struct kn_layer *layer);

/* What a value is made of. The network's input and what the head makes (the mean over all pixels,
 * the logits) are KN_F32 in every engine but int8's; the values in between are what the engine
 * says. int8's input and values are KN_U8, its projections and features KN_S16, its logits KN_F32.
 */
enum kn_element { KN_F32, KN_BF16, KN_U8, KN_S16 };

static inline size_t kn_element_bytes(enum kn_element element)
{
    return element == KN_U8 ? 1 : element == KN_F32 ? sizeof(float) : sizeof(uint16_t);
}

/* One layer of one image or of several. Activations are [c / block, h + 2 halo, w + 2 halo, block]:
 * block 1 is plain NCHW, a larger one keeps that many channels of a pixel together (c is then
 * rounded up to a multiple of it, and what that adds is zero). Only blocked values have halos:
 * zeros, which the layer that writes the value writes too. */
struct kn_job {
    const struct kn_layer *layer;
    const struct kn_engine *engine;
    const void *w;                /* in the engine's layout */
    const float *bias;            /* [oc] */
    const struct kn_quant *quant; /* int8 only */
    /* x: [ic / block_x, ih, iw, block_x], residual and y: [oc / block_y, oh, ow, block_y]. Float is
     * their type in fp32; engines of other elements cast. int8's first layer reads pixels, x: [ih,
     * iw, ic]. */
    const float *x;
    const float *residual; /* or NULL; either y itself or apart from it */
    int residual_s16;      /* int8 only: it is KN_S16, not KN_U8 */
    float *y;              /* apart from x */
    int block_x, block_y;
    int halo_x, halo_y; /* px */
    int images;         /* more than 1 only for an algorithm that takes several */
    size_t image_bytes; /* from one image's x to the next one's; residual's and y's too */
    /* KN_ALIGN-aligned, as long as the algorithm asked for; nothing in it survives */
    void *scratch;
    struct kn_threads *threads; /* NULL: none but the caller's */
    int width;                  /* how many of them to use, at least 1 */
    const void *ahead;          /* weights that the next layer will read, or NULL */
    size_t ahead_bytes;
};

typedef void kn_layer_fn(const struct kn_job *job);
typedef size_t kn_scratch_fn(const struct kn_layer *layer, int threads);

struct kn_algorithm {
    const char *name;
    kn_layer_fn *run;
    kn_scratch_fn *scratch_bytes; /* NULL: none */
};

struct kn_engine {
    const char *isa, *precision;
    const char *layout; /* of the weights */
    int block;          /* of the activations, the network's input (always NCHW) apart */
    enum kn_element element;
    const struct kn_f32_ops *f32;   /* micro-kernels of a blocked fp32 engine, else NULL */
    const struct kn_bf16_ops *bf16; /* the same of bf16 */
    const struct kn_u8_ops *u8;     /* and of int8 */
    const struct kn_engine *plain;  /* the fp32 engine that widen.c lets compute, else NULL */
    struct kn_algorithm algorithm[KN_N_KINDS]; /* none is ever NULL */
    unsigned batches; /* 1 << kind of those that take several images at once */
};

/* What a layer reads, and what it writes. */
static inline enum kn_element kn_element_in(const struct kn_engine *engine,
                                            const struct kn_layer *layer)
{
    enum kn_kind kind = kn_kind_of(layer);
    if (engine->element == KN_U8)
        return kind == KN_CLASSIFIER ? KN_S16 : KN_U8;
    return kind == KN_CONV_STEM || kind == KN_CLASSIFIER ? KN_F32 : engine->element;
}

static inline enum kn_element kn_element_out(const struct kn_engine *engine,
                                             const struct kn_layer *layer)
{
    enum kn_kind kind = kn_kind_of(layer);
    int projection = layer->op == KN_CONV && !layer->relu;
    if (engine->element == KN_U8 && (kind == KN_POOL_AVG || projection))
        return KN_S16;
    return kind == KN_POOL_AVG || kind == KN_CLASSIFIER ? KN_F32 : engine->element;
}

/* dispatch.c. The engine that isa (NULL: the best here) and precision (NULL: fp32) name. An isa
 * that has no kernels of this precision stands for the best one below it that has. NULL with err
 * set, naming the choices, if there is none. */
const struct kn_engine *kn_dispatch(const char *isa, const char *precision, struct kn_err *err);
const struct kn_algorithm *kn_dispatch_layer(const struct kn_engine *engine,
                                             const struct kn_layer *layer);

/* work.c */
void kn_work_of(const struct kn_engine *engine, const struct kn_layer *layer, struct kn_work *work);

/* arena.c. Places every value of the network but the input in one block so that no two that are
 * alive together overlap. bytes: [n_values] sizes; offset: [n_values], multiples of KN_ALIGN.
 * A layer may write over its residual when no later layer reads that: then both have one offset.
 * Returns the size of the block, or 0 if it would not fit in a size_t. */
size_t kn_arena_plan(const struct kn_net *net, const size_t *bytes, size_t *offset);

/* ref/: plain C, sums in double. The truth. */
kn_layer_fn kn_ref_conv, kn_ref_maxpool, kn_ref_avgpool, kn_ref_fc;
kn_scratch_fn kn_ref_conv_scratch;

/* The same on integers (quant.h): the truth, too. */
kn_layer_fn kn_ref_conv_u8, kn_ref_maxpool_u8, kn_ref_avgpool_u8, kn_ref_fc_s16;
kn_scratch_fn kn_ref_conv_u8_scratch;

/* blas.c, pool.c, eltwise.c: block 1 only. */
kn_layer_fn kn_blas_conv_1x1, kn_blas_conv_im2col, kn_blas_fc, kn_pool_max;
kn_scratch_fn kn_blas_conv_scratch, kn_pool_max_scratch;

/* conv_f32.c, winograd.c, pool_f32.c: block 16, any instruction set that fills engine->f32. */
kn_layer_fn kn_f32_conv, kn_f32_stem, kn_f32_winograd, kn_f32_maxpool, kn_f32_avgpool;
kn_scratch_fn kn_f32_conv_scratch, kn_f32_stem_scratch, kn_f32_winograd_scratch;

/* conv_bf16.c, head_bf16.c: block 32, any instruction set that fills engine->bf16. */
kn_layer_fn kn_bf16_conv, kn_bf16_stem, kn_bf16_maxpool, kn_bf16_avgpool, kn_bf16_fc;
kn_scratch_fn kn_bf16_conv_scratch;

/* conv_u8.c, pool_u8.c: int8, any instruction set that fills engine->u8. */
kn_layer_fn kn_u8_conv, kn_u8_stem, kn_u8_maxpool, kn_u8_avgpool, kn_u8_fc;
kn_scratch_fn kn_u8_conv_scratch, kn_u8_stem_scratch;

/* widen.c: bf16 by a plain fp32 engine. */
kn_layer_fn kn_widen_layer;
kn_scratch_fn kn_widen_scratch;

/* pack_bf16.c: "bf16.n32", and back to dense fp32. */
size_t kn_pack_bf16_bytes(const struct kn_layer *layer);
void kn_pack_bf16(const struct kn_layer *layer, const float *oihw, uint16_t *out);
void kn_pack_bf16_widen(const struct kn_layer *layer, const uint16_t *packed, float *oihw);

/* y: [c, n] rows of `stride` floats; y = y + bias[c], then max(0, y) if relu. */
void kn_eltwise_bias(float *y, const float *bias, int c, size_t n, size_t stride, int relu);

#endif
