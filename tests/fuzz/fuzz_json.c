/* json: both ways of parsing, beside each other, and every value read in every way. */
#include <math.h>

#include "tests/fuzz/fuzz.h"
#include "weights/json.h"

enum { MAX_TOKENS = 4096 };

static void read_numbers(const struct wt_json *json, int value)
{
    int n = wt_json_size(json, value), read;
    float *floats = fuzz_block((size_t)n * sizeof *floats);
    int64_t *integers = fuzz_block((size_t)n * sizeof *integers);

    read = wt_json_numbers_floats(json, value, floats);
    FUZZ_EXPECT(read >= 0 && read <= n);
    for (int i = 0; i < read; i++)
        FUZZ_EXPECT(isfinite(floats[i]));
    read = wt_json_numbers_int64s(json, value, integers);
    FUZZ_EXPECT(read >= 0 && read <= n);
    free(floats);
    free(integers);
}

static void read_scalar(const struct wt_json *json, int value)
{
    size_t n_raw, n = 0;
    const char *raw = wt_json_raw(json, value, &n_raw);
    char *out = fuzz_block(n_raw + 1), little[8];
    int64_t integer;
    double number;

    FUZZ_EXPECT(raw >= json->text && n_raw <= json->n_text - (size_t)(raw - json->text));
    if (wt_json_type(json, value) == WT_JSON_STRING) {
        FUZZ_EXPECT(wt_json_string(json, value, out, n_raw + 1, &n) && n <= n_raw && out[n] == 0);
        wt_json_string(json, value, little, sizeof little, NULL);
    }
    if (wt_json_int64(json, value, &integer))
        FUZZ_EXPECT(wt_json_type(json, value) == WT_JSON_NUMBER);
    if (wt_json_double(json, value, &number))
        FUZZ_EXPECT(isfinite(number));
    free(out);
}

static int count(const struct wt_json *json, int container)
{
    int n = 0;

    for (int v = wt_json_first(json, container); v != WT_JSON_NONE; v = wt_json_next(json, v))
        n++;
    return n;
}

/* Keys are strings; a duplicate is what find() returns the first of. */
static void read_object(const struct wt_json *json, int object)
{
    struct wt_err err;
    int key = WT_JSON_NONE;

    FUZZ_EXPECT(wt_json_duplicate(json, object, &key, &err) == WT_OK);
    for (int k = wt_json_first(json, object); k != WT_JSON_NONE; k = wt_json_next(json, k)) {
        size_t n_raw, n;
        char *text;

        wt_json_raw(json, k, &n_raw);
        text = fuzz_block(n_raw + 1);
        FUZZ_EXPECT(wt_json_string(json, k, text, n_raw + 1, &n));
        if (strlen(text) == n && key == WT_JSON_NONE)
            FUZZ_EXPECT(wt_json_find(json, object, text) == wt_json_value(json, k));
        free(text);
    }
}

static void read_all(const struct wt_json *json)
{
    for (int v = 0; v < json->n_tokens; v++) {
        enum wt_json_type type = wt_json_type(json, v);

        FUZZ_EXPECT(wt_json_type_name(json, v) != NULL);
        read_scalar(json, v);
        if (type == WT_JSON_OBJECT)
            read_object(json, v);
        if (type == WT_JSON_OBJECT || type == WT_JSON_ARRAY)
            FUZZ_EXPECT(count(json, v) == wt_json_size(json, v));
        if (type == WT_JSON_NUMBERS)
            read_numbers(json, v);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char *text = (char *)fuzz_copy(bytes, n);
    struct wt_json plain = {0}, numbers = {0};
    struct wt_err err, other;
    int code = wt_json_parse(&plain, text, n, MAX_TOKENS, &err);
    int code_numbers = wt_json_parse_numbers(&numbers, text, n, MAX_TOKENS, &other);

    /* arrays of numbers need fewer tokens, that is all */
    if (code == WT_OK)
        FUZZ_EXPECT(code_numbers == WT_OK);
    if (code_numbers == WT_OK && code != WT_OK)
        FUZZ_EXPECT(strstr(err.text, "values") != NULL);
    FUZZ_EXPECT(code == WT_OK || code == WT_EFORMAT);
    if (code == WT_OK)
        read_all(&plain);
    if (code_numbers == WT_OK)
        read_all(&numbers);
    wt_json_free(&plain);
    wt_json_free(&numbers);
    free(text);
    return 0;
}
