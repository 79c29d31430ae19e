/* JSON bodies of POST /predict: pictures decoded where they stand, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/body_json.h"

static struct fcgi_body body;
static struct fcgi_err err;
static struct wt_json json;
static uint8_t *copy; /* as long as the text: reading past it is found */

static int read_n(const char *text, size_t n)
{
    free(copy);
    copy = malloc(n);
    memcpy(copy, text, n);
    const struct fcgi_body_source source = {"application/json", copy, n, 2, &json};
    memset(&body, 0, sizeof body);
    err = (struct fcgi_err){.code = FCGI_E_OK};
    return fcgi_body_json_predict(&body, &source, &err);
}

static int read(const char *text)
{
    return read_n(text, strlen(text));
}

static void is_image(int i, const char *bytes)
{
    assert_true(i < body.n_images);
    assert_int_equal(body.images[i].n, strlen(bytes));
    assert_memory_equal(body.images[i].bytes, bytes, strlen(bytes));
}

static void one_picture(void **state)
{
    static const char *const texts[] = {
        "{\"image\":\"Zm9vYmE=\"}",
        " { \"image\" : \"Zm9vYmE=\" , \"top_k\" : 3 } ",
        "{\"im\\u0061ge\":\"Zm9vYmE\\u003d\"}",
        "{\"image\":\"data:image/jpeg;base64,Zm9vYmE=\"}",
        "{\"image\":\"DATA:;BASE64,Zm9vYmE=\"}",
        "{\"image\":\"data:image\\/png;charset=x;base64,Zm9vYmE\\u003D\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (read(texts[i]) != FCGI_E_OK)
            fail_msg("%s: %s", texts[i], err.text);
        assert_int_equal(body.n_images, 1);
        is_image(0, "fooba");
    }
    assert_int_equal(read("{\"image\":\"/\\/8\\u002B\"}"), FCGI_E_OK);
    is_image(0, "\xff\xff\x3e");
}

static void several_pictures(void **state)
{
    (void)state;
    assert_int_equal(read("{\"precision\":\"bf16\",\"images\":[\"Zm9v\",\"YmFy\"],\"top_k\":7}"),
                     FCGI_E_OK);
    assert_int_equal(body.n_images, 2);
    is_image(0, "foo");
    is_image(1, "bar");
    assert_int_equal(body.top_k, 7);
    assert_int_equal(body.precision.n, 4);
    assert_memory_equal(body.precision.bytes, "bf16", 4);
}

/* Whether it is too large is not for the body to say. */
static void top_k_is_a_whole_number(void **state)
{
    (void)state;
    assert_int_equal(read("{\"image\":\"QUJD\",\"top_k\":2147483647}"), FCGI_E_OK);
    assert_int_equal(body.top_k, 2147483647);
    static const char *const values[] = {"0", "-1", "2.0", "\"2\"", "null", "99999999999999999999"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[64] = "{\"image\":\"QUJD\",\"top_k\":";
        strcat(strcat(text, values[i]), "}");
        assert_int_equal(read(text), FCGI_E_OK);
        assert_int_equal(body.top_k, FCGI_BODY_BAD_TOP_K);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *says;
    } cases[] = {
        {"{}", FCGI_E_BAD_REQUEST, "either \"image\""},
        {"[]", FCGI_E_BAD_REQUEST, "expected an object"},
        {"{\"image\":\"QUJD\",\"images\":[\"QUJD\"]}", FCGI_E_BAD_REQUEST, "found both"},
        {"{\"image\":\"QUJD\",\"image\":\"QUJD\"}", FCGI_E_BAD_JSON, "twice"},
        {"{\"image\":\"QUJD\",\"\\u0069mage\":\"QUJD\"}", FCGI_E_BAD_JSON, "twice"},
        {"{\"img\":\"QUJD\"}", FCGI_E_BAD_REQUEST, "unknown key \"img\"; known here: \"image\", "},
        {"{\"image\\u0000\":\"QUJD\"}", FCGI_E_BAD_REQUEST, "unknown key \"image\\u0000\""},
        {"{\"\":1}", FCGI_E_BAD_REQUEST, "unknown key \"\""},
        {"{\"image\":[\"QUJD\"]}", FCGI_E_BAD_REQUEST, "image: expected a string"},
        {"{\"image\":null}", FCGI_E_BAD_REQUEST, "found null"},
        {"{\"image\":\"\"}", FCGI_E_BAD_REQUEST, "image is empty"},
        {"{\"image\":\"data:image/jpeg;base64,\"}", FCGI_E_BAD_REQUEST, "image is empty"},
        {"{\"images\":\"QUJD\"}", FCGI_E_BAD_REQUEST, "images: expected an array"},
        {"{\"images\":[]}", FCGI_E_BAD_REQUEST, "one at least"},
        {"{\"images\":[\"QUJD\",7]}", FCGI_E_BAD_REQUEST, "images[1]: expected a string"},
        {"{\"images\":[\"QUJD\",\"QUJ\"]}", FCGI_E_BAD_BASE64, "images[1]: base64: 3 characters"},
        {"{\"images\":[\"QUJD\",\"QUJD\",\"QUJD\"]}", FCGI_E_TOO_MANY_IMAGES, "more than 2"},
        {"{\"image\":\"QU-D\"}", FCGI_E_BAD_BASE64, "image: base64, character 2: '-'"},
        {"{\"image\":\"QUJD\\nQUJD\"}", FCGI_E_BAD_BASE64, "a line break"},
        {"{\"image\":\"QUJ\\u0000\"}", FCGI_E_BAD_BASE64, "character 3: 0x00"},
        {"{\"image\":\"data:image/jpeg,QUJD\"}", FCGI_E_BAD_BASE64, "data URL"},
        {"{\"image\":\"data:\"}", FCGI_E_BAD_BASE64, "data URL"},
        {"{\"image\":\"QUJD\",\"precision\":1}", FCGI_E_BAD_REQUEST,
         "precision: expected a string"},
        {"{\"image\":\"QUJD\"", FCGI_E_BAD_JSON, "expected {\"image\":"},
        {"{\"image\":\"QUJD\"}x", FCGI_E_BAD_JSON, "byte 16"},
        {"{\"image\":\"\\ud800\"}", FCGI_E_BAD_JSON, "surrogate"},
        {"{\"image\":\"\xff\"}", FCGI_E_BAD_JSON, "UTF-8"},
        {"\xff\xd8\xff\xe0", FCGI_E_UNSUPPORTED_MEDIA_TYPE, "a JPEG by its first bytes"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(read(cases[i].text), cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        if (!strstr(err.text, cases[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, err.text, cases[i].says);
    }
}

/* Ten thousand brackets, and more keys than there are tokens. */
static void bounded(void **state)
{
    enum { DEEP = 10000 };
    char *text = malloc(DEEP * 8);
    size_t n = 0;

    (void)state;
    memset(text, '[', DEEP);
    assert_int_equal(read_n(text, DEEP), FCGI_E_BAD_JSON);
    assert_non_null(strstr(err.text, "nested deeper than 64"));
    text[n++] = '{';
    for (int i = 0; i < DEEP; i++, n += 5)
        memcpy(text + n, "\"\":1,", 5);
    assert_int_equal(read_n(text, n), FCGI_E_BAD_JSON);
    assert_non_null(strstr(err.text, "more than 4096"));
    free(text);
}

/* Whatever byte is changed, or wherever the text ends: an answer, and nothing read or written
 * outside of it. */
static void damage_is_survived(void **state)
{
    static const char whole[] = "{\"top_k\":3,\"images\":[\"data:image/jpeg;base64,QU\\u004aD\","
                                "\"QUI=\"],\"precision\":\"fp32\"}";
    char text[sizeof whole];

    (void)state;
    for (size_t n = 1; n < sizeof whole - 1; n++)
        assert_int_not_equal(read_n(whole, n), FCGI_E_OK);
    assert_int_equal(read(whole), FCGI_E_OK);
    for (size_t at = 0; at < sizeof whole - 1; at++)
        for (int c = 0; c < 256; c++) {
            memcpy(text, whole, sizeof whole);
            text[at] = (char)c;
            int code = read_n(text, sizeof whole - 1);
            assert_int_equal(code, err.code);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_picture),
        cmocka_unit_test(several_pictures),
        cmocka_unit_test(top_k_is_a_whole_number),
        cmocka_unit_test(refused),
        cmocka_unit_test(bounded),
        cmocka_unit_test(damage_is_survived),
    };

    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wt_json_free(&json);
    free(copy);
    return failed;
}
