/* dialect.c: the table of paths, and what their handlers share. */
#include "fcgi/dialect.h"

#include <string.h>
#include <strings.h>

#include "fcgi/scoreboard.h"

enum { DEFAULT_TOP_K = 5 };

static const struct {
    const char *path;
    fcgi_dialect_fn *handler;
} dialects[] = {
#define X(handler, path, methods, example) {path, handler},
    FCGI_USAGES(X)
#undef X
};

fcgi_dialect_fn *fcgi_dialect_find(const char *path)
{
    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++)
        if (!strcmp(dialects[i].path, path))
            return dialects[i].handler;
    return NULL;
}

/* ---- for handlers --------------------------------------------------------------------------- */

int fcgi_dialect_classes(const struct fcgi_predictor *predictor)
{
    return predictor->classifier->model.net.classes;
}

int fcgi_dialect_top_k(const struct fcgi_predictor *predictor, int64_t top_k, struct fcgi_err *err)
{
    int classes = fcgi_dialect_classes(predictor);

    return top_k >= 1 && top_k <= classes
               ? FCGI_E_OK
               : fcgi_fail(err, FCGI_E_BAD_REQUEST, "top_k: expected a whole number from 1 to %d",
                           classes);
}

int fcgi_dialect_precision(const struct fcgi_predictor *predictor, const char *name, size_t n,
                           struct fcgi_err *err)
{
    return fcgi_classifier_choose(predictor->classifier, name, n, err);
}

static int is_name(const struct fcgi_request_pair *pair, const char *name)
{
    return pair->name_n == strlen(name) && !memcmp(pair->name, name, pair->name_n);
}

/* What is not known is refused: `topk=3` ignored in silence would be a wrong answer. */
static int read_query(const struct fcgi_request *request, struct fcgi_body *body,
                      struct fcgi_err *err)
{
    const char *query = request->query;
    struct fcgi_request_pair pair;

    while (fcgi_request_query(&query, &pair)) {
        if (is_name(&pair, "top_k")) {
            body->top_k = fcgi_body_top_k(pair.value, pair.value_n);
        } else if (is_name(&pair, "precision")) {
            body->precision = (struct fcgi_span){(const uint8_t *)pair.value, pair.value_n};
        } else {
            return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                             "unknown query parameter; %.64s knows top_k and precision",
                             request->path);
        }
    }
    return FCGI_E_OK;
}

int fcgi_dialect_open(struct fcgi_call *call, struct fcgi_body *body)
{
    const struct fcgi_request *request = call->request;
    const struct fcgi_usage *usage = fcgi_usage_find(request->path);
    const char *encoding = request->content_encoding;

    memset(body, 0, sizeof *body);
    if (*encoding && strcasecmp(encoding, "identity"))
        return fcgi_fail(call->err, FCGI_E_UNSUPPORTED_MEDIA_TYPE,
                         "Content-Encoding: expected none, found \"%.32s\"; send the body "
                         "uncompressed (a photograph is compressed already)",
                         encoding);
    if (!call->body_n)
        return fcgi_fail(call->err, FCGI_E_BAD_REQUEST,
                         "the body is empty; expected for example %s",
                         usage ? usage->example : FCGI_USAGE_PREDICT);
    return read_query(request, body, call->err);
}

int fcgi_dialect_read(struct fcgi_call *call, struct fcgi_body *body, fcgi_body_fn *read)
{
    struct fcgi_predictor *predictor = call->predictor;
    int classes = fcgi_dialect_classes(predictor);
    uint64_t start_ns = fcgi_scoreboard_now_ns();
    const struct fcgi_body_source source = {
        .content_type = call->request->content_type,
        .bytes = call->body,
        .n = call->body_n,
        .max_images = predictor->max_images,
        .json = &predictor->json,
    };

    if (fcgi_dialect_open(call, body) || read(body, &source, call->err))
        return call->err->code;
    call->read_ns = (int64_t)(fcgi_scoreboard_now_ns() - start_ns);
    if (!body->top_k)
        body->top_k = DEFAULT_TOP_K < classes ? DEFAULT_TOP_K : classes;
    if (fcgi_dialect_top_k(predictor, body->top_k, call->err))
        return call->err->code;
    if (body->precision.bytes &&
        fcgi_dialect_precision(predictor, (const char *)body->precision.bytes, body->precision.n,
                               call->err))
        return call->err->code;
    return FCGI_E_OK;
}

int fcgi_dialect_classify(struct fcgi_call *call, const struct fcgi_span *images, int n)
{
    struct fcgi_predictor *predictor = call->predictor;

    call->n_images = n;
    int code = fcgi_classify_images(predictor->classifier, images, n, &predictor->limits,
                                    predictor->exif, &call->times, &predictor->follow, call->err);
    call->times.decode_ns += call->read_ns;
    return code;
}
