/* dialect.c: the table of paths, and what their handlers share. */
#include "fcgi/dialect.h"

#include <string.h>

static const struct fcgi_dialect dialects[] = {
    {"/predict", "POST", fcgi_predict},
    {"/v2/models/resnet50/infer", "POST", fcgi_oip},
    {"/v2/models/resnet50/versions/1/infer", "POST", fcgi_oip},
};

const struct fcgi_dialect *fcgi_dialect_find(const char *path)
{
    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++)
        if (!strcmp(dialects[i].path, path))
            return &dialects[i];
    return NULL;
}

int fcgi_dialect_allows(const struct fcgi_dialect *dialect, const char *method)
{
    const char *at = dialect->methods;
    size_t n = strlen(method);

    for (; *at; at += strspn(at, ", ")) {
        size_t listed = strcspn(at, ", ");
        if (listed == n && !memcmp(at, method, n))
            return 1;
        at += listed;
    }
    return 0;
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
int fcgi_dialect_query(struct fcgi_call *call, int *top_k)
{
    const struct fcgi_predictor *predictor = call->predictor;
    const char *query = call->request->query;
    struct fcgi_request_pair pair;

    while (fcgi_request_query(&query, &pair)) {
        int64_t number = -1;
        if (is_name(&pair, "top_k")) {
            fcgi_request_number(pair.value, pair.value_n, INT32_MAX, &number);
            if (fcgi_dialect_top_k(predictor, number, call->err))
                return call->err->code;
            *top_k = (int)number;
        } else if (!is_name(&pair, "precision")) {
            return fcgi_fail(call->err, FCGI_E_BAD_REQUEST,
                             "unknown query parameter; %s knows top_k and precision",
                             call->request->path);
        } else if (fcgi_dialect_precision(predictor, pair.value, pair.value_n, call->err)) {
            return call->err->code;
        }
    }
    return FCGI_E_OK;
}

int fcgi_dialect_classify(struct fcgi_call *call, const struct fcgi_span *images, int n)
{
    struct fcgi_predictor *predictor = call->predictor;

    call->n_images = n;
    return fcgi_classify_images(predictor->classifier, images, n, &predictor->limits,
                                predictor->exif, &call->times, &predictor->follow, call->err);
}
