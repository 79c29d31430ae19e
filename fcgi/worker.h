/* worker.h: one worker's life: one request at a time, from accepted connection to log line.
 *
 *   worker.c     opening, the loop, and the order in which a request is served
 *   admission.c  whether a request is begun at all
 *   follow.c     between layers and rows: progress, deadline, a client that hung up
 *   recycle.c    when the worker makes room for another
 *   report.c     what is said about a request: headers, counters, log lines
 */
#ifndef FCGI_WORKER_H
#define FCGI_WORKER_H

#include "fcgi/accept.h"
#include "fcgi/config.h"
#include "fcgi/crew.h"
#include "fcgi/deaths.h"
#include "fcgi/dialect.h"
#include "fcgi/input.h"
#include "fcgi/intact.h"
#include "fcgi/memory.h"
#include "fcgi/params.h"
#include "fcgi/response.h"
#include "fcgi/scoreboard.h"

/* The request being served. */
struct fcgi_job {
    struct fcgi_request request;
    struct fcgi_err err;
    int fd;                          /* the connection, for noticing a hang-up */
    uint64_t accepted_ns;            /* CLOCK_MONOTONIC */
    uint64_t read_ns;                /* when the body was there */
    int64_t stage_ns[FCGI_N_STAGES]; /* -1: not reached */
    int64_t total_ns;                /* since the web server passed it on */
    int is_suspect;                  /* workers have died of its body */
    int n_images;
    const char *precision;   /* that it was computed in; NULL: nothing was */
    char digest[65];         /* of the logits; empty: they are not exact */
    enum fcgi_cancel hangup; /* as what a hang-up would count now */

    /* of the network's run */
    uint32_t ticks;
    int layer;               /* that runs */
    uint64_t layer_start_ns; /* 0: none does */
    int64_t layer_ns[KN_MAX_LAYERS];
};

struct fcgi_worker {
    const struct fcgi_config *config;
    struct fcgi_classifier classifier;
    struct fcgi_predictor predictor;
    struct fcgi_board_worker *board;
    struct fcgi_deaths *deaths; /* NULL: nobody keeps them */
    struct fcgi_crew *crew;     /* NULL: nobody else is known of */
    struct fcgi_accept accept;
    struct fcgi_params params;
    struct fcgi_input input;
    struct fcgi_response response;
    struct fcgi_memory memory;
    struct fcgi_intact intact; /* of the model file */
    struct fcgi_job job;
    int alone;   /* 1: no supervisor; answers /health itself */
    int threads; /* most of one request */
    int cores;   /* usable, for all workers together */
    char served_by[96];
    char model_id[13];     /* first 12 hex digits of the model's SHA-256 */
    uint64_t id_seed;      /* of ids for requests that bring none */
    int64_t served;        /* requests */
    int64_t served_large;  /* of them, while the process was larger than RESNET_MAX_RSS */
    uint64_t estimated_ns; /* when the service time was last renewed, or not believed */
    struct fcgi_wall wall;
    int step_was_logged; /* the clock's step, once */
};

/* Everything that a request will need: model mapped and self-tested, memory allocated, descriptors
 * open. config stays the caller's. listen_fd: see accept.h. Returns 0, or an exit code with a
 * sentence; fcgi_worker_close() is due in either case. */
int fcgi_worker_open(struct fcgi_worker *worker, const struct fcgi_config *config, int listen_fd,
                     char text[512]);
void fcgi_worker_close(struct fcgi_worker *worker);

/* Serves until a signal says to leave, or until it is time to be replaced. */
void fcgi_worker_run(struct fcgi_worker *worker);

/* ---- admission.c ---------------------------------------------------------------------------- */

/* Returns 0, or -1 with the job's err set: CANCELLED, WORKER_FAILED, DEADLINE_EXCEEDED. */
int fcgi_admission_check(struct fcgi_worker *worker);

/* After the body was read: 0, or -1 with INPUT_QUARANTINED. And after the answer, that the body has
 * been survived. */
int fcgi_admission_check_body(struct fcgi_worker *worker);
void fcgi_admission_absolve(struct fcgi_worker *worker);

/* Learns from an answered request how long one takes. */
void fcgi_admission_learn(struct fcgi_worker *worker);

/* ---- recycle.c ------------------------------------------------------------------------------ */

int64_t fcgi_recycle_requests(const struct fcgi_config *config); /* of this slot; 0: no end */
int fcgi_recycle_due(struct fcgi_worker *worker);

/* ---- follow.c: struct fcgi_follow with the worker as its ctx -------------------------------- */

int fcgi_follow_tick(void *ctx, struct fcgi_err *err);
int fcgi_follow_between(void *ctx, int layer);

/* A stage begins: says so to the scoreboard and to tracers. */
void fcgi_follow_stage(struct fcgi_worker *worker, enum fcgi_stage stage);

/* How many threads the next layer may use, as busy as the other workers are now. */
int fcgi_follow_threads(const struct fcgi_worker *worker);

/* 1, with the job's err CANCELLED, when nobody waits for the answer any more. where: "while ..." */
int fcgi_follow_hung_up(struct fcgi_worker *worker, const char *where);

/* ---- report.c ------------------------------------------------------------------------------- */

/* X-Request-ID and its like; called before the answer is sealed. */
void fcgi_report_headers(struct fcgi_worker *worker);

/* Counts the answer, before its last byte is written. */
void fcgi_report_count(struct fcgi_worker *worker);

/* The request's log line, and the slow one; and the same for tracers. sent: 0, or -1 when the peer
 * did not take it. */
void fcgi_report_log(struct fcgi_worker *worker, int sent);

#endif
