/* json.c: strings and numbers as RFC 8259 wants them. */
#include "fcgi/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/utf8.h"

/* Bytes at s that go through as they are. */
static size_t plain_length(const char *s, size_t n)
{
    size_t at = 0, step;

    while (at < n && (unsigned char)s[at] >= 0x20 && s[at] != '"' && s[at] != '\\' &&
           (step = fcgi_utf8_length(s + at, n - at)) > 0)
        at += step;
    return at;
}

void fcgi_json_string(struct fcgi_buffer *buffer, const char *text)
{
    size_t left = strlen(text);

    fcgi_buffer_text(buffer, "\"");
    while (left) {
        size_t n = plain_length(text, left);
        fcgi_buffer_add(buffer, text, n);
        text += n;
        left -= n;
        if (!left)
            break;
        if (*text == '"' || *text == '\\')
            fcgi_buffer_format(buffer, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            fcgi_buffer_format(buffer, "\\u%04x", *text);
        else
            fcgi_buffer_text(buffer, "\xef\xbf\xbd");
        text++;
        left--;
    }
    fcgi_buffer_text(buffer, "\"");
}

void fcgi_json_float(struct fcgi_buffer *buffer, float value)
{
    enum { LEAST_DIGITS = 6, ENOUGH_DIGITS = 9 };
    char text[32];

    if (!isfinite(value)) {
        fcgi_buffer_text(buffer, "null");
        return;
    }
    for (int digits = LEAST_DIGITS; digits <= ENOUGH_DIGITS; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    fcgi_buffer_text(buffer, text);
}
