/* err.c: codes and sentences of weights/. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "weights/weights.h"

struct row {
    const char *name, *sentence;
};

static const struct row rows[] = {
#define X(code, sentence) {#code, sentence},
    WT_ERRORS(X)
#undef X
};

static const struct row *row_of(enum wt_code code)
{
    static const struct row unknown = {"WT_UNKNOWN", "unknown error"};

    return (size_t)code < sizeof rows / sizeof rows[0] ? &rows[code] : &unknown;
}

const char *wt_strerror(enum wt_code code)
{
    return row_of(code)->sentence;
}

int wt_fail(struct wt_err *err, enum wt_code code, const char *format, ...)
{
    va_list args;
    size_t used;

    if (!err)
        return code;
    err->code = code;
    used = (size_t)snprintf(err->text, sizeof err->text, "%s: ", row_of(code)->name);
    va_start(args, format);
    vsnprintf(err->text + used, sizeof err->text - used, format, args);
    va_end(args);
    return code;
}

const char *wt_err_sentence(const struct wt_err *err)
{
    size_t used = strlen(row_of(err->code)->name);

    return strncmp(err->text + used, ": ", 2) == 0 ? err->text + used + 2 : err->text;
}

const char *wt_err_kernels(const struct kn_err *err)
{
    const char *colon = strstr(err->text, ": ");

    return colon ? colon + 2 : err->text;
}
