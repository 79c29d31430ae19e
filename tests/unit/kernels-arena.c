/* The arena: no two values that are alive together overlap, and little is wasted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/engine.h"
#include "tests/bench/nets.h"

static struct kn_net net;
static size_t bytes[KN_MAX_LAYERS + 1], offset[KN_MAX_LAYERS + 1];

static size_t plan(void)
{
    for (int i = 0; i < net.n_layers; i++) {
        const struct kn_layer *l = &net.layer[i];
        bytes[l->out] = (size_t)l->oc * (size_t)l->oh * (size_t)l->ow * sizeof(float);
    }
    return kn_arena_plan(&net, bytes, offset);
}

static int last_use(int value)
{
    int last = -1;
    for (int i = 0; i < net.n_layers; i++)
        if (net.layer[i].in == value || net.layer[i].residual == value)
            last = i;
    return last;
}

/* Plays the network: each layer stamps the bytes it writes (in KN_ALIGN units) with its value and
 * must find its operands' stamps untouched. Returns the most that was alive at one time. */
static size_t play(size_t total)
{
    int *stamp = calloc(total / KN_ALIGN, sizeof *stamp);
    size_t most = 0;
    assert_non_null(stamp);
    for (int i = 0; i < net.n_layers; i++) {
        const struct kn_layer *l = &net.layer[i];
        int operands[] = {l->in, l->residual > 0 ? l->residual : l->in};
        for (int o = 0; o < 2; o++)
            for (size_t u = 0; operands[o] > 0 && u < bytes[operands[o]] / KN_ALIGN; u++)
                assert_int_equal(stamp[offset[operands[o]] / KN_ALIGN + u], operands[o]);
        for (size_t u = 0; u < bytes[l->out] / KN_ALIGN; u++) {
            int *s = &stamp[offset[l->out] / KN_ALIGN + u];
            assert_true(*s == 0 || *s != l->in);
            *s = l->out;
        }
        size_t alive = bytes[l->out];
        for (int v = 1; v < l->out; v++)
            if (last_use(v) >= i && !(v == l->residual && last_use(v) == i))
                alive += bytes[v];
        most = alive > most ? alive : most;
    }
    free(stamp);
    return most;
}

static void nothing_alive_overlaps(void **state)
{
    (void)state;
    static const int depths[] = {18, 34, 50, 101, 152}, sides[] = {224, 232, 64};
    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++)
        for (size_t s = 0; s < sizeof sides / sizeof *sides; s++) {
            t_net(&net, t_arch_of(depths[d]), sides[s]);
            size_t total = plan();
            for (int i = 0; i < net.n_layers; i++) {
                int v = net.layer[i].out;
                assert_true(offset[v] % KN_ALIGN == 0 && offset[v] + bytes[v] <= total);
            }
            double ratio = (double)total / (double)play(total);
            if (ratio > 1.15)
                fail_msg("resnet%d at %d px: %zu bytes, %.3f times the live set", depths[d],
                         sides[s], total, ratio);
        }
}

/* The sum takes the place of what it adds to. */
static void sums_are_in_place(void **state)
{
    (void)state;
    t_net(&net, t_arch_of(50), 224);
    size_t total = plan();
    for (int i = 0; i < net.n_layers; i++)
        if (net.layer[i].residual >= 0)
            assert_int_equal(offset[net.layer[i].out], offset[net.layer[i].residual]);
    printf("resnet50 at 224 px: arena of %zu bytes, %.3f times the largest live set\n", total,
           (double)total / (double)play(total));
}

/* A residual that a later layer still reads must stay. */
static void a_read_residual_stays(void **state)
{
    (void)state;
    net = (struct kn_net){.n_layers = 4, .n_values = 5};
    for (int i = 0; i < 4; i++) {
        net.layer[i] = (struct kn_layer){.op = KN_CONV, .in = i, .out = i + 1, .residual = -1};
        net.layer[i].oc = 16;
        net.layer[i].oh = net.layer[i].ow = 1;
    }
    net.layer[2].residual = 1;
    net.layer[3].residual = 1;
    play(plan());
    assert_int_not_equal(offset[3], offset[1]);
    assert_int_equal(offset[4], offset[1]);
}

/* The features are read after the last layer, so the logits may not lie on them. */
static void features_outlive_the_classifier(void **state)
{
    (void)state;
    t_net(&net, t_arch_of(18), 64);
    plan();
    const struct kn_layer *fc = &net.layer[net.n_layers - 1];
    size_t a = offset[fc->in], b = offset[fc->out];
    assert_true(a + bytes[fc->in] <= b || b + bytes[fc->out] <= a);
}

static void overflow_is_seen(void **state)
{
    (void)state;
    t_net(&net, t_arch_of(18), 64);
    plan();
    bytes[3] = SIZE_MAX - 10;
    assert_int_equal(kn_arena_plan(&net, bytes, offset), 0);
    bytes[3] = SIZE_MAX / 2 + 100;
    bytes[4] = SIZE_MAX / 2 + 100;
    assert_int_equal(kn_arena_plan(&net, bytes, offset), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_alive_overlaps), cmocka_unit_test(sums_are_in_place),
        cmocka_unit_test(a_read_residual_stays),  cmocka_unit_test(features_outlive_the_classifier),
        cmocka_unit_test(overflow_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
