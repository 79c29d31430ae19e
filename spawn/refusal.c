/* refusal.c: why the supervisor does not start, and what would mend it. Want of room, descriptors
 * or memory may pass: 75, and systemd tries again. The rest waits for a person: 78. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "spawn/spawn.h"

static const char *advice(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return "make room there, in bytes and inodes (df, df -i), or choose another";
    case EROFS:
        return "mount it writable, or choose another";
    default:
        return "see";
    }
}

static int passes(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EMFILE || error == ENFILE ||
           error == ENOMEM || error == ENOBUFS || error == EIO;
}

int spawn_refusal(char text[SPAWN_TEXT_BYTES], const char *what, const char *path,
                  const char *variable)
{
    int error = errno;

    if (error == EMFILE || error == ENFILE)
        snprintf(text, SPAWN_TEXT_BYTES,
                 "cannot %s %.256s: %s; raise the limit of descriptors: RLIMIT_NOFILE "
                 "(LimitNOFILE= of the unit)",
                 what, path, strerror(error));
    else
        snprintf(text, SPAWN_TEXT_BYTES, "cannot %s %.256s: %s; %s %s", what, path, strerror(error),
                 advice(error), variable);
    return passes(error) ? FCGI_EXIT_TRY_LATER : FCGI_EXIT_CONFIG;
}
