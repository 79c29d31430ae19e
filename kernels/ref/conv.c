/* conv.c: a convolution as its definition says:
 *
 *   y[oc, oy, ox] = bias[oc] + sum over ic, ky, kx of
 *                   w[oc, ic, ky, kx] * x[ic, oy * stride + ky - pad, ox * stride + kx - pad]
 *
 * with x = 0 outside the image, then the residual, then ReLU. Sums are in double and rounded once.
 * For speed a row of LANES output channels is summed at a time, and the innermost loops go along
 * the row and the lanes; the order in which any one output is summed is that of the formula. */
#include "kernels/ref/ref.h"

enum { LANES = 8 };

static size_t filter_size(const struct kn_layer *l)
{
    return (size_t)l->ic * (size_t)(l->kh * l->kw);
}

size_t kn_ref_conv_scratch(const struct kn_layer *l, int threads)
{
    (void)threads;
    return (filter_size(l) + (size_t)l->ow) * LANES * sizeof(double);
}

/* lanes: [ic * kh * kw, LANES] of the channels from oc on; 0 past the last. */
static void widen_filters(double *lanes, const float *w, const struct kn_layer *l, int oc)
{
    size_t k = filter_size(l);
    for (int lane = 0; lane < LANES; lane++)
        for (size_t i = 0; i < k; i++)
            lanes[i * LANES + (size_t)lane] =
                oc + lane < l->oc ? (double)w[(size_t)(oc + lane) * k + i] : 0;
}

/* sum[ox, :] += w[:] * row[ox * stride + shift] for every ox whose pixel lies inside the row.
 * step: from one pixel of the row to the next */
static void add_row(double *restrict sum, const double *restrict w, const float *row, int step,
                    int shift, const struct kn_layer *l)
{
    for (int ox = 0; ox < l->ow; ox++) {
        int ix = ox * l->stride + shift;
        if (ix < 0 || ix >= l->iw)
            continue;
        double v = (double)row[(ptrdiff_t)ix * step];
        for (int lane = 0; lane < LANES; lane++)
            sum[ox * LANES + lane] += w[lane] * v;
    }
}

/* sum: [ow, LANES] of output row oy, to which all filter taps are added */
static void add_taps(double *sum, const double *lanes, const struct kn_job *job, int oy)
{
    const struct kn_layer *l = job->layer;
    size_t pixels = (size_t)l->ih * (size_t)l->iw, step = (size_t)job->block_x;
    for (int ic = 0; ic < l->ic; ic++, lanes += l->kh * l->kw * LANES) {
        const float *plane = job->x + plane_at(ic, job->block_x, pixels);
        for (int ky = 0; ky < l->kh; ky++) {
            int iy = oy * l->stride + ky - l->pad;
            if (iy < 0 || iy >= l->ih)
                continue;
            const float *row = plane + (size_t)iy * (size_t)l->iw * step;
            for (int kx = 0; kx < l->kw; kx++)
                add_row(sum, lanes + (ky * l->kw + kx) * LANES, row, job->block_x, kx - l->pad, l);
        }
    }
}

static void write_row(const struct kn_job *job, const double *sum, int oc, int oy)
{
    const struct kn_layer *l = job->layer;
    size_t plane = plane_at(oc, job->block_y, (size_t)l->oh * (size_t)l->ow);
    size_t row = plane + (size_t)oy * (size_t)l->ow * (size_t)job->block_y;
    for (int ox = 0; ox < l->ow; ox++) {
        size_t i = row + (size_t)ox * (size_t)job->block_y;
        double v = sum[ox * LANES];
        if (job->residual != NULL)
            v += (double)job->residual[i];
        job->y[i] = (float)(l->relu && v < 0 ? 0 : v);
    }
}

void kn_ref_conv(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    double *lanes = job->scratch, *sum = lanes + filter_size(l) * LANES;

    for (int oc = 0; oc < l->oc; oc += LANES) {
        int n = l->oc - oc < LANES ? l->oc - oc : LANES;
        widen_filters(lanes, job->w, l, oc);
        for (int oy = 0; oy < l->oh; oy++) {
            for (int i = 0; i < l->ow * LANES; i++)
                sum[i] = i % LANES < n ? (double)job->bias[oc + i % LANES] : 0;
            add_taps(sum, lanes, job, oy);
            for (int lane = 0; lane < n; lane++)
                write_row(job, sum + lane, oc + lane, oy);
        }
    }
}
