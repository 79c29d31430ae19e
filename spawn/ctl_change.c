/* ctl_change.c: reload, drain, release. What changes state goes by signal to the holder of the
 * lock, so that nothing that nginx can reach changes state. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "spawn/ctl.h"
#include "spawn/spawn.h"

enum { POLL_MS = 50 };

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
}

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

static int64_t ended_reloads(const struct spawn_view *view)
{
    return view->reloads_ok + view->reloads_failed;
}

/* Until so many reloads have ended. -1: the supervisor did before. */
static int wait_for_reloads(const struct fcgi_config *config, pid_t pid, int64_t ends,
                            struct spawn_view *now)
{
    static struct spawn_view next; /* an answer that does not come leaves the last one */

    while (ended_reloads(now) < ends) {
        nap();
        if (spawn_rundir_holder(config->run_dir) != pid)
            return -1;
        if (!spawn_view_try(&next, config))
            *now = next;
    }
    return 0;
}

static int count_generation(const struct spawn_view *view)
{
    int n = 0;

    for (int i = 0; i < view->n_workers; i++)
        n += view->worker[i].generation == view->generation;
    return n;
}

static int tell_success(const struct spawn_view *now, int64_t begin_ns)
{
    char took[32];

    spawn_ctl_duration((spawn_now_ns() - begin_ns) / 1000000, took);
    printf("reloaded: generation %d serves with %d workers and model %.12s, after %s\n",
           now->generation, count_generation(now), now->model_sha256, took);
    return EXIT_SUCCESS;
}

/* A reload that is under way ends first, then comes ours. One that waits for the end of the start
 * is ours, too. */
static int reloads_to_end(const struct spawn_view *view)
{
    return view->reloading && strcmp(view->state, "starting") != 0 ? 2 : 1;
}

int spawn_ctl_change_reload(const struct fcgi_config *config, int argc, char **argv)
{
    static struct spawn_view before, now;
    int64_t begin_ns = spawn_now_ns();

    if (argc > 1)
        return spawn_ctl_misused(argc, argv, "nothing more");
    pid_t pid = find_supervisor(config);
    if (!pid || spawn_view_get(&before, config))
        return FCGI_EXIT_TRY_LATER;
    if (send_signal(pid, SIGHUP))
        return EXIT_FAILURE;
    now = before;
    if (wait_for_reloads(config, pid, ended_reloads(&before) + reloads_to_end(&before), &now)) {
        fprintf(stderr, "resnet-ctl: resnet-spawn, pid %d, ended during the reload\n", (int)pid);
        return EXIT_FAILURE;
    }
    /* of ours and one before it, the last left its reason, or none */
    if (now.reloads_failed == before.reloads_failed || !now.reason[0])
        return tell_success(&now, begin_ns);
    fprintf(stderr, "resnet-ctl: %s\nresnet-ctl: generation %d serves on\n", now.reason,
            now.generation);
    return EXIT_FAILURE;
}

int spawn_ctl_change_drain(const struct fcgi_config *config, int argc, char **argv)
{
    if (argc > 1)
        return spawn_ctl_misused(argc, argv, "nothing more");
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

/* A resnet-spawn that does not know the signal would end by it: one that does has it blocked. */
static bool takes_signal(pid_t pid, int sig)
{
    char path[32], line[128];
    unsigned long long blocked = 0;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "SigBlk: %llx", &blocked) == 1)
            break;
    if (file)
        fclose(file);
    return blocked >> (sig - 1) & 1;
}

int spawn_ctl_change_release(const struct fcgi_config *config, int argc, char **argv)
{
    if (argc > 1)
        return spawn_ctl_misused(argc, argv, "nothing more");
    pid_t pid = find_supervisor(config);
    if (!pid)
        return FCGI_EXIT_TRY_LATER;
    if (!takes_signal(pid, SIGUSR2)) {
        fprintf(stderr,
                "resnet-ctl: resnet-spawn, pid %d, is of an older version, which has no "
                "quarantine\n",
                (int)pid);
        return EXIT_FAILURE;
    }
    if (send_signal(pid, SIGUSR2))
        return EXIT_FAILURE;
    puts("released: nothing is in quarantine");
    return EXIT_SUCCESS;
}
