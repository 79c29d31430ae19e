/* reader.h: what the readers of safetensors and .pth share with source.c. Internal to weights/. */
#ifndef WEIGHTS_READER_H
#define WEIGHTS_READER_H

#include "weights/file.h"
#include "weights/source.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files hold little-endian numbers");

/* Behind wt_source.impl: what tensors' data point into. */
struct wt_source_impl {
    struct wt_file file;
    void **blocks;
    size_t n_blocks;
    size_t capacity; /* of wt_source.tensors */
};

/* Each reads the whole file, mapped in source->impl, and adds its tensors. */
int wt_safetensors_read(struct wt_source *source, struct wt_err *err);
int wt_pth_read(struct wt_source *source, struct wt_err *err);

int wt_pth_is(const struct wt_file *file); /* by its first bytes */

/* Adds a tensor, its name copied from n bytes of UTF-8. Errors: WT_EFORMAT (name, count),
 * WT_ENOMEM.
 */
int wt_source_add(struct wt_source *source, const struct wt_tensor *tensor, const char *name,
                  size_t n, struct wt_err *err);

/* Memory that lives as long as the source; NULL with err set when there is none. */
void *wt_source_block(struct wt_source *source, size_t n_bytes, struct wt_err *err);

/* ---- tensor.c ------------------------------------------------------------------------------- */

size_t wt_dtype_bytes(enum wt_dtype dtype);
const char *wt_dtype_name(enum wt_dtype dtype); /* as in safetensors: "F32" */
int wt_dtype_parse(const char *name, enum wt_dtype *dtype);

/* Elements and bytes of ndim dimensions; 0 when either overflows or a dimension is negative. */
int wt_tensor_size(const struct wt_tensor *tensor, int64_t *count, int64_t *n_bytes);

/* Fills stride[] for a dense row-major tensor whose size has been checked. */
void wt_tensor_make_dense(struct wt_tensor *tensor);

/* "[64,3,7,7]" */
enum { WT_SHAPE_TEXT = 21 * WT_MAX_DIMS + 3 };
const char *wt_shape_text(const int64_t *dim, int ndim, char out[WT_SHAPE_TEXT]);

#endif
