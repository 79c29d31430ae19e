/* image.c: which decoder a photograph needs, by its first bytes; limits, by its header. */
#include "fcgi/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/codec.h"
#include "fcgi/faults.h"
#include "fcgi/preprocess.h"

/* Formats that people send. Only those with an enum of their own will ever be decoded. */
static const struct signature {
    const char *name;
    enum fcgi_image_format format;
    size_t at, n;
    const char *bytes;
} signatures[] = {
    {"a JPEG", FCGI_IMAGE_JPEG, 0, 3, "\xff\xd8\xff"},
    {"a PNG", FCGI_IMAGE_PNG, 0, 8, "\x89PNG\r\n\x1a\n"},
    {"a WebP", FCGI_IMAGE_WEBP, 8, 4, "WEBP"},
    {"a GIF", FCGI_IMAGE_UNKNOWN, 0, 4, "GIF8"},
    {"a BMP", FCGI_IMAGE_UNKNOWN, 0, 2, "BM"},
    {"a TIFF", FCGI_IMAGE_UNKNOWN, 0, 4, "II*\0"},
    {"a TIFF", FCGI_IMAGE_UNKNOWN, 0, 4, "MM\0*"},
    {"a JPEG 2000", FCGI_IMAGE_UNKNOWN, 4, 8, "jP  \r\n\x87\n"},
    {"a HEIC, AVIF or video file", FCGI_IMAGE_UNKNOWN, 4, 4, "ftyp"},
    {"a PDF", FCGI_IMAGE_UNKNOWN, 0, 4, "%PDF"},
    {"an SVG or other XML file", FCGI_IMAGE_UNKNOWN, 0, 5, "<?xml"},
    {"a gzip file", FCGI_IMAGE_UNKNOWN, 0, 2, "\x1f\x8b"},
};

static const struct signature *find_signature(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
        const struct signature *s = &signatures[i];

        if (n >= s->at + s->n && memcmp(bytes + s->at, s->bytes, s->n) == 0)
            return s;
    }
    return NULL;
}

static int refuse_format(const uint8_t *bytes, size_t n, const struct signature *s,
                         struct fcgi_err *err)
{
    char found[32] = "";

    if (s != NULL)
        return fcgi_fail(err, FCGI_E_UNSUPPORTED_MEDIA_TYPE,
                         "the image is %s by its first bytes; this server accepts JPEG", s->name);
    if (n == 0)
        return fcgi_fail(err, FCGI_E_UNSUPPORTED_MEDIA_TYPE,
                         "the image is empty: expected a JPEG, found 0 bytes");
    for (size_t i = 0; i < 4 && i < n; i++)
        snprintf(found + i * 3, sizeof(found) - i * 3, " %02x", bytes[i]);
    return fcgi_fail(err, FCGI_E_UNSUPPORTED_MEDIA_TYPE,
                     "the image is not a JPEG: expected ff d8 ff as its first bytes, found%s",
                     found);
}

int fcgi_image_probe(const uint8_t *bytes, size_t n, struct fcgi_image_info *info,
                     struct fcgi_err *err)
{
    const struct signature *s = find_signature(bytes, n);

    if (s == NULL || s->format != FCGI_IMAGE_JPEG)
        return refuse_format(bytes, n, s, err);
    return fcgi_jpeg_probe(bytes, n, info, err);
}

static int check_limits(const struct fcgi_image_info *info, const struct fcgi_image_limits *limits,
                        struct fcgi_err *err)
{
    uint64_t pixels = (uint64_t)info->width * (uint64_t)info->height;

    if (pixels > limits->max_pixels)
        return fcgi_fail(err, FCGI_E_IMAGE_TOO_LARGE,
                         "the image has %d x %d = %llu pixels; this server accepts %llu",
                         info->width, info->height, (unsigned long long)pixels,
                         (unsigned long long)limits->max_pixels);
    if (info->decode_bytes > limits->max_decode_bytes)
        return fcgi_fail(err, FCGI_E_IMAGE_TOO_LARGE,
                         "decoding this %s %d x %d image takes %llu bytes of memory; this server "
                         "allows %llu",
                         info->progressive ? "progressive" : "baseline", info->width, info->height,
                         (unsigned long long)info->decode_bytes,
                         (unsigned long long)limits->max_decode_bytes);
    return FCGI_E_OK;
}

static struct fcgi_resize *new_resize(const struct fcgi_image_info *info,
                                      const struct wt_recipe *recipe, uint8_t *crop)
{
    int orientation = recipe->exif == WT_EXIF_APPLY ? info->orientation : 1;
    int turned = orientation >= 5;
    struct fcgi_extent across, down;

    fcgi_preprocess_extents(recipe, turned ? info->height : info->width,
                            turned ? info->width : info->height, &across, &down);
    return fcgi_resize_new(&across, &down, orientation, recipe->interpolation, crop, recipe->crop);
}

int fcgi_image_crop(const uint8_t *bytes, size_t n, const struct wt_recipe *recipe,
                    const struct fcgi_image_limits *limits, uint8_t *crop,
                    struct fcgi_image_timing *timing, fcgi_tick_fn *tick, void *ctx,
                    struct fcgi_err *err)
{
    struct fcgi_codec_follow follow = {timing, tick, ctx};
    size_t crop_bytes = (size_t)recipe->crop * (size_t)recipe->crop * 3;
    struct fcgi_resize *resize = NULL;
    struct fcgi_image_info info;
    uint8_t *made = NULL;
    int code = fcgi_image_probe(bytes, n, &info, err);

    if (code == FCGI_E_OK)
        code = check_limits(&info, limits, err);
    if (code != FCGI_E_OK)
        return code;
    made = fcgi_faults_fail("decode") ? NULL : malloc(crop_bytes);
    resize = made != NULL ? new_resize(&info, recipe, made) : NULL;
    if (resize == NULL) {
        code = fcgi_fail(err, FCGI_E_IMAGE_TOO_LARGE,
                         "no memory is left to resize this %d x %d image", info.width, info.height);
        goto out;
    }
    code = fcgi_jpeg_decode(bytes, n, limits->max_decode_bytes, resize, &follow, err);
    if (code == FCGI_E_OK)
        memcpy(crop, made, crop_bytes);
out:
    fcgi_resize_free(resize);
    free(made);
    return code;
}
