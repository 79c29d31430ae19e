/* pth.c: from torch.save's pickle to tensors: which dict, which storage, which part of it. */
#include <stdlib.h>
#include <string.h>

#include "weights/pth.h"

/* ---- storages ------------------------------------------------------------------------------- */

int wt_pth_key(const struct wt_pickle_value *value, char out[WT_PTH_MAX_KEY])
{
    if (!value || value->type != WT_PICKLE_STRING || value->text.n == 0 ||
        value->text.n >= WT_PTH_MAX_KEY || memchr(value->text.s, '\0', value->text.n))
        return 0;
    memcpy(out, value->text.s, value->text.n);
    out[value->text.n] = '\0';
    return 1;
}

static int bad_storage(struct wt_pth *pth, const char *key, const char *what)
{
    return wt_fail(pth->err, WT_EFORMAT, "%s: storage \"%s\": %s", pth->source->path, key, what);
}

/* ("storage", type, key, location, count [, None or a view]) */
static int describe_storage(struct wt_pth *pth, const struct wt_pickle_value *args,
                            struct wt_pth_storage *storage)
{
    const struct wt_pickle_value *type = wt_pickle_item(&pth->pickle, args, 1);
    const struct wt_pickle_value *count = wt_pickle_item(&pth->pickle, args, 4);

    if (!wt_pickle_is(wt_pickle_item(&pth->pickle, args, 0), "storage") || !count ||
        !wt_pth_key(wt_pickle_item(&pth->pickle, args, 2), storage->key))
        return bad_storage(pth, "?", "expected (\"storage\", type, key, location, count)");
    if (type->type != WT_PICKLE_GLOBAL || type->global.kind != WT_PICKLE_STORAGE_TYPE)
        return bad_storage(pth, storage->key, "expected a storage type such as torch.FloatStorage");
    storage->dtype = type->global.dtype;
    storage->count = count->i;
    if (count->type != WT_PICKLE_INT || count->i < 0 ||
        __builtin_mul_overflow(count->i, wt_dtype_bytes(storage->dtype), &storage->n_bytes))
        return bad_storage(pth, storage->key, "its number of elements is negative or overflows");
    return WT_OK;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct wt_pth_storage *)a)->key, ((const struct wt_pth_storage *)b)->key);
}

/* Tensors that share a storage name it each time anew: one row is kept. */
static int merge_storages(struct wt_pth *pth)
{
    size_t kept = 0;

    qsort(pth->storages, pth->n_storages, sizeof *pth->storages, by_key);
    for (size_t i = 0; i < pth->n_storages; i++) {
        const struct wt_pth_storage *next = &pth->storages[i];
        const struct wt_pth_storage *last = kept > 0 ? &pth->storages[kept - 1] : NULL;
        if (!last || by_key(last, next) != 0)
            pth->storages[kept++] = *next;
        else if (last->dtype != next->dtype || last->count != next->count)
            return bad_storage(pth, next->key, "described with two types or sizes");
    }
    pth->n_storages = kept;
    return WT_OK;
}

int wt_pth_collect(struct wt_pth *pth)
{
    const struct wt_pickle *pickle = &pth->pickle;
    size_t n = 0;

    for (uint32_t i = 0; i < pickle->n_values; i++)
        n += pickle->values[i].type == WT_PICKLE_STORAGE;
    pth->storages = calloc(n + 1, sizeof *pth->storages);
    if (!pth->storages)
        return wt_fail(pth->err, WT_ENOMEM, "%s: no memory for %zu storages", pth->source->path, n);
    for (uint32_t i = 0; i < pickle->n_values; i++) {
        const struct wt_pickle_value *value = &pickle->values[i];
        if (value->type != WT_PICKLE_STORAGE)
            continue;
        int code =
            describe_storage(pth, &pickle->values[value->args], &pth->storages[pth->n_storages++]);
        if (code != WT_OK)
            return code;
    }
    return merge_storages(pth);
}

struct wt_pth_storage *wt_pth_find(const struct wt_pth *pth, const char *key)
{
    struct wt_pth_storage wanted;

    memcpy(wanted.key, key, strlen(key) + 1);
    return bsearch(&wanted, pth->storages, pth->n_storages, sizeof *pth->storages, by_key);
}

/* ---- tensors -------------------------------------------------------------------------------- */

struct part {
    struct wt_pth_storage *storage;
    int64_t begin, count; /* elements; old files have storages that are views of others */
};

static int bad_tensor(struct wt_pth *pth, const struct wt_pickle_value *name, const char *what)
{
    return wt_fail(pth->err, WT_EFORMAT, "%s: %.*s: %s", pth->source->path,
                   (int)(name->text.n < 200 ? name->text.n : 200), (const char *)name->text.s,
                   what);
}

static int is_int(const struct wt_pickle_value *value)
{
    return value && value->type == WT_PICKLE_INT && value->i >= 0;
}

static int find_part(struct wt_pth *pth, const struct wt_pickle_value *name,
                     const struct wt_pickle_value *value, struct part *part)
{
    const struct wt_pickle_value *args, *view, *begin, *count;
    char key[WT_PTH_MAX_KEY];
    int64_t end;

    if (!value || value->type != WT_PICKLE_STORAGE)
        return bad_tensor(pth, name, "expected a storage");
    args = &pth->pickle.values[value->args];
    wt_pth_key(wt_pickle_item(&pth->pickle, args, 2), key); /* checked by wt_pth_collect() */
    part->storage = wt_pth_find(pth, key);
    part->begin = 0;
    part->count = part->storage->count;
    view = wt_pickle_item(&pth->pickle, args, 5);
    if (!view || view->type == WT_PICKLE_NONE)
        return WT_OK;
    begin = wt_pickle_item(&pth->pickle, view, 1); /* (key of the view, begin, count) */
    count = wt_pickle_item(&pth->pickle, view, 2);
    if (!is_int(begin) || !is_int(count) || __builtin_add_overflow(begin->i, count->i, &end) ||
        end > part->storage->count)
        return bad_tensor(pth, name, "is a view that reaches past its storage");
    part->begin = begin->i;
    part->count = count->i;
    return WT_OK;
}

static int read_numbers(struct wt_pth *pth, const struct wt_pickle_value *name,
                        const struct wt_pickle_value *tuple, int64_t *out, int *n)
{
    if (!tuple || tuple->type != WT_PICKLE_TUPLE || tuple->list.n > WT_MAX_DIMS)
        return bad_tensor(pth, name, "expected sizes and strides to be tuples of up to 8 numbers");
    *n = (int)tuple->list.n;
    for (uint32_t i = 0; i < tuple->list.n; i++) {
        const struct wt_pickle_value *number = wt_pickle_item(&pth->pickle, tuple, i);
        if (!is_int(number))
            return bad_tensor(pth, name, "expected sizes and strides of 0 or more");
        out[i] = number->i;
    }
    return WT_OK;
}

/* 1: the element of the largest index, offset from the first, is inside `count` elements. */
static int is_inside(const struct wt_tensor *tensor, int64_t offset, int64_t count)
{
    int64_t last = offset, step;

    for (int i = 0; i < tensor->ndim; i++) {
        if (tensor->dim[i] == 0)
            return 1;
        if (__builtin_mul_overflow(tensor->dim[i] - 1, tensor->stride[i], &step) ||
            __builtin_add_overflow(last, step, &last))
            return 0;
    }
    return last < count;
}

/* _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks) */
static int read_tensor(struct wt_pth *pth, const struct wt_pickle_value *name,
                       const struct wt_pickle_value *value, wt_pth_load_fn *load)
{
    const struct wt_pickle_value *args = &pth->pickle.values[value->args];
    const struct wt_pickle_value *offset = wt_pickle_item(&pth->pickle, args, 1);
    struct wt_tensor tensor = {0};
    struct part part = {0};
    int64_t count, n_bytes;
    int n_strides = 0;
    int code = find_part(pth, name, wt_pickle_item(&pth->pickle, args, 0), &part);

    if (code == WT_OK)
        code = read_numbers(pth, name, wt_pickle_item(&pth->pickle, args, 2), tensor.dim,
                            &tensor.ndim);
    if (code == WT_OK)
        code = read_numbers(pth, name, wt_pickle_item(&pth->pickle, args, 3), tensor.stride,
                            &n_strides);
    if (code != WT_OK)
        return code;
    tensor.dtype = part.storage->dtype;
    if (n_strides != tensor.ndim || !is_int(offset) || !wt_tensor_size(&tensor, &count, &n_bytes))
        return bad_tensor(pth, name,
                          "expected an offset, and as many strides as sizes, whose "
                          "product does not overflow");
    if (count > 0 && !is_inside(&tensor, offset->i, part.count))
        return bad_tensor(pth, name, "its sizes, strides and offset reach past its storage");
    code = part.storage->data || !load ? WT_OK : load(pth, part.storage);
    if (code != WT_OK)
        return code;
    tensor.data = part.storage->data;
    if (count > 0)
        tensor.data += (part.begin + offset->i) * (int64_t)wt_dtype_bytes(tensor.dtype);
    return wt_source_add(pth->source, &tensor, (const char *)name->text.s, name->text.n, pth->err);
}

/* ---- the dict ------------------------------------------------------------------------------- */

static int has_tensors(const struct wt_pth *pth, const struct wt_pickle_value *dict)
{
    if (!dict || dict->type != WT_PICKLE_DICT)
        return 0;
    for (uint32_t i = 1; i < dict->list.n; i += 2)
        if (wt_pickle_item(&pth->pickle, dict, i)->type == WT_PICKLE_TENSOR)
            return 1;
    return 0;
}

/* The nested ones first: a checkpoint may have a tensor of its own, such as the best accuracy. */
static const struct wt_pickle_value *find_state_dict(const struct wt_pth *pth)
{
    static const char *const keys[] = {"state_dict", "model", "model_state_dict"};
    const struct wt_pickle_value *root = &pth->pickle.values[pth->pickle.root];

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const struct wt_pickle_value *nested = wt_pickle_find(&pth->pickle, root, keys[i]);
        if (has_tensors(pth, nested))
            return nested;
    }
    return has_tensors(pth, root) ? root : NULL;
}

int wt_pth_add_tensors(struct wt_pth *pth, wt_pth_load_fn *load)
{
    const struct wt_pickle_value *dict = find_state_dict(pth);
    int code = WT_OK;

    if (!dict)
        return wt_fail(
            pth->err, WT_EFORMAT,
            "%s: expected a dict of tensors (a state_dict), or one under \"state_dict\", "
            "\"model\" or \"model_state_dict\", found neither",
            pth->source->path);
    for (uint32_t i = 0; i + 1 < dict->list.n && code == WT_OK; i += 2) {
        const struct wt_pickle_value *name = wt_pickle_item(&pth->pickle, dict, i);
        const struct wt_pickle_value *value = wt_pickle_item(&pth->pickle, dict, i + 1);
        if (value->type != WT_PICKLE_TENSOR)
            continue;
        if (name->type != WT_PICKLE_STRING)
            return wt_fail(pth->err, WT_EFORMAT, "%s: a tensor's name is no string",
                           pth->source->path);
        code = read_tensor(pth, name, value, load);
    }
    return code;
}

/* ---- the file ------------------------------------------------------------------------------- */

int wt_pth_is(const struct wt_file *file)
{
    return wt_pth_zip_is(file) || wt_pth_legacy_is(file);
}

int wt_pth_read(struct wt_source *source, struct wt_err *err)
{
    const struct wt_file *file = &((const struct wt_source_impl *)source->impl)->file;
    struct wt_pth pth = {.source = source, .err = err};
    int code = wt_pth_zip_is(file) ? wt_pth_zip_read(&pth) : wt_pth_legacy_read(&pth);

    wt_pickle_free(&pth.pickle);
    free(pth.storages);
    return code;
}
