/* printable.h: text of strangers on a terminal. */
#ifndef SPAWN_PRINTABLE_H
#define SPAWN_PRINTABLE_H

#include <stddef.h>
#include <stdio.h>

/* Writes text so that no terminal takes a part of it for a command, and nobody is misled: control
 * characters (C1 and line breaks too), what turns the writing direction, what has no width, and
 * bytes that are not UTF-8 come as \xNN. At most `most` bytes of it are looked at; "..." tells. */
void spawn_printable_print(const char *text, size_t most, FILE *out);

void spawn_printable_write(const char *text, size_t n, FILE *out); /* n bytes, all of them */

/* The same into out, cut at a whole character. Returns its length. */
size_t spawn_printable_copy(const char *text, size_t n, char *out, size_t size);

#endif
