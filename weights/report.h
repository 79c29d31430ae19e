/* report.h: what `resnet-pack info` and `resnet-pack verify` say; internal to weights/. */
#ifndef WEIGHTS_REPORT_H
#define WEIGHTS_REPORT_H

#include <stdio.h>

#include "weights/pack.h"
#include "weights/view.h"

void wt_report_text(const struct wt_view *view, FILE *out);
void wt_report_json(const struct wt_view *view, FILE *out); /* one object, one line */

/* ---- report_int8.c: the part of both that is about int8 ----------------------------------------
 */
void wt_report_int8_text(const struct wt_view *view, FILE *out);
void wt_report_int8_json(const struct wt_view *view, FILE *out); /* "int8":{...}, or null */

/* ---- report.c ----------------------------------------------------------------------------------
 * Everything that can be checked without the source: each CRC-32C, the model's SHA-256, the
 * network, and the self-test, run again with `ref`. One line to out for each that holds. */
int wt_report_verify(const char *path, FILE *out, const struct wt_progress *progress,
                     struct wt_err *err);

#endif
