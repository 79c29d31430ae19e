/* pickle: the stack machine alone. What it leaves is a graph of values whose indices are in it. */
#include "tests/fuzz/fuzz.h"
#include "weights/pickle.h"

static void check_value(const struct wt_pickle *pickle, const struct wt_pickle_value *value,
                        const uint8_t *bytes, size_t n)
{
    switch (value->type) {
    case WT_PICKLE_STRING:
    case WT_PICKLE_BYTES:
    case WT_PICKLE_BIG_INT:
        FUZZ_EXPECT(value->text.n <= n &&
                    (value->text.n == 0 ||
                     (value->text.s >= bytes && value->text.s + value->text.n <= bytes + n)));
        wt_pickle_is(value, "storage");
        break;
    case WT_PICKLE_TUPLE:
    case WT_PICKLE_LIST:
    case WT_PICKLE_SET:
    case WT_PICKLE_DICT:
        FUZZ_EXPECT(value->type != WT_PICKLE_DICT || value->list.n % 2 == 0);
        for (uint32_t i = 0; i < value->list.n; i++)
            FUZZ_EXPECT(value->list.item[i] < pickle->n_values);
        FUZZ_EXPECT(wt_pickle_item(pickle, value, value->list.n) == NULL);
        wt_pickle_find(pickle, value, "state_dict");
        break;
    case WT_PICKLE_TENSOR:
    case WT_PICKLE_STORAGE:
        FUZZ_EXPECT(value->args < pickle->n_values);
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct wt_pickle pickle;
    struct wt_err err;
    int code = wt_pickle_load(&pickle, "fuzz", bytes, n, &err);

    if (code == WT_OK) {
        FUZZ_EXPECT(pickle.root < pickle.n_values && pickle.n_used <= n);
        for (uint32_t i = 0; i < pickle.n_values; i++)
            check_value(&pickle, &pickle.values[i], bytes, n);
    }
    wt_pickle_free(&pickle);
    return 0;
}
