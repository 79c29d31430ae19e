/* pool_f32.c: pooling on blocked activations. */
#include "kernels/blocked.h"
#include "kernels/engine.h"
#include "kernels/f32.h"
#include "kernels/threads.h"

enum { BLOCK = KN_F32_BLOCK };

/* One row of one block. Windows that leave the image to the left or right are taken by themselves.
 * x: the first row under the window, h of them */
static void maxpool_row(const struct kn_job *job, const float *x, int h, float *y)
{
    const struct kn_layer *l = job->layer;
    kn_f32_maxpool_fn *maxpool = job->engine->f32->maxpool;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK, step = l->stride * BLOCK;
    int first = (l->pad + l->stride - 1) / l->stride;   /* that lies inside */
    int end = (l->iw + l->pad - l->kw) / l->stride + 1; /* of those that do */

    for (int ox = 0; ox < l->ow;) {
        int left = ox * l->stride - l->pad, right = left + l->kw;
        int n = ox >= first && ox < end ? end - ox : 1;
        left = left < 0 ? 0 : left;
        right = right > l->iw ? l->iw : right;
        maxpool(x + left * BLOCK, row, h, right - left, step, n, y + ox * BLOCK);
        ox += n;
    }
}

/* Rows of output, one block of channels after the other. */
static void maxpool_part(void *ctx, int thread, int threads)
{
    const struct kn_job *job = ctx;
    const struct kn_layer *l = job->layer;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK, y_row = (l->ow + 2 * job->halo_y) * BLOCK;
    long from, to;

    kn_threads_part((long)kn_blocked_blocks(l->oc) * l->oh, thread, threads, &from, &to);
    for (long i = from; i < to; i++) {
        long block = i / l->oh, oy = i % l->oh;
        int top = (int)oy * l->stride - l->pad, bottom = top + l->kh;
        top = top < 0 ? 0 : top;
        bottom = bottom > l->ih ? l->ih : bottom;
        const float *x = job->x + block * kn_blocked_plane(l->ih, l->iw, job->halo_x) +
                         kn_blocked_start(l->iw, job->halo_x);
        float *y = job->y + block * kn_blocked_plane(l->oh, l->ow, job->halo_y) +
                   kn_blocked_start(l->ow, job->halo_y);
        maxpool_row(job, x + top * row, bottom - top, y + oy * y_row);
    }
}

void kn_f32_maxpool(const struct kn_job *job)
{
    kn_threads_run(job->threads, job->width, maxpool_part, (void *)job);
    kn_blocked_clear_halo(job->y, job->layer, job->halo_y);
}

void kn_f32_avgpool(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK;
    int blocks = kn_blocked_blocks(l->oc);

    for (int i = 0; i < job->images * blocks; i++) {
        size_t at = (size_t)(i / blocks) * (job->image_bytes / sizeof(float));
        int b = i % blocks;
        const float *x = job->x + at + b * kn_blocked_plane(l->ih, l->iw, job->halo_x);
        job->engine->f32->avgpool(x + kn_blocked_start(l->iw, job->halo_x), row, l->ih, l->iw,
                                  job->y + at + b * BLOCK);
    }
}
