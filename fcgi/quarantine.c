/* quarantine.c: looking up. */
#include "fcgi/quarantine.h"

#include <string.h>

int fcgi_quarantine_counts(const struct fcgi_quarantine *quarantine,
                           const struct fcgi_suspect *suspect, uint64_t now_ns)
{
    uint64_t ttl_ns = atomic_load_explicit(&quarantine->ttl_ns, memory_order_relaxed);
    uint64_t last_ns = atomic_load_explicit(&suspect->last_ns, memory_order_relaxed);

    return atomic_load_explicit(&suspect->requests, memory_order_acquire) &&
           now_ns < last_ns + ttl_ns;
}

/* The time of the last death changes with the body. */
unsigned fcgi_quarantine_read(const struct fcgi_quarantine *quarantine,
                              const struct fcgi_suspect *suspect, uint64_t now_ns,
                              uint8_t sha256[FCGI_QUARANTINE_HASH])
{
    enum { TRIES = 100 };

    for (int i = 0; i < TRIES; i++) {
        uint64_t last_ns = atomic_load_explicit(&suspect->last_ns, memory_order_acquire);
        if (!fcgi_quarantine_counts(quarantine, suspect, now_ns))
            return 0;
        fcgi_shared_get(sha256, suspect->sha256, FCGI_QUARANTINE_HASH);
        unsigned requests = atomic_load_explicit(&suspect->requests, memory_order_acquire);
        if (last_ns == atomic_load_explicit(&suspect->last_ns, memory_order_relaxed))
            return requests;
    }
    return 0;
}

int fcgi_quarantine_has_any(const struct fcgi_quarantine *quarantine, uint64_t now_ns)
{
    for (int i = 0; i < FCGI_QUARANTINE_SUSPECTS; i++)
        if (fcgi_quarantine_counts(quarantine, &quarantine->suspect[i], now_ns))
            return 1;
    return 0;
}

unsigned fcgi_quarantine_requests(const struct fcgi_quarantine *quarantine,
                                  const uint8_t sha256[FCGI_QUARANTINE_HASH], uint64_t now_ns)
{
    for (int i = 0; i < FCGI_QUARANTINE_SUSPECTS; i++) {
        uint8_t found[FCGI_QUARANTINE_HASH];
        unsigned requests =
            fcgi_quarantine_read(quarantine, &quarantine->suspect[i], now_ns, found);
        if (requests && !memcmp(found, sha256, sizeof found))
            return requests;
    }
    return 0;
}
