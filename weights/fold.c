/* fold.c: batch-norm into the convolution before it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "weights/reader.h"

static const double BN_EPS = 1e-5; /* PyTorch's default; some variances are near 5e-12 */

void wt_fold(float *w, float *bias, int64_t oc, int64_t k, const float *gamma, const float *beta,
             const float *mean, const float *var)
{
    for (int64_t o = 0; o < oc; o++) {
        double scale = (double)gamma[o] / sqrt((double)var[o] + BN_EPS);
        for (int64_t i = 0; i < k; i++)
            w[o * k + i] = (float)((double)w[o * k + i] * scale);
        bias[o] = (float)((double)beta[o] - (double)mean[o] * scale);
    }
}

struct folding {
    struct wt_folded *folded;
    const struct wt_source *source;
    struct wt_err *err;
    uint8_t *used;    /* [source->n_tensors] */
    float *statistic; /* [4, most channels]: gamma, beta, mean, var of one layer */
};

enum { MAX_NAME = KN_MAX_NAME + 16 };

static int is_conv(const struct kn_layer *layer)
{
    return layer->op == KN_CONV;
}

static int has_weights(const struct kn_layer *layer)
{
    return is_conv(layer) || layer->op == KN_FC;
}

/* Inputs that one output sums over. */
static int64_t fan_in(const struct kn_layer *layer)
{
    return is_conv(layer) ? (int64_t)layer->ic * layer->kh * layer->kw : layer->ic;
}

/* ---- one tensor ----------------------------------------------------------------------------- */

/* Somebody else's prefix is the commonest reason for a network that "is not there". */
static const char *with_prefix(const struct wt_source *source, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < source->n_tensors; i++) {
        const char *other = source->tensors[i].name;
        size_t length = strlen(other);
        if (length > n && other[length - n - 1] == '.' && strcmp(other + length - n, name) == 0)
            return other;
    }
    return NULL;
}

static int missing(const struct folding *f, const char *name)
{
    const char *other = with_prefix(f->source, name);

    if (!other)
        return wt_fail(f->err, WT_ETENSOR,
                       "%s: %s is missing among its %zu tensors; expected torchvision's names, "
                       "from conv1.weight to fc.bias",
                       f->source->path, name, f->source->n_tensors);
    return wt_fail(
        f->err, WT_ETENSOR,
        "%s: %s is missing, but there is %s: save the network without what stands before "
        "its names (\"module.\", \"model.\" and \"backbone.\" are taken off here)",
        f->source->path, name, other);
}

static int check_shape(const struct folding *f, const struct wt_tensor *tensor, int ndim,
                       const int64_t *dim)
{
    char expected[WT_SHAPE_TEXT], found[WT_SHAPE_TEXT];

    if (tensor->ndim == ndim && memcmp(tensor->dim, dim, (size_t)ndim * sizeof *dim) == 0)
        return WT_OK;
    return wt_fail(f->err, WT_ESHAPE, "%s: %s: expected %s, the file has %s", f->source->path,
                   tensor->name, wt_shape_text(dim, ndim, expected),
                   wt_shape_text(tensor->dim, tensor->ndim, found));
}

static int check_values(const struct folding *f, const struct wt_tensor *tensor, const float *x,
                        int64_t n, int is_variance)
{
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return wt_fail(f->err, WT_ETENSOR,
                           "%s: %s: element %lld is %s; a broken or diverged training run?",
                           f->source->path, tensor->name, (long long)i,
                           isnan(x[i]) ? "not a number" : "infinite");
        if (is_variance && x[i] < 0)
            return wt_fail(f->err, WT_ETENSOR, "%s: %s: element %lld, a variance, is negative (%g)",
                           f->source->path, tensor->name, (long long)i, (double)x[i]);
    }
    return WT_OK;
}

/* Copies the tensor base.suffix, of exactly that shape, and marks it as used. */
static int take(struct folding *f, const char *base, const char *suffix, int ndim,
                const int64_t *dim, float *out)
{
    char name[2 * MAX_NAME];
    const struct wt_tensor *tensor;
    struct wt_err inner;
    int code;

    stpcpy(stpcpy(stpcpy(name, base), "."), suffix);
    tensor = wt_source_find(f->source, name);
    if (!tensor)
        return missing(f, name);
    f->used[tensor - f->source->tensors] = 1;
    code = check_shape(f, tensor, ndim, dim);
    if (code != WT_OK)
        return code;
    code = wt_tensor_floats(tensor, out, &inner);
    if (code != WT_OK)
        return wt_fail(f->err, code, "%s: %s", f->source->path, wt_err_sentence(&inner));
    return check_values(f, tensor, out, wt_tensor_count(tensor), !strcmp(suffix, "running_var"));
}

/* ---- one layer ------------------------------------------------------------------------------ */

/* "conv1" -> "bn1", "layer1.0.conv2" -> "layer1.0.bn2", "x.downsample.0" -> "x.downsample.1" */
static void batch_norm_name(const char *conv, char out[MAX_NAME])
{
    const char *dot = strrchr(conv, '.');
    size_t n = dot ? (size_t)(dot + 1 - conv) : 0;
    const char *last = conv + n;

    memcpy(out, conv, n);
    if (strncmp(last, "conv", 4) == 0)
        stpcpy(stpcpy(out + n, "bn"), last + 4);
    else
        stpcpy(out + n, "1");
}

static int check_folded(const struct folding *f, const struct kn_layer *layer, const float *x,
                        int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return wt_fail(f->err, WT_ETENSOR,
                           "%s: %s: batch-norm folded in, its weights exceed a float's range",
                           f->source->path, layer->name);
    return WT_OK;
}

/* Mean and deviation of what batch-norm lets out, over all that it was trained with. */
static void note_norm(float *norm, int64_t oc, const float *gamma, const float *beta,
                      const float *var)
{
    for (int64_t o = 0; o < oc; o++) {
        double v = (double)var[o];
        norm[o] = beta[o];
        norm[oc + o] = (float)(fabs((double)gamma[o]) * sqrt(v / (v + BN_EPS)));
    }
}

static int fold_conv(struct folding *f, const struct kn_layer *layer, float *w, float *bias,
                     float *norm)
{
    static const char *const suffixes[] = {"weight", "bias", "running_mean", "running_var"};
    int64_t oc = layer->oc, dim[] = {oc, layer->ic, layer->kh, layer->kw};
    float *s = f->statistic;
    char name[MAX_NAME];
    int code = take(f, layer->name, "weight", 4, dim, w);

    batch_norm_name(layer->name, name);
    for (int i = 0; i < 4 && code == WT_OK; i++)
        code = take(f, name, suffixes[i], 1, dim, s + i * oc);
    if (code != WT_OK)
        return code;
    wt_fold(w, bias, oc, fan_in(layer), s, s + oc, s + 2 * oc, s + 3 * oc);
    note_norm(norm, oc, s, s + oc, s + 3 * oc);
    code = check_folded(f, layer, w, oc * fan_in(layer));
    return code == WT_OK ? check_folded(f, layer, bias, oc) : code;
}

static int copy_classifier(struct folding *f, const struct kn_layer *layer, float *w, float *bias)
{
    int64_t dim[] = {layer->oc, layer->ic};
    int code = take(f, layer->name, "weight", 2, dim, w);

    return code == WT_OK ? take(f, layer->name, "bias", 1, dim, bias) : code;
}

static int fold_layers(struct folding *f)
{
    const struct kn_net *net = &f->folded->net;

    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_layer *layer = &net->layer[i];
        /* Written here, before anybody else sees the constant pointers. */
        float *w = (float *)f->folded->weights[i].w, *bias = (float *)f->folded->weights[i].bias;
        float *norm = (float *)f->folded->norm[i];
        int code = WT_OK;
        if (is_conv(layer))
            code = fold_conv(f, layer, w, bias, norm);
        else if (has_weights(layer))
            code = copy_classifier(f, layer, w, bias);
        if (code != WT_OK)
            return code;
    }
    return WT_OK;
}

/* A tensor that nobody asked for means that the network is not the one that was trained. */
static int check_extra(const struct folding *f)
{
    static const char counter[] = ".num_batches_tracked";
    const size_t n = sizeof counter - 1;

    for (size_t i = 0; i < f->source->n_tensors; i++) {
        const char *name = f->source->tensors[i].name;
        size_t length = strlen(name);
        if (!f->used[i] && !(length > n && strcmp(name + length - n, counter) == 0))
            return wt_fail(f->err, WT_ETENSOR, "%s: %s is not part of a %s: another architecture?",
                           f->source->path, name, f->folded->net.arch);
    }
    return WT_OK;
}

/* ---- the network ---------------------------------------------------------------------------- */

static int shape_of(void *ctx, const char *name, int64_t dim[KN_MAX_DIMS])
{
    const struct wt_tensor *tensor = wt_source_find(ctx, name);

    if (!tensor || tensor->ndim < 1 || tensor->ndim > KN_MAX_DIMS)
        return 0;
    memcpy(dim, tensor->dim, (size_t)tensor->ndim * sizeof *dim);
    return tensor->ndim;
}

static int build_net(struct folding *f, int size)
{
    struct kn_net *net = &f->folded->net;
    struct kn_err kn = {0};
    int code;

    if (!wt_source_find(f->source, "conv1.weight"))
        return missing(f, "conv1.weight");
    code = kn_net_init(net, size, size, shape_of, (void *)f->source, &kn);
    if (code == KN_OK)
        return WT_OK;
    return wt_fail(f->err, code == KN_ESHAPE ? WT_ESHAPE : WT_EARCH, "%s: %s", f->source->path,
                   wt_err_kernels(&kn));
}

static int add_floats(size_t *n_bytes, int64_t n)
{
    size_t bytes, room;

    return !__builtin_mul_overflow(n, sizeof(float), &bytes) &&
           !__builtin_add_overflow(bytes, (size_t)KN_ALIGN - 1, &room) &&
           !__builtin_add_overflow(*n_bytes, room & ~((size_t)KN_ALIGN - 1), n_bytes);
}

/* Offsets first, so that one allocation holds everything, each start on a cache line. */
static int place(struct folding *f)
{
    struct wt_folded *folded = f->folded;
    size_t n_bytes = 0, most = 0, at[KN_MAX_LAYERS][3];

    for (int i = 0; i < folded->net.n_layers; i++) {
        const struct kn_layer *layer = &folded->net.layer[i];
        if (!has_weights(layer))
            continue;
        most = (size_t)layer->oc > most ? (size_t)layer->oc : most;
        at[i][0] = n_bytes;
        if (!add_floats(&n_bytes, layer->oc * fan_in(layer)))
            return wt_fail(f->err, WT_ENOMEM, "%s: its size overflows", layer->name);
        at[i][1] = n_bytes;
        if (!add_floats(&n_bytes, layer->oc))
            return wt_fail(f->err, WT_ENOMEM, "%s: its size overflows", layer->name);
        at[i][2] = n_bytes;
        if (is_conv(layer) && !add_floats(&n_bytes, 2 * (int64_t)layer->oc))
            return wt_fail(f->err, WT_ENOMEM, "%s: its size overflows", layer->name);
    }
    folded->memory = aligned_alloc(KN_ALIGN, n_bytes);
    f->statistic = calloc(4 * most, sizeof *f->statistic);
    f->used = calloc(f->source->n_tensors, 1);
    if (!folded->memory || !f->statistic || !f->used)
        return wt_fail(f->err, WT_ENOMEM, "%s: no memory for %zu bytes of weights", f->source->path,
                       n_bytes);
    for (int i = 0; i < folded->net.n_layers; i++) {
        const char *memory = folded->memory;
        if (has_weights(&folded->net.layer[i])) {
            folded->weights[i].w = memory + at[i][0];
            folded->weights[i].bias = (const float *)(memory + at[i][1]);
        }
        if (is_conv(&folded->net.layer[i]))
            folded->norm[i] = (const float *)(memory + at[i][2]);
    }
    return WT_OK;
}

int wt_fold_source(struct wt_folded *folded, const struct wt_source *source, int size,
                   struct wt_err *err)
{
    struct folding f = {.folded = folded, .source = source, .err = err};
    int code;

    memset(folded, 0, sizeof *folded);
    code = build_net(&f, size);
    if (code == WT_OK)
        code = place(&f);
    if (code == WT_OK)
        code = fold_layers(&f);
    if (code == WT_OK)
        code = check_extra(&f);
    free(f.statistic);
    free(f.used);
    if (code != WT_OK)
        wt_folded_free(folded);
    return code;
}

void wt_folded_free(struct wt_folded *folded)
{
    free(folded->memory);
    folded->memory = NULL;
    memset(folded->weights, 0, sizeof folded->weights);
    memset(folded->norm, 0, sizeof folded->norm);
}
