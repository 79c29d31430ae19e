/* Which requests are begun, which are dropped on the way, and as what they count. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/worker.h"

enum { MS_NS = 1000000, LAYERS = 4 };
#define S_NS 1000000000ull

static struct fcgi_config config;
static struct fcgi_worker *worker;
static int peer;

/* A worker that has just dequeued a request of a web server that passed it on age_ms ago. */
static void dequeue(int64_t age_ms, int64_t budget_ms)
{
    struct fcgi_job *job = &worker->job;
    int64_t left_ms = budget_ms > age_ms ? budget_ms - age_ms : 0;

    job->err.code = FCGI_E_OK;
    job->accepted_ns = fcgi_scoreboard_now_ns();
    job->request.age_ms = age_ms;
    job->request.budget_ms = budget_ms;
    job->request.deadline_ns = job->accepted_ns + (uint64_t)left_ms * MS_NS;
    job->hangup = FCGI_CANCEL_HANGUP_QUEUE;
    worker->response.code = FCGI_E_OK;
}

static int open_worker(void **state)
{
    int ends[2], fd = fcgi_scoreboard_create("test"), deaths_fd = fcgi_deaths_create();

    (void)state;
    worker = calloc(1, sizeof *worker);
    worker->config = &config;
    worker->board = fcgi_scoreboard_map(fd, 1);
    worker->deaths = fcgi_deaths_map(deaths_fd, 1);
    worker->threads = 3;
    worker->classifier.model.net.n_layers = LAYERS;
    worker->estimated_ns = fcgi_scoreboard_now_ns();
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
    worker->job.fd = ends[0];
    peer = ends[1];
    close(fd);
    close(deaths_fd);
    dequeue(5, 600000);
    return 0;
}

static int close_worker(void **state)
{
    (void)state;
    close(worker->job.fd);
    close(peer);
    fcgi_deaths_unmap(worker->deaths);
    fcgi_scoreboard_unmap(worker->board);
    free(worker);
    return 0;
}

static void in_time(void **state)
{
    (void)state;
    assert_int_equal(fcgi_admission_check(worker), 0);
    shutdown(peer, SHUT_WR); /* it sends no more, and still waits */
    assert_int_equal(fcgi_admission_check(worker), 0);
    worker->deaths->entry[0].count = 5; /* of nobody */
    assert_int_equal(fcgi_admission_check(worker), 0);
    fcgi_deaths_unmap(worker->deaths);
    worker->deaths = NULL; /* without a supervisor */
    assert_int_equal(fcgi_admission_check(worker), 0);
}

static void its_budget_is_spent(void **state)
{
    (void)state;
    dequeue(1000, 1000);
    assert_int_equal(fcgi_admission_check(worker), -1);
    assert_int_equal(worker->job.err.code, FCGI_E_DEADLINE_EXCEEDED);
    dequeue(7, 0); /* X-Request-Timeout-Ms: 0 */
    assert_int_equal(fcgi_admission_check(worker), -1);
    assert_int_equal(worker->job.err.code, FCGI_E_DEADLINE_EXCEEDED);
}

static void it_would_be_late(void **state)
{
    (void)state;
    worker->board->service_us = 400000;
    dequeue(599, 1000);
    assert_int_equal(fcgi_admission_check(worker), 0);
    dequeue(601, 1000);
    assert_int_equal(fcgi_admission_check(worker), -1);
    assert_int_equal(worker->job.err.code, FCGI_E_DEADLINE_EXCEEDED);
    assert_non_null(strstr(worker->job.err.text, "would not finish within its 1000 ms"));
    worker->board->service_us = 0; /* not known */
    dequeue(999, 1000);
    assert_int_equal(fcgi_admission_check(worker), 0);
}

/* After a slow spell a high estimate must not refuse for ever: a try can lower it. */
static void an_old_estimate_is_tried(void **state)
{
    (void)state;
    worker->board->service_us = 400000;
    worker->estimated_ns -= 11 * S_NS;
    dequeue(900, 1000);
    assert_int_equal(fcgi_admission_check(worker), 0);
    dequeue(900, 1000);
    assert_int_equal(fcgi_admission_check(worker), -1); /* one try is enough for now */
    worker->estimated_ns -= 11 * S_NS;
    dequeue(1000, 1000);
    assert_int_equal(fcgi_admission_check(worker), -1); /* spent is spent */
}

static void two_workers_died_of_it(void **state)
{
    struct fcgi_death *death = &worker->deaths->entry[7];
    static const char id[] = "feedfacefeedfacefeedfacefeedface";

    (void)state;
    fcgi_shared_put(death->nginx_id, id, sizeof id);
    memcpy(worker->job.request.nginx_id, id, sizeof id);
    death->count = 1;
    assert_int_equal(fcgi_admission_check(worker), 0);
    death->count = 2;
    assert_int_equal(fcgi_admission_check(worker), -1);
    assert_int_equal(worker->job.err.code, FCGI_E_WORKER_FAILED);
    dequeue(2000, 1000); /* what kills workers is not asked to come back, late or not */
    assert_int_equal(fcgi_admission_check(worker), -1);
    assert_int_equal(worker->job.err.code, FCGI_E_WORKER_FAILED);
}

static void count_as(enum fcgi_code code)
{
    worker->response.code = code;
    fcgi_report_count(worker);
}

static void nobody_waits(void **state)
{
    const _Atomic uint64_t *cancelled = worker->board->cancelled;

    (void)state;
    close(peer);
    assert_int_equal(fcgi_admission_check(worker), -1);
    assert_int_equal(worker->job.err.code, FCGI_E_CANCELLED);
    count_as(FCGI_E_CANCELLED);
    worker->job.hangup = FCGI_CANCEL_HANGUP;
    count_as(FCGI_E_CANCELLED);
    count_as(FCGI_E_CANCELLED);
    count_as(FCGI_E_DEADLINE_EXCEEDED);
    count_as(FCGI_E_BAD_JSON);
    assert_int_equal(cancelled[FCGI_CANCEL_HANGUP_QUEUE], 1);
    assert_int_equal(cancelled[FCGI_CANCEL_HANGUP], 2);
    assert_int_equal(cancelled[FCGI_CANCEL_DEADLINE], 1);
    assert_int_equal(worker->board->requests, 2); /* the 504 and the 400 */
}

static void between_layers(void **state)
{
    uint64_t ticks = worker->board->ticks;

    (void)state;
    assert_int_equal(fcgi_follow_between(worker, 0), 3);
    assert_int_equal(worker->board->stage, FCGI_STAGE_INFER);
    assert_int_equal(fcgi_follow_between(worker, 1), 3);
    assert_int_equal(worker->board->layer, 1);
    assert_true(worker->board->ticks >= ticks + 2);
    assert_true(worker->job.layer_ns[0] > 0);
    worker->job.request.deadline_ns = fcgi_scoreboard_now_ns() - 1;
    assert_int_equal(fcgi_follow_between(worker, 2), 0);
    assert_int_equal(worker->job.err.code, FCGI_E_DEADLINE_EXCEEDED);
}

/* Two images one after the other through layers 0 and 1, then together. */
static void time_of_layers_in_a_batch(void **state)
{
    static const int order[] = {0, 1, 0, 1, 2, 3, LAYERS};
    int64_t sum_ns = 0;
    uint64_t begin_ns = fcgi_scoreboard_now_ns();

    (void)state;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        assert_int_equal(fcgi_follow_between(worker, order[i]), 3);
        poll(NULL, 0, order[i] == 1 ? 40 : 1);
    }
    assert_int_equal(worker->job.layer_start_ns, 0); /* none runs any more */
    for (int i = 0; i < LAYERS; i++)
        sum_ns += worker->job.layer_ns[i];
    assert_true(worker->job.layer_ns[1] >= 80 * MS_NS); /* both times */
    assert_true(sum_ns <= (int64_t)(fcgi_scoreboard_now_ns() - begin_ns));
}

static void between_layers_the_client_goes(void **state)
{
    (void)state;
    assert_int_equal(fcgi_follow_between(worker, 2), 3);
    close(peer);
    assert_int_equal(fcgi_follow_between(worker, 3), 0);
    assert_int_equal(worker->job.err.code, FCGI_E_CANCELLED);
}

static void only_predictions_teach(void **state)
{
    (void)state;
    worker->job.accepted_ns -= 80 * MS_NS;
    count_as(FCGI_E_OK); /* a health check: no image */
    assert_int_equal(worker->board->service_us, 0);
    worker->job.n_images = 1;
    count_as(FCGI_E_IMAGE_UNDECODABLE);
    assert_int_equal(worker->board->service_us, 0);
    worker->estimated_ns = 0;
    count_as(FCGI_E_OK);
    assert_true(worker->board->service_us >= 80000);
    assert_true(worker->estimated_ns > 0);
}

static void slots_leave_at_different_times(void **state)
{
    int seen[9] = {0};

    (void)state;
    config.max_requests = 1600;
    for (config.slot = -1; config.slot < 16; config.slot++) {
        int64_t limit = fcgi_recycle_requests(&config);
        assert_in_range(limit, 900, 1600);
        seen[(1600 - limit) / 100]++;
    }
    for (int i = 0; i < 8; i++)
        assert_int_equal(seen[i], i ? 2 : 3);
    config.slot = 7;
    config.max_requests = 1;
    assert_int_equal(fcgi_recycle_requests(&config), 1);
    worker->served = 1;
    assert_true(fcgi_recycle_due(worker));
    config.max_requests = 0;
    assert_false(fcgi_recycle_due(worker));
    config.max_rss = 1000;
    worker->board->rss_bytes = 1001;
    for (int i = 0; i < 7; i++)
        assert_false(fcgi_recycle_due(worker));
    assert_true(fcgi_recycle_due(worker));
    config.max_rss = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_worker, close_worker)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_time),
        TEST(its_budget_is_spent),
        TEST(it_would_be_late),
        TEST(an_old_estimate_is_tried),
        TEST(two_workers_died_of_it),
        TEST(nobody_waits),
        TEST(between_layers),
        TEST(time_of_layers_in_a_batch),
        TEST(between_layers_the_client_goes),
        TEST(only_predictions_teach),
        TEST(slots_leave_at_different_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
