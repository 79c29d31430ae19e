/* crew.h: which workers compute at this moment, so that a request may use the cores that are idle.
 *
 * One memfd of the supervisor's, mapped read-write by every worker: a byte for each slot. A slot
 * has one writer, its worker, and after that one's end the supervisor; nobody adds to what others
 * wrote, so a worker that is killed at any instruction leaves at most its own byte wrong, until it
 * is reaped. What is read decides about speed alone: results do not depend on the number of
 * threads. A worker that was taken over may write anything anywhere in it, so nothing here is
 * checked and then believed; that all are of one version is what the scoreboard's pages are for.
 */
#ifndef FCGI_CREW_H
#define FCGI_CREW_H

#include <stdatomic.h>
#include <stdint.h>

#include "fcgi/scoreboard.h"

enum { FCGI_CREW_BYTES = 4096 };

struct fcgi_crew {
    uint32_t reserved[2];
    _Atomic uint32_t n_slots; /* so many are looked at, FCGI_BOARD_MAX_SLOTS at most */
    uint32_t reserved_too;
    _Atomic uint8_t busy[FCGI_BOARD_MAX_SLOTS]; /* 1: loads a model, or serves a request */
};

/* A fresh page, nobody busy: a memfd, close-on-exec. Returns -1 with errno. */
int fcgi_crew_create(int n_slots);

/* Maps the page of fd (which may be closed afterwards) after checking its size. NULL with
 * errno. Unmap with fcgi_crew_unmap(); NULL is fine. */
struct fcgi_crew *fcgi_crew_map(int fd);
void fcgi_crew_unmap(struct fcgi_crew *crew);

/* crew NULL: nobody is told. */
void fcgi_crew_set(struct fcgi_crew *crew, int slot, int busy);

/* How many threads the worker of `slot`, busy itself, may use now: its own core and an equal part
 * of the idle ones; what cannot be divided goes to the lower slots. At least 1, and at most `most`.
 * crew NULL: most. */
int fcgi_crew_threads(const struct fcgi_crew *crew, int slot, int cores, int most);

_Static_assert(sizeof(struct fcgi_crew) <= FCGI_CREW_BYTES, "page");

#endif
