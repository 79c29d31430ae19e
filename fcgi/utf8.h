/* utf8.h: is this UTF-8? For whatever writes JSON. */
#ifndef FCGI_UTF8_H
#define FCGI_UTF8_H

#include <stddef.h>

/* Bytes of the valid sequence at s, n of them being there; 0 when it is none: no overlong forms, no
 * surrogates, nothing past U+10FFFF. */
size_t fcgi_utf8_length(const char *s, size_t n);

#endif
