/* pth.h: what both forms of a .pth file share: a pickle that describes tensors, and storages that
 * hold their elements. Internal to pth*.c. */
#ifndef WEIGHTS_PTH_H
#define WEIGHTS_PTH_H

#include "weights/pickle.h"
#include "weights/reader.h"

enum { WT_PTH_MAX_PICKLE_BYTES = 16 << 20, WT_PTH_MAX_KEY = 64 };

struct wt_pth_storage {
    char key[WT_PTH_MAX_KEY];
    enum wt_dtype dtype;
    int64_t count, n_bytes;
    const uint8_t *data; /* NULL: not loaded yet */
};

struct wt_pth {
    struct wt_source *source;
    struct wt_err *err;
    struct wt_pickle pickle;
    struct wt_pth_storage *storages; /* sorted by key */
    size_t n_storages;
    void *ctx; /* of the loader */
};

/* Sets storage->data [storage->n_bytes], which must live as long as the source. */
typedef int wt_pth_load_fn(struct wt_pth *pth, struct wt_pth_storage *storage);

/* Fills the table of storages from every persistent id in the pickle. */
int wt_pth_collect(struct wt_pth *pth);
struct wt_pth_storage *wt_pth_find(const struct wt_pth *pth, const char *key);

/* Finds the state_dict in the pickle and adds its tensors to the source. */
int wt_pth_add_tensors(struct wt_pth *pth, wt_pth_load_fn *load);

/* Copies a string value; 0 when it is none, holds a NUL or does not fit. */
int wt_pth_key(const struct wt_pickle_value *value, char out[WT_PTH_MAX_KEY]);

int wt_pth_zip_is(const struct wt_file *file);
int wt_pth_zip_read(struct wt_pth *pth);
int wt_pth_legacy_is(const struct wt_file *file);
int wt_pth_legacy_read(struct wt_pth *pth);

#endif
