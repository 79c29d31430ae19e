/* histogram.c: magnitudes counted, and where to cut them off. */
#include "weights/histogram.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    PER_OCTAVE = WT_HISTOGRAM_BINS / WT_HISTOGRAM_OCTAVES,
    SHIFT = 23 - 9,                  /* of a float's bits: 9 bits of its mantissa stay */
    FIRST = (127 - 24) * PER_OCTAVE, /* bits >> SHIFT of 2^-24 */
    INFINITE = 255 * PER_OCTAVE,     /* and from here on: infinities, NaN */
    CANDIDATES = 96,
    PER_CANDIDATE = PER_OCTAVE / 16, /* six octaves down from the largest value */
};

_Static_assert(PER_OCTAVE == 1 << 9, "nine bits of mantissa");

const char *wt_clip_name(enum wt_clip clip)
{
    static const char *const names[WT_N_CLIPS] = {"largest", "99.999 %",      "99.99 %",
                                                  "99.9 %",  "least squares", "least divergence"};

    return names[clip];
}

/* ---- counting ------------------------------------------------------------------------------- */

/* The bin of a magnitude above zero; may be outside. */
static int bin_of(float magnitude)
{
    uint32_t bits;

    memcpy(&bits, &magnitude, sizeof bits);
    return (int)((bits & 0x7fffffff) >> SHIFT) - FIRST;
}

static int clamp_bin(int bin)
{
    return bin < 0 ? 0 : bin >= WT_HISTOGRAM_BINS ? WT_HISTOGRAM_BINS - 1 : bin;
}

/* A bin's lower edge; that of WT_HISTOGRAM_BINS is the last one's upper edge. */
static double edge(int bin)
{
    return ldexp(1 + (double)(bin % PER_OCTAVE) / PER_OCTAVE, bin / PER_OCTAVE - 24);
}

static double centre(int bin)
{
    return (edge(bin) + edge(bin + 1)) / 2;
}

static double width(int bin)
{
    return edge(bin + 1) - edge(bin);
}

static void add(struct wt_histogram *h, float magnitude, double n)
{
    if (magnitude > 0)
        h->count[clamp_bin(bin_of(magnitude))] += n;
    if ((double)magnitude > h->largest)
        h->largest = (double)magnitude;
}

void wt_histogram_add(struct wt_histogram *h, const float *x, size_t n)
{
    size_t finite = 0;

    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            continue;
        add(h, fabsf(x[i]), 1);
        finite++;
    }
    h->total += (double)n;
    h->n_finite += (double)finite;
}

void wt_histogram_add_normal(struct wt_histogram *h, double mean, double deviation, double n,
                             int rectified)
{
    enum { STEPS = 32 };                                 /* to a deviation */
    static const double to_density = 0.3989422804014327; /* 1 / sqrt(2 pi) */

    for (int i = -WT_HISTOGRAM_SIGMAS * STEPS; i <= WT_HISTOGRAM_SIGMAS * STEPS; i++) {
        double z = (double)i / STEPS, x = mean + deviation * z;
        double share = to_density * exp(-z * z / 2) / STEPS;
        if (!rectified || x > 0)
            add(h, (float)fabs(x), n * share);
    }
    h->total += n;
    h->n_finite += n;
}

/* ---- cutting -------------------------------------------------------------------------------- */

/* The bin of the largest value, or -1. */
static int last_bin(const struct wt_histogram *h)
{
    return h->largest > 0 ? clamp_bin(bin_of((float)h->largest)) : -1;
}

/* Rounded up to an edge, so that engines that differ in a last bit agree. */
static double largest_edge(const struct wt_histogram *h)
{
    int last = last_bin(h);

    return last < WT_HISTOGRAM_BINS - 1 ? edge(last + 1) : h->largest;
}

static double clip_share(const struct wt_histogram *h, double share)
{
    double above = 0, allowed = h->n_finite * (1 - share);
    int last = last_bin(h);

    for (int bin = last; bin >= 0; bin--) {
        above += h->count[bin];
        if (above > allowed)
            return edge(bin + 1);
    }
    return largest_edge(h);
}

/* Error of what becomes steps of `step`, those cut off left out: what is below half a step is
 * lost, the rest is off by as much as chance has it, step^2 / 12 in the mean. */
static double error_inside(const struct wt_histogram *h, int bins, double step)
{
    double sum = 0;

    for (int bin = 0; bin < bins; bin++) {
        double x = centre(bin);
        sum += h->count[bin] * (x < step / 2 ? x * x : step * step / 12);
    }
    return sum;
}

static double error_outside(const struct wt_histogram *h, int bins, int last, double clip)
{
    double sum = 0;

    for (int bin = bins; bin <= last; bin++) {
        double over = centre(bin) - clip;
        sum += h->count[bin] * over * over;
    }
    return sum;
}

static double squared_error(const struct wt_histogram *h, int bins, int last, int levels)
{
    double clip = edge(bins);

    return error_inside(h, bins, clip / levels) + error_outside(h, bins, last, clip);
}

/* One level of a cut distribution: its bins, what is in them, how wide those are that have any. */
struct level {
    int first, end;
    double count, width;
};

static void next_level(const struct wt_histogram *h, struct level *level, int number, double step,
                       int bins)
{
    double upper = (number + 0.5) * step;

    *level = (struct level){.first = level->end, .end = level->end};
    for (; level->end < bins && centre(level->end) < upper; level->end++)
        if (h->count[level->end] > 0) {
            level->count += h->count[level->end];
            level->width += width(level->end);
        }
}

/* How much worse the distribution in levels, spread evenly again, tells the values that were
 * really there; those cut off count where they end up, in the last bin. */
static double divergence(const struct wt_histogram *h, int bins, int last, int levels)
{
    double step = edge(bins) / levels, inside = 0, cut = 0, sum = 0;
    struct level level = {0};

    for (int bin = bins; bin <= last; bin++)
        cut += h->count[bin];
    if (cut > 0 && h->count[bins - 1] == 0)
        return INFINITY;
    for (int number = 0; number <= levels; number++) {
        next_level(h, &level, number, step, bins);
        inside += level.count;
        for (int bin = level.first; bin < level.end; bin++) {
            double p = h->count[bin] + (bin == bins - 1 ? cut : 0);
            if (p > 0)
                sum += p * log(p * level.width / (level.count * width(bin)));
        }
    }
    return inside > 0 ? sum / (inside + cut) - log((inside + cut) / inside) : INFINITY;
}

static double clip_best(const struct wt_histogram *h, int levels,
                        double (*badness)(const struct wt_histogram *, int, int, int))
{
    int last = last_bin(h), best_bins = last + 1;
    double best = INFINITY;

    for (int i = 0; i < CANDIDATES; i++) {
        int bins = last + 1 - i * PER_CANDIDATE;
        double b = bins > 0 ? badness(h, bins, last, levels) : INFINITY;
        if (b < best) {
            best = b;
            best_bins = bins;
        }
    }
    return edge(best_bins);
}

double wt_histogram_clip(const struct wt_histogram *h, enum wt_clip clip, int levels)
{
    if (!(h->largest > 0))
        return 0;
    switch (clip) {
    case WT_CLIP_99_999:
        return clip_share(h, 0.99999);
    case WT_CLIP_99_99:
        return clip_share(h, 0.9999);
    case WT_CLIP_99_9:
        return clip_share(h, 0.999);
    case WT_CLIP_SQUARES:
        return clip_best(h, levels, squared_error);
    case WT_CLIP_ENTROPY:
        return clip_best(h, levels, divergence);
    default:
        return largest_edge(h);
    }
}
