/* pack.h: making model files; internal to weights/. */
#ifndef WEIGHTS_PACK_H
#define WEIGHTS_PACK_H

#include "weights/labels.h"
#include "weights/layouts.h"
#include "weights/model_format.h"
#include "weights/weights.h"

/* Told now and then what is being done and how far it is (0..1). Returns 0 to go on; anything else
 * gives up, leaving nothing behind. */
typedef int wt_progress_fn(void *ctx, const char *what, double share);

struct wt_progress {
    wt_progress_fn *report; /* NULL: nobody wants to know */
    void *ctx;
};

int wt_progress(const struct wt_progress *progress, const char *what, double share);

struct wt_int8;

/* All that a model file is made of. */
struct wt_pack {
    const struct kn_net *net;
    const struct kn_weight *weights; /* [net->n_layers], "f32.plain", batch-norm folded */
    const struct wt_recipe *recipe;
    const struct wt_labels *labels;
    const struct wt_rnm_selftest *selftest; /* wt_selftest_compute() */
    const char *name;                       /* "ResNet-50" */
    const char *source_sha256;              /* hex; NULL: there was no source */
    int synthetic;
    unsigned precisions;        /* 1 << enum wt_precision for each; 0: fp32 */
    const struct wt_int8 *int8; /* of that precision only: calibrate.h */
};

/* ---- parts.c ---------------------------------------------------------------------------------
 * A layer's parts one after the other, each at a multiple of KN_ALIGN: how long they are together;
 * making them in the buffer, of pack's net, weights, recipe and int8. data: [n], where each one is,
 * which is outside of the buffer for fp32's bias. */
size_t wt_parts_bytes(const struct wt_part *parts, int n);
void wt_parts_make(const struct wt_pack *pack, const struct wt_layout *layout, int i,
                   const struct wt_part *parts, int n, void *buffer, const void **data);

/* ---- pack.c -------------------------------------------------------------------------------- */

/* Writes the file whole or not at all: temporary file in the same directory, fsync, rename, fsync
 * of the directory. The same input gives the same bytes. Errors: WT_EIO, WT_ENOMEM. */
int wt_pack_write(const struct wt_pack *pack, const char *path, const struct wt_progress *progress,
                  struct wt_err *err);

/* "ResNet-50", "Wide ResNet-50-2", or arch itself for other widths. */
void wt_pack_name(char name[64], const struct kn_net *net, int synthetic);

/* ---- selftest.c ------------------------------------------------------------------------------
 * Runs `ref` on the structured input that the seed names; *out is malloc'ed, the caller's. */
int wt_selftest_compute(struct wt_rnm_selftest **out, const struct kn_net *net,
                        const struct kn_weight *weights, const struct wt_recipe *recipe,
                        uint64_t seed, const struct wt_progress *progress, struct wt_err *err);

/* What the same picture gives in int8, which is the same on every machine: the first 8 bytes of its
 * logits' SHA-256. Errors: WT_ENOMEM, WT_ESELFTEST when between stopped it. */
int wt_selftest_exact(uint64_t *check, struct kn_plan *plan, uint64_t seed, kn_between_fn *between,
                      void *ctx, struct wt_err *err);

#endif
