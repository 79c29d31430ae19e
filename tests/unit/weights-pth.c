/* .pth files, both forms: what they hold is found, and nothing beyond their storages is read. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/weights-torch.h"

static const float numbers[] = {0, 1, 2, 3, 4, 5};
static const uint16_t halves[] = {0x3c00, 0xc000};
static const int64_t seven = 7;

/* w and its transpose share storage 0; h is fp16; n a scalar; v the last two elements of w. */
static const struct t_strided good[] = {
    {"w", {"FloatStorage", "0", 6, NULL}, 0, 2, {2, 3}, {3, 1}},
    {"t", {"FloatStorage", "0", 6, NULL}, 0, 2, {3, 2}, {1, 3}},
    {"v", {"FloatStorage", "0", 6, NULL}, 4, 1, {2}, {1}},
    {"h", {"HalfStorage", "1", 2, NULL}, 0, 1, {2}, {1}},
    {"n", {"LongStorage", "2", 1, NULL}, 0, 0, {0}, {0}},
    {"e", {"FloatStorage", "0", 6, NULL}, 6, 2, {0, 9}, {9, 1}},
    {.name = NULL},
};

/* ---- writing both forms --------------------------------------------------------------------- */

static void zip_of(struct t_bytes *out, const struct t_bytes *pickle, int deflated)
{
    struct t_zip z = {.n = 0};

    t_zip_add(&z, "net/data.pkl", deflated, pickle->p, pickle->n);
    t_zip_add(&z, "net/byteorder", 0, "little", 6);
    t_zip_add(&z, "net/data/0", deflated, numbers, sizeof numbers);
    t_zip_add(&z, "net/data/1", 0, halves, sizeof halves);
    t_zip_add(&z, "net/data/2", 0, &seven, sizeof seven);
    t_zip_add(&z, "net/version", 0, "3\n", 2);
    t_zip_finish(&z, out);
}

static void legacy_of(struct t_bytes *out, const struct t_bytes *pickle)
{
    static const char *const keys[] = {"2", "0", "1", NULL};

    t_legacy_preamble(out, 1);
    t_put(out, pickle->p, pickle->n);
    t_legacy_keys(out, keys);
    t_legacy_storage(out, 1, &seven, sizeof seven);
    t_legacy_storage(out, 6, numbers, sizeof numbers);
    t_legacy_storage(out, 2, halves, sizeof halves);
}

static void check_floats(const struct wt_source *source, const char *name, int n,
                         const float *expected)
{
    const struct wt_tensor *tensor = wt_source_find(source, name);
    float found[6];

    assert_non_null(tensor);
    assert_int_equal(wt_tensor_count(tensor), n);
    assert_int_equal(wt_tensor_floats(tensor, found, NULL), WT_OK);
    assert_memory_equal(found, expected, (size_t)n * sizeof *found);
}

/* The file has the tensors of `good`, and no others. Frees b. */
static void check_good(struct t_bytes *b)
{
    struct wt_source source;

    t_opens(&source, b);
    assert_int_equal(source.n_tensors, 6);
    check_floats(&source, "w", 6, numbers);
    check_floats(&source, "t", 6, (const float[]){0, 3, 1, 4, 2, 5});
    check_floats(&source, "v", 2, (const float[]){4, 5});
    check_floats(&source, "h", 2, (const float[]){1, -2});
    check_floats(&source, "e", 0, numbers);
    assert_int_equal(wt_source_find(&source, "n")->dtype, WT_I64);
    assert_memory_equal(wt_source_find(&source, "n")->data, &seven, sizeof seven);
    wt_source_close(&source);
    t_bytes_free(b);
}

static void both_forms_are_read(void **state)
{
    struct t_bytes pickle = {0}, b = {0};

    (void)state;
    t_p_state_dict(&pickle, good);
    for (int deflated = 0; deflated < 2; deflated++) {
        zip_of(&b, &pickle, deflated);
        check_good(&b);
    }
    legacy_of(&b, &pickle);
    check_good(&b);
    t_bytes_free(&pickle);
}

/* ---- where the state_dict is ---------------------------------------------------------------- */

/* {"epoch": 3, KEY: state_dict, "best": a tensor, "optimizer": {"state": {}}} */
static void write_checkpoint(struct t_bytes *b, const char *key)
{
    t_text(b, "\x80\2}(");
    t_p_string(b, "epoch");
    t_p_int(b, 3);
    t_p_string(b, key);
    t_p_dict(b);
    t_p_items(b, good);
    t_p_string(b, "best");
    t_p_tensor(b, &good[3]);
    t_p_string(b, "optimizer");
    t_text(b, "}");
    t_p_string(b, "state");
    t_text(b, "}su.");
}

static void a_nested_state_dict_is_found(void **state)
{
    static const char *const keys[] = {"state_dict", "model", "model_state_dict"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct t_bytes pickle = {0}, b = {0};
        write_checkpoint(&pickle, keys[i]);
        zip_of(&b, &pickle, 0);
        check_good(&b);
        legacy_of(&b, &pickle);
        check_good(&b);
        t_bytes_free(&pickle);
    }
}

static void plain_values_between_tensors_do_not_matter(void **state)
{
    struct t_bytes pickle = {0}, b = {0};

    (void)state;
    t_text(&pickle, "\x80\2");
    t_p_dict(&pickle);
    t_p_string(&pickle, "epoch");
    t_text(&pickle, "K\3s");
    t_p_items(&pickle, good);
    t_text(&pickle, "}"); /* attributes, as every state_dict of torch has */
    t_p_string(&pickle, "_metadata");
    t_p_dict(&pickle);
    t_text(&pickle, "sb.");
    zip_of(&b, &pickle, 0);
    check_good(&b);
    t_bytes_free(&pickle);
}

static void what_is_no_state_dict_is_refused(void **state)
{
    static const char *const programs[] = {"\x80\2N.", "\x80\2].", "\x80\2}.",
                                           "\x80\2}X\5\0\0\0modelNs."};
    struct t_bytes pickle = {0}, b = {0};

    (void)state;
    for (int i = 0; i < 4; i++) {
        t_put(&pickle, programs[i], i < 3 ? 4 : 16);
        zip_of(&b, &pickle, 0);
        t_refused(&b, WT_EFORMAT, "expected a dict of tensors (a state_dict)");
        t_bytes_free(&pickle);
    }
    t_text(&pickle, "\x80\2}K\1");
    t_p_tensor(&pickle, &good[0]);
    t_text(&pickle, "s.");
    zip_of(&b, &pickle, 0);
    t_refused(&b, WT_EFORMAT, "a tensor's name is no string");
    t_bytes_free(&pickle);
    t_text(&pickle, "\x80\2ctorchvision.models.resnet\nResNet\n)\x81.");
    zip_of(&b, &pickle, 0);
    t_refused(&b, WT_EPICKLE, "torch.save(model.state_dict(), \"weights.pth\")");
    legacy_of(&b, &pickle);
    t_refused(&b, WT_EPICKLE, "torchvision.models.resnet.ResNet");
    t_bytes_free(&pickle);
}

/* ---- one wrong tensor ----------------------------------------------------------------------- */

static void a_tensor_stays_in_its_storage(void **state)
{
    static const struct {
        struct t_strided tensor;
        const char *words;
    } rows[] = {
        {{"x", {"FloatStorage", "0", 6, NULL}, 1, 2, {2, 3}, {3, 1}}, "x: its sizes, strides and"},
        {{"x", {"FloatStorage", "0", 6, NULL}, 0, 1, {7}, {1}}, "reach past"},
        {{"x", {"FloatStorage", "0", 6, NULL}, 0, 1, {2}, {6}}, "reach past"},
        {{"x", {"FloatStorage", "0", 6, NULL}, 6, 0, {0}, {0}}, "reach past"},
        {{"x", {"FloatStorage", "0", 6, NULL}, INT64_MAX, 1, {2}, {1}}, "reach past"},
        {{"x", {"FloatStorage", "0", 6, NULL}, 0, 1, {3}, {INT64_MAX}}, "reach past"},
        {{"x", {"FloatStorage", "0", 6, NULL}, -1, 1, {2}, {1}}, "x: expected an offset"},
        {{"x", {"FloatStorage", "0", 6, NULL}, 0, 1, {-2}, {1}}, "sizes and strides of 0 or more"},
        {{"x", {"FloatStorage", "0", 6, NULL}, 0, 1, {2}, {-1}}, "sizes and strides of 0 or more"},
        {{"x", {"FloatStorage", "0", 6, NULL}, 0, 2, {INT64_MAX, 3}, {0, 0}}, "not overflow"},
        {{"x", {"FloatStorage", "0", 6, NULL}, 0, 1, {INT64_MAX}, {0}}, "not overflow"},
        {{"x", {"FloatStorage", "0", 6, NULL}, 0, 9, {1}, {1}}, "tuples of up to 8"},
        {{"x", {"FloatStorage", "0", -6, NULL}, 0, 1, {1}, {1}}, "\"0\": its number of elements"},
        {{"x", {"FloatStorage", "0", INT64_MAX, NULL}, 0, 1, {1}, {1}}, "negative or overflows"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct t_strided one[] = {rows[i].tensor, {.name = NULL}};
        struct t_bytes pickle = {0}, b = {0};
        t_p_state_dict(&pickle, one);
        zip_of(&b, &pickle, 0);
        t_refused(&b, WT_EFORMAT, rows[i].words);
        t_bytes_free(&pickle);
    }
}

/* Instructions that build what torch never would, as the one value of a dict. */
static void a_tensor_is_described_in_full(void **state)
{
    static const struct {
        const char *program, *words;
    } rows[] = {
        {"ctorch._utils\n_rebuild_tensor_v2\n)R", "x: expected a storage"},
        {"ctorch._utils\n_rebuild_tensor_v2\nN\x85R", "x: expected a storage"},
        {"ctorch._utils\n_rebuild_tensor_v2\n)Q\x85R", "expected (\"storage\", type, key,"},
        {"ctorch._utils\n_rebuild_tensor_v2\n(U\7storageNU\1"
         "0U\3cpuK\6tQ\x85R",
         "a storage type"},
        {"ctorch._utils\n_rebuild_tensor_v2\n(U\7storagectorch\nFloatStorage\nU\1"
         "0U\3cpuNtQ\x85R",
         "number of elements"},
        {"ctorch._utils\n_rebuild_tensor_v2\n(U\7storagectorch\nFloatStorage\nNU\3cpuK\6tQ\x85R",
         "expected (\"storage\""},
        {"ctorch._utils\n_rebuild_tensor_v2\n(U\6modulectorch\nFloatStorage\nU\1"
         "0U\3cpuK\6tQ\x85R",
         "expected (\"storage\""},
        {"ctorch._utils\n_rebuild_tensor_v2\n(U\7storagectorch\nFloatStorage\nU\1"
         "0U\3cpuK\6tQ\x85R",
         "tuples of up to 8 numbers"},
        {"ctorch._utils\n_rebuild_tensor_v2\n((U\7storagectorch\nFloatStorage\nU\1"
         "0U\3cpuK\6tQNK\1"
         "\x85K\1\x85tR",
         "x: expected an offset"},
        {"ctorch._utils\n_rebuild_tensor_v2\n((U\7storagectorch\nFloatStorage\nU\1"
         "0U\3cpuK\6tQNK\1"
         "\x85)tR",
         "as many strides as sizes"},
        {"ctorch._utils\n_rebuild_tensor_v2\n((U\7storagectorch\nFloatStorage\nU\1"
         "0U\3cpuK\6tQNN"
         "\x85N\x85tR",
         "sizes and strides of 0 or more"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct t_bytes pickle = {0}, b = {0};
        t_text(&pickle, "\x80\2}U\1x");
        t_text(&pickle, rows[i].program);
        t_text(&pickle, "s.");
        zip_of(&b, &pickle, 0);
        t_refused(&b, WT_EFORMAT, rows[i].words);
        t_bytes_free(&pickle);
    }
}

static void a_storage_has_one_type_and_size(void **state)
{
    static const struct t_strided pairs[][3] = {
        {{"a", {"FloatStorage", "0", 6, NULL}, 0, 1, {1}, {1}},
         {"b", {"IntStorage", "0", 6, NULL}, 0, 1, {1}, {1}}},
        {{"a", {"FloatStorage", "0", 6, NULL}, 0, 1, {1}, {1}},
         {"b", {"FloatStorage", "0", 5, NULL}, 0, 1, {1}, {1}}},
    };

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct t_bytes pickle = {0}, b = {0};
        t_p_state_dict(&pickle, pairs[i]);
        zip_of(&b, &pickle, 0);
        t_refused(&b, WT_EFORMAT, "storage \"0\": described with two types or sizes");
        t_bytes_free(&pickle);
    }
}

static void names_must_differ(void **state)
{
    static const struct t_strided twice[] = {
        {"a", {"FloatStorage", "0", 6, NULL}, 0, 1, {1}, {1}},
        {"a", {"FloatStorage", "0", 6, NULL}, 1, 1, {1}, {1}},
        {.name = NULL},
    };
    struct t_bytes pickle = {0}, b = {0};

    (void)state;
    t_p_state_dict(&pickle, twice);
    zip_of(&b, &pickle, 0);
    t_refused(&b, WT_ETENSOR, "two tensors have the name a");
    t_bytes_free(&pickle);
}

/* ---- the zip -------------------------------------------------------------------------------- */

struct entry {
    const char *name;
    int deflated;
    const void *data;
    size_t n;
};

static void zip_refused(const struct t_bytes *pickle, const struct entry *e, const char *words)
{
    struct t_zip z = {.n = 0};
    struct t_bytes b = {0};

    for (; e->name; e++)
        t_zip_add(&z, e->name, e->deflated, e->data ? e->data : pickle->p,
                  e->data ? e->n : pickle->n);
    t_zip_finish(&z, &b);
    t_refused(&b, WT_EFORMAT, words);
}

static void a_zip_has_what_the_pickle_names(void **state)
{
    const struct t_strided one[] = {good[0], {.name = NULL}};
    static const struct {
        struct entry entries[4];
        const char *words;
    } rows[] = {
        {{{"net/data.pkl", 0, NULL, 0}}, "net/data/0: not in the archive"},
        {{{"net/data.pkl", 0, NULL, 0}, {"data/0", 0, numbers, 24}}, "net/data/0: not in"},
        {{{"net/data.pkl", 0, NULL, 0}, {"net/data/0", 0, numbers, 20}},
         "net/data/0: expected 6 elements of F32, found 20 bytes"},
        {{{"net/data.pkl", 0, NULL, 0}, {"net/data/0", 0, "28 bytes are four too many..", 28}},
         "larger than"},
        {{{"net/data/0", 0, numbers, 24}}, "found none"},
        {{{"data.pkl", 0, NULL, 0}, {"data/0", 0, numbers, 24}}, "found none"},
        {{{"a/b/data.pkl", 0, NULL, 0}}, "found none"},
        {{{"net/data.pkl", 0, NULL, 0}, {"x/data.pkl", 0, NULL, 0}}, "found several"},
        {{{"net/data.pkl", 0, NULL, 0}, {"net/constants.pkl", 0, "", 0}}, "a TorchScript archive"},
        {{{"net/data.pkl", 0, NULL, 0}, {"net/byteorder", 0, "big", 3}}, "big-endian machine"},
        {{{"net/data.pkl", 0, NULL, 0}, {"net/byteorder", 0, "middle", 6}}, "expected \"little\""},
        {{{"net/data.pkl", 0, NULL, 0}, {"net/byteorder", 0, numbers, 17}}, "larger than"},
        {{{"net/data.pkl", 0, "", 0}}, "ends before its STOP"},
        {{{"net/data.pkl", 0, "\x80\2}..", 5}}, "expected the end after the pickle's STOP"},
    };
    struct t_bytes pickle = {0};

    (void)state;
    t_p_state_dict(&pickle, one);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        zip_refused(&pickle, rows[i].entries, rows[i].words);
    t_bytes_free(&pickle);
}

static void a_flipped_bit_in_a_zip_is_noticed(void **state)
{
    struct t_bytes pickle = {0}, b = {0};
    uint8_t *at;

    (void)state;
    t_p_state_dict(&pickle, good);
    for (int deflated = 0; deflated < 2; deflated++) {
        zip_of(&b, &pickle, deflated);
        at = memmem(b.p, b.n, numbers, sizeof numbers);
        assert_non_null(at);
        at[7] ^= 1;
        t_refused(&b, WT_EFORMAT, "net/data/0: CRC error");
    }
    t_bytes_free(&pickle);
}

/* ---- before 1.6 ----------------------------------------------------------------------------- */

static void a_view_of_a_storage_is_followed(void **state)
{
    static const struct t_strided views[] = {
        {"w", {"FloatStorage", "0", 6, "N"}, 0, 1, {6}, {1}},
        {"v", {"FloatStorage", "0", 6, "(U\1vK\2K\3t"}, 1, 1, {2}, {1}},
        {.name = NULL},
    };
    static const char *const keys[] = {"0", NULL};
    struct t_bytes b = {0};
    struct wt_source source;

    (void)state;
    t_legacy_preamble(&b, 1);
    t_p_state_dict(&b, views);
    t_legacy_keys(&b, keys);
    t_legacy_storage(&b, 6, numbers, sizeof numbers);
    t_opens(&source, &b);
    check_floats(&source, "v", 2, (const float[]){3, 4});
    wt_source_close(&source);
    t_bytes_free(&b);
}

static void a_view_stays_in_its_storage(void **state)
{
    static const struct {
        const char *view;
        int64_t size;
        const char *words;
    } rows[] = {
        {"(U\1vK\2K\5t", 1, "v: is a view that reaches past its storage"},
        {"(U\1vK\2t", 1, "is a view"},
        {"K\1", 1, "is a view"},
        {"(U\1vK\1J\xff\xff\xff\xfft", 1, "is a view"},
        {"(U\1vK\2K\3t", 4, "reach past its storage"},
    };
    static const char *const keys[] = {"0", NULL};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct t_strided one[] = {
            {"v", {"FloatStorage", "0", 6, rows[i].view}, 0, 1, {rows[i].size}, {1}},
            {.name = NULL},
        };
        struct t_bytes b = {0};
        t_legacy_preamble(&b, 1);
        t_p_state_dict(&b, one);
        t_legacy_keys(&b, keys);
        t_legacy_storage(&b, 6, numbers, sizeof numbers);
        t_refused(&b, WT_EFORMAT, rows[i].words);
    }
}

static void the_old_form_is_kept_to(void **state)
{
    const struct t_strided one[] = {good[0], {.name = NULL}};
    static const struct {
        const char *keys[3];
        int64_t count;
        size_t n;
        const char *words;
    } rows[] = {
        {{"1"}, 6, 24, "a storage that no tensor has"},
        {{NULL}, 6, 24, "as many storages as the pickle describes"},
        {{"0", "0"}, 6, 24, "as many storages"},
        {{"0"}, 5, 24, "another number of elements"},
        {{"0"}, -6, 24, "another number of elements"},
        {{"0"}, 6, 23, "ends inside a storage"},
        {{"0"}, 6, 25, "expected the end of the file"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct t_bytes b = {0};
        uint8_t data[32] = {0};
        t_legacy_preamble(&b, 1);
        t_p_state_dict(&b, one);
        t_legacy_keys(&b, rows[i].keys);
        t_legacy_storage(&b, rows[i].count, data, rows[i].n);
        t_refused(&b, WT_EFORMAT, rows[i].words);
    }
}

static void a_storage_is_there_once(void **state)
{
    const struct t_strided two[] = {good[0], good[3], {.name = NULL}};
    static const char *const keys[] = {"0", "0", NULL};
    struct t_bytes b = {0};

    (void)state;
    t_legacy_preamble(&b, 1);
    t_p_state_dict(&b, two);
    t_legacy_keys(&b, keys);
    t_legacy_storage(&b, 6, numbers, sizeof numbers);
    t_legacy_storage(&b, 6, numbers, sizeof numbers);
    t_refused(&b, WT_EFORMAT, "that is there twice");
}

static void other_pickles_are_refused(void **state)
{
    struct t_bytes b = {0};

    (void)state;
    t_legacy_preamble(&b, 0);
    t_refused(&b, WT_EFORMAT, "big-endian machine");
    t_put(&b, "\x80\3}q.", 5); /* pickle.dump({}) */
    t_refused(&b, WT_EFORMAT, "pickle, byte");
    t_put(&b, "\x80\3}.          ", 14);
    t_refused(&b, WT_EFORMAT, "not one that torch.save wrote");
    t_text(&b, "\x80\2\x8a\x0al\xfc\x9c"
               "F\xf9 j\xa8P\x19.\x80\2M\xe8\3.");
    t_refused(&b, WT_EFORMAT, "protocol 1001");
    t_text(&b, "\x80\2\x8a\x0al\xfc\x9c"
               "F\xf9 j\xa8P\x19.\x80\2M\xe9\3.\x80\2}.");
    t_refused(&b, WT_EFORMAT, "little_endian");
}

/* ---- damage --------------------------------------------------------------------------------- */

static void damage_is_survived(void **state)
{
    struct t_bytes pickle = {0}, b = {0};

    (void)state;
    t_p_state_dict(&pickle, good);
    for (int form = 0; form < 3; form++) {
        if (form == 2)
            legacy_of(&b, &pickle);
        else
            zip_of(&b, &pickle, form);
        t_truncations_refused(&b);
        t_survives_flips(&b, 1 + (uint32_t)form);
        t_bytes_free(&b);
    }
    t_bytes_free(&pickle);
}

/* ---- files of PyTorch's own ----------------------------------------------------------------- */

static void check_line(const struct wt_source *source, const char *line)
{
    char name[64];
    const struct wt_tensor *tensor;
    double sum = 0, expected;
    float floats[64];

    assert_int_equal(sscanf(line, "%63s", name), 1);
    assert_int_equal(sscanf(strstr(line, "sum="), "sum=%lf", &expected), 1);
    tensor = wt_source_find(source, name);
    assert_non_null(tensor);
    assert_in_range(wt_tensor_count(tensor), 1, 64);
    if (tensor->dtype == WT_I64) {
        int64_t value;
        memcpy(&value, tensor->data, sizeof value);
        sum = (double)value;
    } else {
        assert_int_equal(wt_tensor_floats(tensor, floats, NULL), WT_OK);
        for (int64_t i = 0; i < wt_tensor_count(tensor); i++)
            sum += (double)floats[i];
    }
    /* printed with 9 digits from float32 sums of at most 48 numbers below 4 */
    assert_true(sum - expected < 1e-4 && expected - sum < 1e-4);
}

static void golden_files_are_read(void **state)
{
    static const char *const forms[] = {"tiny_zip.pth", "tiny_legacy.pth"};
    const char *shared = getenv("RESNET_SHARED");
    char path[512], line[256];

    (void)state;
    if (!shared || access(shared, R_OK) != 0) {
        puts("RESNET_SHARED is not set: no files that PyTorch wrote");
        skip();
    }
    for (int i = 0; i < 2; i++) {
        struct wt_source source;
        struct wt_err err;
        FILE *expected;
        size_t n = 0;
        snprintf(path, sizeof path, "%s/data/weights/%s", shared, forms[i]);
        if (wt_source_open(&source, path, &err) != WT_OK)
            fail_msg("%s", err.text);
        snprintf(line, sizeof line, "%s/data/weights/tiny_expected.txt", shared);
        expected = fopen(line, "r");
        assert_non_null(expected);
        for (; fgets(line, sizeof line, expected); n++)
            check_line(&source, line);
        fclose(expected);
        assert_int_equal(n, source.n_tensors);
        wt_source_close(&source);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_are_read),
        cmocka_unit_test(a_nested_state_dict_is_found),
        cmocka_unit_test(plain_values_between_tensors_do_not_matter),
        cmocka_unit_test(what_is_no_state_dict_is_refused),
        cmocka_unit_test(a_tensor_stays_in_its_storage),
        cmocka_unit_test(a_tensor_is_described_in_full),
        cmocka_unit_test(a_storage_has_one_type_and_size),
        cmocka_unit_test(names_must_differ),
        cmocka_unit_test(a_zip_has_what_the_pickle_names),
        cmocka_unit_test(a_flipped_bit_in_a_zip_is_noticed),
        cmocka_unit_test(a_view_of_a_storage_is_followed),
        cmocka_unit_test(a_view_stays_in_its_storage),
        cmocka_unit_test(the_old_form_is_kept_to),
        cmocka_unit_test(a_storage_is_there_once),
        cmocka_unit_test(other_pickles_are_refused),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(golden_files_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
