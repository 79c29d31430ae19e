/* intact.h: whether the model file is still what was loaded. It is mapped and not copied: who
 * writes into it changes the weights of every worker, and who cuts it off takes their pages away
 * (SIGBUS). Renaming another file over it does neither.
 *
 * Told by size and time of modification, from before the checksums were compared: one system call a
 * look. */
#ifndef FCGI_INTACT_H
#define FCGI_INTACT_H

#include <stdint.h>
#include <time.h>

#include "fcgi/scoreboard.h"

struct fcgi_intact {
    int fd;           /* -1: not open, and always intact */
    const char *path; /* for sentences */
    int64_t bytes;
    struct timespec modified;
};

/* fd: of the model file, before anything of it is read; -1: opens path. Both stay the caller's; an
 * fd that was opened here goes with close. Nothing is said of a file that cannot be opened. */
void fcgi_intact_open(struct fcgi_intact *intact, int fd, const char *path);
void fcgi_intact_close(struct fcgi_intact *intact);

/* Async-signal-safe, and allowed in the sandbox. */
int fcgi_intact_holds(const struct fcgi_intact *intact);

/* Ends the process at once, with FCGI_EXIT_MODEL and one line that says why: what it computed or
 * was about to compute is not to be believed, and its request is for another worker. */
_Noreturn void fcgi_intact_leave(const struct fcgi_intact *intact,
                                 const struct fcgi_board_worker *board);

#endif
