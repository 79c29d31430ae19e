/* plan.c: a network bound to an engine: each layer to its function, each value to its place in one
 * block of memory, which also holds the scratch. After kn_plan_new() nothing is allocated. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/bf16.h"
#include "kernels/engine.h"
#include "kernels/quant.h"
#include "kernels/threads.h"
#include "kernels/u8.h"

enum {
    HUGE_BYTES = 2 << 20,
    TOGETHER = 8 /* images at most that share a pass over the weights */
};

struct kn_plan {
    struct kn_net net;
    struct kn_weight weights[KN_MAX_LAYERS];
    const struct kn_engine *engine;
    const struct kn_algorithm *algorithm[KN_MAX_LAYERS];
    size_t offset[KN_MAX_LAYERS + 1]; /* of each value in the arena; [0] is not used */
    enum kn_element element[KN_MAX_LAYERS + 1];
    int block[KN_MAX_LAYERS + 1]; /* channels that each value keeps together */
    int halo[KN_MAX_LAYERS + 1];  /* px of zeros around each value */
    int max_batch, max_threads;
    /* From layer batch_from on, up to `together` images are computed as one. What these layers read
     * or write then lies behind all else, for each image slot_bytes further. */
    int batch_from, together;
    int shared[KN_MAX_LAYERS + 1]; /* values: those layers read or write it */
    size_t slot_offset[KN_MAX_LAYERS + 1], slot_bytes;
    struct kn_threads *threads;
    int borrows_threads;
    unsigned char *memory; /* the arena, then the scratch, then the slots */
    size_t arena_bytes, slots_at, bytes;
    void *mapping; /* what that lies in */
    size_t mapped_bytes;
    const unsigned char *x; /* the first image of those in hand; NULL outside kn_run() */
    size_t x_bytes;         /* from one to the next */
    int images;             /* how many those are */
    int image;              /* the one of them that the layers before batch_from are computed for */
    /* int8 only: */
    float step[KN_MAX_LAYERS + 1]; /* of each value */
    int takes_pixels;              /* x is pixels, not floats that have to become such */
    size_t pixels_bytes;           /* of one image of them, at the end of memory */
};

/* Bytes of a layer's output with its halo, channels rounded up to whole blocks; 0 on overflow. */
static size_t value_bytes(const struct kn_engine *engine, const struct kn_layer *l, int halo)
{
    size_t block = (size_t)engine->block;
    size_t bytes =
        ((size_t)l->oc + block - 1) / block * block * kn_element_bytes(kn_element_out(engine, l));
    if (__builtin_mul_overflow(bytes, (size_t)(l->oh + 2 * halo), &bytes) ||
        __builtin_mul_overflow(bytes, (size_t)(l->ow + 2 * halo), &bytes))
        return 0;
    return bytes;
}

/* A blocked value has the padding of the convolutions that read it around it. A residual has the
 * same shape as the sum that may be written over it. */
static void choose_halos(struct kn_plan *plan)
{
    const struct kn_net *net = &plan->net;
    if (plan->engine->block == 1)
        return;
    for (int i = net->n_layers - 1; i >= 0; i--) {
        const struct kn_layer *l = &net->layer[i];
        if (l->op == KN_CONV && l->in != 0 && l->pad > plan->halo[l->in])
            plan->halo[l->in] = l->pad;
        if (l->residual > 0 && plan->halo[l->residual] < plan->halo[l->out])
            plan->halo[l->residual] = plan->halo[l->out];
    }
    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_layer *l = &net->layer[i];
        if (l->residual > 0 && plan->halo[l->out] < plan->halo[l->residual])
            plan->halo[l->out] = plan->halo[l->residual];
    }
}

/* At the end of a network pixels are few and weights many: there images share one pass over the
 * weights. Where pixels are many, a batch would only push them out of the cache. */
static void choose_batch(struct kn_plan *plan)
{
    const struct kn_net *net = &plan->net;

    plan->together = 1;
    plan->batch_from = net->n_layers;
    if (plan->max_batch == 1 || plan->engine->block == 1)
        return;
    while (plan->batch_from > 1 &&
           net->layer[plan->batch_from - 1].oh * net->layer[plan->batch_from - 1].ow <
               KN_MIDDLE_PIXELS)
        plan->batch_from--;
    if (plan->batch_from < net->n_layers)
        plan->together = plan->max_batch < TOGETHER ? plan->max_batch : TOGETHER;
}

/* Returns the bytes of the slots, beyond what a single image takes; 0 on overflow as well. */
static size_t place_slots(struct kn_plan *plan, const size_t *bytes)
{
    size_t shared[KN_MAX_LAYERS + 1] = {0}, total;

    if (plan->together == 1)
        return 0;
    for (int i = plan->batch_from; i < plan->net.n_layers; i++) {
        const struct kn_layer *l = &plan->net.layer[i];
        const int used[] = {l->in, l->residual, l->out};
        for (int u = 0; u < 3; u++)
            if (used[u] > 0) {
                plan->shared[used[u]] = 1;
                shared[used[u]] = bytes[used[u]];
            }
    }
    plan->slot_bytes = kn_arena_plan(&plan->net, shared, plan->slot_offset);
    if (__builtin_mul_overflow(plan->slot_bytes, (size_t)plan->together, &total))
        return 0;
    return total;
}

/* Chooses algorithms and places everything; returns the bytes needed, or 0 on overflow. */
static size_t bind_layers(struct kn_plan *plan)
{
    size_t bytes[KN_MAX_LAYERS + 1] = {0}, scratch = 0, total;
    plan->block[0] = 1;
    choose_halos(plan);
    for (int i = 0; i < plan->net.n_layers; i++) {
        const struct kn_layer *l = &plan->net.layer[i];
        plan->algorithm[i] = kn_dispatch_layer(plan->engine, l);
        plan->block[l->out] = plan->engine->block;
        plan->element[l->out] = kn_element_out(plan->engine, l);
        bytes[l->out] = value_bytes(plan->engine, l, plan->halo[l->out]);
        kn_scratch_fn *scratch_bytes = plan->algorithm[i]->scratch_bytes;
        size_t need = scratch_bytes ? scratch_bytes(l, plan->max_threads) : 0;
        scratch = need > scratch ? need : scratch;
        if (bytes[l->out] == 0)
            return 0;
    }
    choose_batch(plan);
    size_t slots = place_slots(plan, bytes);
    plan->arena_bytes = kn_arena_plan(&plan->net, bytes, plan->offset);
    if (plan->arena_bytes == 0 || (slots == 0 && plan->together > 1) ||
        __builtin_add_overflow(plan->arena_bytes, scratch, &plan->slots_at) ||
        __builtin_add_overflow(plan->slots_at, KN_ALIGN - 1, &plan->slots_at))
        return 0;
    plan->slots_at = plan->slots_at / KN_ALIGN * KN_ALIGN;
    if (__builtin_add_overflow(plan->slots_at, slots, &total) ||
        __builtin_add_overflow(total, plan->pixels_bytes, &total))
        return 0;
    return total;
}

/* What int8 has beside weights: checked, and the steps of all values. */
static int take_quant(struct kn_plan *plan, struct kn_err *err)
{
    const struct kn_net *net = &plan->net;

    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_quant *quant = &plan->weights[i].quant;
        if (net->layer[i].op != KN_CONV && net->layer[i].op != KN_FC)
            continue;
        if (kn_quant_check(&net->layer[i], quant, err) != KN_OK)
            return (int)err->code;
        plan->step[net->layer[i].out] = quant->step[KN_QUANT_STEP];
    }
    kn_quant_steps(net, plan->step);
    plan->pixels_bytes = (size_t)net->layer[0].ic * (size_t)net->height * (size_t)net->width;
    return KN_OK;
}

static int clamp_threads(int n, int most)
{
    return n < 1 ? 1 : n > most ? most : n;
}

/* Memory for the arena. A large one begins at a huge page, and asks for such: fewer misses of the
 * TLB, 1.5 % of a pass. NULL when there is none. */
static void *map(struct kn_plan *plan)
{
    size_t huge = plan->bytes >= 2 * HUGE_BYTES ? HUGE_BYTES : 0;
    size_t bytes = plan->bytes + 2 * huge;

    if (bytes < plan->bytes)
        return NULL;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    plan->mapping = p;
    plan->mapped_bytes = bytes;
    if (huge == 0)
        return p;
    void *start = (void *)(((uintptr_t)p + huge - 1) / huge * huge);
    madvise(start, (plan->bytes + huge - 1) / huge * huge, MADV_HUGEPAGE);
    return start;
}

/* Its own, or those of the plan that it is beside. */
static int take_threads(struct kn_plan *plan, const struct kn_options *options, struct kn_err *err)
{
    if (options->beside == NULL)
        return kn_threads_new(&plan->threads, plan->max_threads, err);
    plan->threads = options->beside->threads;
    plan->borrows_threads = 1;
    return KN_OK;
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
    plan->max_threads = clamp_threads(
        options->max_threads, options->beside ? options->beside->max_threads : KN_MAX_THREADS);
    if (engine->element == KN_U8 && take_quant(plan, err) != KN_OK) {
        kn_plan_free(plan);
        return (int)err->code;
    }
    plan->bytes = bind_layers(plan);
    plan->memory = plan->bytes > 0 ? map(plan) : NULL;
    if (plan->memory == NULL)
        kn_fail(err, KN_ENOMEM, "plan: no memory for %zu bytes of activations", plan->bytes);
    if (plan->memory == NULL || take_threads(plan, options, err) != KN_OK) {
        kn_plan_free(plan);
        return (int)err->code;
    }
    *out = plan;
    return KN_OK;
}

void kn_plan_free(struct kn_plan *plan)
{
    if (plan == NULL)
        return;
    if (!plan->borrows_threads)
        kn_threads_free(plan->threads);
    if (plan->mapping != NULL)
        munmap(plan->mapping, plan->mapped_bytes);
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

void kn_plan_work(const struct kn_plan *plan, int layer, struct kn_work *work)
{
    kn_work_of(plan->engine, &plan->net.layer[layer], work);
}

static float *value(const struct kn_plan *plan, int v, int image)
{
    size_t at = plan->offset[v];
    if (plan->images > 1 && plan->shared[v])
        at = plan->slots_at + (size_t)image * plan->slot_bytes + plan->slot_offset[v];
    return (float *)(void *)(plan->memory + at);
}

/* A float image on its way back to pixels. */
struct conversion {
    const struct kn_plan *plan;
    const float *x;
    uint8_t *pixels;
};

static void convert_part(void *ctx, int thread, int threads)
{
    const struct conversion *c = ctx;
    const struct kn_u8_ops *ops = c->plan->engine->u8;
    const struct kn_net *net = &c->plan->net;
    int channels = net->layer[0].ic;
    long plane = (long)net->height * net->width, from, to;

    kn_threads_part(plane, thread, threads, &from, &to);
    (ops ? ops->convert : kn_quant_pixels)(c->plan->weights[0].quant.input, c->x + from,
                                           (size_t)plane, channels, (size_t)(to - from),
                                           c->pixels + from * channels);
}

/* What the first layer reads of an image. */
static const void *input(const struct kn_plan *plan, int image, int width)
{
    const unsigned char *x = plan->x + (size_t)image * plan->x_bytes;

    if (plan->engine->element != KN_U8 || plan->takes_pixels)
        return x;
    uint8_t *pixels = plan->memory + plan->bytes - plan->pixels_bytes;
    struct conversion c = {plan, (const float *)(const void *)x, pixels};
    kn_threads_run(plan->threads, width, convert_part, &c);
    return pixels;
}

/* The weights of the first layer after i that has any. */
static void look_ahead(const struct kn_plan *plan, int i, struct kn_job *job)
{
    while (++i < plan->net.n_layers) {
        if (plan->weights[i].w == NULL)
            continue;
        job->ahead = plan->weights[i].w;
        job->ahead_bytes = kn_pack_bytes(plan->engine->layout, &plan->net.layer[i]);
        return;
    }
}

/* Of `images` images from number `image` on. */
static void run_layer(const struct kn_plan *plan, int i, int image, int images, int width)
{
    const struct kn_layer *l = &plan->net.layer[i];
    struct kn_job job = {
        .layer = l,
        .engine = plan->engine,
        .w = plan->weights[i].w,
        .bias = plan->weights[i].bias,
        .quant = &plan->weights[i].quant,
        .residual_s16 = l->residual > 0 && plan->element[l->residual] == KN_S16,
        .block_x = plan->block[l->in],
        .block_y = plan->block[l->out],
        .halo_x = plan->halo[l->in],
        .halo_y = plan->halo[l->out],
        .image_bytes = plan->slot_bytes,
        .scratch = plan->memory + plan->arena_bytes,
        .threads = plan->threads,
        .width = width,
    };
    look_ahead(plan, i, &job);
    job.images = plan->engine->batches >> kn_kind_of(l) & 1 ? images : 1;
    for (int end = image + images; image < end; image += job.images) {
        job.x = l->in == 0 ? input(plan, image, width) : value(plan, l->in, image);
        job.residual = l->residual < 0 ? NULL : value(plan, l->residual, image);
        job.y = value(plan, l->out, image);
        plan->algorithm[i]->run(&job);
    }
}

/* Layers [from, to) of those images. The network's last layer is followed by one more call. */
static int run_layers(const struct kn_plan *plan, int from, int to, int image, int images,
                      kn_between_fn *between, void *ctx)
{
    int end = to == plan->net.n_layers ? to + 1 : to;

    for (int i = from; i < end; i++) {
        int width = between ? between(ctx, i) : 1;
        if (width <= 0)
            return KN_ESTOPPED;
        if (i < to)
            run_layer(plan, i, image, images, clamp_threads(width, plan->max_threads));
    }
    return KN_OK;
}

/* plan->together images at most. */
static int run_together(struct kn_plan *plan, const unsigned char *x, int n, kn_between_fn *between,
                        void *ctx)
{
    int all = plan->net.n_layers, rc = KN_OK;

    plan->x = x;
    plan->images = n;
    for (int i = 0; i < n && rc == KN_OK; i++) {
        plan->image = i;
        rc = run_layers(plan, 0, plan->batch_from, i, 1, between, ctx);
    }
    plan->image = 0;
    if (rc == KN_OK && plan->batch_from < all)
        rc = run_layers(plan, plan->batch_from, all, 0, n, between, ctx);
    plan->x = NULL;
    return rc;
}

/* A number of an image's value as what it stands for. */
static float element_at(const struct kn_plan *plan, int v, int image, size_t i)
{
    const void *x = value(plan, v, image);

    switch (plan->element[v]) {
    case KN_BF16:
        return kn_bf16_widen(((const uint16_t *)x)[i]);
    case KN_U8:
        return (float)((const uint8_t *)x)[i] * plan->step[v];
    case KN_S16:
        return (float)((const int16_t *)x)[i] * plan->step[v];
    case KN_F32:
        break;
    }
    return ((const float *)x)[i];
}

/* Images x, each plan->x_bytes. */
static int run(struct kn_plan *plan, const void *x, int n, float *logits, float *features,
               kn_between_fn *between, void *ctx)
{
    const struct kn_net *net = &plan->net;
    const struct kn_layer *fc = &net->layer[net->n_layers - 1];
    size_t classes = (size_t)net->classes, width = (size_t)net->features;

    assert(n >= 1 && n <= plan->max_batch);
    for (int i = 0, some; i < n; i += some) {
        const unsigned char *first = (const unsigned char *)x + (size_t)i * plan->x_bytes;
        some = n - i < plan->together ? n - i : plan->together;
        int rc = run_together(plan, first, some, between, ctx);
        if (rc != KN_OK)
            return rc;
        for (int j = 0; j < some; j++) {
            size_t at = (size_t)(i + j);
            memcpy(logits + at * classes, value(plan, fc->out, j), classes * sizeof *logits);
            for (size_t c = 0; features != NULL && c < width; c++)
                features[at * width + c] = element_at(plan, fc->in, j, c);
        }
    }
    return KN_OK;
}

int kn_run(struct kn_plan *plan, const float *x, int n, float *logits, float *features,
           kn_between_fn *between, void *ctx)
{
    const struct kn_net *net = &plan->net;

    plan->takes_pixels = 0;
    plan->x_bytes = (size_t)net->layer[0].ic * (size_t)net->height * (size_t)net->width * sizeof *x;
    return run(plan, x, n, logits, features, between, ctx);
}

int kn_run_pixels(struct kn_plan *plan, const uint8_t *x, int n, float *logits, float *features,
                  kn_between_fn *between, void *ctx)
{
    assert(plan->engine->element == KN_U8);
    plan->takes_pixels = 1;
    plan->x_bytes = plan->pixels_bytes;
    return run(plan, x, n, logits, features, between, ctx);
}

void kn_plan_output(const struct kn_plan *plan, int layer, float *out)
{
    const struct kn_layer *l = &plan->net.layer[layer];
    size_t block = (size_t)plan->block[l->out], halo = (size_t)plan->halo[l->out];
    size_t h = (size_t)l->oh, w = (size_t)l->ow, row = w + 2 * halo;

    for (size_t c = 0; c < (size_t)l->oc; c++) {
        size_t plane = c / block * block * (h + 2 * halo) * row + c % block;
        for (size_t i = 0; i < h; i++)
            for (size_t j = 0; j < w; j++) {
                size_t at = plane + ((i + halo) * row + j + halo) * block;
                *out++ = element_at(plan, l->out, plan->image, at);
            }
    }
}
