/* logline.h: one line of a log as fields: our programs' (logfmt or JSON) and nginx's (JSON, as
 * nginx/templates writes it), as they are or behind what a collector puts in front: journalctl
 * (-o short-iso, short), docker compose, kubectl --prefix. Anything else is no line. */
#ifndef SPAWN_LOGLINE_H
#define SPAWN_LOGLINE_H

#include <stddef.h>
#include <stdint.h>

enum { SPAWN_LOGLINE_FIELDS = 48, SPAWN_LOGLINE_HOST_BYTES = 65 };

struct spawn_logline_field {
    const char *key, *value; /* into the line's own memory */
};

struct spawn_logline {
    int64_t time_ms; /* since 1970 */
    char host[SPAWN_LOGLINE_HOST_BYTES];
    int n_fields;
    struct spawn_logline_field field[SPAWN_LOGLINE_FIELDS]; /* more are left out */
    char bytes[];
};

/* text: without its newline; it may hold anything. NULL when it is no line of those kinds, or, with
 * errno ENOMEM, when there is no memory; else to be freed. A value that was cut off ends there. */
struct spawn_logline *spawn_logline_parse(const char *text, size_t n);

/* "" when the line has no such field. */
const char *spawn_logline_get(const struct spawn_logline *line, const char *key);
double spawn_logline_number(const struct spawn_logline *line, const char *key, double fallback);

/* "2026-11-20T10:11:12.345Z" of n bytes at least -> ms since 1970; -1 when it is none. */
int64_t spawn_logline_time(const char *text, size_t n);

#endif
