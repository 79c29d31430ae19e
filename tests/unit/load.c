/* load.c: resnet-load's counting, its reading of others' answers, and what it takes out of JPEGs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/load/pictures.h"
#include "tests/load/predictions.h"
#include "tests/load/tally.h"

/* ---- tally ----------------------------------------------------------------------------------- */

static void percentiles(void **state)
{
    struct t_tally tally = {0};

    (void)state;
    assert_true(t_tally_percentile(&tally, 0.5) == 0);
    for (int ms = 200; ms >= 1; ms--)
        assert_int_equal(t_tally_ok(&tally, ms), 0);
    t_tally_sort(&tally);
    assert_true(t_tally_percentile(&tally, 0) == 1);
    assert_true(t_tally_percentile(&tally, 0.5) == 100);
    assert_true(t_tally_percentile(&tally, 0.9) == 180);
    assert_true(t_tally_percentile(&tally, 0.99) == 198);
    assert_true(t_tally_percentile(&tally, 1) == 200);
    t_tally_free(&tally);
}

static void add_failure(struct t_tally *tally, const char *row, const char *detail)
{
    struct t_failure failure = {0};

    snprintf(failure.outcome.row, sizeof failure.outcome.row, "%s", row);
    snprintf(failure.outcome.detail, sizeof failure.outcome.detail, "%s", detail);
    assert_int_equal(t_tally_failed(tally, &failure), 0);
}

static void rows(void **state)
{
    struct t_tally tally = {0};
    char detail[16];

    (void)state;
    add_failure(&tally, "HTTP N/A", "refused");
    add_failure(&tally, "timeout", "no answer");
    add_failure(&tally, "HTTP N/A", "reset");
    add_failure(&tally, "HTTP N/A", "refused");
    assert_int_equal(tally.n_rows, 3);
    assert_string_equal(tally.row[0].detail, "refused");
    assert_int_equal(tally.row[0].n, 2);
    assert_string_equal(tally.row[1].detail, "reset");
    assert_string_equal(tally.row[2].row, "timeout");
    for (int i = 0; i < 100; i++) { /* codes without end */
        snprintf(detail, sizeof detail, "code %d", i);
        add_failure(&tally, "HTTP 500", detail);
    }
    assert_int_equal(tally.n_rows, 3 + T_MAX_DETAILS);
    assert_string_equal(tally.row[2 + T_MAX_DETAILS].row, "HTTP 500");
    assert_string_equal(tally.row[2 + T_MAX_DETAILS].detail, "other");
    assert_int_equal(tally.row[2 + T_MAX_DETAILS].n, 100 - (T_MAX_DETAILS - 1));
    for (int i = 0; i < 2 * T_MAX_ROWS; i++) { /* and statuses */
        snprintf(detail, sizeof detail, "HTTP %d", i);
        add_failure(&tally, detail, "");
    }
    size_t n = 0;
    for (int i = 0; i < tally.n_rows; i++)
        n += tally.row[i].n;
    assert_int_equal(tally.n_rows, T_MAX_ROWS);
    assert_int_equal(n, tally.failed);
    assert_int_equal(tally.n_failures, tally.failed);
    t_tally_free(&tally);
}

/* ---- predictions ----------------------------------------------------------------------------- */

static const struct {
    const char *text;
    int class_id;
    const char *label;
    double probability;
} shapes[] = {
    {"{\"predictions\":[{\"class_id\":7,\"label\":\"cock\",\"probability\":0.5}]}", 7, "cock", 0.5},
    {"{\"class\":7,\"score\":50.0}", 7, "", 0.5},
    {"{\"class\":\"cock\",\"confidence\":1}", -1, "cock", 1},
    {"{\"prediction\":{\"name\":\"cock\"}}", -1, "cock", -1},
    {"[{\"label\":\"hen\",\"p\":0.1},{\"label\":\"cock\",\"p\":0.5}]", -1, "cock", 0.5},
    {"{\"predictions\":[[[\"n01514668\",\"cock\",0.5],[\"n01514859\",\"hen\",0.1]]]}", -1, "cock",
     0.5},
    {"[[7,\"cock\",0.5]]", 7, "cock", 0.5},
    {"{\"predictions\":[[0.1,0.2,0.7]]}", 2, "", 0.7},
    {"{\"hen\":0.1,\"cock\":0.5}", -1, "cock", 0.5},
    {"{\"results\":[{\"predictions\":[{\"class_index\":7,\"prob\":0.5}]}]}", 7, "", 0.5},
};

static void usual_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct t_predictions said = {0};
        assert_int_equal(t_predictions_read(shapes[i].text, strlen(shapes[i].text), &said), 0);
        assert_int_equal(said.top[0].class_id, shapes[i].class_id);
        assert_string_equal(said.top[0].label, shapes[i].label);
        assert_float_equal(said.top[0].probability, shapes[i].probability, 1e-6);
    }
}

/* In a block of its own, so that a sanitizer sees the byte after it. */
static int read_alone(const char *text, size_t n)
{
    struct t_predictions said = {0};
    char *copy = malloc(n + (n == 0));
    assert_non_null(copy);
    memcpy(copy, text, n);
    int rc = t_predictions_read(copy, n, &said);
    free(copy);
    return rc;
}

static void other_shapes(void **state)
{
    static const char *const none[] = {
        "{}",
        "[]",
        "{\"predictions\":[]}",
        "{\"status\":\"ok\"}",
        "[[[[[[[[1]]]]]]]]",
        "[\"cock\"]",
        "{\"data\":{\"data\":{\"data\":{\"data\":{\"data\":{\"data\":{\"class\":1}}}}}}}"};

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(read_alone(none[i], strlen(none[i])), -1);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t n = 0; n < strlen(shapes[i].text); n++)
            assert_int_equal(read_alone(shapes[i].text, n), -1);
}

static void the_same_class(void **state)
{
    const struct t_prediction tabby = {281, 0.5, "tabby"}, cat = {281, 0.5, "cat"};
    const struct t_prediction by_name = {-1, 0.5, "Tabby, tabby cat"},
                              under = {-1, 1, "Egyptian_cat"};
    const struct t_prediction spaces = {-1, 1, "egyptian cat"}, empty = {-1, 1, ""};

    (void)state;
    assert_true(t_predictions_same(&tabby, &cat));
    assert_true(t_predictions_same(&tabby, &by_name));
    assert_true(t_predictions_same(&under, &spaces));
    assert_false(t_predictions_same(&cat, &by_name));
    assert_false(t_predictions_same(&empty, &empty));
}

/* ---- EXIF ------------------------------------------------------------------------------------ */

static const uint8_t jpeg[] = {
    0xFF, 0xD8, 0xFF, 0xE0, 0,   4,   1,    2, /* a segment to be kept */
    0xFF, 0xE1, 0,    34,   'E', 'x', 'i',  'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8, 0,
    1,    0x01, 0x12, 0,    3,   0,   0,    0,   1, 0, 6,   0,   0, 0,  0, 0, 0, /* orientation 6 */
    0xFF, 0xDA, 0,    2,    9,   9,   0xFF, 0xD9};
enum { BEFORE = 8, EXIF = 36 };

static void exif(void **state)
{
    uint8_t copy[sizeof jpeg];

    (void)state;
    memcpy(copy, jpeg, sizeof jpeg);
    assert_int_equal(t_pictures_orientation(copy, sizeof copy), 6);
    assert_int_equal(t_pictures_strip_exif(copy, sizeof copy), sizeof jpeg - EXIF);
    assert_memory_equal(copy, jpeg, BEFORE);
    assert_memory_equal(copy + BEFORE, jpeg + BEFORE + EXIF, sizeof jpeg - EXIF - BEFORE);
    assert_int_equal(t_pictures_orientation(copy, sizeof jpeg - EXIF), 1);
    for (size_t n = 0; n < sizeof jpeg; n++) { /* cut off anywhere */
        uint8_t *cut = malloc(n + (n == 0));
        assert_non_null(cut);
        memcpy(cut, jpeg, n);
        assert_in_range(t_pictures_orientation(cut, n), 1, 8);
        assert_in_range(t_pictures_strip_exif(cut, n), 0, n);
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles),    cmocka_unit_test(rows),
        cmocka_unit_test(usual_shapes),   cmocka_unit_test(other_shapes),
        cmocka_unit_test(the_same_class), cmocka_unit_test(exif),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
