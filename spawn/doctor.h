/* doctor.h: resnet-ctl doctor. Each check looks at one thing that goes wrong in practice, and adds
 * one finding: what it saw, and what to do unless that is well. Nothing is changed by looking.
 *
 *   doctor.c          the command, and what it compares with
 *   doctor_report.c   findings, and how they are told
 *   doctor_service.c  supervisor, workers, engine, model
 *   doctor_sockets.c  who may connect
 *   doctor_host.c     the machine: CPUs, memory, kernel settings, libraries, disks
 *   doctor_nginx.c    nginx's configuration against ours
 *   doctor_route.c    which of its locations lead to us
 *   doctor_clients.c  limits per client, where all clients look like one
 */
#ifndef SPAWN_DOCTOR_H
#define SPAWN_DOCTOR_H

#include <stdbool.h>
#include <sys/types.h>

#include "fcgi/config.h"
#include "spawn/nginx_conf.h"
#include "spawn/procs.h"
#include "spawn/view.h"

enum spawn_doctor_level { SPAWN_DOCTOR_OK, SPAWN_DOCTOR_WARN, SPAWN_DOCTOR_FAIL };

struct spawn_doctor_finding {
    enum spawn_doctor_level level;
    char check[24];
    char found[512];
    char remedy[512]; /* "": nothing is to be done */
};

enum { SPAWN_DOCTOR_MOST = 64 };

/* What resnet_build_info and its like say; empty where no worker has said it yet. */
struct spawn_doctor_build {
    char isa[16], engine[16], precision[16], blas_core[32];
    int64_t mapped_bytes, private_bytes; /* of the model; of all workers together */
};

struct spawn_doctor {
    struct fcgi_config config; /* what the running service was given, or else the environment */
    const char *root;          /* "": this machine; see --root */
    const char *nginx_path;    /* of --nginx-conf, or NULL */
    bool skips_model;          /* --no-verify */

    pid_t supervisor; /* 0: none runs */
    bool answers;     /* view and build are set */
    struct spawn_view view;
    struct spawn_doctor_build build;
    char blas_core[32]; /* OPENBLAS_CORETYPE in the service's environment */
    char blas_l2[32];   /* OPENBLAS_L2_SIZE */

    struct spawn_nginx_conf nginx;
    pid_t nginx_master;               /* 0: none is seen */
    bool knows_nginx_user;            /* nginx_user is set */
    struct spawn_identity nginx_user; /* of nginx's workers */

    struct spawn_doctor_finding finding[SPAWN_DOCTOR_MOST];
    int n;
};

/* One finding. remedy: NULL when all is well. */
__attribute__((format(printf, 5, 6))) void spawn_doctor_say(struct spawn_doctor *doctor,
                                                            enum spawn_doctor_level level,
                                                            const char *check, const char *remedy,
                                                            const char *found, ...);

int spawn_doctor_count(const struct spawn_doctor *doctor, enum spawn_doctor_level level);
void spawn_doctor_print_text(const struct spawn_doctor *doctor);
void spawn_doctor_print_json(const struct spawn_doctor *doctor);

void spawn_doctor_service(struct spawn_doctor *doctor);
void spawn_doctor_sockets(struct spawn_doctor *doctor);
void spawn_doctor_host(struct spawn_doctor *doctor);
/* Whether there is room where this file or folder is. */
void spawn_doctor_disk(struct spawn_doctor *doctor, const char *check, const char *path);

/* Finds the running nginx that sends requests here, or reads the file it is given. */
void spawn_doctor_nginx(struct spawn_doctor *doctor);

/* ---- doctor_route.c ------------------------------------------------------------------------- */

/* A socket of the run directory, as nginx may name it: "unix:PATH". */
bool spawn_doctor_route_is(const struct spawn_doctor *doctor, const char *address,
                           const char *socket);
/* An upstream { } of the configuration in which work.sock is listed; -1: none after that one. */
int spawn_doctor_route_upstream(const struct spawn_doctor *doctor, int after);
/* The next fastcgi_pass that leads to work.sock: directly, by an upstream, or by a variable that a
 * map or a set gives that value; -1: none after that one. */
int spawn_doctor_route_next(const struct spawn_doctor *doctor, int after);
/* "location /predict (/etc/nginx/conf.d/x.conf:12)" of the block that a directive is in. */
void spawn_doctor_route_describe(const struct spawn_doctor *doctor, int directive, char text[256]);

/* ---- doctor_clients.c ----------------------------------------------------------------------- */

void spawn_doctor_clients(struct spawn_doctor *doctor);

/* As dpkg compares versions: negative, 0, positive. */
int spawn_doctor_compare_versions(const char *a, const char *b);
/* Whether this version of libfcgi has the fix of CVE-2025-23016: 1, 0; -1: a distribution that
 * numbers its fixes in its own way. */
int spawn_doctor_libfcgi_is_fixed(const char *version);

#endif
