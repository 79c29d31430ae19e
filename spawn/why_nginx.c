/* why_nginx.c: what $upstream_addr, $upstream_status and their like say: one item for each server
 * that was tried, between ", ", and " : " where nginx went on to another group. */
#include <string.h>

#include "spawn/why.h"

/* The next item at *list, n bytes of it; NULL at the end. */
static const char *next_item(const char **list, size_t *n)
{
    const char *item = *list;

    while (*item == ' ' || *item == ',' || *item == ':')
        item++;
    *n = strcspn(item, " ");
    *list = item + *n;
    if (*n && item[*n - 1] == ',')
        --*n;
    return *n ? item : NULL;
}

static bool is(const char *item, size_t n, const char *word)
{
    return n == strlen(word) && !memcmp(item, word, n);
}

static bool ends_with(const char *item, size_t n, const char *end)
{
    size_t length = strlen(end);

    return n >= length && !memcmp(item + n - length, end, length);
}

struct spawn_why_upstreams spawn_why_nginx_upstreams(const struct spawn_logline *access)
{
    struct spawn_why_upstreams found = {0};
    const char *addresses = spawn_logline_get(access, "upstream");
    const char *codes = spawn_logline_get(access, "upstream_status");
    const char *connects = spawn_logline_get(access, "upstream_connect");
    const char *address, *code, *connect;
    size_t n_address, n_code, n_connect;

    while ((address = next_item(&addresses, &n_address)) && (code = next_item(&codes, &n_code)) &&
           (connect = next_item(&connects, &n_connect))) {
        bool refused = is(connect, n_connect, "-");
        found.shed = ends_with(address, n_address, "/shed.sock") && !refused;
        if (refused)
            found.refused++;
        else if (is(code, n_code, "502") || is(code, n_code, "-"))
            found.broken++;
    }
    return found;
}
