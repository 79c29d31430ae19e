/* Safetensors: each rule of the format has a file that breaks it, and a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/weights-write.h"

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
#define B "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[8,12]}"

static const uint8_t data[64] = {0, 0, 128, 63, 0, 0, 0, 192, 1, 2, 3, 4}; /* 1, -2; 1 2 3 4 */

static void a_file_is_read(void **state)
{
    struct t_bytes b = {0};
    struct wt_source source;
    const struct wt_tensor *a;
    float floats[2];

    (void)state;
    t_safetensors(&b, "{\"__metadata__\":{\"format\":\"pt\"}," B "," A "}     ", data, 12);
    t_opens(&source, &b);
    assert_int_equal(source.n_tensors, 2);
    a = wt_source_find(&source, "a");
    assert_non_null(a);
    assert_int_equal(a->dtype, WT_F32);
    assert_int_equal(a->ndim, 1);
    assert_int_equal(wt_tensor_floats(a, floats, NULL), WT_OK);
    assert_true(floats[0] == 1 && floats[1] == -2);
    assert_memory_equal(wt_source_find(&source, "b")->data, data + 8, 4);
    assert_null(wt_source_find(&source, "__metadata__"));
    wt_source_close(&source);
    t_bytes_free(&b);
}

static void every_dtype_has_its_size(void **state)
{
    static const struct {
        const char *name;
        enum wt_dtype dtype;
        size_t n_bytes;
    } rows[] = {
        {"F64", WT_F64, 8}, {"F32", WT_F32, 4},   {"F16", WT_F16, 2}, {"BF16", WT_BF16, 2},
        {"I64", WT_I64, 8}, {"I32", WT_I32, 4},   {"I16", WT_I16, 2}, {"I8", WT_I8, 1},
        {"U8", WT_U8, 1},   {"BOOL", WT_BOOL, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct t_file f = {0};
        struct t_bytes b = {0};
        struct wt_source source;
        t_tensor(&f, "x", rows[i].name, "[3,1]", data, 3 * rows[i].n_bytes);
        t_finish(&f, &b);
        t_opens(&source, &b);
        assert_int_equal(source.tensors[0].dtype, rows[i].dtype);
        wt_source_close(&source);
        t_bytes_free(&b);
    }
}

static void what_may_be_empty(void **state)
{
    static const char *const headers[] = {
        "{}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[0,4611686018427387904],\"data_offsets\":[0,0]}}",
        "{\"__metadata__\":{}}",
    };

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct t_bytes b = {0};
        struct wt_source source;
        float none;
        t_safetensors(&b, headers[i], data, 0);
        t_opens(&source, &b);
        if (source.n_tensors > 0)
            assert_int_equal(wt_tensor_floats(source.tensors, &none, NULL), WT_OK);
        wt_source_close(&source);
        t_bytes_free(&b);
    }
}

static void a_scalar_has_one_element(void **state)
{
    struct t_bytes b = {0};
    struct wt_source source;

    (void)state;
    t_safetensors(&b, "{\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}", data, 8);
    t_opens(&source, &b);
    assert_int_equal(source.tensors[0].ndim, 0);
    assert_int_equal(wt_tensor_count(&source.tensors[0]), 1);
    wt_source_close(&source);
    t_bytes_free(&b);
}

#define ENTRY(dtype, shape, offsets)                                                               \
    "{\"a\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void each_rule_is_kept(void **state)
{
    static const struct {
        const char *header;
        size_t n_data;
        const char *words;
    } rows[] = {
        /* the data: all of the file, without gap or overlap */
        {"{" A "," B "}", 13, "after 12 bytes, found 1 more"},
        {"{" A "," B "}", 11, "b: its data end at byte 12 of the data, but the file has 11"},
        {"{}", 1, "after 0 bytes, found 1 more"},
        {ENTRY("\"U8\"", "[4]", "[1,5]"), 5, "begin at byte 0, found 1 (a gap)"},
        {"{" A ",\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[9,13]}}", 13, "(a gap)"},
        {"{" A ",\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[7,11]}}", 11,
         "(an overlap)"},
        {"{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
         "(an overlap)"},
        {ENTRY("\"U8\"", "[4]", "[4,0]"), 4, "end (0) before they begin (4)"},
        /* sizes */
        {ENTRY("\"F32\"", "[3]", "[0,8]"), 8,
         "F32 of shape [3] takes 12 bytes, data_offsets have 8"},
        {ENTRY("\"F16\"", "[2,2]", "[0,4]"), 4, "F16 of shape [2,2] takes 8 bytes"},
        {ENTRY("\"F32\"", "[]", "[0,8]"), 8, "shape [] takes 4 bytes"},
        {ENTRY("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0,
         "[4294967296,4294967296] overflows"},
        {ENTRY("\"F64\"", "[2305843009213693952]", "[0,0]"), 0, "overflows"},
        {ENTRY("\"U8\"", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, "at most 8 dimensions, found 9"},
        /* numbers */
        {ENTRY("\"U8\"", "[-4]", "[0,4]"), 4, "\"shape\" to hold whole numbers"},
        {ENTRY("\"U8\"", "[4.0]", "[0,4]"), 4, "\"shape\" to hold whole numbers"},
        {ENTRY("\"U8\"", "[\"4\"]", "[0,4]"), 4, "\"shape\" to hold whole numbers"},
        {ENTRY("\"U8\"", "[99999999999999999999]", "[0,4]"), 4, "\"shape\" to hold whole numbers"},
        {ENTRY("\"U8\"", "4", "[0,4]"), 4, "\"shape\" to be an array"},
        {ENTRY("\"U8\"", "[4]", "[-1,4]"), 4, "\"data_offsets\" to hold whole numbers"},
        {ENTRY("\"U8\"", "[4]", "[0,4e0]"), 4, "\"data_offsets\" to hold whole numbers"},
        {ENTRY("\"U8\"", "[4]", "[0]"), 4, "an array [begin, end]"},
        {ENTRY("\"U8\"", "[4]", "[0,4,4]"), 4, "an array [begin, end]"},
        {ENTRY("\"U8\"", "[4]", "{\"0\":4}"), 4, "an array [begin, end]"},
        /* types */
        {ENTRY("\"F8_E4M3\"", "[4]", "[0,4]"), 4, "unknown dtype \"F8_E4M3\""},
        {ENTRY("\"f32\"", "[1]", "[0,4]"), 4, "unknown dtype \"f32\""},
        {ENTRY("\"A_VERY_LONG_DTYPE_NAME\"", "[1]", "[0,4]"), 4, "unknown dtype"},
        {ENTRY("1", "[4]", "[0,4]"), 4, "\"dtype\" to be a string"},
        /* keys */
        {"{\"a\":1}", 0, "a: expected an object {dtype, shape, data_offsets}"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0]}}", 0, "exactly the keys"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0],\"x\":1}}", 0,
         "exactly the keys"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"x\":[0,0]}}", 0, "an array [begin, end]"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"shape\":[0]}}", 0,
         "a: a key stands there twice"},
        {"{" A "," A "}", 8, "the name \"a\" stands there twice"},
        {"{" A ",\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[8,8]}}", 8, "twice"},
        {"{\"\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "a name of 1 to 255"},
        {"{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0,
         "without NUL"},
        /* metadata */
        {"{\"__metadata__\":1}", 0, "__metadata__ to be an object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ to be a string"},
        {"{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", 0, "__metadata__ stands there twice"},
        /* the header itself */
        {"{\"a\":}", 0, "header: JSON, byte"},
        {"{" A "}x", 8, "header: JSON, byte"},
        {" {}", 0, "byte 8 is not '{'"},
        {"[]", 0, "byte 8 is not '{'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct t_bytes b = {0};
        t_safetensors(&b, rows[i].header, data, rows[i].n_data);
        t_refused(&b, WT_EFORMAT, rows[i].words);
    }
}

static void names_are_bounded(void **state)
{
    char name[WT_MAX_TENSOR_NAME + 1];
    struct t_file f = {0};
    struct t_bytes b = {0};
    struct wt_source source;

    (void)state;
    memset(name, 'n', sizeof name);
    name[WT_MAX_TENSOR_NAME - 1] = '\0';
    t_tensor(&f, name, "U8", "[1]", data, 1);
    t_finish(&f, &b);
    t_opens(&source, &b);
    assert_string_equal(source.tensors[0].name, name);
    wt_source_close(&source);
    t_bytes_free(&b);
    name[WT_MAX_TENSOR_NAME - 1] = 'n';
    name[WT_MAX_TENSOR_NAME] = '\0';
    t_tensor(&f, name, "U8", "[1]", data, 1);
    t_finish(&f, &b);
    t_refused(&b, WT_EFORMAT, "longer than 255 bytes");
}

static void the_number_of_tensors_is_bounded(void **state)
{
    struct t_file f = {0};
    struct t_bytes b = {0};

    (void)state;
    for (int i = 0; i <= WT_MAX_TENSORS; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        t_tensor(&f, name, "U8", "[0]", data, 0);
    }
    t_finish(&f, &b);
    t_refused(&b, WT_EFORMAT, "more than 8192 tensors");
}

static void the_headers_length_is_checked(void **state)
{
    static const struct {
        uint64_t length;
        const char *words;
    } rows[] = {
        {100000001, "has 100000001 bytes, the format allows 100000000"},
        {UINT64_MAX, "the format allows"},
        {UINT64_MAX - 7, "the format allows"},
        {100000000, "has 100000000 bytes, the file only"},
        {13, "has 13 bytes, the file only 20"},
        {1, "header: JSON"},
        {0, "header: JSON"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct t_bytes b = {0};
        t_number(&b, rows[i].length, 8);
        t_text(&b, "{          }");
        t_refused(&b, WT_EFORMAT, rows[i].words);
    }
}

static void what_is_no_file_of_weights_is_refused(void **state)
{
    static const char *const texts[] = {"", "short", "{\"json\": \"alone\"}", "GIF89a..........",
                                        "<!DOCTYPE html><html></html>"};

    (void)state;
    for (int i = 0; i < 5; i++) {
        struct t_bytes b = {0};
        t_text(&b, texts[i]);
        if (i == 0)
            t_put(&b, "", 0);
        t_refused(&b, WT_EFORMAT, "neither safetensors");
    }
}

static void damage_is_survived(void **state)
{
    struct t_bytes b = {0};

    (void)state;
    t_safetensors(&b, "{\"__metadata__\":{\"format\":\"pt\"}," B "," A "}     ", data, 12);
    t_truncations_refused(&b);
    t_survives_flips(&b, 1);
    t_bytes_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read),
        cmocka_unit_test(every_dtype_has_its_size),
        cmocka_unit_test(what_may_be_empty),
        cmocka_unit_test(a_scalar_has_one_element),
        cmocka_unit_test(each_rule_is_kept),
        cmocka_unit_test(names_are_bounded),
        cmocka_unit_test(the_number_of_tensors_is_bounded),
        cmocka_unit_test(the_headers_length_is_checked),
        cmocka_unit_test(what_is_no_file_of_weights_is_refused),
        cmocka_unit_test(damage_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
