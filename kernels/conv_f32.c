/* conv_f32.c: convolution as a product of matrices that are never built: every filter tap is the
 * same blocked image, moved. One tile of outputs at a time runs through the whole reduction
 * (f32.h); this page says which tiles there are, in which order, and what to fetch meanwhile.
 *
 * Small weights stay in L2 while the pixels pass by; large ones pass by once, each panel over all
 * pixels of all images, and the next panel is fetched from memory during the one in hand. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/ahead.h"
#include "kernels/blocked.h"
#include "kernels/engine.h"
#include "kernels/f32.h"
#include "kernels/threads.h"

enum {
    BLOCK = KN_F32_BLOCK,
    PIECES = 4,       /* shares of a thread */
    MIN_PIXELS = 6,   /* of the largest tile of any instruction set */
    L2_PERCENT = 35,  /* weights up to this share of L2 stay there */
    L2_PERCENT_X = 50 /* of images that share a pass over the weights, inputs up to this */
};

/* How the output's pixels are cut into tiles. */
enum cut {
    EVEN,  /* as one row, into equal parts */
    PAIRS, /* two whole rows a tile */
    ROWS   /* each row by itself, into equal parts */
};

/* A tile's place, floats from the first output's window and from the first output. */
struct spot {
    ptrdiff_t a, y, a_gap, y_gap;
    int split, pixels;
};

struct conv {
    const struct kn_job *job;
    kn_f32_tile_fn *const *kernel;
    struct kn_f32_tile tile;          /* what all tiles have in common */
    ptrdiff_t x_row, x_pixel, y_row;  /* floats, for one output row or pixel */
    struct spot *spots;               /* [tiles] of one image */
    int tiles, all_tiles;             /* the latter of all images that share a pass */
    ptrdiff_t image;                  /* floats from one image to the next, in x and in y */
    int panels, steps, weights_outer; /* steps: panels in pairs where the ISA takes two at once */
    size_t panel_floats;
    const float *bias; /* whole panels, zeros where oc ends, the last panel twice */
};

/* One share. */
struct part {
    const struct conv *conv;
    struct kn_f32_tile tile;
    struct kn_ahead next;  /* what it will want in the next layer */
    int end_step;          /* behind the last one of the thread that this belongs to */
    ptrdiff_t y, residual; /* floats from job->y to this step's; from job->y to residual */
};

/* Which pixels make up a tile, a row of them or several. */
static enum cut choose_cut(const struct conv *c)
{
    const struct kn_layer *l = c->job->layer;
    const struct kn_f32_ops *ops = c->job->engine->f32;
    int unbroken = c->x_row == l->ow * c->x_pixel && c->y_row == l->ow * BLOCK;

    if (unbroken || l->oh == 1 || (ops->split == 0 && l->ow >= ops->pixels - 1))
        return EVEN;
    return ops->split == l->ow && 2 * l->ow <= ops->pixels ? PAIRS : ROWS;
}

/* Tiles of one stretch of `n` pixels that begins at a row's first one. */
static void list_stretch(struct conv *c, int row, int n, int tiles)
{
    int width = c->job->layer->ow, column = 0;

    for (int t = 0; t < tiles; t++) {
        struct spot *s = &c->spots[c->tiles++];
        s->pixels = n / tiles + (t < n % tiles);
        s->split = width - column;
        s->a = row * c->x_row + column * c->x_pixel;
        s->y = row * c->y_row + column * BLOCK;
        s->a_gap = s->split < s->pixels ? c->x_row - width * c->x_pixel : 0;
        s->y_gap = s->split < s->pixels ? c->y_row - width * BLOCK : 0;
        for (column += s->pixels; column >= width; column -= width)
            row++;
    }
}

static void list_tiles(struct conv *c)
{
    const struct kn_layer *l = c->job->layer;
    int most = c->job->engine->f32->pixels, all = l->oh * l->ow;

    c->tiles = 0;
    switch (choose_cut(c)) {
    case EVEN:
        list_stretch(c, 0, all, (all + most - 1) / most);
        break;
    case PAIRS:
        for (int row = 0; row < l->oh; row += 2)
            list_stretch(c, row, (row + 1 < l->oh ? 2 : 1) * l->ow, 1);
        break;
    case ROWS:
        for (int row = 0; row < l->oh; row++)
            list_stretch(c, row, l->ow, (l->ow + most - 1) / most);
        break;
    }
}

static size_t bias_floats(const struct kn_layer *l)
{
    return (size_t)(kn_blocked_blocks(l->oc) + 1) * BLOCK;
}

static void pad_bias(const struct kn_job *job, float *bias)
{
    size_t oc = (size_t)job->layer->oc, all = bias_floats(job->layer);

    memcpy(bias, job->bias, oc * sizeof *bias);
    memset(bias + oc, 0, (all - oc) * sizeof *bias);
    memcpy(bias + all - BLOCK, bias + all - 2 * BLOCK, BLOCK * sizeof *bias);
}

/* Scratch begins with the bias and the list of tiles: room for as many as any instruction set
 * makes. The offsets of the runs follow. */
static size_t head_bytes(const struct kn_layer *l)
{
    size_t in_a_row = (size_t)l->ow / MIN_PIXELS + 1;
    return bias_floats(l) * sizeof(float) + (size_t)l->oh * in_a_row * sizeof(struct spot);
}

static ptrdiff_t *runs_of(const struct kn_job *job)
{
    return (ptrdiff_t *)job->scratch + head_bytes(job->layer) / sizeof(ptrdiff_t);
}

/* Step number `step`: its weights, bias and output blocks. A last panel without a partner is
 * computed twice. */
static inline void choose_step(struct part *part, int step)
{
    const struct conv *c = part->conv;
    int wide = c->job->engine->f32->panels, panel = step * wide;
    int two = wide == 2 && panel + 1 < c->panels;

    part->tile.w = (const float *)c->job->w + (size_t)panel * c->panel_floats;
    part->tile.bias = c->bias + panel * BLOCK;
    part->tile.w_panel = two ? (ptrdiff_t)c->panel_floats : 0;
    part->tile.y_block = two ? c->tile.y_block : 0;
    part->y = panel * c->tile.y_block;
}

/* Tile number t of all images'. */
static inline void run_tile(struct part *part, int t)
{
    const struct conv *c = part->conv;
    const struct spot *spot = &c->spots[t % c->tiles];
    struct kn_f32_tile *tile = &part->tile;
    ptrdiff_t at = t / c->tiles * c->image;

    tile->a = c->tile.a + at + spot->a;
    tile->y = c->tile.y + at + part->y + spot->y;
    tile->a_gap = spot->a_gap;
    tile->y_gap = spot->y_gap;
    tile->split = spot->split;
    if (c->tile.residual)
        tile->residual = tile->y + part->residual;
    c->kernel[spot->pixels](tile);
}

/* Items [from, to) of all steps by all tiles, tiles inner: while one step's weights are in use, the
 * next step's are fetched, and the next layer's with the last. */
static void run_weights_outer(struct part *part, long from, long to)
{
    const struct conv *c = part->conv;
    const struct kn_job *job = c->job;
    size_t bytes = (size_t)job->engine->f32->panels * c->panel_floats * sizeof(float);
    int step = (int)(from / c->all_tiles), t = (int)(from % c->all_tiles);

    for (; from < to; step++, t = 0) {
        struct kn_ahead ahead = {(const char *)job->w + (size_t)(step + 1) * bytes, bytes};
        choose_step(part, step);
        ahead = step + 1 < part->end_step ? ahead : part->next;
        int lines = kn_ahead_lines(ahead, (long)c->all_tiles * c->tile.n_koff);
        size_t each = (size_t)lines * (size_t)c->tile.n_koff * 64;
        for (; t < c->all_tiles && from < to; t++, from++) {
            kn_ahead_part(&part->tile, ahead, lines, (size_t)t * each);
            run_tile(part, t);
        }
    }
}

/* The same items, steps inner: all weights stay in L2. */
static void run_pixels_outer(struct part *part, long from, long to)
{
    const struct conv *c = part->conv;
    int t = (int)(from / c->steps), step = (int)(from % c->steps);
    int lines = kn_ahead_lines(part->next, (to - from) * c->tile.n_koff);
    size_t each = (size_t)lines * (size_t)c->tile.n_koff * 64, at = 0;

    for (; from < to; t++, step = 0)
        for (; step < c->steps && from < to; step++, from++, at += each) {
            choose_step(part, step);
            kn_ahead_part(&part->tile, part->next, lines, at);
            run_tile(part, t);
        }
}

static void run_part(void *ctx, int number, int parts)
{
    const struct conv *c = ctx;
    struct part part = {.conv = c, .tile = c->tile};
    int pieces = kn_ahead_pieces(c->job, parts);
    long from, to;

    part.next = kn_ahead_next(c->job, number, parts);
    part.residual = c->job->residual ? c->job->residual - c->job->y : 0;
    kn_threads_part((long)c->all_tiles * c->steps, number / pieces, parts / pieces, &from, &to);
    part.end_step = (int)((to + c->all_tiles - 1) / c->all_tiles);
    kn_threads_part((long)c->all_tiles * c->steps, number, parts, &from, &to);
    if (from < to)
        (c->weights_outer ? run_weights_outer : run_pixels_outer)(&part, from, to);
}

/* Images that share a pass over the weights: their inputs are read again for every panel. A strided
 * 1x1 reads every other line, which lie in half of the cache. */
static int images_of_a_pass(const struct conv *c)
{
    const struct kn_layer *l = c->job->layer;
    int64_t pixels = (int64_t)l->ih * l->iw / (l->kh == 1 ? l->stride : 1);
    int64_t bytes = (pixels + 1) * kn_blocked_blocks(l->ic) * BLOCK * (int64_t)sizeof(float);
    int64_t most = kn_cpu()->l2_bytes / 100 * L2_PERCENT_X / bytes;

    return most < 1 ? 1 : most < c->job->images ? (int)most : c->job->images;
}

static void run_images(struct conv *c)
{
    const struct kn_job *job = c->job;
    const struct kn_layer *l = job->layer;
    int most = images_of_a_pass(c);

    c->image = (ptrdiff_t)(job->image_bytes / sizeof(float));
    for (int i = 0, some; i < job->images; i += some) {
        some = job->images - i < most ? job->images - i : most;
        c->all_tiles = c->tiles * some;
        kn_threads_split(job->threads, job->width, PIECES, run_part, c);
        c->tile.a += some * c->image;
        c->tile.y += some * c->image;
    }
    for (int i = 0; i < job->images; i++)
        kn_blocked_clear_halo(job->y + i * c->image, l, job->halo_y);
}

/* What depends on the output and the weights only; the caller knows x, kernel, koff and x_*.
 * inputs: of one run */
static void run(struct conv *c, int inputs)
{
    const struct kn_job *job = c->job;
    const struct kn_layer *l = job->layer;
    int wide = job->engine->f32->panels;

    c->y_row = (l->ow + 2 * job->halo_y) * BLOCK;
    c->panels = kn_blocked_blocks(l->oc);
    c->steps = (c->panels + wide - 1) / wide;
    c->panel_floats = (size_t)c->tile.n_koff * (size_t)inputs * BLOCK;
    c->weights_outer = c->panel_floats * (size_t)c->panels * sizeof(float) >
                       (size_t)kn_cpu()->l2_bytes / 100 * L2_PERCENT;
    c->tile.y = job->y + kn_blocked_start(l->ow, job->halo_y);
    c->tile.y_block = kn_blocked_plane(l->oh, l->ow, job->halo_y);
    c->tile.a_pixel = c->x_pixel;
    c->tile.residual = job->residual;
    c->tile.low = l->relu ? 0 : -INFINITY;
    pad_bias(job, job->scratch);
    c->bias = job->scratch;
    c->spots = (struct spot *)((float *)job->scratch + bias_floats(l));
    list_tiles(c);
    run_images(c);
}

/* Runs of 16 channels: block, filter row, filter column: so that the taps of a block read the same
 * few lines while those are in L1. Returns their number. */
static int list_runs(const struct kn_job *job, ptrdiff_t *koff)
{
    const struct kn_layer *l = job->layer;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK;
    ptrdiff_t plane = kn_blocked_plane(l->ih, l->iw, job->halo_x);
    int n = 0;

    for (int b = 0; b < kn_blocked_blocks(l->ic); b++)
        for (int ky = 0; ky < l->kh; ky++)
            for (int kx = 0; kx < l->kw; kx++)
                koff[n++] = b * plane + ky * row + kx * BLOCK;
    return n;
}

size_t kn_f32_conv_scratch(const struct kn_layer *l, int threads)
{
    (void)threads;
    return head_bytes(l) +
           (size_t)kn_blocked_blocks(l->ic) * (size_t)(l->kh * l->kw) * sizeof(ptrdiff_t);
}

void kn_f32_conv(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    const struct kn_f32_ops *ops = job->engine->f32;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK;
    int edge = job->halo_x - l->pad;

    ptrdiff_t *koff = runs_of(job);

    assert(edge >= 0 && (l->stride == 1 || l->stride == 2));
    struct conv c = {
        .job = job,
        .kernel = l->stride == 1 ? ops->dense : ops->strided,
        .x_row = l->stride * row,
        .x_pixel = l->stride * BLOCK,
        .tile = {.a = job->x + edge * (row + BLOCK), .koff = koff, .n_koff = list_runs(job, koff)},
    };
    run(&c, BLOCK);
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
    return head_bytes(l) + (size_t)(l->ic * l->kh) * sizeof(ptrdiff_t) +
           (size_t)l->ic * padded_plane(l) * sizeof(float);
}

/* The NCHW input with zeros around each channel. */
struct padding {
    const struct kn_job *job;
    float *out;
};

/* Rows of all channels, those of zeros too. */
static void pad_part(void *ctx, int part, int parts)
{
    const struct padding *p = ctx;
    const struct kn_layer *l = p->job->layer;
    size_t width = padded_width(l), pad = (size_t)l->pad, iw = (size_t)l->iw;
    long rows = l->ih + 2 * l->pad, from, to;

    kn_threads_part(l->ic * rows, part, parts, &from, &to);
    for (long i = from; i < to; i++) {
        long y = i % rows - l->pad;
        float *out = p->out + (size_t)i * width;
        if (y < 0 || y >= l->ih) {
            memset(out, 0, width * sizeof *out);
            continue;
        }
        memset(out, 0, pad * sizeof *out);
        memcpy(out + pad, p->job->x + (size_t)(i / rows * l->ih + y) * iw, iw * sizeof *out);
        memset(out + pad + iw, 0, pad * sizeof *out);
    }
}

/* A run is one row of the filter, over one channel of the padded NCHW input. */
void kn_f32_stem(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    size_t plane = padded_plane(l), width = padded_width(l);
    size_t runs = (size_t)(l->ic * l->kh);
    ptrdiff_t *koff = runs_of(job);
    float *padded = (float *)(koff + runs);

    assert(l->stride == 2);
    for (size_t i = 0; i < runs; i++)
        koff[i] = (ptrdiff_t)(i / (size_t)l->kh * plane + i % (size_t)l->kh * width);
    struct padding padding = {job, padded};
    kn_threads_run(job->threads, job->width, pad_part, &padding);
    struct conv c = {
        .job = job,
        .kernel = job->engine->f32->stem,
        .x_row = l->stride * (ptrdiff_t)width,
        .x_pixel = l->stride,
        .tile = {.a = padded, .koff = koff, .n_koff = (int)runs},
    };
    run(&c, l->kw);
}
