/* view.c: maps a .rnm file and checks its head, before anything is believed. */
#include "weights/view.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weights/digest.h"
#include "weights/labels.h"
#include "weights/recipe.h"

/* True when [offset, offset + bytes) lies inside [start, end), without an overflow on the way. */
static int inside(uint64_t offset, uint64_t bytes, uint64_t start, uint64_t end)
{
    return offset >= start && offset <= end && bytes <= end - offset;
}

/* True when the text field ends in a NUL byte and is not empty. */
static int is_text(const char *field, size_t size)
{
    return field[0] != '\0' && memchr(field, '\0', size) != NULL;
}

static int map_descriptor(struct wt_view *view, int fd, struct wt_err *err)
{
    struct stat st;
    int code = WT_OK;

    if (fstat(fd, &st) != 0) {
        code = wt_fail(err, WT_EIO, "%s: %s", view->path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        code = wt_fail(err, WT_EIO, "%s: not a regular file", view->path);
    } else if ((uint64_t)st.st_size < sizeof(struct wt_rnm_header)) {
        code =
            wt_fail(err, WT_EFORMAT, "%s: %jd bytes are too few for a model file's header of %zu",
                    view->path, (intmax_t)st.st_size, sizeof(struct wt_rnm_header));
    } else {
        void *base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (base == MAP_FAILED)
            code = wt_fail(err, errno == ENOMEM ? WT_ENOMEM : WT_EIO, "%s: cannot be mapped: %s",
                           view->path, strerror(errno));
        else
            view->base = base;
        view->bytes = (uint64_t)st.st_size;
    }
    return code;
}

static int map_file(struct wt_view *view, struct wt_err *err)
{
    int fd = open(view->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return wt_fail(err, WT_EIO, "%s: %s; a packed model is made by `resnet-pack pack`",
                       view->path, strerror(errno));
    int code = map_descriptor(view, fd, err);
    close(fd);
    return code;
}

/* Is it a model file, of a version known here, and all there? */
static int check_kind(const struct wt_view *view, struct wt_err *err)
{
    const struct wt_rnm_header *h = view->header;

    if (memcmp(h->magic, WT_RNM_MAGIC, sizeof(h->magic)) != 0)
        return wt_fail(
            err, WT_EFORMAT,
            "%s: not a model file: begins with %02x %02x %02x %02x, expected 89 52 4e 4d; "
            "weights are packed by `resnet-pack pack`",
            view->path, h->magic[0], h->magic[1], h->magic[2], h->magic[3]);
    if (h->version != WT_RNM_VERSION)
        return wt_fail(err, WT_EFORMAT,
                       "%s: model file of version %" PRIu32 ", this program reads version %d; pack "
                       "the weights again with this release's resnet-pack",
                       view->path, h->version, WT_RNM_VERSION);
    if (h->file_bytes != view->bytes)
        return wt_fail(err, WT_EFORMAT,
                       "%s: expected %" PRIu64 " bytes, found %" PRIu64 ": the file was cut off or "
                       "added to; copy it again",
                       view->path, h->file_bytes, view->bytes);
    if (!inside(sizeof(*h), 0, 0, h->head_bytes) || !inside(0, h->head_bytes, 0, view->bytes))
        return wt_fail(err, WT_EFORMAT, "%s: a head of %" PRIu64 " bytes in a file of %" PRIu64,
                       view->path, h->head_bytes, view->bytes);
    return WT_OK;
}

uint32_t wt_view_head_crc(const struct wt_view *view)
{
    struct wt_rnm_header h = *view->header;

    h.head_crc = 0;
    uint32_t crc = wt_digest_crc32c(0, &h, sizeof(h));
    return wt_digest_crc32c(crc, view->base + sizeof(h), view->header->head_bytes - sizeof(h));
}

void wt_view_sha256(const struct wt_view *view, uint8_t digest[32])
{
    struct wt_rnm_header h = *view->header;
    struct sha256_ctx sha;

    h.head_crc = 0;
    memset(h.model_sha256, 0, sizeof(h.model_sha256));
    memset(h.source_sha256, 0, sizeof(h.source_sha256));
    sha256_init(&sha);
    sha256_update(&sha, sizeof(h), (const uint8_t *)&h);
    sha256_update(&sha, view->bytes - sizeof(h), view->base + sizeof(h));
    sha256_digest(&sha, SHA256_DIGEST_SIZE, digest);
}

static int check_crc(const struct wt_view *view, struct wt_err *err)
{
    uint32_t crc = wt_view_head_crc(view);

    if (crc != view->header->head_crc)
        return wt_fail(err, WT_ECHECKSUM,
                       "%s: the head's CRC-32C is %08" PRIx32 ", expected %08" PRIx32
                       ": the file is damaged; copy it or pack it again",
                       view->path, crc, view->header->head_crc);
    return WT_OK;
}

static int check_tensors(const struct wt_view *view, const struct wt_rnm_section *section,
                         struct wt_err *err)
{
    const struct wt_rnm_tensor *tensor = wt_view_tensors(view, section);
    uint64_t end = 0;

    for (uint32_t i = 0; i < section->n_tensors; i++, tensor++) {
        if (!is_text(tensor->name, sizeof(tensor->name)) || tensor->ndim > KN_MAX_DIMS)
            return wt_fail(err, WT_EFORMAT, "%s: section %s: entry %" PRIu32 " names no tensor",
                           view->path, section->layout, i);
        if (tensor->offset % KN_ALIGN != 0 ||
            !inside(tensor->offset, tensor->bytes, end, section->bytes))
            return wt_fail(err, WT_EFORMAT,
                           "%s: section %s: %s: %" PRIu64 " bytes at %" PRIu64
                           ", expected a multiple of %d between %" PRIu64 " and %" PRIu64,
                           view->path, section->layout, tensor->name, tensor->bytes, tensor->offset,
                           KN_ALIGN, end, section->bytes);
        end = tensor->offset + tensor->bytes;
    }
    return WT_OK;
}

static int check_sections(struct wt_view *view, struct wt_err *err)
{
    const struct wt_rnm_header *h = view->header;
    uint64_t end = h->head_bytes;

    if (h->n_sections < 1 || h->n_sections > WT_RNM_MAX_SECTIONS || h->sections_offset % 8 != 0 ||
        !inside(h->sections_offset, h->n_sections * sizeof(struct wt_rnm_section), sizeof(*h),
                h->head_bytes))
        return wt_fail(err, WT_EFORMAT, "%s: %" PRIu32 " sections listed at %" PRIu64, view->path,
                       h->n_sections, h->sections_offset);
    view->sections = (const struct wt_rnm_section *)(view->base + h->sections_offset);
    for (uint32_t i = 0; i < h->n_sections; i++) {
        const struct wt_rnm_section *s = &view->sections[i];
        if (!is_text(s->layout, sizeof(s->layout)) || !is_text(s->precision, sizeof(s->precision)))
            return wt_fail(err, WT_EFORMAT, "%s: section %" PRIu32 " has no name", view->path, i);
        if (s->offset % WT_RNM_PAGE != 0 || !inside(s->offset, s->bytes, end, view->bytes))
            return wt_fail(err, WT_EFORMAT,
                           "%s: section %s: %" PRIu64 " bytes at %" PRIu64
                           ", expected a multiple of %d between %" PRIu64 " and %" PRIu64,
                           view->path, s->layout, s->bytes, s->offset, WT_RNM_PAGE, end,
                           view->bytes);
        end = s->offset + s->bytes;
        if (s->n_tensors > WT_RNM_MAX_TENSORS || s->tensors_offset % 8 != 0 ||
            !inside(s->tensors_offset, s->n_tensors * sizeof(struct wt_rnm_tensor), sizeof(*h),
                    h->head_bytes))
            return wt_fail(err, WT_EFORMAT,
                           "%s: section %s: %" PRIu32 " tensors listed at %" PRIu64, view->path,
                           s->layout, s->n_tensors, s->tensors_offset);
        int code = check_tensors(view, s, err);
        if (code != WT_OK)
            return code;
    }
    return WT_OK;
}

static int check_labels(struct wt_view *view, struct wt_err *err)
{
    const struct wt_rnm_header *h = view->header;
    struct wt_err why;

    if (h->classes < 1 || h->classes > WT_RNM_MAX_CLASSES ||
        !inside(h->labels_offset, h->labels_bytes, sizeof(*h), h->head_bytes))
        return wt_fail(err, WT_EFORMAT, "%s: %" PRIu32 " labels in %" PRIu64 " bytes at %" PRIu64,
                       view->path, h->classes, h->labels_bytes, h->labels_offset);
    view->labels = (const char *)view->base + h->labels_offset;
    if (wt_labels_check(view->labels, h->labels_bytes, (int)h->classes, &why) != WT_OK)
        return wt_fail(err, WT_EFORMAT, "%s: labels: %s", view->path, wt_err_sentence(&why));
    return WT_OK;
}

static int check_selftest(struct wt_view *view, struct wt_err *err)
{
    const struct wt_rnm_header *h = view->header;
    uint64_t bytes = sizeof(struct wt_rnm_selftest) + (uint64_t)h->classes * sizeof(float);

    if (h->selftest_bytes != bytes || h->selftest_offset % 8 != 0 ||
        !inside(h->selftest_offset, bytes, sizeof(*h), h->head_bytes))
        return wt_fail(err, WT_EFORMAT,
                       "%s: a self-test of %" PRIu64 " bytes at %" PRIu64 ", expected %" PRIu64,
                       view->path, h->selftest_bytes, h->selftest_offset, bytes);
    const struct wt_rnm_selftest *s =
        (const struct wt_rnm_selftest *)(view->base + h->selftest_offset);
    if (s->n_stages != WT_RNM_STAGES || s->n_logits != h->classes)
        return wt_fail(err, WT_EFORMAT,
                       "%s: a self-test of %" PRIu32 " stages and %" PRIu32 " logits, expected %d "
                       "and %" PRIu32,
                       view->path, s->n_stages, s->n_logits, WT_RNM_STAGES, h->classes);
    view->selftest = s;
    return WT_OK;
}

static int check_fields(const struct wt_view *view, struct wt_err *err)
{
    const struct wt_rnm_header *h = view->header;
    struct wt_recipe recipe;
    struct wt_err why;

    if (!is_text(h->name, sizeof(h->name)) || !is_text(h->arch, sizeof(h->arch)) ||
        wt_labels_check(h->name, strlen(h->name) + 1, 1, NULL) != WT_OK)
        return wt_fail(err, WT_EFORMAT, "%s: the model has no readable name", view->path);
    if (wt_recipe_unpack(&recipe, &h->recipe, &why) != WT_OK)
        return wt_fail(err, WT_EFORMAT, "%s: %s", view->path, wt_err_sentence(&why));
    return WT_OK;
}

int wt_view_open(struct wt_view *view, const char *path, struct wt_err *err)
{
    return wt_view_open_fd(view, -1, path, err);
}

int wt_view_open_fd(struct wt_view *view, int fd, const char *path, struct wt_err *err)
{
    *view = (struct wt_view){.path = path};
    int code = fd < 0 ? map_file(view, err) : map_descriptor(view, fd, err);
    if (code != WT_OK)
        return code;
    view->header = (const struct wt_rnm_header *)view->base;
    if ((code = check_kind(view, err)) != WT_OK || (code = check_crc(view, err)) != WT_OK ||
        (code = check_fields(view, err)) != WT_OK || (code = check_sections(view, err)) != WT_OK ||
        (code = check_labels(view, err)) != WT_OK || (code = check_selftest(view, err)) != WT_OK)
        wt_view_close(view);
    return code;
}

void wt_view_close(struct wt_view *view)
{
    if (view->base != NULL)
        munmap((void *)(uintptr_t)view->base, view->bytes);
    *view = (struct wt_view){0};
}

const struct wt_rnm_section *wt_view_section(const struct wt_view *view, const char *layout)
{
    for (uint32_t i = 0; i < view->header->n_sections; i++)
        if (strcmp(view->sections[i].layout, layout) == 0)
            return &view->sections[i];
    return NULL;
}

const struct wt_rnm_tensor *wt_view_tensors(const struct wt_view *view,
                                            const struct wt_rnm_section *section)
{
    return (const struct wt_rnm_tensor *)(view->base + section->tensors_offset);
}

const struct wt_rnm_tensor *wt_view_tensor(const struct wt_view *view,
                                           const struct wt_rnm_section *section, const char *name)
{
    const struct wt_rnm_tensor *tensors = wt_view_tensors(view, section);

    for (uint32_t i = 0; i < section->n_tensors; i++)
        if (strcmp(tensors[i].name, name) == 0)
            return &tensors[i];
    return NULL;
}

const char *wt_view_ranges(const struct wt_view *view)
{
    if (wt_view_section(view, "s8.n32") == NULL)
        return NULL;
    if (view->header->flags & WT_RNM_SYNTHETIC)
        return "drawn pictures";
    return view->header->flags & WT_RNM_CALIBRATED ? "photographs" : "batch-norm";
}

/* The pages come in as they are read: MAP_POPULATE and MADV_POPULATE_READ were no faster, whether
 * the page cache held the file (10.5 ms for 102 MB, the CRC's own time) or not. */
int wt_view_check_section(const struct wt_view *view, const struct wt_rnm_section *section,
                          struct wt_err *err)
{
    uint32_t crc = wt_digest_crc32c(0, view->base + section->offset, section->bytes);
    if (crc != section->crc)
        return wt_fail(err, WT_ECHECKSUM,
                       "%s: section %s: CRC-32C is %08" PRIx32 ", expected %08" PRIx32
                       ": the file is damaged; copy it or pack it again",
                       view->path, section->layout, crc, section->crc);
    return WT_OK;
}
