/* tfserving.c: TensorFlow Serving's predict: {"instances":[...]} in, {"predictions":[[p, ...],
 * ...]} out; or by columns, {"inputs": ...} in, {"outputs": [[p, ...], ...]} out. Its one input is
 * a column of strings called image_bytes, its one output the probabilities of all classes. */
#include <stdio.h>
#include <string.h>

#include "fcgi/body_json.h"
#include "fcgi/dialect.h"
#include "fcgi/json.h"

#define INPUT "image_bytes"
enum { WHERE_BYTES = 64 };

/* {"b64": "..."} */
static int read_b64(struct fcgi_body *body, const struct fcgi_body_source *source, int value,
                    const char *where, struct fcgi_err *err)
{
    static const char *const names[] = {"b64"};
    char name[WHERE_BYTES + sizeof ".b64"];
    int text;

    if (fcgi_body_json_members(source->json, value, where, names, 1, &text, err))
        return err->code;
    snprintf(name, sizeof name, "%s.b64", where);
    return fcgi_body_json_picture(body, source, text, name, err);
}

/* What a model that takes tensors would be sent. */
static int refuse_tensor(const struct wt_json *json, int value, const char *where,
                         struct fcgi_err *err)
{
    return fcgi_fail(
        err, FCGI_E_BAD_REQUEST,
        "%s: expected {\"b64\":\"<base64 of a picture>\"}, found %s; tensors go to POST "
        "/v2/models/resnet50/infer",
        where, wt_json_type_name(json, value));
}

static int is_array(const struct wt_json *json, int value)
{
    return wt_json_type(json, value) == WT_JSON_ARRAY ||
           wt_json_type(json, value) == WT_JSON_NUMBERS;
}

/* {"image_bytes": value} -> value; {"b64": ...} stays what it is. */
static int unwrap(const struct wt_json *json, int *value, const char *where, struct fcgi_err *err)
{
    static const char *const names[] = {"b64", INPUT};
    int values[2];

    if (is_array(json, *value))
        return refuse_tensor(json, *value, where, err);
    if (fcgi_body_json_members(json, *value, where, names, 2, values, err))
        return err->code;
    if ((values[0] == WT_JSON_NONE) == (values[1] == WT_JSON_NONE))
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "%s: expected {\"b64\":\"<base64>\"} or {\"" INPUT "\":{\"b64\":...}}",
                         where);
    if (values[1] != WT_JSON_NONE)
        *value = values[1];
    return FCGI_E_OK;
}

static int read_instances(struct fcgi_body *body, const struct fcgi_body_source *source, int list,
                          struct fcgi_err *err)
{
    const struct wt_json *json = source->json;
    char where[WHERE_BYTES];
    int i = 0;

    if (wt_json_type(json, list) == WT_JSON_NUMBERS)
        return refuse_tensor(json, list, "instances", err);
    if (wt_json_type(json, list) != WT_JSON_ARRAY || !wt_json_size(json, list))
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "instances: expected an array of {\"b64\":\"<base64>\"}, one at least");
    for (int v = wt_json_first(json, list); v != WT_JSON_NONE; v = wt_json_next(json, v), i++) {
        int value = v;
        snprintf(where, sizeof where, "instances[%d]", i);
        if (unwrap(json, &value, where, err))
            return err->code;
        if (value != v)
            snprintf(where, sizeof where, "instances[%d]." INPUT, i);
        if (read_b64(body, source, value, where, err))
            return err->code;
    }
    return FCGI_E_OK;
}

/* A column: an array of {"b64": ...}, or one of it. */
static int read_inputs(struct fcgi_body *body, const struct fcgi_body_source *source, int column,
                       struct fcgi_err *err)
{
    const struct wt_json *json = source->json;
    char where[WHERE_BYTES] = "inputs";
    int i = 0;

    if (wt_json_type(json, column) == WT_JSON_OBJECT) {
        int value = column;
        if (unwrap(json, &value, where, err))
            return err->code;
        if (value != column)
            snprintf(where, sizeof where, "inputs." INPUT);
        column = value;
    }
    if (wt_json_type(json, column) == WT_JSON_NUMBERS)
        return refuse_tensor(json, column, where, err);
    if (wt_json_type(json, column) != WT_JSON_ARRAY)
        return read_b64(body, source, column, where, err);
    if (!wt_json_size(json, column))
        return fcgi_fail(err, FCGI_E_BAD_REQUEST, "%s: expected one picture at least", where);
    for (int v = wt_json_first(json, column); v != WT_JSON_NONE; v = wt_json_next(json, v), i++) {
        char name[WHERE_BYTES + 16];
        snprintf(name, sizeof name, "%s[%d]", where, i);
        if (is_array(json, v))
            return refuse_tensor(json, v, name, err);
        if (read_b64(body, source, v, name, err))
            return err->code;
    }
    return FCGI_E_OK;
}

static int check_signature(const struct wt_json *json, int value, struct fcgi_err *err)
{
    char name[32];

    if (value == WT_JSON_NONE || (wt_json_string(json, value, name, sizeof name, NULL) &&
                                  (!*name || !strcmp(name, "serving_default"))))
        return FCGI_E_OK;
    return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                     "signature_name: the one signature is \"serving_default\"");
}

static int read_body(struct fcgi_body *body, const struct fcgi_body_source *source,
                     struct fcgi_err *err)
{
    enum { INSTANCES, INPUTS, SIGNATURE, N };
    static const char *const names[N] = {"instances", "inputs", "signature_name"};
    int values[N];

    if (body->top_k)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "top_k: this path answers the probabilities of all classes; POST /predict "
                         "and /predictions/resnet50 the best of them");
    if (fcgi_body_json_open(source, FCGI_BODY_JSON_MAX_TOKENS, FCGI_USAGE_TFSERVING, err) ||
        fcgi_body_json_members(source->json, WT_JSON_ROOT, "", names, N, values, err) ||
        check_signature(source->json, values[SIGNATURE], err))
        return err->code;
    if ((values[INSTANCES] == WT_JSON_NONE) == (values[INPUTS] == WT_JSON_NONE))
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "expected either \"instances\" or \"inputs\", found %s: %s",
                         values[INPUTS] == WT_JSON_NONE ? "neither" : "both", FCGI_USAGE_TFSERVING);
    body->by_columns = values[INPUTS] != WT_JSON_NONE;
    return body->by_columns ? read_inputs(body, source, values[INPUTS], err)
                            : read_instances(body, source, values[INSTANCES], err);
}

static void write_row(struct fcgi_classifier *classifier, int image, struct fcgi_buffer *json)
{
    const float *p = fcgi_classify_probabilities(classifier, image);

    for (int c = 0; c < classifier->model.net.classes; c++) {
        fcgi_buffer_text(json, c ? "," : "[");
        fcgi_json_float(json, p[c]);
    }
    fcgi_buffer_text(json, "]");
}

int fcgi_tfserving(struct fcgi_call *call)
{
    struct fcgi_buffer *json = &call->response->body;
    struct fcgi_body body;

    if (fcgi_dialect_read(call, &body, read_body) ||
        fcgi_dialect_classify(call, body.images, body.n_images))
        return call->err->code;
    fcgi_buffer_text(json, body.by_columns ? "{\"outputs\":[" : "{\"predictions\":[");
    for (int i = 0; i < body.n_images; i++) {
        fcgi_buffer_text(json, i ? "," : "");
        write_row(call->predictor->classifier, i, json);
    }
    fcgi_buffer_text(json, "]}\n");
    return FCGI_E_OK;
}
