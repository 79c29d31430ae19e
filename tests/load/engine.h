/* engine.h: requests and their answers in one event loop, however many are under way. Nothing is
 * sent twice, no redirect is followed, no proxy asked.
 *
 * A source says what to send, and is told what came of it. */
#ifndef TESTS_LOAD_ENGINE_H
#define TESTS_LOAD_ENGINE_H

#include <curl/curl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/load/options.h"
#include "tests/load/pictures.h"

enum { T_ID_BYTES = 129 };

struct t_target {
    char *url, *shown; /* shown: without user and password */
};

/* Room, body and target stay the source's until done() has been called. */
struct t_request {
    const struct t_target *target;
    const struct t_body *body;
    char id[T_ID_BYTES]; /* sent as X-Request-ID */
    int64_t due_ns;      /* when it should start; latency counts from here. 0: now */
    size_t number;       /* the source's */
};

struct t_answer {
    CURLcode code; /* CURLE_OK: a whole answer */
    int status;    /* 0: none */
    int error;     /* errno of a connection that failed, or 0 */
    const char *body;
    size_t n_body;
    char id[T_ID_BYTES]; /* the answer's X-Request-ID, else the request's */
    char type[64], precision[16];
    int64_t start_ns, end_ns; /* start_ns: due_ns, where that is given */
};

enum t_next { T_NEXT_SEND, T_NEXT_WAIT, T_NEXT_END };

struct t_source {
    /* Fills *request, or says until when to wait (*wake_ns; INT64_MAX: until an answer comes), or
     * that there is no more. */
    enum t_next (*next)(void *ctx, int64_t now_ns, struct t_request *request, int64_t *wake_ns);
    void (*done)(void *ctx, const struct t_request *request, const struct t_answer *answer);
    void *ctx;
};

struct t_engine;

/* concurrency slots; *stop, set by a signal, ends a run early. NULL: no memory. */
struct t_engine *t_engine_new(const struct t_options *options, const volatile sig_atomic_t *stop);
void t_engine_free(struct t_engine *engine);

/* Until the source has no more and every answer is there. Returns 0; -1 when it was stopped. */
int t_engine_run(struct t_engine *engine, const struct t_source *source);

/* Ends the program where the URL is none of HTTP. Free with t_engine_target_free(). */
void t_engine_target(struct t_target *target, const char *url);
void t_engine_target_free(struct t_target *target);

/* Whether somebody accepts connections there: 0, or -1 with the reason. Nothing is asked. */
int t_engine_probe(const struct t_options *options, const struct t_target *target, char text[256]);

int64_t t_engine_now_ns(void);

#endif
