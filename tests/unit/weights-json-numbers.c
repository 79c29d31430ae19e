/* JSON with tensors: arrays of numbers are one value, however long, and their floats are the
 * nearest to what stands there. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weights/json.h"

enum { FEW = 16, MANY_TOKENS = 200000 };

static struct wt_json json;
static char *text;

static int tear_down(void **state)
{
    (void)state;
    wt_json_free(&json);
    free(text);
    text = NULL;
    return 0;
}

/* Parses a copy without NUL behind it, with room for a few tokens. */
static int parse(const char *from, struct wt_err *err)
{
    size_t n = strlen(from);

    free(text);
    text = malloc(n + !n);
    assert_non_null(text);
    memcpy(text, from, n);
    return wt_json_parse_numbers(&json, text, n, FEW, err);
}

static void parsed(const char *from)
{
    struct wt_err err;

    if (parse(from, &err) != WT_OK)
        fail_msg("%.100s: %s", from, err.text);
}

static char *repeated(const char *first, const char *part, size_t times, const char *last)
{
    size_t n = strlen(part), at = strlen(first);
    char *made = malloc(at + n * times + strlen(last) + 1);

    assert_non_null(made);
    memcpy(made, first, at);
    for (size_t i = 0; i < times; i++, at += n)
        memcpy(made + at, part, n);
    strcpy(made + at, last);
    return made;
}

static void arrays_of_numbers_are_one_value(void **state)
{
    int64_t shape[4];
    size_t n;

    (void)state;
    parsed("{\"shape\":[1, 3,224 ,224 ],\"data\":[ [1.5,-2],[3e2] ],\"after\":\"x\",\"none\":[]}");
    int value = wt_json_find(&json, WT_JSON_ROOT, "shape");
    assert_int_equal(wt_json_type(&json, value), WT_JSON_NUMBERS);
    assert_int_equal(wt_json_size(&json, value), 4);
    assert_int_equal(wt_json_first(&json, value), WT_JSON_NONE);
    assert_int_equal(wt_json_numbers_int64s(&json, value, shape), 4);
    assert_true(shape[0] == 1 && shape[1] == 3 && shape[2] == 224 && shape[3] == 224);
    assert_memory_equal(wt_json_raw(&json, value, &n), "[1, 3,224 ,224 ]", 16);

    value = wt_json_find(&json, WT_JSON_ROOT, "data");
    assert_int_equal(wt_json_type(&json, value), WT_JSON_ARRAY);
    assert_int_equal(wt_json_size(&json, value), 2);
    value = wt_json_next(&json, wt_json_first(&json, value));
    assert_int_equal(wt_json_size(&json, value), 1);
    assert_int_equal(wt_json_next(&json, value), WT_JSON_NONE);
    value = wt_json_find(&json, WT_JSON_ROOT, "after");
    assert_int_equal(wt_json_type(&json, value), WT_JSON_STRING);
    value = wt_json_find(&json, WT_JSON_ROOT, "none");
    assert_int_equal(wt_json_type(&json, value), WT_JSON_ARRAY);
    parsed("[1]");
    assert_int_equal(wt_json_type(&json, WT_JSON_ROOT), WT_JSON_NUMBERS);
    assert_string_equal(wt_json_type_name(&json, WT_JSON_ROOT), "an array of numbers");
}

static void mixed_arrays_are_arrays(void **state)
{
    (void)state;
    parsed("[[1,\"2\"],[1,[2]],[true,1],[\"[1,2]\"]]");
    for (int v = wt_json_first(&json, WT_JSON_ROOT); v != WT_JSON_NONE; v = wt_json_next(&json, v))
        assert_int_equal(wt_json_type(&json, v), WT_JSON_ARRAY);
    int second = wt_json_next(&json, wt_json_first(&json, WT_JSON_ROOT));
    int inner = wt_json_next(&json, wt_json_first(&json, second));
    assert_int_equal(wt_json_type(&json, inner), WT_JSON_NUMBERS);
}

static void a_tensor_takes_no_tokens(void **state)
{
    enum { MANY = 200000 };
    char *made = repeated("{\"data\":[0", ",0.25", MANY, "]}");
    float *out = malloc((MANY + 1) * sizeof *out);

    (void)state;
    assert_non_null(out);
    parsed(made);
    int value = wt_json_find(&json, WT_JSON_ROOT, "data");
    assert_int_equal(wt_json_size(&json, value), MANY + 1);
    assert_int_equal(wt_json_numbers_floats(&json, value, out), MANY + 1);
    assert_true(out[0] == 0 && out[1] == 0.25f && out[MANY] == 0.25f);
    free(out);
    free(made);
}

/* What looks like numbers, again and again, is not looked at again and again: quadratic, each of
 * these would take minutes. */
static void hostile_texts_take_linear_time(void **state)
{
    enum { MANY = 1000000 };
    static const struct {
        const char *first, *part, *last;
    } texts[] = {
        {"[", "1,", "\"x\"]"}, {"", "[1,", ""},         {"[", "[1],", "2]"},
        {"[\"", "\\\\\"", ""}, {"[\"", "\\\\\\\"", ""}, {"[\"", "\\\\", "\"]"},
        {"[", "[1,", "]"},     {"[[1", ",1", "x]]"},    {"[", "\"\",[", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *made = repeated(texts[i].first, texts[i].part, MANY, texts[i].last);
        struct wt_err err;
        int code = wt_json_parse_numbers(&json, made, strlen(made), MANY_TOKENS, &err);
        assert_true(code == WT_EFORMAT || code == WT_OK);
        free(made);
    }
}

static void check_float(const char *decimal)
{
    char made[96];
    float found = -1, expected = strtof(decimal, NULL);

    snprintf(made, sizeof made, "[%s]", decimal);
    parsed(made);
    int n = wt_json_numbers_floats(&json, WT_JSON_ROOT, &found);
    if (!isfinite(expected))
        assert_int_equal(n, 0);
    else if (n != 1 || memcmp(&found, &expected, sizeof found) != 0)
        fail_msg("%s: expected %.9g, found %.9g", decimal, (double)expected, (double)found);
}

static void floats_are_the_nearest(void **state)
{
    static const int digits[] = {9, 17, 6, 25, 3};
    uint64_t seed = 1;
    char made[80];

    (void)state;
    for (int i = 0; i < 200000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t bits = (uint32_t)(seed >> 32);
        float value, scaled = (float)(seed >> 40) / 16777216 - 0.5f;
        memcpy(&value, &bits, sizeof value);
        if (i % 2 || !isfinite(value) || fabsf(value) > 1e20f)
            value = scaled;
        snprintf(made, sizeof made, i % 3 ? "%.*g" : "%.*E", digits[i % 5], (double)value);
        check_float(made);
    }
}

/* Middles between two floats, a little more, a little less; ends of the range; what is cut. */
static void hard_floats_are_the_nearest(void **state)
{
    static const char *const some[] = {
        "0",
        "-0",
        "0.0e99",
        "1e-45",
        "7e-46",
        "7.1e-46",
        "1.17549435e-38",
        "1.1754942e-38",
        "3.4028235e38",
        "3.4028236e38",
        "3.4028235677973366e38",
        "1e39",
        "-1e39",
        "1e400",
        "1e-400",
        "1e99999999999",
        "1e-99999999999",
        "16777217",
        "16777219",
        "33554435",
        "0.1000000014901161193847656250000000000001",
        "123456789012345678901234567890",
        "0.00000000000000000000000000000000000000000000000000001e50",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "1e22",
        "1e23",
        "1e-22",
        "1e-23",
    };

    (void)state;
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        check_float(some[i]);
    for (float value = 1e-30f; value < 1e30f; value *= 1.37f) {
        static const double nudges[] = {0, 1e-17, -1e-17, 3e-16, -3e-16, 1e-14, -1e-14};
        double middle = ((double)value + (double)nextafterf(value, INFINITY)) / 2;
        char made[64];
        for (size_t i = 0; i < sizeof nudges / sizeof *nudges; i++) {
            snprintf(made, sizeof made, "%.17g", middle * (1 + nudges[i]));
            check_float(made);
            snprintf(made, sizeof made, "%.40g", middle * (1 + nudges[i]));
            check_float(made);
        }
    }
}

static void what_is_out_of_range_is_named(void **state)
{
    float floats[4];
    int64_t integers[4];

    (void)state;
    parsed("[1, 2, 1e39, 4]");
    assert_int_equal(wt_json_numbers_floats(&json, WT_JSON_ROOT, floats), 2);
    assert_int_equal(wt_json_numbers_int64s(&json, WT_JSON_ROOT, integers), 2);
    parsed("[-1, 9223372036854775807, 9223372036854775808]");
    assert_int_equal(wt_json_numbers_int64s(&json, WT_JSON_ROOT, integers), 2);
    assert_true(integers[0] == -1 && integers[1] == INT64_MAX);
    parsed("[1.0]");
    assert_int_equal(wt_json_numbers_int64s(&json, WT_JSON_ROOT, integers), 0);
    parsed("[]");
    assert_int_equal(wt_json_numbers_floats(&json, WT_JSON_ROOT, floats), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_of_numbers_are_one_value),
        cmocka_unit_test(mixed_arrays_are_arrays),
        cmocka_unit_test(a_tensor_takes_no_tokens),
        cmocka_unit_test(hostile_texts_take_linear_time),
        cmocka_unit_test(floats_are_the_nearest),
        cmocka_unit_test(hard_floats_are_the_nearest),
        cmocka_unit_test(what_is_out_of_range_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, tear_down);
}
