/* why.h: what became of one request, from the logs of everybody who had to do with it. Lines come
 * in any order and from several hosts; what belongs together is found by nginx's id of the request,
 * which cannot be forged, and by host and pid. */
#ifndef SPAWN_WHY_H
#define SPAWN_WHY_H

#include <stdbool.h>
#include <stdio.h>

#include "fcgi/buffer.h"
#include "spawn/logline.h"

enum { SPAWN_WHY_TRIES = 32, SPAWN_WHY_VERDICTS = 24 };

/* One worker that had the request, or resnet-control that refused it. NULL: no such line. */
struct spawn_why_try {
    const char *host, *pid, *slot, *gen;
    int64_t begin_ms; /* when it was taken from the queue */
    const struct spawn_logline *dequeue, *fault, *violation, *crashed, *death, *lost, *request,
        *slow, *shed;
    const struct spawn_logline *verdict[SPAWN_WHY_VERDICTS]; /* by time */
    int n_verdicts;
};

/* One request as nginx counts them. */
struct spawn_why_request {
    const char *request_id, *nginx_id;
    const struct spawn_logline *access;      /* nginx's line */
    const struct spawn_logline *quarantined; /* from it on its body is refused */
    bool several_hosts;
    int n_tries;
    struct spawn_why_try try[SPAWN_WHY_TRIES]; /* in order */
};

struct spawn_why_lines {
    struct spawn_logline **line;
    size_t n, size;
};

struct spawn_why {
    const char *id; /* wanted: a request's id, nginx's id, or a trace's */
    struct spawn_why_lines found;
    struct spawn_why_lines service; /* what happened to the service as a whole */
    size_t n_looked_at;
    bool failed; /* no memory */
};

/* why: {0} but for its id. Looks at one line, n bytes of anything. */
void spawn_why_look(struct spawn_why *why, const char *text, size_t n);
void spawn_why_free(struct spawn_why *why);

/* Sorts what was found. Then requests are told apart: the first of those not yet told, in order of
 * time; false: there are no more. Start from *at = 0. */
void spawn_why_sort(struct spawn_why *why);
bool spawn_why_next(struct spawn_why *why, size_t *at, struct spawn_why_request *request);

/* When nginx had its first byte; else when the first try began. */
int64_t spawn_why_arrival_ms(const struct spawn_why_request *request);
/* Whether it said something to nginx in the end. */
bool spawn_why_answered(const struct spawn_why_try *try);

/* ---- why_nginx.c: nginx's lists of upstreams ------------------------------------------------ */

struct spawn_why_upstreams {
    int refused; /* that did not take the connection: the queue was full, or nobody listened */
    int broken;  /* that took it, and ended it without an answer */
    bool shed;   /* the last that was asked refuses on behalf of all */
};
struct spawn_why_upstreams spawn_why_nginx_upstreams(const struct spawn_logline *access);

/* ---- why_story.c: line by line, with times -------------------------------------------------- */

void spawn_why_story(const struct spawn_why *why, const struct spawn_why_request *request,
                     FILE *out);

/* ---- why_verdict.c: one sentence: how it ended, and because of what -------------------------- */

void spawn_why_verdict(const struct spawn_why_request *request, FILE *out);

/* ---- why_words.c: what both of them say ------------------------------------------------------ */

/* These add to text. "worker 1.2", "worker 1.2 of web3" */
void spawn_why_words_worker(struct fcgi_buffer *text, const struct spawn_why_request *request,
                            const struct spawn_why_try *try);
/* " in infer, layer2.0.conv1"; nothing where the line does not say. */
void spawn_why_words_place(struct fcgi_buffer *text, const struct spawn_logline *line);
/* "1.2 ms", "3.45 s" */
void spawn_why_words_ms(struct fcgi_buffer *text, double ms);
/* "killed by signal 9, which ..." */
void spawn_why_words_end(struct fcgi_buffer *text, const struct spawn_logline *lost);
/* "openat" */
void spawn_why_words_syscall(struct fcgi_buffer *text, const struct spawn_logline *violation);
/* Everything in text, made harmless for a terminal, and a newline; text is empty afterwards. */
void spawn_why_words_print(struct fcgi_buffer *text, FILE *out);

#endif
