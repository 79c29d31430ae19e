/* classify.h: photographs to classes. One classifier serves the worker and resnet-classify alike.
 */
#ifndef FCGI_CLASSIFY_H
#define FCGI_CLASSIFY_H

#include "fcgi/image.h"
#include "fcgi/precisions.h"
#include "kernels/kernels.h"
#include "weights/weights.h"

struct fcgi_classifier {
    struct wt_model model; /* in the default precision */
    struct kn_plan *plan;
    struct fcgi_others others;
    struct fcgi_other *chosen; /* what runs compute in; NULL: the default */
    int max_images;
    float *input;    /* [max_images, 3, crop, crop]; photographs are not brought there in int8 */
    uint8_t *crop;   /* [max_images, crop, crop, 3] */
    float *logits;   /* [max_images, classes] */
    float *features; /* [max_images, features] */
    float *probabilities; /* [classes], scratch of fcgi_classify_probabilities() */
};

struct fcgi_classifier_options {
    const char *path, *isa /* NULL: best */, *precision /* NULL: fp32 */;
    int model_fd; /* path already open, and the caller's; 0 or -1: path is opened */
    int max_images, max_threads;
    int all_precisions; /* 1: those beside the default can be chosen */
};

struct fcgi_span {
    const uint8_t *bytes;
    size_t n;
};

struct fcgi_prediction {
    int class_id;
    const char *label; /* the model's */
    float probability;
};

struct fcgi_classify_times {
    int64_t decode_ns, resize_ns, infer_ns;
};

/* How a caller follows and bounds the work. Every member may be NULL. */
struct fcgi_follow {
    fcgi_tick_fn *tick;     /* while decoding and resizing */
    kn_between_fn *between; /* between layers */
    void *ctx;              /* handed to both */
};

/* Opens the model, makes the plan, runs the golden self-test, so that the first request finds
 * everything warm. All memory of fp32 inference is allocated here.
 * Returns 0, or a sentence and an exit code: FCGI_EXIT_CONFIG, or FCGI_EXIT_TRY_LATER without
 * memory or threads. */
int fcgi_classifier_open(struct fcgi_classifier *classifier,
                         const struct fcgi_classifier_options *options,
                         const struct fcgi_follow *follow, char text[512]);
void fcgi_classifier_close(struct fcgi_classifier *classifier);

/* What all runs from now on compute in; NULL: the default. name: [n] bytes. Errors: BAD_REQUEST,
 * naming those that can be chosen. */
int fcgi_classifier_choose(struct fcgi_classifier *classifier, const char *name, size_t n,
                           struct fcgi_err *err);
const char *fcgi_classifier_precision(const struct fcgi_classifier *classifier); /* "bf16" */

/* 1 if every machine computes the same logits to the bit in this precision. */
int fcgi_classifier_is_exact(const struct fcgi_classifier *classifier);

/* images: n encoded photographs, 1 <= n <= max_images -> classifier->logits and ->features.
 * exif: enum wt_exif, or -1 for the recipe's. Errors name the image's number when n > 1. Returns
 * FCGI_E_OK or err->code; FCGI_E_CANCELLED when `between` stopped the run; FCGI_E_WORKER_FAILED
 * when the chosen precision fails its self-test. */
int fcgi_classify_images(struct fcgi_classifier *classifier, const struct fcgi_span *images, int n,
                         const struct fcgi_image_limits *limits, int exif,
                         struct fcgi_classify_times *times, const struct fcgi_follow *follow,
                         struct fcgi_err *err);

/* x: [n, 3, crop, crop], already preprocessed -> the same. */
int fcgi_classify_tensor(struct fcgi_classifier *classifier, const float *x, int n,
                         struct fcgi_classify_times *times, const struct fcgi_follow *follow,
                         struct fcgi_err *err);

/* Softmax or sigmoid, as the recipe says, of image i of the last run: [classes], until the next
 * call. */
const float *fcgi_classify_probabilities(struct fcgi_classifier *classifier, int i);

/* The k classes with the highest values, best first, ties by lower class id. values: [classes];
 * they become the predictions' probability. k is lowered to the class count. Returns k. */
int fcgi_classify_rank(const struct fcgi_classifier *classifier, const float *values, int k,
                       struct fcgi_prediction *top);

/* The k most probable classes of image i of the last run: both of the above. */
int fcgi_classify_top(struct fcgi_classifier *classifier, int i, int k,
                      struct fcgi_prediction *top);

#endif
