/* json_text.h: what stands inside JSON's strings and numbers. Internal to json.c. */
#ifndef WEIGHTS_JSON_TEXT_H
#define WEIGHTS_JSON_TEXT_H

#include <stddef.h>

/* Decodes the one character that s [n], n > 0, begins with, into UTF-8 out [*n_out]. Returns the
 * bytes of s used; 0 for bad UTF-8, a bad escape, half a surrogate pair, a bare control character.
 */
size_t wt_json_text_character(const char *s, size_t n, char out[4], size_t *n_out);

/* Bytes at s [n] that stand for themselves in a string: printable ASCII, no backslash. Not all of
 * them: what this stops at, wt_json_text_character() decides. */
size_t wt_json_text_plain(const char *s, size_t n);

/* s: what follows a string's opening quote. Returns the bytes up to the closing one, n if there is
 * none. */
size_t wt_json_text_string(const char *s, size_t n);

/* Bytes of the number that s [n] begins with, 0 for none. */
size_t wt_json_text_number(const char *s, size_t n);
int wt_json_text_is_number(const char *s, size_t n);

/* s [n], n > 0, begins with '['. The bytes of an array of numbers, one at least, and nothing else;
 * *count: how many. 0 when it is anything else, even though it begins like one. */
size_t wt_json_text_numbers(const char *s, size_t n, int *count);

#endif
