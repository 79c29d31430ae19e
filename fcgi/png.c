/* png.c: PNG by libpng, to 8-bit RGB as Pillow has it: of 16 bits the upper eight, palettes and
 * small grays widened, gamma and colour profiles not looked at; of an APNG the default image. What
 * is transparent lies over white. A file whose rows end early is refused.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "fcgi/codec.h"

enum {
    TICK_EVERY = 16,          /* rows, of each pass */
    FIXED_BYTES = 256 * 1024, /* structures, inflate's window, one compressed buffer */
    SIGNATURE_BYTES = 8,
    CHUNK_BYTES = 12, /* length, type, CRC */
};

#define NO_MEMORY "no memory is left to decode this PNG"

struct job {
    png_structp png;
    png_infop info;
    jmp_buf escape;
    struct fcgi_err *err;
    const uint8_t *at;
    size_t left;
    uint64_t may_allocate; /* bytes; what is freed is not given back: little is */
    int height, row;       /* where we are; height is 0 while the header is read */
    int starved;           /* 1: memory was asked for in vain */
    int channels;          /* of a row that has been read: 3, or 4 with alpha */
    uint8_t *pixels;       /* one row, or all of them */
};

/* ---- what libpng calls ----------------------------------------------------------------------- */

static _Noreturn void give_up(struct job *job)
{
    longjmp(job->escape, 1);
}

static _Noreturn void on_error(png_structp png, png_const_charp message)
{
    struct job *job = png_get_error_ptr(png);

    if (job->starved)
        fcgi_fail(job->err, FCGI_E_IMAGE_TOO_LARGE, NO_MEMORY);
    else
        fcgi_fail(job->err, FCGI_E_IMAGE_UNDECODABLE, "the PNG cannot be decoded: %s", message);
    give_up(job);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_read(png_structp png, png_bytep to, size_t n)
{
    struct job *job = png_get_io_ptr(png);

    if (n > job->left) {
        if (job->height > 0)
            fcgi_fail(job->err, FCGI_E_IMAGE_UNDECODABLE,
                      "the PNG is truncated: its bytes end in row %d of %d", job->row, job->height);
        else
            fcgi_fail(job->err, FCGI_E_IMAGE_UNDECODABLE,
                      "the PNG is truncated: its bytes end before its header does");
        give_up(job);
    }
    memcpy(to, job->at, n);
    job->at += n;
    job->left -= n;
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t n)
{
    struct job *job = png_get_mem_ptr(png);
    void *block = n <= job->may_allocate ? malloc(n) : NULL;

    if (block == NULL)
        job->starved = 1;
    else
        job->may_allocate -= n;
    return block;
}

static void on_free(png_structp png, png_voidp p)
{
    (void)png;
    free(p);
}

/* ---- header ---------------------------------------------------------------------------------- */

/* Text, profiles and the like are stepped over, not read: no chunk is ever inflated but the rows.
 */
static void job_start(struct job *job, const uint8_t *bytes, size_t n, uint64_t max_bytes,
                      struct fcgi_err *err)
{
    job->err = err;
    job->at = bytes;
    job->left = n;
    job->may_allocate = max_bytes;
    job->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, job, on_error, on_warning, job,
                                        on_malloc, on_free);
    job->info = job->png != NULL ? png_create_info_struct(job->png) : NULL;
    if (job->info == NULL) {
        fcgi_fail(err, FCGI_E_IMAGE_TOO_LARGE, NO_MEMORY);
        give_up(job);
    }
    png_set_read_fn(job->png, job, on_read);
    png_set_user_limits(job->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_keep_unknown_chunks(job->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(job->png, job->info);
}

static void job_end(struct job *job)
{
    png_destroy_read_struct(&job->png, &job->info, NULL);
    free(job->pixels);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The last eXIf chunk, before or after the rows: libpng would only know of one before them. */
static int find_orientation(const uint8_t *bytes, size_t n)
{
    size_t at = SIGNATURE_BYTES;
    int orientation = 1;

    while (n - at >= CHUNK_BYTES) {
        size_t length = get32(bytes + at);

        if (length > n - at - CHUNK_BYTES)
            break;
        if (memcmp(bytes + at + 4, "eXIf", 4) == 0)
            orientation = fcgi_exif_orientation(bytes + at + 8, length);
        at += CHUNK_BYTES + length;
    }
    return orientation;
}

/* Channels after every transformation that ask_for_rgb() asks for. */
static int channels_of(const struct job *job)
{
    int alpha = (png_get_color_type(job->png, job->info) & PNG_COLOR_MASK_ALPHA) != 0;

    return alpha || png_get_valid(job->png, job->info, PNG_INFO_tRNS) ? 4 : 3;
}

/* libpng keeps two rows, of up to 16 bits a channel; ours is one row, or all of an interlaced
 * picture. Sides are below 2^31: no sum can overflow. */
static uint64_t decode_bytes(const struct job *job, uint64_t width, uint64_t height)
{
    int interlaced = png_get_interlace_type(job->png, job->info) != PNG_INTERLACE_NONE;
    uint64_t held = width * (uint64_t)channels_of(job);

    return FIXED_BYTES + 2 * 8 * width + (interlaced ? held * height : held);
}

static int probe(struct job *job, const uint8_t *bytes, size_t n, struct fcgi_image_info *info,
                 struct fcgi_err *err)
{
    if (setjmp(job->escape) != 0) {
        job_end(job);
        return (int)err->code;
    }
    job_start(job, bytes, n, FIXED_BYTES, err);
    info->format = FCGI_IMAGE_PNG;
    info->width = (int)png_get_image_width(job->png, job->info);
    info->height = (int)png_get_image_height(job->png, job->info);
    info->channels = channels_of(job);
    info->progressive = png_get_interlace_type(job->png, job->info) != PNG_INTERLACE_NONE;
    info->kind = info->progressive ? "interlaced PNG" : "PNG";
    info->orientation = find_orientation(bytes, n);
    info->decode_bytes = decode_bytes(job, (uint64_t)info->width, (uint64_t)info->height);
    job_end(job);
    return FCGI_E_OK;
}

static int png_probe(const uint8_t *bytes, size_t n, struct fcgi_image_info *info,
                     struct fcgi_err *err)
{
    struct job job = {.png = NULL};

    return probe(&job, bytes, n, info, err);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* 8-bit RGB, or RGBA where anything can be transparent. Returns the passes to read. */
static int ask_for_rgb(struct job *job)
{
    int passes;

    png_set_expand(job->png);
    png_set_strip_16(job->png);
    png_set_gray_to_rgb(job->png);
    passes = png_set_interlace_handling(job->png);
    png_read_update_info(job->png, job->info);
    return passes;
}

static void allocate(struct job *job, size_t row_bytes, int rows)
{
    job->pixels = calloc(row_bytes * (size_t)rows + FCGI_RESIZE_SLACK, 1);
    if (job->pixels != NULL)
        return;
    fcgi_fail(job->err, FCGI_E_IMAGE_TOO_LARGE, NO_MEMORY);
    give_up(job);
}

static void hand_over(struct job *job, const struct fcgi_codec_job *work, uint8_t *row, int y)
{
    if (job->channels == 4)
        fcgi_codec_over_white(row, work->info->width);
    fcgi_codec_rows(work, &(struct fcgi_strip){.rgb = row, .top = y, .n = 1});
}

/* All rows, those below the crop too: the verdict on a file does not depend on the crop. */
static void read_rows(struct job *job, const struct fcgi_codec_job *work)
{
    int passes = ask_for_rgb(job), whole = passes > 1;
    size_t row_bytes = png_get_rowbytes(job->png, job->info);

    job->height = work->info->height;
    job->channels = png_get_channels(job->png, job->info);
    allocate(job, row_bytes, whole ? job->height : 1);
    for (int pass = 0; pass < passes; pass++)
        for (job->row = 0; job->row < job->height; job->row++) {
            uint8_t *row = job->pixels + (whole ? (size_t)job->row * row_bytes : 0);

            if (job->row % TICK_EVERY == TICK_EVERY - 1 && !fcgi_codec_tick(work, job->err))
                give_up(job);
            png_read_row(job->png, row, NULL);
            if (!whole)
                hand_over(job, work, row, job->row);
        }
    for (int y = 0; y < job->height && whole; y++)
        hand_over(job, work, job->pixels + (size_t)y * row_bytes, y);
}

static int decode(struct job *job, const struct fcgi_codec_job *work, struct fcgi_err *err)
{
    if (setjmp(job->escape) != 0) {
        job_end(job);
        return (int)err->code;
    }
    job_start(job, work->bytes, work->n, work->max_bytes, err);
    read_rows(job, work);
    job_end(job);
    return FCGI_E_OK;
}

static int png_decode(const struct fcgi_codec_job *work, struct fcgi_err *err)
{
    struct job job = {.png = NULL};

    return decode(&job, work, err);
}

const struct fcgi_codec fcgi_png_codec = {png_probe, png_decode};
