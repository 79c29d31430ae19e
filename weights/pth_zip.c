/* pth_zip.c: what torch.save writes since 1.6: a zip of NAME/data.pkl and NAME/data/KEY, stored,
 * or deflated by whoever repacked it. libzip checks structure and CRC-32. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zip.h>

#include "weights/pth.h"

enum {
    MAX_ENTRIES = 65536,
    MAX_NAME = 256,
    NAME_ROOM = MAX_NAME + WT_PTH_MAX_KEY + 16,
};

static const uint64_t MAX_TENSOR_BYTES = UINT64_C(8) << 30; /* of all that is unpacked */

struct archive {
    struct wt_pth *pth;
    zip_t *zip;
    char root[MAX_NAME]; /* "resnet50" of "resnet50/data.pkl" */
    uint64_t n_unpacked;
};

int wt_pth_zip_is(const struct wt_file *file)
{
    return file->n_bytes >= 4 && memcmp(file->bytes, "PK\3\4", 4) == 0;
}

static int bad(const struct archive *a, const char *entry, const char *what)
{
    return wt_fail(a->pth->err, WT_EFORMAT, "%s: %s: %s", a->pth->source->path, entry, what);
}

/* The same of what libzip found. */
static int bad_zip(const struct archive *a, const char *entry, zip_error_t *error)
{
    if (zip_error_code_zip(error) == ZIP_ER_MEMORY)
        return wt_fail(a->pth->err, WT_ENOMEM, "%s: %s: no memory to read it", a->pth->source->path,
                       entry);
    return bad(a, entry, zip_error_strerror(error));
}

static int open_archive(struct archive *a, const struct wt_file *file)
{
    zip_error_t error;
    zip_source_t *source;
    int code = WT_OK;

    zip_error_init(&error);
    source = zip_source_buffer_create(file->bytes, file->n_bytes, 0, &error);
    if (source)
        a->zip = zip_open_from_source(source, ZIP_RDONLY, &error);
    if (!a->zip) {
        code = bad_zip(a, "zip", &error);
        zip_source_free(source);
    } else if (zip_get_num_entries(a->zip, 0) > MAX_ENTRIES) {
        code = bad(a, "zip", "more entries than this program reads");
    }
    zip_error_fini(&error);
    return code;
}

/* The one directory that has a data.pkl. TorchScript's archives have code beside it. */
static int find_root(struct archive *a)
{
    static const char pickle[] = "/data.pkl";
    char script[NAME_ROOM];
    int found = 0;

    for (zip_int64_t i = 0; i < zip_get_num_entries(a->zip, 0); i++) {
        const char *name = zip_get_name(a->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        const char *slash = name ? strchr(name, '/') : NULL;
        if (!slash || strcmp(slash, pickle) != 0 || slash - name >= MAX_NAME)
            continue;
        snprintf(a->root, sizeof a->root, "%.*s", (int)(slash - name), name);
        found++;
    }
    if (found != 1)
        return bad(a, "zip",
                   found ? "expected one NAME/data.pkl, found several"
                         : "expected NAME/data.pkl, as torch.save writes it, found none");
    snprintf(script, sizeof script, "%s/constants.pkl", a->root);
    if (zip_name_locate(a->zip, script, ZIP_FL_ENC_RAW) >= 0)
        return bad(a, script,
                   "a TorchScript archive, whose code is never executed here; in Python: "
                   "torch.save(torch.jit.load(\"IN.pth\").state_dict(), \"weights.pth\")");
    return WT_OK;
}

/* Looks an entry up; *index < 0 when there is none. */
static int find_entry(struct archive *a, const char *name, zip_int64_t *index, uint64_t *n_bytes)
{
    zip_stat_t stat;

    *index = zip_name_locate(a->zip, name, ZIP_FL_ENC_RAW);
    *n_bytes = 0;
    if (*index < 0)
        return WT_OK;
    if (zip_stat_index(a->zip, (zip_uint64_t)*index, 0, &stat) != 0 ||
        !(stat.valid & ZIP_STAT_SIZE))
        return bad_zip(a, name, zip_get_error(a->zip));
    *n_bytes = stat.size;
    return WT_OK;
}

/* Reads exactly n_bytes and the end after them, where libzip compares the CRC. */
static int read_entry(struct archive *a, const char *name, zip_int64_t index, uint8_t *out,
                      uint64_t n_bytes)
{
    zip_file_t *file = zip_fopen_index(a->zip, (zip_uint64_t)index, 0);
    uint64_t at = 0;
    zip_int64_t got = 1;
    int code = WT_OK;
    uint8_t extra;

    if (!file)
        return bad_zip(a, name, zip_get_error(a->zip));
    while (at < n_bytes && got > 0) {
        got = zip_fread(file, out + at, n_bytes - at);
        at += got > 0 ? (uint64_t)got : 0;
    }
    if (got >= 0 && at == n_bytes)
        got = zip_fread(file, &extra, 1);
    if (got < 0)
        code = bad_zip(a, name, zip_file_get_error(file));
    else if (at != n_bytes || got > 0)
        code = bad(a, name, "its size is not what the archive's directory says");
    zip_fclose(file);
    return code;
}

static int load_entry(struct archive *a, const char *name, uint64_t most, uint8_t **out,
                      uint64_t *n_bytes)
{
    zip_int64_t index;
    int code = find_entry(a, name, &index, n_bytes);

    if (code != WT_OK)
        return code;
    if (index < 0)
        return bad(a, name, "not in the archive");
    if (*n_bytes > most || __builtin_add_overflow(a->n_unpacked, *n_bytes, &a->n_unpacked) ||
        a->n_unpacked > MAX_TENSOR_BYTES)
        return bad(a, name, "larger than this program reads");
    *out = wt_source_block(a->pth->source, *n_bytes, a->pth->err);
    return *out ? read_entry(a, name, index, *out, *n_bytes) : WT_ENOMEM;
}

static int check_byte_order(struct archive *a)
{
    uint8_t *order;
    uint64_t n_bytes;
    zip_int64_t index;
    char name[NAME_ROOM];
    int code;

    snprintf(name, sizeof name, "%s/byteorder", a->root);
    code = find_entry(a, name, &index, &n_bytes);
    if (code != WT_OK || index < 0)
        return code; /* torch before 2.1 does not write it */
    code = load_entry(a, name, 16, &order, &n_bytes);
    if (code != WT_OK)
        return code;
    if (n_bytes == 3 && memcmp(order, "big", 3) == 0)
        return bad(a, name, "written on a big-endian machine, which is not supported");
    if (n_bytes != 6 || memcmp(order, "little", 6) != 0)
        return bad(a, name, "expected \"little\"");
    return WT_OK;
}

static int load_storage(struct wt_pth *pth, struct wt_pth_storage *storage)
{
    struct archive *a = pth->ctx;
    char name[NAME_ROOM];
    uint64_t n_bytes;
    uint8_t *data;
    int code;

    snprintf(name, sizeof name, "%s/data/%s", a->root, storage->key);
    code = load_entry(a, name, (uint64_t)storage->n_bytes, &data, &n_bytes);
    if (code != WT_OK)
        return code;
    if (n_bytes != (uint64_t)storage->n_bytes)
        return wt_fail(pth->err, WT_EFORMAT,
                       "%s: %s: expected %" PRId64 " elements of %s, found %" PRIu64 " bytes",
                       pth->source->path, name, storage->count, wt_dtype_name(storage->dtype),
                       n_bytes);
    storage->data = data;
    return WT_OK;
}

static int read_pickle(struct archive *a)
{
    struct wt_pth *pth = a->pth;
    char name[NAME_ROOM];
    uint8_t *bytes;
    uint64_t n_bytes;
    int code;

    snprintf(name, sizeof name, "%s/data.pkl", a->root);
    code = load_entry(a, name, WT_PTH_MAX_PICKLE_BYTES, &bytes, &n_bytes);
    if (code == WT_OK)
        code = wt_pickle_load(&pth->pickle, pth->source->path, bytes, n_bytes, pth->err);
    if (code == WT_OK && pth->pickle.n_used != n_bytes)
        code = bad(a, name, "expected the end after the pickle's STOP");
    return code == WT_OK ? wt_pth_collect(pth) : code;
}

int wt_pth_zip_read(struct wt_pth *pth)
{
    struct archive a = {.pth = pth};
    int code = open_archive(&a, &((const struct wt_source_impl *)pth->source->impl)->file);

    if (code == WT_OK)
        code = find_root(&a);
    if (code == WT_OK)
        code = check_byte_order(&a);
    if (code == WT_OK)
        code = read_pickle(&a);
    pth->ctx = &a;
    if (code == WT_OK)
        code = wt_pth_add_tensors(pth, load_storage);
    pth->ctx = NULL;
    if (a.zip)
        zip_discard(a.zip);
    return code;
}
