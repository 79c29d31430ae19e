/* logread.h: files as lines, whatever is in them. */
#ifndef SPAWN_LOGREAD_H
#define SPAWN_LOGREAD_H

#include <stddef.h>

enum { SPAWN_LOGREAD_LINE_BYTES = 65536 }; /* longer lines are passed over */

/* text: n bytes, without a newline; it is gone when this returns. */
typedef void spawn_logread_fn(void *ctx, const char *text, size_t n);

struct spawn_logread {
    spawn_logread_fn *fn;
    void *ctx;
    size_t n;    /* held: the beginning of a line */
    int passing; /* over a line that is too long */
    char held[SPAWN_LOGREAD_LINE_BYTES];
};

/* Any cut of a file; fn, ctx to be set, the rest {0}. The end tells of a last line without one. */
void spawn_logread_feed(struct spawn_logread *reader, const char *bytes, size_t n);
void spawn_logread_end(struct spawn_logread *reader);

/* A file, one that gzip made, or "-": standard input. 0, or -1 with a sentence. */
int spawn_logread_file(const char *path, spawn_logread_fn *fn, void *ctx, char text[256]);

/* What a program prints. 0, or -1 with a sentence: it is not there, or has failed. */
int spawn_logread_program(const char *const *argv, spawn_logread_fn *fn, void *ctx, char text[256]);

#endif
