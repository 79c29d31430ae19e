/* head_bf16.c: pooling in bf16; the mean over all pixels and the classifier, which are fp32. */
#include <string.h>

#include "kernels/bf16.h"
#include "kernels/engine.h"
#include "kernels/threads.h"

enum { BLOCK = KN_BF16_BLOCK };

static int blocks(int c)
{
    return (c + BLOCK - 1) / BLOCK;
}

static const uint16_t *input(const struct kn_job *job, long block)
{
    const struct kn_layer *l = job->layer;
    ptrdiff_t h = l->ih + 2 * job->halo_x, w = l->iw + 2 * job->halo_x;
    ptrdiff_t first = block * h * w + job->halo_x * (w + 1);
    return (const uint16_t *)(const void *)job->x + first * BLOCK;
}

/* ---- max-pooling ---------------------------------------------------------------------------- */

/* One row of one block. Windows that leave the image to the left or right are taken by themselves.
 * x: the first row under the window, h of them */
static void maxpool_row(const struct kn_job *job, const uint16_t *x, int h, uint16_t *y)
{
    const struct kn_layer *l = job->layer;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK, step = l->stride * BLOCK;
    int first = (l->pad + l->stride - 1) / l->stride;   /* that lies inside */
    int end = (l->iw + l->pad - l->kw) / l->stride + 1; /* of those that do */

    for (int ox = 0; ox < l->ow;) {
        int left = ox * l->stride - l->pad, right = left + l->kw;
        int n = ox >= first && ox < end ? end - ox : 1;
        left = left < 0 ? 0 : left;
        right = right > l->iw ? l->iw : right;
        job->engine->bf16->maxpool(x + left * BLOCK, row, h, right - left, step, n, y + ox * BLOCK);
        ox += n;
    }
}

/* Rows of output with those of the halo, one block of channels after the other. */
static void maxpool_part(void *ctx, int thread, int threads)
{
    const struct kn_job *job = ctx;
    const struct kn_layer *l = job->layer;
    int halo = job->halo_y, rows = l->oh + 2 * halo;
    size_t y_row = (size_t)(l->ow + 2 * halo) * BLOCK, edge = (size_t)halo * BLOCK;
    uint16_t *y = (uint16_t *)(void *)job->y;
    long from, to;

    kn_threads_part((long)blocks(l->oc) * rows, thread, threads, &from, &to);
    y += (size_t)from * y_row;
    for (long i = from; i < to; i++, y += y_row) {
        int oy = (int)(i % rows) - halo, top = oy * l->stride - l->pad, bottom = top + l->kh;
        int inside = oy >= 0 && oy < l->oh;
        memset(y, 0, (inside ? edge : y_row) * sizeof *y);
        memset(y + y_row - edge, 0, edge * sizeof *y);
        if (!inside)
            continue;
        top = top < 0 ? 0 : top;
        bottom = bottom > l->ih ? l->ih : bottom;
        maxpool_row(job, input(job, i / rows) + top * (l->iw + 2 * job->halo_x) * BLOCK,
                    bottom - top, y + edge);
    }
}

void kn_bf16_maxpool(const struct kn_job *job)
{
    kn_threads_run(job->threads, job->width, maxpool_part, (void *)job);
}

/* ---- the head ------------------------------------------------------------------------------- */

void kn_bf16_avgpool(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK;

    for (int b = 0; b < blocks(l->oc); b++)
        job->engine->bf16->avgpool(input(job, b), row, l->ih, l->iw, job->y + b * BLOCK);
}

static void fc_part(void *ctx, int thread, int threads)
{
    const struct kn_job *job = ctx;
    const struct kn_layer *l = job->layer;
    int inputs = blocks(l->ic) * BLOCK;
    size_t panel = (size_t)inputs * BLOCK;
    long from, to;

    kn_threads_part(blocks(l->oc), thread, threads, &from, &to);
    for (long p = from; p < to; p++) {
        float bias[BLOCK] __attribute__((aligned(KN_ALIGN))) = {0};
        long rest = l->oc - p * BLOCK;
        memcpy(bias, job->bias + p * BLOCK, (size_t)(rest < BLOCK ? rest : BLOCK) * sizeof *bias);
        job->engine->bf16->gemv(job->x, inputs, (const uint16_t *)job->w + (size_t)p * panel, bias,
                                job->y + p * BLOCK);
    }
}

/* With one pixel, a block keeps channels in their order. */
void kn_bf16_fc(const struct kn_job *job)
{
    kn_threads_run(job->threads, job->width, fc_part, (void *)job);
}
