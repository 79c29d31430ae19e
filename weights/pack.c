/* pack.c: writes .rnm files. */
#include "weights/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weights/digest.h"
#include "weights/recipe.h"
#include "weights/view.h"

struct writer {
    const struct wt_pack *pack;
    const struct wt_progress *progress;
    struct wt_err *err;
    const char *path; /* what the file will be called */
    char *temporary;  /* what it is called until it is whole; NULL: there is none */
    int fd;
    uint8_t *head; /* [head_bytes], as it goes to the file */
    struct wt_rnm_header *header;
    struct wt_rnm_section *sections;
    const struct wt_layout *layouts[WT_N_LAYOUTS]; /* of the sections */
    int n_sections;
};

int wt_progress(const struct wt_progress *progress, const char *what, double share)
{
    if (progress == NULL || progress->report == NULL)
        return 0;
    return progress->report(progress->ctx, what, share);
}

void wt_pack_name(char name[64], const struct kn_net *net, int synthetic)
{
    int depth = 0, width = 64;

    if (sscanf(net->arch, "resnet%d-w%d", &depth, &width) < 1)
        snprintf(name, 64, "%s", net->arch);
    else if (synthetic)
        snprintf(name, 64, "ResNet-%d (synthetic weights)", depth);
    else if (width == 64)
        snprintf(name, 64, "ResNet-%d", depth);
    else if (width == 128 && net->layer[0].oc == 64)
        snprintf(name, 64, "Wide ResNet-%d-2", depth);
    else
        snprintf(name, 64, "ResNet-%d, width %d", depth, width);
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

/* ---- the head ------------------------------------------------------------------------------ */

static int has_weights(const struct kn_layer *layer)
{
    return layer->op == KN_CONV || layer->op == KN_FC;
}

static uint32_t count_tensors(const struct kn_net *net)
{
    uint32_t n = 0;

    for (int i = 0; i < net->n_layers; i++)
        n += has_weights(&net->layer[i]) ? 2 : 0;
    return n;
}

/* Every layout of the precisions asked for. */
static void choose_layouts(struct writer *w)
{
    unsigned precisions = w->pack->precisions ? w->pack->precisions : 1u << WT_IN_FP32;

    for (int i = 0; i < WT_N_LAYOUTS; i++)
        if (precisions >> wt_layouts[i].precision & 1)
            w->layouts[w->n_sections++] = &wt_layouts[i];
}

/* Says where in the head its parts lie, and how long it is. */
static void plan_head(struct wt_rnm_header *h, const struct wt_pack *pack, int n_sections)
{
    uint64_t tables =
        (uint64_t)n_sections * sizeof(struct wt_rnm_section) +
        (uint64_t)n_sections * count_tensors(pack->net) * sizeof(struct wt_rnm_tensor);

    h->sections_offset = round_up(sizeof(*h), 8);
    h->labels_offset = h->sections_offset + tables;
    h->labels_bytes = pack->labels->bytes;
    h->selftest_offset = round_up(h->labels_offset + h->labels_bytes, 8);
    h->selftest_bytes =
        sizeof(struct wt_rnm_selftest) + (uint64_t)pack->net->classes * sizeof(float);
    h->head_bytes = round_up(h->selftest_offset + h->selftest_bytes, WT_RNM_PAGE);
}

static void fill_header(struct wt_rnm_header *h, const struct wt_pack *pack)
{
    memcpy(h->magic, WT_RNM_MAGIC, sizeof(h->magic));
    h->version = WT_RNM_VERSION;
    if (pack->source_sha256 != NULL)
        wt_digest_unhex(h->source_sha256, pack->source_sha256);
    snprintf(h->name, sizeof(h->name), "%s", pack->name);
    snprintf(h->arch, sizeof(h->arch), "%s", pack->net->arch);
    h->classes = (uint32_t)pack->net->classes;
    h->features = (uint32_t)pack->net->features;
    h->flags = pack->synthetic ? WT_RNM_SYNTHETIC : 0;
    wt_recipe_pack(&h->recipe, pack->recipe);
}

static struct wt_rnm_tensor *add_tensor(struct wt_rnm_section *section, struct wt_rnm_tensor *at,
                                        const char *layer, const char *kind, uint32_t dtype,
                                        uint64_t bytes)
{
    snprintf(at->name, sizeof(at->name), "%s.%s", layer, kind);
    at->dtype = dtype;
    at->offset = round_up(section->bytes, KN_ALIGN);
    at->bytes = bytes;
    section->bytes = at->offset + bytes;
    return at + 1;
}

/* Lists the section's tensors in the order in which the network reads them. */
static void fill_section(struct writer *w, int i, uint64_t offset)
{
    const struct kn_net *net = w->pack->net;
    const struct wt_layout *layout = w->layouts[i];
    struct wt_rnm_section *section = &w->sections[i];
    struct wt_rnm_tensor *at;

    snprintf(section->layout, sizeof(section->layout), "%s", layout->id);
    snprintf(section->precision, sizeof(section->precision), "%s",
             wt_layouts_precision(layout->precision));
    section->n_tensors = count_tensors(net);
    section->offset = offset;
    section->tensors_offset = w->header->sections_offset +
                              (uint64_t)w->n_sections * sizeof(struct wt_rnm_section) +
                              (uint64_t)i * section->n_tensors * sizeof(struct wt_rnm_tensor);
    at = (struct wt_rnm_tensor *)(w->head + section->tensors_offset);
    for (int l = 0; l < net->n_layers; l++) {
        const struct kn_layer *layer = &net->layer[l];
        if (!has_weights(layer))
            continue;
        uint64_t dim[] = {(uint64_t)layer->oc, (uint64_t)layer->ic, (uint64_t)layer->kh,
                          (uint64_t)layer->kw};
        at->ndim = layer->op == KN_FC ? 2 : 4;
        memcpy(at->dim, dim, at->ndim * sizeof(dim[0]));
        at = add_tensor(section, at, layer->name, "weight", layout->dtype,
                        kn_pack_bytes(layout->id, layer));
        at->ndim = 1;
        at->dim[0] = dim[0];
        at = add_tensor(section, at, layer->name, "bias", WT_RNM_F32, dim[0] * sizeof(float));
    }
}

static int make_head(struct writer *w)
{
    struct wt_rnm_header plan = {0};

    choose_layouts(w);
    plan_head(&plan, w->pack, w->n_sections);
    w->head = calloc(1, plan.head_bytes);
    if (w->head == NULL)
        return wt_fail(w->err, WT_ENOMEM, "%s: no memory for its head", w->path);
    w->header = (struct wt_rnm_header *)w->head;
    *w->header = plan;
    fill_header(w->header, w->pack);
    w->header->n_sections = (uint32_t)w->n_sections;
    w->sections = (struct wt_rnm_section *)(w->head + plan.sections_offset);
    uint64_t end = plan.head_bytes;
    for (int i = 0; i < w->n_sections; i++) {
        fill_section(w, i, round_up(end, WT_RNM_PAGE));
        end = w->sections[i].offset + w->sections[i].bytes;
    }
    w->header->file_bytes = end;
    memcpy(w->head + plan.labels_offset, w->pack->labels->text, plan.labels_bytes);
    memcpy(w->head + plan.selftest_offset, w->pack->selftest, plan.selftest_bytes);
    return WT_OK;
}

/* ---- the file ------------------------------------------------------------------------------ */

static int fail_io(struct writer *w, const char *what)
{
    return wt_fail(w->err, WT_EIO, "%s: %s %" PRIu64 " bytes: %s", w->path, what,
                   w->header->file_bytes, strerror(errno));
}

/* A file beside the one to be, of that one's later size and mode. */
static int make_temporary(struct writer *w)
{
    struct stat st;

    if (stat(w->path, &st) == 0 && !S_ISREG(st.st_mode))
        return wt_fail(w->err, WT_EIO, "%s: is there already and is not a regular file", w->path);
    if (asprintf(&w->temporary, "%s.XXXXXX", w->path) < 0) {
        w->temporary = NULL;
        return wt_fail(w->err, WT_ENOMEM, "%s: no memory for a name", w->path);
    }
    w->fd = mkostemp(w->temporary, O_CLOEXEC);
    if (w->fd < 0) {
        int code = wt_fail(w->err, WT_EIO, "%s: cannot be made: %s", w->temporary, strerror(errno));
        free(w->temporary);
        w->temporary = NULL;
        return code;
    }
    mode_t mask = umask(0);
    umask(mask);
    if (fchmod(w->fd, 0666 & ~mask) != 0)
        return fail_io(w, "cannot be made readable for");
    /* A full disk shows here already, on file systems that can reserve. */
    if (fallocate(w->fd, 0, 0, (off_t)w->header->file_bytes) != 0 && errno != EOPNOTSUPP &&
        errno != ENOSYS)
        return fail_io(w, "no room for its");
    return WT_OK;
}

static int write_at(struct writer *w, const void *data, uint64_t bytes, uint64_t offset)
{
    const uint8_t *at = data;

    while (bytes > 0) {
        ssize_t n = pwrite(w->fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_io(w, "cannot write its");
        at += n;
        bytes -= (uint64_t)n;
        offset += (uint64_t)n;
    }
    return WT_OK;
}

/* Writes one tensor, and carries the section's CRC on over the gap before it (zeros) and itself. */
static int write_tensor(struct writer *w, struct wt_rnm_section *section, uint64_t *end,
                        const struct wt_rnm_tensor *tensor, const void *data)
{
    static const uint8_t zeros[KN_ALIGN];

    section->crc = wt_digest_crc32c(section->crc, zeros, tensor->offset - *end);
    section->crc = wt_digest_crc32c(section->crc, data, tensor->bytes);
    *end = tensor->offset + tensor->bytes;
    return write_at(w, data, tensor->bytes, section->offset + tensor->offset);
}

static int write_section(struct writer *w, struct wt_rnm_section *section, void *buffer)
{
    const struct kn_net *net = w->pack->net;
    const struct wt_rnm_tensor *tensor =
        (const struct wt_rnm_tensor *)(w->head + section->tensors_offset);
    uint64_t end = 0;
    int code = WT_OK;

    for (int i = 0; i < net->n_layers && code == WT_OK; i++) {
        if (!has_weights(&net->layer[i]))
            continue;
        if (wt_progress(w->progress, "writing", (double)end / (double)section->bytes) != 0)
            return wt_fail(w->err, WT_EIO, "%s: given up, as asked", w->path);
        kn_pack(section->layout, &net->layer[i], w->pack->weights[i].w, buffer);
        code = write_tensor(w, section, &end, tensor++, buffer);
        if (code == WT_OK)
            code = write_tensor(w, section, &end, tensor++, w->pack->weights[i].bias);
    }
    return code;
}

static int write_sections(struct writer *w)
{
    uint64_t largest = 0;
    int code = WT_OK;

    for (int s = 0; s < w->n_sections; s++)
        for (int i = 0; i < w->pack->net->n_layers; i++) {
            uint64_t bytes = kn_pack_bytes(w->layouts[s]->id, &w->pack->net->layer[i]);
            largest = bytes > largest ? bytes : largest;
        }
    void *buffer = aligned_alloc(KN_ALIGN, round_up(largest, KN_ALIGN));
    if (buffer == NULL)
        return wt_fail(w->err, WT_ENOMEM, "%s: no memory for %" PRIu64 " bytes", w->path, largest);
    for (int s = 0; s < w->n_sections && code == WT_OK; s++)
        code = write_section(w, &w->sections[s], buffer);
    free(buffer);
    return code;
}

/* The head goes in once without the model's hash, so that the file can be opened like any other;
 * the hash is then taken of what really arrived. */
static int write_head(struct writer *w)
{
    struct wt_rnm_header *h = w->header;
    struct wt_view view;

    h->head_crc = wt_digest_crc32c(0, w->head, h->head_bytes);
    int code = write_at(w, w->head, h->head_bytes, 0);
    if (code == WT_OK)
        code = wt_view_open(&view, w->temporary, w->err);
    if (code != WT_OK)
        return code;
    for (uint32_t i = 0; i < h->n_sections && code == WT_OK; i++)
        code = wt_view_check_section(&view, &view.sections[i], w->err);
    wt_view_sha256(&view, h->model_sha256);
    wt_view_close(&view);
    if (code != WT_OK)
        return code;
    h->head_crc = 0;
    h->head_crc = wt_digest_crc32c(0, w->head, h->head_bytes);
    return write_at(w, w->head, sizeof(*h), 0);
}

static int sync_directory(struct writer *w)
{
    char *copy = strdup(w->path);
    int fd = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0;

    /* The name is there and the bytes are safe; only a power cut could still lose the name. */
    int code = failed ? fail_io(w, "its directory cannot be synced after") : WT_OK;
    if (fd >= 0)
        close(fd);
    free(copy);
    return code;
}

static int publish(struct writer *w)
{
    if (wt_progress(w->progress, "writing", 1) != 0)
        return wt_fail(w->err, WT_EIO, "%s: given up, as asked", w->path);
    if (fsync(w->fd) != 0)
        return fail_io(w, "cannot keep its");
    if (rename(w->temporary, w->path) != 0)
        return fail_io(w, "cannot take the name with its");
    free(w->temporary);
    w->temporary = NULL;
    return sync_directory(w);
}

int wt_pack_write(const struct wt_pack *pack, const char *path, const struct wt_progress *progress,
                  struct wt_err *err)
{
    struct writer w = {.pack = pack, .progress = progress, .err = err, .path = path, .fd = -1};
    int code;

    if ((code = make_head(&w)) != WT_OK || (code = make_temporary(&w)) != WT_OK ||
        (code = write_sections(&w)) != WT_OK || (code = write_head(&w)) != WT_OK ||
        (code = publish(&w)) != WT_OK)
        goto out;
out:
    if (w.fd >= 0)
        close(w.fd);
    if (w.temporary != NULL)
        unlink(w.temporary);
    free(w.temporary);
    free(w.head);
    return code;
}
