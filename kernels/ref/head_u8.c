/* head_u8.c: the pools and the classifier on integers. */
#include "kernels/pack_s8.h"
#include "kernels/quant.h"
#include "kernels/ref/ref.h"

static uint8_t window_max(const struct kn_layer *l, const uint8_t *plane, int step, int oy, int ox)
{
    uint8_t most = 0; /* padding never wins over a u8 */

    for (int ky = 0; ky < l->kh; ky++)
        for (int kx = 0; kx < l->kw; kx++) {
            int iy = oy * l->stride + ky - l->pad, ix = ox * l->stride + kx - l->pad;
            if (iy < 0 || iy >= l->ih || ix < 0 || ix >= l->iw)
                continue;
            uint8_t v = plane[((ptrdiff_t)iy * l->iw + ix) * step];
            most = v > most ? v : most;
        }
    return most;
}

void kn_ref_maxpool_u8(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    const uint8_t *x = (const void *)job->x;
    uint8_t *y = (void *)job->y;

    for (int c = 0; c < l->oc; c++) {
        const uint8_t *from = x + plane_at(c, job->block_x, (size_t)l->ih * (size_t)l->iw);
        uint8_t *to = y + plane_at(c, job->block_y, (size_t)l->oh * (size_t)l->ow);
        for (int oy = 0; oy < l->oh; oy++)
            for (int ox = 0; ox < l->ow; ox++)
                to[((ptrdiff_t)oy * l->ow + ox) * job->block_y] =
                    window_max(l, from, job->block_x, oy, ox);
    }
}

/* The sum over the whole plane, divided if an s16 could not hold it. */
void kn_ref_avgpool_u8(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    size_t pixels = (size_t)l->ih * (size_t)l->iw;
    int divisor = kn_quant_pool_divisor(l);
    int16_t *y = (void *)job->y;

    for (int c = 0; c < l->oc; c++) {
        const uint8_t *x =
            (const uint8_t *)(const void *)job->x + plane_at(c, job->block_x, pixels);
        int32_t sum = 0;
        for (size_t i = 0; i < pixels; i++)
            sum += x[i * (size_t)job->block_x];
        y[plane_at(c, job->block_y, 1)] = (int16_t)((sum + divisor / 2) / divisor);
    }
}

/* Logits: (bias[oc] + sum over ic of w[oc, ic] * x[ic]) * multiplier[oc]. With one pixel, every
 * block keeps channels in their order. */
void kn_ref_fc_s16(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    const int16_t *w = job->w, *x = (const void *)job->x;

    for (int oc = 0; oc < l->oc; oc++) {
        uint32_t sum = (uint32_t)job->quant->bias[oc];
        for (int ic = 0; ic < l->ic; ic++)
            sum += (uint32_t)(w[kn_pack_s8_place(l, (size_t)oc, (size_t)ic, 0)] * x[ic]);
        job->y[oc] = (float)(int32_t)sum * job->quant->multiplier[oc];
    }
}
