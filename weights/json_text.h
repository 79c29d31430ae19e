/* json_text.h: what stands inside JSON's strings and numbers. Internal to json.c. */
#ifndef WEIGHTS_JSON_TEXT_H
#define WEIGHTS_JSON_TEXT_H

#include <stddef.h>

/* Decodes the one character that s [n], n > 0, begins with, into UTF-8 out [*n_out]. Returns the
 * bytes of s used; 0 for bad UTF-8, a bad escape, half a surrogate pair, a bare control character.
 */
size_t wt_json_text_character(const char *s, size_t n, char out[4], size_t *n_out);

int wt_json_text_is_number(const char *s, size_t n);

#endif
