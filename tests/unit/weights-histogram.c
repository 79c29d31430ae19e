/* Histograms of magnitudes, and where each way of cutting cuts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "weights/histogram.h"
#include "weights/prng.h"

enum { VALUES = 200000, LEVELS = 255 };

static struct wt_histogram histogram;
static float values[VALUES];

static double uniform(struct wt_prng *prng)
{
    return (double)(wt_prng_next(prng) >> 11) * 0x1p-53;
}

static double normal(struct wt_prng *prng)
{
    return sqrt(-2 * log(1 - uniform(prng))) * cos(6.283185307179586 * uniform(prng));
}

/* Rectified normal values, as a layer's outputs mostly are, with `outliers` far larger ones. */
static void fill(int outliers)
{
    struct wt_prng prng = {7};

    for (int i = 0; i < VALUES; i++)
        values[i] = (float)fmax(0, normal(&prng));
    for (int i = 0; i < outliers; i++)
        values[i * 37] = 40;
    histogram = (struct wt_histogram){0};
    wt_histogram_add(&histogram, values, VALUES);
}

static double true_error(double clip)
{
    double step = clip / LEVELS, sum = 0;

    for (int i = 0; i < VALUES; i++) {
        double q = fmin(rint((double)values[i] / step), LEVELS) * step;
        sum += (q - (double)values[i]) * (q - (double)values[i]);
    }
    return sum;
}

static int bins_in_use(void)
{
    int n = 0;

    for (int i = 0; i < WT_HISTOGRAM_BINS; i++)
        n += histogram.count[i] > 0;
    return n;
}

static void magnitudes_are_counted_and_what_is_no_number_is_not(void **state)
{
    const float x[] = {0, -2, 2, 2, 1e-30f, -1e30f, NAN, INFINITY, -0.0f};

    (void)state;
    histogram = (struct wt_histogram){0};
    wt_histogram_add(&histogram, x, sizeof x / sizeof x[0]);
    assert_true(histogram.total == 9 && histogram.n_finite == 7);
    assert_true(histogram.largest == (double)1e30f);
    assert_int_equal(bins_in_use(), 3);
    assert_true(histogram.count[0] == 1 && histogram.count[WT_HISTOGRAM_BINS - 1] == 1);
    assert_true(histogram.count[25 * 512] == 3);
}

static void neighbours_share_no_bin(void **state)
{
    const float x[] = {1, 1 + 1.0f / 512, 1 + 1.0f / 256, 1.9999f, 2};

    (void)state;
    histogram = (struct wt_histogram){0};
    wt_histogram_add(&histogram, x, sizeof x / sizeof x[0]);
    assert_int_equal(bins_in_use(), 5);
}

static void nothing_but_zeros_has_no_clip(void **state)
{
    (void)state;
    histogram = (struct wt_histogram){0};
    for (int clip = 0; clip < WT_N_CLIPS; clip++)
        assert_true(wt_histogram_clip(&histogram, clip, LEVELS) == 0);
}

static void one_value_is_its_own_clip(void **state)
{
    const float x[] = {3, 3, 3};

    (void)state;
    histogram = (struct wt_histogram){0};
    wt_histogram_add(&histogram, x, 3);
    for (int clip = 0; clip < WT_N_CLIPS; clip++) {
        double at = wt_histogram_clip(&histogram, clip, LEVELS);
        if (!(fabs(at - 3) < 0.01))
            fail_msg("%s: %g", wt_clip_name(clip), at);
    }
}

static void shares_cut_where_they_say(void **state)
{
    const struct {
        enum wt_clip clip;
        double share;
    } cases[] = {{WT_CLIP_99_999, 0.99999}, {WT_CLIP_99_99, 0.9999}, {WT_CLIP_99_9, 0.999}};

    (void)state;
    fill(0);
    double largest = wt_histogram_clip(&histogram, WT_CLIP_LARGEST, LEVELS);
    assert_true(largest >= histogram.largest && largest <= histogram.largest * 1.002);
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        double clip = wt_histogram_clip(&histogram, cases[c].clip, LEVELS);
        int above = 0, near = 0;
        for (int i = 0; i < VALUES; i++) {
            above += (double)values[i] > clip;
            near += (double)values[i] > clip * 0.997;
        }
        double allowed = VALUES * (1 - cases[c].share);
        if (above > allowed || near < (int)allowed)
            fail_msg("%s cuts at %g: %d above, %d a little below, %g allowed",
                     wt_clip_name(cases[c].clip), clip, above, near, allowed);
    }
}

/* Against the error of really rounding every value, tried over a fine grid. */
static void least_squares_finds_the_least_error(void **state)
{
    (void)state;
    for (int outliers = 0; outliers <= 100; outliers += 50) {
        fill(outliers);
        double clip = wt_histogram_clip(&histogram, WT_CLIP_SQUARES, LEVELS);
        double found = true_error(clip), least = INFINITY, at = 0;
        for (double c = 1; c < 45; c *= 1.01) {
            double e = true_error(c);
            at = e < least ? c : at;
            least = e < least ? e : least;
        }
        if (!(found <= 1.05 * least))
            fail_msg("%d outliers: %g at %g, but %g at %g", outliers, found, clip, least, at);
    }
}

/* Two in 200000: least squares alone prefers to keep them, which is right by its own measure. */
static void outliers_are_cut_off(void **state)
{
    (void)state;
    fill(2);
    assert_true(fabs(wt_histogram_clip(&histogram, WT_CLIP_LARGEST, LEVELS) - 40) < 0.1);
    for (int clip = WT_CLIP_99_99; clip < WT_N_CLIPS; clip++) {
        double at = wt_histogram_clip(&histogram, clip, LEVELS);
        if (clip != WT_CLIP_SQUARES && !(at > 2 && at < 6))
            fail_msg("%s: %g", wt_clip_name(clip), at);
    }
}

static void a_normal_distribution_counts_like_its_values(void **state)
{
    (void)state;
    fill(0);
    double seen = wt_histogram_clip(&histogram, WT_CLIP_99_9, LEVELS);
    double squares = wt_histogram_clip(&histogram, WT_CLIP_SQUARES, LEVELS);
    histogram = (struct wt_histogram){0};
    wt_histogram_add_normal(&histogram, 0, 1, VALUES, 1);
    double told = wt_histogram_clip(&histogram, WT_CLIP_99_9, LEVELS);
    assert_true(fabs(told / seen - 1) < 0.03);
    assert_true(fabs(wt_histogram_clip(&histogram, WT_CLIP_SQUARES, LEVELS) / squares - 1) < 0.1);
    assert_true(histogram.largest == WT_HISTOGRAM_SIGMAS && histogram.total == VALUES);

    histogram = (struct wt_histogram){0};
    wt_histogram_add_normal(&histogram, -3, 0.5, VALUES, 0);
    assert_true(histogram.largest == 3 + 0.5 * WT_HISTOGRAM_SIGMAS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(magnitudes_are_counted_and_what_is_no_number_is_not),
        cmocka_unit_test(neighbours_share_no_bin),
        cmocka_unit_test(nothing_but_zeros_has_no_clip),
        cmocka_unit_test(one_value_is_its_own_clip),
        cmocka_unit_test(shares_cut_where_they_say),
        cmocka_unit_test(least_squares_finds_the_least_error),
        cmocka_unit_test(outliers_are_cut_off),
        cmocka_unit_test(a_normal_distribution_counts_like_its_values),
    };

    return cmocka_run_group_tests_name("weights-histogram", tests, NULL, NULL);
}
