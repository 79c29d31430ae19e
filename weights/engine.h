/* engine.h: a plan of the best engine here for weights that are in memory, not in a model file;
 * what packing measures with. Internal to weights/. */
#ifndef WEIGHTS_ENGINE_H
#define WEIGHTS_ENGINE_H

#include "weights/pack.h"

struct wt_engine {
    struct kn_plan *plan;
    struct kn_weight weights[KN_MAX_LAYERS];
    void *memory;
};

/* pack: net, weights, recipe, and int8 for that precision. Errors: WT_ENOMEM, WT_ESECTION (no
 * engine of that precision). */
int wt_engine_new(struct wt_engine *engine, const struct wt_pack *pack, const char *precision,
                  struct wt_err *err);
void wt_engine_free(struct wt_engine *engine);

#endif
