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

static struct fcgi_body body;
static struct fcgi_err err;

static int parse(const char *type, const char *encoding, const char *bytes, int max_images)
{
    err.code = FCGI_E_OK;
    return fcgi_body_parse(&body, type, encoding, (const uint8_t *)bytes, strlen(bytes), max_images,
                           &err);
}

static void a_picture_as_it_is(void **state)
{
    static const char *const types[] = {"image/jpeg", "", "application/octet-stream",
                                        "application/x-www-form-urlencoded", "text/plain"};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        assert_int_equal(parse(types[i], "", "bytes", 1), FCGI_E_OK);
        assert_int_equal(body.n_images, 1);
        assert_int_equal(body.images[0].n, 5);
        assert_int_equal(body.top_k, 0);
    }
    assert_int_equal(parse("image/jpeg", "identity", "bytes", 1), FCGI_E_OK);
}

static void refused_before_looking(void **state)
{
    (void)state;
    assert_int_equal(parse("image/jpeg", "gzip", "bytes", 1), FCGI_E_UNSUPPORTED_MEDIA_TYPE);
    assert_int_equal(parse("application/json; charset=utf-8", "", "{}", 1),
                     FCGI_E_UNSUPPORTED_MEDIA_TYPE);
    assert_non_null(strstr(err.text, "JPEG"));
    assert_int_equal(parse("image/jpeg", "", "", 1), FCGI_E_BAD_REQUEST);
    assert_non_null(strstr(err.text, "curl --data-binary @photo.jpg"));
}

static const char form[] = "multipart/form-data; boundary=B";
#define PART(name, content)                                                                        \
    "--B\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" content "\r\n"

static void a_form_of_pictures(void **state)
{
    (void)state;
    assert_int_equal(
        parse(form, "", PART("file", "one") PART("top_k", "7") PART("image", "three") "--B--", 2),
        FCGI_E_OK);
    assert_int_equal(body.n_images, 2);
    assert_int_equal(body.images[1].n, 5);
    assert_int_equal(body.top_k, 7);
    assert_int_equal(parse(form, "", PART("file", "a") PART("file", "b") "--B--", 1),
                     FCGI_E_TOO_MANY_IMAGES);
}

static void a_wrong_form(void **state)
{
    (void)state;
    assert_int_equal(parse(form, "", PART("photo", "one") "--B--", 2), FCGI_E_BAD_MULTIPART);
    assert_string_equal(err.text, "unknown field \"photo\"; expected \"file\" or \"image\", and "
                                  "perhaps \"top_k\" or \"precision\"");
    assert_int_equal(parse(form, "", PART("file", "") "--B--", 2), FCGI_E_BAD_REQUEST);
    assert_int_equal(parse(form, "", PART("top_k", "7") "--B--", 2), FCGI_E_BAD_MULTIPART);
    assert_int_equal(parse(form, "", PART("file", "x") PART("top_k", "0") "--B--", 2),
                     FCGI_E_BAD_REQUEST);
    assert_int_equal(parse(form, "", PART("file", "x") PART("top_k", "2.5") "--B--", 2),
                     FCGI_E_BAD_REQUEST);
    assert_int_equal(parse(form, "", PART("file", "x"), 2), FCGI_E_BAD_MULTIPART);
    assert_int_equal(parse(form, "", "--B--", 2), FCGI_E_BAD_MULTIPART);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_as_it_is),
        cmocka_unit_test(refused_before_looking),
        cmocka_unit_test(a_form_of_pictures),
        cmocka_unit_test(a_wrong_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
