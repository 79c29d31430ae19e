/* What layers put out: as seen on pictures, and as batch-norm tells it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/quant.h"
#include "tests/unit/weights-tiny.h"
#include "weights/prng.h"
#include "weights/statistics.h"

enum { PICTURES = 3, SIDE = 32 };

static struct t_tiny tiny;
static uint8_t pixels[PICTURES][SIDE * SIDE * 3];
static const struct wt_crops crops = {.pixels = pixels[0], .n = PICTURES, .side = SIDE};

static int set_up(void **state)
{
    (void)state;
    t_tiny_new(&tiny);
    for (int i = 0; i < PICTURES; i++)
        wt_picture_draw(pixels[i], SIDE, (uint64_t)i);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    t_tiny_free(&tiny);
    return 0;
}

/* ---- pictures ------------------------------------------------------------------------------- */

static void pictures_are_drawn_and_normalised(void **state)
{
    static float x[3 * SIDE * SIDE];
    int low = 255, high = 0;

    (void)state;
    wt_picture_normalise(wt_picture_of(&crops, 1), &tiny.recipe, x);
    for (int i = 0; i < SIDE * SIDE; i++)
        for (int c = 0; c < 3; c++) {
            int v = pixels[1][3 * i + c];
            float want = ((float)v / 255.0f - tiny.recipe.mean[c]) / tiny.recipe.std[c];
            assert_true(x[c * SIDE * SIDE + i] == want);
            low = v < low ? v : low;
            high = v > high ? v : high;
        }
    assert_true(low < 100 && high > 150 && high <= 253);
    assert_memory_not_equal(pixels[0], pixels[1], sizeof pixels[0]);
}

/* ---- seen ----------------------------------------------------------------------------------- */

struct watch {
    struct kn_plan *plan;
    double sum[KN_MAX_LAYERS], largest[KN_MAX_LAYERS]; /* of channel 1; of all */
    float value[32 * SIDE * SIDE];
};

static int between(void *ctx, int layer)
{
    struct watch *w = ctx;
    if (layer == 0)
        return 1;
    const struct kn_layer *l = &tiny.folded.net.layer[layer - 1];
    int plane = l->oh * l->ow;

    kn_plan_output(w->plan, layer - 1, w->value);
    for (int i = 0; i < plane; i++)
        w->sum[layer - 1] += (double)w->value[plane + i] / plane;
    for (int i = 0; i < l->oc * plane; i++)
        w->largest[layer - 1] = fmax(w->largest[layer - 1], fabs((double)w->value[i]));
    return 1;
}

static void watch_ref(struct watch *w)
{
    static float x[3 * SIDE * SIDE];
    const struct kn_options options = {.isa = "ref", .max_batch = 1, .max_threads = 1};
    float logits[5];
    struct kn_err err;

    assert_int_equal(kn_plan_new(&w->plan, &tiny.folded.net, tiny.folded.weights, &options, &err),
                     KN_OK);
    for (int i = 0; i < PICTURES; i++) {
        wt_picture_normalise(wt_picture_of(&crops, i), &tiny.recipe, x);
        assert_int_equal(kn_run(w->plan, x, 1, logits, NULL, between, w), KN_OK);
    }
    kn_plan_free(w->plan);
}

static void every_layer_is_seen_on_every_picture(void **state)
{
    static struct watch ref;
    struct wt_statistics s;
    struct wt_err err = {.text = ""};

    (void)state;
    watch_ref(&ref);
    t_must(wt_statistics_gather(&s, &tiny.folded, &tiny.recipe, &crops, NULL, &err), &err);
    assert_int_equal(s.n_layers, tiny.folded.net.n_layers);
    assert_int_equal(s.n_pictures, PICTURES);
    for (int i = 0; i < s.n_layers; i++) {
        const struct kn_layer *l = &tiny.folded.net.layer[i];
        double values = (double)PICTURES * l->oc * l->oh * l->ow, scale = ref.largest[i];
        if (s.histogram[i].total != values || s.histogram[i].n_finite != values)
            fail_msg("%s: %g values seen, expected %g", l->name, s.histogram[i].total, values);
        if (!(fabs(s.histogram[i].largest - scale) <= 1e-5 * scale))
            fail_msg("%s: largest %g, expected %g", l->name, s.histogram[i].largest, scale);
        if (!(fabs(s.mean[i][1] - ref.sum[i] / PICTURES) <= 1e-5 * scale))
            fail_msg("%s: mean %g, expected %g", l->name, s.mean[i][1], ref.sum[i] / PICTURES);
    }
    wt_statistics_free(&s);
}

static int stop_late(void *ctx, const char *what, double share)
{
    (void)ctx, (void)what;
    return share > 0.5;
}

static void looking_can_be_given_up(void **state)
{
    const struct wt_progress progress = {.report = stop_late};
    struct wt_statistics s;
    struct wt_err err = {.text = ""};

    (void)state;
    assert_int_equal(wt_statistics_gather(&s, &tiny.folded, &tiny.recipe, &crops, &progress, &err),
                     WT_EIO);
    assert_null(s.histogram);
}

/* ---- told ----------------------------------------------------------------------------------- */

static void without_batch_norm_nothing_is_told(void **state)
{
    struct wt_statistics s;
    struct wt_err err = {.text = ""};

    (void)state;
    assert_int_equal(wt_statistics_assume(&s, &tiny.folded, &err), WT_ETENSOR);
    assert_non_null(strstr(err.text, "conv1: there is no batch-norm"));
    assert_null(s.histogram);
}

static double normal(struct wt_prng *prng)
{
    double u = (double)(wt_prng_next(prng) >> 11) * 0x1p-53;
    double v = (double)(wt_prng_next(prng) >> 11) * 0x1p-53;

    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

/* The means of max(0, a), and of max(0, b + max(0, a)), by drawing them: a stem, and the second
 * layer of a block that adds it. */
static void draw_means(double a, double da, double b, double db, double mean[2])
{
    enum { DRAWS = 400000 };
    struct wt_prng prng = {5};

    mean[0] = mean[1] = 0;
    for (int i = 0; i < DRAWS; i++) {
        double x = fmax(0, a + da * normal(&prng));
        mean[0] += x / DRAWS;
        mean[1] += fmax(0, b + db * normal(&prng) + x) / DRAWS;
    }
}

static int find(const char *name)
{
    for (int i = 0; i < tiny.folded.net.n_layers; i++)
        if (strcmp(tiny.folded.net.layer[i].name, name) == 0)
            return i;
    fail_msg("no layer %s", name);
    return -1;
}

static void batch_norm_tells_what_relu_and_sums_make_of_it(void **state)
{
    static float stem[64], other[64];
    struct wt_folded folded = tiny.folded;
    struct wt_statistics s;
    struct wt_err err = {.text = ""};
    double mean[2];

    (void)state;
    for (int o = 0; o < 32; o++)
        other[o] = 1, other[32 + o] = 2;
    stem[0] = -0.25f, stem[1] = 0.5f; /* two channels: means, deviations */
    stem[2] = 1.5f, stem[3] = 0;
    for (int i = 0; i < folded.net.n_layers; i++)
        if (folded.net.layer[i].op == KN_CONV)
            folded.norm[i] = i == 0 ? stem : other + 32 - folded.net.layer[i].oc;
    t_must(wt_statistics_assume(&s, &folded, &err), &err);
    assert_int_equal(s.n_pictures, 0);

    draw_means(-0.25, 1.5, 1, 2, mean);
    int second = find("layer1.0.conv2");
    assert_true(fabs(s.mean[0][0] - mean[0]) < 0.01);
    assert_true(fabs(s.mean[second][0] - mean[1]) < 0.04); /* the sum is taken as normal */
    assert_true(s.mean[0][1] == 0.5);                      /* a channel that never varies */
    assert_true(s.mean[find("maxpool")][0] == s.mean[0][0]);
    assert_true(fabs(s.histogram[0].largest - (1.5 * WT_HISTOGRAM_SIGMAS - 0.25)) < 1e-6);
    assert_true(s.histogram[0].total == 2 * 16 * 16);
    /* A projection has no ReLU: its mean is batch-norm's own. */
    assert_true(s.mean[find("layer2.0.downsample.0")][0] == 1);
    wt_statistics_free(&s);
}

/* Each convolution's largest value seen becomes the last step; pools and logits follow. */
static void steps_reach_the_largest(void **state)
{
    const struct kn_net *net = &tiny.folded.net;
    float step[KN_MAX_LAYERS + 1] = {0};
    struct wt_statistics seen;
    struct wt_err err = {.text = ""};

    (void)state;
    t_must(wt_statistics_gather(&seen, &tiny.folded, &tiny.recipe, &crops, NULL, &err), &err);
    wt_statistics_steps(&seen, net, WT_CLIP_LARGEST, step);
    assert_true(step[0] == 1 && step[net->layer[net->n_layers - 1].out] == 1);
    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_layer *l = &net->layer[i];
        if (l->op != KN_CONV)
            continue;
        double most = (double)step[l->out] * (l->relu ? KN_QUANT_U8_MOST : KN_QUANT_S16_GOOD);
        assert_true(fabs(most - seen.histogram[i].largest) <= 0.01 * seen.histogram[i].largest);
    }
    wt_statistics_free(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_drawn_and_normalised),
        cmocka_unit_test(every_layer_is_seen_on_every_picture),
        cmocka_unit_test(looking_can_be_given_up),
        cmocka_unit_test(without_batch_norm_nothing_is_told),
        cmocka_unit_test(batch_norm_tells_what_relu_and_sums_make_of_it),
        cmocka_unit_test(steps_reach_the_largest),
    };

    return cmocka_run_group_tests_name("weights-statistics", tests, set_up, tear_down);
}
