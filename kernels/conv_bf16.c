/* conv_bf16.c: convolution in bf16, as a product of matrices that are never built: every filter tap
 * is the same blocked image, moved. One tile of outputs at a time runs through the whole reduction
 * (bf16.h); this page says in which order, and what to fetch meanwhile.
 *
 * Small weights stay in L2 while the pixels pass by; large ones pass by once, each panel over all
 * pixels, and the next panel is fetched from memory during the one in hand. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/ahead.h"
#include "kernels/bf16.h"
#include "kernels/engine.h"
#include "kernels/threads.h"
#include "kernels/tiles.h"

enum {
    BLOCK = KN_BF16_BLOCK,
    WIDE = KN_BF16_MAX_PIXELS * BLOCK, /* floats of a tile's inputs, widened */
    L2_PERCENT = 35                    /* weights up to this share of L2 stay there */
};

/* Where things lie in scratch, in this order. */
struct scratch {
    float *bias;           /* whole panels, zeros where oc ends */
    float *wide;           /* [threads][WIDE] */
    struct kn_spot *spots; /* [tiles] */
    ptrdiff_t *koff;       /* [runs] */
    float *frame;          /* the stem's input with zeros around it */
};

struct conv {
    const struct kn_job *job;
    kn_bf16_tile_fn *const *kernel;
    struct kn_bf16_tile tile; /* what all tiles have in common */
    struct kn_tiles how;
    struct scratch at;
    int tiles, panels, weights_outer;
    size_t panel_elements; /* of the weights */
    ptrdiff_t y_block;
};

/* One thread's share. */
struct part {
    const struct conv *conv;
    struct kn_bf16_tile tile;
    struct kn_ahead next;  /* what it will want in the next layer */
    ptrdiff_t y, residual; /* elements from the first output to this panel's; from y to residual */
};

static int blocks(int c)
{
    return (c + BLOCK - 1) / BLOCK;
}

static ptrdiff_t plane(int h, int w, int halo)
{
    return (ptrdiff_t)(h + 2 * halo) * (w + 2 * halo) * BLOCK;
}

static ptrdiff_t start(int w, int halo)
{
    return ((ptrdiff_t)halo * (w + 2 * halo) + halo) * BLOCK;
}

static int is_stem(const struct kn_layer *l)
{
    return kn_kind_of(l) == KN_CONV_STEM;
}

static size_t runs(const struct kn_layer *l)
{
    return is_stem(l) ? (size_t)(l->ic * l->kh) : (size_t)(blocks(l->ic) * l->kh * l->kw);
}

/* Floats of one channel of the stem's framed input. */
static size_t frame_plane(const struct kn_layer *l)
{
    return (size_t)(l->ih + 2 * l->pad) * (size_t)(l->iw + 2 * l->pad);
}

/* ---- scratch -------------------------------------------------------------------------------- */

/* Lays scratch out from `base` on; returns its end. */
static char *lay_out(struct scratch *at, char *base, const struct kn_layer *l, int threads)
{
    at->bias = (float *)(void *)base;
    at->wide = at->bias + (size_t)blocks(l->oc) * BLOCK;
    at->spots = (struct kn_spot *)(void *)(at->wide + (size_t)threads * WIDE);
    at->koff = (ptrdiff_t *)(void *)(at->spots + kn_tiles_most(l->oh, l->ow));
    at->frame = (float *)(void *)(at->koff + runs(l));
    return (char *)(at->frame + (is_stem(l) ? (size_t)l->ic * frame_plane(l) : 0));
}

size_t kn_bf16_conv_scratch(const struct kn_layer *l, int threads)
{
    static char base[KN_ALIGN] __attribute__((aligned(KN_ALIGN)));
    struct scratch at;

    return (size_t)((uintptr_t)lay_out(&at, base, l, threads) - (uintptr_t)base);
}

/* ---- one thread's share --------------------------------------------------------------------- */

static inline void choose_panel(struct part *part, int panel)
{
    const struct conv *c = part->conv;

    part->tile.w = (const uint16_t *)c->job->w + (size_t)panel * c->panel_elements;
    part->tile.bias = c->at.bias + panel * BLOCK;
    part->y = panel * c->y_block;
}

/* Fetches its part, at `at` bytes, of what comes next. */
static inline void run_tile(struct part *part, const struct kn_spot *spot, struct kn_ahead ahead,
                            int lines, size_t at)
{
    const struct conv *c = part->conv;
    struct kn_bf16_tile *tile = &part->tile;
    size_t bytes = is_stem(c->job->layer) ? sizeof(float) : sizeof(uint16_t);

    tile->a = (const char *)c->tile.a + spot->a * (ptrdiff_t)bytes;
    tile->y = c->tile.y + part->y + spot->y;
    tile->a_gap = spot->a_gap;
    tile->y_gap = spot->y_gap;
    tile->split = spot->split;
    if (c->tile.residual)
        tile->residual = tile->y + part->residual;
    tile->ahead = kn_ahead_at(ahead, at);
    tile->ahead_lines = at < ahead.bytes ? lines : 0;
    c->kernel[spot->pixels](tile);
}

/* Items [from, to) of all panels by all tiles, tiles inner: while one panel's weights are in use,
 * the next panel's are fetched, and the next layer's with the last. */
static void run_weights_outer(struct part *part, long from, long to)
{
    const struct conv *c = part->conv;
    size_t bytes = c->panel_elements * sizeof(uint16_t);
    int panel = (int)(from / c->tiles), t = (int)(from % c->tiles);

    for (; from < to; panel++, t = 0) {
        struct kn_ahead ahead = {(const char *)c->job->w + (size_t)(panel + 1) * bytes, bytes};
        choose_panel(part, panel);
        ahead = panel + 1 < c->panels ? ahead : part->next;
        int lines = kn_ahead_lines(ahead, (long)c->tiles * c->tile.n_koff);
        size_t each = (size_t)lines * (size_t)c->tile.n_koff * 64;
        for (; t < c->tiles && from < to; t++, from++)
            run_tile(part, &c->at.spots[t], ahead, lines, (size_t)t * each);
    }
}

/* The same items, panels inner: all weights stay in L2. */
static void run_pixels_outer(struct part *part, long from, long to)
{
    const struct conv *c = part->conv;
    int t = (int)(from / c->panels), panel = (int)(from % c->panels);
    int lines = kn_ahead_lines(part->next, (to - from) * c->tile.n_koff);
    size_t each = (size_t)lines * (size_t)c->tile.n_koff * 64, at = 0;

    for (; from < to; t++, panel = 0)
        for (; panel < c->panels && from < to; panel++, from++, at += each) {
            choose_panel(part, panel);
            run_tile(part, &c->at.spots[t], part->next, lines, at);
        }
}

static void run_part(void *ctx, int thread, int threads)
{
    const struct conv *c = ctx;
    const struct kn_job *job = c->job;
    struct part part = {.conv = c, .tile = c->tile};
    long from, to;

    part.tile.wide = c->at.wide + (size_t)thread * WIDE;
    part.next = kn_ahead_next(job, thread, threads);
    if (job->residual != NULL)
        part.residual =
            (const uint16_t *)(const void *)job->residual - (const uint16_t *)(const void *)job->y;
    kn_threads_part((long)c->tiles * c->panels, thread, threads, &from, &to);
    if (from < to)
        (c->weights_outer ? run_weights_outer : run_pixels_outer)(&part, from, to);
}

/* ---- a layer -------------------------------------------------------------------------------- */

static void clear_halo(uint16_t *y, const struct kn_layer *l, int halo)
{
    size_t row = (size_t)(l->ow + 2 * halo) * BLOCK, edge = (size_t)halo * BLOCK;

    for (int b = 0; halo > 0 && b < blocks(l->oc); b++)
        for (int i = -halo; i < l->oh + halo; i++, y += row) {
            int inside = i >= 0 && i < l->oh;
            memset(y, 0, (inside ? edge : row) * sizeof *y);
            memset(y + row - edge, 0, edge * sizeof *y);
        }
}

/* What depends on the output and the weights only; the caller has laid out scratch, and knows x and
 * kernel. inputs: of one run */
static void run(struct conv *c, int inputs)
{
    const struct kn_job *job = c->job;
    const struct kn_layer *l = job->layer;
    uint16_t *y = (uint16_t *)(void *)job->y;
    size_t oc = (size_t)l->oc;

    c->panels = blocks(l->oc);
    memcpy(c->at.bias, job->bias, oc * sizeof *c->at.bias);
    memset(c->at.bias + oc, 0, ((size_t)c->panels * BLOCK - oc) * sizeof *c->at.bias);
    c->how.oh = l->oh;
    c->how.ow = l->ow;
    c->how.pixels = job->engine->bf16->pixels;
    c->how.split = job->engine->bf16->split;
    c->how.y_row = (l->ow + 2 * job->halo_y) * BLOCK;
    c->how.y_pixel = BLOCK;
    c->tiles = kn_tiles_list(&c->how, c->at.spots);
    c->panel_elements = runs(l) * (size_t)inputs * BLOCK;
    c->weights_outer = c->panel_elements * (size_t)c->panels * sizeof(uint16_t) >
                       (size_t)kn_cpu()->l2_bytes / 100 * L2_PERCENT;
    c->y_block = plane(l->oh, l->ow, job->halo_y);
    c->tile.koff = c->at.koff;
    c->tile.n_koff = (int)runs(l);
    c->tile.a_pixel = c->how.x_pixel;
    c->tile.y = y + start(l->ow, job->halo_y);
    c->tile.residual = (const uint16_t *)(const void *)job->residual;
    c->tile.low = l->relu ? 0 : -INFINITY;
    kn_threads_run(job->threads, job->width, run_part, c);
    clear_halo(y, l, job->halo_y);
}

/* Runs of 32 channels: block, filter row, filter column: so that the taps of a block read the same
 * few lines while those are in L1. */
static void list_runs(const struct kn_job *job, ptrdiff_t *koff)
{
    const struct kn_layer *l = job->layer;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK;

    for (int b = 0; b < blocks(l->ic); b++)
        for (int ky = 0; ky < l->kh; ky++)
            for (int kx = 0; kx < l->kw; kx++)
                *koff++ = b * plane(l->ih, l->iw, job->halo_x) + ky * row + kx * BLOCK;
}

void kn_bf16_conv(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    const struct kn_bf16_ops *ops = job->engine->bf16;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK;
    int edge = job->halo_x - l->pad;
    struct conv c = {.job = job, .kernel = l->stride == 1 ? ops->dense : ops->strided};

    assert(edge >= 0 && (l->stride == 1 || l->stride == 2));
    lay_out(&c.at, job->scratch, l, job->width);
    list_runs(job, c.at.koff);
    c.how.x_row = l->stride * row;
    c.how.x_pixel = l->stride * BLOCK;
    c.tile.a = (const uint16_t *)(const void *)job->x + edge * (row + BLOCK);
    run(&c, BLOCK);
}

/* The image with zeros around it, as fp32. */
static void frame_input(const struct kn_job *job, float *out)
{
    const struct kn_layer *l = job->layer;
    size_t width = (size_t)(l->iw + 2 * l->pad), iw = (size_t)l->iw;
    const float *x = job->x;

    memset(out, 0, (size_t)l->ic * frame_plane(l) * sizeof *out);
    for (int c = 0; c < l->ic; c++) {
        float *row = out + (size_t)c * frame_plane(l) + (size_t)l->pad * (width + 1);
        for (int y = 0; y < l->ih; y++, row += width, x += iw)
            memcpy(row, x, iw * sizeof *x);
    }
}

/* A run is one row of the filter, over one channel of the framed image. */
void kn_bf16_stem(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    size_t width = (size_t)(l->iw + 2 * l->pad);
    struct conv c = {.job = job, .kernel = job->engine->bf16->stem};

    assert(l->stride == 2);
    lay_out(&c.at, job->scratch, l, job->width);
    for (size_t i = 0; i < runs(l); i++)
        c.at.koff[i] = (ptrdiff_t)(i / (size_t)l->kh * frame_plane(l) + i % (size_t)l->kh * width);
    frame_input(job, c.at.frame);
    c.how.x_row = l->stride * (ptrdiff_t)width;
    c.how.x_pixel = l->stride;
    c.tile.a = c.at.frame;
    run(&c, l->kw);
}
