/* logline.c: finds where a line of ours begins, and takes it apart. */
#include "spawn/logline.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spawn/json.h"

enum { TIME_BYTES = 24 };

/* ---- values --------------------------------------------------------------------------------- */

const char *spawn_logline_get(const struct spawn_logline *line, const char *key)
{
    for (int i = 0; i < line->n_fields; i++)
        if (!strcmp(line->field[i].key, key))
            return line->field[i].value;
    return "";
}

double spawn_logline_number(const struct spawn_logline *line, const char *key, double fallback)
{
    const char *text = spawn_logline_get(line, key);
    char *end;
    double number = strtod(text, &end);

    return end > text && number >= -1e15 && number <= 1e15 ? number : fallback;
}

/* ---- time ----------------------------------------------------------------------------------- */

static int64_t days_since_1970(int year, int month, int day)
{
    int64_t y = year - (month <= 2), era = y / 400, yoe = y - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

int64_t spawn_logline_time(const char *text, size_t n)
{
    static const char shape[] = "0000-00-00T00:00:00.000Z";
    int number[7] = {0}, at = 0;

    if (n < TIME_BYTES)
        return -1;
    for (int i = 0; i < TIME_BYTES; i++) {
        if (shape[i] != '0' && text[i] != shape[i])
            return -1;
        if (shape[i] != '0')
            at++;
        else if (text[i] < '0' || text[i] > '9')
            return -1;
        else
            number[at] = number[at] * 10 + (text[i] - '0');
    }
    if (number[1] < 1 || number[1] > 12 || number[2] < 1 || number[2] > 31)
        return -1;
    int64_t seconds = days_since_1970(number[0], number[1], number[2]) * 86400 + number[3] * 3600 +
                      number[4] * 60 + number[5];
    return seconds * 1000 + number[6];
}

/* ---- logfmt --------------------------------------------------------------------------------- */

struct parser {
    struct spawn_logline *line;
    const char *at, *end;
    char *out; /* never passes what has been read, so it always fits */
};

static void add_field(struct parser *p, const char *key, const char *value)
{
    if (p->line->n_fields < SPAWN_LOGLINE_FIELDS)
        p->line->field[p->line->n_fields++] = (struct spawn_logline_field){key, value};
}

/* A quoted value has JSON's escapes: it is read as JSON, up to its quote or the line's end. */
static void copy_quoted(struct parser *p)
{
    const char *first = p->at++;
    struct spawn_json json = {0};

    while (p->at < p->end && *p->at != '"')
        p->at += *p->at == '\\' && p->at + 1 < p->end ? 2 : 1;
    bool closed = p->at < p->end;
    p->at += closed;
    size_t n = (size_t)(p->at - first);
    if (closed && !spawn_json_parse(&json, first, n)) {
        p->out += spawn_json_text(&json, SPAWN_JSON_ROOT, p->out, n);
    } else {
        memcpy(p->out, first + 1, n - 1);
        p->out += n - 1;
    }
    spawn_json_free(&json);
}

static void copy_until(struct parser *p, const char *stops)
{
    while (p->at < p->end && !memchr(stops, *p->at, strlen(stops)))
        *p->out++ = *p->at++;
}

static const char *end_text(struct parser *p, const char *text)
{
    *p->out++ = '\0';
    return text;
}

static void parse_logfmt(struct parser *p)
{
    while (p->at < p->end) {
        const char *key = p->out, *value;
        copy_until(p, "= ");
        end_text(p, key);
        value = p->out;
        if (p->at < p->end && *p->at == '=') {
            p->at++;
            if (p->at < p->end && *p->at == '"')
                copy_quoted(p);
            else
                copy_until(p, " ");
            end_text(p, value);
            add_field(p, key, value);
        }
        while (p->at < p->end && *p->at == ' ')
            p->at++;
    }
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static const char *copy_json(struct parser *p, const struct spawn_json *json, int value,
                             size_t room)
{
    char *text = p->out;

    p->out += spawn_json_text(json, value, text, room) + 1;
    return text;
}

static int parse_json(struct parser *p, size_t room)
{
    struct spawn_json json = {0};
    char *first = p->out;
    int failed = spawn_json_parse(&json, p->at, (size_t)(p->end - p->at));

    for (int at = failed ? -1 : spawn_json_first(&json, SPAWN_JSON_ROOT); at >= 0;
         at = spawn_json_next(&json, at)) {
        size_t left = room - (size_t)(p->out - first);
        if (left < 4)
            break;
        const char *key = copy_json(p, &json, at, left - 2);
        left = room - (size_t)(p->out - first);
        add_field(p, key, copy_json(p, &json, spawn_json_value(&json, at), left));
    }
    spawn_json_free(&json);
    return failed;
}

/* ---- what stands in front ------------------------------------------------------------------- */

/* A number of words further. */
static const char *skip_words(const char *at, const char *end, int words)
{
    for (; words > 0; words--) {
        while (at < end && *at != ' ')
            at++;
        while (at < end && *at == ' ')
            at++;
    }
    return at;
}

/* A container runtime's "... stdout F " has no host in it. */
static bool names_stream(const char *word, const char *end)
{
    return end - word >= 7 && (!memcmp(word, "stdout ", 7) || !memcmp(word, "stderr ", 7));
}

static void copy_host(struct spawn_logline *line, const char *from, const char *end)
{
    size_t n = 0;

    while (from + n < end && !strchr(" /]|", from[n]) && n < sizeof line->host - 1)
        n++;
    memcpy(line->host, from, n);
    line->host[n] = '\0';
}

/* "2026-11-20T10:11:12+0000 HOST x[1]: ", "Nov 20 10:11:12 HOST x[1]: ", "[pod/NAME/x] ",
 * "NAME  | ". A collector's word for the host goes before the line's own; but any other text in
 * front, a file's name say, does not. */
static void find_host(struct spawn_logline *line, const char *prefix, const char *end)
{
    size_t n = (size_t)(end - prefix);
    const char *own = spawn_logline_get(line, "host");

    if (n > 20 && prefix[4] == '-' && prefix[10] == 'T' &&
        !names_stream(skip_words(prefix, end, 1), end))
        copy_host(line, skip_words(prefix, end, 1), end);
    else if (n > 16 && prefix[3] == ' ' && prefix[9] == ':' && prefix[12] == ':')
        copy_host(line, skip_words(prefix, end, 3), end);
    else if (n > 5 && !memcmp(prefix, "[pod/", 5))
        copy_host(line, prefix + 5, end);
    else if (*own)
        copy_host(line, own, own + strlen(own));
    else
        copy_host(line, prefix, end);
}

/* Where "0000-00-00T00:00:00.000Z level=" begins; NULL: nowhere. */
static const char *find_logfmt(const char *text, size_t n)
{
    static const char mark[] = "Z level=";
    const char *at = memmem(text, n, mark, sizeof mark - 1);

    if (!at || at - text < TIME_BYTES - 1)
        return NULL;
    at -= TIME_BYTES - 1;
    return spawn_logline_time(at, TIME_BYTES) < 0 ? NULL : at;
}

static const char *find_json(const char *text, size_t n)
{
    static const char mark[] = "{\"time\":\"";

    return memmem(text, n, mark, sizeof mark - 1);
}

/* nginx's $msec has milliseconds, its $time_iso8601 has none. */
static int64_t time_of_json(const struct spawn_logline *line)
{
    const char *text = spawn_logline_get(line, "time");
    double msec = spawn_logline_number(line, "msec", -1);

    return msec >= 0 ? (int64_t)(msec * 1000 + 0.5) : spawn_logline_time(text, strlen(text));
}

struct spawn_logline *spawn_logline_parse(const char *text, size_t n)
{
    const char *logfmt = find_logfmt(text, n), *json = logfmt ? NULL : find_json(text, n);
    const char *begin = logfmt ? logfmt : json;

    if (!begin)
        return NULL;
    size_t prefix = (size_t)(begin - text), room = n - prefix + 2 * SPAWN_LOGLINE_FIELDS;
    struct spawn_logline *line = malloc(sizeof *line + room);
    if (!line)
        return NULL;
    *line = (struct spawn_logline){.time_ms = -1};
    struct parser p = {.line = line, .at = begin, .end = text + n, .out = line->bytes};
    if (logfmt) {
        line->time_ms = spawn_logline_time(logfmt, TIME_BYTES);
        p.at += TIME_BYTES;
        parse_logfmt(&p);
    } else if (!parse_json(&p, room)) {
        line->time_ms = time_of_json(line);
    }
    find_host(line, text, begin);
    if (line->time_ms >= 0)
        return line;
    free(line);
    return NULL;
}
