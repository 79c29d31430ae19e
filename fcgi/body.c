/* body.c: from Content-Type to pictures. */
#include "fcgi/body.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fcgi/request.h"

/* Whether the media type, parameters aside, is `type`. */
static int is_type(const char *content_type, const char *type)
{
    const char *at = content_type + strspn(content_type, " \t");
    size_t n = strcspn(at, "; \t");

    return n == strlen(type) && !strncasecmp(at, type, n);
}

static int add_image(struct fcgi_body *body, const struct fcgi_part *part, int max_images,
                     struct fcgi_err *err)
{
    if (body->n_images == max_images)
        return fcgi_fail(err, FCGI_E_TOO_MANY_IMAGES,
                         "more than %d pictures in one request; send them in several", max_images);
    if (part->n == 0)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST, "the field \"%s\" is empty", part->name);
    body->images[body->n_images++] = (struct fcgi_span){part->bytes, part->n};
    return FCGI_E_OK;
}

static int add_top_k(struct fcgi_body *body, const struct fcgi_part *part, struct fcgi_err *err)
{
    int64_t top_k;

    if (fcgi_request_number((const char *)part->bytes, part->n, 1000000, &top_k) || top_k < 1)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "the field \"top_k\": expected a whole number from 1 on");
    body->top_k = (int)top_k;
    return FCGI_E_OK;
}

static int add_part(struct fcgi_body *body, const struct fcgi_part *part, int max_images,
                    struct fcgi_err *err)
{
    if (!strcmp(part->name, "file") || !strcmp(part->name, "image"))
        return add_image(body, part, max_images, err);
    if (!strcmp(part->name, "top_k"))
        return add_top_k(body, part, err);
    if (!strcmp(part->name, "precision")) {
        body->precision = (struct fcgi_span){part->bytes, part->n};
        return FCGI_E_OK;
    }
    return fcgi_fail(err, FCGI_E_BAD_MULTIPART,
                     "unknown field \"%s\"; expected \"file\" or \"image\", and perhaps \"top_k\" "
                     "or \"precision\"",
                     part->name);
}

static int parse_multipart(struct fcgi_body *body, const char *content_type, const uint8_t *bytes,
                           size_t n, int max_images, struct fcgi_err *err)
{
    struct fcgi_multipart multipart;
    struct fcgi_part part;
    int got;

    if (fcgi_multipart_open(&multipart, content_type, bytes, n, err))
        return err->code;
    while ((got = fcgi_multipart_next(&multipart, &part, err)) > 0)
        if (add_part(body, &part, max_images, err))
            return err->code;
    if (got < 0)
        return err->code;
    if (!body->n_images)
        return fcgi_fail(err, FCGI_E_BAD_MULTIPART,
                         "the form has no picture; expected a field \"file\" or \"image\"");
    return FCGI_E_OK;
}

int fcgi_body_parse(struct fcgi_body *body, const char *content_type, const char *content_encoding,
                    const uint8_t *bytes, size_t n, int max_images, struct fcgi_err *err)
{
    static const char accepted[] = "send the bytes of a JPEG, PNG or WebP picture as the body, or "
                                   "multipart/form-data with a field \"file\"";

    body->n_images = 0;
    body->precision = (struct fcgi_span){NULL, 0};
    body->top_k = 0;
    if (*content_encoding && strcasecmp(content_encoding, "identity"))
        return fcgi_fail(err, FCGI_E_UNSUPPORTED_MEDIA_TYPE,
                         "Content-Encoding is not supported: %s, uncompressed", accepted);
    if (n == 0)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "the body is empty; send a picture: curl --data-binary @photo.jpg "
                         "http://HOST/predict");
    if (is_type(content_type, "multipart/form-data"))
        return parse_multipart(body, content_type, bytes, n, max_images, err);
    if (is_type(content_type, "application/json"))
        return fcgi_fail(err, FCGI_E_UNSUPPORTED_MEDIA_TYPE,
                         "application/json is not supported: %s", accepted);
    body->images[0] = (struct fcgi_span){bytes, n};
    body->n_images = 1;
    return FCGI_E_OK;
}
