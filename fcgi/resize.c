/* resize.c: Pillow's two-pass resampling with 22-bit fixed-point coefficients, streamed.
 *
 * Pillow resizes the oriented picture: first along its rows, rounding to 8 bits, then along its
 * columns. Orientations 1..4 keep stored rows rows, so each row is resized as it arrives and the
 * columns are summed over a ring of resized rows. Orientations 5..8 turn rows into columns, so the
 * first pass runs down the stored picture, over a ring of stored rows, and the second along each
 * finished line. Integer sums do not depend on their order: the bits are Pillow's either way.
 */
#include "fcgi/resize.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/resample.h"

/* One stored direction. Taps are in stored order, so their ends never decrease. */
struct axis {
    int n;
    int begin, end; /* stored pixels that any tap reads; those of x count from begin */
    int most;       /* the largest count */
    struct fcgi_tap *tap;
    struct fcgi_weights *weights;
};

struct fcgi_resize {
    struct axis x, y; /* of the stored picture */
    int turned;       /* 1: stored rows are oriented columns */
    int crop_px;
    uint8_t *crop;
    int line_bytes;        /* of one ring line */
    uint8_t *ring;         /* [y.most + 1, line_bytes]: two come before one is finished with */
    uint8_t *line;         /* [line_bytes], and FCGI_RESIZE_SLACK; for turned pictures */
    const uint8_t **lines; /* [y.most]: of the ring, those of one tap */
    const struct fcgi_resample *resample;
    int row;  /* stored row that comes next */
    int next; /* y tap that is finished next */
};

static double triangle(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys' cubic with a = -0.5, in Pillow's order of operations. */
static double cubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

/* Rounds half away from zero, as Pillow does. */
static int32_t fixed_point(double w)
{
    w *= 1 << FCGI_RESAMPLE_BITS;
    return (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
}

struct filter {
    double (*weight)(double);
    double support; /* half the filter's width, in source pixels after scaling */
    double scale;   /* source pixels per resized pixel */
    double offset; /* in source pixels: a mirrored line begins where its last, partial pixel ends */
    double stretch; /* max(scale, 1): how far antialiasing widens the filter */
};

static struct filter filter_for(const struct fcgi_extent *extent,
                                enum wt_interpolation interpolation, int mirrored)
{
    struct filter f = {.weight = triangle, .support = 1.0};
    double pixels = (double)extent->in / extent->shrink;

    if (interpolation == WT_BICUBIC) {
        f.weight = cubic;
        f.support = 2.0;
    }
    f.scale = pixels / extent->out;
    f.offset = mirrored ? ceil(pixels) - pixels : 0.0;
    f.stretch = f.scale < 1.0 ? 1.0 : f.scale;
    f.support *= f.stretch;
    return f;
}

/* Which pixels make resized pixel `out`, in oriented order. w: their weights, before rounding. */
static void make_tap(const struct filter *f, int in, int out, struct fcgi_tap *tap, double *w)
{
    double center = (out + 0.5) * f->scale + f->offset, inverse = 1.0 / f->stretch, sum = 0.0;
    int first = (int)(center - f->support + 0.5), end = (int)(center + f->support + 0.5);

    first = first < 0 ? 0 : first;
    end = end > in ? in : end;
    for (int i = 0; i < end - first; i++) {
        w[i] = f->weight((i + first - center + 0.5) * inverse);
        sum += w[i];
    }
    for (int i = 0; i < end - first && sum != 0.0; i++)
        w[i] /= sum;
    tap->first = first;
    tap->count = end - first;
}

/* In stored order: mirrored, the other way round. */
static void set_weights(struct fcgi_weights *weights, const double *w, int n, int mirrored)
{
    for (int i = 0; i < n; i++) {
        int32_t fixed = fixed_point(w[mirrored ? n - 1 - i : i]);

        weights[i / 4].high[i % 4] = (int16_t)(fixed >> FCGI_RESAMPLE_LOW_BITS);
        weights[i / 4].low[i % 4] = (int16_t)(fixed & ((1 << FCGI_RESAMPLE_LOW_BITS) - 1));
    }
}

static void axis_free(struct axis *axis)
{
    free(axis->tap);
    free(axis->weights);
}

/* mirrored: the stored direction runs against the oriented one. */
static int axis_init(struct axis *axis, const struct fcgi_extent *extent,
                     enum wt_interpolation interpolation, int mirrored)
{
    struct filter f = filter_for(extent, interpolation, mirrored);
    size_t most = (size_t)ceil(f.support) * 2 + 1, fours = (most + 3) / 4;
    size_t n = (size_t)extent->count;
    int in = (extent->in + extent->shrink - 1) / extent->shrink;
    double *w = calloc(most, sizeof(*w));

    axis->n = extent->count;
    axis->tap = calloc(n, sizeof(*axis->tap));
    axis->weights = calloc(n * fours, sizeof(*axis->weights));
    if (w == NULL || axis->tap == NULL || axis->weights == NULL) {
        free(w);
        return -1;
    }
    for (int i = 0; i < axis->n; i++) {
        struct fcgi_tap *tap = &axis->tap[mirrored ? axis->n - 1 - i : i];
        struct fcgi_weights *weights = axis->weights + (size_t)i * fours;

        make_tap(&f, in, extent->first + i, tap, w);
        set_weights(weights, w, tap->count, mirrored);
        tap->weights = weights;
        if (mirrored)
            tap->first = in - tap->first - tap->count;
        tap->at = extent->pad + i;
        axis->most = tap->count > axis->most ? tap->count : axis->most;
    }
    free(w);
    axis->begin = axis->tap[0].first;
    axis->end = axis->tap[axis->n - 1].first + axis->tap[axis->n - 1].count;
    return 0;
}

static uint8_t *ring_line(const struct fcgi_resize *resize, int row)
{
    return resize->ring + (size_t)(row % (resize->y.most + 1)) * (size_t)resize->line_bytes;
}

/* Weighs the ring's lines down the picture into out: [line_bytes] */
static void pass_down(struct fcgi_resize *resize, const struct fcgi_tap *tap, uint8_t *out)
{
    for (int k = 0; k < tap->count; k++)
        resize->lines[k] = ring_line(resize, tap->first + k);
    resize->resample->down(tap, resize->lines, resize->line_bytes, out);
}

struct fcgi_resize *fcgi_resize_new(const struct fcgi_extent *across,
                                    const struct fcgi_extent *down, int orientation,
                                    enum wt_interpolation interpolation, uint8_t *crop, int crop_px)
{
    struct fcgi_resize *resize = calloc(1, sizeof(*resize));
    int turned = orientation >= 5;
    int mirror_x = orientation == 2 || orientation == 3 || orientation >= 7;
    int mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;

    if (resize == NULL)
        return NULL;
    if (axis_init(&resize->x, turned ? down : across, interpolation, mirror_x) != 0 ||
        axis_init(&resize->y, turned ? across : down, interpolation, mirror_y) != 0)
        goto out;
    for (int i = 0; i < resize->x.n; i++)
        resize->x.tap[i].first -= resize->x.begin;
    resize->resample = fcgi_resample_best();
    resize->turned = turned;
    resize->crop = crop;
    resize->crop_px = crop_px;
    resize->line_bytes = (turned ? resize->x.end - resize->x.begin : crop_px) * 3;
    resize->row = resize->y.begin;
    resize->ring = calloc((size_t)resize->y.most + 1, (size_t)resize->line_bytes);
    resize->line = calloc((size_t)resize->line_bytes + FCGI_RESIZE_SLACK, 1);
    resize->lines = calloc((size_t)resize->y.most, sizeof(*resize->lines));
    if (resize->ring == NULL || resize->line == NULL || resize->lines == NULL)
        goto out;
    memset(crop, 0, (size_t)crop_px * (size_t)crop_px * 3);
    return resize;
out:
    fcgi_resize_free(resize);
    return NULL;
}

void fcgi_resize_free(struct fcgi_resize *resize)
{
    if (resize == NULL)
        return;
    free(resize->lines);
    free(resize->line);
    free(resize->ring);
    axis_free(&resize->y);
    axis_free(&resize->x);
    free(resize);
}

int fcgi_resize_first_row(const struct fcgi_resize *resize)
{
    return resize->y.begin;
}

int fcgi_resize_end_row(const struct fcgi_resize *resize)
{
    return resize->y.end;
}

int fcgi_resize_first_column(const struct fcgi_resize *resize)
{
    return resize->x.begin;
}

int fcgi_resize_end_column(const struct fcgi_resize *resize)
{
    return resize->x.end;
}

void fcgi_resize_rewind(struct fcgi_resize *resize)
{
    resize->row = resize->y.begin;
    resize->next = 0;
}

static void finish_line(struct fcgi_resize *resize, const struct fcgi_tap *tap)
{
    size_t row_bytes = (size_t)resize->crop_px * 3;
    struct fcgi_rows line = {.in = {resize->line}, .n = 1};

    if (!resize->turned) {
        pass_down(resize, tap, resize->crop + (size_t)tap->at * row_bytes);
        return;
    }
    pass_down(resize, tap, resize->line);
    line.out[0] = resize->crop + (size_t)tap->at * 3;
    resize->resample->along(resize->x.tap, resize->x.n, &line, row_bytes);
}

static void finish_lines(struct fcgi_resize *resize)
{
    for (; resize->next < resize->y.n; resize->next++) {
        const struct fcgi_tap *tap = &resize->y.tap[resize->next];

        if (tap->first + tap->count > resize->row)
            break;
        finish_line(resize, tap);
    }
}

/* in: stored pixels from x.begin on, of n rows, 1 or 2 */
static void into_ring(struct fcgi_resize *resize, const uint8_t *in, size_t stride, int n)
{
    struct fcgi_rows rows = {.n = n};

    for (int i = 0; i < n; i++) {
        rows.in[i] = in + (size_t)i * stride;
        rows.out[i] = ring_line(resize, resize->row + i);
        if (resize->turned)
            memcpy(rows.out[i], rows.in[i], (size_t)resize->line_bytes);
    }
    if (!resize->turned)
        resize->resample->along(resize->x.tap, resize->x.n, &rows, 3);
    resize->row += n;
}

void fcgi_resize_rows(struct fcgi_resize *resize, const struct fcgi_strip *strip)
{
    const uint8_t *in = strip->rgb + (size_t)(resize->x.begin - strip->left) * 3;

    assert(strip->top == resize->row && strip->top + strip->n <= resize->y.end);
    assert(strip->left <= resize->x.begin);
    for (int i = 0; i < strip->n;) {
        int n = strip->n - i < 2 ? 1 : 2;

        into_ring(resize, in + (size_t)i * strip->stride, strip->stride, n);
        finish_lines(resize);
        i += n;
    }
}
