/* labels.h: class names; internal to weights/. */
#ifndef WEIGHTS_LABELS_H
#define WEIGHTS_LABELS_H

#include "weights/weights.h"

/* `classes` strings, each ended by a NUL byte, one after the other, as in a model file. */
struct wt_labels {
    char *text;
    size_t bytes;
};

/* Reads one label a line (LF or CRLF, a leading BOM is dropped), as many as there are classes. */
int wt_labels_read(struct wt_labels *labels, const char *path, int classes, struct wt_err *err);

/* ImageNet's names for 1000 classes, "class 0" .. for any other count. */
int wt_labels_default(struct wt_labels *labels, int classes, struct wt_err *err);

/* "synthetic class 0" ..: nobody shall take them for an answer. */
int wt_labels_synthetic(struct wt_labels *labels, int classes, struct wt_err *err);

void wt_labels_free(struct wt_labels *labels);

/* That text holds exactly so many strings, none empty, UTF-8 without control characters. */
int wt_labels_check(const char *text, size_t bytes, int classes, struct wt_err *err);

#endif
