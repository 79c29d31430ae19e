/* resnet.c: the network as a table. Depth, block type and widths are read off the shapes of the
 * weights; strides and padding are torchvision's, since no shape tells them.
 *
 * Inside a block the shortcut's projection comes right before the layer that adds it, so that the
 * large value it makes is alive for one layer only, and that layer may write over it (arena.c). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kernels/kernels.h"

struct builder {
    struct kn_net *net;
    kn_shape_fn *shape_of;
    void *ctx;
    struct kn_err *err;
    int value;         /* the activation value that the next layer reads */
    int c, h, w;       /* its shape */
    int bottleneck;    /* 1: blocks of three convolutions, 0: of two */
    int blocks;        /* so far, in all stages */
    int first_block_c; /* channels of the very first convolution in a block */
};

enum {
    ANY = 0,    /* in an expected shape: whatever the file has */
    NAME = 64,  /* a layer's name while it is put together; KN_MAX_NAME holds all that fit a net */
    TENSOR = 72 /* the same and ".weight" */
};

static void write_shape(char *text, size_t size, const int64_t *dim, int n)
{
    size_t used = (size_t)snprintf(text, size, "[");
    for (int i = 0; i < n && used < size; i++) {
        const char *comma = i ? "," : "";
        used += (size_t)(dim[i] == ANY
                             ? snprintf(text + used, size - used, "%sN", comma)
                             : snprintf(text + used, size - used, "%s%" PRId64, comma, dim[i]));
    }
    if (used < size)
        snprintf(text + used, size - used, "]");
}

/* Looks `name` up and compares it with want[n]; an ANY is filled in with what was found. */
static int expect(struct builder *b, const char *name, int64_t *want, int n)
{
    int64_t dim[KN_MAX_DIMS] = {0};
    int found = b->shape_of(b->ctx, name, dim);
    if (found == 0)
        return kn_fail(b->err, KN_EARCH, "%s: torchvision's ResNets have it, not found", name);
    int same = found == n;
    for (int i = 0; same && i < n; i++)
        same = dim[i] >= 1 && dim[i] <= KN_MAX_CHANNELS && (want[i] == ANY || want[i] == dim[i]);
    if (!same) {
        char expected[64], seen[128];
        write_shape(expected, sizeof expected, want, n);
        write_shape(seen, sizeof seen, dim, found);
        int grouped = found == 4 && n == 4 && dim[0] == want[0] && dim[2] == want[2] &&
                      dim[3] == want[3] && dim[1] > 0 && dim[1] < want[1] && want[1] % dim[1] == 0;
        if (grouped)
            return kn_fail(b->err, KN_EARCH,
                           "%s: expected %s, found %s: grouped convolutions (ResNeXt) are not "
                           "supported",
                           name, expected, seen);
        return kn_fail(b->err, KN_ESHAPE, "%s: expected %s (each 1..%d), found %s", name, expected,
                       KN_MAX_CHANNELS, seen);
    }
    memcpy(want, dim, (size_t)n * sizeof *want);
    return KN_OK;
}

static int has(struct builder *b, const char *name)
{
    int64_t dim[KN_MAX_DIMS];
    return b->shape_of(b->ctx, name, dim) > 0;
}

static int reduced(int size, int k, int stride, int pad)
{
    return (size + 2 * pad - k) / stride + 1;
}

/* Appends a layer that reads the current value; its output becomes the current one. NULL when the
 * table is full. */
static struct kn_layer *append(struct builder *b, const char *name, enum kn_op op, int oc, int k,
                               int stride, int pad)
{
    struct kn_net *net = b->net;
    if (net->n_layers == KN_MAX_LAYERS) {
        kn_fail(b->err, KN_EARCH, "%s: more than %d layers", name, KN_MAX_LAYERS);
        return NULL;
    }
    struct kn_layer *l = &net->layer[net->n_layers++];
    *l = (struct kn_layer){.op = op, .ic = b->c, .ih = b->h, .iw = b->w, .oc = oc};
    snprintf(l->name, sizeof l->name, "%.*s", KN_MAX_NAME - 1, name);
    l->kh = l->kw = k;
    l->stride = stride;
    l->pad = pad;
    l->oh = reduced(b->h, k, stride, pad);
    l->ow = reduced(b->w, k, stride, pad);
    l->in = b->value;
    l->out = net->n_values++;
    l->residual = -1;
    b->value = l->out;
    b->c = oc;
    b->h = l->oh;
    b->w = l->ow;
    return l;
}

static void filter_name(char tensor[TENSOR], const char *layer)
{
    snprintf(tensor, TENSOR, "%.*s.weight", NAME - 1, layer);
}

/* A convolution whose filter is NAME.weight; *oc may be ANY and is then read off the filter. */
static struct kn_layer *conv(struct builder *b, const char *name, int *oc, int k, int stride)
{
    char tensor[TENSOR];
    int64_t want[4] = {*oc, b->c, k, k};
    filter_name(tensor, name);
    if (expect(b, tensor, want, 4) != KN_OK)
        return NULL;
    *oc = (int)want[0];
    struct kn_layer *l = append(b, name, KN_CONV, *oc, k, stride, k / 2);
    if (l != NULL)
        l->relu = 1;
    return l;
}

static int stem(struct builder *b)
{
    int64_t filter[4] = {ANY, ANY, 7, 7};
    if (expect(b, "conv1.weight", filter, 4) != KN_OK)
        return (int)b->err->code;
    b->c = (int)filter[1];
    int oc = (int)filter[0];
    if (conv(b, "conv1", &oc, 7, 2) == NULL || !append(b, "maxpool", KN_MAXPOOL, oc, 3, 2, 1))
        return (int)b->err->code;
    return KN_OK;
}

/* What a block adds to its last layer: its input, or a 1x1 projection of it. Returns the value, or
 * -1 with err set. The current value is left as it was. */
static int shortcut(struct builder *b, const struct builder *in, const char *prefix, int oc,
                    int stride)
{
    char name[NAME], tensor[TENSOR];
    snprintf(name, sizeof name, "%s.downsample.0", prefix);
    filter_name(tensor, name);
    if (stride == 1 && oc == in->c && !has(b, tensor))
        return in->value;
    struct builder branch = *in;
    struct kn_layer *l = conv(&branch, name, &oc, 1, stride);
    if (l == NULL)
        return -1;
    l->relu = 0;
    return l->out;
}

/* One residual block; its last convolution adds the shortcut. */
static int block(struct builder *b, const char *prefix, int stride)
{
    const struct builder in = *b;
    char name[3][NAME], tensor[TENSOR];
    for (int i = 0; i < 3; i++)
        snprintf(name[i], sizeof name[i], "%s.conv%d", prefix, i + 1);

    int mid = ANY;
    if (conv(b, name[0], &mid, b->bottleneck ? 1 : 3, b->bottleneck ? 1 : stride) == NULL ||
        (b->bottleneck && conv(b, name[1], &mid, 3, stride) == NULL))
        return (int)b->err->code;
    const char *last = name[b->bottleneck ? 2 : 1];
    int k = b->bottleneck ? 1 : 3;
    int64_t want[4] = {ANY, b->c, k, k};
    filter_name(tensor, last);
    if (expect(b, tensor, want, 4) != KN_OK)
        return (int)b->err->code;
    int oc = (int)want[0];
    int residual = shortcut(b, &in, prefix, oc, stride);
    struct kn_layer *l = residual < 0 ? NULL : conv(b, last, &oc, k, 1);
    if (l == NULL)
        return (int)b->err->code;
    l->residual = residual;
    if (b->blocks++ == 0)
        b->first_block_c = mid;
    return KN_OK;
}

static int stage(struct builder *b, int s)
{
    int first = b->net->n_layers;
    for (int i = 0;; i++) {
        char prefix[KN_MAX_NAME], tensor[TENSOR];
        snprintf(prefix, sizeof prefix, "layer%d.%d", s, i);
        snprintf(tensor, sizeof tensor, "%s.conv1.weight", prefix);
        if (i > 0 && !has(b, tensor))
            break;
        int rc = block(b, prefix, s > 1 && i == 0 ? 2 : 1);
        if (rc != KN_OK)
            return rc;
    }
    for (int i = first; i < b->net->n_layers; i++)
        b->net->layer[i].stage = s;
    return KN_OK;
}

static int head(struct builder *b)
{
    int64_t want[2] = {ANY, b->c};
    if (expect(b, "fc.weight", want, 2) != KN_OK)
        return (int)b->err->code;
    struct kn_layer *pool = append(b, "avgpool", KN_AVGPOOL, b->c, 1, 1, 0);
    if (pool == NULL)
        return (int)b->err->code;
    pool->kh = pool->ih;
    pool->kw = pool->iw;
    pool->oh = pool->ow = b->h = b->w = 1;
    struct kn_layer *fc = append(b, "fc", KN_FC, (int)want[0], 1, 1, 0);
    if (fc == NULL)
        return (int)b->err->code;
    pool->stage = fc->stage = 5;
    b->net->classes = fc->oc;
    b->net->features = fc->ic;
    return KN_OK;
}

/* "resnet50"; when the first block is not 64 channels wide, "resnet50-w128". */
static void name_arch(struct builder *b)
{
    int depth = 2 + b->blocks * (b->bottleneck ? 3 : 2);
    size_t size = sizeof b->net->arch;
    if (b->first_block_c == 64 && b->net->layer[0].oc == 64)
        snprintf(b->net->arch, size, "resnet%d", depth);
    else
        snprintf(b->net->arch, size, "resnet%d-w%d", depth, b->first_block_c);
}

int kn_net_init(struct kn_net *net, int height, int width, kn_shape_fn *shape_of, void *ctx,
                struct kn_err *err)
{
    struct kn_err unseen;
    struct builder b = {.net = net, .shape_of = shape_of, .ctx = ctx};
    b.err = err ? err : &unseen;
    if (height < 1 || height > KN_MAX_SIDE || width < 1 || width > KN_MAX_SIDE)
        return kn_fail(b.err, KN_ESHAPE, "input: expected 1..%d px a side, found %d x %d",
                       KN_MAX_SIDE, height, width);
    *net = (struct kn_net){.n_values = 1, .height = height, .width = width};
    b.h = height;
    b.w = width;
    b.bottleneck = has(&b, "layer1.0.conv3.weight");
    int rc = stem(&b);
    for (int s = 1; rc == KN_OK && s <= 4; s++)
        rc = stage(&b, s);
    if (rc == KN_OK)
        rc = head(&b);
    if (rc == KN_OK)
        name_arch(&b);
    return rc;
}

int64_t kn_layer_macs(const struct kn_layer *layer)
{
    if (layer->op != KN_CONV && layer->op != KN_FC)
        return 0;
    return (int64_t)layer->oc * layer->oh * layer->ow * layer->ic * layer->kh * layer->kw;
}

int64_t kn_net_macs(const struct kn_net *net)
{
    int64_t sum = 0;
    for (int i = 0; i < net->n_layers; i++)
        sum += kn_layer_macs(&net->layer[i]);
    return sum;
}
