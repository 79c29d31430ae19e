/* fcgi-oip-refused: which inference requests of the Open Inference Protocol are refused, with which
 * code and sentence, and that nothing else happens to damaged ones. */
#include <math.h>

#include "tests/unit/fcgi-oip.h"

#define IMAGE "\"name\":\"image\",\"shape\":[1],\"datatype\":\"BYTES\""
#define ONE   "{" IMAGE ",\"data\":[\"AAAA\"]}"

static const struct {
    const char *json;
    enum fcgi_code code;
    const char *word; /* that the sentence must have */
} refused[] = {
    {"", FCGI_E_BAD_REQUEST, "empty"},
    {"\xff\xd8\xff\xe0 a photograph", FCGI_E_UNSUPPORTED_MEDIA_TYPE, "POST /predict"},
    {"[]", FCGI_E_BAD_REQUEST, "\"inputs\""},
    {" ", FCGI_E_BAD_JSON, "\"inputs\""},
    {"{\"inputs\":", FCGI_E_BAD_JSON, "JSON"},
    {"{\"id\":\"\xff\"}", FCGI_E_BAD_JSON, "UTF-8"},
    {"{\"inputs\":[" ONE "],\"inputs\":[]}", FCGI_E_BAD_JSON, "\"inputs\" is there twice"},
    {"{\"inputs\":[{\"a\":1,\"\\u0061\":2}]}", FCGI_E_BAD_JSON, "twice"},
    {"{}", FCGI_E_BAD_REQUEST, "inputs"},
    {"{\"inputs\":{}}", FCGI_E_BAD_REQUEST, "inputs"},
    {"{\"inputs\":[]}", FCGI_E_BAD_REQUEST, "inputs"},
    {"{\"inputs\":[1]}", FCGI_E_BAD_REQUEST, "inputs"},
    {"{\"inputs\":[[]]}", FCGI_E_BAD_REQUEST, "name"},
    {"{\"inputs\":[" ONE "," ONE "]}", FCGI_E_BAD_REQUEST, "one tensor"},
    {"{\"inputs\":[{\"name\":\"x\"}]}", FCGI_E_BAD_REQUEST, "inputs[0].name"},
    {"{\"inputs\":[{\"name\":\"image\"}]}", FCGI_E_BAD_REQUEST, "datatype"},
    {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"FP32\"}]}", FCGI_E_TENSOR_SHAPE_MISMATCH,
     "BYTES"},
    {"{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP16\"}]}", FCGI_E_TENSOR_SHAPE_MISMATCH,
     "FP32"},
    {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\"}]}", FCGI_E_BAD_REQUEST, "shape"},
    {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[]}]}", FCGI_E_BAD_REQUEST,
     "shape"},
    {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[\"1\"]}]}",
     FCGI_E_BAD_REQUEST, "shape"},
    {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[1.0]}]}",
     FCGI_E_TENSOR_SHAPE_MISMATCH, "[n,1]"},
    {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[0]}]}",
     FCGI_E_TENSOR_SHAPE_MISMATCH, "[n]"},
    {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[-1]}]}",
     FCGI_E_TENSOR_SHAPE_MISMATCH, "[n]"},
    {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[1,2]}]}",
     FCGI_E_TENSOR_SHAPE_MISMATCH, "[n,1]"},
    {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[1,1,1,1,1,1]}]}",
     FCGI_E_TENSOR_SHAPE_MISMATCH, "[n,1]"},
    {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[4]}]}",
     FCGI_E_TOO_MANY_IMAGES, "3 pictures"},
    {"{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[4,3,32,32]}]}",
     FCGI_E_TOO_MANY_IMAGES, "3 pictures"},
    {"{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[9223372036854775807,3,"
     "32,32]}]}",
     FCGI_E_TOO_MANY_IMAGES, "3 pictures"},
    {"{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,3,224,224]}]}",
     FCGI_E_TENSOR_SHAPE_MISMATCH, "[n,3,32,32]"},
    {"{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,32,32,3]}]}",
     FCGI_E_TENSOR_SHAPE_MISMATCH, "[n,3,32,32]"},
    {"{\"inputs\":[{" IMAGE "}]}", FCGI_E_BAD_REQUEST, "binary_data_size"},
    {"{\"inputs\":[{" IMAGE ",\"data\":[\"AAAA\"],\"parameters\":{\"binary_data_size\":0}}]}",
     FCGI_E_BAD_REQUEST, "either"},
    {"{\"inputs\":[{" IMAGE ",\"parameters\":{\"binary_data_size\":-1}}]}", FCGI_E_BAD_REQUEST,
     "bytes"},
    {"{\"inputs\":[{" IMAGE ",\"parameters\":{\"binary_data_size\":8}}]}",
     FCGI_E_TENSOR_SHAPE_MISMATCH, "Inference-Header-Content-Length"},
    {"{\"inputs\":[{" IMAGE ",\"parameters\":{\"binary_data_size\":0}}]}",
     FCGI_E_TENSOR_SHAPE_MISMATCH, "four bytes"},
    {"{\"inputs\":[{" IMAGE ",\"data\":\"AAAA\"}]}", FCGI_E_TENSOR_SHAPE_MISMATCH, "a string"},
    {"{\"inputs\":[{" IMAGE ",\"data\":[]}]}", FCGI_E_TENSOR_SHAPE_MISMATCH, "of 0"},
    {"{\"inputs\":[{" IMAGE ",\"data\":[1]}]}", FCGI_E_TENSOR_SHAPE_MISMATCH, "numbers"},
    {"{\"inputs\":[{" IMAGE ",\"data\":[\"AAAA\",\"AAAA\"]}]}", FCGI_E_TENSOR_SHAPE_MISMATCH,
     "of 2"},
    {"{\"inputs\":[{" IMAGE ",\"data\":[{}]}]}", FCGI_E_TENSOR_SHAPE_MISMATCH, "data[0]"},
    {"{\"inputs\":[{" IMAGE ",\"data\":[[\"AAAA\",\"AAAA\"]]}]}", FCGI_E_TENSOR_SHAPE_MISMATCH,
     "data[0]"},
    {"{\"inputs\":[{" IMAGE ",\"data\":[\"AAA\"]}]}", FCGI_E_BAD_BASE64, "data[0]"},
    {"{\"inputs\":[{" IMAGE ",\"data\":[\"AA\\u0000A\"]}]}", FCGI_E_BAD_BASE64, "alphabet"},
    {"{\"inputs\":[{" IMAGE ",\"data\":[\"\"]}]}", FCGI_E_BAD_REQUEST, "empty"},
    {"{\"inputs\":[" ONE "]}", FCGI_E_UNSUPPORTED_MEDIA_TYPE, "JPEG"},
    {"{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,3,32,32],\"data\":"
     "[1,2,3]}]}",
     FCGI_E_TENSOR_SHAPE_MISMATCH, "3072 numbers"},
    {"{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,3,32,32],\"data\":"
     "[[[[1]]],[[[1]]]]}]}",
     FCGI_E_TENSOR_SHAPE_MISMATCH, "of 2"},
    {"{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,3,32,32],\"data\":"
     "\"AAAA\"}]}",
     FCGI_E_TENSOR_SHAPE_MISMATCH, "a string"},
    {"{\"id\":7,\"inputs\":[" ONE "]}", FCGI_E_BAD_REQUEST, "id: expected a string"},
    {"{\"parameters\":[],\"inputs\":[" ONE "]}", FCGI_E_BAD_REQUEST, "parameters"},
    {"{\"parameters\":{\"precision\":\"fp8\"},\"inputs\":[" ONE "]}", FCGI_E_BAD_REQUEST,
     "precision"},
    {"{\"parameters\":{\"precision\":32},\"inputs\":[" ONE "]}", FCGI_E_BAD_REQUEST, "precision"},
    {"{\"parameters\":{\"binary_data_output\":1},\"inputs\":[" ONE "]}", FCGI_E_BAD_REQUEST,
     "true or false"},
    {"{\"outputs\":{},\"inputs\":[" ONE "]}", FCGI_E_BAD_REQUEST, "outputs"},
    {"{\"outputs\":[1],\"inputs\":[" ONE "]}", FCGI_E_BAD_REQUEST, "outputs"},
    {"{\"outputs\":[{\"name\":\"x\"}],\"inputs\":[" ONE "]}", FCGI_E_BAD_REQUEST,
     "outputs[0].name"},
    {"{\"outputs\":[{\"name\":\"logits\"},{\"name\":\"logits\"}],\"inputs\":[" ONE "]}",
     FCGI_E_BAD_REQUEST, "outputs[1].name: \"logits\" is asked for twice"},
    {"{\"outputs\":[{\"name\":\"logits\",\"parameters\":1}],\"inputs\":[" ONE "]}",
     FCGI_E_BAD_REQUEST, "outputs[0].parameters"},
    {"{\"outputs\":[{\"name\":\"logits\",\"parameters\":{\"binary_data\":\"yes\"}}],"
     "\"inputs\":[" ONE "]}",
     FCGI_E_BAD_REQUEST, "outputs[0].parameters.binary_data"},
    {"{\"outputs\":[{\"name\":\"logits\",\"parameters\":{\"classification\":0}}],\"inputs\":"
     "[" ONE "]}",
     FCGI_E_BAD_REQUEST, "1 to 10"},
    {"{\"outputs\":[{\"name\":\"logits\",\"parameters\":{\"classification\":11}}],\"inputs\":"
     "[" ONE "]}",
     FCGI_E_BAD_REQUEST, "1 to 10"},
    {"{\"outputs\":[{\"name\":\"features\",\"parameters\":{\"classification\":1}}],"
     "\"inputs\":[" ONE "]}",
     FCGI_E_BAD_REQUEST, "features"},
};

static void refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        enum fcgi_code code = ask(refused[i].json, strlen(refused[i].json), -1);
        if (code != refused[i].code || !strstr(err.text, refused[i].word))
            fail_msg("%s: expected %s with \"%s\", found %s: %s", refused[i].json,
                     fcgi_error_code(refused[i].code), refused[i].word, fcgi_error_code(code),
                     err.text);
    }
}

static void the_header_is_checked(void **state)
{
    static const char json[] = "{\"inputs\":[{" IMAGE ",\"parameters\":{\"binary_data_size\":5}}]}";
    static const struct {
        uint8_t bytes[9];
        size_t n;
        int64_t json_n;
        enum fcgi_code code;
    } rows[] = {
        {{1, 0, 0, 0, 7}, 5, sizeof json - 1, FCGI_E_UNSUPPORTED_MEDIA_TYPE}, /* no JPEG */
        {{1, 0, 0, 0, 7}, 5, sizeof json, FCGI_E_BAD_JSON},
        {{1, 0, 0, 0, 7}, 5, sizeof json - 2, FCGI_E_BAD_JSON},
        {{1, 0, 0, 0, 7}, 5, sizeof json + 9, FCGI_E_BAD_REQUEST},
        {{1, 0, 0, 0, 7}, 5, 0, FCGI_E_BAD_REQUEST},
        {{1, 0, 0, 0, 7}, 5, -1, FCGI_E_BAD_JSON},
        {{2, 0, 0, 0, 7}, 5, sizeof json - 1, FCGI_E_TENSOR_SHAPE_MISMATCH},
        {{0, 0, 0, 0, 7}, 5, sizeof json - 1, FCGI_E_BAD_REQUEST}, /* an empty one */
        {{255, 255, 255, 255, 7}, 5, sizeof json - 1, FCGI_E_TENSOR_SHAPE_MISMATCH},
        {{1, 0, 0, 0, 7, 7}, 6, sizeof json - 1, FCGI_E_TENSOR_SHAPE_MISMATCH},
        {{1, 0, 0, 0}, 4, sizeof json - 1, FCGI_E_TENSOR_SHAPE_MISMATCH},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t *body = join(json, rows[i].bytes, rows[i].n);
        enum fcgi_code code = ask(body, sizeof json - 1 + rows[i].n, rows[i].json_n);
        if (code != rows[i].code)
            fail_msg("row %zu: %s: %s", i, fcgi_error_code(code), err.text);
        free(body);
    }
}

static void what_is_not_finite_is_refused(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float x[FLOATS];
    char header[256], *json;

    (void)state;
    sprintf(header,
            "{\"inputs\":[{\"name\":\"input\",\"shape\":[1,3,%d,%d],\"datatype\":\"FP32\","
            "\"parameters\":{\"binary_data_size\":%zu}}]}",
            CROP, CROP, sizeof x);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fill_tensor(x, 1);
        x[77] = bad[i];
        uint8_t *body = join(header, x, sizeof x);
        int code = ask(body, strlen(header) + sizeof x, (int64_t)strlen(header));
        assert_int_equal(code, FCGI_E_TENSOR_NOT_FINITE);
        assert_non_null(strstr(err.text, "element 77:"));
        free(body);
    }
    fill_tensor(x, 1);
    json = tensor_json(x, 1);
    char *number = strstr(json, "0.968"); /* the first that is long enough */
    assert_non_null(number);
    memcpy(number, "1e999", 5);
    assert_int_equal(ask(json, strlen(json), -1), FCGI_E_TENSOR_NOT_FINITE);
    free(json);
}

/* Whatever is flipped, cut or repeated: an answer, or a refusal with a sentence. */
static void damage_is_survived(void **state)
{
    char *json = drawn_json(9, ",\"id\":\"x\",\"parameters\":{\"binary_data_output\":true},"
                               "\"outputs\":[{\"name\":\"classification\",\"parameters\":"
                               "{\"classification\":3}},{\"name\":\"logits\"}]");
    size_t n = strlen(json), interesting = 160;
    uint32_t seed = 1;

    (void)state;
    for (int i = 0; i < 4000; i++) {
        char *copy = strdup(json);
        assert_non_null(copy);
        for (int k = 0; k <= i % 3; k++) {
            seed = seed * 1664525 + 1013904223;
            size_t at = (seed >> 8) % interesting;
            at = at < 80 ? at : n - 160 + at;
            copy[at] = i % 2 ? "\"[]{},:0-e\\"[seed % 11] : (char)(seed >> 24);
        }
        size_t length = i % 7 ? n : (seed >> 3) % n;
        enum fcgi_code code = ask(copy, length, i % 5 ? -1 : (int64_t)(seed % (n + 2)));
        assert_true(code == FCGI_E_OK || err.text[0]);
        free(copy);
    }
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),
        cmocka_unit_test(the_header_is_checked),
        cmocka_unit_test(what_is_not_finite_is_refused),
        cmocka_unit_test(damage_is_survived),
    };

    return cmocka_run_group_tests(tests, t_oip_set_up, t_oip_tear_down);
}
