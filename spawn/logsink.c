/* logsink.c: the one log file. Whatever we start writes into one pipe; we alone own the file and
 * reopen it on USR1, so that no worker ever opens anything. With RESNET_LOG=stderr there is no
 * pipe: everybody writes there. What finds no room is left out and counted (fcgi/log.h).
 *
 * A line is at most PIPE_BUF bytes (fcgi/log.c), so lines do not mix in the pipe. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/log.h"
#include "fcgi/log_out.h"
#include "spawn/spawn.h"

enum { PIPE_BYTES = 1 << 20, HELD_BYTES = 16 * PIPE_BUF };
enum { MOST_READS = 4 * PIPE_BYTES / HELD_BYTES }; /* at once; nobody is left to write at the end */

static int open_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);

    if (fd < 0)
        return -1;
    int failed = dup2(fd, STDERR_FILENO) < 0;
    close(fd);
    fcgi_log_out_open();
    return failed ? -1 : 0;
}

int spawn_logsink_open(struct spawn_log *log, const char *path, char text[SPAWN_TEXT_BYTES])
{
    int ends[2];

    *log = (struct spawn_log){.read_fd = -1, .write_fd = -1};
    log->is_file = strcmp(path, "stderr") != 0;
    if (!log->is_file)
        return 0;
    snprintf(log->path, sizeof log->path, "%s", path);
    log->held = malloc(HELD_BYTES);
    if (!log->held || pipe2(ends, O_CLOEXEC) || open_file(path))
        return spawn_refusal(text, "open the log", path, "RESNET_LOG");
    log->read_fd = ends[0];
    log->write_fd = ends[1]; /* its writers open it again, without blocking (fcgi/log_out.h) */
    fcntl(log->read_fd, F_SETFL, O_NONBLOCK);
    fcntl(log->read_fd, F_SETPIPE_SZ, PIPE_BYTES); /* where not allowed, the default will do */
    return 0;
}

void spawn_logsink_reopen(struct spawn_log *log)
{
    if (!log->is_file)
        return;
    if (open_file(log->path))
        fcgi_log(FCGI_LOG_ERROR, "log_reopen", "path=%s reason=%s", log->path, strerror(errno));
    else
        fcgi_log(FCGI_LOG_INFO, "log_reopen", "path=%s", log->path);
}

static void write_lines(struct spawn_log *log)
{
    const char *newline = memrchr(log->held, '\n', log->held_bytes);
    size_t n = newline ? (size_t)(newline + 1 - log->held) : 0;

    if (log->held_bytes == HELD_BYTES && !n)
        n = HELD_BYTES; /* not a line of ours */
    fcgi_log_lines(log->held, n);
    log->held_bytes -= n;
    memmove(log->held, log->held + n, log->held_bytes);
}

/* Who writes faster than we read must not keep us from everything else. */
void spawn_logsink_pump(struct spawn_log *log)
{
    for (int i = 0; i < MOST_READS; i++) {
        ssize_t n = read(log->read_fd, log->held + log->held_bytes, HELD_BYTES - log->held_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        log->held_bytes += (size_t)n;
        write_lines(log);
    }
}
