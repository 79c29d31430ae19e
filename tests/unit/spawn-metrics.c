/* spawn-metrics: /metrics read back by a parser that knows only Prometheus' text format, and what
 * /metrics, /status and Retry-After make of the pages. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/version.h"
#include "spawn/answer.h"
#include "spawn/spawn.h"

enum { N_SLOTS = 3, MAX_SAMPLES = 512 };

/* ---- pages ---------------------------------------------------------------------------------- */

static struct fcgi_board_main main_page;
static struct fcgi_board_control control_page;
static struct fcgi_board_worker workers[N_SLOTS];
static const struct fcgi_board_worker *slots[N_SLOTS] = {&workers[0], &workers[1], &workers[2]};
static struct fcgi_deaths deaths;
static struct spawn_pages pages = {
    .main = &main_page, .slots = slots, .n = N_SLOTS, .control = &control_page, .deaths = &deaths};
static struct spawn_scene scene = {.pages = &pages, .host = "here"};

static int set_up(void **state)
{
    (void)state;
    if (!scene.self.fds)
        spawn_self_start(&scene.self);
    memset(&main_page, 0, sizeof main_page);
    memset(&control_page, 0, sizeof control_page);
    memset(workers, 0, sizeof workers);
    fcgi_scoreboard_init_main(&main_page, N_SLOTS);
    fcgi_scoreboard_init_control(&control_page);
    for (int i = 0; i < N_SLOTS; i++)
        fcgi_scoreboard_init_worker(&workers[i], i);
    main_page.start_ns = fcgi_scoreboard_now_ns();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fcgi_buffer_free(&scene.head);
    fcgi_buffer_free(&scene.body);
    return 0;
}

/* ---- a parser of text format 0.0.4 ---------------------------------------------------------- */

struct sample {
    char name[64], labels[256]; /* labels: a=b,c=d unescaped */
    double value;
};

struct metrics {
    struct sample samples[MAX_SAMPLES];
    int n;
    char family[64], type[16]; /* of the lines that are being read */
    char seen[64][64];         /* families so far */
    int n_seen;
};

static const char *take_name(const char *at, char *name, size_t size)
{
    size_t n = 0;

    assert_true(isalpha((unsigned char)*at) || *at == '_');
    while (isalnum((unsigned char)at[n]) || at[n] == '_' || at[n] == ':')
        n++;
    assert_true(n < size);
    memcpy(name, at, n);
    name[n] = '\0';
    return at + n;
}

/* at: after the opening quote; returns what follows the closing one. */
static const char *take_value(const char *at, char *out)
{
    for (; *at != '"'; at++) {
        assert_true(*at != '\0' && *at != '\n');
        if (*at != '\\') {
            *out++ = *at;
            continue;
        }
        at++;
        assert_true(*at == '\\' || *at == '"' || *at == 'n');
        *out++ = *at == 'n' ? '\n' : *at;
    }
    *out = '\0';
    return at + 1;
}

static const char *take_labels(const char *at, char *labels)
{
    char name[64], value[256];

    while (*at != '}') {
        at = take_name(at, name, sizeof name);
        assert_true(at[0] == '=' && at[1] == '"');
        at = take_value(at + 2, value);
        labels += sprintf(labels, "%s=%s", name, value);
        assert_true(*at == ',' || *at == '}');
        if (*at == ',') {
            *labels++ = ',';
            at++;
        }
    }
    *labels = '\0';
    return at + 1;
}

/* A sample belongs to the family whose TYPE came last. */
static void check_family(const struct metrics *m, const char *name)
{
    static const char *const parts[] = {"_bucket", "_sum", "_count"};
    size_t n = strlen(m->family);
    bool belongs = !strcmp(name, m->family);

    assert_true(n > 0);
    for (size_t i = 0; i < 3 && !strcmp(m->type, "histogram"); i++)
        belongs |= !strncmp(name, m->family, n) && !strcmp(name + n, parts[i]);
    assert_true(belongs);
    assert_int_equal(!strcmp(m->type, "counter"),
                     strlen(name) > 6 && !strcmp(name + strlen(name) - 6, "_total"));
}

static void take_sample(struct metrics *m, const char *line)
{
    struct sample *sample = &m->samples[m->n++];
    char *end;

    assert_true(m->n < MAX_SAMPLES);
    memset(sample, 0, sizeof *sample);
    const char *at = take_name(line, sample->name, sizeof sample->name);
    check_family(m, sample->name);
    if (*at == '{')
        at = take_labels(at + 1, sample->labels);
    assert_int_equal(*at, ' ');
    sample->value = strtod(at + 1, &end);
    assert_true(end > at + 1);
    assert_int_equal(*end, '\n');
    for (int i = 0; i < m->n - 1; i++) /* no series twice */
        assert_true(strcmp(m->samples[i].name, sample->name) != 0 ||
                    strcmp(m->samples[i].labels, sample->labels) != 0);
}

static void take_comment(struct metrics *m, const char *line)
{
    char name[64];

    if (!strncmp(line, "# HELP ", 7)) { /* comes first; each family once */
        take_name(line + 7, name, sizeof name);
        for (int i = 0; i < m->n_seen; i++)
            assert_string_not_equal(m->seen[i], name);
        assert_true(m->n_seen < 64);
        strcpy(m->seen[m->n_seen++], name);
        return;
    }
    assert_int_equal(sscanf(line, "# TYPE %63s %15s", m->family, m->type), 2);
    assert_true(m->n_seen > 0);
    assert_string_equal(m->seen[m->n_seen - 1], m->family);
}

static void parse(struct metrics *m, const char *text)
{
    memset(m, 0, sizeof *m);
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        assert_non_null(strchr(line, '\n')); /* the last line ends, too */
        if (*line == '#')
            take_comment(m, line);
        else
            take_sample(m, line);
    }
}

static double get(const struct metrics *m, const char *name, const char *labels)
{
    for (int i = 0; i < m->n; i++)
        if (!strcmp(m->samples[i].name, name) && !strcmp(m->samples[i].labels, labels))
            return m->samples[i].value;
    fail_msg("no sample %s{%s}", name, labels);
    return -1;
}

static void scrape(struct metrics *m)
{
    struct spawn_request request = {.internal = true};
    struct spawn_answer answer = {.body = &scene.body};

    fcgi_buffer_reset(&scene.body);
    spawn_metrics(&scene, &request, &answer);
    fcgi_buffer_add(&scene.body, "", 1);
    assert_false(scene.body.failed);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.content_type, "text/plain; version=0.0.4; charset=utf-8");
    parse(m, scene.body.bytes);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static struct metrics metrics;

static void count(struct fcgi_board_worker *page, enum fcgi_code code, int64_t ms)
{
    int64_t stage_ns[FCGI_N_STAGES] = {-1, -1, -1, -1, ms * 1000000, -1};

    fcgi_scoreboard_count(page, code, stage_ns, ms * 1000000);
}

static void totals_are_summed(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        fcgi_scoreboard_begin(&workers[i % N_SLOTS], 1);
        count(&workers[i % N_SLOTS], FCGI_E_OK, 7);
    }
    fcgi_scoreboard_begin(&workers[0], 1);
    count(&workers[0], FCGI_E_BODY_TOO_LARGE, 1);
    count(&workers[1], FCGI_E_IMAGE_TOO_LARGE, 1); /* 413, too */
    count(&workers[1], FCGI_E_CANCELLED, 1);       /* nobody is answered */
    count(&workers[2], FCGI_E_OVERLOADED, 1);
    fcgi_scoreboard_cancel(&workers[1], FCGI_CANCEL_HANGUP);
    fcgi_scoreboard_shed(&control_page, FCGI_SHED_OVERLOADED);
    fcgi_scoreboard_shed(&control_page, FCGI_SHED_OVERLOADED);
    fcgi_scoreboard_shed(&control_page, FCGI_SHED_DRAINING);
    main_page.ends[FCGI_END_KILLED] = 4;
    main_page.verdicts[FCGI_VERDICT_STUCK] = 2;
    main_page.throttled_us = 1500000;
    scrape(&metrics);
    assert_true(get(&metrics, "resnet_requests_total", "code=200") == 5);
    assert_true(get(&metrics, "resnet_requests_total", "code=413") == 2);
    assert_true(get(&metrics, "resnet_requests_total", "code=503") == 4);
    assert_true(get(&metrics, "resnet_requests_total", "code=504") == 0);
    for (int i = 0; i < metrics.n; i++)
        assert_string_not_equal(metrics.samples[i].labels, "code=499");
    assert_true(get(&metrics, "resnet_attempts_total", "") == 6);
    assert_true(get(&metrics, "resnet_shed_total", "reason=overloaded") == 2);
    assert_true(get(&metrics, "resnet_shed_total", "reason=draining") == 1);
    assert_true(get(&metrics, "resnet_cancelled_total", "reason=hangup") == 1);
    assert_true(get(&metrics, "resnet_worker_exits_total", "reason=killed") == 4);
    assert_true(get(&metrics, "resnet_watchdog_verdicts_total", "verdict=stuck") == 2);
    assert_true(get(&metrics, "resnet_cpu_throttled_seconds_total", "") == 1.5);
    assert_true(get(&metrics, "process_cpu_seconds_total", "") > 0);
    assert_true(get(&metrics, "process_resident_memory_bytes", "") > 0);
    assert_true(get(&metrics, "process_open_fds", "") >= 3);
}

static void buckets_are_cumulative(void **state)
{
    static const char name[] = "resnet_request_duration_seconds";
    static const int64_t ms[] = {0, 1, 2, 40, 40, 90, 3000, 200000};
    char labels[64], text[128];
    double last = 0;
    int n = 0;

    (void)state;
    for (size_t i = 0; i < sizeof ms / sizeof *ms; i++)
        count(&workers[i % N_SLOTS], FCGI_E_OK, ms[i]);
    scrape(&metrics);
    snprintf(text, sizeof text, "%s_bucket", name);
    for (int i = 0; i < metrics.n; i++) {
        const struct sample *sample = &metrics.samples[i];
        if (strcmp(sample->name, text) != 0 || strncmp(sample->labels, "stage=infer,le=", 15) != 0)
            continue;
        double le = strtod(sample->labels + 15, NULL), expected = 0;
        for (size_t k = 0; k < sizeof ms / sizeof *ms; k++)
            expected += (double)ms[k] / 1e3 <= le;
        assert_true(sample->value == expected && sample->value >= last);
        last = sample->value;
        snprintf(labels, sizeof labels, "%s", sample->labels);
        n++;
    }
    assert_int_equal(n, FCGI_N_BUCKETS);
    assert_string_equal(labels, "stage=infer,le=+Inf"); /* the last */
    snprintf(text, sizeof text, "%s_count", name);
    assert_true(get(&metrics, text, "stage=infer") == 8);
    assert_true(get(&metrics, text, "stage=decode") == 0);
    assert_true(get(&metrics, text, "stage=total") == 8);
    snprintf(text, sizeof text, "%s_sum", name);
    assert_true(get(&metrics, text, "stage=infer") == 203.173);
}

static void workers_and_model(void **state)
{
    static const struct fcgi_board_model model = {.sha256 = "abc",
                                                  .name = "Res\"Net\\\n\xff\xc3\xa9",
                                                  .isa = "avx512",
                                                  .precision = "fp32",
                                                  .blas_core = "Cooperlake"};

    (void)state;
    scrape(&metrics); /* before any worker has said what it runs */
    assert_true(get(&metrics, "resnet_model_bytes", "kind=mapped") == 0);
    workers[0].state = FCGI_WORKER_BUSY;
    workers[1].state = FCGI_WORKER_IDLE;
    workers[2].state = FCGI_WORKER_STARTING;
    for (int i = 0; i < 2; i++) {
        workers[i].model_mapped_bytes = 1000;
        workers[i].model_private_bytes = 30;
        fcgi_scoreboard_describe(&workers[i], &model);
    }
    scrape(&metrics);
    assert_true(get(&metrics, "resnet_workers", "state=starting") == 1);
    assert_true(get(&metrics, "resnet_workers", "state=idle") == 1);
    assert_true(get(&metrics, "resnet_workers", "state=busy") == 1);
    assert_true(get(&metrics, "resnet_workers", "state=draining") == 0);
    assert_true(get(&metrics, "resnet_model_bytes", "kind=mapped") == 1000); /* one for all */
    assert_true(get(&metrics, "resnet_model_bytes", "kind=private") == 60);
    char labels[256];
    snprintf(labels, sizeof labels,
             "version=%s,isa=avx512,engine=native,precision=fp32,"
             "model=Res\"Net\\\n\xef\xbf\xbd\xc3\xa9,openblas_core=Cooperlake",
             fcgi_version);
    assert_true(get(&metrics, "resnet_build_info", labels) == 1);
}

static void service_time_is_of_slots_in_use(void **state)
{
    (void)state;
    assert_true(spawn_pages_service_us(&pages) == 0);
    workers[0].service_us = 9000; /* its slot is out of use */
    assert_true(spawn_pages_service_us(&pages) == 9000);
    workers[1].state = FCGI_WORKER_IDLE; /* has answered nothing yet */
    assert_true(spawn_pages_service_us(&pages) == 9000);
    workers[1].service_us = 100;
    workers[2].state = FCGI_WORKER_BUSY;
    workers[2].service_us = 300;
    assert_true(spawn_pages_service_us(&pages) == 200);
}

static void queue_age(void **state)
{
    uint64_t s = 1000000000u, now = main_page.start_ns + 100 * s;

    (void)state;
    assert_int_equal(spawn_pages_queue_age_us(&pages, now), 100000000); /* since the start */
    for (int i = 0; i < N_SLOTS; i++)
        workers[i].state = FCGI_WORKER_BUSY;
    workers[0].accepted_ns = now - 9 * s;
    workers[0].queue_us = 70000000;
    workers[1].accepted_ns = now - 2 * s;
    workers[1].queue_us = 5000000;
    assert_int_equal(spawn_pages_queue_age_us(&pages, now), 5000000);
    assert_int_equal(spawn_pages_queue_age_us(&pages, now + 20 * s), 22000000);
    assert_int_equal(spawn_pages_queue_age_us(&pages, now - 50 * s), 5000000);
    workers[2].state = FCGI_WORKER_IDLE;
    assert_int_equal(spawn_pages_queue_age_us(&pages, now), 0);
}

static void shed_by_state(void **state)
{
    static const struct {
        enum fcgi_service_state state;
        enum fcgi_worker_state worker;
        enum fcgi_shed reason;
        const char *code;
        int retry_s;
    } rows[] = {
        {FCGI_SERVICE_STARTING, FCGI_WORKER_STARTING, FCGI_SHED_STARTING, "\"starting\"", 2},
        {FCGI_SERVICE_STARTING, FCGI_WORKER_BUSY, FCGI_SHED_OVERLOADED, "\"overloaded\"", 1},
        {FCGI_SERVICE_SERVING, FCGI_WORKER_BUSY, FCGI_SHED_OVERLOADED, "\"overloaded\"", 1},
        {FCGI_SERVICE_DRAINING, FCGI_WORKER_BUSY, FCGI_SHED_DRAINING, "\"draining\"", 5},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct spawn_request request = {.path = "/predict", .request_id = "12345678"};
        struct spawn_answer answer = {.body = &scene.body};
        uint64_t before = control_page.shed[rows[i].reason];
        main_page.state = rows[i].state;
        workers[0].state = rows[i].worker;
        fcgi_buffer_reset(&scene.body);
        spawn_shed(&scene, &request, &answer);
        fcgi_buffer_add(&scene.body, "", 1);
        assert_int_equal(answer.status, 503);
        assert_int_equal(answer.retry_after_s, rows[i].retry_s);
        assert_non_null(strstr(scene.body.bytes, rows[i].code));
        assert_int_equal(control_page.shed[rows[i].reason], before + 1);
    }
}

static void status(bool internal)
{
    struct spawn_request request = {.internal = internal};
    struct spawn_answer answer = {.body = &scene.body};

    fcgi_buffer_reset(&scene.body);
    spawn_status(&scene, &request, &answer);
    fcgi_buffer_add(&scene.body, "", 1);
    assert_int_equal(answer.status, 200);
}

static void status_of_workers(void **state)
{
    (void)state;
    fcgi_scoreboard_begin(&workers[1], fcgi_scoreboard_now_ns());
    fcgi_scoreboard_name(&workers[1], "some-\"id\"", "0123", "POST", "/predict");
    fcgi_scoreboard_stage(&workers[1], FCGI_STAGE_INFER);
    fcgi_scoreboard_name_layers(&workers[1], "conv1 maxpool ");
    fcgi_scoreboard_tick(&workers[1], 1);
    main_page.verdicts[FCGI_VERDICT_STARVED] = 3;
    main_page.throttled_us = 2500000;
    fcgi_shared_put_text(main_page.reason, sizeof main_page.reason, "the model is corrupt");
    status(true);
    const char *text = scene.body.bytes;
    assert_non_null(strstr(text, "\"request_id\":\"some-\\\"id\\\"\",\"stage\":\"infer\","
                                 "\"layer\":1,\"layer_name\":\"maxpool\",\"ms\":"));
    assert_non_null(strstr(text, "\"verdicts\":{\"running\":0,\"slow\":0,\"starved\":3,"));
    assert_non_null(strstr(text, "\"cpu_throttled_ms\":2500,"));
    assert_non_null(strstr(text, "\"reason\":\"the model is corrupt\""));
    assert_non_null(strstr(text, "\"quarantine\":{\"ttl_ms\":0,\"inputs\":[]}"));
    workers[1].requests = 41;
    workers[1].service_us = 12500;
    status(false);
    text = scene.body.bytes;
    assert_non_null(strstr(text, "\"requests\":41,\"service_ms\":12.500,"));
    assert_non_null(strstr(text, "\"workers\":{\"wanted\":0,\"ready\":1,\"busy\":1,"));
    assert_null(strstr(text, "some-"));
    assert_null(strstr(text, "corrupt"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(totals_are_summed, set_up),
        cmocka_unit_test_setup(buckets_are_cumulative, set_up),
        cmocka_unit_test_setup(workers_and_model, set_up),
        cmocka_unit_test_setup(service_time_is_of_slots_in_use, set_up),
        cmocka_unit_test_setup(queue_age, set_up),
        cmocka_unit_test_setup(shed_by_state, set_up),
        cmocka_unit_test_setup(status_of_workers, set_up),
    };

    return cmocka_run_group_tests_name("spawn-metrics", tests, NULL, tear_down);
}
