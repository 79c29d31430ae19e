/* log_out.c: see log_out.h. O_NONBLOCK belongs to the open file, which a shell or a neighbour may
 * share: it is never set on what we were given. */
#include "fcgi/log_out.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum how { PLAIN, ASK_FIRST, SEND };

static struct {
    enum how how;
    int is_torn; /* the last byte written was not a line's last */
} out;

/* Of a pipe that another user made, as a container's engine does, there is no second opening. */
static int open_again(void)
{
    int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return -1;
    int failed = dup2(fd, STDERR_FILENO) < 0;
    close(fd);
    return failed ? -1 : 0;
}

void fcgi_log_out_open(void)
{
    struct stat status;

    out.how = PLAIN;
    out.is_torn = 0;
    if (fstat(STDERR_FILENO, &status))
        return;
    if (S_ISSOCK(status.st_mode))
        out.how = SEND;
    else if (S_ISCHR(status.st_mode) || (S_ISFIFO(status.st_mode) && open_again()))
        out.how = ASK_FIRST;
}

static int has_room(int wait_ms)
{
    struct pollfd log = {.fd = STDERR_FILENO, .events = POLLOUT};

    return poll(&log, 1, wait_ms) != 0;
}

static ssize_t put(const char *bytes, size_t n)
{
    if (out.how == SEND)
        return send(STDERR_FILENO, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (out.how == ASK_FIRST && !has_room(0))
        return errno = EAGAIN, -1;
    return write(STDERR_FILENO, bytes, n);
}

/* Returns how much is left. */
static size_t put_all(const char *bytes, size_t n, int *wait_ms)
{
    while (n > 0) {
        ssize_t put_n = put(bytes, n);
        if (put_n > 0) {
            bytes += put_n;
            n -= (size_t)put_n;
        } else if (put_n == 0 || errno != EINTR) {
            if (put_n == 0 || errno != EAGAIN || *wait_ms <= 0 || !has_room(*wait_ms))
                break;
            *wait_ms = 0;
        }
    }
    return n;
}

size_t fcgi_log_out_write(const char *lines, size_t n, int wait_ms)
{
    if (out.is_torn && put_all("\n", 1, &wait_ms))
        return n;
    out.is_torn = 0;
    size_t left = put_all(lines, n, &wait_ms);
    out.is_torn = left < n && lines[n - left - 1] != '\n';
    return left;
}
