/* sandbox_rules.c: the system calls that a process still has when everything is open. What is not
 * here ends it. By libseccomp's names, so that a machine that lacks one (poll, epoll_wait on
 * aarch64) leaves it out. */
#include "fcgi/sandbox_rules.h"

#include <errno.h>
#include <linux/futex.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fcgi/deaths.h"

enum { WORKER = FCGI_SANDBOX_WORKER, CONTROL = FCGI_SANDBOX_CONTROL, BOTH = WORKER | CONTROL };

struct rule {
    int number;
    int programs;
    unsigned n_args;
    struct scmp_arg_cmp args[2]; /* all have to be so */
};

/* clang-format off */
/* Any arguments. Kernels since 5.11 keep a bitmap of these, and run no filter for them. */
#define ANY(programs, name)    {SCMP_SYS(name), programs, 0, {{0, 0, 0, 0}}}
#define ARG(i, value)          {i, SCMP_CMP_EQ, value, 0}
#define BITS(i, mask, value)   {i, SCMP_CMP_MASKED_EQ, mask, value}

enum { FUTEX_OPERATION = 0x7f }; /* without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME */

static const struct rule rules[] = {
    /* what is open; there is nothing here that opens */
    ANY(BOTH, read), ANY(BOTH, write), ANY(BOTH, writev), ANY(BOTH, close), ANY(BOTH, pread64),
    ANY(BOTH, accept4), ANY(BOTH, recvfrom),
    ANY(WORKER, fstat), /* the model file's, by its descriptor */
    {SCMP_SYS(sendto), BOTH, 1, {ARG(4, 0)}}, /* send(): to nobody but the peer */
    ANY(BOTH, epoll_wait), ANY(BOTH, epoll_pwait), ANY(BOTH, epoll_ctl), ANY(BOTH, poll),
    ANY(BOTH, ppoll),
    {SCMP_SYS(setsockopt), WORKER, 2, {ARG(1, SOL_SOCKET), ARG(2, SO_RCVTIMEO)}},
    {SCMP_SYS(setsockopt), WORKER, 2, {ARG(1, SOL_SOCKET), ARG(2, SO_SNDTIMEO)}},
    {SCMP_SYS(setsockopt), WORKER, 2, {ARG(1, SOL_SOCKET), ARG(2, SO_SNDBUF)}},
    ANY(CONTROL, getdents64), ANY(CONTROL, lseek), /* /proc/self/fd, once more */
    {SCMP_SYS(prlimit64), CONTROL, 2, {ARG(0, 0), ARG(2, 0)}}, /* getrlimit() */

    /* memory of our own, never executable */
    ANY(BOTH, brk), ANY(BOTH, munmap), ANY(BOTH, madvise),
    {SCMP_SYS(mmap), BOTH, 2, {BITS(2, PROT_EXEC, 0), BITS(3, MAP_ANONYMOUS, MAP_ANONYMOUS)}},
    {SCMP_SYS(mremap), BOTH, 1, {ARG(3, MREMAP_MAYMOVE)}},

    /* threads that were made before, though perhaps not all have run yet; and time */
    ANY(BOTH, set_robust_list), ANY(BOTH, rseq),
    {SCMP_SYS(futex), BOTH, 1, {BITS(1, FUTEX_OPERATION, FUTEX_WAIT)}},
    {SCMP_SYS(futex), BOTH, 1, {BITS(1, FUTEX_OPERATION, FUTEX_WAKE)}},
    {SCMP_SYS(futex), BOTH, 1, {BITS(1, FUTEX_OPERATION, FUTEX_WAIT_BITSET)}},
    {SCMP_SYS(futex), BOTH, 1, {BITS(1, FUTEX_OPERATION, FUTEX_WAKE_BITSET)}},
    ANY(BOTH, sched_yield), ANY(BOTH, sched_getaffinity), /* malloc counts CPUs */
    ANY(BOTH, sysinfo),                                   /* qsort asks how much memory there is */
    ANY(BOTH, clock_gettime), ANY(BOTH, gettimeofday), ANY(BOTH, time),
    ANY(BOTH, nanosleep), ANY(BOTH, clock_nanosleep), ANY(BOTH, restart_syscall),

    /* the process itself, and its end */
    ANY(BOTH, getpid), ANY(BOTH, gettid), ANY(BOTH, getppid), ANY(BOTH, rt_sigprocmask),
    ANY(BOTH, rt_sigreturn), ANY(BOTH, exit), ANY(BOTH, exit_group),
    {SCMP_SYS(rt_sigaction), WORKER, 1, {ARG(0, SIGBUS)}}, /* crash.c gives its handler up */
};
/* clang-format on */

/* ---- names ---------------------------------------------------------------------------------- */

/* Resolved beforehand: libseccomp allocates what it returns, and a handler may not. */
enum { N_NAMES = 512 };
static const char *names[N_NAMES];

static void resolve_names(void)
{
    for (int i = 0; i < N_NAMES; i++)
        names[i] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
}

const char *fcgi_sandbox_syscall_name(int number)
{
    return number >= 0 && number < N_NAMES && names[number] ? names[number] : "?";
}

/* ---- the filter ----------------------------------------------------------------------------- */

/* Rules whose arguments are known only now: signals to oneself, and the one to the supervisor. */
static int add_signals(scmp_filter_ctx filter, const struct fcgi_sandbox *sandbox)
{
    int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));

    if (!error && sandbox->supervisor)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(kill), 2,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)sandbox->supervisor, 0),
                                 SCMP_A1(SCMP_CMP_EQ, FCGI_DEATHS_SIGNAL, 0));
    return error;
}

static int add_rules(scmp_filter_ctx filter, const struct fcgi_sandbox *sandbox)
{
    int error = add_signals(filter, sandbox);

    for (const struct rule *rule = rules; !error && rule < rules + sizeof rules / sizeof *rules;
         rule++)
        if (rule->programs & (int)sandbox->program)
            error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rule->number, rule->n_args,
                                           rule->args);
    /* malloc that has no memory left tries this: it is to fail, so that malloc does. Pages that
     * are shared read-only stay read-only, too. */
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOMEM), SCMP_SYS(mprotect), 1,
                                 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return error;
}

/* Older kernels answer a filter by slowing all loads behind stores (SSB); nothing here runs code of
 * others that could measure it. */
static int set_up(scmp_filter_ctx filter)
{
    int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

    if (!error)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (!error)
        error = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    return error;
}

int fcgi_sandbox_rules_load(const struct fcgi_sandbox *sandbox)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
    int error = -ENOMEM;

    if (filter)
        error = set_up(filter);
    if (!error)
        error = add_rules(filter, sandbox);
    if (!error) {
        resolve_names();
        error = seccomp_load(filter);
    }
    if (filter)
        seccomp_release(filter);
    return -error;
}
