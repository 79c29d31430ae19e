/* spawn.h: the supervisor. One process, one loop, one struct; nothing here knows what an image is.
 *
 * Every file adds one concern to struct spawn. The loop waits for signals, for readiness bytes, for
 * control's questions and for the nearest deadline, then lets each concern act on what it sees. No
 * function blocks. Times are CLOCK_MONOTONIC in nanoseconds.
 */
#ifndef SPAWN_SPAWN_H
#define SPAWN_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fcgi/config.h"
#include "fcgi/crew.h"
#include "fcgi/deaths.h"
#include "fcgi/scoreboard.h"

enum {
    SPAWN_MAX_WORKERS = (FCGI_BOARD_MAX_SLOTS - 2) / 2,
    SPAWN_SETTLE_MS = 5000, /* a process that lives so long past readiness has started well */
    SPAWN_PATH_BYTES = 4096 + 32,
    SPAWN_TEXT_BYTES = 512, /* of a sentence that says why something cannot be */
};

/* ---- held.c --------------------------------------------------------------------------------- */

/* What a generation was started with; -1: not open. */
struct spawn_held {
    int program_fd; /* resnet-fcgi */
    int model_fd;   /* -1: the worker opens it by its path */
    bool spoilt;    /* a worker has found the model changed underneath */
};
#define SPAWN_HELD_NONE ((struct spawn_held){-1, -1, false})

/* Which file lay under a name, and in which state. */
struct spawn_held_file {
    dev_t device;
    ino_t inode;
    int64_t bytes, modified_ns;
};

/* ---- watchdog.c ----------------------------------------------------------------------------- */

/* One worker's present request, as last looked at. */
struct spawn_watch {
    uint64_t attempts, ticks; /* of its page */
    int64_t idle_ns;          /* watched since, without another tick */
    int64_t tick_cpu_ns;      /* the process's CPU time then */
    uint64_t tick_throttled_us;
    enum fcgi_verdict verdict;
};

struct spawn_limits {
    int64_t stall_ns; /* CPU time without a tick */
    int64_t slow_ns;  /* age */
};

/* All that a verdict depends on. */
struct spawn_sight {
    int64_t age_ns;          /* since the request was accepted */
    int64_t overdue_ns;      /* past its deadline; negative before */
    int64_t idle_ns, cpu_ns; /* wall and CPU time since the last tick */
    enum fcgi_verdict last;
};

struct spawn_watchdog {
    int busy_fd;     /* eventfd: a worker became busy */
    int throttle_fd; /* see fcgi_cpus_throttle_open() */
    struct spawn_limits limits;
    int64_t period_ns, seen_ns;
    int64_t due_ns; /* of the next look; INT64_MAX: nobody is busy, busy_fd tells */
};

/* ---- workers.c ------------------------------------------------------------------------------ */

enum spawn_worker_state {
    SPAWN_EMPTY,    /* the slot is free */
    SPAWN_WAITING,  /* to be started at due_ns */
    SPAWN_STARTING, /* runs, not ready; killed at due_ns */
    SPAWN_READY,
    SPAWN_LEAVING, /* was asked to leave; killed at due_ns */
};

struct spawn_worker {
    struct fcgi_board_worker *page;
    int page_fd;
    enum spawn_worker_state state;
    int generation;
    pid_t pid;           /* 0: no process */
    int ready_fd;        /* read end of the readiness pipe, -1: none */
    int64_t due_ns;      /* INT64_MAX: never */
    int64_t start_ns;    /* when it was started; its page may say anything */
    int64_t ready_ns;    /* when it became ready */
    int failures;        /* starts in a row that did not last */
    int kills;           /* starts in a row that somebody killed before readiness */
    uint64_t violations; /* of its page, when it started */
    bool heard;          /* it said that it crashes: once in its life */
    struct spawn_watch watch;
    enum fcgi_end end;             /* how it will have ended, if it is us who kill it */
    bool doomed;                   /* end is set */
    char reason[SPAWN_TEXT_BYTES]; /* its own sentence, when it could not start */
};

/* ---- sockets.c ------------------------------------------------------------------------------ */

enum spawn_origin {
    SPAWN_OWN,       /* bound here: ours to shut down and to unlink */
    SPAWN_INHERITED, /* descriptor 0, handed over for good (spawn-fcgi -n) */
    SPAWN_ACTIVATED, /* LISTEN_FDS: whoever made it keeps it, and the queue outlives us */
};

struct spawn_sockets {
    int work_fd, shed_fd, ctl_fd; /* -1: not open */
    enum spawn_origin origin;     /* of work_fd */
};

struct spawn_reload {
    bool active, again;     /* again: a HUP came meanwhile */
    int generation;         /* that it starts */
    struct spawn_held held; /* what it starts, until the generation serves */
    int candidate;          /* slot of the new worker that is not ready yet, -1: none */
    int replaced;           /* old workers asked to leave */
    int killed;             /* candidates that somebody else killed */
};

/* The supervisor's side of resnet-control. */
struct spawn_control {
    int program_fd; /* resnet-control, as it was when we started */
    pid_t pid;      /* 0: not running */
    int ask_fd;     /* SOCK_SEQPACKET; -1: none */
    int page_fd;    /* of its own page, which follows the slots' */
    int failures;
    int64_t start_ns, due_ns; /* due: to be started, or, when leaving, to be killed */
    bool leaving;
};

/* What a service manager was last told. */
enum spawn_told { SPAWN_TOLD_NOTHING, SPAWN_TOLD_READY, SPAWN_TOLD_RELOADING, SPAWN_TOLD_STOPPING };

struct spawn_notify {
    int fd; /* -1: nobody wants to know */
    enum spawn_told told;
};

struct spawn_idle {
    int64_t due_ns;    /* of leaving; INT64_MAX: something goes on, or we stay */
    uint64_t attempts; /* of all pages, as last seen */
};

struct spawn_log {
    bool is_file;
    int read_fd, write_fd; /* pipe of everything that we start, -1: stderr is inherited */
    char path[4096];
    char *held; /* what came down the pipe after the last newline */
    size_t held_bytes;
};

struct spawn {
    struct fcgi_config config;
    char programs[SPAWN_PATH_BYTES]; /* directory of resnet-fcgi and resnet-control */
    struct spawn_held held;          /* what `generation` was started with */
    int lock_fd, signal_fd;
    struct spawn_sockets sockets;
    struct spawn_log log;

    struct fcgi_board_main *board;
    int board_fd; /* the pages' descriptors follow it, one a slot */
    int n_workers, n_slots;
    struct spawn_worker *workers; /* [n_slots] */
    int generation;               /* newest that became ready; 1 while starting */
    int last_generation;          /* newest that was tried */

    struct fcgi_deaths *deaths;
    int deaths_fd;
    struct fcgi_crew *crew;
    int crew_fd;
    struct spawn_watchdog watchdog;

    struct spawn_reload reload;
    struct spawn_control control;
    struct spawn_notify notify;
    struct spawn_idle idle;
    struct spawn_held_file model_tried; /* by the newest generation that was begun */
    int forks_failed;                   /* starts in a row for which there was no process */
    bool reason_passes; /* the board's reason is about workers, and goes when all are ready */
    bool draining, stopped_fast;
    int64_t drain_due_ns;
    bool done;
    int exit_code;
};

static inline int64_t spawn_now_ns(void)
{
    return (int64_t)fcgi_scoreboard_now_ns();
}

static inline int64_t spawn_min_ns(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A moment that a worker's page tells: none that is still to come. */
static inline int64_t spawn_past_ns(uint64_t at_ns, int64_t now_ns)
{
    return at_ns < (uint64_t)now_ns ? (int64_t)at_ns : now_ns;
}

/* ---- rundir.c: the run directory, its lock and its pid file --------------------------------- */

/* dir/name into path; -1 when it does not fit. */
int spawn_rundir_path(const char *dir, const char *name, char path[SPAWN_PATH_BYTES]);
/* Makes the directory if it is missing, takes the lock, writes lock and pid. Returns 0, or an exit
 * code (75: another supervisor holds it, 78) with a sentence. */
int spawn_rundir_lock(const char *dir, int *lock_fd, char text[SPAWN_TEXT_BYTES]);
void spawn_rundir_release(const char *dir);
/* The supervisor that holds dir's lock; 0: none. */
pid_t spawn_rundir_holder(const char *dir);

/* ---- sockets.c ------------------------------------------------------------------------------ */

/* Looks for a listening socket handed over, before any descriptor is opened. Sets work_fd and
 * origin. Returns 0 or an exit code with a sentence. */
int spawn_sockets_adopt(struct spawn_sockets *sockets, char text[SPAWN_TEXT_BYTES]);
/* Binds what was not adopted. From here on requests may queue. */
int spawn_sockets_open(struct spawn_sockets *sockets, const char *dir, int backlog,
                       char text[SPAWN_TEXT_BYTES]);
uint64_t spawn_sockets_inode(int fd);
/* Those that are open. */
void spawn_sockets_unlink(const struct spawn_sockets *sockets, const char *dir);

/* ---- board.c -------------------------------------------------------------------------------- */

/* Makes the main page, one page a slot, and control's, their descriptors in one row. 0, or -1 with
 * errno. */
int spawn_board_open(struct spawn *s);
void spawn_board_close(struct spawn *s);
/* Why the last reload failed; "": it did not. */
void spawn_board_reason(struct spawn *s, const char *reason);
/* Why workers are missing; gone as soon as none is. */
void spawn_board_missing(struct spawn *s, const char *reason);
void spawn_board_complete(struct spawn *s);

/* ---- privileges.c --------------------------------------------------------------------------- */

/* For good, and for all that is started from here on. */
void spawn_privileges_drop(void);

/* ---- queue.c -------------------------------------------------------------------------------- */

/* Connections waiting on the listening unix socket of that inode; -1: cannot be told. */
int spawn_queue_depth(uint64_t inode);
/* The same in two steps, for who may not open sockets later on; fd -1 answers -1. */
int spawn_queue_open(void);
int spawn_queue_ask(int fd, uint64_t inode);

/* ---- process.c ------------------------------------------------------------------------------ */

struct spawn_process {
    int program_fd;
    char *const *argv;
    int stdin_fd;        /* becomes descriptor 0 */
    int stderr_fd;       /* becomes descriptor 2; -1: inherited */
    const int *keep_fds; /* [n_keep], stay open under their numbers; all others close */
    int n_keep;
    int death_signal; /* sent to the child when we die */
};

/* fork + exec. The pid, or -1 with errno when there is no process. A program that cannot be exec'd
 * logs why, and exits with the code of spawn_refusal(). */
pid_t spawn_process_start(const struct spawn_process *process);

/* ---- refusal.c ------------------------------------------------------------------------------ */

/* "cannot WHAT PATH: why; what to do", of errno; variable: which option says where. Returns the
 * exit code: 75 for what may pass by itself, 78. */
int spawn_refusal(char text[SPAWN_TEXT_BYTES], const char *what, const char *path,
                  const char *variable);

/* ---- forks.c -------------------------------------------------------------------------------- */

/* There is no process for `program`, for the reason that `error` says. Logged and put on the board
 * when it begins, not at each try. text: the sentence. */
void spawn_forks_failed(struct spawn *s, const char *program, int error,
                        char text[SPAWN_TEXT_BYTES]);
void spawn_forks_worked(struct spawn *s);

/* ---- workers.c ------------------------------------------------------------------------------ */

int64_t spawn_workers_backoff_ms(int failures);
void spawn_workers_start(struct spawn *s, int slot, int generation);
/* Reads the readiness pipe of a slot. */
void spawn_workers_hear(struct spawn *s, int slot);
/* A child ended. False when it was not a worker. */
bool spawn_workers_reaped(struct spawn *s, pid_t pid, int status);
/* Asks a worker to leave, by `sig`; one that is not ready is killed, one that waits is dropped. */
void spawn_workers_dismiss(struct spawn *s, int slot, int sig);
void spawn_workers_kill(struct spawn *s, int slot, enum fcgi_end end);
/* SIGABRT, so that its last words are in the log; SIGKILL a second later. */
void spawn_workers_abort(struct spawn *s, int slot, enum fcgi_end end);
void spawn_workers_step(struct spawn *s, int64_t now_ns);
int spawn_workers_count(const struct spawn *s, enum spawn_worker_state state);
int64_t spawn_workers_due_ns(const struct spawn *s);

/* ---- held.c --------------------------------------------------------------------------------- */

/* Opens a program beside our own. 0, or an exit code with a sentence. */
int spawn_held_program(const struct spawn *s, const char *name, int *fd,
                       char text[SPAWN_TEXT_BYTES]);
/* What is on disk now. 0, or an exit code with a sentence. */
int spawn_held_open(struct spawn *s, struct spawn_held *held, char text[SPAWN_TEXT_BYTES]);
/* A worker of that generation left because its model had been changed in place: what lies under the
 * name now is tried. */
void spawn_held_spoilt(struct spawn *s, int generation);
/* A worker could not start. With a spoilt model that may be why, and another file under its name
 * the cure. */
void spawn_held_failed(struct spawn *s);
void spawn_held_close(struct spawn_held *held);

/* ---- watchdog.c ----------------------------------------------------------------------------- */

/* running: it ticks, or has not been without one for long. slow: and it takes long; kept. starved:
 * no tick for the stall limit, but less than half of that time on a CPU; kept until 5 s past its
 * deadline. stuck: the stall limit burnt without a tick, or 5 s past the deadline without one. */
enum fcgi_verdict spawn_watchdog_verdict(const struct spawn_sight *sight,
                                         const struct spawn_limits *limits);
struct spawn_limits spawn_watchdog_limits(const struct fcgi_config *config);
int spawn_watchdog_open(struct spawn *s); /* 0, or -1 with errno */
/* A worker became busy. */
void spawn_watchdog_wake(struct spawn *s);
void spawn_watchdog_step(struct spawn *s, int64_t now_ns);

/* ---- deaths.c ------------------------------------------------------------------------------- */

int spawn_deaths_open(struct spawn *s); /* 0, or -1 with errno */
void spawn_deaths_close(struct spawn *s);
/* One more worker that this request took along. Returns how many that makes. */
unsigned spawn_deaths_add(struct fcgi_deaths *deaths, const char *nginx_id);
/* Records the request that the worker was busy with, if it was. */
void spawn_deaths_record(struct spawn *s, int slot);
/* A worker said that it crashes. */
void spawn_deaths_hear(struct spawn *s);

/* ---- quarantine.c --------------------------------------------------------------------------- */

void spawn_quarantine_open(struct spawn *s);
/* The worker died of its request. */
void spawn_quarantine_record(struct spawn *s, int slot);
/* Lets everything in again. */
void spawn_quarantine_release(struct spawn *s);

/* ---- reload.c ------------------------------------------------------------------------------- */

void spawn_reload_ask(struct spawn *s);
void spawn_reload_step(struct spawn *s);
void spawn_reload_ready(struct spawn *s, int slot);
/* The candidate ended before it was ready. */
void spawn_reload_failed(struct spawn *s, enum fcgi_end how, const char *why);
void spawn_reload_stop(struct spawn *s);

/* ---- drain.c -------------------------------------------------------------------------------- */

void spawn_drain_begin(struct spawn *s);
void spawn_drain_fast(struct spawn *s);
/* A worker became ready during the drain. */
void spawn_drain_ready(struct spawn *s, int slot);
/* Whether requests may be waiting that only a new worker could answer. */
bool spawn_drain_needs_worker(const struct spawn *s);
void spawn_drain_step(struct spawn *s, int64_t now_ns);

/* ---- idle.c --------------------------------------------------------------------------------- */

/* Says so when idle-exit is asked for and nobody would start us again. */
void spawn_idle_open(struct spawn *s);
void spawn_idle_step(struct spawn *s, int64_t now_ns);

/* ---- notify.c ------------------------------------------------------------------------------- */

/* Connects to NOTIFY_SOCKET, if there is one, and takes it out of the environment. */
void spawn_notify_open(struct spawn_notify *notify);
void spawn_notify_step(struct spawn *s);

/* ---- control.c ------------------------------------------------------------------------------ */

void spawn_control_start(struct spawn *s);
/* Answers what control asks: that we answer at all is what it wants to know. */
void spawn_control_hear(struct spawn *s);
bool spawn_control_reaped(struct spawn *s, pid_t pid, int status);
void spawn_control_dismiss(struct spawn *s);
void spawn_control_step(struct spawn *s, int64_t now_ns);

/* ---- logsink.c ------------------------------------------------------------------------------ */

int spawn_logsink_open(struct spawn_log *log, const char *path, char text[SPAWN_TEXT_BYTES]);
void spawn_logsink_reopen(struct spawn_log *log);
/* Whole lines from the pipe to the file. */
void spawn_logsink_pump(struct spawn_log *log);

/* ---- loop.c --------------------------------------------------------------------------------- */

/* Runs until drained. Returns the exit code. */
int spawn_loop_run(struct spawn *s);
int spawn_loop_signals(void);

#endif
