/* oip_answer.c: the answer: JSON, and behind it the tensors that were asked for as bytes. */
#include <stdio.h>
#include <string.h>

#include "fcgi/json.h"
#include "fcgi/oip.h"

static const struct {
    const char *name, *datatype;
} outputs[] = {
#define X(id, text, datatype) [FCGI_OIP_##id] = {text, datatype},
    FCGI_OIP_OUTPUTS(X)
#undef X
};

static int columns(const struct fcgi_classifier *classifier, const struct fcgi_oip_wanted *wanted)
{
    if (wanted->k)
        return wanted->k;
    return wanted->output == FCGI_OIP_FEATURES ? classifier->model.net.features
                                               : classifier->model.net.classes;
}

/* What belongs to image i; a classification is one of probabilities unless it is asked of logits.
 */
static const float *row_of(struct fcgi_classifier *classifier, const struct fcgi_oip_wanted *wanted,
                           int i)
{
    const struct kn_net *net = &classifier->model.net;

    if (wanted->output == FCGI_OIP_LOGITS)
        return classifier->logits + (size_t)i * (size_t)net->classes;
    if (wanted->output == FCGI_OIP_FEATURES)
        return classifier->features + (size_t)i * (size_t)net->features;
    return fcgi_classify_probabilities(classifier, i);
}

static void add_text_of(struct fcgi_buffer *buffer, const struct fcgi_prediction *prediction)
{
    fcgi_json_float(buffer, prediction->probability);
    fcgi_buffer_format(buffer, ":%d:", prediction->class_id);
}

/* ---- bytes ---------------------------------------------------------------------------------- */

/* "0.91:285:Egyptian cat" after its length. */
static void add_element(struct fcgi_buffer *bytes, const struct fcgi_prediction *prediction)
{
    size_t start = bytes->n;
    uint32_t n = 0;

    fcgi_buffer_add(bytes, &n, sizeof n);
    add_text_of(bytes, prediction);
    fcgi_buffer_text(bytes, prediction->label);
    if (bytes->failed)
        return;
    n = (uint32_t)(bytes->n - start - sizeof n);
    memcpy(bytes->bytes + start, &n, sizeof n);
}

static void add_bytes(struct fcgi_call *call, const struct fcgi_oip_wanted *wanted,
                      struct fcgi_buffer *bytes)
{
    struct fcgi_classifier *classifier = call->predictor->classifier;
    struct fcgi_prediction *top = call->predictor->top;

    for (int i = 0; i < call->n_images; i++) {
        const float *row = row_of(classifier, wanted, i);
        if (!wanted->k)
            fcgi_buffer_add(bytes, row, (size_t)columns(classifier, wanted) * sizeof *row);
        int n = wanted->k ? fcgi_classify_rank(classifier, row, wanted->k, top) : 0;
        for (int r = 0; r < n; r++)
            add_element(bytes, &top[r]);
    }
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void add_row(struct fcgi_buffer *json, const float *row, int n)
{
    for (int i = 0; i < n; i++) {
        if (i)
            fcgi_buffer_text(json, ",");
        fcgi_json_float(json, row[i]);
    }
}

static void add_top(struct fcgi_buffer *json, const struct fcgi_prediction *top, int n)
{
    for (int i = 0; i < n; i++) {
        fcgi_buffer_text(json, i ? ",\"" : "\"");
        add_text_of(json, &top[i]);
        fcgi_json_text(json, top[i].label);
        fcgi_buffer_text(json, "\"");
    }
}

/* Flat, row by row. */
static void add_data(struct fcgi_call *call, const struct fcgi_oip_wanted *wanted,
                     struct fcgi_buffer *json)
{
    struct fcgi_classifier *classifier = call->predictor->classifier;
    struct fcgi_prediction *top = call->predictor->top;

    fcgi_buffer_text(json, ",\"data\":[");
    for (int i = 0; i < call->n_images; i++) {
        const float *row = row_of(classifier, wanted, i);
        if (i)
            fcgi_buffer_text(json, ",");
        if (wanted->k)
            add_top(json, top, fcgi_classify_rank(classifier, row, wanted->k, top));
        else
            add_row(json, row, columns(classifier, wanted));
    }
    fcgi_buffer_text(json, "]");
}

static void add_output(struct fcgi_call *call, const struct fcgi_oip_wanted *wanted,
                       struct fcgi_buffer *json, struct fcgi_buffer *bytes)
{
    size_t before = bytes->n;

    fcgi_buffer_format(json, "{\"name\":\"%s\",\"datatype\":\"%s\",\"shape\":[%d,%d]",
                       outputs[wanted->output].name,
                       wanted->k ? "BYTES" : outputs[wanted->output].datatype, call->n_images,
                       columns(call->predictor->classifier, wanted));
    if (wanted->binary) {
        add_bytes(call, wanted, bytes);
        fcgi_buffer_format(json, ",\"parameters\":{\"binary_data_size\":%zu}", bytes->n - before);
    } else {
        add_data(call, wanted, json);
    }
    fcgi_buffer_text(json, "}");
}

static void append(struct fcgi_response *response, const struct fcgi_buffer *bytes)
{
    char length[24];

    snprintf(length, sizeof length, "%zu", response->body.n);
    fcgi_response_header(response, "Inference-Header-Content-Length", length);
    response->content_type = "application/octet-stream";
    fcgi_buffer_add(&response->body, bytes->bytes, bytes->n);
    response->body.failed |= bytes->failed;
}

void fcgi_oip_answer(struct fcgi_call *call, const struct fcgi_oip_request *request)
{
    struct fcgi_buffer *json = &call->response->body, *bytes = &call->predictor->scratch;

    fcgi_buffer_reset(json);
    fcgi_buffer_reset(bytes);
    fcgi_buffer_text(json, "{");
    if (request->id) {
        fcgi_buffer_text(json, "\"id\":\"");
        fcgi_buffer_add(json, request->id, request->id_n);
        fcgi_buffer_text(json, "\",");
    }
    fcgi_buffer_format(json,
                       "\"model_name\":\"" FCGI_OIP_MODEL "\",\"model_version\":\"" FCGI_OIP_VERSION
                       "\",\"parameters\":{\"precision\":\"%s\"},\"outputs\":[",
                       fcgi_classifier_precision(call->predictor->classifier));
    for (int i = 0; i < request->n_wanted; i++) {
        if (i)
            fcgi_buffer_text(json, ",");
        add_output(call, &request->wanted[i], json, bytes);
    }
    fcgi_buffer_text(json, "]}");
    if (bytes->n || bytes->failed)
        append(call->response, bytes);
}
