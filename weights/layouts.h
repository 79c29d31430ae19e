/* layouts.h: which layouts of weights there are, and what their tensors are made of; internal to
 * weights/. */
#ifndef WEIGHTS_LAYOUTS_H
#define WEIGHTS_LAYOUTS_H

#include <stdint.h>

enum wt_precision { WT_IN_FP32, WT_IN_BF16, WT_N_PRECISIONS };

struct wt_layout {
    const char *id; /* as kn_pack() knows it */
    enum wt_precision precision;
    uint32_t dtype; /* of the filters; biases are WT_RNM_F32 */
};

/* In the order of a file's sections. */
enum { WT_N_LAYOUTS = 3 };
extern const struct wt_layout wt_layouts[WT_N_LAYOUTS];

const struct wt_layout *wt_layouts_find(const char *id); /* or NULL */

const char *wt_layouts_precision(enum wt_precision precision); /* "fp32" */

const char *wt_layouts_dtype(uint32_t dtype); /* "f32", "bf16" */

/* "fp32,bf16" -> a bit for each; 0 when one is unknown, which *unknown and *n then tell. */
unsigned wt_layouts_parse(const char *list, const char **unknown, int *n);

#endif
