/* Last words: what a process says when it crashes, and that it still dies of the crash. */
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
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/config.h"
#include "fcgi/crash.h"
#include "fcgi/log.h"
#include "weights/mapping.h"

static struct kn_net net = {.n_layers = 2,
                            .layer = {{.name = "conv1"}, {.name = "layer1.0.conv1"}}};
static struct fcgi_board_worker *board;
static char words[16384];

static int open_board(void **state)
{
    int fd = fcgi_scoreboard_create("test");

    (void)state;
    board = fcgi_scoreboard_map(fd, 1);
    close(fd);
    fcgi_scoreboard_init_worker(board, 0);
    fcgi_scoreboard_begin(board, 1);
    fcgi_scoreboard_name(board, "the-request", "nginx-id-1", "POST", "/predict");
    fcgi_scoreboard_stage(board, FCGI_STAGE_INFER);
    fcgi_scoreboard_tick(board, 1);
    return 0;
}

static int close_board(void **state)
{
    (void)state;
    fcgi_scoreboard_unmap(board);
    return 0;
}

/* Runs crash() in a child, and returns how it ended; words: what it said. */
static int end_of(void (*crash)(void), int json)
{
    int ends[2], status;
    size_t n = 0;
    ssize_t got;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (!pid) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        dup2(ends[1], STDERR_FILENO);
        fcgi_log_setup("test", 0, 1, FCGI_LOG_ERROR, json);
        fcgi_crash_watch(board, &net, NULL);
        crash();
        _exit(0);
    }
    close(ends[1]);
    while ((got = read(ends[0], words + n, sizeof words - 1 - n)) > 0)
        n += (size_t)got;
    words[n] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* The signal that it died of. */
static int death_of(void (*crash)(void), int json)
{
    int status = end_of(crash, json);

    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void touch_nothing(void)
{
    volatile char *page = mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *page = 1;
}

static int sink;

__attribute__((noinline)) static void overflow(int depth)
{
    volatile char room[4096];

    room[0] = (char)depth;
    if (depth < 1 << 30)
        overflow(depth + 1);
    sink += room[0];
}

static void overflow_stack(void)
{
    overflow(0);
}

static void send_self_fpe(void)
{
    kill(getpid(), SIGFPE);
    pause();
}

/* In the middle of the page's strings: they are left out, the rest is said. */
static void abort_while_writing(void)
{
    atomic_store(&board->sequence, 1);
    abort();
}

static void a_fault(void **state)
{
    (void)state;
    assert_int_equal(death_of(touch_nothing, 0), SIGSEGV);
    assert_non_null(strstr(words, " level=error program=test host="));
    assert_non_null(strstr(words, " slot=0 gen=1 pid="));
    assert_non_null(strstr(words, " event=crashed signal=SEGV from=0 request_id=the-request "
                                  "nginx_id=nginx-id-1 stage=infer layer=layer1.0.conv1 ticks="));
    assert_non_null(strstr(words, "unit-fcgi-crash+0x")); /* the backtrace */
}

static void in_json(void **state)
{
    (void)state;
    assert_int_equal(death_of(abort, 1), SIGABRT);
    assert_non_null(strstr(words, "\"event\":\"crashed\",\"signal\":\"ABRT\",\"from\":"));
    assert_non_null(strstr(words, "\"request_id\":\"the-request\""));
}

static void the_stack_overflows(void **state)
{
    (void)state;
    assert_int_equal(death_of(overflow_stack, 0), SIGSEGV);
    assert_non_null(strstr(words, "event=crashed signal=SEGV"));
}

static void sent_by_somebody(void **state)
{
    char from[64];

    (void)state;
    assert_int_equal(death_of(send_self_fpe, 0), SIGFPE);
    snprintf(from, sizeof from, "signal=FPE from=%d", 0);
    assert_null(strstr(words, from));
    assert_non_null(strstr(words, "signal=FPE from="));
}

static void while_the_page_is_written(void **state)
{
    (void)state;
    assert_int_equal(death_of(abort_while_writing, 0), SIGABRT);
    assert_null(strstr(words, "request_id="));
    assert_non_null(strstr(words, "stage=infer layer=layer1.0.conv1"));
}

/* ---- pages of a file that was cut off ------------------------------------------------------- */

enum { PAGE_BYTES = 4096, READERS = 4 };
static struct wt_mapping mapping;
static struct wt_model model = {.impl = &mapping};
static struct fcgi_intact intact;
static pthread_barrier_t all_are_there;

static const uint8_t *map_and_cut_off(void)
{
    int fd = memfd_create("model", MFD_CLOEXEC);
    uint8_t *pages;

    if (fd < 0 || ftruncate(fd, READERS * PAGE_BYTES))
        _exit(1);
    pages = mmap(NULL, READERS * PAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    fcgi_intact_open(&intact, fd, "the-model");
    fcgi_crash_model(&model, &intact);
    if (pages == MAP_FAILED || ftruncate(fd, 0))
        _exit(1);
    return pages;
}

static void *read_page(void *page)
{
    pthread_barrier_wait(&all_are_there);
    _exit(*(const volatile uint8_t *)page);
}

static void read_weights(void)
{
    const uint8_t *pages = map_and_cut_off();
    pthread_t thread;

    mapping.view.base = pages;
    mapping.view.bytes = READERS * PAGE_BYTES;
    pthread_barrier_init(&all_are_there, NULL, READERS);
    for (int i = 1; i < READERS; i++)
        if (pthread_create(&thread, NULL, read_page, (void *)(pages + i * PAGE_BYTES)))
            _exit(1);
    read_page((void *)pages);
}

static void read_something_else(void)
{
    _exit(*(const volatile uint8_t *)map_and_cut_off());
}

/* All threads read weights at once, so the second finds its page gone while the first still says
 * so. */
static void the_model_is_cut_off(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        int status = end_of(read_weights, 0);
        const char *said = strstr(words, "event=model_changed");
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), FCGI_EXIT_MODEL);
        assert_non_null(said);
        assert_null(strstr(said + 1, "event="));
    }
}

static void another_file_is_cut_off(void **state)
{
    (void)state;
    assert_int_equal(death_of(read_something_else, 0), SIGBUS);
    assert_non_null(strstr(words, "event=crashed signal=BUS"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_board, close_board)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_fault),
        TEST(in_json),
        TEST(the_stack_overflows),
        TEST(sent_by_somebody),
        TEST(while_the_page_is_written),
        TEST(the_model_is_cut_off),
        TEST(another_file_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
