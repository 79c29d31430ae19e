/* fcgi-oip: inference requests of the Open Inference Protocol against a small model: what comes out
 * in either form, what is refused with which code, and that nothing else happens to damaged ones.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/oip.h"
#include "tests/fixtures/jpeg.h"
#include "tests/fixtures/model.h"

enum { CROP = 32, CLASSES = 10, MAX_IMAGES = 3, FLOATS = 3 * CROP * CROP, MOST = 1 << 20 };

static char path[] = "/tmp/oip-XXXXXX";
static struct fcgi_classifier classifier;
static struct fcgi_prediction top[CLASSES];
static struct fcgi_predictor predictor;
static struct fcgi_response response;
static struct fcgi_request request;
static struct fcgi_err err;
static struct wt_json answer; /* the last one's JSON part */
static size_t answer_n;       /* its length */

static int group_set_up(void **state)
{
    struct fcgi_classifier_options options = {
        .path = path, .max_images = MAX_IMAGES, .max_threads = 1};
    struct wt_recipe recipe = wt_recipe_default;
    struct wt_err why;
    char text[512];
    int fd = mkstemp(path);

    (void)state;
    recipe.resize = recipe.crop = CROP;
    if (fd < 0 || close(fd) || t_model_write(path, &recipe, &why) != 0)
        return -1;
    if (fcgi_classifier_open(&classifier, &options, NULL, text) != 0)
        return -1;
    predictor = (struct fcgi_predictor){.classifier = &classifier,
                                        .limits = {1000000, 64 << 20},
                                        .exif = -1,
                                        .max_images = MAX_IMAGES,
                                        .top = top};
    return unlink(path);
}

static int group_tear_down(void **state)
{
    (void)state;
    wt_json_free(&answer);
    wt_json_free(&predictor.json);
    fcgi_buffer_free(&predictor.scratch);
    fcgi_response_free(&response);
    fcgi_classifier_close(&classifier);
    return 0;
}

/* ---- asking --------------------------------------------------------------------------------- */

/* json_n: what the header says; -1: no header. The body is a copy of its own length. */
static enum fcgi_code ask(const void *bytes, size_t n, int64_t json_n)
{
    uint8_t *body = malloc(n + !n);
    char length[24] = "";
    struct fcgi_call call = {.predictor = &predictor,
                             .request = &request,
                             .body = body,
                             .body_n = n,
                             .response = &response,
                             .err = &err};

    assert_non_null(body);
    memcpy(body, bytes, n);
    if (json_n >= 0)
        snprintf(length, sizeof length, "%lld", (long long)json_n);
    request.content_encoding = "";
    request.inference_header_length = length;
    request.path = "/v2/models/resnet50/infer";
    fcgi_response_reset(&response);
    err = (struct fcgi_err){.code = FCGI_E_OK};
    enum fcgi_code code = (enum fcgi_code)fcgi_oip(&call);
    assert_int_equal(code, err.code);
    free(body);
    return code;
}

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

/* json and the bytes behind it, as one body. Free with free(). */
static uint8_t *join(const char *json, const void *bytes, size_t n)
{
    uint8_t *body = malloc(strlen(json) + n + 1);

    assert_non_null(body);
    memcpy(body, json, strlen(json));
    memcpy(body + strlen(json), bytes, n);
    return body;
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

/* ---- bodies --------------------------------------------------------------------------------- */

static struct t_bytes draw(uint32_t seed)
{
    struct t_image image = t_image_draw(40, 48, seed);
    struct t_bytes jpeg = t_jpeg_make(&image, &(struct t_jpeg){.quality = 80});

    free(image.rgb);
    return jpeg;
}

static char *base64(const struct t_bytes *bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = calloc(bytes->n / 3 + 1, 4 + 1), *to = text;

    assert_non_null(text);
    for (size_t i = 0; i < bytes->n; i += 3) {
        uint32_t left = (uint32_t)(bytes->n - i), bits = 0;
        for (uint32_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < left ? bytes->p[i + k] : 0u);
        for (int k = 0; k < 4; k++)
            *to++ = k > (int)left ? '=' : digits[bits >> (18 - 6 * k) & 63];
    }
    return text;
}

/* One photograph as JSON; rest: ",..." */
static char *image_json(const char *shape, const char *data, const char *rest)
{
    char *json = malloc(strlen(data) + 512);

    assert_non_null(json);
    sprintf(json,
            "{\"inputs\":[{\"name\":\"image\",\"shape\":%s,\"datatype\":\"BYTES\",\"data\":%s}]%s}",
            shape, data, rest);
    return json;
}

static char *drawn_json(uint32_t seed, const char *rest)
{
    struct t_bytes jpeg = draw(seed);
    char *text = base64(&jpeg), *data = malloc(strlen(text) + 8);

    assert_non_null(data);
    sprintf(data, "[\"%s\"]", text);
    char *json = image_json("[1]", data, rest);
    free(data);
    free(text);
    free(jpeg.p);
    return json;
}

static void fill_tensor(float *x, int n)
{
    for (int i = 0; i < n * FLOATS; i++)
        x[i] = (float)((i * 7919) % 997) / 250 - 2;
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

/* at: where the text goes on; returns its new end. */
static char *put_rows(char *at, const float *x, const char *open, const char *between,
                      const char *close, int rows, int columns)
{
    for (int r = 0; r < rows; r++) {
        at += sprintf(at, "%s%s", r ? between : "", open);
        for (int c = 0; c < columns; c++)
            at += sprintf(at, "%s%.9g", c ? "," : "", (double)x[r * columns + c]);
        at += sprintf(at, "%s", close);
    }
    return at;
}

static char *tensor_json(const float *x, int nested)
{
    char *json = malloc(MOST), *at = json;

    assert_non_null(json);
    at += sprintf(at, "{\"inputs\":[{\"name\":\"input\",\"data\":%s", nested ? "[" : "");
    if (!nested)
        at = put_rows(at, x, "[", "", "]", 1, FLOATS);
    for (int c = 0; nested && c < 3; c++) {
        at += sprintf(at, "%s[", c ? "," : "[");
        at = put_rows(at, x + c * CROP * CROP, "[", ",", "]", CROP, CROP);
        at += sprintf(at, "%s", c == 2 ? "]]]" : "]");
    }
    sprintf(at, ",\"shape\":[1,3,%d,%d],\"datatype\":\"FP32\"}]}", CROP, CROP);
    return json;
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

/* ---- refusals ------------------------------------------------------------------------------- */

#define IMAGE "\"name\":\"image\",\"shape\":[1],\"datatype\":\"BYTES\""
#define ONE   "{" IMAGE ",\"data\":[\"AAAA\"]}"

static void refusals(void **state)
{
    static const struct {
        const char *json;
        enum fcgi_code code;
        const char *word; /* that the sentence must have */
    } rows[] = {
        {"", FCGI_E_BAD_REQUEST, "empty"},
        {"\xff\xd8\xff\xe0 a photograph", FCGI_E_BAD_JSON, "POST /predict"},
        {"[]", FCGI_E_BAD_JSON, "\"inputs\""},
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
        {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[]}]}",
         FCGI_E_BAD_REQUEST, "shape"},
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
        {"{\"parameters\":{\"precision\":32},\"inputs\":[" ONE "]}", FCGI_E_BAD_REQUEST,
         "precision"},
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

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum fcgi_code code = ask(rows[i].json, strlen(rows[i].json), -1);
        if (code != rows[i].code || !strstr(err.text, rows[i].word))
            fail_msg("%s: expected %s with \"%s\", found %s: %s", rows[i].json,
                     fcgi_error_code(rows[i].code), rows[i].word, fcgi_error_code(code), err.text);
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
        {{1, 0, 0, 0, 7}, 5, 0, FCGI_E_BAD_JSON},
        {{1, 0, 0, 0, 7}, 5, -1, FCGI_E_BAD_JSON},
        {{2, 0, 0, 0, 7}, 5, sizeof json - 1, FCGI_E_TENSOR_SHAPE_MISMATCH},
        {{0, 0, 0, 0, 7}, 5, sizeof json - 1, FCGI_E_TENSOR_SHAPE_MISMATCH},
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
        cmocka_unit_test(all_outputs_by_default),
        cmocka_unit_test(classifications_are_the_best_of_a_tensor),
        cmocka_unit_test(binary_outputs_are_the_same),
        cmocka_unit_test(photographs_in_either_form),
        cmocka_unit_test(tensors_in_either_form),
        cmocka_unit_test(refusals),
        cmocka_unit_test(the_header_is_checked),
        cmocka_unit_test(what_is_not_finite_is_refused),
        cmocka_unit_test(damage_is_survived),
    };

    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
