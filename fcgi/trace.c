/* trace.c: version-trace-parent-flags, as https://www.w3.org/TR/trace-context/ has it. */
#include "fcgi/trace.h"

#include <string.h>

static int is_hex(const char *text, size_t n)
{
    return strspn(text, "0123456789abcdef") >= n;
}

static int is_id(const char *text, size_t n)
{
    return is_hex(text, n) && strspn(text, "0") < n;
}

int fcgi_trace_is_parent(const char *text)
{
    enum { TRACE = 3, TRACE_DIGITS = 32, PARENT = 36, PARENT_DIGITS = 16, FLAGS = 53 };

    if (strnlen(text, FCGI_TRACE_BYTES) < FCGI_TRACE_BYTES)
        return 0;
    if (text[TRACE - 1] != '-' || text[PARENT - 1] != '-' || text[FLAGS - 1] != '-')
        return 0;
    if (!is_hex(text, 2) || !memcmp(text, "ff", 2) || !is_hex(text + FLAGS, 2))
        return 0;
    if (!is_id(text + TRACE, TRACE_DIGITS) || !is_id(text + PARENT, PARENT_DIGITS))
        return 0;
    char next = text[FCGI_TRACE_BYTES];
    return !next || (next == '-' && memcmp(text, "00", 2) != 0);
}
