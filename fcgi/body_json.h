/* body_json.h: bodies that are JSON. Nothing is copied: a base64 string is decoded where it stands.
 *
 * An error names the value as one would write it in JavaScript: "instances[2].b64: expected ...".
 */
#ifndef FCGI_BODY_JSON_H
#define FCGI_BODY_JSON_H

#include "fcgi/body.h"
#include "weights/json.h"

/* Values and keys in one body. RESNET_MAX_IMAGES of the most talkative dialect take 320. */
enum { FCGI_BODY_JSON_MAX_TOKENS = 4096 };

/* Parses the body into source->json; it has to be one object. example: what it might have been.
 * Errors: BAD_JSON, UNSUPPORTED_MEDIA_TYPE (a picture as it is). */
int fcgi_body_json_open(const struct fcgi_body_source *source, size_t max_tokens,
                        const char *example, struct fcgi_err *err);

/* values[i]: the value of names[i] in the object at `where` ("": the body), or WT_JSON_NONE.
 * Errors: BAD_JSON (a key twice), BAD_REQUEST (any other key; no object). */
int fcgi_body_json_members(const struct wt_json *json, int object, const char *where,
                           const char *const *names, int n_names, int *values,
                           struct fcgi_err *err);

/* One more picture: a string of base64, or a data: URL of it. Errors: BAD_REQUEST (no string, or an
 * empty one), BAD_BASE64, TOO_MANY_IMAGES. */
int fcgi_body_json_picture(struct fcgi_body *body, const struct fcgi_body_source *source, int value,
                           const char *where, struct fcgi_err *err);

/* {"image": base64} or {"images": [base64, ...]}, perhaps with "top_k" and "precision". */
fcgi_body_fn fcgi_body_json_predict;

#endif
