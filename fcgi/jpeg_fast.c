/* jpeg_fast.c: a JPEG at 1/2, 1/4 or 1/8 of its size from the first 10, 3 or 1 of a block's 64
 * coefficients: the triangle below the scale's highest frequency. What is left out, the corner, is
 * what the resize's filter would take away, for the result is at least twice as large as it makes
 * it.
 *
 * libjpeg's scaled inverse DCT saves the transform and still decodes every coefficient, which is
 * what takes the time: 1.4 times as fast in all at a quarter. Here coefficients that are not needed
 * are stepped over (huffman.c). Only what cameras write is decoded: sequential, Huffman, one scan,
 * gray or YCbCr; chroma is not interpolated between its samples. Anything else, and anything
 * damaged, is left to libjpeg.
 */
#include "fcgi/jpeg_fast.h"

#include <stdlib.h>
#include <string.h>

#include "fcgi/huffman.h"

enum {
    MOST_SIDE = 4,
    MOST_PLANES = 3,
    MOST_BLOCKS = 10, /* in a unit; T.81, B.2.3 */
    MOST_QUANT = 255, /* as 8-bit pictures have it: whatever the coefficients, sums fit an int */
};

struct plane {
    int h, v;                         /* blocks in a unit */
    int shift_x, shift_y;             /* luma samples for one of these, log2 */
    int16_t level;                    /* the last block's DC */
    int quant[MOST_SIDE * MOST_SIDE]; /* [side, side] */
    const struct fcgi_huffman_table *dc, *ac;
    size_t stride;
    uint8_t *samples; /* one row of units: [v * side, stride] */
};

struct picture {
    int side; /* of what is left of a block: 4, 2, 1 */
    int width, height;
    int n_planes;
    int units_across;        /* units of blocks */
    int unit_px;             /* height of one */
    int seen_from, seen_end; /* those across that the crop needs */
    int restart_interval, restarts, to_restart;
    struct plane plane[MOST_PLANES];
    struct fcgi_huffman_table dc[NUM_HUFF_TBLS], ac[NUM_HUFF_TBLS];
    struct fcgi_huffman huffman;
    struct fcgi_strip strip;
    uint8_t *rgb; /* the strip's: the columns of one row of units that the crop needs */
};

/* Where in zigzag order the first coefficients are; 0 behind the triangle. */
static const uint8_t zigzag[MOST_SIDE][MOST_SIDE] = {{0, 1, 5, 6}, {2, 4, 7}, {3, 8}, {9}};

/* ---- set up ---------------------------------------------------------------------------------- */

static int is_ours(const struct jpeg_decompress_struct *lib)
{
    int blocks = 0;

    if (lib->progressive_mode || lib->arith_code || lib->comps_in_scan != lib->num_components)
        return 0;
    if (lib->jpeg_color_space != JCS_GRAYSCALE && lib->jpeg_color_space != JCS_YCbCr)
        return 0;
    for (int c = 0; c < lib->num_components; c++) {
        const jpeg_component_info *info = &lib->comp_info[c];

        if (lib->cur_comp_info[c] != info)
            return 0;
        blocks += info->h_samp_factor * info->v_samp_factor;
    }
    return lib->num_components == 1 || blocks <= MOST_BLOCKS;
}

/* The logarithm of most / n, which has to be 1, 2 or 4; else -1. */
static int shift(int most, int n)
{
    return most == n ? 0 : most == 2 * n ? 1 : most == 4 * n ? 2 : -1;
}

static int set_quant(struct plane *plane, JQUANT_TBL *const tables[], int number, int side)
{
    const JQUANT_TBL *table = number >= 0 && number < NUM_QUANT_TBLS ? tables[number] : NULL;

    if (table == NULL)
        return -1;
    for (int u = 0; u < side; u++)
        for (int v = 0; v < side; v++) {
            plane->quant[u * side + v] = table->quantval[u * DCTSIZE + v];
            if (plane->quant[u * side + v] > MOST_QUANT)
                return -1;
        }
    return 0;
}

/* Made once, for all planes that use it. NULL when there is none, or it is none. */
static const struct fcgi_huffman_table *table(struct fcgi_huffman_table *made,
                                              JHUFF_TBL *const tables[], int number, int dc)
{
    if (number < 0 || number >= NUM_HUFF_TBLS || tables[number] == NULL)
        return NULL;
    made += number;
    if (made->values == NULL &&
        fcgi_huffman_table(made, tables[number]->bits, tables[number]->huffval, dc) != 0)
        return NULL;
    return made;
}

static int set_plane(struct picture *picture, const struct jpeg_decompress_struct *lib, int c)
{
    struct plane *plane = &picture->plane[c];
    const jpeg_component_info *info = &lib->comp_info[c];
    int alone = lib->num_components == 1;

    plane->h = alone ? 1 : info->h_samp_factor;
    plane->v = alone ? 1 : info->v_samp_factor;
    plane->shift_x = alone ? 0 : shift(lib->max_h_samp_factor, plane->h);
    plane->shift_y = alone ? 0 : shift(lib->max_v_samp_factor, plane->v);
    plane->dc = table(picture->dc, lib->dc_huff_tbl_ptrs, info->dc_tbl_no, 1);
    plane->ac = table(picture->ac, lib->ac_huff_tbl_ptrs, info->ac_tbl_no, 0);
    plane->stride = (size_t)(picture->units_across * plane->h * picture->side);
    plane->samples = malloc(plane->stride * (size_t)(plane->v * picture->side));
    if (plane->shift_x < 0 || plane->shift_y < 0 || plane->dc == NULL || plane->ac == NULL ||
        plane->samples == NULL)
        return -1;
    if (c == 0 ? plane->shift_x != 0 || plane->shift_y != 0
               : plane->shift_x != picture->plane[1].shift_x)
        return -1;
    return set_quant(plane, lib->quant_tbl_ptrs, info->quant_tbl_no, picture->side);
}

static int divided(int n, int by)
{
    return (n + by - 1) / by;
}

static int set_up(struct picture *picture, const struct fcgi_codec_job *work,
                  const struct jpeg_decompress_struct *lib)
{
    int alone = lib->num_components == 1;
    int across = DCTSIZE * (alone ? 1 : lib->max_h_samp_factor);
    int down = DCTSIZE * (alone ? 1 : lib->max_v_samp_factor);
    struct fcgi_strip *strip = &picture->strip;
    int step, end;

    picture->side = DCTSIZE / work->shrink;
    picture->width = divided(work->info->width, work->shrink);
    picture->height = divided(work->info->height, work->shrink);
    picture->n_planes = lib->num_components;
    picture->units_across = divided(work->info->width, across);
    picture->unit_px = down / work->shrink;
    picture->restart_interval = picture->to_restart = (int)lib->restart_interval;
    for (int c = 0; c < picture->n_planes; c++)
        if (set_plane(picture, lib, c) != 0)
            return -1;
    step = 1 << (alone ? 0 : picture->plane[1].shift_x); /* a sample of chroma */
    strip->left = fcgi_resize_first_column(work->resize) / step * step;
    end = divided(fcgi_resize_end_column(work->resize), step) * step;
    strip->stride = (size_t)(end - strip->left) * 3;
    picture->seen_from = strip->left / (across / work->shrink);
    picture->seen_end = divided(end, across / work->shrink);
    picture->rgb = calloc(strip->stride * (size_t)picture->unit_px + FCGI_RESIZE_SLACK, 1);
    strip->rgb = picture->rgb;
    return picture->rgb != NULL ? 0 : -1;
}

static void picture_free(struct picture *picture)
{
    for (int c = 0; c < MOST_PLANES; c++)
        free(picture->plane[c].samples);
    free(picture->rgb);
    free(picture);
}

/* ---- blocks to samples ----------------------------------------------------------------------- */

#define INLINE static inline __attribute__((always_inline))

static uint8_t clamped(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* An inverse DCT of `side` points, of the first coefficients of one of 8: cosines, a square root of
 * 2 for those that are not constant, and 1/8 in all. Of 2 points the products are 1.
 * coefs: in zigzag order; to: [side, stride] */
INLINE void inverse_2(const struct plane *plane, const int16_t *coefs, uint8_t *to, int side)
{
    const int *q = plane->quant;
    int a = coefs[0] * q[0] + 128 * 8 + 4, b, c;

    if (side == 1) {
        to[0] = clamped(a >> 3);
        return;
    }
    b = coefs[1] * q[1];
    c = coefs[2] * q[2];
    to[0] = clamped((a + b + c) >> 3);
    to[1] = clamped((a - b + c) >> 3);
    to[plane->stride] = clamped((a + b - c) >> 3);
    to[plane->stride + 1] = clamped((a - b - c) >> 3);
}

/* Four values, `step` apart. */
static void transform(float *p, int step)
{
    static const float c1 = 1.30656296f, c3 = 0.54119610f; /* sqrt(2) cos(n pi / 8) */
    float a = p[0], b = p[step], c = p[2 * step], d = p[3 * step];

    p[0] = a + c1 * b + c + c3 * d;
    p[step] = a + c3 * b - c - c1 * d;
    p[2 * step] = a - c3 * b - c + c1 * d;
    p[3 * step] = a - c1 * b + c - c3 * d;
}

static void inverse_4(const struct plane *plane, const int16_t *coefs, uint8_t *to)
{
    float p[4 * 4] = {0};

    for (int u = 0; u < 4; u++)
        for (int v = 0; u + v < 4; v++)
            p[u * 4 + v] = (float)(coefs[zigzag[u][v]] * plane->quant[u * 4 + v]);
    for (int i = 0; i < 4; i++)
        transform(p + i * 4, 1);
    for (int i = 0; i < 4; i++)
        transform(p + i, 4);
    for (int i = 0; i < 4 * 4; i++)
        to[(size_t)(i / 4) * plane->stride + (size_t)(i % 4)] = clamped((int)(p[i] / 8 + 128.5f));
}

/* seen: the crop needs it; of others only the DC matters, to those that follow. */
INLINE void block(struct picture *picture, struct plane *plane, int seen, uint8_t *to, int side)
{
    int16_t coefs[FCGI_HUFFMAN_BLOCK];
    int want = !seen || side == 1 ? 0 : side == 2 ? 2 : 9;

    fcgi_huffman_block(&picture->huffman, plane->dc, plane->ac, want, coefs);
    plane->level = (int16_t)(plane->level + coefs[0]);
    coefs[0] = plane->level;
    if (seen && side == 4)
        inverse_4(plane, coefs, to);
    else if (seen)
        inverse_2(plane, coefs, to, side);
}

INLINE void unit(struct picture *picture, int x, int seen, int side)
{
    fcgi_huffman_fill(&picture->huffman);
    for (int c = 0; c < picture->n_planes; c++) {
        struct plane *plane = &picture->plane[c];
        size_t across = (size_t)(plane->h * side);

        for (int v = 0; v < plane->v; v++) {
            uint8_t *to = plane->samples + (size_t)(v * side) * plane->stride + (size_t)x * across;

            for (int h = 0; h < plane->h; h++)
                block(picture, plane, seen, to + h * side, side);
        }
    }
}

static int restart(struct picture *picture)
{
    for (int c = 0; c < picture->n_planes; c++)
        picture->plane[c].level = 0;
    picture->to_restart = picture->restart_interval;
    return fcgi_huffman_restart(&picture->huffman, picture->restarts++ & 7);
}

/* Returns -1 when the data are damaged. */
INLINE int unit_row(struct picture *picture, int above, int side)
{
    for (int x = 0; x < picture->units_across; x++) {
        if (picture->restart_interval > 0 && picture->to_restart-- == 0) {
            if (restart(picture) != 0)
                return -1;
            picture->to_restart--;
        }
        unit(picture, x, !above && x >= picture->seen_from && x < picture->seen_end, side);
    }
    return fcgi_huffman_overrun(&picture->huffman) ? -1 : 0;
}

/* ---- samples to rows ------------------------------------------------------------------------- */

static void put_rgb(uint8_t *rgb, int y, const int add[3])
{
    for (int c = 0; c < 3; c++)
        rgb[c] = clamped(y + add[c]);
}

static const uint8_t *plane_row(const struct plane *plane, int y, int left)
{
    return plane->samples + (size_t)(y >> plane->shift_y) * plane->stride +
           (left >> plane->shift_x);
}

/* T.871's conversion in 16-bit fixed point, of n samples of chroma and n << shift_x of luma. */
INLINE void convert(const uint8_t *luma, const uint8_t *blue, const uint8_t *red, int n,
                    int shift_x, uint8_t *rgb)
{
    const int half = 1 << 15;

    for (int i = 0; i < n; i++) {
        int cb = blue[i] - 128, cr = red[i] - 128;
        int add[3] = {(91881 * cr + half) >> 16, (-22554 * cb - 46802 * cr + half) >> 16,
                      (116130 * cb + half) >> 16};

        for (int x = 0; x < 1 << shift_x; x++, rgb += 3)
            put_rgb(rgb, *luma++, add);
    }
}

static void convert_row(const struct picture *picture, int y, uint8_t *rgb)
{
    const struct plane *plane = picture->plane;
    int left = picture->strip.left, n = (int)(picture->strip.stride / 3);
    const uint8_t *luma = plane_row(&plane[0], y, left), *blue, *red;

    if (picture->n_planes == 1) {
        for (int x = 0; x < n; x++, rgb += 3)
            rgb[0] = rgb[1] = rgb[2] = luma[x];
        return;
    }
    blue = plane_row(&plane[1], y, left);
    red = plane_row(&plane[2], y, left);
    if (plane[1].shift_x == 0)
        convert(luma, blue, red, n, 0, rgb);
    else if (plane[1].shift_x == 1)
        convert(luma, blue, red, n / 2, 1, rgb);
    else
        convert(luma, blue, red, n / 4, 2, rgb);
}

/* Hands over the row of units that was decoded last. */
static void hand_over(struct picture *picture, const struct fcgi_codec_job *work)
{
    struct fcgi_strip *strip = &picture->strip;
    int left = picture->height - strip->top;

    strip->n = left < picture->unit_px ? left : picture->unit_px;
    if (strip->top + strip->n > fcgi_resize_first_row(work->resize))
        for (int y = 0; y < strip->n; y++)
            convert_row(picture, y, picture->rgb + (size_t)y * strip->stride);
    fcgi_codec_rows(work, strip);
    strip->top += strip->n;
}

static int decode(struct picture *picture, const struct fcgi_codec_job *work, struct fcgi_err *err)
{
    int first = fcgi_resize_first_row(work->resize), end = fcgi_resize_end_row(work->resize);
    int damaged = 0;

    while (picture->strip.top < end && !damaged) {
        int above = picture->strip.top + picture->unit_px <= first;

        if (!fcgi_codec_tick(work, err))
            return (int)err->code;
        damaged = picture->side == 4   ? unit_row(picture, above, 4)
                  : picture->side == 2 ? unit_row(picture, above, 2)
                                       : unit_row(picture, above, 1);
        if (!damaged)
            hand_over(picture, work);
    }
    return damaged ? -1 : FCGI_E_OK;
}

int fcgi_jpeg_fast(const struct fcgi_codec_job *work, struct jpeg_decompress_struct *lib,
                   struct fcgi_err *err)
{
    struct jpeg_source_mgr *src = lib->src;
    struct picture *picture;
    int code = -1;

    if (!is_ours(lib) || (picture = calloc(1, sizeof(*picture))) == NULL)
        return -1;
    if (set_up(picture, work, lib) == 0) {
        fcgi_huffman_open(&picture->huffman, src->next_input_byte, src->bytes_in_buffer);
        code = decode(picture, work, err);
        if (code == -1)
            fcgi_resize_rewind(work->resize);
    }
    if (code == FCGI_E_OK) {
        src->bytes_in_buffer -= (size_t)(picture->huffman.in - src->next_input_byte);
        src->next_input_byte = picture->huffman.in;
    }
    picture_free(picture);
    return code;
}
