/* bf16: rounding, the layout of its weights, and every engine that computes in it. */
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

#include "kernels/bf16.h"
#include "kernels/threads.h"
#include "tests/bench/jobs.h"
#include "tests/bench/nets.h"

static const char *const isas[] = {"avx512bf16", "avx512", "avx2", "blas", "ref"};
enum { N_ISAS = sizeof isas / sizeof *isas, SAMPLE = 40 };

/* The engine of exactly this name, or NULL where there is none. */
static const struct kn_engine *engine_of(const char *isa)
{
    const struct kn_engine *engine = kn_dispatch(isa, "bf16", NULL);
    return engine != NULL && strcmp(engine->isa, isa) == 0 ? engine : NULL;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void rounding(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 0x10000; i++) {
        float x = kn_bf16_widen((uint16_t)i);
        if (x != x)
            assert_true(isnan(kn_bf16_widen(kn_bf16_round(x))));
        else
            assert_int_equal(kn_bf16_round(x), i);
    }
    for (uint32_t i = 0; i < 0x7f80; i++) { /* up to the largest that has a neighbour */
        uint32_t even = i + (i & 1);
        assert_int_equal(kn_bf16_round(float_of(i << 16 | 0x7fff)), i);
        assert_int_equal(kn_bf16_round(float_of(i << 16 | 0x8000)), even);
        assert_int_equal(kn_bf16_round(float_of(i << 16 | 0x8001)), i + 1);
        assert_int_equal(kn_bf16_round(float_of(0x80000000 | i << 16 | 0x8001)), 0x8000 | (i + 1));
    }
    assert_true(isnan(kn_bf16_widen(kn_bf16_round(float_of(0x7f800001)))));
}

/* Each filter's value is there once, rounded; all else is zero. */
static void panels_of_thirty_two(void **state)
{
    (void)state;
    struct kn_layer shapes[] = {t_conv(3, 9, 9, 5, 7, 2, 3), t_conv(33, 5, 5, 40, 3, 1, 1),
                                t_conv(64, 5, 5, 32, 1, 1, 0)};
    for (size_t s = 0; s < 3; s++) {
        const struct kn_layer *l = &shapes[s];
        size_t n = (size_t)(l->oc * l->ic * l->kh * l->kw), bytes = kn_pack_bytes("bf16.n32", l);
        float *w = malloc(n * sizeof *w), *back = malloc(n * sizeof *back);
        uint16_t *packed = malloc(bytes);
        uint64_t seed = 1;
        size_t found = 0;
        t_random(w, n, 1, &seed);
        memset(packed, 0xff, bytes);
        kn_pack("bf16.n32", l, w, packed);
        kn_pack_bf16_widen(l, packed, back);
        for (size_t i = 0; i < n; i++)
            assert_true(back[i] == kn_bf16_widen(kn_bf16_round(w[i])) && w[i] != 0);
        for (size_t i = 0; i < bytes / sizeof *packed; i++)
            found += packed[i] != 0;
        assert_int_equal(found, n);
        free(w);
        free(back);
        free(packed);
    }
    /* outputs 1 and 35, input 5, tap 7 of [40, 33, 3, 3] */
    float *w = calloc(40 * 33 * 9, sizeof *w);
    uint16_t *packed = malloc(kn_pack_bytes("bf16.n32", &shapes[1]));
    w[(1 * 33 + 5) * 9 + 7] = 1;
    w[(35 * 33 + 5) * 9 + 7] = 2;
    kn_pack("bf16.n32", &shapes[1], w, packed);
    assert_int_equal(packed[((7 * 16 + 5 / 2) * 32 + 1) * 2 + 1], kn_bf16_round(1));
    assert_int_equal(packed[2 * 9 * 32 * 32 + ((7 * 16 + 5 / 2) * 32 + 3) * 2 + 1],
                     kn_bf16_round(2));
    free(w);
    free(packed);
}

static void round_all(struct t_guarded *g)
{
    for (size_t i = 0; i < g->n; i++)
        g->data[i] = kn_bf16_widen(kn_bf16_round(g->data[i]));
}

/* Operands are in [-1, 1]: k products summed in fp32 in any order stay within k * eps, then comes
 * one rounding to 8 bits. What is denormal in bf16 the CPU may take for zero. */
static double bound(const struct kn_layer *l, double want)
{
    double sum = (l->ic * l->kh * l->kw + 8) * (double)FLT_EPSILON;
    if (l->op == KN_MAXPOOL)
        return 0;
    if (l->op == KN_AVGPOOL)
        return l->kh * l->kw * (double)FLT_EPSILON;
    return l->op == KN_FC ? sum : sum + (fabs(want) + sum) * 0x1p-8;
}

static void compare(const struct t_job *t, int from, int to, const char *isa)
{
    const struct kn_layer *l = &t->layer;
    size_t pixels = (size_t)l->oh * (size_t)l->ow, n = (size_t)(to - from) * pixels;
    const float *found = t->y.data + (size_t)from * pixels;
    float *want = malloc(n * sizeof *want);
    double magnitude = 0;
    assert_non_null(want);
    t_job_expect(t, from, to, want);
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)found[i] - (double)want[i]);
        magnitude += fabs((double)want[i]);
        if (!(difference <= bound(l, (double)want[i])))
            fail_msg("%s [%d,%d,%d]->[%d,%d,%d] k%d s%d by %s: value %zu: expected %g, found %g",
                     l->name, l->ic, l->ih, l->iw, l->oc, l->oh, l->ow, l->kh, l->stride, isa, i,
                     (double)want[i], (double)found[i]);
    }
    free(want);
    assert_true(n < 8 || magnitude / (double)n > 1e-3); /* there is something to compare */
}

static void check_layer(const struct kn_layer *layer, uint64_t seed, int in_place)
{
    int halo = layer->op == KN_CONV || layer->op == KN_MAXPOOL ? (int)(seed & 1) : 0;
    struct t_job t;
    t_job_new(&t, layer, seed);
    if (kn_kind_of(layer) != KN_CONV_STEM && layer->op != KN_FC)
        round_all(&t.x);
    round_all(&t.w);
    round_all(&t.residual);
    for (size_t e = 0; e < N_ISAS; e++) {
        const struct kn_engine *engine = engine_of(isas[e]);
        int n = layer->oc < SAMPLE ? layer->oc : SAMPLE;
        if (engine == NULL || (e == N_ISAS - 1 && layer->ic > 256)) /* ref takes its time */
            continue;
        t_job_run_engine(&t, engine, in_place, halo, NULL, 1);
        compare(&t, 0, n, isas[e]);
        compare(&t, layer->oc - n, layer->oc, isas[e]);
    }
    t_job_free(&t);
}

static int same_shape(const struct kn_layer *a, const struct kn_layer *b)
{
    return a->op == b->op && a->ic == b->ic && a->ih == b->ih && a->oc == b->oc && a->kh == b->kh &&
           a->stride == b->stride && a->relu == b->relu && (a->residual < 0) == (b->residual < 0);
}

static void resnet50_layers(void **state)
{
    (void)state;
    static struct kn_net net;
    int checked = 0;
    t_net(&net, t_arch_of(50), 224);
    for (int i = 0; i < net.n_layers; i++) {
        int seen = 0;
        for (int j = 0; j < i; j++)
            seen |= same_shape(&net.layer[i], &net.layer[j]);
        if (seen)
            continue;
        check_layer(&net.layer[i], (uint64_t)i, net.layer[i].residual >= 0);
        checked++;
    }
    assert_in_range(checked, 24, net.n_layers);
}

static void ragged_layers(void **state)
{
    (void)state;
    struct kn_layer shapes[] = {
        t_conv(3, 33, 33, 5, 7, 2, 3),   t_conv(1, 1, 1, 1, 7, 2, 3),
        t_conv(4, 2, 5, 9, 7, 2, 3),     t_conv(17, 13, 29, 31, 3, 1, 1),
        t_conv(5, 1, 9, 3, 3, 1, 1),     t_conv(8, 9, 1, 8, 3, 2, 1),
        t_conv(64, 15, 15, 33, 3, 2, 1), t_conv(100, 58, 58, 7, 3, 1, 1),
        t_conv(31, 7, 5, 19, 1, 1, 0),   t_conv(257, 3, 3, 65, 1, 1, 0),
        t_conv(37, 15, 15, 41, 1, 2, 0), t_conv(16, 29, 29, 24, 1, 2, 0),
        t_conv(70, 7, 7, 70, 3, 1, 1),
    };
    for (size_t i = 0; i < 3 * sizeof shapes / sizeof *shapes; i++) {
        struct kn_layer l = shapes[i / 3];
        l.residual = i % 3 ? 1 : -1;
        l.relu = i % 2;
        check_layer(&l, i, i % 3 == 2);
    }
}

static void pools_and_classifiers(void **state)
{
    (void)state;
    static const int sides[][2] = {{112, 112}, {17, 17}, {1, 1}, {2, 7}, {9, 4}, {116, 15}};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        struct kn_layer pool = t_conv(5, sides[i][0], sides[i][1], 5, 3, 2, 1);
        pool.op = KN_MAXPOOL;
        check_layer(&pool, i, 0);
        struct kn_layer mean = t_conv(70, sides[i][0] % 20, sides[i][1] % 20, 70, 1, 1, 0);
        mean.op = KN_AVGPOOL;
        mean.kh = mean.ih;
        mean.kw = mean.iw;
        mean.oh = mean.ow = 1;
        check_layer(&mean, i, 0);
        struct kn_layer fc = t_conv(100 + (int)i, 1, 1, 7 * (int)i + 1, 1, 1, 0);
        fc.op = KN_FC;
        fc.relu = 0;
        check_layer(&fc, i, 0);
    }
}

static void nan_survives_pooling(void **state)
{
    (void)state;
    struct kn_layer l = t_conv(2, 9, 9, 2, 3, 2, 1);
    l.op = KN_MAXPOOL;
    for (size_t e = 0; e < N_ISAS; e++)
        for (int at = 0; at < 81 && engine_of(isas[e]) != NULL; at++) {
            struct t_job t;
            t_job_new(&t, &l, 1);
            t.x.data[at] = NAN;
            t_job_run_engine(&t, engine_of(isas[e]), 0, 0, NULL, 1);
            for (int o = 0; o < 25; o++) {
                int dy = at / 9 - (o / 5 * 2 - 1), dx = at % 9 - (o % 5 * 2 - 1);
                int under = dy >= 0 && dy < 3 && dx >= 0 && dx < 3;
                assert_int_equal(isnan(t.y.data[o]) != 0, under);
                assert_false(isnan(t.y.data[25 + o]));
            }
            t_job_free(&t);
        }
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    struct kn_layer shapes[] = {
        t_conv(3, 65, 65, 33, 7, 2, 3),  t_conv(64, 28, 28, 80, 3, 1, 1),
        t_conv(40, 14, 14, 96, 3, 1, 1), t_conv(96, 7, 7, 64, 3, 1, 1),
        t_conv(96, 15, 9, 64, 3, 2, 1),  t_conv(640, 7, 7, 224, 1, 1, 0),
    };
    struct kn_threads *pool;
    assert_int_equal(kn_threads_new(&pool, 5, NULL), KN_OK);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t e = 0; e < N_ISAS - 1; e++) {
            const struct kn_engine *engine = engine_of(isas[e]);
            struct t_job t;
            if (engine == NULL)
                continue;
            t_job_new(&t, &shapes[s], s);
            t_job_run_engine(&t, engine, 0, 1, NULL, 1);
            size_t bytes = t.y.n * sizeof(float);
            float *alone = malloc(bytes);
            assert_non_null(alone);
            memcpy(alone, t.y.data, bytes);
            for (int width = 2; width <= 5; width++) {
                t_job_run_engine(&t, engine, 0, 1, pool, width);
                assert_memory_equal(t.y.data, alone, bytes);
            }
            free(alone);
            t_job_free(&t);
        }
    kn_threads_free(pool);
}

/* Every engine on whole networks: near the widened reference, any batch and threads the same bits.
 */
static int some_threads(void *ctx, int layer)
{
    const int *threads = ctx;
    return *threads ? *threads : 1 + layer * 7 % 4;
}

static void whole_networks(void **state)
{
    (void)state;
    enum { SIDE = 67, CLASSES = 10, BATCH = 3, N = 3 * SIDE * SIDE };
    static struct kn_net net;
    static float x[BATCH * N], want[CLASSES], alone[CLASSES], found[BATCH * CLASSES];
    for (int depth = 18; depth <= 50; depth += 32) {
        struct t_arch arch = t_arch_narrow(t_arch_of(depth), 8);
        struct t_params params;
        uint64_t seed = 5;
        arch.classes = CLASSES;
        t_net(&net, arch, SIDE);
        assert_int_equal(t_params_new(&params, &net, 7), 0);
        assert_int_equal(t_params_pack(&params, &net, "bf16.n32"), 0);
        t_random(x, BATCH * N, 2, &seed);
        for (int e = N_ISAS - 1; e >= 0; e--) {
            struct kn_options options = {isas[e], "bf16", BATCH, 4, NULL};
            struct kn_plan *plan;
            double worst = 0, largest = 0;
            if (engine_of(isas[e]) == NULL)
                continue;
            assert_string_equal(kn_plan_layout(isas[e], "bf16", NULL), "bf16.n32");
            assert_int_equal(kn_plan_new(&plan, &net, params.weights, &options, NULL), KN_OK);
            kn_run(plan, x, 1, e == N_ISAS - 1 ? want : alone, NULL, NULL, NULL);
            for (int i = 0; e < N_ISAS - 1 && i < CLASSES; i++) {
                worst = fmax(worst, fabs((double)alone[i] - (double)want[i]));
                largest = fmax(largest, fabs((double)want[i]));
            }
            if (worst > 0.02 * largest)
                fail_msg("%s, depth %d: logits differ by %g of %g", isas[e], depth, worst, largest);
            kn_run(plan, x, 1, alone, NULL, NULL, NULL);
            for (int threads = 0; threads <= 4; threads++) {
                kn_run(plan, x, BATCH, found, NULL, some_threads, &threads);
                assert_memory_equal(found, alone, sizeof alone);
            }
            kn_plan_free(plan);
        }
        t_params_free(&params);
    }
}

/* The widening kernels sum in one order, whatever the width of the registers. */
static void instruction_sets_agree_to_the_bit(void **state)
{
    (void)state;
    static const char *const pair[] = {"avx512", "avx2"};
    enum { SIDE = 67, CLASSES = 10, N = 3 * SIDE * SIDE };
    static struct kn_net net;
    static float x[N], found[2][CLASSES];
    struct t_arch arch = t_arch_narrow(t_arch_of(50), 4);
    struct t_params params;
    uint64_t seed = 5;
    if (engine_of("avx512") == NULL || engine_of("avx2") == NULL) {
        printf("skipped: this machine has no AVX-512\n");
        skip();
    }
    arch.classes = CLASSES;
    t_net(&net, arch, SIDE);
    assert_int_equal(t_params_new(&params, &net, 7), 0);
    assert_int_equal(t_params_pack(&params, &net, "bf16.n32"), 0);
    t_random(x, N, 2, &seed);
    for (int i = 0; i < 2; i++) {
        struct kn_options options = {pair[i], "bf16", 1, 1, NULL};
        struct kn_plan *plan;
        assert_int_equal(kn_plan_new(&plan, &net, params.weights, &options, NULL), KN_OK);
        kn_run(plan, x, 1, found[i], NULL, NULL, NULL);
        kn_plan_free(plan);
    }
    assert_memory_equal(found[0], found[1], sizeof found[0]);
    t_params_free(&params);
}

static void names(void **state)
{
    (void)state;
    struct kn_err err;
    assert_string_equal(kn_plan_layout("ref", "bf16", &err), "bf16.n32");
    assert_non_null(kn_plan_layout(NULL, "bf16", &err));
    assert_null(kn_plan_layout("sse9", "bf16", &err));
    assert_int_equal(err.code, KN_EISA);
    if (engine_of("avx512bf16") != NULL) /* what has no kernels of a precision stands for less */
        assert_string_equal(kn_dispatch("avx512bf16", "fp32", &err)->isa, "avx512");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding),
        cmocka_unit_test(panels_of_thirty_two),
        cmocka_unit_test(resnet50_layers),
        cmocka_unit_test(ragged_layers),
        cmocka_unit_test(pools_and_classifiers),
        cmocka_unit_test(nan_survives_pooling),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(whole_networks),
        cmocka_unit_test(instruction_sets_agree_to_the_bit),
        cmocka_unit_test(names),
    };
    for (size_t e = 0; e < N_ISAS; e++)
        printf("%s: %s\n", isas[e], engine_of(isas[e]) ? "here" : "not here");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
