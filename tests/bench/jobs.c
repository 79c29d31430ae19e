/* jobs.c: one layer with random data between guard pages. */
#include "tests/bench/jobs.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/bf16.h"
#include "tests/bench/nets.h"

void t_guarded_new(struct t_guarded *g, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (n * sizeof(float) + page - 1) / page * page;
    g->n = n;
    g->map_bytes = inner + 2 * page;
    unsigned char *map = mmap(NULL, g->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(map != MAP_FAILED);
    int rc = inner > 0 ? mprotect(map + page, inner, PROT_READ | PROT_WRITE) : 0;
    assert(rc == 0);
    g->map = map;
    g->data = (float *)(void *)(map + page + inner) - n;
}

void t_guarded_free(struct t_guarded *g)
{
    munmap(g->map, g->map_bytes);
    g->data = NULL;
}

struct kn_layer t_conv(int ic, int ih, int iw, int oc, int k, int stride, int pad)
{
    struct kn_layer l = {.op = KN_CONV, .ic = ic, .ih = ih, .iw = iw, .oc = oc, .kh = k, .kw = k};
    l.stride = stride;
    l.pad = pad;
    l.oh = (ih + 2 * pad - k) / stride + 1;
    l.ow = (iw + 2 * pad - k) / stride + 1;
    l.relu = 1;
    l.out = 1;
    l.residual = -1;
    return l;
}

static void fill(struct t_guarded *g, size_t n, uint64_t *state)
{
    t_guarded_new(g, n);
    t_random(g->data, n, 1, state);
}

void t_job_new(struct t_job *t, const struct kn_layer *layer, uint64_t seed)
{
    const struct kn_layer *l = &t->layer;
    size_t outputs = (size_t)layer->oc * (size_t)layer->oh * (size_t)layer->ow;
    t->layer = *layer;
    fill(&t->x, (size_t)l->ic * (size_t)l->ih * (size_t)l->iw, &seed);
    fill(&t->w, kn_pack_bytes("f32.plain", l) / sizeof(float), &seed);
    fill(&t->bias, (size_t)l->oc, &seed);
    fill(&t->residual, outputs, &seed);
    t_guarded_new(&t->y, outputs);
}

void t_job_free(struct t_job *t)
{
    t_guarded_free(&t->x);
    t_guarded_free(&t->w);
    t_guarded_free(&t->bias);
    t_guarded_free(&t->residual);
    t_guarded_free(&t->y);
}

void t_job_run(struct t_job *t, const struct kn_algorithm *algorithm, int in_place)
{
    struct t_guarded scratch;
    size_t bytes = algorithm->scratch_bytes ? algorithm->scratch_bytes(&t->layer, 1) : 0;
    assert(bytes % sizeof(float) == 0);
    t_guarded_new(&scratch, bytes / sizeof(float));
    for (size_t i = 0; i < t->y.n; i++)
        t->y.data[i] = in_place ? t->residual.data[i] : NAN;
    struct kn_job job = {.layer = &t->layer, .block_x = 1, .block_y = 1, .images = 1, .width = 1};
    job.x = t->x.data;
    job.w = t->w.data;
    job.bias = t->bias.data;
    job.y = t->y.data;
    job.scratch = scratch.data;
    if (t->layer.residual >= 0)
        job.residual = in_place ? t->y.data : t->residual.data;
    algorithm->run(&job);
    t_guarded_free(&scratch);
}

/* A value that keeps `block` channels together, with a halo. */
struct blocked {
    struct t_guarded mem;
    enum kn_element element;
    int c, h, w, block, halo;
};

static void blocked_new(struct blocked *b, int c, int h, int w, int block, int halo,
                        enum kn_element element)
{
    size_t n = (size_t)((c + block - 1) / block * block * (h + 2 * halo) * (w + 2 * halo));
    size_t bytes = n * kn_element_bytes(element);
    *b = (struct blocked){.c = c, .h = h, .w = w, .block = block, .halo = halo, .element = element};
    assert(bytes % sizeof(float) == 0);
    t_guarded_new(&b->mem, bytes / sizeof(float));
    memset(b->mem.data, 0, bytes);
}

static size_t at(const struct blocked *b, int c, int y, int x)
{
    int h = b->h + 2 * b->halo, w = b->w + 2 * b->halo;
    size_t pixel = ((size_t)(c / b->block) * (size_t)h + (size_t)(y + b->halo)) * (size_t)w;
    return (pixel + (size_t)(x + b->halo)) * (size_t)b->block + (size_t)(c % b->block);
}

static void put(struct blocked *b, size_t i, float x)
{
    if (b->element == KN_BF16)
        ((uint16_t *)(void *)b->mem.data)[i] = kn_bf16_round(x);
    else
        b->mem.data[i] = x;
}

static float get(const struct blocked *b, size_t i)
{
    return b->element == KN_BF16 ? kn_bf16_widen(((uint16_t *)(void *)b->mem.data)[i])
                                 : b->mem.data[i];
}

static void block_up(struct blocked *b, const float *x)
{
    for (int c = 0; c < b->c; c++)
        for (int i = 0; i < b->h; i++)
            for (int j = 0; j < b->w; j++)
                put(b, at(b, c, i, j), *x++);
}

/* Takes every value out, which leaves zeros everywhere. */
static void unblock(struct blocked *b, float *x)
{
    for (int c = 0; c < b->c; c++)
        for (int i = 0; i < b->h; i++)
            for (int j = 0; j < b->w; j++, x++) {
                *x = get(b, at(b, c, i, j));
                put(b, at(b, c, i, j), 0);
            }
    for (size_t i = 0; i < b->mem.n; i++)
        assert(b->mem.data[i] == 0);
}

void t_job_run_engine(struct t_job *t, const struct kn_engine *engine, int in_place, int halo_y,
                      struct kn_threads *threads, int width)
{
    const struct kn_layer *l = &t->layer;
    const struct kn_algorithm *algorithm = kn_dispatch_layer(engine, l);
    enum kn_element in = kn_element_in(engine, l), out = kn_element_out(engine, l);
    int stem = kn_kind_of(l) == KN_CONV_STEM, block = engine->block;
    int halo_x = block > 1 && !stem && l->op == KN_CONV ? l->pad : 0;
    struct t_guarded w, scratch;
    struct blocked x, y, residual;

    halo_y = block > 1 ? halo_y : 0;
    blocked_new(&x, l->ic, l->ih, l->iw, stem ? 1 : block, halo_x, in);
    block_up(&x, t->x.data);
    blocked_new(&residual, l->oc, l->oh, l->ow, block, halo_y, out);
    block_up(&residual, t->residual.data);
    blocked_new(&y, l->oc, l->oh, l->ow, block, halo_y, out);
    memset(y.mem.data, 0xff, y.mem.n * sizeof(float)); /* NaN, in either element */
    if (in_place)
        memcpy(y.mem.data, residual.mem.data, y.mem.n * sizeof(float));
    t_guarded_new(&w, kn_pack_bytes(engine->layout, l) / sizeof(float));
    if (w.n > 0)
        kn_pack(engine->layout, l, t->w.data, w.data);
    size_t bytes = algorithm->scratch_bytes ? algorithm->scratch_bytes(l, width) : 0;
    t_guarded_new(&scratch, (bytes + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN / sizeof(float));
    struct kn_job job = {
        .layer = l, .engine = engine, .w = w.data, .bias = t->bias.data, .images = 1};
    job.x = x.mem.data;
    job.y = y.mem.data;
    if (l->residual >= 0)
        job.residual = in_place ? y.mem.data : residual.mem.data;
    job.block_x = stem ? 1 : block;
    job.block_y = block;
    job.halo_x = halo_x;
    job.halo_y = halo_y;
    job.scratch = scratch.data;
    job.threads = threads;
    job.width = width;
    algorithm->run(&job);
    unblock(&y, t->y.data);
    t_guarded_free(&w);
    t_guarded_free(&scratch);
    t_guarded_free(&x.mem);
    t_guarded_free(&y.mem);
    t_guarded_free(&residual.mem);
}

void t_job_expect(const struct t_job *t, int from, int to, float *out)
{
    const struct kn_engine *ref = kn_dispatch("ref", NULL, NULL);
    struct kn_layer part = t->layer;
    size_t pixels = (size_t)part.oh * (size_t)part.ow, first = (size_t)from;
    size_t k = (size_t)part.ic * (size_t)(part.kh * part.kw);
    struct t_guarded scratch;

    part.oc = to - from;
    const struct kn_algorithm *a = kn_dispatch_layer(ref, &part);
    t_guarded_new(&scratch, a->scratch_bytes ? a->scratch_bytes(&part, 1) / sizeof(float) : 0);
    struct kn_job job = {
        .layer = &part, .block_x = 1, .block_y = 1, .images = 1, .y = out, .width = 1};
    int pool = part.op == KN_MAXPOOL || part.op == KN_AVGPOOL;
    job.x = t->x.data + (pool ? first * (size_t)part.ih * (size_t)part.iw : 0);
    job.w = t->w.data + first * k * !pool;
    job.bias = t->bias.data + first;
    job.scratch = scratch.data;
    if (part.residual >= 0)
        job.residual = t->residual.data + first * pixels;
    a->run(&job);
    t_guarded_free(&scratch);
}
