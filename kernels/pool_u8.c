/* pool_u8.c: pools and classifier on integers, by blocks of 64 channels. */
#include "kernels/blocked_u8.h"
#include "kernels/engine.h"
#include "kernels/quant.h"
#include "kernels/threads.h"
#include "kernels/u8.h"

enum { BLOCK = KN_S8_BLOCK, PANEL = KN_S8_PANEL };

/* One row of one block. Windows that leave the image to the left or right are taken by themselves.
 * x: the first row under the window, h of them */
static void maxpool_row(const struct kn_job *job, const uint8_t *x, int h, uint8_t *y)
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
        job->engine->u8->maxpool(x + left * BLOCK, row, h, right - left, step, n, y + ox * BLOCK);
        ox += n;
    }
}

/* Rows of output, one block of channels after the other. */
static void maxpool_part(void *ctx, int thread, int threads)
{
    const struct kn_job *job = ctx;
    const struct kn_layer *l = job->layer;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK, y_row = (l->ow + 2 * job->halo_y) * BLOCK;
    const uint8_t *x =
        (const uint8_t *)(const void *)job->x + kn_blocked_u8_start(l->iw, job->halo_x, BLOCK);
    uint8_t *y = (uint8_t *)(void *)job->y + kn_blocked_u8_start(l->ow, job->halo_y, BLOCK);
    long from, to;

    kn_threads_part((long)kn_blocked_u8_blocks(l->oc) * l->oh, thread, threads, &from, &to);
    for (long i = from; i < to; i++) {
        long block = i / l->oh, oy = i % l->oh;
        int top = (int)oy * l->stride - l->pad, bottom = top + l->kh;
        top = top < 0 ? 0 : top;
        bottom = bottom > l->ih ? l->ih : bottom;
        const uint8_t *plane = x + block * kn_blocked_u8_plane(l->ih, l->iw, job->halo_x, BLOCK);
        maxpool_row(job, plane + top * row, bottom - top,
                    y + block * kn_blocked_u8_plane(l->oh, l->ow, job->halo_y, BLOCK) + oy * y_row);
    }
}

void kn_u8_maxpool(const struct kn_job *job)
{
    kn_threads_run(job->threads, job->width, maxpool_part, (void *)job);
    kn_blocked_u8_clear_halo(job->y, job->layer, job->halo_y, BLOCK);
}

void kn_u8_avgpool(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK;
    int divisor = kn_quant_pool_divisor(l);
    const uint8_t *x =
        (const uint8_t *)(const void *)job->x + kn_blocked_u8_start(l->iw, job->halo_x, BLOCK);
    int16_t *y = (int16_t *)(void *)job->y;

    for (int b = 0; b < kn_blocked_u8_blocks(l->oc); b++, y += BLOCK) {
        int32_t sum[BLOCK];
        job->engine->u8->sum(x + b * kn_blocked_u8_plane(l->ih, l->iw, job->halo_x, BLOCK), row,
                             l->ih, l->iw, sum);
        for (int i = 0; i < BLOCK; i++)
            y[i] = (int16_t)((sum[i] + divisor / 2) / divisor);
    }
}

static void fc_panel(const struct kn_job *job, int p, size_t image)
{
    const struct kn_layer *l = job->layer;
    int n = (int)kn_pack_s8_even((size_t)l->ic);
    const void *x = (const char *)job->x + image;
    float *y = (float *)(void *)((char *)job->y + image);
    int32_t sum[PANEL] = {0};

    job->engine->u8->gemv((const int16_t *)job->w + (size_t)p * (size_t)n * PANEL, x, n, sum);
    for (int o = p * PANEL; o < (p + 1) * PANEL && o < l->oc; o++) {
        int32_t whole = (int32_t)((uint32_t)sum[o % PANEL] + (uint32_t)job->quant->bias[o]);
        y[o] = (float)whole * job->quant->multiplier[o];
    }
}

/* Panels of 16 classes. */
static void fc_part(void *ctx, int thread, int threads)
{
    const struct kn_job *job = ctx;
    long from, to;

    kn_threads_part((job->layer->oc + PANEL - 1) / PANEL, thread, threads, &from, &to);
    for (int p = (int)from; p < to; p++)
        for (int i = 0; i < job->images; i++)
            fc_panel(job, p, (size_t)i * job->image_bytes);
}

void kn_u8_fc(const struct kn_job *job)
{
    kn_threads_run(job->threads, job->width, fc_part, (void *)job);
}
