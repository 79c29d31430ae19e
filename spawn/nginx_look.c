/* nginx_look.c: what a configuration says, and what its numbers mean. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spawn/nginx_conf.h"

static bool is_called(const struct spawn_nginx_conf *conf, int i, const char *name)
{
    return !name || !strcmp(conf->directives[i].words[0], name);
}

int spawn_nginx_conf_next(const struct spawn_nginx_conf *conf, int parent, const char *name,
                          int after)
{
    for (int i = after + 1; i < conf->n; i++)
        if (conf->directives[i].parent == parent && is_called(conf, i, name))
            return i;
    return -1;
}

static bool is_within(const struct spawn_nginx_conf *conf, int i, int block)
{
    while (i != SPAWN_NGINX_TOP && i != block)
        i = conf->directives[i].parent;
    return i == block;
}

int spawn_nginx_conf_find(const struct spawn_nginx_conf *conf, int within, const char *name,
                          int after)
{
    for (int i = after + 1; i < conf->n; i++)
        if (i != within && is_called(conf, i, name) && is_within(conf, i, within))
            return i;
    return -1;
}

int spawn_nginx_conf_effective(const struct spawn_nginx_conf *conf, int block, const char *name)
{
    for (;; block = conf->directives[block].parent) {
        int last = -1;
        for (int i = -1; (i = spawn_nginx_conf_next(conf, block, name, i)) >= 0;)
            last = i;
        if (last >= 0 || block == SPAWN_NGINX_TOP)
            return last;
    }
}

const char *spawn_nginx_conf_word(const struct spawn_nginx_conf *conf, int directive, int i)
{
    if (directive < 0 || i >= conf->directives[directive].n_words)
        return "";
    return conf->directives[directive].words[i];
}

bool spawn_nginx_conf_has(const struct spawn_nginx_conf *conf, int directive, const char *word)
{
    for (int i = 1; directive >= 0 && i < conf->directives[directive].n_words; i++)
        if (!strcmp(conf->directives[directive].words[i], word))
            return true;
    return false;
}

/* ---- numbers -------------------------------------------------------------------------------- */

struct unit {
    const char *name;
    int64_t value;
};

/* Digits and a unit, again and again; where the unit is missing the last one of the table counts.
 */
static int64_t sum_of_units(const char *text, const struct unit *units, int n_units)
{
    int64_t sum = 0;

    if (!*text)
        return -1;
    while (*text) {
        char *end;
        errno = 0;
        long long number = strtoll(text, &end, 10);
        size_t letters = strcspn(end, "0123456789 ");
        int i = 0;
        while (i < n_units &&
               (strlen(units[i].name) != letters || strncmp(units[i].name, end, letters) != 0))
            i++;
        int64_t part;
        if (end == text || *text == '-' || *text == '+' || errno || i == n_units ||
            __builtin_mul_overflow((int64_t)number, units[i].value, &part) ||
            __builtin_add_overflow(sum, part, &sum))
            return -1;
        text = end + letters + strspn(end + letters, " ");
    }
    return sum;
}

int64_t spawn_nginx_conf_time_ms(const char *text)
{
    static const struct unit units[] = {{"ms", 1},         {"s", 1000},        {"m", 60000},
                                        {"h", 3600000},    {"d", 86400000},    {"w", 604800000},
                                        {"M", 2592000000}, {"y", 31536000000}, {"", 1000}};

    return sum_of_units(text, units, sizeof units / sizeof *units);
}

int64_t spawn_nginx_conf_size_bytes(const char *text)
{
    static const struct unit units[] = {{"k", 1 << 10}, {"K", 1 << 10}, {"m", 1 << 20},
                                        {"M", 1 << 20}, {"g", 1 << 30}, {"G", 1 << 30},
                                        {"", 1}};

    return sum_of_units(text, units, sizeof units / sizeof *units);
}
