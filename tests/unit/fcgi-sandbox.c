/* The sandbox: what ends a process, what does not, and what is said. Each in a process of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/crash.h"
#include "fcgi/log.h"
#include "fcgi/sandbox.h"

enum { GROWS_BYTES = 64 << 20, NO_SANDBOX = 77, WRONG = 1 };

static struct kn_net net;
static struct fcgi_board_worker *board;
static char words[16384];
static int pair[2], forgotten_fd;

static int open_board(void **state)
{
    int fd = fcgi_scoreboard_create("test");

    (void)state;
    board = fcgi_scoreboard_map(fd, 1);
    close(fd);
    fcgi_scoreboard_init_worker(board, 0);
    fcgi_scoreboard_begin(board, 1);
    fcgi_scoreboard_name(board, "the-request", "nginx-id-1", "POST", "/predict");
    return 0;
}

static int close_board(void **state)
{
    (void)state;
    fcgi_scoreboard_unmap(board);
    return 0;
}

static void enter(enum fcgi_sandbox_program program)
{
    const struct fcgi_sandbox sandbox = {
        .wish = FCGI_SANDBOX_WISH_ON,
        .program = program,
        .fds = pair,
        .n_fds = 2,
        .connections = 1,
        .grows_bytes = GROWS_BYTES,
        .supervisor = getppid(),
        .board = board,
        .violations = &board->violations,
    };
    char text[512];

    if (fcgi_sandbox_enter(&sandbox, text) != FCGI_SANDBOX_ON)
        _exit(NO_SANDBOX);
}

/* Runs act(number) inside; returns the wait status. words: what was said. Where there is no sandbox
 * to be had the test is skipped. */
static int status_of(enum fcgi_sandbox_program program, void (*act)(long), long number)
{
    int ends[2], status;
    size_t n = 0;
    ssize_t got;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (!pid) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGURG, SIG_IGN);
        dup2(ends[1], STDERR_FILENO);
        forgotten_fd = dup(STDERR_FILENO);
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
        fcgi_log_setup("test", 0, 1, FCGI_LOG_ERROR, 0);
        if (program == FCGI_SANDBOX_WORKER)
            fcgi_crash_watch(board, &net, NULL);
        enter(program);
        act(number);
        _exit(EXIT_SUCCESS);
    }
    close(ends[1]);
    while ((got = read(ends[0], words + n, sizeof words - 1 - n)) > 0)
        n += (size_t)got;
    words[n] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SANDBOX) {
        print_message("no sandbox here: a sanitizer build, or a kernel without seccomp\n");
        skip();
    }
    return status;
}

/* ---- what ends it --------------------------------------------------------------------------- */

/* The filter comes before the call's arguments are looked at. */
static void call(long number)
{
    syscall(number, -1, -1, -1, -1, -1, -1);
}

static const struct {
    long number;
    const char *name;
} forbidden[] = {
    {SYS_openat, "openat"},
    {SYS_execve, "execve"},
    {SYS_execveat, "execveat"},
    {SYS_socket, "socket"},
    {SYS_connect, "connect"},
    {SYS_bind, "bind"},
    {SYS_listen, "listen"},
    {SYS_shutdown, "shutdown"},
    {SYS_sendmsg, "sendmsg"},
    {SYS_recvmsg, "recvmsg"},
    {SYS_sendto, "sendto"}, /* with an address */
    {SYS_setsockopt, "setsockopt"},
    {SYS_clone, "clone"},
    {SYS_kill, "kill"},
    {SYS_tgkill, "tgkill"},
    {SYS_ptrace, "ptrace"},
    {SYS_process_vm_writev, "process_vm_writev"},
    {SYS_mmap, "mmap"}, /* executable, of a file */
    {SYS_mprotect, "mprotect"},
    {SYS_mremap, "mremap"},
    {SYS_futex, "futex"},
    {SYS_ioctl, "ioctl"},
    {SYS_fcntl, "fcntl"},
    {SYS_prctl, "prctl"},
    {SYS_dup, "dup"},
    {SYS_pwrite64, "pwrite64"},
    {SYS_unlinkat, "unlinkat"},
    {SYS_memfd_create, "memfd_create"},
    {SYS_rt_sigaction, "rt_sigaction"},
    {SYS_setuid, "setuid"},
    {SYS_unshare, "unshare"},
    {SYS_bpf, "bpf"},
};

static void check_violation(int status, const char *name, const char *request)
{
    char expected[128];

    snprintf(expected, sizeof expected, "event=sandbox_violation syscall=%s number=", name);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS || !strstr(words, expected))
        fail_msg("%s: status %x, said: %s", name, (unsigned)status, words);
    assert_non_null(strstr(words, request));
}

static void what_ends_a_worker(void **state)
{
    const size_t n = sizeof forbidden / sizeof forbidden[0];

    (void)state;
    for (size_t i = 0; i < n; i++) {
        check_violation(status_of(FCGI_SANDBOX_WORKER, call, forbidden[i].number),
                        forbidden[i].name, "request_id=the-request nginx_id=nginx-id-1");
        assert_non_null(strstr(words, "event=crashed signal=SYS")); /* its own last words, too */
    }
    assert_int_equal(board->violations, n);
}

static void what_ends_control(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
        check_violation(status_of(FCGI_SANDBOX_CONTROL, call, forbidden[i].number),
                        forbidden[i].name, "request_id=");
}

static void signal_somebody(long number)
{
    kill(getppid(), (int)number);
}

static void only_one_signal_for_one_process(void **state)
{
    (void)state;
    signal(SIGURG, SIG_IGN);
    assert_int_equal(status_of(FCGI_SANDBOX_WORKER, signal_somebody, SIGURG), 0);
    check_violation(status_of(FCGI_SANDBOX_WORKER, signal_somebody, SIGCONT), "kill", "");
}

static void *violate(void *arg)
{
    pthread_barrier_wait(arg);
    call(SYS_getcwd);
    return NULL;
}

/* Threads that were there before are inside as well. */
static void a_thread_violates(void **state)
{
    pthread_barrier_t barrier;
    pthread_t thread;
    int status;

    (void)state;
    pid_t pid = fork();
    if (!pid) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        int null_fd = open("/dev/null", O_WRONLY);
        dup2(null_fd, STDERR_FILENO);
        pthread_barrier_init(&barrier, NULL, 2);
        pthread_create(&thread, NULL, violate, &barrier);
        enter(FCGI_SANDBOX_WORKER);
        pthread_barrier_wait(&barrier);
        pthread_join(thread, NULL);
        _exit(EXIT_SUCCESS);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SANDBOX)
        skip();
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    assert_int_equal(board->violations, 1);
}

static void crash(long number)
{
    raise((int)number);
}

/* A crash stays that crash, whatever its handler has to call. */
static void crashes_stay_what_they_are(void **state)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        int status = status_of(FCGI_SANDBOX_WORKER, crash, numbers[i]);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), numbers[i]);
        assert_non_null(strstr(words, "event=crashed"));
    }
    assert_int_equal(board->violations, 0);
}

/* ---- what does not -------------------------------------------------------------------------- */

static void work_as_ever(long number)
{
    char bytes[2] = "x";
    struct timespec now;

    (void)number;
    for (size_t n = 1; n < GROWS_BYTES / 2; n *= 4) {
        char *more = realloc(malloc(n), 2 * n);
        if (!more)
            _exit(WRONG);
        more[2 * n - 1] = 1;
        free(more);
    }
    if (send(pair[0], bytes, 1, MSG_NOSIGNAL) != 1 || recv(pair[1], bytes, 2, 0) != 1 ||
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) ||
        setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){1 << 20}, sizeof(int)))
        _exit(WRONG);
}

static void what_goes_on(void **state)
{
    (void)state;
    assert_int_equal(status_of(FCGI_SANDBOX_WORKER, work_as_ever, 0), 0);
    assert_int_equal(board->violations, 0);
}

static void stop(long number)
{
    if (number)
        raise((int)number);
    else
        abort();
}

static void crashes_are_what_they_were(void **state)
{
    (void)state;
    assert_int_equal(WTERMSIG(status_of(FCGI_SANDBOX_WORKER, stop, 0)), SIGABRT);
    assert_non_null(strstr(words, "event=crashed signal=ABRT"));
    assert_int_equal(WTERMSIG(status_of(FCGI_SANDBOX_WORKER, stop, SIGSEGV)), SIGSEGV);
    assert_null(strstr(words, "sandbox_violation"));
    assert_int_equal(WTERMSIG(status_of(FCGI_SANDBOX_WORKER, stop, SIGSYS)), SIGSYS);
    assert_null(strstr(words, "sandbox_violation")); /* it was sent, not earned */
}

/* ---- limits --------------------------------------------------------------------------------- */

static void *volatile taken;

static void take_too_much(long number)
{
    (void)number;
    taken = malloc(2 * (size_t)GROWS_BYTES);
    if (taken)
        _exit(WRONG);
    for (int i = 0; (taken = malloc(4096)); i++) /* by brk(), and what malloc tries after it */
        if (i > 2 * (GROWS_BYTES / 4096))
            _exit(WRONG);
}

static void memory_ends_in_null(void **state)
{
    (void)state;
    assert_int_equal(status_of(FCGI_SANDBOX_WORKER, take_too_much, 0), 0);
}

static void use_forgotten(long number)
{
    struct sockaddr_storage peer;

    (void)number;
    (void)peer;
    if (write(forgotten_fd, "x", 1) == 1 || errno != EBADF)
        _exit(WRONG);
}

static void descriptors_are_closed(void **state)
{
    (void)state;
    assert_int_equal(status_of(FCGI_SANDBOX_WORKER, use_forgotten, 0), 0);
}

/* ---- without -------------------------------------------------------------------------------- */

static void off_changes_nothing(void **state)
{
    struct fcgi_sandbox sandbox = {.wish = FCGI_SANDBOX_WISH_OFF,
                                   .program = FCGI_SANDBOX_WORKER,
                                   .violations = &board->violations};
    char text[512];

    (void)state;
    assert_int_equal(fcgi_sandbox_enter(&sandbox, text), FCGI_SANDBOX_OFF);
    assert_int_equal(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_board, close_board)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(off_changes_nothing), TEST(what_ends_a_worker),
        TEST(what_ends_control),   TEST(only_one_signal_for_one_process),
        TEST(a_thread_violates),   TEST(crashes_stay_what_they_are),
        TEST(what_goes_on),        TEST(crashes_are_what_they_were),
        TEST(memory_ends_in_null), TEST(descriptors_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
