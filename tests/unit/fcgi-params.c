/* Parameters by libfcgi: small ones, as many as there may be, request after request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/params.h"
#include "fcgi/records.h"

static uint8_t wire[FCGI_RECORDS_MAX_HEAD];
static size_t wire_n;

static void add_record(int type, const void *content, size_t n)
{
    const uint8_t header[8] = {1, (uint8_t)type, 1, 2, (uint8_t)(n >> 8), (uint8_t)n, 0, 0};

    assert_true(wire_n + 8 + n <= sizeof wire);
    memcpy(wire + wire_n, header, 8);
    if (n != 0)
        memcpy(wire + wire_n + 8, content, n);
    wire_n += 8 + n;
}

/* One parameter, N, of value_n bytes 'v'. flags: KEEP_CONN or 0. */
static void make(size_t value_n, int flags)
{
    static char value[FCGI_RECORDS_MAX_HEAD];
    const uint8_t begin[8] = {0, 1, (uint8_t)flags};
    uint8_t lengths[6] = {1,
                          (uint8_t)(0x80 | value_n >> 24),
                          (uint8_t)(value_n >> 16),
                          (uint8_t)(value_n >> 8),
                          (uint8_t)value_n,
                          'N'};

    memset(value, 'v', sizeof value);
    wire_n = 0;
    add_record(1, begin, sizeof begin);
    add_record(4, lengths, sizeof lengths);
    for (size_t left = value_n, n; left > 0; left -= n) {
        n = left < 65000 ? left : 65000;
        add_record(4, value, n);
    }
    add_record(4, NULL, 0);
}

static void read_one(struct fcgi_params *params, size_t value_n, int flags)
{
    const char *why = NULL;

    make(value_n, flags);
    assert_int_equal(fcgi_records_head(wire, wire_n, &why), FCGI_RECORDS_WHOLE);
    assert_int_equal(fcgi_params_read(params, wire, wire_n), 0);
    assert_int_equal(params->fcgx.requestId, 0x102);
    const char *value = FCGX_GetParam("N", params->fcgx.envp);
    assert_non_null(value);
    assert_int_equal(strlen(value), value_n);
    assert_int_equal(strspn(value, "v"), value_n);
    fcgi_params_drop(params);
}

static void one_after_the_other(void **state)
{
    struct fcgi_params params;

    (void)state;
    assert_int_equal(fcgi_params_open(&params), 0);
    for (size_t i = 0; i < 200; i++)
        read_one(&params, i * 37, i % 2 != 0);
    for (int i = 0; i < 4; i++)
        read_one(&params, FCGI_RECORDS_MAX_HEAD - 70, 0); /* not a byte more would do */
    read_one(&params, 1, 0);
    fcgi_params_close(&params);
}

/* A pipe smaller than the largest head: that one is refused, the next one is not. */
static void a_small_pipe(void **state)
{
    struct fcgi_params params;

    (void)state;
    assert_int_equal(fcgi_params_open(&params), 0);
    params.room = 4096;
    make(5000, 0);
    assert_int_equal(fcgi_params_read(&params, wire, wire_n), -1);
    assert_false(params.broken);
    read_one(&params, 1000, 0);
    fcgi_params_close(&params);
}

/* What records.c would have refused: no hang, and an end. */
static void what_was_not_checked(void **state)
{
    struct fcgi_params params;
    const uint8_t no_fastcgi[] = "GET / HTTP/1.0\r\n\r\n";

    (void)state;
    assert_int_equal(fcgi_params_open(&params), 0);
    assert_int_equal(fcgi_params_read(&params, no_fastcgi, sizeof no_fastcgi), -1);
    assert_true(params.broken);
    fcgi_params_close(&params);
    fcgi_params_close(&params);
}

/* libfcgi loses its place behind a padded BEGIN_REQUEST: nothing of it may begin the next request.
 */
static void what_is_left_over(void **state)
{
    static uint8_t plain[sizeof wire];
    struct fcgi_params params;

    (void)state;
    assert_int_equal(fcgi_params_open(&params), 0);
    make(30000, 0);
    memcpy(plain, wire, wire_n);
    memcpy(wire + 16 + 8, plain + 16, wire_n - 16);
    memset(wire + 16, 0, 8);
    wire[6] = 8;
    wire_n += 8;
    assert_int_equal(fcgi_params_read(&params, wire, wire_n), -1);
    assert_true(params.broken);
    fcgi_params_close(&params);

    assert_int_equal(fcgi_params_open(&params), 0);
    assert_int_equal(fcgi_params_read(&params, wire, fcgi_records_head_bare(wire, wire_n)), 0);
    assert_int_equal(strlen(FCGX_GetParam("N", params.fcgx.envp)), 30000);
    fcgi_params_drop(&params);
    read_one(&params, 1, 0);
    fcgi_params_close(&params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_after_the_other),
        cmocka_unit_test(a_small_pipe),
        cmocka_unit_test(what_was_not_checked),
        cmocka_unit_test(what_is_left_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
