/* json.c: strict JSON on top of jsmn's tokens. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

#include "weights/json.h"
#include "weights/json_text.h"

enum { BAD = -1 };

static jsmntok_t *tokens_of(const struct wt_json *json)
{
    return json->tokens;
}

static const jsmntok_t *token(const struct wt_json *json, int value)
{
    return value >= 0 && value < json->n_tokens ? &tokens_of(json)[value] : NULL;
}

/* ---- checking what jsmn lets through -------------------------------------------------------- */

static int is_word(const char *s, size_t n, const char *word)
{
    return n == strlen(word) && memcmp(s, word, n) == 0;
}

static int check_primitive(const char *s, size_t n, size_t at, struct wt_err *err)
{
    if (is_word(s, n, "true") || is_word(s, n, "false") || is_word(s, n, "null") ||
        wt_json_text_is_number(s, n))
        return WT_OK;
    return wt_fail(err, WT_EFORMAT,
                   "JSON, byte %zu: expected a number, true, false or null, found \"%.*s\"", at,
                   n > 40 ? 40 : (int)n, s);
}

static int check_string(const char *s, size_t n, size_t at, struct wt_err *err)
{
    char out[4];
    size_t i = 0, n_out;

    while ((i += wt_json_text_plain(s + i, n - i)) < n) {
        size_t used = wt_json_text_character(s + i, n - i, out, &n_out);
        if (used == 0)
            return wt_fail(err, WT_EFORMAT,
                           "JSON, byte %zu: a string holds what is not valid UTF-8, not a JSON "
                           "escape, half a surrogate pair, or a bare control character",
                           at + i);
        i += used;
    }
    return WT_OK;
}

/* Between two tokens there is white space and at most one separator. want: 0, ',' or ':'. */
static int check_gap(const struct wt_json *json, size_t from, size_t to, char want,
                     struct wt_err *err)
{
    for (size_t i = from; i < to; i++) {
        char c = json->text[i];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
            continue;
        if (c != want || want == 0)
            return wt_fail(err, WT_EFORMAT, "JSON, byte %zu: a stray byte 0x%02x", i,
                           (unsigned char)c);
        want = 0;
    }
    if (want || from > to)
        return wt_fail(err, WT_EFORMAT, "JSON, byte %zu: '%c' expected", to, want ? want : ',');
    return WT_OK;
}

static int is_container(const jsmntok_t *t)
{
    return t->type == JSMN_OBJECT || t->type == JSMN_ARRAY;
}

/* What jsmn has no type for: an array of numbers, as one token. */
static int is_numbers(const jsmntok_t *t)
{
    return t->type == JSMN_UNDEFINED;
}

static int container_of(const jsmntok_t *tokens, int i)
{
    int up = tokens[i].parent;

    return up != -1 && !is_container(&tokens[up]) ? tokens[up].parent : up;
}

/* What has to stand before token i, the next one inside container open (-1: the root itself):
 * ',' ':' or 0 for nothing, BAD when no token may stand there. */
static int separator(const struct wt_json *json, int i, int open)
{
    const jsmntok_t *tokens = tokens_of(json), *t = &tokens[i];

    if (open == -1)
        return i == 0 && (is_container(t) || is_numbers(t)) ? 0 : BAD;
    if (t->parent == open) { /* an element, or a key, which has exactly one value */
        if (tokens[open].type == JSMN_OBJECT && (t->type != JSMN_STRING || t->size != 1))
            return BAD;
        return i == open + 1 ? 0 : ',';
    }
    if (tokens[open].type == JSMN_OBJECT && t->parent == i - 1 && tokens[i - 1].parent == open)
        return ':';
    return BAD;
}

static int check_token(const struct wt_json *json, int i, struct wt_err *err)
{
    const jsmntok_t *t = &tokens_of(json)[i];
    size_t at = (size_t)t->start, n = (size_t)(t->end - t->start);

    if (t->type == JSMN_STRING)
        return check_string(json->text + at, n, at, err);
    if (t->type == JSMN_PRIMITIVE)
        return check_primitive(json->text + at, n, at, err);
    return WT_OK;
}

struct walk {
    size_t at; /* everything before this byte has been accounted for */
    int open;  /* the innermost container around it, -1: none */
};

/* Closes every container that ends at or before byte `to`. */
static int close_until(const struct wt_json *json, struct walk *walk, size_t to, struct wt_err *err)
{
    const jsmntok_t *tokens = tokens_of(json);

    while (walk->open != -1 && (size_t)tokens[walk->open].end <= to) {
        size_t end = (size_t)tokens[walk->open].end;
        int code = check_gap(json, walk->at, end - 1, 0, err);
        if (code != WT_OK)
            return code;
        walk->at = end;
        walk->open = container_of(tokens, walk->open);
    }
    return WT_OK;
}

static int check_step(const struct wt_json *json, struct walk *walk, int i, struct wt_err *err)
{
    const jsmntok_t *t = &tokens_of(json)[i];
    size_t quote = t->type == JSMN_STRING, start = (size_t)t->start - quote;
    int want, code = close_until(json, walk, start, err);

    if (code != WT_OK)
        return code;
    want = separator(json, i, walk->open);
    if (want == BAD)
        return wt_fail(err, WT_EFORMAT, "JSON, byte %zu: a value or key may not stand here", start);
    code = check_gap(json, walk->at, start, (char)want, err);
    if (code != WT_OK)
        return code;
    if (is_container(t))
        walk->open = i;
    walk->at = is_container(t) ? start + 1 : (size_t)t->end + quote;
    return check_token(json, i, err);
}

/* Every byte of the text is either inside a token or accounted for as white space, one separator
 * or a bracket in its place: so what passes is JSON, whatever jsmn takes. */
static int check_all(const struct wt_json *json, struct wt_err *err)
{
    struct walk walk = {0, -1};
    int code;

    for (int i = 0; i < json->n_tokens; i++) {
        code = check_step(json, &walk, i, err);
        if (code != WT_OK)
            return code;
    }
    code = close_until(json, &walk, json->n_text, err);
    return code != WT_OK ? code : check_gap(json, walk.at, json->n_text, 0, err);
}

/* jsmn climbs to a closing bracket's opening one from the last token: quadratic in the depth, so
 * the depth is bounded before it runs. */
static int check_depth(const char *text, size_t n, struct wt_err *err)
{
    enum { QUOTE = 2 };
    static const signed char steps[256] = {
        ['{'] = 1, ['['] = 1, ['}'] = -1, [']'] = -1, ['"'] = QUOTE};
    int depth = 0;

    for (size_t i = 0; i < n; i++) {
        int step = steps[(unsigned char)text[i]];
        if (step == 0)
            continue;
        if (step == QUOTE)
            i += 1 + wt_json_text_string(text + i + 1, n - i - 1);
        else
            depth += step;
        if (depth > WT_JSON_MAX_DEPTH)
            return wt_fail(err, WT_EFORMAT, "JSON, byte %zu: nested deeper than %d", i,
                           WT_JSON_MAX_DEPTH);
    }
    return WT_OK;
}

/* ---- parsing -------------------------------------------------------------------------------- */

static int grow(struct wt_json *json, size_t max_tokens, struct wt_err *err)
{
    size_t capacity = json->capacity ? json->capacity * 2 : 64;
    void *tokens;

    if (json->capacity >= max_tokens)
        return wt_fail(err, WT_EFORMAT, "JSON: more than %zu values and keys", max_tokens);
    if (capacity > max_tokens)
        capacity = max_tokens;
    tokens = reallocarray(json->tokens, capacity, sizeof(jsmntok_t));
    if (!tokens)
        return wt_fail(err, WT_ENOMEM, "no memory for %zu JSON tokens", capacity);
    json->tokens = tokens;
    json->capacity = capacity;
    return WT_OK;
}

/* Goes on to byte `end`, with as many tokens as that needs. *found: what jsmn says of the text up
 * to there. */
static int tokenize_until(struct wt_json *json, jsmn_parser *parser, size_t end, size_t max_tokens,
                          int *found, struct wt_err *err)
{
    for (;;) {
        size_t usable = json->capacity < max_tokens ? json->capacity : max_tokens;
        *found = JSMN_ERROR_NOMEM;
        if (usable > 0)
            *found = jsmn_parse(parser, json->text, end, json->tokens, (unsigned)usable);
        if (*found != JSMN_ERROR_NOMEM)
            return WT_OK;
        int code = grow(json, max_tokens, err);
        if (code != WT_OK)
            return code;
    }
}

/* A stretch of the text that becomes one token here, faster than jsmn looks at its bytes. */
struct fold {
    size_t start, n;
    int count; /* numbers of an array; IS_STRING */
};

enum { IS_STRING = -1, LONG_BYTES = 64 };

/* The next fold from byte `from` on, which is outside strings. An array is looked at twice at most:
 * as one that may be all numbers, and for those inside it. */
static int find_fold(const struct wt_json *json, size_t from, struct fold *fold)
{
    const char *text = json->text;

    for (size_t i = from, left, n; i < json->n_text; i++) {
        left = json->n_text - i;
        *fold = (struct fold){.start = i};
        if (text[i] == '[') {
            fold->n = wt_json_text_numbers(text + i, left, &fold->count);
        } else if (text[i] == '"') {
            n = wt_json_text_string(text + i + 1, left - 1);
            if (n >= LONG_BYTES && n < left - 1)
                *fold = (struct fold){i, n + 2, IS_STRING};
            i += n + 1;
        }
        if (fold->n > 0)
            return 1;
    }
    return 0;
}

/* What jsmn does when it meets a string; check_all() will look at what is in it. */
static int add_string(struct wt_json *json, jsmn_parser *parser, const struct fold *fold,
                      size_t max_tokens, struct wt_err *err)
{
    while (parser->toknext >= json->capacity || parser->toknext >= max_tokens) {
        int code = grow(json, max_tokens, err);
        if (code != WT_OK)
            return code;
    }
    tokens_of(json)[parser->toknext++] = (jsmntok_t){
        .type = JSMN_STRING,
        .start = (int)(fold->start + 1),
        .end = (int)(fold->start + fold->n - 1),
        .parent = parser->toksuper,
    };
    tokens_of(json)[parser->toksuper].size++;
    return WT_OK;
}

/* The array that jsmn has just entered. */
static void close_numbers(const struct wt_json *json, jsmn_parser *parser, const struct fold *fold)
{
    jsmntok_t *t = &tokens_of(json)[parser->toknext - 1];

    t->type = JSMN_UNDEFINED;
    t->end = (int)(fold->start + fold->n);
    t->size = fold->count;
    parser->toksuper = t->parent;
}

/* jsmn is stopped before a long string, or behind the bracket that opens an array of numbers, and
 * goes on behind it. */
static int tokenize_folds(struct wt_json *json, jsmn_parser *parser, size_t max_tokens,
                          struct wt_err *err)
{
    struct fold fold;
    int found, code;

    while (find_fold(json, parser->pos, &fold)) {
        size_t stop = fold.count == IS_STRING ? fold.start : fold.start + 1;

        code = tokenize_until(json, parser, stop, max_tokens, &found, err);
        if (code != WT_OK || found != JSMN_ERROR_PART || parser->pos != stop ||
            parser->toksuper < 0)
            return code; /* whatever is wrong, jsmn says it again */
        if (fold.count == IS_STRING)
            code = add_string(json, parser, &fold, max_tokens, err);
        else
            close_numbers(json, parser, &fold);
        if (code != WT_OK)
            return code;
        parser->pos = (unsigned)(fold.start + fold.n);
    }
    return WT_OK;
}

static int tokenize(struct wt_json *json, size_t max_tokens, int folds, struct wt_err *err)
{
    jsmn_parser parser;
    int found, code = WT_OK;

    jsmn_init(&parser);
    if (folds)
        code = tokenize_folds(json, &parser, max_tokens, err);
    if (code == WT_OK)
        code = tokenize_until(json, &parser, json->n_text, max_tokens, &found, err);
    if (code != WT_OK)
        return code;
    if (found == JSMN_ERROR_PART)
        return wt_fail(err, WT_EFORMAT, "JSON: ends before its last value is complete (%zu bytes)",
                       json->n_text);
    if (found < 0)
        return wt_fail(err, WT_EFORMAT, "JSON, byte %u: a stray character or bracket", parser.pos);
    json->n_tokens = (int)parser.toknext;
    return json->n_tokens > 0 ? WT_OK : wt_fail(err, WT_EFORMAT, "JSON: the text is empty");
}

static int parse(struct wt_json *json, const char *text, size_t n, size_t max_tokens, int folds,
                 struct wt_err *err)
{
    int code;

    json->text = text;
    json->n_text = n;
    json->n_tokens = 0;
    if (n > INT_MAX / 2 || max_tokens > INT_MAX / 2)
        return wt_fail(err, WT_EFORMAT, "JSON: %zu bytes are more than this program reads", n);
    code = check_depth(text, n, err);
    if (code == WT_OK)
        code = tokenize(json, max_tokens, folds, err);
    if (code == WT_OK)
        code = check_all(json, err);
    if (code != WT_OK)
        json->n_tokens = 0;
    return code;
}

int wt_json_parse(struct wt_json *json, const char *text, size_t n, size_t max_tokens,
                  struct wt_err *err)
{
    return parse(json, text, n, max_tokens, 0, err);
}

int wt_json_parse_numbers(struct wt_json *json, const char *text, size_t n, size_t max_tokens,
                          struct wt_err *err)
{
    return parse(json, text, n, max_tokens, 1, err);
}

void wt_json_free(struct wt_json *json)
{
    free(json->tokens);
    memset(json, 0, sizeof *json);
}

/* ---- walking -------------------------------------------------------------------------------- */

enum wt_json_type wt_json_type(const struct wt_json *json, int value)
{
    const jsmntok_t *t = token(json, value);

    if (!t)
        return WT_JSON_ABSENT;
    if (t->type == JSMN_OBJECT)
        return WT_JSON_OBJECT;
    if (t->type == JSMN_ARRAY)
        return WT_JSON_ARRAY;
    if (t->type == JSMN_STRING)
        return WT_JSON_STRING;
    if (is_numbers(t))
        return WT_JSON_NUMBERS;
    switch (json->text[t->start]) {
    case 't':
        return WT_JSON_TRUE;
    case 'f':
        return WT_JSON_FALSE;
    case 'n':
        return WT_JSON_NULL;
    default:
        return WT_JSON_NUMBER;
    }
}

const char *wt_json_type_name(const struct wt_json *json, int value)
{
    static const char *const names[] = {"nothing",  "an object", "an array",
                                        "a string", "a number",  "true",
                                        "false",    "null",      "an array of numbers"};

    return names[wt_json_type(json, value)];
}

int wt_json_size(const struct wt_json *json, int value)
{
    const jsmntok_t *t = token(json, value);

    return t && (is_container(t) || is_numbers(t)) ? t->size : 0;
}

int wt_json_first(const struct wt_json *json, int container)
{
    const jsmntok_t *t = token(json, container);

    return t && is_container(t) && t->size > 0 ? container + 1 : WT_JSON_NONE;
}

int wt_json_value(const struct wt_json *json, int key)
{
    const jsmntok_t *t = token(json, key);

    return t && t->type == JSMN_STRING && t->size == 1 ? key + 1 : WT_JSON_NONE;
}

int wt_json_next(const struct wt_json *json, int element_or_key)
{
    const jsmntok_t *tokens = tokens_of(json), *t = token(json, element_or_key);
    int i, end;

    if (!t)
        return WT_JSON_NONE;
    i = wt_json_value(json, element_or_key);
    if (i == WT_JSON_NONE)
        i = element_or_key;
    end = tokens[i].end;
    do
        i++; /* at least one: an empty string's end is its start */
    while (i < json->n_tokens && tokens[i].start < end);
    return i < json->n_tokens && tokens[i].parent == t->parent ? i : WT_JSON_NONE;
}

const char *wt_json_raw(const struct wt_json *json, int value, size_t *n)
{
    const jsmntok_t *t = token(json, value);

    *n = t ? (size_t)(t->end - t->start) : 0;
    return t ? json->text + t->start : NULL;
}

int wt_json_string(const struct wt_json *json, int value, char *out, size_t size, size_t *n)
{
    size_t n_raw, used, n_out = 0;
    const char *raw = wt_json_raw(json, value, &n_raw);
    char decoded[4];

    if (wt_json_type(json, value) != WT_JSON_STRING || size == 0)
        return 0;
    for (size_t i = 0; i < n_raw; i += used) {
        const char *piece = raw + i;
        size_t n_piece = used = wt_json_text_plain(piece, n_raw - i);
        if (!used) {
            used = wt_json_text_character(piece, n_raw - i, decoded, &n_piece);
            piece = decoded;
        }
        if (n_piece > size - 1 - n_out)
            return 0;
        memmove(out + n_out, piece, n_piece);
        n_out += n_piece;
    }
    out[n_out] = '\0';
    if (n)
        *n = n_out;
    return 1;
}

/* Orders two strings as decoded, whatever escapes they are written with: as no UTF-8 sequence
 * begins with another, characters of different length differ within the shorter. */
static int compare_strings(const char *a, size_t n_a, const char *b, size_t n_b)
{
    char left[4], right[4];
    size_t i = 0, j = 0, n_left, n_right;

    while (i < n_a && j < n_b) {
        int order;
        i += wt_json_text_character(a + i, n_a - i, left, &n_left);
        j += wt_json_text_character(b + j, n_b - j, right, &n_right);
        order = memcmp(left, right, n_left < n_right ? n_left : n_right);
        if (order != 0)
            return order;
    }
    return (i < n_a) - (j < n_b);
}

static int compare_keys(const void *a, const void *b, void *json)
{
    size_t n_left, n_right;
    const char *left = wt_json_raw(json, *(const int *)a, &n_left);
    const char *right = wt_json_raw(json, *(const int *)b, &n_right);

    return compare_strings(left, n_left, right, n_right);
}

static int key_is(const struct wt_json *json, int key, const char *name)
{
    size_t n, n_raw, n_name = strlen(name);
    const char *raw = wt_json_raw(json, key, &n_raw);
    char decoded[4];

    for (size_t i = 0; i < n_raw; name += n, n_name -= n) {
        i += wt_json_text_character(raw + i, n_raw - i, decoded, &n);
        if (n > n_name || memcmp(name, decoded, n) != 0)
            return 0;
    }
    return n_name == 0;
}

int wt_json_find(const struct wt_json *json, int object, const char *key)
{
    if (wt_json_type(json, object) != WT_JSON_OBJECT)
        return WT_JSON_NONE;
    for (int k = wt_json_first(json, object); k != WT_JSON_NONE; k = wt_json_next(json, k))
        if (key_is(json, k, key))
            return wt_json_value(json, k);
    return WT_JSON_NONE;
}

int wt_json_duplicate(const struct wt_json *json, int object, int *key, struct wt_err *err)
{
    int n = wt_json_type(json, object) == WT_JSON_OBJECT ? wt_json_size(json, object) : 0, i = 0;
    int *keys;

    *key = WT_JSON_NONE;
    if (n < 2)
        return WT_OK;
    keys = reallocarray(NULL, (size_t)n, sizeof *keys);
    if (!keys)
        return wt_fail(err, WT_ENOMEM, "no memory for %d JSON keys", n);
    for (int k = wt_json_first(json, object); k != WT_JSON_NONE; k = wt_json_next(json, k))
        keys[i++] = k;
    qsort_r(keys, (size_t)n, sizeof *keys, compare_keys, (void *)json);
    for (i = 1; i < n && *key == WT_JSON_NONE; i++)
        if (compare_keys(&keys[i - 1], &keys[i], (void *)json) == 0)
            *key = keys[i];
    free(keys);
    return WT_OK;
}

/* ---- numbers -------------------------------------------------------------------------------- */

/* strtoll and strtod stop at the byte after the number, which is there: a bracket closes the text.
 */
int wt_json_int64(const struct wt_json *json, int value, int64_t *out)
{
    size_t n;
    const char *raw = wt_json_raw(json, value, &n);

    if (wt_json_type(json, value) != WT_JSON_NUMBER || memchr(raw, '.', n) || memchr(raw, 'e', n) ||
        memchr(raw, 'E', n))
        return 0;
    errno = 0;
    *out = strtoll(raw, NULL, 10);
    return errno == 0;
}

int wt_json_double(const struct wt_json *json, int value, double *out)
{
    if (wt_json_type(json, value) != WT_JSON_NUMBER)
        return 0;
    *out = strtod(json->text + tokens_of(json)[value].start, NULL);
    return isfinite(*out);
}
