/* json.h: strict reading of JSON (RFC 8259) out of (bytes, length). jsmn finds the tokens; json.c
 * checks everything that jsmn lets through: what stands between tokens, numbers, UTF-8, escapes.
 *
 *     struct wt_json json = {0};
 *     if (wt_json_parse(&json, text, n, 1000, &err) != WT_OK) ...
 *     int images = wt_json_find(&json, WT_JSON_ROOT, "images");
 *     for (int v = wt_json_first(&json, images); v != WT_JSON_NONE; v = wt_json_next(&json, v)) ...
 *     wt_json_free(&json);
 *
 * A value is the index of its token. Every function takes WT_JSON_NONE for "no such value" and says
 * so in its result, so that look-ups can be chained.
 */
#ifndef WEIGHTS_JSON_H
#define WEIGHTS_JSON_H

#include "weights/weights.h"

enum { WT_JSON_NONE = -1, WT_JSON_ROOT = 0, WT_JSON_MAX_DEPTH = 64 };

enum wt_json_type {
    WT_JSON_ABSENT,
    WT_JSON_OBJECT,
    WT_JSON_ARRAY,
    WT_JSON_STRING,
    WT_JSON_NUMBER,
    WT_JSON_TRUE,
    WT_JSON_FALSE,
    WT_JSON_NULL,
    WT_JSON_NUMBERS /* see wt_json_parse_numbers() */
};

struct wt_json {
    const char *text; /* the caller's; must stay as long as values are read */
    size_t n_text;
    void *tokens; /* grown as needed and kept from one parse to the next */
    size_t capacity;
    int n_tokens;
};

/* Checks the whole text: one object or array, nothing after it but white space, no deeper than
 * WT_JSON_MAX_DEPTH. Errors: WT_EFORMAT naming the byte, WT_ENOMEM. Start from {0}. */
int wt_json_parse(struct wt_json *json, const char *text, size_t n, size_t max_tokens,
                  struct wt_err *err);
void wt_json_free(struct wt_json *json);

/* The same for texts with tensors or photographs in them: an array of numbers, one at least, and
 * nothing else is one value of type WT_JSON_NUMBERS, however long it is. Its numbers take no
 * tokens. Long strings are passed over faster. */
int wt_json_parse_numbers(struct wt_json *json, const char *text, size_t n, size_t max_tokens,
                          struct wt_err *err);

enum wt_json_type wt_json_type(const struct wt_json *json, int value);
const char *wt_json_type_name(const struct wt_json *json, int value); /* "a string", ... */

/* Elements of an array, numbers of WT_JSON_NUMBERS, keys of an object, 0 for everything else. */
int wt_json_size(const struct wt_json *json, int value);

/* An array's elements, or an object's keys, in order; WT_JSON_NONE at the end. */
int wt_json_first(const struct wt_json *json, int container);
int wt_json_next(const struct wt_json *json, int element_or_key);
int wt_json_value(const struct wt_json *json, int key);

/* The value of a key (as decoded), the first if it stands there twice. */
int wt_json_find(const struct wt_json *json, int object, const char *key);

/* A key that an earlier one of the same object equals, or WT_JSON_NONE. Errors: WT_ENOMEM. */
int wt_json_duplicate(const struct wt_json *json, int object, int *key, struct wt_err *err);

/* The bytes between the quotes (or of the number, container ...) as they stand, escapes and all. */
const char *wt_json_raw(const struct wt_json *json, int value, size_t *n);

/* Decodes a string or key into out, NUL-terminated; *n: its bytes (a string may hold NULs itself;
 * n may be NULL). out may be where the raw bytes begin: the closing quote is then written over at
 * most. Returns 1, or 0 when it is not a string or does not fit; n_raw + 1 bytes always suffice. */
int wt_json_string(const struct wt_json *json, int value, char *out, size_t size, size_t *n);

/* Return 1, or 0 when the value is no number of that kind or out of its range. 1.0 and 1e3 are no
 * integers here. */
int wt_json_int64(const struct wt_json *json, int value, int64_t *out);
int wt_json_double(const struct wt_json *json, int value, double *out);

/* ---- json_numbers.c: the elements of WT_JSON_NUMBERS ---------------------------------------- */

/* Reads all of them (wt_json_size() says how many) into out. Returns that number, or the index of
 * the first that is beyond a float's range, or no integer of 64 bits. Each float is the one nearest
 * to its decimal. */
int wt_json_numbers_floats(const struct wt_json *json, int value, float *out);
int wt_json_numbers_int64s(const struct wt_json *json, int value, int64_t *out);

#endif
