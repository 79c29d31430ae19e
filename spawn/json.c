/* json.c: look-ups over jsmn's tokens. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

#include "spawn/json.h"

static const jsmntok_t *token(const struct spawn_json *json, int i)
{
    const jsmntok_t *tokens = json->tokens;

    return i >= 0 && i < json->n_tokens ? &tokens[i] : NULL;
}

int spawn_json_parse(struct spawn_json *json, const char *text, size_t n)
{
    jsmn_parser parser;

    json->text = text;
    json->n_tokens = 0;
    if (n > INT_MAX)
        return -1;
    jsmn_init(&parser);
    int wanted = jsmn_parse(&parser, text, n, NULL, 0);
    if (wanted <= 0)
        return -1;
    if (wanted > json->capacity) {
        void *tokens = reallocarray(json->tokens, (size_t)wanted, sizeof(jsmntok_t));
        if (!tokens)
            return -1;
        json->tokens = tokens;
        json->capacity = wanted;
    }
    jsmn_init(&parser);
    int found = jsmn_parse(&parser, text, n, json->tokens, (unsigned)json->capacity);
    json->n_tokens = found > 0 ? found : 0;
    return found > 0 ? 0 : -1;
}

void spawn_json_free(struct spawn_json *json)
{
    free(json->tokens);
    *json = (struct spawn_json){0};
}

/* ---- walking -------------------------------------------------------------------------------- */

int spawn_json_first(const struct spawn_json *json, int container)
{
    const jsmntok_t *inside = token(json, container + 1);

    return container >= 0 && inside && inside->parent == container ? container + 1
                                                                   : SPAWN_JSON_NONE;
}

/* Tokens stand in the order of the text: a sibling is the first that begins past the end. */
int spawn_json_next(const struct spawn_json *json, int element_or_key)
{
    const jsmntok_t *one = token(json, element_or_key);
    int value = spawn_json_value(json, element_or_key);

    if (!one)
        return SPAWN_JSON_NONE;
    int last = value >= 0 ? value : element_or_key, end = token(json, last)->end;
    for (int i = last + 1; i < json->n_tokens; i++)
        if (token(json, i)->start >= end)
            return token(json, i)->parent == one->parent ? i : SPAWN_JSON_NONE;
    return SPAWN_JSON_NONE;
}

int spawn_json_value(const struct spawn_json *json, int key)
{
    const jsmntok_t *one = token(json, key), *value = token(json, key + 1);

    return one && value && one->type == JSMN_STRING && value->parent == key ? key + 1
                                                                            : SPAWN_JSON_NONE;
}

int spawn_json_find(const struct spawn_json *json, int object, const char *key)
{
    size_t n = strlen(key);

    for (int at = spawn_json_first(json, object); at >= 0; at = spawn_json_next(json, at)) {
        const jsmntok_t *t = token(json, at);
        if ((size_t)(t->end - t->start) == n && !memcmp(json->text + t->start, key, n))
            return spawn_json_value(json, at);
    }
    return SPAWN_JSON_NONE;
}

/* ---- values --------------------------------------------------------------------------------- */

static int hex4(const char *s, const char *end, unsigned *code)
{
    *code = 0;
    if (end - s < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        unsigned digit = c >= '0' && c <= '9'                 ? (unsigned)(c - '0')
                         : (c | 32) >= 'a' && (c | 32) <= 'f' ? (unsigned)((c | 32) - 'a' + 10)
                                                              : 16;
        if (digit > 15)
            return -1;
        *code = *code << 4 | digit;
    }
    return 0;
}

static size_t encode(unsigned code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    for (int i = more; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf0u << (3 - more) & 0xff) | code);
    return (size_t)more + 1;
}

/* *at: behind "\u". Half a surrogate pair, and NUL, become U+FFFD. */
static size_t decode_unicode(const char **at, const char *end, char out[4])
{
    unsigned code, low;

    if (hex4(*at, end, &code))
        return encode(0xfffd, out);
    *at += 4;
    if (code >= 0xd800 && code < 0xdc00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' &&
        !hex4(*at + 2, end, &low) && low >= 0xdc00 && low < 0xe000) {
        *at += 6;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    return encode(code == 0 || (code >= 0xd800 && code < 0xe000) ? 0xfffd : code, out);
}

/* One character of a string, escaped or not. */
static size_t decode(const char **at, const char *end, char out[4])
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";

    out[0] = *(*at)++;
    if (out[0] != '\\' || *at == end)
        return 1;
    char c = *(*at)++;
    if (c == 'u')
        return decode_unicode(at, end, out);
    const char *known = c ? strchr(from, c) : NULL;
    out[0] = known ? to[known - from] : c;
    return 1;
}

size_t spawn_json_text(const struct spawn_json *json, int value, char *out, size_t size)
{
    const jsmntok_t *t = token(json, value);
    size_t n = 0;

    if (!size)
        return 0;
    out[0] = '\0';
    if (!t || t->type == JSMN_OBJECT || t->type == JSMN_ARRAY ||
        (t->type == JSMN_PRIMITIVE && json->text[t->start] == 'n'))
        return 0;
    const char *at = json->text + t->start, *end = json->text + t->end;
    while (at < end) {
        char one[4];
        size_t step = decode(&at, end, one);
        if (step >= size - n)
            break;
        memcpy(out + n, one, step);
        n += step;
    }
    out[n] = '\0';
    return n;
}

int64_t spawn_json_int(const struct spawn_json *json, int value, int64_t fallback)
{
    char text[32], *end;

    if (!spawn_json_text(json, value, text, sizeof text))
        return fallback;
    long long number = strtoll(text, &end, 10);
    return end > text ? number : fallback;
}
