/* oip.c: POST /v2/models/resnet50/infer. */
#include "fcgi/oip.h"

#include <string.h>
#include <strings.h>

#include "fcgi/scoreboard.h"

int fcgi_oip_is(const struct wt_json *json, int value, const char *text)
{
    char name[32];
    size_t n;

    return wt_json_string(json, value, name, sizeof name, &n) && n == strlen(text) &&
           !memcmp(name, text, n);
}

static int check_encoding(const struct fcgi_call *call)
{
    const char *encoding = call->request->content_encoding;

    if (!*encoding || !strcasecmp(encoding, "identity"))
        return FCGI_E_OK;
    return fcgi_fail(call->err, FCGI_E_UNSUPPORTED_MEDIA_TYPE,
                     "Content-Encoding is not supported: send the body uncompressed");
}

static int classify(struct fcgi_call *call, const struct fcgi_oip_request *request)
{
    struct fcgi_predictor *predictor = call->predictor;
    struct fcgi_classifier *classifier = predictor->classifier;

    if (!request->is_tensor)
        return fcgi_dialect_classify(call, request->images, request->n);
    call->n_images = request->n;
    return fcgi_classify_tensor(classifier, classifier->input, request->n, &call->times,
                                &predictor->follow, call->err);
}

int fcgi_oip(struct fcgi_call *call)
{
    struct fcgi_oip_request request;
    uint64_t start_ns = fcgi_scoreboard_now_ns(), read_ns;

    if (check_encoding(call) || fcgi_oip_request(call, &request) || fcgi_oip_input(call, &request))
        return call->err->code;
    read_ns = fcgi_scoreboard_now_ns();
    if (classify(call, &request))
        return call->err->code;
    call->times.decode_ns += (int64_t)(read_ns - start_ns);
    fcgi_oip_answer(call, &request);
    return FCGI_E_OK;
}
