/* webp.c: WebP by libwebp: lossy, lossless, alpha over white; of an animation the first frame on
 * its canvas, as Pillow composes it: around it there is nothing, which is white where the file
 * knows alpha and black where it does not. A file that ends early is refused.
 *
 * libwebp decodes into memory for the whole picture; it is fed piece by piece, so that rows can be
 * resized, and progress told, while it does.
 */
#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "fcgi/codec.h"
#include "fcgi/memory.h"

enum {
    PIECES = 64,               /* so many times progress is told, about */
    FIXED_BYTES = 1024 * 1024, /* tables: lossless Huffman codes above all */
    BYTES_A_COLUMN = 128,      /* rows that libwebp keeps for its filters and its colour cache */
    DEMUXER_BYTES = 64 * 1024, /* what it has besides */
    LIST_BYTES_A_BYTE = 4,     /* of lists that the demuxer makes of a file of empty chunks */
    WHITE = 0xff,
    BLACK = 0x00, /* what is not covered by the frame */
};

struct job {
    const struct fcgi_codec_job *work;
    WebPDemuxer *demux;
    WebPIterator frame;
    WebPDecoderConfig config;
    WebPIDecoder *decoder;
    uint8_t *pixels; /* of the frame: [frame height, frame width, channels] */
    uint8_t *row;    /* of the canvas, where the frame does not cover it: [canvas width, 3] */
    int channels;    /* 3, or 4 with alpha */
    int handed;      /* rows of the frame that have been resized */
};

static const char *sentence(VP8StatusCode status)
{
    switch (status) {
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA:
        return "the data of a frame end too early";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return "unsupported feature";
    case VP8_STATUS_BITSTREAM_ERROR:
        return "bitstream error";
    default:
        return "the file's structure is not WebP's";
    }
}

static int fail(VP8StatusCode status, struct fcgi_err *err)
{
    if (status == VP8_STATUS_OUT_OF_MEMORY)
        return fcgi_fail(err, FCGI_E_IMAGE_TOO_LARGE, "no memory is left to decode this WebP");
    return fcgi_fail(err, FCGI_E_IMAGE_UNDECODABLE, "the WebP cannot be decoded: %s",
                     sentence(status));
}

/* ---- header ---------------------------------------------------------------------------------- */

/* The demuxer's, of chunks and frames; a file of one picture and nothing else has none. */
static uint64_t list_bytes(const uint8_t *bytes, size_t n)
{
    return n >= 16 && memcmp(bytes + 12, "VP8X", 4) == 0 ? (uint64_t)n * LIST_BYTES_A_BYTE : 0;
}

/* The whole file's chunks. Says which it is: ended early, or not a WebP inside. Of memory, the
 * demuxer would say the latter. */
static WebPDemuxer *demux(const uint8_t *bytes, size_t n, struct fcgi_err *err)
{
    WebPData data = {bytes, n};
    WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
    WebPDemuxer *whole = NULL;

    if (!fcgi_memory_has(DEMUXER_BYTES + list_bytes(bytes, n))) {
        fail(VP8_STATUS_OUT_OF_MEMORY, err);
        return NULL;
    }
    if (memcmp(bytes, "RIFF", 4) == 0)
        whole = WebPDemuxPartial(&data, &state);
    if (whole != NULL && state == WEBP_DEMUX_DONE)
        return whole;
    WebPDemuxDelete(whole);
    if (state == WEBP_DEMUX_PARSE_ERROR)
        fail(VP8_STATUS_USER_ABORT, err);
    else
        fcgi_fail(err, FCGI_E_IMAGE_UNDECODABLE,
                  "the WebP is truncated: its %zu bytes end before its picture does", n);
    return NULL;
}

static int find_orientation(const WebPDemuxer *demuxer)
{
    int orientation = 1;
    WebPChunkIterator chunk;

    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk))
        orientation = fcgi_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
    WebPDemuxReleaseChunkIterator(&chunk);
    return orientation;
}

/* No more than libwebp will allocate, and ours: the decoded frame, four bytes a pixel of a lossless
 * one, or two of the alpha that goes with a lossy one. Sides are at most 2^24. */
static uint64_t decode_bytes(uint64_t width, uint64_t height, uint64_t lists,
                             const WebPBitstreamFeatures *features)
{
    uint64_t pixel = features->has_alpha ? 4 : 3;

    if (features->format != 1)
        pixel += 4;
    else if (features->has_alpha)
        pixel += 2;
    return FIXED_BYTES + width * height * pixel + width * BYTES_A_COLUMN + lists;
}

static int webp_probe(const uint8_t *bytes, size_t n, struct fcgi_image_info *info,
                      struct fcgi_err *err)
{
    WebPBitstreamFeatures features;
    WebPDemuxer *demuxer = demux(bytes, n, err);
    VP8StatusCode status;

    if (demuxer == NULL)
        return (int)err->code;
    status = WebPGetFeatures(bytes, n, &features);
    if (status == VP8_STATUS_OK) {
        info->format = FCGI_IMAGE_WEBP;
        info->width = (int)WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH);
        info->height = (int)WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT);
        info->channels = features.has_alpha ? 4 : 3;
        info->progressive = 1;
        info->kind = "WebP";
        info->orientation = find_orientation(demuxer);
        info->decode_bytes = decode_bytes((uint64_t)info->width, (uint64_t)info->height,
                                          list_bytes(bytes, n), &features);
    }
    WebPDemuxDelete(demuxer);
    return status == VP8_STATUS_OK ? FCGI_E_OK : fail(status, err);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void empty_rows(struct job *job, int y, int n)
{
    size_t row_bytes = (size_t)job->work->info->width * 3;

    memset(job->row, job->channels == 4 ? WHITE : BLACK, row_bytes);
    for (int i = 0; i < n; i++)
        fcgi_codec_rows(job->work, &(struct fcgi_strip){.rgb = job->row, .top = y + i, .n = 1});
}

/* The frame's rows up to `until`. */
static void frame_rows(struct job *job, int until)
{
    int width = job->frame.width, covers = width == job->work->info->width;
    size_t stride = (size_t)width * (size_t)job->channels;

    for (; job->handed < until; job->handed++) {
        uint8_t *rgb = job->pixels + (size_t)job->handed * stride;

        if (job->channels == 4)
            fcgi_codec_over_white(rgb, width);
        if (!covers) {
            memcpy(job->row + (size_t)job->frame.x_offset * 3, rgb, (size_t)width * 3);
            rgb = job->row;
        }
        fcgi_codec_rows(
            job->work,
            &(struct fcgi_strip){.rgb = rgb, .top = job->frame.y_offset + job->handed, .n = 1});
    }
}

static int decode_frame(struct job *job, struct fcgi_err *err)
{
    const WebPData *data = &job->frame.fragment;
    size_t piece = data->size / PIECES + 1, n = 0;
    VP8StatusCode status = VP8_STATUS_SUSPENDED;

    while (status == VP8_STATUS_SUSPENDED && n < data->size) {
        int rows = 0;

        if (!fcgi_codec_tick(job->work, err))
            return (int)err->code;
        n = data->size - n > piece ? n + piece : data->size;
        status = WebPIUpdate(job->decoder, data->bytes, n);
        if (status == VP8_STATUS_OK || status == VP8_STATUS_SUSPENDED) {
            WebPIDecGetRGB(job->decoder, &rows, NULL, NULL, NULL);
            frame_rows(job, status == VP8_STATUS_OK ? job->frame.height : rows);
        }
    }
    return status == VP8_STATUS_OK ? FCGI_E_OK : fail(status, err);
}

/* The decoder, and the memory that it fills. Returns 0, or -1 when there is none. */
static int prepare(struct job *job)
{
    size_t stride = (size_t)job->frame.width * (size_t)job->channels;
    size_t n = stride * (size_t)job->frame.height;
    WebPRGBABuffer *out = &job->config.output.u.RGBA;

    job->pixels = calloc(n + FCGI_RESIZE_SLACK, 1);
    job->row = calloc((size_t)job->work->info->width * 3 + FCGI_RESIZE_SLACK, 1);
    if (job->pixels == NULL || job->row == NULL || !WebPInitDecoderConfig(&job->config))
        return -1;
    job->config.output.colorspace = job->channels == 4 ? MODE_RGBA : MODE_RGB;
    job->config.output.is_external_memory = 1;
    *out = (WebPRGBABuffer){job->pixels, (int)stride, n};
    job->decoder = WebPIDecode(NULL, 0, &job->config);
    return job->decoder != NULL ? 0 : -1;
}

static int compose(struct job *job, struct fcgi_err *err)
{
    const struct fcgi_image_info *info = job->work->info;
    const WebPIterator *frame = &job->frame;
    int below = frame->y_offset + frame->height, code;

    empty_rows(job, 0, frame->y_offset);
    code = decode_frame(job, err);
    if (code == FCGI_E_OK)
        empty_rows(job, below, info->height - below);
    return code;
}

static int webp_decode(const struct fcgi_codec_job *work, struct fcgi_err *err)
{
    struct job job = {.work = work, .channels = work->info->channels};
    int code = FCGI_E_OK;

    job.demux = demux(work->bytes, work->n, err);
    if (job.demux == NULL)
        return (int)err->code;
    if (!WebPDemuxGetFrame(job.demux, 1, &job.frame))
        code = fail(VP8_STATUS_USER_ABORT, err);
    else if (prepare(&job) != 0)
        code = fail(VP8_STATUS_OUT_OF_MEMORY, err);
    else
        code = compose(&job, err);
    WebPIDelete(job.decoder);
    free(job.row);
    free(job.pixels);
    WebPDemuxReleaseIterator(&job.frame);
    WebPDemuxDelete(job.demux);
    return code;
}

const struct fcgi_codec fcgi_webp_codec = {webp_probe, webp_decode};
