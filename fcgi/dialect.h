/* dialect.h: the ways in which clients ask, by path. A dialect is one file with one handler, which
 * finds the pictures in the body, has them classified, and writes the answer; what they share is
 * here.
 */
#ifndef FCGI_DIALECT_H
#define FCGI_DIALECT_H

#include "fcgi/body.h"
#include "fcgi/classify.h"
#include "fcgi/request.h"
#include "fcgi/response.h"
#include "fcgi/usage.h"
#include "weights/json.h"

/* What every prediction of a worker shares. */
struct fcgi_predictor {
    struct fcgi_classifier *classifier;
    struct fcgi_image_limits limits;
    int exif;       /* enum wt_exif, or -1 for the recipe's */
    int max_images; /* RESNET_MAX_IMAGES */
    struct fcgi_follow follow;

    /* of the request that is being answered; they keep their memory */
    struct fcgi_prediction *top; /* [classes] */
    struct wt_json json;
    struct fcgi_buffer scratch;
};

/* One request. Whoever calls sets all but what a handler finds out. */
struct fcgi_call {
    struct fcgi_predictor *predictor;
    const struct fcgi_request *request;
    uint8_t *body; /* [body_n]; may be written over */
    size_t body_n;
    struct fcgi_response *response; /* takes the answer: body, more headers, content_type */
    struct fcgi_err *err;

    /* found out */
    int64_t read_ns; /* the time that reading the body took */
    int n_images;    /* 0 until they are about to be classified */
    struct fcgi_classify_times times;
};

/* Returns FCGI_E_OK or err->code. */
typedef int fcgi_dialect_fn(struct fcgi_call *call);

/* The handler of a path of usage.h; NULL: no such path. */
fcgi_dialect_fn *fcgi_dialect_find(const char *path);

/* ---- for handlers --------------------------------------------------------------------------- */

int fcgi_dialect_classes(const struct fcgi_predictor *predictor);

/* What a client asked for, checked; the precision is chosen for this request. Errors: BAD_REQUEST.
 */
int fcgi_dialect_top_k(const struct fcgi_predictor *predictor, int64_t top_k, struct fcgi_err *err);
int fcgi_dialect_precision(const struct fcgi_predictor *predictor, const char *name, size_t n,
                           struct fcgi_err *err);

/* What a body of any dialect has to fulfil, and the query's `top_k` and `precision`, if there are
 * any, into body. Errors: BAD_REQUEST (empty; any other query), UNSUPPORTED_MEDIA_TYPE (encoded).
 */
int fcgi_dialect_open(struct fcgi_call *call, struct fcgi_body *body);

/* That, and then the body by `read`, and both checked. body->top_k is set afterwards: five, or as
 * many as there are classes, where the client does not say. */
int fcgi_dialect_read(struct fcgi_call *call, struct fcgi_body *body, fcgi_body_fn *read);

/* images: [n], 1 <= n <= max_images -> the classifier's logits and features. */
int fcgi_dialect_classify(struct fcgi_call *call, const struct fcgi_span *images, int n);

/* ---- the handlers: predict.c, torchserve.c, tfserving.c, oip.c ------------------------------- */

#define X(handler, path, methods, example) fcgi_dialect_fn handler;
FCGI_USAGES(X)
#undef X

#endif
