/* rundir.c: the run directory. That there is one supervisor is decided by flock() on `lock`: the
 * kernel releases it with its holder, however that ended, whereas a worker may outlive us and still
 * answer on the old socket. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spawn/spawn.h"

int spawn_rundir_path(const char *dir, const char *name, char path[SPAWN_PATH_BYTES])
{
    int n = snprintf(path, SPAWN_PATH_BYTES, "%s/%s", dir, name);

    return n < 0 || n >= SPAWN_PATH_BYTES ? -1 : 0;
}

static pid_t read_pid(int fd)
{
    char text[32];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    return (pid_t)strtol(text, NULL, 10);
}

static int write_pid(int fd)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());

    return ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n ? -1 : 0;
}

/* Complete or absent, like the sockets. */
static int write_pid_file(const char *dir)
{
    char path[SPAWN_PATH_BYTES], temporary[SPAWN_PATH_BYTES];

    if (spawn_rundir_path(dir, "pid", path) || spawn_rundir_path(dir, ".pid.new", temporary))
        return -1;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    int failed = write_pid(fd) || rename(temporary, path);
    int error = errno;
    close(fd);
    if (failed)
        unlink(temporary);
    errno = error;
    return failed ? -1 : 0;
}

static int refuse(char text[SPAWN_TEXT_BYTES], const char *what, const char *path)
{
    return spawn_refusal(text, what, path, "RESNET_RUN_DIR");
}

int spawn_rundir_lock(const char *dir, int *lock_fd, char text[SPAWN_TEXT_BYTES])
{
    char path[SPAWN_PATH_BYTES];

    if (mkdir(dir, 0755) && errno != EEXIST)
        return refuse(text, "make the run directory", dir);
    if (spawn_rundir_path(dir, "lock", path))
        return errno = ENAMETOOLONG, refuse(text, "lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return refuse(text, "open the lock", path);
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        pid_t holder = read_pid(fd);
        int busy = errno == EWOULDBLOCK;
        int code = busy ? FCGI_EXIT_TRY_LATER : refuse(text, "lock", path);
        if (busy)
            snprintf(text, SPAWN_TEXT_BYTES,
                     "another resnet-spawn, pid %d, holds %.256s: stop it, or give this one "
                     "another RESNET_RUN_DIR",
                     (int)holder, path);
        close(fd);
        return code;
    }
    if (write_pid(fd) || write_pid_file(dir)) {
        int code = refuse(text, "write the pid into", dir);
        close(fd);
        return code;
    }
    *lock_fd = fd;
    return 0;
}

/* The lock file stays: whoever removed it could lock a file that nobody else sees. */
void spawn_rundir_release(const char *dir)
{
    char path[SPAWN_PATH_BYTES];

    if (!spawn_rundir_path(dir, "pid", path))
        unlink(path);
}

pid_t spawn_rundir_holder(const char *dir)
{
    char path[SPAWN_PATH_BYTES];
    pid_t pid = 0;

    if (spawn_rundir_path(dir, "lock", path))
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK)
        pid = read_pid(fd);
    close(fd);
    return pid;
}
