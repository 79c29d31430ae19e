/* doctor.c: the command, and what it compares with. */
#include "spawn/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spawn/ctl.h"
#include "spawn/spawn.h"

enum { EXIT_WARNED = 1, EXIT_FAILED = 2 };

/* ---- the service's own settings ------------------------------------------------------------- */

/* "NAME=value" of a block of such strings, each ended by a NUL. */
static const char *variable(const char *block, size_t n, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = block; at < block + n; at += strlen(at) + 1)
        if (!strncmp(at, name, length) && at[length] == '=')
            return at + length + 1;
    return "";
}

static void forget_own_settings(void)
{
    extern char **environ;
    char name[64];

    for (char **at = environ; *at;) {
        size_t n = strcspn(*at, "=");
        if (strncmp(*at, "RESNET_", 7) != 0 || n >= sizeof name) {
            at++;
            continue;
        }
        snprintf(name, sizeof name, "%.*s", (int)n, *at);
        unsetenv(name);
        at = environ;
    }
}

static void take_settings(const char *block, size_t n)
{
    char name[64];

    forget_own_settings();
    for (const char *at = block; at < block + n; at += strlen(at) + 1) {
        size_t length = strcspn(at, "=");
        if (strncmp(at, "RESNET_", 7) != 0 || length >= sizeof name || !at[length])
            continue;
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        setenv(name, at + length + 1, 1);
    }
}

/* What resnet-spawn hands to its processes is what it was given, with every default filled in. */
static void learn(struct spawn_doctor *doctor)
{
    enum { ENVIRONMENT = 256 << 10 };
    char run_dir[sizeof doctor->config.run_dir], text[256], *block = malloc(ENVIRONMENT);
    char *argv[] = {(char *)"resnet-spawn", NULL};
    pid_t control =
        doctor->supervisor ? spawn_procs_child(doctor->supervisor, "resnet-control") : 0;
    ssize_t n = control && block ? spawn_procs_read(control, "environ", block, ENVIRONMENT) : -1;
    int rest;

    snprintf(run_dir, sizeof run_dir, "%s", doctor->config.run_dir);
    if (n > 0) {
        take_settings(block, (size_t)n);
        snprintf(doctor->blas_core, sizeof doctor->blas_core, "%s",
                 variable(block, (size_t)n, "OPENBLAS_CORETYPE"));
        snprintf(doctor->blas_l2, sizeof doctor->blas_l2, "%s",
                 variable(block, (size_t)n, "OPENBLAS_L2_SIZE"));
    }
    if (doctor->supervisor && n <= 0)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "settings",
                         "run it as root or as the service's user",
                         "the running service's settings cannot be read: the environment here is "
                         "taken for them");
    if (fcgi_config_load(&doctor->config, FCGI_FOR_SPAWN, 1, argv, &rest, NULL, text))
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, "settings", "correct it", "%s", text);
    snprintf(doctor->config.run_dir, sizeof doctor->config.run_dir, "%s", run_dir);
    free(block);
}

/* ---- the command ---------------------------------------------------------------------------- */

struct flags {
    bool json;
    const char *root, *nginx_path;
    bool skips_model;
};

static int read_flags(int argc, char **argv, struct flags *flags)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json"))
            flags->json = true;
        else if (!strcmp(argv[i], "--no-verify"))
            flags->skips_model = true;
        else if (!strcmp(argv[i], "--nginx-conf") && i + 1 < argc)
            flags->nginx_path = argv[++i];
        else if (!strcmp(argv[i], "--root") && i + 1 < argc)
            flags->root = argv[++i];
        else
            return -1;
    }
    return 0;
}

int spawn_doctor_run(const struct fcgi_config *config, int argc, char **argv)
{
    static struct spawn_doctor doctor;
    struct flags flags = {.root = ""};

    if (read_flags(argc, argv, &flags))
        return spawn_ctl_misused(argc, argv,
                                 "--json, --no-verify, --nginx-conf FILE, --root DIR or nothing");
    doctor.config = *config;
    doctor.root = flags.root;
    doctor.nginx_path = flags.nginx_path;
    doctor.skips_model = flags.skips_model;
    doctor.supervisor = spawn_rundir_holder(config->run_dir);
    learn(&doctor);
    spawn_doctor_service(&doctor);
    spawn_doctor_nginx(&doctor);
    spawn_doctor_sockets(&doctor);
    spawn_doctor_host(&doctor);
    if (flags.json)
        spawn_doctor_print_json(&doctor);
    else
        spawn_doctor_print_text(&doctor);
    spawn_nginx_conf_free(&doctor.nginx);
    return spawn_doctor_count(&doctor, SPAWN_DOCTOR_FAIL)   ? EXIT_FAILED
           : spawn_doctor_count(&doctor, SPAWN_DOCTOR_WARN) ? EXIT_WARNED
                                                            : EXIT_SUCCESS;
}
