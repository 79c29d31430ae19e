/* body_json.c: from JSON to pictures. */
#include "fcgi/body_json.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fcgi/base64.h"

enum { WHERE_BYTES = 64 };

int fcgi_body_json_open(const struct fcgi_body_source *source, size_t max_tokens,
                        const char *example, struct fcgi_err *err)
{
    struct wt_err json_err;
    const char *kind = fcgi_image_kind(source->bytes, source->n);

    if (kind)
        return fcgi_fail(err, FCGI_E_UNSUPPORTED_MEDIA_TYPE,
                         "the body is %s by its first bytes; expected JSON: %s. A picture as it is "
                         "goes to POST /predict, as image/jpeg, image/png or image/webp",
                         kind, example);
    int code = wt_json_parse_numbers(source->json, (const char *)source->bytes, source->n,
                                     max_tokens, &json_err);
    if (code == WT_ENOMEM)
        return fcgi_fail(err, FCGI_E_WORKER_FAILED, "%s", wt_err_sentence(&json_err));
    if (code != WT_OK)
        return fcgi_fail(err, FCGI_E_BAD_JSON, "%.160s; expected %s", wt_err_sentence(&json_err),
                         example);
    if (wt_json_type(source->json, WT_JSON_ROOT) != WT_JSON_OBJECT)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST, "the body is %s; expected an object: %s",
                         wt_json_type_name(source->json, WT_JSON_ROOT), example);
    return FCGI_E_OK;
}

/* ---- objects -------------------------------------------------------------------------------- */

/* Which of the names a key is; n_names when none. */
static int find_name(const struct wt_json *json, int key, const char *const *names, int n_names)
{
    char text[32];
    size_t n;
    int i = 0;

    if (!wt_json_string(json, key, text, sizeof text, &n) || strlen(text) != n)
        return n_names;
    while (i < n_names && strcmp(text, names[i]) != 0)
        i++;
    return i;
}

static int refuse_key(const struct wt_json *json, int key, const char *where,
                      const char *const *names, int n_names, struct fcgi_err *err)
{
    char list[128];
    size_t n_key, n = 0;
    const char *raw = wt_json_raw(json, key, &n_key);

    for (int i = 0; i < n_names && n < sizeof list; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s\"%s\"", i ? ", " : "", names[i]);
    return fcgi_fail(err, FCGI_E_BAD_REQUEST, "%s%sunknown key \"%.*s\"; known here: %s", where,
                     *where ? ": " : "", n_key < 40 ? (int)n_key : 40, raw, list);
}

int fcgi_body_json_members(const struct wt_json *json, int object, const char *where,
                           const char *const *names, int n_names, int *values, struct fcgi_err *err)
{
    if (wt_json_type(json, object) != WT_JSON_OBJECT)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST, "%s: expected an object with \"%s\", found %s",
                         where, names[0], wt_json_type_name(json, object));
    for (int i = 0; i < n_names; i++)
        values[i] = WT_JSON_NONE;
    for (int k = wt_json_first(json, object); k != WT_JSON_NONE; k = wt_json_next(json, k)) {
        int i = find_name(json, k, names, n_names);
        if (i == n_names)
            return refuse_key(json, k, where, names, n_names, err);
        if (values[i] != WT_JSON_NONE)
            return fcgi_fail(err, FCGI_E_BAD_JSON, "%s%sthe key \"%s\" stands there twice", where,
                             *where ? ": " : "", names[i]);
        values[i] = wt_json_value(json, k);
    }
    return FCGI_E_OK;
}

/* ---- pictures ------------------------------------------------------------------------------- */

/* The string without its escapes (some encoders write \/ and \u002b), over its own raw bytes. */
static char *unescape(const struct fcgi_body_source *source, int value, size_t *n)
{
    const char *raw = wt_json_raw(source->json, value, n);
    char *text = (char *)source->bytes + (raw - source->json->text);

    if (memchr(raw, '\\', *n))
        wt_json_string(source->json, value, text, *n + 1, n);
    return text;
}

/* data:image/jpeg;base64,... -> what follows the comma; the media type is left to the bytes. */
static int skip_data_url(char **text, size_t *n, const char *where, struct fcgi_err *err)
{
    static const char marker[] = ";base64";
    enum { MARKER = sizeof marker - 1, MOST_BYTES = 256 };

    if (*n < 5 || strncasecmp(*text, "data:", 5) != 0)
        return FCGI_E_OK;
    char *comma = memchr(*text, ',', *n < MOST_BYTES ? *n : MOST_BYTES);
    if (!comma || comma - *text < 5 + MARKER || strncasecmp(comma - MARKER, marker, MARKER) != 0)
        return fcgi_fail(err, FCGI_E_BAD_BASE64,
                         "%s: expected a data URL like data:image/jpeg;base64,... (in base64, and "
                         "with no more than %d characters before its comma)",
                         where, MOST_BYTES);
    *n -= (size_t)(comma + 1 - *text);
    *text = comma + 1;
    return FCGI_E_OK;
}

/* Puts the name of the value before a sentence. */
static int at(const char *where, struct fcgi_err *err)
{
    char sentence[sizeof err->text];

    memcpy(sentence, err->text, sizeof sentence);
    return fcgi_fail(err, err->code, "%s: %.180s", where, sentence);
}

int fcgi_body_json_picture(struct fcgi_body *body, const struct fcgi_body_source *source, int value,
                           const char *where, struct fcgi_err *err)
{
    struct fcgi_span image;
    size_t n;

    if (wt_json_type(source->json, value) != WT_JSON_STRING)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "%s: expected a string, the base64 of a picture, found %s", where,
                         wt_json_type_name(source->json, value));
    char *text = unescape(source, value, &n);
    if (skip_data_url(&text, &n, where, err))
        return err->code;
    image.bytes = (uint8_t *)text;
    if (fcgi_base64_decode(text, n, (uint8_t *)text, &image.n, err))
        return at(where, err);
    return fcgi_body_add(body, &image, where, source->max_images, err);
}

/* ---- POST /predict -------------------------------------------------------------------------- */

static int read_list(struct fcgi_body *body, const struct fcgi_body_source *source, int list,
                     struct fcgi_err *err)
{
    const struct wt_json *json = source->json;
    char where[WHERE_BYTES];
    int i = 0;

    if (wt_json_type(json, list) != WT_JSON_ARRAY || !wt_json_size(json, list))
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "images: expected an array of strings, one at least, each the base64 of a "
                         "picture");
    for (int v = wt_json_first(json, list); v != WT_JSON_NONE; v = wt_json_next(json, v), i++) {
        snprintf(where, sizeof where, "images[%d]", i);
        if (fcgi_body_json_picture(body, source, v, where, err))
            return err->code;
    }
    return FCGI_E_OK;
}

static int read_options(struct fcgi_body *body, const struct wt_json *json, int top_k,
                        int precision, struct fcgi_err *err)
{
    if (top_k != WT_JSON_NONE &&
        (!wt_json_int64(json, top_k, &body->top_k) || body->top_k < 1 || body->top_k > INT32_MAX))
        body->top_k = FCGI_BODY_BAD_TOP_K;
    if (precision == WT_JSON_NONE)
        return FCGI_E_OK;
    if (wt_json_type(json, precision) != WT_JSON_STRING)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST, "precision: expected a string, found %s",
                         wt_json_type_name(json, precision));
    body->precision.bytes = (const uint8_t *)wt_json_raw(json, precision, &body->precision.n);
    return FCGI_E_OK;
}

int fcgi_body_json_predict(struct fcgi_body *body, const struct fcgi_body_source *source,
                           struct fcgi_err *err)
{
    enum { IMAGE, IMAGES, TOP_K, PRECISION, N };
    static const char *const names[N] = {"image", "images", "top_k", "precision"};
    int values[N];

    if (fcgi_body_json_open(source, FCGI_BODY_JSON_MAX_TOKENS,
                            "{\"image\":\"<base64 of a picture>\"}", err) ||
        fcgi_body_json_members(source->json, WT_JSON_ROOT, "", names, N, values, err) ||
        read_options(body, source->json, values[TOP_K], values[PRECISION], err))
        return err->code;
    if ((values[IMAGE] == WT_JSON_NONE) == (values[IMAGES] == WT_JSON_NONE))
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "expected either \"image\" with the base64 of one picture or \"images\" "
                         "with an array of several, found %s",
                         values[IMAGE] == WT_JSON_NONE ? "neither" : "both");
    if (values[IMAGES] != WT_JSON_NONE)
        return read_list(body, source, values[IMAGES], err);
    return fcgi_body_json_picture(body, source, values[IMAGE], "image", err);
}
