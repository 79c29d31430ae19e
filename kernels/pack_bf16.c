/* pack_bf16.c: filters as bf16, in panels of 32 outputs, zeros where oc or ic do not fill 32:
 *
 *   bf16.n32  convolutions, classifier  [panel][ic / 32][kh][kw][16][32][2], pairs of inputs
 *             the first layer           [panel][ic][kh][kw][32]
 */
#include "kernels/bf16.h"
#include "kernels/engine.h"

enum { BLOCK = KN_BF16_BLOCK };

static size_t blocks(int c)
{
    return ((size_t)c + BLOCK - 1) / BLOCK;
}

/* Of one panel, taps included. */
static size_t panel_inputs(const struct kn_layer *l)
{
    size_t inputs = kn_kind_of(l) == KN_CONV_STEM ? (size_t)l->ic : blocks(l->ic) * BLOCK;
    return inputs * (size_t)(l->kh * l->kw);
}

/* Where tap t of filter (o, i) is. */
static size_t place(const struct kn_layer *l, size_t o, size_t i, size_t t)
{
    size_t taps = (size_t)(l->kh * l->kw), panel = o / BLOCK * panel_inputs(l) * BLOCK;

    if (kn_kind_of(l) == KN_CONV_STEM)
        return panel + (i * taps + t) * BLOCK + o % BLOCK;
    size_t pair = (i / BLOCK * taps + t) * (BLOCK / 2) + i % BLOCK / 2;
    return panel + (pair * BLOCK + o % BLOCK) * 2 + i % 2;
}

size_t kn_pack_bf16_bytes(const struct kn_layer *l)
{
    return blocks(l->oc) * BLOCK * panel_inputs(l) * sizeof(uint16_t);
}

void kn_pack_bf16(const struct kn_layer *l, const float *oihw, uint16_t *out)
{
    memset(out, 0, kn_pack_bf16_bytes(l));
    for (size_t o = 0; o < (size_t)l->oc; o++)
        for (size_t i = 0; i < (size_t)l->ic; i++)
            for (size_t t = 0; t < (size_t)(l->kh * l->kw); t++)
                out[place(l, o, i, t)] = kn_bf16_round(*oihw++);
}

void kn_pack_bf16_widen(const struct kn_layer *l, const uint16_t *packed, float *oihw)
{
    for (size_t o = 0; o < (size_t)l->oc; o++)
        for (size_t i = 0; i < (size_t)l->ic; i++)
            for (size_t t = 0; t < (size_t)(l->kh * l->kw); t++)
                *oihw++ = kn_bf16_widen(packed[place(l, o, i, t)]);
}
