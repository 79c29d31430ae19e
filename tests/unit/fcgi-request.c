/* Parameters: ids, ages, budgets, lengths, queries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/request.h"

static struct fcgi_request request;
static struct fcgi_err err;
static const struct fcgi_request_context context = {
    .wall_ms = 1700000010000,
    .accepted_ns = 5000000000000,
    .timeout_ms = 120000,
    .own_id = "own-id-1",
};

/* more: up to three parameters besides the two that every request has */
static int parse(const char *a, const char *b, const char *c)
{
    const char *envp[] = {"REQUEST_METHOD=POST", "DOCUMENT_URI=/predict", a, b, c, NULL};

    memset(&request, 0xee, sizeof request);
    err.code = FCGI_E_OK;
    err.text[0] = 0;
    return fcgi_request_parse(&request, (char **)envp, &context, &err);
}

static void least(void **state)
{
    (void)state;
    assert_int_equal(parse(NULL, NULL, NULL), FCGI_E_OK);
    assert_string_equal(request.method, "POST");
    assert_string_equal(request.path, "/predict");
    assert_string_equal(request.query, "");
    assert_string_equal(request.id, "own-id-1");
    assert_string_equal(request.nginx_id, "");
    assert_int_equal(request.content_length, -1);
    assert_int_equal(request.age_ms, 0);
    assert_int_equal(request.deadline_ns, 5120000000000);
}

static void paths(void **state)
{
    const char *uri[] = {"REQUEST_METHOD=GET", "REQUEST_URI=/a/b?c=d", NULL};
    const char *script[] = {"REQUEST_METHOD=GET", "SCRIPT_NAME=/s", NULL};
    const char *none[] = {"REQUEST_METHOD=GET", NULL};
    char long_uri[4096] = "REQUEST_URI=/";
    const char *longest[] = {"REQUEST_METHOD=GET", long_uri, NULL};

    (void)state;
    assert_int_equal(fcgi_request_parse(&request, (char **)uri, &context, &err), FCGI_E_OK);
    assert_string_equal(request.path, "/a/b");
    assert_int_equal(fcgi_request_parse(&request, (char **)script, &context, &err), FCGI_E_OK);
    assert_string_equal(request.path, "/s");
    assert_int_equal(fcgi_request_parse(&request, (char **)none, &context, &err),
                     FCGI_E_BAD_REQUEST);
    assert_string_equal(request.id, "own-id-1"); /* the answer needs one */
    memset(long_uri + 13, 'x', sizeof long_uri - 14);
    assert_int_equal(fcgi_request_parse(&request, (char **)longest, &context, &err), FCGI_E_OK);
    assert_int_equal(strlen(request.path), sizeof request.path_copy - 1);
}

static void ids(void **state)
{
    char long_id[200] = "HTTP_X_REQUEST_ID=";

    (void)state;
    parse("REQUEST_ID=0123456789abcdef0123456789abcdef", NULL, NULL);
    assert_string_equal(request.id, "0123456789abcdef0123456789abcdef");
    assert_string_equal(request.nginx_id, "0123456789abcdef0123456789abcdef");
    parse("REQUEST_ID=0123456789abcdef0123456789abcdef", "HTTP_X_REQUEST_ID=My.id_is-8", NULL);
    assert_string_equal(request.id, "My.id_is-8");
    assert_string_equal(request.nginx_id, "0123456789abcdef0123456789abcdef");
    parse("HTTP_X_REQUEST_ID=seven-7", NULL, NULL);
    assert_string_equal(request.id, "own-id-1");
    parse("HTTP_X_REQUEST_ID=evil\r\nX-Header: 1", NULL, NULL);
    assert_string_equal(request.id, "own-id-1");
    memset(long_id + 18, 'a', 128);
    parse(long_id, NULL, NULL);
    assert_int_equal(strlen(request.id), 128);
    long_id[18 + 128] = 'a';
    parse(long_id, NULL, NULL);
    assert_string_equal(request.id, "own-id-1");
}

static void ages(void **state)
{
    static const struct {
        const char *param;
        int64_t age_ms;
        int stepped;
    } cases[] = {
        {"MSEC=1700000009.750", 250, 0},
        {"MSEC=1700000010.000", 0, 0},
        {"MSEC=1700000011.000", 0, 0}, /* negative */
        {"MSEC=1699999110.000", 900000, 0},
        {"MSEC=1699999109.999", 0, 1},
        {"MSEC=1700000911.000", 0, 1},
        {"MSEC=", 0, 0},
        {"MSEC=1700000009", 0, 0},
        {"MSEC=1700000009.7500", 0, 0},
        {"MSEC=x.750", 0, 0},
        {"MSEC=99999999999999999999.000", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(cases[i].param, NULL, NULL), FCGI_E_OK);
        assert_int_equal(request.age_ms, cases[i].age_ms);
        assert_int_equal(request.clock_stepped, cases[i].stepped);
    }
}

static void budgets(void **state)
{
    (void)state;
    parse("HTTP_X_REQUEST_TIMEOUT_MS=500", "MSEC=1700000009.900", NULL);
    assert_int_equal(request.budget_ms, 500);
    assert_int_equal(request.deadline_ns, 5000400000000);
    parse("HTTP_X_REQUEST_TIMEOUT_MS=999999999", NULL, NULL); /* only lowers */
    assert_int_equal(request.budget_ms, 120000);
    parse("HTTP_X_REQUEST_TIMEOUT_MS=0", NULL, NULL);
    assert_int_equal(request.deadline_ns, 5000000000000);
    parse("HTTP_X_REQUEST_TIMEOUT_MS=10", "MSEC=1700000009.000", NULL); /* long spent */
    assert_int_equal(request.deadline_ns, 5000000000000);
    assert_int_equal(parse("HTTP_X_REQUEST_TIMEOUT_MS=1s", NULL, NULL), FCGI_E_BAD_REQUEST);
    assert_int_equal(parse("HTTP_X_REQUEST_TIMEOUT_MS=-1", NULL, NULL), FCGI_E_BAD_REQUEST);
    assert_int_equal(parse("HTTP_X_REQUEST_TIMEOUT_MS=99999999999999999999", NULL, NULL),
                     FCGI_E_BAD_REQUEST);
}

static void lengths(void **state)
{
    (void)state;
    assert_int_equal(parse("CONTENT_LENGTH=123", "QUERY_STRING=a", "CONTENT_TYPE=x/y"), FCGI_E_OK);
    assert_int_equal(request.content_length, 123);
    assert_string_equal(request.query, "a");
    assert_string_equal(request.content_type, "x/y");
    assert_int_equal(parse("CONTENT_LENGTH=", NULL, NULL), FCGI_E_OK);
    assert_int_equal(request.content_length, -1);
    assert_int_equal(parse("CONTENT_LENGTH=-1", NULL, NULL), FCGI_E_BAD_REQUEST);
    assert_int_equal(parse("CONTENT_LENGTH=12x", NULL, NULL), FCGI_E_BAD_REQUEST);
    assert_int_equal(parse("CONTENT_LENGTH=9223372036854775808", NULL, NULL), FCGI_E_BAD_REQUEST);
}

/* Texts in blocks of their own size: nothing after the last byte is read. */
static void numbers_end_where_they_should(void **state)
{
    int64_t number;
    char *digits = malloc(3);

    (void)state;
    memcpy(digits, "123", 3);
    assert_int_equal(fcgi_request_number(digits, 3, 1000, &number), 0);
    assert_int_equal(number, 123);
    assert_int_equal(fcgi_request_number(digits, 0, 1000, &number), -1);
    assert_int_equal(fcgi_request_number(digits, 3, 122, &number), -1);
    assert_int_equal(fcgi_request_is_id(digits, 3), 0);
    assert_int_equal(fcgi_request_msec(digits, 3, &number), -1);
    free(digits);
}

static void queries(void **state)
{
    const char *query = "&&a=1&b&=c&top_k=5=6&";
    struct fcgi_request_pair pair;
    char seen[128] = "";

    (void)state;
    while (fcgi_request_query(&query, &pair)) {
        size_t n = strlen(seen);
        snprintf(seen + n, sizeof seen - n, "[%.*s:%.*s]", (int)pair.name_n, pair.name,
                 (int)pair.value_n, pair.value);
    }
    assert_string_equal(seen, "[a:1][b:][:c][top_k:5=6]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least),   cmocka_unit_test(paths),
        cmocka_unit_test(ids),     cmocka_unit_test(ages),
        cmocka_unit_test(budgets), cmocka_unit_test(lengths),
        cmocka_unit_test(queries), cmocka_unit_test(numbers_end_where_they_should),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
