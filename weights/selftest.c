/* selftest.c: does this plan, on this machine, compute what `ref` computed when packing? */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "weights/digest.h"
#include "weights/mapping.h"
#include "weights/pack.h"
#include "weights/picture.h"

static const char *const stage_names[WT_RNM_STAGES] = {"stem",   "layer1", "layer2",
                                                       "layer3", "layer4", "features"};

/* One forward pass that looks at the end of every stage. */
struct probe {
    struct kn_plan *plan;
    const struct kn_net *net;
    int last[WT_RNM_STAGES];    /* the layer that ends each stage */
    float *x, *logits, *value;  /* one allocation, at x */
    struct wt_rnm_stage *stage; /* [WT_RNM_STAGES], filled in on the way */
    kn_between_fn *between;
    void *ctx;
};

static int64_t layer_values(const struct kn_layer *layer)
{
    return (int64_t)layer->oc * layer->oh * layer->ow;
}

/* Finds the stages' last layers and allocates. -> WT_OK, WT_EARCH or WT_ENOMEM */
static int probe_init(struct probe *probe, const struct kn_net *net, struct wt_err *err)
{
    int64_t input = (int64_t)net->layer[0].ic * net->height * net->width, largest = 0;

    if (net->layer[0].ic != 3)
        return wt_fail(err, WT_EARCH,
                       "conv1.weight: expected 3 input channels (red, green, blue), found %d",
                       net->layer[0].ic);
    probe->net = net;
    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_layer *layer = &net->layer[i];
        if (layer->stage <= 4)
            probe->last[layer->stage] = i;
        else if (layer->op == KN_AVGPOOL)
            probe->last[5] = i;
    }
    for (int s = 0; s < WT_RNM_STAGES; s++) {
        int64_t values = layer_values(&net->layer[probe->last[s]]);
        largest = values > largest ? values : largest;
    }
    probe->x = calloc((size_t)(input + net->classes + largest), sizeof(float));
    if (probe->x == NULL)
        return wt_fail(err, WT_ENOMEM, "no memory for the self-test");
    probe->logits = probe->x + input;
    probe->value = probe->logits + net->classes;
    return WT_OK;
}

static void probe_stage(struct probe *probe, int s)
{
    int64_t n = layer_values(&probe->net->layer[probe->last[s]]);
    struct wt_rnm_stage stage = {0};

    kn_plan_output(probe->plan, probe->last[s], probe->value);
    for (int64_t i = 0; i < n; i++) {
        stage.sum += (double)probe->value[i];
        stage.magnitude += fabs((double)probe->value[i]);
    }
    probe->stage[s] = stage;
}

static int probe_between(void *ctx, int layer)
{
    struct probe *probe = ctx;

    for (int s = 0; s < WT_RNM_STAGES; s++)
        if (layer > 0 && probe->last[s] == layer - 1)
            probe_stage(probe, s);
    return probe->between != NULL ? probe->between(probe->ctx, layer) : KN_MAX_THREADS;
}

/* The picture that the seed names, as the network's input. x: probe->x */
static int structured_input(const struct probe *probe, const struct wt_recipe *recipe,
                            uint64_t seed, struct wt_err *err)
{
    size_t side = (size_t)probe->net->height;
    uint8_t *pixels = calloc(side, 3 * side);

    if (pixels == NULL)
        return wt_fail(err, WT_ENOMEM, "no memory for the self-test");
    wt_picture_draw(pixels, (int)side, seed);
    wt_picture_normalise(pixels, recipe, probe->x);
    free(pixels);
    return WT_OK;
}

struct reporter {
    const struct wt_progress *progress;
    const struct kn_net *net;
};

static int report_layer(void *ctx, int layer)
{
    const struct reporter *r = ctx;
    int64_t done = 0;

    for (int i = 0; i < layer; i++)
        done += kn_layer_macs(&r->net->layer[i]);
    if (wt_progress(r->progress, "self-test", (double)done / (double)kn_net_macs(r->net)) != 0)
        return 0;
    return KN_MAX_THREADS;
}

/* Weights whose values overflow on the way would fail every self-test to come. */
static int check_finite(const struct wt_rnm_selftest *test, struct wt_err *err)
{
    for (int s = 0; s < WT_RNM_STAGES; s++)
        if (!isfinite(test->stage[s].magnitude))
            return wt_fail(err, WT_ESELFTEST,
                           "self-test: %s is not finite: these weights were not trained, or not "
                           "with batch-norm's statistics",
                           stage_names[s]);
    for (uint32_t i = 0; i < test->n_logits; i++)
        if (!isfinite(test->logits[i]))
            return wt_fail(err, WT_ESELFTEST, "self-test: logit %" PRIu32 " is not finite", i);
    return WT_OK;
}

int wt_selftest_compute(struct wt_rnm_selftest **out, const struct kn_net *net,
                        const struct kn_weight *weights, const struct wt_recipe *recipe,
                        uint64_t seed, const struct wt_progress *progress, struct wt_err *err)
{
    struct reporter reporter = {progress, net};
    struct probe probe = {.between = report_layer, .ctx = &reporter};
    struct kn_options options = {.isa = "ref", .max_batch = 1, .max_threads = KN_MAX_THREADS};
    size_t logits_bytes = (size_t)net->classes * sizeof(float);
    struct kn_err why;
    int code = WT_OK;

    *out = calloc(1, sizeof(**out) + logits_bytes);
    code = *out != NULL ? probe_init(&probe, net, err)
                        : wt_fail(err, WT_ENOMEM, "no memory for the self-test");
    if (code != WT_OK)
        goto out;
    **out = (struct wt_rnm_selftest){seed, WT_RNM_STAGES, (uint32_t)net->classes, {{0, 0}}};
    probe.stage = (*out)->stage;
    if (kn_plan_new(&probe.plan, net, weights, &options, &why) != KN_OK) {
        code = wt_fail(err, WT_ENOMEM, "self-test: %s", wt_err_kernels(&why));
        goto out;
    }
    code = structured_input(&probe, recipe, seed, err);
    if (code != WT_OK)
        goto out;
    if (kn_run(probe.plan, probe.x, 1, probe.logits, NULL, probe_between, &probe) != KN_OK)
        code = wt_fail(err, WT_ESELFTEST, "the self-test was given up, as asked");
    memcpy((*out)->logits, probe.logits, logits_bytes);
    if (code == WT_OK)
        code = check_finite(*out, err);
out:
    kn_plan_free(probe.plan);
    free(probe.x);
    if (code != WT_OK) {
        free(*out);
        *out = NULL;
    }
    return code;
}

static int compare_stages(const struct wt_rnm_stage found[], const struct wt_rnm_stage want[],
                          double tolerance, struct wt_err *err)
{
    for (int s = 0; s < WT_RNM_STAGES; s++) {
        double bound = tolerance * want[s].magnitude;
        /* Turned round, so that a NaN fails. */
        if (!(fabs(found[s].sum - want[s].sum) <= bound) ||
            !(fabs(found[s].magnitude - want[s].magnitude) <= bound))
            return wt_fail(err, WT_ESELFTEST,
                           "self-test: %s: expected a sum of %.9g (magnitude %.9g), found %.9g "
                           "(%.9g); allowed difference %.3g",
                           stage_names[s], want[s].sum, want[s].magnitude, found[s].sum,
                           found[s].magnitude, bound);
    }
    return WT_OK;
}

static int compare_logits(const float *found, const float *want, int n, double tolerance,
                          struct wt_err *err)
{
    double largest = 0;

    for (int i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)want[i]));
    for (int i = 0; i < n; i++)
        if (!(fabs((double)found[i] - (double)want[i]) <= tolerance * largest))
            return wt_fail(err, WT_ESELFTEST,
                           "self-test: logit %d: expected %.9g, found %.9g; allowed difference "
                           "%.3g",
                           i, (double)want[i], (double)found[i], tolerance * largest);
    return WT_OK;
}

/* fp32 engines that only sum in another order stay below 1e-6 and Winograd's F(4,3) below 2e-5; a
 * wrong weight, layout or instruction is off by far more than 1e-4.
 *
 * bf16 rounds each filter and each value that a layer writes to 8 bits: an error uniform within
 * u = 2^-8 of it, so of variance u^2 / 3, independent from one to the next. A layer's sum passes on
 * its input's relative error and adds that of its filter and of its own rounding; n layers one
 * after the other make a standard deviation of u * sqrt(2 n / 3), 0.02 for ResNet-50. Four of those
 * are allowed. */
double wt_selftest_tolerance(const struct wt_model *model)
{
    const double fp32 = 1e-4, u = 0x1p-8;
    int n = 0;

    if (strcmp(model->precision, "bf16") != 0)
        return fp32;
    for (int i = 0; i < model->net.n_layers; i++)
        n += model->net.layer[i].op == KN_CONV || model->net.layer[i].op == KN_FC;
    return 4 * u * sqrt(2.0 * n / 3);
}

int wt_selftest_exact(uint64_t *check, struct kn_plan *plan, uint64_t seed, kn_between_fn *between,
                      void *ctx, struct wt_err *err)
{
    const struct kn_net *net = kn_plan_net(plan);
    size_t side = (size_t)net->height, classes = (size_t)net->classes;
    uint8_t *pixels = calloc(side, 3 * side), sha256[32];
    float *logits = calloc(classes, sizeof(*logits));
    struct wt_digest_logits digest;
    char hex[65];
    int code = WT_OK;

    if (pixels == NULL || logits == NULL) {
        code = wt_fail(err, WT_ENOMEM, "no memory for the self-test");
        goto out;
    }
    wt_picture_draw(pixels, (int)side, seed);
    if (kn_run_pixels(plan, pixels, 1, logits, NULL, between, ctx) != KN_OK) {
        code = wt_fail(err, WT_ESELFTEST, "the self-test was stopped, as asked");
        goto out;
    }
    wt_digest_logits_begin(&digest);
    wt_digest_logits_add(&digest, logits, classes);
    wt_digest_logits_hex(&digest, hex);
    wt_digest_unhex(sha256, hex);
    memcpy(check, sha256, sizeof(*check));
out:
    free(logits);
    free(pixels);
    return code;
}

/* To the bit: there is no tolerance in int8. */
static int selftest_exact(const struct wt_model *model, struct kn_plan *plan,
                          kn_between_fn *between, void *ctx, struct wt_err *err)
{
    const struct wt_view *view = &((const struct wt_mapping *)model->impl)->view;
    uint64_t found, want = wt_view_section(view, model->layout)->check;
    int code = wt_selftest_exact(&found, plan, view->selftest->seed, between, ctx, err);

    if (code == WT_OK && found != want)
        return wt_fail(err, WT_ESELFTEST,
                       "self-test: the int8 logits' digest is %016" PRIx64 ", expected %016" PRIx64,
                       found, want);
    return code;
}

int wt_selftest(const struct wt_model *model, struct kn_plan *plan, double tolerance,
                kn_between_fn *between, void *ctx, struct wt_err *err)
{
    const struct wt_rnm_selftest *want = ((const struct wt_mapping *)model->impl)->view.selftest;
    struct wt_rnm_stage found[WT_RNM_STAGES] = {{0, 0}};
    struct probe probe = {.plan = plan, .stage = found, .between = between, .ctx = ctx};

    if (strcmp(model->precision, "int8") == 0)
        return selftest_exact(model, plan, between, ctx, err);
    int code = probe_init(&probe, &model->net, err);
    if (code != WT_OK)
        return code;
    code = structured_input(&probe, &model->recipe, want->seed, err);
    if (code != WT_OK)
        goto out;
    if (kn_run(plan, probe.x, 1, probe.logits, NULL, probe_between, &probe) != KN_OK)
        code = wt_fail(err, WT_ESELFTEST, "the self-test was stopped, as asked");
    else if ((code = compare_stages(found, want->stage, tolerance, err)) == WT_OK)
        code = compare_logits(probe.logits, want->logits, model->net.classes, tolerance, err);
out:
    free(probe.x);
    return code;
}
