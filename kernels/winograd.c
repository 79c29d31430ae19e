/* winograd.c: 3x3 filters of stride 1 by Winograd's F(3,3) and F(4,3): 25 or 36 products for the 9
 * or 16 outputs of a tile, in place of 81 or 144. With stride 2 the even inputs meet two taps of a
 * line of the filter, the odd ones the third: F(2,2) of the former and the latter as they are make
 * 25 products for 4 outputs, by 16 different weights.
 *
 * Tiles are taken in groups of as many as a gemm tile has pixels, and several groups together. Of
 * those the windows of all input blocks are transformed into v; then for each pair of panels every
 * point is a product m = v * w of [tiles, ic] by [ic, 32], group after group while the weights of
 * the point are in L1, and m is transformed back. Small weights stay in L2, and a thread takes its
 * groups through all of it; large ones pass by once, so that all groups are transformed first and
 * then each pair of panels serves every group.
 *
 *   v: [group][points][ic / 16][tiles of a group][16]
 *   m: [group][points][2][tiles of a group][16]
 *   w: [pair of panels][weights][2][ic][16] (pack.c)
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/ahead.h"
#include "kernels/blocked.h"
#include "kernels/engine.h"
#include "kernels/f32.h"
#include "kernels/threads.h"
#include "kernels/winograd.h"

enum {
    BLOCK = KN_F32_BLOCK,
    /* Between points, so that they do not all fall into one set of the L1 cache. */
    SKEW = 16,
    MAX_TILE = KN_WINOGRAD_MAX_SIZE * KN_WINOGRAD_MAX_SIZE * BLOCK, /* floats */
};

/* The transforms of filters belong to those of windows and outputs in winograd_f32.h. */
static const double g3[5][3] = {{1. / 2, 0, 0},
                                {-1. / 2, -1. / 2, -1. / 2},
                                {-1. / 6, 1. / 6, -1. / 6},
                                {1. / 6, 1. / 3, 2. / 3},
                                {0, 0, 1}};
static const double g4[6][3] = {{1. / 4, 0, 0},
                                {-1. / 6, -1. / 6, -1. / 6},
                                {-1. / 6, 1. / 6, -1. / 6},
                                {1. / 24, 1. / 12, 1. / 6},
                                {1. / 24, -1. / 12, 1. / 6},
                                {0, 0, 1}};

static const double strided[4][3] = {{1, 0, 0}, {1, 0, 1}, {0, 0, 1}, {0, 1, 0}};

static const unsigned char each[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                     13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
                                     26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36};
static const unsigned char by_weight[] = {0,  1,  2,  3,  5,  6,  7,  8, 10,
                                          11, 12, 13, 15, 17, 19, 21, 25};

const struct kn_winograd *kn_winograd_of(const struct kn_layer *layer)
{
    static const struct kn_winograd f3 = {3, 5, 1, 25, 25, each, g3, 5, 0};
    static const struct kn_winograd f4 = {4, 6, 1, 36, 36, each, g4, 6, 1};
    static const struct kn_winograd s2 = {2, 5, 2, 25, 16, by_weight, strided, 4, 2};

    switch (kn_kind_of(layer)) {
    case KN_CONV_3X3_MIDDLE:
        return &f3;
    case KN_CONV_3X3_LARGE:
        return &f4;
    case KN_CONV_3X3_STRIDED:
        return &s2;
    default:
        return NULL;
    }
}

struct winograd {
    const struct kn_job *job;
    const struct kn_f32_ops *ops;
    const struct kn_winograd *form;
    kn_f32_winograd_in_fn *in;
    kn_f32_winograd_out_fn *out;
    int size, points;   /* of the form */
    int across, tiles;  /* tiles in a row of them, and in all */
    int groups, most;   /* tiles of the largest group */
    int blocks, panels; /* of input and output channels */
    int steps;          /* panels by as many as a gemm tile takes */
    int together;       /* groups at most that a point's weights serve at once */
    int all_at_once;    /* large weights: transform every group first */
    ptrdiff_t v_point, v_group, m_point, m_group; /* floats */
    ptrdiff_t *koff;
    float *v, *m; /* m: one for each thread */
};

static int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

/* Equal groups, as many as the threads can share evenly when there are more than threads. */
static void plan_groups(struct winograd *g, const struct kn_layer *l, int pixels, int width)
{
    g->across = divide_up(l->ow, g->size);
    g->tiles = g->across * divide_up(l->oh, g->size);
    g->groups = divide_up(g->tiles, pixels);
    if (g->groups > width)
        g->groups = divide_up(g->groups, width) * width;
    g->most = divide_up(g->tiles, g->groups);
}

/* What stays in L2 while a point's weights pass by. */
static void plan_cache(struct winograd *g)
{
    ptrdiff_t l2 = kn_cpu()->l2_bytes / (ptrdiff_t)sizeof(float);
    ptrdiff_t weights = (ptrdiff_t)g->form->weights * g->panels * g->blocks * BLOCK * BLOCK;

    g->all_at_once = weights > l2 / 2;
    ptrdiff_t together = l2 / 8 / (g->m_group + (g->all_at_once ? 0 : g->v_group));
    g->together = together < 1 ? 1 : together < g->groups ? (int)together : g->groups;
}

static void plan(struct winograd *g, const struct kn_layer *l, int pixels, int width)
{
    g->form = kn_winograd_of(l);
    g->size = g->form->size;
    g->points = g->form->points;
    plan_groups(g, l, pixels, width);
    g->blocks = kn_blocked_blocks(l->ic);
    g->panels = kn_blocked_blocks(l->oc);
    g->v_point = (ptrdiff_t)g->blocks * g->most * BLOCK + SKEW;
    g->v_group = g->points * g->v_point;
    g->m_point = 2L * g->most * BLOCK + SKEW;
    g->m_group = g->points * g->m_point;
    plan_cache(g);
}

/* Scratch: koff, v, m of each thread. The groups' sizes differ with the instruction set and the
 * number of threads: room for the largest. */
size_t kn_f32_winograd_scratch(const struct kn_layer *l, int threads)
{
    struct winograd g;
    size_t most = 0;

    for (int pixels = 6; pixels <= KN_F32_MAX_PIXELS; pixels++)
        for (int width = 1; width <= threads; width++) {
            plan(&g, l, pixels, width);
            size_t v = (size_t)g.v_group * (size_t)(g.all_at_once ? g.groups : width * g.together);
            size_t m = (size_t)g.m_group * (size_t)(width * g.together);
            most = v + m > most ? v + m : most;
        }
    return (size_t)(g.blocks + BLOCK) * sizeof *g.koff + most * sizeof(float);
}

/* Pixels of `n` that lie inside an image `side` long when the first is number `at`. */
static int inside(int at, int n, int side)
{
    return side - at < n ? side - at : n;
}

/* A window that leaves the image to the right or below, with zeros there. */
static void copy_window(float *to, const float *from, ptrdiff_t row, int side, int h, int w)
{
    size_t line = (size_t)w * BLOCK;
    memset(to, 0, (size_t)(side * side) * BLOCK * sizeof *to);
    for (int y = 0; y < h; y++)
        memcpy(to + y * side * BLOCK, from + y * row, line * sizeof *to);
}

/* Window of one tile, one block of input channels; the halo is the padding. */
static void transform_window(const struct winograd *g, int tile, int block, float *v)
{
    const struct kn_layer *l = g->job->layer;
    _Alignas(KN_ALIGN) float window[KN_WINOGRAD_MAX_WINDOW * KN_WINOGRAD_MAX_WINDOW * BLOCK];
    int n = g->form->window, halo = g->job->halo_x, step = g->size * g->form->stride;
    int y = tile / g->across * step + halo - 1, x = tile % g->across * step + halo - 1;
    ptrdiff_t row = (l->iw + 2 * halo) * BLOCK;
    const float *from =
        g->job->x + block * kn_blocked_plane(l->ih, l->iw, halo) + y * row + x * BLOCK;
    int h = inside(y, n, l->ih + 2 * halo), w = inside(x, n, l->iw + 2 * halo);

    if (h < n || w < n) {
        copy_window(window, from, row, n, h, w);
        from = window;
        row = n * BLOCK;
    }
    g->in(from, row, v, g->v_point);
}

static void group_part(const struct winograd *g, int group, long *from, long *to)
{
    kn_threads_part(g->tiles, group, g->groups, from, to);
}

static void transform_group(const struct winograd *g, int group, int block, float *v)
{
    long from, to;
    group_part(g, group, &from, &to);
    v += (ptrdiff_t)block * g->most * BLOCK;
    for (long t = from; t < to; t++)
        transform_window(g, (int)t, block, v + (t - from) * BLOCK);
}

/* An output tile that leaves the image: only what is inside is read and written. */
static void transform_edge(const struct winograd *g, const float *m, const float *bias,
                           const float *residual, float *y, ptrdiff_t row, int h, int w)
{
    _Alignas(KN_ALIGN) float old[MAX_TILE], tile[MAX_TILE];
    ptrdiff_t line = (ptrdiff_t)g->size * BLOCK;
    size_t bytes = (size_t)w * BLOCK * sizeof *y;

    memset(old, 0, sizeof old);
    for (int i = 0; residual && i < h; i++)
        memcpy(old + i * line, residual + i * row, bytes);
    g->out(m, g->m_point, bias, residual ? old : NULL, tile, line,
           g->job->layer->relu ? 0 : -INFINITY);
    for (int i = 0; i < h; i++)
        memcpy(y + i * row, tile + i * line, bytes);
}

/* One tile, one block of output channels. */
static void transform_back(const struct winograd *g, int tile, int block, const float *m,
                           const float *bias)
{
    const struct kn_job *job = g->job;
    const struct kn_layer *l = job->layer;
    int halo = job->halo_y;
    int ty = tile / g->across * g->size, tx = tile % g->across * g->size;
    int h = inside(ty, g->size, l->oh), w = inside(tx, g->size, l->ow);
    ptrdiff_t row = (l->ow + 2 * halo) * BLOCK;
    ptrdiff_t at =
        block * kn_blocked_plane(l->oh, l->ow, halo) + (ty + halo) * row + (tx + halo) * BLOCK;
    const float *residual = job->residual ? job->residual + at : NULL;

    if (h < g->size || w < g->size)
        transform_edge(g, m, bias, residual, job->y + at, row, h, w);
    else
        g->out(m, g->m_point, bias, residual, job->y + at, row, l->relu ? 0 : -INFINITY);
}

/* Weights number `number` of a step; two panels lie one behind the other. */
static const float *weights_of(const struct winograd *g, int number, int step)
{
    int panel = step * g->ops->panels, first = panel / 2 * 2, two = first + 1 < g->panels ? 2 : 1;
    size_t floats = (size_t)g->blocks * BLOCK * BLOCK;
    return (const float *)g->job->w +
           (size_t)(first * g->form->weights + two * number + panel - first) * floats;
}

/* Some groups of one thread on their way through its steps. */
struct pass {
    const struct winograd *g;
    int from, to;         /* groups */
    int step, end;        /* the one in hand; behind this thread's last */
    int cold, last;       /* weights are not in L2 yet; the next layer follows */
    const float *v;       /* of group `from` */
    float *m;             /* [to - from] groups */
    struct kn_ahead next; /* what the thread wants in the next layer */
};

/* The weights that will be used KN_AHEAD_BYTES later than number `number`. */
static struct kn_ahead look_ahead(const struct pass *pass, int number)
{
    const struct winograd *g = pass->g;
    size_t bytes = (size_t)(g->ops->panels * g->blocks) * BLOCK * BLOCK * sizeof(float);
    int n = g->form->weights, distance = (int)(KN_AHEAD_BYTES / bytes);
    int left = (pass->end - pass->step) * n;
    struct kn_ahead ahead = {0};

    distance = distance < 1 ? 1 : distance < n ? distance : n;
    int at = number + distance;
    if (at >= left && pass->last) {
        size_t skip = (size_t)(at - left) * bytes;
        ahead.from = pass->next.from + skip;
        ahead.bytes = skip < pass->next.bytes ? pass->next.bytes - skip : 0;
        ahead.bytes = ahead.bytes < bytes ? ahead.bytes : bytes;
    } else if (at < left && pass->cold) {
        ahead.from = (const char *)weights_of(g, at % n, pass->step + at / n);
        ahead.bytes = bytes;
    }
    return ahead;
}

/* m = v * w of the points that share weights, for all groups. */
static void multiply_points(const struct pass *pass, int number, struct kn_f32_tile *tile)
{
    const struct winograd *g = pass->g;
    const unsigned char *first = g->form->first + number;
    struct kn_ahead ahead = look_ahead(pass, number);
    int calls = (pass->to - pass->from) * (first[1] - first[0]), call = 0;
    int lines = kn_ahead_lines(ahead, (long)calls * g->blocks);
    long from, to;

    tile->w = weights_of(g, number, pass->step);
    for (int i = pass->from; i < pass->to; i++) {
        const float *v = pass->v + (i - pass->from) * g->v_group;
        float *m = pass->m + (i - pass->from) * g->m_group;
        group_part(g, i, &from, &to);
        for (int p = first[0]; p < first[1]; p++, call++) {
            tile->a = v + p * g->v_point;
            tile->y = m + p * g->m_point;
            kn_ahead_part(tile, ahead, lines, (size_t)(call * lines * g->blocks) * 64);
            g->ops->dense[to - from](tile);
        }
    }
}

static void multiply(const struct pass *pass)
{
    static const _Alignas(KN_ALIGN) float zeros[2 * BLOCK];
    const struct winograd *g = pass->g;
    ptrdiff_t panel = (ptrdiff_t)g->blocks * BLOCK * BLOCK;
    int two = g->ops->panels == 2 && 2 * pass->step + 1 < g->panels;
    struct kn_f32_tile tile = {.koff = g->koff,
                               .n_koff = g->blocks,
                               .split = KN_F32_MAX_PIXELS,
                               .a_pixel = BLOCK,
                               .w_panel = two ? panel : 0,
                               .bias = zeros,
                               .y_block = two ? (ptrdiff_t)g->most * BLOCK : 0,
                               .low = -INFINITY};

    for (int i = 0; i < g->form->weights; i++)
        multiply_points(pass, i, &tile);
}

static void finish_group(const struct winograd *g, int group, int step, const float *m)
{
    const struct kn_job *job = g->job;
    _Alignas(KN_ALIGN) float bias[BLOCK];
    long from, to;

    group_part(g, group, &from, &to);
    for (int i = 0; i < g->ops->panels; i++) {
        int block = step * g->ops->panels + i, n = job->layer->oc - block * BLOCK;
        if (n <= 0)
            break;
        memset(bias, 0, sizeof bias);
        memcpy(bias, job->bias + block * BLOCK, (size_t)(n < BLOCK ? n : BLOCK) * sizeof *bias);
        for (long t = from; t < to; t++)
            transform_back(g, (int)t, block, m + (i * g->most + t - from) * BLOCK, bias);
    }
}

/* One step, all groups of the pass. */
static void run_step(const struct pass *pass)
{
    multiply(pass);
    for (int i = pass->from; i < pass->to; i++)
        finish_group(pass->g, i, pass->step, pass->m + (i - pass->from) * pass->g->m_group);
}

static float *m_of(const struct winograd *g, int thread)
{
    return g->m + (ptrdiff_t)thread * g->together * g->m_group;
}

/* Small weights: each thread takes its groups from end to end. */
static void run_groups(void *ctx, int thread, int threads)
{
    const struct winograd *g = ctx;
    float *v = g->v + (ptrdiff_t)thread * g->together * g->v_group;
    struct pass pass = {.g = g, .end = g->steps, .cold = 1, .v = v, .m = m_of(g, thread)};
    long from, to;

    pass.next = kn_ahead_next(g->job, thread, threads);
    kn_threads_part(g->groups, thread, threads, &from, &to);
    int passes = divide_up((int)(to - from), g->together);
    for (int i = 0; i < passes; i++, pass.cold = 0) {
        long first, behind;
        kn_threads_part(to - from, i, passes, &first, &behind);
        pass.from = (int)(from + first);
        pass.to = (int)(from + behind);
        pass.last = i + 1 == passes;
        for (int j = pass.from; j < pass.to; j++)
            for (int b = 0; b < g->blocks; b++)
                transform_group(g, j, b, v + (j - pass.from) * g->v_group);
        for (pass.step = 0; pass.step < g->steps; pass.step++)
            run_step(&pass);
    }
}

/* Large weights, first half: v of every group and block. */
static void run_windows(void *ctx, int thread, int threads)
{
    const struct winograd *g = ctx;
    long from, to;

    kn_threads_part((long)g->groups * g->blocks, thread, threads, &from, &to);
    for (long i = from; i < to; i++) {
        int group = (int)(i / g->blocks);
        transform_group(g, group, (int)(i % g->blocks), g->v + group * g->v_group);
    }
}

/* Items [from, to) of all steps by n groups, groups inner. */
static void run_steps(struct pass *pass, int first, int n, long from, long to)
{
    const struct winograd *g = pass->g;

    pass->end = (int)((to + n - 1) / n);
    for (; from < to; from += pass->to - pass->from) {
        int at = (int)(from % n), most = n - at < g->together ? n - at : g->together;
        pass->step = (int)(from / n);
        pass->from = first + at;
        pass->to = pass->from + (to - from < most ? (int)(to - from) : most);
        pass->v = g->v + pass->from * g->v_group;
        run_step(pass);
    }
}

/* Second half: each step over every group. Many threads share both: the first ones take the steps
 * over half of the groups, the last ones over the rest, and each reads half of what the others have
 * transformed. */
static void run_panels(void *ctx, int thread, int threads)
{
    const struct winograd *g = ctx;
    struct pass pass = {.g = g, .cold = 1, .last = 1, .m = m_of(g, thread)};
    int n = threads >= 4 && g->groups >= 4 && g->groups % 2 == 0 ? g->groups / 2 : g->groups;
    long from, to, all = (long)g->steps * n;

    pass.next = kn_ahead_next(g->job, thread, threads);
    kn_threads_part((long)g->steps * g->groups, thread, threads, &from, &to);
    for (int first = 0; first < g->groups; first += n, from -= all, to -= all)
        run_steps(&pass, first, n, from < 0 ? 0 : from, to < all ? to : all);
}

void kn_f32_winograd(const struct kn_job *job)
{
    const struct kn_f32_ops *ops = job->engine->f32;
    struct winograd g = {.job = job, .ops = ops};

    assert(job->halo_x >= 1);
    plan(&g, job->layer, ops->pixels, job->width);
    g.in = ops->winograd_in[g.form->number];
    g.out = ops->winograd_out[g.form->number];
    g.steps = divide_up(g.panels, ops->panels);
    g.koff = job->scratch;
    for (int b = 0; b < g.blocks; b++)
        g.koff[b] = (ptrdiff_t)b * g.most * BLOCK;
    g.v = (float *)job->scratch + divide_up(2 * g.blocks, BLOCK) * BLOCK;
    g.m = g.v + g.v_group * (g.all_at_once ? g.groups : job->width * g.together);
    if (g.all_at_once) {
        kn_threads_split(job->threads, job->width, 4, run_windows, &g);
        kn_threads_run(job->threads, job->width, run_panels, &g);
    } else {
        kn_threads_run(job->threads, job->width, run_groups, &g);
    }
    kn_blocked_clear_halo(job->y, job->layer, job->halo_y);
}
