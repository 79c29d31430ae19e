/* JSON, the whole answer, and sending it to readers of every kind. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/json.h"
#include "fcgi/response.h"

static const char *string(const char *text)
{
    static struct fcgi_buffer buffer;

    fcgi_buffer_reset(&buffer);
    fcgi_json_string(&buffer, text);
    fcgi_buffer_add(&buffer, "", 1);
    return buffer.bytes;
}

static const char *number(float value)
{
    static struct fcgi_buffer buffer;

    fcgi_buffer_reset(&buffer);
    fcgi_json_float(&buffer, value);
    fcgi_buffer_add(&buffer, "", 1);
    return buffer.bytes;
}

static void strings(void **state)
{
    (void)state;
    assert_string_equal(string("Egyptian cat"), "\"Egyptian cat\"");
    assert_string_equal(string(""), "\"\"");
    assert_string_equal(string("a\"b\\c\n\x1f\x7f"), "\"a\\\"b\\\\c\\u000a\\u001f\x7f\"");
    assert_string_equal(string("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
                        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    /* stray, overlong, surrogate, cut, too high */
    assert_string_equal(string("\x80|\xc0\xaf|\xed\xa0\x80|\xe2\x82"),
                        "\"\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd"
                        "\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_string_equal(string("\xf5\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void floats_read_back(void **state)
{
    uint32_t bits = 1;

    (void)state;
    assert_string_equal(number(0.91f), "0.91");
    assert_string_equal(number(1.0f), "1");
    assert_string_equal(number(0.0f), "0");
    assert_string_equal(number(1e-30f), "1e-30");
    assert_string_equal(number(__builtin_inff()), "null");
    assert_string_equal(number(__builtin_nanf("")), "null");
    for (int i = 0; i < 20000; i++) {
        float value;
        bits = bits * 1664525u + 1013904223u;
        memcpy(&value, &bits, sizeof value);
        if (value == value && value - value == 0)
            assert_true(strtof(number(value), NULL) == value);
    }
}

static void an_error(void **state)
{
    struct fcgi_response response = {0};
    struct fcgi_err err = {FCGI_E_BODY_TOO_LARGE, "the body has 3 \"bytes\""};

    (void)state;
    fcgi_buffer_text(&response.body, "half an answer");
    fcgi_response_header(&response, "X-Request-ID", "abc");
    fcgi_response_error(&response, &err, "abc");
    assert_int_equal(fcgi_response_seal(&response, 1), 0);
    fcgi_buffer_add(&response.head, "", 1);
    assert_string_equal(response.head.bytes, "X-Request-ID: abc\r\nStatus: 413 Content Too Large"
                                             "\r\nContent-Type: application/json\r\n"
                                             "Content-Length: 96\r\n\r\n");
    fcgi_buffer_add(&response.body, "", 1);
    assert_string_equal(response.body.bytes,
                        "{\"success\":false,\"error\":\"the body has 3 \\\"bytes\\\"\",\"code\":"
                        "\"body_too_large\",\"request_id\":\"abc\"}\n");
    fcgi_response_free(&response);
}

static void every_error_has_a_status(void **state)
{
    (void)state;
    for (int code = 0; code < FCGI_N_CODES; code++) {
        int status = fcgi_error_status((enum fcgi_code)code);
        assert_true(status >= 200 && status < 600);
        assert_non_null(fcgi_error_code((enum fcgi_code)code));
    }
    struct fcgi_err err;
    assert_int_equal(fcgi_fail(&err, FCGI_E_NOT_FOUND, "%d", 7), FCGI_E_NOT_FOUND);
    assert_string_equal(err.text, "7");
}

struct reader {
    int fd;
    size_t n;
};

static void *read_slowly(void *ctx)
{
    struct reader *reader = ctx;
    char trash[5000];
    ssize_t n;

    while ((n = read(reader->fd, trash, sizeof trash)) > 0) {
        reader->n += (size_t)n;
        usleep(200);
    }
    return NULL;
}

/* Far more than a socket holds: it arrives whole all the same. */
static void a_slow_reader_gets_it_all(void **state)
{
    struct fcgi_response response = {0};
    struct reader reader = {0};
    int fds[2];
    pthread_t thread;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (int i = 0; i < 200000; i++)
        fcgi_buffer_text(&response.body, "0123456789");
    assert_int_equal(fcgi_response_seal(&response, 1), 0);
    reader.fd = fds[0];
    assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
    assert_int_equal(fcgi_response_send(&response, fds[1], 3600000), 0);
    close(fds[1]);
    pthread_join(thread, NULL);
    assert_int_equal(reader.n, response.wire.n);
    close(fds[0]);
    fcgi_response_free(&response);
}

static void a_reader_that_does_not_read(void **state)
{
    struct fcgi_response response = {0};
    int fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (int i = 0; i < 5000000; i++)
        fcgi_buffer_text(&response.body, "0123456789");
    assert_int_equal(fcgi_response_seal(&response, 1), 0);
    assert_int_equal(fcgi_response_send(&response, fds[1], 50), -1);
    assert_int_equal(errno, ETIMEDOUT);
    close(fds[0]);
    assert_int_equal(fcgi_response_send(&response, fds[1], 50), -1); /* gone; no SIGPIPE */
    close(fds[1]);
    fcgi_response_free(&response);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings),
        cmocka_unit_test(floats_read_back),
        cmocka_unit_test(an_error),
        cmocka_unit_test(every_error_has_a_status),
        cmocka_unit_test(a_slow_reader_gets_it_all),
        cmocka_unit_test(a_reader_that_does_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
