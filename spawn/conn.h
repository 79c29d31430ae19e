/* conn.h: resnet-control's connections: state machines over epoll, so that no peer, silent or slow,
 * keeps another one waiting. Bounded: when all places are taken, the connection that has been
 * sending its request for longest gives way. */
#ifndef SPAWN_CONN_H
#define SPAWN_CONN_H

#include "fcgi/buffer.h"
#include "spawn/answer.h"
#include "spawn/record.h"

enum {
    SPAWN_CONN_MAX = 1024,
    SPAWN_CONN_MAX_HELD = 512, /* past it a 503 goes out at once */
    SPAWN_CONN_HOLD_MS = 200,  /* min(Retry-After, 200 ms), and Retry-After is 1 s at least */
    SPAWN_CONN_ASK_MS = 800,   /* for the supervisor's loop to answer; probes give up at 1 s */
    SPAWN_CONN_IO_MS = 10000,  /* to send a request, to take an answer */
    SPAWN_CONN_LEAVE_MS = 1000,
    SPAWN_CONN_REST_MS = 100,    /* before accepting is tried again */
    SPAWN_CONN_QUIET_MS = 10000, /* without want of descriptors, before it is news again */
};

enum spawn_conn_state {
    SPAWN_CONN_FREE,
    SPAWN_CONN_READING,
    SPAWN_CONN_ASKING, /* waits for the supervisor's loop */
    SPAWN_CONN_HELD,   /* a 503 that is paced */
    SPAWN_CONN_WRITING,
    SPAWN_CONN_N_STATES
};

struct spawn_conn {
    struct spawn_conn *previous, *next; /* in the list of its state */
    enum spawn_conn_state state;
    int fd;
    bool is_shed;
    int64_t due_ns;
    uint64_t question;
    struct spawn_record_reader reader;
    struct fcgi_buffer wire;
    size_t written;
};

/* Every state lasts equally long for all, so the list of a state is in the order of due_ns. */
struct spawn_conn_list {
    struct spawn_conn *first, *last;
    int n;
};

struct spawn_conns {
    int epoll_fd, ctl_fd, shed_fd, ask_fd, signal_fd;
    uint64_t questions;
    bool leaving;
    int64_t leave_due_ns;
    int64_t quiet_due_ns; /* want of descriptors is not told of again until then */
    int64_t rest_due_ns;  /* nothing is accepted until then; INT64_MAX: it is */
    struct spawn_scene scene;
    struct spawn_conn_list lists[SPAWN_CONN_N_STATES];
    struct spawn_conn all[SPAWN_CONN_MAX];
};

/* Takes the four descriptors, all non-blocking; signal_fd: what comes means leave. -1 with errno.
 */
int spawn_conns_open(struct spawn_conns *conns, int ctl_fd, int shed_fd, int ask_fd, int signal_fd);
/* Serves until told to leave and everything begun is answered, or SPAWN_CONN_LEAVE_MS later. */
void spawn_conns_run(struct spawn_conns *conns);

#endif
