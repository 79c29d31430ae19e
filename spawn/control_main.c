/* control_main.c: resnet-control. Answers everything that is not inference, and what inference has
 * no room for. Started by resnet-spawn: descriptor 0 is ctl.sock. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "fcgi/config.h"
#include "fcgi/log.h"
#include "fcgi/sandbox.h"
#include "fcgi/version.h"
#include "spawn/conn.h"
#include "spawn/spawn.h"

static const char usage[] =
    "usage: resnet-control --shed-fd N --board-fd N --ask-fd N --deaths-fd N < ctl.sock\n"
    "Health, status, metrics and paced 503s over FastCGI. Started by "
    "resnet-spawn, not by hand.\n\n";

static int fail(int code, const char *text)
{
    fcgi_log(FCGI_LOG_ERROR, "start_failed", "reason=%s", text);
    return code;
}

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL))
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Connections, and one that is taken before another gives way; answers of all of them at once. */
enum { CONNECTIONS = SPAWN_CONN_MAX + 1, GROWS_BYTES = 256 << 20 };

static int enter_sandbox(const struct fcgi_config *config, const struct spawn_conns *conns,
                         char text[512])
{
    const struct spawn_scene *scene = &conns->scene;
    const int fds[] = {
        conns->shed_fd,
        conns->ask_fd,
        conns->signal_fd,
        conns->epoll_fd,
        scene->queue_fd,
        scene->self.statm_fd,
        scene->self.fds ? dirfd(scene->self.fds) : -1,
    };
    const struct fcgi_sandbox sandbox = {
        .wish = (enum fcgi_sandbox_wish)config->sandbox,
        .program = FCGI_SANDBOX_CONTROL,
        .fds = fds,
        .n_fds = sizeof fds / sizeof fds[0],
        .connections = CONNECTIONS,
        .grows_bytes = GROWS_BYTES,
        .violations = &scene->pages->control->violations,
    };
    int state = fcgi_sandbox_enter(&sandbox, text);

    if (state < 0)
        return -state;
    atomic_store(&scene->pages->control->sandbox, (uint32_t)state);
    return 0;
}

static int serve(const struct fcgi_config *config)
{
    static struct spawn_conns conns;
    struct spawn_pages pages;
    char text[512];

    if (config->shed_fd < 0 || config->board_fd < 0 || config->ask_fd < 0 || config->deaths_fd < 0)
        return fail(FCGI_EXIT_USAGE, "expected --shed-fd, --board-fd, --ask-fd and --deaths-fd: "
                                     "resnet-control is started by resnet-spawn");
    if (spawn_pages_open(&pages, config->board_fd, config->deaths_fd, text))
        return fail(FCGI_EXIT_CONFIG, text);
    spawn_self_hurry();
    spawn_self_start(&conns.scene.self);
    conns.scene.queue_fd = spawn_queue_open();
    conns.scene.pages = &pages;
    if (gethostname(conns.scene.host, sizeof conns.scene.host - 1))
        strcpy(conns.scene.host, "localhost");
    int signal_fd = open_signals();
    if (signal_fd < 0 ||
        spawn_conns_open(&conns, STDIN_FILENO, config->shed_fd, config->ask_fd, signal_fd))
        return fail(FCGI_EXIT_TRY_LATER, strerror(errno));
    if (enter_sandbox(config, &conns, text))
        return fail(FCGI_EXIT_CONFIG, text);
    spawn_conns_run(&conns);
    spawn_pages_close(&pages);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct fcgi_config config;
    char text[256];
    int rest;

    prctl(PR_SET_NAME, "resnet-control"); /* exec by descriptor leaves a number there */
    fcgi_log_setup("resnet-control", -1, 0, FCGI_LOG_INFO, 0);
    int code = fcgi_config_load(&config, FCGI_FOR_CONTROL, argc, argv, &rest, NULL, text);
    if (code) {
        fprintf(stderr, "resnet-control: %s\n", text);
        return code;
    }
    if (config.help) {
        fputs(usage, stdout);
        fcgi_config_help(stdout, FCGI_FOR_CONTROL);
        return EXIT_SUCCESS;
    }
    if (config.version) {
        printf("resnet-control %s (%s)\n", fcgi_version, fcgi_commit);
        return EXIT_SUCCESS;
    }
    fcgi_log_setup("resnet-control", -1, 0, (enum fcgi_log_level)config.log_level, config.log_json);
    return serve(&config);
}
