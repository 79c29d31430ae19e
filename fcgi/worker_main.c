/* worker_main.c: resnet-fcgi, one FastCGI worker on descriptor 0. */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fcgi/log.h"
#include "fcgi/version.h"
#include "fcgi/worker.h"

static void warn(const char *sentence)
{
    fcgi_log(FCGI_LOG_WARN, "config", "reason=%s", sentence);
}

static int print_help(void)
{
    puts("usage: resnet-fcgi [OPTION]... <LISTENING-UNIX-SOCKET\n"
         "One FastCGI worker: answers POST /predict with the classes of a photograph.\n"
         "Started by resnet-spawn, or alone:\n"
         "  spawn-fcgi -s /run/resnet-fcgi/work.sock -M 0660 -n -- resnet-fcgi --model FILE.rnm\n");
    fcgi_config_help(stdout, FCGI_FOR_WORKER);
    return FCGI_EXIT_OK;
}

static int print_version(void)
{
    printf("resnet-fcgi %s (%s)\nisa %s\nopenblas %s\n", fcgi_version, fcgi_commit, kn_isa_names(),
           kn_blas_core());
    return FCGI_EXIT_OK;
}

static int fail(int code, const char *text)
{
    fcgi_log(FCGI_LOG_ERROR, "start_failed", "exit=%d reason=%s", code, text);
    return code;
}

/* The worker does not outlive its supervisor, whose death makes a TERM of us. One that died before
 * this call is noticed by the byte that nobody can read any more. */
static int tell_ready(const struct fcgi_config *config)
{
    if (config->ready_fd < 0)
        return 0;
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) || write(config->ready_fd, "R", 1) != 1)
        return -1;
    close(config->ready_fd);
    return 0;
}

static int serve(const struct fcgi_config *config)
{
    static struct fcgi_worker worker; /* large, and one in a process */
    char text[512];
    int code = fcgi_worker_open(&worker, config, STDIN_FILENO, text);

    if (code) {
        fail(code, text);
    } else if (tell_ready(config)) {
        code = fail(FCGI_EXIT_TRY_LATER, "the supervisor has gone");
    } else {
        fcgi_log(FCGI_LOG_INFO, "ready",
                 "model=%s sha256=%s isa=%s blas=%s precision=%s threads=%d",
                 worker.classifier.model.name, worker.model_id, kn_plan_isa(worker.classifier.plan),
                 kn_blas_core(), config->precision, worker.threads);
        fcgi_worker_run(&worker);
        fcgi_log(FCGI_LOG_INFO, "left", "requests=%lld", (long long)worker.served);
    }
    fcgi_worker_close(&worker);
    return code;
}

int main(int argc, char **argv)
{
    static struct fcgi_config config;
    char text[256];
    int rest = argc;

    fcgi_accept_block_signals();
    int code = fcgi_config_load(&config, FCGI_FOR_WORKER, argc, argv, &rest, NULL, text);
    if (!code && config.help)
        return print_help();
    if (!code && config.version)
        return print_version();
    fcgi_log_setup("resnet-fcgi", config.slot, config.generation,
                   (enum fcgi_log_level)config.log_level, config.log_json);
    if (code)
        return fail(code, text);
    if (rest < argc) {
        snprintf(text, sizeof text, "unexpected argument \"%.100s\"; --help shows the usage",
                 argv[rest]);
        return fail(FCGI_EXIT_USAGE, text);
    }
    if (config.slot < 0) /* alone: nobody else has said so */
        fcgi_config_load(&config, FCGI_FOR_WORKER, argc, argv, &rest, warn, text);
    if (!kn_blas_is_serial())
        warn("OpenBLAS is not the serial build: its threads will compete with the workers");
    return serve(&config);
}
