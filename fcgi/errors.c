/* errors.c: the error table as arrays. */
#include "fcgi/errors.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    int status;
    const char *code;
} table[FCGI_N_CODES] = {
#define X(name, status, code) [FCGI_E_##name] = {status, code},
    FCGI_ERRORS(X)
#undef X
};

int fcgi_error_status(enum fcgi_code code)
{
    return table[code].status;
}

const char *fcgi_error_code(enum fcgi_code code)
{
    return table[code].code;
}

int fcgi_fail(struct fcgi_err *err, enum fcgi_code code, const char *format, ...)
{
    va_list args;

    err->code = code;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return (int)code;
}
