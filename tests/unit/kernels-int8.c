/* int8: the rule of quant.h, number by number; whole networks against fp32; pixels and floats. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/engine.h"
#include "kernels/quant.h"
#include "kernels/u8.h"
#include "tests/bench/int8.h"

enum { SIDE = 64, BATCH = 3 };

/* A small network, its fp32 parameters, the same in int8, and a picture. */
struct subject {
    struct kn_net net;
    struct t_params fp32, int8;
    float step[KN_MAX_LAYERS + 1];
    uint8_t pixels[3 * SIDE * SIDE];
    float x[3 * SIDE * SIDE];
};

static void subject_new(struct subject *s, int depth, int divisor)
{
    t_net(&s->net, t_arch_narrow(t_arch_of(depth), divisor), SIDE);
    assert_int_equal(t_params_new(&s->fp32, &s->net, 3), 0);
    assert_int_equal(t_int8_params(&s->int8, &s->net, &s->fp32, s->step), 0);
    t_int8_picture(s->pixels, SIDE, 7);
    t_int8_normalise(s->pixels, SIDE, s->x);
}

static void subject_free(struct subject *s)
{
    t_params_free(&s->fp32);
    t_params_free(&s->int8);
}

static struct kn_plan *plan_of(const struct subject *s, const char *isa, const char *precision)
{
    struct kn_options options = {isa, precision, BATCH, KN_MAX_THREADS, NULL};
    int int8 = strcmp(precision, "int8") == 0;
    struct kn_plan *plan;
    struct kn_err err = {0};

    if (kn_plan_new(&plan, &s->net, int8 ? s->int8.weights : s->fp32.weights, &options, &err) !=
        KN_OK)
        fail_msg("%s", err.text);
    return plan;
}

/* dB of want over found - want */
static double ratio(const float *found, const float *want, int n)
{
    double signal = 0, noise = 0;

    for (int i = 0; i < n; i++) {
        double d = (double)found[i] - (double)want[i];
        signal += (double)want[i] * (double)want[i];
        noise += d * d;
    }
    return 10 * log10(signal / noise);
}

static void near_fp32(void **state)
{
    static const int cases[][2] = {{50, 4}, {18, 4}, {34, 8}};
    static struct subject s;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float want[1000], found[1000], features[2][512];
        subject_new(&s, cases[i][0], cases[i][1]);
        assert_in_range(s.net.features, 1, 512);
        struct kn_plan *real = plan_of(&s, "ref", "fp32"), *plan = plan_of(&s, "ref", "int8");
        kn_run(real, s.x, 1, want, features[0], NULL, NULL);
        kn_run(plan, s.x, 1, found, features[1], NULL, NULL);
        double logits = ratio(found, want, 1000);
        printf("%s: logits %.1f dB, features %.1f dB\n", s.net.arch, logits,
               ratio(features[1], features[0], s.net.features));
        assert_true(logits > 20);
        assert_true(ratio(features[1], features[0], s.net.features) > 20);
        kn_plan_free(real);
        kn_plan_free(plan);
        subject_free(&s);
    }
}

/* As many threads as ctx says. */
static int width_of(void *ctx, int layer)
{
    (void)layer;
    return *(int *)ctx;
}

static void check_bits(const struct subject *s, const char *isa, const uint8_t *pixels,
                       const float *want, size_t classes)
{
    static float found[BATCH * 1000];
    struct kn_plan *plan = plan_of(s, isa, "int8");

    for (int width = 1; width <= KN_MAX_THREADS; width++)
        for (int n = 1; n <= BATCH; n++) {
            kn_run_pixels(plan, pixels, n, found, NULL, width_of, &width);
            assert_memory_equal(found, want, (size_t)n * classes * sizeof *found);
        }
    kn_plan_free(plan);
}

/* Every instruction set, number of threads and batch gives the bits of ref. */
static void same_bits_everywhere(void **state)
{
    static const char *const isas[] = {"avx512vnni", "avx2", "ref"};
    static const int cases[][2] = {{50, 1}, {18, 1}, {50, 8}, {34, 2}};
    static uint8_t pixels[BATCH * 3 * SIDE * SIDE];
    static float want[BATCH * 1000];
    static struct subject s;

    (void)state;
    for (int i = 0; i < BATCH; i++)
        t_int8_picture(pixels + i * 3 * SIDE * SIDE, SIDE, (uint64_t)i);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        subject_new(&s, cases[i][0], cases[i][1]);
        size_t classes = (size_t)s.net.classes;
        struct kn_plan *ref = plan_of(&s, "ref", "int8");
        for (int j = 0; j < BATCH; j++)
            kn_run_pixels(ref, pixels + j * 3 * SIDE * SIDE, 1, want + (size_t)j * classes, NULL,
                          NULL, NULL);
        assert_memory_not_equal(want, want + classes, classes * sizeof *want);
        kn_plan_free(ref);
        for (size_t j = 0; j < sizeof isas / sizeof *isas; j++)
            if (kn_dispatch(isas[j], "int8", NULL) != NULL &&
                (i == 2 || strcmp(isas[j], "ref") != 0))
                check_bits(&s, isas[j], pixels, want, classes);
        subject_free(&s);
    }
}

static void pixels_and_floats_agree(void **state)
{
    static struct subject s;
    float one[1000], other[1000];

    (void)state;
    subject_new(&s, 18, 8);
    struct kn_plan *plan = plan_of(&s, "ref", "int8");
    assert_int_equal(kn_run(plan, s.x, 1, one, NULL, NULL, NULL), KN_OK);
    assert_int_equal(kn_run_pixels(plan, s.pixels, 1, other, NULL, NULL, NULL), KN_OK);
    assert_memory_equal(one, other, sizeof one);
    kn_plan_free(plan);
    subject_free(&s);
}

/* Every pixel there is comes back from its float, in every channel. */
static void every_pixel_comes_back(void **state)
{
    (void)state;
    float input[6];
    for (int c = 0; c < 3; c++) {
        input[c] = (float)(255 * (double)t_int8_deviation[c]);
        input[3 + c] = (float)(255 * (double)t_int8_mean[c]);
    }
    for (int v = 0; v < 256; v++) {
        uint8_t pixel[3] = {(uint8_t)v, (uint8_t)v, (uint8_t)v}, back[3];
        float x[3];
        t_int8_normalise(pixel, 1, x);
        kn_quant_pixels(input, x, 1, 3, 1, back);
        assert_memory_equal(pixel, back, 3);
    }
    const float odd[3] = {NAN, INFINITY, -INFINITY};
    const uint8_t want[3] = {0, 255, 0};
    uint8_t found[3];
    kn_quant_pixels(input, odd, 1, 3, 1, found);
    assert_memory_equal(found, want, 3);
}

/* Any floats, ties and numbers that are none among them, in stretches of any length. */
static void pixels_are_the_same_everywhere(void **state)
{
    enum { N = 1000, MOST = 4 };
    static const char *const isas[] = {"avx512vnni", "avx2"};
    static float x[MOST * N];
    static uint8_t want[MOST * N + 1], found[MOST * N + 1];
    const float input[2 * MOST] = {1, 58.395f, 3, 0.5f, 0, 123.675f, 0.25f, 7};
    uint64_t seed = 1;

    (void)state;
    t_random(x, MOST * N, 300, &seed);
    for (int i = 0; i < MOST * N; i += 3)
        x[i] = (float)(i % 1000) / 2;
    x[5] = x[N + 6] = x[2 * N + 7] = NAN;
    x[15] = x[N + 16] = INFINITY;
    x[25] = x[N + 26] = -INFINITY;
    for (size_t e = 0; e < sizeof isas / sizeof *isas; e++) {
        const struct kn_engine *engine = kn_dispatch(isas[e], "int8", NULL);
        for (int c = 1; engine != NULL && c <= MOST; c++)
            for (size_t n = 1; n <= N; n += n < 50 ? 1 : 95) {
                memset(want, 1, sizeof want);
                memset(found, 1, sizeof found);
                kn_quant_pixels(input, x, N, c, n, want);
                engine->u8->convert(input, x, N, c, n, found);
                assert_memory_equal(want, found, sizeof want);
            }
    }
}

/* quant.h's rule on one pixel, worked out by hand: w = {1, -0.5}, step of x 0.5, of y 0.25. */
static void the_rule(void **state)
{
    (void)state;
    static struct kn_net net;
    const float w[2] = {1, -0.5f}, bias[1] = {0.1f};
    float step[KN_MAX_LAYERS + 1] = {1, 0.5f, 0.25f};
    _Alignas(64) int8_t packed[64 * 64];
    _Alignas(64) int32_t q_bias[1];
    float multiplier[1], out_step[KN_QUANT_STEPS];
    struct kn_quant_out out = {packed, q_bias, multiplier, out_step, NULL};

    net.n_layers = 1;
    net.n_values = 3;
    net.layer[0] = (struct kn_layer){.op = KN_CONV,
                                     .ic = 2,
                                     .ih = 1,
                                     .iw = 1,
                                     .oc = 1,
                                     .oh = 1,
                                     .ow = 1,
                                     .kh = 1,
                                     .kw = 1,
                                     .stride = 1,
                                     .relu = 1,
                                     .in = 1,
                                     .out = 2,
                                     .residual = -1};
    kn_quant_layer(&net, 0, step, w, bias, NULL, NULL, &out);
    /* one step of the sum: 1 * 0.5 / 127 */
    assert_int_equal(packed[0], 127);
    assert_int_equal(packed[1], -64); /* -63.5, to even */
    assert_int_equal(q_bias[0], 25);  /* 0.1 / (0.5 / 127) = 25.4 */
    assert_true(multiplier[0] == (float)(0.5 / 127 / 0.25));
    assert_true(out_step[KN_QUANT_STEP] == 0.25f && out_step[KN_QUANT_RESIDUAL] == 0);

    const struct kn_engine *ref = kn_dispatch("ref", "int8", NULL);
    struct kn_quant quant = {q_bias, multiplier, out_step, NULL};
    uint8_t x[2] = {10, 4}, y[1];
    int32_t scratch[64];
    struct kn_job job = {.layer = &net.layer[0],
                         .engine = ref,
                         .w = packed,
                         .quant = &quant,
                         .x = (const void *)x,
                         .y = (void *)y,
                         .block_x = 1,
                         .block_y = 1,
                         .scratch = scratch,
                         .width = 1};
    kn_dispatch_layer(ref, job.layer)->run(&job);
    /* 1270 - 256 + 25 = 1039; * 2 / 127 = 16.36 */
    assert_int_equal(y[0], 16);
    x[0] = 0;
    kn_dispatch_layer(ref, job.layer)->run(&job);
    assert_int_equal(y[0], 0);
    x[0] = 255;
    kn_dispatch_layer(ref, job.layer)->run(&job);
    assert_int_equal(y[0], 255);
}

static void bad_numbers_are_refused(void **state)
{
    static struct subject s;
    struct kn_options options = {"ref", "int8", 1, 1, NULL};
    struct kn_plan *plan;
    struct kn_err err;

    (void)state;
    subject_new(&s, 18, 8);
    const float bad[] = {0, -1, NAN, INFINITY, 0.95f};
    float *multiplier = (float *)s.int8.weights[4].quant.multiplier, good = multiplier[3];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        multiplier[3] = bad[i];
        assert_int_equal(kn_plan_new(&plan, &s.net, s.int8.weights, &options, &err), KN_ESCALE);
        assert_non_null(strstr(err.text, s.net.layer[4].name));
        assert_null(plan);
    }
    multiplier[3] = good;
    assert_int_equal(kn_plan_new(&plan, &s.net, s.int8.weights, &options, &err), KN_OK);
    kn_plan_free(plan);
    subject_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_fp32),
        cmocka_unit_test(same_bits_everywhere),
        cmocka_unit_test(pixels_and_floats_agree),
        cmocka_unit_test(every_pixel_comes_back),
        cmocka_unit_test(pixels_are_the_same_everywhere),
        cmocka_unit_test(the_rule),
        cmocka_unit_test(bad_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
