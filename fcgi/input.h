/* input.h: a request's body, read to its end into memory that is kept. */
#ifndef FCGI_INPUT_H
#define FCGI_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "fcgi/errors.h"

struct fcgi_input {
    uint8_t *bytes; /* [max] reserved, not touched before it is needed */
    size_t max;     /* RESNET_MAX_BODY */
    size_t n;       /* of the present body */
    uint64_t total; /* bytes that came, kept or not */
};

int fcgi_input_open(struct fcgi_input *input, size_t max); /* 0, or -1 with errno */
void fcgi_input_close(struct fcgi_input *input);

/* Reads STDIN of request `id` to its end, whatever comes: an answer that leaves some unread is
 * lost, since the peer then sees its connection reset. Past max it is read and dropped, for 5 s at
 * the most. fd: the connection, behind the parameters, with a time-out on reading. declared:
 * CONTENT_LENGTH, -1 unknown. end_ns: CLOCK_MONOTONIC, when the request's time is up (5 s are
 * granted even if that was before). ticks: one more for each piece that came. Errors:
 * BODY_TOO_LARGE, BODY_TRUNCATED (fewer bytes than declared, or a broken connection), BAD_REQUEST
 * (more than declared), DEADLINE_EXCEEDED. */
int fcgi_input_read(struct fcgi_input *input, int fd, int id, int64_t declared, uint64_t end_ns,
                    _Atomic uint64_t *ticks, struct fcgi_err *err);

/* Gives the memory of a large body back. */
void fcgi_input_trim(struct fcgi_input *input);

#endif
