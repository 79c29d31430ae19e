/* json.c: strings as RFC 8259 wants them. */
#include "fcgi/json.h"

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

void fcgi_json_text(struct fcgi_buffer *buffer, const char *text)
{
    size_t left = strlen(text);

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
}

void fcgi_json_string(struct fcgi_buffer *buffer, const char *text)
{
    fcgi_buffer_text(buffer, "\"");
    fcgi_json_text(buffer, text);
    fcgi_buffer_text(buffer, "\"");
}
