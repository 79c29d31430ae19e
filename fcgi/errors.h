/* errors.h: every answer that is not a prediction, in one table. All dialects use it. */
#ifndef FCGI_ERRORS_H
#define FCGI_ERRORS_H

/* name, HTTP status, the stable code that clients may rely on */
#define FCGI_ERRORS(X)                                                                             \
    X(OK, 200, "ok")                                                                               \
    X(BAD_REQUEST, 400, "bad_request")                                                             \
    X(BODY_TRUNCATED, 400, "body_truncated")                                                       \
    X(BAD_JSON, 400, "bad_json")                                                                   \
    X(BAD_MULTIPART, 400, "bad_multipart")                                                         \
    X(BAD_BASE64, 400, "bad_base64")                                                               \
    X(NOT_FOUND, 404, "not_found")                                                                 \
    X(METHOD_NOT_ALLOWED, 405, "method_not_allowed")                                               \
    X(BODY_TOO_LARGE, 413, "body_too_large")                                                       \
    X(IMAGE_TOO_LARGE, 413, "image_too_large")                                                     \
    X(TOO_MANY_IMAGES, 413, "too_many_images")                                                     \
    X(UNSUPPORTED_MEDIA_TYPE, 415, "unsupported_media_type")                                       \
    X(IMAGE_UNDECODABLE, 422, "image_undecodable")                                                 \
    X(TENSOR_SHAPE_MISMATCH, 422, "tensor_shape_mismatch")                                         \
    X(TENSOR_NOT_FINITE, 422, "tensor_not_finite")                                                 \
    X(INPUT_QUARANTINED, 422, "input_quarantined")                                                 \
    X(TOO_MANY_REQUESTS, 429, "too_many_requests")                                                 \
    X(CANCELLED, 499, "cancelled")                                                                 \
    X(WORKER_FAILED, 500, "worker_failed")                                                         \
    X(OVERLOADED, 503, "overloaded")                                                               \
    X(DRAINING, 503, "draining")                                                                   \
    X(STARTING, 503, "starting")                                                                   \
    X(DEADLINE_EXCEEDED, 504, "deadline_exceeded")

enum fcgi_code {
#define X(name, status, code) FCGI_E_##name,
    FCGI_ERRORS(X)
#undef X
        FCGI_N_CODES
};

/* What went wrong, and a sentence that says what was found, where, and what would have been right.
 * The sentence goes to the client as it is: no path, no address, no other request's data in it. */
struct fcgi_err {
    enum fcgi_code code;
    char text[256];
};

int fcgi_error_status(enum fcgi_code code);       /* HTTP status */
const char *fcgi_error_code(enum fcgi_code code); /* "body_too_large" */

/* Fills err and returns code. */
int fcgi_fail(struct fcgi_err *err, enum fcgi_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
