/* weights-write.h: safetensors, pickles and zips written byte by byte, right and wrong, and opened
 * from memory. For the tests of weights/'s readers. */
#ifndef TESTS_UNIT_WEIGHTS_WRITE_H
#define TESTS_UNIT_WEIGHTS_WRITE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "weights/source.h"

/* ---- bytes ---------------------------------------------------------------------------------- */

struct t_bytes {
    uint8_t *p;
    size_t n;
};

static inline void t_put(struct t_bytes *b, const void *bytes, size_t n)
{
    b->p = realloc(b->p, b->n + n + 1);
    assert_non_null(b->p);
    memcpy(b->p + b->n, bytes, n);
    b->n += n;
}

static inline void t_text(struct t_bytes *b, const char *text)
{
    t_put(b, text, strlen(text));
}

/* Little-endian, of up to 8 bytes. */
static inline void t_number(struct t_bytes *b, uint64_t number, size_t n_bytes)
{
    t_put(b, &number, n_bytes);
}

static inline void t_bytes_free(struct t_bytes *b)
{
    free(b->p);
    *b = (struct t_bytes){NULL, 0};
}

/* ---- opening -------------------------------------------------------------------------------- */

/* Opens bytes as if they were a file. */
static inline int t_open(struct wt_source *source, const uint8_t *bytes, size_t n,
                         struct wt_err *err)
{
    char path[32];
    int fd = memfd_create("weights", MFD_CLOEXEC), code;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    *err = (struct wt_err){.text = ""};
    code = wt_source_open(source, path, err);
    source->path = "FILE"; /* it may be closed now, and the path is gone */
    close(fd);
    return code;
}

static inline void t_opens(struct wt_source *source, const struct t_bytes *b)
{
    struct wt_err err;

    if (t_open(source, b->p, b->n, &err) != WT_OK)
        fail_msg("%s", err.text);
}

/* Refused with that code and a sentence that has these words. Frees b. */
static inline void t_refused(struct t_bytes *b, enum wt_code code, const char *words)
{
    struct wt_source source;
    struct wt_err err;
    int found = t_open(&source, b->p, b->n, &err);

    if (found != (int)code || err.code != code || !strstr(err.text, words))
        fail_msg("expected code %d, \"%s\"; found %d, \"%s\"", code, words, found, err.text);
    if (found == WT_OK)
        wt_source_close(&source);
    t_bytes_free(b);
}

/* Every beginning of the file is refused, with a sentence. */
static inline void t_truncations_refused(const struct t_bytes *b)
{
    for (size_t n = 0; n < b->n; n++) {
        struct wt_source source;
        struct wt_err err;
        if (t_open(&source, b->p, n, &err) == WT_OK)
            fail_msg("cut to %zu of %zu bytes, and opened", n, b->n);
        assert_true(strlen(err.text) > 20);
    }
}

/* Whatever a flipped byte makes of the file, every element of what opens can be read. */
static inline void t_survives_flips(const struct t_bytes *b, uint32_t seed)
{
    uint8_t *copy = malloc(b->n);

    assert_non_null(copy);
    for (int round = 0; round < 4000; round++) {
        struct wt_source source;
        struct wt_err err;
        memcpy(copy, b->p, b->n);
        for (int i = 0; i < 1 + round % 3; i++) {
            seed = seed * 1664525 + 1013904223;
            size_t at = (seed >> 8) % b->n;
            copy[at] = (uint8_t)(round % 2 ? seed >> 24 : copy[at] ^ 1u << seed % 8);
        }
        if (t_open(&source, copy, b->n, &err) != WT_OK)
            continue;
        for (size_t i = 0; i < source.n_tensors; i++) {
            int64_t count = wt_tensor_count(&source.tensors[i]);
            float *floats = count < 1 << 20 ? malloc((size_t)count * sizeof *floats + 1) : NULL;
            if (floats)
                wt_tensor_floats(&source.tensors[i], floats, &err);
            free(floats);
        }
        wt_source_close(&source);
    }
    free(copy);
}

/* ---- safetensors ---------------------------------------------------------------------------- */

static inline void t_safetensors(struct t_bytes *b, const char *header, const void *data, size_t n)
{
    t_number(b, strlen(header), 8);
    t_text(b, header);
    t_put(b, data, n);
}

/* A file that grows tensor by tensor. */
struct t_file {
    struct t_bytes header, data;
};

static inline void t_tensor(struct t_file *f, const char *name, const char *dtype,
                            const char *shape, const void *data, size_t n)
{
    char row[512];

    snprintf(row, sizeof row, "%c\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
             f->header.n ? ',' : '{', name, dtype, shape, f->data.n, f->data.n + n);
    t_text(&f->header, row);
    t_put(&f->data, data, n);
}

/* Writes and frees it. */
static inline void t_finish(struct t_file *f, struct t_bytes *out)
{
    t_text(&f->header, "}");
    t_number(out, f->header.n, 8);
    t_put(out, f->header.p, f->header.n);
    t_put(out, f->data.p, f->data.n);
    t_bytes_free(&f->header);
    t_bytes_free(&f->data);
}

#endif
