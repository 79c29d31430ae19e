/* multipart.h: multipart/form-data (RFC 7578) over (bytes, length). Nothing is copied. */
#ifndef FCGI_MULTIPART_H
#define FCGI_MULTIPART_H

#include <stddef.h>
#include <stdint.h>

#include "fcgi/errors.h"

enum { FCGI_MULTIPART_MAX_PARTS = 64, FCGI_MULTIPART_MAX_BOUNDARY = 70 };

struct fcgi_multipart {
    const uint8_t *bytes;
    size_t n, at;                                    /* at: behind a boundary's "--boundary" */
    char delimiter[FCGI_MULTIPART_MAX_BOUNDARY + 5]; /* "\r\n--boundary" */
    size_t delimiter_n;
    int parts;
};

struct fcgi_part {
    char name[64]; /* cut, printable ASCII: fit for a sentence */
    const uint8_t *bytes;
    size_t n;
};

/* content_type: the whole header value. bytes stay the caller's. Errors: BAD_MULTIPART. */
int fcgi_multipart_open(struct fcgi_multipart *multipart, const char *content_type,
                        const uint8_t *bytes, size_t n, struct fcgi_err *err);

/* 1: part is the next one; 0: that was the closing boundary; -1: BAD_MULTIPART, with err. */
int fcgi_multipart_next(struct fcgi_multipart *multipart, struct fcgi_part *part,
                        struct fcgi_err *err);

#endif
