/* layouts.c: the table of layouts and precisions. */
#include "weights/layouts.h"

#include <string.h>

#include "weights/model_format.h"

const struct wt_layout wt_layouts[WT_N_LAYOUTS] = {
    {"f32.plain", WT_IN_FP32, WT_RNM_F32},
    {"f32.n16", WT_IN_FP32, WT_RNM_F32},
    {"bf16.n32", WT_IN_BF16, WT_RNM_BF16},
};

static const char *const precisions[WT_N_PRECISIONS] = {
    [WT_IN_FP32] = "fp32", [WT_IN_BF16] = "bf16"};

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
    return dtype == WT_RNM_BF16 ? "bf16" : "f32";
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
