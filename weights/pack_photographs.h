/* pack_photographs.h: what `resnet-pack pack --calibrate` looks at. Part of the program, not of
 * libweights.a: decoding is fcgi/'s, and only programs may know both. */
#ifndef WEIGHTS_PACK_PHOTOGRAPHS_H
#define WEIGHTS_PACK_PHOTOGRAPHS_H

#include "weights/pack.h"
#include "weights/picture.h"

enum { WT_PHOTOGRAPHS_MAX = 1000 };

/* Decodes and crops the photographs of a directory (or the one of a file), in the order of their
 * names; of more than WT_PHOTOGRAPHS_MAX so many, evenly spread. What is no photograph, or a broken
 * one, is left out, with a line on stderr. crops->pixels is malloc'ed, the caller's.
 * Errors: WT_EIO (nothing to read, or given up), WT_EFORMAT (no photograph among it), WT_ENOMEM. */
int wt_photographs_read(struct wt_crops *crops, const char *path, const struct wt_recipe *recipe,
                        const struct wt_progress *progress, struct wt_err *err);

#endif
