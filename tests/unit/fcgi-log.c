/* A log line: whole, readable by machines in both formats, whatever the values hold. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/log.h"

static char line[8192];
static int pipe_fds[2], saved;

static int catch_stderr(void **state)
{
    (void)state;
    fflush(stderr);
    saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(pipe_fds), 0);
    assert_true(dup2(pipe_fds[1], STDERR_FILENO) >= 0);
    close(pipe_fds[1]);
    return 0;
}

static int give_back(void **state)
{
    (void)state;
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(pipe_fds[0]);
    return 0;
}

/* One read: a line comes by one write. */
static const char *read_line(void)
{
    ssize_t n = read(pipe_fds[0], line, sizeof line - 1);

    assert_true(n > 0);
    line[n] = 0;
    assert_ptr_equal(strchr(line, '\n'), line + n - 1);
    return line;
}

static const char *event_of(const char *whole)
{
    const char *event = strstr(whole, "event=");

    assert_non_null(event);
    return event;
}

static void logfmt(void **state)
{
    (void)state;
    fcgi_log_setup("resnet-fcgi", 3, 2, FCGI_LOG_INFO, 0);
    fcgi_log(FCGI_LOG_INFO, "request", "id=%s ms=%.1f n=%zu big=%lld by=%s/%d cut=%.*s x=%x",
             "abc-1", 12.25, (size_t)7, -9000000000LL, "host", 3, 2, "abcdef", 255u);
    assert_string_equal(event_of(read_line()),
                        "event=request id=abc-1 ms=12.2 n=7 big=-9000000000 by=host/3 cut=ab "
                        "x=0xff\n");
    assert_non_null(strstr(line, " level=info program=resnet-fcgi host="));
    assert_non_null(strstr(line, " slot=3 gen=2 pid="));
}

static void values_are_quoted(void **state)
{
    (void)state;
    fcgi_log_setup("p", -1, 0, FCGI_LOG_DEBUG, 0);
    fcgi_log(FCGI_LOG_DEBUG, "e", "a=%s b=%s c=%s d=%s e=%s", "two words", "say \"hi\"\\",
             "new\nline", "k=v", "");
    assert_string_equal(event_of(read_line()), "event=e a=\"two words\" b=\"say \\\"hi\\\"\\\\\" "
                                               "c=\"new\\u000aline\" d=\"k=v\"\n");
    assert_null(strstr(line, "slot="));
    fcgi_log(FCGI_LOG_WARN, "e", "a=%s b=%s", "caf\xc3\xa9", "\xff\x80");
    assert_string_equal(event_of(read_line()), "event=e a=\"caf\xc3\xa9\" b=\"\\u00ff\\u0080\"\n");
}

static void json(void **state)
{
    const char *time_n = "{\"time\":\"";

    (void)state;
    fcgi_log_setup("p", 0, 0, FCGI_LOG_INFO, 1);
    fcgi_log(FCGI_LOG_ERROR, "e", "id=%s n=%d ms=%.2f inf=%f by=%s/%d word=yes", "a\tb", -5, 0.5,
             __builtin_inf(), "h", 1);
    read_line();
    assert_memory_equal(line, time_n, strlen(time_n));
    assert_non_null(strstr(line, "\"event\":\"e\",\"id\":\"a\\u0009b\",\"n\":-5,\"ms\":0.50,"
                                 "\"inf\":\"inf\",\"by\":\"h/1\",\"word\":\"yes\"}\n"));
}

static void levels(void **state)
{
    (void)state;
    fcgi_log_setup("p", -1, 0, FCGI_LOG_WARN, 0);
    fcgi_log(FCGI_LOG_INFO, "no", "a=%d", 1);
    fcgi_log(FCGI_LOG_WARN, "yes", "a=%d", 1);
    assert_string_equal(event_of(read_line()), "event=yes a=1\n");
}

/* What does not fit is left out whole, and the line still ends as it must. */
static void a_line_is_bounded(void **state)
{
    char *text = malloc(20001);

    (void)state;
    memset(text, '"', 20000);
    text[20000] = 0;
    for (int as_json = 0; as_json < 2; as_json++) {
        fcgi_log_setup("p", -1, 0, FCGI_LOG_INFO, as_json);
        fcgi_log(FCGI_LOG_INFO, "e", "a=%s b=%s c=%s d=%d", text, text, text, 7);
        read_line();
        assert_true(strlen(line) <= 4096);
        assert_non_null(strstr(line, as_json ? ",\"d\":7}\n" : " d=7\n"));
        assert_non_null(strstr(line, as_json ? ",\"a\":\"" : " a=\""));
        assert_null(strstr(line, as_json ? ",\"c\":" : " c="));
    }
    free(text);
}

static void time_is_utc(void **state)
{
    struct timespec before, after; /* time() is up to a tick of the kernel late */
    char first[32], last[32];
    struct tm tm;

    (void)state;
    fcgi_log_setup("p", -1, 0, FCGI_LOG_INFO, 0);
    clock_gettime(CLOCK_REALTIME, &before);
    fcgi_log(FCGI_LOG_INFO, "e", "a=%d", 1);
    clock_gettime(CLOCK_REALTIME, &after);
    read_line();
    strftime(first, sizeof first, "%Y-%m-%dT%H:%M:%S", gmtime_r(&before.tv_sec, &tm));
    strftime(last, sizeof last, "%Y-%m-%dT%H:%M:%S", gmtime_r(&after.tv_sec, &tm));
    line[19] = 0;
    assert_true(strcmp(first, line) <= 0 && strcmp(line, last) <= 0);
    assert_int_equal(line[23], 'Z');
}

/* ---- a log that takes nothing ---------------------------------------------------------------- */

static void put_stderr(int fd)
{
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    fcgi_log_setup("p", -1, 0, FCGI_LOG_INFO, 0);
}

static void read_all(int fd)
{
    ssize_t n = read(fd, line, sizeof line - 1);

    assert_true(n > 0);
    line[n] = 0;
}

static const char *after(const char *text, const char *part)
{
    const char *found = strstr(text, part);

    if (!found)
        fail_msg("\"%s\" is not in \"%s\"", part, text);
    return found + strlen(part);
}

/* Lines until nothing goes in any more, then three; writer: what is to be full. */
static void fill(int writer)
{
    char block[4096];

    memset(block, '.', sizeof block);
    assert_int_equal(fcntl(writer, F_SETFL, fcntl(writer, F_GETFL) | O_NONBLOCK), 0);
    while (write(writer, block, sizeof block) > 0)
        ;
    while (write(writer, ".", 1) > 0)
        ;
    assert_int_equal(fcntl(writer, F_SETFL, fcntl(writer, F_GETFL) & ~O_NONBLOCK), 0);
    for (int i = 0; i < 3; i++)
        fcgi_log(FCGI_LOG_INFO, "nobody_reads", "i=%d", i);
}

static void empty(int fd)
{
    char block[4096];

    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
    while (read(fd, block, sizeof block) > 0)
        ;
}

/* Three lines that were lost, and one that is not. */
static void check_lost(int fd)
{
    empty(fd);
    fcgi_log(FCGI_LOG_INFO, "again", "a=%d", 1);
    ssize_t n = read(fd, line, sizeof line - 1), more;
    assert_true(n > 0);
    if ((more = read(fd, line + n, sizeof line - 1 - (size_t)n)) >
        0) /* a socket keeps them apart */
        n += more;
    line[n] = 0;
    const char *rest = after(line, " event=log_lost lines=3 reason=");
    assert_null(strstr(after(rest, " event=again a=1\n"), "event="));
    fcgi_log(FCGI_LOG_INFO, "later", "a=%d", 1);
    read_all(fd);
    assert_null(strstr(line, "log_lost"));
}

static void a_full_pipe_holds_nobody_up(void **state)
{
    (void)state;
    int flags = fcntl(STDERR_FILENO, F_GETFL), first = dup(STDERR_FILENO);

    put_stderr(first);
    assert_int_equal(fcntl(first, F_GETFL), flags); /* others may have it open */
    fill(first);
    check_lost(pipe_fds[0]);
    close(first);
}

/* A container's engine makes the pipe as root: it cannot be opened once more. */
static void a_full_pipe_of_another_user_holds_nobody_up(void **state)
{
    (void)state;
    if (geteuid()) {
        print_message("only root can become another user\n");
        skip();
    }
    int first = dup(STDERR_FILENO);
    assert_int_equal(seteuid(65534), 0);
    put_stderr(first);
    assert_int_equal(seteuid(0), 0);
    assert_false(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK);
    fill(first);
    check_lost(pipe_fds[0]);
    close(first);
}

static void a_full_socket_holds_nobody_up(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    put_stderr(ends[0]);
    fill(ends[0]);
    check_lost(ends[1]);
    close(ends[0]);
    close(ends[1]);
}

static void a_full_disk_is_told_of_later(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), pipe_end = dup(STDERR_FILENO);

    (void)state;
    assert_true(full >= 0);
    put_stderr(full);
    for (int i = 0; i < 3; i++)
        fcgi_log(FCGI_LOG_INFO, "no_room", "i=%d", i);
    put_stderr(pipe_end);
    check_lost(pipe_fds[0]);
    close(full);
    close(pipe_end);
}

/* A file that may not grow takes the first half of a line: what follows begins with one of its own.
 */
static void a_line_cut_in_two_is_ended(void **state)
{
    FILE *file = tmpfile();
    struct rlimit before, low;

    (void)state;
    assert_non_null(file);
    put_stderr(fileno(file));
    fcgi_log(FCGI_LOG_INFO, "whole", "a=%d", 1);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = (struct rlimit){(rlim_t)lseek(STDERR_FILENO, 0, SEEK_CUR) + 20, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    fcgi_log(FCGI_LOG_INFO, "cut", "a=%d", 1);
    fcgi_log(FCGI_LOG_INFO, "no_room", "a=%d", 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    fcgi_log(FCGI_LOG_INFO, "again", "a=%d", 1);
    ssize_t n = pread(fileno(file), line, sizeof line - 1, 0);
    fclose(file);
    assert_true(n > 0);
    line[n] = 0;
    const char *rest = after(line, " event=whole a=1\n");
    assert_int_equal(strcspn(rest, "\n"), 20);
    rest = after(rest + 21, " level=error program=p ");
    after(after(rest, " event=log_lost lines=2 reason=\"File too large\"\n"), " event=again a=1\n");
}

static void lines_of_others_are_counted(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), pipe_end = dup(STDERR_FILENO);

    (void)state;
    put_stderr(full);
    fcgi_log_lines("one\ntwo\nthree\n", 14);
    put_stderr(pipe_end);
    check_lost(pipe_fds[0]);
    close(full);
    close(pipe_end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(logfmt, catch_stderr, give_back),
        cmocka_unit_test_setup_teardown(values_are_quoted, catch_stderr, give_back),
        cmocka_unit_test_setup_teardown(json, catch_stderr, give_back),
        cmocka_unit_test_setup_teardown(levels, catch_stderr, give_back),
        cmocka_unit_test_setup_teardown(a_line_is_bounded, catch_stderr, give_back),
        cmocka_unit_test_setup_teardown(time_is_utc, catch_stderr, give_back),
        cmocka_unit_test_setup_teardown(a_full_pipe_holds_nobody_up, catch_stderr, give_back),
        cmocka_unit_test_setup_teardown(a_full_pipe_of_another_user_holds_nobody_up, catch_stderr,
                                        give_back),
        cmocka_unit_test_setup_teardown(a_full_socket_holds_nobody_up, catch_stderr, give_back),
        cmocka_unit_test_setup_teardown(a_full_disk_is_told_of_later, catch_stderr, give_back),
        cmocka_unit_test_setup_teardown(a_line_cut_in_two_is_ended, catch_stderr, give_back),
        cmocka_unit_test_setup_teardown(lines_of_others_are_counted, catch_stderr, give_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
