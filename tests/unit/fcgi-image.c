/* What the first bytes decide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/image.h"

static void others_are_named(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *says;
    } cases[] = {
        {"", 0, "empty"},
        {"\xff", 1, "found ff"},
        {"\xff\xd8", 2, "found ff d8"},
        {"hello, world", 12, "found 68 65 6c 6c"},
        {"\x89PNG\r\n\x1a", 7, "found 89 50 4e 47"},
        {"RIFF\x10\0\0\0WEB", 11, "found 52"},
        {"RIFF\x10\0\0\0WAVEfmt ", 16, "found 52 49 46 46"},
        {"GIF89a..", 8, "a GIF"},
        {"BM......", 8, "a BMP"},
        {"II*\0....", 8, "a TIFF"},
        {"MM\0*....", 8, "a TIFF"},
        {"\0\0\0\x18"
         "ftypheic",
         12, "HEIC"},
        {"\0\0\0\x0cjP  \r\n\x87\n", 12, "a JPEG 2000"},
        {"%PDF-1.7", 8, "a PDF"},
        {"<?xml version", 13, "SVG"},
        {"\x1f\x8b\x08\0", 4, "gzip"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *exact = malloc(cases[i].n != 0 ? cases[i].n : 1);
        struct fcgi_image_info info;
        struct fcgi_err err;

        memcpy(exact, cases[i].bytes, cases[i].n);
        assert_int_equal(fcgi_image_probe(exact, cases[i].n, &info, &err),
                         FCGI_E_UNSUPPORTED_MEDIA_TYPE);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("expected \"%s\" in \"%s\"", cases[i].says, err.text);
        assert_non_null(strstr(err.text, "JPEG, PNG"));
        free(exact);
    }
}

/* Enough to know the format is not enough to decode it. */
static void signatures_alone(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *says;
    } cases[] = {
        {"\xff\xd8\xff", 3, "the JPEG is truncated"},
        {"\x89PNG\r\n\x1a\n", 8, "the PNG is truncated"},
        {"RIFF\x10\0\0\0WEBP", 12, "the WebP is truncated"},
        {"RIFF\x04\0\0\0WEBP", 12, "the WebP is truncated"},
        {"JUNK\x10\0\0\0WEBPVP8 ", 16, "the WebP cannot be decoded"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fcgi_image_info info;
        struct fcgi_err err;

        assert_int_equal(fcgi_image_probe((const uint8_t *)cases[i].bytes, cases[i].n, &info, &err),
                         FCGI_E_IMAGE_UNDECODABLE);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("expected \"%s\" in \"%s\"", cases[i].says, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_are_named),
        cmocka_unit_test(signatures_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
