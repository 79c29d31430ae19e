/* The wall clock beside the monotonic one: which ages may be ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fcgi/wall.h"

enum { MINUTE_MS = 60 * 1000 };
static const int64_t epoch_ms = 1700000000000;

/* Looked at at monotonic second 100, and again, set by step_ms, at 110. */
static struct fcgi_wall set_by(int64_t step_ms)
{
    struct fcgi_wall wall = {0};

    fcgi_wall_look(&wall, epoch_ms, 100000);
    fcgi_wall_look(&wall, epoch_ms + 10000 + step_ms, 110000);
    return wall;
}

static void nothing_known(void **state)
{
    const struct fcgi_wall wall = {0};

    (void)state;
    assert_true(fcgi_wall_believes(&wall, 14 * MINUTE_MS, 110000));
    assert_true(fcgi_wall_believes(&wall, -500, 110000));
    assert_false(fcgi_wall_believes(&wall, 16 * MINUTE_MS, 110000));
    assert_false(fcgi_wall_believes(&wall, -16 * MINUTE_MS, 110000));
}

static void a_first_look_is_no_step(void **state)
{
    struct fcgi_wall wall = {0};

    (void)state;
    fcgi_wall_look(&wall, epoch_ms, 100000);
    assert_true(fcgi_wall_believes(&wall, 14 * MINUTE_MS, 100000));
}

static void a_correction_is_none(void **state)
{
    const struct fcgi_wall forward = set_by(999), back = set_by(-999);

    (void)state;
    assert_true(fcgi_wall_believes(&forward, 14 * MINUTE_MS, 110000));
    assert_true(fcgi_wall_believes(&back, 14 * MINUTE_MS, 110000));
}

static void forward(void **state)
{
    const struct fcgi_wall wall = set_by(5 * MINUTE_MS);

    (void)state;
    assert_false(fcgi_wall_believes(&wall, 5 * MINUTE_MS + 3000, 110000));
    assert_true(fcgi_wall_believes(&wall, 3000, 110000));
    assert_true(fcgi_wall_believes(&wall, 12000, 112000));
    assert_false(fcgi_wall_believes(&wall, 12001, 112000)); /* older than the last look before */
}

/* As large as the time since the last look before it. */
static void forward_after_a_long_rest(void **state)
{
    const struct fcgi_wall wall = set_by(4000);

    (void)state;
    assert_false(fcgi_wall_believes(&wall, 4001, 110000));
    assert_true(fcgi_wall_believes(&wall, 3999, 110000));
}

static void back(void **state)
{
    const struct fcgi_wall wall = set_by(-5 * MINUTE_MS);

    (void)state;
    assert_false(fcgi_wall_believes(&wall, -1, 110000));
    assert_true(fcgi_wall_believes(&wall, 3000, 110000));
}

static void forgotten(void **state)
{
    const struct fcgi_wall wall = set_by(5 * MINUTE_MS);

    (void)state;
    assert_true(fcgi_wall_believes(&wall, 6 * MINUTE_MS, 110000 + 15 * MINUTE_MS + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_known),
        cmocka_unit_test(a_first_look_is_no_step),
        cmocka_unit_test(a_correction_is_none),
        cmocka_unit_test(forward),
        cmocka_unit_test(forward_after_a_long_rest),
        cmocka_unit_test(back),
        cmocka_unit_test(forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
