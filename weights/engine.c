/* engine.c: weights in memory, brought into the layout of the best engine here. */
#include "weights/engine.h"

#include <stdlib.h>
#include <string.h>

static size_t padded(size_t bytes)
{
    return (bytes + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN;
}

static int pack_layers(struct wt_engine *engine, const struct kn_net *net,
                       const struct kn_weight *weights, const char *layout, struct wt_err *err)
{
    size_t bytes = 0;

    for (int i = 0; i < net->n_layers; i++)
        bytes += padded(kn_pack_bytes(layout, &net->layer[i]));
    char *at = engine->memory = aligned_alloc(KN_ALIGN, bytes);
    if (at == NULL)
        return wt_fail(err, WT_ENOMEM, "no memory for %zu bytes of weights as %s", bytes, layout);
    for (int i = 0; i < net->n_layers; i++) {
        engine->weights[i].bias = weights[i].bias;
        if (kn_pack_bytes(layout, &net->layer[i]) == 0)
            continue;
        kn_pack(layout, &net->layer[i], weights[i].w, at);
        engine->weights[i].w = at;
        at += padded(kn_pack_bytes(layout, &net->layer[i]));
    }
    return WT_OK;
}

int wt_engine_new(struct wt_engine *engine, const struct kn_net *net,
                  const struct kn_weight *weights, const char *precision, struct wt_err *err)
{
    const struct kn_options options = {
        .precision = precision, .max_batch = 1, .max_threads = KN_MAX_THREADS};
    struct kn_err why;
    const char *layout = kn_plan_layout(NULL, precision, &why);

    *engine = (struct wt_engine){0};
    if (layout == NULL)
        return wt_fail(err, WT_ESECTION, "%s", wt_err_kernels(&why));
    int code = pack_layers(engine, net, weights, layout, err);
    if (code == WT_OK && kn_plan_new(&engine->plan, net, engine->weights, &options, &why) != KN_OK)
        code = wt_fail(err, WT_ENOMEM, "%s", wt_err_kernels(&why));
    if (code != WT_OK)
        wt_engine_free(engine);
    return code;
}

void wt_engine_free(struct wt_engine *engine)
{
    kn_plan_free(engine->plan);
    free(engine->memory);
    *engine = (struct wt_engine){0};
}
