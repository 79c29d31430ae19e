/* reload.c: HUP. A new worker is started from the binary now on disk, warmed and self-tested; only
 * when it is ready is one of the old asked to leave, and so on, one by one. The queue is ours, so
 * no request is lost on the way. A new worker that cannot start leaves the old ones serving. */
#include <signal.h>
#include <stdio.h>

#include "fcgi/log.h"
#include "spawn/spawn.h"

enum { MAX_KILLED = 5 };

static void end(struct spawn *s)
{
    s->reload.active = false;
    spawn_held_close(&s->reload.held);
    s->reload.candidate = -1;
    s->board->reloading = s->reload.again;
}

static void fail(struct spawn *s, const char *why)
{
    char text[SPAWN_TEXT_BYTES + 64];

    snprintf(text, sizeof text, "reload: %d of %d workers replaced, then a new one failed: %s",
             s->reload.replaced, s->n_workers, why);
    fcgi_log(FCGI_LOG_ERROR, "reload_failed", "to_gen=%d reason=%s", s->reload.generation, text);
    if (s->held.spoilt) /* nobody asked for it */
        spawn_board_missing(s, text);
    else
        spawn_board_reason(s, text);
    end(s);
    atomic_fetch_add(&s->board->reloads_failed, 1); /* last: resnet-ctl waits for it */
}

static void begin(struct spawn *s)
{
    char why[SPAWN_TEXT_BYTES];

    s->reload = (struct spawn_reload){.active = true,
                                      .generation = ++s->last_generation,
                                      .held = SPAWN_HELD_NONE,
                                      .candidate = -1};
    s->board->reloading = 1;
    fcgi_log(FCGI_LOG_INFO, "reload", "to_gen=%d", s->reload.generation);
    if (spawn_held_open(s, &s->reload.held, why))
        fail(s, why);
}

void spawn_reload_ask(struct spawn *s)
{
    if (s->draining)
        return;
    s->reload.again = true; /* the next step begins it, once nothing else is under way */
    s->board->reloading = 1;
}

/* Old workers that are not serving go first: nobody misses them. */
static int find_old(const struct spawn *s)
{
    int found = -1;

    for (int slot = 0; slot < s->n_slots; slot++) {
        const struct spawn_worker *worker = &s->workers[slot];
        if (worker->state == SPAWN_EMPTY || worker->state == SPAWN_LEAVING ||
            worker->generation >= s->reload.generation)
            continue;
        if (worker->state != SPAWN_READY)
            return slot;
        if (found < 0)
            found = slot;
    }
    return found;
}

static int find_empty(const struct spawn *s)
{
    for (int slot = 0; slot < s->n_slots; slot++)
        if (s->workers[slot].state == SPAWN_EMPTY)
            return slot;
    return -1;
}

static void finish(struct spawn *s)
{
    fcgi_log(FCGI_LOG_INFO, "reload_done", "to_gen=%d replaced=%d", s->reload.generation,
             s->reload.replaced);
    spawn_board_reason(s, "");
    end(s);
    atomic_fetch_add(&s->board->reloads_ok, 1); /* last: resnet-ctl waits for it */
}

void spawn_reload_step(struct spawn *s)
{
    if (!s->reload.active && s->reload.again && s->board->state == FCGI_SERVICE_SERVING)
        begin(s);
    if (!s->reload.active || s->reload.candidate >= 0)
        return;
    if (find_old(s) < 0) {
        finish(s);
        return;
    }
    int slot = find_empty(s);
    if (slot >= 0) { /* else workers of an earlier reload still finish what they have */
        s->reload.candidate = slot;
        spawn_workers_start(s, slot, s->reload.generation);
    }
}

/* From its first ready worker on, the new generation is the one that respawns take. */
static void adopt_generation(struct spawn *s)
{
    if (s->generation == s->reload.generation)
        return;
    s->generation = s->reload.generation;
    spawn_held_close(&s->held);
    s->held = s->reload.held;
    s->reload.held = SPAWN_HELD_NONE;
}

void spawn_reload_ready(struct spawn *s, int slot)
{
    if (slot == s->reload.candidate) {
        s->reload.candidate = -1;
        adopt_generation(s);
        s->board->generation = (uint32_t)s->generation;
        s->reload.replaced++;
        int old = find_old(s); /* none: the last one died meanwhile and is replaced already */
        spawn_workers_dismiss(s, old >= 0 ? old : slot, SIGTERM);
    } else if (s->board->state == FCGI_SERVICE_STARTING &&
               spawn_workers_count(s, SPAWN_READY) == s->n_workers) {
        s->board->generation = (uint32_t)s->generation;
        spawn_board_reason(s, "");
        s->board->state = FCGI_SERVICE_SERVING;
        fcgi_log(FCGI_LOG_INFO, "serving", "workers=%d gen=%d", s->n_workers, s->generation);
    }
}

void spawn_reload_failed(struct spawn *s, enum fcgi_end how, const char *why)
{
    s->reload.candidate = -1;
    if (how == FCGI_END_KILLED && ++s->reload.killed < MAX_KILLED)
        return; /* somebody else's doing: the next step starts another */
    fail(s, why);
}

void spawn_reload_stop(struct spawn *s)
{
    if (s->reload.active)
        fcgi_log(FCGI_LOG_WARN, "reload_stopped", "to_gen=%d", s->reload.generation);
    s->reload.again = false;
    end(s);
}
