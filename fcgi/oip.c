/* oip.c: POST /v2/models/resnet50/infer. */
#include "fcgi/oip.h"

#include <string.h>

#include "fcgi/scoreboard.h"

int fcgi_oip_is(const struct wt_json *json, int value, const char *text)
{
    char name[32];
    size_t n;

    return wt_json_string(json, value, name, sizeof name, &n) && n == strlen(text) &&
           !memcmp(name, text, n);
}

static int classify(struct fcgi_call *call, const struct fcgi_oip_request *request)
{
    struct fcgi_predictor *predictor = call->predictor;
    struct fcgi_classifier *classifier = predictor->classifier;

    if (!request->is_tensor)
        return fcgi_dialect_classify(call, request->body.images, request->n);
    call->n_images = request->n;
    int code = fcgi_classify_tensor(classifier, classifier->input, request->n, &call->times,
                                    &predictor->follow, call->err);
    call->times.decode_ns += call->read_ns;
    return code;
}

int fcgi_oip(struct fcgi_call *call)
{
    struct fcgi_oip_request request = {.n = 0};
    uint64_t start_ns = fcgi_scoreboard_now_ns();

    if (fcgi_dialect_open(call, &request.body) || fcgi_oip_request(call, &request) ||
        fcgi_oip_input(call, &request))
        return call->err->code;
    call->read_ns = (int64_t)(fcgi_scoreboard_now_ns() - start_ns);
    if (classify(call, &request))
        return call->err->code;
    fcgi_oip_answer(call, &request);
    return FCGI_E_OK;
}
