/* wall.h: the wall clock beside the monotonic one. nginx says when it passed a request on by the
 * wall clock; between that moment and ours somebody may have set it, or the machine have slept, and
 * the difference is no age. */
#ifndef FCGI_WALL_H
#define FCGI_WALL_H

#include <stdint.h>

/* Zeroed: nothing is known, and everything believed. */
struct fcgi_wall {
    int64_t offset_ms,
        seen_ms;     /* wall clock less the monotonic one, and when, monotonic; 0: never */
    int64_t step_ms; /* that the clock was last set by; 0: it was not */
    int64_t before_ms, noticed_ms; /* monotonic: the last look before that, and the first after */
};

/* A look at both clocks, before each request. Returns milliseconds since 1970. */
int64_t fcgi_wall_now_ms(struct fcgi_wall *wall);

/* The same, of clocks that say so. */
void fcgi_wall_look(struct fcgi_wall *wall, int64_t wall_ms, int64_t now_ms);

/* 1: an age of so many milliseconds, told by the wall clock, may be one. now_ms: monotonic. */
int fcgi_wall_believes(const struct fcgi_wall *wall, int64_t age_ms, int64_t now_ms);

#endif
