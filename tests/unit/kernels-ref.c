/* ref: against loops written straight from the definition, on shapes that divide nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/bench/jobs.h"
#include "tests/bench/nets.h"

static const struct kn_algorithm *ref(const struct kn_layer *l)
{
    return kn_dispatch_layer(kn_dispatch("ref", NULL, NULL), l);
}

/* One output of a convolution, in double. */
static double naive(const struct t_job *t, int oc, int oy, int ox)
{
    const struct kn_layer *l = &t->layer;
    double sum = (double)t->bias.data[oc];
    for (int c = 0; c < l->ic; c++)
        for (int ky = 0; ky < l->kh; ky++)
            for (int kx = 0; kx < l->kw; kx++) {
                int iy = oy * l->stride + ky - l->pad, ix = ox * l->stride + kx - l->pad;
                if (iy >= 0 && iy < l->ih && ix >= 0 && ix < l->iw)
                    sum += (double)t->w.data[((oc * l->ic + c) * l->kh + ky) * l->kw + kx] *
                           (double)t->x.data[(c * l->ih + iy) * l->iw + ix];
            }
    if (l->residual >= 0)
        sum += (double)t->residual.data[(oc * l->oh + oy) * l->ow + ox];
    return l->relu && sum < 0 ? 0 : sum;
}

static void convolutions(void **state)
{
    (void)state;
    const struct kn_layer shapes[] = {
        t_conv(3, 13, 17, 5, 7, 2, 3), t_conv(7, 9, 5, 9, 3, 1, 1), t_conv(5, 8, 11, 8, 3, 2, 1),
        t_conv(11, 6, 7, 17, 1, 1, 0), t_conv(4, 7, 9, 3, 1, 2, 0), t_conv(2, 1, 1, 2, 7, 2, 3),
        t_conv(1, 2, 3, 1, 3, 1, 1),
    };
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        struct kn_layer l = shapes[i / 2];
        struct t_job t;
        l.residual = i % 2 ? 1 : -1;
        l.relu = i % 3 > 0;
        t_job_new(&t, &l, i);
        t_job_run(&t, ref(&l), i % 4 == 3);
        for (int at = 0; at < l.oc * l.oh * l.ow; at++) {
            double want = naive(&t, at / (l.oh * l.ow), at / l.ow % l.oh, at % l.ow);
            double found = (double)t.y.data[at];
            if (!(fabs(found - want) <= 0x1p-24 * fabs(want)))
                fail_msg("shape %zu, output %d: expected %.9g, found %.9g", i, at, want, found);
        }
        t_job_free(&t);
    }
}

/* [c, pixels] to [c / block, pixels, block] and back; the lanes past the last channel are NaN. */
static void block_channels(const float *plain, int c, int pixels, int block, float *blocked)
{
    for (int i = 0; i < (c + block - 1) / block * block * pixels; i++)
        blocked[i] = NAN;
    for (int i = 0; i < c * pixels; i++) {
        int ch = i / pixels;
        blocked[(ch / block * pixels + i % pixels) * block + ch % block] = plain[i];
    }
}

/* ref takes any block of channels, on either side, and gives the same bits. */
static void blocked_channels(void **state)
{
    (void)state;
    static float x[64 * 81], residual[64 * 81], y[64 * 81], want[64 * 81];
    struct kn_layer shapes[] = {t_conv(19, 9, 9, 21, 3, 1, 1), t_conv(21, 9, 9, 21, 3, 2, 1),
                                t_conv(33, 9, 9, 33, 9, 1, 0)};
    shapes[0].residual = 1;
    shapes[1].op = KN_MAXPOOL;
    shapes[2].op = KN_AVGPOOL;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct kn_layer *l = &shapes[i];
        struct t_job t;
        t_job_new(&t, l, i);
        t_job_run(&t, ref(l), 0);
        block_channels(t.x.data, l->ic, l->ih * l->iw, 16, x);
        block_channels(t.residual.data, l->oc, l->oh * l->ow, 16, residual);
        block_channels(t.y.data, l->oc, l->oh * l->ow, 16, want);
        struct kn_job job = {.layer = l, .block_x = 16, .block_y = 16, .x = x, .images = 1, .y = y};
        job.w = t.w.data;
        job.bias = t.bias.data;
        job.residual = l->residual >= 0 ? residual : NULL;
        job.scratch = malloc(ref(l)->scratch_bytes ? ref(l)->scratch_bytes(l, 1) : 1);
        ref(l)->run(&job);
        for (int at = 0; at < (l->oc + 15) / 16 * 16 * l->oh * l->ow; at++)
            if (want[at] == want[at])
                assert_true(y[at] == want[at]);
        free(job.scratch);
        t_job_free(&t);
    }
}

static void max_of_windows(void **state)
{
    (void)state;
    struct kn_layer l = t_conv(3, 7, 10, 3, 3, 2, 1);
    struct t_job t;
    l.op = KN_MAXPOOL;
    t_job_new(&t, &l, 1);
    for (size_t i = 0; i < t.x.n; i++)
        t.x.data[i] -= 5; /* padding is not a zero that wins */
    t_job_run(&t, ref(&l), 0);
    for (int at = 0; at < l.oc * l.oh * l.ow; at++) {
        int c = at / (l.oh * l.ow), top = at / l.ow % l.oh * 2 - 1, left = at % l.ow * 2 - 1;
        float want = -100;
        for (int i = 0; i < 9; i++) {
            int iy = top + i / 3, ix = left + i % 3;
            if (iy >= 0 && iy < l.ih && ix >= 0 && ix < l.iw)
                want = fmaxf(want, t.x.data[(c * l.ih + iy) * l.iw + ix]);
        }
        assert_true(t.y.data[at] == want);
    }
    t_job_free(&t);
}

static void mean_of_planes(void **state)
{
    (void)state;
    struct kn_layer l = t_conv(5, 7, 3, 5, 1, 1, 0);
    struct t_job t;
    l.op = KN_AVGPOOL;
    l.oh = l.ow = 1;
    l.kh = 7;
    l.kw = 3;
    t_job_new(&t, &l, 1);
    t_job_run(&t, ref(&l), 0);
    for (int c = 0; c < 5; c++) {
        double sum = 0;
        for (int i = 0; i < 21; i++)
            sum += (double)t.x.data[c * 21 + i];
        assert_true(fabs((double)t.y.data[c] - sum / 21) <= 1e-7);
    }
    t_job_free(&t);
}

static void classifier(void **state)
{
    (void)state;
    struct kn_layer l = t_conv(37, 1, 1, 11, 1, 1, 0);
    struct t_job t;
    l.op = KN_FC;
    l.relu = 0;
    t_job_new(&t, &l, 1);
    t_job_run(&t, ref(&l), 0);
    for (int c = 0; c < l.oc; c++)
        assert_true(fabs((double)t.y.data[c] - naive(&t, c, 0, 0)) <=
                    0x1p-24 * fabs(naive(&t, c, 0, 0)));
    t_job_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),   cmocka_unit_test(blocked_channels),
        cmocka_unit_test(max_of_windows), cmocka_unit_test(mean_of_planes),
        cmocka_unit_test(classifier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
