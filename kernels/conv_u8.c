/* conv_u8.c: int8 convolution as a product of matrices that are never built, the same way as
 * conv_f32.c: every filter tap is the same blocked image, moved, and one tile of outputs at a time
 * runs through the whole reduction (u8.h). Small weights stay in L2 while the pixels pass by; large
 * ones pass by once, each pair of panels over all pixels of all images, the next pair being fetched
 * meanwhile. */
#include <assert.h>
#include <string.h>

#include "kernels/ahead.h"
#include "kernels/blocked_u8.h"
#include "kernels/engine.h"
#include "kernels/quant.h"
#include "kernels/threads.h"
#include "kernels/tiles.h"
#include "kernels/u8.h"

enum {
    BLOCK = KN_S8_BLOCK,
    PAIR = KN_S8_PAIR,
    PAIRS_OF_BLOCK = BLOCK / PAIR,
    PIECES = 4,       /* shares of a thread */
    L2_PERCENT = 35,  /* weights up to this share of L2 stay there */
    L2_PERCENT_X = 50 /* of images that share a pass over the weights, inputs up to this */
};

struct conv {
    const struct kn_job *job;
    kn_u8_tile_fn *const *kernel;
    struct kn_u8_tile tile; /* what all tiles have in common */
    struct kn_tiles grid;   /* distances in bytes */
    struct kn_spot *spots;  /* [tiles] of one image */
    int tiles, all_tiles;   /* the latter of all images that share a pass */
    int pairs, weights_outer;
    size_t pair_bytes; /* of weights */
    ptrdiff_t y_plane; /* bytes of one block of the output */
    ptrdiff_t y_start;
};

/* One thread's share. */
struct part {
    const struct conv *conv;
    struct kn_u8_tile tile;
    struct kn_ahead next; /* what it will want in the next layer */
    ptrdiff_t y;          /* bytes from an image's output to this pair's first pixel */
    int end_pair;         /* of the thread's */
};

/* ---- scratch: the kernels' sums, bias and multiplier by lanes, the tiles, what the caller wants
 * -- */

enum { SUMS = KN_U8_MAX_PIXELS * PAIR };

static size_t lanes_of(const struct kn_layer *l)
{
    return (size_t)kn_blocked_u8_blocks(l->oc) * BLOCK;
}

static size_t head_bytes(const struct kn_layer *l, int threads)
{
    return (size_t)threads * PIECES * SUMS * sizeof(int32_t) +
           lanes_of(l) * (sizeof(int32_t) + sizeof(float)) +
           kn_tiles_most(l->oh, l->ow) * sizeof(struct kn_spot);
}

static void *tail_of(const struct kn_job *job)
{
    return (unsigned char *)job->scratch + head_bytes(job->layer, job->width);
}

/* Channels that fill up the last block become 0. */
static void fill_lanes(struct conv *c)
{
    const struct kn_job *job = c->job;
    size_t n = lanes_of(job->layer), oc = (size_t)job->layer->oc;
    int32_t *sums = job->scratch, *bias = sums + (size_t)job->width * PIECES * SUMS;
    float *multiplier = (float *)(bias + n);

    for (size_t o = 0; o < n; o++) {
        size_t lane = o / PAIR * PAIR + kn_pack_s8_lane(o % PAIR);
        bias[lane] = o < oc ? job->quant->bias[o] : 0;
        multiplier[lane] = o < oc ? job->quant->multiplier[o] : 0;
    }
    c->tile.sums = sums;
    c->tile.bias = bias;
    c->tile.multiplier = multiplier;
    c->spots = (struct kn_spot *)(multiplier + n);
}

/* ---- tiles in their order ------------------------------------------------------------------- */

static inline void choose_pair(struct part *part, int pair)
{
    const struct conv *c = part->conv;

    part->tile.w = (const char *)c->job->w + (size_t)pair * c->pair_bytes;
    part->tile.bias = c->tile.bias + pair * PAIR;
    part->tile.multiplier = c->tile.multiplier + pair * PAIR;
    part->y = c->y_start + pair / PAIRS_OF_BLOCK * c->y_plane +
              pair % PAIRS_OF_BLOCK * (PAIR << c->tile.y_s16);
}

/* Tile number t of all images': no division where there is one image, a percent of a pass. */
static inline void run_tile(struct part *part, int t)
{
    const struct conv *c = part->conv;
    struct kn_u8_tile *tile = &part->tile;
    ptrdiff_t image = 0;

    if (t >= c->tiles) {
        image = t / c->tiles * (ptrdiff_t)c->job->image_bytes;
        t %= c->tiles;
    }
    const struct kn_spot *spot = &c->spots[t];
    ptrdiff_t y = part->y + spot->y;
    tile->a = (const char *)c->tile.a + image + spot->a;
    tile->y = (char *)c->tile.y + image + y;
    if (c->tile.residual != NULL)
        tile->residual = (const char *)c->tile.residual + image + (y << c->tile.residual_s16);
    tile->a_gap = spot->a_gap;
    tile->y_gap = spot->y_gap;
    tile->split = spot->split;
    c->kernel[spot->pixels](tile);
}

/* Lets the tile fetch its part, at `at` bytes, of that many lines a run; nothing past the end. */
static inline void fetch_part(struct kn_u8_tile *tile, struct kn_ahead what, int lines, size_t at)
{
    tile->ahead = kn_ahead_at(what, at);
    tile->ahead_lines = at < what.bytes ? lines : 0;
}

/* Items [from, to) of all pairs by all tiles, tiles inner: while one pair's weights are in use, the
 * next pair's are fetched, and the next layer's with the last. */
static void run_weights_outer(struct part *part, long from, long to)
{
    const struct conv *c = part->conv;
    int pair = (int)(from / c->all_tiles), t = (int)(from % c->all_tiles);

    for (; from < to; pair++, t = 0) {
        struct kn_ahead ahead = {(const char *)c->job->w + (size_t)(pair + 1) * c->pair_bytes,
                                 c->pair_bytes};
        choose_pair(part, pair);
        ahead = pair + 1 < part->end_pair ? ahead : part->next;
        int lines = kn_ahead_lines(ahead, (long)c->all_tiles * c->tile.n_koff);
        size_t each = (size_t)lines * (size_t)c->tile.n_koff * 64;
        for (; t < c->all_tiles && from < to; t++, from++) {
            fetch_part(&part->tile, ahead, lines, (size_t)t * each);
            run_tile(part, t);
        }
    }
}

/* The same items, pairs inner: all weights stay in L2. */
static void run_pixels_outer(struct part *part, long from, long to)
{
    const struct conv *c = part->conv;
    int t = (int)(from / c->pairs), pair = (int)(from % c->pairs);
    int lines = kn_ahead_lines(part->next, (to - from) * c->tile.n_koff);
    size_t each = (size_t)lines * (size_t)c->tile.n_koff * 64, at = 0;

    for (; from < to; t++, pair = 0)
        for (; pair < c->pairs && from < to; pair++, from++, at += each) {
            choose_pair(part, pair);
            fetch_part(&part->tile, part->next, lines, at);
            run_tile(part, t);
        }
}

static size_t stays_in_l2(void)
{
    return (size_t)kn_cpu()->l2_bytes / 100 * L2_PERCENT;
}

/* What a share fetches of the next layer's weights: all of them, if they will stay in L2 and the
 * thread is alone. */
static struct kn_ahead next_weights(const struct kn_job *job, int number, int parts)
{
    struct kn_ahead next = kn_ahead_next(job, number, parts);

    if (parts == 1 && job->ahead_bytes <= stays_in_l2())
        next.bytes = job->ahead_bytes;
    return next;
}

static void run_part(void *ctx, int number, int parts)
{
    const struct conv *c = ctx;
    struct part part = {.conv = c, .tile = c->tile};
    int pieces = kn_ahead_pieces(c->job, parts);
    long all = (long)c->all_tiles * c->pairs, from, to;

    part.tile.sums += number * SUMS;
    part.next = next_weights(c->job, number, parts);
    kn_threads_part(all, number / pieces, parts / pieces, &from, &to);
    part.end_pair = (int)((to + c->all_tiles - 1) / c->all_tiles);
    kn_threads_part(all, number, parts, &from, &to);
    if (from < to)
        (c->weights_outer ? run_weights_outer : run_pixels_outer)(&part, from, to);
}

/* Images that share a pass over the weights: their inputs are read again for every pair. A strided
 * 1x1 reads every other line, which lie in half of the cache. */
static int images_of_a_pass(const struct conv *c)
{
    const struct kn_layer *l = c->job->layer;
    int64_t pixels = (int64_t)l->ih * l->iw / (l->kh == 1 ? l->stride : 1);
    int64_t bytes = (pixels + 1) * kn_blocked_u8_blocks(l->ic) * BLOCK;
    int64_t most = kn_cpu()->l2_bytes / 100 * L2_PERCENT_X / bytes;

    return most < 1 ? 1 : most < c->job->images ? (int)most : c->job->images;
}

static void run_images(struct conv *c, int pixel_bytes)
{
    const struct kn_job *job = c->job;
    size_t image = job->image_bytes;
    int most = images_of_a_pass(c);

    for (int i = 0, some; i < job->images; i += some) {
        some = job->images - i < most ? job->images - i : most;
        c->all_tiles = c->tiles * some;
        kn_threads_split(job->threads, job->width, PIECES, run_part, c);
        c->tile.a = (const char *)c->tile.a + (size_t)some * image;
        c->tile.y = (char *)c->tile.y + (size_t)some * image;
        if (c->tile.residual != NULL)
            c->tile.residual = (const char *)c->tile.residual + (size_t)some * image;
    }
    for (int i = 0; i < job->images; i++)
        kn_blocked_u8_clear_halo((char *)job->y + (size_t)i * image, job->layer, job->halo_y,
                                 pixel_bytes);
}

/* What depends on the output and the weights only; the caller knows x, kernel, koff, groups and the
 * grid's x_*. */
static void run(struct conv *c)
{
    const struct kn_job *job = c->job;
    const struct kn_layer *l = job->layer;
    const struct kn_u8_ops *ops = job->engine->u8;
    int pixel_bytes = BLOCK << !l->relu;

    c->tile.y = job->y;
    c->tile.y_s16 = !l->relu;
    c->tile.residual = job->residual;
    c->tile.residual_s16 = job->residual_s16;
    c->tile.residual_multiplier = job->quant->step[KN_QUANT_RESIDUAL];
    c->tile.a_pixel = c->grid.x_pixel;
    c->grid.oh = l->oh;
    c->grid.ow = l->ow;
    c->grid.y_pixel = pixel_bytes;
    c->grid.y_row = (l->ow + 2 * job->halo_y) * pixel_bytes;
    c->grid.pixels = ops->pixels;
    c->grid.split = ops->split;
    c->y_plane = kn_blocked_u8_plane(l->oh, l->ow, job->halo_y, pixel_bytes);
    c->y_start = kn_blocked_u8_start(l->ow, job->halo_y, pixel_bytes);
    c->pairs = kn_blocked_u8_blocks(l->oc) * PAIRS_OF_BLOCK;
    c->pair_bytes = kn_pack_s8_bytes(l) / (size_t)c->pairs;
    c->weights_outer = kn_pack_s8_bytes(l) > stays_in_l2();
    fill_lanes(c);
    c->tiles = kn_tiles_list(&c->grid, c->spots);
    run_images(c, pixel_bytes);
}

/* ---- convolutions between blocks ------------------------------------------------------------ */

/* Runs of 64 channels: block, filter row, filter column. Returns their number. */
static int list_runs(const struct kn_job *job, ptrdiff_t *koff)
{
    const struct kn_layer *l = job->layer;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK;
    ptrdiff_t plane = kn_blocked_u8_plane(l->ih, l->iw, job->halo_x, BLOCK);
    int n = 0;

    for (int b = 0; b < kn_blocked_u8_blocks(l->ic); b++)
        for (int ky = 0; ky < l->kh; ky++)
            for (int kx = 0; kx < l->kw; kx++)
                koff[n++] = b * plane + ky * row + kx * BLOCK;
    return n;
}

size_t kn_u8_conv_scratch(const struct kn_layer *l, int threads)
{
    return head_bytes(l, threads) +
           (size_t)kn_blocked_u8_blocks(l->ic) * (size_t)(l->kh * l->kw) * sizeof(ptrdiff_t);
}

void kn_u8_conv(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    const struct kn_u8_ops *ops = job->engine->u8;
    ptrdiff_t row = (l->iw + 2 * job->halo_x) * BLOCK;
    int edge = job->halo_x - l->pad;
    ptrdiff_t *koff = tail_of(job);

    assert(edge >= 0 && (l->stride == 1 || (l->stride == 2 && job->residual == NULL)));
    struct conv c = {
        .job = job,
        .kernel = l->stride == 1 ? ops->dense : ops->strided,
        .grid = {.x_row = l->stride * row, .x_pixel = l->stride * BLOCK},
        .tile = {.a = (const char *)job->x + edge * (row + BLOCK),
                 .koff = koff,
                 .n_koff = list_runs(job, koff),
                 .groups = BLOCK / 4},
    };
    run(&c);
}

/* ---- the first layer ------------------------------------------------------------------------ */

/* Pixels as s16, with the padding around them, and one number more where a filter row's last pair
 * reads it. */
static size_t padded_row(const struct kn_layer *l)
{
    return (size_t)(l->iw + 2 * l->pad) * (size_t)l->ic;
}

static size_t padded_rows(const struct kn_layer *l)
{
    return (size_t)(l->ih + 2 * l->pad);
}

size_t kn_u8_stem_scratch(const struct kn_layer *l, int threads)
{
    return head_bytes(l, threads) + (size_t)l->kh * sizeof(ptrdiff_t) + (size_t)l->ic +
           (padded_row(l) * padded_rows(l) + 2) * sizeof(int16_t);
}

/* The first layer's input on its way into its frame. */
struct frame {
    const struct kn_job *job;
    const uint8_t *pad;
    int16_t *out;
};

/* n pixels of padding */
static int16_t *pad_pixels(int16_t *out, const uint8_t *pad, int c, int n)
{
    for (; n > 0; n--)
        for (int i = 0; i < c; i++)
            *out++ = pad[i];
    return out;
}

/* Rows of the frame. */
static void frame_part(void *ctx, int thread, int threads)
{
    const struct frame *f = ctx;
    const struct kn_layer *l = f->job->layer;
    const uint8_t *x = (const uint8_t *)(const void *)f->job->x;
    int width = l->iw * l->ic;
    long from, to;

    kn_threads_part((long)padded_rows(l), thread, threads, &from, &to);
    int16_t *out = f->out + (size_t)from * padded_row(l);
    for (long y = from - l->pad; y < to - l->pad; y++) {
        if (y < 0 || y >= l->ih) {
            out = pad_pixels(out, f->pad, l->ic, l->iw + 2 * l->pad);
            continue;
        }
        out = pad_pixels(out, f->pad, l->ic, l->pad);
        for (int i = 0; i < width; i++)
            out[i] = x[y * width + i];
        out = pad_pixels(out + width, f->pad, l->ic, l->pad);
    }
}

/* A run is one row of the filter: columns by channels of the padded image. */
void kn_u8_stem(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    ptrdiff_t *koff = tail_of(job), row = (ptrdiff_t)(padded_row(l) * sizeof(int16_t));
    int16_t *padded = (int16_t *)(koff + l->kh);
    uint8_t *pad = (uint8_t *)(padded + padded_row(l) * padded_rows(l) + 1);
    ptrdiff_t pixel = l->stride * l->ic * (ptrdiff_t)sizeof(int16_t);

    assert(l->relu && job->residual == NULL);
    kn_quant_pad_pixel(job->quant->input, l->ic, pad);
    struct frame frame = {job, pad, padded};
    kn_threads_run(job->threads, job->width, frame_part, &frame);
    padded[padded_row(l) * padded_rows(l)] = 0;
    for (int ky = 0; ky < l->kh; ky++)
        koff[ky] = ky * row;
    struct conv c = {
        .job = job,
        .kernel = job->engine->u8->stem,
        .grid = {.x_row = l->stride * row, .x_pixel = pixel},
        .tile = {.a = padded,
                 .koff = koff,
                 .n_koff = l->kh,
                 .groups = (int)kn_pack_s8_even((size_t)(l->kw * l->ic)) / 2},
    };
    run(&c);
}
