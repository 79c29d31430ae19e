/* predict.c: {"success":true,"model":…,"version":…,"predictions":[…],"request_id":…}. */
#include "fcgi/dialect.h"
#include "fcgi/json.h"
#include "fcgi/version.h"

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

int fcgi_predict(struct fcgi_call *call)
{
    struct fcgi_body body;

    if (fcgi_dialect_read(call, &body, fcgi_body_predict) ||
        fcgi_dialect_classify(call, body.images, body.n_images))
        return call->err->code;
    write_answer(call->predictor, call->request, body.n_images, (int)body.top_k,
                 &call->response->body);
    return FCGI_E_OK;
}
