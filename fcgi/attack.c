/* attack.c: part of build/faults/ only. Each attack returns 0 when it worked, or -1 with errno. */
#include "fcgi/attack.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "fcgi/log.h"
#include "fcgi/scoreboard.h"

struct victim {
    pid_t pid;
    uintptr_t address; /* of a page of it */
};

/* A shell that leaves a file behind. */
static int try_execve(const struct victim *victim)
{
    char *const argv[] = {"sh", "-c", "echo taken > \"$RESNET_FAULT_STATE.taken\"", NULL};

    (void)victim;
    return execve("/bin/sh", argv, environ);
}

static int try_open(const struct victim *victim)
{
    (void)victim;
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 ? -1 : 0;
}

static int try_socket(const struct victim *victim)
{
    (void)victim;
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 ? -1 : 0;
}

/* With the socket that it has: refused means that the kernel looked for a peer. */
static int try_connect(const struct victim *victim)
{
    const struct sockaddr_un nobody = {.sun_family = AF_UNIX, .sun_path = "\0nobody"};

    (void)victim;
    connect(STDIN_FILENO, (const struct sockaddr *)&nobody, sizeof nobody);
    return errno == ECONNREFUSED || errno == EINVAL ? 0 : -1;
}

static int try_kill(const struct victim *victim)
{
    return kill(victim->pid, SIGTERM);
}

static int try_ptrace(const struct victim *victim)
{
    return (int)ptrace(PTRACE_SEIZE, victim->pid, NULL, NULL);
}

static int try_fork(const struct victim *victim)
{
    (void)victim;
    pid_t pid = fork();
    if (!pid)
        _exit(0);
    return pid < 0 ? -1 : 0;
}

/* Where signals are blocked nobody can say which call it was. glibc's fork() does so from 2.41 on.
 */
static int try_quiet(const struct victim *victim)
{
    sigset_t all, before;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    int failed = try_fork(victim);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return failed;
}

static int try_mprotect(const struct victim *victim)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)victim;
    return page == MAP_FAILED ? -1 : mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static int try_mmap(const struct victim *victim)
{
    const int protection = PROT_READ | PROT_WRITE | PROT_EXEC;

    (void)victim;
    return mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

/* The requests that another worker has counted, say. */
static int try_page(const struct victim *victim)
{
    char byte = 0;
    const struct iovec from = {&byte, 1};
    const struct iovec to = {(void *)victim->address, 1};

    return process_vm_writev(victim->pid, &from, 1, &to, 1, 0) == 1 ? 0 : -1;
}

/* Rubbish, again and again, all over a page of this process that others read, too. */
static int try_scribble(const struct victim *victim)
{
    enum { PAGE_WORDS = 512 };
    const uint64_t lasts_ns = 1000000000u, end_ns = fcgi_scoreboard_now_ns() + lasts_ns;
    volatile uint64_t *page = (volatile uint64_t *)victim->address;
    uint64_t rubbish = end_ns;

    errno = ESRCH;
    if (victim->pid != getpid())
        return -1;
    while (fcgi_scoreboard_now_ns() < end_ns)
        for (int i = 0; i < PAGE_WORDS; i++) {
            rubbish = rubbish * 6364136223846793005u + 1442695040888963407u;
            page[i] = rubbish % 3 ? rubbish : 0 - (rubbish >> 63);
        }
    return 0;
}

/* The same, and leaves it at that. */
static int try_die(const struct victim *victim)
{
    if (try_scribble(victim))
        return -1;
    abort();
}

static const struct {
    const char *name;
    int (*attempt)(const struct victim *victim);
} attacks[] = {
    {"execve", try_execve},   {"open", try_open},         {"socket", try_socket},
    {"connect", try_connect}, {"kill", try_kill},         {"ptrace", try_ptrace},
    {"fork", try_fork},       {"mprotect", try_mprotect}, {"mmap", try_mmap},
    {"page", try_page},       {"quiet", try_quiet},       {"scribble", try_scribble},
    {"die", try_die},
};
enum { N_ATTACKS = sizeof attacks / sizeof attacks[0] };

static int find(const char *name)
{
    int i = 0;

    while (i < N_ATTACKS && strcmp(attacks[i].name, name))
        i++;
    return i;
}

int fcgi_attack_is_known(const char *name)
{
    return find(name) < N_ATTACKS;
}

void fcgi_attack(const char *name, const char *request_id)
{
    const char *at = strpbrk(request_id, "0123456789");
    struct victim victim = {0};
    char *end;

    if (at) {
        victim.pid = (pid_t)strtol(at, &end, 10);
        victim.address = *end == '-' ? (uintptr_t)strtoull(end + 1, NULL, 16) : 0;
    }
    int failed = attacks[find(name)].attempt(&victim);
    fcgi_log(FCGI_LOG_WARN, "attacked", "attack=%s error=%s request_id=%s", name,
             failed ? strerror(errno) : "none", request_id);
}
