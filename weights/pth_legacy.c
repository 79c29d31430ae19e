/* pth_legacy.c: what torch.save wrote before 1.6: three short pickles (magic number, protocol,
 * system), the state_dict's pickle, a pickled list of storage keys, then each storage as an int64
 * count and its elements. Storages are used where they lie in the file. */
#include <string.h>

#include "weights/pth.h"

struct cursor {
    struct wt_pth *pth;
    const uint8_t *bytes;
    size_t n, at;
};

int wt_pth_legacy_is(const struct wt_file *file)
{
    return file->n_bytes >= 2 && file->bytes[0] == 0x80 && file->bytes[1] >= 2 &&
           file->bytes[1] <= 5;
}

static int bad(const struct cursor *c, const char *what)
{
    return wt_fail(c->pth->err, WT_EFORMAT, "%s: byte %zu: %s", c->pth->source->path, c->at, what);
}

static int next_pickle(struct cursor *c, struct wt_pickle *pickle)
{
    size_t n = c->n - c->at;
    int code =
        wt_pickle_load(pickle, c->pth->source->path, c->bytes + c->at,
                       n < WT_PTH_MAX_PICKLE_BYTES ? n : WT_PTH_MAX_PICKLE_BYTES, c->pth->err);

    c->at += pickle->n_used;
    return code;
}

static int check_magic(struct cursor *c, const struct wt_pickle_value *value)
{
    static const uint8_t magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

    if (value->type != WT_PICKLE_BIG_INT || value->text.n != sizeof magic ||
        memcmp(value->text.s, magic, sizeof magic) != 0)
        return bad(c, "a pickle, but not one that torch.save wrote (no magic number)");
    return WT_OK;
}

static int check_protocol(struct cursor *c, const struct wt_pickle_value *value)
{
    if (value->type != WT_PICKLE_INT || value->i != 1001)
        return bad(c, "expected torch.save's protocol 1001");
    return WT_OK;
}

static int check_system(struct cursor *c, const struct wt_pickle *pickle)
{
    const struct wt_pickle_value *root = &pickle->values[pickle->root];
    const struct wt_pickle_value *little = wt_pickle_find(pickle, root, "little_endian");

    if (!little || little->type != WT_PICKLE_BOOL)
        return bad(c, "expected the system's description with \"little_endian\"");
    return little->i ? WT_OK : bad(c, "written on a big-endian machine, which is not supported");
}

static int read_preamble(struct cursor *c)
{
    int code = WT_OK;

    for (int i = 0; i < 3 && code == WT_OK; i++) {
        struct wt_pickle pickle;
        code = next_pickle(c, &pickle);
        if (code == WT_OK && i == 0)
            code = check_magic(c, &pickle.values[pickle.root]);
        else if (code == WT_OK && i == 1)
            code = check_protocol(c, &pickle.values[pickle.root]);
        else if (code == WT_OK)
            code = check_system(c, &pickle);
        wt_pickle_free(&pickle);
    }
    return code;
}

static int read_storage(struct cursor *c, const struct wt_pickle_value *name)
{
    struct wt_pth_storage *storage;
    char key[WT_PTH_MAX_KEY];
    int64_t count;

    if (!wt_pth_key(name, key))
        return bad(c, "expected the storages' keys to be strings");
    storage = wt_pth_find(c->pth, key);
    if (!storage || storage->data)
        return bad(c, "a storage that no tensor has, or that is there twice");
    if (c->n - c->at < sizeof count)
        return bad(c, "ends before its last storage; is the download complete?");
    memcpy(&count, c->bytes + c->at, sizeof count);
    if (count != storage->count)
        return bad(c, "a storage has another number of elements than the pickle says");
    c->at += sizeof count;
    if ((uint64_t)storage->n_bytes > c->n - c->at)
        return bad(c, "ends inside a storage; is the download complete?");
    storage->data = c->bytes + c->at;
    c->at += (size_t)storage->n_bytes;
    return WT_OK;
}

static int read_storages(struct cursor *c)
{
    struct wt_pickle keys;
    int code = next_pickle(c, &keys);
    const struct wt_pickle_value *list = code == WT_OK ? &keys.values[keys.root] : NULL;

    if (list && (list->type != WT_PICKLE_LIST || list->list.n != c->pth->n_storages))
        code = bad(c, "expected a list of as many storages as the pickle describes");
    for (uint32_t i = 0; code == WT_OK && i < list->list.n; i++)
        code = read_storage(c, wt_pickle_item(&keys, list, i));
    if (code == WT_OK && c->at != c->n)
        code = bad(c, "expected the end of the file after the last storage");
    wt_pickle_free(&keys);
    return code;
}

int wt_pth_legacy_read(struct wt_pth *pth)
{
    const struct wt_file *file = &((const struct wt_source_impl *)pth->source->impl)->file;
    struct cursor c = {.pth = pth, .bytes = file->bytes, .n = file->n_bytes};
    int code = read_preamble(&c);

    if (code == WT_OK)
        code = next_pickle(&c, &pth->pickle);
    if (code == WT_OK)
        code = wt_pth_collect(pth);
    if (code == WT_OK)
        code = read_storages(&c);
    return code == WT_OK ? wt_pth_add_tensors(pth, NULL) : code;
}
