/* spawn_main.c: resnet-spawn. Sets everything up in the order in which it can fail, then loops. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fcgi/cpus.h"
#include "fcgi/log.h"
#include "fcgi/sandbox.h"
#include "fcgi/version.h"
#include "spawn/spawn.h"

/* What a worker takes beside the model's mapping, before any picture: measured, rounded up. */
#define WORKER_BYTES (64LL << 20)

static const char usage[] =
    "usage: resnet-spawn [-t] [options]\n"
    "Supervises resnet-fcgi workers: owns their sockets, replaces, reloads and drains them.\n\n";

static void warn(const char *sentence)
{
    fcgi_log(FCGI_LOG_WARN, "configuration", "reason=%s", sentence);
}

static int fail(int code, const char *text)
{
    fcgi_log(FCGI_LOG_ERROR, "start_failed", "reason=%s", text);
    return code;
}

static void open_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            abort();
}

/* A log that cannot be written must not end us: nobody reads it, or its file may not grow. */
static void ignore_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

static int find_programs(struct spawn *s, char text[SPAWN_TEXT_BYTES])
{
    ssize_t n = readlink("/proc/self/exe", s->programs, sizeof s->programs - 1);

    if (n <= 0 || !memrchr(s->programs, '/', (size_t)n)) {
        snprintf(text, SPAWN_TEXT_BYTES, "cannot read /proc/self/exe: %s", strerror(errno));
        return FCGI_EXIT_CONFIG;
    }
    *(char *)memrchr(s->programs, '/', (size_t)n) = '\0';
    return 0;
}

/* Every `auto` becomes a number here, and in the environment of what we start. */
static int decide(struct spawn *s, char text[SPAWN_TEXT_BYTES])
{
    struct fcgi_config *config = &s->config;
    int64_t limit = fcgi_cpus_memory_limit("");
    struct stat status;
    int64_t model_bytes = stat(config->model, &status) ? 0 : status.st_size;

    if (config->workers == FCGI_AUTO) {
        int n = fcgi_cpus_workers(fcgi_cpus_usable(""), limit, model_bytes, WORKER_BYTES);
        config->workers = n < SPAWN_MAX_WORKERS ? n : SPAWN_MAX_WORKERS;
    }
    if (config->workers > SPAWN_MAX_WORKERS) {
        snprintf(text, SPAWN_TEXT_BYTES, "RESNET_WORKERS: expected %d at most, found %d",
                 SPAWN_MAX_WORKERS, config->workers);
        return FCGI_EXIT_CONFIG;
    }
    if (config->max_decode_memory == FCGI_AUTO)
        config->max_decode_memory = fcgi_cpus_decode_memory(limit, model_bytes, config->workers);
    s->n_workers = config->workers;
    if (fcgi_config_export(config)) {
        snprintf(text, SPAWN_TEXT_BYTES, "no memory for the workers' environment");
        return FCGI_EXIT_TRY_LATER;
    }
    return 0;
}

/* -t: the one who can judge a model is the worker. */
static int test_configuration(const struct spawn *s)
{
    char path[SPAWN_PATH_BYTES];
    char *const argv[] = {"resnet-fcgi", "--test", NULL};

    if (!spawn_rundir_path(s->programs, "resnet-fcgi", path))
        execv(path, argv);
    fcgi_log(FCGI_LOG_ERROR, "exec", "path=%s/resnet-fcgi reason=%s", s->programs, strerror(errno));
    return FCGI_EXIT_CONFIG;
}

/* For what is started later: a slot's readiness pipe, control's questions, a reload's program and
 * model. Who could not start a worker does not start at all. */
static int reserve_descriptors(int n_slots)
{
    enum { SPARE = 8 };
    struct rlimit limit;
    int next = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);

    if (next < 0 || getrlimit(RLIMIT_NOFILE, &limit))
        return -1;
    close(next);
    rlim_t wanted = (rlim_t)next + (rlim_t)n_slots + SPARE;
    if (limit.rlim_cur >= wanted)
        return 0;
    if (limit.rlim_max < wanted)
        return errno = EMFILE, -1;
    limit.rlim_cur = wanted;
    return setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_rest(struct spawn *s, char text[SPAWN_TEXT_BYTES])
{
    int code = spawn_held_open(s, &s->held, text);

    if (!code)
        code = spawn_held_program(s, "resnet-control", &s->control.program_fd, text);
    if (!code)
        code = spawn_logsink_open(&s->log, s->config.log, text);
    if (!code)
        code = spawn_sockets_open(&s->sockets, s->config.run_dir, s->config.backlog, text);
    if (code)
        return code;
    if (spawn_board_open(s) || spawn_deaths_open(s) || spawn_watchdog_open(s))
        return spawn_refusal(text, "make", "the scoreboard", "RESNET_WORKERS");
    if (reserve_descriptors(s->n_slots))
        return spawn_refusal(text, "have descriptors for", "all workers", "RESNET_WORKERS");
    if (s->config.sandbox != FCGI_SANDBOX_WISH_OFF)
        spawn_privileges_drop();
    return 0;
}

/* What could not be started leaves nothing that looks as if it ran. Nor does a signal that comes
 * meanwhile: the loop is the first that hears of it. */
static int open_all(struct spawn *s, char text[SPAWN_TEXT_BYTES])
{
    s->signal_fd = spawn_loop_signals();
    if (s->signal_fd < 0)
        return spawn_refusal(text, "hear", "signals", "RLIMIT_NOFILE");
    int code = spawn_rundir_lock(s->config.run_dir, &s->lock_fd, text);

    if (code)
        return code;
    code = open_rest(s, text);
    if (code) {
        spawn_sockets_unlink(&s->sockets, s->config.run_dir);
        spawn_rundir_release(s->config.run_dir);
    }
    return code;
}

static int serve(struct spawn *s)
{
    s->generation = s->last_generation = 1;
    s->reload.candidate = -1;
    s->reload.held = SPAWN_HELD_NONE;
    s->control.ask_fd = -1;
    s->control.due_ns = INT64_MAX;
    spawn_idle_open(s);
    fcgi_log(FCGI_LOG_INFO, "start", "version=%s workers=%d run_dir=%s model=%s adopted=%d",
             fcgi_version, s->n_workers, s->config.run_dir, s->config.model,
             s->sockets.origin != SPAWN_OWN);
    spawn_control_start(s);
    for (int slot = 0; slot < s->n_workers; slot++)
        spawn_workers_start(s, slot, s->generation);

    int code = spawn_loop_run(s);
    if (s->log.is_file)
        spawn_logsink_pump(&s->log);
    spawn_sockets_unlink(&s->sockets, s->config.run_dir);
    spawn_rundir_release(s->config.run_dir);
    spawn_deaths_close(s);
    spawn_board_close(s);
    fcgi_log(FCGI_LOG_INFO, "stopped", "exit=%d", code);
    return code;
}

static int run(struct spawn *s)
{
    char text[SPAWN_TEXT_BYTES];
    int code = spawn_sockets_adopt(&s->sockets, text);

    /* Nothing that we did not open ourselves reaches a worker. */
    close_range(s->sockets.origin == SPAWN_ACTIVATED ? 4 : 3, ~0U, 0);
    if (!code)
        code = find_programs(s, text);
    if (!code)
        code = decide(s, text);
    if (!code && s->config.test)
        return test_configuration(s);
    spawn_notify_open(&s->notify);
    if (!code)
        code = open_all(s, text);
    return code ? fail(code, text) : serve(s);
}

int main(int argc, char **argv)
{
    static struct spawn s;
    char text[256];
    int rest;

    open_standard_descriptors();
    ignore_signals();
    fcgi_log_setup("resnet-spawn", -1, 0, FCGI_LOG_INFO, 0);
    int code = fcgi_config_load(&s.config, FCGI_FOR_SPAWN, argc, argv, &rest, NULL, text);
    if (!code && rest < argc) {
        snprintf(text, sizeof text, "unexpected argument \"%.64s\"; see resnet-spawn --help",
                 argv[rest]);
        code = FCGI_EXIT_USAGE;
    }
    if (code) {
        fprintf(stderr, "resnet-spawn: %s\n", text);
        return code;
    }
    if (s.config.help) {
        fputs(usage, stdout);
        fcgi_config_help(stdout, FCGI_FOR_SPAWN);
        return EXIT_SUCCESS;
    }
    if (s.config.version) {
        printf("resnet-spawn %s (%s)\n", fcgi_version, fcgi_commit);
        return EXIT_SUCCESS;
    }
    fcgi_log_setup("resnet-spawn", -1, 0, s.config.log_level, s.config.log_json);
    /* once more, now that it is known how a warning is written */
    fcgi_config_load(&s.config, FCGI_FOR_SPAWN, argc, argv, &rest, warn, text);
    return run(&s);
}
