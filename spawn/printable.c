/* printable.c: escapes what a terminal would act upon. */
#include "spawn/printable.h"

#include <string.h>

#include "fcgi/utf8.h"

static unsigned code_of(const unsigned char *s, size_t n)
{
    unsigned code = n == 1 ? s[0] : s[0] & (0x7fu >> n);

    for (size_t i = 1; i < n; i++)
        code = code << 6 | (s[i] & 0x3fu);
    return code;
}

/* Controls; marks and overrides of direction, joiners, separators of lines, byte-order marks, tags
 * and noncharacters. */
static int is_harmful(unsigned code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad || code == 0x61c ||
           (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||
           (code >= 0xfff0 && code <= 0xfffb) || (code & 0xfffe) == 0xfffe ||
           (code >= 0xe0000 && code <= 0xe0fff);
}

/* The character at s as it may be shown; *used: its bytes. */
static size_t escape(const char *s, size_t n, char out[20], size_t *used)
{
    size_t length = fcgi_utf8_length(s, n);

    *used = length ? length : 1;
    if (length && !is_harmful(code_of((const unsigned char *)s, length))) {
        memcpy(out, s, length);
        return length;
    }
    for (size_t i = 0; i < *used; i++)
        snprintf(out + 4 * i, 5, "\\x%02x", (unsigned char)s[i]);
    return 4 * *used;
}

size_t spawn_printable_copy(const char *text, size_t n, char *out, size_t size)
{
    size_t length = 0, used;
    char one[20];

    for (size_t at = 0; at < n; at += used) {
        size_t step = escape(text + at, n - at, one, &used);
        if (size == 0 || step > size - 1 - length)
            break;
        memcpy(out + length, one, step);
        length += step;
    }
    if (size)
        out[length] = '\0';
    return length;
}

void spawn_printable_write(const char *text, size_t n, FILE *out)
{
    size_t used;
    char one[20];

    for (size_t at = 0; at < n; at += used)
        fwrite(one, 1, escape(text + at, n - at, one, &used), out);
}

void spawn_printable_print(const char *text, size_t most, FILE *out)
{
    size_t n = strnlen(text, most);

    spawn_printable_write(text, n, out);
    if (text[n])
        fputs("...", out);
}
