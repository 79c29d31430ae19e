/* codec.h: what image.c asks of a decoder. Internal to fcgi/. */
#ifndef FCGI_CODEC_H
#define FCGI_CODEC_H

#include "fcgi/image.h"
#include "fcgi/resize.h"

/* Whom to tell how decoding goes: fcgi_image_crop()'s arguments. */
struct fcgi_codec_follow {
    struct fcgi_image_timing *timing;
    fcgi_tick_fn *tick;
    void *ctx;
};

/* Reads the header. bytes begin with a JPEG's first three. */
int fcgi_jpeg_probe(const uint8_t *bytes, size_t n, struct fcgi_image_info *info,
                    struct fcgi_err *err);

/* Decodes the rows that `resize` needs and hands them over. The library may not keep more than
 * max_bytes. A file that ends early is refused even if its missing rows are not needed. */
int fcgi_jpeg_decode(const uint8_t *bytes, size_t n, uint64_t max_bytes, struct fcgi_resize *resize,
                     const struct fcgi_codec_follow *follow, struct fcgi_err *err);

/* tiff: what follows "Exif\0\0" in an APP1 segment. The first directory's orientation, 1..8;
 * 1 when there is none or it makes no sense. */
int fcgi_exif_orientation(const uint8_t *tiff, size_t n);

#endif
