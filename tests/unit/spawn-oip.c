/* spawn-oip: what resnet-control makes of the pages for the Open Inference Protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "spawn/answer.h"
#include "weights/json.h"

enum { N_SLOTS = 2 };

static struct fcgi_board_main main_page;
static struct fcgi_board_control control_page;
static struct fcgi_board_worker workers[N_SLOTS];
static const struct fcgi_board_worker *slots[N_SLOTS] = {&workers[0], &workers[1]};
static struct spawn_pages pages = {
    .main = &main_page, .slots = slots, .n = N_SLOTS, .control = &control_page};
static struct spawn_scene scene = {.pages = &pages, .host = "here"};
static struct fcgi_buffer wire;
static struct wt_json json;

static int set_up(void **state)
{
    (void)state;
    memset(&main_page, 0, sizeof main_page);
    memset(workers, 0, sizeof workers);
    fcgi_scoreboard_init_main(&main_page, N_SLOTS);
    fcgi_scoreboard_init_control(&control_page);
    for (int i = 0; i < N_SLOTS; i++)
        fcgi_scoreboard_init_worker(&workers[i], i);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wt_json_free(&json);
    fcgi_buffer_free(&scene.head);
    fcgi_buffer_free(&scene.body);
    fcgi_buffer_free(&wire);
    return 0;
}

static void become_ready(struct fcgi_board_worker *page)
{
    page->state = FCGI_WORKER_IDLE;
    page->classes = 7;
    page->features = 32;
    page->crop_px = 96;
    page->max_images = 3;
    fcgi_scoreboard_describe(page, &(struct fcgi_board_model){.sha256 = "0123456789abcdef",
                                                              .name = "a \"name\"",
                                                              .precision = "fp32"});
}

/* Asks control and returns the status; the body is parsed into json. */
static int ask(const char *method, const char *path)
{
    struct spawn_params params = {.method = ""};
    struct wt_err err;

    strcpy(params.method, method);
    strcpy(params.uri, path);
    fcgi_buffer_reset(&wire);
    spawn_answer_control(&scene, &params, true, 1, &wire);
    assert_false(wire.failed);
    if (wt_json_parse(&json, scene.body.bytes, scene.body.n, 1000, &err))
        fail_msg("%s %s: %s: %.*s", method, path, err.text, (int)scene.body.n, scene.body.bytes);
    return atoi(scene.head.bytes + strlen("Status: "));
}

static int64_t number(int object, const char *key)
{
    int64_t value = -1;

    assert_true(wt_json_int64(&json, wt_json_find(&json, object, key), &value));
    return value;
}

static void assert_text(int object, const char *key, const char *expected)
{
    char text[64];

    assert_true(wt_json_string(&json, wt_json_find(&json, object, key), text, sizeof text, NULL));
    assert_string_equal(text, expected);
}

static void a_model_that_nobody_knows_is_not_ready(void **state)
{
    static const char *const paths[] = {"/v2/models/resnet50", "/v2/models/resnet50/config",
                                        "/v2/models/resnet50/ready", "/v2/health/ready"};

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(ask("GET", paths[i]), 503);
        assert_text(WT_JSON_ROOT, "code", "starting");
        assert_non_null(strstr(scene.head.bytes, "Retry-After: 1\r\n"));
    }
    assert_int_equal(ask("POST", "/v2/repository/index"), 200);
    int model = wt_json_first(&json, WT_JSON_ROOT);
    assert_text(model, "state", "UNAVAILABLE");
    assert_int_equal(ask("GET", "/v2/models/stats"), 200);
}

static void a_model_is_described_as_its_worker_says(void **state)
{
    (void)state;
    become_ready(&workers[1]);
    main_page.workers = 2;
    assert_int_equal(ask("GET", "/v2/models/resnet50"), 200);
    int input = wt_json_first(&json, wt_json_find(&json, WT_JSON_ROOT, "inputs"));
    size_t n;
    const char *shape =
        wt_json_raw(&json, wt_json_find(&json, wt_json_next(&json, input), "shape"), &n);
    assert_int_equal(n, 12);
    assert_memory_equal(shape, "[-1,3,96,96]", n);
    assert_int_equal(wt_json_size(&json, wt_json_find(&json, WT_JSON_ROOT, "outputs")), 4);

    assert_int_equal(ask("GET", "/v2/models/resnet50/versions/1/config"), 200);
    assert_int_equal(number(WT_JSON_ROOT, "max_batch_size"), 3);
    int parameters = wt_json_find(&json, WT_JSON_ROOT, "parameters");
    assert_text(wt_json_find(&json, parameters, "model"), "string_value", "a \"name\"");
    assert_int_equal(ask("POST", "/v2/repository/index"), 200);
    assert_text(wt_json_first(&json, WT_JSON_ROOT), "state", "READY");
    main_page.state = FCGI_SERVICE_DRAINING;
    assert_int_equal(ask("POST", "/v2/repository/index"), 200);
    assert_text(wt_json_first(&json, WT_JSON_ROOT), "state", "UNAVAILABLE");
}

static void answer(struct fcgi_board_worker *page, enum fcgi_code code, int images, int64_t ms)
{
    int64_t stage_ns[FCGI_N_STAGES];

    for (int i = 0; i < FCGI_N_STAGES; i++)
        stage_ns[i] = code == FCGI_E_OK ? ms * 100000 : -1;
    fcgi_scoreboard_begin(page, fcgi_scoreboard_now_ns());
    fcgi_scoreboard_count(page, code, stage_ns, ms * 1000000);
    if (code == FCGI_E_OK)
        fcgi_scoreboard_images(page, FCGI_PRECISION_INT8, images);
}

static void assert_spent(int stats, const char *name, int64_t count, int64_t ns)
{
    int found = wt_json_find(&json, stats, name);

    assert_int_equal(number(found, "count"), count);
    assert_int_equal(number(found, "ns"), ns);
}

static void statistics_are_sums_over_all_slots(void **state)
{
    struct timespec now;

    (void)state;
    answer(&workers[0], FCGI_E_OK, 1, 10);
    answer(&workers[0], FCGI_E_BAD_JSON, 0, 1);
    answer(&workers[1], FCGI_E_OK, 4, 30);
    answer(&workers[1], FCGI_E_CANCELLED, 0, 2);
    assert_int_equal(ask("GET", "/v2/models/resnet50/stats"), 200);
    int model = wt_json_first(&json, wt_json_find(&json, WT_JSON_ROOT, "model_stats"));
    assert_int_equal(number(model, "inference_count"), 5);
    assert_int_equal(number(model, "execution_count"), 2);
    int stats = wt_json_find(&json, model, "inference_stats");
    assert_spent(stats, "success", 2, 40000000);
    assert_spent(stats, "fail", 2, 3000000);
    assert_spent(stats, "queue", 2, 4000000);
    assert_spent(stats, "compute_input", 2, 8000000); /* decoding and resizing */
    assert_spent(stats, "compute_infer", 2, 4000000);
    clock_gettime(CLOCK_REALTIME, &now);
    assert_in_range(number(model, "last_inference"), (uint64_t)now.tv_sec * 1000 - 60000,
                    (uint64_t)now.tv_sec * 1000 + 60000);
}

static void fill(struct fcgi_board_worker *page, uint64_t *seed, int whole)
{
    uint8_t *bytes = (uint8_t *)page;

    for (size_t i = 0; i < sizeof *page; i++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(whole ? *seed >> 56 : *seed >> 60 ? 'x' : 0);
    }
    page->state = (uint32_t)(*seed >> 40) % 6;
}

/* A line that a worker wrote into a header would be a header of its own. */
static void assert_headers(const char *head)
{
    for (size_t n; (n = strcspn(head, "\r")) > 0; head += n + 2) {
        const char *colon = memchr(head, ':', n);
        assert_non_null(colon);
        assert_true(strspn(head, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") ==
                    (size_t)(colon - head));
        for (size_t i = 0; i < n; i++)
            assert_true(head[i] >= ' ' && head[i] < 0x7f);
        assert_true(head[n + 1] == '\n');
    }
}

static void pages_full_of_rubbish_are_told_as_json(void **state)
{
    static const char *const paths[] = {"/health",
                                        "/health/ready",
                                        "/status",
                                        "/v1/models/resnet50/metadata",
                                        "/v2/models/resnet50",
                                        "/v2/models/resnet50/config",
                                        "/v2/models/resnet50/stats",
                                        "/nowhere"};
    uint64_t seed = 1;

    (void)state;
    for (int i = 0; i < 400; i++) {
        for (int slot = 0; slot < N_SLOTS; slot++)
            fill(&workers[slot], &seed, i % 2);
        for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
            int status = ask("GET", paths[p]);
            assert_true(status == 200 || status == 503 || status == 404);
            assert_headers(scene.head.bytes);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_model_that_nobody_knows_is_not_ready, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_model_is_described_as_its_worker_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(statistics_are_sums_over_all_slots, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pages_full_of_rubbish_are_told_as_json, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
