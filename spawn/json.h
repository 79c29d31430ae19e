/* json.h: reading JSON that our own programs and nginx wrote, from (bytes, length). jsmn finds the
 * tokens; what it lets through beyond JSON does no harm here. A value is the index of its token;
 * every function takes SPAWN_JSON_NONE for "no such value", so that look-ups can be chained. */
#ifndef SPAWN_JSON_H
#define SPAWN_JSON_H

#include <stddef.h>
#include <stdint.h>

enum { SPAWN_JSON_NONE = -1, SPAWN_JSON_ROOT = 0 };

/* {0} to begin with; tokens keep their memory from one text to the next. */
struct spawn_json {
    const char *text; /* the caller's; must stay as long as values are read */
    void *tokens;
    int n_tokens, capacity;
};

/* 0, or -1 when this is no JSON, or there is no memory. */
int spawn_json_parse(struct spawn_json *json, const char *text, size_t n);
void spawn_json_free(struct spawn_json *json);

/* An object's keys, or an array's elements, in order; SPAWN_JSON_NONE at the end. */
int spawn_json_first(const struct spawn_json *json, int container);
int spawn_json_next(const struct spawn_json *json, int element_or_key);
int spawn_json_value(const struct spawn_json *json, int key);
int spawn_json_find(const struct spawn_json *json, int object, const char *key);

/* A string decoded, or a number or word as it stands, NUL-terminated; cut to fit. A NUL inside
 * becomes U+FFFD. Returns its bytes; 0 for null, containers and what is not there. */
size_t spawn_json_text(const struct spawn_json *json, int value, char *out, size_t size);
int64_t spawn_json_int(const struct spawn_json *json, int value, int64_t fallback);

#endif
