/* Which pictures a body holds, by its Content-Type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/body.h"
#include "weights/json.h"

static struct fcgi_body body;
static struct fcgi_err err;

static int parse_by(fcgi_body_fn *read, const char *type, const char *bytes, int max_images)
{
    static uint8_t copy[4096];
    struct wt_json json = {0};
    const struct fcgi_body_source source = {type, copy, strlen(bytes), max_images, &json};

    memcpy(copy, bytes, source.n);
    err = (struct fcgi_err){.code = FCGI_E_OK};
    memset(&body, 0, sizeof body);
    int code = read(&body, &source, &err);
    wt_json_free(&json);
    return code;
}

static int parse(const char *type, const char *bytes, int max_images)
{
    return parse_by(fcgi_body_predict, type, bytes, max_images);
}

static void a_picture_as_it_is(void **state)
{
    static const char *const types[] = {"image/jpeg", "", "application/octet-stream",
                                        "application/x-www-form-urlencoded", "text/plain"};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        assert_int_equal(parse(types[i], "bytes", 1), FCGI_E_OK);
        assert_int_equal(body.n_images, 1);
        assert_int_equal(body.images[0].n, 5);
        assert_int_equal(body.top_k, 0);
        assert_null(body.precision.bytes);
    }
}

/* By its type, or by how it begins. */
static void json_is_told_from_pictures(void **state)
{
    static const char *const types[] = {"application/json", "application/json; charset=utf-8",
                                        "Application/JSON", "application/vnd.acme+json"};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        assert_int_equal(parse(types[i], "bytes", 1), FCGI_E_BAD_JSON);
    assert_int_equal(parse("application/x-www-form-urlencoded", " \r\n{}", 1), FCGI_E_BAD_REQUEST);
    assert_non_null(strstr(err.text, "\"images\""));
    assert_int_equal(parse("", "[", 1), FCGI_E_BAD_JSON);
    assert_int_equal(parse("application/json", "\xff\xd8\xff\xe0", 1),
                     FCGI_E_UNSUPPORTED_MEDIA_TYPE);
    assert_non_null(strstr(err.text, "a JPEG by its first bytes"));
}

static const char form[] = "multipart/form-data; boundary=B";
#define PART(name, content)                                                                        \
    "--B\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" content "\r\n"

static void a_form_of_pictures(void **state)
{
    (void)state;
    assert_int_equal(
        parse(form, PART("file", "one") PART("top_k", "7") PART("image", "three") "--B--", 2),
        FCGI_E_OK);
    assert_int_equal(body.n_images, 2);
    assert_int_equal(body.images[1].n, 5);
    assert_int_equal(body.top_k, 7);
    assert_int_equal(parse(form, PART("file", "a") PART("file", "b") "--B--", 1),
                     FCGI_E_TOO_MANY_IMAGES);
}

static void a_wrong_form(void **state)
{
    (void)state;
    assert_int_equal(parse(form, PART("photo", "one") "--B--", 2), FCGI_E_BAD_MULTIPART);
    assert_string_equal(err.text, "unknown field \"photo\"; expected \"file\" or \"image\", and "
                                  "perhaps \"top_k\" or \"precision\"");
    assert_int_equal(parse(form, PART("file", "") "--B--", 2), FCGI_E_BAD_REQUEST);
    assert_int_equal(parse(form, PART("top_k", "7") "--B--", 2), FCGI_E_BAD_MULTIPART);
    assert_int_equal(parse(form, PART("file", "x"), 2), FCGI_E_BAD_MULTIPART);
    assert_int_equal(parse(form, "--B--", 2), FCGI_E_BAD_MULTIPART);
}

static void options_of_a_form(void **state)
{
    (void)state;
    assert_int_equal(parse(form, PART("precision", "int8") PART("file", "x") "--B--", 2),
                     FCGI_E_OK);
    assert_int_equal(body.precision.n, 4);
    assert_memory_equal(body.precision.bytes, "int8", 4);
    assert_int_equal(parse(form, PART("top_k", "0") PART("file", "x") "--B--", 2), FCGI_E_OK);
    assert_int_equal(body.top_k, FCGI_BODY_BAD_TOP_K);
    assert_int_equal(parse(form, PART("top_k", "2.5") PART("file", "x") "--B--", 2), FCGI_E_OK);
    assert_int_equal(body.top_k, FCGI_BODY_BAD_TOP_K);
    assert_int_equal(parse(form, PART("precision", "") PART("file", "x") "--B--", 2), FCGI_E_OK);
    assert_non_null(body.precision.bytes); /* said, and to be refused */
}

static int torchserve(const char *type, const char *bytes)
{
    return parse_by(fcgi_body_torchserve, type, bytes, 16);
}

static void torchserve_takes_one_picture(void **state)
{
    (void)state;
    assert_int_equal(torchserve("application/json", "bytes"), FCGI_E_OK);
    assert_int_equal(body.images[0].n, 5);
    assert_int_equal(torchserve(form, PART("data", "x") "--B--"), FCGI_E_OK);
    assert_int_equal(torchserve(form, PART("body", "xy") "--B--"), FCGI_E_OK);
    assert_int_equal(body.images[0].n, 2);
    assert_int_equal(torchserve(form, PART("data", "x") PART("data", "y") "--B--"),
                     FCGI_E_TOO_MANY_IMAGES);
    assert_string_equal(err.text, "more than 1 picture in one request; send them one by one");
    assert_int_equal(torchserve(form, PART("file", "x") "--B--"), FCGI_E_BAD_MULTIPART);
    assert_string_equal(err.text, "unknown field \"file\"; expected \"data\" or \"body\"");
    assert_int_equal(torchserve(form, PART("data", "x") PART("top_k", "1") "--B--"),
                     FCGI_E_BAD_MULTIPART);
    assert_int_equal(torchserve("", "{\"image\":\"QUJD\"}"), FCGI_E_UNSUPPORTED_MEDIA_TYPE);
    assert_non_null(strstr(err.text, "POST /predict"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_as_it_is), cmocka_unit_test(json_is_told_from_pictures),
        cmocka_unit_test(a_form_of_pictures), cmocka_unit_test(a_wrong_form),
        cmocka_unit_test(options_of_a_form),  cmocka_unit_test(torchserve_takes_one_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
