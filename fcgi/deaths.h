/* deaths.h: requests whose worker crashed or got stuck. The web server tries such a request again
 * elsewhere, which is right once: the second worker that it takes along is the last.
 *
 * One memfd, written by the supervisor alone (spawn/deaths.c), mapped read-only by every worker.
 * The oldest entry is overwritten. An entry whose count is 0 is empty, or being written.
 */
#ifndef FCGI_DEATHS_H
#define FCGI_DEATHS_H

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>

#include "fcgi/quarantine.h"
#include "fcgi/shared.h"

enum {
    FCGI_DEATHS_ENTRIES = 256,
    FCGI_DEATHS_BYTES = 16384,
    FCGI_DEATHS_VERSION = 2,
    FCGI_DEATHS_LIMIT = 2, /* a request that took so many workers along is not computed again */
};
/* What the supervisor is sent when a worker is about to die of its request. Ignored by default, so
 * that an older supervisor survives it. */
#define FCGI_DEATHS_SIGNAL SIGURG
#define FCGI_DEATHS_MAGIC  0x68747264u /* "drth" */

struct fcgi_death {
    _Atomic uint8_t nginx_id[33]; /* keyed on what a client cannot forge */
    _Atomic uint32_t count;
};

struct fcgi_deaths {
    uint32_t magic, version;
    _Atomic uint64_t recorded; /* entries ever made; the next one is at recorded modulo ENTRIES */
    struct fcgi_death entry[FCGI_DEATHS_ENTRIES];
    struct fcgi_quarantine quarantine;
};

/* A fresh page, empty: a memfd, close-on-exec. Returns -1 with errno. */
int fcgi_deaths_create(void);

/* Maps the page of fd (which may be closed afterwards) after checking its size and version. NULL
 * with errno. Unmap with fcgi_deaths_unmap(); NULL is fine. */
struct fcgi_deaths *fcgi_deaths_map(int fd, int writable);
void fcgi_deaths_unmap(struct fcgi_deaths *deaths);

/* Whether the entry is that request's, or half so: its count, read afterwards, says which. */
int fcgi_deaths_is(const struct fcgi_death *death, const char *nginx_id);

/* How many workers the request has taken along. deaths NULL or id empty: 0. */
unsigned fcgi_deaths_count(const struct fcgi_deaths *deaths, const char *nginx_id);

_Static_assert(sizeof(struct fcgi_deaths) <= FCGI_DEATHS_BYTES, "page");

#endif
