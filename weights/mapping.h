/* mapping.h: what stands behind wt_model.impl; internal to weights/. */
#ifndef WEIGHTS_MAPPING_H
#define WEIGHTS_MAPPING_H

#include "weights/view.h"

struct wt_mapping {
    struct wt_view view; /* its path is none once the model is open */
    const char **labels;
    int users; /* models that stand on it */
};

#endif
