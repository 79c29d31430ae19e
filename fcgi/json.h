/* json.h: writing JSON values into a buffer. Whoever calls puts the punctuation between them. */
#ifndef FCGI_JSON_H
#define FCGI_JSON_H

#include <stdint.h>

#include "fcgi/buffer.h"

/* With quotes; escapes what must be; a byte that is not part of valid UTF-8 becomes U+FFFD. */
void fcgi_json_string(struct fcgi_buffer *buffer, const char *text);
void fcgi_json_text(struct fcgi_buffer *buffer, const char *text); /* the same without quotes */

/* json_float.c: the fewest digits that, rounded correctly, read back as this very float; null for
 * NaN and infinities. */
void fcgi_json_float(struct fcgi_buffer *buffer, float value);

#endif
