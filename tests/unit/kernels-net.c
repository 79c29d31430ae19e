/* The network as a table: what shapes become, and which shapes are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/bench/nets.h"

static struct kn_net net;

static const struct kn_layer *find(const char *name)
{
    for (int i = 0; i < net.n_layers; i++)
        if (strcmp(net.layer[i].name, name) == 0)
            return &net.layer[i];
    fail_msg("no layer %s", name);
    return NULL;
}

static void assert_shape(const char *name, int ic, int oc, int oh, int ow, int k, int stride)
{
    const struct kn_layer *l = find(name);
    int found[] = {l->ic, l->oc, l->oh, l->ow, l->kh, l->kw, l->stride};
    int expected[] = {ic, oc, oh, ow, k, k, stride};
    for (size_t i = 0; i < sizeof found / sizeof *found; i++)
        if (found[i] != expected[i])
            fail_msg("%s: item %zu: expected %d, found %d", name, i, expected[i], found[i]);
}

/* Convolutions, multiply-adds at 224 px and parameters as torchvision's model has them. */
static void every_depth(void **state)
{
    (void)state;
    static const struct {
        int depth, convs;
        double gmacs;
    } known[] = {
        {18, 20, 1.814}, {34, 36, 3.664}, {50, 53, 4.089}, {101, 104, 7.801}, {152, 155, 11.514}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char arch[KN_MAX_NAME];
        t_net(&net, t_arch_of(known[i].depth), 224);
        snprintf(arch, sizeof arch, "resnet%d", known[i].depth);
        assert_string_equal(net.arch, arch);
        assert_int_equal(net.n_layers, known[i].convs + 3);
        assert_int_equal(net.n_values, net.n_layers + 1);
        double gmacs = (double)kn_net_macs(&net) / 1e9;
        assert_true(gmacs > known[i].gmacs - 0.001 && gmacs < known[i].gmacs + 0.001);
        assert_int_equal(net.classes, 1000);
        assert_int_equal(net.features, known[i].depth < 50 ? 512 : 2048);
    }
}

static void resnet50_shapes(void **state)
{
    (void)state;
    t_net(&net, t_arch_of(50), 224);
    assert_shape("conv1", 3, 64, 112, 112, 7, 2);
    assert_shape("maxpool", 64, 64, 56, 56, 3, 2);
    assert_shape("layer1.0.conv1", 64, 64, 56, 56, 1, 1);
    assert_shape("layer1.0.downsample.0", 64, 256, 56, 56, 1, 1);
    assert_shape("layer2.0.conv1", 256, 128, 56, 56, 1, 1);
    assert_shape("layer2.0.conv2", 128, 128, 28, 28, 3, 2);
    assert_shape("layer2.0.downsample.0", 256, 512, 28, 28, 1, 2);
    assert_shape("layer4.2.conv3", 512, 2048, 7, 7, 1, 1);
    assert_shape("avgpool", 2048, 2048, 1, 1, 7, 1);
    assert_shape("fc", 2048, 1000, 1, 1, 1, 1);
    assert_int_equal(find("conv1")->in, 0);
    assert_int_equal(find("layer3.5.conv2")->stage, 3);
    assert_int_equal(find("fc")->stage, 5);
    assert_int_equal(find("layer1.0.downsample.0")->relu, 0);
    assert_int_equal(find("layer1.0.conv3")->relu, 1);
}

/* Shortcuts: the projection where there is one, else the block's input; nowhere else. */
static void residuals(void **state)
{
    (void)state;
    for (int depth = 18; depth <= 50; depth += 32) {
        const char *last = depth == 18 ? "conv2" : "conv3";
        char name[KN_MAX_NAME];
        t_net(&net, t_arch_of(depth), 224);
        snprintf(name, sizeof name, "layer2.0.%s", last);
        assert_int_equal(find(name)->residual, find("layer2.0.downsample.0")->out);
        snprintf(name, sizeof name, "layer2.1.%s", last);
        assert_int_equal(find(name)->residual, find("layer2.1.conv1")->in);
        assert_int_equal(find("layer2.1.conv1")->residual, -1);
    }
}

/* Every value is written before it is read, and by one layer. */
static void values_are_in_order(void **state)
{
    (void)state;
    static const int depths[] = {18, 34, 50, 101, 152};
    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
        int written[KN_MAX_LAYERS + 1] = {1};
        t_net(&net, t_arch_of(depths[d]), 224);
        for (int i = 0; i < net.n_layers; i++) {
            const struct kn_layer *l = &net.layer[i];
            assert_true(written[l->in]);
            assert_true(l->residual < 0 || written[l->residual]);
            assert_false(written[l->out]);
            written[l->out] = 1;
        }
    }
}

static void odd_sizes(void **state)
{
    (void)state;
    static const int sides[][6] = {{232, 116, 58, 29, 15, 8},
                                   {288, 144, 72, 36, 18, 9},
                                   {33, 17, 9, 5, 3, 2},
                                   {1, 1, 1, 1, 1, 1},
                                   {225, 113, 57, 29, 15, 8}};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        t_net(&net, t_arch_of(50), sides[i][0]);
        assert_int_equal(find("conv1")->oh, sides[i][1]);
        assert_int_equal(find("maxpool")->oh, sides[i][2]);
        assert_int_equal(find("layer2.0.downsample.0")->oh, find("layer2.0.conv2")->oh);
        assert_int_equal(find("layer2.0.conv2")->oh, sides[i][3]);
        assert_int_equal(find("layer3.0.conv2")->oh, sides[i][4]);
        assert_int_equal(find("layer4.0.conv2")->oh, sides[i][5]);
        assert_int_equal(find("avgpool")->kh, sides[i][5]);
    }
    struct t_arch arch = t_arch_of(50);
    assert_int_equal(kn_net_init(&net, 200, 320, t_arch_shape, &arch, NULL), KN_OK);
    assert_shape("layer4.2.conv3", 512, 2048, 7, 10, 1, 1);
}

static void widths_and_classes(void **state)
{
    (void)state;
    struct t_arch narrow = t_arch_narrow(t_arch_of(50), 8), wide = t_arch_of(50);
    narrow.classes = 7;
    narrow.channels = 1;
    t_net(&net, narrow, 224);
    assert_string_equal(net.arch, "resnet50-w8");
    assert_int_equal(net.features, 256);
    assert_int_equal(net.classes, 7);
    assert_int_equal(net.layer[0].ic, 1);

    wide.mid = 128; /* torchvision's wide_resnet50_2 */
    t_net(&net, wide, 224);
    assert_string_equal(net.arch, "resnet50-w128");
    assert_shape("layer4.2.conv3", 1024, 2048, 7, 7, 1, 1);
}

/* ---- what is refused ------------------------------------------------------------------------ */

/* torchvision's ResNet-50 with one tensor's shape changed; n_dims 0: taken away. */
struct altered {
    struct t_arch arch;
    const char *name;
    int n_dims;
    int64_t dim[KN_MAX_DIMS];
};

static int altered_shape(void *ctx, const char *name, int64_t dim[KN_MAX_DIMS])
{
    struct altered *a = ctx;
    if (strcmp(name, a->name) != 0)
        return t_arch_shape(&a->arch, name, dim);
    memcpy(dim, a->dim, sizeof a->dim);
    return a->n_dims;
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int n_dims;
        int64_t dim[KN_MAX_DIMS];
        enum kn_code code;
        const char *says;
    } bad[] = {
        {"conv1.weight", 0, {0}, KN_EARCH, "conv1.weight: torchvision's ResNets have it"},
        {"conv1.weight",
         4,
         {64, 3, 3, 3},
         KN_ESHAPE,
         "expected [N,N,7,7] (each 1..65536), found "
         "[64,3,3,3]"},
        {"conv1.weight", 2, {64, 3}, KN_ESHAPE, "found [64,3]"},
        {"conv1.weight", 4, {0, 3, 7, 7}, KN_ESHAPE, "found"},
        {"conv1.weight", 4, {-64, 3, 7, 7}, KN_ESHAPE, "found [-64,3,7,7]"},
        {"conv1.weight", 4, {INT64_C(1) << 40, 3, 7, 7}, KN_ESHAPE, "found [1099511627776,"},
        {"layer1.0.conv1.weight", 0, {0}, KN_EARCH, "layer1.0.conv1.weight"},
        {"layer2.0.conv1.weight",
         4,
         {128, 256, 3, 3},
         KN_ESHAPE,
         "layer2.0.conv1.weight: expected [N,256,1,1] (each 1..65536), found [128,256,3,3]"},
        {"layer2.1.conv2.weight",
         4,
         {128, 4, 3, 3},
         KN_EARCH,
         "expected [128,128,3,3], found [128,4,3,3]: grouped convolutions (ResNeXt)"},
        {"layer3.0.downsample.0.weight", 0, {0}, KN_EARCH, "layer3.0.downsample.0.weight"},
        {"layer3.0.downsample.0.weight", 4, {512, 512, 1, 1}, KN_ESHAPE, "[1024,512,1,1]"},
        {"layer3.2.conv3.weight", 4, {1000, 256, 1, 1}, KN_EARCH, "layer3.2.downsample.0.weight"},
        {"fc.weight", 0, {0}, KN_EARCH, "fc.weight"},
        {"fc.weight", 2, {1000, 512}, KN_ESHAPE, "fc.weight: expected [N,2048]"},
        {"fc.weight", 2, {70000, 2048}, KN_ESHAPE, "found [70000,2048]"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct altered a = {.arch = t_arch_of(50), .name = bad[i].name, .n_dims = bad[i].n_dims};
        struct kn_err err = {.code = KN_OK};
        memcpy(a.dim, bad[i].dim, sizeof a.dim);
        int rc = kn_net_init(&net, 224, 224, altered_shape, &a, &err);
        if (rc != (int)bad[i].code || err.code != bad[i].code || !strstr(err.text, bad[i].says))
            fail_msg("case %zu: expected \"%s\", found code %d \"%s\"", i, bad[i].says, rc,
                     rc ? err.text : "");
    }
}

static void sides_and_sizes(void **state)
{
    (void)state;
    static const int bad[][2] = {{0, 224}, {224, 0}, {-1, 224}, {4097, 224}};
    struct t_arch arch = t_arch_of(50), deep = t_arch_of(50);
    struct kn_err err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(kn_net_init(&net, bad[i][0], bad[i][1], t_arch_shape, &arch, &err),
                         KN_ESHAPE);
    assert_non_null(strstr(err.text, "found 4097 x 224"));
    deep.blocks[2] = 60;
    assert_int_equal(kn_net_init(&net, 224, 224, t_arch_shape, &deep, &err), KN_EARCH);
    assert_non_null(strstr(err.text, "more than 192 layers"));
}

static void error_sentences(void **state)
{
    (void)state;
    struct kn_err err;
    assert_string_equal(kn_strerror(KN_ENOMEM), "out of memory");
    assert_int_equal(kn_fail(&err, KN_ESHAPE, "%s: %d", "here", 3), KN_ESHAPE);
    assert_string_equal(err.text, "KN_ESHAPE: here: 3");
    assert_int_equal(kn_fail(NULL, KN_EARCH, "unseen"), KN_EARCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_depth),     cmocka_unit_test(resnet50_shapes),
        cmocka_unit_test(residuals),       cmocka_unit_test(values_are_in_order),
        cmocka_unit_test(odd_sizes),       cmocka_unit_test(widths_and_classes),
        cmocka_unit_test(refused),         cmocka_unit_test(sides_and_sizes),
        cmocka_unit_test(error_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
