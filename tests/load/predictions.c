/* predictions.c: a short list of classes out of many shapes of JSON. */
#include "tests/load/predictions.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights/json.h"

enum { MAX_TOKENS = 1 << 20, MAX_DEPTH = 4, MAX_CLASSES = 1 << 20 };

static const char *const containers[] = {
    "predictions", "prediction", "results", "result",        "top5",   "top_5",   "top_k",
    "topk",        "classes",    "data",    "probabilities", "output", "outputs", NULL};
static const char *const ids[] = {"class_id", "class_index", "class_idx", "category_id", NULL};
static const char *const labels[] = {"label",      "class_name",      "name", "class", "category",
                                     "prediction", "predicted_class", NULL};
static const char *const probabilities[] = {"probability", "score", "confidence",
                                            "prob",        "p",     NULL};

/* ---- one class ------------------------------------------------------------------------------- */

static struct t_prediction unknown(void)
{
    return (struct t_prediction){.class_id = -1, .probability = -1};
}

/* Keeps the T_MAX_TOP most probable; of equals the first. */
static void add(struct t_predictions *predictions, const struct t_prediction *one)
{
    int at = predictions->n;

    while (at > 0 && predictions->top[at - 1].probability < one->probability)
        at--;
    if (at == T_MAX_TOP)
        return;
    if (predictions->n < T_MAX_TOP)
        predictions->n++;
    memmove(&predictions->top[at + 1], &predictions->top[at],
            (size_t)(predictions->n - 1 - at) * sizeof *one);
    predictions->top[at] = *one;
}

static void take_label(const struct wt_json *json, int value, struct t_prediction *one)
{
    size_t n;
    const char *raw = wt_json_raw(json, value, &n);
    char *text = raw != NULL ? malloc(n + 1) : NULL;

    if (text != NULL && wt_json_string(json, value, text, n + 1, NULL))
        snprintf(one->label, sizeof one->label, "%s", text);
    free(text);
}

static void take_id(const struct wt_json *json, int value, struct t_prediction *one)
{
    int64_t id;

    if (one->class_id < 0 && wt_json_int64(json, value, &id) && id >= 0 && id < MAX_CLASSES)
        one->class_id = (int)id;
}

/* A word is a label, a number an id. */
static void take_class(const struct wt_json *json, int value, struct t_prediction *one)
{
    if (wt_json_type(json, value) == WT_JSON_STRING) {
        if (one->label[0] == '\0')
            take_label(json, value, one);
    } else {
        take_id(json, value, one);
    }
}

static int is_told(const struct t_prediction *one)
{
    return one->class_id >= 0 || one->label[0] != '\0';
}

static int read_object(const struct wt_json *json, int object, struct t_predictions *predictions)
{
    struct t_prediction one = unknown();

    for (int i = 0; ids[i] != NULL; i++)
        take_id(json, wt_json_find(json, object, ids[i]), &one);
    for (int i = 0; labels[i] != NULL; i++)
        take_class(json, wt_json_find(json, object, labels[i]), &one);
    for (int i = 0; probabilities[i] != NULL && one.probability < 0; i++)
        wt_json_double(json, wt_json_find(json, object, probabilities[i]), &one.probability);
    if (!is_told(&one))
        return -1;
    add(predictions, &one);
    return 0;
}

/* [id, label, probability], as Keras decodes, or [label, probability]. */
static int read_tuple(const struct wt_json *json, int array, struct t_predictions *predictions)
{
    struct t_prediction one = unknown();
    int last = WT_JSON_NONE;

    for (int v = wt_json_first(json, array); v != WT_JSON_NONE; v = wt_json_next(json, v)) {
        if (wt_json_type(json, v) == WT_JSON_STRING) /* the last of two: the first is WordNet's */
            take_label(json, v, &one);
        else if (last == WT_JSON_NONE)
            take_id(json, v, &one);
        last = v;
    }
    if (one.label[0] == '\0' || !wt_json_double(json, last, &one.probability))
        return -1;
    add(predictions, &one);
    return 0;
}

/* ---- many ------------------------------------------------------------------------------------ */

static int read_numbers(const struct wt_json *json, int value, struct t_predictions *predictions)
{
    int n = wt_json_size(json, value);
    float *p = n >= 2 && n <= MAX_CLASSES ? malloc((size_t)n * sizeof *p) : NULL;
    int rc = p != NULL && wt_json_numbers_floats(json, value, p) == n ? 0 : -1;

    for (int i = 0; rc == 0 && i < n; i++) {
        struct t_prediction one = {.class_id = i, .probability = (double)p[i]};
        add(predictions, &one);
    }
    free(p);
    return rc;
}

/* {"tabby": 0.46, ...} */
static int read_map(const struct wt_json *json, int object, struct t_predictions *predictions)
{
    for (int key = wt_json_first(json, object); key != WT_JSON_NONE;
         key = wt_json_next(json, key)) {
        struct t_prediction one = unknown();
        if (!wt_json_double(json, wt_json_value(json, key), &one.probability))
            return -1;
        take_label(json, key, &one);
        add(predictions, &one);
    }
    return predictions->n > 0 ? 0 : -1;
}

static int read_value(const struct wt_json *json, int value, int depth,
                      struct t_predictions *predictions);

static int read_array(const struct wt_json *json, int array, int depth,
                      struct t_predictions *predictions)
{
    int first = wt_json_first(json, array);

    for (int v = first; v != WT_JSON_NONE; v = wt_json_next(json, v))
        if (wt_json_type(json, v) == WT_JSON_OBJECT)
            read_object(json, v, predictions);
        else if (wt_json_type(json, v) == WT_JSON_ARRAY)
            read_tuple(json, v, predictions);
    return predictions->n > 0 ? 0 : read_value(json, first, depth + 1, predictions);
}

static int read_value(const struct wt_json *json, int value, int depth,
                      struct t_predictions *predictions)
{
    enum wt_json_type type = wt_json_type(json, value);

    predictions->n = 0;
    if (depth > MAX_DEPTH)
        return -1;
    if (type == WT_JSON_NUMBERS)
        return read_numbers(json, value, predictions);
    if (type == WT_JSON_ARRAY)
        return read_array(json, value, depth, predictions);
    if (type != WT_JSON_OBJECT)
        return -1;
    for (int i = 0; containers[i] != NULL; i++)
        if (read_value(json, wt_json_find(json, value, containers[i]), depth + 1, predictions) == 0)
            return 0;
    predictions->n = 0;
    if (read_object(json, value, predictions) == 0)
        return 0;
    return read_map(json, value, predictions);
}

static void from_percent(struct t_predictions *predictions)
{
    if (predictions->n == 0 || predictions->top[0].probability <= 1.0001)
        return;
    for (int i = 0; i < predictions->n; i++)
        if (predictions->top[i].probability >= 0)
            predictions->top[i].probability /= 100;
}

int t_predictions_read(const char *text, size_t n, struct t_predictions *predictions)
{
    struct wt_json json = {0};
    struct wt_err err;
    int rc = -1;

    if (wt_json_parse_numbers(&json, text, n, MAX_TOKENS, &err) == WT_OK)
        rc = read_value(&json, WT_JSON_ROOT, 0, predictions);
    wt_json_free(&json);
    if (rc == 0)
        from_percent(predictions);
    return rc;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static int plain(char c)
{
    return c == '_' ? ' ' : c == ',' ? '\0' : tolower((unsigned char)c);
}

int t_predictions_same(const struct t_prediction *a, const struct t_prediction *b)
{
    const char *x = a->label, *y = b->label;

    if (a->class_id >= 0 && b->class_id >= 0)
        return a->class_id == b->class_id;
    while (plain(*x) != '\0' && plain(*x) == plain(*y)) {
        x++;
        y++;
    }
    return x != a->label && plain(*x) == plain(*y);
}

double t_predictions_difference(const struct t_predictions *a, const struct t_predictions *b)
{
    double most = 0;

    for (int i = 0; i < a->n; i++)
        for (int j = 0; j < b->n; j++) {
            const struct t_prediction *x = &a->top[i], *y = &b->top[j];
            if (x->probability >= 0 && y->probability >= 0 && t_predictions_same(x, y))
                most = fmax(most, fabs(x->probability - y->probability));
        }
    return most;
}
