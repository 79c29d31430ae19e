/* why.c: keeps the lines about one request, and puts them in order. */
#include "spawn/why.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FOUND = 1 << 13, MOST_SERVICE_LINES = 1 << 16 };

/* ---- finding -------------------------------------------------------------------------------- */

static bool is_in(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(word, *words))
            return true;
    return false;
}

/* What happens to all requests at once. */
static bool is_of_service(const struct spawn_logline *line)
{
    static const char *const events[] = {
        "start",     "serving",       "stopped",        "drain",         "reload", "reload_done",
        "idle_exit", "drain_timeout", "reload_stopped", "reload_failed", NULL};

    return !strcmp(spawn_logline_get(line, "program"), "resnet-spawn") &&
           is_in(spawn_logline_get(line, "event"), events);
}

/* The 32 digits of a traceparent's trace. */
static bool is_trace(const char *traceparent, const char *id)
{
    return strlen(traceparent) == 55 && strlen(id) == 32 && !memcmp(traceparent + 3, id, 32);
}

static bool is_wanted(const struct spawn_logline *line, const char *id)
{
    return !strcmp(spawn_logline_get(line, "request_id"), id) ||
           !strcmp(spawn_logline_get(line, "nginx_id"), id) ||
           is_trace(spawn_logline_get(line, "traceparent"), id);
}

static int add(struct spawn_why_lines *lines, struct spawn_logline *line)
{
    if (lines->n == lines->size) {
        size_t size = lines->size ? 2 * lines->size : 64;
        void *more = reallocarray(lines->line, size, sizeof(struct spawn_logline *));
        if (!more)
            return -1;
        lines->line = more;
        lines->size = size;
    }
    lines->line[lines->n++] = line;
    return 0;
}

void spawn_why_look(struct spawn_why *why, const char *text, size_t n)
{
    static const char spawn[] = "resnet-spawn";
    bool names_id = memmem(text, n, why->id, strlen(why->id)) != NULL;

    why->n_looked_at++;
    if (!names_id && !memmem(text, n, spawn, sizeof spawn - 1))
        return;
    errno = 0;
    struct spawn_logline *line = spawn_logline_parse(text, n);
    if (!line) {
        why->failed |= errno == ENOMEM;
        return;
    }
    if (names_id && why->found.n < MOST_FOUND && is_wanted(line, why->id)) {
        if (!add(&why->found, line))
            return;
        why->failed = true;
    } else if (is_of_service(line) && why->service.n < MOST_SERVICE_LINES) {
        if (!add(&why->service, line))
            return;
        why->failed = true;
    }
    free(line);
}

static void free_lines(struct spawn_why_lines *lines)
{
    for (size_t i = 0; i < lines->n; i++)
        free(lines->line[i]);
    free(lines->line);
}

void spawn_why_free(struct spawn_why *why)
{
    free_lines(&why->found);
    free_lines(&why->service);
}

/* ---- order ---------------------------------------------------------------------------------- */

/* The number of a try's event in the order in which they can happen; those of a same millisecond
 * come in this order, too. */
static int rank(const struct spawn_logline *line)
{
    static const char *const order[] = {
        "dequeue", "fault", "sandbox_violation", "running", "slow",  "starved", "stuck", "death",
        "crashed", "lost",  "request",           "shed",    "answer"};
    const char *event = spawn_logline_get(line, "event");

    for (int i = 0; i < (int)(sizeof order / sizeof *order); i++)
        if (!strcmp(event, order[i]))
            return i;
    return -1;
}

static int compare_lines(const void *a, const void *b)
{
    const struct spawn_logline *x = *(struct spawn_logline *const *)a;
    const struct spawn_logline *y = *(struct spawn_logline *const *)b;

    if (x->time_ms != y->time_ms)
        return x->time_ms < y->time_ms ? -1 : 1;
    return rank(x) - rank(y);
}

static void sort(struct spawn_why_lines *lines)
{
    if (lines->n > 1)
        qsort(lines->line, lines->n, sizeof *lines->line, compare_lines);
}

void spawn_why_sort(struct spawn_why *why)
{
    sort(&why->found);
    sort(&why->service);
}

/* ---- tries ---------------------------------------------------------------------------------- */

static bool is_event(const struct spawn_logline *line, const char *event)
{
    return !strcmp(spawn_logline_get(line, "event"), event);
}

static bool is_of_supervisor(const struct spawn_logline *line)
{
    return *spawn_logline_get(line, "worker_pid") != '\0';
}

/* The process that the line is about, which need not have written it. */
static const char *pid_of(const struct spawn_logline *line)
{
    return spawn_logline_get(line, is_of_supervisor(line) ? "worker_pid" : "pid");
}

/* Since when this line's try had the request, as far as the line knows. */
static int64_t begin_of(const struct spawn_logline *line)
{
    double ms = spawn_logline_number(line, "ms", 0);
    double queue_ms = spawn_logline_number(line, "queue_ms", 0);

    if (is_event(line, "request"))
        return line->time_ms - (int64_t)(ms - queue_ms);
    if (is_event(line, "lost"))
        return line->time_ms - (int64_t)ms;
    return line->time_ms - (int64_t)spawn_logline_number(line, "wall_ms", 0);
}

static struct spawn_why_try *find_try(struct spawn_why_request *request,
                                      const struct spawn_logline *line)
{
    const char *pid = pid_of(line);

    for (int i = 0; i < request->n_tries; i++)
        if (!strcmp(request->try[i].pid, pid) && !strcmp(request->try[i].host, line->host))
            return &request->try[i];
    if (request->n_tries == SPAWN_WHY_TRIES)
        return NULL;
    struct spawn_why_try *try = &request->try[request->n_tries++];
    *try = (struct spawn_why_try){.host = line->host,
                                  .pid = pid,
                                  .slot = spawn_logline_get(line, "slot"),
                                  .gen = spawn_logline_get(line, "gen"),
                                  .begin_ms = begin_of(line)};
    return try;
}

static void add_verdict(struct spawn_why_try *try, const struct spawn_logline *line)
{
    if (try->n_verdicts < SPAWN_WHY_VERDICTS)
        try->verdict[try->n_verdicts++] = line;
}

static void add_to_try(struct spawn_why_try *try, const struct spawn_logline *line)
{
    static const char *const verdicts[] = {"running", "starved", "stuck", NULL};
    const char *event = spawn_logline_get(line, "event");
    int64_t begin_ms = begin_of(line);

    if (begin_ms < try->begin_ms)
        try->begin_ms = begin_ms;
    if (!*try->gen)
        try->gen = spawn_logline_get(line, "gen");
    if (is_in(event, verdicts) || (!strcmp(event, "slow") && is_of_supervisor(line)))
        add_verdict(try, line);
    else if (!strcmp(event, "slow"))
        try->slow = line;
    else if (!strcmp(event, "dequeue"))
        try->dequeue = line;
    else if (!strcmp(event, "fault"))
        try->fault = line;
    else if (!strcmp(event, "sandbox_violation"))
        try->violation = line;
    else if (!strcmp(event, "crashed"))
        try->crashed = line;
    else if (!strcmp(event, "death"))
        try->death = line;
    else if (!strcmp(event, "lost"))
        try->lost = line;
    else if (!strcmp(event, "request"))
        try->request = line;
    else if (!strcmp(event, "shed") || (!strcmp(event, "answer") && !try->shed))
        try->shed = line;
}

/* More than one machine had to do with it: then each is named. */
static bool has_several_hosts(const struct spawn_why_request *request)
{
    const char *first = request->access ? request->access->host : request->try[0].host;

    for (int i = 0; i < request->n_tries; i++)
        if (strcmp(request->try[i].host, first))
            return true;
    return false;
}

static int compare_tries(const void *a, const void *b)
{
    const struct spawn_why_try *x = a, *y = b;

    if (!x->shed != !y->shed) /* it is the last that nginx asks */
        return x->shed ? 1 : -1;
    return x->begin_ms < y->begin_ms ? -1 : x->begin_ms > y->begin_ms;
}

/* ---- requests ------------------------------------------------------------------------------- */

/* Without nginx's id, the one that the client knows. */
static const char *key_of(const struct spawn_logline *line)
{
    const char *nginx_id = spawn_logline_get(line, "nginx_id");

    return *nginx_id ? nginx_id : spawn_logline_get(line, "request_id");
}

static bool was_told(const struct spawn_why *why, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (!strcmp(key_of(why->found.line[i]), key_of(why->found.line[at])))
            return true;
    return false;
}

bool spawn_why_next(struct spawn_why *why, size_t *at, struct spawn_why_request *request)
{
    while (*at < why->found.n && was_told(why, *at))
        ++*at;
    if (*at == why->found.n)
        return false;
    const struct spawn_logline *first = why->found.line[(*at)++];
    *request = (struct spawn_why_request){.request_id = spawn_logline_get(first, "request_id"),
                                          .nginx_id = spawn_logline_get(first, "nginx_id")};
    for (size_t i = *at - 1; i < why->found.n; i++) {
        const struct spawn_logline *line = why->found.line[i];
        if (strcmp(key_of(line), key_of(first)))
            continue;
        struct spawn_why_try *try = NULL;
        if (*spawn_logline_get(line, "attempts"))
            request->access = line;
        else if (is_event(line, "quarantined"))
            request->quarantined = line;
        else if (rank(line) >= 0)
            try = find_try(request, line);
        if (try)
            add_to_try(try, line);
    }
    qsort(request->try, (size_t)request->n_tries, sizeof request->try[0], compare_tries);
    request->several_hosts = has_several_hosts(request);
    return true;
}

int64_t spawn_why_arrival_ms(const struct spawn_why_request *request)
{
    const struct spawn_logline *access = request->access;

    if (access)
        return access->time_ms - (int64_t)(1000 * spawn_logline_number(access, "seconds", 0));
    return request->n_tries ? request->try[0].begin_ms : 0;
}

bool spawn_why_answered(const struct spawn_why_try *try)
{
    return try->shed ||
           (try->request && strcmp(spawn_logline_get(try->request, "code"), "cancelled") != 0);
}
