/* body.c: from Content-Type and first byte to pictures. */
#include "fcgi/body.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fcgi/body_json.h"
#include "fcgi/request.h"

/* The media type, parameters aside. */
static const char *media_type(const char *content_type, size_t *n)
{
    const char *at = content_type + strspn(content_type, " \t");

    *n = strcspn(at, "; \t");
    return at;
}

static int is_type(const char *content_type, const char *type)
{
    size_t n;
    const char *at = media_type(content_type, &n);

    return n == strlen(type) && !strncasecmp(at, type, n);
}

static int is_form(const struct fcgi_body_source *source)
{
    return is_type(source->content_type, "multipart/form-data");
}

/* No picture begins with a bracket: curl -d says that it sends a form, whatever it sends. */
static int begins_as_json(const struct fcgi_body_source *source)
{
    size_t i = 0;

    while (i < source->n && (source->bytes[i] == ' ' || source->bytes[i] == '\t' ||
                             source->bytes[i] == '\r' || source->bytes[i] == '\n'))
        i++;
    return i < source->n && (source->bytes[i] == '{' || source->bytes[i] == '[');
}

static int is_json(const struct fcgi_body_source *source)
{
    size_t n;
    const char *type = media_type(source->content_type, &n);

    return is_type(source->content_type, "application/json") ||
           (n > 5 && !strncasecmp(type + n - 5, "+json", 5)) || begins_as_json(source);
}

int64_t fcgi_body_top_k(const char *text, size_t n)
{
    int64_t top_k;

    return fcgi_request_number(text, n, INT32_MAX, &top_k) || top_k < 1 ? FCGI_BODY_BAD_TOP_K
                                                                        : top_k;
}

int fcgi_body_add(struct fcgi_body *body, const struct fcgi_span *image, const char *name,
                  int max_images, struct fcgi_err *err)
{
    if (body->n_images == max_images)
        return fcgi_fail(err, FCGI_E_TOO_MANY_IMAGES,
                         max_images == 1
                             ? "more than %d picture in one request; send them one by one"
                             : "more than %d pictures in one request; send them in several",
                         max_images);
    if (image->n == 0)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST, "%s is empty; expected a picture", name);
    body->images[body->n_images++] = *image;
    return FCGI_E_OK;
}

/* ---- forms ---------------------------------------------------------------------------------- */

struct form {
    const char *pictures[2]; /* fields that hold one each */
    int has_options;         /* top_k, precision */
    int max_images;
};

static int add_part(struct fcgi_body *body, const struct form *form, const struct fcgi_part *part,
                    struct fcgi_err *err)
{
    struct fcgi_span value = {part->bytes, part->n};
    char name[80];

    for (size_t i = 0; i < 2; i++)
        if (!strcmp(part->name, form->pictures[i])) {
            snprintf(name, sizeof name, "the field \"%s\"", part->name);
            return fcgi_body_add(body, &value, name, form->max_images, err);
        }
    if (form->has_options && !strcmp(part->name, "top_k"))
        body->top_k = fcgi_body_top_k((const char *)part->bytes, part->n);
    else if (form->has_options && !strcmp(part->name, "precision"))
        body->precision = value;
    else
        return fcgi_fail(err, FCGI_E_BAD_MULTIPART,
                         "unknown field \"%s\"; expected \"%s\" or \"%s\"%s", part->name,
                         form->pictures[0], form->pictures[1],
                         form->has_options ? ", and perhaps \"top_k\" or \"precision\"" : "");
    return FCGI_E_OK;
}

static int read_form(struct fcgi_body *body, const struct form *form,
                     const struct fcgi_body_source *source, struct fcgi_err *err)
{
    struct fcgi_multipart multipart;
    struct fcgi_part part;
    int got;

    if (fcgi_multipart_open(&multipart, source->content_type, source->bytes, source->n, err))
        return err->code;
    while ((got = fcgi_multipart_next(&multipart, &part, err)) > 0)
        if (add_part(body, form, &part, err))
            return err->code;
    if (got < 0)
        return err->code;
    if (!body->n_images)
        return fcgi_fail(err, FCGI_E_BAD_MULTIPART,
                         "the form has no picture; expected a field \"%s\" or \"%s\"",
                         form->pictures[0], form->pictures[1]);
    return FCGI_E_OK;
}

/* ---- dialects ------------------------------------------------------------------------------- */

static int read_picture(struct fcgi_body *body, const struct fcgi_body_source *source)
{
    body->images[0] = (struct fcgi_span){source->bytes, source->n};
    body->n_images = 1;
    return FCGI_E_OK;
}

int fcgi_body_predict(struct fcgi_body *body, const struct fcgi_body_source *source,
                      struct fcgi_err *err)
{
    const struct form form = {{"file", "image"}, 1, source->max_images};

    if (is_form(source))
        return read_form(body, &form, source, err);
    if (is_json(source))
        return fcgi_body_json_predict(body, source, err);
    return read_picture(body, source);
}

int fcgi_body_torchserve(struct fcgi_body *body, const struct fcgi_body_source *source,
                         struct fcgi_err *err)
{
    const struct form form = {{"data", "body"}, 0, 1};

    if (is_form(source))
        return read_form(body, &form, source, err);
    if (begins_as_json(source))
        return fcgi_fail(err, FCGI_E_UNSUPPORTED_MEDIA_TYPE,
                         "the body is JSON; expected a picture as it is, or a form with a field "
                         "\"data\". JSON with base64 goes to POST /predict: {\"image\":\"...\"}");
    return read_picture(body, source);
}
