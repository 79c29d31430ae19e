/* Pages that are written and read at the same time, by threads, which ThreadSanitizer sees, in the
 * stead of processes, which it does not: what is copied out of them is never half of one thing and
 * half of another. With --race a reader goes about it carelessly, and ThreadSanitizer has to say so
 * (tests/check-tsan). */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/crew.h"
#include "fcgi/log.h"
#include "spawn/pages.h"
#include "spawn/spawn.h"

enum { READERS = 2, ROUNDS = 500, SLOTS = 4 };

static struct spawn s;
static struct fcgi_board_worker *page;
static struct fcgi_board_main main_page;
static struct fcgi_board_control control_page;
static struct spawn_pages pages;
static _Atomic int ended, torn, whole;

static int open_all(void **state)
{
    static const struct fcgi_board_worker *slots[1];
    int fd = fcgi_scoreboard_create("test");

    (void)state;
    memset(&s, 0, sizeof s);
    page = fcgi_scoreboard_map(fd, 1);
    close(fd);
    fcgi_scoreboard_init_worker(page, 0);
    s.config.quarantine_ms = 600000;
    s.n_slots = 1;
    s.workers = calloc(1, sizeof *s.workers);
    s.workers[0].page = page;
    slots[0] = page;
    fcgi_log_setup("test", -1, 0, FCGI_LOG_ERROR, 0);
    int error = spawn_deaths_open(&s);
    pages = (struct spawn_pages){&main_page, slots, 1, &control_page, s.deaths};
    return error;
}

static int close_all(void **state)
{
    (void)state;
    fcgi_scoreboard_unmap(page);
    free(s.workers);
    spawn_deaths_close(&s);
    return 0;
}

/* Whether text is n times the same letter. */
static int is_one_letter(const char *text, size_t n)
{
    return strlen(text) == n && strspn(text, (char[]){text[0], 0}) == n;
}

static void fill(char *text, size_t size, int round)
{
    memset(text, 'a' + round % 26, size - 1);
    text[size - 1] = 0;
}

static void see(int is_whole)
{
    atomic_fetch_add(is_whole ? &whole : &torn, 1);
}

static void *keep_reading(void *reader)
{
    while (!ended)
        (*(void (**)(void))reader)();
    return NULL;
}

/* Goes on until all rounds are written, and until somebody has read something meanwhile. */
static void run(void (*writer)(int round), void (*reader)(void))
{
    pthread_t thread[READERS];

    ended = torn = whole = 0;
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, keep_reading, &reader), 0);
    for (int round = 0; round < ROUNDS || !(whole + torn); round++) {
        writer(round);
        if (round % 16 == 0)
            sched_yield();
    }
    ended = 1;
    for (int i = 0; i < READERS; i++)
        pthread_join(thread[i], NULL);
}

/* ---- a worker's requests -------------------------------------------------------------------- */

static void serve(int round)
{
    int64_t stage_ns[FCGI_N_STAGES] = {1, 2, 3, 4, 5, 6};
    uint8_t sha256[FCGI_QUARANTINE_HASH];
    char id[129], nginx_id[33];

    fill(id, sizeof id, round);
    fill(nginx_id, sizeof nginx_id, round);
    memset(sha256, round, sizeof sha256);
    fcgi_scoreboard_begin(page, (uint64_t)round);
    fcgi_scoreboard_name(page, id, nginx_id, "POST", id);
    fcgi_scoreboard_body(page, sha256);
    fcgi_scoreboard_stage(page, FCGI_STAGE_INFER);
    fcgi_scoreboard_tick(page, round % 3);
    fcgi_scoreboard_count(page, FCGI_E_OK, stage_ns, 21);
    fcgi_scoreboard_answered(page);
    if (round % 4 == 0)
        fcgi_scoreboard_end(page, FCGI_WORKER_IDLE);
}

static void look_at_request(void)
{
    struct fcgi_board_request request;
    char name[FCGI_BOARD_LAYER_BYTES];
    uint64_t bytes = spawn_pages_queue_age_us(&pages, 0) + spawn_pages_violations(&pages);

    fcgi_scoreboard_layer(page, page->layer, name);
    if (spawn_pages_tally(&pages).ready > 1 || bytes || !fcgi_scoreboard_request(page, &request))
        return;
    see(is_one_letter(request.request_id, 128) && is_one_letter(request.nginx_id, 32) &&
        is_one_letter(request.path, 127) && request.path[0] == request.request_id[0] &&
        request.nginx_id[0] == request.path[0] && !strcmp(request.method, "POST"));
}

static void a_request_is_one(void **state)
{
    (void)state;
    fcgi_scoreboard_name_layers(page, "conv1 maxpool fc ");
    run(serve, look_at_request);
    assert_true(whole > 0);
    assert_int_equal(torn, 0);
}

/* What the test above would see of a reader that looks at no sequence number. */
static void look_carelessly(void)
{
    char id[128];
    uint32_t sequence = page->sequence;

    fcgi_shared_get(id, page->request, sizeof id / 2);
    while (page->sequence == sequence && !ended)
        sched_yield();
    fcgi_shared_get(id + sizeof id / 2, page->request + sizeof id / 2, sizeof id / 2);
    if (id[0] && id[127])
        see(id[0] == id[127]);
}

static void serve_slowly(int round)
{
    serve(round);
    sched_yield();
}

static void a_careless_reader_is_seen(void **state)
{
    (void)state;
    for (int tries = 0; tries < 1000 && !torn; tries++)
        run(serve_slowly, look_carelessly);
    assert_true(torn > 0);
}

/* ---- what it has loaded --------------------------------------------------------------------- */

/* One life of the slot: as the supervisor begins it, and as the worker goes on. */
static void live(int round)
{
    struct fcgi_board_model model = {0};

    fcgi_scoreboard_start(page, (uint64_t)round + 1);
    fill(model.sha256, sizeof model.sha256, round);
    fill(model.name, sizeof model.name, round);
    fill(model.ranges, sizeof model.ranges, round);
    fcgi_scoreboard_describe(page, &model);
    page->state = FCGI_WORKER_IDLE;
    sched_yield();
}

static void look_at_model(void)
{
    struct fcgi_board_model model;

    if (!spawn_pages_model(&pages, &model))
        return;
    see(is_one_letter(model.sha256, 64) && is_one_letter(model.name, 63) &&
        is_one_letter(model.ranges, 15) && model.sha256[0] == model.name[0] &&
        model.name[0] == model.ranges[0]);
}

static void a_model_is_one(void **state)
{
    (void)state;
    run(live, look_at_model);
    assert_true(whole > 0);
    assert_int_equal(torn, 0);
}

/* ---- the rings ------------------------------------------------------------------------------ */

/* Even requests take one worker along, odd ones two; each is dead and gone after 256 others. */
static _Atomic int newest;

static void name_of(int round, char id[33])
{
    snprintf(id, 33, "%032d", round);
}

static void die(int round)
{
    char id[33];

    newest = round + 1; /* looked for before it is there, while it takes another's place */
    name_of(round, id);
    for (int i = 0; i <= round % 2; i++)
        spawn_deaths_add(s.deaths, id);
}

static void look_at_deaths(void)
{
    int round = newest & ~1;
    char id[33];

    name_of(round, id);
    see(fcgi_deaths_count(s.deaths, id) <= 1);
}

static void a_death_is_counted_once(void **state)
{
    (void)state;
    run(die, look_at_deaths);
    assert_true(whole > 0);
    assert_int_equal(torn, 0);
}

static void be_suspect(int round)
{
    uint8_t sha256[FCGI_QUARANTINE_HASH];
    char id[33];

    memset(sha256, round, sizeof sha256);
    name_of(round, id);
    fcgi_scoreboard_begin(page, 1);
    fcgi_scoreboard_name(page, "client's", id, "POST", "/predict");
    fcgi_scoreboard_body(page, sha256);
    spawn_deaths_add(s.deaths, id);
    spawn_quarantine_record(&s, 0);
    if (round % 100 == 99)
        spawn_quarantine_release(&s);
}

static void look_at_suspects(void)
{
    const struct fcgi_quarantine *quarantine = &s.deaths->quarantine;
    uint64_t now_ns = fcgi_scoreboard_now_ns();

    for (int i = 0; i < FCGI_QUARANTINE_SUSPECTS; i++) {
        uint8_t sha256[FCGI_QUARANTINE_HASH];
        if (!fcgi_quarantine_read(quarantine, &quarantine->suspect[i], now_ns, sha256))
            continue;
        see(!memcmp(sha256, sha256 + 1, sizeof sha256 - 1));
        fcgi_quarantine_requests(quarantine, sha256, now_ns);
    }
}

static void a_suspect_is_one(void **state)
{
    (void)state;
    run(be_suspect, look_at_suspects);
    assert_true(whole > 0);
    assert_int_equal(torn, 0);
}

/* ---- who is busy ---------------------------------------------------------------------------- */

static struct fcgi_crew *crew;

static void be_busy(int round)
{
    fcgi_crew_set(crew, round % SLOTS, round / SLOTS % 2);
}

static void look_at_crew(void)
{
    int threads = fcgi_crew_threads(crew, 1, SLOTS, SLOTS);

    see(threads >= 1 && threads <= SLOTS);
}

static void a_crew_is_never_too_large(void **state)
{
    int fd = fcgi_crew_create(SLOTS);

    (void)state;
    crew = fcgi_crew_map(fd);
    close(fd);
    assert_non_null(crew);
    run(be_busy, look_at_crew);
    fcgi_crew_unmap(crew);
    assert_true(whole > 0);
    assert_int_equal(torn, 0);
}

/* ---- the race ------------------------------------------------------------------------------- */

static void look_without_atomics(void)
{
    struct fcgi_board_request request;

    memcpy(&request, (const void *)(uintptr_t)page->request, sizeof request);
    see(request.request_id[0] != 0);
}

static int race(void)
{
    open_all(NULL);
    run(serve, look_without_atomics);
    close_all(NULL);
    puts("raced, and nobody noticed");
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_one), TEST(a_careless_reader_is_seen),
        TEST(a_model_is_one),   TEST(a_death_is_counted_once),
        TEST(a_suspect_is_one), TEST(a_crew_is_never_too_large),
    };

    if (argc > 1 && !strcmp(argv[1], "--race"))
        return race();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
