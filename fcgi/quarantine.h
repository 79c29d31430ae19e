/* quarantine.h: bodies on which workers crashed or got stuck. Of one that did so in two requests,
 * with no answer in between, nothing is computed any more for a while.
 *
 * They are known by their SHA-256. It is computed when a worker dies, from what it was given; and
 * of each body that comes while there are suspects, which is seldom. The ring is part of the page
 * of deaths.h: the supervisor writes (spawn/quarantine.c), workers and resnet-control look.
 */
#ifndef FCGI_QUARANTINE_H
#define FCGI_QUARANTINE_H

#include <stdatomic.h>
#include <stdint.h>

#include "fcgi/shared.h"

enum {
    FCGI_QUARANTINE_SUSPECTS = 32,
    FCGI_QUARANTINE_LIMIT = 2, /* requests that died of a body, before it is refused */
    FCGI_QUARANTINE_HASH = 32,
};

struct fcgi_suspect {
    _Atomic uint8_t sha256[FCGI_QUARANTINE_HASH];
    _Atomic uint32_t requests; /* 0: empty, or being written */
    _Atomic uint64_t last_ns;  /* CLOCK_MONOTONIC, of the last death */
};

struct fcgi_quarantine {
    _Atomic uint64_t ttl_ns; /* 0: nobody is quarantined */
    struct fcgi_suspect suspect[FCGI_QUARANTINE_SUSPECTS];
};

/* Whether an entry counts at that time. */
int fcgi_quarantine_counts(const struct fcgi_quarantine *quarantine,
                           const struct fcgi_suspect *suspect, uint64_t now_ns);

/* Copies which body that is, for as long as the entry counts, and in how many requests workers
 * died of it. 0: it does not count. */
unsigned fcgi_quarantine_read(const struct fcgi_quarantine *quarantine,
                              const struct fcgi_suspect *suspect, uint64_t now_ns,
                              uint8_t sha256[FCGI_QUARANTINE_HASH]);

/* Whether any does: else nobody needs a hash. */
int fcgi_quarantine_has_any(const struct fcgi_quarantine *quarantine, uint64_t now_ns);

/* In how many requests workers died of that body; 0: it is no suspect. */
unsigned fcgi_quarantine_requests(const struct fcgi_quarantine *quarantine,
                                  const uint8_t sha256[FCGI_QUARANTINE_HASH], uint64_t now_ns);

#endif
