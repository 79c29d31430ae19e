/* fuzz_picture.h: what the fuzzers of the three formats share: header, then crops with limits so
 * narrow that an execution stays short. */
#ifndef TESTS_FUZZ_PICTURE_H
#define TESTS_FUZZ_PICTURE_H

#include "fcgi/codec.h"
#include "fcgi/image.h"
#include "tests/fuzz/fuzz.h"

enum { FUZZ_RESIZE_PX = 32, FUZZ_CROP_PX = 28, FUZZ_MAX_TICKS = 100000 };

/* ---- memory: AddressSanitizer calls these, nobody else does ---------------------------------- */

size_t __sanitizer_get_allocated_size(const volatile void *p) __attribute__((weak));
void __sanitizer_malloc_hook(const volatile void *p, size_t n);
void __sanitizer_free_hook(const volatile void *p);

static size_t fuzz_live_bytes, fuzz_peak_bytes;

void __sanitizer_malloc_hook(const volatile void *p, size_t n)
{
    (void)p;
    fuzz_live_bytes += n;
    if (fuzz_live_bytes > fuzz_peak_bytes)
        fuzz_peak_bytes = fuzz_live_bytes;
}

void __sanitizer_free_hook(const volatile void *p)
{
    fuzz_live_bytes -= p != NULL ? __sanitizer_get_allocated_size(p) : 0;
}

/* ---- one decode ------------------------------------------------------------------------------ */

struct fuzz_decode {
    const uint8_t *bytes;
    size_t n;
    struct fcgi_image_limits limits;
    struct wt_recipe recipe;
    int ticks, stop_at; /* 0: never */
};

static inline int fuzz_tick(void *ctx, struct fcgi_err *err)
{
    struct fuzz_decode *decode = ctx;

    FUZZ_EXPECT(decode->ticks < FUZZ_MAX_TICKS); /* what a header promises bounds the work */
    if (++decode->ticks != decode->stop_at)
        return 1;
    fcgi_fail(err, FCGI_E_DEADLINE_EXCEEDED, "stopped");
    return 0;
}

/* A crop is written whole or not at all. */
static inline int fuzz_crop(struct fuzz_decode *decode)
{
    const size_t crop_bytes = (size_t)decode->recipe.crop * (size_t)decode->recipe.crop * 3;
    uint8_t *crop = fuzz_block(crop_bytes), *before = fuzz_block(crop_bytes);
    struct fcgi_image_timing timing = {0, 0};
    struct fcgi_err err = {.code = FCGI_E_OK};
    int code;

    memset(crop, 0xee, crop_bytes);
    memset(before, 0xee, crop_bytes);
    decode->ticks = 0;
    code = fcgi_image_crop(decode->bytes, decode->n, &decode->recipe, &decode->limits, crop,
                           &timing, fuzz_tick, decode, &err);
    FUZZ_EXPECT(code == FCGI_E_OK || ((int)err.code == code && err.text[0] != 0));
    FUZZ_EXPECT(code == FCGI_E_OK || memcmp(crop, before, crop_bytes) == 0);
    FUZZ_EXPECT(code == FCGI_E_OK || code == FCGI_E_IMAGE_UNDECODABLE ||
                code == FCGI_E_IMAGE_TOO_LARGE || code == FCGI_E_UNSUPPORTED_MEDIA_TYPE ||
                (code == FCGI_E_DEADLINE_EXCEEDED && decode->stop_at != 0));
    free(before);
    free(crop);
    return code;
}

/* What the header promised is what was taken: the resize beside it keeps a row of the crop's width
 * for each of the picture's, and weights for each of its columns and rows. */
static inline void fuzz_check_memory(const struct fcgi_image_info *info, size_t before)
{
    uint64_t sides = (uint64_t)info->width + (uint64_t)info->height;
    uint64_t resize = (1 << 16) + sides * (3 * FUZZ_CROP_PX + 64);

    FUZZ_EXPECT(fuzz_peak_bytes <= before + info->decode_bytes + resize);
}

/* Header, exact and fast decode, each stopped half-way once, and with too little memory. */
static inline void fuzz_picture(const uint8_t *bytes, size_t n)
{
    struct fuzz_decode decode = {
        .bytes = bytes,
        .n = n,
        .limits = {.max_pixels = 1 << 18, .max_decode_bytes = 4 << 20},
        .recipe = {.resize = FUZZ_RESIZE_PX, .crop = FUZZ_CROP_PX},
    };
    struct fcgi_image_info info = {.width = 0};
    struct fcgi_err err = {.code = FCGI_E_OK};

    if (fcgi_image_probe(bytes, n, &info, &err) != FCGI_E_OK) {
        FUZZ_EXPECT(err.text[0] != 0);
        FUZZ_EXPECT(fuzz_crop(&decode) == (int)err.code);
        return;
    }
    FUZZ_EXPECT(info.width > 0 && info.height > 0);
    FUZZ_EXPECT(info.orientation >= 1 && info.orientation <= 8);
    FUZZ_EXPECT(info.channels == 1 || info.channels == 3 || info.channels == 4);
    FUZZ_EXPECT(info.decode_bytes > 0 && info.kind != NULL);
    size_t before = fuzz_peak_bytes = fuzz_live_bytes;
    int code = fuzz_crop(&decode);
    fuzz_check_memory(&info, before);
    if (code != FCGI_E_OK)
        return;
    decode.stop_at = decode.ticks / 2;
    if (decode.stop_at != 0)
        FUZZ_EXPECT(fuzz_crop(&decode) == FCGI_E_DEADLINE_EXCEEDED);
    decode.stop_at = 0;
    decode.limits.fast = 1;
    decode.recipe.exif = WT_EXIF_IGNORE;
    FUZZ_EXPECT(fuzz_crop(&decode) == FCGI_E_OK);
    /* exactly the memory that the header was said to need is enough */
    decode.limits.fast = 0;
    decode.limits.max_decode_bytes = info.decode_bytes;
    FUZZ_EXPECT(fuzz_crop(&decode) == FCGI_E_OK);
    decode.limits.max_decode_bytes = info.decode_bytes - 1;
    FUZZ_EXPECT(fuzz_crop(&decode) == FCGI_E_IMAGE_TOO_LARGE);
}

#endif
