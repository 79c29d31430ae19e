/* precisions.c: the precisions beside the default one. */
#include "fcgi/precisions.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/config.h"
#include "fcgi/log.h"
#include "fcgi/scoreboard.h"

int fcgi_precisions_exit(enum wt_code weights, enum kn_code kernels)
{
    if (weights == WT_ENOMEM || kernels == KN_ENOMEM || kernels == KN_ETHREADS)
        return FCGI_EXIT_TRY_LATER;
    return FCGI_EXIT_CONFIG;
}

/* 1: the file has it and this machine can compute it. */
static int is_there(const struct wt_model *model, const struct kn_options *options)
{
    const char *layout = kn_plan_layout(options->isa, options->precision, NULL);

    return layout != NULL && strcmp(options->precision, model->precision) != 0 &&
           wt_model_has(model, layout);
}

static int bind(struct fcgi_other *other, const struct wt_model *model,
                const struct kn_options *options, char text[512])
{
    const char *layout = kn_plan_layout(options->isa, options->precision, NULL);
    struct kn_err kernel_err;
    struct wt_err err;

    if (wt_model_beside(&other->model, model, layout, &err) != WT_OK) {
        snprintf(text, 512, "%s", err.text);
        return fcgi_precisions_exit(err.code, KN_OK);
    }
    if (kn_plan_new(&other->plan, &other->model.net, other->model.weights, options, &kernel_err) !=
        KN_OK) {
        snprintf(text, 512, "%s: %s", options->precision, kernel_err.text);
        wt_model_close(&other->model);
        return fcgi_precisions_exit(WT_OK, kernel_err.code);
    }
    wt_model_leave(&other->model); /* a plan of int8 has looked at its numbers */
    other->proof = FCGI_UNPROVEN;
    return 0;
}

int fcgi_precisions_open(struct fcgi_others *others, const struct wt_model *model,
                         const struct kn_plan *plan, const struct kn_options *options,
                         char text[512])
{
    struct kn_options one = *options;

    others->n = 0;
    one.beside = plan;
    for (int i = 0; i < FCGI_N_PRECISIONS && others->n < FCGI_MAX_OTHERS; i++) {
        one.precision = fcgi_scoreboard_precision_name((enum fcgi_precision)i);
        if (!is_there(model, &one))
            continue;
        int code = bind(&others->other[others->n], model, &one, text);
        if (code != 0)
            return code;
        others->n++;
    }
    return 0;
}

void fcgi_precisions_close(struct fcgi_others *others)
{
    for (int i = 0; i < others->n; i++) {
        kn_plan_free(others->other[i].plan);
        wt_model_close(&others->other[i].model);
    }
    others->n = 0;
}

struct fcgi_other *fcgi_precisions_find(struct fcgi_others *others, const char *name, size_t n)
{
    for (int i = 0; i < others->n; i++) {
        const char *precision = others->other[i].model.precision;
        if (strlen(precision) == n && memcmp(precision, name, n) == 0)
            return &others->other[i];
    }
    return NULL;
}

void fcgi_precisions_list(const struct fcgi_others *others, const char *first,
                          char text[FCGI_PRECISIONS_TEXT])
{
    size_t used = (size_t)snprintf(text, FCGI_PRECISIONS_TEXT, "%s", first);

    for (int i = 0; i < others->n && used < FCGI_PRECISIONS_TEXT; i++)
        used += (size_t)snprintf(text + used, FCGI_PRECISIONS_TEXT - used, ", %s",
                                 others->other[i].model.precision);
}

/* Whether `between` stopped the self-test. */
struct watch {
    kn_between_fn *between;
    void *ctx;
    int stopped;
};

static int watch_between(void *ctx, int layer)
{
    struct watch *watch = ctx;
    int threads = watch->between != NULL ? watch->between(watch->ctx, layer) : 1;

    watch->stopped |= threads == 0;
    return threads;
}

int fcgi_precisions_prove(struct fcgi_other *other, kn_between_fn *between, void *ctx,
                          struct fcgi_err *err)
{
    const struct wt_model *model = &other->model;
    struct watch watch = {between, ctx, 0};
    struct wt_err why;

    if (other->proof == FCGI_UNPROVEN) {
        int code = wt_model_check(model, &why);
        if (code == WT_OK)
            code = wt_selftest(model, other->plan, wt_selftest_tolerance(model), watch_between,
                               &watch, &why);
        if (code == WT_ENOMEM)
            return fcgi_fail(err, FCGI_E_WORKER_FAILED,
                             "no memory is left for the self-test of precision %s",
                             model->precision);
        if (code != WT_OK && watch.stopped)
            return fcgi_fail(err, FCGI_E_CANCELLED, "inference was stopped between two layers");
        if (code != WT_OK)
            fcgi_log(FCGI_LOG_ERROR, "precision_refuted", "precision=%s reason=%s",
                     model->precision, why.text);
        other->proof = code == WT_OK ? FCGI_PROVEN : FCGI_REFUTED;
    }
    if (other->proof == FCGI_PROVEN)
        return FCGI_E_OK;
    return fcgi_fail(err, FCGI_E_WORKER_FAILED,
                     "precision %s: its weights in the model file are damaged, or this machine "
                     "computes other numbers with them; other precisions can be asked for",
                     model->precision);
}
