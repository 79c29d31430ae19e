/* logread.c: reads in pieces, gives out lines. What gzip made is read through gzip: it is on every
 * Debian, and resnet-ctl goes on linking libc alone. */
#include "spawn/logread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
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

/* The read end of what a program prints that reads from fd. -1 with errno. */
static int start(int fd, const char *const *argv, pid_t *pid)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC))
        return -1;
    *pid = fork();
    if (*pid == 0) {
        dup2(fd, STDIN_FILENO);
        dup2(ends[1], STDOUT_FILENO);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
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

/* All lines from fd, which is closed. 0, or -1 with errno. */
static int read_lines(int fd, spawn_logread_fn *fn, void *ctx)
{
    struct spawn_logread *reader = calloc(1, sizeof *reader);
    int failed = -1;

    if (reader) {
        reader->fn = fn;
        reader->ctx = ctx;
        failed = read_all(fd, reader);
    }
    int error = errno;
    free(reader);
    close(fd);
    errno = error;
    return failed;
}

/* What a program prints that reads from fd. */
static int read_program(int fd, const char *const *argv, spawn_logread_fn *fn, void *ctx,
                        char text[256])
{
    pid_t pid = -1;
    int out = start(fd, argv, &pid);
    int failed = out < 0 || read_lines(out, fn, ctx);

    if (failed)
        snprintf(text, 256, "%s: %s", argv[0], strerror(errno));
    if (pid > 0 && has_failed(pid) && !failed) {
        snprintf(text, 256, "%s failed", argv[0]);
        failed = -1;
    }
    return failed ? -1 : 0;
}

int spawn_logread_program(const char *const *argv, spawn_logread_fn *fn, void *ctx, char text[256])
{
    return read_program(STDIN_FILENO, argv, fn, ctx, text);
}

int spawn_logread_file(const char *path, spawn_logread_fn *fn, void *ctx, char text[256])
{
    static const char *const gzip[] = {"gzip", "-dc", NULL};
    char why[256];
    int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);

    if (fd >= 0 && is_gzip(fd)) {
        int failed = read_program(fd, gzip, fn, ctx, why);
        close(fd);
        if (failed)
            snprintf(text, 256, "%.120s: %.120s", path, why);
        return failed;
    }
    if (fd >= 0 && !read_lines(fd, fn, ctx))
        return 0;
    snprintf(text, 256, "%.180s: %s", path, strerror(errno));
    return -1;
}
