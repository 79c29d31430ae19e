/* pack.c: writes .rnm files. */
#include "weights/calibrate.h"

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

static uint32_t count_tensors(const struct wt_layout *layout, const struct kn_net *net)
{
    struct wt_part parts[WT_MAX_PARTS];
    uint32_t n = 0;

    for (int i = 0; i < net->n_layers; i++)
        n += (uint32_t)wt_layouts_parts(layout, &net->layer[i], parts);
    return n + (uint32_t)wt_layouts_notes(layout, net, parts);
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
static void plan_head(struct wt_rnm_header *h, const struct writer *w)
{
    const struct wt_pack *pack = w->pack;
    uint64_t tables = (uint64_t)w->n_sections * sizeof(struct wt_rnm_section);

    for (int i = 0; i < w->n_sections; i++)
        tables += count_tensors(w->layouts[i], pack->net) * sizeof(struct wt_rnm_tensor);
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
    if (!pack->synthetic && pack->precisions >> WT_IN_INT8 & 1 && pack->int8->about.pictures > 0)
        h->flags |= WT_RNM_CALIBRATED;
    wt_recipe_pack(&h->recipe, pack->recipe);
}

static struct wt_rnm_tensor *add_tensor(struct wt_rnm_section *section, struct wt_rnm_tensor *at,
                                        const char *layer, const struct wt_part *part)
{
    snprintf(at->name, sizeof(at->name), "%s.%s", layer, part->kind);
    at->dtype = part->dtype;
    at->ndim = part->ndim;
    memcpy(at->dim, part->dim, sizeof(at->dim));
    at->offset = round_up(section->bytes, KN_ALIGN);
    at->bytes = part->bytes;
    section->bytes = at->offset + part->bytes;
    return at + 1;
}

/* Lists the section's tensors in the order in which the network reads them; tables: where its table
 * is to be. Returns the table's end. */
static uint64_t fill_section(struct writer *w, int i, uint64_t offset, uint64_t table)
{
    const struct kn_net *net = w->pack->net;
    const struct wt_layout *layout = w->layouts[i];
    struct wt_rnm_section *section = &w->sections[i];
    struct wt_rnm_tensor *at = (struct wt_rnm_tensor *)(w->head + table);
    struct wt_part parts[WT_MAX_PARTS];

    snprintf(section->layout, sizeof(section->layout), "%s", layout->id);
    snprintf(section->precision, sizeof(section->precision), "%s",
             wt_layouts_precision(layout->precision));
    section->n_tensors = count_tensors(layout, net);
    section->offset = offset;
    section->tensors_offset = table;
    for (int l = 0; l < net->n_layers; l++) {
        int n = wt_layouts_parts(layout, &net->layer[l], parts);
        for (int p = 0; p < n; p++)
            at = add_tensor(section, at, net->layer[l].name, &parts[p]);
    }
    int notes = wt_layouts_notes(layout, net, parts);
    for (int p = 0; p < notes; p++)
        at = add_tensor(section, at, WT_LAYOUTS_NOTES, &parts[p]);
    return table + section->n_tensors * sizeof(struct wt_rnm_tensor);
}

static int make_head(struct writer *w)
{
    struct wt_rnm_header plan = {0};

    choose_layouts(w);
    plan_head(&plan, w);
    w->head = calloc(1, plan.head_bytes);
    if (w->head == NULL)
        return wt_fail(w->err, WT_ENOMEM, "%s: no memory for its head", w->path);
    w->header = (struct wt_rnm_header *)w->head;
    *w->header = plan;
    fill_header(w->header, w->pack);
    w->header->n_sections = (uint32_t)w->n_sections;
    w->sections = (struct wt_rnm_section *)(w->head + plan.sections_offset);
    uint64_t end = plan.head_bytes, table = plan.sections_offset;
    table += (uint64_t)w->n_sections * sizeof(struct wt_rnm_section);
    for (int i = 0; i < w->n_sections; i++) {
        table = fill_section(w, i, round_up(end, WT_RNM_PAGE), table);
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

/* How an int8 section was calibrated, after its layers. */
static int write_notes(struct writer *w, struct wt_rnm_section *section, uint64_t *end,
                       const struct wt_rnm_tensor *tensor)
{
    const struct wt_int8 *int8 = w->pack->int8;
    float snr_db[KN_MAX_LAYERS];
    int n = 0;

    for (int i = 0; i < w->pack->net->n_layers; i++)
        if (w->pack->weights[i].w != NULL)
            snr_db[n++] = int8->snr_db[i];
    int code = write_tensor(w, section, end, tensor, &int8->about);
    return code == WT_OK ? write_tensor(w, section, end, tensor + 1, snr_db) : code;
}

static int write_section(struct writer *w, int s, uint8_t *buffer)
{
    const struct kn_net *net = w->pack->net;
    struct wt_rnm_section *section = &w->sections[s];
    const struct wt_rnm_tensor *tensor =
        (const struct wt_rnm_tensor *)(w->head + section->tensors_offset);
    uint64_t end = 0;
    int code = WT_OK;

    for (int i = 0; i < net->n_layers && code == WT_OK; i++) {
        struct wt_part parts[WT_MAX_PARTS];
        const void *data[WT_MAX_PARTS];
        int n = wt_layouts_parts(w->layouts[s], &net->layer[i], parts);
        if (n == 0)
            continue;
        if (wt_progress(w->progress, "writing", (double)end / (double)section->bytes) != 0)
            return wt_fail(w->err, WT_EIO, "%s: given up, as asked", w->path);
        wt_parts_make(w->pack, w->layouts[s], i, parts, n, buffer, data);
        for (int p = 0; p < n && code == WT_OK; p++)
            code = write_tensor(w, section, &end, tensor++, data[p]);
    }
    if (code == WT_OK && w->layouts[s]->precision == WT_IN_INT8)
        code = write_notes(w, section, &end, tensor);
    return code;
}

/* Of all parts of the layer that has most. */
static uint64_t largest_layer(const struct writer *w)
{
    uint64_t largest = 0;

    for (int s = 0; s < w->n_sections; s++)
        for (int i = 0; i < w->pack->net->n_layers; i++) {
            struct wt_part parts[WT_MAX_PARTS];
            int n = wt_layouts_parts(w->layouts[s], &w->pack->net->layer[i], parts);
            uint64_t bytes = wt_parts_bytes(parts, n);
            largest = bytes > largest ? bytes : largest;
        }
    return largest;
}

static int write_sections(struct writer *w)
{
    uint64_t largest = largest_layer(w);
    int code = WT_OK;

    uint8_t *buffer = aligned_alloc(KN_ALIGN, largest);
    if (buffer == NULL)
        return wt_fail(w->err, WT_ENOMEM, "%s: no memory for %" PRIu64 " bytes", w->path, largest);
    for (int s = 0; s < w->n_sections && code == WT_OK; s++)
        code = write_section(w, s, buffer);
    free(buffer);
    return code;
}

static int put_head(struct writer *w)
{
    w->header->head_crc = 0;
    w->header->head_crc = wt_digest_crc32c(0, w->head, w->header->head_bytes);
    return write_at(w, w->head, w->header->head_bytes, 0);
}

static int report_layer(void *ctx, int layer)
{
    const struct writer *w = ctx;
    double share = (double)layer / (double)w->pack->net->n_layers;

    return wt_progress(w->progress, "self-test", share) == 0 ? KN_MAX_THREADS : 0;
}

/* What an int8 section, as it lies in the file by now, makes of the self-test's picture. */
static int prove_section(struct writer *w, int s)
{
    struct kn_options options = {
        .precision = "int8", .max_batch = 1, .max_threads = KN_MAX_THREADS};
    struct wt_rnm_section *section = &w->sections[s];
    struct kn_plan *plan = NULL;
    struct wt_model model;
    struct kn_err why;

    if (w->layouts[s]->precision != WT_IN_INT8)
        return WT_OK;
    int code = wt_model_open(&model, w->temporary, section->layout, w->err);
    if (code != WT_OK)
        return code;
    if (kn_plan_new(&plan, &model.net, model.weights, &options, &why) != KN_OK)
        code = wt_fail(w->err, WT_ENOMEM, "%s: %s", w->path, wt_err_kernels(&why));
    else
        code = wt_selftest_exact(&section->check, plan, w->pack->selftest->seed, report_layer, w,
                                 w->err);
    kn_plan_free(plan);
    wt_model_close(&model);
    return code;
}

/* The head goes in without the model's hash and int8's check, so that the file can be opened like
 * any other; both are then taken of what really arrived. */
static int write_head(struct writer *w)
{
    struct wt_rnm_header *h = w->header;
    struct wt_view view;

    int code = put_head(w);
    for (int s = 0; s < w->n_sections && code == WT_OK; s++)
        code = prove_section(w, s);
    if (code == WT_OK)
        code = put_head(w);
    if (code == WT_OK)
        code = wt_view_open(&view, w->temporary, w->err);
    if (code != WT_OK)
        return code;
    for (uint32_t i = 0; i < h->n_sections && code == WT_OK; i++)
        code = wt_view_check_section(&view, &view.sections[i], w->err);
    wt_view_sha256(&view, h->model_sha256);
    wt_view_close(&view);
    return code == WT_OK ? put_head(w) : code;
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
