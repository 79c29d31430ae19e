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

enum {
    PRECISION_BITS = 32 - 8 - 2, /* Pillow's: a sum of 8-bit pixels times coefficients fits an int,
                                    with room for the negative lobes of a cubic */
};

/* One resized pixel: the stored pixels first..first+count-1, weighted, become crop pixel `at`. */
struct tap {
    int first, count, at;
    const int32_t *coef;
};

/* One stored direction. Taps are in stored order, so their ends never decrease. */
struct axis {
    int n;
    int begin, end; /* stored pixels that any tap reads */
    int most;       /* the largest count */
    struct tap *tap;
    int32_t *coef;
};

struct fcgi_resize {
    struct axis x, y; /* of the stored picture */
    int turned;       /* 1: stored rows are oriented columns */
    int crop_px;
    uint8_t *crop;
    int line_bytes; /* of one ring line */
    uint8_t *ring;  /* [y.most, line_bytes] */
    uint8_t *line;  /* [line_bytes] */
    int32_t *sums;  /* [line_bytes] */
    int row;        /* stored row that comes next */
    int next;       /* y tap that is finished next */
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
    w *= 1 << PRECISION_BITS;
    return (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
}

struct filter {
    double (*weight)(double);
    double support; /* half the filter's width, in source pixels after scaling */
    double scale;   /* source pixels per resized pixel */
    double stretch; /* max(scale, 1): how far antialiasing widens the filter */
};

static struct filter filter_for(const struct fcgi_extent *extent,
                                enum wt_interpolation interpolation)
{
    struct filter f = {.weight = triangle, .support = 1.0};

    if (interpolation == WT_BICUBIC) {
        f.weight = cubic;
        f.support = 2.0;
    }
    f.scale = (double)extent->in / extent->out;
    f.stretch = f.scale < 1.0 ? 1.0 : f.scale;
    f.support *= f.stretch;
    return f;
}

/* The taps of resized pixel `out`, in oriented order. w: scratch for as many as there can be. */
static void make_tap(const struct filter *f, int in, int out, struct tap *tap, double *w,
                     int32_t *coef)
{
    double center = (out + 0.5) * f->scale, inverse = 1.0 / f->stretch, sum = 0.0;
    int first = (int)(center - f->support + 0.5), end = (int)(center + f->support + 0.5);

    first = first < 0 ? 0 : first;
    end = end > in ? in : end;
    for (int i = 0; i < end - first; i++) {
        w[i] = f->weight((i + first - center + 0.5) * inverse);
        sum += w[i];
    }
    for (int i = 0; i < end - first; i++)
        coef[i] = fixed_point(sum != 0.0 ? w[i] / sum : w[i]);
    tap->first = first;
    tap->count = end - first;
    tap->coef = coef;
}

static void mirror_tap(struct tap *tap, int in, int32_t *coef)
{
    for (int i = 0, j = tap->count - 1; i < j; i++, j--) {
        int32_t kept = coef[i];

        coef[i] = coef[j];
        coef[j] = kept;
    }
    tap->first = in - tap->first - tap->count;
}

static void axis_free(struct axis *axis)
{
    free(axis->tap);
    free(axis->coef);
}

/* mirrored: the stored direction runs against the oriented one. */
static int axis_init(struct axis *axis, const struct fcgi_extent *extent,
                     enum wt_interpolation interpolation, int mirrored)
{
    struct filter f = filter_for(extent, interpolation);
    size_t most = (size_t)ceil(f.support) * 2 + 1, n = (size_t)extent->count;
    double *w = calloc(most, sizeof(*w));

    axis->n = extent->count;
    axis->tap = calloc(n, sizeof(*axis->tap));
    axis->coef = calloc(n * most, sizeof(*axis->coef));
    if (w == NULL || axis->tap == NULL || axis->coef == NULL) {
        free(w);
        return -1;
    }
    for (int i = 0; i < axis->n; i++) {
        struct tap *tap = &axis->tap[mirrored ? axis->n - 1 - i : i];
        int32_t *coef = axis->coef + (size_t)i * most;

        make_tap(&f, extent->in, extent->first + i, tap, w, coef);
        if (mirrored)
            mirror_tap(tap, extent->in, coef);
        tap->at = extent->pad + i;
        axis->most = tap->count > axis->most ? tap->count : axis->most;
    }
    axis->begin = axis->tap[0].first;
    axis->end = axis->tap[axis->n - 1].first + axis->tap[axis->n - 1].count;
    free(w);
    return 0;
}

static uint8_t rounded(int32_t sum)
{
    sum >>= PRECISION_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* in: pixels from stored pixel axis->begin on. Pixel `at` goes to out + at * stride. */
static void pass_along(const struct axis *axis, const uint8_t *in, uint8_t *out, size_t stride)
{
    for (int i = 0; i < axis->n; i++) {
        const struct tap *tap = &axis->tap[i];
        const uint8_t *p = in + (size_t)(tap->first - axis->begin) * 3;
        int32_t r = 1 << (PRECISION_BITS - 1), g = r, b = r;
        uint8_t *to = out + (size_t)tap->at * stride;

        for (int k = 0; k < tap->count; k++, p += 3) {
            r += p[0] * tap->coef[k];
            g += p[1] * tap->coef[k];
            b += p[2] * tap->coef[k];
        }
        to[0] = rounded(r);
        to[1] = rounded(g);
        to[2] = rounded(b);
    }
}

static uint8_t *ring_line(const struct fcgi_resize *resize, int row)
{
    return resize->ring + (size_t)(row % resize->y.most) * (size_t)resize->line_bytes;
}

/* Weighs the ring's lines down the picture into out: [line_bytes] */
static void pass_down(struct fcgi_resize *resize, const struct tap *tap, uint8_t *out)
{
    int32_t *restrict sums = resize->sums;
    int n = resize->line_bytes;

    for (int i = 0; i < n; i++)
        sums[i] = 1 << (PRECISION_BITS - 1);
    for (int k = 0; k < tap->count; k++) {
        const uint8_t *line = ring_line(resize, tap->first + k);
        int32_t coef = tap->coef[k];

        for (int i = 0; i < n; i++)
            sums[i] += line[i] * coef;
    }
    for (int i = 0; i < n; i++)
        out[i] = rounded(sums[i]);
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
    resize->turned = turned;
    resize->crop = crop;
    resize->crop_px = crop_px;
    resize->line_bytes = (turned ? resize->x.end - resize->x.begin : crop_px) * 3;
    resize->row = resize->y.begin;
    resize->ring = calloc((size_t)resize->y.most, (size_t)resize->line_bytes);
    resize->line = malloc((size_t)resize->line_bytes);
    resize->sums = calloc((size_t)resize->line_bytes, sizeof(*resize->sums));
    if (resize->ring == NULL || resize->line == NULL || resize->sums == NULL)
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
    free(resize->sums);
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

static void finish_line(struct fcgi_resize *resize, const struct tap *tap)
{
    size_t row_bytes = (size_t)resize->crop_px * 3;

    if (!resize->turned) {
        pass_down(resize, tap, resize->crop + (size_t)tap->at * row_bytes);
        return;
    }
    pass_down(resize, tap, resize->line);
    pass_along(&resize->x, resize->line, resize->crop + (size_t)tap->at * 3, row_bytes);
}

void fcgi_resize_row(struct fcgi_resize *resize, const uint8_t *rgb)
{
    const uint8_t *in = rgb + (size_t)resize->x.begin * 3;
    uint8_t *line = ring_line(resize, resize->row);

    assert(resize->row < resize->y.end);
    if (resize->turned)
        memcpy(line, in, (size_t)resize->line_bytes);
    else
        pass_along(&resize->x, in, line, 3);
    resize->row++;
    for (; resize->next < resize->y.n; resize->next++) {
        const struct tap *tap = &resize->y.tap[resize->next];

        if (tap->first + tap->count > resize->row)
            break;
        finish_line(resize, tap);
    }
}
