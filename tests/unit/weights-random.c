/* Synthetic networks: the same bits everywhere, values in range, logits that tell inputs apart. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/weights-tiny.h"
#include "weights/prng.h"

enum { SIDE = 64 };

static struct wt_folded make(struct wt_random random)
{
    struct wt_folded folded;
    struct wt_err err = {.text = ""};

    t_must(wt_random_make(&folded, &random, SIDE, &err), &err);
    return folded;
}

/* CRC-32C of all weights and biases in the network's order */
static uint32_t crc_of(const struct wt_folded *folded)
{
    uint32_t crc = 0;

    for (int i = 0; i < folded->net.n_layers; i++) {
        const struct kn_layer *layer = &folded->net.layer[i];
        if (folded->weights[i].w == NULL)
            continue;
        crc = wt_digest_crc32c(crc, folded->weights[i].w, kn_pack_bytes("f32.plain", layer));
        crc = wt_digest_crc32c(crc, folded->weights[i].bias, (size_t)layer->oc * sizeof(float));
    }
    return crc;
}

static void the_generator_is_splitmix64(void **state)
{
    struct wt_prng prng = {1234567}; /* values of the published C code for this seed */

    (void)state;
    assert_true(wt_prng_next(&prng) == 6457827717110365317u);
    assert_true(wt_prng_next(&prng) == 3203168211198807973u);
    assert_true(wt_prng_next(&prng) == 9817491932198370423u);
}

/* A constant: another machine or compiler that gives other bits fails here. */
static void the_same_bits_everywhere(void **state)
{
    struct wt_random random = {.seed = 1, .depth = 50, .width = 8, .classes = 10};
    struct wt_folded folded = make(random);

    (void)state;
    assert_int_equal(crc_of(&folded), 0x44d51bbc);
    wt_folded_free(&folded);
    random.seed = 2;
    folded = make(random);
    assert_int_not_equal(crc_of(&folded), 0x44d51bbc);
    wt_folded_free(&folded);
}

static void depths_and_widths(void **state)
{
    static const struct {
        int depth, width;
        const char *arch;
        int features;
    } rows[] = {
        {18, 64, "resnet18", 512},     {34, 4, "resnet34-w4", 32},   {50, 1, "resnet50-w1", 32},
        {101, 8, "resnet101-w8", 256}, {152, 2, "resnet152-w2", 64},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wt_folded folded =
            make((struct wt_random){.depth = rows[i].depth, .width = rows[i].width, .classes = 7});
        assert_string_equal(folded.net.arch, rows[i].arch);
        assert_int_equal(folded.net.features, rows[i].features);
        assert_int_equal(folded.net.classes, 7);
        wt_folded_free(&folded);
    }
}

static void what_there_is_not_is_refused(void **state)
{
    static const struct wt_random rows[] = {
        {.depth = 51, .width = 8, .classes = 5},     {.depth = 50, .width = 0, .classes = 5},
        {.depth = 50, .width = 129, .classes = 5},   {.depth = 50, .width = 8, .classes = 0},
        {.depth = 50, .width = 8, .classes = 65537},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wt_folded folded;
        struct wt_err err = {.text = ""};
        assert_int_equal(wt_random_make(&folded, &rows[i], SIDE, &err), WT_EARCH);
        assert_non_null(strstr(err.text, ": expected "));
    }
}

static void logits(const struct wt_folded *folded, const char *isa, int pattern, float *y)
{
    struct kn_options options = {.isa = isa, .max_batch = 1, .max_threads = 1};
    static float x[3 * SIDE * SIDE];
    struct kn_plan *plan;

    for (int i = 0; i < 3 * SIDE * SIDE; i++)
        x[i] = (float)(i * pattern % 97) / 48.5f - 1;
    assert_int_equal(kn_plan_new(&plan, &folded->net, folded->weights, &options, NULL), KN_OK);
    assert_int_equal(kn_run(plan, x, 1, y, NULL, NULL, NULL), KN_OK);
    kn_plan_free(plan);
}

static void logits_are_alive(void **state)
{
    enum { CLASSES = 100 };
    static const int depths[] = {18, 50, 152};

    (void)state;
    for (size_t d = 0; d < sizeof(depths) / sizeof(depths[0]); d++) {
        struct wt_folded folded =
            make((struct wt_random){.seed = 5, .depth = depths[d], .width = 8, .classes = CLASSES});
        float a[CLASSES], b[CLASSES], blas[CLASSES];
        double largest = 0, between = 0, engines = 0;
        logits(&folded, "ref", 7, a);
        logits(&folded, "ref", 31, b);
        logits(&folded, "blas", 7, blas);
        for (int i = 0; i < CLASSES; i++) {
            largest = fmax(largest, fabs((double)a[i]));
            between = fmax(between, fabs((double)(a[i] - b[i])));
            engines = fmax(engines, fabs((double)(a[i] - blas[i])));
        }
        assert_true(largest > 2 && largest < 50);
        assert_true(between > 0.1 * largest);  /* two inputs, two answers */
        assert_true(engines < 5e-6 * largest); /* and no chaos: rounding stays rounding */
        wt_folded_free(&folded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_generator_is_splitmix64),
        cmocka_unit_test(the_same_bits_everywhere),
        cmocka_unit_test(depths_and_widths),
        cmocka_unit_test(what_there_is_not_is_refused),
        cmocka_unit_test(logits_are_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
