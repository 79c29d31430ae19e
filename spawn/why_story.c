/* why_story.c: one line an event: the time, how long after the request had come, what happened. */
#include <string.h>
#include <time.h>

#include "spawn/why.h"

struct story {
    const struct spawn_why *why;
    const struct spawn_why_request *request;
    FILE *out;
    int64_t arrival_ms, end_ms;
    size_t service; /* the next of the service's lines */
    struct fcgi_buffer text;
};

/* ---- one line ------------------------------------------------------------------------------- */

static void print_line(struct story *story, int64_t time_ms)
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm tm = {0};

    gmtime_r(&seconds, &tm);
    fprintf(story->out, "  %02d:%02d:%02d.%03d %+9lld ms  ", tm.tm_hour, tm.tm_min, tm.tm_sec,
            (int)(time_ms % 1000), (long long)(time_ms - story->arrival_ms));
    spawn_why_words_print(&story->text, story->out);
}

static void tell_service(struct fcgi_buffer *text, const struct spawn_logline *line)
{
    const char *event = spawn_logline_get(line, "event");
    const char *reason = spawn_logline_get(line, "reason");
    static const char *const known[][2] = {
        {"start", "resnet-spawn started"},
        {"serving", "all its workers became ready"},
        {"stopped", "resnet-spawn ended"},
        {"drain", "resnet-spawn was told to stop: what was accepted or queued is answered"},
        {"drain_timeout", "RESNET_DRAIN_TIMEOUT was over: what was left was killed"},
        {"idle_exit", "nobody had asked for RESNET_IDLE_EXIT: it left"},
        {"reload", "a reload began"},
        {"reload_done", "the reload ended well"},
        {"reload_failed", "the reload failed"},
        {"reload_stopped", "the reload was broken off"},
    };

    fcgi_buffer_text(text, "(service) ");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i][0], event))
            fcgi_buffer_text(text, known[i][1]);
    if (*reason)
        fcgi_buffer_format(text, ": %s", reason);
}

/* Of the hosts that had the request; of all, when none did. */
static bool concerns(const struct story *story, const struct spawn_logline *line)
{
    for (int i = 0; i < story->request->n_tries; i++)
        if (!strcmp(story->request->try[i].host, line->host))
            return true;
    return !story->request->n_tries;
}

/* What happened to the service meanwhile, up to then. */
static void catch_up(struct story *story, int64_t until_ms)
{
    const struct spawn_why_lines *service = &story->why->service;

    for (; story->service < service->n && service->line[story->service]->time_ms <= until_ms;
         story->service++) {
        const struct spawn_logline *line = service->line[story->service];
        if (!concerns(story, line))
            continue;
        tell_service(&story->text, line);
        print_line(story, line->time_ms);
    }
}

/* Says what is in the text, at that time. */
static void say(struct story *story, int64_t time_ms)
{
    struct fcgi_buffer text = story->text;

    story->text = (struct fcgi_buffer){0};
    catch_up(story, time_ms);
    fcgi_buffer_free(&story->text);
    story->text = text;
    print_line(story, time_ms);
}

/* ---- nginx ---------------------------------------------------------------------------------- */

static void tell_arrival(struct story *story)
{
    const struct spawn_logline *access = story->request->access;

    if (!access)
        return;
    fcgi_buffer_format(&story->text, "nginx%s%s: %s from %s, %s bytes",
                       story->request->several_hosts ? " of " : "",
                       story->request->several_hosts ? access->host : "",
                       spawn_logline_get(access, "request"), spawn_logline_get(access, "client"),
                       spawn_logline_get(access, "bytes_in"));
    say(story, story->arrival_ms);
}

static void tell_upstreams(struct fcgi_buffer *text, const struct spawn_logline *access)
{
    struct spawn_why_upstreams tried = spawn_why_nginx_upstreams(access);

    if (tried.refused)
        fcgi_buffer_format(text, ", %d of them refused: %s", tried.refused,
                           tried.shed ? "the queue was full, or closed" : "nobody listened");
    if (tried.broken)
        fcgi_buffer_format(text, ", %d ended without an answer", tried.broken);
}

static void tell_end(struct story *story)
{
    const struct spawn_logline *access = story->request->access;
    int attempts = access ? (int)spawn_logline_number(access, "attempts", 0) : 0;
    int status = access ? (int)spawn_logline_number(access, "status", 0) : 0;

    if (!access)
        return;
    if (status == 499)
        fcgi_buffer_text(&story->text, "nginx: the client hung up");
    else
        fcgi_buffer_format(&story->text, "nginx: %d to the client, %s bytes", status,
                           spawn_logline_get(access, "bytes_out"));
    if (attempts == 1)
        fcgi_buffer_text(&story->text, ", after one connection");
    else if (attempts)
        fcgi_buffer_format(&story->text, ", after %d connections", attempts);
    if (status != 499)
        tell_upstreams(&story->text, access);
    if (status != 499 && strcmp(spawn_logline_get(access, "completed"), "OK"))
        fcgi_buffer_text(&story->text, "; the client did not take all of it");
    say(story, access->time_ms);
}

/* ---- a try ---------------------------------------------------------------------------------- */

static void tell_begin(struct story *story, int i)
{
    const struct spawn_why_try *try = &story->request->try[i];
    const struct spawn_logline *line = try->request ? try->request
                                       : try->lost  ? try->lost
                                                    : try->dequeue;

    if (i > 0)
        fcgi_buffer_text(&story->text, "nginx sent it again: ");
    spawn_why_words_worker(&story->text, story->request, try);
    fcgi_buffer_format(&story->text, ", pid %s, took it", try->pid);
    if (i == 0 && line) {
        fcgi_buffer_text(&story->text, " after ");
        spawn_why_words_ms(&story->text, spawn_logline_number(line, "queue_ms", 0));
        fcgi_buffer_text(&story->text, " in the queue");
    }
    say(story, try->begin_ms);
}

static void tell_stuck(struct fcgi_buffer *text, const struct spawn_logline *line)
{
    double idle_ms = spawn_logline_number(line, "idle_ms", 0);

    fcgi_buffer_text(text, "stuck");
    spawn_why_words_place(text, line);
    fcgi_buffer_text(text, ": no progress for ");
    spawn_why_words_ms(text, idle_ms);
    if (!strcmp(spawn_logline_get(line, "because"), "time")) {
        fcgi_buffer_text(text, ", and its time was over");
        return;
    }
    fcgi_buffer_text(text, ", in which it used ");
    spawn_why_words_ms(text, spawn_logline_number(line, "cpu_ms", 0));
    fcgi_buffer_text(text, " of CPU time");
}

static void tell_starved(struct fcgi_buffer *text, const struct spawn_logline *line)
{
    double throttled_ms = spawn_logline_number(line, "throttled_ms", 0);

    fcgi_buffer_text(text, "starved");
    spawn_why_words_place(text, line);
    fcgi_buffer_text(text, ": no progress for ");
    spawn_why_words_ms(text, spawn_logline_number(line, "idle_ms", 0));
    fcgi_buffer_text(text, ", in which it was given only ");
    spawn_why_words_ms(text, spawn_logline_number(line, "cpu_ms", 0));
    fcgi_buffer_text(text, " of CPU time");
    if (throttled_ms > 0) {
        fcgi_buffer_text(text, "; its cgroup's quota was used up for ");
        spawn_why_words_ms(text, throttled_ms);
    }
    fcgi_buffer_text(text, "; it is waited for");
}

static void tell_verdict(struct story *story, const struct spawn_logline *line)
{
    const char *event = spawn_logline_get(line, "event");

    fcgi_buffer_text(&story->text, "watchdog: ");
    if (!strcmp(event, "stuck")) {
        tell_stuck(&story->text, line);
    } else if (!strcmp(event, "starved")) {
        tell_starved(&story->text, line);
    } else if (!strcmp(event, "slow")) {
        fcgi_buffer_text(&story->text, "slow, still");
        spawn_why_words_place(&story->text, line);
        fcgi_buffer_text(&story->text, "; it is left alone");
    } else {
        fcgi_buffer_text(&story->text, "it makes progress again");
    }
    say(story, line->time_ms);
}

static void tell_crash(struct story *story, const struct spawn_why_try *try)
{
    const struct spawn_logline *line = try->crashed;
    const char *from = spawn_logline_get(line, "from");
    bool asked = strcmp(from, "0") && strcmp(from, try->pid);

    if (asked)
        fcgi_buffer_format(&story->text,
                           "its last words on SIG%s:", spawn_logline_get(line, "signal"));
    else
        fcgi_buffer_format(&story->text, "it crashed, SIG%s,", spawn_logline_get(line, "signal"));
    spawn_why_words_place(&story->text, line);
    say(story, line->time_ms);
}

static void tell_lost(struct story *story, const struct spawn_why_try *try)
{
    bool crashed = try->crashed && !strcmp(spawn_logline_get(try->lost, "end"), "crashed");

    if (!crashed) {
        fcgi_buffer_text(&story->text, "it ");
        spawn_why_words_end(&story->text, try->lost);
        if (!try->crashed && *spawn_logline_get(try->lost, "stage"))
            fcgi_buffer_text(&story->text, "; it was");
        if (!try->crashed)
            spawn_why_words_place(&story->text, try->lost);
        say(story, try->lost->time_ms);
    }
    if (!try->death)
        return;
    int count = (int)spawn_logline_number(try->death, "count", 0);
    fcgi_buffer_format(&story->text, "that is the %s worker that it took along%s",
                       count == 1   ? "first"
                       : count == 2 ? "second"
                                    : "next",
                       count >= 2 ? ": it is not tried again" : "");
    say(story, try->lost->time_ms);
}

static void tell_stages(struct fcgi_buffer *text, const struct spawn_logline *line)
{
    static const char *const stages[] = {"read", "decode", "resize", "infer", "write"};
    char key[16];

    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        snprintf(key, sizeof key, "%s_ms", stages[i]);
        fcgi_buffer_format(text, "%s %s ", i ? "," : ":", stages[i]);
        spawn_why_words_ms(text, spawn_logline_number(line, key, 0));
    }
}

static void tell_answer(struct story *story, const struct spawn_why_try *try)
{
    const struct spawn_logline *line = try->request;
    const char *code = spawn_logline_get(line, "code"), *error = spawn_logline_get(line, "error");

    if (!strcmp(code, "cancelled")) {
        fcgi_buffer_format(&story->text, "it gave up: %s", error);
    } else {
        fcgi_buffer_format(&story->text, "it answered %s %s", spawn_logline_get(line, "status"),
                           code);
        if (*error)
            fcgi_buffer_format(&story->text, ": %s", error);
        else
            tell_stages(&story->text, line);
        if (!strcmp(spawn_logline_get(line, "sent"), "no"))
            fcgi_buffer_text(&story->text, "; nginx did not take it");
    }
    say(story, line->time_ms);
    if (!try->slow)
        return;
    fcgi_buffer_format(&story->text, "slower than RESNET_SLOWLOG; its slowest layers, in ms: %s",
                       spawn_logline_get(try->slow, "layers"));
    say(story, try->slow->time_ms);
}

static void tell_shed(struct story *story, const struct spawn_why_try *try)
{
    const char *error = spawn_logline_get(try->shed, "error");

    spawn_why_words_worker(&story->text, story->request, try);
    if (*error)
        fcgi_buffer_format(&story->text, " refused it, %s: %s",
                           spawn_logline_get(try->shed, "code"), error);
    else
        fcgi_buffer_format(&story->text, " answered %s", spawn_logline_get(try->shed, "status"));
    say(story, try->shed->time_ms);
}

static void tell_try(struct story *story, int i)
{
    const struct spawn_why_try *try = &story->request->try[i];

    if (try->shed) {
        tell_shed(story, try);
        return;
    }
    tell_begin(story, i);
    if (try->fault) {
        fcgi_buffer_format(&story->text, "harm was asked for (a test): %s at %s",
                           spawn_logline_get(try->fault, "kind"),
                           spawn_logline_get(try->fault, "place"));
        say(story, try->fault->time_ms);
    }
    for (int k = 0; k < try->n_verdicts; k++)
        tell_verdict(story, try->verdict[k]);
    if (try->violation) {
        fcgi_buffer_text(&story->text, "it asked the kernel for ");
        spawn_why_words_syscall(&story->text, try->violation);
        fcgi_buffer_text(&story->text,
                         ", which the sandbox does not let it do: a fault in it, or an attack");
        say(story, try->violation->time_ms);
    }
    if (try->crashed)
        tell_crash(story, try);
    if (try->request)
        tell_answer(story, try);
    else if (try->lost)
        tell_lost(story, try);
}

static void tell_quarantine(struct story *story)
{
    const struct spawn_logline *line = story->request->quarantined;

    if (!line)
        return;
    fcgi_buffer_format(&story->text,
                       "workers have ended on this body in two requests: it is refused from now "
                       "on (its SHA-256 is %s)",
                       spawn_logline_get(line, "body"));
    say(story, line->time_ms);
}

/* ---- whole ---------------------------------------------------------------------------------- */

/* From its arrival on; where no worker had it, from what happened last before that, if it may be
 * the reason. */
static size_t first_of_service(const struct story *story)
{
    const struct spawn_why_lines *service = &story->why->service;
    const struct spawn_why_request *request = story->request;
    bool unserved = !request->n_tries || request->try[0].shed;
    size_t first = 0;

    while (first < service->n && service->line[first]->time_ms <= story->arrival_ms)
        first++;
    if (!unserved || first == 0)
        return first;
    const char *event = spawn_logline_get(service->line[first - 1], "event");
    return strcmp(event, "serving") && strcmp(event, "reload_done") ? first - 1 : first;
}

void spawn_why_story(const struct spawn_why *why, const struct spawn_why_request *request,
                     FILE *out)
{
    struct story story = {
        .why = why, .request = request, .out = out, .arrival_ms = spawn_why_arrival_ms(request)};

    story.service = first_of_service(&story);
    tell_arrival(&story);
    for (int i = 0; i < request->n_tries; i++)
        tell_try(&story, i);
    tell_quarantine(&story);
    tell_end(&story);
    fcgi_buffer_free(&story.text);
}
