/* conv_u8.c: a convolution of integers as its definition says (quant.h has the rule for what
 * follows the sum):
 *
 *   sum[oc, oy, ox] = bias[oc] + sum over ic, ky, kx of
 *                     w[oc, ic, ky, kx] * x[ic, oy * stride + ky - pad, ox * stride + kx - pad]
 *
 * with x = 0 outside the image, or in the first layer the pixel of a real 0. The sum is modulo
 * 2^32, as instructions have it; kn_quant_layer() keeps it far below. */
#include <math.h>
#include <string.h>

#include "kernels/pack_s8.h"
#include "kernels/quant.h"
#include "kernels/ref/ref.h"

size_t kn_ref_conv_u8_scratch(const struct kn_layer *l, int threads)
{
    (void)threads;
    return ((size_t)l->ic + (size_t)l->ow * (size_t)l->oh) * sizeof(int32_t) +
           (size_t)l->ic * (size_t)(l->kh * l->kw) * sizeof(int16_t);
}

/* filter: [ic, kh * kw] of one output channel */
static void read_filter(int16_t *filter, const struct kn_job *job, int oc)
{
    const struct kn_layer *l = job->layer;
    size_t taps = (size_t)(l->kh * l->kw);
    int wide = kn_pack_s8_wide(l);

    for (size_t i = 0; i < (size_t)l->ic; i++)
        for (size_t t = 0; t < taps; t++) {
            size_t at = kn_pack_s8_place(l, (size_t)oc, i, t);
            *filter++ = wide ? ((const int16_t *)job->w)[at] : ((const int8_t *)job->w)[at];
        }
}

/* Row iy of input channel ic; its pixels are *step bytes apart. */
static const uint8_t *input_row(const struct kn_job *job, int ic, int iy, size_t *step)
{
    const struct kn_layer *l = job->layer;
    const uint8_t *x = (const void *)job->x;
    size_t width = (size_t)l->iw, pixels = (size_t)l->ih * width;

    *step = l->in == 0 ? (size_t)l->ic : (size_t)job->block_x;
    x += l->in == 0 ? (size_t)ic : plane_at(ic, job->block_x, pixels);
    return x + (size_t)iy * width * *step;
}

/* The first output whose column ox * stride + shift is not left of `column`; at most ow. */
static int first_at(const struct kn_layer *l, int column, int shift)
{
    int ox = column > shift ? (column - shift + l->stride - 1) / l->stride : 0;

    return ox < l->ow ? ox : l->ow;
}

/* sum[ox] += w * row[ox * stride + shift], for row NULL and outside of it w * pad */
static void add_row(uint32_t *restrict sum, int16_t w, const uint8_t *restrict row, size_t step,
                    int shift, const struct kn_layer *l, int32_t pad)
{
    int first = row != NULL ? first_at(l, 0, shift) : l->ow;
    int end = row != NULL ? first_at(l, l->iw, shift) : l->ow;
    size_t apart = step * (size_t)l->stride;

    for (int ox = 0; ox < first; ox++)
        sum[ox] += (uint32_t)(w * pad);
    if (first < end)
        row += (ptrdiff_t)step * (first * l->stride + shift);
    if (apart == 1) /* a loop that compilers vectorise */
        for (int ox = first; ox < end; ox++)
            sum[ox] += (uint32_t)(w * (int16_t)*row++);
    else
        for (int ox = first; ox < end; ox++, row += apart)
            sum[ox] += (uint32_t)(w * *row);
    for (int ox = end; ox < l->ow; ox++)
        sum[ox] += (uint32_t)(w * pad);
}

/* sum: [ow] of output row oy, to which all filter taps are added */
static void add_taps(uint32_t *sum, const int16_t *filter, const int32_t *pad,
                     const struct kn_job *job, int oy)
{
    const struct kn_layer *l = job->layer;

    for (int ic = 0; ic < l->ic; ic++)
        for (int ky = 0; ky < l->kh; ky++) {
            int iy = oy * l->stride + ky - l->pad;
            size_t step = 0;
            const uint8_t *row = iy < 0 || iy >= l->ih ? NULL : input_row(job, ic, iy, &step);
            for (int kx = 0; kx < l->kw; kx++)
                add_row(sum, *filter++, row, step, kx - l->pad, l, pad[ic]);
        }
}

static float rounded(float f, float least, float most)
{
    f = f < least ? least : f > most ? most : f;
    return rintf(f);
}

static float residual_at(const struct kn_job *job, size_t i)
{
    if (job->residual_s16)
        return (float)((const int16_t *)(const void *)job->residual)[i];
    return (float)((const uint8_t *)(const void *)job->residual)[i];
}

static void write_row(const struct kn_job *job, const uint32_t *sum, int oc, int oy)
{
    const struct kn_layer *l = job->layer;
    size_t plane = plane_at(oc, job->block_y, (size_t)l->oh * (size_t)l->ow);
    size_t row = plane + (size_t)oy * (size_t)l->ow * (size_t)job->block_y;
    float times = job->quant->multiplier[oc], residual_times = job->quant->step[KN_QUANT_RESIDUAL];

    for (int ox = 0; ox < l->ow; ox++) {
        size_t i = row + (size_t)ox * (size_t)job->block_y;
        float f = (float)(int32_t)sum[ox] * times;
        if (job->residual != NULL)
            f = fmaf(residual_at(job, i), residual_times, f);
        if (l->relu)
            ((uint8_t *)(void *)job->y)[i] = (uint8_t)rounded(f, 0, KN_QUANT_U8_MOST);
        else
            ((int16_t *)(void *)job->y)[i] =
                (int16_t)rounded(f, -KN_QUANT_S16_MOST - 1, KN_QUANT_S16_MOST);
    }
}

/* To a 1x1 convolution the image is one long row. */
static struct kn_layer unrolled(const struct kn_layer *layer)
{
    struct kn_layer l = *layer;

    if (l.kh == 1 && l.kw == 1 && l.stride == 1 && l.pad == 0) {
        l.iw = l.ow = l.oh * l.ow;
        l.ih = l.oh = 1;
    }
    return l;
}

static void conv(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    int32_t *pad = job->scratch;
    uint32_t *sum = (uint32_t *)(pad + l->ic);
    int16_t *filter = (int16_t *)(sum + l->ow);

    for (int ic = 0; ic < l->ic; ic++) {
        uint8_t pixel[2] = {0};
        if (l->in == 0) {
            float input[2] = {job->quant->input[ic], job->quant->input[l->ic + ic]};
            kn_quant_pad_pixel(input, 1, pixel);
        }
        pad[ic] = pixel[0];
    }
    for (int oc = 0; oc < l->oc; oc++) {
        read_filter(filter, job, oc);
        for (int oy = 0; oy < l->oh; oy++) {
            for (int ox = 0; ox < l->ow; ox++)
                sum[ox] = (uint32_t)job->quant->bias[oc];
            add_taps(sum, filter, pad, job, oy);
            write_row(job, sum, oc, oy);
        }
    }
}

void kn_ref_conv_u8(const struct kn_job *job)
{
    struct kn_layer layer = unrolled(job->layer);
    struct kn_job as_rows = *job;

    as_rows.layer = &layer;
    conv(&as_rows);
}
