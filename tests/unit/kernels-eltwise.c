/* Probabilities add up, order is kept, large logits do not overflow; the last touch of a layer. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/bench/jobs.h"
#include "tests/bench/nets.h"

enum { N = 1000 };

static void softmax(void **state)
{
    (void)state;
    static float x[N], p[N], shifted[N];
    uint64_t seed = 1;
    t_random(x, N, 20, &seed);
    kn_softmax(x, N, p);
    double sum = 0;
    for (int i = 0; i < N; i++) {
        sum += (double)p[i];
        assert_true(p[i] >= 0 && p[i] <= 1);
        if (i > 0)
            assert_true((x[i] < x[i - 1]) == (p[i] < p[i - 1]));
        shifted[i] = x[i] + 64; /* the same answer; x + 64 loses some of x's last bits */
    }
    assert_true(fabs(sum - 1) < 1e-6);
    kn_softmax(shifted, N, shifted);
    for (int i = 0; i < N; i++)
        assert_true(fabsf(shifted[i] - p[i]) < 1e-5f);
}

static void softmax_at_the_edges(void **state)
{
    (void)state;
    float one[] = {-1e30f}, large[] = {1e30f, -1e30f, 3e38f}, equal[] = {7, 7, 7, 7};
    float broken[] = {1, NAN, 2};
    kn_softmax(one, 1, one);
    assert_true(one[0] == 1);
    kn_softmax(large, 3, large);
    assert_true(large[0] == 0 && large[1] == 0 && large[2] == 1);
    kn_softmax(equal, 4, equal);
    for (int i = 0; i < 4; i++)
        assert_true(equal[i] == 0.25f);
    kn_softmax(broken, 3, broken);
    for (int i = 0; i < 3; i++)
        assert_true(isnan(broken[i]));
}

static void sigmoid(void **state)
{
    (void)state;
    float x[] = {0, 100, -100, 1, -1, 3e38f, -3e38f}, p[7];
    kn_sigmoid(x, 7, p);
    assert_true(p[0] == 0.5f && p[1] == 1 && p[5] == 1 && p[6] == 0);
    assert_true(p[2] > 0 && p[2] < 1e-40f);
    assert_true(fabsf(p[3] + p[4] - 1) < 1e-6f && fabsf(p[3] - 0.73105858f) < 1e-6f);
}

static void bias_and_relu(void **state)
{
    (void)state;
    for (int n = 1; n < 40; n += 6)
        for (int relu = 0; relu < 2; relu++) {
            struct t_guarded y;
            float bias[] = {0.25f, -0.5f, 0}, want[3 * 40];
            size_t stride = (size_t)n + 3;
            uint64_t seed = (uint64_t)n;
            t_guarded_new(&y, 2 * stride + (size_t)n);
            t_random(y.data, y.n, 1, &seed);
            for (size_t i = 0; i < y.n; i++) {
                float v = y.data[i] + bias[i / stride];
                want[i] = i % stride >= (size_t)n ? y.data[i] : relu && v < 0 ? 0 : v;
            }
            kn_eltwise_bias(y.data, bias, 3, (size_t)n, stride, relu);
            assert_memory_equal(y.data, want, y.n * sizeof *want);
            t_guarded_free(&y);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax),
        cmocka_unit_test(softmax_at_the_edges),
        cmocka_unit_test(sigmoid),
        cmocka_unit_test(bias_and_relu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
