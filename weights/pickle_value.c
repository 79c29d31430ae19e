/* pickle_value.c: what a pickle may name, and looking at what it built. */
#include <stdlib.h>
#include <string.h>

#include "weights/pickle.h"

static const struct {
    const char *module, *name;
    enum wt_pickle_global kind;
    enum wt_dtype dtype;
} globals[] = {
    {"collections", "OrderedDict", WT_PICKLE_ORDERED_DICT, 0},
    {"torch._utils", "_rebuild_tensor_v2", WT_PICKLE_REBUILD_TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", WT_PICKLE_REBUILD_PARAMETER, 0},
    {"torch.nn.parameter", "Parameter", WT_PICKLE_REBUILD_PARAMETER, 0},
    {"torch", "FloatStorage", WT_PICKLE_STORAGE_TYPE, WT_F32},
    {"torch", "DoubleStorage", WT_PICKLE_STORAGE_TYPE, WT_F64},
    {"torch", "HalfStorage", WT_PICKLE_STORAGE_TYPE, WT_F16},
    {"torch", "BFloat16Storage", WT_PICKLE_STORAGE_TYPE, WT_BF16},
    {"torch", "LongStorage", WT_PICKLE_STORAGE_TYPE, WT_I64},
    {"torch", "IntStorage", WT_PICKLE_STORAGE_TYPE, WT_I32},
    {"torch", "ShortStorage", WT_PICKLE_STORAGE_TYPE, WT_I16},
    {"torch", "CharStorage", WT_PICKLE_STORAGE_TYPE, WT_I8},
    {"torch", "ByteStorage", WT_PICKLE_STORAGE_TYPE, WT_U8},
    {"torch", "BoolStorage", WT_PICKLE_STORAGE_TYPE, WT_BOOL},
};

static int same(const uint8_t *s, size_t n, const char *string)
{
    return n == strlen(string) && memcmp(s, string, n) == 0;
}

int wt_pickle_global(const uint8_t *module, size_t n_module, const uint8_t *name, size_t n_name,
                     struct wt_pickle_value *value)
{
    static const char cuda[] = "torch.cuda"; /* old files name the type by where it lay */

    if (same(module, n_module, cuda))
        n_module = strlen("torch");
    for (size_t i = 0; i < sizeof globals / sizeof globals[0]; i++)
        if (same(module, n_module, globals[i].module) && same(name, n_name, globals[i].name)) {
            *value = (struct wt_pickle_value){.type = WT_PICKLE_GLOBAL};
            value->global.kind = globals[i].kind;
            value->global.dtype = globals[i].dtype;
            return 1;
        }
    return 0;
}

const struct wt_pickle_value *wt_pickle_item(const struct wt_pickle *pickle,
                                             const struct wt_pickle_value *list, uint32_t i)
{
    if (list->type != WT_PICKLE_TUPLE && list->type != WT_PICKLE_LIST &&
        list->type != WT_PICKLE_DICT)
        return NULL;
    return i < list->list.n ? &pickle->values[list->list.item[i]] : NULL;
}

int wt_pickle_is(const struct wt_pickle_value *value, const char *string)
{
    return value && value->type == WT_PICKLE_STRING && same(value->text.s, value->text.n, string);
}

const struct wt_pickle_value *wt_pickle_find(const struct wt_pickle *pickle,
                                             const struct wt_pickle_value *dict, const char *key)
{
    if (dict->type != WT_PICKLE_DICT)
        return NULL;
    for (uint32_t i = dict->list.n; i > 1; i -= 2)
        if (wt_pickle_is(wt_pickle_item(pickle, dict, i - 2), key))
            return wt_pickle_item(pickle, dict, i - 1);
    return NULL;
}

void wt_pickle_value_free(struct wt_pickle_value *value)
{
    if (value->type == WT_PICKLE_TUPLE || value->type == WT_PICKLE_LIST ||
        value->type == WT_PICKLE_DICT || value->type == WT_PICKLE_SET)
        free(value->list.item);
}

void wt_pickle_free(struct wt_pickle *pickle)
{
    for (uint32_t i = 0; i < pickle->n_values; i++)
        wt_pickle_value_free(&pickle->values[i]);
    free(pickle->values);
    memset(pickle, 0, sizeof *pickle);
}
