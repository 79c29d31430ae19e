/* pages.h: the scoreboard as resnet-control sees it: all pages, read-only. */
#ifndef SPAWN_PAGES_H
#define SPAWN_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/scoreboard.h"

struct spawn_pages {
    const struct fcgi_board_main *main;
    const struct fcgi_board_worker **slots; /* [n] */
    int n;
};

/* board_fd: the main page; one page a slot on the descriptors that follow. 0, or -1 with a
 * sentence.
 */
int spawn_pages_open(struct spawn_pages *pages, int board_fd, char text[256]);
void spawn_pages_close(struct spawn_pages *pages);

/* Workers by state. */
struct spawn_tally {
    int ready, busy, starting, draining; /* ready: idle or busy */
};
struct spawn_tally spawn_pages_tally(const struct spawn_pages *pages);

/* A page that knows the model: of a worker that is ready if there is one. NULL before that. */
const struct fcgi_board_worker *spawn_pages_model(const struct spawn_pages *pages);

/* Answers written so far, and the microseconds spent on them after they were dequeued. */
void spawn_pages_work(const struct spawn_pages *pages, uint64_t *answers, uint64_t *work_us);

#endif
