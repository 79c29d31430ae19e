/* fcgi-oip.h: asking the Open Inference Protocol's handler about a small model, and bodies to ask
 * with, for unit tests. */
#ifndef TESTS_UNIT_FCGI_OIP_H
#define TESTS_UNIT_FCGI_OIP_H

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

static inline int t_oip_set_up(void **state)
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

static inline int t_oip_tear_down(void **state)
{
    (void)state;
    wt_json_free(&predictor.json);
    fcgi_buffer_free(&predictor.scratch);
    fcgi_response_free(&response);
    fcgi_classifier_close(&classifier);
    return 0;
}

/* ---- asking --------------------------------------------------------------------------------- */

/* json_n: what the header says; -1: no header. The body is a copy of its own length. */
static inline enum fcgi_code ask(const void *bytes, size_t n, int64_t json_n)
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
    request.content_encoding = request.query = "";
    request.inference_header_length = length;
    request.path = "/v2/models/resnet50/infer";
    fcgi_response_reset(&response);
    err = (struct fcgi_err){.code = FCGI_E_OK};
    enum fcgi_code code = (enum fcgi_code)fcgi_oip(&call);
    assert_int_equal(code, err.code);
    free(body);
    return code;
}

/* json and the bytes behind it, as one body. Free with free(). */
static inline uint8_t *join(const char *json, const void *bytes, size_t n)
{
    uint8_t *body = malloc(strlen(json) + n + 1);

    assert_non_null(body);
    memcpy(body, json, strlen(json));
    memcpy(body + strlen(json), bytes, n);
    return body;
}

/* ---- bodies --------------------------------------------------------------------------------- */

static inline struct t_bytes draw(uint32_t seed)
{
    struct t_image image = t_image_draw(40, 48, seed);
    struct t_bytes jpeg = t_jpeg_make(&image, &(struct t_jpeg){.quality = 80});

    free(image.rgb);
    return jpeg;
}

static inline char *base64(const struct t_bytes *bytes)
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
static inline char *image_json(const char *shape, const char *data, const char *rest)
{
    char *json = malloc(strlen(data) + 512);

    assert_non_null(json);
    sprintf(json,
            "{\"inputs\":[{\"name\":\"image\",\"shape\":%s,\"datatype\":\"BYTES\",\"data\":%s}]%s}",
            shape, data, rest);
    return json;
}

static inline char *drawn_json(uint32_t seed, const char *rest)
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

static inline void fill_tensor(float *x, int n)
{
    for (int i = 0; i < n * FLOATS; i++)
        x[i] = (float)((i * 7919) % 997) / 250 - 2;
}

/* at: where the text goes on; returns its new end. */
static inline char *put_rows(char *at, const float *x, const char *open, const char *between,
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

static inline char *tensor_json(const float *x, int nested)
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

#endif
