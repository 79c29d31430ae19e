/* crash.h: last words. A worker that crashes, or that the supervisor aborts because it is stuck,
 * logs which request it was on and where, and a backtrace; then the signal does what it does. */
#ifndef FCGI_CRASH_H
#define FCGI_CRASH_H

#include "fcgi/deaths.h"
#include "fcgi/intact.h"
#include "fcgi/scoreboard.h"
#include "kernels/kernels.h"
#include "weights/weights.h"

/* Call once everything is loaded: the first backtrace opens a file, and is made here. All stay the
 * caller's until the process ends. deaths NULL: nobody keeps them. */
void fcgi_crash_watch(struct fcgi_board_worker *board, const struct kn_net *net,
                      const struct fcgi_deaths *deaths);

/* What the request is about, for quarantine.h: stays the caller's while the request is served. n 0:
 * nothing yet. */
void fcgi_crash_body(const uint8_t *bytes, size_t n);

/* A page of the model that is gone (SIGBUS) is the file's fault: no crash, nobody's request. Both
 * stay the caller's until fcgi_crash_unwatch(). */
void fcgi_crash_model(const struct wt_model *model, const struct fcgi_intact *intact);

/* No more words; the signals do what they do by default. */
void fcgi_crash_unwatch(void);

#endif
