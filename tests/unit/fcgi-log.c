/* A log line: whole, readable by machines in both formats, whatever the values hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    time_t before = time(NULL), after;
    char first[32], last[32];
    struct tm tm;

    (void)state;
    fcgi_log_setup("p", -1, 0, FCGI_LOG_INFO, 0);
    fcgi_log(FCGI_LOG_INFO, "e", "a=%d", 1);
    after = time(NULL);
    read_line();
    strftime(first, sizeof first, "%Y-%m-%dT%H:%M:%S", gmtime_r(&before, &tm));
    strftime(last, sizeof last, "%Y-%m-%dT%H:%M:%S", gmtime_r(&after, &tm));
    line[19] = 0;
    assert_true(strcmp(first, line) <= 0 && strcmp(line, last) <= 0);
    assert_int_equal(line[23], 'Z');
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
