/* drain.c: TERM and INT.
 *
 * Our own socket is shut down for reading: connects fail from that moment (nginx moves on to the
 * shed socket), what is queued can still be accepted. Workers see POLLRDHUP, serve the queue to its
 * end and leave; no signal is needed, and none can be lost. An inherited socket is not ours to shut
 * down: workers are told to leave when they find it empty. An activated one keeps its queue for
 * whoever is started next: workers finish what they have. */
#include <signal.h>
#include <sys/socket.h>

#include "fcgi/log.h"
#include "spawn/spawn.h"

static int count_alive(const struct spawn *s)
{
    return s->n_slots - spawn_workers_count(s, SPAWN_EMPTY);
}

bool spawn_drain_needs_worker(const struct spawn *s)
{
    if (s->stopped_fast || s->sockets.origin == SPAWN_ACTIVATED)
        return false;
    return spawn_queue_depth(s->board->work_inode) != 0; /* unknown: to be on the safe side */
}

static void tell(struct spawn *s, int slot)
{
    if (s->sockets.origin == SPAWN_INHERITED)
        spawn_workers_dismiss(s, slot, SIGUSR2);
    else if (s->sockets.origin == SPAWN_ACTIVATED)
        spawn_workers_dismiss(s, slot, SIGTERM);
}

void spawn_drain_ready(struct spawn *s, int slot)
{
    tell(s, slot);
}

void spawn_drain_begin(struct spawn *s)
{
    if (s->draining)
        return;
    s->draining = true;
    s->drain_due_ns = spawn_now_ns() + s->config.drain_timeout_ms * 1000000;
    s->board->state = FCGI_SERVICE_DRAINING;
    int candidate = s->reload.candidate;
    spawn_reload_stop(s);
    if (candidate >= 0)
        spawn_workers_dismiss(s, candidate, SIGTERM);
    if (s->sockets.origin == SPAWN_OWN)
        shutdown(s->sockets.work_fd, SHUT_RD);

    bool needed = spawn_drain_needs_worker(s);
    fcgi_log(FCGI_LOG_INFO, "drain", "workers=%d timeout_ms=%lld", count_alive(s),
             (long long)s->config.drain_timeout_ms);
    for (int slot = 0; slot < s->n_slots; slot++) {
        if (s->workers[slot].state == SPAWN_READY)
            tell(s, slot);
        else if (!needed)
            spawn_workers_dismiss(s, slot, SIGTERM);
    }
}

static void kill_all(struct spawn *s, enum fcgi_end end)
{
    for (int slot = 0; slot < s->n_slots; slot++) {
        if (s->workers[slot].state == SPAWN_WAITING)
            spawn_workers_dismiss(s, slot, SIGKILL);
        else if (s->workers[slot].state != SPAWN_EMPTY)
            spawn_workers_kill(s, slot, end);
    }
}

void spawn_drain_fast(struct spawn *s)
{
    spawn_drain_begin(s);
    s->stopped_fast = true;
    s->drain_due_ns = INT64_MAX;
    kill_all(s, FCGI_END_DRAINED);
}

void spawn_drain_step(struct spawn *s, int64_t now_ns)
{
    if (!s->draining)
        return;
    if (now_ns >= s->drain_due_ns) {
        fcgi_log(FCGI_LOG_ERROR, "drain_timeout", "workers_killed=%d", count_alive(s));
        s->exit_code = s->exit_code ? s->exit_code : FCGI_EXIT_TRY_LATER;
        s->stopped_fast = true;
        s->drain_due_ns = INT64_MAX;
        kill_all(s, FCGI_END_DRAIN);
    }
    if (count_alive(s))
        return;
    spawn_control_dismiss(s);
    s->done = !s->control.pid;
}
