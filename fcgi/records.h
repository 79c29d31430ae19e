/* records.h: FastCGI records as bytes: a check of what begins a request, its body, and writing an
 * answer. Reading the parameters is libfcgi's; it is shown nothing that this check refuses.
 */
#ifndef FCGI_RECORDS_H
#define FCGI_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#include "fcgi/buffer.h"

enum { FCGI_RECORDS_MAX_HEAD = 128 << 10 }; /* bytes of BEGIN_REQUEST and parameters */

enum fcgi_records_verdict {
    FCGI_RECORDS_WHOLE, /* BEGIN_REQUEST and all parameters are there */
    FCGI_RECORDS_MORE,  /* right so far */
    FCGI_RECORDS_WRONG, /* *why says what */
};

/* bytes: the first n bytes of a connection, at most FCGI_RECORDS_MAX_HEAD. Exactly one
 * BEGIN_REQUEST (a responder's), then PARAMS records of the same request to the empty one, whose
 * names and values fill them exactly. */
enum fcgi_records_verdict fcgi_records_head(const uint8_t *bytes, size_t n, const char **why);

/* How many of the n bytes are that, when they are WHOLE. */
size_t fcgi_records_head_bytes(const uint8_t *bytes, size_t n);

/* Takes the padding out of such a head, in place. Returns how many bytes are left. libfcgi loses
 * its place behind a BEGIN_REQUEST that has some, and leaves the rest for the next request. */
size_t fcgi_records_head_bare(uint8_t *bytes, size_t n);

/* STDIN of one request, as it comes. All zero but the request's id to begin with. */
struct fcgi_records_stdin {
    int id;
    uint8_t header[8];
    size_t header_n;
    size_t content, padding; /* of the record in hand: bytes still to come */
    int ended;               /* its empty record has come */
};

/* bytes: the next n of the connection, in any cut; what is content of them is moved together, to
 * their beginning. Returns 0, or -1 when there is anything but STDIN of this request: it was
 * aborted, or the peer is no web server. */
int fcgi_records_stdin(struct fcgi_records_stdin *in, uint8_t *bytes, size_t n, size_t *content);

/* Adds text as STDOUT records of request `id`, the empty one, and END_REQUEST. */
void fcgi_records_answer(struct fcgi_buffer *wire, int id, const struct fcgi_buffer *head,
                         const struct fcgi_buffer *body);

#endif
