/* model.c: opens a .rnm file as a network with weights, all of it in the mapping. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "weights/digest.h"
#include "weights/layouts.h"
#include "weights/mapping.h"
#include "weights/recipe.h"

struct lookup {
    const struct wt_view *view;
    const struct wt_rnm_section *section;
    const struct wt_layout *layout; /* of it */
};

/* A kn_shape_fn on the section's tensor table. */
static int shape_of(void *ctx, const char *name, int64_t dim[KN_MAX_DIMS])
{
    const struct lookup *lookup = ctx;
    const struct wt_rnm_tensor *tensor = wt_view_tensor(lookup->view, lookup->section, name);

    if (tensor == NULL)
        return 0;
    for (uint32_t i = 0; i < KN_MAX_DIMS; i++)
        dim[i] = tensor->dim[i] > INT64_MAX ? -1 : (int64_t)tensor->dim[i];
    return (int)tensor->ndim;
}

/* The section's tensor "LAYER.kind": of that dtype, shape and size. */
static int find_part(const void **data, const struct lookup *lookup, const char *layer,
                     const struct wt_part *part, struct wt_err *err)
{
    char name[sizeof(((struct wt_rnm_tensor *)0)->name)];
    const struct wt_rnm_tensor *t;

    snprintf(name, sizeof(name), "%s.%s", layer, part->kind);
    t = wt_view_tensor(lookup->view, lookup->section, name);
    if (t == NULL)
        return wt_fail(err, WT_ETENSOR, "%s: section %s lacks %s; pack the weights again",
                       lookup->view->path, lookup->section->layout, name);
    if (t->dtype != part->dtype || t->ndim != part->ndim || t->bytes != part->bytes ||
        memcmp(t->dim, part->dim, part->ndim * sizeof(t->dim[0])) != 0)
        return wt_fail(err, WT_ESHAPE,
                       "%s: section %s: %s: expected %s [%" PRIu64 ", ...] in %" PRIu64
                       " bytes, found dtype %" PRIu32 " [%" PRIu64 ", ...] in %" PRIu64,
                       lookup->view->path, lookup->section->layout, name,
                       wt_layouts_dtype(part->dtype), part->dim[0], part->bytes, t->dtype,
                       t->dim[0], t->bytes);
    *data = lookup->view->base + lookup->section->offset + t->offset;
    return WT_OK;
}

static int find_weight(struct kn_weight *weight, const struct lookup *lookup,
                       const struct kn_layer *layer, struct wt_err *err)
{
    struct wt_part parts[WT_MAX_PARTS];
    const void *data[WT_MAX_PARTS] = {NULL};
    int n = wt_layouts_parts(lookup->layout, layer, parts);

    for (int p = 0; p < n; p++) {
        int code = find_part(&data[p], lookup, layer->name, &parts[p], err);
        if (code != WT_OK)
            return code;
    }
    *weight = wt_layouts_weight(lookup->layout, data);
    return WT_OK;
}

/* Rebuilds the layer table from the tensors' shapes, and holds it against the header. */
static int build_net(struct wt_model *model, const struct lookup *lookup, struct wt_err *err)
{
    const struct wt_rnm_header *h = lookup->view->header;
    struct kn_err why;
    void *ctx = (void *)(uintptr_t)lookup;

    if (kn_net_init(&model->net, model->recipe.crop, model->recipe.crop, shape_of, ctx, &why) !=
        KN_OK)
        return wt_fail(err, WT_EARCH, "%s: %s", lookup->view->path, wt_err_kernels(&why));
    if (strcmp(model->net.arch, h->arch) != 0 || (uint32_t)model->net.classes != h->classes ||
        (uint32_t)model->net.features != h->features)
        return wt_fail(err, WT_EARCH,
                       "%s: the header says %s with %" PRIu32 " classes and %" PRIu32
                       " features, the tensors %s with %d and %d",
                       lookup->view->path, h->arch, h->classes, h->features, model->net.arch,
                       model->net.classes, model->net.features);
    if (model->net.layer[0].ic != 3)
        return wt_fail(err, WT_EARCH, "%s: conv1.weight reads %d channels, expected 3 (R, G, B)",
                       lookup->view->path, model->net.layer[0].ic);
    for (int i = 0; i < model->net.n_layers; i++) {
        int code = find_weight(&model->weights[i], lookup, &model->net.layer[i], err);
        if (code != WT_OK)
            return code;
    }
    return WT_OK;
}

static int find_section(struct lookup *lookup, const char *layout, struct wt_err *err)
{
    const struct wt_view *view = lookup->view;
    char found[128] = "";

    const struct wt_layout *wanted = wt_layouts_find(layout);

    lookup->section = wt_view_section(view, layout);
    lookup->layout = wanted ? wanted : &wt_layouts[0];
    if (lookup->section != NULL)
        return WT_OK;
    for (uint32_t i = 0; i < view->header->n_sections && strlen(found) < sizeof(found) - 28; i++)
        snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s (%s)",
                 i > 0 ? ", " : "", view->sections[i].layout, view->sections[i].precision);
    const char *precision = wt_layouts_precision(lookup->layout->precision);
    return wt_fail(err, WT_ESECTION,
                   "%s: has no section %s (%s), only %s; pack the weights again with this "
                   "release's resnet-pack pack --precision %s%s, or choose another precision",
                   view->path, layout, precision, found,
                   lookup->layout->precision != WT_IN_FP32 ? "fp32," : "", precision);
}

static int list_labels(struct wt_mapping *mapping, struct wt_err *err)
{
    uint32_t n = mapping->view.header->classes;
    const char *at = mapping->view.labels;

    mapping->labels = calloc(n, sizeof(*mapping->labels));
    if (mapping->labels == NULL)
        return wt_fail(err, WT_ENOMEM, "no memory for %" PRIu32 " labels", n);
    for (uint32_t i = 0; i < n; i++, at += strlen(at) + 1)
        mapping->labels[i] = at;
    return WT_OK;
}

static void copy_header(struct wt_model *model, const struct wt_rnm_header *h)
{
    memcpy(model->name, h->name, sizeof(model->name));
    wt_digest_hex(model->sha256, h->model_sha256);
    wt_digest_hex(model->source_sha256, h->source_sha256);
    model->synthetic = (h->flags & WT_RNM_SYNTHETIC) != 0;
}

/* All but the section's bytes. */
static int fill_model(struct wt_model *model, struct wt_mapping *mapping, const char *layout,
                      struct wt_err *err)
{
    struct lookup lookup = {.view = &mapping->view};
    int code;

    copy_header(model, mapping->view.header);
    if ((code = wt_recipe_unpack(&model->recipe, &mapping->view.header->recipe, err)) != WT_OK ||
        (code = find_section(&lookup, layout, err)) != WT_OK ||
        (code = build_net(model, &lookup, err)) != WT_OK)
        return code;
    model->ranges = wt_view_ranges(&mapping->view);
    memcpy(model->layout, lookup.section->layout, sizeof(model->layout));
    memcpy(model->precision, lookup.section->precision, sizeof(model->precision));
    model->labels = mapping->labels;
    model->mapped_bytes = mapping->view.header->head_bytes + lookup.section->bytes;
    return WT_OK;
}

int wt_model_open(struct wt_model *model, const char *path, const char *layout, struct wt_err *err)
{
    return wt_model_open_fd(model, -1, path, layout, err);
}

int wt_model_open_fd(struct wt_model *model, int fd, const char *path, const char *layout,
                     struct wt_err *err)
{
    *model = (struct wt_model){0};
    struct wt_mapping *mapping = calloc(1, sizeof(*mapping));
    if (mapping == NULL)
        return wt_fail(err, WT_ENOMEM, "%s: no memory to open it", path);
    int code = wt_view_open_fd(&mapping->view, fd, path, err);
    if (code != WT_OK) {
        free(mapping);
        return code;
    }
    model->impl = mapping;
    mapping->users = 1;
    if ((code = list_labels(mapping, err)) != WT_OK ||
        (code = fill_model(model, mapping, layout, err)) != WT_OK ||
        (code = wt_model_check(model, err)) != WT_OK)
        wt_model_close(model);
    else
        mapping->view.path = "the model file"; /* the caller's string need not live on */
    return code;
}

int wt_model_beside(struct wt_model *model, const struct wt_model *open, const char *layout,
                    struct wt_err *err)
{
    struct wt_mapping *mapping = open->impl;

    *model = (struct wt_model){.impl = mapping};
    mapping->users++;
    int code = fill_model(model, mapping, layout, err);
    if (code != WT_OK)
        wt_model_close(model);
    return code;
}

int wt_model_check(const struct wt_model *model, struct wt_err *err)
{
    const struct wt_view *view = &((const struct wt_mapping *)model->impl)->view;

    return wt_view_check_section(view, wt_view_section(view, model->layout), err);
}

void wt_model_leave(const struct wt_model *model)
{
    const struct wt_view *view = &((const struct wt_mapping *)model->impl)->view;
    const struct wt_rnm_section *section = wt_view_section(view, model->layout);

    madvise((void *)(uintptr_t)(view->base + section->offset), section->bytes, MADV_DONTNEED);
}

int wt_model_has(const struct wt_model *model, const char *layout)
{
    return wt_view_section(&((const struct wt_mapping *)model->impl)->view, layout) != NULL;
}

int wt_model_maps(const struct wt_model *model, const void *address)
{
    const struct wt_mapping *mapping = model->impl;
    const uint8_t *at = address;

    return mapping != NULL && at >= mapping->view.base &&
           at < mapping->view.base + mapping->view.bytes;
}

void wt_model_close(struct wt_model *model)
{
    struct wt_mapping *mapping = model->impl;

    if (mapping != NULL && --mapping->users == 0) {
        free(mapping->labels);
        wt_view_close(&mapping->view);
        free(mapping);
    }
    *model = (struct wt_model){0};
}
