/* layouts.c: the table of layouts and precisions. */
#include "weights/layouts.h"

#include <string.h>

#include "weights/model_format.h"

const struct wt_layout wt_layouts[WT_N_LAYOUTS] = {
    {"f32.plain", WT_IN_FP32},
    {"f32.n16", WT_IN_FP32},
    {"bf16.n32", WT_IN_BF16},
    {"s8.n32", WT_IN_INT8},
};

static const char *const precisions[WT_N_PRECISIONS] = {
    [WT_IN_FP32] = "fp32", [WT_IN_BF16] = "bf16", [WT_IN_INT8] = "int8"};

/* int8's first layer and classifier have filters of 16 bits. */
static uint32_t filter_dtype(enum wt_precision precision, const struct kn_layer *layer)
{
    switch (precision) {
    case WT_IN_BF16:
        return WT_RNM_BF16;
    case WT_IN_INT8:
        return layer->in == 0 || layer->op == KN_FC ? WT_RNM_S16 : WT_RNM_S8;
    default:
        return WT_RNM_F32;
    }
}

/* Elements of four bytes. */
static struct wt_part part_of(const char *kind, uint32_t dtype, uint32_t ndim, int rows,
                              int columns)
{
    uint64_t n = (uint64_t)rows * (uint64_t)(ndim == 2 ? columns : 1);
    return (struct wt_part){
        kind, dtype, ndim, {(uint64_t)rows, ndim == 2 ? (uint64_t)columns : 0}, n * 4};
}

int wt_layouts_parts(const struct wt_layout *layout, const struct kn_layer *l,
                     struct wt_part parts[WT_MAX_PARTS])
{
    const int oihw[] = {l->oc, l->ic, l->kh, l->kw};
    int int8 = layout->precision == WT_IN_INT8, n = 0;

    if (l->op != KN_CONV && l->op != KN_FC)
        return 0;
    parts[n] = (struct wt_part){.kind = "weight", .ndim = l->op == KN_FC ? 2 : 4};
    parts[n].dtype = filter_dtype(layout->precision, l);
    parts[n].bytes = kn_pack_bytes(layout->id, l);
    for (uint32_t d = 0; d < parts[n].ndim; d++)
        parts[n].dim[d] = (uint64_t)oihw[d];
    n++;
    parts[n++] = part_of("bias", int8 ? WT_RNM_S32 : WT_RNM_F32, 1, l->oc, 0);
    if (!int8)
        return n;
    parts[n++] = part_of("multiplier", WT_RNM_F32, 1, l->oc, 0);
    parts[n++] = part_of("step", WT_RNM_F32, 1, KN_QUANT_STEPS, 0);
    if (l->in == 0)
        parts[n++] = part_of("input", WT_RNM_F32, 2, 2, l->ic);
    return n;
}

int wt_layouts_notes(const struct wt_layout *layout, const struct kn_net *net,
                     struct wt_part parts[WT_MAX_PARTS])
{
    int n = 0;

    if (layout->precision != WT_IN_INT8)
        return 0;
    for (int i = 0; i < net->n_layers; i++)
        n += net->layer[i].op == KN_CONV || net->layer[i].op == KN_FC;
    parts[0] = part_of("about", WT_RNM_S32, 1, sizeof(struct wt_rnm_calibration) / 4, 0);
    parts[1] = part_of("snr", WT_RNM_F32, 1, n, 0);
    return 2;
}

struct kn_weight wt_layouts_weight(const struct wt_layout *layout,
                                   const void *const data[WT_MAX_PARTS])
{
    struct kn_weight weight = {.w = data[0]};

    if (layout->precision == WT_IN_INT8)
        weight.quant = (struct kn_quant){data[1], data[2], data[3], data[4]};
    else
        weight.bias = data[1];
    return weight;
}

const struct wt_layout *wt_layouts_find(const char *id)
{
    for (int i = 0; i < WT_N_LAYOUTS; i++)
        if (strcmp(wt_layouts[i].id, id) == 0)
            return &wt_layouts[i];
    return NULL;
}

const char *wt_layouts_precision(enum wt_precision precision)
{
    return precisions[precision];
}

const char *wt_layouts_dtype(uint32_t dtype)
{
    static const char *const names[] = {"?", "f32", "bf16", "s8", "s16", "s32"};

    return dtype < sizeof(names) / sizeof(names[0]) ? names[dtype] : names[0];
}

unsigned wt_layouts_parse(const char *list, const char **unknown, int *n)
{
    unsigned found = 0;

    for (size_t length;; list += length + 1) {
        unsigned one = 0;
        length = strcspn(list, ",");
        for (int i = 0; i < WT_N_PRECISIONS; i++)
            if (strlen(precisions[i]) == length && memcmp(list, precisions[i], length) == 0)
                one = 1u << i;
        if (one == 0) {
            *unknown = list;
            *n = (int)length;
            return 0;
        }
        found |= one;
        if (list[length] == '\0')
            return found;
    }
}
