/* random.c: a ResNet with random weights, for machines without real ones and for tests.
 *
 * Every filter is centred and scaled to a fixed norm, which does for random weights what
 * batch-norm does for trained ones: the mean that ReLU leaves is not carried on, so activations
 * neither grow nor drown what tells one picture from another. Only integers, additions,
 * multiplications, divisions and square roots are used, all of them exactly rounded. */
#include "weights/random.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights/prng.h"

struct shape {
    int depth, bottleneck;
    int blocks[4];
};

static const struct shape shapes[] = {
    {18, 0, {2, 2, 2, 2}},   {34, 0, {3, 4, 6, 3}},   {50, 1, {3, 4, 6, 3}},
    {101, 1, {3, 4, 23, 3}}, {152, 1, {3, 8, 36, 3}},
};

struct builder {
    const struct shape *shape;
    const struct wt_random *random;
};

static int fill_dims(int64_t dim[KN_MAX_DIMS], int64_t oc, int64_t ic, int64_t k)
{
    dim[0] = oc;
    dim[1] = ic;
    dim[2] = dim[3] = k;
    return 4;
}

/* The shape of a convolution in block `block` of stage 1..4. */
static int block_shape(const struct builder *b, int stage, int block, const char *part,
                       int64_t dim[KN_MAX_DIMS])
{
    const struct shape *s = b->shape;
    int64_t mid = (int64_t)b->random->width << (stage - 1);
    int64_t out = s->bottleneck ? 4 * mid : mid;
    int64_t in = block > 0 ? out : stage == 1 ? b->random->width : out / 2;

    if (block >= s->blocks[stage - 1])
        return 0;
    if (strcmp(part, "conv1.weight") == 0)
        return fill_dims(dim, mid, in, s->bottleneck ? 1 : 3);
    if (strcmp(part, "conv2.weight") == 0)
        return fill_dims(dim, mid, mid, 3);
    if (strcmp(part, "conv3.weight") == 0 && s->bottleneck)
        return fill_dims(dim, out, mid, 1);
    if (strcmp(part, "downsample.0.weight") == 0 && block == 0 && in != out)
        return fill_dims(dim, out, in, 1);
    return 0;
}

/* A kn_shape_fn: the shapes that torchvision's network of that depth has, at our width. */
static int shape_of(void *ctx, const char *name, int64_t dim[KN_MAX_DIMS])
{
    const struct builder *b = ctx;
    int stage, block, used = 0;

    if (strcmp(name, "conv1.weight") == 0)
        return fill_dims(dim, b->random->width, 3, 7);
    if (strcmp(name, "fc.weight") == 0) {
        dim[0] = b->random->classes;
        dim[1] = (int64_t)b->random->width * (b->shape->bottleneck ? 32 : 8);
        return 2;
    }
    if (sscanf(name, "layer%d.%d.%n", &stage, &block, &used) == 2 && used > 0 && stage >= 1 &&
        stage <= 4 && block >= 0)
        return block_shape(b, stage, block, name + used, dim);
    return 0;
}

static float uniform(struct wt_prng *prng, float limit)
{
    /* 24 bits are exact in float. */
    return limit * ((float)(int32_t)(wt_prng_next(prng) >> 40) / 8388608.0f - 1.0f);
}

/* The sum of four 16-bit numbers: close enough to a bell. */
static double bell(struct wt_prng *prng)
{
    uint64_t r = wt_prng_next(prng);

    return (double)(int64_t)((r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48)) -
           2 * 65535;
}

/* w: [k], of sum 0 (unless there are too few for that) and norm `norm`. */
static void fill_filter(struct wt_prng *prng, float *w, int64_t k, double norm)
{
    enum { FEWEST_CENTRED = 8 };
    double sum = 0, squares = 0;

    for (int64_t i = 0; i < k; i++) {
        w[i] = (float)bell(prng);
        sum += (double)w[i];
    }
    double mean = k >= FEWEST_CENTRED ? sum / (double)k : 0;
    for (int64_t i = 0; i < k; i++)
        squares += ((double)w[i] - mean) * ((double)w[i] - mean);
    double scale = squares > 0 ? norm / sqrt(squares) : 0;
    for (int64_t i = 0; i < k; i++)
        w[i] = (float)(((double)w[i] - mean) * scale);
}

/* Norm of a layer's filters. What ReLU leaves of a unit normal has variance 0.34 = 1/1.71^2, so
 * 1.71 keeps it. A block's last layer adds little to what goes past it: with 0.25 `ref` and BLAS
 * differ by 8e-7 of the largest logit in a ResNet-50, with 0.85 by 2e-5 (trained weights: 4e-7).
 * The classifier spreads its logits so that the softmax has favourites. */
static double filter_norm(const struct kn_layer *layer)
{
    if (layer->op == KN_FC)
        return 12;
    if (layer->residual >= 0)
        return 0.25;
    return layer->stage == 0 ? 1 : 1.71;
}

static int64_t weight_floats(const struct kn_layer *layer)
{
    if (layer->op != KN_CONV && layer->op != KN_FC)
        return 0;
    return (int64_t)layer->oc * layer->ic * layer->kh * layer->kw;
}

static void fill_layer(struct wt_prng *prng, const struct kn_layer *layer, float *w, float *bias)
{
    int64_t k = weight_floats(layer) / layer->oc;

    for (int o = 0; o < layer->oc; o++) {
        fill_filter(prng, w + o * k, k, filter_norm(layer));
        bias[o] = uniform(prng, 0.1f);
    }
}

static size_t aligned_floats(int64_t n)
{
    const size_t line = KN_ALIGN / sizeof(float);

    return ((size_t)n + line - 1) / line * line;
}

static int fill_weights(struct wt_folded *folded, uint64_t seed, struct wt_err *err)
{
    const struct kn_net *net = &folded->net;
    struct wt_prng prng = {seed};
    size_t total = 0;

    for (int i = 0; i < net->n_layers; i++)
        if (weight_floats(&net->layer[i]) > 0)
            total +=
                aligned_floats(weight_floats(&net->layer[i])) + aligned_floats(net->layer[i].oc);
    float *at = folded->memory = aligned_alloc(KN_ALIGN, total * sizeof(float));
    if (at == NULL)
        return wt_fail(err, WT_ENOMEM, "no memory for %zu random weights", total);
    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_layer *layer = &net->layer[i];
        if (weight_floats(layer) == 0)
            continue;
        float *bias = at + aligned_floats(weight_floats(layer));
        folded->weights[i] = (struct kn_weight){.w = at, .bias = bias};
        fill_layer(&prng, layer, at, bias);
        at = bias + aligned_floats(layer->oc);
    }
    return WT_OK;
}

int wt_random_make(struct wt_folded *folded, const struct wt_random *random, int size_px,
                   struct wt_err *err)
{
    enum { WIDTH_MAX = 128, CLASSES_MAX = 65536 };
    struct builder b = {.random = random};
    struct kn_err why;

    *folded = (struct wt_folded){0};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        if (shapes[i].depth == random->depth)
            b.shape = &shapes[i];
    if (b.shape == NULL)
        return wt_fail(err, WT_EARCH, "depth: expected 18, 34, 50, 101 or 152, found %d",
                       random->depth);
    if (random->width < 1 || random->width > WIDTH_MAX)
        return wt_fail(err, WT_EARCH, "width: expected 1/64..2 of ResNet's 64 channels, found %d",
                       random->width);
    if (random->classes < 1 || random->classes > CLASSES_MAX)
        return wt_fail(err, WT_EARCH, "classes: expected 1..%d, found %d", CLASSES_MAX,
                       random->classes);
    if (kn_net_init(&folded->net, size_px, size_px, shape_of, &b, &why) != KN_OK)
        return wt_fail(err, WT_EARCH, "%s", wt_err_kernels(&why));
    return fill_weights(folded, random->seed, err);
}
