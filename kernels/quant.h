/* quant.h: int8, how real numbers become integers and back. The header of those who calibrate and
 * pack; kernels.h says how the result is handed over.
 *
 * Every value of the network is integers times one real number, its step:
 *
 *   the network's input   u8 pixels, [h][w][c], as they were before the recipe's mean and std
 *   after a ReLU          u8: rint(real / step), limited to 0..255; max-pooling keeps the step
 *   without a ReLU        s16: a projection, rounded here only so finely that it does not count
 *   the features          s16: the sum over the pixels (of a large image a part of it)
 *   the logits            float
 *
 * A layer sums products of integers in 32 bits, bias included, which no order of summation and no
 * instruction set changes. Then, once:
 *
 *   f = (float)sum * multiplier[oc]
 *   f = fmaf((float)residual, residual_multiplier, f)   when there is a residual
 *   y = f rounded to nearest, ties to even, limited to what y can hold; f itself for logits
 *
 * in IEEE single precision, each line rounded once, as C's fmaf() is. This is all the floating
 * point there is, so that equal weights and pixels give equal logits, bit for bit, on every
 * machine. Filters are s8 with one step for each output channel, the first layer's and the
 * classifier's are s16.
 */
#ifndef KERNELS_QUANT_H
#define KERNELS_QUANT_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

enum {
    KN_QUANT_S8_MOST = 127,
    KN_QUANT_U8_MOST = 255,
    KN_QUANT_S16_MOST = 32767,
    KN_QUANT_S16_GOOD = 4095, /* what a projection's largest value should become: more would gain
                                 nothing beside the 255 of the sum, and this leaves headroom */
};

/* Steps of the values that follow from others': pools and logits. step: [n_values], by value; the
 * caller has set those of all convolutions' outputs, (largest real value) / KN_QUANT_U8_MOST or,
 * without ReLU, / KN_QUANT_S16_GOOD, each finite and above 0. step[0], the input's, is 1. */
void kn_quant_steps(const struct kn_net *net, float *step);

/* Where a layer's parameters go: the tensors of a model file's int8 section, in this order, each
 * KN_ALIGN-aligned. What a layer does not have is NULL; pools have none at all. */
struct kn_quant_out {
    void *w;           /* "LAYER.weight": kn_pack_bytes("s8.n32", layer) bytes */
    int32_t *bias;     /* "LAYER.bias": [oc] */
    float *multiplier; /* "LAYER.multiplier": [oc] */
    float *step;       /* "LAYER.step": [KN_QUANT_STEPS] */
    float *input;      /* "LAYER.input", first layer only: [2, ic] */
};

/* Quantises one convolution or classifier. step: complete, see above.
 * w: [oc, ic, kh, kw] or [classes, features], bias: [oc], batch-norm folded in.
 * mean, deviation: [ic], the recipe's, used by the first layer only: its input is the float
 * (pixel / 255 - mean) / deviation.
 * The steps of the weights are the smallest that make the largest weight of a channel representable
 * and keep every sum that can occur within 2^30. Cannot fail; the same bits everywhere. */
void kn_quant_layer(const struct kn_net *net, int layer, const float *step, const float *w,
                    const float *bias, const float *mean, const float *deviation,
                    const struct kn_quant_out *out);

/* ---- for engines ---------------------------------------------------------------------------- */

enum { KN_QUANT_POOLED = 128 }; /* pixels whose sum of u8 an s16 can hold */

/* A pool's output is the sum over its pixels divided by this, rounded half up. */
static inline int kn_quant_pool_divisor(const struct kn_layer *pool)
{
    return (pool->kh * pool->kw + KN_QUANT_POOLED - 1) / KN_QUANT_POOLED;
}

/* Brings n numbers of each channel of a float image, channels `plane` floats apart, back to pixels,
 * out: [n, c]: x * gain, then + shift, each rounded by itself, then to the nearest integer, ties to
 * even, limited to 0..255; a NaN becomes 0. input: [2, c], gains, then shifts */
void kn_quant_pixels(const float *input, const float *x, size_t plane, int c, size_t n,
                     uint8_t *out);

/* What padding is: the pixel that stands for a real 0. pixel: [c] */
void kn_quant_pad_pixel(const float *input, int c, uint8_t *pixel);

/* Refuses what would leave the rule above without an answer: a multiplier for which a sum times it
 * does not fit 32 bits, a step that is no positive number. Errors: KN_ESCALE. */
int kn_quant_check(const struct kn_layer *layer, const struct kn_quant *quant, struct kn_err *err);

#endif
