/* image.h: from the bytes of a photograph to the network's input. */
#ifndef FCGI_IMAGE_H
#define FCGI_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "fcgi/errors.h"
#include "weights/weights.h"

enum fcgi_image_format { FCGI_IMAGE_UNKNOWN, FCGI_IMAGE_JPEG, FCGI_IMAGE_PNG, FCGI_IMAGE_WEBP };

/* What the header says, before anything is decoded. */
struct fcgi_image_info {
    enum fcgi_image_format format;
    int width, height;     /* px, as stored (before orientation) */
    int channels;          /* 1 gray, 3 colour, 4 CMYK or with alpha */
    int progressive;       /* has to be held whole while it is decoded */
    const char *kind;      /* "baseline JPEG" */
    int orientation;       /* EXIF 1..8; 1 when absent or invalid */
    uint64_t decode_bytes; /* memory that decoding will take, computed */
};

struct fcgi_image_limits {
    uint64_t max_pixels;       /* RESNET_MAX_PIXELS */
    uint64_t max_decode_bytes; /* RESNET_MAX_DECODE_MEMORY */
    int fast;                  /* RESNET_DECODE: 1 is fast, 0 exact */
};

/* Nanoseconds spent, added to what is there. NULL where nobody asks. */
struct fcgi_image_timing {
    int64_t decode_ns, resize_ns;
};

/* Called every few rows while decoding and resizing: a progress tick. Returns 0 to stop (the
 * decode then fails with the code that the callback left in err), 1 to go on. NULL: no ticks. */
typedef int fcgi_tick_fn(void *ctx, struct fcgi_err *err);

/* What the first bytes are known as: "a JPEG", "a GIF" ..., whether it can be decoded or not; NULL:
 * nothing that is known. */
const char *fcgi_image_kind(const uint8_t *bytes, size_t n);

/* Reads the header only. Errors: UNSUPPORTED_MEDIA_TYPE (by the first bytes), IMAGE_UNDECODABLE. */
int fcgi_image_probe(const uint8_t *bytes, size_t n, struct fcgi_image_info *info,
                     struct fcgi_err *err);

/* Decodes, orients, resizes, crops: bit for bit what Pillow's decode, exif_transpose, resize and
 * centre crop give (limits->fast: nearly, of large JPEGs). Limits are checked on the header, before
 * decoding. Only the rows and columns that the crop needs are computed, and rows are resized as
 * they are decoded: the whole picture is never held. crop: [recipe->crop, recipe->crop, 3] bytes R
 * G B, written whole or not at all. Errors: IMAGE_TOO_LARGE, IMAGE_UNDECODABLE,
 * UNSUPPORTED_MEDIA_TYPE, or the tick's. */
int fcgi_image_crop(const uint8_t *bytes, size_t n, const struct wt_recipe *recipe,
                    const struct fcgi_image_limits *limits, uint8_t *crop,
                    struct fcgi_image_timing *timing, fcgi_tick_fn *tick, void *ctx,
                    struct fcgi_err *err);

#endif
