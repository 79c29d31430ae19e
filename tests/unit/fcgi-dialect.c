/* What all dialects share: paths and methods, the query, and what no body may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/dialect.h"

static struct fcgi_err err;
static struct fcgi_body body;

static void every_path_has_a_handler(void **state)
{
    static const char *const paths[] = {
        "/predict",
        "/predictions/resnet50",
        "/predictions/resnet50/1.0",
        "/v1/models/resnet50:predict",
        "/v1/models/resnet50/versions/1:predict",
        "/v2/models/resnet50/infer",
        "/v2/models/resnet50/versions/1/infer",
    };

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_non_null(fcgi_dialect_find(paths[i]));
        assert_non_null(fcgi_usage_find(paths[i]));
        assert_true(fcgi_usage_allows(fcgi_usage_find(paths[i]), "POST"));
    }
    assert_null(fcgi_dialect_find("/predict/"));
    assert_null(fcgi_dialect_find("/predictions/resnet50/2.0"));
    assert_null(fcgi_usage_find("/v1/models/resnet50"));
}

static void methods_are_whole_words(void **state)
{
    const struct fcgi_usage *usage = fcgi_usage_find("/predictions/resnet50");

    (void)state;
    assert_true(fcgi_usage_allows(usage, "PUT"));
    for (const char *const *method =
             (const char *const[]){"", "P", "POS", "POSTS", "POST, PUT", ", ", "GET", NULL};
         *method; method++)
        assert_false(fcgi_usage_allows(usage, *method));
}

static int open(const char *query, const char *encoding, size_t n)
{
    uint8_t bytes[1] = {0};
    const struct fcgi_request request = {
        .path = "/predictions/resnet50", .query = query, .content_encoding = encoding};
    struct fcgi_call call = {.request = &request, .body = bytes, .body_n = n, .err = &err};

    err = (struct fcgi_err){.code = FCGI_E_OK};
    return fcgi_dialect_open(&call, &body);
}

static void the_query(void **state)
{
    (void)state;
    assert_int_equal(open("", "", 1), FCGI_E_OK);
    assert_int_equal(body.top_k, 0);
    assert_null(body.precision.bytes);
    assert_int_equal(open("top_k=3&precision=int8", "identity", 1), FCGI_E_OK);
    assert_int_equal(body.top_k, 3);
    assert_memory_equal(body.precision.bytes, "int8", body.precision.n);
    assert_int_equal(open("top_k=0", "", 1), FCGI_E_OK);
    assert_int_equal(body.top_k, FCGI_BODY_BAD_TOP_K);
    assert_int_equal(open("top_k=", "", 1), FCGI_E_OK);
    assert_int_equal(body.top_k, FCGI_BODY_BAD_TOP_K);
    assert_int_equal(open("topk=3", "", 1), FCGI_E_BAD_REQUEST);
    assert_string_equal(err.text, "unknown query parameter; /predictions/resnet50 knows top_k and "
                                  "precision");
}

static void no_body_of_any_dialect(void **state)
{
    (void)state;
    assert_int_equal(open("", "gzip", 1), FCGI_E_UNSUPPORTED_MEDIA_TYPE);
    assert_non_null(strstr(err.text, "found \"gzip\""));
    assert_int_equal(open("", "", 0), FCGI_E_BAD_REQUEST);
    assert_string_equal(err.text, "the body is empty; expected for example " FCGI_USAGE_TORCHSERVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_has_a_handler),
        cmocka_unit_test(methods_are_whole_words),
        cmocka_unit_test(the_query),
        cmocka_unit_test(no_body_of_any_dialect),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
