/* resize.h: Pillow's resampling, one row at a time: rows of a stored picture go in, a square cut
 * out of the oriented and resized picture comes out, bit for bit what Pillow computes with the
 * whole picture in memory. Internal to fcgi/. */
#ifndef FCGI_RESIZE_H
#define FCGI_RESIZE_H

#include <stdint.h>

#include "weights/weights.h"

/* One direction of the picture as it is seen (after orientation), in pixels. */
struct fcgi_extent {
    int in;     /* before the resize */
    int out;    /* after it */
    int first;  /* the first resized pixel that the crop shows */
    int count;  /* how many it shows, 1..crop */
    int shrink; /* the stored picture has so many times fewer pixels, rounded up; 1: as many */
    int pad;    /* where in the crop they begin: > 0 when the resized picture is the smaller one */
};

struct fcgi_resize;

/* across, down: the oriented picture's width and height; orientation: EXIF 1..8, how the stored
 * rows lie in it. crop: [crop_px, crop_px, 3], zeroed here, the caller's until fcgi_resize_free().
 * Returns NULL when memory is short. */
struct fcgi_resize *fcgi_resize_new(const struct fcgi_extent *across,
                                    const struct fcgi_extent *down, int orientation,
                                    enum wt_interpolation interpolation, uint8_t *crop,
                                    int crop_px);
void fcgi_resize_free(struct fcgi_resize *resize); /* NULL is fine */

/* The stored rows and columns that the crop needs: first <= y < end. */
int fcgi_resize_first_row(const struct fcgi_resize *resize);
int fcgi_resize_end_row(const struct fcgi_resize *resize);

int fcgi_resize_first_column(const struct fcgi_resize *resize);
int fcgi_resize_end_column(const struct fcgi_resize *resize);

/* Vector code may read so many bytes after a row's last pixel, and multiplies them by zero. They
 * are initialised, so that checkers, which do not look at the factor, have nothing to say. */
enum { FCGI_RESIZE_SLACK = 16 };

/* A piece of the stored picture: rows top..top+n-1 from column `left` on. */
struct fcgi_strip {
    const uint8_t *rgb; /* [n, stride], and FCGI_RESIZE_SLACK bytes; 3 bytes a pixel */
    size_t stride;      /* bytes */
    int left, top, n;
};

void fcgi_resize_rewind(struct fcgi_resize *resize); /* to the first row again */

/* Takes the next rows of those, from the first on, in order; they have at least the columns above.
 * The crop is complete after the last. */
void fcgi_resize_rows(struct fcgi_resize *resize, const struct fcgi_strip *strip);

#endif
