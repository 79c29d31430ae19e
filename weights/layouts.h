/* layouts.h: which layouts of weights there are, and what their tensors are made of; internal to
 * weights/. */
#ifndef WEIGHTS_LAYOUTS_H
#define WEIGHTS_LAYOUTS_H

#include <stdint.h>

#include "kernels/kernels.h"

enum wt_precision { WT_IN_FP32, WT_IN_BF16, WT_IN_INT8, WT_N_PRECISIONS };

struct wt_layout {
    const char *id; /* as kn_pack() knows it */
    enum wt_precision precision;
};

/* One tensor of a layer: "LAYER.kind". */
struct wt_part {
    const char *kind;
    uint32_t dtype, ndim;
    uint64_t dim[KN_MAX_DIMS], bytes;
};

/* In the order of a file's sections. */
enum { WT_N_LAYOUTS = 4, WT_MAX_PARTS = 5 };
extern const struct wt_layout wt_layouts[WT_N_LAYOUTS];

const struct wt_layout *wt_layouts_find(const char *id); /* or NULL */

/* What a layer's parameters are in that layout, in the order of the file: its filters first.
 * Returns how many; pools have none. */
int wt_layouts_parts(const struct wt_layout *layout, const struct kn_layer *layer,
                     struct wt_part parts[WT_MAX_PARTS]);

/* What a section has beside its layers' parameters, after them: of int8 two tensors,
 * WT_LAYOUTS_NOTES "about" and "snr", as model_format.h has them. Returns how many. */
#define WT_LAYOUTS_NOTES "calibration"
int wt_layouts_notes(const struct wt_layout *layout, const struct kn_net *net,
                     struct wt_part parts[WT_MAX_PARTS]);

/* The parameters, of where those parts lie; NULL for those that there are not. */
struct kn_weight wt_layouts_weight(const struct wt_layout *layout,
                                   const void *const data[WT_MAX_PARTS]);

const char *wt_layouts_precision(enum wt_precision precision); /* "fp32" */

const char *wt_layouts_dtype(uint32_t dtype); /* "f32", "bf16" */

/* "fp32,bf16" -> a bit for each; 0 when one is unknown, which *unknown and *n then tell. */
unsigned wt_layouts_parse(const char *list, const char **unknown, int *n);

#endif
