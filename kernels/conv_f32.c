/* conv_f32.c: convolution as a product of matrices that are never built: every filter tap is the
 * same blocked image, moved. One tile of outputs at a time runs through the whole reduction
 * (f32.h); this page says which tiles there are, in which order, and what to fetch meanwhile.
 *
 * Small weights stay in L2 while the pixels pass by; large ones pass by once, each panel over all
 * pixels, and the next panel is fetched from memory during the one in hand. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/blocked.h"
#include "kernels/engine.h"
#include "kernels/f32.h"
#include "kernels/threads.h"

enum {
    BLOCK = KN_F32_BLOCK,
    MAX_LINES = 32,              /* fetched in one run of 16 inputs */
    MAX_AHEAD_BYTES = 256 << 10, /* of the next layer's weights */
    L2_PERCENT = 35              /* weights up to this share of L2 stay there */
};

/* How the output's pixels are cut into tiles. */
enum cut {
    EVEN,  /* as one row, into equal parts */
    PAIRS, /* two whole rows a tile */
    ROWS   /* each row by itself, into equal parts */
};

struct conv {
    const struct kn_job *job;
    kn_f32_tile_fn *const *kernel;
    struct kn_f32_tile tile; /* what all tiles have in common */
    const float *x;
    ptrdiff_t x_row, x_pixel, y_row; /* floats, for one output row or pixel */
    enum cut cut;
    int tiles, tiles_per_row;
    int panels, steps, weights_outer; /* steps: panels in pairs where the ISA takes two at once */
    size_t panel_floats;
};

/* One thread's share. */
struct part {
    struct kn_f32_tile tile;
    const char *ahead; /* what it will want in the next layer */
    size_t ahead_bytes;
    long done, items;
};

/* Tile t: its place, and its size as the result. */
static int place(const struct conv *c, int t, struct kn_f32_tile *tile)
{
    const struct kn_layer *l = c->job->layer;
    long all = (long)l->oh * l->ow, from, to;
    int row = 0;

    if (c->cut == PAIRS) {
        from = 2L * l->ow * t;
        to = from + 2L * l->ow < all ? from + 2L * l->ow : all;
    } else if (c->cut == EVEN) {
        kn_threads_part(all, t, c->tiles, &from, &to);
    } else {
        kn_threads_part(l->ow, t % c->tiles_per_row, c->tiles_per_row, &from, &to);
        row = t / c->tiles_per_row;
    }
    int pixels = (int)(to - from), column = (int)(from % l->ow);
    row += (int)(from / l->ow);
    tile->split = l->ow - column;
    tile->a = c->x + row * c->x_row + column * c->x_pixel;
    tile->y = c->tile.y + row * c->y_row + column * BLOCK;
    tile->a_gap = tile->y_gap = 0;
    if (tile->split < pixels) {
        tile->a_gap = c->x_row - l->ow * c->x_pixel;
        tile->y_gap = c->y_row - l->ow * BLOCK;
    }
    return pixels;
}

static void choose_cut(struct conv *c)
{
    const struct kn_layer *l = c->job->layer;
    const struct kn_f32_ops *ops = c->job->engine->f32;
    int most = ops->pixels, all = l->oh * l->ow;
    int unbroken = c->x_row == l->ow * c->x_pixel && c->y_row == l->ow * BLOCK;

    if (unbroken || l->oh == 1 || (ops->split == 0 && l->ow >= most - 1)) {
        c->cut = EVEN;
        c->tiles = (all + most - 1) / most;
    } else if (ops->split == l->ow && 2 * l->ow <= most) {
        c->cut = PAIRS;
        c->tiles = (l->oh + 1) / 2;
    } else {
        c->cut = ROWS;
        c->tiles_per_row = (l->ow + most - 1) / most;
        c->tiles = l->oh * c->tiles_per_row;
    }
}

/* Panel `step * panels of a tile`: its weights, bias and output block. */
static void choose_panel(const struct conv *c, int step, struct kn_f32_tile *tile, float *bias)
{
    const struct kn_job *job = c->job;
    int wide = job->engine->f32->panels, panel = step * wide;
    int n = job->layer->oc - panel * BLOCK;
    int two = wide == 2 && panel + 1 < c->panels;

    n = n < 2 * BLOCK ? n : 2 * BLOCK;
    memset(bias, 0, 2 * BLOCK * sizeof *bias);
    memcpy(bias, job->bias + panel * BLOCK, (size_t)n * sizeof *bias);
    if (!two)
        memcpy(bias + BLOCK, bias, BLOCK * sizeof *bias);
    tile->w = (const float *)job->w + (size_t)panel * c->panel_floats;
    tile->w_panel = two ? (ptrdiff_t)c->panel_floats : 0;
    tile->y_block = two ? c->tile.y_block : 0;
}

/* Call i of n that together fetch `bytes` from `from` on. */
static void fetch_part(struct kn_f32_tile *tile, const void *from, size_t bytes, long i, long n)
{
    size_t calls = (size_t)n * (size_t)tile->n_koff;
    size_t lines = (bytes / 64 + calls - 1) / calls;
    size_t at = (size_t)i * (size_t)tile->n_koff * lines * 64;

    tile->ahead = (const char *)from + at;
    tile->ahead_lines = at < bytes ? (int)(lines < MAX_LINES ? lines : MAX_LINES) : 0;
}

/* While tile t of `step` is computed, its share of the next panel; with the last one, and where
 * panels do not come one after the other, of what this thread will want in the next layer. */
static void look_ahead(const struct conv *c, struct part *part, int step, int t)
{
    const struct kn_job *job = c->job;
    size_t bytes = (size_t)job->engine->f32->panels * c->panel_floats * sizeof(float);

    if (c->weights_outer && step + 1 < c->steps)
        fetch_part(&part->tile, (const char *)job->w + (size_t)(step + 1) * bytes, bytes, t,
                   c->tiles);
    else if (c->weights_outer)
        fetch_part(&part->tile, part->ahead, part->ahead_bytes, t, c->tiles);
    else
        fetch_part(&part->tile, part->ahead, part->ahead_bytes, part->done, part->items);
}

/* The next layer's weights from where this thread will begin, but no more than L2 can take. */
static void begin_part(const struct conv *c, struct part *part, int thread, int threads)
{
    const struct kn_job *job = c->job;
    size_t start = job->ahead_bytes / (size_t)threads * (size_t)thread / 64 * 64;
    size_t rest = job->ahead_bytes - start;

    part->tile = c->tile;
    part->ahead = (const char *)job->ahead + start;
    part->ahead_bytes = rest < MAX_AHEAD_BYTES ? rest : MAX_AHEAD_BYTES;
    part->done = 0;
}

static void run_part(void *ctx, int thread, int threads)
{
    const struct conv *c = ctx;
    _Alignas(KN_ALIGN) float bias[2 * BLOCK];
    struct part part;
    long from, to;
    int chosen = -1;

    begin_part(c, &part, thread, threads);
    part.tile.bias = bias;
    kn_threads_part((long)c->tiles * c->steps, thread, threads, &from, &to);
    part.items = to - from;
    for (long i = from; i < to; i++, part.done++) {
        int step = (int)(c->weights_outer ? i / c->tiles : i % c->steps);
        int t = (int)(c->weights_outer ? i % c->tiles : i / c->steps);
        int pixels = place(c, t, &part.tile);
        if (step != chosen)
            choose_panel(c, step, &part.tile, bias);
        chosen = step;
        ptrdiff_t out = step * (ptrdiff_t)c->job->engine->f32->panels * c->tile.y_block;
        part.tile.y += out;
        if (c->job->residual)
            part.tile.residual = c->job->residual + (part.tile.y - c->job->y);
        look_ahead(c, &part, step, t);
        c->kernel[pixels](&part.tile);
    }
}

/* What depends on the output and the weights only; the caller knows x, kernel, koff and x_*. */
static void run(struct conv *c)
{
    const struct kn_job *job = c->job;
    const struct kn_layer *l = job->layer;
    int wide = job->engine->f32->panels;

    c->y_row = (l->ow + 2 * job->halo_y) * BLOCK;
    c->panels = kn_blocked_blocks(l->oc);
    c->steps = (c->panels + wide - 1) / wide;
    c->panel_floats = (size_t)c->tile.n_koff * (size_t)c->tile.run * BLOCK;
    c->weights_outer = c->panel_floats * (size_t)c->panels * sizeof(float) >
                       (size_t)kn_cpu()->l2_bytes / 100 * L2_PERCENT;
    c->tile.y = job->y + kn_blocked_start(l->ow, job->halo_y);
    c->tile.y_block = kn_blocked_plane(l->oh, l->ow, job->halo_y);
    c->tile.a_pixel = c->x_pixel;
    c->tile.low = l->relu ? 0 : -INFINITY;
    choose_cut(c);
    kn_threads_run(job->threads, job->width, run_part, c);
    kn_blocked_clear_halo(job->y, l, job->halo_y);
}

/* Runs of 16 channels: filter row, filter column, block. Returns their number. */
static int list_runs(const struct kn_job *job, ptrdiff_t *koff)
{
    const struct kn_layer *l = job->layer;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK;
    ptrdiff_t plane = kn_blocked_plane(l->ih, l->iw, job->halo_x);
    int n = 0;

    for (int ky = 0; ky < l->kh; ky++)
        for (int kx = 0; kx < l->kw; kx++)
            for (int b = 0; b < kn_blocked_blocks(l->ic); b++)
                koff[n++] = b * plane + ky * row + kx * BLOCK;
    return n;
}

size_t kn_f32_conv_scratch(const struct kn_layer *l, int threads)
{
    (void)threads;
    return (size_t)(kn_blocked_blocks(l->ic)) * (size_t)(l->kh * l->kw) * sizeof(ptrdiff_t);
}

void kn_f32_conv(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    const struct kn_f32_ops *ops = job->engine->f32;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK;
    int edge = job->halo_x - l->pad;

    assert(edge >= 0 && (l->stride == 1 || l->stride == 2));
    struct conv c = {
        .job = job,
        .kernel = l->stride == 1 ? ops->dense : ops->strided,
        .x = job->x + edge * (row + BLOCK),
        .x_row = l->stride * row,
        .x_pixel = l->stride * BLOCK,
        .tile = {.koff = job->scratch, .n_koff = list_runs(job, job->scratch), .run = BLOCK},
    };
    run(&c);
}

/* ---- the first layer ------------------------------------------------------------------------ */

static size_t padded_width(const struct kn_layer *l)
{
    return (size_t)(l->iw + 2 * l->pad);
}

static size_t padded_plane(const struct kn_layer *l)
{
    return (size_t)(l->ih + 2 * l->pad) * padded_width(l);
}

size_t kn_f32_stem_scratch(const struct kn_layer *l, int threads)
{
    (void)threads;
    return (size_t)(l->ic * l->kh) * sizeof(ptrdiff_t) + KN_ALIGN +
           (size_t)l->ic * padded_plane(l) * sizeof(float);
}

/* One channel of the NCHW input with zeros around it. */
static void pad_plane(const struct kn_layer *l, const float *x, float *out)
{
    size_t width = padded_width(l), pad = (size_t)l->pad, iw = (size_t)l->iw;

    memset(out, 0, pad * width * sizeof *out);
    out += pad * width;
    for (int y = 0; y < l->ih; y++, out += width) {
        memset(out, 0, pad * sizeof *out);
        memcpy(out + pad, x + (size_t)y * iw, iw * sizeof *out);
        memset(out + pad + iw, 0, pad * sizeof *out);
    }
    memset(out, 0, pad * width * sizeof *out);
}

/* A run is one row of the filter, over one channel of the padded NCHW input. */
void kn_f32_stem(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    size_t plane = padded_plane(l), width = padded_width(l);
    size_t runs = (size_t)(l->ic * l->kh);
    ptrdiff_t *koff = job->scratch;
    float *padded =
        (float *)job->scratch + (runs * sizeof *koff + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN / 4;

    assert(l->stride == 2);
    for (size_t i = 0; i < runs; i++)
        koff[i] = (ptrdiff_t)(i / (size_t)l->kh * plane + i % (size_t)l->kh * width);
    for (size_t c = 0; c < (size_t)l->ic; c++)
        pad_plane(l, job->x + c * (size_t)l->ih * (size_t)l->iw, padded + c * plane);
    struct conv c = {
        .job = job,
        .kernel = job->engine->f32->stem,
        .x = padded,
        .x_row = l->stride * (ptrdiff_t)width,
        .x_pixel = l->stride,
        .tile = {.koff = koff, .n_koff = (int)runs, .run = l->kw},
    };
    run(&c);
}
