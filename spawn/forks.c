/* forks.c: what is said when there is no process to be had. Each slot tries again, with back-off;
 * it is one fault all the same, and told of when it begins and when it is over. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fcgi/log.h"
#include "spawn/spawn.h"

static const char *what_limits(int error)
{
    switch (error) {
    case EAGAIN:
        return "; the limit of processes is reached: pids.max of the cgroup (TasksMax= of the "
               "unit), or RLIMIT_NPROC";
    case ENOMEM:
        return "; there is no memory for it";
    case EMFILE:
    case ENFILE:
        return "; the limit of descriptors is reached: RLIMIT_NOFILE (LimitNOFILE= of the unit)";
    default:
        return "";
    }
}

void spawn_forks_failed(struct spawn *s, const char *program, int error,
                        char text[SPAWN_TEXT_BYTES])
{
    snprintf(text, SPAWN_TEXT_BYTES, "no process could be started for %s: %s%s", program,
             strerror(error), what_limits(error));
    if (s->forks_failed++)
        return;
    fcgi_log(FCGI_LOG_ERROR, "fork", "program=%s reason=%s", program, text);
    spawn_board_missing(s, text);
}

void spawn_forks_worked(struct spawn *s)
{
    if (s->forks_failed)
        fcgi_log(FCGI_LOG_INFO, "fork_works", "failures=%d", s->forks_failed);
    s->forks_failed = 0;
}
