/* torchserve.c: TorchServe's image_classifier: one picture in, {"label": probability, ...} out, the
 * most probable first. */
#include <stdio.h>
#include <string.h>

#include "fcgi/dialect.h"
#include "fcgi/json.h"

/* Two classes may have one label (ImageNet's cranes, the bird and the machine), but an object has
 * each key once: the less probable one's then ends in its class id. */
static void write_label(struct fcgi_buffer *json, const struct fcgi_prediction *top, int i)
{
    char text[256];
    int j = 0;

    while (j < i && strcmp(top[j].label, top[i].label) != 0)
        j++;
    if (j == i) {
        fcgi_json_string(json, top[i].label);
        return;
    }
    snprintf(text, sizeof text, "%.200s (%d)", top[i].label, top[i].class_id);
    fcgi_json_string(json, text);
}

int fcgi_torchserve(struct fcgi_call *call)
{
    struct fcgi_predictor *predictor = call->predictor;
    struct fcgi_buffer *json = &call->response->body;
    struct fcgi_body body;

    if (fcgi_dialect_read(call, &body, fcgi_body_torchserve) ||
        fcgi_dialect_classify(call, body.images, body.n_images))
        return call->err->code;
    int k = fcgi_classify_top(predictor->classifier, 0, (int)body.top_k, predictor->top);
    for (int i = 0; i < k; i++) {
        fcgi_buffer_text(json, i ? "," : "{");
        write_label(json, predictor->top, i);
        fcgi_buffer_text(json, ":");
        fcgi_json_float(json, predictor->top[i].probability);
    }
    fcgi_buffer_text(json, "}\n");
    return FCGI_E_OK;
}
