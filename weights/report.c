/* report.c: a model file described, and verified. */
#include "weights/report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "weights/digest.h"
#include "weights/recipe.h"

/* ref on another machine or compiler computes the same bits; this leaves room for a libm's last. */
static const double ref_tolerance = 1e-6;

static struct wt_recipe recipe_of(const struct wt_view *view)
{
    struct wt_recipe recipe = wt_recipe_default;

    wt_recipe_unpack(&recipe, &view->header->recipe, NULL); /* held when the view was opened */
    return recipe;
}

void wt_report_text(const struct wt_view *view, FILE *out)
{
    const struct wt_rnm_header *h = view->header;
    const struct wt_recipe r = recipe_of(view);
    char sha256[65];

    fprintf(out, "name           %s\n", h->name);
    fprintf(out, "architecture   %s, %" PRIu32 " features, %" PRIu32 " classes\n", h->arch,
            h->features, h->classes);
    wt_digest_hex(sha256, h->model_sha256);
    fprintf(out, "model sha256   %s\n", sha256);
    wt_digest_hex(sha256, h->source_sha256);
    fprintf(out, "source sha256  %s\n", h->flags & WT_RNM_SYNTHETIC ? "none, synthetic" : sha256);
    fprintf(out, "input          %s to %d%s, %s, crop %d, EXIF orientation %s\n",
            r.squash ? "both sides" : "shorter side", r.resize, r.squash ? " (squashed)" : "",
            wt_recipe_interpolation(r.interpolation), r.crop,
            r.exif == WT_EXIF_APPLY ? "applied" : "ignored");
    fprintf(out, "               mean %g,%g,%g std %g,%g,%g\n", (double)r.mean[0],
            (double)r.mean[1], (double)r.mean[2], (double)r.std[0], (double)r.std[1],
            (double)r.std[2]);
    fprintf(out, "output         %s\n", wt_recipe_activation(r.activation));
    for (uint32_t i = 0; i < h->n_sections; i++) {
        const struct wt_rnm_section *s = &view->sections[i];
        fprintf(out,
                "section        %s (%s): %" PRIu32 " tensors, %" PRIu64 " bytes at %" PRIu64
                ", CRC-32C %08" PRIx32 "\n",
                s->layout, s->precision, s->n_tensors, s->bytes, s->offset, s->crc);
    }
    wt_report_int8_text(view, out);
    fprintf(out, "file           %" PRIu64 " bytes, version %" PRIu32 "\n", h->file_bytes,
            h->version);
}

/* Texts of a model file hold no control characters, so two need an escape. */
static void json_text(FILE *out, const char *text)
{
    putc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            putc('\\', out);
        putc(*text, out);
    }
    putc('"', out);
}

/* The fewest digits that give every float back; nine always do. */
static void json_floats(FILE *out, const char *key, const float *x, int n)
{
    char text[32];

    fprintf(out, "\"%s\":[", key);
    for (int i = 0; i < n; i++) {
        for (int digits = 1; digits <= 9; digits++) {
            snprintf(text, sizeof(text), "%.*g", digits, (double)x[i]);
            if (strtof(text, NULL) == x[i])
                break;
        }
        fprintf(out, "%s%s", i > 0 ? "," : "", text);
    }
    fputs("]", out);
}

static void json_recipe(const struct wt_view *view, FILE *out)
{
    const struct wt_recipe r = recipe_of(view);

    fprintf(out,
            "\"recipe\":{\"resize\":%d,\"crop\":%d,\"squash\":%s,\"interpolation\":\"%s\","
            "\"activation\":\"%s\",\"exif\":\"%s\",",
            r.resize, r.crop, r.squash ? "true" : "false", wt_recipe_interpolation(r.interpolation),
            wt_recipe_activation(r.activation), wt_recipe_exif(r.exif));
    json_floats(out, "mean", r.mean, 3);
    putc(',', out);
    json_floats(out, "std", r.std, 3);
    fputs("}", out);
}

static void json_sections(const struct wt_view *view, FILE *out)
{
    fputs("\"sections\":[", out);
    for (uint32_t i = 0; i < view->header->n_sections; i++) {
        const struct wt_rnm_section *s = &view->sections[i];
        fprintf(out, "%s{\"layout\":", i > 0 ? "," : "");
        json_text(out, s->layout);
        fputs(",\"precision\":", out);
        json_text(out, s->precision);
        fprintf(out,
                ",\"tensors\":%" PRIu32 ",\"offset\":%" PRIu64 ",\"bytes\":%" PRIu64
                ",\"crc32c\":\"%08" PRIx32 "\"}",
                s->n_tensors, s->offset, s->bytes, s->crc);
    }
    fputs("]", out);
}

void wt_report_json(const struct wt_view *view, FILE *out)
{
    const struct wt_rnm_header *h = view->header;
    char model[65], source[65];

    wt_digest_hex(model, h->model_sha256);
    wt_digest_hex(source, h->source_sha256);
    fputs("{\"name\":", out);
    json_text(out, h->name);
    fputs(",\"arch\":", out);
    json_text(out, h->arch);
    fprintf(out,
            ",\"classes\":%" PRIu32 ",\"features\":%" PRIu32 ",\"synthetic\":%s,"
            "\"version\":%" PRIu32 ",\"file_bytes\":%" PRIu64
            ",\"model_sha256\":\"%s\",\"source_sha256\":",
            h->classes, h->features, h->flags & WT_RNM_SYNTHETIC ? "true" : "false", h->version,
            h->file_bytes, model);
    if (h->flags & WT_RNM_SYNTHETIC)
        fputs("null,", out);
    else
        fprintf(out, "\"%s\",", source);
    json_recipe(view, out);
    putc(',', out);
    json_sections(view, out);
    putc(',', out);
    wt_report_int8_json(view, out);
    fputs(",\"labels\":[", out);
    const char *label = view->labels;
    for (uint32_t i = 0; i < h->classes; i++, label += strlen(label) + 1) {
        if (i > 0)
            putc(',', out);
        json_text(out, label);
    }
    fputs("]}\n", out);
}

/* ---- verify -------------------------------------------------------------------------------- */

static int verify_bytes(const struct wt_view *view, FILE *out, struct wt_err *err)
{
    char found[65], want[65];
    uint8_t sha256[32];

    fprintf(out, "head: CRC-32C %08" PRIx32 " holds\n", view->header->head_crc);
    for (uint32_t i = 0; i < view->header->n_sections; i++) {
        const struct wt_rnm_section *s = &view->sections[i];
        int code = wt_view_check_section(view, s, err);
        if (code != WT_OK)
            return code;
        fprintf(out, "section %s: CRC-32C %08" PRIx32 " holds\n", s->layout, s->crc);
    }
    wt_view_sha256(view, sha256);
    wt_digest_hex(found, sha256);
    wt_digest_hex(want, view->header->model_sha256);
    if (strcmp(found, want) != 0)
        return wt_fail(err, WT_ECHECKSUM, "%s: SHA-256 is %s, expected %s", view->path, found,
                       want);
    fprintf(out, "model: SHA-256 %s holds\n", found);
    return WT_OK;
}

/* One layer's filters, brought into the layout again, against those of the section. */
static int verify_filters(const struct wt_view *view, const struct wt_model *plain, int i,
                          const struct wt_model *other, struct wt_err *err)
{
    const struct kn_layer *layer = &plain->net.layer[i];
    size_t bytes = kn_pack_bytes(other->layout, layer);
    size_t room = (bytes + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN;
    int code = WT_OK;

    if (bytes == 0)
        return WT_OK;
    void *again = aligned_alloc(KN_ALIGN, room);
    if (again == NULL)
        return wt_fail(err, WT_ENOMEM, "%s: no memory for %s", view->path, layer->name);
    kn_pack(other->layout, layer, plain->weights[i].w, again);
    if (memcmp(again, other->weights[i].w, bytes) != 0 ||
        memcmp(plain->weights[i].bias, other->weights[i].bias, (size_t)layer->oc * sizeof(float)) !=
            0)
        code = wt_fail(err, WT_ECHECKSUM,
                       "%s: section %s: %s is not that of %s; pack the weights again with this "
                       "release's resnet-pack",
                       view->path, other->layout, layer->name, plain->layout);
    free(again);
    return code;
}

/* That every other section holds the same weights as the plain one, which the self-test is run
 * with. int8's depend on what it was calibrated with: its self-test is exact instead. */
static int verify_layouts(const struct wt_view *view, const struct wt_model *plain, FILE *out,
                          struct wt_err *err)
{
    for (uint32_t s = 0; s < view->header->n_sections; s++) {
        const char *layout = view->sections[s].layout;
        struct wt_model other;
        if (strcmp(layout, plain->layout) == 0 || kn_pack_bytes(layout, plain->net.layer) == 0 ||
            strcmp(view->sections[s].precision, "int8") == 0)
            continue;
        int code = wt_model_open(&other, view->path, layout, err);
        if (code != WT_OK)
            return code;
        for (int i = 0; i < plain->net.n_layers && code == WT_OK; i++)
            code = verify_filters(view, plain, i, &other, err);
        wt_model_close(&other);
        if (code != WT_OK)
            return code;
        fprintf(out, "section %s: the weights of %s\n", layout, plain->layout);
    }
    return WT_OK;
}

struct reporter {
    const struct wt_progress *progress;
    const struct kn_net *net;
};

static int report_layer(void *ctx, int layer)
{
    const struct reporter *r = ctx;
    double share = (double)layer / (double)r->net->n_layers;

    return wt_progress(r->progress, "self-test", share) == 0 ? KN_MAX_THREADS : 0;
}

/* Runs the self-test with `ref` on the weights that it reads of this precision. */
static int verify_network(const struct wt_view *view, const char *precision, FILE *out,
                          const struct wt_progress *progress, struct wt_err *err)
{
    const char *path = view->path;
    struct kn_options options = {
        .isa = "ref", .precision = precision, .max_batch = 1, .max_threads = KN_MAX_THREADS};
    struct kn_plan *plan = NULL;
    struct wt_model model;
    struct kn_err why;
    struct reporter reporter = {progress, &model.net};
    const char *layout = kn_plan_layout("ref", precision, &why);

    if (layout == NULL)
        return wt_fail(err, WT_ESECTION, "%s: %s", path, wt_err_kernels(&why));
    int code = wt_model_open(&model, path, layout, err);
    if (code != WT_OK)
        return code;
    fprintf(out, "network: %s, %d layers, as its tensors say\n", model.net.arch,
            model.net.n_layers);
    if (strcmp(layout, "f32.plain") == 0 && (code = verify_layouts(view, &model, out, err)) != 0)
        goto out;
    double tolerance =
        strcmp(precision, "fp32") == 0 ? ref_tolerance : wt_selftest_tolerance(&model);
    if (kn_plan_new(&plan, &model.net, model.weights, &options, &why) != KN_OK)
        code = wt_fail(err, WT_ENOMEM, "%s: %s", path, wt_err_kernels(&why));
    else
        code = wt_selftest(&model, plan, tolerance, report_layer, &reporter, err);
    if (code == WT_OK)
        fprintf(out, "self-test in %s: stage sums and logits hold\n", precision);
out:
    kn_plan_free(plan);
    wt_model_close(&model);
    return code;
}

/* fp32 if it is there: all other sections can be held against it. */
static const char *precision_of(const struct wt_view *view)
{
    if (wt_view_section(view, "f32.plain") != NULL)
        return "fp32";
    return view->sections[0].precision;
}

int wt_report_verify(const char *path, FILE *out, const struct wt_progress *progress,
                     struct wt_err *err)
{
    struct wt_view view;

    int code = wt_view_open(&view, path, err);
    if (code != WT_OK)
        return code;
    const char *precision = precision_of(&view);
    code = verify_bytes(&view, out, err);
    if (code == WT_OK)
        code = verify_network(&view, precision, out, progress, err);
    if (code == WT_OK && strcmp(precision, "int8") != 0 && wt_view_section(&view, "s8.n32") != NULL)
        code = verify_network(&view, "int8", out, progress, err);
    wt_view_close(&view);
    return code;
}
