/* jpeg_fast.h: large JPEGs at a half, a quarter, an eighth of their size. Internal to fcgi/. */
#ifndef FCGI_JPEG_FAST_H
#define FCGI_JPEG_FAST_H

#include <stdio.h>

#include <jpeglib.h>

#include "fcgi/codec.h"

/* lib has read the header, and its source stands behind it. Returns FCGI_E_OK, with the source
 * moved on; the tick's code; or -1: this is not for this decoder, or damaged. Nothing has happened
 * then, and libjpeg decides. */
int fcgi_jpeg_fast(const struct fcgi_codec_job *work, struct jpeg_decompress_struct *lib,
                   struct fcgi_err *err);

#endif
