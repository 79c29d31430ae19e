/* ctl_main.c: resnet-ctl, the operator's tool. It reads ctl.sock; what changes state goes by signal
 * to the holder of the lock, so that nothing that nginx can reach changes state. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fcgi/config.h"
#include "fcgi/version.h"
#include "spawn/client.h"
#include "spawn/spawn.h"

enum { PROBE_MS = 5000, POLL_MS = 50 };

static const char usage[] =
    "usage: resnet-ctl [options] COMMAND\n"
    "  health [live|ready|startup]  ask resnet-control; exit 0 if good, 1 if not\n"
    "  status                       print /status as the second listener shows it\n"
    "  reload                       replace all workers; exit 1 if the new ones cannot start\n"
    "  drain                        stop after the last request; wait for it\n\n";

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
}

static int get(const struct fcgi_config *config, const char *path, struct fcgi_buffer *body)
{
    char socket_path[SPAWN_PATH_BYTES];

    if (spawn_rundir_path(config->run_dir, "ctl.sock", socket_path))
        return errno = ENAMETOOLONG, -1;
    return spawn_client_get(socket_path, path, PROBE_MS, body);
}

static int complain(const struct fcgi_config *config)
{
    fprintf(stderr,
            "resnet-ctl: %s/ctl.sock: %s; is resnet-spawn running with this RESNET_RUN_DIR?\n",
            config->run_dir, strerror(errno));
    return FCGI_EXIT_TRY_LATER;
}

static int print(const struct fcgi_config *config, const char *path, int code_if_nobody)
{
    struct fcgi_buffer body = {0};
    int status = get(config, path, &body);
    int code = status == 200 ? EXIT_SUCCESS : status < 0 ? code_if_nobody : EXIT_FAILURE;

    if (status < 0)
        complain(config);
    else
        fwrite(body.bytes, 1, body.n, stdout);
    fcgi_buffer_free(&body);
    return code;
}

static int run_health(const struct fcgi_config *config, int argc, char **argv)
{
    static const char *const kinds[] = {"live", "ready", "startup"};
    char path[32] = "/health";

    for (size_t i = 0; argc > 1 && i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(argv[1], kinds[i]))
            snprintf(path, sizeof path, "/health/%s", kinds[i]);
    if (argc > 2 || (argc == 2 && !path[sizeof "/health" - 1])) {
        fprintf(stderr, "resnet-ctl: health: expected live, ready or startup, found \"%s\"\n",
                argv[argc - 1]);
        return FCGI_EXIT_USAGE;
    }
    return print(config, path, EXIT_FAILURE);
}

/* ---- what changes state --------------------------------------------------------------------- */

static pid_t find_supervisor(const struct fcgi_config *config)
{
    pid_t pid = spawn_rundir_holder(config->run_dir);

    if (!pid)
        fprintf(stderr, "resnet-ctl: no resnet-spawn runs: nobody holds %s/lock\n",
                config->run_dir);
    return pid;
}

static int send_signal(pid_t pid, int sig)
{
    if (!kill(pid, sig))
        return 0;
    fprintf(stderr, "resnet-ctl: cannot signal resnet-spawn, pid %d: %s\n", (int)pid,
            strerror(errno));
    return -1;
}

struct progress {
    unsigned long long ok, failed;
    bool active;
    char reason[SPAWN_TEXT_BYTES];
};

/* The reason as a person reads it: resnet-control escapes quotes and backslashes. */
static void copy_reason(const char *json, char reason[SPAWN_TEXT_BYTES])
{
    size_t n = 0;

    for (; *json && *json != '"' && n < SPAWN_TEXT_BYTES - 1; json++) {
        if (*json == '\\' && json[1])
            json++;
        reason[n++] = *json;
    }
    reason[n] = '\0';
}

static int read_progress(const struct fcgi_config *config, struct progress *progress)
{
    static const char key[] = "\"reason\":\"";
    struct fcgi_buffer body = {0};
    char active[8] = "";
    int status = get(config, "/status", &body);
    const char *at = status == 200 ? strstr(body.bytes, "\"reload\":{") : NULL;

    *progress = (struct progress){0};
    if (at && sscanf(at, "\"reload\":{\"active\":%7[a-z],\"ok\":%llu,\"failed\":%llu", active,
                     &progress->ok, &progress->failed) != 3)
        at = NULL;
    progress->active = active[0] == 't';
    const char *reason = at ? strstr(at, key) : NULL;
    if (reason)
        copy_reason(reason + sizeof key - 1, progress->reason);
    fcgi_buffer_free(&body);
    return at ? 0 : -1;
}

/* A reload that is under way ends first, then comes ours. */
static int run_reload(const struct fcgi_config *config)
{
    struct progress before, now;
    pid_t pid = find_supervisor(config);

    if (!pid)
        return FCGI_EXIT_TRY_LATER;
    if (read_progress(config, &before))
        return complain(config);
    if (send_signal(pid, SIGHUP))
        return EXIT_FAILURE;
    unsigned long long ends = before.ok + before.failed + (before.active ? 2 : 1);
    for (now = before; now.ok + now.failed < ends;) {
        nap();
        if (spawn_rundir_holder(config->run_dir) != pid) {
            fprintf(stderr, "resnet-ctl: resnet-spawn, pid %d, ended during the reload\n",
                    (int)pid);
            return EXIT_FAILURE;
        }
        struct progress next;
        if (!read_progress(config, &next))
            now = next;
    }
    /* of ours and one before it, the last left its reason, or none */
    if (now.failed == before.failed || !now.reason[0]) {
        puts("reloaded");
        return EXIT_SUCCESS;
    }
    fprintf(stderr, "resnet-ctl: %s\n", now.reason);
    return EXIT_FAILURE;
}

static int run_drain(const struct fcgi_config *config)
{
    pid_t pid = find_supervisor(config);

    if (!pid)
        return FCGI_EXIT_TRY_LATER;
    if (send_signal(pid, SIGTERM))
        return EXIT_FAILURE;
    while (spawn_rundir_holder(config->run_dir) == pid)
        nap();
    puts("drained");
    return EXIT_SUCCESS;
}

static int run_command(const struct fcgi_config *config, int argc, char **argv)
{
    const char *command = argc > 0 ? argv[0] : "";

    if (!strcmp(command, "health"))
        return run_health(config, argc, argv);
    if (!strcmp(command, "status") && argc == 1)
        return print(config, "/status", FCGI_EXIT_TRY_LATER);
    if (!strcmp(command, "reload") && argc == 1)
        return run_reload(config);
    if (!strcmp(command, "drain") && argc == 1)
        return run_drain(config);
    fprintf(stderr,
            "resnet-ctl: expected health [live|ready|startup], status, reload or drain, found "
            "\"%s\"\n",
            argc > 1 ? argv[1] : command);
    return FCGI_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static struct fcgi_config config;
    char text[256];
    int rest;

    int code = fcgi_config_load(&config, FCGI_FOR_CTL, argc, argv, &rest, NULL, text);
    if (code) {
        fprintf(stderr, "resnet-ctl: %s\n", text);
        return code;
    }
    if (config.help) {
        fputs(usage, stdout);
        fcgi_config_help(stdout, FCGI_FOR_CTL);
        return EXIT_SUCCESS;
    }
    if (config.version) {
        printf("resnet-ctl %s (%s)\n", fcgi_version, fcgi_commit);
        return EXIT_SUCCESS;
    }
    return run_command(&config, argc - rest, argv + rest);
}
