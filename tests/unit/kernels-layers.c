/* Every engine against ref, layer by layer: on each shape that ResNet-50 has and on ragged ones,
 * with operands between unreadable pages. */
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

#include "kernels/threads.h"
#include "tests/bench/jobs.h"
#include "tests/bench/nets.h"

static const char *missing[8]; /* engines that this machine lacks */

enum { SAMPLE = 8 }; /* channels compared at either end: outputs of ref cost time */

static int fed(const struct kn_layer *l)
{
    return l->op == KN_CONV || l->op == KN_FC;
}

/* Operands are in [-1, 1], so k products summed in any order in float stay within k * eps.
 * Winograd's transforms make the terms larger before they cancel: measured up to 3.4 of k * eps for
 * F(4,3), 1.05 for F(3,3) and 0.15 for stride 2, where the plain engines are below 0.1. */
static double bound(const struct kn_layer *l, const char *algorithm)
{
    double larger = strstr(algorithm, "F(4,3)") ? 6 : strstr(algorithm, "F(3,3)") ? 3 : 1;
    if (l->op == KN_AVGPOOL)
        return l->kh * l->kw * (double)FLT_EPSILON;
    return fed(l) ? larger * (l->ic * l->kh * l->kw + 8) * (double)FLT_EPSILON : 0;
}

static void compare(const struct t_job *t, int from, int to, const char *algorithm)
{
    const struct kn_layer *l = &t->layer;
    size_t pixels = (size_t)l->oh * (size_t)l->ow, n = (size_t)(to - from) * pixels;
    const float *found = t->y.data + (size_t)from * pixels;
    float *want = malloc(n * sizeof *want);
    double largest = 0, worst = 0;
    assert_non_null(want);
    t_job_expect(t, from, to, want);
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)found[i] - (double)want[i]);
        worst = difference <= worst ? worst : difference;
        largest = fmax(largest, fabs((double)want[i]));
    }
    free(want);
    int few = n < 8; /* ReLU may have left nothing of them */
    if (!(worst <= bound(l, algorithm)) || !(few || bound(l, algorithm) < 1e-3 * largest))
        fail_msg("%s [%d,%d,%d]->[%d,%d,%d] k%d s%d by %s: differs by %g, bound %g, values up to "
                 "%g",
                 l->name, l->ic, l->ih, l->iw, l->oc, l->oh, l->ow, l->kh, l->stride, algorithm,
                 worst, bound(l, algorithm), largest);
}

static void check_engine(struct t_job *t, const struct kn_engine *engine, uint64_t seed,
                         int in_place)
{
    const struct kn_layer *l = &t->layer;
    const struct kn_algorithm *algorithm = kn_dispatch_layer(engine, l);
    int head = l->oc < SAMPLE ? l->oc : SAMPLE;
    t_job_run_engine(t, engine, in_place, (int)(seed & 1), NULL, 1);
    compare(t, 0, head, algorithm->name);
    compare(t, l->oc - head, l->oc, algorithm->name);
}

static void check_layer(const struct kn_layer *layer, uint64_t seed, int in_place)
{
    static const char *const isas[] = {"avx512", "avx2", "blas"};
    struct t_job t;
    t_job_new(&t, layer, seed);
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        const struct kn_engine *engine = kn_dispatch(isas[i], NULL, NULL);
        if (engine != NULL)
            check_engine(&t, engine, seed, in_place);
        else
            missing[i] = isas[i];
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
    printf("%d distinct layers\n", checked);
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
        t_conv(20, 21, 25, 37, 3, 2, 1), t_conv(33, 20, 24, 70, 3, 2, 1),
        t_conv(600, 40, 90, 4, 3, 1, 1), /* wider than MIN_PIXELS' rows; strips end in a rest */
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
        struct kn_layer fc = t_conv(100 + (int)i, 1, 1, 7 * (int)i + 1, 1, 1, 0);
        fc.op = KN_FC;
        fc.relu = 0;
        check_layer(&fc, i, 0);
    }
}

/* A NaN anywhere under a window is the window's maximum: a broken input shows. */
static void nan_survives_pooling(void **state)
{
    (void)state;
    static const char *const isas[] = {"ref", "blas", "avx2", "avx512"};
    struct kn_layer l = t_conv(2, 9, 9, 2, 3, 2, 1);
    l.op = KN_MAXPOOL;
    for (size_t e = 0; e < sizeof isas / sizeof *isas; e++)
        for (int at = 0; at < 81; at++) {
            const struct kn_engine *engine = kn_dispatch(isas[e], NULL, NULL);
            struct t_job t;
            if (engine == NULL)
                continue;
            t_job_new(&t, &l, 1);
            t.x.data[at] = NAN;
            t_job_run_engine(&t, engine, 0, 0, NULL, 1);
            for (int o = 0; o < 25; o++) {
                int dy = at / 9 - (o / 5 * 2 - 1), dx = at % 9 - (o % 5 * 2 - 1);
                int under = dy >= 0 && dy < 3 && dx >= 0 && dx < 3;
                assert_int_equal(isnan(t.y.data[o]) != 0, under);
                assert_false(isnan(t.y.data[25 + o]));
            }
            t_job_free(&t);
        }
}

/* Threads change no bit of a layer, for tiles and panels of every kind. */
static void threads_change_no_bit(void **state)
{
    (void)state;
    static const char *const isas[] = {"avx512", "avx2"};
    struct kn_layer shapes[] = {
        t_conv(3, 65, 65, 33, 7, 2, 3),  t_conv(64, 28, 28, 80, 3, 1, 1),
        t_conv(40, 14, 14, 96, 3, 1, 1), t_conv(96, 7, 7, 64, 3, 1, 1),
        t_conv(96, 15, 9, 64, 3, 2, 1),  t_conv(640, 7, 7, 224, 1, 1, 0),
        t_conv(512, 9, 9, 608, 1, 2, 0),
    };
    struct kn_threads *pool;
    assert_int_equal(kn_threads_new(&pool, 4, NULL), KN_OK);
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        const struct kn_engine *engine = kn_dispatch(isas[i % 2], NULL, NULL);
        struct t_job t;
        if (engine == NULL)
            continue;
        t_job_new(&t, &shapes[i / 2], i);
        float *one = malloc(t.y.n * sizeof *one);
        assert_non_null(one);
        t_job_run_engine(&t, engine, 0, 1, NULL, 1);
        memcpy(one, t.y.data, t.y.n * sizeof *one);
        for (int width = 2; width <= 4; width++) {
            t_job_run_engine(&t, engine, 0, 1, pool, width);
            assert_memory_equal(one, t.y.data, t.y.n * sizeof *one);
        }
        free(one);
        t_job_free(&t);
    }
    kn_threads_free(pool);
}

static void say_what_is_missing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
        if (missing[i] != NULL) {
            printf("skipped: %s is not to be had on this machine\n", missing[i]);
            skip();
        }
}

/* The guard pages do guard: otherwise the tests above saw less than they say. */
static void guards_hold(void **state)
{
    (void)state;
    struct t_guarded g;
    t_guarded_new(&g, 1000);
    g.data[0] = g.data[999] = 1;
    assert_int_equal((uintptr_t)(g.data + g.n) % 4096, 0);
    t_guarded_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resnet50_layers),       cmocka_unit_test(ragged_layers),
        cmocka_unit_test(pools_and_classifiers), cmocka_unit_test(nan_survives_pooling),
        cmocka_unit_test(guards_hold),           cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(say_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
