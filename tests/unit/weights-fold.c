/* Folding: the arithmetic, in double; and each tensor that a network needs, present, of the right
 * shape, finite. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/weights-write.h"

static void scale_and_shift_go_into_the_filter(void **state)
{
    float w[] = {1, 2, -3, 0.5f, 4, 0}, bias[3];
    const float gamma[] = {2, -1, 1}, beta[] = {0.5f, 0, -1}, mean[] = {1, -2, 3};
    const float var[] = {4, 0, 5e-12f};

    (void)state;
    wt_fold(w, bias, 3, 2, gamma, beta, mean, var);
    for (int o = 0; o < 3; o++) {
        static const float before[] = {1, 2, -3, 0.5f, 4, 0};
        double scale = gamma[o] / sqrt((double)var[o] + 1e-5);
        for (int i = 0; i < 2; i++)
            assert_true(w[2 * o + i] == (float)(before[2 * o + i] * scale));
        assert_true(bias[o] == (float)(beta[o] - mean[o] * scale));
    }
    assert_true(fabs(w[2] - 3 / sqrt(1e-5)) < 1e-3); /* eps alone under a variance of 0 */
}

/* beta - mean * scale cancels: in float it would lose every digit. */
static void the_arithmetic_is_double(void **state)
{
    float w = 1, bias;
    const float gamma = 3, beta = 300000, mean = 100000, var = 1 - 1e-5f;
    double scale = 3 / sqrt((double)var + 1e-5);

    (void)state;
    wt_fold(&w, &bias, 1, 1, &gamma, &beta, &mean, &var);
    assert_true(bias == (float)(300000 - 100000 * scale));
    assert_true(bias != 300000 - 100000 * (float)scale);
}

/* ---- a whole network ------------------------------------------------------------------------ */

enum { WIDTH = 2, CLASSES = 3 };

/* One thing to do differently to the tensor `name`. */
struct change {
    const char *name, *dtype, *shape;
    int omit, set;
    float value; /* of its second element, if set */
};

/* Tensor number k has elements 1 + k / 64, 1 + (k + 1) / 64 ...: positive, so good variances too.
 */
static void put(struct t_file *f, const struct change *c, const char *prefix, const char *suffix,
                const char *shape, int count)
{
    static int k;
    float x[8192];
    char name[96];
    const char *dtype = "F32";

    snprintf(name, sizeof name, "%s%s", prefix, suffix);
    for (int i = 0; i < count; i++)
        x[i] = 1 + (float)((k + i) % 64) / 64;
    k++;
    if (c && strcmp(c->name, name) == 0) {
        dtype = c->dtype ? c->dtype : dtype;
        shape = c->shape ? c->shape : shape;
        if (c->set)
            x[1] = c->value;
        if (c->omit)
            return;
    }
    t_tensor(f, name, dtype, shape, x, (size_t)count * sizeof *x);
}

static void conv(struct t_file *f, const struct change *c, const char *name, const char *norm,
                 int oc, int ic, int k)
{
    static const char *const suffixes[] = {".weight", ".bias", ".running_mean", ".running_var"};
    char shape[64];
    const int64_t batches = 7;

    snprintf(shape, sizeof shape, "[%d,%d,%d,%d]", oc, ic, k, k);
    put(f, c, name, ".weight", shape, oc * ic * k * k);
    snprintf(shape, sizeof shape, "[%d]", oc);
    for (int i = 0; i < 4; i++)
        put(f, c, norm, suffixes[i], shape, oc);
    snprintf(shape, sizeof shape, "%s.num_batches_tracked", norm);
    t_tensor(f, shape, "I64", "[]", &batches, sizeof batches);
}

static void block(struct t_file *f, const struct change *c, int stage, int index, int oc, int ic)
{
    char name[2][40], norm[2][40];

    for (int i = 0; i < 2; i++) {
        snprintf(name[i], sizeof name[i], "layer%d.%d.conv%d", stage, index, i + 1);
        snprintf(norm[i], sizeof norm[i], "layer%d.%d.bn%d", stage, index, i + 1);
        conv(f, c, name[i], norm[i], oc, i ? oc : ic, 3);
    }
    if (oc == ic)
        return;
    snprintf(name[0], sizeof name[0], "layer%d.%d.downsample.0", stage, index);
    snprintf(norm[0], sizeof norm[0], "layer%d.%d.downsample.1", stage, index);
    conv(f, c, name[0], norm[0], oc, ic, 1);
}

/* A ResNet-18 of two channels; extra (or NULL): one tensor more. */
static void resnet18(struct t_bytes *b, const struct change *c, const char *extra)
{
    struct t_file f = {0};
    int ic = WIDTH;

    conv(&f, c, "conv1", "bn1", ic, 3, 7);
    for (int stage = 1; stage <= 4; stage++)
        for (int i = 0; i < 2; i++) {
            int oc = WIDTH << (stage - 1);
            block(&f, c, stage, i, oc, ic);
            ic = oc;
        }
    put(&f, c, "fc", ".weight", "[3,16]", CLASSES * ic);
    put(&f, c, "fc", ".bias", "[3]", CLASSES);
    if (extra)
        put(&f, NULL, extra, "", "[1]", 1);
    t_finish(&f, b);
}

static int fold(struct t_bytes *b, struct wt_folded *folded, struct wt_err *err)
{
    struct wt_source source;
    int code;

    t_opens(&source, b);
    *err = (struct wt_err){.text = ""};
    code = wt_fold_source(folded, &source, 32, err);
    wt_source_close(&source);
    t_bytes_free(b);
    return code;
}

static void a_network_is_folded(void **state)
{
    static struct wt_folded folded;
    struct t_bytes b = {0};
    struct wt_source source;
    struct wt_err err;
    float w[8 * 4 * 9], norm[4][8], bias[8];
    static const char *const tensors[] = {"layer3.0.bn1.weight", "layer3.0.bn1.bias",
                                          "layer3.0.bn1.running_mean", "layer3.0.bn1.running_var"};
    int found = 0;

    (void)state;
    resnet18(&b, NULL, NULL);
    t_opens(&source, &b);
    wt_tensor_floats(wt_source_find(&source, "layer3.0.conv1.weight"), w, NULL);
    for (int i = 0; i < 4; i++)
        wt_tensor_floats(wt_source_find(&source, tensors[i]), norm[i], NULL);
    wt_fold(w, bias, 8, 4 * 9, norm[0], norm[1], norm[2], norm[3]);
    wt_source_close(&source);
    if (fold(&b, &folded, &err) != WT_OK)
        fail_msg("%s", err.text);
    for (int i = 0; i < folded.net.n_layers; i++) {
        const struct kn_layer *layer = &folded.net.layer[i];
        const struct kn_weight *weight = &folded.weights[i];
        int has = layer->op == KN_CONV || layer->op == KN_FC;
        assert_int_equal(weight->w != NULL, has);
        assert_int_equal(weight->bias != NULL, has);
        assert_int_equal((uintptr_t)weight->w % KN_ALIGN, 0);
        assert_int_equal((uintptr_t)weight->bias % KN_ALIGN, 0);
        if (strcmp(layer->name, "layer3.0.conv1") != 0)
            continue;
        assert_memory_equal(weight->w, w, sizeof w);
        assert_memory_equal(weight->bias, bias, sizeof bias);
        assert_non_null(folded.norm[i]);
        assert_memory_equal(folded.norm[i], norm[1], sizeof norm[1]); /* the means are beta */
        for (int o = 0; o < 8; o++) {
            double eps = sqrt((double)norm[3][o] / ((double)norm[3][o] + 1e-5));
            assert_true(folded.norm[i][8 + o] == (float)(fabs((double)norm[0][o]) * eps));
        }
        found++;
    }
    assert_int_equal(found, 1);
    assert_int_equal(folded.net.classes, CLASSES);
    wt_folded_free(&folded);
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        struct change change;
        enum wt_code code;
        const char *words;
    } rows[] = {
        {{"conv1.weight", .omit = 1}, WT_ETENSOR, "conv1.weight is missing"},
        {{"bn1.running_var", .omit = 1}, WT_ETENSOR, "bn1.running_var is missing"},
        {{"layer2.0.downsample.1.bias", .omit = 1},
         WT_ETENSOR,
         "layer2.0.downsample.1.bias is missing"},
        {{"layer4.1.bn2.weight", .omit = 1}, WT_ETENSOR, "layer4.1.bn2.weight is missing"},
        {{"fc.bias", .omit = 1}, WT_ETENSOR, "fc.bias is missing"},
        {{"layer3.1.conv2.weight", .omit = 1}, WT_EARCH, "layer3.1.conv2.weight"},
        {{"layer2.0.bn1.weight", .shape = "[1,4]"},
         WT_ESHAPE,
         "layer2.0.bn1.weight: expected [4], the file has [1,4]"},
        {{"fc.bias", .shape = "[3,1]"}, WT_ESHAPE, "fc.bias: expected [3], the file has [3,1]"},
        {{"layer1.0.conv1.weight", .shape = "[2,2,9,1]"},
         WT_ESHAPE,
         "layer1.0.conv1.weight: expected"},
        {{"layer1.1.conv2.weight", .dtype = "I32"},
         WT_ETENSOR,
         "layer1.1.conv2.weight: expected floating point (F32, F64, F16, BF16), found integers"},
        {{"layer1.1.bn2.running_mean", .dtype = "I32"}, WT_ETENSOR, "found integers"},
        {{"layer1.0.conv1.weight", .set = 1, .value = NAN},
         WT_ETENSOR,
         "layer1.0.conv1.weight: element 1 is not a number"},
        {{"layer1.0.bn1.bias", .set = 1, .value = -INFINITY},
         WT_ETENSOR,
         "layer1.0.bn1.bias: element 1 is infinite"},
        {{"fc.weight", .set = 1, .value = INFINITY},
         WT_ETENSOR,
         "fc.weight: element 1 is infinite"},
        {{"bn1.running_var", .set = 1, .value = -1e-9f},
         WT_ETENSOR,
         "bn1.running_var: element 1, a variance, is negative"},
        {{"bn1.weight", .set = 1, .value = 3e38f}, WT_ETENSOR, "conv1: batch-norm folded in"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct wt_folded folded;
        struct t_bytes b = {0};
        struct wt_err err;
        resnet18(&b, &rows[i].change, NULL);
        int code = fold(&b, &folded, &err);
        if (code != (int)rows[i].code || !strstr(err.text, rows[i].words))
            fail_msg("expected \"%s\", found %d, \"%s\"", rows[i].words, code, err.text);
        assert_null(folded.memory);
    }
}

static void a_negative_scale_or_mean_is_fine(void **state)
{
    static struct wt_folded folded;
    struct change change = {"bn1.weight", .set = 1, .value = -1};
    struct t_bytes b = {0};
    struct wt_err err;

    (void)state;
    resnet18(&b, &change, NULL);
    assert_int_equal(fold(&b, &folded, &err), WT_OK);
    wt_folded_free(&folded);
}

static void a_tensor_too_many_is_named(void **state)
{
    static const char *const extra[] = {"fc2.weight", "conv1.bias", "layer1.1.conv3.weight", "a",
                                        "num_batches_tracked"};
    static struct wt_folded folded;

    (void)state;
    for (int i = 0; i < 5; i++) {
        struct t_bytes b = {0};
        struct wt_err err;
        resnet18(&b, NULL, extra[i]);
        assert_int_not_equal(fold(&b, &folded, &err), WT_OK);
        if (!strstr(err.text, extra[i]))
            fail_msg("%s: %s", extra[i], err.text);
    }
}

static void another_prefix_is_hinted_at(void **state)
{
    static struct wt_folded folded;
    struct t_file f = {0};
    struct t_bytes b = {0};
    struct wt_err err;

    (void)state;
    conv(&f, NULL, "encoder.conv1", "encoder.bn1", 2, 3, 7);
    t_finish(&f, &b);
    assert_int_equal(fold(&b, &folded, &err), WT_ETENSOR);
    assert_non_null(strstr(err.text, "but there is encoder.conv1.weight"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scale_and_shift_go_into_the_filter),
        cmocka_unit_test(the_arithmetic_is_double),
        cmocka_unit_test(a_network_is_folded),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_negative_scale_or_mean_is_fine),
        cmocka_unit_test(a_tensor_too_many_is_named),
        cmocka_unit_test(another_prefix_is_hinted_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
