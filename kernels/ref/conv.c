/* conv.c: a convolution as its definition says:
 *
 *   y[oc, oy, ox] = bias[oc] + sum over ic, ky, kx of
 *                   w[oc, ic, ky, kx] * x[ic, oy * stride + ky - pad, ox * stride + kx - pad]
 *
 * with x = 0 outside the image, then the residual, then ReLU. Sums are in double and rounded once.
 * The sum over one output row runs inside that over (ic, ky, kx), so that the innermost loop goes
 * along a row of x; the order in which one output is summed is not changed by that. */
#include "kernels/ref/ref.h"

size_t kn_ref_conv_scratch(const struct kn_layer *l)
{
    return (size_t)l->ow * sizeof(double);
}

/* Adds w * x[ox * stride + shift] to sum[ox] for every ox that lies inside the row. */
static void add_row(double *sum, double w, const float *row, int step, int shift,
                    const struct kn_layer *l)
{
    int from = 0, to = l->ow;
    while (from < to && from * l->stride + shift < 0)
        from++;
    while (from < to && (to - 1) * l->stride + shift >= l->iw)
        to--;
    for (int ox = from; ox < to; ox++)
        sum[ox] += w * (double)row[(ptrdiff_t)(ox * l->stride + shift) * step];
}

/* One row of one output channel; filter: [ic, kh, kw] */
static void sum_row(double *sum, const struct kn_job *job, const float *filter, int oy)
{
    const struct kn_layer *l = job->layer;
    size_t pixels = (size_t)l->ih * (size_t)l->iw, step = (size_t)job->block_x;
    for (int ic = 0; ic < l->ic; ic++, filter += l->kh * l->kw) {
        const float *plane = job->x + plane_at(ic, job->block_x, pixels);
        for (int ky = 0; ky < l->kh; ky++) {
            int iy = oy * l->stride + ky - l->pad;
            if (iy < 0 || iy >= l->ih)
                continue;
            const float *row = plane + (size_t)iy * (size_t)l->iw * step;
            for (int kx = 0; kx < l->kw; kx++)
                add_row(sum, (double)filter[ky * l->kw + kx], row, job->block_x, kx - l->pad, l);
        }
    }
}

void kn_ref_conv(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    const float *w = job->w;
    double *sum = job->scratch;
    size_t pixels = (size_t)l->oh * (size_t)l->ow, step = (size_t)job->block_y;

    for (int oc = 0; oc < l->oc; oc++) {
        const float *filter = w + (size_t)oc * (size_t)l->ic * (size_t)(l->kh * l->kw);
        size_t plane = plane_at(oc, job->block_y, pixels);
        for (int oy = 0; oy < l->oh; oy++) {
            for (int ox = 0; ox < l->ow; ox++)
                sum[ox] = (double)job->bias[oc];
            sum_row(sum, job, filter, oy);
            for (int ox = 0; ox < l->ow; ox++) {
                size_t i = plane + ((size_t)oy * (size_t)l->ow + (size_t)ox) * step;
                double v = job->residual ? sum[ox] + (double)job->residual[i] : sum[ox];
                job->y[i] = (float)(l->relu && v < 0 ? 0 : v);
            }
        }
    }
}
