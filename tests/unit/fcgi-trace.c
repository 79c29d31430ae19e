/* Which traceparent headers are believed: W3C Trace Context, level 1 and what it says of later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fcgi/trace.h"

#define TRACE  "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static void good(void **state)
{
    (void)state;
    assert_true(fcgi_trace_is_parent("00-" TRACE "-" PARENT "-01"));
    assert_true(fcgi_trace_is_parent("00-" TRACE "-" PARENT "-00"));
    assert_true(fcgi_trace_is_parent("01-" TRACE "-" PARENT "-01"));
    assert_true(fcgi_trace_is_parent("cc-" TRACE "-" PARENT "-01-what-comes-later"));
}

static void bad(void **state)
{
    static const char *const texts[] = {
        "",
        "00",
        "00-" TRACE "-" PARENT,
        "00-" TRACE "-" PARENT "-",
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-0x",
        "00-" TRACE "-" PARENT "-01-more",
        "00-" TRACE "-" PARENT "-011",
        "cc-" TRACE "-" PARENT "-01.more",
        "ff-" TRACE "-" PARENT "-01",
        "0-" TRACE "-" PARENT "-001",
        "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "00-" TRACE "-b7ad6b716920333\"-01",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (fcgi_trace_is_parent(texts[i]))
            fail_msg("believed: %s", texts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(bad)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
