/* file.h: a whole file, mapped read-only, and hashes of bytes. Internal to weights/. */
#ifndef WEIGHTS_FILE_H
#define WEIGHTS_FILE_H

#include "weights/weights.h"

struct wt_file {
    const uint8_t *bytes; /* NULL when empty */
    size_t n_bytes;
};

/* Maps a regular file, private. Errors: WT_EIO. A file that another process shortens while it is
 * mapped ends the program with SIGBUS, as with every mapped file. */
int wt_file_open(struct wt_file *file, const char *path, struct wt_err *err);
void wt_file_close(struct wt_file *file);

/* Lower-case SHA-256 of n bytes, with its NUL. */
void wt_file_sha256(const uint8_t *bytes, size_t n, char hex[65]);

#endif
