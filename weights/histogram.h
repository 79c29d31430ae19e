/* histogram.h: how often a layer's outputs had which magnitude, and where 8 bits should cut them
 * off. Internal to weights/. */
#ifndef WEIGHTS_HISTOGRAM_H
#define WEIGHTS_HISTOGRAM_H

#include <stddef.h>

/* Bins are the floats' own first bits, 512 to an octave, so that one pass over the values is
 * enough, whatever their range: bin edges are 0.2 % apart, half a step of 255 at most. */
enum { WT_HISTOGRAM_OCTAVES = 40, WT_HISTOGRAM_BINS = WT_HISTOGRAM_OCTAVES * 512 };

struct wt_histogram {
    double total;                    /* values seen, zeros among them */
    double largest;                  /* magnitude */
    double n_finite;                 /* of total: a NaN or an infinity is in no bin */
    double count[WT_HISTOGRAM_BINS]; /* magnitudes from 2^-24 to 2^16; what is outside counts in the
                                        first or last bin, zeros in none */
};

/* Where to cut: at the largest value, where so many per cent of all values are below, where the
 * mean squared error of the rounded and cut values is least, where their distribution says most
 * about the true one (Kullback and Leibler). */
enum wt_clip {
    WT_CLIP_LARGEST,
    WT_CLIP_99_999,
    WT_CLIP_99_99,
    WT_CLIP_99_9,
    WT_CLIP_SQUARES,
    WT_CLIP_ENTROPY,
    WT_N_CLIPS
};

const char *wt_clip_name(enum wt_clip clip); /* "largest", "99.99 %", ... */

void wt_histogram_add(struct wt_histogram *histogram, const float *x, size_t n);

/* Where a normal distribution's largest value is taken to be, in deviations. Real channels have
 * longer tails: cutting a ResNet-50's at 6, 7, 8, 9, 10 leaves its logits 22.6, 23.8, 24.4, 24.3
 * and 23.8 dB above their error. */
enum { WT_HISTOGRAM_SIGMAS = 8 };

/* As if `n` values of that normal distribution had come by, those below zero as zeros if rectified:
 * what batch-norm's statistics say of a channel nobody has seen. */
void wt_histogram_add_normal(struct wt_histogram *histogram, double mean, double deviation,
                             double n, int rectified);

/* The magnitude that becomes the last of `levels` steps, always a bin's edge, so that engines which
 * differ in a value's last bit agree; 0 when there was nothing but zeros. */
double wt_histogram_clip(const struct wt_histogram *histogram, enum wt_clip clip, int levels);

#endif
