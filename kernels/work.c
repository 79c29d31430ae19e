/* work.c: what a layer really computes and moves, for those who measure. */
#include "kernels/engine.h"
#include "kernels/winograd.h"

static int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

static int64_t whole_blocks(int c, int block)
{
    return (int64_t)divide_up(c, block) * block;
}

static int64_t value_bytes(int c, int h, int w, int block, enum kn_element element)
{
    return whole_blocks(c, block) * h * w * (int64_t)kn_element_bytes(element);
}

/* Of one input and one output channel: pixels by filter taps, or tiles by points. */
static int64_t products(const struct kn_engine *engine, const struct kn_layer *l)
{
    const struct kn_winograd *form = kn_winograd_of(l);

    if (engine->f32 == NULL || form == NULL)
        return (int64_t)l->oh * l->ow * l->kh * l->kw;
    return (int64_t)divide_up(l->oh, form->size) * divide_up(l->ow, form->size) * form->points;
}

void kn_work_of(const struct kn_engine *engine, const struct kn_layer *l, struct kn_work *work)
{
    int block = engine->block, block_x = l->in == 0 ? 1 : block;

    *work = (struct kn_work){.weight_bytes = (int64_t)kn_pack_bytes(engine->layout, l)};
    if (l->op == KN_CONV || l->op == KN_FC)
        work->macs =
            products(engine, l) * whole_blocks(l->ic, block_x) * whole_blocks(l->oc, block);
    work->value_bytes = value_bytes(l->ic, l->ih, l->iw, block_x, kn_element_in(engine, l)) +
                        value_bytes(l->oc, l->oh, l->ow, block, kn_element_out(engine, l)) *
                            (l->residual < 0 ? 1 : 2);
}
