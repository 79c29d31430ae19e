/* response.h: a whole answer, made in memory and handed over at once.
 *
 * libfcgi sends 8 KiB at a time; a worker that ended in between would leave the client a truncated
 * answer that looks complete. So the records are written here, with Content-Length, in one call.
 */
#ifndef FCGI_RESPONSE_H
#define FCGI_RESPONSE_H

#include <stdint.h>

#include "fcgi/buffer.h"
#include "fcgi/errors.h"

/* All zero to begin with; its memory is kept from one answer to the next. */
struct fcgi_response {
    enum fcgi_code code;
    struct fcgi_buffer head;  /* header lines besides Status, Content-Type, Content-Length */
    const char *content_type; /* of body; NULL: JSON */
    struct fcgi_buffer body;  /* put there by whoever answers */
    struct fcgi_buffer wire;  /* FastCGI records */
};

/* Memory for an error and its headers, so that nothing else is needed to say that there is none.
 * Returns 0, or -1 without. */
int fcgi_response_open(struct fcgi_response *response);
void fcgi_response_reset(struct fcgi_response *response);
void fcgi_response_free(struct fcgi_response *response);

/* One header line; the value has to be printable. */
void fcgi_response_header(struct fcgi_response *response, const char *name, const char *value);

/* Replaces the body by err's, and sets code; what is in head stays. */
void fcgi_response_error(struct fcgi_response *response, const struct fcgi_err *err,
                         const char *request_id);

/* Puts all together as records of FastCGI request `id`. Returns 0, or -1 without memory. */
int fcgi_response_seal(struct fcgi_response *response, int id);

/* Writes it, usually by one call. Waits for a slow peer until timeout_ms have passed.
 * Returns 0, or -1 with errno when the peer has gone or was too slow. */
int fcgi_response_send(const struct fcgi_response *response, int fd, int timeout_ms);

#endif
