/* The pickle machine: what it knows, and that it knows nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/weights-torch.h"
#include "weights/pickle.h"

/* Runs a copy of exactly n bytes, so that ASan sees a byte read too much. */
static int load(struct wt_pickle *pickle, uint8_t **copy, const void *bytes, size_t n,
                struct wt_err *err)
{
    *err = (struct wt_err){.text = ""};
    *copy = malloc(n + !n);
    assert_non_null(*copy);
    memcpy(*copy, bytes, n);
    return wt_pickle_load(pickle, "FILE", *copy, n, err);
}

static void done(struct wt_pickle *pickle, uint8_t *copy)
{
    wt_pickle_free(pickle);
    free(copy);
}

struct program {
    const char *bytes;
    size_t n;
};

#define PROGRAM(s)                                                                                 \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

static void refused(struct program p, enum wt_code code, const char *words)
{
    struct wt_pickle pickle;
    struct wt_err err;
    uint8_t *copy;

    if (load(&pickle, &copy, p.bytes, p.n, &err) != (int)code || !strstr(err.text, words))
        fail_msg("expected \"%s\", found \"%s\"", words, err.text);
    done(&pickle, copy);
}

static void every_plain_value_is_pushed(void **state)
{
    static const struct {
        struct program program;
        enum wt_pickle_type type;
        int64_t i;
        const char *text;
    } rows[] = {
        {PROGRAM("\x80\2N."), WT_PICKLE_NONE, 0, NULL},
        {PROGRAM("\x80\2\x88."), WT_PICKLE_BOOL, 1, NULL},
        {PROGRAM("\x80\2\x89."), WT_PICKLE_BOOL, 0, NULL},
        {PROGRAM("\x80\2K\xff."), WT_PICKLE_INT, 255, NULL},
        {PROGRAM("\x80\2M\xff\xff."), WT_PICKLE_INT, 65535, NULL},
        {PROGRAM("\x80\2J\xff\xff\xff\xff."), WT_PICKLE_INT, -1, NULL},
        {PROGRAM("\x80\2J\0\0\0\x80."), WT_PICKLE_INT, INT32_MIN, NULL},
        {PROGRAM("\x80\2\x8a\0."), WT_PICKLE_INT, 0, NULL},
        {PROGRAM("\x80\2\x8a\1\x80."), WT_PICKLE_INT, -128, NULL},
        {PROGRAM("\x80\2\x8a\2\x80\0."), WT_PICKLE_INT, 128, NULL},
        {PROGRAM("\x80\2\x8a\x08\0\0\0\0\0\0\0\x80."), WT_PICKLE_INT, INT64_MIN, NULL},
        {PROGRAM("\x80\2\x8b\1\0\0\0\7."), WT_PICKLE_INT, 7, NULL},
        {PROGRAM("\x80\2\x8a\x09"
                 "123456789."),
         WT_PICKLE_BIG_INT, 0, "123456789"},
        {PROGRAM("\x80\2G12345678."), WT_PICKLE_FLOAT, 0, NULL},
        {PROGRAM("\x80\2X\3\0\0\0abc."), WT_PICKLE_STRING, 0, "abc"},
        {PROGRAM("\x80\2U\3abc."), WT_PICKLE_STRING, 0, "abc"},
        {PROGRAM("\x80\2T\3\0\0\0abc."), WT_PICKLE_STRING, 0, "abc"},
        {PROGRAM("\x80\3B\3\0\0\0abc."), WT_PICKLE_BYTES, 0, "abc"},
        {PROGRAM("\x80\3C\3abc."), WT_PICKLE_BYTES, 0, "abc"},
        {PROGRAM("\x80\4\x8c\3abc."), WT_PICKLE_STRING, 0, "abc"},
        {PROGRAM("\x80\4\x95\x0d\0\0\0\0\0\0\0\x8d\3\0\0\0\0\0\0\0abc."), WT_PICKLE_STRING, 0,
         "abc"},
        {PROGRAM("\x80\4\x8e\3\0\0\0\0\0\0\0abc."), WT_PICKLE_BYTES, 0, "abc"},
        {PROGRAM("\x80\2K\1K\2"
                 "0."),
         WT_PICKLE_INT, 1, NULL},
        {PROGRAM("\x80\2K\7(K\1K\2"
                 "1."),
         WT_PICKLE_INT, 7, NULL},
        {PROGRAM("\x80\2K\7q\5"
                 "0h\5."),
         WT_PICKLE_INT, 7, NULL},
        {PROGRAM("\x80\2K\7r\5\0\0\0"
                 "0j\5\0\0\0."),
         WT_PICKLE_INT, 7, NULL},
        {PROGRAM("\x80\4K\7\x94K\6\x94"
                 "00h\0."),
         WT_PICKLE_INT, 7, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wt_pickle pickle;
        struct wt_err err;
        const struct wt_pickle_value *root;
        uint8_t *copy;
        if (load(&pickle, &copy, rows[i].program.bytes, rows[i].program.n, &err) != WT_OK)
            fail_msg("row %zu: %s", i, err.text);
        assert_int_equal(pickle.n_used, rows[i].program.n);
        root = &pickle.values[pickle.root];
        assert_int_equal(root->type, rows[i].type);
        if (rows[i].type == WT_PICKLE_INT || rows[i].type == WT_PICKLE_BOOL)
            assert_int_equal(root->i, rows[i].i);
        if (rows[i].text) {
            assert_int_equal(root->text.n, strlen(rows[i].text));
            assert_memory_equal(root->text.s, rows[i].text, root->text.n);
        }
        done(&pickle, copy);
    }
}

static void containers_are_filled(void **state)
{
    static const struct {
        struct program program;
        enum wt_pickle_type type;
        uint32_t n;
    } rows[] = {
        {PROGRAM("\x80\2)."), WT_PICKLE_TUPLE, 0},
        {PROGRAM("\x80\2K\1\x85."), WT_PICKLE_TUPLE, 1},
        {PROGRAM("\x80\2K\1K\2\x86."), WT_PICKLE_TUPLE, 2},
        {PROGRAM("\x80\2K\1K\2K\3\x87."), WT_PICKLE_TUPLE, 3},
        {PROGRAM("\x80\2(K\1K\2K\3K\4t."), WT_PICKLE_TUPLE, 4},
        {PROGRAM("\x80\2]."), WT_PICKLE_LIST, 0},
        {PROGRAM("\x80\2]K\1a(K\1K\2e."), WT_PICKLE_LIST, 3},
        {PROGRAM("\x80\2}."), WT_PICKLE_DICT, 0},
        {PROGRAM("\x80\2}K\1K\2s(K\3K\4K\5K\6u."), WT_PICKLE_DICT, 6},
        {PROGRAM("\x80\4\x8f(K\1K\2\x90."), WT_PICKLE_SET, 2},
        {PROGRAM("\x80\4(K\1K\2\x91."), WT_PICKLE_SET, 2},
        {PROGRAM("\x80\2ccollections\nOrderedDict\n)R."), WT_PICKLE_DICT, 0},
        {PROGRAM("\x80\2ccollections\nOrderedDict\n)\x81."), WT_PICKLE_DICT, 0},
        {PROGRAM("\x80\2ccollections\nOrderedDict\n](](K\1K\2e](K\3K\4ee\x85R."), WT_PICKLE_DICT,
         4},
        {PROGRAM("\x80\2ccollections\nOrderedDict\n)R}b."), WT_PICKLE_DICT, 0},
        {PROGRAM("\x80\4\x8c\x0b"
                 "collections\x8c\x0bOrderedDict\x93)R."),
         WT_PICKLE_DICT, 0},
        {PROGRAM("\x80\2]q\0h\0a."), WT_PICKLE_LIST, 1}, /* a list that holds itself */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wt_pickle pickle;
        struct wt_err err;
        const struct wt_pickle_value *root;
        uint8_t *copy;
        if (load(&pickle, &copy, rows[i].program.bytes, rows[i].program.n, &err) != WT_OK)
            fail_msg("row %zu: %s", i, err.text);
        root = &pickle.values[pickle.root];
        assert_int_equal(root->type, rows[i].type);
        assert_int_equal(root->list.n, rows[i].n);
        done(&pickle, copy);
    }
}

static void nothing_else_is_named(void **state)
{
    static const struct {
        struct program program;
        const char *words;
    } rows[] = {
        {PROGRAM("\x80\2cos\nsystem\nX\4\0\0\0true\x85R."), "os.system"},
        {PROGRAM("\x80\2cbuiltins\neval\n."), "builtins.eval"},
        {PROGRAM("\x80\2c__builtin__\nset\n."), "__builtin__.set"},
        {PROGRAM("\x80\4\x8c\2os\x8c\6system\x93."), "os.system"},
        {PROGRAM("\x80\2ccollections\nOrderedDictX\n."), "collections.OrderedDictX"},
        {PROGRAM("\x80\2ccollections\nOrderedDic\n."), "collections.OrderedDic"},
        {PROGRAM("\x80\2ctorch\nUntypedStorage\n."), "torch.UntypedStorage"},
        {PROGRAM("\x80\2ctorch.nn\nFloatStorage\n."), "torch.nn.FloatStorage"},
        {PROGRAM("\x80\2c\n\n."), "object, ., that"},
        {PROGRAM("\x80\2cev\x1bil\nna\xffme\n."), "ev?il.na?me"},
        {PROGRAM("\x80\2ctorchvision.models.resnet\nResNet\n)\x81}b."),
         "expected a state_dict, found a pickled object, torchvision.models.resnet.ResNet, that "
         "only running code could restore; in Python, where it can be loaded, save what is needed: "
         "torch.save(model.state_dict(), \"weights.pth\")"},
        {PROGRAM("\x80\2(X\6\0\0\0modulecm\nNet\n"), "found a pickled object, m.Net"},
        {PROGRAM("\x80\2}(X\5\0\0\0epochK\3X\4\0\0\0argscargparse\nNamespace\n"),
         "under the key \"args\", argparse.Namespace, which is never executed here; in Python, "
         "save "
         "the state_dict alone: torch.save(torch.load(\"IN.pth\")[\"state_dict\"], "
         "\"weights.pth\")"},
        {PROGRAM("\x80\2}(X\5\0\0\0model}X\1\0\0\0xcm\nX\n"),
         "under the key \"x\", m.X, which is never executed here; in Python, save the state_dict "
         "alone: torch.save(torch.load(\"IN.pth\")[\"model\"], \"weights.pth\")"},
        {PROGRAM("\x80\2}X\5\0\0\0modelcm\nNet\n"),
         "under the key \"model\", m.Net, which is never executed here; in Python, save the "
         "state_dict alone: torch.save(torch.load(\"IN.pth\")[\"model\"].state_dict(), "
         "\"weights.pth\")"},
        {PROGRAM("\x80\2}(X\3\0\0\0opt}(X\5\0\0\0state(cm\nX\n"), "under the key \"opt\", m.X"},
        {PROGRAM("\x80\2}(K\1cm\nX\n"), "holds m.X, which is never executed here"},
        {PROGRAM("\x80\2}cm\nX\n"), "holds m.X, which is never executed here"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refused(rows[i].program, WT_EPICKLE, rows[i].words);
}

static void nonsense_is_refused(void **state)
{
    static const struct {
        struct program program;
        const char *words;
    } rows[] = {
        {PROGRAM(""), "ends before its STOP"},
        {PROGRAM("\x80\2"), "ends before its STOP"},
        {PROGRAM("\x80\2N"), "ends before its STOP"},
        {PROGRAM("\x80"), "middle of an instruction"},
        {PROGRAM("\x80\1N."), "protocol 2, 3 or 4"},
        {PROGRAM("\x80\5N."), "protocol 2, 3 or 4"},
        {PROGRAM("\x80\2."), "other than one value"},
        {PROGRAM("\x80\2NN."), "other than one value"},
        {PROGRAM("\x80\2(N."), "other than one value"},
        {PROGRAM("\x80\2"
                 "0."),
         "empty stack"},
        {PROGRAM("\x80\2N(0."), "empty stack"},
        {PROGRAM("\x80\2N1."), "lacks a mark"},
        {PROGRAM("\x80\2Nt."), "lacks a mark"},
        {PROGRAM("\x80\2N(\x85."), "empty stack"},
        {PROGRAM("\x80\2N\x86."), "empty stack"},
        {PROGRAM("\x80\2"
                 "2."),
         "empty stack"},
        {PROGRAM("\x80\2q\0."), "empty stack"},
        {PROGRAM("\x80\2h\0."), "never put there"},
        {PROGRAM("\x80\2Nq\2h\1."), "never put there"},
        {PROGRAM("\x80\2Nr\xff\xff\xff\xff."), "grows too large"},
        {PROGRAM("\x80\2j\xff\xff\xff\xff."), "never put there"},
        {PROGRAM("\x80\2X\xff\xff\xff\xff."), "middle of an instruction"},
        {PROGRAM("\x80\4\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "middle of an instruction"},
        {PROGRAM("\x80\2\x8b\xff\xff\xff\xff."), "middle of an instruction"},
        {PROGRAM("\x80\2Na."), "empty stack"},
        {PROGRAM("\x80\2NNa."), "adds elements to what cannot have them"},
        {PROGRAM("\x80\2]NNs."), "adds elements"},
        {PROGRAM("\x80\2}(Nu."), "adds elements"},
        {PROGRAM("\x80\2}Na."), "adds elements"},
        {PROGRAM("\x80\2)Na."), "adds elements"},
        {PROGRAM("\x80\2(Nu."), "empty stack"},
        {PROGRAM("\x80\2N)R."), "calls what is no function"},
        {PROGRAM("\x80\2ccollections\nOrderedDict\nNR."), "calls what is no function"},
        {PROGRAM("\x80\2ccollections\nOrderedDict\nNN\x86R."), "OrderedDict with nothing or"},
        {PROGRAM("\x80\2ccollections\nOrderedDict\nN\x85R."), "OrderedDict with nothing or"},
        {PROGRAM("\x80\2ccollections\nOrderedDict\n]Na\x85R."), "OrderedDict with nothing or"},
        {PROGRAM("\x80\2ccollections\nOrderedDict\n]N\x85"
                 "a\x85R."),
         "OrderedDict with nothing or"},
        {PROGRAM("\x80\2ctorch\nFloatStorage\n)R."), "in a way that torch.save does not"},
        {PROGRAM("\x80\2ctorch._utils\n_rebuild_parameter\n)R."), "in a way that torch.save does"},
        {PROGRAM("\x80\2ctorch._utils\n_rebuild_parameter\nN\x85R."), "in a way that torch.save"},
        {PROGRAM("\x80\2ctorch\nFloatStorage\n}b."), "attributes to what is no state_dict"},
        {PROGRAM("\x80\2NQ."), "a tuple as persistent id"},
        {PROGRAM("\x80\2ccollections"), "middle of a name"},
        {PROGRAM("\x80\2ccollections\nOrderedDict"), "middle of a name"},
        {PROGRAM("\x80\4NN\x93."), "two strings"},
        {PROGRAM("\x80\2I7\n."), "instruction 0x49 is none that torch.save writes"},
        {PROGRAM("\x80\2P0\n."), "instruction 0x50"},
        {PROGRAM("\x80\2(imodule\nname\n."), "instruction 0x69"},
        {PROGRAM("\x80\2\x82\1."), "instruction 0x82"},
        {PROGRAM("\x80\2\0."), "instruction 0x00"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refused(rows[i].program, WT_EFORMAT, rows[i].words);
}

static void a_tensor_is_only_described(void **state)
{
    static const struct t_strided tensor = {"w", {"HalfStorage", "0", 6, NULL}, 1, 1, {5}, {1}};
    struct t_bytes b = {0};
    struct wt_pickle pickle;
    const struct wt_pickle_value *root, *value, *type;
    struct wt_err err;
    uint8_t *copy;

    (void)state;
    t_text(&b, "\x80\2}");
    t_p_string(&b, "w");
    t_p_global(&b, "torch._utils", "_rebuild_parameter");
    t_text(&b, "(");
    t_p_tensor(&b, &tensor);
    t_text(&b, "\x88}tRs.");
    assert_int_equal(load(&pickle, &copy, b.p, b.n, &err), WT_OK);
    root = &pickle.values[pickle.root];
    value = wt_pickle_find(&pickle, root, "w");
    assert_int_equal(value->type, WT_PICKLE_TENSOR);
    value = wt_pickle_item(&pickle, &pickle.values[value->args], 0);
    assert_int_equal(value->type, WT_PICKLE_STORAGE);
    type = wt_pickle_item(&pickle, &pickle.values[value->args], 1);
    assert_int_equal(type->global.dtype, WT_F16);
    assert_null(wt_pickle_item(&pickle, &pickle.values[value->args], 5));
    assert_null(wt_pickle_find(&pickle, root, "v"));
    done(&pickle, copy);
    t_bytes_free(&b);
}

/* Appended at once, since a sanitizer's realloc() copies all that is there. */
static void repeat(struct t_bytes *b, const void *bytes, size_t n, size_t times)
{
    uint8_t *all = malloc(times * n);

    assert_non_null(all);
    for (size_t i = 0; i < times; i++)
        memcpy(all + i * n, bytes, n);
    t_put(b, all, times * n);
    free(all);
}

/* A list of pairs copied again and again would take memory with the square of the length. */
static void memory_is_bounded(void **state)
{
    struct t_bytes b = {0}, copied = {0};
    struct wt_pickle pickle;
    struct wt_err err;
    uint8_t *copy;

    (void)state;
    t_text(&b, "\x80\2](");
    repeat(&b, "NN\x86", 3, 100000);
    t_text(&b, "eq");
    t_number(&b, 0, 1);
    t_p_global(&copied, "collections", "OrderedDict");
    t_text(&copied, "h");
    t_number(&copied, 0, 1);
    t_text(&copied, "\x85R");
    repeat(&b, copied.p, copied.n, 1000);
    t_bytes_free(&copied);
    assert_int_equal(load(&pickle, &copy, b.p, b.n, &err), WT_EFORMAT);
    assert_non_null(strstr(err.text, "more elements than this program reads"));
    done(&pickle, copy);
    t_bytes_free(&b);
    t_text(&b, "\x80\2");
    repeat(&b, "(", 1, (1 << 21) + 1);
    assert_int_equal(load(&pickle, &copy, b.p, b.n, &err), WT_EFORMAT);
    assert_non_null(strstr(err.text, "grows too large"));
    done(&pickle, copy);
    t_bytes_free(&b);
}

static void damage_is_survived(void **state)
{
    static const struct t_strided tensors[] = {
        {"a.weight", {"FloatStorage", "0", 6, NULL}, 0, 2, {2, 3}, {3, 1}},
        {"a.bias", {"LongStorage", "1", 1, "N"}, 0, 0, {0}, {0}},
        {NULL, {NULL, NULL, 0, NULL}, 0, 0, {0}, {0}},
    };
    struct t_bytes b = {0};
    struct wt_pickle pickle;
    struct wt_err err;
    uint8_t *copy;

    (void)state;
    t_p_state_dict(&b, tensors);
    for (size_t n = 0; n < b.n; n++) {
        assert_int_equal(load(&pickle, &copy, b.p, n, &err), WT_EFORMAT);
        done(&pickle, copy);
    }
    for (size_t at = 0; at < b.n; at++)
        for (int byte = 0; byte < 256; byte++) {
            uint8_t before = b.p[at];
            b.p[at] = (uint8_t)byte;
            load(&pickle, &copy, b.p, b.n, &err);
            done(&pickle, copy);
            b.p[at] = before;
        }
    t_bytes_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_plain_value_is_pushed), cmocka_unit_test(containers_are_filled),
        cmocka_unit_test(nothing_else_is_named),       cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(a_tensor_is_only_described),  cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(damage_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
