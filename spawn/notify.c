/* notify.c: telling a service manager what state we are in (sd_notify(3): datagrams of NAME=value
 * lines to the socket that NOTIFY_SOCKET names; a leading @ is an abstract one).
 *
 * A state is told when it is seen to have changed, once a step; nobody waits for an answer, and a
 * manager that does not listen changes nothing. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fcgi/log.h"
#include "spawn/spawn.h"

static int connect_to(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(name);

    if ((*name != '/' && *name != '@') || n >= sizeof address.sun_path)
        return errno = EINVAL, -1;
    memcpy(address.sun_path, name, n);
    if (*name == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (fd < 0 || !connect(fd, (struct sockaddr *)&address, length))
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* The variable is ours alone: a worker that said READY=1 would speak for the service. */
void spawn_notify_open(struct spawn_notify *notify)
{
    const char *name = getenv("NOTIFY_SOCKET");

    *notify = (struct spawn_notify){.fd = -1, .told = SPAWN_TOLD_NOTHING};
    if (!name || !*name)
        return;
    notify->fd = connect_to(name);
    if (notify->fd < 0)
        fcgi_log(FCGI_LOG_WARN, "notify", "socket=%s reason=%s", name, strerror(errno));
    unsetenv("NOTIFY_SOCKET");
}

static enum spawn_told state_of(const struct spawn *s)
{
    if (s->draining)
        return SPAWN_TOLD_STOPPING;
    if (s->board->state != FCGI_SERVICE_SERVING)
        return SPAWN_TOLD_NOTHING;
    return s->board->reloading ? SPAWN_TOLD_RELOADING : SPAWN_TOLD_READY;
}

static int write_state(const struct spawn *s, enum spawn_told state, char *text, size_t n)
{
    switch (state) {
    case SPAWN_TOLD_READY:
        return snprintf(text, n, "READY=1\nSTATUS=%d workers serve, generation %d\n", s->n_workers,
                        s->generation);
    case SPAWN_TOLD_RELOADING:
        return snprintf(text, n,
                        "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=starting generation %d\n",
                        (long long)(spawn_now_ns() / 1000), s->last_generation);
    default:
        return snprintf(text, n, "STOPPING=1\nSTATUS=draining\n");
    }
}

void spawn_notify_step(struct spawn *s)
{
    enum spawn_told state = state_of(s);
    char text[128];

    if (s->notify.fd < 0 || state == s->notify.told || state == SPAWN_TOLD_NOTHING)
        return;
    s->notify.told = state;
    int n = write_state(s, state, text, sizeof text);
    if (send(s->notify.fd, text, (size_t)n, MSG_NOSIGNAL) < 0)
        fcgi_log(FCGI_LOG_WARN, "notify", "reason=%s", strerror(errno));
}
