/* pool.c: the two pools. A maximum over a window that holds a NaN is NaN, as in PyTorch, so that a
 * broken input cannot come out as a confident answer. Padding never wins. */
#include "kernels/ref/ref.h"

static float window_max(const struct kn_layer *l, const float *plane, int step, int oy, int ox)
{
    int seen = 0;
    float m = 0;
    for (int ky = 0; ky < l->kh; ky++)
        for (int kx = 0; kx < l->kw; kx++) {
            int iy = oy * l->stride + ky - l->pad, ix = ox * l->stride + kx - l->pad;
            if (iy < 0 || iy >= l->ih || ix < 0 || ix >= l->iw)
                continue;
            float v = plane[((ptrdiff_t)iy * l->iw + ix) * step];
            if (!seen || v > m || v != v)
                m = v;
            seen = 1;
        }
    return m;
}

void kn_ref_maxpool(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    for (int c = 0; c < l->oc; c++) {
        const float *x = job->x + plane_at(c, job->block_x, (size_t)l->ih * (size_t)l->iw);
        float *y = job->y + plane_at(c, job->block_y, (size_t)l->oh * (size_t)l->ow);
        for (int oy = 0; oy < l->oh; oy++)
            for (int ox = 0; ox < l->ow; ox++)
                y[((ptrdiff_t)oy * l->ow + ox) * job->block_y] =
                    window_max(l, x, job->block_x, oy, ox);
    }
}

/* Over the whole plane. */
void kn_ref_avgpool(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    size_t pixels = (size_t)l->ih * (size_t)l->iw, step = (size_t)job->block_x;
    for (int c = 0; c < l->oc; c++) {
        const float *x = job->x + plane_at(c, job->block_x, pixels);
        double sum = 0;
        for (size_t i = 0; i < pixels; i++)
            sum += (double)x[i * step];
        job->y[plane_at(c, job->block_y, 1)] = (float)(sum / (double)pixels);
    }
}
