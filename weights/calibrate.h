/* calibrate.h: what int8 rounds, and in which steps. Internal to weights/.
 *
 * First the channels between two convolutions are scaled alike (equalise.h). With pictures, fp32 is
 * run on them and every layer's outputs are counted (statistics.h). Each way of cutting them off
 * makes a network whose logits are compared with those of fp32: the one that errs least is taken.
 * Without pictures there is nothing to compare; batch-norm's statistics then say how far a channel
 * reaches. */
#ifndef WEIGHTS_CALIBRATE_H
#define WEIGHTS_CALIBRATE_H

#include "weights/pack.h"
#include "weights/picture.h"
#include "weights/source.h"

struct wt_int8 {
    float step[KN_MAX_LAYERS + 1];           /* [net->n_values]: kernels/quant.h */
    struct kn_weight weights[KN_MAX_LAYERS]; /* "f32.plain": what is rounded */
    struct wt_rnm_calibration about;
    float snr_db[KN_MAX_LAYERS]; /* of each layer's outputs against fp32; NaN: not measured */
    struct wt_folded equal;      /* what weights point into, but for biases, corrected */
    float *biases;
};

/* crops: pictures as the recipe crops them, or NULL. drawn: they are no photographs, but were drawn
 * for networks with random weights. Free in any case of success. Errors: WT_ENOMEM; WT_ETENSOR
 * (neither pictures nor batch-norm); WT_EIO when progress gives up. */
int wt_calibrate(struct wt_int8 *int8, const struct wt_folded *folded,
                 const struct wt_recipe *recipe, const struct wt_crops *crops, int drawn,
                 const struct wt_progress *progress, struct wt_err *err);
void wt_calibrate_free(struct wt_int8 *int8);

#endif
