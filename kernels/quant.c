/* quant.c: real numbers into integers (quant.h has the rule), in double where nobody waits. */
#include "kernels/quant.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/pack_s8.h"

/* Of sums, of the bias in them, of what a file may say. */
#define SUM_MOST         0x1p30
#define MULTIPLIER_LEAST 0x1p-40 /* below it every sum is rounded to 0 anyway */
#define MULTIPLIER_MOST  0.9375f /* times 2^31 and a residual: still 32 bits */
#define RESIDUAL_MOST    256.0f

void kn_quant_steps(const struct kn_net *net, float *step)
{
    step[0] = 1;
    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_layer *l = &net->layer[i];
        if (l->op == KN_MAXPOOL)
            step[l->out] = step[l->in];
        else if (l->op == KN_AVGPOOL)
            step[l->out] = (float)((double)step[l->in] * kn_quant_pool_divisor(l) /
                                   ((double)l->kh * (double)l->kw));
        else if (l->op == KN_FC)
            step[l->out] = 1;
    }
}

/* The largest integer that the layer's input can be. */
static double input_most(const struct kn_net *net, const struct kn_layer *l)
{
    const struct kn_layer *pool = l - 1;

    if (l->op != KN_FC)
        return KN_QUANT_U8_MOST;
    assert(pool >= net->layer && pool->op == KN_AVGPOOL && pool->out == l->in);
    int divisor = kn_quant_pool_divisor(pool);
    return (pool->kh * pool->kw * KN_QUANT_U8_MOST + divisor / 2) / divisor;
}

/* One output channel in terms of its input's integers: the real number that one of them adds is
 * w[i] * unit(i). */
struct channel {
    const float *w;         /* [inputs, taps] */
    const float *deviation; /* [inputs], of the first layer, else NULL */
    size_t inputs, taps;
    double in_step, bias;
};

static double unit(const struct channel *c, size_t input)
{
    return c->deviation ? 1 / (255 * (double)c->deviation[input]) : c->in_step;
}

/* The smallest step of the sum with which everything fits. w_most, x_most: of a weight, an input */
static double sum_step(const struct channel *c, double w_most, double x_most, double least)
{
    double largest = 0, sum = 0;

    for (size_t i = 0; i < c->inputs; i++)
        for (size_t t = 0; t < c->taps; t++) {
            double w = fabs((double)c->w[i * c->taps + t] * unit(c, i));
            largest = fmax(largest, w);
            sum += w;
        }
    double step = fmax(largest / w_most, sum * x_most / SUM_MOST);
    return fmax(fmax(step, fabs(c->bias) / SUM_MOST), least);
}

static void write_filter(const struct kn_layer *l, int o, const struct channel *c, double step,
                         void *out)
{
    int wide = kn_pack_s8_wide(l);

    for (size_t i = 0; i < c->inputs; i++)
        for (size_t t = 0; t < c->taps; t++) {
            double q = rint((double)c->w[i * c->taps + t] * unit(c, i) / step);
            size_t at = kn_pack_s8_place(l, (size_t)o, i, t);
            if (wide)
                ((int16_t *)out)[at] = (int16_t)q;
            else
                ((int8_t *)out)[at] = (int8_t)q;
        }
}

/* A pixel is (x * deviation + mean) * 255: so the mean goes into the bias. */
static double mean_of_filter(const struct channel *c, const float *mean)
{
    double sum = 0;

    for (size_t i = 0; i < c->inputs; i++)
        for (size_t t = 0; t < c->taps; t++)
            sum += (double)c->w[i * c->taps + t] * (double)mean[i] / (double)c->deviation[i];
    return sum;
}

static void write_input(const float *mean, const float *deviation, int c, float *input)
{
    for (int i = 0; i < c; i++) {
        input[i] = (float)(255 * (double)deviation[i]);
        input[c + i] = (float)(255 * (double)mean[i]);
    }
}

void kn_quant_layer(const struct kn_net *net, int layer, const float *step, const float *w,
                    const float *bias, const float *mean, const float *deviation,
                    const struct kn_quant_out *out)
{
    const struct kn_layer *l = &net->layer[layer];
    double out_step = (double)step[l->out];
    double w_most = kn_pack_s8_wide(l) ? KN_QUANT_S16_MOST : KN_QUANT_S8_MOST;
    struct channel c = {.w = w, .inputs = (size_t)l->ic, .taps = (size_t)(l->kh * l->kw)};

    assert(l->op == KN_CONV || l->op == KN_FC);
    c.deviation = l->in == 0 ? deviation : NULL;
    c.in_step = (double)step[l->in];
    memset(out->w, 0, kn_pack_s8_bytes(l));
    for (int o = 0; o < l->oc; o++, c.w += c.inputs * c.taps) {
        c.bias = (double)bias[o] - (c.deviation ? mean_of_filter(&c, mean) : 0);
        double sum = sum_step(&c, w_most, input_most(net, l), out_step * MULTIPLIER_LEAST);
        write_filter(l, o, &c, sum, out->w);
        out->bias[o] = (int32_t)rint(c.bias / sum);
        float multiplier = (float)(sum / out_step);
        out->multiplier[o] =
            l->op == KN_CONV && multiplier > MULTIPLIER_MOST ? MULTIPLIER_MOST : multiplier;
    }
    float residual = l->residual < 0 ? 0 : (float)((double)step[l->residual] / out_step);
    out->step[KN_QUANT_STEP] = step[l->out];
    out->step[KN_QUANT_RESIDUAL] = residual > RESIDUAL_MOST ? RESIDUAL_MOST : residual;
    if (l->in == 0)
        write_input(mean, deviation, l->ic, out->input);
}

/* The pixel's bits are the low ones of the result: adding 2^23 leaves none behind the point, so
 * that the addition rounds, to nearest, ties to even, and compilers vectorise it, unlike lrintf().
 */
static inline uint32_t pixel_of(float x, float gain, float shift)
{
    float f = x * gain + shift;
    uint32_t bits;

    f = f > 0 ? f : 0; /* a NaN too */
    f = (f < KN_QUANT_U8_MOST ? f : KN_QUANT_U8_MOST) + 0x1p23f;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* n pixels of one channel; the numbers are bytes when cut off */
static void convert(const float *x, size_t n, float gain, float shift, uint32_t *row)
{
    for (size_t i = 0; i < n; i++)
        row[i] = pixel_of(x[i], gain, shift);
}

void kn_quant_pixels(const float *input, const float *x, size_t plane, int c, size_t n,
                     uint8_t *out)
{
    enum { STRETCH = 256 };
    uint32_t row[STRETCH];
    size_t step = (size_t)c;

    for (size_t p = 0; p < n; p += STRETCH) {
        size_t some = n - p < STRETCH ? n - p : STRETCH;
        for (int i = 0; i < c; i++) {
            uint8_t *to = out + p * step + i;
            convert(x + (size_t)i * plane + p, some, input[i], input[c + i], row);
            for (size_t j = 0; j < some; j++, to += step)
                *to = (uint8_t)row[j];
        }
    }
}

void kn_quant_pad_pixel(const float *input, int c, uint8_t *pixel)
{
    for (int i = 0; i < c; i++)
        pixel[i] = (uint8_t)pixel_of(0, input[i], input[c + i]);
}

static int within(float x, float most)
{
    return x > 0 && x <= most;
}

int kn_quant_check(const struct kn_layer *l, const struct kn_quant *q, struct kn_err *err)
{
    float most = l->op == KN_CONV ? MULTIPLIER_MOST : FLT_MAX;

    for (int o = 0; o < l->oc; o++)
        if (!within(q->multiplier[o], most))
            return kn_fail(err, KN_ESCALE,
                           "%s.multiplier[%d]: expected above 0, up to %g, found %g", l->name, o,
                           (double)most, (double)q->multiplier[o]);
    if (!within(q->step[KN_QUANT_STEP], FLT_MAX))
        return kn_fail(err, KN_ESCALE, "%s.step: expected a positive number, found %g", l->name,
                       (double)q->step[KN_QUANT_STEP]);
    if (l->residual >= 0 && !within(q->step[KN_QUANT_RESIDUAL], RESIDUAL_MOST))
        return kn_fail(err, KN_ESCALE, "%s: residual: expected above 0, up to %g, found %g",
                       l->name, (double)RESIDUAL_MOST, (double)q->step[KN_QUANT_RESIDUAL]);
    for (int i = 0; l->in == 0 && i < 2 * l->ic; i++)
        if (!isfinite(q->input[i]))
            return kn_fail(err, KN_ESCALE, "%s.input[%d]: expected a number, found %g", l->name, i,
                           (double)q->input[i]);
    return KN_OK;
}
