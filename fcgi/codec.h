/* codec.h: what image.c asks of a decoder. Internal to fcgi/. */
#ifndef FCGI_CODEC_H
#define FCGI_CODEC_H

#include "fcgi/image.h"
#include "fcgi/resize.h"

/* One picture on its way from its bytes into `resize`. */
struct fcgi_codec_job {
    const uint8_t *bytes;
    size_t n;
    const struct fcgi_image_info *info; /* what the probe said of it */
    uint64_t max_bytes;                 /* what the library may allocate */
    int shrink; /* 1; or 2, 4, 8: rows and columns of a JPEG so many times fewer, rounded up */
    struct fcgi_resize *resize;
    struct fcgi_image_timing *timing;
    fcgi_tick_fn *tick;
    void *ctx; /* the tick's */
};

/* One format. Both functions return FCGI_E_OK or err->code.
 * probe: reads the header; the bytes begin as the format does.
 * decode: hands over the rows that resize needs. A file that ends early is refused even if its
 * missing rows are not needed. */
struct fcgi_codec {
    int (*probe)(const uint8_t *bytes, size_t n, struct fcgi_image_info *info,
                 struct fcgi_err *err);
    int (*decode)(const struct fcgi_codec_job *job, struct fcgi_err *err);
};

extern const struct fcgi_codec fcgi_jpeg_codec, fcgi_png_codec, fcgi_webp_codec;

/* Stored rows in order; those that resize needs are resized, on its clock. */
void fcgi_codec_rows(const struct fcgi_codec_job *job, const struct fcgi_strip *strip);

/* Says that there was progress. Returns 0 to stop, with the reason in err. */
int fcgi_codec_tick(const struct fcgi_codec_job *job, struct fcgi_err *err);

/* rgba: [n, 4] bytes, alpha not multiplied in -> the same place, [n, 3]: over white, each channel
 * rounded to the nearest, as Pillow's alpha_composite() does. */
void fcgi_codec_over_white(uint8_t *rgba, int n);

/* tiff: an EXIF block, with or without the "Exif\0\0" that precedes it in a JPEG. The first
 * directory's orientation, 1..8; 1 when there is none or it makes no sense. */
int fcgi_exif_orientation(const uint8_t *tiff, size_t n);

int64_t fcgi_codec_now_ns(void); /* CLOCK_MONOTONIC */

#endif
