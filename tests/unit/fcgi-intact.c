/* The model file, looked at again: what counts as a change, and how a worker leaves for it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/config.h"
#include "fcgi/intact.h"
#include "fcgi/log.h"

static char directory[] = "/tmp/resnet-u.XXXXXX";
static char path[64], aside[64];
static struct fcgi_intact intact;

/* Long ago, so that no two changes are made in the same tick of the file system's clock. */
static void write_file(const char *name)
{
    const struct timespec long_ago[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "weights", 7), 7);
    assert_int_equal(futimens(fd, long_ago), 0);
    close(fd);
}

static int open_file(void **state)
{
    (void)state;
    strcpy(directory + sizeof directory - 7, "XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/model", directory);
    snprintf(aside, sizeof aside, "%s/aside", directory);
    write_file(path);
    fcgi_intact_open(&intact, -1, path);
    return intact.fd < 0;
}

static int close_file(void **state)
{
    (void)state;
    fcgi_intact_close(&intact);
    unlink(path);
    unlink(aside);
    return rmdir(directory);
}

static void nothing_happens(void **state)
{
    (void)state;
    assert_true(fcgi_intact_holds(&intact));
    assert_int_equal(chmod(path, 0400), 0);
    assert_true(fcgi_intact_holds(&intact));
}

static void another_is_renamed_over_it(void **state)
{
    (void)state;
    write_file(aside);
    assert_int_equal(rename(aside, path), 0);
    assert_true(fcgi_intact_holds(&intact));
    assert_int_equal(unlink(path), 0);
    assert_true(fcgi_intact_holds(&intact));
    write_file(path);
}

static void it_is_written_to(void **state)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(pwrite(fd, "W", 1, 0), 1);
    close(fd);
    assert_false(fcgi_intact_holds(&intact));
}

static void it_is_cut_off(void **state)
{
    (void)state;
    assert_int_equal(truncate(path, 3), 0);
    assert_false(fcgi_intact_holds(&intact));
}

static void there_is_none(void **state)
{
    struct fcgi_intact none;

    (void)state;
    fcgi_intact_open(&none, -1, "/nowhere/model");
    assert_int_equal(none.fd, -1);
    assert_true(fcgi_intact_holds(&none));
    fcgi_intact_close(&none);
}

/* Its exit code, and what it said. */
static int leave(char words[4096])
{
    struct fcgi_board_worker *board = calloc(1, FCGI_BOARD_BYTES);
    int ends[2], status;
    ssize_t n;

    assert_non_null(board);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fcgi_scoreboard_init_worker(board, 0);
    fcgi_scoreboard_begin(board, 1);
    fcgi_scoreboard_name(board, "the-request", "nginx-id-1", "POST", "/predict");
    pid_t pid = fork();
    if (!pid) {
        dup2(ends[1], STDERR_FILENO);
        fcgi_log_setup("test", 0, 1, FCGI_LOG_ERROR, 0);
        fcgi_intact_leave(&intact, board);
    }
    close(ends[1]);
    n = read(ends[0], words, 4095);
    words[n > 0 ? n : 0] = '\0';
    close(ends[0]);
    free(board);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_worker_leaves(void **state)
{
    char words[4096];

    (void)state;
    assert_int_equal(truncate(path, 3), 0);
    assert_int_equal(leave(words), FCGI_EXIT_MODEL);
    assert_non_null(strstr(words, "event=model_changed request_id=the-request"));
    assert_non_null(strstr(words, "was=7 is=3 how=\"cut off\""));
    assert_int_equal(truncate(path, 9), 0);
    assert_int_equal(leave(words), FCGI_EXIT_MODEL);
    assert_non_null(strstr(words, "was=7 is=9 how=\"written to\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_happens, open_file, close_file),
        cmocka_unit_test_setup_teardown(another_is_renamed_over_it, open_file, close_file),
        cmocka_unit_test_setup_teardown(it_is_written_to, open_file, close_file),
        cmocka_unit_test_setup_teardown(it_is_cut_off, open_file, close_file),
        cmocka_unit_test(there_is_none),
        cmocka_unit_test_setup_teardown(a_worker_leaves, open_file, close_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
