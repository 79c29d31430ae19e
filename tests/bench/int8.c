/* int8.c: random networks in int8. */
#include "tests/bench/int8.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/quant.h"

const float t_int8_mean[3] = {0.485f, 0.456f, 0.406f};
const float t_int8_deviation[3] = {0.229f, 0.224f, 0.225f};

void t_int8_normalise(const uint8_t *pixels, int side, float *x)
{
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < side * side; i++)
            *x++ = ((float)pixels[3 * i + c] / 255.0f - t_int8_mean[c]) / t_int8_deviation[c];
}

void t_int8_picture(uint8_t *pixels, int side, uint64_t seed)
{
    float wave[12], noise;

    t_random(wave, 12, 1, &seed);
    for (int i = 0; i < side * side; i++)
        for (int c = 0; c < 3; c++) {
            float y = (float)(i / side) / (float)side, x = (float)(i % side) / (float)side;
            const float *v = wave + 4 * c;
            t_random(&noise, 1, 20, &seed);
            float f = 128 + 60 * v[0] + 50 * sinf(20 * (v[1] * x + v[2] * y) + 6 * v[3]) + noise;
            *pixels++ = (uint8_t)(f < 0 ? 0 : f > 255 ? 255 : f);
        }
}

static size_t rounded(size_t bytes)
{
    return (bytes + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN;
}

static size_t fed(const struct kn_layer *l)
{
    return kn_pack_bytes("s8.n32", l);
}

int t_int8_lay_out(struct t_params *params, const struct kn_net *net)
{
    size_t total = KN_ALIGN;

    *params = (struct t_params){.memory = NULL};
    for (int i = 0; i < net->n_layers; i++)
        if (fed(&net->layer[i]))
            total += rounded(fed(&net->layer[i])) + 2 * rounded((size_t)net->layer[i].oc * 4) +
                     rounded(KN_QUANT_STEPS * 4) + rounded((size_t)net->layer[i].ic * 8);
    unsigned char *p = params->memory = aligned_alloc(KN_ALIGN, rounded(total));
    if (p == NULL)
        return -1;
    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_layer *l = &net->layer[i];
        struct kn_weight *w = &params->weights[i];
        if (fed(l) == 0)
            continue;
        w->w = p;
        p += rounded(fed(l));
        w->quant.bias = (void *)p;
        p += rounded((size_t)l->oc * 4);
        w->quant.multiplier = (void *)p;
        p += rounded((size_t)l->oc * 4);
        w->quant.step = (void *)p;
        p += rounded(KN_QUANT_STEPS * 4);
        w->quant.input = l->in == 0 ? (void *)p : NULL;
        p += rounded((size_t)l->ic * 8);
    }
    return 0;
}

/* One pass that notes the largest magnitude of every convolution's output. */
struct calibration {
    struct kn_plan *plan;
    const struct kn_net *net;
    float *value, *step;
};

static int note_largest(void *ctx, int layer)
{
    struct calibration *c = ctx;
    const struct kn_layer *l = &c->net->layer[layer - (layer > 0)];
    float largest = 0;

    if (layer == 0 || l->op != KN_CONV)
        return KN_MAX_THREADS;
    kn_plan_output(c->plan, layer - 1, c->value);
    for (int i = 0; i < l->oc * l->oh * l->ow; i++)
        largest = fmaxf(largest, fabsf(c->value[i]));
    c->step[l->out] =
        fmaxf(largest, 1e-6f) / (float)(l->relu ? KN_QUANT_U8_MOST : KN_QUANT_S16_GOOD);
    return KN_MAX_THREADS;
}

/* The engine that reads "f32.plain" fastest. */
static int calibrate(const struct kn_net *net, const struct t_params *fp32, float *step)
{
    struct kn_options options = {.isa = "blas", .max_batch = 1, .max_threads = 1};
    size_t side = (size_t)net->height, most = 0;
    struct calibration c = {.net = net, .step = step};

    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_layer *l = &net->layer[i];
        size_t n = (size_t)l->oc * (size_t)l->oh * (size_t)l->ow;
        most = n > most ? n : most;
    }
    float *x = malloc((3 * side * side + most + (size_t)net->classes) * sizeof *x);
    uint8_t *pixels = malloc(3 * side * side);
    int rc = -1;
    if (x != NULL && pixels != NULL &&
        kn_plan_new(&c.plan, net, fp32->weights, &options, NULL) == KN_OK) {
        c.value = x + 3 * side * side;
        t_int8_picture(pixels, net->height, 7);
        t_int8_normalise(pixels, net->height, x);
        kn_run(c.plan, x, 1, c.value + most, NULL, note_largest, &c);
        kn_quant_steps(net, step);
        rc = 0;
    }
    kn_plan_free(c.plan);
    free(x);
    free(pixels);
    return rc;
}

int t_int8_params(struct t_params *params, const struct kn_net *net, const struct t_params *fp32,
                  float *step)
{
    if (calibrate(net, fp32, step) != 0 || t_int8_lay_out(params, net) != 0)
        return -1;
    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_weight *to = &params->weights[i], *from = &fp32->weights[i];
        struct kn_quant_out out = {.w = (void *)to->w,
                                   .bias = (void *)to->quant.bias,
                                   .multiplier = (void *)to->quant.multiplier,
                                   .step = (void *)to->quant.step,
                                   .input = (void *)to->quant.input};
        if (to->w != NULL)
            kn_quant_layer(net, i, step, from->w, from->bias, t_int8_mean, t_int8_deviation, &out);
    }
    return 0;
}
