/* source.c: weights as people have them: opening by content, and taking names to torchvision's. */
#include <stdlib.h>
#include <string.h>

#include "weights/reader.h"

static const char *const prefixes[] = {"module.", "model.", "backbone."};

/* ---- what the readers add ------------------------------------------------------------------- */

static int grow(struct wt_source *source, struct wt_err *err)
{
    struct wt_source_impl *impl = source->impl;
    size_t capacity = impl->capacity ? impl->capacity * 2 : 512;
    void *tensors;

    if (source->n_tensors < impl->capacity)
        return WT_OK;
    if (source->n_tensors >= WT_MAX_TENSORS)
        return wt_fail(err, WT_EFORMAT, "%s: more than %d tensors", source->path, WT_MAX_TENSORS);
    tensors = reallocarray(source->tensors, capacity, sizeof *source->tensors);
    if (!tensors)
        return wt_fail(err, WT_ENOMEM, "%s: no memory for %zu tensors", source->path, capacity);
    source->tensors = tensors;
    impl->capacity = capacity;
    return WT_OK;
}

int wt_source_add(struct wt_source *source, const struct wt_tensor *tensor, const char *name,
                  size_t n, struct wt_err *err)
{
    int code = grow(source, err);
    char *copy;

    if (code != WT_OK)
        return code;
    if (n == 0 || n >= WT_MAX_TENSOR_NAME || memchr(name, '\0', n))
        return wt_fail(err, WT_EFORMAT,
                       "%s: tensor %zu: expected a name of 1 to %d bytes without NUL", source->path,
                       source->n_tensors, WT_MAX_TENSOR_NAME - 1);
    copy = strndup(name, n);
    if (!copy)
        return wt_fail(err, WT_ENOMEM, "%s: no memory for a name", source->path);
    source->tensors[source->n_tensors] = *tensor;
    source->tensors[source->n_tensors++].name = copy;
    return WT_OK;
}

void *wt_source_block(struct wt_source *source, size_t n_bytes, struct wt_err *err)
{
    struct wt_source_impl *impl = source->impl;
    void **blocks = reallocarray(impl->blocks, impl->n_blocks + 1, sizeof *blocks), *block;

    if (blocks)
        impl->blocks = blocks;
    block = blocks ? malloc(n_bytes ? n_bytes : 1) : NULL;
    if (!block)
        wt_fail(err, WT_ENOMEM, "%s: no memory for %zu bytes of tensors", source->path, n_bytes);
    else
        blocks[impl->n_blocks++] = block;
    return block;
}

/* ---- names ---------------------------------------------------------------------------------- */

static size_t prefix_bytes(const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        size_t length = strlen(prefixes[i]);
        if (strncmp(name + n, prefixes[i], length) == 0) {
            n += length;
            i = (size_t)-1; /* "module.model.": look from the first one again */
        }
    }
    return n;
}

/* 1: one of torchvision's names: the network's own, not a loss or a second head. */
static int is_network(const char *name)
{
    static const char *const roots[] = {"conv1.",  "bn1.",    "layer1.", "layer2.",
                                        "layer3.", "layer4.", "fc."};

    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++)
        if (strncmp(name, roots[i], strlen(roots[i])) == 0)
            return 1;
    return 0;
}

static void cut(char *name, size_t at, size_t n)
{
    memmove(name + at, name + at + n, strlen(name + at + n) + 1);
}

/* The prefix is conv1.weight's; every other tensor of the network must carry it as well. */
static int take_prefix_off(struct wt_source *source, struct wt_err *err)
{
    char prefix[WT_MAX_TENSOR_NAME] = "";
    size_t n = 0;

    for (size_t i = 0; i < source->n_tensors && n == 0; i++) {
        const char *name = source->tensors[i].name;
        size_t before = prefix_bytes(name);
        if (strcmp(name + before, "conv1.weight") == 0)
            memcpy(prefix, name, n = before);
    }
    for (size_t i = 0; i < source->n_tensors && n > 0; i++) {
        char *name = source->tensors[i].name;
        size_t before = prefix_bytes(name);
        if (strncmp(name, prefix, n) == 0)
            cut(name, 0, n);
        else if (is_network(name + before))
            return wt_fail(err, WT_ETENSOR,
                           "%s: conv1.weight is there with the prefix \"%s\", %s is not: whose "
                           "tensors are to be taken? Save one network alone",
                           source->path, prefix, name);
    }
    return WT_OK;
}

/* A head of nn.Sequential(Dropout, Linear) has its classifier at index 1. */
static void rename_head(struct wt_source *source)
{
    for (size_t i = 0; i < source->n_tensors; i++)
        if (strncmp(source->tensors[i].name, "fc.1.", 5) == 0)
            cut(source->tensors[i].name, 3, 2);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct wt_tensor *)a)->name, ((const struct wt_tensor *)b)->name);
}

static int settle_names(struct wt_source *source, struct wt_err *err)
{
    int code = take_prefix_off(source, err);

    if (code != WT_OK)
        return code;
    rename_head(source);
    if (source->n_tensors > 0)
        qsort(source->tensors, source->n_tensors, sizeof *source->tensors, by_name);
    for (size_t i = 1; i < source->n_tensors; i++)
        if (by_name(&source->tensors[i - 1], &source->tensors[i]) == 0)
            return wt_fail(err, WT_ETENSOR,
                           "%s: two tensors have the name %s (prefixes such as \"module.\" taken "
                           "off, \"fc.1.\" read as \"fc.\")",
                           source->path, source->tensors[i].name);
    return WT_OK;
}

/* ---- open, find, close ---------------------------------------------------------------------- */

static int read_all(struct wt_source *source, struct wt_err *err)
{
    struct wt_source_impl *impl = source->impl;
    int code = wt_file_open(&impl->file, source->path, err);

    if (code == WT_OK)
        code = wt_pth_is(&impl->file) ? wt_pth_read(source, err) : wt_safetensors_read(source, err);
    if (code == WT_OK)
        code = settle_names(source, err);
    if (code == WT_OK)
        wt_file_sha256(impl->file.bytes, impl->file.n_bytes, source->sha256);
    return code;
}

int wt_source_open(struct wt_source *source, const char *path, struct wt_err *err)
{
    int code;

    memset(source, 0, sizeof *source);
    source->path = path;
    source->impl = calloc(1, sizeof(struct wt_source_impl));
    if (!source->impl)
        return wt_fail(err, WT_ENOMEM, "%s: no memory to read it", path);
    code = read_all(source, err);
    if (code != WT_OK)
        wt_source_close(source);
    return code;
}

void wt_source_close(struct wt_source *source)
{
    struct wt_source_impl *impl = source->impl;

    for (size_t i = 0; i < source->n_tensors; i++)
        free(source->tensors[i].name);
    free(source->tensors);
    for (size_t i = 0; impl && i < impl->n_blocks; i++)
        free(impl->blocks[i]);
    if (impl) {
        free(impl->blocks);
        wt_file_close(&impl->file);
    }
    free(impl);
    memset(source, 0, sizeof *source);
}

const struct wt_tensor *wt_source_find(const struct wt_source *source, const char *name)
{
    struct wt_tensor wanted = {.name = (char *)name};

    if (source->n_tensors == 0)
        return NULL;
    return bsearch(&wanted, source->tensors, source->n_tensors, sizeof *source->tensors, by_name);
}
