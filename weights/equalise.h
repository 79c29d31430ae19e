/* equalise.h: a network that computes the same and rounds better. Internal to weights/. */
#ifndef WEIGHTS_EQUALISE_H
#define WEIGHTS_EQUALISE_H

#include "weights/statistics.h"

/* Between two convolutions with nothing but a ReLU in between, a channel may be made larger by the
 * first one and smaller again by the second: ReLU does not mind. In int8 all channels of a value
 * share one step, so that small ones lose most; and all inputs of a filter share one. Each channel
 * is scaled so that its outputs and the weights that read it are equally far below the largest
 * ones. statistics: of folded. wt_folded_free(equal). Errors: WT_ENOMEM. */
int wt_equalise(struct wt_folded *equal, const struct wt_folded *folded,
                const struct wt_statistics *statistics, struct wt_err *err);

#endif
