/* doctor_clients.c: a limit per client counts addresses. Behind a proxy there is one of them. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spawn/doctor.h"
#include "spawn/json.h"

enum { TAIL_BYTES = 256 << 10, FEW_REQUESTS = 20 };

struct clients {
    char first[64];
    int requests;
    bool differ;
};

/* Our log has an object a line; the usual formats begin with the address. */
static void read_client(const char *line, size_t n, char client[64])
{
    struct spawn_json json = {0};

    client[0] = '\0';
    if (n && line[0] == '{') {
        if (!spawn_json_parse(&json, line, n))
            spawn_json_text(&json, spawn_json_find(&json, SPAWN_JSON_ROOT, "client"), client, 64);
        spawn_json_free(&json);
    } else {
        snprintf(client, 64, "%.*s", (int)strcspn(line, " \n"), line);
    }
}

static void count_clients(const char *text, struct clients *clients)
{
    char client[64];

    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        if (memmem(line, n, "\"POST ", 6)) {
            read_client(line, n, client);
            if (!clients->requests++)
                memcpy(clients->first, client, sizeof client);
            clients->differ |= strcmp(clients->first, client) != 0;
        }
        line += n + (line[n] == '\n');
    }
}

/* The last requests of a log, the first line of them being cut in two. */
static void read_log(const char *path, struct clients *clients)
{
    char *text = malloc(TAIL_BYTES + 1), *begin = text;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;

    *clients = (struct clients){0};
    if (text && fd >= 0 && !fstat(fd, &status) && S_ISREG(status.st_mode)) {
        off_t from = status.st_size > TAIL_BYTES ? status.st_size - TAIL_BYTES : 0;
        ssize_t n = pread(fd, text, TAIL_BYTES, from);
        text[n > 0 ? n : 0] = '\0';
        if (from)
            begin += strcspn(begin, "\n");
        count_clients(begin, clients);
    }
    if (fd >= 0)
        close(fd);
    free(text);
}

void spawn_doctor_clients(struct spawn_doctor *doctor)
{
    static const char remedy[] =
        "set_real_ip_from ADDRESS-OF-THE-PROXY; real_ip_header X-Forwarded-For; in http { }, or "
        "RESNET_RATE_LIMIT=0 and limit at the proxy";
    const struct spawn_nginx_conf *nginx = &doctor->nginx;
    int limited = -1;
    struct clients clients;

    for (int i = -1; limited < 0 && (i = spawn_doctor_route_next(doctor, i)) >= 0;)
        if (spawn_nginx_conf_effective(nginx, nginx->directives[i].parent, "limit_req") >= 0)
            limited = nginx->directives[i].parent;
    if (limited < 0) {
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "rate-limit", NULL, "none");
        return;
    }
    int log = spawn_nginx_conf_effective(nginx, limited, "access_log");
    read_log(spawn_nginx_conf_word(nginx, log, 1), &clients);
    if (spawn_nginx_conf_effective(nginx, limited, "set_real_ip_from") >= 0)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "rate-limit", NULL,
                         "by the address that a known proxy tells");
    else if (clients.requests >= FEW_REQUESTS && !clients.differ)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "rate-limit", remedy,
                         "the last %d requests all came from %s: if that is a proxy, all clients "
                         "share one limit",
                         clients.requests, clients.first);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "rate-limit", NULL,
                         "by the client's address; %d requests looked at", clients.requests);
}
