/* classify.c: photographs to classes: image.c, preprocess.c and the network, in that order. */
#include "fcgi/classify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fcgi/config.h"
#include "fcgi/preprocess.h"

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static size_t image_floats(const struct fcgi_classifier *classifier)
{
    size_t side = (size_t)classifier->model.recipe.crop;

    return 3 * side * side;
}

/* ---- open, close ----------------------------------------------------------------------------- */

static int allocate(struct fcgi_classifier *classifier, char text[512])
{
    const struct kn_net *net = &classifier->model.net;
    size_t n = (size_t)classifier->max_images, floats = image_floats(classifier);

    classifier->input = calloc(n * floats, sizeof(float));
    classifier->crop = calloc(n * floats, 1);
    classifier->logits = calloc(n * (size_t)net->classes, sizeof(float));
    classifier->features = calloc(n * (size_t)net->features, sizeof(float));
    classifier->probabilities = calloc((size_t)net->classes, sizeof(float));
    if (classifier->input != NULL && classifier->crop != NULL && classifier->logits != NULL &&
        classifier->features != NULL && classifier->probabilities != NULL)
        return 0;
    snprintf(text, 512, "no memory for the buffers of %zu images", n);
    return FCGI_EXIT_TRY_LATER;
}

static int open_model(struct fcgi_classifier *classifier,
                      const struct fcgi_classifier_options *options, char text[512])
{
    struct kn_err kernel_err;
    struct wt_err err;
    const char *layout = kn_plan_layout(options->isa, options->precision, &kernel_err);

    if (layout == NULL) {
        snprintf(text, 512, "%s", kernel_err.text);
        return FCGI_EXIT_CONFIG;
    }
    int fd = options->model_fd > 0 ? options->model_fd : -1;
    if (wt_model_open_fd(&classifier->model, fd, options->path, layout, &err) != WT_OK) {
        snprintf(text, 512, "%s", err.text);
        return fcgi_precisions_exit(err.code, KN_OK);
    }
    return 0;
}

static int make_plan(struct fcgi_classifier *classifier, const struct kn_options *options,
                     const struct fcgi_follow *follow, char text[512])
{
    struct wt_model *model = &classifier->model;
    struct kn_err kernel_err;
    struct wt_err err;

    if (kn_plan_new(&classifier->plan, &model->net, model->weights, options, &kernel_err) !=
        KN_OK) {
        snprintf(text, 512, "%s%s", kernel_err.text,
                 kernel_err.code == KN_ETHREADS
                     ? "; raise the limit of processes and threads (pids.max, TasksMax=, "
                       "RLIMIT_NPROC), or set RESNET_THREADS lower"
                     : "");
        return fcgi_precisions_exit(WT_OK, kernel_err.code);
    }
    if (wt_selftest(model, classifier->plan, wt_selftest_tolerance(model),
                    follow != NULL ? follow->between : NULL, follow != NULL ? follow->ctx : NULL,
                    &err) != WT_OK) {
        snprintf(text, 512, "%s", err.text);
        return fcgi_precisions_exit(err.code, KN_OK);
    }
    return 0;
}

int fcgi_classifier_open(struct fcgi_classifier *classifier,
                         const struct fcgi_classifier_options *options,
                         const struct fcgi_follow *follow, char text[512])
{
    struct kn_options kernel_options = {.isa = options->isa,
                                        .precision = options->precision,
                                        .max_batch = options->max_images,
                                        .max_threads = options->max_threads};

    memset(classifier, 0, sizeof(*classifier));
    classifier->max_images = options->max_images;
    int code = open_model(classifier, options, text);
    if (code != 0)
        return code;
    code = make_plan(classifier, &kernel_options, follow, text);
    if (code == 0)
        code = allocate(classifier, text);
    if (code == 0 && options->all_precisions)
        code = fcgi_precisions_open(&classifier->others, &classifier->model, classifier->plan,
                                    &kernel_options, text);
    if (code != 0)
        fcgi_classifier_close(classifier);
    return code;
}

void fcgi_classifier_close(struct fcgi_classifier *classifier)
{
    free(classifier->probabilities);
    free(classifier->features);
    free(classifier->logits);
    free(classifier->crop);
    free(classifier->input);
    fcgi_precisions_close(&classifier->others);
    kn_plan_free(classifier->plan);
    wt_model_close(&classifier->model);
    memset(classifier, 0, sizeof(*classifier));
}

/* ---- precisions ------------------------------------------------------------------------------ */

const char *fcgi_classifier_precision(const struct fcgi_classifier *classifier)
{
    return classifier->chosen ? classifier->chosen->model.precision : classifier->model.precision;
}

int fcgi_classifier_is_exact(const struct fcgi_classifier *classifier)
{
    return strcmp(fcgi_classifier_precision(classifier), "int8") == 0;
}

int fcgi_classifier_choose(struct fcgi_classifier *classifier, const char *name, size_t n,
                           struct fcgi_err *err)
{
    const char *usual = classifier->model.precision;
    char list[FCGI_PRECISIONS_TEXT];

    classifier->chosen = NULL;
    if (name == NULL || (n == strlen(usual) && memcmp(name, usual, n) == 0))
        return FCGI_E_OK;
    classifier->chosen = fcgi_precisions_find(&classifier->others, name, n);
    if (classifier->chosen != NULL)
        return FCGI_E_OK;
    fcgi_precisions_list(&classifier->others, usual, list);
    return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                     "precision: expected one that this server's model has (%s)", list);
}

/* ---- run ------------------------------------------------------------------------------------- */

/* Keeps the sentence's beginning where both do not fit. */
static void name_image(struct fcgi_err *err, int i, int n)
{
    char sentence[sizeof(err->text)];

    if (n == 1)
        return;
    memcpy(sentence, err->text, sizeof(sentence));
    snprintf(err->text, sizeof(err->text), "image %d of %d: %.220s", i + 1, n, sentence);
}

/* Photograph number i: its crop, and unless int8 takes that as it is, the network's input. */
static int prepare(struct fcgi_classifier *classifier, const struct fcgi_span *image, int i,
                   const struct wt_recipe *recipe, const struct fcgi_image_limits *limits,
                   struct fcgi_image_timing *timing, const struct fcgi_follow *follow,
                   struct fcgi_err *err)
{
    size_t at = (size_t)i * image_floats(classifier);
    uint8_t *crop = classifier->crop + at;
    int64_t start;
    int code = fcgi_image_crop(image->bytes, image->n, recipe, limits, crop, timing,
                               follow != NULL ? follow->tick : NULL,
                               follow != NULL ? follow->ctx : NULL, err);

    if (code != FCGI_E_OK || fcgi_classifier_is_exact(classifier))
        return code;
    start = now_ns();
    fcgi_preprocess_normalise(crop, recipe, classifier->input + at);
    timing->resize_ns += now_ns() - start;
    return FCGI_E_OK;
}

/* x: the network's input, or NULL for the crops. */
static int run(struct fcgi_classifier *classifier, const float *x, int n,
               struct fcgi_classify_times *times, const struct fcgi_follow *follow,
               struct fcgi_err *err)
{
    struct kn_plan *plan = classifier->chosen ? classifier->chosen->plan : classifier->plan;
    kn_between_fn *between = follow != NULL ? follow->between : NULL;
    void *ctx = follow != NULL ? follow->ctx : NULL;
    float *logits = classifier->logits, *features = classifier->features;
    int64_t start = now_ns();

    if (classifier->chosen != NULL &&
        fcgi_precisions_prove(classifier->chosen, between, ctx, err) != FCGI_E_OK)
        return err->code;
    int stopped = x != NULL
                      ? kn_run(plan, x, n, logits, features, between, ctx)
                      : kn_run_pixels(plan, classifier->crop, n, logits, features, between, ctx);
    times->infer_ns += now_ns() - start;
    if (stopped)
        return fcgi_fail(err, FCGI_E_CANCELLED, "inference was stopped between two layers");
    return FCGI_E_OK;
}

int fcgi_classify_images(struct fcgi_classifier *classifier, const struct fcgi_span *images, int n,
                         const struct fcgi_image_limits *limits, int exif,
                         struct fcgi_classify_times *times, const struct fcgi_follow *follow,
                         struct fcgi_err *err)
{
    struct wt_recipe recipe = classifier->model.recipe;
    struct fcgi_image_timing timing = {0, 0};
    int code = FCGI_E_OK;

    memset(times, 0, sizeof(*times));
    if (exif >= 0)
        recipe.exif = (enum wt_exif)exif;
    for (int i = 0; i < n && code == FCGI_E_OK; i++) {
        code = prepare(classifier, &images[i], i, &recipe, limits, &timing, follow, err);
        if (code != FCGI_E_OK)
            name_image(err, i, n);
    }
    times->decode_ns = timing.decode_ns;
    times->resize_ns = timing.resize_ns;
    if (code != FCGI_E_OK)
        return code;
    const float *x = fcgi_classifier_is_exact(classifier) ? NULL : classifier->input;
    return run(classifier, x, n, times, follow, err);
}

int fcgi_classify_tensor(struct fcgi_classifier *classifier, const float *x, int n,
                         struct fcgi_classify_times *times, const struct fcgi_follow *follow,
                         struct fcgi_err *err)
{
    memset(times, 0, sizeof(*times));
    return run(classifier, x, n, times, follow, err);
}

/* ---- the best -------------------------------------------------------------------------------- */

/* top: [*found], best first; takes p in if it is among the k best. Of equal ones the earlier stays
 * ahead. */
static void rank(struct fcgi_prediction *top, int *found, int k, int class_id, float p)
{
    int at = *found;

    if (at == k && !(p > top[k - 1].probability))
        return;
    if (at == k)
        at--;
    else
        ++*found;
    for (; at > 0 && p > top[at - 1].probability; at--)
        top[at] = top[at - 1];
    top[at] = (struct fcgi_prediction){.class_id = class_id, .probability = p};
}

const float *fcgi_classify_probabilities(struct fcgi_classifier *classifier, int i)
{
    int classes = classifier->model.net.classes;
    const float *logits = classifier->logits + (size_t)i * (size_t)classes;

    if (classifier->model.recipe.activation == WT_SIGMOID)
        kn_sigmoid(logits, classes, classifier->probabilities);
    else
        kn_softmax(logits, classes, classifier->probabilities);
    return classifier->probabilities;
}

int fcgi_classify_rank(const struct fcgi_classifier *classifier, const float *values, int k,
                       struct fcgi_prediction *top)
{
    const struct wt_model *model = &classifier->model;
    int found = 0;

    if (k > model->net.classes)
        k = model->net.classes;
    if (k < 1)
        return 0;
    for (int c = 0; c < model->net.classes; c++)
        rank(top, &found, k, c, values[c]);
    for (int r = 0; r < k; r++)
        top[r].label = model->labels[top[r].class_id];
    return k;
}

int fcgi_classify_top(struct fcgi_classifier *classifier, int i, int k, struct fcgi_prediction *top)
{
    return fcgi_classify_rank(classifier, fcgi_classify_probabilities(classifier, i), k, top);
}
