/* view.h: /status as resnet-ctl sees it. */
#ifndef SPAWN_VIEW_H
#define SPAWN_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/buffer.h"
#include "fcgi/config.h"
#include "fcgi/scoreboard.h"

struct spawn_view_worker {
    int slot, generation, pid;
    char state[16], request_id[129], stage[16], layer[48]; /* "": not there */
    int64_t ms, requests, restarts, rss_bytes, pss_bytes;
};

enum { SPAWN_VIEW_TOTALS = 16 };

/* A counter by its name: how workers ended, what the watchdog found, why requests were shed. */
struct spawn_view_total {
    char name[24];
    int64_t n;
};

struct spawn_view_totals {
    struct spawn_view_total row[SPAWN_VIEW_TOTALS];
    int n;
};

struct spawn_view {
    int pid, generation;
    char state[16], model_sha256[65], precision[16], reason[512];
    bool reloading;
    int64_t reloads_ok, reloads_failed;
    int64_t uptime_ms, throttled_ms;
    int64_t queue_depth, queue_age_ms; /* -1: the kernel does not tell */
    double service_ms;                 /* 0: not known yet */
    struct spawn_view_totals ends, verdicts, shed;
    int n_workers;
    struct spawn_view_worker worker[FCGI_BOARD_MAX_SLOTS];
};

/* Reads the answer of /status, n bytes of it. 0, or -1 when it is none. */
int spawn_view_parse(struct spawn_view *view, const char *text, size_t n);

/* Asks ctl.sock. 0, or -1 after a sentence on stderr. spawn_view_try() is silent, with errno. */
int spawn_view_get(struct spawn_view *view, const struct fcgi_config *config);
int spawn_view_try(struct spawn_view *view, const struct fcgi_config *config);

/* GET on ctl.sock of the run directory: the HTTP status, or -1 with errno. */
int spawn_view_ask(const struct fcgi_config *config, const char *path, struct fcgi_buffer *body);
/* The sentence for errno after that. Returns the exit code. */
int spawn_view_complain(const struct fcgi_config *config);

#endif
