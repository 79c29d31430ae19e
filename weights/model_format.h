/* model_format.h: the .rnm file as it lies on disk; rnm(5) says the same in prose.
 *
 *   head:      header | section table | tensor tables | labels | self-test      one CRC-32C
 *   sections:  each at a multiple of WT_RNM_PAGE, in the table's order          one CRC-32C each
 *
 * All numbers are little-endian, all offsets count from the file's start (a tensor's from its
 * section's), all texts are padded with NUL bytes to their field, and gaps are zero.
 */
#ifndef WEIGHTS_MODEL_FORMAT_H
#define WEIGHTS_MODEL_FORMAT_H

#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "model files are mapped, not converted: this needs a little-endian machine"
#endif

/* PNG's idea: a byte over 127, both line ends, and ^Z, so that a text transfer shows. */
#define WT_RNM_MAGIC "\211RNM\r\n\032\n"

enum {
    WT_RNM_VERSION = 1,
    WT_RNM_PAGE = 4096,    /* bytes: a section starts on a page */
    WT_RNM_SYNTHETIC = 1,  /* flags: random weights */
    WT_RNM_CALIBRATED = 2, /* int8's ranges are those of photographs */
    WT_RNM_F32 = 1,        /* dtypes of a tensor */
    WT_RNM_BF16 = 2,
    WT_RNM_S8 = 3,
    WT_RNM_S16 = 4,
    WT_RNM_S32 = 5,
    WT_RNM_MAX_SECTIONS = 64,
    WT_RNM_MAX_TENSORS = 4096, /* in one section */
    WT_RNM_STAGES = 6,         /* stem, layer1 .. layer4, features */
    WT_RNM_MAX_CLASSES = 1 << 20,
};

struct wt_rnm_recipe {
    uint32_t resize, crop, squash, interpolation, activation, exif;
    float mean[3], std[3];
};

struct wt_rnm_header {
    uint8_t magic[8];
    uint32_t version;
    uint32_t head_crc; /* CRC-32C of the head, this field taken as zero */
    uint64_t file_bytes;
    uint64_t head_bytes;
    uint8_t model_sha256[32]; /* of the whole file, with head_crc and both hashes taken as zero:
                                 the same for the same weights, whatever file they came in */
    uint8_t source_sha256[32];
    char name[64];
    char arch[32];
    uint32_t classes, features;
    uint32_t flags;
    uint32_t n_sections;
    struct wt_rnm_recipe recipe;
    uint64_t sections_offset;
    uint64_t labels_offset, labels_bytes; /* `classes` strings, each ended by a NUL byte */
    uint64_t selftest_offset, selftest_bytes;
};

struct wt_rnm_section {
    char layout[16];   /* "f32.plain"; ids that a reader does not know are skipped */
    char precision[8]; /* "fp32", "bf16", "int8" */
    uint32_t crc;      /* CRC-32C of its bytes */
    uint32_t n_tensors;
    uint64_t offset, bytes;
    uint64_t tensors_offset;
    uint64_t check; /* int8: the first 8 bytes of the SHA-256 of the logits (little-endian f32) that
                       the self-test's picture gives; else zero */
};

struct wt_rnm_tensor {
    char name[48]; /* "layer1.0.conv1.weight", "layer1.0.conv1.bias" */
    uint32_t dtype, ndim;
    uint64_t dim[4];        /* as the network sees it, whatever the layout; 0 past ndim */
    uint64_t offset, bytes; /* in the section, a multiple of KN_ALIGN */
};

/* The tensor "calibration.about" of an int8 section, s32 [2]; beside it "calibration.snr", f32, has
 * decibels: each layer's outputs above their difference from fp32's, in the order of the filters;
 * NaN where it was not measured. */
struct wt_rnm_calibration {
    uint32_t pictures; /* looked at; 0: ranges are told by batch-norm's statistics */
    uint32_t clip;     /* enum wt_clip: where outputs were cut off */
};

struct wt_rnm_stage {
    double sum, magnitude; /* of the values, and of their absolute values */
};

struct wt_rnm_selftest {
    uint64_t seed;
    uint32_t n_stages, n_logits;
    struct wt_rnm_stage stage[WT_RNM_STAGES];
    float logits[]; /* [n_logits] */
};

_Static_assert(sizeof(struct wt_rnm_recipe) == 48, "on-disk size");
_Static_assert(sizeof(struct wt_rnm_header) == 296, "on-disk size");
_Static_assert(sizeof(struct wt_rnm_section) == 64, "on-disk size");
_Static_assert(sizeof(struct wt_rnm_tensor) == 104, "on-disk size");
_Static_assert(sizeof(struct wt_rnm_calibration) == 8, "on-disk size");
_Static_assert(sizeof(struct wt_rnm_selftest) == 112, "on-disk size");

#endif
