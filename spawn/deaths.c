/* deaths.c: the one writer of the ring of deaths (fcgi/deaths.h). A crash while busy and a stuck
 * worker count; what somebody else killed, and what left by itself, does not. */
#include <string.h>
#include <unistd.h>

#include "fcgi/log.h"
#include "spawn/spawn.h"

int spawn_deaths_open(struct spawn *s)
{
    s->deaths_fd = fcgi_deaths_create();
    if (s->deaths_fd < 0)
        return -1;
    s->deaths = fcgi_deaths_map(s->deaths_fd, 1);
    if (!s->deaths)
        return -1;
    spawn_quarantine_open(s);
    return 0;
}

void spawn_deaths_close(struct spawn *s)
{
    fcgi_deaths_unmap(s->deaths);
    if (s->deaths_fd > 0)
        close(s->deaths_fd);
}

static struct fcgi_death *find(struct fcgi_deaths *deaths, const char *nginx_id)
{
    for (int i = 0; i < FCGI_DEATHS_ENTRIES; i++)
        if (deaths->entry[i].count && fcgi_deaths_is(&deaths->entry[i], nginx_id))
            return &deaths->entry[i];
    return NULL;
}

/* Nobody matches an entry whose count is 0, so its id can be written in peace. */
static struct fcgi_death *replace_oldest(struct fcgi_deaths *deaths, const char *nginx_id)
{
    struct fcgi_death *death = &deaths->entry[deaths->recorded++ % FCGI_DEATHS_ENTRIES];

    atomic_store(&death->count, 0);
    fcgi_shared_put_text(death->nginx_id, sizeof death->nginx_id, nginx_id);
    return death;
}

unsigned spawn_deaths_add(struct fcgi_deaths *deaths, const char *nginx_id)
{
    struct fcgi_death *death = find(deaths, nginx_id);

    if (!death)
        death = replace_oldest(deaths, nginx_id);
    return atomic_fetch_add(&death->count, 1) + 1;
}

void spawn_deaths_record(struct spawn *s, int slot)
{
    const struct spawn_worker *worker = &s->workers[slot];
    struct fcgi_board_request request;

    if (worker->heard || worker->page->state != FCGI_WORKER_BUSY ||
        !fcgi_scoreboard_request(worker->page, &request) || !request.nginx_id[0])
        return;
    fcgi_log(FCGI_LOG_ERROR, "death",
             "slot=%d gen=%d worker_pid=%d request_id=%s nginx_id=%s count=%u", slot,
             worker->generation, (int)worker->pid, request.request_id, request.nginx_id,
             spawn_deaths_add(s->deaths, request.nginx_id));
}

/* It waits for this with its connection still open. A process dies once, however often it says so.
 */
void spawn_deaths_hear(struct spawn *s)
{
    for (int slot = 0; slot < s->n_slots; slot++) {
        struct spawn_worker *worker = &s->workers[slot];

        if (!worker->pid || worker->heard || worker->page->crash != FCGI_CRASH_SAID)
            continue;
        if (!worker->doomed)
            spawn_deaths_record(s, slot);
        spawn_quarantine_record(s, slot);
        worker->heard = true;
        atomic_store(&worker->page->crash, FCGI_CRASH_RECORDED);
    }
}
