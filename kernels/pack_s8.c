/* pack_s8.c: the layout "s8.n32" of the int8 engines (pack_s8.h). */
#include "kernels/pack_s8.h"

#include "kernels/engine.h"

enum { BLOCK = KN_S8_BLOCK, PAIR = KN_S8_PAIR, PANEL = KN_S8_PANEL };

static size_t whole(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

int kn_pack_s8_wide(const struct kn_layer *l)
{
    return l->op == KN_FC || kn_kind_of(l) == KN_CONV_STEM;
}

/* Weights of one output. */
static size_t inputs(const struct kn_layer *l)
{
    if (l->op == KN_FC)
        return kn_pack_s8_even((size_t)l->ic);
    if (kn_kind_of(l) == KN_CONV_STEM)
        return (size_t)l->kh * kn_pack_s8_even((size_t)l->kw * (size_t)l->ic);
    return whole((size_t)l->ic, BLOCK) * (size_t)(l->kh * l->kw);
}

size_t kn_pack_s8_bytes(const struct kn_layer *l)
{
    if (l->op != KN_CONV && l->op != KN_FC)
        return 0;
    size_t outputs = whole((size_t)l->oc, l->op == KN_FC ? PANEL : BLOCK);
    return outputs * inputs(l) * (kn_pack_s8_wide(l) ? sizeof(int16_t) : sizeof(int8_t));
}

/* Of the k-th weight of output o, `group` of them in a lane. */
static size_t in_pair(const struct kn_layer *l, size_t o, size_t k, size_t group)
{
    size_t step = o / PAIR * (inputs(l) / group) + k / group;
    return (step * PAIR + kn_pack_s8_lane(o % PAIR)) * group + k % group;
}

size_t kn_pack_s8_place(const struct kn_layer *l, size_t o, size_t i, size_t t)
{
    size_t taps = (size_t)(l->kh * l->kw), columns = (size_t)l->kw, ic = (size_t)l->ic;

    if (l->op == KN_FC)
        return ((o / PANEL * inputs(l) + i / 2 * 2) * PANEL) + o % PANEL * 2 + i % 2;
    if (kn_kind_of(l) == KN_CONV_STEM)
        return in_pair(l, o, t / columns * kn_pack_s8_even(columns * ic) + t % columns * ic + i, 2);
    return in_pair(l, o, (i / BLOCK * taps + t) * BLOCK + i % BLOCK, 4);
}
