/* parts.c: a layer's tensors, made of its folded weights. */
#include "kernels/quant.h"
#include "weights/calibrate.h"

static size_t padded(uint64_t bytes)
{
    return (size_t)(bytes + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN;
}

size_t wt_parts_bytes(const struct wt_part *parts, int n)
{
    size_t bytes = 0;

    for (int p = 0; p < n; p++)
        bytes += padded(parts[p].bytes);
    return bytes;
}

void wt_parts_make(const struct wt_pack *pack, const struct wt_layout *layout, int i,
                   const struct wt_part *parts, int n, void *buffer, const void **data)
{
    char *at = buffer;

    for (int p = 0; p < n; at += padded(parts[p++].bytes))
        data[p] = at;
    if (layout->precision == WT_IN_INT8) {
        const struct kn_weight *from = &pack->int8->weights[i];
        struct kn_quant_out out = {(void *)data[0], (int32_t *)data[1], (float *)data[2],
                                   (float *)data[3], n > 4 ? (float *)data[4] : NULL};
        kn_quant_layer(pack->net, i, pack->int8->step, from->w, from->bias, pack->recipe->mean,
                       pack->recipe->std, &out);
    } else {
        kn_pack(layout->id, &pack->net->layer[i], pack->weights[i].w, buffer);
        data[1] = pack->weights[i].bias;
    }
}
