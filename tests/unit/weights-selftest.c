/* The golden self-test: it holds for every engine, and an altered weight is found where it is. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/quant.h"
#include "tests/unit/weights-tiny.h"
#include "weights/calibrate.h"

static const double tolerance = 1e-5;

static struct t_tiny tiny;
static uint8_t *image;
static size_t image_bytes;

static int set_up(void **state)
{
    char directory[64], path[96];
    struct wt_err err = {.text = ""};

    (void)state;
    t_tiny_new(&tiny);
    t_directory(directory);
    snprintf(path, sizeof(path), "%s/tiny.rnm", directory);
    t_must(wt_pack_write(&tiny.pack, path, NULL, &err), &err);
    image = t_slurp(path, &image_bytes);
    unlink(path);
    rmdir(directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(image);
    t_tiny_free(&tiny);
    return 0;
}

/* Opens those bytes and runs the self-test with that engine. */
static int run(const uint8_t *bytes, const char *isa, kn_between_fn *between, void *ctx,
               struct wt_err *err)
{
    struct kn_options options = {.isa = isa, .max_batch = 1, .max_threads = 2};
    struct kn_err why = {.text = ""};
    struct kn_plan *plan;
    struct wt_model model;
    struct t_memfd m;

    t_memfd_new(&m, bytes, image_bytes);
    t_must(wt_model_open(&model, m.path, kn_plan_layout(isa, NULL, NULL), err), err);
    if (kn_plan_new(&plan, &model.net, model.weights, &options, &why) != KN_OK)
        fail_msg("%s", why.text);
    int code = wt_selftest(&model, plan, tolerance, between, ctx, err);
    kn_plan_free(plan);
    wt_model_close(&model);
    close(m.fd);
    return code;
}

static void every_engine_passes(void **state)
{
    static const char *const engines[] = {"ref", "blas", NULL};

    (void)state;
    for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
        struct wt_err err = {.text = ""};
        t_must(run(image, engines[i], NULL, NULL, &err), &err);
    }
}

static int tensor_index(const char *name)
{
    const struct wt_rnm_header *h = (const struct wt_rnm_header *)image;
    const struct wt_rnm_section *s = (const struct wt_rnm_section *)(image + h->sections_offset);
    const struct wt_rnm_tensor *t = (const struct wt_rnm_tensor *)(image + s->tensors_offset);

    for (uint32_t i = 0; i < s->n_tensors; i++)
        if (strcmp(t[i].name, name) == 0)
            return (int)i;
    fail_msg("no tensor %s", name);
    return -1;
}

/* Sets the first value of a tensor, mends the checksums, and expects a difference there. */
static void alter(const char *tensor, float value, const char *where)
{
    uint8_t *bytes = malloc(image_bytes);
    struct wt_err err = {.text = ""};

    assert_non_null(bytes);
    memcpy(bytes, image, image_bytes);
    const struct wt_rnm_header *h = (const struct wt_rnm_header *)bytes;
    const struct wt_rnm_section *s = (const struct wt_rnm_section *)(bytes + h->sections_offset);
    const struct wt_rnm_tensor *t = (const struct wt_rnm_tensor *)(bytes + s->tensors_offset);
    memcpy(bytes + s->offset + t[tensor_index(tensor)].offset, &value, sizeof(value));
    t_fix_section(bytes, 0);
    int code = run(bytes, "ref", NULL, NULL, &err);
    free(bytes);
    assert_int_equal(code, WT_ESELFTEST);
    if (strstr(err.text, where) == NULL)
        fail_msg("%s altered: expected \"%s\", found %s", tensor, where, err.text);
}

static void an_altered_weight_is_found_in_its_stage(void **state)
{
    (void)state;
    alter("conv1.weight", 1.5f, "self-test: stem: expected a sum of ");
    alter("conv1.bias", 0.2f, "self-test: stem: ");
    alter("layer1.1.conv2.weight", 1.5f, "self-test: layer1: ");
    alter("layer2.0.downsample.0.weight", 2.5f, "self-test: layer2: ");
    alter("layer3.1.conv1.weight", 5, "self-test: layer3: ");
    alter("layer4.0.conv2.bias", 1, "self-test: layer4: ");
    alter("fc.weight", 1, "self-test: logit 0: expected ");
    alter("fc.bias", 1, "self-test: logit 0: ");
    alter("layer1.0.conv1.weight", NAN, "self-test: layer1: ");
    alter("fc.bias", NAN, "self-test: logit 0: ");
}

struct counter {
    int calls, last, stop_at;
};

static int count(void *ctx, int layer)
{
    struct counter *c = ctx;

    assert_int_equal(layer, c->calls);
    c->calls++;
    c->last = layer;
    return layer != c->stop_at;
}

static void the_callers_callback_ticks_and_stops(void **state)
{
    struct counter c = {.stop_at = -1};
    struct wt_err err = {.text = ""};
    int layers = tiny.folded.net.n_layers;

    (void)state;
    t_must(run(image, "blas", count, &c, &err), &err);
    assert_int_equal(c.last, layers);
    assert_int_equal(c.calls, layers + 1);
    c = (struct counter){.stop_at = 5};
    assert_int_equal(run(image, "blas", count, &c, &err), WT_ESELFTEST);
    assert_int_equal(c.calls, 6);
}

static void seeds_name_inputs(void **state)
{
    struct wt_rnm_selftest *again, *other;
    struct wt_err err = {.text = ""};
    const struct wt_rnm_selftest *first = tiny.selftest;
    size_t bytes = sizeof(*first) + first->n_logits * sizeof(float);

    (void)state;
    t_must(wt_selftest_compute(&again, &tiny.folded.net, tiny.folded.weights, &tiny.recipe, 1, NULL,
                               &err),
           &err);
    t_must(wt_selftest_compute(&other, &tiny.folded.net, tiny.folded.weights, &tiny.recipe, 2, NULL,
                               &err),
           &err);
    assert_memory_equal(again, first, bytes);
    assert_memory_not_equal(other->stage, first->stage, sizeof(first->stage));
    for (int s = 0; s < WT_RNM_STAGES; s++) {
        assert_true(first->stage[s].magnitude > 0);
        assert_true(first->stage[s].sum <= first->stage[s].magnitude);
    }
    free(again);
    free(other);
}

static int stop_at_once(void *ctx, const char *what, double share)
{
    (void)ctx;
    (void)what;
    return share > 0.5;
}

static void packing_can_be_given_up(void **state)
{
    struct wt_progress progress = {.report = stop_at_once};
    struct wt_rnm_selftest *selftest;
    struct wt_err err = {.text = ""};

    (void)state;
    assert_int_equal(wt_selftest_compute(&selftest, &tiny.folded.net, tiny.folded.weights,
                                         &tiny.recipe, 1, &progress, &err),
                     WT_ESELFTEST);
    assert_null(selftest);
}

/* Packs the tiny network with one tensor's first value changed. */
static int compute_with(float *w, float value, struct wt_err *err)
{
    struct wt_rnm_selftest *selftest;
    float before = *w;

    *w = value;
    int code = wt_selftest_compute(&selftest, &tiny.folded.net, tiny.folded.weights, &tiny.recipe,
                                   1, NULL, err);
    *w = before;
    if (code == WT_OK)
        free(selftest);
    return code;
}

static void weights_that_overflow_are_refused(void **state)
{
    struct wt_err err = {.text = ""};
    int last = tiny.folded.net.n_layers - 1;

    (void)state;
    assert_int_equal(compute_with((float *)tiny.folded.weights[0].w, INFINITY, &err), WT_ESELFTEST);
    assert_non_null(strstr(err.text, "stem is not finite"));
    assert_int_equal(compute_with((float *)tiny.folded.weights[last].bias, INFINITY, &err),
                     WT_ESELFTEST);
    assert_non_null(strstr(err.text, "logit 0 is not finite"));
    assert_int_equal(compute_with((float *)tiny.folded.weights[0].w, 0.5f, &err), WT_OK);
}

static void gray_networks_are_refused(void **state)
{
    struct kn_net gray = tiny.folded.net;
    struct wt_rnm_selftest *selftest;
    struct wt_err err = {.text = ""};

    (void)state;
    gray.layer[0].ic = 1;
    assert_int_equal(
        wt_selftest_compute(&selftest, &gray, tiny.folded.weights, &tiny.recipe, 1, NULL, &err),
        WT_EARCH);
    assert_non_null(strstr(err.text, "expected 3 input channels"));
}

/* int8 of the tiny network: what the file says is what every engine computes, to the bit. */
static void int8_is_exact(void **state)
{
    static const char *const isas[] = {"avx512vnni", "avx2", "ref"};
    static struct wt_int8 int8;
    float *step = int8.step;
    struct wt_pack pack = tiny.pack;
    char directory[64], path[96];
    struct wt_err err = {.text = ""};
    struct wt_model model;

    (void)state;
    for (int i = 0; i < pack.net->n_layers; i++)
        step[pack.net->layer[i].out] = pack.net->layer[i].relu ? 0.03f : 0.002f;
    kn_quant_steps(pack.net, step);
    pack.precisions = 1u << WT_IN_INT8;
    memcpy(int8.weights, pack.weights, (size_t)pack.net->n_layers * sizeof(*pack.weights));
    pack.int8 = &int8;
    t_directory(directory);
    snprintf(path, sizeof(path), "%s/int8.rnm", directory);
    t_must(wt_pack_write(&pack, path, NULL, &err), &err);
    for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++)
        for (int wrong = 0; wrong < 2; wrong++) {
            struct kn_options options = {isas[i], "int8", 1, 1, NULL};
            struct kn_plan *plan;
            if (kn_plan_layout(isas[i], "int8", NULL) == NULL)
                continue;
            t_must(wt_model_open(&model, path, "s8.n32", &err), &err);
            assert_string_equal(model.precision, "int8");
            float multiplier[64];
            for (int c = 0; c < model.net.layer[0].oc; c++)
                multiplier[c] = model.weights[0].quant.multiplier[c] * (wrong ? 1.5f : 1);
            model.weights[0].quant.multiplier = multiplier;
            assert_int_equal(kn_plan_new(&plan, &model.net, model.weights, &options, NULL), KN_OK);
            int code = wt_selftest(&model, plan, 0, NULL, NULL, &err);
            assert_int_equal(code, wrong ? WT_ESELFTEST : WT_OK);
            assert_true(!wrong || strstr(err.text, "the int8 logits' digest is") != NULL);
            kn_plan_free(plan);
            wt_model_close(&model);
        }
    unlink(path);
    rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_engine_passes),
        cmocka_unit_test(an_altered_weight_is_found_in_its_stage),
        cmocka_unit_test(the_callers_callback_ticks_and_stops),
        cmocka_unit_test(seeds_name_inputs),
        cmocka_unit_test(packing_can_be_given_up),
        cmocka_unit_test(weights_that_overflow_are_refused),
        cmocka_unit_test(gray_networks_are_refused),
        cmocka_unit_test(int8_is_exact),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
