/* sandbox.c: descriptors, limits, then the filter: see sandbox_rules.c for what it lets through. */
#include "fcgi/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fcgi/config.h"
#include "fcgi/log.h"
#include "fcgi/memory.h"
#include "fcgi/sandbox_rules.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

/* ---- last words ----------------------------------------------------------------------------- */

/* A handler gets no argument of ours. Written before the filter is there. */
static struct {
    const struct fcgi_board_worker *board;
    _Atomic uint64_t *violations;
    struct sigaction before;
} watched;

/* Async-signal-safe, as crash.c. Its action is the default one again, and the signal is blocked
 * until it returns: a second violation ends the process there and then. */
static void end_violator(int number, siginfo_t *info, void *context)
{
    enum { FROM_FILTER = 1 }; /* SYS_SECCOMP, which not every libc names */
    struct fcgi_board_request request;

    if (info->si_code == FROM_FILTER) {
        if (!watched.board || !fcgi_scoreboard_request(watched.board, &request))
            memset(&request, 0, sizeof request);
        atomic_fetch_add(watched.violations, 1);
        fcgi_log(FCGI_LOG_ERROR, "sandbox_violation",
                 "syscall=%s number=%d request_id=%s nginx_id=%s",
                 fcgi_sandbox_syscall_name(info->si_syscall), info->si_syscall, request.request_id,
                 request.nginx_id);
    }
    if (watched.before.sa_flags & SA_SIGINFO)
        watched.before.sa_sigaction(number, info, context);
    else
        raise(number);
}

static void watch(const struct fcgi_sandbox *sandbox)
{
    struct sigaction action = {.sa_sigaction = end_violator,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};

    watched.board = sandbox->board;
    watched.violations = sandbox->violations;
    sigfillset(&action.sa_mask);
    sigaction(SIGSYS, &action, &watched.before);
}

/* ---- descriptors and limits ----------------------------------------------------------------- */

static int is_kept(const struct fcgi_sandbox *sandbox, int fd)
{
    int kept = fd <= STDERR_FILENO;

    for (int i = 0; i < sandbox->n_fds; i++)
        kept |= sandbox->fds[i] == fd;
    return kept;
}

/* By the list, because close_range() is younger than kernels that people run. */
static void close_others(const struct fcgi_sandbox *sandbox)
{
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd != dirfd(directory) && !is_kept(sandbox, fd))
            close(fd);
    }
    if (directory)
        closedir(directory);
}

static void lower(__rlimit_resource_t resource, rlim_t value)
{
    struct rlimit limit;

    if (getrlimit(resource, &limit) || limit.rlim_max <= value)
        return;
    limit = (struct rlimit){value, value};
    if (setrlimit(resource, &limit))
        fcgi_log(FCGI_LOG_WARN, "sandbox", "reason=%s resource=%d error=%s",
                 "a limit could not be lowered", (int)resource, strerror(errno));
}

/* Bytes of private writable memory now. 0: cannot be told. */
static uint64_t data_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long pages = 0;

    if (!file)
        return 0;
    if (fscanf(file, "%*u %*u %*u %*u %*u %llu", &pages) != 1)
        pages = 0;
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A connection takes the lowest descriptor that is free. */
static void limit(const struct fcgi_sandbox *sandbox)
{
    uint64_t now = data_bytes(), grows = (uint64_t)sandbox->grows_bytes;
    int last = STDERR_FILENO;

    for (int i = 0; i < sandbox->n_fds; i++)
        last = sandbox->fds[i] > last ? sandbox->fds[i] : last;
    lower(RLIMIT_NOFILE, (rlim_t)last + 1 + (rlim_t)sandbox->connections);
    if (sandbox->grows_bytes >= 0 && now && grows < RLIM_INFINITY - now)
        lower(RLIMIT_DATA, now + grows);
}

/* ---- entering ------------------------------------------------------------------------------- */

/* Why it is left out on purpose; NULL: it is not. A sanitizer opens files and asks for threads when
 * it reports; valgrind makes system calls of its own in our name. */
static const char *reason_to_stay_out(const struct fcgi_sandbox *sandbox)
{
    const char *preload = getenv("LD_PRELOAD");

    if (sandbox->wish == FCGI_SANDBOX_WISH_OFF)
        return "RESNET_SANDBOX=off: whoever takes this process over can open files and sockets, "
               "and run programs";
#ifdef SANITIZED
    return "this is a sanitizer build";
#endif
    return preload && strstr(preload, "/vgpreload_") ? "this runs under valgrind" : NULL;
}

static int tell(const struct fcgi_sandbox *sandbox, enum fcgi_sandbox_state state,
                const char *reason, char text[512])
{
    if (sandbox->wish == FCGI_SANDBOX_WISH_REQUIRE) {
        snprintf(text, 512, "RESNET_SANDBOX=require: there is no sandbox: %s", reason);
        return -FCGI_EXIT_CONFIG;
    }
    fcgi_log(FCGI_LOG_WARN, "sandbox", "state=%s reason=%s", fcgi_scoreboard_sandbox_name(state),
             reason);
    return (int)state;
}

enum { FILTER_BYTES = 4 << 20 }; /* several times what making it takes */

int fcgi_sandbox_enter(const struct fcgi_sandbox *sandbox, char text[512])
{
    const char *reason = reason_to_stay_out(sandbox);
    char missing[256];

    if (reason)
        return tell(sandbox, FCGI_SANDBOX_OFF, reason, text);
    /* libseccomp crashes, or never returns, where it gets none */
    if (!fcgi_memory_has(FILTER_BYTES)) {
        snprintf(text, 512, "no memory for the sandbox's filter");
        return -FCGI_EXIT_TRY_LATER;
    }
    close_others(sandbox);
    limit(sandbox);
    watch(sandbox);
    /* for kernels that have this and no filters; with filters it is asked for once more */
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int error = fcgi_sandbox_rules_load(sandbox);
    if (!error)
        return FCGI_SANDBOX_ON;
    snprintf(missing, sizeof missing,
             "the kernel, or what this container may ask of it, gives no seccomp filter (%s); "
             "descriptors and limits are closed down all the same",
             strerror(error));
    return tell(sandbox, FCGI_SANDBOX_MISSING, missing, text);
}
