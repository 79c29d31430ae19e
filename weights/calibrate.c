/* calibrate.c: ways of cutting off outputs, tried, and the best one taken. */
#include "weights/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/quant.h"
#include "weights/compare.h"
#include "weights/equalise.h"
#include "weights/statistics.h"

enum {
    TRIED = 64,    /* pictures of those seen, at most, that every way is tried on ... */
    TRIED_REF = 4, /* ... or with the reference engine, at seconds each */
    COMPARED = 16, /* pictures of which every layer is compared in the end */
};

struct calibration {
    struct wt_int8 *int8;
    const struct wt_folded *folded;
    const struct wt_recipe *recipe;
    const struct wt_crops *crops;
    const struct wt_progress *progress;
    struct wt_err *err;
    struct wt_statistics statistics;
    int attempt; /* candidates so far */
};

/* ---- biases --------------------------------------------------------------------------------- */

/* Whether a layer's filters are rounded to 8 bits; those of the ends have 16. */
static int is_narrow(const struct kn_layer *layer)
{
    return layer->op == KN_CONV && layer->in != 0;
}

/* The mean of each channel of a layer's input. */
static const double *input_mean(const struct calibration *c, const struct kn_layer *layer)
{
    const struct kn_net *net = &c->folded->net;

    for (int i = 0; i < net->n_layers; i++)
        if (net->layer[i].out == layer->in)
            return c->statistics.mean[i];
    return NULL;
}

/* What rounding a filter to steps of 127 takes from its sum, in the mean. w: [ic, taps] */
static double lost_by_rounding(const float *w, size_t ic, size_t taps, const double *mean)
{
    double largest = 0, lost = 0;

    for (size_t i = 0; i < ic * taps; i++)
        largest = fmax(largest, fabs((double)w[i]));
    for (size_t i = 0; i < ic && largest > 0; i++)
        for (size_t t = 0; t < taps; t++) {
            double steps = (double)w[i * taps + t] / largest * KN_QUANT_S8_MOST;
            lost += (steps - rint(steps)) * mean[i];
        }
    return lost * largest / KN_QUANT_S8_MOST;
}

static void correct(const struct calibration *c, int layer, float *bias)
{
    const struct kn_layer *l = &c->folded->net.layer[layer];
    const struct kn_weight *from = &c->folded->weights[layer];
    size_t taps = (size_t)(l->kh * l->kw), k = (size_t)l->ic * taps;
    const double *mean = input_mean(c, l);
    const float *w = from->w;

    for (size_t o = 0; o < (size_t)l->oc; o++)
        bias[o] =
            (float)((double)from->bias[o] + lost_by_rounding(w + o * k, (size_t)l->ic, taps, mean));
    c->int8->weights[layer].bias = bias;
}

/* Each bias gives back what rounding the filters takes. */
static int correct_biases(const struct calibration *c)
{
    const struct kn_net *net = &c->folded->net;
    size_t channels = 0;

    for (int i = 0; i < net->n_layers; i++)
        channels += (size_t)net->layer[i].oc;
    float *at = c->int8->biases = malloc(channels * sizeof(*at));
    if (at == NULL)
        return wt_fail(c->err, WT_ENOMEM, "no memory for %zu biases", channels);
    for (int i = 0; i < net->n_layers; at += net->layer[i++].oc) {
        c->int8->weights[i] = c->folded->weights[i];
        if (is_narrow(&net->layer[i]))
            correct(c, i, at);
    }
    return WT_OK;
}

/* ---- steps ---------------------------------------------------------------------------------- */

static void set_steps(const struct calibration *c, enum wt_clip clip)
{
    wt_statistics_steps(&c->statistics, &c->folded->net, clip, c->int8->step);
    c->int8->about.clip = clip;
}

static int make_engine(const struct calibration *c, struct wt_engine *engine, const char *precision)
{
    const struct wt_pack pack = {.net = &c->folded->net,
                                 .weights = c->folded->weights,
                                 .recipe = c->recipe,
                                 .int8 = c->int8};

    return wt_engine_new(engine, &pack, precision, c->err);
}

static int go_on(void *ctx, int layer)
{
    const struct calibration *c = ctx;
    double share = (double)c->attempt / WT_N_CLIPS;

    (void)layer;
    return wt_progress(c->progress, "trying", share) == 0 ? KN_MAX_THREADS : 0;
}

/* Decibels of the logits over some of the pictures. */
static int measure(struct calibration *c, struct wt_engine *engine, double *db)
{
    size_t classes = (size_t)c->folded->net.classes;
    int most = strcmp(kn_plan_isa(engine->plan), "ref") == 0 ? TRIED_REF : TRIED;
    int n = c->crops->n < most ? c->crops->n : most;
    float *logits = calloc(classes, sizeof(*logits));
    double signal = 0, error = 0;
    int code = logits != NULL ? WT_OK : wt_fail(c->err, WT_ENOMEM, "no memory for logits");

    for (int i = 0; i < n && code == WT_OK; i++) {
        int at = (int)((int64_t)i * c->crops->n / n);
        const float *want = c->statistics.logits + (size_t)at * classes;
        if (kn_run_pixels(engine->plan, wt_picture_of(c->crops, at), 1, logits, NULL, go_on, c) !=
            KN_OK)
            code = wt_fail(c->err, WT_EIO, "calibration was given up, as asked");
        for (size_t k = 0; k < classes; k++) {
            double d = (double)logits[k] - (double)want[k];
            signal += (double)want[k] * (double)want[k];
            error += d * d;
        }
    }
    *db = wt_compare_db(signal, error);
    free(logits);
    return code;
}

static int try_one(struct calibration *c, enum wt_clip clip, double *db)
{
    struct wt_engine engine;

    set_steps(c, clip);
    int code = make_engine(c, &engine, "int8");
    if (code != WT_OK)
        return code;
    code = measure(c, &engine, db);
    wt_engine_free(&engine);
    c->attempt++;
    return code;
}

static int try_all(struct calibration *c)
{
    enum wt_clip best_clip = WT_CLIP_LARGEST;
    double best = -INFINITY;

    for (int clip = 0; clip < WT_N_CLIPS; clip++) {
        double db;
        int code = try_one(c, (enum wt_clip)clip, &db);
        if (code != WT_OK)
            return code;
        if (db > best) {
            best = db;
            best_clip = (enum wt_clip)clip;
        }
    }
    set_steps(c, best_clip);
    return WT_OK;
}

static int compare(struct calibration *c)
{
    struct wt_engine fp32 = {0}, int8 = {0};
    int code = make_engine(c, &fp32, "fp32");

    if (code == WT_OK)
        code = make_engine(c, &int8, "int8");
    if (code == WT_OK)
        code = wt_compare_layers(c->int8->snr_db, &fp32, &int8, c->recipe, c->crops, COMPARED,
                                 c->progress, c->err);
    wt_engine_free(&int8);
    wt_engine_free(&fp32);
    return code;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static int calibrate_with_pictures(struct calibration *c)
{
    int code =
        wt_statistics_gather(&c->statistics, c->folded, c->recipe, c->crops, c->progress, c->err);

    if (code == WT_OK)
        code = correct_biases(c);
    if (code == WT_OK)
        code = try_all(c);
    return code == WT_OK ? compare(c) : code;
}

static int calibrate_without(struct calibration *c)
{
    int code = wt_statistics_assume(&c->statistics, c->folded, c->err);

    if (code == WT_OK)
        code = correct_biases(c);
    if (code != WT_OK)
        return code;
    set_steps(c, WT_CLIP_LARGEST);
    for (int i = 0; i < c->folded->net.n_layers; i++)
        c->int8->snr_db[i] = NAN;
    return WT_OK;
}

/* Batch-norm's statistics are enough to tell which channels are small. */
static int equalise(struct calibration *c, struct wt_folded *equal)
{
    struct wt_statistics told;

    int code = wt_statistics_assume(&told, c->folded, c->err);
    if (code != WT_OK)
        return code;
    code = wt_equalise(equal, c->folded, &told, c->err);
    wt_statistics_free(&told);
    c->folded = equal;
    return code;
}

int wt_calibrate(struct wt_int8 *int8, const struct wt_folded *folded,
                 const struct wt_recipe *recipe, const struct wt_crops *crops, int drawn,
                 const struct wt_progress *progress, struct wt_err *err)
{
    struct calibration c = {.int8 = int8,
                            .folded = folded,
                            .recipe = recipe,
                            .crops = crops,
                            .progress = progress,
                            .err = err};
    int code = WT_OK;

    *int8 = (struct wt_int8){.about.pictures = crops != NULL ? (uint32_t)crops->n : 0};
    if (!drawn)
        code = equalise(&c, &int8->equal);
    if (code == WT_OK)
        code = crops != NULL ? calibrate_with_pictures(&c) : calibrate_without(&c);
    wt_statistics_free(&c.statistics);
    if (code != WT_OK)
        wt_calibrate_free(int8);
    return code;
}

void wt_calibrate_free(struct wt_int8 *int8)
{
    wt_folded_free(&int8->equal);
    free(int8->biases);
    int8->biases = NULL;
}
