/* scoreboard.h: one shared page per worker slot, one for the supervisor, one for resnet-control.
 *
 * Each page is a memfd of FCGI_BOARD_BYTES that the supervisor makes before it starts anything. A
 * worker maps its own page, read-write; the supervisor maps all of them, read-write; resnet-control
 * maps all, read-only but for its own. One writer at a time: the worker while it lives, the
 * supervisor between two workers of a slot. Plain atomics, no locks: a crash at any instruction
 * leaves a page readable. Totals are never reset, so they survive the worker that counted them.
 *
 * Strings are read without a lock. Those of a request belong together: `sequence` is odd while they
 * are being written. Those of the model are written while the state is STARTING. A reader takes
 * copies that end within their place, whatever the writer has done: it may have been taken over.
 */
#ifndef FCGI_SCOREBOARD_H
#define FCGI_SCOREBOARD_H

#include <stdatomic.h>
#include <stdint.h>

#include "fcgi/errors.h"
#include "fcgi/shared.h"

enum { FCGI_BOARD_BYTES = 8192, FCGI_BOARD_VERSION = 8, FCGI_BOARD_MAX_SLOTS = 512 };
#define FCGI_BOARD_MAGIC 0x64626372u /* "rcbd" */

enum fcgi_worker_state {
    FCGI_WORKER_NONE,     /* no process in this slot */
    FCGI_WORKER_STARTING, /* loading, not ready */
    FCGI_WORKER_IDLE,
    FCGI_WORKER_BUSY,
    FCGI_WORKER_DRAINING, /* finishes what it has, takes no more */
};

#define FCGI_STAGES(X)                                                                             \
    X(QUEUE, "queue")                                                                              \
    X(READ, "read") X(DECODE, "decode") X(RESIZE, "resize") X(INFER, "infer") X(WRITE, "write")
enum fcgi_stage {
#define X(name, text) FCGI_STAGE_##name,
    FCGI_STAGES(X)
#undef X
        FCGI_N_STAGES
};

/* Upper bounds of the histogram buckets in microseconds; one more bucket holds the rest. */
#define FCGI_BUCKETS_US                                                                            \
    {                                                                                              \
        500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000,      \
            10000000, 30000000, 120000000                                                          \
    }
enum { FCGI_N_BUCKETS = 16 }; /* one more than bounds */

struct fcgi_histogram {
    _Atomic uint64_t count[FCGI_N_BUCKETS]; /* not cumulative */
    _Atomic uint64_t sum_us;
};

/* Why a request that had been dequeued was dropped before its answer was made. */
#define FCGI_CANCELS(X)                                                                            \
    X(DEADLINE, "deadline")         /* its budget was spent, or would not have sufficed: 504 */    \
    X(HANGUP_QUEUE, "hangup_queue") /* the client had gone before anything was computed */         \
    X(HANGUP, "hangup")             /* it went in the middle */
enum fcgi_cancel {
#define X(name, text) FCGI_CANCEL_##name,
    FCGI_CANCELS(X)
#undef X
        FCGI_N_CANCELS
};

/* What a network is computed in. */
#define FCGI_PRECISIONS(X)                                                                         \
    X(FP32, "fp32")                                                                                \
    X(BF16, "bf16")                                                                                \
    X(INT8, "int8")
enum fcgi_precision {
#define X(name, text) FCGI_PRECISION_##name,
    FCGI_PRECISIONS(X)
#undef X
        FCGI_N_PRECISIONS
};

/* Whether a process is in the sandbox (sandbox.h). */
#define FCGI_SANDBOXES(X)                                                                          \
    X(OFF, "off") /* nobody wanted it */                                                           \
    X(ON, "on")                                                                                    \
    X(MISSING, "missing") /* the kernel does not give it */
enum fcgi_sandbox_state {
#define X(name, text) FCGI_SANDBOX_##name,
    FCGI_SANDBOXES(X)
#undef X
        FCGI_N_SANDBOXES
};

/* A worker that crashes on a request says so and waits, shortly, until its death is in the ring
 * (deaths.h): when its connection closes, the web server tries again at once. */
enum fcgi_crash_state { FCGI_CRASH_NONE, FCGI_CRASH_SAID, FCGI_CRASH_RECORDED };

/* The last bodies that were answered although workers had died of them (quarantine.h). */
enum { FCGI_BOARD_ANSWERED = 8 };
struct fcgi_board_answered {
    _Atomic uint64_t first_bytes; /* of the SHA-256 */
    _Atomic uint64_t at_ns;
};

/* What a request is known by. */
struct fcgi_board_request {
    char request_id[129]; /* what the client is told; empty: there is no request */
    char nginx_id[33];    /* nginx's own $request_id: cannot be forged */
    char method[8], path[128];
};

/* What a worker has loaded. */
struct fcgi_board_model {
    char sha256[65], name[64], isa[32], precision[16], blas_core[32];
    char precisions[32]; /* "fp32, bf16": what can be asked for, the default first */
    char ranges[16];     /* of int8: "batch-norm", "photographs"; "": there is none */
};

struct fcgi_board_worker {
    uint32_t magic, version, slot;
    _Atomic uint32_t crash; /* enum fcgi_crash_state */
    _Atomic uint32_t state; /* enum fcgi_worker_state */
    _Atomic uint32_t generation;
    _Atomic int32_t pid;
    _Atomic uint32_t sequence;
    _Atomic uint64_t ticks;    /* progress: one more at each layer and every few rows */
    _Atomic uint64_t start_ns; /* CLOCK_MONOTONIC, of the process */

    /* the request being served */
    _Atomic uint8_t request[sizeof(struct fcgi_board_request)];
    _Atomic uint32_t stage;                              /* enum fcgi_stage */
    _Atomic int32_t layer;                               /* -1 outside inference */
    _Atomic uint64_t accepted_ns, stage_ns, deadline_ns; /* CLOCK_MONOTONIC */
    _Atomic uint64_t bytes_in;
    _Atomic uint32_t body_known; /* the next is set */
    _Atomic uint8_t body_sha256[32];

    /* of the process */
    _Atomic uint64_t rss_bytes, pss_bytes;
    _Atomic uint32_t sandbox; /* enum fcgi_sandbox_state; said before it is ready */

    /* totals of the slot, over all its workers */
    _Atomic uint64_t attempts; /* requests dequeued */
    _Atomic uint64_t requests; /* answers written */
    _Atomic uint64_t codes[FCGI_N_CODES];
    _Atomic uint64_t images[FCGI_N_PRECISIONS]; /* classified, in answers with 200 */
    _Atomic uint64_t ok_us;                     /* of those answers, the whole requests */
    struct fcgi_histogram stages[FCGI_N_STAGES];
    struct fcgi_histogram total;
    _Atomic uint64_t cancelled[FCGI_N_CANCELS];
    _Atomic uint64_t violations; /* of the sandbox */
    _Atomic uint32_t n_answered; /* ever; the next is at n_answered modulo FCGI_BOARD_ANSWERED */
    struct fcgi_board_answered answered[FCGI_BOARD_ANSWERED];

    /* smoothed: dequeue to answer, of successful requests; 0: none yet. Outlives the worker. */
    _Atomic uint64_t service_us;
    _Atomic uint64_t queue_us; /* how old the last request was when it was dequeued */

    _Atomic uint8_t model[sizeof(struct fcgi_board_model)];
    _Atomic uint64_t model_mapped_bytes, model_private_bytes;
    _Atomic uint32_t classes, features, crop_px, max_images;
    _Atomic uint8_t layers[3584]; /* names in order, each ended by a blank, as far as they fit */
};

enum fcgi_service_state {
    FCGI_SERVICE_STARTING, /* the first generation is not ready yet */
    FCGI_SERVICE_SERVING,
    FCGI_SERVICE_DRAINING,
};

/* How a worker ended. */
#define FCGI_ENDS(X)                                                                               \
    X(DRAINED, "drained")             /* it was asked to leave */                                  \
    X(RECYCLED, "recycled")           /* it left by itself, with 0 */                              \
    X(CONFIGURATION, "configuration") /* exit code 78 */                                           \
    X(FAILED, "failed")               /* any other exit code */                                    \
    X(START, "start_timeout")         /* killed: not ready in time */                              \
    X(DRAIN, "drain_timeout")         /* killed: asked to leave, did not in time */                \
    X(CRASHED, "crashed")             /* SEGV, BUS, ILL, FPE, ABRT, SYS */                         \
    X(STUCK, "stuck")                 /* killed: it made no progress */                            \
    X(MODEL, "model_changed")         /* exit code 65: its model file was changed underneath */    \
    X(KILLED, "killed")               /* any other signal: somebody else's doing */
enum fcgi_end {
#define X(name, text) FCGI_END_##name,
    FCGI_ENDS(X)
#undef X
        FCGI_N_ENDS
};

/* What the watchdog finds of a busy worker. */
#define FCGI_VERDICTS(X)                                                                           \
    X(RUNNING, "running")                                                                          \
    X(SLOW, "slow")       /* takes long, and ticks: kept */                                        \
    X(STARVED, "starved") /* no tick, but no CPU time either: kept until its budget ends */        \
    X(STUCK, "stuck")     /* no tick for RESNET_STALL_TIMEOUT of CPU time, or past its budget */
enum fcgi_verdict {
#define X(name, text) FCGI_VERDICT_##name,
    FCGI_VERDICTS(X)
#undef X
        FCGI_N_VERDICTS
};

/* The supervisor's own page. */
struct fcgi_board_main {
    uint32_t magic, version, n_slots, reserved;
    _Atomic uint32_t state;      /* enum fcgi_service_state */
    _Atomic uint32_t generation; /* the newest that became ready */
    _Atomic int32_t pid;
    _Atomic uint32_t workers;  /* wanted */
    _Atomic uint64_t start_ns; /* CLOCK_MONOTONIC */
    _Atomic uint64_t restarts[FCGI_BOARD_MAX_SLOTS];
    _Atomic uint64_t ends[FCGI_N_ENDS];
    _Atomic uint64_t verdicts[FCGI_N_VERDICTS]; /* times that a worker got another verdict */
    _Atomic uint64_t throttled_us;              /* by the cgroup's CPU quota, since it was made */
    _Atomic uint64_t reloads_ok, reloads_failed;
    _Atomic uint32_t reloading;  /* a reload is under way */
    _Atomic uint64_t work_inode; /* of the work socket: names it to sock_diag */
    _Atomic uint8_t reason[256]; /* why the last start or reload failed; empty: it did not */
};

/* Why resnet-control answered a request in the workers' stead, with the 503 of the same name. */
#define FCGI_SHEDS(X) X(OVERLOADED) X(DRAINING) X(STARTING)
enum fcgi_shed {
#define X(name) FCGI_SHED_##name,
    FCGI_SHEDS(X)
#undef X
        FCGI_N_SHEDS
};

/* resnet-control's page. The supervisor makes it, so that what is counted outlives its writer. */
struct fcgi_board_control {
    uint32_t magic, version;
    _Atomic uint64_t shed[FCGI_N_SHEDS];
    _Atomic uint64_t violations;
    _Atomic uint32_t sandbox;
};

/* ---- making and mapping (scoreboard.c) ------------------------------------------------------ */

/* A fresh zeroed page: a memfd, close-on-exec. Returns -1 with errno. */
int fcgi_scoreboard_create(const char *name);

/* Maps the page of fd (which may be closed afterwards) after checking its size. NULL with errno.
 * Unmap with fcgi_scoreboard_unmap(); NULL is fine. */
void *fcgi_scoreboard_map(int fd, int writable);
void fcgi_scoreboard_unmap(void *page);

/* Writes magic and version into a fresh page; whoever made the page calls one of them once. */
void fcgi_scoreboard_init_worker(struct fcgi_board_worker *page, int slot);
void fcgi_scoreboard_init_main(struct fcgi_board_main *page, int n_slots);
void fcgi_scoreboard_init_control(struct fcgi_board_control *page);

/* Whether magic and version are those of this program. */
int fcgi_scoreboard_is_worker(const struct fcgi_board_worker *page);
int fcgi_scoreboard_is_main(const struct fcgi_board_main *page);
int fcgi_scoreboard_is_control(const struct fcgi_board_control *page);

/* ---- the one writer ------------------------------------------------------------------------- */

/* A life of the page begins: state becomes STARTING. start_ns: CLOCK_MONOTONIC. Called before all
 * that a worker says of itself, by the supervisor and then by the worker. */
void fcgi_scoreboard_start(struct fcgi_board_worker *page, uint64_t start_ns);

/* What a request is known by, in the order that they become known. Strings longer than their place
 * are cut. state becomes BUSY, attempts one more. */
void fcgi_scoreboard_begin(struct fcgi_board_worker *page, uint64_t accepted_ns);
void fcgi_scoreboard_name(struct fcgi_board_worker *page, const char *request_id,
                          const char *nginx_id, const char *method, const char *path);
void fcgi_scoreboard_stage(struct fcgi_board_worker *page, enum fcgi_stage stage);

/* What the worker has loaded; its layers' names in order, each ended by a blank. While it is
 * STARTING. */
void fcgi_scoreboard_describe(struct fcgi_board_worker *page, const struct fcgi_board_model *model);
void fcgi_scoreboard_name_layers(struct fcgi_board_worker *page, const char *names);

/* What the request's body is. Async-signal-safe. */
void fcgi_scoreboard_body(struct fcgi_board_worker *page, const uint8_t sha256[32]);

/* The body was answered. */
void fcgi_scoreboard_answered(struct fcgi_board_worker *page);

/* One more tick of progress; layer -1 outside inference. */
void fcgi_scoreboard_tick(struct fcgi_board_worker *page, int layer);

/* Counts an answer: before its last byte is written, so that no client knows more than the
 * counters. stage_ns: [FCGI_N_STAGES], negative where a stage was not reached. */
void fcgi_scoreboard_count(struct fcgi_board_worker *page, enum fcgi_code code,
                           const int64_t *stage_ns, int64_t total_ns);

/* Counts what a successful answer was about. */
void fcgi_scoreboard_images(struct fcgi_board_worker *page, enum fcgi_precision precision, int n);

/* Counts a request that was dropped. */
void fcgi_scoreboard_cancel(struct fcgi_board_worker *page, enum fcgi_cancel reason);

/* Smooths the service time (an eighth of the new one); called for successful requests. */
void fcgi_scoreboard_service(struct fcgi_board_worker *page, int64_t service_ns);

/* Counts a request that resnet-control answered. Called by resnet-control. */
void fcgi_scoreboard_shed(struct fcgi_board_control *page, enum fcgi_shed reason);

/* The request is over; state becomes `state` (IDLE or DRAINING). */
void fcgi_scoreboard_end(struct fcgi_board_worker *page, enum fcgi_worker_state state);

/* ---- readers -------------------------------------------------------------------------------- */

/* Copies the present request's strings. Returns 0 when there is none, or when the writer kept
 * writing (a writer that died between two writes leaves the strings unreadable, not the page). */
int fcgi_scoreboard_request(const struct fcgi_board_worker *page,
                            struct fcgi_board_request *request);

/* Copies what the worker has loaded. Returns 0 when it has not said (sha256 is hex digits, as it
 * stands in a header), or was replaced meanwhile. */
int fcgi_scoreboard_model(const struct fcgi_board_worker *page, struct fcgi_board_model *model);

extern const uint64_t fcgi_scoreboard_bounds_us[]; /* FCGI_BUCKETS_US: [FCGI_N_BUCKETS - 1] */
/* The name of the network's layer of that number into name; "" when it has none. */
enum { FCGI_BOARD_LAYER_BYTES = 48 };
void fcgi_scoreboard_layer(const struct fcgi_board_worker *page, int layer,
                           char name[FCGI_BOARD_LAYER_BYTES]);
const char *fcgi_scoreboard_stage_name(enum fcgi_stage stage);
const char *fcgi_scoreboard_state_name(enum fcgi_worker_state state);
const char *fcgi_scoreboard_precision_name(enum fcgi_precision precision);
enum fcgi_precision fcgi_scoreboard_precision(const char *name); /* one of those */
const char *fcgi_scoreboard_cancel_name(enum fcgi_cancel reason);
const char *fcgi_scoreboard_sandbox_name(enum fcgi_sandbox_state state);
const char *fcgi_scoreboard_verdict_name(enum fcgi_verdict verdict);
const char *fcgi_scoreboard_how_ended(enum fcgi_end end);
enum fcgi_code fcgi_scoreboard_shed_code(enum fcgi_shed reason);

/* CLOCK_MONOTONIC, as all times in the pages. */
uint64_t fcgi_scoreboard_now_ns(void);

_Static_assert(sizeof(struct fcgi_board_worker) <= FCGI_BOARD_BYTES, "page");
_Static_assert(sizeof(struct fcgi_board_main) <= FCGI_BOARD_BYTES, "page");
_Static_assert(sizeof(struct fcgi_board_control) <= FCGI_BOARD_BYTES, "page");

#endif
