/* image.c: which decoder a photograph needs, by its first bytes; limits, by its header. */
#include "fcgi/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/codec.h"
#include "fcgi/faults.h"
#include "fcgi/memory.h"
#include "fcgi/preprocess.h"

/* Formats that people send. Those without a codec are refused by their name. */
static const struct signature {
    const char *name;
    const struct fcgi_codec *codec;
    size_t at, n;
    const char *bytes;
} signatures[] = {
    {"a JPEG", &fcgi_jpeg_codec, 0, 3, "\xff\xd8\xff"},
    {"a PNG", &fcgi_png_codec, 0, 8, "\x89PNG\r\n\x1a\n"},
    {"a WebP", &fcgi_webp_codec, 8, 4, "WEBP"},
    {"a GIF", NULL, 0, 4, "GIF8"},
    {"a BMP", NULL, 0, 2, "BM"},
    {"a TIFF", NULL, 0, 4, "II*\0"},
    {"a TIFF", NULL, 0, 4, "MM\0*"},
    {"a JPEG 2000", NULL, 4, 8, "jP  \r\n\x87\n"},
    {"a HEIC, AVIF or video file", NULL, 4, 4, "ftyp"},
    {"a PDF", NULL, 0, 4, "%PDF"},
    {"an SVG or other XML file", NULL, 0, 5, "<?xml"},
    {"a gzip file", NULL, 0, 2, "\x1f\x8b"},
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

const char *fcgi_image_kind(const uint8_t *bytes, size_t n)
{
    const struct signature *s = find_signature(bytes, n);

    return s != NULL ? s->name : NULL;
}

static int refuse_format(const uint8_t *bytes, size_t n, const struct signature *s,
                         struct fcgi_err *err)
{
    char found[32] = "";

    if (s != NULL)
        return fcgi_fail(err, FCGI_E_UNSUPPORTED_MEDIA_TYPE,
                         "the image is %s by its first bytes; this server accepts JPEG, PNG and "
                         "WebP",
                         s->name);
    if (n == 0)
        return fcgi_fail(err, FCGI_E_UNSUPPORTED_MEDIA_TYPE,
                         "the image is empty: expected a JPEG, PNG or WebP, found 0 bytes");
    for (size_t i = 0; i < 4 && i < n; i++)
        snprintf(found + i * 3, sizeof(found) - i * 3, " %02x", bytes[i]);
    return fcgi_fail(err, FCGI_E_UNSUPPORTED_MEDIA_TYPE,
                     "the image is not a JPEG, PNG or WebP: as its first bytes were found%s",
                     found);
}

/* NULL, with the reason in err, where there is none. */
static const struct fcgi_codec *find_codec(const uint8_t *bytes, size_t n, struct fcgi_err *err)
{
    const struct signature *s = find_signature(bytes, n);

    if (s == NULL || s->codec == NULL) {
        refuse_format(bytes, n, s, err);
        return NULL;
    }
    return s->codec;
}

int fcgi_image_probe(const uint8_t *bytes, size_t n, struct fcgi_image_info *info,
                     struct fcgi_err *err)
{
    const struct fcgi_codec *codec = find_codec(bytes, n, err);

    return codec != NULL ? codec->probe(bytes, n, info, err) : (int)err->code;
}

static int check_limits(const struct fcgi_image_info *info, const struct wt_recipe *recipe,
                        const struct fcgi_image_limits *limits, struct fcgi_err *err)
{
    uint64_t pixels = (uint64_t)info->width * (uint64_t)info->height;
    int longer = info->width > info->height ? info->width : info->height;

    if (pixels > limits->max_pixels)
        return fcgi_fail(err, FCGI_E_IMAGE_TOO_LARGE,
                         "the image has %d x %d = %llu pixels; this server accepts %llu",
                         info->width, info->height, (unsigned long long)pixels,
                         (unsigned long long)limits->max_pixels);
    if (info->decode_bytes > limits->max_decode_bytes)
        return fcgi_fail(err, FCGI_E_IMAGE_TOO_LARGE,
                         "decoding this %d x %d %s takes %llu bytes of memory; this server allows "
                         "%llu",
                         info->width, info->height, info->kind,
                         (unsigned long long)info->decode_bytes,
                         (unsigned long long)limits->max_decode_bytes);
    if (longer > INT32_MAX / recipe->resize)
        return fcgi_fail(err, FCGI_E_IMAGE_TOO_LARGE,
                         "the image is %d x %d; this server accepts sides of up to %d pixels",
                         info->width, info->height, INT32_MAX / recipe->resize);
    return FCGI_E_OK;
}

/* libwebp does not survive an allocation that fails among the codes of a lossless picture. */
static int check_memory(const struct fcgi_image_info *info, struct fcgi_err *err)
{
    if (fcgi_memory_has(info->decode_bytes))
        return FCGI_E_OK;
    return fcgi_fail(err, FCGI_E_IMAGE_TOO_LARGE,
                     "no memory is left to decode this %d x %d %s: it takes %llu bytes",
                     info->width, info->height, info->kind, (unsigned long long)info->decode_bytes);
}

/* How many times smaller a JPEG may be decoded: what comes out is still twice the resize's size, so
 * that the resize's filter decides, not the decoder's. */
static int shrink_for(const struct fcgi_image_info *info, const struct wt_recipe *recipe)
{
    int shorter = info->width < info->height ? info->width : info->height, shrink = 8;

    if (info->format != FCGI_IMAGE_JPEG)
        return 1;
    while (shrink > 1 && shorter < shrink * 2 * recipe->resize)
        shrink /= 2;
    return shrink;
}

static struct fcgi_resize *new_resize(const struct fcgi_image_info *info,
                                      const struct wt_recipe *recipe, int shrink, uint8_t *crop)
{
    int orientation = recipe->exif == WT_EXIF_APPLY ? info->orientation : 1;
    int turned = orientation >= 5;
    struct fcgi_extent across, down;

    fcgi_preprocess_extents(recipe, turned ? info->height : info->width,
                            turned ? info->width : info->height, &across, &down);
    across.shrink = down.shrink = shrink;
    return fcgi_resize_new(&across, &down, orientation, recipe->interpolation, crop, recipe->crop);
}

/* What is not resizing is decoding. */
static int decode(const struct fcgi_codec *codec, const struct fcgi_codec_job *job,
                  struct fcgi_err *err)
{
    struct fcgi_image_timing *timing = job->timing;
    int64_t start, resized;
    int code;

    if (timing == NULL)
        return codec->decode(job, err);
    start = fcgi_codec_now_ns();
    resized = timing->resize_ns;
    code = codec->decode(job, err);
    timing->decode_ns += fcgi_codec_now_ns() - start - (timing->resize_ns - resized);
    return code;
}

int fcgi_image_crop(const uint8_t *bytes, size_t n, const struct wt_recipe *recipe,
                    const struct fcgi_image_limits *limits, uint8_t *crop,
                    struct fcgi_image_timing *timing, fcgi_tick_fn *tick, void *ctx,
                    struct fcgi_err *err)
{
    const struct fcgi_codec *codec = find_codec(bytes, n, err);
    size_t crop_bytes = (size_t)recipe->crop * (size_t)recipe->crop * 3;
    struct fcgi_image_info info;
    struct fcgi_codec_job job = {.bytes = bytes,
                                 .n = n,
                                 .info = &info,
                                 .max_bytes = limits->max_decode_bytes,
                                 .timing = timing,
                                 .tick = tick,
                                 .ctx = ctx};
    uint8_t *made = NULL;
    int code = codec != NULL ? codec->probe(bytes, n, &info, err) : (int)err->code;

    if (code == FCGI_E_OK)
        code = check_limits(&info, recipe, limits, err);
    if (code == FCGI_E_OK)
        code = check_memory(&info, err);
    if (code != FCGI_E_OK)
        return code;
    job.shrink = limits->fast ? shrink_for(&info, recipe) : 1;
    made = fcgi_faults_fail("decode") ? NULL : malloc(crop_bytes);
    job.resize = made != NULL ? new_resize(&info, recipe, job.shrink, made) : NULL;
    if (job.resize == NULL) {
        code = fcgi_fail(err, FCGI_E_IMAGE_TOO_LARGE,
                         "no memory is left to resize this %d x %d image", info.width, info.height);
        goto out;
    }
    code = decode(codec, &job, err);
    if (code == FCGI_E_OK)
        memcpy(crop, made, crop_bytes);
out:
    fcgi_resize_free(job.resize);
    free(made);
    return code;
}
