/* sockets.c: the three listening sockets, ours for our whole life.
 *
 * A worker's end then loses no queued request. Each socket listens under a temporary name before it
 * is renamed to its own: nobody ever finds a name that refuses. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "spawn/spawn.h"

enum { FIRST_ACTIVATED_FD = 3, CONTROL_BACKLOG = 2048 };

static bool is_listening(int fd)
{
    int listening = 0;
    socklen_t n = sizeof listening;

    return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) && listening;
}

static int activated_fds(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");

    if (!pid || !fds || strtol(pid, NULL, 10) != getpid())
        return 0;
    return (int)strtol(fds, NULL, 10);
}

/* Who sent it is not known on TCP, and libfcgi trusts its peer's lengths: unix sockets only. */
static int check_family(int fd, char text[SPAWN_TEXT_BYTES])
{
    struct sockaddr_storage address;
    socklen_t n = sizeof address;

    if (!getsockname(fd, (struct sockaddr *)&address, &n) && address.ss_family == AF_UNIX)
        return 0;
    snprintf(text, SPAWN_TEXT_BYTES,
             "descriptor %d listens on TCP: anybody who reaches the port could crash a worker; "
             "hand over a unix socket (spawn-fcgi -s PATH)",
             fd);
    return FCGI_EXIT_CONFIG;
}

int spawn_sockets_adopt(struct spawn_sockets *sockets, char text[SPAWN_TEXT_BYTES])
{
    int activated = activated_fds();
    int fd = activated ? FIRST_ACTIVATED_FD : STDIN_FILENO;

    *sockets = (struct spawn_sockets){.work_fd = -1, .shed_fd = -1, .ctl_fd = -1};
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (activated > 1) {
        snprintf(text, SPAWN_TEXT_BYTES,
                 "LISTEN_FDS=%d: expected one socket, the one that nginx sends requests to",
                 activated);
        return FCGI_EXIT_CONFIG;
    }
    if (activated && !is_listening(fd)) {
        snprintf(text, SPAWN_TEXT_BYTES, "LISTEN_FDS=1, but descriptor 3 does not listen");
        return FCGI_EXIT_CONFIG;
    }
    if (!is_listening(fd))
        return 0;
    int code = check_family(fd, text);
    if (code)
        return code;
    sockets->work_fd = fd;
    sockets->origin = activated ? SPAWN_ACTIVATED : SPAWN_INHERITED;
    return 0;
}

/* Every worker polls before it accepts, and only one of them gets the connection. */
static int set_flags(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC)
               ? -1
               : 0;
}

static int fill_address(struct sockaddr_un *address, const char *path)
{
    size_t n = strlen(path);

    if (n >= sizeof address->sun_path)
        return errno = ENAMETOOLONG, -1;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, path, n + 1);
    return 0;
}

static int bind_private(int fd, const struct sockaddr_un *address)
{
    mode_t before = umask(0117); /* 0660 from the start */
    int failed = bind(fd, (const struct sockaddr *)address, sizeof *address);
    int error = errno;

    umask(before);
    errno = error;
    return failed;
}

static int listen_at(const char *dir, const char *name, int backlog)
{
    char path[SPAWN_PATH_BYTES], temporary[SPAWN_PATH_BYTES], hidden[32];
    struct sockaddr_un address;

    snprintf(hidden, sizeof hidden, ".%s.new", name);
    if (spawn_rundir_path(dir, name, path) || spawn_rundir_path(dir, hidden, temporary) ||
        fill_address(&address, temporary))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    unlink(temporary);
    if (bind_private(fd, &address) || listen(fd, backlog) || rename(temporary, path)) {
        int error = errno;
        close(fd);
        unlink(temporary);
        errno = error;
        return -1;
    }
    return fd;
}

static int open_one(int *fd, const char *dir, const char *name, int backlog,
                    char text[SPAWN_TEXT_BYTES])
{
    char what[32];

    *fd = listen_at(dir, name, backlog);
    if (*fd >= 0)
        return 0;
    snprintf(what, sizeof what, "listen at %s in", name);
    if (errno != ENAMETOOLONG)
        return spawn_refusal(text, what, dir, "RESNET_RUN_DIR");
    snprintf(text, SPAWN_TEXT_BYTES,
             "cannot %s %.256s: %s (a socket's path has 107 bytes at most); choose a shorter "
             "RESNET_RUN_DIR",
             what, dir, strerror(errno));
    return FCGI_EXIT_CONFIG;
}

int spawn_sockets_open(struct spawn_sockets *sockets, const char *dir, int backlog,
                       char text[SPAWN_TEXT_BYTES])
{
    int code = 0;

    if (sockets->work_fd < 0) {
        code = open_one(&sockets->work_fd, dir, "work.sock", backlog, text);
    } else if (set_flags(sockets->work_fd)) {
        snprintf(text, SPAWN_TEXT_BYTES, "descriptor %d: %s", sockets->work_fd, strerror(errno));
        code = FCGI_EXIT_CONFIG;
    }
    if (!code)
        code = open_one(&sockets->shed_fd, dir, "shed.sock", CONTROL_BACKLOG, text);
    if (!code)
        code = open_one(&sockets->ctl_fd, dir, "ctl.sock", CONTROL_BACKLOG, text);
    return code;
}

uint64_t spawn_sockets_inode(int fd)
{
    struct stat status;

    return fstat(fd, &status) ? 0 : status.st_ino;
}

void spawn_sockets_unlink(const struct spawn_sockets *sockets, const char *dir)
{
    static const char *const names[] = {"shed.sock", "ctl.sock", "work.sock"};
    const int fds[] = {sockets->shed_fd, sockets->ctl_fd, sockets->work_fd};
    char path[SPAWN_PATH_BYTES];
    int n = sockets->origin == SPAWN_OWN ? 3 : 2;

    for (int i = 0; i < n; i++)
        if (fds[i] >= 0 && !spawn_rundir_path(dir, names[i], path))
            unlink(path);
}
