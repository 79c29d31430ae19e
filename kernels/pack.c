/* pack.c: filters into the layout that an engine reads. A layout is named by what it is, not by who
 * reads it: "f32.plain" is dense [oc, ic, kh, kw]. */
#include <assert.h>
#include <string.h>

#include "kernels/kernels.h"

size_t kn_pack_bytes(const char *layout, const struct kn_layer *layer)
{
    if (strcmp(layout, "f32.plain") != 0 || (layer->op != KN_CONV && layer->op != KN_FC))
        return 0;
    return (size_t)layer->oc * (size_t)layer->ic * (size_t)(layer->kh * layer->kw) * sizeof(float);
}

void kn_pack(const char *layout, const struct kn_layer *layer, const float *oihw, void *out)
{
    size_t bytes = kn_pack_bytes(layout, layer);
    assert(bytes > 0);
    memcpy(out, oihw, bytes);
}
