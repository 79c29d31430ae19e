/* crash.c: what happens between a fault and the end. Everything called from report() is
 * async-signal-safe: fcgi_log() is for text and whole numbers; backtrace() is once libgcc is
 * loaded; backtrace_symbols_fd() is made for this. */
#include "fcgi/crash.h"

#include <execinfo.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/log.h"

static const struct {
    int number;
    const char *name;
} signals[] = {{SIGSEGV, "SEGV"}, {SIGBUS, "BUS"},   {SIGILL, "ILL"},
               {SIGFPE, "FPE"},   {SIGABRT, "ABRT"}, {SIGSYS, "SYS"}};
enum { N_SIGNALS = sizeof signals / sizeof signals[0] };

/* A handler gets no argument of ours. Written before the first signal can come. */
static struct fcgi_board_worker *watched_board;
static const struct kn_net *watched_net;
static const struct fcgi_deaths *watched_deaths;
static pid_t supervisor;

/* An overflown stack is no place to report it from. */
static _Alignas(16) char own_stack[65536];

static const char *name_of(int number)
{
    for (int i = 0; i < N_SIGNALS; i++)
        if (signals[i].number == number)
            return signals[i].name;
    return "?";
}

static const char *layer_name(int layer)
{
    return layer >= 0 && layer < watched_net->n_layers ? watched_net->layer[layer].name : "";
}

/* Asks for the death to be recorded. 0: there is nothing to wait for. */
static int ask_for_record(const siginfo_t *info)
{
    int sent_by_supervisor = info->si_code <= 0 && info->si_pid == supervisor;

    if (!watched_deaths || watched_board->state != FCGI_WORKER_BUSY || sent_by_supervisor ||
        getppid() != supervisor)
        return 0;
    atomic_store(&watched_board->crash, FCGI_CRASH_SAID);
    return !kill(supervisor, FCGI_DEATHS_SIGNAL);
}

static void wait_for_record(void)
{
    enum { MOST_MS = 500 };
    const struct timespec nap = {.tv_nsec = 1000000};

    for (int i = 0; i < MOST_MS && watched_board->crash == FCGI_CRASH_SAID; i++)
        nanosleep(&nap, NULL);
}

static void report(int number, siginfo_t *info, void *context)
{
    enum { FRAMES = 64 };
    const struct fcgi_board_worker *board = watched_board;
    int asked = board && ask_for_record(info);
    struct fcgi_board_request request;
    void *frame[FRAMES];

    (void)context;
    if (!board) {
        raise(number);
        return;
    }
    if (!fcgi_scoreboard_request(board, &request))
        memset(&request, 0, sizeof request);
    fcgi_log(FCGI_LOG_ERROR, "crashed",
             "signal=%s from=%d request_id=%s nginx_id=%s stage=%s layer=%s ticks=%llu",
             name_of(number), info->si_code <= 0 ? (int)info->si_pid : 0, request.request_id,
             request.nginx_id, fcgi_scoreboard_stage_name((enum fcgi_stage)board->stage),
             layer_name(board->layer), (unsigned long long)board->ticks);
    backtrace_symbols_fd(frame, backtrace(frame, FRAMES), STDERR_FILENO);
    if (asked)
        wait_for_record();
    raise(number); /* blocked until we return; its action is the default one again */
}

void fcgi_crash_watch(struct fcgi_board_worker *board, const struct kn_net *net,
                      const struct fcgi_deaths *deaths)
{
    stack_t stack = {.ss_sp = own_stack, .ss_size = sizeof own_stack};
    struct sigaction action = {.sa_sigaction = report,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};
    void *frame[1];

    watched_board = board;
    watched_net = net;
    watched_deaths = deaths;
    supervisor = getppid();
    backtrace(frame, 1);
    sigaltstack(&stack, NULL);
    sigfillset(&action.sa_mask);
    for (int i = 0; i < N_SIGNALS; i++)
        sigaction(signals[i].number, &action, NULL);
}

void fcgi_crash_unwatch(void)
{
    watched_board = NULL;
}
