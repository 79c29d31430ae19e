/* body.h: which pictures a request's body holds. */
#ifndef FCGI_BODY_H
#define FCGI_BODY_H

#include "fcgi/classify.h"
#include "fcgi/errors.h"
#include "fcgi/multipart.h"

struct fcgi_body {
    struct fcgi_span images[FCGI_MULTIPART_MAX_PARTS]; /* into the body's bytes */
    int n_images;
    int top_k;                  /* 0: the body does not say */
    struct fcgi_span precision; /* its name; n 0: the body does not say */
};

/* A picture as it is, or multipart/form-data with fields `file` or `image` (several are several
 * pictures) and perhaps `top_k` and `precision`. Errors: BAD_REQUEST (empty), BAD_MULTIPART,
 * TOO_MANY_IMAGES, UNSUPPORTED_MEDIA_TYPE. Whether the bytes are a picture is not looked at here.
 */
int fcgi_body_parse(struct fcgi_body *body, const char *content_type, const char *content_encoding,
                    const uint8_t *bytes, size_t n, int max_images, struct fcgi_err *err);

#endif
