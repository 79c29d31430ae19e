/* The orientation of an EXIF block: both byte orders, and blocks cut, twisted and lying. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/codec.h"

/* Two entries: ImageWidth as LONG, Orientation as SHORT 6. */
static const uint8_t little[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 2, 0,    0x00, 0x01, 4,
                                 0,   1,   0,  0, 0, 9, 9, 0, 0, 0x12, 0x01, 3,    0,
                                 1,   0,   0,  0, 6, 0, 0, 0, 0, 0,    0,    0};
static const uint8_t big[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 2,    0x01, 0x00, 0,
                              4,   0,   0, 0,  1, 0, 0, 9, 9, 0x01, 0x12, 0,    3,
                              0,   0,   0, 1,  0, 6, 0, 0, 0, 0,    0,    0};

/* In a block of its own size, so that AddressSanitizer sees any byte read past it. */
static int orientation_of(const uint8_t *tiff, size_t n)
{
    uint8_t *copy = malloc(n + 1);
    uint8_t *exact = realloc(copy, n != 0 ? n : 1);
    int orientation;

    memcpy(exact, tiff, n);
    orientation = fcgi_exif_orientation(exact, n);
    free(exact);
    return orientation;
}

/* little[] with one byte changed */
static int with(size_t at, uint8_t value)
{
    uint8_t tiff[sizeof(little)];

    memcpy(tiff, little, sizeof(little));
    tiff[at] = value;
    return orientation_of(tiff, sizeof(tiff));
}

static void both_orders(void **state)
{
    (void)state;
    assert_int_equal(orientation_of(little, sizeof(little)), 6);
    assert_int_equal(orientation_of(big, sizeof(big)), 6);
}

static void every_value(void **state)
{
    (void)state;
    for (int v = 0; v < 256; v++)
        assert_int_equal(with(30, (uint8_t)v), v >= 1 && v <= 8 ? v : 1);
    assert_int_equal(with(31, 1), 1); /* 0x0106 */
}

static void types_and_counts(void **state)
{
    (void)state;
    for (int type = 0; type < 20; type++) {
        int integer = type == 3 || type == 4 || type == 8 || type == 9;

        assert_int_equal(with(24, (uint8_t)type), integer ? 6 : 1);
    }
    assert_int_equal(with(26, 0), 1);
    assert_int_equal(with(26, 2), 1);
}

/* The directory counts as far as its bytes go; no cut reads past its end. */
static void cut_anywhere(void **state)
{
    (void)state;
    for (size_t n = 0; n <= sizeof(little); n++) {
        int whole = n >= 34;

        assert_int_equal(orientation_of(little, n), whole ? 6 : 1);
        assert_int_equal(orientation_of(big, n), whole ? 6 : 1);
    }
}

static void lying(void **state)
{
    (void)state;
    assert_int_equal(with(0, 'M'), 1);  /* neither II nor MM */
    assert_int_equal(with(2, 43), 1);   /* not a TIFF */
    assert_int_equal(with(4, 200), 1);  /* directory outside */
    assert_int_equal(with(7, 0xff), 1); /* far outside */
    assert_int_equal(with(8, 0xff), 6); /* 255 entries, two there */
    assert_int_equal(with(8, 1), 1);    /* one entry: the width */
    for (size_t at = 0; at < sizeof(little); at++)
        for (int v = 0; v < 256; v++)
            assert_in_range(with(at, (uint8_t)v), 1, 8);
}

static void last_of_two_wins(void **state)
{
    uint8_t tiff[sizeof(little)];

    (void)state;
    memcpy(tiff, little, sizeof(little));
    memcpy(tiff + 10, little + 22, 12);
    tiff[18] = 3;
    assert_int_equal(orientation_of(tiff, sizeof(tiff)), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_orders),
        cmocka_unit_test(every_value),
        cmocka_unit_test(types_and_counts),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(lying),
        cmocka_unit_test(last_of_two_wins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
