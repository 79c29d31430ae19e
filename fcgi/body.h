/* body.h: what a request's body asks for, whichever dialect it is written in. */
#ifndef FCGI_BODY_H
#define FCGI_BODY_H

#include "fcgi/classify.h"
#include "fcgi/errors.h"
#include "fcgi/multipart.h"

enum { FCGI_BODY_BAD_TOP_K = -1 }; /* said, but no whole number from 1 on */

/* All zero to begin with; what a body does not say stays as it was. */
struct fcgi_body {
    struct fcgi_span images[FCGI_MULTIPART_MAX_PARTS]; /* into the body's bytes */
    int n_images;
    int64_t top_k;              /* 0: not said; FCGI_BODY_BAD_TOP_K; may be more than there are */
    struct fcgi_span precision; /* a name; bytes NULL: not said */
    int by_columns;             /* TensorFlow Serving's "inputs" rather than "instances" */
};

struct fcgi_body_source {
    const char *content_type;
    uint8_t *bytes; /* [n], n > 0; base64 is decoded in place */
    size_t n;
    int max_images;
    struct wt_json *json; /* its tokens are kept from one request to the next */
};

/* What text says as top_k. */
int64_t fcgi_body_top_k(const char *text, size_t n);

/* Reads one dialect's body. Returns FCGI_E_OK or err->code. */
typedef int fcgi_body_fn(struct fcgi_body *body, const struct fcgi_body_source *source,
                         struct fcgi_err *err);

/* POST /predict: a picture as it is; multipart/form-data with fields `file` or `image` (several are
 * several pictures), perhaps `top_k` and `precision`; or JSON (body_json.h). Errors: BAD_REQUEST,
 * BAD_MULTIPART, BAD_JSON, BAD_BASE64, TOO_MANY_IMAGES, UNSUPPORTED_MEDIA_TYPE. Whether the bytes
 * are a picture is not looked at here. */
fcgi_body_fn fcgi_body_predict;

/* POST /predictions/resnet50: one picture, as it is or as the form's field `data` or `body`. */
fcgi_body_fn fcgi_body_torchserve;

/* One more picture; name: of the field it came in. Errors: BAD_REQUEST (empty), TOO_MANY_IMAGES. */
int fcgi_body_add(struct fcgi_body *body, const struct fcgi_span *image, const char *name,
                  int max_images, struct fcgi_err *err);

#endif
