/* source.h: weights as people have them, before packing: a safetensors or .pth file, as named
 * tensors. Only resnet-pack reads these; internal to weights/. */
#ifndef WEIGHTS_SOURCE_H
#define WEIGHTS_SOURCE_H

#include "weights/weights.h"

enum wt_dtype { WT_F32, WT_F64, WT_F16, WT_BF16, WT_I64, WT_I32, WT_I16, WT_I8, WT_U8, WT_BOOL };
enum { WT_MAX_DIMS = 8, WT_MAX_TENSORS = 8192, WT_MAX_TENSOR_NAME = 256 };

struct wt_tensor {
    char *name; /* after prefixes are taken off: "layer1.0.conv1.weight" */
    enum wt_dtype dtype;
    int ndim; /* 0: a scalar */
    int64_t dim[WT_MAX_DIMS];
    int64_t stride[WT_MAX_DIMS]; /* in elements; dense tensors have the usual ones */
    const uint8_t *data; /* little-endian; every element that shape and stride reach is inside */
};

struct wt_source {
    struct wt_tensor *tensors; /* sorted by name */
    size_t n_tensors;
    char sha256[65]; /* of the file, hex */
    const char *path;
    void *impl;
};

/* Opens by content, not by name: safetensors, .pth (zip), .pth (before torch 1.6). Executes
 * nothing. A state_dict under "state_dict" or "model" is found; the prefixes "module.", "model.",
 * "backbone." are taken off; "fc.1.*" becomes "fc.*". path is kept. Close in any case of success.
 */
int wt_source_open(struct wt_source *source, const char *path, struct wt_err *err);
void wt_source_close(struct wt_source *source);

/* The tensor of that name, or NULL. */
const struct wt_tensor *wt_source_find(const struct wt_source *source, const char *name);

int64_t wt_tensor_count(const struct wt_tensor *tensor); /* elements */

/* Copies all elements, in row-major order, as floats. out: [wt_tensor_count()]. Integers are
 * refused with WT_ETENSOR. Every fp16 and bf16 value is exact in float; f64 is rounded. */
int wt_tensor_floats(const struct wt_tensor *tensor, float *out, struct wt_err *err);

/* ---- batch-norm folding (fold.c) -------------------------------------------------------------
 * w: [oc, k] in place; gamma, beta, mean, var: [oc] -> bias: [oc]. In double, eps 1e-5. */
void wt_fold(float *w, float *bias, int64_t oc, int64_t k, const float *gamma, const float *beta,
             const float *mean, const float *var);

/* The network's parameters after folding: for every row of net with parameters, dense float
 * weights ("f32.plain") and bias, one allocation, KN_ALIGN-aligned. norm: what batch-norm says of a
 * convolution's outputs before ReLU, [2, oc]: the channels' means, then their deviations; NULL
 * where there was none. */
struct wt_folded {
    struct kn_net net;
    struct kn_weight weights[KN_MAX_LAYERS];
    const float *norm[KN_MAX_LAYERS];
    void *memory;
};

/* Reads every tensor that the network needs, checks its shape, folds. height = width = size px.
 * Extra tensors that are not num_batches_tracked are an error naming the first. */
int wt_fold_source(struct wt_folded *folded, const struct wt_source *source, int size,
                   struct wt_err *err);
void wt_folded_free(struct wt_folded *folded);

#endif
