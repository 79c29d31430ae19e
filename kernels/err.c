/* err.c: a code and a sentence for everything that set-up can refuse. */
#include "kernels/err.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name, *sentence;
} errors[] = {
#define X(code, sentence) {#code, sentence},
    KN_ERRORS(X)
#undef X
};

const char *kn_strerror(enum kn_code code)
{
    return errors[code].sentence;
}

int kn_fail(struct kn_err *err, enum kn_code code, const char *format, ...)
{
    if (err == NULL)
        return (int)code;
    err->code = code;
    int used = snprintf(err->text, sizeof err->text, "%s: ", errors[code].name);
    va_list args;
    va_start(args, format);
    vsnprintf(err->text + used, sizeof err->text - (size_t)used, format, args);
    va_end(args);
    return (int)code;
}
