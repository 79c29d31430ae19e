/* crash.h: last words. A worker that crashes, or that the supervisor aborts because it is stuck,
 * logs which request it was on and where, and a backtrace; then the signal does what it does. */
#ifndef FCGI_CRASH_H
#define FCGI_CRASH_H

#include "fcgi/scoreboard.h"
#include "kernels/kernels.h"

/* Call once everything is loaded: the first backtrace opens a file, and is made here. Both stay the
 * caller's until the process ends. */
void fcgi_crash_watch(const struct fcgi_board_worker *board, const struct kn_net *net);

/* Back to the signals' default actions. */
void fcgi_crash_unwatch(void);

#endif
