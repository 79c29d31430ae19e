/* statistics.h: what a network's layers put out: seen on pictures, or told by batch-norm. What
 * 8-bit packing is decided by. Internal to weights/. */
#ifndef WEIGHTS_STATISTICS_H
#define WEIGHTS_STATISTICS_H

#include "weights/histogram.h"
#include "weights/pack.h"
#include "weights/picture.h"
#include "weights/source.h"

struct wt_statistics {
    int n_layers, n_pictures;       /* 0 pictures: told by batch-norm */
    struct wt_histogram *histogram; /* [n_layers], of each one's outputs */
    double *mean[KN_MAX_LAYERS];    /* [oc] of them, by channel */
    double *largest[KN_MAX_LAYERS]; /* [oc] their magnitudes */
    float *logits;                  /* [n_pictures, classes], of fp32; else NULL */
    double *memory;                 /* what those point into */
};

/* Runs the pictures through fp32. Errors: WT_ENOMEM, WT_EIO when progress gives up. */
int wt_statistics_gather(struct wt_statistics *statistics, const struct wt_folded *folded,
                         const struct wt_recipe *recipe, const struct wt_crops *crops,
                         const struct wt_progress *progress, struct wt_err *err);

/* Without a picture: outputs as normal distributions of the mean and deviation that batch-norm
 * gives each channel, through ReLU and residual sums as if all were independent. Errors: WT_ETENSOR
 * when folded->norm knows nothing of a layer, WT_ENOMEM. */
int wt_statistics_assume(struct wt_statistics *statistics, const struct wt_folded *folded,
                         struct wt_err *err);

/* The steps that kn_quant_layer() needs, what goes through a ReLU cut off as `clip` says; the 16
 * bits of other outputs need no cutting. step: [net->n_values] */
void wt_statistics_steps(const struct wt_statistics *statistics, const struct kn_net *net,
                         enum wt_clip clip, float *step);

void wt_statistics_free(struct wt_statistics *statistics);

/* Room for all of it, zeros; for the two above. */
int wt_statistics_init(struct wt_statistics *statistics, const struct kn_net *net,
                       struct wt_err *err);

#endif
