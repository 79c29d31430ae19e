/* weights.h: model files. Sources (safetensors, .pth) are read when packing; the worker only ever
 * maps a .rnm. Nothing here knows of HTTP or processes.
 *
 * Every function that can fail returns WT_OK or an error code, and writes one sentence: what was
 * expected, what was found, in which file and tensor, and what to do.
 */
#ifndef WEIGHTS_WEIGHTS_H
#define WEIGHTS_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

#define WT_ERRORS(X)                                                                               \
    X(WT_OK, "no error")                                                                           \
    X(WT_EIO, "a file cannot be read or written")                                                  \
    X(WT_EFORMAT, "a file is not what its kind says")                                              \
    X(WT_EPICKLE, "a pickle asks for something that is never executed")                            \
    X(WT_ETENSOR, "a tensor is missing or has the wrong type")                                     \
    X(WT_ESHAPE, "a tensor has the wrong shape")                                                   \
    X(WT_EARCH, "not a ResNet that this program knows")                                            \
    X(WT_ECHECKSUM, "bytes do not match their checksum")                                           \
    X(WT_ESECTION, "the model file lacks this precision or layout")                                \
    X(WT_ESELFTEST, "the model's self-test gave other numbers")                                    \
    X(WT_ERECIPE, "a preprocessing value is out of range")                                         \
    X(WT_ENOMEM, "out of memory")

enum wt_code {
#define X(code, sentence) code,
    WT_ERRORS(X)
#undef X
};

struct wt_err {
    enum wt_code code;
    char text[512];
};

const char *wt_strerror(enum wt_code code);
int wt_fail(struct wt_err *err, enum wt_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *wt_err_sentence(const struct wt_err *err); /* the text after "CODE: " */
const char *wt_err_kernels(const struct kn_err *err);  /* the same of one of kernels/ */

/* ---- the preprocessing recipe (recipe.c) ---------------------------------------------------- */

enum wt_interpolation { WT_BILINEAR, WT_BICUBIC };
enum wt_activation { WT_SOFTMAX, WT_SIGMOID };
enum wt_exif { WT_EXIF_APPLY, WT_EXIF_IGNORE };

/* How a photograph becomes the network's input; travels in the model file, because it belongs to
 * the weights. (value / 255 - mean) / std, channels in the order R, G, B. */
struct wt_recipe {
    int resize; /* px: the shorter side becomes this (squash: both sides) */
    int crop;   /* px: centre square cut out; the network's height and width */
    int squash; /* 1: both sides to `resize`, the aspect ratio lost */
    enum wt_interpolation interpolation;
    enum wt_activation activation;
    enum wt_exif exif;
    float mean[3], std[3];
};

/* torchvision's V1 recipe: 256, 224, bilinear, ImageNet's mean and std, softmax, EXIF applied. */
extern const struct wt_recipe wt_recipe_default;
int wt_recipe_check(const struct wt_recipe *recipe, struct wt_err *err);

/* ---- a packed model (.rnm), mapped (model.c) ------------------------------------------------ */

struct wt_model {
    struct kn_net net;
    struct kn_weight weights[KN_MAX_LAYERS]; /* into the mapping, in the layout asked for */
    struct wt_recipe recipe;
    char name[64];             /* "ResNet-50", "ResNet-50 (synthetic weights)" */
    char sha256[65];           /* of the packed model, hex; X-Model shows the first 12 digits */
    char source_sha256[65];    /* of the file it was packed from */
    char layout[16];           /* "f32.plain" */
    char precision[8];         /* "fp32", "bf16": the section's */
    const char *ranges;        /* of int8: "photographs", "batch-norm" ...; NULL: no such section */
    int synthetic;             /* 1: made by `resnet-pack random` */
    const char *const *labels; /* [net.classes], UTF-8; owned by the model */
    size_t mapped_bytes;
    void *impl; /* the mapping and what belongs to it */
};

/* Maps the file read-only and shared, checks the header, the tables and the CRC-32C of the section
 * for `layout` (kn_plan_layout() names it). Nothing is copied but the tables. Errors: any of the
 * above. wt_model_close() unmaps; plans that use the weights must be gone by then. */
int wt_model_open(struct wt_model *model, const char *path, const char *layout, struct wt_err *err);
/* The same of an open descriptor, which stays the caller's; path is for sentences. -1: opens path.
 */
int wt_model_open_fd(struct wt_model *model, int fd, const char *path, const char *layout,
                     struct wt_err *err);
/* Another section of the same file, for the same mapping. Its bytes are not looked at: before they
 * are used, wt_model_check() compares their CRC-32C. Close both, in any order. */
int wt_model_beside(struct wt_model *model, const struct wt_model *open, const char *layout,
                    struct wt_err *err);
int wt_model_check(const struct wt_model *model, struct wt_err *err);
void wt_model_leave(
    const struct wt_model *model); /* takes its pages out of the process, until read */
int wt_model_has(const struct wt_model *model, const char *layout); /* 1: there is such a section */
/* 1: the address is in the mapping. Async-signal-safe. */
int wt_model_maps(const struct wt_model *model, const void *address);
void wt_model_close(struct wt_model *model);

/* Runs the golden self-test with the caller's plan: the structured input that the file names by its
 * seed, then stage sums and logits against those of `ref` kept in the file.
 * tolerance: allowed difference as a share of the largest magnitude. WT_ESELFTEST names the first
 * stage that differs, with both numbers. between/ctx as in kn_run() (may be NULL). */
int wt_selftest(const struct wt_model *model, struct kn_plan *plan, double tolerance,
                kn_between_fn *between, void *ctx, struct wt_err *err);

/* The difference that engines of the model's precision are allowed. */
double wt_selftest_tolerance(const struct wt_model *model);

#endif
