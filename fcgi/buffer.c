/* buffer.c: doubles when full. */
#include "fcgi/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fcgi_buffer_reset(struct fcgi_buffer *buffer)
{
    buffer->n = 0;
    buffer->failed = 0;
}

void fcgi_buffer_free(struct fcgi_buffer *buffer)
{
    free(buffer->bytes);
    memset(buffer, 0, sizeof *buffer);
}

int fcgi_buffer_reserve(struct fcgi_buffer *buffer, size_t n)
{
    enum { FIRST_BYTES = 4096 };
    size_t wanted, size = buffer->size ? buffer->size : FIRST_BYTES;
    char *bytes;

    if (buffer->failed || __builtin_add_overflow(buffer->n, n, &wanted))
        goto failed;
    if (wanted <= buffer->size)
        return 1;
    while (size < wanted)
        if (__builtin_mul_overflow(size, 2, &size))
            goto failed;
    bytes = realloc(buffer->bytes, size);
    if (!bytes)
        goto failed;
    buffer->bytes = bytes;
    buffer->size = size;
    return 1;

failed:
    buffer->failed = 1;
    return 0;
}

void fcgi_buffer_add(struct fcgi_buffer *buffer, const void *bytes, size_t n)
{
    if (!n || !fcgi_buffer_reserve(buffer, n))
        return;
    memcpy(buffer->bytes + buffer->n, bytes, n);
    buffer->n += n;
}

void fcgi_buffer_text(struct fcgi_buffer *buffer, const char *text)
{
    fcgi_buffer_add(buffer, text, strlen(text));
}

void fcgi_buffer_format(struct fcgi_buffer *buffer, const char *format, ...)
{
    va_list args;
    char text[1024];

    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text)
        buffer->failed = 1;
    else
        fcgi_buffer_add(buffer, text, (size_t)n);
}
