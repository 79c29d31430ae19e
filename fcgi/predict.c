/* predict.c: {"success":true,"model":…,"version":…,"predictions":[…],"request_id":…}. */
#include "fcgi/predict.h"

#include <string.h>

#include "fcgi/json.h"
#include "fcgi/version.h"

enum { DEFAULT_TOP_K = 5 };

static int is_name(const struct fcgi_request_pair *pair, const char *name)
{
    return pair->name_n == strlen(name) && !memcmp(pair->name, name, pair->name_n);
}

static int classes(const struct fcgi_predictor *predictor)
{
    return predictor->classifier->model.net.classes;
}

static int check_top_k(const struct fcgi_predictor *predictor, int64_t top_k, struct fcgi_err *err)
{
    return top_k >= 1 && top_k <= classes(predictor)
               ? FCGI_E_OK
               : fcgi_fail(err, FCGI_E_BAD_REQUEST, "top_k: expected a whole number from 1 to %d",
                           classes(predictor));
}

static int check_precision(const struct fcgi_predictor *predictor,
                           const struct fcgi_request_pair *pair, struct fcgi_err *err)
{
    const char *precision = predictor->precision;

    return pair->value_n == strlen(precision) && !memcmp(pair->value, precision, pair->value_n)
               ? FCGI_E_OK
               : fcgi_fail(err, FCGI_E_BAD_REQUEST, "precision: this server computes in %s",
                           precision);
}

/* What is not known is refused: `topk=3` ignored in silence would be a wrong answer. */
static int parse_query(const struct fcgi_predictor *predictor, const char *query, int *top_k,
                       struct fcgi_err *err)
{
    struct fcgi_request_pair pair;

    while (fcgi_request_query(&query, &pair)) {
        int64_t number = -1;
        if (is_name(&pair, "top_k")) {
            fcgi_request_number(pair.value, pair.value_n, INT32_MAX, &number);
            if (check_top_k(predictor, number, err))
                return err->code;
            *top_k = (int)number;
        } else if (!is_name(&pair, "precision")) {
            return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                             "unknown query parameter; /predict knows top_k and precision");
        } else if (check_precision(predictor, &pair, err)) {
            return err->code;
        }
    }
    return FCGI_E_OK;
}

static void write_predictions(struct fcgi_predictor *predictor, int image, int top_k,
                              struct fcgi_buffer *json)
{
    struct fcgi_prediction *top = predictor->top;
    int k = fcgi_classify_top(predictor->classifier, image, top_k, top);

    fcgi_buffer_text(json, "\"predictions\":[");
    for (int i = 0; i < k; i++) {
        fcgi_buffer_format(json, "%s{\"class_id\":%d,\"label\":", i ? "," : "", top[i].class_id);
        fcgi_json_string(json, top[i].label);
        fcgi_buffer_text(json, ",\"probability\":");
        fcgi_json_float(json, top[i].probability);
        fcgi_buffer_text(json, "}");
    }
    fcgi_buffer_text(json, "]");
}

static void write_answer(struct fcgi_predictor *predictor, const struct fcgi_request *request,
                         int n_images, int top_k, struct fcgi_buffer *json)
{
    fcgi_buffer_reset(json);
    fcgi_buffer_text(json, "{\"success\":true,\"model\":");
    fcgi_json_string(json, predictor->classifier->model.name);
    fcgi_buffer_format(json, ",\"version\":\"%s\",", fcgi_version);
    if (n_images == 1) {
        write_predictions(predictor, 0, top_k, json);
    } else {
        fcgi_buffer_text(json, "\"results\":[");
        for (int i = 0; i < n_images; i++) {
            fcgi_buffer_text(json, i ? ",{" : "{");
            write_predictions(predictor, i, top_k, json);
            fcgi_buffer_text(json, "}");
        }
        fcgi_buffer_text(json, "]");
    }
    fcgi_buffer_text(json, ",\"request_id\":");
    fcgi_json_string(json, request->id);
    fcgi_buffer_text(json, "}\n");
}

int fcgi_predict(struct fcgi_predictor *predictor, const struct fcgi_request *request,
                 const struct fcgi_span *input, struct fcgi_buffer *json, int *n_images,
                 struct fcgi_classify_times *times, struct fcgi_err *err)
{
    int top_k = DEFAULT_TOP_K < classes(predictor) ? DEFAULT_TOP_K : classes(predictor);
    struct fcgi_body body;

    *n_images = 0;
    if (parse_query(predictor, request->query, &top_k, err) ||
        fcgi_body_parse(&body, request->content_type, request->content_encoding, input->bytes,
                        input->n, predictor->max_images, err))
        return err->code;
    if (body.top_k) {
        if (check_top_k(predictor, body.top_k, err))
            return err->code;
        top_k = body.top_k;
    }
    *n_images = body.n_images;
    if (fcgi_classify_images(predictor->classifier, body.images, body.n_images, &predictor->limits,
                             predictor->exif, times, &predictor->follow, err))
        return err->code;
    write_answer(predictor, request, body.n_images, top_k, json);
    return FCGI_E_OK;
}
