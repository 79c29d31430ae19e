/* safetensors.c: an 8-byte length, a JSON header, the tensors' bytes without gap or overlap. */
#include <stdlib.h>
#include <string.h>

#include "weights/json.h"
#include "weights/reader.h"

enum {
    LENGTH_BYTES = 8,
    MAX_HEADER_BYTES = 100000000, /* the format's own limit */
    MAX_TOKENS = 1 << 20,
};

struct span {
    int64_t begin, end; /* bytes, relative to the first data byte */
    size_t tensor;
};

struct reading {
    struct wt_source *source;
    struct wt_err *err;
    struct wt_json json;
    const uint8_t *data;
    int64_t n_data;
    struct span *spans; /* one a tensor */
    const char *name;   /* of the tensor being read */
};

static int bad(struct reading *r, const char *what)
{
    return wt_fail(r->err, WT_EFORMAT, "%s: %s: %s", r->source->path, r->name, what);
}

/* ---- one tensor's entry --------------------------------------------------------------------- */

static int read_dtype(struct reading *r, int entry, struct wt_tensor *tensor)
{
    int value = wt_json_find(&r->json, entry, "dtype");
    char name[16];

    if (!wt_json_string(&r->json, value, name, sizeof name, NULL))
        return bad(r, wt_json_type(&r->json, value) == WT_JSON_STRING
                          ? "unknown dtype (a name longer than any known)"
                          : "expected \"dtype\" to be a string");
    if (!wt_dtype_parse(name, &tensor->dtype))
        return wt_fail(r->err, WT_EFORMAT,
                       "%s: %s: unknown dtype \"%s\"; known are F64 F32 F16 BF16 I64 I32 I16 I8 U8 "
                       "BOOL",
                       r->source->path, r->name, name);
    return WT_OK;
}

static int read_shape(struct reading *r, int entry, struct wt_tensor *tensor)
{
    int shape = wt_json_find(&r->json, entry, "shape");

    if (wt_json_type(&r->json, shape) != WT_JSON_ARRAY)
        return bad(r, "expected \"shape\" to be an array");
    if (wt_json_size(&r->json, shape) > WT_MAX_DIMS)
        return wt_fail(r->err, WT_EFORMAT, "%s: %s: expected at most %d dimensions, found %d",
                       r->source->path, r->name, WT_MAX_DIMS, wt_json_size(&r->json, shape));
    tensor->ndim = 0;
    for (int v = wt_json_first(&r->json, shape); v != WT_JSON_NONE; v = wt_json_next(&r->json, v))
        if (!wt_json_int64(&r->json, v, &tensor->dim[tensor->ndim]) ||
            tensor->dim[tensor->ndim++] < 0)
            return bad(r, "expected \"shape\" to hold whole numbers of 0 or more");
    return WT_OK;
}

static int read_offsets(struct reading *r, int entry, struct span *span)
{
    int offsets = wt_json_find(&r->json, entry, "data_offsets");
    int begin = wt_json_first(&r->json, offsets), end = wt_json_next(&r->json, begin);

    if (wt_json_type(&r->json, offsets) != WT_JSON_ARRAY || wt_json_size(&r->json, offsets) != 2)
        return bad(r, "expected \"data_offsets\" to be an array [begin, end]");
    if (!wt_json_int64(&r->json, begin, &span->begin) ||
        !wt_json_int64(&r->json, end, &span->end) || span->begin < 0 || span->end < 0)
        return bad(r, "expected \"data_offsets\" to hold whole numbers of 0 or more");
    if (span->end < span->begin)
        return wt_fail(r->err, WT_EFORMAT,
                       "%s: %s: data_offsets end (%lld) before they begin (%lld)", r->source->path,
                       r->name, (long long)span->end, (long long)span->begin);
    if (span->end > r->n_data)
        return wt_fail(
            r->err, WT_EFORMAT,
            "%s: %s: its data end at byte %lld of the data, but the file has %lld; is the "
            "download complete?",
            r->source->path, r->name, (long long)span->end, (long long)r->n_data);
    return WT_OK;
}

static int check_size(struct reading *r, const struct wt_tensor *tensor, const struct span *span)
{
    int64_t count, n_bytes;
    char shape[WT_SHAPE_TEXT];

    wt_shape_text(tensor->dim, tensor->ndim, shape);
    if (!wt_tensor_size(tensor, &count, &n_bytes))
        return wt_fail(r->err, WT_EFORMAT, "%s: %s: the size of shape %s overflows",
                       r->source->path, r->name, shape);
    if (n_bytes != span->end - span->begin)
        return wt_fail(r->err, WT_EFORMAT,
                       "%s: %s: %s of shape %s takes %lld bytes, data_offsets have %lld",
                       r->source->path, r->name, wt_dtype_name(tensor->dtype), shape,
                       (long long)n_bytes, (long long)(span->end - span->begin));
    return WT_OK;
}

static int check_keys(struct reading *r, int entry)
{
    int twice;

    if (wt_json_type(&r->json, entry) != WT_JSON_OBJECT)
        return bad(r, "expected an object {dtype, shape, data_offsets}");
    if (wt_json_duplicate(&r->json, entry, &twice, r->err) != WT_OK)
        return WT_ENOMEM;
    if (twice != WT_JSON_NONE)
        return bad(r, "a key stands there twice");
    if (wt_json_size(&r->json, entry) != 3)
        return bad(r, "expected exactly the keys dtype, shape, data_offsets");
    return WT_OK;
}

static int read_tensor(struct reading *r, int key)
{
    struct wt_tensor tensor = {0};
    struct span *span = &r->spans[r->source->n_tensors];
    int code, entry = wt_json_value(&r->json, key);
    char name[WT_MAX_TENSOR_NAME];
    size_t n_name;

    if (!wt_json_string(&r->json, key, name, sizeof name, &n_name))
        return bad(r, "a tensor's name is longer than 255 bytes");
    r->name = name;
    span->tensor = r->source->n_tensors;
    code = check_keys(r, entry);
    if (code == WT_OK)
        code = read_dtype(r, entry, &tensor);
    if (code == WT_OK)
        code = read_shape(r, entry, &tensor);
    if (code == WT_OK)
        code = read_offsets(r, entry, span);
    if (code == WT_OK)
        code = check_size(r, &tensor, span);
    if (code == WT_OK) {
        wt_tensor_make_dense(&tensor);
        tensor.data = r->data + span->begin;
        code = wt_source_add(r->source, &tensor, name, n_name, r->err);
    }
    r->name = "header";
    return code;
}

/* ---- the whole header ----------------------------------------------------------------------- */

static int check_metadata(struct reading *r, int metadata)
{
    int twice;

    if (wt_json_type(&r->json, metadata) != WT_JSON_OBJECT)
        return bad(r, "expected __metadata__ to be an object of strings");
    for (int k = wt_json_first(&r->json, metadata); k != WT_JSON_NONE;
         k = wt_json_next(&r->json, k))
        if (wt_json_type(&r->json, wt_json_value(&r->json, k)) != WT_JSON_STRING)
            return bad(r, "expected every value of __metadata__ to be a string");
    if (wt_json_duplicate(&r->json, metadata, &twice, r->err) != WT_OK)
        return WT_ENOMEM;
    return twice == WT_JSON_NONE ? WT_OK : bad(r, "a key of __metadata__ stands there twice");
}

static int check_duplicates(struct reading *r)
{
    char name[WT_MAX_TENSOR_NAME] = "";
    int twice;

    if (wt_json_duplicate(&r->json, WT_JSON_ROOT, &twice, r->err) != WT_OK)
        return WT_ENOMEM;
    if (twice == WT_JSON_NONE)
        return WT_OK;
    wt_json_string(&r->json, twice, name, sizeof name, NULL);
    return wt_fail(r->err, WT_EFORMAT, "%s: header: the name \"%s\" stands there twice",
                   r->source->path, name);
}

static int by_begin(const void *a, const void *b)
{
    const struct span *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* Sorted, the first begins at 0, each where the last one ended, and the last ends with the file. */
static int check_spans(struct reading *r)
{
    size_t n = r->source->n_tensors;
    int64_t end = 0;

    qsort(r->spans, n, sizeof *r->spans, by_begin);
    for (size_t i = 0; i < n; end = r->spans[i++].end) {
        r->name = r->source->tensors[r->spans[i].tensor].name;
        if (r->spans[i].begin != end)
            return wt_fail(r->err, WT_EFORMAT,
                           "%s: %s: expected its data to begin at byte %lld, found %lld (%s)",
                           r->source->path, r->name, (long long)end, (long long)r->spans[i].begin,
                           r->spans[i].begin < end ? "an overlap" : "a gap");
    }
    if (end != r->n_data)
        return wt_fail(r->err, WT_EFORMAT,
                       "%s: expected the data to end after %lld bytes, found %lld more",
                       r->source->path, (long long)end, (long long)(r->n_data - end));
    return WT_OK;
}

static int read_header(struct reading *r)
{
    int code = check_duplicates(r), metadata = wt_json_find(&r->json, WT_JSON_ROOT, "__metadata__");

    if (code == WT_OK && metadata != WT_JSON_NONE)
        code = check_metadata(r, metadata);
    if (code != WT_OK)
        return code;
    r->spans = calloc((size_t)wt_json_size(&r->json, WT_JSON_ROOT) + 1, sizeof *r->spans);
    if (!r->spans)
        return wt_fail(r->err, WT_ENOMEM, "%s: no memory for its table", r->source->path);
    for (int k = wt_json_first(&r->json, WT_JSON_ROOT); k != WT_JSON_NONE;
         k = wt_json_next(&r->json, k)) {
        if (wt_json_value(&r->json, k) == metadata)
            continue;
        code = read_tensor(r, k);
        if (code != WT_OK)
            return code;
    }
    return check_spans(r);
}

static int find_header(const struct wt_source *source, uint64_t *n_header, struct wt_err *err)
{
    const struct wt_file *file = &((const struct wt_source_impl *)source->impl)->file;

    if (file->n_bytes < LENGTH_BYTES + 2)
        return wt_fail(err, WT_EFORMAT,
                       "%s: neither safetensors nor .pth: %zu bytes are too few for either",
                       source->path, file->n_bytes);
    memcpy(n_header, file->bytes, LENGTH_BYTES);
    if (file->bytes[LENGTH_BYTES] != '{')
        return wt_fail(err, WT_EFORMAT,
                       "%s: neither safetensors (byte 8 is not '{') nor .pth (no zip, no pickle)",
                       source->path);
    if (*n_header > MAX_HEADER_BYTES)
        return wt_fail(err, WT_EFORMAT,
                       "%s: its safetensors header has %llu bytes, the format allows %d",
                       source->path, (unsigned long long)*n_header, MAX_HEADER_BYTES);
    if (*n_header > file->n_bytes - LENGTH_BYTES)
        return wt_fail(err, WT_EFORMAT,
                       "%s: its safetensors header has %llu bytes, the file only %zu; is the "
                       "download complete?",
                       source->path, (unsigned long long)*n_header, file->n_bytes);
    return WT_OK;
}

int wt_safetensors_read(struct wt_source *source, struct wt_err *err)
{
    const struct wt_file *file = &((const struct wt_source_impl *)source->impl)->file;
    struct reading r = {.source = source, .err = err, .name = "header"};
    uint64_t n_header = 0;
    struct wt_err inner;
    int code = find_header(source, &n_header, err);

    if (code != WT_OK)
        return code;
    r.data = file->bytes + LENGTH_BYTES + n_header;
    r.n_data = (int64_t)(file->n_bytes - LENGTH_BYTES - n_header);
    code = wt_json_parse(&r.json, (const char *)file->bytes + LENGTH_BYTES, n_header, MAX_TOKENS,
                         &inner);
    code = code == WT_OK
               ? read_header(&r)
               : wt_fail(err, code, "%s: header: %s", source->path, wt_err_sentence(&inner));
    free(r.spans);
    wt_json_free(&r.json);
    return code;
}
