/* idle.c: RESNET_IDLE_EXIT, scale to zero. After so long without a request we drain and leave with
 * exit code 0; the next request starts us again.
 *
 * Only where the socket is systemd's: it listens on while nobody is there, and what comes between
 * our decision and our end stays queued in it. Elsewhere nobody would start us. */
#include "fcgi/log.h"
#include "spawn/spawn.h"

static uint64_t count_attempts(const struct spawn *s)
{
    uint64_t n = 0;

    for (int slot = 0; slot < s->n_slots; slot++)
        n += s->workers[slot].page->attempts;
    return n;
}

/* A request shorter than the way to here shows in its count alone. */
static bool something_goes_on(struct spawn *s)
{
    uint64_t attempts = count_attempts(s);
    bool more = attempts != s->idle.attempts;

    s->idle.attempts = attempts;
    return more || s->board->state != FCGI_SERVICE_SERVING || s->board->reloading ||
           s->watchdog.due_ns != INT64_MAX;
}

void spawn_idle_open(struct spawn *s)
{
    s->idle.due_ns = INT64_MAX;
    if (!s->config.idle_exit_ms || s->sockets.origin == SPAWN_ACTIVATED)
        return;
    fcgi_log(FCGI_LOG_WARN, "configuration", "reason=%s",
             "RESNET_IDLE_EXIT: expected a socket of systemd's (LISTEN_FDS), which starts the "
             "service again; there is none, so it stays");
    s->config.idle_exit_ms = 0;
}

void spawn_idle_step(struct spawn *s, int64_t now_ns)
{
    int64_t limit_ns = s->config.idle_exit_ms * 1000000;

    if (!limit_ns)
        return;
    if (something_goes_on(s))
        s->idle.due_ns = now_ns + limit_ns;
    if (s->draining)
        s->idle.due_ns = INT64_MAX;
    if (now_ns < s->idle.due_ns)
        return;
    s->idle.due_ns = INT64_MAX;
    fcgi_log(FCGI_LOG_INFO, "idle_exit", "idle_ms=%lld", (long long)s->config.idle_exit_ms);
    spawn_drain_begin(s);
}
