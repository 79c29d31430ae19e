/* resample.h: the two loops of a resize, in plain C and in vectors: weighted sums of 8-bit pixels
 * in 22-bit fixed point, rounded half up, the same bits from each. Internal to fcgi/.
 *
 * Vector code multiplies 16-bit numbers in pairs, so a weight is kept as high * 2^11 + low with
 * 0 <= low < 2^11: both sums are exact, and so is what they make together.
 */
#ifndef FCGI_RESAMPLE_H
#define FCGI_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

enum {
    FCGI_RESAMPLE_BITS = 32 - 8 - 2, /* Pillow's: a sum of 8-bit pixels times weights fits an int,
                                        with room for the negative lobes of a cubic */
    FCGI_RESAMPLE_LOW_BITS = 11,
    FCGI_RESAMPLE_SLACK = 16, /* bytes that may be read, and are not used, after the last pixel */
};

/* Four neighbours. Where a tap has fewer the rest is zero. */
struct fcgi_weights {
    int16_t high[4], low[4];
};

/* One resized pixel: the stored pixels first..first+count-1, weighted, become pixel `at`. */
struct fcgi_tap {
    int first, count, at;
    const struct fcgi_weights *weights; /* [(count + 3) / 4] */
};

/* One row of pixels, or two that are resized side by side. */
struct fcgi_rows {
    const uint8_t *in[2]; /* from what tap->first counts from, [, 3], and FCGI_RESAMPLE_SLACK */
    uint8_t *out[2];
    int n; /* 1 or 2 */
};

struct fcgi_resample {
    /* n taps along the rows. Pixel `at` goes to out + at * stride. */
    void (*along)(const struct fcgi_tap *tap, int n, const struct fcgi_rows *rows, size_t stride);
    /* One tap down n columns of bytes. line: [tap->count] lines of n bytes -> out: [n] */
    void (*down)(const struct fcgi_tap *tap, const uint8_t *const *line, int n, uint8_t *out);
};

extern const struct fcgi_resample fcgi_resample_plain;
#if defined(__x86_64__)
extern const struct fcgi_resample fcgi_resample_avx2;
#endif

/* The fastest there is here. */
const struct fcgi_resample *fcgi_resample_best(void);

#endif
