/* recycle.c: a worker that has served enough, or has grown too large, leaves by itself; the
 * supervisor starts another. Workers that started together must not leave together, hence the slot:
 * every eighth has the full number of requests, the others down to 9/16 of it; and one that is too
 * large serves up to seven more. */
#include "fcgi/log.h"
#include "fcgi/worker.h"

enum { STEPS = 8 };

static int step(const struct fcgi_config *config)
{
    return config->slot > 0 ? config->slot % STEPS : 0;
}

int64_t fcgi_recycle_requests(const struct fcgi_config *config)
{
    return config->max_requests - config->max_requests / (2 * STEPS) * step(config);
}

int fcgi_recycle_due(struct fcgi_worker *worker)
{
    const struct fcgi_config *config = worker->config;
    uint64_t rss = atomic_load(&worker->board->rss_bytes);
    const char *reason = NULL;

    if (config->max_requests && worker->served >= fcgi_recycle_requests(config))
        reason = "max_requests";
    else if (config->max_rss && rss > (uint64_t)config->max_rss &&
             worker->served_large++ >= step(config))
        reason = "max_rss";
    if (reason)
        fcgi_log(FCGI_LOG_INFO, "recycle", "reason=%s requests=%lld rss_bytes=%llu", reason,
                 (long long)worker->served, (unsigned long long)rss);
    return reason != NULL;
}
