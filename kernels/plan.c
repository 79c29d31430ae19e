/* plan.c: a network bound to an engine: each layer to its function, each value to its place in one
 * block of memory, which also holds the scratch. After kn_plan_new() nothing is allocated. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/engine.h"

struct kn_plan {
    struct kn_net net;
    struct kn_weight weights[KN_MAX_LAYERS];
    const struct kn_engine *engine;
    const struct kn_algorithm *algorithm[KN_MAX_LAYERS];
    size_t offset[KN_MAX_LAYERS + 1]; /* of each value in the arena; [0] is not used */
    int block[KN_MAX_LAYERS + 1];     /* channels that each value keeps together */
    int max_batch;
    unsigned char *memory; /* the arena, then the scratch */
    size_t arena_bytes, bytes;
    const float *x; /* the image in hand; NULL outside kn_run() */
};

/* Bytes of a layer's output, channels rounded up to whole blocks; 0 on overflow. */
static size_t value_bytes(const struct kn_layer *l, int block)
{
    size_t bytes = (size_t)((l->oc + block - 1) / block) * (size_t)block * sizeof(float);
    if (__builtin_mul_overflow(bytes, (size_t)l->oh, &bytes) ||
        __builtin_mul_overflow(bytes, (size_t)l->ow, &bytes))
        return 0;
    return bytes;
}

/* Chooses algorithms and places everything; returns the bytes needed, or 0 on overflow. */
static size_t bind_layers(struct kn_plan *plan)
{
    size_t bytes[KN_MAX_LAYERS + 1] = {0}, scratch = 0, total;
    plan->block[0] = 1;
    for (int i = 0; i < plan->net.n_layers; i++) {
        const struct kn_layer *l = &plan->net.layer[i];
        plan->algorithm[i] = kn_dispatch_layer(plan->engine, l);
        plan->block[l->out] = plan->engine->block;
        bytes[l->out] = value_bytes(l, plan->engine->block);
        kn_scratch_fn *scratch_bytes = plan->algorithm[i]->scratch_bytes;
        size_t need = scratch_bytes ? scratch_bytes(l) : 0;
        scratch = need > scratch ? need : scratch;
        if (bytes[l->out] == 0)
            return 0;
    }
    plan->arena_bytes = kn_arena_plan(&plan->net, bytes, plan->offset);
    if (plan->arena_bytes == 0 || __builtin_add_overflow(plan->arena_bytes, scratch, &total))
        return 0;
    return total;
}

int kn_plan_new(struct kn_plan **out, const struct kn_net *net, const struct kn_weight *weights,
                const struct kn_options *options, struct kn_err *err)
{
    struct kn_err unseen;
    err = err ? err : &unseen;
    *out = NULL;
    const struct kn_engine *engine = kn_dispatch(options->isa, options->precision, err);
    if (engine == NULL)
        return (int)err->code;
    struct kn_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return kn_fail(err, KN_ENOMEM, "plan: no memory for its %zu bytes", sizeof *plan);
    plan->net = *net;
    memcpy(plan->weights, weights, (size_t)net->n_layers * sizeof *weights);
    plan->engine = engine;
    plan->max_batch = options->max_batch > 1 ? options->max_batch : 1;
    plan->bytes = bind_layers(plan);
    void *memory = MAP_FAILED;
    if (plan->bytes > 0)
        memory =
            mmap(NULL, plan->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        kn_fail(err, KN_ENOMEM, "plan: no memory for %zu bytes of activations", plan->bytes);
        free(plan);
        return KN_ENOMEM;
    }
    plan->memory = memory;
    *out = plan;
    return KN_OK;
}

void kn_plan_free(struct kn_plan *plan)
{
    if (plan == NULL)
        return;
    munmap(plan->memory, plan->bytes);
    free(plan);
}

const struct kn_net *kn_plan_net(const struct kn_plan *plan)
{
    return &plan->net;
}

const char *kn_plan_isa(const struct kn_plan *plan)
{
    return plan->engine->isa;
}

size_t kn_plan_bytes(const struct kn_plan *plan)
{
    return plan->bytes;
}

const char *kn_plan_algorithm(const struct kn_plan *plan, int layer)
{
    return plan->algorithm[layer]->name;
}

static float *value(const struct kn_plan *plan, int v)
{
    return (float *)(void *)(plan->memory + plan->offset[v]);
}

static void run_layer(const struct kn_plan *plan, int i)
{
    const struct kn_layer *l = &plan->net.layer[i];
    const struct kn_job job = {
        .layer = l,
        .w = plan->weights[i].w,
        .bias = plan->weights[i].bias,
        .x = l->in == 0 ? plan->x : value(plan, l->in),
        .residual = l->residual < 0 ? NULL : value(plan, l->residual),
        .y = value(plan, l->out),
        .block_x = plan->block[l->in],
        .block_y = plan->block[l->out],
        .scratch = plan->memory + plan->arena_bytes,
    };
    plan->algorithm[i]->run(&job);
}

static int run_image(const struct kn_plan *plan, kn_between_fn *between, void *ctx)
{
    for (int i = 0; i <= plan->net.n_layers; i++) {
        if (between != NULL && between(ctx, i) <= 0)
            return KN_ESTOPPED;
        if (i < plan->net.n_layers)
            run_layer(plan, i);
    }
    return KN_OK;
}

int kn_run(struct kn_plan *plan, const float *x, int n, float *logits, float *features,
           kn_between_fn *between, void *ctx)
{
    assert(n >= 1 && n <= plan->max_batch);
    const struct kn_net *net = &plan->net;
    const struct kn_layer *fc = &net->layer[net->n_layers - 1];
    size_t pixels = (size_t)net->layer[0].ic * (size_t)net->height * (size_t)net->width;
    size_t classes = (size_t)net->classes, width = (size_t)net->features;
    int rc = KN_OK;

    for (int i = 0; i < n && rc == KN_OK; i++) {
        plan->x = x + (size_t)i * pixels;
        rc = run_image(plan, between, ctx);
        if (rc != KN_OK)
            break;
        memcpy(logits + (size_t)i * classes, value(plan, fc->out), classes * sizeof *logits);
        if (features != NULL)
            memcpy(features + (size_t)i * width, value(plan, fc->in), width * sizeof *features);
    }
    plan->x = NULL;
    return rc;
}

void kn_plan_output(const struct kn_plan *plan, int layer, float *out)
{
    const struct kn_layer *l = &plan->net.layer[layer];
    const float *y = value(plan, l->out);
    size_t block = (size_t)plan->block[l->out], pixels = (size_t)l->oh * (size_t)l->ow;

    for (size_t c = 0; c < (size_t)l->oc; c++) {
        const float *plane = y + c / block * block * pixels + c % block;
        for (size_t i = 0; i < pixels; i++)
            *out++ = plane[i * block];
    }
}
