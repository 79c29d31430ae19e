/* accept.c: epoll over the listening socket, a signalfd, and at most one connection. */
#include "fcgi/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "fcgi/config.h"
#include "fcgi/log.h"
#include "fcgi/records.h"
#include "fcgi/scoreboard.h"

static void leave_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGQUIT);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGUSR1); /* what multiwatch says */
    sigaddset(set, SIGUSR2);
}

void fcgi_accept_block_signals(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
    sigset_t set;

    sigfillset(&set);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&set, faults[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* ---- opening -------------------------------------------------------------------------------- */

static int check_socket(int fd, char text[512])
{
    int listening = 0, domain = 0;
    socklen_t n = sizeof listening, domain_n = sizeof domain;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) || !listening) {
        snprintf(text, 512,
                 "descriptor %d is not a listening socket; resnet-fcgi is started by resnet-spawn, "
                 "or by hand: spawn-fcgi -s /run/resnet-fcgi/work.sock -M 0660 -n -- "
                 "resnet-fcgi --model FILE.rnm",
                 fd);
        return FCGI_EXIT_USAGE;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_n) || domain != AF_UNIX) {
        snprintf(text, 512,
                 "descriptor %d listens on a network port; FastCGI knows no passwords, and whoever "
                 "reaches the port could speak it: use a unix socket (spawn-fcgi -s FILE -M 0660)",
                 fd);
        return FCGI_EXIT_CONFIG;
    }
    return 0;
}

static int watch(int epoll_fd, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int fcgi_accept_open(struct fcgi_accept *accept, int listen_fd, char text[512])
{
    sigset_t set;
    int code;

    memset(accept, 0, sizeof *accept);
    accept->signal_fd = accept->epoll_fd = accept->peer_fd = -1;
    accept->listen_fd = listen_fd;
    accept->timeout_ms = FCGI_ACCEPT_TIMEOUT_MS;
    code = check_socket(listen_fd, text);
    if (code)
        return code;
    leave_signals(&set);
    accept->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    accept->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    accept->peer_fd = epoll_create1(EPOLL_CLOEXEC);
    accept->head = malloc(FCGI_RECORDS_MAX_HEAD);
    int flags = fcntl(listen_fd, F_GETFL);
    /* EXCLUSIVE: one connection wakes one of the workers that wait, not all */
    if (accept->signal_fd < 0 || accept->epoll_fd < 0 || accept->peer_fd < 0 || !accept->head ||
        flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) ||
        watch(accept->epoll_fd, listen_fd, EPOLLIN | EPOLLEXCLUSIVE) ||
        watch(accept->epoll_fd, accept->signal_fd, EPOLLIN)) {
        snprintf(text, 512, "waiting for requests could not be set up: %s", strerror(errno));
        fcgi_accept_close(accept);
        return FCGI_EXIT_TRY_LATER;
    }
    return 0;
}

void fcgi_accept_close(struct fcgi_accept *accept)
{
    if (accept->signal_fd >= 0)
        close(accept->signal_fd);
    if (accept->epoll_fd >= 0)
        close(accept->epoll_fd);
    if (accept->peer_fd >= 0)
        close(accept->peer_fd);
    free(accept->head);
    accept->signal_fd = accept->epoll_fd = accept->peer_fd = -1;
    accept->head = NULL;
}

/* ---- one connection ------------------------------------------------------------------------- */

static int is_shut_down(int fd)
{
    struct pollfd socket = {.fd = fd, .events = POLLRDHUP};

    return poll(&socket, 1, 0) > 0;
}

static int look_at_head(struct fcgi_accept *accept, int fd, const char **why)
{
    ssize_t n = recv(fd, accept->head, FCGI_RECORDS_MAX_HEAD, MSG_PEEK | MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        *why = "the peer hung up before its parameters were complete";
        return -1;
    }
    accept->head_n = n < 0 ? 0 : (size_t)n;
    switch (fcgi_records_head(accept->head, accept->head_n, why)) {
    case FCGI_RECORDS_WHOLE:
        return 1;
    case FCGI_RECORDS_MORE:
        return 0;
    default:
        return -1;
    }
}

/* To look shows what has come, but not that it is all: bytes that stay hide the end behind them. */
static int has_head(struct fcgi_accept *accept, int fd, const char **why)
{
    int whole = look_at_head(accept, fd, why);

    if (whole || !is_shut_down(fd))
        return whole;
    whole = look_at_head(accept, fd, why); /* nothing can come after this */
    if (!whole)
        *why = "the peer hung up before its parameters were complete";
    return whole ? whole : -1;
}

/* They are there: this does not wait. */
static int take_head(struct fcgi_accept *accept, int fd)
{
    accept->head_n = fcgi_records_head_bytes(accept->head, accept->head_n);
    if (recv(fd, accept->head, accept->head_n, MSG_DONTWAIT) != (ssize_t)accept->head_n)
        return 0;
    accept->head_n = fcgi_records_head_bare(accept->head, accept->head_n);
    return 1;
}

/* Edge-triggered: what was only looked at stays in the socket, and would make it readable for ever.
 * An event that came already is told once more. */
static int wait_for_more(struct fcgi_accept *accept, int fd, int first, uint64_t end_ns)
{
    for (;;) {
        struct epoll_event event;
        uint64_t now_ns = fcgi_scoreboard_now_ns();
        if (now_ns >= end_ns ||
            (first && watch(accept->peer_fd, fd, EPOLLIN | EPOLLRDHUP | EPOLLET)))
            return 0;
        first = 0;
        int n = epoll_wait(accept->peer_fd, &event, 1, (int)((end_ns - now_ns) / 1000000 + 1));
        if (n > 0 || (n < 0 && errno != EINTR))
            return n > 0;
    }
}

static int wait_for_head(struct fcgi_accept *accept, int fd, uint64_t accepted_ns)
{
    uint64_t end_ns = accepted_ns + (uint64_t)accept->timeout_ms * 1000000u;
    const char *why = "the peer sent no complete parameters in time";
    int whole = has_head(accept, fd, &why);

    for (int first = 1; whole == 0 && wait_for_more(accept, fd, first, end_ns); first = 0)
        whole = has_head(accept, fd, &why);
    if (whole > 0 && take_head(accept, fd))
        return 1;
    fcgi_log(FCGI_LOG_WARN, "peer_refused", "reason=%s ms=%.1f", why,
             (double)(fcgi_scoreboard_now_ns() - accepted_ns) / 1e6);
    return 0;
}

static void set_timeouts(int fd, int timeout_ms)
{
    struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
}

/* ---- the loop ------------------------------------------------------------------------------- */

int fcgi_accept_must_leave(struct fcgi_accept *accept)
{
    struct signalfd_siginfo info;

    while (read(accept->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGUSR2)
            accept->leaves_when_empty = 1;
        else
            accept->leaves = 1;
    }
    return accept->leaves;
}

/* Out of descriptors or memory: the request stays in the queue, for a worker that has some. */
static void nap(struct fcgi_accept *accept, int error)
{
    enum { NAP_MS = 100 };

    if (!accept->naps++)
        fcgi_log(FCGI_LOG_ERROR, "accept_failed", "error=%s", strerror(error));
    poll(NULL, 0, NAP_MS);
}

enum { WAIT = -1, LEAVE = -2 };

/* A connection, or WAIT for another, or LEAVE. After shutdown(SHUT_RD) the listening socket is
 * readable for ever, and accept() still says EAGAIN once its queue is empty: only what was known
 * before tells that nothing will come. */
static int take(struct fcgi_accept *accept, uint64_t *accepted_ns)
{
    int is_last = accept->leaves_when_empty || is_shut_down(accept->listen_fd);

    if (accept->before)
        accept->before(accept->ctx);
    int fd = accept4(accept->listen_fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0) {
        if (errno == EINVAL || (errno == EAGAIN && is_last))
            return LEAVE;
        if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
            nap(accept, errno);
        return WAIT;
    }
    *accepted_ns = fcgi_scoreboard_now_ns();
    accept->naps = 0;
    set_timeouts(fd, accept->timeout_ms);
    if (wait_for_head(accept, fd, *accepted_ns))
        return fd;
    close(fd);
    return WAIT;
}

/* With a queue that is not empty a worker is never idle, not even between two requests. */
static int wait_for_event(struct fcgi_accept *accept)
{
    struct epoll_event event;
    int n = epoll_wait(accept->epoll_fd, &event, 1, 0);

    if (n != 0 || accept->leaves_when_empty)
        return n;
    if (accept->busy)
        atomic_store_explicit(accept->busy, 0, memory_order_relaxed);
    return epoll_wait(accept->epoll_fd, &event, 1, -1);
}

int fcgi_accept_next(struct fcgi_accept *accept, uint64_t *accepted_ns)
{
    for (;;) {
        int n = wait_for_event(accept);
        if (n < 0 && errno != EINTR)
            nap(accept, errno);
        if (fcgi_accept_must_leave(accept))
            return -1;
        int fd = n > 0 || accept->leaves_when_empty ? take(accept, accepted_ns) : WAIT;
        if (fd != WAIT)
            return fd < 0 ? -1 : fd;
    }
}
