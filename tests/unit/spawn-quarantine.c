/* The quarantine's one writer: requests count and not tries, answers absolve, the oldest gives way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/log.h"
#include "spawn/spawn.h"

static struct spawn s;

static int open_all(void **state)
{
    (void)state;
    memset(&s, 0, sizeof s);
    s.config.quarantine_ms = 60000;
    s.n_slots = 1;
    s.workers = calloc(1, sizeof *s.workers);
    int fd = fcgi_scoreboard_create("test");
    s.workers[0].page = fcgi_scoreboard_map(fd, 1);
    close(fd);
    fcgi_scoreboard_init_worker(s.workers[0].page, 0);
    fcgi_log_setup("test", -1, 0, FCGI_LOG_ERROR, 0);
    return spawn_deaths_open(&s);
}

static int close_all(void **state)
{
    (void)state;
    fcgi_scoreboard_unmap(s.workers[0].page);
    free(s.workers);
    spawn_deaths_close(&s);
    return 0;
}

static const uint8_t *hash(int body)
{
    static uint8_t sha256[FCGI_QUARANTINE_HASH];

    memset(sha256, 0, sizeof sha256);
    memcpy(sha256, &body, sizeof body);
    return sha256;
}

static void begin(int request, int body)
{
    char id[33];

    snprintf(id, sizeof id, "%032d", request);
    fcgi_scoreboard_begin(s.workers[0].page, 1);
    fcgi_scoreboard_name(s.workers[0].page, "the-client's", id, "POST", "/predict");
    fcgi_scoreboard_body(s.workers[0].page, hash(body));
}

/* As the supervisor sees it: heard of, then reaped. */
static void die(int request, int body)
{
    begin(request, body);
    spawn_deaths_record(&s, 0);
    spawn_quarantine_record(&s, 0);
    spawn_quarantine_record(&s, 0);
}

static unsigned requests_of(int body)
{
    return fcgi_quarantine_requests(&s.deaths->quarantine, hash(body), fcgi_scoreboard_now_ns());
}

static void requests_count(void **state)
{
    (void)state;
    assert_false(fcgi_quarantine_has_any(&s.deaths->quarantine, fcgi_scoreboard_now_ns()));
    die(1, 7);
    assert_int_equal(requests_of(7), 1);
    assert_true(fcgi_quarantine_has_any(&s.deaths->quarantine, fcgi_scoreboard_now_ns()));
    die(2, 7);
    assert_int_equal(requests_of(7), FCGI_QUARANTINE_LIMIT);
    assert_int_equal(requests_of(8), 0);
}

/* A page may say that its worker has answered what others will send tomorrow. */
static void answers_to_come_absolve_nobody(void **state)
{
    struct fcgi_board_worker *page = s.workers[0].page;
    uint64_t first_bytes;

    (void)state;
    memcpy(&first_bytes, hash(7), sizeof first_bytes);
    page->answered[0].first_bytes = first_bytes;
    page->answered[0].at_ns = UINT64_MAX;
    die(1, 7);
    die(2, 7);
    assert_int_equal(requests_of(7), FCGI_QUARANTINE_LIMIT);
}

/* One that lives on can say again and again that it crashes. */
static void a_process_dies_once(void **state)
{
    struct spawn_worker *worker = &s.workers[0];

    (void)state;
    worker->pid = 1;
    for (int request = 1; request <= 5; request++) {
        begin(request, 7);
        worker->page->crash = FCGI_CRASH_SAID;
        spawn_deaths_hear(&s);
    }
    spawn_deaths_record(&s, 0);
    assert_int_equal(s.deaths->recorded, 1);
    assert_int_equal(requests_of(7), 1);
}

static void tries_do_not(void **state)
{
    (void)state;
    die(1, 7);
    die(1, 7);
    die(2, 8); /* another's in between */
    die(1, 7);
    assert_int_equal(requests_of(7), 1);
    assert_int_equal(requests_of(8), 1);
}

static void an_answer_absolves(void **state)
{
    (void)state;
    die(1, 7);
    begin(2, 7);
    fcgi_scoreboard_answered(s.workers[0].page);
    die(3, 7);
    assert_int_equal(requests_of(7), 1);
    for (int body = 100; body < 100 + FCGI_BOARD_ANSWERED - 1; body++) {
        begin(body, body);
        fcgi_scoreboard_answered(s.workers[0].page);
    }
    die(4, 7); /* others' answers are not its own */
    assert_int_equal(requests_of(7), 2);
}

static void time_passes(void **state)
{
    (void)state;
    uint64_t later_ns = fcgi_scoreboard_now_ns() + 61 * 1000000000ULL;

    die(1, 7);
    die(2, 7);
    assert_int_equal(fcgi_quarantine_requests(&s.deaths->quarantine, hash(7), later_ns), 0);
    assert_false(fcgi_quarantine_has_any(&s.deaths->quarantine, later_ns));
    for (int i = 0; i < FCGI_QUARANTINE_SUSPECTS; i++)
        if (s.deaths->quarantine.suspect[i].requests)
            s.deaths->quarantine.suspect[i].last_ns = 1; /* long ago */
    s.deaths->quarantine.ttl_ns = 1;
    die(3, 7);
    s.deaths->quarantine.ttl_ns = UINT64_C(60000000000);
    assert_int_equal(requests_of(7), 1); /* what was long ago does not count */
}

static void the_oldest_gives_way(void **state)
{
    (void)state;
    for (int i = 0; i <= FCGI_QUARANTINE_SUSPECTS; i++)
        die(i + 1, 1000 + i);
    assert_int_equal(requests_of(1000), 0);
    for (int i = 1; i <= FCGI_QUARANTINE_SUSPECTS; i++)
        assert_int_equal(requests_of(1000 + i), 1);
}

static void what_is_no_evidence(void **state)
{
    (void)state;
    begin(1, 7);
    fcgi_scoreboard_begin(s.workers[0].page, 1); /* a new request, whose body is not known */
    spawn_deaths_record(&s, 0);
    spawn_quarantine_record(&s, 0);
    assert_int_equal(requests_of(7), 0);
    s.deaths->quarantine.ttl_ns = 0;
    die(2, 7);
    s.deaths->quarantine.ttl_ns = UINT64_C(60000000000);
    assert_int_equal(requests_of(7), 0);
}

static void release(void **state)
{
    (void)state;
    die(1, 7);
    die(2, 7);
    spawn_quarantine_release(&s);
    assert_int_equal(requests_of(7), 0);
    die(3, 7);
    assert_int_equal(requests_of(7), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_count), TEST(tries_do_not),         TEST(an_answer_absolves),
        TEST(time_passes),    TEST(the_oldest_gives_way), TEST(what_is_no_evidence),
        TEST(release),        TEST(a_process_dies_once),  TEST(answers_to_come_absolve_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
