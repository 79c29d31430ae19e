/* base64, strictly: RFC 4648's own vectors, every byte value, and everything that is not base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static struct fcgi_err err;

static int decode(const char *text, uint8_t *out, size_t *n)
{
    size_t length = strlen(text);
    char *exact = malloc(length ? length : 1); /* without a NUL: reading past it is found */

    memcpy(exact, text, length);
    err = (struct fcgi_err){.code = FCGI_E_OK};
    int code = fcgi_base64_decode(exact, length, out, n, &err);
    free(exact);
    return code;
}

static void the_standards_vectors(void **state)
{
    static const char *const vectors[][2] = {
        {"", ""},
        {"Zg==", "f"},
        {"Zm8=", "fo"},
        {"Zm9v", "foo"},
        {"Zm9vYg==", "foob"},
        {"Zm9vYmE=", "fooba"},
        {"Zm9vYmFy", "foobar"},
    };
    uint8_t out[16];
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        assert_int_equal(decode(vectors[i][0], out, &n), FCGI_E_OK);
        assert_int_equal(n, strlen(vectors[i][1]));
        assert_memory_equal(out, vectors[i][1], n);
    }
}

static size_t encode(const uint8_t *bytes, size_t n, char *text)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = (uint32_t)bytes[i] << 16;
        bits |= i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0;
        bits |= i + 2 < n ? bytes[i + 2] : 0;
        text[at++] = alphabet[bits >> 18];
        text[at++] = alphabet[bits >> 12 & 63];
        text[at++] = i + 1 < n ? alphabet[bits >> 6 & 63] : '=';
        text[at++] = i + 2 < n ? alphabet[bits & 63] : '=';
    }
    return at;
}

/* Every length up to some, in place, every value at every place of a group. */
static void there_and_back_in_place(void **state)
{
    enum { MOST = 700 };
    uint8_t bytes[MOST];
    char text[MOST * 2];

    (void)state;
    for (size_t i = 0; i < MOST; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    for (size_t length = 0; length < MOST; length++) {
        size_t n_text = encode(bytes, length, text), n = 0;
        assert_int_equal(fcgi_base64_decode(text, n_text, (uint8_t *)text, &n, &err), FCGI_E_OK);
        assert_int_equal(n, length);
        assert_memory_equal(text, bytes, n);
    }
}

static void refused_with_a_reason(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"A", "1 characters; expected a multiple of 4"},
        {"AAAAA", "5 characters"},
        {"AAAA\nAAAA", "character 4: a line break or blank"},
        {"AA=", "3 characters"},
        {"AA-A", "character 2: '-' is of the URL-safe alphabet"},
        {"AAAAAAA_", "character 7: '_' is of the URL-safe"},
        {"AAAA\nAAA", "character 4: a line break or blank"},
        {"AAAA AAA", "a line break or blank"},
        {"AA\r\n", "a line break or blank"},
        {"AA==AAAA", "character 2: padding '=' before the end"},
        {"====", "character 0: padding"},
        {"A===", "character 1: padding"},
        {"AAA=AAA=", "character 3: padding"},
        {"AB==", "bits that belong to no byte"},
        {"AAB=", "bits that belong to no byte"},
        {"AA,A", "character 2: 0x2c is not of the alphabet"},
        {"\xc3\xa9YQ", "character 0: 0xc3"},
    };
    uint8_t out[16];
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(decode(cases[i].text, out, &n), FCGI_E_BAD_BASE64);
        if (!strstr(err.text, cases[i].says))
            fail_msg("\"%s\": \"%s\" does not say \"%s\"", cases[i].text, err.text, cases[i].says);
    }
}

/* Each of the 192 others is refused at each place of a group, in place too. */
static void only_the_alphabet(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++)
        for (size_t place = 0; place < 4; place++) {
            char text[12] = "QUJDQUJDQUJD";
            size_t n;
            text[4 + place] = (char)c;
            int good = c && strchr(alphabet, c);
            assert_int_equal(fcgi_base64_decode(text, 12, (uint8_t *)text, &n, &err),
                             good ? FCGI_E_OK : FCGI_E_BAD_BASE64);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_standards_vectors),
        cmocka_unit_test(there_and_back_in_place),
        cmocka_unit_test(refused_with_a_reason),
        cmocka_unit_test(only_the_alphabet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
