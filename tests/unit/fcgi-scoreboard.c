/* The shared page: what a reader sees while a writer writes, and after it died. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/scoreboard.h"

static struct fcgi_board_worker *new_page(int *fd)
{
    *fd = fcgi_scoreboard_create("test");
    assert_true(*fd >= 0);
    struct fcgi_board_worker *page = fcgi_scoreboard_map(*fd, 1);
    assert_non_null(page);
    fcgi_scoreboard_init_worker(page, 5);
    return page;
}

/* tests/lib/fake_worker.py writes to these. */
static void a_stand_in_knows_the_places(void **state)
{
    (void)state;
    assert_int_equal(offsetof(struct fcgi_board_worker, state), 16);
    assert_int_equal(offsetof(struct fcgi_board_worker, ticks), 32);
    assert_int_equal(offsetof(struct fcgi_board_worker, request), 48);
    assert_int_equal(offsetof(struct fcgi_board_worker, stage), 348);
    assert_int_equal(offsetof(struct fcgi_board_worker, accepted_ns), 360);
    assert_int_equal(offsetof(struct fcgi_board_worker, deadline_ns), 376);
    assert_int_equal(offsetof(struct fcgi_board_worker, attempts), 456);
}

static void a_page_is_known(void **state)
{
    int fd, other = memfd_create("other", MFD_CLOEXEC);
    struct fcgi_board_worker *page = new_page(&fd);

    (void)state;
    const struct fcgi_board_worker *shared = fcgi_scoreboard_map(fd, 0);
    assert_true(fcgi_scoreboard_is_worker(shared));
    assert_int_equal(shared->slot, 5);
    page->version++;
    assert_false(fcgi_scoreboard_is_worker(shared));
    assert_null(fcgi_scoreboard_map(other, 1)); /* empty */
    assert_null(fcgi_scoreboard_map(-1, 1));
    fcgi_scoreboard_unmap((void *)(uintptr_t)shared);
    fcgi_scoreboard_unmap(page);
    fcgi_scoreboard_unmap(NULL);
    close(fd);
    close(other);
}

static void layers_have_names(void **state)
{
    char name[FCGI_BOARD_LAYER_BYTES];
    int fd;
    struct fcgi_board_worker *page = new_page(&fd);

    (void)state;
    fcgi_scoreboard_layer(page, 0, name);
    assert_string_equal(name, ""); /* nobody has said */
    fcgi_scoreboard_name_layers(page, "conv1 maxpool fc ");
    fcgi_scoreboard_layer(page, 0, name);
    assert_string_equal(name, "conv1");
    fcgi_scoreboard_layer(page, 2, name);
    assert_string_equal(name, "fc");
    fcgi_scoreboard_layer(page, 3, name);
    assert_string_equal(name, "");
    fcgi_scoreboard_layer(page, -1, name);
    assert_string_equal(name, "");
    for (size_t i = 0; i < sizeof page->layers; i++) /* as of a writer gone wrong */
        page->layers[i] = 'x';
    fcgi_scoreboard_layer(page, 0, name);
    assert_string_equal(name, "");
    fcgi_scoreboard_unmap(page);
    close(fd);
}

static void a_request_and_its_end(void **state)
{
    struct fcgi_board_request request;
    char long_path[400];
    int fd;
    struct fcgi_board_worker *page = new_page(&fd);

    (void)state;
    memset(long_path, 'p', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = 0;
    assert_int_equal(fcgi_scoreboard_request(page, &request), 0);
    fcgi_scoreboard_begin(page, 77);
    fcgi_scoreboard_name(page, "client-id", "0123456789abcdef0123456789abcdef", "POST", long_path);
    assert_int_equal(page->state, FCGI_WORKER_BUSY);
    assert_int_equal(page->attempts, 1);
    assert_int_equal(fcgi_scoreboard_request(page, &request), 1);
    assert_string_equal(request.request_id, "client-id");
    assert_string_equal(request.nginx_id, "0123456789abcdef0123456789abcdef");
    assert_int_equal(strlen(request.path), sizeof request.path - 1);
    uint64_t ticks = page->ticks;
    fcgi_scoreboard_stage(page, FCGI_STAGE_INFER);
    fcgi_scoreboard_tick(page, 3);
    assert_int_equal(page->ticks, ticks + 2);
    assert_int_equal(page->layer, 3);
    fcgi_scoreboard_end(page, FCGI_WORKER_IDLE);
    assert_int_equal(fcgi_scoreboard_request(page, &request), 0);
    assert_int_equal(page->state, FCGI_WORKER_IDLE);
    assert_int_equal(page->layer, -1);
    fcgi_scoreboard_unmap(page);
    close(fd);
}

static void answers_are_counted(void **state)
{
    int64_t stage_ns[FCGI_N_STAGES] = {-1, 500000, 500001, 1000, 119000000000, 121000000000};
    int fd;
    struct fcgi_board_worker *page = new_page(&fd);

    (void)state;
    fcgi_scoreboard_count(page, FCGI_E_OK, stage_ns, 3000000);
    fcgi_scoreboard_count(page, FCGI_E_BAD_REQUEST, stage_ns, -5);
    fcgi_scoreboard_count(page, FCGI_E_CANCELLED, stage_ns, 1);
    assert_int_equal(page->requests, 2); /* nobody was answered the third time */
    assert_int_equal(page->codes[FCGI_E_OK], 1);
    assert_int_equal(page->codes[FCGI_E_CANCELLED], 1);
    assert_int_equal(page->stages[FCGI_STAGE_QUEUE].count[0], 0);
    assert_int_equal(page->stages[FCGI_STAGE_READ].count[0], 3); /* 500 us: inclusive */
    assert_int_equal(page->stages[FCGI_STAGE_DECODE].count[0], 3);
    assert_int_equal(page->stages[FCGI_STAGE_INFER].count[FCGI_N_BUCKETS - 2], 3);
    assert_int_equal(page->stages[FCGI_STAGE_WRITE].count[FCGI_N_BUCKETS - 1], 3);
    assert_int_equal(page->total.sum_us, 3000);
    for (int i = 1; i < FCGI_N_BUCKETS - 1; i++)
        assert_true(fcgi_scoreboard_bounds_us[i] > fcgi_scoreboard_bounds_us[i - 1]);
    fcgi_scoreboard_unmap(page);
    close(fd);
}

static void *write_ids(void *ctx)
{
    struct fcgi_board_worker *page = ctx;
    char id[129];

    for (int i = 0; i < 20000; i++) {
        memset(id, 'a' + i % 26, 128);
        id[128] = 0;
        fcgi_scoreboard_name(page, id, "n", "POST", id);
    }
    return NULL;
}

/* A copy is never half one request and half another. */
static void a_reader_sees_one_request(void **state)
{
    struct fcgi_board_request request;
    pthread_t writer;
    int fd, seen = 0;
    struct fcgi_board_worker *page = new_page(&fd);

    (void)state;
    fcgi_scoreboard_name(page, "a", "n", "POST", "a");
    assert_int_equal(pthread_create(&writer, NULL, write_ids, page), 0);
    for (int tries = 0; tries < 100000 || !seen; tries++) {
        if (!fcgi_scoreboard_request(page, &request))
            continue;
        seen++;
        for (size_t i = 1; request.request_id[i]; i++)
            assert_int_equal(request.request_id[i], request.request_id[0]);
        assert_int_equal(request.path[0], request.request_id[0]);
    }
    pthread_join(writer, NULL);
    assert_true(seen > 0);
    fcgi_scoreboard_unmap(page);
    close(fd);
}

/* A worker that was taken over can fill its page as it likes: strings end all the same. */
static void a_writer_that_ends_nothing(void **state)
{
    struct fcgi_board_request request;
    struct fcgi_board_model model;
    char name[FCGI_BOARD_LAYER_BYTES];
    int fd;
    struct fcgi_board_worker *page = new_page(&fd);

    (void)state;
    memset(page, 'x', FCGI_BOARD_BYTES);
    assert_int_equal(fcgi_scoreboard_model(page, &model), 0); /* no hash: nothing for a header */
    memset(page, 'a', FCGI_BOARD_BYTES);
    page->sequence = 2;
    assert_int_equal(fcgi_scoreboard_request(page, &request), 1);
    assert_int_equal(strlen(request.request_id), sizeof request.request_id - 1);
    assert_int_equal(strlen(request.nginx_id), sizeof request.nginx_id - 1);
    assert_int_equal(strlen(request.method), sizeof request.method - 1);
    assert_int_equal(strlen(request.path), sizeof request.path - 1);
    assert_int_equal(fcgi_scoreboard_model(page, &model), 1);
    assert_int_equal(strlen(model.sha256), sizeof model.sha256 - 1);
    assert_int_equal(strlen(model.name), sizeof model.name - 1);
    assert_int_equal(strlen(model.isa), sizeof model.isa - 1);
    assert_int_equal(strlen(model.precision), sizeof model.precision - 1);
    assert_int_equal(strlen(model.blas_core), sizeof model.blas_core - 1);
    assert_int_equal(strlen(model.precisions), sizeof model.precisions - 1);
    assert_int_equal(strlen(model.ranges), sizeof model.ranges - 1);
    page->layers[sizeof page->layers - 1] = ' ';
    fcgi_scoreboard_layer(page, 0, name);
    assert_int_equal(strlen(name), sizeof name - 1);
    fcgi_scoreboard_unmap(page);
    close(fd);
}

/* A worker that was killed while writing leaves the page usable by its successor. */
static void a_writer_died(void **state)
{
    struct fcgi_board_request request;
    int fd;
    struct fcgi_board_worker *page = new_page(&fd);

    (void)state;
    page->sequence = 7; /* as it stands between two writes */
    assert_int_equal(fcgi_scoreboard_request(page, &request), 0);
    fcgi_scoreboard_name(page, "next-one", "", "POST", "/predict");
    assert_int_equal(fcgi_scoreboard_request(page, &request), 1);
    assert_string_equal(request.request_id, "next-one");
    fcgi_scoreboard_unmap(page);
    close(fd);
}

static void service_time_is_smoothed(void **state)
{
    int fd;
    struct fcgi_board_worker *page = new_page(&fd);

    (void)state;
    fcgi_scoreboard_service(page, 80000000);
    assert_int_equal(page->service_us, 80000); /* the first one is all that is known */
    fcgi_scoreboard_service(page, 160000000);
    assert_int_equal(page->service_us, 90000);
    for (int i = 0; i < 100; i++)
        fcgi_scoreboard_service(page, 0);
    assert_in_range(page->service_us, 1, 10); /* never 0, which is "not known" */
    fcgi_scoreboard_cancel(page, FCGI_CANCEL_HANGUP);
    assert_int_equal(page->cancelled[FCGI_CANCEL_HANGUP], 1);
    fcgi_scoreboard_unmap(page);
    close(fd);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(fcgi_scoreboard_stage_name(FCGI_STAGE_INFER), "infer");
    assert_string_equal(fcgi_scoreboard_stage_name((enum fcgi_stage)99), "?");
    assert_string_equal(fcgi_scoreboard_state_name(FCGI_WORKER_DRAINING), "draining");
    assert_string_equal(fcgi_scoreboard_state_name((enum fcgi_worker_state)99), "?");
    assert_string_equal(fcgi_scoreboard_cancel_name(FCGI_CANCEL_HANGUP_QUEUE), "hangup_queue");
    assert_string_equal(fcgi_scoreboard_cancel_name((enum fcgi_cancel)99), "?");
    assert_string_equal(fcgi_scoreboard_verdict_name(FCGI_VERDICT_STARVED), "starved");
    assert_string_equal(fcgi_scoreboard_verdict_name((enum fcgi_verdict)99), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stand_in_knows_the_places),
        cmocka_unit_test(a_page_is_known),
        cmocka_unit_test(layers_have_names),
        cmocka_unit_test(a_request_and_its_end),
        cmocka_unit_test(answers_are_counted),
        cmocka_unit_test(a_reader_sees_one_request),
        cmocka_unit_test(a_writer_that_ends_nothing),
        cmocka_unit_test(a_writer_died),
        cmocka_unit_test(names),
        cmocka_unit_test(service_time_is_smoothed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
