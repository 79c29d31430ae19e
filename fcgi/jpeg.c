/* jpeg.c: JPEG by libjpeg-turbo, with Pillow's settings (its defaults: accurate integer DCT, fancy
 * upsampling) and Pillow's verdicts: a file that ends early is refused, one that is merely damaged
 * inside is decoded as far as the library can, what follows the end does not matter.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "fcgi/codec.h"
#include "fcgi/jpeg_fast.h"

enum {
    /* A real progressive file has 10 scans, an optimised one some 60; each costs a pass over all
     * coefficients, however few bytes it has: 200 of 64 megapixels took 6.6 s for 270 kB. */
    MAX_SCANS = 200,
    MAX_SCANS_ANY_SIZE = 20,
    MAX_SCANNED_PIXELS = MAX_SCANS_ANY_SIZE * 64000000,
    STRIP_ROWS = 16,           /* decoded before they are resized */
    TICK_EVERY = 16,           /* progress calls: rows out, or rows of blocks in */
    FIXED_BYTES = 256 * 1024,  /* tables, pools, one interleaved unit of blocks */
    ROW_SLACK = 64,            /* the library pads each sample row for its vector code */
    CONTEXT_ROWS = DCTSIZE + 2 /* sample rows kept a component and sampling factor */
};

/* One decoder; the library's two call-back tables come first in what they lead back to. */
struct job {
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct lib;
    jmp_buf escape;
    struct fcgi_err *err;
    const struct fcgi_codec_job *work; /* NULL while only the header is read */
    unsigned calls;
    uint8_t *rows; /* [STRIP_ROWS, width, 3 or 4] */
};

/* ---- errors ---------------------------------------------------------------------------------- */

static struct job *job_of(j_common_ptr lib)
{
    return lib->client_data;
}

static _Noreturn void give_up(struct job *job)
{
    longjmp(job->escape, 1);
}

static int error_code(int message)
{
    return message == JERR_IMAGE_TOO_BIG || message == JERR_WIDTH_OVERFLOW
               ? FCGI_E_IMAGE_TOO_LARGE
               : FCGI_E_IMAGE_UNDECODABLE;
}

static void on_error(j_common_ptr lib)
{
    struct job *job = job_of(lib);
    char text[JMSG_LENGTH_MAX];

    switch (lib->err->msg_code) {
    case JERR_BAD_PRECISION:
        fcgi_fail(job->err, FCGI_E_IMAGE_UNDECODABLE,
                  "the JPEG has %d bits per sample; only 8 can be decoded",
                  lib->err->msg_parm.i[0]);
        break;
    case JERR_EMPTY_IMAGE:
        fcgi_fail(job->err, FCGI_E_IMAGE_UNDECODABLE,
                  "the JPEG's header says that it has no pixels: width, height or number of "
                  "components is 0");
        break;
    case JERR_NO_BACKING_STORE:
    case JERR_OUT_OF_MEMORY:
        fcgi_fail(job->err, FCGI_E_IMAGE_TOO_LARGE,
                  "decoding this JPEG takes more memory than this server allows");
        break;
    default:
        lib->err->format_message(lib, text);
        fcgi_fail(job->err, error_code(lib->err->msg_code), "the JPEG cannot be decoded: %s", text);
    }
    give_up(job);
}

/* Warnings are counted and passed over, but for the end of the bytes before the end of the
 * picture: the library would make up the rest in gray. */
static void on_message(j_common_ptr lib, int level)
{
    struct job *job = job_of(lib);

    if (level >= 0)
        return;
    lib->err->num_warnings++;
    if (lib->err->msg_code != JWRN_JPEG_EOF)
        return;
    if (job->lib.output_height > 0 && jpeg_has_multiple_scans(&job->lib))
        fcgi_fail(job->err, FCGI_E_IMAGE_UNDECODABLE,
                  "the JPEG is truncated: its bytes end in scan %d, before the end marker",
                  job->lib.input_scan_number);
    else if (job->lib.output_height > 0)
        fcgi_fail(job->err, FCGI_E_IMAGE_UNDECODABLE,
                  "the JPEG is truncated: its bytes end in row %u of %u, before the end marker",
                  job->lib.output_scanline, job->lib.output_height);
    else
        fcgi_fail(job->err, FCGI_E_IMAGE_UNDECODABLE,
                  "the JPEG is truncated: its bytes end before its header does");
    give_up(job);
}

static void no_output(j_common_ptr lib)
{
    (void)lib;
}

static int most_scans(const struct jpeg_decompress_struct *lib)
{
    uint64_t pixels = (uint64_t)lib->image_width * lib->image_height;
    uint64_t most = MAX_SCANNED_PIXELS / pixels;

    return most > MAX_SCANS            ? MAX_SCANS
           : most < MAX_SCANS_ANY_SIZE ? MAX_SCANS_ANY_SIZE
                                       : (int)most;
}

/* Called by the library for each row out and each row of blocks in, in every scan. */
static void on_progress(j_common_ptr lib)
{
    struct job *job = job_of(lib);

    if (job->lib.input_scan_number > most_scans(&job->lib)) {
        fcgi_fail(job->err, FCGI_E_IMAGE_UNDECODABLE,
                  "the JPEG has more than %d scans of %u x %u pixels: it costs too much to decode",
                  most_scans(&job->lib), job->lib.image_width, job->lib.image_height);
        give_up(job);
    }
    if (++job->calls % TICK_EVERY == 0 && !fcgi_codec_tick(job->work, job->err))
        give_up(job);
}

/* ---- header ---------------------------------------------------------------------------------- */

static void job_start(struct job *job, const uint8_t *bytes, size_t n, struct fcgi_err *err)
{
    job->err = err;
    job->lib.err = jpeg_std_error(&job->errors);
    job->errors.error_exit = on_error;
    job->errors.emit_message = on_message;
    job->errors.output_message = no_output;
    job->lib.client_data = job;
    jpeg_create_decompress(&job->lib);
    jpeg_mem_src(&job->lib, bytes, n);
    jpeg_read_header(&job->lib, TRUE);
}

static void job_end(struct job *job)
{
    jpeg_destroy_decompress(&job->lib);
    free(job->rows);
}

/* The first segment that calls itself Exif, up to the first scan. libjpeg could keep the segments,
 * but it would copy every one of them. Returns the orientation. */
static int find_orientation(const uint8_t *bytes, size_t n)
{
    size_t at = 2; /* after SOI */

    while (at + 4 <= n) {
        size_t length;
        int marker = bytes[at + 1];

        if (bytes[at] != 0xff || marker == 0xff || marker == 0) {
            at++;
            continue;
        }
        if (marker == 0x01 || (marker >= JPEG_RST0 && marker <= JPEG_RST0 + 7)) {
            at += 2; /* these have no length */
            continue;
        }
        if (marker == 0xda || marker == 0xd9)
            return 1;
        length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        at += 4;
        if (length < 2 || length - 2 > n - at)
            return 1;
        length -= 2;
        if (marker == JPEG_APP0 + 1 && length >= 6 && memcmp(bytes + at, "Exif", 5) == 0)
            return bytes[at + 5] == 0 ? fcgi_exif_orientation(bytes + at + 6, length - 6) : 1;
        at += length;
    }
    return 1;
}

static uint64_t round_up(uint64_t n, int multiple)
{
    return (n + (uint64_t)multiple - 1) / (uint64_t)multiple * (uint64_t)multiple;
}

/* No more than the library will allocate, and ours: rows of samples and of upsampled ones for each
 * component; for more than one scan, every coefficient of every block. All sizes are below 2^16
 * and there are at most four components of four by four blocks: no sum can overflow. */
static uint64_t decode_bytes(const struct jpeg_decompress_struct *lib, int multiscan)
{
    uint64_t total = FIXED_BYTES + (uint64_t)lib->image_width * 4 * STRIP_ROWS;

    for (int i = 0; i < lib->num_components; i++) {
        const jpeg_component_info *c = &lib->comp_info[i];
        uint64_t wide = round_up(c->width_in_blocks, c->h_samp_factor);
        uint64_t high = round_up(c->height_in_blocks, c->v_samp_factor);

        total += (wide * DCTSIZE + ROW_SLACK) * (uint64_t)c->v_samp_factor * CONTEXT_ROWS;
        total += ((uint64_t)lib->image_width + ROW_SLACK) * (uint64_t)lib->max_v_samp_factor;
        if (multiscan)
            total += wide * high * sizeof(JBLOCK);
    }
    return total;
}

static void check_kind(struct job *job)
{
    const struct jpeg_decompress_struct *lib = &job->lib;

    if (lib->data_precision != 8)
        ERREXIT1(&job->lib, JERR_BAD_PRECISION, lib->data_precision);
    if (lib->num_components == 1 || lib->num_components == 3 || lib->num_components == 4)
        return;
    fcgi_fail(job->err, FCGI_E_IMAGE_UNDECODABLE,
              "the JPEG has %d components; expected 1 (gray), 3 (colour) or 4 (CMYK)",
              lib->num_components);
    give_up(job);
}

static int jpeg_probe(const uint8_t *bytes, size_t n, struct fcgi_image_info *info,
                      struct fcgi_err *err)
{
    struct job job = {.rows = NULL};

    if (setjmp(job.escape) != 0) {
        job_end(&job);
        return (int)err->code;
    }
    job_start(&job, bytes, n, err);
    check_kind(&job);
    info->format = FCGI_IMAGE_JPEG;
    info->width = (int)job.lib.image_width;
    info->height = (int)job.lib.image_height;
    info->channels = job.lib.num_components;
    info->progressive = jpeg_has_multiple_scans(&job.lib);
    info->kind = info->progressive ? "progressive JPEG" : "baseline JPEG";
    info->orientation = find_orientation(bytes, n);
    info->decode_bytes = decode_bytes(&job.lib, info->progressive);
    job_end(&job);
    return FCGI_E_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* In place. CMYK in JPEGs is stored inverted, as Adobe began it; Pillow takes every four-component
 * file so, and so do we. [width, 4] -> [width, 3] */
static void cmyk_to_rgb(uint8_t *row, unsigned width)
{
    const uint8_t *in = row;

    for (unsigned i = 0; i < width; i++, in += 4, row += 3) {
        unsigned key = in[3];

        for (int c = 0; c < 3; c++) {
            unsigned ink = (255u - in[c]) * key + 128u;

            row[c] = (uint8_t)(key - (((ink >> 8) + ink) >> 8));
        }
    }
}

/* Only the columns that the crop needs are transformed, and one unit of blocks more on both sides:
 * upsampling looks at a pixel's neighbours. Returns the first column. */
static int cut_columns(struct job *job)
{
    const struct fcgi_resize *resize = job->work->resize;
    unsigned unit = (unsigned)(job->lib.max_h_samp_factor * DCTSIZE / job->work->shrink);
    unsigned from = (unsigned)fcgi_resize_first_column(resize) / unit;
    unsigned end = ((unsigned)fcgi_resize_end_column(resize) + unit - 1) / unit + 1;
    JDIMENSION left = from > 0 ? (from - 1) * unit : 0, width;

    if (end > job->lib.output_width / unit)
        width = job->lib.output_width - left;
    else
        width = end * unit - left;
    if (width < job->lib.output_width)
        jpeg_crop_scanline(&job->lib, &left, &width);
    return (int)left;
}

static void decode_rows(struct job *job, size_t pixel_bytes)
{
    int end = fcgi_resize_end_row(job->work->resize);
    struct fcgi_strip strip = {.rgb = job->rows, .left = cut_columns(job)};
    uint8_t *row[STRIP_ROWS];

    strip.stride = (size_t)job->lib.output_width * pixel_bytes;
    for (int i = 0; i < STRIP_ROWS; i++)
        row[i] = job->rows + (size_t)i * strip.stride;
    while (strip.top < end) {
        int n = end - strip.top < STRIP_ROWS ? end - strip.top : STRIP_ROWS;

        for (strip.n = 0; strip.n < n;)
            strip.n += (int)jpeg_read_scanlines(&job->lib, row + strip.n, (unsigned)(n - strip.n));
        for (int i = 0; i < n && pixel_bytes == 4; i++)
            cmyk_to_rgb(row[i], job->lib.output_width);
        fcgi_codec_rows(job->work, &strip);
        strip.top += n;
    }
}

/* The rows below the crop are not decoded; that the file goes on to its end is checked all the
 * same, so that the verdict on a file does not depend on the crop. */
static void check_end(struct job *job)
{
    const uint8_t *at = job->lib.src->next_input_byte;
    size_t left = job->lib.src->bytes_in_buffer;

    if (jpeg_has_multiple_scans(&job->lib) || job->lib.unread_marker == JPEG_EOI)
        return;
    while (left >= 2) {
        const uint8_t *ff = memchr(at, 0xff, left - 1);

        if (ff == NULL)
            break;
        if (ff[1] == JPEG_EOI)
            return;
        left -= (size_t)(ff + 1 - at);
        at = ff + 1;
    }
    WARNMS(&job->lib, JWRN_JPEG_EOF);
}

static void read_picture(struct job *job)
{
    const struct fcgi_codec_job *work = job->work;
    size_t pixel_bytes = job->lib.num_components == 4 ? 4 : 3;

    job->lib.out_color_space = pixel_bytes == 4 ? JCS_CMYK : JCS_RGB;
    job->lib.scale_num = (unsigned)(DCTSIZE / work->shrink);
    job->lib.scale_denom = DCTSIZE;
    job->lib.mem->max_memory_to_use = work->max_bytes < LONG_MAX ? (long)work->max_bytes : LONG_MAX;
    job->progress.progress_monitor = on_progress;
    job->lib.progress = &job->progress;
    job->rows =
        calloc((size_t)job->lib.image_width * pixel_bytes * STRIP_ROWS + FCGI_RESIZE_SLACK, 1);
    if (job->rows == NULL)
        ERREXIT1(&job->lib, JERR_OUT_OF_MEMORY, 0);
    jpeg_start_decompress(&job->lib);
    decode_rows(job, pixel_bytes);
}

static void job_decode(struct job *job)
{
    int code = job->work->shrink > 1 ? fcgi_jpeg_fast(job->work, &job->lib, job->err) : -1;

    if (code == -1)
        read_picture(job);
    else if (code != FCGI_E_OK)
        give_up(job);
    check_end(job);
}

static int decode(struct job *job, struct fcgi_err *err)
{
    if (setjmp(job->escape) != 0) {
        job_end(job);
        return (int)err->code;
    }
    job_start(job, job->work->bytes, job->work->n, err);
    check_kind(job);
    job_decode(job);
    job_end(job);
    return FCGI_E_OK;
}

static int jpeg_decode(const struct fcgi_codec_job *work, struct fcgi_err *err)
{
    struct job job = {.work = work};

    return decode(&job, err);
}

const struct fcgi_codec fcgi_jpeg_codec = {jpeg_probe, jpeg_decode};
