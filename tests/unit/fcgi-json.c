/* fcgi-json: floats are written in the fewest digits that read back, as printf finds them by trial;
 * strings whatever is in them. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/json.h"

static struct fcgi_buffer buffer;

static const char *written(float value)
{
    fcgi_buffer_reset(&buffer);
    fcgi_json_float(&buffer, value);
    fcgi_buffer_add(&buffer, "", 1);
    assert_false(buffer.failed);
    return buffer.bytes;
}

static float from_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static void check(float value)
{
    char expected[40];

    if (!isfinite(value))
        return;
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(expected, sizeof expected, "%.*g", digits, (double)value);
        if (strtof(expected, NULL) == value)
            break;
    }
    if (strcmp(written(value), expected) != 0)
        fail_msg("%.9g: expected %s, found %s", (double)value, expected, written(value));
}

static void some_floats(void **state)
{
    static const struct {
        float value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0f, "-0"},
        {1, "1"},
        {-1.5f, "-1.5"},
        {0.1f, "0.1"},
        {1.0f / 3, "0.33333334"},
        {0.0001f, "0.0001"},
        {0.00001f, "1e-05"},
        {100000, "100000"},
        {1000000, "1e+06"},
        {1234567, "1234567"},
        {16777216, "16777216"},
        {123456792, "1.2345679e+08"},
        {9.999999e9f, "9.999999e+09"},
        {0.99999994f, "0.99999994"},
        {FLT_MAX, "3.4028235e+38"},
        {FLT_MIN, "1.1754944e-38"},
        {1e-45f, "1.4013e-45"},
        {NAN, "null"},
        {-INFINITY, "null"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(written(cases[i].value), cases[i].text);
}

/* Where the number of digits, the exponent's sign or the style changes. */
static void floats_about_powers(void **state)
{
    (void)state;
    for (int k = -45; k <= 38; k++) {
        char text[16];
        snprintf(text, sizeof text, "1e%d", k);
        float at = strtof(text, NULL);
        for (int i = 0; i < 200; i++, at = nextafterf(at, INFINITY))
            check(at);
        at = strtof(text, NULL);
        for (int i = 0; i < 200; i++, at = nextafterf(at, 0))
            check(-at);
    }
    for (uint32_t exponent = 0; exponent < 255; exponent++)
        for (int offset = -3; offset <= 3; offset++)
            check(from_bits((exponent << 23) + (uint32_t)(offset < 0 && !exponent ? 0 : offset)));
}

static void floats_at_random(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (int i = 0; i < 300000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        check(from_bits((uint32_t)(seed >> 32)));
        check((float)(seed >> 40) / 16777216); /* as probabilities are */
        check((float)((int)(seed >> 44) - 524288) / 1000);
    }
}

static void strings(void **state)
{
    (void)state;
    fcgi_buffer_reset(&buffer);
    fcgi_json_string(&buffer, "a\"b\\c\n\x01 \xc3\xa4\xff\xed\xa0\x80");
    fcgi_buffer_add(&buffer, "", 1);
    assert_string_equal(buffer.bytes, "\"a\\\"b\\\\c\\u000a\\u0001 \xc3\xa4\xef\xbf\xbd\xef\xbf\xbd"
                                      "\xef\xbf\xbd\xef\xbf\xbd\"");
}

static int tear_down(void **state)
{
    (void)state;
    fcgi_buffer_free(&buffer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(some_floats),
        cmocka_unit_test(floats_about_powers),
        cmocka_unit_test(floats_at_random),
        cmocka_unit_test(strings),
    };

    return cmocka_run_group_tests(tests, NULL, tear_down);
}
