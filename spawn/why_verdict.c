/* why_verdict.c: what whoever asks wants to know first. */
#include <string.h>

#include "spawn/why.h"

static const struct spawn_logline *stuck_of(const struct spawn_why_try *try)
{
    for (int i = 0; i < try->n_verdicts; i++)
        if (!strcmp(spawn_logline_get(try->verdict[i], "event"), "stuck"))
            return try->verdict[i];
    return NULL;
}

/* Why a try came to nothing. */
static void blame(struct fcgi_buffer *text, const struct spawn_why_try *try)
{
    const struct spawn_logline *stuck = stuck_of(try);

    if (stuck) {
        fcgi_buffer_text(text, " got stuck");
        spawn_why_words_place(text, try->crashed ? try->crashed : stuck);
        fcgi_buffer_text(text, " and was killed");
    } else if (try->violation) {
        fcgi_buffer_text(text, " was ended by the sandbox, for ");
        spawn_why_words_syscall(text, try->violation);
        if (try->crashed)
            spawn_why_words_place(text, try->crashed);
    } else if (try->crashed) {
        fcgi_buffer_format(text, " crashed (%s)", spawn_logline_get(try->crashed, "signal"));
        spawn_why_words_place(text, try->crashed);
    } else if (try->lost) {
        fcgi_buffer_text(text, " ");
        spawn_why_words_end(text, try->lost);
        if (*spawn_logline_get(try->lost, "stage"))
            fcgi_buffer_text(text, "; it was");
        spawn_why_words_place(text, try->lost);
    } else if (try->request) {
        fcgi_buffer_format(text, " gave up: %s", spawn_logline_get(try->request, "error"));
    } else {
        fcgi_buffer_text(text, " left no word of how it ended");
    }
}

/* The stage that took more than half of the time, if one did. */
static void name_longest(struct fcgi_buffer *text, const struct spawn_logline *request)
{
    static const char *const keys[] = {"queue_ms",  "read_ms",  "decode_ms",
                                       "resize_ms", "infer_ms", "write_ms"};
    static const char *const names[] = {
        "waiting in the queue", "reading the body", "decoding", "resizing",
        "the network",          "writing"};
    double all_ms = spawn_logline_number(request, "ms", 0);

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (spawn_logline_number(request, keys[i], 0) > all_ms / 2) {
            fcgi_buffer_format(text, ", most of it %s (", names[i]);
            spawn_why_words_ms(text, spawn_logline_number(request, keys[i], 0));
            fcgi_buffer_text(text, ")");
        }
}

static void tell_outcome(struct fcgi_buffer *text, const struct spawn_why_request *request)
{
    const struct spawn_logline *access = request->access;
    int status = access ? (int)spawn_logline_number(access, "status", 0) : 0;

    if (!access) {
        fcgi_buffer_text(text, "What the client got is not known: nginx's line about it is not in "
                               "these logs, or it is not over");
        return;
    }
    if (status == 499)
        fcgi_buffer_text(text, "The client hung up after ");
    else
        fcgi_buffer_format(text, "Answered %d after ", status);
    spawn_why_words_ms(text, 1000 * spawn_logline_number(access, "seconds", 0));
    if (status != 499 && strcmp(spawn_logline_get(access, "completed"), "OK"))
        fcgi_buffer_text(text, ", but the client did not take all of it");
}

/* The try that nginx took the answer from. */
static void tell_answer(struct fcgi_buffer *text, const struct spawn_why_request *request,
                        const struct spawn_why_try *try, bool alone)
{
    const struct spawn_logline *line = try->shed ? try->shed : try->request;
    const char *error = spawn_logline_get(line, "error");
    bool ok = !strcmp(spawn_logline_get(line, "code"), "ok");

    if (ok && alone && request->access) {
        name_longest(text, line);
        return;
    }
    fcgi_buffer_text(text, alone ? ": " : "; then ");
    spawn_why_words_worker(text, request, try);
    if (ok) {
        fcgi_buffer_text(text, " answered");
        if (alone)
            name_longest(text, line);
    }
    if (!ok)
        fcgi_buffer_format(text, " refused it: %s", *error ? error : "no reason given");
}

static void tell_nobody(struct fcgi_buffer *text, const struct spawn_why_request *request)
{
    struct spawn_why_upstreams tried = request->access ? spawn_why_nginx_upstreams(request->access)
                                                       : (struct spawn_why_upstreams){0};

    if (!request->access)
        return;
    if (spawn_logline_number(request->access, "attempts", 0) < 1)
        fcgi_buffer_text(text, ": by nginx itself, which asked nobody");
    else if (tried.refused && !tried.broken)
        fcgi_buffer_text(text, ": by nginx itself, which found nobody who listened");
    else
        fcgi_buffer_text(text, ": no worker's line about it is in these logs");
}

/* A host's logs may not be among those given. */
static void tell_missing(struct fcgi_buffer *text, const struct spawn_why_request *request)
{
    int unanswered = 0;

    if (!request->access || !request->n_tries)
        return;
    for (int i = 0; i < request->n_tries; i++)
        unanswered += !spawn_why_answered(&request->try[i]);
    int missing = spawn_why_nginx_upstreams(request->access).broken - unanswered;
    if (missing > 0)
        fcgi_buffer_format(text, "; %d of nginx's tries left no line in these logs", missing);
}

void spawn_why_verdict(const struct spawn_why_request *request, FILE *out)
{
    struct fcgi_buffer text = {0};
    const char *separator = ": ";

    tell_outcome(&text, request);
    for (int i = 0; i < request->n_tries; i++) {
        const struct spawn_why_try *try = &request->try[i];
        if (spawn_why_answered(try)) {
            tell_answer(&text, request, try, i == 0);
        } else {
            fcgi_buffer_text(&text, separator);
            spawn_why_words_worker(&text, request, try);
            blame(&text, try);
        }
        separator = "; then ";
    }
    tell_missing(&text, request);
    if (!request->n_tries)
        tell_nobody(&text, request);
    if (text.n && text.bytes[text.n - 1] != '.')
        fcgi_buffer_text(&text, ".");
    spawn_why_words_print(&text, out);
    fcgi_buffer_free(&text);
}
