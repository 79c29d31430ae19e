/* npy.h: NumPy's .npy files, as much of them as resnet-classify needs: dense row-major arrays of
 * little-endian float32 or of bytes. Internal to fcgi/. */
#ifndef FCGI_NPY_H
#define FCGI_NPY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum fcgi_npy_type { FCGI_NPY_F4, FCGI_NPY_U1 };
enum { FCGI_NPY_MAX_DIMS = 8 };

struct fcgi_npy {
    enum fcgi_npy_type type;
    int ndim;
    int64_t shape[FCGI_NPY_MAX_DIMS];
    const uint8_t *data; /* into the bytes; aligned to nothing */
    size_t data_bytes;   /* product(shape) * element, and all there */
};

/* bytes: a whole file, which stays the caller's. Returns 0, or -1 with a sentence. */
int fcgi_npy_parse(const uint8_t *bytes, size_t n, struct fcgi_npy *npy, char text[256]);

/* Writes an array whose first dimension grows: row after row, its number put into the header at
 * the end. */
struct fcgi_npy_writer {
    FILE *file; /* NULL: not open */
    enum fcgi_npy_type type;
    int ndim;
    int64_t shape[FCGI_NPY_MAX_DIMS]; /* [0] counts the rows written */
    size_t row_bytes;
};

/* row_shape: [row_ndim]. Returns 0, or -1 with errno set. */
int fcgi_npy_create(struct fcgi_npy_writer *writer, const char *path, enum fcgi_npy_type type,
                    int row_ndim, const int64_t *row_shape);
int fcgi_npy_append(struct fcgi_npy_writer *writer, const void *row);

/* Finishes the header and closes. In any case the file is closed. -1 with errno set when any write
 * did not reach the file. */
int fcgi_npy_close(struct fcgi_npy_writer *writer);

#endif
