/* nginx_dump.c: "# configuration file /etc/nginx/nginx.conf:" stands before each file that nginx -T
 * prints. What nginx said on its standard error may stand before the first. */
#include <string.h>

#include "spawn/nginx_conf.h"

static const char mark[] = "# configuration file ";

/* The beginning of the next line that is such a title; end: none. */
static const char *find_title(const char *at, const char *end)
{
    const size_t n = sizeof mark - 1;

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline && (size_t)(newline - at) > n + 1 && !memcmp(at, mark, n) && newline[-1] == ':')
            return at;
        at = newline ? newline + 1 : end;
    }
    return end;
}

bool spawn_nginx_dump_next(const char **at, const char *end, struct spawn_nginx_file *file)
{
    const char *title = find_title(*at, end);

    *at = end;
    if (title == end)
        return false;
    const char *newline = memchr(title, '\n', (size_t)(end - title));
    file->path = title + sizeof mark - 1;
    file->path_n = (int)(newline - 1 - file->path);
    file->bytes = newline + 1;
    *at = find_title(file->bytes, end);
    file->n = (size_t)(*at - file->bytes);
    return true;
}
