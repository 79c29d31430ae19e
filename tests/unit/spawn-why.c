/* What is told of a request, word for word, from lines written here: any order, ids that are used
 * twice, tries without an end, logs that are missing, bytes that mean harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "spawn/why.h"

#define AT(ms, rest) "2026-11-20T10:00:" ms "Z level=info host=h " rest
#define WORKER(slot, pid, event)                                                                   \
    "program=resnet-fcgi slot=" slot " gen=1 pid=" pid " event=" event                             \
    " request_id=the-request nginx_id=n1 "
#define SPAWN(event) "program=resnet-spawn pid=1 event=" event " "

static const char arrived[] =
    "{\"time\":\"2026-11-20T10:00:02+00:00\",\"msec\":1795168802.000,\"host\":\"h\","
    "\"request_id\":\"the-request\",\"nginx_id\":\"n1\",\"client\":\"::1\","
    "\"request\":\"POST /predict HTTP/1.1\",\"status\":200,\"bytes_in\":100,\"bytes_out\":200,"
    "\"seconds\":2.000,\"attempts\":2,\"upstream\":\"unix:/r/work.sock, unix:/r/work.sock\","
    "\"upstream_status\":\"502, 200\",\"upstream_connect\":\"0.000, 0.000\",\"completed\":\"OK\"}";
static const char answered[] =
    AT("01.990", WORKER("0", "20", "request")) "status=200 code=ok sent=yes ms=1985 queue_ms=1500 "
                                               "read_ms=1 decode_ms=4 resize_ms=2 infer_ms=300 "
                                               "write_ms=1";
static const char crashed[] = AT(
    "01.400", WORKER("1", "10", "crashed")) "signal=SEGV from=0 stage=infer layer=layer2.0.conv1";
static const char death[] =
    AT("01.400", SPAWN("death")) "slot=1 worker_pid=10 request_id=the-request nginx_id=n1 count=1";
static const char lost[] =
    AT("01.450", SPAWN("lost")) "request_id=the-request nginx_id=n1 slot=1 gen=1 worker_pid=10 "
                                "end=crashed how=signal:11 stage=infer layer=9 "
                                "layer_name=layer2.0.conv1 queue_ms=5 ms=1445";

static char out[8192];

/* Both parts of every request that is found; returns how many. */
static int tell(const char *id, const char *const *lines, int n)
{
    static struct spawn_why_request request;
    struct spawn_why why = {.id = id};
    FILE *file = fmemopen(out, sizeof out, "w");
    size_t at = 0;
    int found = 0;

    assert_non_null(file);
    for (int i = 0; i < n; i++) {
        size_t length = strlen(lines[i]);
        char *copy = malloc(length ? length : 1); /* without a NUL, as in a file */
        assert_non_null(copy);
        memcpy(copy, lines[i], length);
        spawn_why_look(&why, copy, length);
        free(copy);
    }
    spawn_why_sort(&why);
    for (; spawn_why_next(&why, &at, &request); found++) {
        spawn_why_verdict(&request, file);
        spawn_why_story(&why, &request, file);
    }
    spawn_why_free(&why);
    fclose(file);
    return found;
}

static const char story[] =
    "Answered 200 after 2.00 s: worker 1.1 crashed (SEGV) in infer, layer2.0.conv1; then worker "
    "0.1 answered.\n"
    "  10:00:00.000        +0 ms  nginx: POST /predict HTTP/1.1 from ::1, 100 bytes\n"
    "  10:00:00.005        +5 ms  worker 1.1, pid 10, took it after 5.0 ms in the queue\n"
    "  10:00:01.400     +1400 ms  it crashed, SIGSEGV, in infer, layer2.0.conv1\n"
    "  10:00:01.450     +1450 ms  that is the first worker that it took along\n"
    "  10:00:01.505     +1505 ms  nginx sent it again: worker 0.1, pid 20, took it\n"
    "  10:00:01.990     +1990 ms  it answered 200 ok: read 1.0 ms, decode 4.0 ms, resize 2.0 ms, "
    "infer 300.0 ms, write 1.0 ms\n"
    "  10:00:02.000     +2000 ms  nginx: 200 to the client, 200 bytes, after 2 connections, 1 "
    "ended "
    "without an answer\n";

/* Every order of the five lines. */
static void permute(const char **lines, int n, int at)
{
    if (at == n) {
        assert_int_equal(tell("the-request", lines, n), 1);
        assert_string_equal(out, story);
    }
    for (int i = at; i < n; i++) {
        const char *line = lines[i];
        lines[i] = lines[at];
        lines[at] = line;
        permute(lines, n, at + 1);
        lines[at] = lines[i];
        lines[i] = line;
    }
}

static void in_any_order(void **state)
{
    const char *lines[] = {arrived, answered, crashed, death, lost};

    (void)state;
    permute(lines, 5, 0);
    assert_int_equal(tell("n1", lines, 5), 1); /* by nginx's id */
    assert_string_equal(out, story);
    assert_int_equal(tell("the-reques", lines, 5), 0);
}

static void where_the_time_went(void **state)
{
    const char *lines[] = {answered};

    (void)state;
    assert_int_equal(tell("the-request", lines, 1), 1);
    assert_non_null(strstr(
        out, "What the client got is not known: nginx's line about it is not in "
             "these logs, or it is not over: worker 0.1 answered, most of it waiting in the queue "
             "(1.50 s).\n"));
    assert_non_null(strstr(out, "took it after 1.50 s in the queue\n"));
}

/* Of two tries the first one's host gave no logs. */
static void a_try_that_nobody_tells_of(void **state)
{
    const char *lines[] = {arrived, answered};

    (void)state;
    assert_int_equal(tell("the-request", lines, 2), 1);
    assert_non_null(strstr(out, "; 1 of nginx's tries left no line in these logs.\n"));
}

static void quarantine_and_sandbox(void **state)
{
    const char *lines[] = {
        arrived, lost, answered,
        AT("01.410",
           SPAWN("quarantined")) "body=abc123 request_id=the-request nginx_id=n1 ms=600000",
        AT("01.300", SPAWN("sandbox_violation")) "syscall=? number=-1 request_id=the-request "
                                                 "nginx_id=n1 slot=1 gen=1 worker_pid=10"};

    (void)state;
    assert_int_equal(tell("the-request", lines, 5), 1);
    assert_non_null(strstr(out, "worker 1.1 was ended by the sandbox, for something that it could "
                                "not name any more; then worker 0.1 answered.\n"));
    assert_non_null(strstr(out, "workers have ended on this body in two requests: it is refused "
                                "from now on (its SHA-256 is abc123)\n"));
}

static void an_id_used_twice(void **state)
{
    const char *lines[] = {
        answered, AT("05.000", "program=resnet-fcgi slot=0 gen=1 pid=20 event=request "
                               "request_id=the-request nginx_id=n2 status=415 "
                               "code=unsupported_media_type sent=yes ms=3 error=\"no picture\"")};

    (void)state;
    assert_int_equal(tell("the-request", lines, 2), 2);
    assert_non_null(strstr(out, "it answered 415 unsupported_media_type: no picture\n"));
    assert_int_equal(tell("n2", lines, 2), 1);
    assert_null(strstr(out, "200 ok"));
}

/* A pid on another host is another worker. */
static void hosts_are_told_apart(void **state)
{
    const char *lines[] = {
        arrived,
        AT("01.000", "program=resnet-fcgi slot=0 gen=1 pid=20 event=crashed signal=BUS "
                     "from=0 stage=decode request_id=the-request nginx_id=n1"),
        "2026-11-20T10:00:03+0000 other x[1]: 2026-11-20T10:00:01.990Z level=info host=h "
        "program=resnet-fcgi slot=0 gen=1 pid=20 event=request request_id=the-request nginx_id=n1 "
        "status=200 code=ok sent=yes ms=10 queue_ms=1"};

    (void)state;
    assert_int_equal(tell("the-request", lines, 3), 1);
    assert_non_null(strstr(out, "worker 0.1 of h crashed (BUS) in decode; then worker 0.1 of other "
                                "answered.\n"));
}

static void the_service_is_part_of_it(void **state)
{
    const char *lines[] = {
        AT("00.500", SPAWN("reload")) "to_gen=2",
        AT("01.500", SPAWN("reload_failed")) "to_gen=2 reason=\"the model is corrupt\"",
        AT("09.000", SPAWN("stopped")) "exit=0", /* later, and none of its business */
        AT("00.600", "program=resnet-spawn host=h event=worker_ready"),
        arrived,
        answered};

    (void)state;
    assert_int_equal(tell("the-request", lines, 6), 1);
    assert_non_null(strstr(out, "+500 ms  (service) a reload began\n"));
    assert_non_null(strstr(out, "+1500 ms  (service) the reload failed: the model is corrupt\n"));
    assert_null(strstr(out, "ended\n"));
}

/* No escape reaches a terminal, whoever wrote it. */
static void hostile_bytes(void **state)
{
    const char *lines[] = {AT("01.000", "program=resnet-fcgi slot=\x1b[2J gen=\x07 pid=5 "
                                        "event=request request_id=the-request nginx_id=n1 "
                                        "status=200\x9b code=bad sent=no ms=1 "
                                        "error=\"\\u001b]0;x\\u0007 \\u202e \xff\x80 \\n2026\"")};

    (void)state;
    assert_int_equal(tell("the-request", lines, 1), 1);
    for (const char *c = out; *c; c++)
        assert_true(*c == '\n' || (*c >= ' ' && *c < 0x7f));
    assert_non_null(strstr(out, "\\x1b]0;x\\x07"));
    assert_non_null(strstr(out, "\\x0a2026")); /* no line of its own */
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Lines with bytes changed, cut and joined: told of or not, but never read past. */
static void mutated(void **state)
{
    const char *seeds[] = {arrived, answered, crashed, death, lost};
    char lines[5][1024];
    const char *mutated_lines[5];
    uint32_t seed = 1;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        for (int i = 0; i < 5; i++) {
            size_t n = strlen(seeds[i]);
            memcpy(lines[i], seeds[i], n + 1);
            for (int k = (int)(next_random(&seed) % 4); k > 0; k--)
                lines[i][next_random(&seed) % n] = (char)(next_random(&seed) % 255 + 1);
            if (next_random(&seed) % 4 == 0)
                lines[i][next_random(&seed) % n] = '\0';
            mutated_lines[i] = lines[i];
        }
        tell("the-request", mutated_lines, 5);
    }
}

static void upstreams(void **state)
{
    static const char text[] =
        "{\"time\":\"2026-11-20T10:00:02+00:00\",\"upstream\":\"unix:/r/work.sock, "
        "unix:/r/work.sock, unix:/r/work.sock, unix:/r/shed.sock : unix:/r/ctl.sock\","
        "\"upstream_status\":\"502, 502, 502, 503 : 200\","
        "\"upstream_connect\":\"0.000, -, -, 0.001 : 0.000\",\"msec\":1}";
    struct spawn_logline *line = spawn_logline_parse(text, sizeof text - 1);

    (void)state;
    assert_non_null(line);
    struct spawn_why_upstreams tried = spawn_why_nginx_upstreams(line);
    assert_int_equal(tried.refused, 2);
    assert_int_equal(tried.broken, 1);
    assert_false(tried.shed); /* ctl.sock came last */
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_any_order),
        cmocka_unit_test(where_the_time_went),
        cmocka_unit_test(a_try_that_nobody_tells_of),
        cmocka_unit_test(quarantine_and_sandbox),
        cmocka_unit_test(an_id_used_twice),
        cmocka_unit_test(hosts_are_told_apart),
        cmocka_unit_test(the_service_is_part_of_it),
        cmocka_unit_test(hostile_bytes),
        cmocka_unit_test(mutated),
        cmocka_unit_test(upstreams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
