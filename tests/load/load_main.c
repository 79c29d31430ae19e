/* load_main.c: resnet-load: a service under load, and what would change if one moved. */
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/load/compare.h"
#include "tests/load/options.h"
#include "tests/load/waves.h"

static volatile sig_atomic_t stop;

static void ask_to_stop(int signal)
{
    (void)signal;
    stop = 1;
}

/* A socket for each request under way, and many systems begin with 1024. */
static void allow_many_sockets(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* without it, what has no socket is counted as failed */
    }
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = ask_to_stop, .sa_flags = (int)SA_RESETHAND};
    struct t_options options = t_options_read(argc, argv);

    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    allow_many_sockets();
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        t_options_quit(T_EXIT_FAILED, "libcurl cannot be started");
    int status = options.compare ? t_compare_run(&options, &stop) : t_waves_run(&options, &stop);
    curl_global_cleanup();
    if (fflush(stdout) != 0)
        t_options_quit(T_EXIT_FAILED, "the report could not be written: %s", strerror(errno));
    return status;
}
