/* What resnet-ctl reads, and what it lets through to a terminal: /status whole and cut anywhere,
 * JSON of every kind, hostile bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "spawn/ctl.h"
#include "spawn/json.h"
#include "spawn/printable.h"
#include "spawn/view.h"

static const char status[] =
    "{\"generation\":3,\"model_sha256\":\"0123456789abcdef\",\"precision\":\"int8\","
    "\"precisions\":[\"fp32\",\"int8\"],\"pid\":77,\"state\":\"serving\","
    "\"reload\":{\"active\":true,\"ok\":2,\"failed\":1},\"reason\":\"no \\\"model\\\"\","
    "\"uptime_ms\":5000,\"service_ms\":12.5,\"cpu_throttled_ms\":40,"
    "\"ends\":{\"drained\":0,\"crashed\":4},\"verdicts\":{\"stuck\":1},\"shed\":{},"
    "\"workers\":[{\"slot\":0,\"generation\":3,\"pid\":78,\"state\":\"busy\","
    "\"request_id\":\"an-id\",\"stage\":\"infer\",\"layer\":7,\"layer_name\":\"layer1.0.conv2\","
    "\"ms\":9,\"requests\":5,\"restarts\":1,\"rss_bytes\":10,\"pss_bytes\":11},"
    "{\"slot\":1,\"generation\":2,\"pid\":79,\"state\":\"idle\",\"request_id\":null,"
    "\"stage\":null,\"layer\":null,\"layer_name\":null,\"ms\":0}],"
    "\"queue\":{\"depth\":null,\"age_ms\":null}}\n";

static struct spawn_view view;

static void a_status(void **state)
{
    (void)state;
    assert_int_equal(spawn_view_parse(&view, status, sizeof status - 1), 0);
    assert_int_equal(view.generation, 3);
    assert_string_equal(view.reason, "no \"model\"");
    assert_true(view.reloading);
    assert_int_equal(view.reloads_ok * 10 + view.reloads_failed, 21);
    assert_int_equal(view.queue_depth, -1);
    assert_true(view.service_ms > 12.4 && view.service_ms < 12.6);
    assert_int_equal(view.ends.n, 2);
    assert_string_equal(view.ends.row[1].name, "crashed");
    assert_int_equal(view.ends.row[1].n, 4);
    assert_int_equal(view.shed.n, 0);
    assert_int_equal(view.n_workers, 2);
    assert_string_equal(view.worker[0].layer, "layer1.0.conv2");
    assert_string_equal(view.worker[0].request_id, "an-id");
    assert_int_equal(view.worker[0].pss_bytes, 11);
    assert_string_equal(view.worker[1].request_id, "");
}

/* In memory of its own, so that a byte read too far is found. */
static int parse_part(size_t n)
{
    char *copy = malloc(n + 1);

    assert_non_null(copy);
    memcpy(copy, status, n);
    int failed = spawn_view_parse(&view, copy, n);
    free(copy);
    return failed;
}

static void a_status_cut_off(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof status - 3; n++)
        assert_int_equal(parse_part(n), -1);
    assert_int_equal(parse_part(sizeof status - 1), 0);
    assert_int_equal(spawn_view_parse(&view, "[]", 2), -1);
    assert_int_equal(spawn_view_parse(&view, "{\"a\":1}", 7), -1);
}

static const char *text_of(const char *json_text, const char *key)
{
    static char out[64];
    struct spawn_json json = {0};

    assert_int_equal(spawn_json_parse(&json, json_text, strlen(json_text)), 0);
    spawn_json_text(&json, spawn_json_find(&json, SPAWN_JSON_ROOT, key), out, sizeof out);
    spawn_json_free(&json);
    return out;
}

static void texts_are_decoded(void **state)
{
    (void)state;
    assert_string_equal(text_of("{\"a\":\"x\\n\\u00e9\\ud83d\\ude00\\/\"}", "a"),
                        "x\n\xc3\xa9\xf0\x9f\x98\x80/");
    assert_string_equal(text_of("{\"a\":\"\\u0000|\\ud83d|\\udc00\"}", "a"),
                        "\xef\xbf\xbd|\xef\xbf\xbd|\xef\xbf\xbd");
    assert_string_equal(text_of("{\"a\":{\"b\":1},\"b\":-2.5e3}", "b"), "-2.5e3");
    assert_string_equal(text_of("{\"a\":{\"b\":1},\"c\":null}", "b"), "");
    assert_string_equal(text_of("{\"a\":[1,{\"x\":2}],\"c\":true}", "c"), "true");
    assert_string_equal(text_of("{\"a\":null}", "a"), "");
    assert_string_equal(text_of("{\"a\":\"\",\"b\":[],\"c\":{},\"d\":\"x\"}", "d"), "x");
}

/* What jsmn lets through is not walked out of bounds. */
static void json_of_strangers(void **state)
{
    static const char *const texts[] = {
        "{}",        "[]", "{\"a\"}", "{\"a\":}", "{\"a\":\"\\u12\"}", "\"", "{\"a\":\"\\", "[[[[",
        "{\"a\" 1}", "",   "}{",      "1 2"};
    struct spawn_json json = {0};
    char out[8];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (spawn_json_parse(&json, texts[i], strlen(texts[i])))
            continue;
        for (int at = -2; at < json.n_tokens + 2; at++) {
            spawn_json_text(&json, at, out, sizeof out);
            spawn_json_first(&json, at);
            spawn_json_next(&json, at);
            spawn_json_find(&json, at, "a");
        }
    }
    spawn_json_free(&json);
}

static const char *shown(const char *text, size_t n)
{
    static char out[128];

    spawn_printable_copy(text, n, out, sizeof out);
    return out;
}

static void terminals_are_safe(void **state)
{
    char tiny[6];

    (void)state;
    assert_string_equal(shown("caf\xc3\xa9 \xe2\x82\xac", 9), "caf\xc3\xa9 \xe2\x82\xac");
    assert_string_equal(shown("\033[2J\a\r\n\0z", 9), "\\x1b[2J\\x07\\x0d\\x0a\\x00z");
    assert_string_equal(shown("\xc2\x9b"
                              "31m",
                              5),
                        "\\xc2\\x9b31m"); /* C1: CSI in one character */
    assert_string_equal(shown("\xe2\x80\xae"
                              "gpj",
                              6),
                        "\\xe2\\x80\\xaegpj");
    assert_string_equal(shown("\xff\xc3", 2), "\\xff\\xc3");
    assert_string_equal(shown("\xf3\xa0\x81\x81", 4), "\\xf3\\xa0\\x81\\x81");
    assert_int_equal(spawn_printable_copy("ab\033", 3, tiny, sizeof tiny), 2);
    assert_string_equal(tiny, "ab"); /* never half an escape */
}

static void numbers_for_people(void **state)
{
    char text[32];

    (void)state;
    spawn_ctl_duration(999, text);
    assert_string_equal(text, "999 ms");
    spawn_ctl_duration(12340, text);
    assert_string_equal(text, "12.3 s");
    spawn_ctl_duration(3 * 3600000 + 60000, text);
    assert_string_equal(text, "3 h 1 min");
    spawn_ctl_size(1536, text);
    assert_string_equal(text, "1.5 KiB");
    spawn_ctl_size(12, text);
    assert_string_equal(text, "12 B");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status),           cmocka_unit_test(a_status_cut_off),
        cmocka_unit_test(texts_are_decoded),  cmocka_unit_test(json_of_strangers),
        cmocka_unit_test(terminals_are_safe), cmocka_unit_test(numbers_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
