/* statistics.c: what each layer of the fp32 network puts out, seen on pictures. */
#include "weights/statistics.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/quant.h"
#include "weights/engine.h"

struct observer {
    struct wt_statistics *statistics;
    const struct kn_net *net;
    struct wt_engine engine;
    float *x, *value; /* an input; the largest output */
    const struct wt_progress *progress;
    int picture, n_pictures;
};

int wt_statistics_init(struct wt_statistics *s, const struct kn_net *net, struct wt_err *err)
{
    size_t channels = 0;

    *s = (struct wt_statistics){.n_layers = net->n_layers};
    for (int i = 0; i < net->n_layers; i++)
        channels += (size_t)net->layer[i].oc;
    s->histogram = calloc((size_t)net->n_layers, sizeof(*s->histogram));
    double *at = s->memory = calloc(2 * channels, sizeof(*s->memory));
    if (s->histogram == NULL || s->memory == NULL) {
        wt_statistics_free(s);
        return wt_fail(err, WT_ENOMEM, "no memory for the statistics of %d layers", net->n_layers);
    }
    for (int i = 0; i < net->n_layers; at += 2 * net->layer[i++].oc) {
        s->mean[i] = at;
        s->largest[i] = at + net->layer[i].oc;
    }
    return WT_OK;
}

void wt_statistics_free(struct wt_statistics *s)
{
    free(s->logits);
    free(s->histogram);
    free(s->memory);
    *s = (struct wt_statistics){0};
}

static size_t plane(const struct kn_layer *layer)
{
    return (size_t)layer->oh * (size_t)layer->ow;
}

static int observer_init(struct observer *o, const struct wt_folded *folded,
                         const struct wt_recipe *recipe, struct wt_err *err)
{
    size_t largest = 0, side = (size_t)recipe->crop;

    for (int i = 0; i < o->net->n_layers; i++) {
        size_t values = (size_t)o->net->layer[i].oc * plane(&o->net->layer[i]);
        largest = values > largest ? values : largest;
    }
    o->x = calloc(3 * side * side + largest, sizeof(float));
    if (o->x == NULL)
        return wt_fail(err, WT_ENOMEM, "no memory for a layer of %zu values", largest);
    o->value = o->x + 3 * side * side;
    const struct wt_pack pack = {.net = o->net, .weights = folded->weights, .recipe = recipe};
    return wt_engine_new(&o->engine, &pack, "fp32", err);
}

static void observe(struct observer *o, int i)
{
    const struct kn_layer *layer = &o->net->layer[i];
    const float *at = o->value;

    kn_plan_output(o->engine.plan, i, o->value);
    wt_histogram_add(&o->statistics->histogram[i], o->value, (size_t)layer->oc * plane(layer));
    for (int c = 0; c < layer->oc; c++) {
        double sum = 0, *largest = &o->statistics->largest[i][c];
        for (size_t p = 0; p < plane(layer); p++, at++) {
            sum += (double)*at;
            *largest = fmax(*largest, fabs((double)*at));
        }
        o->statistics->mean[i][c] += sum / (double)plane(layer) / o->n_pictures;
    }
}

static int between(void *ctx, int layer)
{
    struct observer *o = ctx;
    double share = ((double)layer / o->net->n_layers + o->picture) / o->n_pictures;

    if (wt_progress(o->progress, "observing", share) != 0)
        return 0;
    if (layer > 0)
        observe(o, layer - 1);
    return KN_MAX_THREADS;
}

static int run(struct observer *o, const struct wt_recipe *recipe, const struct wt_crops *crops,
               struct wt_err *err)
{
    size_t classes = (size_t)o->net->classes;
    float *logits = o->statistics->logits = calloc((size_t)crops->n * classes, sizeof(*logits));
    int code = logits != NULL ? WT_OK : wt_fail(err, WT_ENOMEM, "no memory for logits");

    for (o->picture = 0; o->picture < crops->n && code == WT_OK; o->picture++) {
        wt_picture_normalise(wt_picture_of(crops, o->picture), recipe, o->x);
        if (kn_run(o->engine.plan, o->x, 1, logits, NULL, between, o) != KN_OK)
            code = wt_fail(err, WT_EIO, "calibration was given up, as asked");
        logits += classes;
    }
    return code;
}

int wt_statistics_gather(struct wt_statistics *statistics, const struct wt_folded *folded,
                         const struct wt_recipe *recipe, const struct wt_crops *crops,
                         const struct wt_progress *progress, struct wt_err *err)
{
    struct observer o = {.statistics = statistics,
                         .net = &folded->net,
                         .progress = progress,
                         .n_pictures = crops->n};

    int code = wt_statistics_init(statistics, &folded->net, err);
    if (code != WT_OK)
        return code;
    statistics->n_pictures = crops->n;
    code = observer_init(&o, folded, recipe, err);
    if (code == WT_OK)
        code = run(&o, recipe, crops, err);
    wt_engine_free(&o.engine);
    free(o.x);
    if (code != WT_OK)
        wt_statistics_free(statistics);
    return code;
}

void wt_statistics_steps(const struct wt_statistics *statistics, const struct kn_net *net,
                         enum wt_clip clip, float *step)
{
    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_layer *layer = &net->layer[i];
        int levels = layer->relu ? KN_QUANT_U8_MOST : KN_QUANT_S16_GOOD;
        enum wt_clip how = layer->relu ? clip : WT_CLIP_LARGEST;
        double most = wt_histogram_clip(&statistics->histogram[i], how, levels);
        /* A layer that was never seen to put out anything but zeros may have any step. */
        if (layer->op == KN_CONV)
            step[layer->out] = (float)((most > 0 ? most : 1) / levels);
    }
    kn_quant_steps(net, step);
}
