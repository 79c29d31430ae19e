/* buffer.h: bytes that grow, and keep their memory from one request to the next. */
#ifndef FCGI_BUFFER_H
#define FCGI_BUFFER_H

#include <stddef.h>

/* All zero is an empty buffer. After an allocation failed, `failed` stays 1 and nothing is added
 * any more, so that only the end has to look. */
struct fcgi_buffer {
    char *bytes;
    size_t n, size;
    int failed;
};

void fcgi_buffer_reset(struct fcgi_buffer *buffer); /* empty again, memory kept */
void fcgi_buffer_free(struct fcgi_buffer *buffer);

/* Room for n more bytes: 1, or 0 and `failed` when there is none to be had. */
int fcgi_buffer_reserve(struct fcgi_buffer *buffer, size_t n);
void fcgi_buffer_add(struct fcgi_buffer *buffer, const void *bytes, size_t n);
void fcgi_buffer_text(struct fcgi_buffer *buffer, const char *text);
void fcgi_buffer_format(struct fcgi_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
