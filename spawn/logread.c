/* logread.c: reads in pieces, gives out lines. What gzip made is read through gzip: it is on every
 * Debian, and resnet-ctl goes on linking libc alone. */
#include "spawn/logread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIECE_BYTES = 65536 };

static void give(struct spawn_logread *reader, const char *text, size_t n)
{
    if (!reader->passing)
        reader->fn(reader->ctx, text, n);
    reader->passing = 0;
}

/* The rest of a piece, which has no newline. */
static void hold(struct spawn_logread *reader, const char *bytes, size_t n)
{
    if (n > sizeof reader->held - reader->n) {
        reader->passing = 1;
        reader->n = 0;
    }
    if (reader->passing)
        return;
    memcpy(reader->held + reader->n, bytes, n);
    reader->n += n;
}

void spawn_logread_feed(struct spawn_logread *reader, const char *bytes, size_t n)
{
    const char *end = bytes + n, *newline;

    while (bytes < end && (newline = memchr(bytes, '\n', (size_t)(end - bytes)))) {
        size_t length = (size_t)(newline - bytes);
        if (reader->n || reader->passing) {
            hold(reader, bytes, length);
            give(reader, reader->held, reader->n);
            reader->n = 0;
        } else if (length <= sizeof reader->held) {
            give(reader, bytes, length);
        }
        bytes = newline + 1;
    }
    if (bytes < end)
        hold(reader, bytes, (size_t)(end - bytes));
}

void spawn_logread_end(struct spawn_logread *reader)
{
    if (reader->n)
        give(reader, reader->held, reader->n);
    reader->n = 0;
    reader->passing = 0;
}

/* ---- files ---------------------------------------------------------------------------------- */

static int is_gzip(int fd)
{
    unsigned char magic[2];

    return pread(fd, magic, sizeof magic, 0) == sizeof magic && magic[0] == 0x1f &&
           magic[1] == 0x8b;
}

/* The read end of gzip's output; fd is closed. -1 with errno. */
static int start_gzip(int fd, pid_t *pid)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC)) {
        close(fd);
        return -1;
    }
    *pid = fork();
    if (*pid == 0) {
        dup2(fd, STDIN_FILENO);
        dup2(ends[1], STDOUT_FILENO);
        execlp("gzip", "gzip", "-dc", (char *)NULL);
        _exit(127);
    }
    close(fd);
    close(ends[1]);
    if (*pid > 0)
        return ends[0];
    close(ends[0]);
    return -1;
}

/* 0, or -1 with errno. */
static int read_all(int fd, struct spawn_logread *reader)
{
    static char piece[PIECE_BYTES];
    ssize_t n;

    while ((n = read(fd, piece, sizeof piece)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            spawn_logread_feed(reader, piece, (size_t)n);
    spawn_logread_end(reader);
    return n < 0 ? -1 : 0;
}

static int has_failed(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status != 0;
}

int spawn_logread_file(const char *path, spawn_logread_fn *fn, void *ctx, char text[256])
{
    struct spawn_logread *reader = calloc(1, sizeof *reader);
    pid_t gzip = 0;
    int failed = -1, fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;

    if (reader && fd > STDIN_FILENO && is_gzip(fd))
        fd = start_gzip(fd, &gzip);
    if (reader && fd >= 0) {
        reader->fn = fn;
        reader->ctx = ctx;
        failed = read_all(fd, reader);
    }
    if (failed)
        snprintf(text, 256, "%.180s: %s", path, strerror(errno));
    if (fd > STDIN_FILENO)
        close(fd);
    if (gzip > 0 && has_failed(gzip) && !failed) {
        snprintf(text, 256, "%.180s: gzip cannot read it to its end", path);
        failed = -1;
    }
    free(reader);
    return failed;
}
