/* spawn-watchdog: what is found of a busy worker, as a table; and the ring of deaths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "spawn/spawn.h"

#define S 1000000000LL

/* The defaults: a budget of 120 s, 30 s of CPU time. Times in seconds. */
static const struct {
    double age, overdue, idle, cpu;
    enum fcgi_verdict last, expected;
    const char *what;
} cases[] = {
    {0, -120, 0, 0, FCGI_VERDICT_RUNNING, FCGI_VERDICT_RUNNING, "just begun"},
    {20, -100, 0.5, 0.5, FCGI_VERDICT_RUNNING, FCGI_VERDICT_RUNNING, "ticks"},
    {29, -91, 29, 29, FCGI_VERDICT_RUNNING, FCGI_VERDICT_RUNNING, "one long layer"},
    {29, -91, 29, 0, FCGI_VERDICT_RUNNING, FCGI_VERDICT_RUNNING, "a pause shorter than the limit"},
    {30, -90, 0.5, 0, FCGI_VERDICT_RUNNING, FCGI_VERDICT_SLOW, "the classic heartbeat's end"},
    {119, -1, 1, 1, FCGI_VERDICT_SLOW, FCGI_VERDICT_SLOW, "slow to its end"},
    {900, 780, 4, 4, FCGI_VERDICT_SLOW, FCGI_VERDICT_SLOW, "past its end, but ticking"},
    {40, -80, 30, 0, FCGI_VERDICT_RUNNING, FCGI_VERDICT_STARVED, "stopped"},
    {40, -80, 30, 14, FCGI_VERDICT_SLOW, FCGI_VERDICT_STARVED, "a throttled cgroup"},
    {110, -10, 100, 5, FCGI_VERDICT_STARVED, FCGI_VERDICT_STARVED, "at 5 % of a CPU"},
    {70, -50, 58, 29.9, FCGI_VERDICT_STARVED, FCGI_VERDICT_STARVED, "given CPU again"},
    {70, -50, 0, 0, FCGI_VERDICT_STARVED, FCGI_VERDICT_SLOW, "ticks again"},
    {25, -95, 0, 0, FCGI_VERDICT_STARVED, FCGI_VERDICT_RUNNING, "ticks again, early"},
    {124.9, 4.9, 100, 0, FCGI_VERDICT_STARVED, FCGI_VERDICT_STARVED, "within the grace"},
    {125, 5, 100, 0, FCGI_VERDICT_STARVED, FCGI_VERDICT_STUCK, "blocked past its end"},
    {125, 5, 4.9, 0, FCGI_VERDICT_SLOW, FCGI_VERDICT_SLOW, "late, and ticked just now"},
    {7, 5, 7, 0, FCGI_VERDICT_RUNNING, FCGI_VERDICT_STUCK, "a small budget of its own"},
    {31, -89, 30, 30, FCGI_VERDICT_RUNNING, FCGI_VERDICT_STUCK, "a loop"},
    {100, -20, 100, 30, FCGI_VERDICT_STARVED, FCGI_VERDICT_STUCK, "a loop that gets little CPU"},
    {8, -112, 7.5, 30, FCGI_VERDICT_RUNNING, FCGI_VERDICT_STUCK, "a loop of four threads"},
};

static int64_t ns(double seconds)
{
    return (int64_t)(seconds * (double)S);
}

static void verdicts(void **state)
{
    struct fcgi_config config = {.request_timeout_ms = 120000, .stall_timeout_ms = 30000};
    struct spawn_limits limits = spawn_watchdog_limits(&config);
    (void)state;

    assert_int_equal(limits.stall_ns, 30 * S);
    assert_int_equal(limits.slow_ns, 30 * S);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct spawn_sight sight = {.age_ns = ns(cases[i].age),
                                    .overdue_ns = ns(cases[i].overdue),
                                    .idle_ns = ns(cases[i].idle),
                                    .cpu_ns = ns(cases[i].cpu),
                                    .last = cases[i].last};
        enum fcgi_verdict found = spawn_watchdog_verdict(&sight, &limits);
        if (found != cases[i].expected)
            fail_msg("%s: expected %s, found %s", cases[i].what,
                     fcgi_scoreboard_verdict_name(cases[i].expected),
                     fcgi_scoreboard_verdict_name(found));
    }
}

static void slow_is_a_quarter_of_a_small_budget(void **state)
{
    struct fcgi_config config = {.request_timeout_ms = 8000, .stall_timeout_ms = 1000};
    struct spawn_limits limits = spawn_watchdog_limits(&config);
    (void)state;

    assert_int_equal(limits.slow_ns, 2 * S);
    config.request_timeout_ms = 3600000;
    assert_int_equal(spawn_watchdog_limits(&config).slow_ns, 30 * S);
}

static int open_ring(void **state)
{
    int fd = fcgi_deaths_create();

    *state = fd < 0 ? NULL : fcgi_deaths_map(fd, 1);
    if (fd >= 0)
        close(fd);
    return *state ? 0 : -1;
}

static int close_ring(void **state)
{
    fcgi_deaths_unmap(*state);
    return 0;
}

static void deaths_are_counted(void **state)
{
    struct fcgi_deaths *deaths = *state;

    assert_int_equal(fcgi_deaths_count(deaths, "a"), 0);
    assert_int_equal(spawn_deaths_add(deaths, "a"), 1);
    assert_int_equal(spawn_deaths_add(deaths, "b"), 1);
    assert_int_equal(spawn_deaths_add(deaths, "a"), 2);
    assert_int_equal(fcgi_deaths_count(deaths, "a"), 2);
    assert_int_equal(fcgi_deaths_count(deaths, "b"), 1);
    assert_int_equal(fcgi_deaths_count(deaths, "ab"), 0);
    assert_int_equal(deaths->recorded, 2);
}

static void oldest_death_gives_way(void **state)
{
    struct fcgi_deaths *deaths = *state;
    char id[33];

    for (int i = 0; i < FCGI_DEATHS_ENTRIES + 1; i++) {
        snprintf(id, sizeof id, "%032d", i);
        assert_int_equal(spawn_deaths_add(deaths, id), 1);
    }
    assert_int_equal(fcgi_deaths_count(deaths, id), 1);
    snprintf(id, sizeof id, "%032d", 0);
    assert_int_equal(fcgi_deaths_count(deaths, id), 0);
    snprintf(id, sizeof id, "%032d", 1);
    assert_int_equal(fcgi_deaths_count(deaths, id), 1);
    assert_int_equal(spawn_deaths_add(deaths, id), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),
        cmocka_unit_test(slow_is_a_quarter_of_a_small_budget),
        cmocka_unit_test_setup_teardown(deaths_are_counted, open_ring, close_ring),
        cmocka_unit_test_setup_teardown(oldest_death_gives_way, open_ring, close_ring),
    };

    return cmocka_run_group_tests_name("spawn-watchdog", tests, NULL, NULL);
}
