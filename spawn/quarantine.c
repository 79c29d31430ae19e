/* quarantine.c: the one writer of the ring of suspects (fcgi/quarantine.h). Called when a worker
 * died of a request; which body that was is in its page. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "fcgi/log.h"
#include "spawn/spawn.h"

static void write_hex(char hex[2 * FCGI_QUARANTINE_HASH + 1], const _Atomic uint8_t *bytes)
{
    for (int i = 0; i < FCGI_QUARANTINE_HASH; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

void spawn_quarantine_open(struct spawn *s)
{
    atomic_store(&s->deaths->quarantine.ttl_ns, (uint64_t)s->config.quarantine_ms * 1000000u);
}

/* The same body's, or the one whose last death is the longest ago. */
static struct fcgi_suspect *find(struct fcgi_quarantine *quarantine, const uint8_t *sha256)
{
    struct fcgi_suspect *oldest = &quarantine->suspect[0];

    for (int i = 0; i < FCGI_QUARANTINE_SUSPECTS; i++) {
        struct fcgi_suspect *suspect = &quarantine->suspect[i];
        uint8_t found[FCGI_QUARANTINE_HASH];
        fcgi_shared_get(found, suspect->sha256, sizeof found);
        if (suspect->requests && !memcmp(found, sha256, sizeof found))
            return suspect;
        if (suspect->last_ns < oldest->last_ns)
            oldest = suspect;
    }
    atomic_store(&oldest->requests, 0);
    fcgi_shared_put(oldest->sha256, sha256, sizeof oldest->sha256);
    return oldest;
}

/* Whether any worker has answered that body since its last death. */
static bool was_answered(const struct spawn *s, const struct fcgi_suspect *suspect, uint64_t now_ns)
{
    uint64_t first_bytes;

    fcgi_shared_get(&first_bytes, suspect->sha256, sizeof first_bytes);
    for (int slot = 0; slot < s->n_slots; slot++)
        for (int i = 0; i < FCGI_BOARD_ANSWERED; i++) {
            const struct fcgi_board_answered *answered = &s->workers[slot].page->answered[i];
            uint64_t at_ns = answered->at_ns;
            if (answered->first_bytes == first_bytes && at_ns > suspect->last_ns && at_ns <= now_ns)
                return true;
        }
    return false;
}

static void count(struct spawn *s, struct fcgi_suspect *suspect,
                  const struct fcgi_board_request *request, uint64_t now_ns)
{
    bool is_new = !fcgi_quarantine_counts(&s->deaths->quarantine, suspect, now_ns) ||
                  was_answered(s, suspect, now_ns);
    uint32_t requests = is_new ? 1 : suspect->requests + 1;
    char hex[2 * FCGI_QUARANTINE_HASH + 1];

    atomic_store(&suspect->last_ns, now_ns);
    atomic_store_explicit(&suspect->requests, requests, memory_order_release);
    if (requests != FCGI_QUARANTINE_LIMIT)
        return;
    write_hex(hex, suspect->sha256);
    fcgi_log(FCGI_LOG_WARN, "quarantined", "body=%s request_id=%s nginx_id=%s ms=%lld", hex,
             request->request_id, request->nginx_id, (long long)s->config.quarantine_ms);
}

/* A request that is tried again and takes another worker along is still one: its first death
 * counts, which has been recorded just before. */
void spawn_quarantine_record(struct spawn *s, int slot)
{
    struct fcgi_board_worker *page = s->workers[slot].page;
    struct fcgi_quarantine *quarantine = &s->deaths->quarantine;
    uint8_t sha256[FCGI_QUARANTINE_HASH];
    struct fcgi_board_request request;

    if (!quarantine->ttl_ns || page->state != FCGI_WORKER_BUSY || !page->body_known ||
        !fcgi_scoreboard_request(page, &request))
        return;
    fcgi_shared_get(sha256, page->body_sha256, sizeof sha256);
    atomic_store(&page->body_known, 0); /* one death is told of twice, when it begins and ends */
    if (fcgi_deaths_count(s->deaths, request.nginx_id) == 1)
        count(s, find(quarantine, sha256), &request, (uint64_t)spawn_now_ns());
}

void spawn_quarantine_release(struct spawn *s)
{
    for (int i = 0; i < FCGI_QUARANTINE_SUSPECTS; i++)
        atomic_store(&s->deaths->quarantine.suspect[i].requests, 0);
    fcgi_log(FCGI_LOG_INFO, "quarantine_released", "reason=%s", "resnet-ctl release");
}
