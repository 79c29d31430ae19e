/* doctor_route.c: from a fastcgi_pass to work.sock. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "spawn/doctor.h"
#include "spawn/spawn.h"

/* /var/run is /run: two names of one socket. */
static bool is_same_file(const char *a, const char *b)
{
    struct stat status_a, status_b;

    return !strcmp(a, b) ||
           (!stat(a, &status_a) && !stat(b, &status_b) && status_a.st_ino == status_b.st_ino &&
            status_a.st_dev == status_b.st_dev);
}

/* A replica's run directory is a link to its slot, a number; nginx, which sees all slots, has them
 * below a directory of the same name as the link: /run/resnet-fcgi and /run/resnet-fcgi/3. */
static bool is_slot(const char *run_dir, const char *path, const char *socket)
{
    char slot[PATH_MAX], expected[SPAWN_PATH_BYTES];

    if (!realpath(run_dir, slot))
        return false;
    const char *name = strrchr(slot, '/') + 1;
    return *name && !name[strspn(name, "0123456789")] &&
           snprintf(expected, sizeof expected, "%s/%s/%s", run_dir, name, socket) <
               (int)sizeof expected &&
           !strcmp(path, expected);
}

bool spawn_doctor_route_is(const struct spawn_doctor *doctor, const char *address,
                           const char *socket)
{
    const char *run_dir = doctor->config.run_dir;
    char path[SPAWN_PATH_BYTES];

    return !strncmp(address, "unix:", 5) && !spawn_rundir_path(run_dir, socket, path) &&
           (is_same_file(address + 5, path) || is_slot(run_dir, address + 5, socket));
}

static bool lists_work(const struct spawn_doctor *doctor, int upstream)
{
    const struct spawn_nginx_conf *nginx = &doctor->nginx;

    for (int i = -1; (i = spawn_nginx_conf_next(nginx, upstream, "server", i)) >= 0;)
        if (spawn_doctor_route_is(doctor, spawn_nginx_conf_word(nginx, i, 1), "work.sock"))
            return true;
    return false;
}

int spawn_doctor_route_upstream(const struct spawn_doctor *doctor, int after)
{
    int i = after;

    while ((i = spawn_nginx_conf_find(&doctor->nginx, SPAWN_NGINX_TOP, "upstream", i)) >= 0)
        if (lists_work(doctor, i))
            return i;
    return -1;
}

static bool leads(const struct spawn_doctor *doctor, const char *to)
{
    if (spawn_doctor_route_is(doctor, to, "work.sock"))
        return true;
    for (int i = -1; (i = spawn_doctor_route_upstream(doctor, i)) >= 0;)
        if (!strcmp(spawn_nginx_conf_word(&doctor->nginx, i, 1), to))
            return true;
    return false;
}

/* map $x $variable { key value; } */
static bool a_map_leads(const struct spawn_doctor *doctor, const char *variable)
{
    const struct spawn_nginx_conf *nginx = &doctor->nginx;

    for (int map = -1; (map = spawn_nginx_conf_find(nginx, SPAWN_NGINX_TOP, "map", map)) >= 0;) {
        if (strcmp(spawn_nginx_conf_word(nginx, map, 2), variable) != 0)
            continue;
        for (int i = -1; (i = spawn_nginx_conf_next(nginx, map, NULL, i)) >= 0;)
            if (leads(doctor, spawn_nginx_conf_word(nginx, i, 1)))
                return true;
    }
    return false;
}

static bool a_set_leads(const struct spawn_doctor *doctor, const char *variable)
{
    const struct spawn_nginx_conf *nginx = &doctor->nginx;

    for (int i = -1; (i = spawn_nginx_conf_find(nginx, SPAWN_NGINX_TOP, "set", i)) >= 0;)
        if (!strcmp(spawn_nginx_conf_word(nginx, i, 1), variable) &&
            leads(doctor, spawn_nginx_conf_word(nginx, i, 2)))
            return true;
    return false;
}

int spawn_doctor_route_next(const struct spawn_doctor *doctor, int after)
{
    int i = after;

    while ((i = spawn_nginx_conf_find(&doctor->nginx, SPAWN_NGINX_TOP, "fastcgi_pass", i)) >= 0) {
        const char *to = spawn_nginx_conf_word(&doctor->nginx, i, 1);
        if (*to == '$' ? a_map_leads(doctor, to) || a_set_leads(doctor, to) : leads(doctor, to))
            return i;
    }
    return -1;
}

void spawn_doctor_route_describe(const struct spawn_doctor *doctor, int directive, char text[256])
{
    const struct spawn_nginx_conf *nginx = &doctor->nginx;
    int block = nginx->directives[directive].parent;
    size_t n = 0;

    for (int i = 0; block >= 0 && i < nginx->directives[block].n_words && n < 100; i++)
        n += (size_t)snprintf(text + n, 256 - n, "%.90s ", nginx->directives[block].words[i]);
    snprintf(text + n, 256 - n, "(%.100s:%d)", nginx->files[nginx->directives[directive].file],
             nginx->directives[directive].line);
}
