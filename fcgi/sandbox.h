/* sandbox.h: what a process may still do once it is ready. It has opened everything by then, so all
 * that is left to allow is computing, memory, and reading and writing what is open.
 *
 * resnet-fcgi and resnet-control enter it; resnet-spawn does not, because a filter survives exec.
 */
#ifndef FCGI_SANDBOX_H
#define FCGI_SANDBOX_H

#include <stdint.h>
#include <sys/types.h>

#include "fcgi/scoreboard.h"

/* RESNET_SANDBOX. ON goes on without what the kernel does not give, and says so; REQUIRE refuses to
 * start. The order is that of the words in config_table.c. */
enum fcgi_sandbox_wish { FCGI_SANDBOX_WISH_ON, FCGI_SANDBOX_WISH_OFF, FCGI_SANDBOX_WISH_REQUIRE };

enum fcgi_sandbox_program { FCGI_SANDBOX_WORKER = 1, FCGI_SANDBOX_CONTROL = 2 };

struct fcgi_sandbox {
    enum fcgi_sandbox_wish wish;
    enum fcgi_sandbox_program program;
    const int *fds; /* [n_fds] stay open, beside 0, 1 and 2; -1: none; all others are closed */
    int n_fds;
    int connections;     /* that are open at once, at most */
    int64_t grows_bytes; /* how much more memory than now it may take; negative: as it is */
    pid_t supervisor;    /* may be sent FCGI_DEATHS_SIGNAL; 0: nobody may be sent anything */

    /* for the last words; both outlive the process's last request */
    const struct fcgi_board_worker *board; /* NULL: no request is known */
    _Atomic uint64_t *violations;
};

/* For good, and for all threads of the process. Returns the state, to be published, or a
 * sentence and minus an exit code: FCGI_EXIT_CONFIG when the wish is REQUIRE and it cannot be had,
 * FCGI_EXIT_TRY_LATER without memory. A violation logs the system call and the
 * request, is counted, and ends the process by SIGSYS, after the handler that was there before. */
int fcgi_sandbox_enter(const struct fcgi_sandbox *sandbox, char text[512]);

#endif
