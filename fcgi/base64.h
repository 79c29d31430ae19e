/* base64.h: RFC 4648, section 4, strictly: that alphabet, whole groups of four, padding where it
 * belongs, and no bits left over. No line breaks (MIME), no URL-safe alphabet. */
#ifndef FCGI_BASE64_H
#define FCGI_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "fcgi/errors.h"

/* out: room for n / 4 * 3 bytes; may begin where text begins, to decode in place. Nothing of it is
 * meaningful after an error. Errors: BAD_BASE64, naming the character. */
int fcgi_base64_decode(const char *text, size_t n, uint8_t *out, size_t *n_out,
                       struct fcgi_err *err);

#endif
