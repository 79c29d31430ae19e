/* pages.h: the scoreboard as resnet-control sees it: all pages, read-only but for its own. */
#ifndef SPAWN_PAGES_H
#define SPAWN_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/deaths.h"
#include "fcgi/scoreboard.h"

struct spawn_pages {
    const struct fcgi_board_main *main;
    const struct fcgi_board_worker **slots; /* [n] */
    int n;
    struct fcgi_board_control *control;
    const struct fcgi_deaths *deaths;
};

/* board_fd: the main page; on the descriptors that follow one page a slot, then control's. 0, or -1
 * with a sentence. */
int spawn_pages_open(struct spawn_pages *pages, int board_fd, int deaths_fd, char text[256]);
void spawn_pages_close(struct spawn_pages *pages);

/* Workers by state. */
struct spawn_tally {
    int ready, busy, starting, draining; /* ready: idle or busy */
};
struct spawn_tally spawn_pages_tally(const struct spawn_pages *pages);

/* ON when all that is ready and resnet-control itself are in the sandbox; else what one of them is
 * instead. */
enum fcgi_sandbox_state spawn_pages_sandbox(const struct spawn_pages *pages);
uint64_t spawn_pages_violations(const struct spawn_pages *pages);

/* What the newest generation that is ready has loaded, and a page of it. NULL before that, and
 * `model` is then all zeros. */
const struct fcgi_board_worker *spawn_pages_model(const struct spawn_pages *pages,
                                                  struct fcgi_board_model *model);

/* How long a worker takes for an answer, smoothed; 0: nobody knows yet. */
double spawn_pages_service_us(const struct spawn_pages *pages);

/* How long the head of the queue has waited, as far as can be told: what was dequeued last had
 * waited so long, and nothing was dequeued since. 0 where a worker is idle. */
uint64_t spawn_pages_queue_age_us(const struct spawn_pages *pages, uint64_t now_ns);

#endif
