/* sources.h: weights that are published, known by their hash; internal to weights/. */
#ifndef WEIGHTS_SOURCES_H
#define WEIGHTS_SOURCES_H

#include "weights/weights.h"

struct wt_known {
    char name[64], url[256], sha256[65], title[96]; /* the hash may be a prefix of it */
    struct wt_recipe recipe;
};

/* Row `index` of sources.tsv. Returns 1, 0 past the last row, or -1 with err set when the row is
 * not as the header line says. */
int wt_sources_row(struct wt_known *known, int index, struct wt_err *err);

/* The row whose hash the file's begins with: 1, 0 when there is none. */
int wt_sources_find(struct wt_known *known, const char *sha256);

#endif
