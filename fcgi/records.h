/* records.h: FastCGI records as bytes: a check of what begins a request, and writing an answer.
 * Reading parameters and STDIN is libfcgi's; it is shown nothing that this check refuses.
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

/* Adds text as STDOUT records of request `id`, the empty one, and END_REQUEST. */
void fcgi_records_answer(struct fcgi_buffer *wire, int id, const struct fcgi_buffer *head,
                         const struct fcgi_buffer *body);

#endif
