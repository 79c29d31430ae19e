/* compare.c: int8 against fp32, layer by layer. */
#include "weights/compare.h"

#include <math.h>
#include <stdlib.h>

struct comparison {
    struct wt_engine *engine; /* the one that runs */
    const struct kn_net *net;
    float *x, *logits;
    float *value[KN_MAX_LAYERS]; /* what fp32 put out for the picture in hand */
    float *other;                /* the same of int8, for one layer */
    double signal[KN_MAX_LAYERS], error[KN_MAX_LAYERS];
    float *memory; /* what all of them point into */
    const struct wt_progress *progress;
    double done, step; /* of all that there is to do */
};

double wt_compare_db(double signal, double error)
{
    if (!(signal > 0))
        return 0;
    return error > 0 ? fmin(10 * log10(signal / error), WT_COMPARE_EXACT) : WT_COMPARE_EXACT;
}

static size_t values_of(const struct kn_layer *layer)
{
    return (size_t)layer->oc * (size_t)layer->oh * (size_t)layer->ow;
}

static int comparison_init(struct comparison *c, const struct wt_recipe *recipe, struct wt_err *err)
{
    const struct kn_net *net = c->net;
    size_t input = 3 * (size_t)recipe->crop * (size_t)recipe->crop, all = 0, largest = 0;

    for (int i = 0; i < net->n_layers; i++) {
        size_t n = values_of(&net->layer[i]);
        all += n;
        largest = n > largest ? n : largest;
    }
    all += input + (size_t)net->classes + largest;
    c->memory = calloc(all, sizeof(*c->memory));
    if (c->memory == NULL)
        return wt_fail(err, WT_ENOMEM, "no memory for all %zu values of a picture", all);
    c->x = c->memory;
    c->logits = c->x + input;
    c->other = c->logits + net->classes;
    c->value[0] = c->other + largest;
    for (int i = 1; i < net->n_layers; i++)
        c->value[i] = c->value[i - 1] + values_of(&net->layer[i - 1]);
    return WT_OK;
}

static int go_on(const struct comparison *c, int layer)
{
    double share = c->done + c->step * layer / c->net->n_layers;

    return wt_progress(c->progress, "comparing", share) == 0 ? KN_MAX_THREADS : 0;
}

static int keep(void *ctx, int layer)
{
    struct comparison *c = ctx;

    if (layer > 0)
        kn_plan_output(c->engine->plan, layer - 1, c->value[layer - 1]);
    return go_on(c, layer);
}

static int compare(void *ctx, int layer)
{
    struct comparison *c = ctx;
    const float *want = layer > 0 ? c->value[layer - 1] : NULL;

    if (layer == 0)
        return go_on(c, layer);
    kn_plan_output(c->engine->plan, layer - 1, c->other);
    for (size_t i = 0, n = values_of(&c->net->layer[layer - 1]); i < n; i++) {
        double d = (double)c->other[i] - (double)want[i];
        c->signal[layer - 1] += (double)want[i] * (double)want[i];
        c->error[layer - 1] += d * d;
    }
    return go_on(c, layer);
}

static int run(struct comparison *c, struct wt_engine *engine, kn_between_fn *between,
               struct wt_err *err)
{
    c->engine = engine;
    if (kn_run(engine->plan, c->x, 1, c->logits, NULL, between, c) != KN_OK)
        return wt_fail(err, WT_EIO, "calibration was given up, as asked");
    c->done += c->step;
    return WT_OK;
}

int wt_compare_layers(float *snr_db, struct wt_engine *fp32, struct wt_engine *int8,
                      const struct wt_recipe *recipe, const struct wt_crops *crops, int most,
                      const struct wt_progress *progress, struct wt_err *err)
{
    int n = crops->n < most ? crops->n : most;
    struct comparison c = {.net = kn_plan_net(fp32->plan), .progress = progress, .step = 0.5 / n};

    int code = comparison_init(&c, recipe, err);
    for (int i = 0; i < n && code == WT_OK; i++) {
        wt_picture_normalise(wt_picture_of(crops, (int)((int64_t)i * crops->n / n)), recipe, c.x);
        code = run(&c, fp32, keep, err);
        if (code == WT_OK)
            code = run(&c, int8, compare, err);
    }
    for (int i = 0; i < c.net->n_layers && code == WT_OK; i++)
        snr_db[i] = (float)wt_compare_db(c.signal[i], c.error[i]);
    free(c.memory);
    return code;
}
