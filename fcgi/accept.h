/* accept.h: waiting for the next request, or for the word to leave.
 *
 * libfcgi's own accept has no time-outs, loses a shutdown that comes between its test and its
 * blocking call, and lets a silent peer hold the process. Here a connection is handed on only when
 * all its parameters have arrived, and are what they should be.
 */
#ifndef FCGI_ACCEPT_H
#define FCGI_ACCEPT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* How long a peer may take to send its parameters, and the longest silence while it sends a body or
 * takes the answer. nginx has the whole request before it connects. */
enum { FCGI_ACCEPT_TIMEOUT_MS = 5000 };

typedef void fcgi_accept_fn(void *ctx);

struct fcgi_accept {
    int listen_fd, signal_fd;
    int epoll_fd; /* the two above */
    int peer_fd;  /* an epoll too: the connection whose parameters are awaited */
    int timeout_ms;
    int leaves;             /* TERM, QUIT, INT or USR1 came */
    int leaves_when_empty;  /* USR2 came */
    unsigned naps;          /* in a row, for want of descriptors or memory */
    fcgi_accept_fn *before; /* called before a connection is taken; NULL: nothing is */
    void *ctx;              /* of before */
    _Atomic uint8_t *busy;  /* NULL, or the caller's: cleared when there is nothing but to wait */
    uint8_t *head;          /* [FCGI_RECORDS_MAX_HEAD] the beginning of a connection ... */
    size_t
        head_n; /* ... of which so many bytes are BEGIN_REQUEST and parameters, without padding */
};

/* Blocks every signal that may be blocked, for this thread and those started later: TERM, QUIT,
 * INT, USR1 (leave) and USR2 (leave when nothing is queued) become events. Call before anything
 * else starts. */
void fcgi_accept_block_signals(void);

/* listen_fd: a listening unix socket; becomes non-blocking, stays the caller's.
 * Returns 0, or an exit code with a sentence. */
int fcgi_accept_open(struct fcgi_accept *accept, int listen_fd, char text[512]);
void fcgi_accept_close(struct fcgi_accept *accept);

/* Waits, without time limit and at no cost, for a connection whose parameters are all there, and
 * takes these: accept->head. Returns its descriptor, with STDIN next (the caller's; with time-outs
 * on reading and writing), or -1 when it is
 * time to leave: a signal came, or the queue is empty after USR2, or after the listening socket was
 * shut down.
 * accepted_ns: CLOCK_MONOTONIC, when the connection was taken. */
int fcgi_accept_next(struct fcgi_accept *accept, uint64_t *accepted_ns);

/* Whether a signal to leave has come meanwhile. Does not wait. */
int fcgi_accept_must_leave(struct fcgi_accept *accept);

#endif
