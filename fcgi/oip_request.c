/* oip_request.c: the JSON part of an inference request. */
#include <stdio.h>
#include <string.h>

#include "fcgi/body_json.h"
#include "fcgi/oip.h"

static const char *const output_names[] = {
#define X(id, text, datatype) [FCGI_OIP_##id] = text,
    FCGI_OIP_OUTPUTS(X)
#undef X
};

/* ---- JSON ----------------------------------------------------------------------------------- */

/* Without a length in the header all of the body is JSON. */
static int find_json(const struct fcgi_call *call, size_t *n)
{
    const char *text = call->request->inference_header_length;
    int64_t length = (int64_t)call->body_n;

    if (*text &&
        (fcgi_request_number(text, strlen(text), (int64_t)call->body_n, &length) || length < 1))
        return fcgi_fail(call->err, FCGI_E_BAD_REQUEST,
                         "Inference-Header-Content-Length: expected the length of the JSON part, 1 "
                         "to the body's %zu bytes, found %.20s",
                         call->body_n, text);
    *n = (size_t)length;
    return FCGI_E_OK;
}

/* What a tensor needs that is nested to its rows, and as much again as names and parameters may. */
static size_t most_tokens(const struct fcgi_predictor *predictor)
{
    size_t crop = (size_t)predictor->classifier->model.recipe.crop;

    return FCGI_BODY_JSON_MAX_TOKENS + (size_t)predictor->max_images * (1 + 3 * (1 + crop));
}

/* Which of two would count is anybody's guess. */
static int refuse_duplicates(const struct wt_json *json, struct fcgi_err *err)
{
    struct wt_err why;
    size_t n;
    int key;

    for (int value = 0; value < json->n_tokens; value++) {
        if (wt_json_duplicate(json, value, &key, &why) != WT_OK)
            return fcgi_fail(err, FCGI_E_WORKER_FAILED, "%s", wt_err_sentence(&why));
        if (key == WT_JSON_NONE)
            continue;
        const char *name = wt_json_raw(json, key, &n);
        return fcgi_fail(err, FCGI_E_BAD_JSON, "JSON: the key \"%.*s\" is there twice",
                         n < 40 ? (int)n : 40, name);
    }
    return FCGI_E_OK;
}

static int parse_json(const struct fcgi_call *call, size_t n)
{
    const struct fcgi_body_source source = {
        .bytes = call->body, .n = n, .json = &call->predictor->json};

    if (fcgi_body_json_open(&source, most_tokens(call->predictor), FCGI_USAGE_OIP, call->err))
        return call->err->code;
    return refuse_duplicates(source.json, call->err);
}

/* ---- members -------------------------------------------------------------------------------- */

static int find_id(struct fcgi_oip_request *request, struct fcgi_err *err)
{
    enum { MOST_BYTES = 1024 };
    int value = wt_json_find(request->json, WT_JSON_ROOT, "id");

    if (value == WT_JSON_NONE)
        return FCGI_E_OK;
    if (wt_json_type(request->json, value) != WT_JSON_STRING)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST, "id: expected a string, found %s",
                         wt_json_type_name(request->json, value));
    request->id = wt_json_raw(request->json, value, &request->id_n);
    return request->id_n <= MOST_BYTES
               ? FCGI_E_OK
               : fcgi_fail(err, FCGI_E_BAD_REQUEST, "id: %zu bytes, at most %d are echoed",
                           request->id_n, MOST_BYTES);
}

/* A parameter that is true or false; *flag stays as it is where there is none. where: "outputs[2]."
 */
static int find_flag(const struct wt_json *json, int parameters, const char *where,
                     const char *name, int *flag, struct fcgi_err *err)
{
    int value = wt_json_find(json, parameters, name);
    enum wt_json_type type = wt_json_type(json, value);

    if (type == WT_JSON_ABSENT)
        return FCGI_E_OK;
    if (type != WT_JSON_TRUE && type != WT_JSON_FALSE)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "%sparameters.%s: expected true or false, found %s", where, name,
                         wt_json_type_name(json, value));
    *flag = type == WT_JSON_TRUE;
    return FCGI_E_OK;
}

/* object.parameters, if it is an object. */
static int find_parameters(const struct wt_json *json, int object, const char *where,
                           int *parameters, struct fcgi_err *err)
{
    enum wt_json_type type;

    *parameters = wt_json_find(json, object, "parameters");
    type = wt_json_type(json, *parameters);
    return type == WT_JSON_ABSENT || type == WT_JSON_OBJECT
               ? FCGI_E_OK
               : fcgi_fail(err, FCGI_E_BAD_REQUEST, "%sparameters: expected an object, found %s",
                           where, wt_json_type_name(json, *parameters));
}

/* The parameter, else the query's. */
static int find_precision(const struct fcgi_call *call, const struct fcgi_oip_request *request,
                          int parameters)
{
    int value = wt_json_find(request->json, parameters, "precision");
    const struct fcgi_span *asked = &request->body.precision;
    char name[16];
    size_t n;

    if (value == WT_JSON_NONE)
        return asked->bytes ? fcgi_dialect_precision(call->predictor, (const char *)asked->bytes,
                                                     asked->n, call->err)
                            : FCGI_E_OK;
    if (!wt_json_string(request->json, value, name, sizeof name, &n))
        return fcgi_fail(call->err, FCGI_E_BAD_REQUEST,
                         "parameters.precision: expected a string like \"fp32\"");
    return fcgi_dialect_precision(call->predictor, name, n, call->err);
}

/* ---- outputs -------------------------------------------------------------------------------- */

static int find_output(const struct wt_json *json, int object, const char *where,
                       enum fcgi_oip_output *output, struct fcgi_err *err)
{
    int name = wt_json_find(json, object, "name");

    for (int i = 0; i < FCGI_OIP_N_OUTPUTS; i++)
        if (fcgi_oip_is(json, name, output_names[i])) {
            *output = (enum fcgi_oip_output)i;
            return FCGI_E_OK;
        }
    return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                     "%sname: expected \"probabilities\", \"logits\", \"features\" or "
                     "\"classification\"",
                     where);
}

/* Triton's classification extension: the k highest of a tensor instead of all of it. */
static int find_k(const struct fcgi_call *call, const struct wt_json *json, int parameters,
                  const char *where, struct fcgi_oip_wanted *wanted)
{
    int value = wt_json_find(json, parameters, "classification");
    int classes = fcgi_dialect_classes(call->predictor);
    int64_t k;

    if (value == WT_JSON_NONE)
        return FCGI_E_OK;
    if (wanted->output == FCGI_OIP_FEATURES)
        return fcgi_fail(call->err, FCGI_E_BAD_REQUEST,
                         "%sparameters.classification: features are no classes; ask it of "
                         "\"probabilities\", \"logits\" or \"classification\"",
                         where);
    if (!wt_json_int64(json, value, &k) || k < 1 || k > classes)
        return fcgi_fail(call->err, FCGI_E_BAD_REQUEST,
                         "%sparameters.classification: expected a whole number from 1 to %d", where,
                         classes);
    wanted->k = (int)k;
    return FCGI_E_OK;
}

static struct fcgi_oip_wanted usual(const struct fcgi_call *call,
                                    const struct fcgi_oip_request *request,
                                    enum fcgi_oip_output output)
{
    int classes = fcgi_dialect_classes(call->predictor);
    int k = request->body.top_k            ? (int)request->body.top_k
            : FCGI_OIP_DEFAULT_K < classes ? FCGI_OIP_DEFAULT_K
                                           : classes;

    return (struct fcgi_oip_wanted){.output = output,
                                    .binary = request->binary_outputs,
                                    .k = output == FCGI_OIP_CLASSIFICATION ? k : 0};
}

static int add_output(const struct fcgi_call *call, struct fcgi_oip_request *request, int object,
                      const char *where)
{
    const struct wt_json *json = request->json;
    enum fcgi_oip_output output = FCGI_OIP_N_OUTPUTS;
    int parameters = WT_JSON_NONE;

    if (find_output(json, object, where, &output, call->err) ||
        find_parameters(json, object, where, &parameters, call->err))
        return call->err->code;
    for (int i = 0; i < request->n_wanted; i++)
        if (request->wanted[i].output == output)
            return fcgi_fail(call->err, FCGI_E_BAD_REQUEST, "%sname: \"%s\" is asked for twice",
                             where, output_names[output]);
    struct fcgi_oip_wanted *wanted = &request->wanted[request->n_wanted++];
    *wanted = usual(call, request, output);
    if (find_flag(json, parameters, where, "binary_data", &wanted->binary, call->err))
        return call->err->code;
    return find_k(call, json, parameters, where, wanted);
}

/* None asked for: all of them. */
static int find_outputs(const struct fcgi_call *call, struct fcgi_oip_request *request)
{
    const struct wt_json *json = request->json;
    int list = wt_json_find(json, WT_JSON_ROOT, "outputs"), i = 0;
    enum wt_json_type type = wt_json_type(json, list);
    char where[32];

    if (type != WT_JSON_ABSENT && type != WT_JSON_ARRAY)
        return fcgi_fail(call->err, FCGI_E_BAD_REQUEST,
                         "outputs: expected an array of objects, found %s",
                         wt_json_type_name(json, list));
    for (int v = wt_json_first(json, list); v != WT_JSON_NONE; v = wt_json_next(json, v)) {
        snprintf(where, sizeof where, "outputs[%d].", i++);
        if (add_output(call, request, v, where))
            return call->err->code;
    }
    for (i = 0; i < FCGI_OIP_N_OUTPUTS && !wt_json_size(json, list); i++)
        request->wanted[request->n_wanted++] = usual(call, request, (enum fcgi_oip_output)i);
    return FCGI_E_OK;
}

int fcgi_oip_request(struct fcgi_call *call, struct fcgi_oip_request *request)
{
    struct fcgi_err *err = call->err;
    int parameters = WT_JSON_NONE;
    size_t n = 0;

    if (find_json(call, &n) || parse_json(call, n))
        return err->code;
    request->json = &call->predictor->json;
    request->binary = call->body + n;
    request->binary_n = call->body_n - n;
    if (request->body.top_k && fcgi_dialect_top_k(call->predictor, request->body.top_k, err))
        return err->code;
    if (find_id(request, err) ||
        find_parameters(request->json, WT_JSON_ROOT, "", &parameters, err) ||
        find_flag(request->json, parameters, "", "binary_data_output", &request->binary_outputs,
                  err) ||
        find_precision(call, request, parameters))
        return err->code;
    return find_outputs(call, request);
}
