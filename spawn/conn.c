/* conn.c: see conn.h. A connection goes FREE -> READING -> (ASKING | HELD) -> WRITING -> FREE. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fcgi/log.h"
#include "spawn/conn.h"
#include "spawn/spawn.h"

enum { EVENTS = 64, ACCEPTS = 64, READS = 16, READ_BYTES = 65536, KEEP_BYTES = 8192 };

static const int64_t lasts_ms[SPAWN_CONN_N_STATES] = {
    [SPAWN_CONN_READING] = SPAWN_CONN_IO_MS,
    [SPAWN_CONN_ASKING] = SPAWN_CONN_ASK_MS,
    [SPAWN_CONN_HELD] = SPAWN_CONN_HOLD_MS,
    [SPAWN_CONN_WRITING] = SPAWN_CONN_IO_MS,
};

/* ---- states --------------------------------------------------------------------------------- */

static void unlink_conn(struct spawn_conns *conns, struct spawn_conn *conn)
{
    struct spawn_conn_list *list = &conns->lists[conn->state];

    *(conn->previous ? &conn->previous->next : &list->first) = conn->next;
    *(conn->next ? &conn->next->previous : &list->last) = conn->previous;
    list->n--;
}

static void append(struct spawn_conns *conns, struct spawn_conn *conn, enum spawn_conn_state state)
{
    struct spawn_conn_list *list = &conns->lists[state];

    conn->state = state;
    conn->previous = list->last;
    conn->next = NULL;
    *(list->last ? &list->last->next : &list->first) = conn;
    list->last = conn;
    list->n++;
}

static void prepend(struct spawn_conns *conns, struct spawn_conn *conn, enum spawn_conn_state state)
{
    struct spawn_conn_list *list = &conns->lists[state];

    conn->state = state;
    conn->previous = NULL;
    conn->next = list->first;
    *(list->first ? &list->first->previous : &list->last) = conn;
    list->first = conn;
    list->n++;
}

/* While nothing is to be read or written, only the peer's leaving is of interest. */
static uint32_t events_of(enum spawn_conn_state state)
{
    return state == SPAWN_CONN_READING   ? EPOLLIN
           : state == SPAWN_CONN_WRITING ? EPOLLOUT
                                         : EPOLLRDHUP;
}

static void enter(struct spawn_conns *conns, struct spawn_conn *conn, enum spawn_conn_state state)
{
    struct epoll_event event = {.events = events_of(state), .data.ptr = conn};

    unlink_conn(conns, conn);
    append(conns, conn, state);
    conn->due_ns = spawn_now_ns() + lasts_ms[state] * 1000000;
    epoll_ctl(conns->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
}

/* To the front: the next connection finds its place warm, and its buffer there. */
static void drop(struct spawn_conns *conns, struct spawn_conn *conn)
{
    close(conn->fd); /* epoll forgets it */
    conn->fd = -1;
    if (conn->wire.size > KEEP_BYTES)
        fcgi_buffer_free(&conn->wire);
    unlink_conn(conns, conn);
    prepend(conns, conn, SPAWN_CONN_FREE);
}

/* ---- answering ------------------------------------------------------------------------------ */

static void write_some(struct spawn_conns *conns, struct spawn_conn *conn)
{
    while (conn->written < conn->wire.n) {
        ssize_t n = send(conn->fd, conn->wire.bytes + conn->written, conn->wire.n - conn->written,
                         MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            if (conn->state != SPAWN_CONN_WRITING)
                enter(conns, conn, SPAWN_CONN_WRITING);
            return;
        }
        if (n < 0)
            break;
        conn->written += (size_t)n;
    }
    drop(conns, conn);
}

static void answer(struct spawn_conns *conns, struct spawn_conn *conn, bool alive)
{
    const struct spawn_record_reader *reader = &conn->reader;

    fcgi_buffer_reset(&conn->wire);
    conn->written = 0;
    if (conn->is_shed)
        spawn_answer_shed(&conns->scene, &reader->params, reader->request_id, &conn->wire);
    else
        spawn_answer_control(&conns->scene, &reader->params, alive, reader->request_id,
                             &conn->wire);
    if (conn->wire.failed)
        drop(conns, conn);
    else
        write_some(conns, conn);
}

static void ask(struct spawn_conns *conns, struct spawn_conn *conn)
{
    conn->question = ++conns->questions;
    enter(conns, conn, SPAWN_CONN_ASKING);
    /* a supervisor that does not read lets it wait until its time is over */
    send(conns->ask_fd, &conn->question, sizeof conn->question, MSG_NOSIGNAL);
}

static void decide(struct spawn_conns *conns, struct spawn_conn *conn)
{
    bool can_hold = !conns->leaving && conns->lists[SPAWN_CONN_HELD].n < SPAWN_CONN_MAX_HELD;

    if (conn->is_shed && can_hold)
        enter(conns, conn, SPAWN_CONN_HELD);
    else if (!conn->is_shed && spawn_answer_needs_loop(&conn->reader.params))
        ask(conns, conn);
    else
        answer(conns, conn, true);
}

static void read_some(struct spawn_conns *conns, struct spawn_conn *conn)
{
    static uint8_t bytes[READ_BYTES];

    for (int i = 0; i < READS; i++) {
        ssize_t n = recv(conn->fd, bytes, sizeof bytes, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        enum spawn_record_state state =
            n <= 0 ? SPAWN_RECORD_BROKEN : spawn_record_feed(&conn->reader, bytes, (size_t)n);
        if (state == SPAWN_RECORD_BROKEN)
            drop(conns, conn);
        else if (state == SPAWN_RECORD_WHOLE)
            decide(conns, conn);
        if (state != SPAWN_RECORD_MORE)
            return;
    }
}

/* ---- events --------------------------------------------------------------------------------- */

static struct spawn_conn *take_place(struct spawn_conns *conns)
{
    if (!conns->lists[SPAWN_CONN_FREE].first && conns->lists[SPAWN_CONN_READING].first)
        drop(conns, conns->lists[SPAWN_CONN_READING].first);
    return conns->lists[SPAWN_CONN_FREE].first;
}

static void hear_sockets(struct spawn_conns *conns, uint32_t events)
{
    struct epoll_event ctl = {.events = events, .data.ptr = &conns->ctl_fd};
    struct epoll_event shed = {.events = events, .data.ptr = &conns->shed_fd};

    epoll_ctl(conns->epoll_fd, EPOLL_CTL_MOD, conns->ctl_fd, &ctl);
    epoll_ctl(conns->epoll_fd, EPOLL_CTL_MOD, conns->shed_fd, &shed);
}

/* Out of descriptors or memory: a connection that is still sending gives way; where there is none,
 * the queues keep what they have, and would wake us for ever, until some time has passed. */
static bool make_room(struct spawn_conns *conns, int error)
{
    int64_t now_ns = spawn_now_ns();

    if (now_ns >= conns->quiet_due_ns)
        fcgi_log(FCGI_LOG_ERROR, "accept_failed", "error=%s", strerror(error));
    conns->quiet_due_ns = now_ns + SPAWN_CONN_QUIET_MS * 1000000LL;
    if (conns->lists[SPAWN_CONN_READING].first) {
        drop(conns, conns->lists[SPAWN_CONN_READING].first);
        return true;
    }
    hear_sockets(conns, 0);
    conns->rest_due_ns = now_ns + SPAWN_CONN_REST_MS * 1000000LL;
    return false;
}

static void end_rest(struct spawn_conns *conns, int64_t now_ns)
{
    if (conns->rest_due_ns > now_ns)
        return;
    conns->rest_due_ns = INT64_MAX;
    hear_sockets(conns, EPOLLIN);
}

static bool accept_one(struct spawn_conns *conns, int listen_fd)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
        return true;
    if (fd < 0)
        return errno == EAGAIN ? false : make_room(conns, errno);
    struct spawn_conn *conn = take_place(conns);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    if (!conn || epoll_ctl(conns->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
        close(fd);
        return true;
    }
    conn->fd = fd;
    conn->is_shed = listen_fd == conns->shed_fd;
    spawn_record_init(&conn->reader);
    enter(conns, conn, SPAWN_CONN_READING);
    read_some(conns, conn); /* nginx writes right after it connects */
    return true;
}

static void accept_some(struct spawn_conns *conns, int listen_fd)
{
    for (int i = 0; i < ACCEPTS; i++)
        if (!accept_one(conns, listen_fd))
            return;
}

/* The loop turned after the last question that it answered, so all before it are answered too. */
static void hear_loop(struct spawn_conns *conns)
{
    uint64_t heard = 0, last = 0;
    ssize_t n;

    while ((n = recv(conns->ask_fd, &heard, sizeof heard, 0)) == sizeof heard)
        last = heard;
    struct spawn_conn *conn;
    while ((conn = conns->lists[SPAWN_CONN_ASKING].first) && conn->question <= last)
        answer(conns, conn, true);
    if (n == 0) /* the supervisor is gone */
        conns->leaving = true;
}

/* Asked again, because an event may be older than the connection that now has its place. */
static bool has_left(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};

    return poll(&poll_fd, 1, 0) > 0;
}

static void handle(struct spawn_conns *conns, const struct epoll_event *event)
{
    void *source = event->data.ptr;
    struct spawn_conn *conn = source;

    if (source == &conns->ctl_fd || source == &conns->shed_fd) {
        accept_some(conns, *(int *)source);
    } else if (source == &conns->ask_fd) {
        hear_loop(conns);
    } else if (source == &conns->signal_fd) {
        conns->leaving = true;
    } else if (conn->state == SPAWN_CONN_READING) {
        read_some(conns, conn);
    } else if (conn->state == SPAWN_CONN_WRITING) {
        write_some(conns, conn);
    } else if (conn->state != SPAWN_CONN_FREE && has_left(conn->fd)) {
        drop(conns, conn); /* the client does not wait any more */
    }
}

static void expire(struct spawn_conns *conns, int64_t now_ns)
{
    for (int state = SPAWN_CONN_READING; state < SPAWN_CONN_N_STATES; state++) {
        struct spawn_conn *conn;
        while ((conn = conns->lists[state].first) && conn->due_ns <= now_ns) {
            if (state == SPAWN_CONN_HELD || state == SPAWN_CONN_ASKING)
                answer(conns, conn, false);
            else
                drop(conns, conn);
        }
    }
}

/* Milliseconds until the next thing is due; -1: nothing is. */
static int next_ms(const struct spawn_conns *conns, int64_t now_ns)
{
    int64_t due = conns->leaving ? conns->leave_due_ns : conns->rest_due_ns;

    for (int state = SPAWN_CONN_READING; state < SPAWN_CONN_N_STATES; state++)
        if (conns->lists[state].first)
            due = spawn_min_ns(due, conns->lists[state].first->due_ns);
    if (due == INT64_MAX)
        return -1;
    return due <= now_ns ? 0 : (int)((due - now_ns + 999999) / 1000000);
}

/* New connections stay in the queues, which close with us. */
static void begin_leaving(struct spawn_conns *conns, int64_t now_ns)
{
    conns->leave_due_ns = now_ns + SPAWN_CONN_LEAVE_MS * 1000000LL;
    epoll_ctl(conns->epoll_fd, EPOLL_CTL_DEL, conns->ctl_fd, NULL);
    epoll_ctl(conns->epoll_fd, EPOLL_CTL_DEL, conns->shed_fd, NULL);
    epoll_ctl(conns->epoll_fd, EPOLL_CTL_DEL, conns->ask_fd, NULL);
    epoll_ctl(conns->epoll_fd, EPOLL_CTL_DEL, conns->signal_fd, NULL);
    while (conns->lists[SPAWN_CONN_HELD].first)
        answer(conns, conns->lists[SPAWN_CONN_HELD].first, false);
}

/* ---- whole ---------------------------------------------------------------------------------- */

static int watch(const struct spawn_conns *conns, int *fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = fd};

    return epoll_ctl(conns->epoll_fd, EPOLL_CTL_ADD, *fd, &event);
}

int spawn_conns_open(struct spawn_conns *conns, int ctl_fd, int shed_fd, int ask_fd, int signal_fd)
{
    conns->ctl_fd = ctl_fd;
    conns->shed_fd = shed_fd;
    conns->ask_fd = ask_fd;
    conns->signal_fd = signal_fd;
    conns->rest_due_ns = INT64_MAX;
    for (int i = 0; i < SPAWN_CONN_MAX; i++) {
        conns->all[i].fd = -1;
        append(conns, &conns->all[i], SPAWN_CONN_FREE);
    }
    conns->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (conns->epoll_fd < 0 || watch(conns, &conns->ctl_fd) || watch(conns, &conns->shed_fd) ||
        watch(conns, &conns->ask_fd) || watch(conns, &conns->signal_fd))
        return -1;
    return 0;
}

void spawn_conns_run(struct spawn_conns *conns)
{
    struct epoll_event events[EVENTS];

    while (!conns->leaving || conns->lists[SPAWN_CONN_FREE].n < SPAWN_CONN_MAX) {
        bool was_leaving = conns->leaving;
        int n = epoll_wait(conns->epoll_fd, events, EVENTS, next_ms(conns, spawn_now_ns()));
        for (int i = 0; i < n; i++)
            handle(conns, &events[i]);
        int64_t now_ns = spawn_now_ns();
        expire(conns, now_ns);
        end_rest(conns, now_ns);
        if (conns->leaving && !was_leaving)
            begin_leaving(conns, now_ns);
        else if (conns->leaving && now_ns >= conns->leave_due_ns)
            return;
    }
}
