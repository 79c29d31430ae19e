/* compare.h: how far one network's outputs are from another's. Internal to weights/. */
#ifndef WEIGHTS_COMPARE_H
#define WEIGHTS_COMPARE_H

#include "weights/engine.h"
#include "weights/pack.h"
#include "weights/picture.h"

/* Decibels that the signal is above the error, of their sums of squares. No error at all is
 * WT_COMPARE_EXACT, no signal 0. */
#define WT_COMPARE_EXACT 200.0

double wt_compare_db(double signal, double error);

/* Every layer's outputs of int8 against those of fp32, over at most `most` of the pictures.
 * snr_db: [net->n_layers]. Errors: WT_ENOMEM, WT_EIO when progress gives up. */
int wt_compare_layers(float *snr_db, struct wt_engine *fp32, struct wt_engine *int8,
                      const struct wt_recipe *recipe, const struct wt_crops *crops, int most,
                      const struct wt_progress *progress, struct wt_err *err);

#endif
