/* random.h: networks with random weights; internal to weights/. */
#ifndef WEIGHTS_RANDOM_H
#define WEIGHTS_RANDOM_H

#include "weights/source.h"

struct wt_random {
    uint64_t seed;
    int depth; /* 18, 34, 50, 101, 152 */
    int width; /* channels after the first layer; ResNet has 64 */
    int classes;
};

/* Fills folded as if it had been read and folded; wt_folded_free(). The same bits on every
 * machine. Errors: WT_EARCH (a depth or width that there is not), WT_ENOMEM. */
int wt_random_make(struct wt_folded *folded, const struct wt_random *random, int size_px,
                   struct wt_err *err);

#endif
