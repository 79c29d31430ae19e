/* engine.c: weights in memory, brought into the layout of the best engine here. */
#include "weights/engine.h"

#include <stdlib.h>

static int make_layers(struct wt_engine *engine, const struct wt_pack *pack,
                       const struct wt_layout *layout, struct wt_err *err)
{
    const struct kn_net *net = pack->net;
    struct wt_part parts[WT_MAX_PARTS];
    size_t bytes = 0;

    for (int i = 0; i < net->n_layers; i++)
        bytes += wt_parts_bytes(parts, wt_layouts_parts(layout, &net->layer[i], parts));
    char *at = engine->memory = aligned_alloc(KN_ALIGN, bytes);
    if (at == NULL)
        return wt_fail(err, WT_ENOMEM, "no memory for %zu bytes of weights as %s", bytes,
                       layout->id);
    for (int i = 0; i < net->n_layers; i++) {
        const void *data[WT_MAX_PARTS] = {NULL};
        int n = wt_layouts_parts(layout, &net->layer[i], parts);
        if (n == 0)
            continue;
        wt_parts_make(pack, layout, i, parts, n, at, data);
        engine->weights[i] = wt_layouts_weight(layout, data);
        at += wt_parts_bytes(parts, n);
    }
    return WT_OK;
}

int wt_engine_new(struct wt_engine *engine, const struct wt_pack *pack, const char *precision,
                  struct wt_err *err)
{
    const struct kn_options options = {
        .precision = precision, .max_batch = 1, .max_threads = KN_MAX_THREADS};
    struct kn_err why;
    const char *id = kn_plan_layout(NULL, precision, &why);
    const struct wt_layout *layout = id != NULL ? wt_layouts_find(id) : NULL;

    *engine = (struct wt_engine){0};
    if (layout == NULL)
        return wt_fail(err, WT_ESECTION, "%s", id == NULL ? wt_err_kernels(&why) : id);
    int code = make_layers(engine, pack, layout, err);
    if (code == WT_OK &&
        kn_plan_new(&engine->plan, pack->net, engine->weights, &options, &why) != KN_OK)
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
