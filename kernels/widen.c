/* widen.c: bf16 where there are no kernels for it: operands are widened to plain fp32 in scratch
 * memory, a plain engine computes the layer, and what it gives is rounded once. Slow and obvious:
 * the floor on any CPU, and with `ref` the truth that the micro-kernels are held against. */
#include <string.h>

#include "kernels/bf16.h"
#include "kernels/engine.h"

/* Elements of one image's value. */
struct shape {
    int c, h, w, block, halo;
};

static size_t dense_floats(int c, int h, int w)
{
    size_t n = (size_t)c * (size_t)h * (size_t)w;
    return (n + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN;
}

static size_t x_floats(const struct kn_layer *l)
{
    return dense_floats(l->ic, l->ih, l->iw);
}

static size_t y_floats(const struct kn_layer *l)
{
    return dense_floats(l->oc, l->oh, l->ow);
}

static size_t w_floats(const struct kn_layer *l)
{
    return l->op == KN_CONV || l->op == KN_FC ? dense_floats(l->oc, l->ic, l->kh * l->kw) : 0;
}

/* Of whichever plain engine asks for more. */
size_t kn_widen_scratch(const struct kn_layer *l, int threads)
{
    static const char *const plain[] = {"ref", "blas"};
    size_t most = 0;

    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        const struct kn_engine *engine = kn_dispatch(plain[i], "fp32", NULL);
        kn_scratch_fn *bytes = kn_dispatch_layer(engine, l)->scratch_bytes;
        size_t need = bytes ? bytes(l, threads) : 0;
        most = need > most ? need : most;
    }
    return (x_floats(l) + w_floats(l) + 2 * y_floats(l)) * sizeof(float) + most;
}

/* Index of channel c, row y of the value. */
static size_t row_at(const struct shape *s, int c, int y)
{
    size_t h = (size_t)(s->h + 2 * s->halo), w = (size_t)(s->w + 2 * s->halo);
    size_t row = (size_t)(c / s->block) * h + (size_t)(y + s->halo);
    return (row * w + (size_t)s->halo) * (size_t)s->block + (size_t)(c % s->block);
}

static void widen_value(const struct shape *s, const uint16_t *x, float *dense)
{
    for (int c = 0; c < s->c; c++)
        for (int y = 0; y < s->h; y++) {
            const uint16_t *row = x + row_at(s, c, y);
            for (int i = 0; i < s->w; i++)
                *dense++ = kn_bf16_widen(row[i * s->block]);
        }
}

static void round_value(const struct shape *s, const float *dense, uint16_t *x)
{
    size_t blocks = (size_t)((s->c + s->block - 1) / s->block);
    size_t pixels = (size_t)(s->h + 2 * s->halo) * (size_t)(s->w + 2 * s->halo);

    memset(x, 0, blocks * (size_t)s->block * pixels * sizeof *x);
    for (int c = 0; c < s->c; c++)
        for (int y = 0; y < s->h; y++) {
            uint16_t *row = x + row_at(s, c, y);
            for (int i = 0; i < s->w; i++)
                row[i * s->block] = kn_bf16_round(*dense++);
        }
}

/* The head's outputs are fp32 already: one pixel, whose channels lie in their order; those that
 * fill up a block are zero. */
static void copy_head(const struct kn_job *job, const float *dense)
{
    size_t c = (size_t)job->layer->oc, block = (size_t)job->block_y;

    memset(job->y, 0, (c + block - 1) / block * block * sizeof *dense);
    memcpy(job->y, dense, c * sizeof *dense);
}

void kn_widen_layer(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    const struct kn_engine *plain = job->engine->plain;
    struct kn_job wide = *job;
    float *x = job->scratch, *w = x + x_floats(l), *residual = w + w_floats(l);
    float *y = residual + y_floats(l);
    struct shape in = {l->ic, l->ih, l->iw, job->block_x, job->halo_x};
    struct shape out = {l->oc, l->oh, l->ow, job->block_y, job->halo_y};

    wide.engine = plain;
    wide.block_x = wide.block_y = 1;
    wide.halo_x = wide.halo_y = 0;
    wide.scratch = y + y_floats(l);
    wide.y = y;
    if (kn_element_in(job->engine, l) == KN_BF16) {
        widen_value(&in, (const uint16_t *)(const void *)job->x, x);
        wide.x = x;
    }
    if (w_floats(l) > 0) {
        kn_pack_bf16_widen(l, job->w, w);
        wide.w = w;
    }
    if (job->residual != NULL) {
        widen_value(&out, (const uint16_t *)(const void *)job->residual, residual);
        wide.residual = residual;
    }
    kn_dispatch_layer(plain, l)->run(&wide);
    if (kn_element_out(job->engine, l) == KN_BF16)
        round_value(&out, y, (uint16_t *)(void *)job->y);
    else
        copy_head(job, y);
}
