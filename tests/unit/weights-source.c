/* Sources: names of all kinds become torchvision's; elements of all kinds become floats. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/unit/weights-write.h"

static void write_names(struct t_bytes *b, const char *const *names)
{
    struct t_file f = {0};

    for (; *names; names++)
        t_tensor(&f, *names, "U8", "[1]", "x", 1);
    t_finish(&f, b);
}

/* names: up to a NULL, then what they become, sorted, up to a NULL. */
static void becomes(const char *const *names)
{
    struct t_bytes b = {0};
    struct wt_source source;
    size_t i;

    write_names(&b, names);
    t_opens(&source, &b);
    while (*names++)
        ;
    for (i = 0; names[i]; i++) {
        assert_true(i < source.n_tensors);
        assert_string_equal(source.tensors[i].name, names[i]);
        assert_ptr_equal(wt_source_find(&source, names[i]), &source.tensors[i]);
    }
    assert_int_equal(source.n_tensors, i);
    wt_source_close(&source);
    t_bytes_free(&b);
}

static void prefixes_are_taken_off(void **state)
{
    static const char *const names[][12] = {
        {"fc.weight", "conv1.weight", NULL, "conv1.weight", "fc.weight", NULL},
        {"module.fc.weight", "module.conv1.weight", NULL, "conv1.weight", "fc.weight", NULL},
        {"model.conv1.weight", "model.bn1.bias", NULL, "bn1.bias", "conv1.weight", NULL},
        {"backbone.layer1.0.x", "backbone.conv1.weight", NULL, "conv1.weight", "layer1.0.x", NULL},
        {"module.model.conv1.weight", "module.model.fc.bias", NULL, "conv1.weight", "fc.bias",
         NULL},
        {"model.module.backbone.conv1.weight", NULL, "conv1.weight", NULL},
        {"module.module.conv1.weight", NULL, "conv1.weight", NULL},
        /* somebody else's stay, so that the network can be refused for them */
        {"module.conv1.weight", "loss.scale", NULL, "conv1.weight", "loss.scale", NULL},
        {"encoder.conv1.weight", NULL, "encoder.conv1.weight", NULL},
        {"module.encoder.conv1.weight", NULL, "module.encoder.conv1.weight", NULL},
        {"module.fc.weight", NULL, "module.fc.weight", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        becomes(names[i]);
}

static void a_sequential_head_is_found(void **state)
{
    static const char *const names[][8] = {
        {"conv1.weight", "fc.1.weight", "fc.1.bias", NULL, "conv1.weight", "fc.bias", "fc.weight",
         NULL},
        {"module.conv1.weight", "module.fc.1.bias", NULL, "conv1.weight", "fc.bias", NULL},
        {"fc.1.weight", "fc.4.weight", NULL, "fc.4.weight", "fc.weight", NULL},
        {"fc.10.weight", "fc.weight", NULL, "fc.10.weight", "fc.weight", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        becomes(names[i]);
}

static void two_networks_in_one_file_are_refused(void **state)
{
    static const struct {
        const char *names[4], *words;
    } rows[] = {
        {{"fc.weight", "fc.1.weight"}, "two tensors have the name fc.weight"},
        {{"module.conv1.weight", "fc.weight"},
         "conv1.weight is there with the prefix \"module.\", "
         "fc.weight is not"},
        {{"module.conv1.weight", "conv1.weight"}, "conv1.weight is not"},
        {{"module.conv1.weight", "model.conv1.weight"}, "prefix"},
        {{"model.conv1.weight", "model.fc.weight", "model.fc.1.weight"}, "name fc.weight"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct t_bytes b = {0};
        write_names(&b, rows[i].names);
        t_refused(&b, WT_ETENSOR, rows[i].words);
    }
}

static void the_files_hash_is_known(void **state)
{
    struct t_bytes b = {0};
    struct wt_source source;

    (void)state;
    t_safetensors(&b, "{}", "", 0);
    t_opens(&source, &b);
    assert_string_equal(source.sha256, /* printf '\2\0\0\0\0\0\0\0{}' | sha256sum */
                        "411a485216e432ece6b9af94fa32154cf79a2a56d4f81266baa50063f45092bd");
    wt_source_close(&source);
    t_bytes_free(&b);
}

static void cannot_open(const char *path, const char *words)
{
    struct wt_source source;
    struct wt_err err;

    assert_int_equal(wt_source_open(&source, path, &err), WT_EIO);
    assert_non_null(strstr(err.text, path));
    if (!strstr(err.text, words))
        fail_msg("expected \"%s\", found \"%s\"", words, err.text);
    wt_source_close(&source);
}

static void what_is_no_file_is_refused(void **state)
{
    char directory[] = "/tmp/resnet-unit-XXXXXX", path[64];

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/x", directory);
    cannot_open(directory, "found a directory");
    cannot_open(path, "No such file");
    assert_int_equal(mkfifo(path, 0600), 0);
    cannot_open(path, "found a device, pipe or socket");
    unlink(path);
    rmdir(directory);
}

/* ---- elements ------------------------------------------------------------------------------- */

static void every_half_is_exact(void **state)
{
    static uint16_t halves[65536];
    static float floats[65536];
    struct wt_tensor tensor = {.name = (char *)"x",
                               .dtype = WT_F16,
                               .ndim = 1,
                               .dim = {65536},
                               .stride = {1},
                               .data = (const uint8_t *)halves};

    (void)state;
    for (int i = 0; i < 65536; i++)
        halves[i] = (uint16_t)i;
    assert_int_equal(wt_tensor_floats(&tensor, floats, NULL), WT_OK);
    for (int i = 0; i < 65536; i++) {
        int exponent = i >> 10 & 31, mantissa = i & 1023;
        double expected = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
        if (exponent == 31) {
            assert_true(mantissa ? isnan(floats[i]) : isinf(floats[i]));
        } else {
            assert_true((double)fabsf(floats[i]) == expected);
        }
        assert_int_equal(signbit(floats[i]) != 0, i >> 15);
    }
}

static void floats_of_other_sizes_are_converted(void **state)
{
    static const uint16_t bf16[] = {0x3f80, 0xc000, 0x7f80, 0x0001, 0x7fc0};
    static const double f64[] = {1.5, -0.1, 1e-50, 1e300, 16777217.0};
    struct wt_tensor tensor = {.name = (char *)"x",
                               .dtype = WT_BF16,
                               .ndim = 1,
                               .dim = {5},
                               .stride = {1},
                               .data = (const uint8_t *)bf16};
    float x[5];

    (void)state;
    assert_int_equal(wt_tensor_floats(&tensor, x, NULL), WT_OK);
    assert_true(x[0] == 1 && x[1] == -2 && isinf(x[2]) && x[3] == 0x1p-133f && isnan(x[4]));
    tensor.dtype = WT_F64;
    tensor.data = (const uint8_t *)f64;
    assert_int_equal(wt_tensor_floats(&tensor, x, NULL), WT_OK);
    assert_true(x[0] == 1.5f && x[1] == -0.1f && x[2] == 0 && isinf(x[3]) && x[4] == 16777216.0f);
}

static void integers_are_no_weights(void **state)
{
    static const enum wt_dtype dtypes[] = {WT_I64, WT_I32, WT_I16, WT_I8, WT_U8, WT_BOOL};

    (void)state;
    for (int i = 0; i < 6; i++) {
        struct wt_tensor tensor = {.name = (char *)"fc.bias", .dtype = dtypes[i]};
        struct wt_err err;
        assert_int_equal(wt_tensor_floats(&tensor, NULL, &err), WT_ETENSOR);
        assert_non_null(strstr(err.text, "fc.bias: expected floating point"));
    }
}

static void strides_are_followed(void **state)
{
    static const float data[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    static const struct {
        int ndim;
        int64_t dim[3], stride[3];
        float expected[12];
    } rows[] = {
        {2, {3, 4}, {4, 1}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
        {2, {4, 3}, {1, 4}, {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}},
        {3, {2, 1, 3}, {6, 99, 2}, {0, 2, 4, 6, 8, 10}},
        {2, {2, 3}, {0, 1}, {0, 1, 2, 0, 1, 2}},
        {3, {2, 2, 2}, {1, 2, 4}, {0, 4, 2, 6, 1, 5, 3, 7}},
        {0, {0}, {0}, {0}},
        {2, {0, 4}, {4, 1}, {0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wt_tensor tensor = {.name = (char *)"x",
                                   .dtype = WT_F32,
                                   .ndim = rows[i].ndim,
                                   .data = (const uint8_t *)data};
        float found[12];
        memcpy(tensor.dim, rows[i].dim, sizeof rows[i].dim);
        memcpy(tensor.stride, rows[i].stride, sizeof rows[i].stride);
        assert_int_equal(wt_tensor_floats(&tensor, found, NULL), WT_OK);
        assert_memory_equal(found, rows[i].expected,
                            (size_t)wt_tensor_count(&tensor) * sizeof *found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_are_taken_off),
        cmocka_unit_test(a_sequential_head_is_found),
        cmocka_unit_test(two_networks_in_one_file_are_refused),
        cmocka_unit_test(the_files_hash_is_known),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(every_half_is_exact),
        cmocka_unit_test(floats_of_other_sizes_are_converted),
        cmocka_unit_test(integers_are_no_weights),
        cmocka_unit_test(strides_are_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
