/* view.h: a .rnm file mapped, its head checked; internal to weights/. model.c makes a network of
 * it, verify.c reads all of it. */
#ifndef WEIGHTS_VIEW_H
#define WEIGHTS_VIEW_H

#include "weights/model_format.h"
#include "weights/weights.h"

struct wt_view {
    const char *path;
    const uint8_t *base;
    uint64_t bytes;
    const struct wt_rnm_header *header;
    const struct wt_rnm_section *sections; /* [header->n_sections] */
    const char *labels;                    /* header->classes strings, one after the other */
    const struct wt_rnm_selftest *selftest;
};

/* Maps the file read-only and shared. Checks the head's CRC-32C, and that every offset in it lies
 * where the format allows, so that what the pointers above reach can be read without care. The
 * sections' bytes are not looked at. path is kept. Close in any case of success. */
int wt_view_open(struct wt_view *view, const char *path, struct wt_err *err);
/* The same of an open descriptor, which stays the caller's; path is for sentences. -1: opens path.
 */
int wt_view_open_fd(struct wt_view *view, int fd, const char *path, struct wt_err *err);
void wt_view_close(struct wt_view *view);

/* The section of that layout id, or NULL. */
const struct wt_rnm_section *wt_view_section(const struct wt_view *view, const char *layout);

/* The section's tensor table: [section->n_tensors] */
const struct wt_rnm_tensor *wt_view_tensors(const struct wt_view *view,
                                            const struct wt_rnm_section *section);
const struct wt_rnm_tensor *wt_view_tensor(const struct wt_view *view,
                                           const struct wt_rnm_section *section, const char *name);

/* What int8's ranges are from: "photographs", "drawn pictures", "batch-norm"; NULL: no int8. */
const char *wt_view_ranges(const struct wt_view *view);

/* Reads the section and compares its CRC-32C: WT_ECHECKSUM. */
int wt_view_check_section(const struct wt_view *view, const struct wt_rnm_section *section,
                          struct wt_err *err);

/* CRC-32C of the head, and SHA-256 of the whole file, as their fields in the header define them. */
uint32_t wt_view_head_crc(const struct wt_view *view);
void wt_view_sha256(const struct wt_view *view, uint8_t digest[32]);

#endif
