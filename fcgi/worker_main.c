/* worker_main.c: resnet-fcgi, one FastCGI worker on descriptor 0. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fcgi/log.h"
#include "fcgi/sandbox.h"
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

/* One decode may take its budget, a body in JSON as much again for what it says, and libraries and
 * answers this much more. */
enum { SPARE_BYTES = 128 << 20 };

/* A worker has everything open that it will ever use. */
static int enter_sandbox(struct fcgi_worker *worker, char text[512])
{
    const struct fcgi_config *config = worker->config;
    const int fds[] = {
        worker->accept.signal_fd, worker->accept.epoll_fd,  worker->accept.peer_fd,
        worker->memory.statm_fd,  worker->memory.rollup_fd, config->ready_fd,
        config->busy_fd,          worker->params.pipe[0],   worker->params.pipe[1],
        worker->intact.fd,
    };
    const struct fcgi_sandbox sandbox = {
        .wish = (enum fcgi_sandbox_wish)config->sandbox,
        .program = FCGI_SANDBOX_WORKER,
        .fds = fds,
        .n_fds = sizeof fds / sizeof fds[0],
        .connections = 1,
        .grows_bytes =
            (int64_t)worker->predictor.limits.max_decode_bytes + config->max_body + SPARE_BYTES,
        .supervisor = worker->alone ? 0 : getppid(),
        .board = worker->board,
        .violations = &worker->board->violations,
    };
    int state = fcgi_sandbox_enter(&sandbox, text);

    if (state < 0)
        return -state;
    atomic_store(&worker->board->sandbox, (uint32_t)state);
    return 0;
}

/* When the supervisor dies, the queue is served to its end: another one has a socket of its own.
 * One that died before this call is noticed by the byte that nobody can read any more. */
static int hear_of_death(const struct fcgi_config *config, char text[512])
{
    if (config->ready_fd < 0 || !prctl(PR_SET_PDEATHSIG, SIGUSR2))
        return 0;
    snprintf(text, 512, "the supervisor's death would not be heard of: %s", strerror(errno));
    return FCGI_EXIT_TRY_LATER;
}

/* Not before the sandbox: who reads that it is idle may read that, too. */
static int tell_ready(const struct fcgi_worker *worker)
{
    const struct fcgi_config *config = worker->config;

    atomic_store(&worker->board->state, FCGI_WORKER_IDLE);
    if (config->ready_fd < 0)
        return 0;
    if (write(config->ready_fd, "R", 1) != 1)
        return -1;
    close(config->ready_fd);
    return 0;
}

/* More than one byte is the reason why there will be no worker. */
static void tell_reason(const struct fcgi_config *config, const char *text)
{
    if (config->ready_fd >= 0 && write(config->ready_fd, text, strlen(text)) < 0)
        fcgi_log(FCGI_LOG_WARN, "start_failed", "reason=%s", "the supervisor has gone");
}

/* resnet-spawn -t: everything that a worker opens but the socket and the scoreboard. */
static int test(const struct fcgi_config *config)
{
    static struct fcgi_classifier classifier;
    struct fcgi_classifier_options options = {
        .path = config->model,
        .isa = config->isa[0] ? config->isa : NULL,
        .precision = config->precision,
        .max_images = config->max_images,
        .max_threads = config->threads == FCGI_AUTO ? 1 : config->threads,
    };
    char text[512];

    int code = fcgi_classifier_open(&classifier, &options, NULL, text);
    if (code)
        return fail(code, text);
    printf("configuration and model are good: %s, %s, %.12s\n", classifier.model.name,
           config->precision, classifier.model.sha256);
    fcgi_classifier_close(&classifier);
    return FCGI_EXIT_OK;
}

static int serve(const struct fcgi_config *config)
{
    static struct fcgi_worker worker; /* large, and one in a process */
    char text[512];
    int code = fcgi_worker_open(&worker, config, STDIN_FILENO, text);

    if (!code)
        code = hear_of_death(config, text);
    if (!code)
        code = enter_sandbox(&worker, text);
    if (code) {
        tell_reason(config, text);
        fail(code, text);
    } else if (tell_ready(&worker)) {
        code = fail(FCGI_EXIT_TRY_LATER, "the supervisor has gone");
    } else {
        fcgi_log(FCGI_LOG_INFO, "ready",
                 "model=%s sha256=%s isa=%s blas=%s precision=%s threads=%d sandbox=%s",
                 worker.classifier.model.name, worker.model_id, kn_plan_isa(worker.classifier.plan),
                 kn_blas_core(), config->precision, worker.threads,
                 fcgi_scoreboard_sandbox_name(
                     (enum fcgi_sandbox_state)atomic_load(&worker.board->sandbox)));
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

    prctl(PR_SET_NAME, "resnet-fcgi"); /* exec by descriptor leaves a number there */
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
    return config.test ? test(&config) : serve(&config);
}
