/* usage.c: looking up how a path is used. */
#include "fcgi/usage.h"

#include <stddef.h>
#include <string.h>

static const struct fcgi_usage usages[] = {
#define X(handler, path, methods, example) {path, methods, example},
    FCGI_USAGES(X)
#undef X
};

const struct fcgi_usage *fcgi_usage_find(const char *path)
{
    for (size_t i = 0; i < sizeof usages / sizeof usages[0]; i++)
        if (!strcmp(usages[i].path, path))
            return &usages[i];
    return NULL;
}

int fcgi_usage_allows(const struct fcgi_usage *usage, const char *method)
{
    const char *at = usage->methods;
    size_t n = strlen(method);

    for (; *at; at += strspn(at, ", ")) {
        size_t listed = strcspn(at, ", ");
        if (listed == n && !memcmp(at, method, n))
            return 1;
        at += listed;
    }
    return 0;
}
