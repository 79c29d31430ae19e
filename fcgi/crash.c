/* crash.c: what happens between a fault and the end. Everything called from report() is
 * async-signal-safe: fcgi_log() is for text and whole numbers; backtrace() is once libgcc is
 * loaded; dladdr() only reads what the loader has. */
#include "fcgi/crash.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/log.h"
#include "weights/digest.h"

static const struct {
    int number;
    const char *name;
} signals[] = {{SIGSEGV, "SEGV"}, {SIGBUS, "BUS"},   {SIGILL, "ILL"},
               {SIGFPE, "FPE"},   {SIGABRT, "ABRT"}, {SIGSYS, "SYS"}};
enum { N_SIGNALS = sizeof signals / sizeof signals[0] };
enum { FRAME_BYTES = 64 }; /* of a file's name and a number */

/* A handler gets no argument of ours. Written before the first signal can come. */
static struct fcgi_board_worker *watched_board;
static const struct kn_net *watched_net;
static const struct fcgi_deaths *watched_deaths;
static pid_t supervisor;
static const struct wt_model *watched_model;
static const struct fcgi_intact *watched_file;
static const uint8_t *watched_body;
static size_t watched_bytes;

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

/* Milliseconds for the largest body, which has to be known before the death is recorded. */
static void tell_body(void)
{
    uint8_t sha256[FCGI_QUARANTINE_HASH];

    if (!watched_deaths || !watched_bytes || watched_board->body_known)
        return;
    wt_digest_sha256(sha256, watched_body, watched_bytes);
    fcgi_scoreboard_body(watched_board, sha256);
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

/* A file's name without its folders, and where in it: what addr2line -e FILE is given. */
static size_t describe_frame(void *frame, char text[FRAME_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    Dl_info info = {0};
    const char *name = dladdr(frame, &info) && info.dli_fname ? info.dli_fname : "";
    uintptr_t offset = (uintptr_t)frame - (uintptr_t)info.dli_fbase;
    const char *slash = strrchr(name, '/');
    size_t n = 0, shift = 8 * sizeof offset;

    for (name = slash ? slash + 1 : name; *name && n < FRAME_BYTES / 2; name++)
        text[n++] = *name;
    for (const char *sign = "+0x"; *sign; sign++)
        text[n++] = *sign;
    while (shift > 4 && !(offset >> (shift - 4)))
        shift -= 4;
    for (; shift > 0; shift -= 4)
        text[n++] = digits[offset >> (shift - 4) & 15];
    return n;
}

/* The innermost first; as many as a line takes. */
static void log_frames(void *const *frame, int n_frames)
{
    char text[1024];
    size_t n = 0;

    for (int i = 0; i < n_frames && n < sizeof text - FRAME_BYTES - 1; i++) {
        n += describe_frame(frame[i], text + n);
        text[n++] = ' ';
    }
    fcgi_log(FCGI_LOG_ERROR, "backtrace", "frames=%.*s", n ? (int)n - 1 : 0, text);
}

/* All threads compute from these pages: who finds one gone after the first waits for its end. */
static _Noreturn void leave(const struct fcgi_board_worker *board)
{
    static atomic_flag leaving = ATOMIC_FLAG_INIT;

    while (atomic_flag_test_and_set(&leaving))
        poll(NULL, 0, -1);
    fcgi_intact_leave(watched_file, board);
}

static int is_of_model(int number, const siginfo_t *info)
{
    return number == SIGBUS && info->si_code > 0 && watched_model &&
           wt_model_maps(watched_model, info->si_addr);
}

static void report(int number, siginfo_t *info, void *context)
{
    enum { FRAMES = 64 };
    const struct fcgi_board_worker *board = watched_board;
    int asked = 0;
    struct fcgi_board_request request;
    void *frame[FRAMES];

    (void)context;
    if (board && is_of_model(number, info))
        leave(board);
    if (number == SIGBUS)
        signal(SIGBUS, SIG_DFL);
    if (!board) {
        raise(number);
        return;
    }
    tell_body();
    asked = ask_for_record(info);
    if (!fcgi_scoreboard_request(board, &request))
        memset(&request, 0, sizeof request);
    fcgi_log(FCGI_LOG_ERROR, "crashed",
             "signal=%s from=%d request_id=%s nginx_id=%s stage=%s layer=%s ticks=%llu",
             name_of(number), info->si_code <= 0 ? (int)info->si_pid : 0, request.request_id,
             request.nginx_id, fcgi_scoreboard_stage_name((enum fcgi_stage)board->stage),
             layer_name(board->layer), (unsigned long long)board->ticks);
    log_frames(frame, backtrace(frame, FRAMES));
    if (asked)
        wait_for_record();
    raise(number); /* blocked until we return; its action is the default one again */
}

void fcgi_crash_watch(struct fcgi_board_worker *board, const struct kn_net *net,
                      const struct fcgi_deaths *deaths)
{
    stack_t stack = {.ss_sp = own_stack, .ss_size = sizeof own_stack};
    struct sigaction action = {.sa_sigaction = report};
    void *frame[1];

    watched_board = board;
    watched_net = net;
    watched_deaths = deaths;
    supervisor = getppid();
    backtrace(frame, 1);
    sigaltstack(&stack, NULL);
    sigfillset(&action.sa_mask);
    for (int i = 0; i < N_SIGNALS; i++) {
        /* a second thread's missing page must not end the process before the first has said why */
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        if (signals[i].number != SIGBUS)
            action.sa_flags |= (int)SA_RESETHAND;
        sigaction(signals[i].number, &action, NULL);
    }
}

void fcgi_crash_body(const uint8_t *bytes, size_t n)
{
    watched_body = bytes;
    watched_bytes = n;
}

void fcgi_crash_model(const struct wt_model *model, const struct fcgi_intact *intact)
{
    watched_file = intact;
    watched_model = model;
}

void fcgi_crash_unwatch(void)
{
    watched_board = NULL;
    watched_model = NULL;
}
