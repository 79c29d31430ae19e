/* JSON: what RFC 8259 has is read, nothing else is. */
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

enum { MANY = 1000 };

/* A copy without NUL behind it, so that ASan sees a byte read too much. Arrays of numbers as one
 * value change nothing about what is JSON. */
static int parse(struct wt_json *json, char **copy, const char *text, size_t n, struct wt_err *err)
{
    *err = (struct wt_err){.text = ""};
    *copy = malloc(n + !n);
    assert_non_null(*copy);
    memcpy(*copy, text, n);
    int folded = wt_json_parse_numbers(json, *copy, n, MANY, err);
    int code = wt_json_parse(json, *copy, n, MANY, err);
    assert_true(folded == code || strstr(err->text, "more than"));
    return code;
}

static void parsed(struct wt_json *json, char **copy, const char *text)
{
    struct wt_err err;

    if (parse(json, copy, text, strlen(text), &err) != WT_OK)
        fail_msg("%s: %s", text, err.text);
}

static void done(struct wt_json *json, char *copy)
{
    wt_json_free(json);
    free(copy);
}

static void what_is_json_is_read(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        " \t\r\n[ \n] ",
        "[1,2]",
        "[ 1 , 2 ]",
        "{\"a\":1}",
        "{ \"a\" : { } , \"b\":[]}",
        "[0,-0,1.5,1e9,1E+9,1e-9,-1.25e10,123456789012345678901234567890]",
        "[true,false,null]",
        "[\"\",\"a\",\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\",\"\\ud83d\\ude00\",\"\x7f\"]",
        ("[\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80"
         "\xf4\x8f\xbf\xbf\"]"),
        "[[[[[[]]],[]]],{\"\":{}}]",
        "{\"a\":{\"b\":[{}]},\"c\":\"d\"}",
        "[\"\\u0000\"]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct wt_json json = {0};
        char *copy;
        parsed(&json, &copy, texts[i]);
        done(&json, copy);
    }
}

/* clang-format off */
static const char *const not_json[] = {
    /* structure */
    "", " ", "{", "[", "]", "}", "[}", "{]", "[1", "{\"a\":1", "[]]", "{}}", "[][]", "{}[]", "[],",
    "[]x", "x[]", "1", "true", "\"a\"", "null ", "\xef\xbb\xbf[]", ",", ":", "[,]", "[1,]", "[,1]",
    "[1,,2]", "[1 2]", "[1:2]", "[:1]", "[1,:2]", "[\"a\":1]", "[\"a\" \"b\"]", "[[] []]",
    "[{}:{}]", "{,}", "{:}", "{:1}", "{1:2}", "{\"a\"}", "{\"a\":}", "{\"a\" 1}", "{\"a\",1}",
    "{\"a\"::1}", "{\"a\":1:2}", "{\"a\":1,}", "{,\"a\":1}", "{\"a\":1,,\"b\":2}",
    "{\"a\":1 \"b\":2}", "{\"a\":1 2}", "{\"a\":\"b\" \"c\"}", "{\"a\":[1] [2]}", "{[]:1}",
    "{\"a\":{}:1}", "{\"a\":1}:}", "{{}}", "{\"a\":1;\"b\":2}", "[1/**/]", "['a']", "{a:1}", "[[]",
    "{\"a\":[}", "[\"a]", "{\"a\":{\"b\":1}", "[1\v]", "[1\f]",
    /* numbers and words */
    "[01]", "[-]", "[-01]", "[+1]", "[1.]", "[.5]", "[1.e1]", "[1e]", "[1e+]", "[0x10]", "[1a]",
    "[--1]", "[1-]", "[NaN]", "[nan]", "[Infinity]", "[-Infinity]", "[tru]", "[True]",
    "[truefalse]", "[nulls]", "[n]", "[1_0]", "[1.2.3]", "[1e2e3]", "[\xd9\xa1]",
    /* strings */
    "[\"\\x\"]", "[\"\\\"]", "[\"\\u12\"]", "[\"\\u12g4\"]", "[\"\\U0041\"]", "[\"\\ud800\"]",
    "[\"\\udc00\"]", "[\"\\ud800\\u0041\"]", "[\"\\ud800\\ud800\"]", "[\"\\ud800x\"]", "[\"\\'\"]",
    "[\"a\nb\"]", "[\"\t\"]", "[\"\x01\"]", "[\"\x80\"]", "[\"\xc0\x80\"]", "[\"\xc1\xbf\"]",
    "[\"\xc2\"]", "[\"\xe0\x9f\xbf\"]", "[\"\xed\xa0\x80\"]", "[\"\xe2\x82\"]",
    "[\"\xf0\x8f\xbf\xbf\"]", "[\"\xf4\x90\x80\x80\"]", "[\"\xf5\x80\x80\x80\"]", "[\"\xff\"]",
    "{\"\xff\":1}", "{\"\\ud800\":1}",
};
/* clang-format on */

static void what_is_not_json_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof not_json / sizeof not_json[0]; i++) {
        struct wt_json json = {0};
        struct wt_err err;
        char *copy;
        if (parse(&json, &copy, not_json[i], strlen(not_json[i]), &err) != WT_EFORMAT)
            fail_msg("taken as JSON: %s", not_json[i]);
        assert_memory_equal(err.text, "WT_EFORMAT: JSON", 16);
        assert_int_equal(wt_json_type(&json, WT_JSON_ROOT), WT_JSON_ABSENT);
        done(&json, copy);
    }
}

/* Strings are looked at eight bytes at a time where nothing is to be decoded. */
static void every_byte_of_a_string_is_looked_at(void **state)
{
    enum { LENGTH = 24 };

    (void)state;
    for (int c = 1; c < 256; c++)
        for (int at = 0; at < LENGTH; at++) {
            char text[LENGTH + 5] = "[\"------------------------\"]", *copy;
            struct wt_json json = {0};
            struct wt_err err;
            text[2 + at] = (char)c;
            int good = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
            assert_int_equal(parse(&json, &copy, text, strlen(text), &err) == WT_OK, good);
            done(&json, copy);
        }
}

/* jsmn takes a NUL for the end of the text. */
static void a_nul_is_no_end(void **state)
{
    static const char *const texts[] = {"[]\0", "[]\0x",    "[1\0]",
                                        "\0[]", "[\"\0\"]", "{\"a\0\":1}"};
    static const size_t n[] = {3, 4, 4, 3, 5, 8};

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct wt_json json = {0};
        struct wt_err err;
        char *copy;
        assert_int_equal(parse(&json, &copy, texts[i], n[i], &err), WT_EFORMAT);
        done(&json, copy);
    }
}

static void repeated(char *text, const char *part, int n)
{
    *text = '\0';
    for (int i = 0; i < n; i++)
        text = stpcpy(text, part);
}

static void depth_and_number_are_bounded(void **state)
{
    char text[8 * MANY], *copy;
    struct wt_json json = {0};
    struct wt_err err;

    (void)state;
    repeated(text, "[", WT_JSON_MAX_DEPTH);
    repeated(text + strlen(text), "]", WT_JSON_MAX_DEPTH);
    parsed(&json, &copy, text);
    free(copy);
    repeated(text, "[", WT_JSON_MAX_DEPTH + 1);
    repeated(text + strlen(text), "]", WT_JSON_MAX_DEPTH + 1);
    assert_int_equal(parse(&json, &copy, text, strlen(text), &err), WT_EFORMAT);
    assert_non_null(strstr(err.text, "deeper"));
    free(copy);
    strcpy(text,
           "[\"[[[[[[[[[[\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]");
    parsed(&json, &copy, text);
    free(copy);

    repeated(text, "[1", 1); /* the array and MANY - 1 numbers are MANY values */
    repeated(text + strlen(text), ",1", MANY - 2);
    strcat(text, "]");
    parsed(&json, &copy, text);
    assert_int_equal(wt_json_size(&json, WT_JSON_ROOT), MANY - 1);
    free(copy);
    text[strlen(text) - 1] = '\0';
    strcat(text, ",1]");
    assert_int_equal(parse(&json, &copy, text, strlen(text), &err), WT_EFORMAT);
    assert_non_null(strstr(err.text, "more than 1000"));
    done(&json, copy);
}

static void values_are_found(void **state)
{
    struct wt_json json = {0};
    char *copy, text[16];
    size_t n;
    int list, v;

    (void)state;
    parsed(&json, &copy,
           "{\"a\":{\"x\":[1,[2,3],{\"y\":4}],\"z\":5},\"b\":\"w\",\"\\u0063\":true,"
           "\"\":null,\"b\":\"later\"}");
    assert_int_equal(wt_json_size(&json, WT_JSON_ROOT), 5);
    list = wt_json_find(&json, wt_json_find(&json, WT_JSON_ROOT, "a"), "x");
    assert_int_equal(wt_json_type(&json, list), WT_JSON_ARRAY);
    assert_int_equal(wt_json_size(&json, list), 3);
    v = wt_json_first(&json, list);
    assert_int_equal(wt_json_type(&json, v), WT_JSON_NUMBER);
    v = wt_json_next(&json, v);
    assert_int_equal(wt_json_size(&json, v), 2);
    v = wt_json_next(&json, v);
    assert_int_equal(wt_json_type(&json, v), WT_JSON_OBJECT);
    assert_int_equal(wt_json_next(&json, v), WT_JSON_NONE);
    assert_int_equal(wt_json_type(&json, wt_json_find(&json, WT_JSON_ROOT, "c")), WT_JSON_TRUE);
    assert_int_equal(wt_json_type(&json, wt_json_find(&json, WT_JSON_ROOT, "")), WT_JSON_NULL);
    assert_int_equal(wt_json_find(&json, WT_JSON_ROOT, "z"), WT_JSON_NONE);
    assert_int_equal(wt_json_find(&json, WT_JSON_ROOT, "a\\"), WT_JSON_NONE);
    assert_true(wt_json_string(&json, wt_json_find(&json, WT_JSON_ROOT, "b"), text, 16, &n));
    assert_string_equal(text, "w");
    assert_memory_equal(wt_json_raw(&json, list, &n), "[1,[2,3],{\"y\":4}]", 17);
    assert_int_equal(n, 17);
    done(&json, copy);
}

/* An empty string ends where it starts. */
static void empty_values_are_stepped_over(void **state)
{
    struct wt_json json = {0};
    char *copy;
    int n = 0;

    (void)state;
    parsed(&json, &copy, "{\"a\":\"\",\"\":\"\",\"b\":[\"\",\"\",[],{},\"\"],\"c\":{},\"d\":1}");
    assert_int_equal(wt_json_type(&json, wt_json_find(&json, WT_JSON_ROOT, "d")), WT_JSON_NUMBER);
    for (int v = wt_json_first(&json, wt_json_find(&json, WT_JSON_ROOT, "b")); v != WT_JSON_NONE;
         v = wt_json_next(&json, v))
        n++;
    assert_int_equal(n, 5);
    done(&json, copy);
}

static void an_absent_value_is_asked_in_vain(void **state)
{
    struct wt_json json = {0};
    char *copy, text[4];
    int64_t i;
    double d;
    size_t n;

    (void)state;
    parsed(&json, &copy, "[\"a\",{}]");
    assert_int_equal(wt_json_find(&json, WT_JSON_NONE, "a"), WT_JSON_NONE);
    assert_int_equal(wt_json_find(&json, WT_JSON_ROOT, "a"), WT_JSON_NONE);
    assert_int_equal(wt_json_first(&json, WT_JSON_NONE), WT_JSON_NONE);
    assert_int_equal(wt_json_first(&json, 2), WT_JSON_NONE);
    assert_int_equal(wt_json_next(&json, WT_JSON_NONE), WT_JSON_NONE);
    assert_int_equal(wt_json_value(&json, 1), WT_JSON_NONE);
    assert_int_equal(wt_json_size(&json, 1), 0);
    assert_int_equal(wt_json_type(&json, 3), WT_JSON_ABSENT);
    assert_string_equal(wt_json_type_name(&json, 3), "nothing");
    assert_null(wt_json_raw(&json, WT_JSON_NONE, &n));
    assert_false(wt_json_string(&json, WT_JSON_NONE, text, 4, &n));
    assert_false(wt_json_string(&json, 2, text, 4, &n));
    assert_false(wt_json_int64(&json, WT_JSON_NONE, &i));
    assert_false(wt_json_double(&json, 1, &d));
    done(&json, copy);
}

static void strings_are_decoded(void **state)
{
    struct wt_json json = {0};
    char *copy, text[64];
    size_t n;

    (void)state;
    parsed(&json, &copy,
           "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\uFFFF"
           "\xc3\xa9\",\"\\u0000x\",\"\"]");
    assert_true(wt_json_string(&json, 1, text, sizeof text, &n));
    assert_string_equal(text,
                        "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbf\xc3\xa9");
    assert_int_equal(n, strlen(text));
    assert_true(wt_json_string(&json, 1, text, n + 1, NULL));
    assert_false(wt_json_string(&json, 1, text, n, NULL));
    assert_true(wt_json_string(&json, 2, text, 3, &n));
    assert_int_equal(n, 2);
    assert_memory_equal(text, "\0x", 3);
    assert_true(wt_json_string(&json, 3, text, 1, &n));
    assert_int_equal(n, 0);
    assert_false(wt_json_string(&json, 3, text, 0, &n));
    done(&json, copy);
}

/* `#` stands for a string that is long enough to be passed over: as key or value, whole or not. */
static void long_strings_change_nothing(void **state)
{
    static const char *const texts[] = {
        "[\"#\"]",       "[\"#\",\"#\",1]",
        "{\"#\":1}",     "{\"#\":\"#\",\"b\":[2,\"#\"]}",
        "[[\"#\"],{}]",  "{\"a\":[\"#\"]}",
        "[\"#\\\"#\"]",  "[\"#\\\\\",\"#\"]",
        "[\"#",          "[\"#\"",
        "[\"#\",",       "{\"#\"}",
        "\"#\"",         "[1]\"#\"",
        "\"#\"[1]",      "[\"#\"\"#\"]",
        "{\"#\" \"#\"}", "{\"a\":\"#\"\"#\"}",
        "[\"#\":\"#\"]", "{\"a\":1,\"#\"}",
        "[\"#\n\"]",     "[\"#\\x\"]",
        "[\"\xff#\"]",   "[\"\\ud800#\"]",
        "]\"#\"",        "{]\"#\"",
        "[}\"#\"",       "[\"#\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct wt_json plain = {0}, folded = {0};
        struct wt_err err;
        char text[512];
        size_t n = 0, n_plain, n_folded;

        for (const char *from = texts[i]; *from; from++)
            for (int times = *from == '#' ? 100 : 1; times > 0; times--)
                text[n++] = *from == '#' ? 'x' : *from;
        int code = wt_json_parse(&plain, text, n, MANY, &err);
        assert_int_equal(wt_json_parse_numbers(&folded, text, n, MANY, &err), code);
        assert_int_equal(folded.n_tokens, plain.n_tokens);
        for (int v = 0; v < plain.n_tokens; v++) {
            assert_int_equal(wt_json_type(&folded, v), wt_json_type(&plain, v));
            assert_int_equal(wt_json_size(&folded, v), wt_json_size(&plain, v));
            assert_int_equal(wt_json_next(&folded, v), wt_json_next(&plain, v));
            assert_int_equal(wt_json_value(&folded, v), wt_json_value(&plain, v));
            assert_ptr_equal(wt_json_raw(&folded, v, &n_folded), wt_json_raw(&plain, v, &n_plain));
            assert_int_equal(n_folded, n_plain);
        }
        wt_json_free(&plain);
        wt_json_free(&folded);
    }
}

static void strings_are_decoded_in_place(void **state)
{
    static const char text[] =
        "[\"\\u002bAAAAAAAAA\\/BBBBBBBBBBBBBBBB\\u003d\\ud83d\\ude00\\u0000=\"]";
    static const char expected[] = "+AAAAAAAAA/BBBBBBBBBBBBBBBB=\xf0\x9f\x98\x80\0=";
    struct wt_json json = {0};
    size_t n_raw, n;
    char *copy;

    (void)state;
    parsed(&json, &copy, text);
    int value = wt_json_first(&json, WT_JSON_ROOT);
    char *out = copy + (wt_json_raw(&json, value, &n_raw) - json.text);
    assert_int_equal(wt_json_string(&json, value, out, n_raw + 1, &n), 1);
    assert_int_equal(n, sizeof expected - 1);
    assert_memory_equal(out, expected, sizeof expected);
    done(&json, copy);
}

static void numbers_have_their_range(void **state)
{
    static const struct {
        const char *text;
        int is_int, is_double;
        int64_t i;
        double d;
    } rows[] = {
        {"[0]", 1, 1, 0, 0},
        {"[-7]", 1, 1, -7, -7},
        {"[9223372036854775807]", 1, 1, INT64_MAX, 0x1p63},
        {"[-9223372036854775808]", 1, 1, INT64_MIN, -0x1p63},
        {"[9223372036854775808]", 0, 1, 0, 0x1p63},
        {"[1.0]", 0, 1, 0, 1},
        {"[1e3]", 0, 1, 0, 1000},
        {"[2E-1]", 0, 1, 0, 0.2},
        {"[1e308]", 0, 1, 0, 1e308},
        {"[1e309]", 0, 0, 0, 0},
        {"[\"1\"]", 0, 0, 0, 0},
        {"[true]", 0, 0, 0, 0},
    };

    (void)state;
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        struct wt_json json = {0};
        int64_t i = 0;
        double d = 0;
        char *copy;
        parsed(&json, &copy, rows[k].text);
        assert_int_equal(wt_json_int64(&json, 1, &i), rows[k].is_int);
        assert_int_equal(wt_json_double(&json, 1, &d), rows[k].is_double);
        assert_true(!rows[k].is_int || i == rows[k].i);
        assert_true(!rows[k].is_double || d == rows[k].d);
        done(&json, copy);
    }
}

static int duplicate_in(const char *text)
{
    struct wt_json json = {0};
    struct wt_err err;
    char *copy;
    int key, found;

    parsed(&json, &copy, text);
    assert_int_equal(wt_json_duplicate(&json, WT_JSON_ROOT, &key, &err), WT_OK);
    found = key != WT_JSON_NONE;
    done(&json, copy);
    return found;
}

static void keys_that_are_there_twice_are_found(void **state)
{
    (void)state;
    assert_false(duplicate_in("{}"));
    assert_false(duplicate_in("{\"a\":1}"));
    assert_false(duplicate_in("{\"a\":1,\"aa\":2,\"\":3,\"b\":{\"a\":1}}"));
    assert_false(duplicate_in("[\"a\",\"a\"]"));
    assert_true(duplicate_in("{\"a\":1,\"b\":2,\"a\":3}"));
    assert_true(duplicate_in("{\"a\":1,\"b\":2,\"\\u0061\":3}"));
    assert_true(duplicate_in("{\"\":1,\"b\":2,\"\":3}"));
    assert_true(duplicate_in("{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":3}"));
}

static void damage_is_survived(void **state)
{
    static const char text[] = "{\"a\":[1,2.5e3,true,null,\"x\\u00e9\\ud83d\\ude00\xc3\xa9\"],"
                               "\"b\":{\"c\":{},\"d\":[[]]}, \"e\" : \"\\n\"}";
    struct wt_json json = {0};
    struct wt_err err;
    char *copy, damaged[sizeof text];

    (void)state;
    for (size_t n = 0; n < sizeof text - 1; n++) {
        assert_int_equal(parse(&json, &copy, text, n, &err), WT_EFORMAT);
        free(copy);
    }
    for (size_t at = 0; at < sizeof text - 1; at++)
        for (int byte = 0; byte < 256; byte++) {
            memcpy(damaged, text, sizeof text);
            damaged[at] = (char)byte;
            if (parse(&json, &copy, damaged, sizeof text - 1, &err) == WT_OK)
                for (int v = 0; v < json.n_tokens; v++) {
                    char out[64];
                    wt_json_string(&json, v, out, sizeof out, NULL);
                    wt_json_next(&json, v);
                }
            free(copy);
        }
    wt_json_free(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_json_is_read),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(every_byte_of_a_string_is_looked_at),
        cmocka_unit_test(a_nul_is_no_end),
        cmocka_unit_test(depth_and_number_are_bounded),
        cmocka_unit_test(values_are_found),
        cmocka_unit_test(empty_values_are_stepped_over),
        cmocka_unit_test(an_absent_value_is_asked_in_vain),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(long_strings_change_nothing),
        cmocka_unit_test(strings_are_decoded_in_place),
        cmocka_unit_test(numbers_have_their_range),
        cmocka_unit_test(keys_that_are_there_twice_are_found),
        cmocka_unit_test(damage_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
