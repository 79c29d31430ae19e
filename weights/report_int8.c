/* report_int8.c: what an int8 section says of how it was calibrated. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "weights/histogram.h"
#include "weights/report.h"

/* NULLs and zeros where the file does not say. */
struct notes {
    const struct wt_rnm_section *section;
    const struct wt_rnm_calibration *about;
    const float *snr_db; /* [n], in the order of the section's filters */
    uint32_t n;
};

static const void *find(const struct wt_view *view, const struct wt_rnm_section *section,
                        const char *name, uint32_t dtype, uint64_t bytes)
{
    const struct wt_rnm_tensor *t = wt_view_tensor(view, section, name);

    return t != NULL && t->dtype == dtype && t->bytes == bytes
               ? view->base + section->offset + t->offset
               : NULL;
}

/* Bytes of a tensor's name before ".weight"; 0 for other tensors. */
static int filter_name(const struct wt_rnm_tensor *t)
{
    static const char end[] = ".weight";
    size_t n = strlen(t->name);

    return n >= sizeof(end) && strcmp(t->name + n - (sizeof(end) - 1), end) == 0
               ? (int)(n - (sizeof(end) - 1))
               : 0;
}

static struct notes notes_of(const struct wt_view *view)
{
    struct notes notes = {.section = wt_view_section(view, "s8.n32")};
    const struct wt_rnm_tensor *tensors;

    if (notes.section == NULL)
        return notes;
    tensors = wt_view_tensors(view, notes.section);
    for (uint32_t i = 0; i < notes.section->n_tensors; i++)
        notes.n += filter_name(&tensors[i]) > 0;
    notes.about = find(view, notes.section, "calibration.about", WT_RNM_S32, sizeof(*notes.about));
    notes.snr_db =
        find(view, notes.section, "calibration.snr", WT_RNM_F32, notes.n * sizeof(*notes.snr_db));
    if (notes.about != NULL && notes.about->clip >= WT_N_CLIPS)
        notes.about = NULL;
    return notes;
}

void wt_report_int8_text(const struct wt_view *view, FILE *out)
{
    struct notes notes = notes_of(view);

    if (notes.section == NULL)
        return;
    fprintf(out, "int8           ranges by %s", wt_view_ranges(view));
    if (notes.about != NULL && notes.about->pictures > 0)
        fprintf(out, " (%" PRIu32 "), outputs cut by %s", notes.about->pictures,
                wt_clip_name((enum wt_clip)notes.about->clip));
    if (notes.snr_db == NULL || notes.n == 0 || !isfinite(notes.snr_db[notes.n - 1])) {
        fputs("; its error was not measured\n", out);
        return;
    }
    fprintf(out, "; logits %.1f dB above their error\n", (double)notes.snr_db[notes.n - 1]);
    const struct wt_rnm_tensor *t = wt_view_tensors(view, notes.section);
    for (uint32_t i = 0; i < notes.n; t++)
        if (filter_name(t) > 0)
            fprintf(out, "               %-24.*s %5.1f dB\n", filter_name(t), t->name,
                    (double)notes.snr_db[i++]);
}

static void json_number(FILE *out, float x)
{
    if (isfinite(x))
        fprintf(out, "%.2f", (double)x);
    else
        fputs("null", out);
}

void wt_report_int8_json(const struct wt_view *view, FILE *out)
{
    struct notes notes = notes_of(view);

    if (notes.section == NULL) {
        fputs("\"int8\":null", out);
        return;
    }
    fprintf(out, "\"int8\":{\"ranges\":\"%s\"", wt_view_ranges(view));
    if (notes.about != NULL)
        fprintf(out, ",\"pictures\":%" PRIu32 ",\"cut\":\"%s\"", notes.about->pictures,
                wt_clip_name((enum wt_clip)notes.about->clip));
    fputs(",\"snr_db\":{", out);
    const struct wt_rnm_tensor *t = wt_view_tensors(view, notes.section);
    for (uint32_t i = 0; notes.snr_db != NULL && i < notes.n; t++) {
        if (filter_name(t) == 0)
            continue;
        fprintf(out, "%s\"%.*s\":", i > 0 ? "," : "", filter_name(t), t->name);
        json_number(out, notes.snr_db[i++]);
    }
    fputs("}}", out);
}
