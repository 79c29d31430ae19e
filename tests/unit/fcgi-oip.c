/* fcgi-oip: what inference requests of the Open Inference Protocol get, in either form. */
#include <math.h>

#include "tests/unit/fcgi-oip.h"

static struct wt_json answer; /* the last one's JSON part */
static size_t answer_n;       /* its length */

static int tear_down(void **state)
{
    wt_json_free(&answer);
    return t_oip_tear_down(state);
}

/* ---- asking --------------------------------------------------------------------------------- */

/* Asks, insists on success, and parses the JSON part. */
static void answered(const void *bytes, size_t n, int64_t json_n)
{
    struct wt_err why;
    const char *length;

    if (ask(bytes, n, json_n) != FCGI_E_OK)
        fail_msg("%s", err.text);
    answer_n = response.body.n;
    fcgi_buffer_add(&response.head, "", 1);
    length = strstr(response.head.bytes, "Inference-Header-Content-Length: ");
    assert_int_equal(length != NULL, response.content_type != NULL);
    if (length)
        answer_n = (size_t)atoi(strchr(length, ':') + 1);
    if (wt_json_parse_numbers(&answer, response.body.bytes, answer_n, 10000, &why) != WT_OK)
        fail_msg("%s: %.*s", why.text, (int)answer_n, response.body.bytes);
}

static void answered_json(const char *json)
{
    answered(json, strlen(json), -1);
}

static void answered_binary(const char *json, const void *bytes, size_t n)
{
    uint8_t *body = join(json, bytes, n);

    answered(body, strlen(json) + n, (int64_t)strlen(json));
    free(body);
}

static int output(const char *name)
{
    int list = wt_json_find(&answer, WT_JSON_ROOT, "outputs");

    for (int v = wt_json_first(&answer, list); v != WT_JSON_NONE; v = wt_json_next(&answer, v))
        if (fcgi_oip_is(&answer, wt_json_find(&answer, v, "name"), name))
            return v;
    fail_msg("no output %s", name);
    return WT_JSON_NONE;
}

static void assert_raw(int value, const char *expected)
{
    size_t n;
    const char *raw = wt_json_raw(&answer, value, &n);

    if (n != strlen(expected) || memcmp(raw, expected, n) != 0)
        fail_msg("expected %s, found %.*s", expected, (int)n, raw);
}

/* The floats of an output that came as JSON. */
static void read_output(const char *name, float *out, int n)
{
    int data = wt_json_find(&answer, output(name), "data");

    assert_int_equal(wt_json_size(&answer, data), n);
    assert_int_equal(wt_json_numbers_floats(&answer, data, out), n);
}

/* ---- answers -------------------------------------------------------------------------------- */

static void all_outputs_by_default(void **state)
{
    char *json = drawn_json(1, ",\"id\":\"a\\u0041\\\"\"");
    float values[CLASSES], sum = 0;
    char shape[16];

    (void)state;
    answered_json(json);
    free(json);
    assert_null(response.content_type);
    assert_raw(wt_json_find(&answer, WT_JSON_ROOT, "id"), "a\\u0041\\\"");
    assert_raw(wt_json_find(&answer, WT_JSON_ROOT, "model_name"), "resnet50");
    assert_raw(wt_json_find(&answer, WT_JSON_ROOT, "model_version"), "1");
    int parameters = wt_json_find(&answer, WT_JSON_ROOT, "parameters");
    assert_raw(wt_json_find(&answer, parameters, "precision"), "fp32");
    assert_int_equal(wt_json_size(&answer, wt_json_find(&answer, WT_JSON_ROOT, "outputs")), 4);
    read_output("logits", values, CLASSES);
    assert_memory_equal(values, classifier.logits, sizeof values); /* read back to the bit */
    read_output("probabilities", values, CLASSES);
    for (int i = 0; i < CLASSES; i++)
        sum += values[i];
    assert_true(fabsf(sum - 1) < 1e-5f);
    snprintf(shape, sizeof shape, "[1,%d]", classifier.model.net.features);
    assert_raw(wt_json_find(&answer, output("features"), "shape"), shape);
    assert_raw(wt_json_find(&answer, output("classification"), "shape"), "[1,5]");
    assert_raw(wt_json_find(&answer, output("classification"), "datatype"), "BYTES");
}

static void classifications_are_the_best_of_a_tensor(void **state)
{
    char *json = drawn_json(2, ",\"outputs\":[{\"name\":\"classification\",\"parameters\":"
                               "{\"classification\":2}},{\"name\":\"logits\",\"parameters\":"
                               "{\"classification\":10}}]");
    char text[64];
    int best = 0, id;
    float value;

    (void)state;
    answered_json(json);
    free(json);
    for (int i = 1; i < CLASSES; i++)
        best = classifier.logits[i] > classifier.logits[best] ? i : best;
    int list = wt_json_find(&answer, output("classification"), "data");
    assert_int_equal(wt_json_size(&answer, list), 2);
    assert_true(wt_json_string(&answer, wt_json_first(&answer, list), text, sizeof text, NULL));
    assert_int_equal(sscanf(text, "%f:%d:", &value, &id), 2);
    assert_int_equal(id, best);
    assert_true(value > 0 && value <= 1);
    assert_string_equal(strchr(strchr(text, ':') + 1, ':') + 1, classifier.model.labels[best]);
    list = wt_json_find(&answer, output("logits"), "data");
    assert_int_equal(wt_json_size(&answer, list), CLASSES);
    assert_true(wt_json_string(&answer, wt_json_first(&answer, list), text, sizeof text, NULL));
    assert_true(strtof(text, NULL) == classifier.logits[best]);
}

static void binary_outputs_are_the_same(void **state)
{
    char *json = drawn_json(3, ",\"parameters\":{\"binary_data_output\":true},\"outputs\":["
                               "{\"name\":\"features\"},{\"name\":\"classification\"},"
                               "{\"name\":\"logits\",\"parameters\":{\"binary_data\":true}},"
                               "{\"name\":\"probabilities\",\"parameters\":"
                               "{\"binary_data\":false}}]");
    float values[CLASSES];
    int64_t n = 0, n_text = 0;

    (void)state;
    answered_json(json);
    free(json);
    assert_string_equal(response.content_type, "application/octet-stream");
    read_output("probabilities", values, CLASSES);
    int parameters = wt_json_find(&answer, output("features"), "parameters");
    assert_true(wt_json_int64(&answer, wt_json_find(&answer, parameters, "binary_data_size"), &n));
    assert_int_equal(n, classifier.model.net.features * 4);
    const char *at = response.body.bytes + answer_n;
    assert_memory_equal(at, classifier.features, (size_t)n);
    at += n;
    parameters = wt_json_find(&answer, output("classification"), "parameters");
    wt_json_int64(&answer, wt_json_find(&answer, parameters, "binary_data_size"), &n_text);
    uint32_t length;
    memcpy(&length, at, sizeof length);
    assert_true(length > 4 && length < n_text);
    assert_true(strtof(at + 4, NULL) <= 1);
    at += n_text;
    assert_memory_equal(at, classifier.logits, sizeof values);
    assert_ptr_equal(at + sizeof values, response.body.bytes + response.body.n);
}

/* Photographs in base64, nested or flat, with escapes, and as bytes: the same bits. */
static void photographs_in_either_form(void **state)
{
    struct t_bytes one = draw(4), two = draw(5);
    char *a = base64(&one), *b = base64(&two), *escaped = malloc(2 * strlen(a) + 1), *to = escaped;
    char *data = malloc(3 * strlen(a) + strlen(b) + 64), *json;
    float expected[2 * CLASSES];
    uint8_t *bytes = malloc(one.n + two.n + 8);

    (void)state;
    assert_true(escaped && data && bytes);
    sprintf(data, "[\"%s\",\"%s\"]", a, b);
    json = image_json("[2]", data, "");
    answered_json(json);
    memcpy(expected, classifier.logits, sizeof expected);
    assert_memory_not_equal(expected, expected + CLASSES, sizeof expected / 2);
    free(json);

    for (const char *from = a; *from; from++) {
        if (*from == '/')
            *to++ = '\\';
        *to++ = *from;
    }
    *to = 0;
    sprintf(data, "[[\"\\u00%02x%s\"],[\"%s\"]]", a[0], escaped + (a[0] == '/' ? 2 : 1), b);
    json = image_json("[2,1]", data, "");
    answered_json(json);
    assert_memory_equal(classifier.logits, expected, sizeof expected);
    free(json);

    uint32_t n = (uint32_t)one.n;
    memcpy(bytes, &n, 4);
    memcpy(bytes + 4, one.p, n);
    n = (uint32_t)two.n;
    memcpy(bytes + 4 + one.n, &n, 4);
    memcpy(bytes + 8 + one.n, two.p, n);
    char header[256];
    sprintf(header,
            "{\"inputs\":[{\"name\":\"image\",\"shape\":[2],\"datatype\":\"BYTES\","
            "\"parameters\":{\"binary_data_size\":%zu}}]}",
            one.n + two.n + 8);
    answered_binary(header, bytes, one.n + two.n + 8);
    assert_memory_equal(classifier.logits, expected, sizeof expected);
    free(one.p);
    free(two.p);
    free(a);
    free(b);
    free(escaped);
    free(data);
    free(bytes);
}

static void tensors_in_either_form(void **state)
{
    float x[FLOATS], expected[CLASSES];
    char header[256];

    (void)state;
    fill_tensor(x, 1);
    sprintf(header,
            "{\"inputs\":[{\"name\":\"input\",\"shape\":[1,3,%d,%d],\"datatype\":\"FP32\","
            "\"parameters\":{\"binary_data_size\":%zu}}]}",
            CROP, CROP, sizeof x);
    answered_binary(header, x, sizeof x);
    memcpy(expected, classifier.logits, sizeof expected);
    for (int nested = 0; nested < 2; nested++) {
        char *json = tensor_json(x, nested);
        answered_json(json);
        assert_memory_equal(classifier.logits, expected, sizeof expected);
        free(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_outputs_by_default),
        cmocka_unit_test(classifications_are_the_best_of_a_tensor),
        cmocka_unit_test(binary_outputs_are_the_same),
        cmocka_unit_test(photographs_in_either_form),
        cmocka_unit_test(tensors_in_either_form),
    };

    return cmocka_run_group_tests(tests, t_oip_set_up, tear_down);
}
