/* pack.c: filters into the layout that an engine reads. A layout is named by what it is, not by who
 * reads it:
 *
 *   f32.plain  dense [oc, ic, kh, kw]
 *   f32.n16    panels of 16 output channels, zeros where oc or ic do not fill 16 (ic16: rounded up)
 *              1x1 and strided filters, classifier  [panel][ic16 / 16][kh][kw][16][16]
 *              the first layer                      [panel][ic][kh][kw][16]
 *              3x3, by Winograd (winograd.h)        [pair of panels][weight][2][ic16][16],
 *                                                   the last panel of an odd number by itself
 *   bf16.n32   pack_bf16.c
 *   s8.n32     pack_s8.c; kn_quant_layer() makes it
 */
#include <assert.h>
#include <string.h>

#include "kernels/blocked.h"
#include "kernels/engine.h"
#include "kernels/pack_s8.h"
#include "kernels/winograd.h"

enum { BLOCK = KN_F32_BLOCK };

/* Inputs of one panel, points or taps included. */
static size_t panel_inputs(const struct kn_layer *l)
{
    const struct kn_winograd *form = kn_winograd_of(l);
    size_t taps = (size_t)(l->kh * l->kw);
    if (kn_kind_of(l) == KN_CONV_STEM)
        return (size_t)l->ic * taps;
    return (size_t)kn_blocked_blocks(l->ic) * BLOCK * (form ? (size_t)form->weights : taps);
}

size_t kn_pack_bytes(const char *layout, const struct kn_layer *l)
{
    if (l->op != KN_CONV && l->op != KN_FC)
        return 0;
    if (strcmp(layout, "f32.plain") == 0)
        return (size_t)l->oc * (size_t)l->ic * (size_t)(l->kh * l->kw) * sizeof(float);
    if (strcmp(layout, "f32.n16") == 0)
        return (size_t)kn_blocked_blocks(l->oc) * BLOCK * panel_inputs(l) * sizeof(float);
    if (strcmp(layout, "bf16.n32") == 0)
        return kn_pack_bf16_bytes(l);
    if (strcmp(layout, "s8.n32") == 0)
        return kn_pack_s8_bytes(l);
    return 0;
}

/* Where tap t of filter (o, i) goes. */
static size_t direct_place(const struct kn_layer *l, size_t o, size_t i, size_t t)
{
    size_t taps = (size_t)(l->kh * l->kw);
    size_t run = i / BLOCK * taps + t;
    size_t k = kn_kind_of(l) == KN_CONV_STEM ? i * taps + t : run * BLOCK + i % BLOCK;
    return (o / BLOCK * panel_inputs(l) + k) * BLOCK + o % BLOCK;
}

static void pack_direct(const struct kn_layer *l, const float *oihw, float *out)
{
    for (size_t o = 0; o < (size_t)l->oc; o++)
        for (size_t i = 0; i < (size_t)l->ic; i++)
            for (size_t t = 0; t < (size_t)(l->kh * l->kw); t++)
                out[direct_place(l, o, i, t)] = *oihw++;
}

/* u = G w G^T in double, rounded once. w: [3][3], u: n x n points, `step` floats apart */
static void transform_filter(const double (*g)[3], int n, const float *w, float *u, size_t step)
{
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++, u += step) {
            double sum = 0;
            for (int i = 0; i < 3; i++)
                for (int j = 0; j < 3; j++)
                    sum += g[y][i] * g[x][j] * (double)w[3 * i + j];
            *u = (float)sum;
        }
}

static void pack_winograd(const struct kn_layer *l, const float *oihw, float *out,
                          const struct kn_winograd *form)
{
    size_t inputs = (size_t)kn_blocked_blocks(l->ic) * BLOCK, panel = inputs * BLOCK;
    size_t weights = (size_t)form->weights, panels = (size_t)kn_blocked_blocks(l->oc);

    for (size_t o = 0; o < (size_t)l->oc; o++) {
        size_t p = o / BLOCK, first = p / 2 * 2, two = first + 1 < panels ? 2 : 1;
        float *to = out + first * weights * panel + p % 2 * panel + o % BLOCK;
        for (size_t i = 0; i < (size_t)l->ic; i++, oihw += 9)
            transform_filter(form->filter, form->rows, oihw, to + i * BLOCK, two * panel);
    }
}

void kn_pack(const char *layout, const struct kn_layer *layer, const float *oihw, void *out)
{
    size_t bytes = kn_pack_bytes(layout, layer);
    const struct kn_winograd *form = kn_winograd_of(layer);

    assert(bytes > 0 && strcmp(layout, "s8.n32") != 0);
    if (strcmp(layout, "f32.plain") == 0) {
        memcpy(out, oihw, bytes);
        return;
    }
    if (strcmp(layout, "bf16.n32") == 0) {
        kn_pack_bf16(layer, oihw, out);
        return;
    }
    memset(out, 0, bytes);
    if (form != NULL)
        pack_winograd(layer, oihw, out, form);
    else
        pack_direct(layer, oihw, out);
}
