/* rnm: a model file as it is, and with its checksums put right: opened for each layout, told about.
 */
#include "tests/fuzz/fuzz.h"
#include "weights/digest.h"
#include "weights/layouts.h"
#include "weights/report.h"
#include "weights/view.h"

/* The checksums of what the header points to, as far as that lies in the file. */
static void repair(uint8_t *bytes, size_t n)
{
    struct wt_rnm_header *h = (struct wt_rnm_header *)bytes;

    if (n < sizeof *h)
        return;
    for (uint64_t i = 0; i < h->n_sections && i < WT_RNM_MAX_SECTIONS; i++) {
        uint64_t at = h->sections_offset + i * sizeof(struct wt_rnm_section);
        struct wt_rnm_section section;

        if (h->sections_offset > n || at > n || n - at < sizeof section)
            break;
        memcpy(&section, bytes + at, sizeof section);
        if (section.offset > n || section.bytes > n - section.offset)
            continue;
        section.crc = wt_digest_crc32c(0, bytes + section.offset, section.bytes);
        memcpy(bytes + at, &section, sizeof section);
    }
    h->file_bytes = n;
    if (h->head_bytes < sizeof *h || h->head_bytes > n)
        return;
    h->head_crc = wt_view_head_crc(&(struct wt_view){.base = bytes, .bytes = n, .header = h});
}

static void tell(const char *path)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    struct wt_view view;
    struct wt_err err;

    FUZZ_EXPECT(out != NULL);
    if (wt_view_open(&view, path, &err) == WT_OK) {
        uint8_t digest[32];

        wt_view_sha256(&view, digest);
        wt_report_text(&view, out);
        wt_report_json(&view, out);
        wt_view_close(&view);
    }
    fclose(out);
    free(text);
}

static void open_all(const char *path)
{
    struct wt_model model, beside;
    struct wt_err err;

    for (const struct wt_layout *layout = wt_layouts; layout < wt_layouts + WT_N_LAYOUTS;
         layout++) {
        if (wt_model_open(&model, path, layout->id, &err) != WT_OK)
            continue;
        FUZZ_EXPECT(wt_model_has(&model, layout->id));
        FUZZ_EXPECT(model.net.classes > 0 && model.labels[model.net.classes - 1][0] != 0);
        if (wt_model_beside(&beside, &model, "f32.plain", &err) == WT_OK) {
            wt_model_check(&beside, &err);
            wt_model_leave(&beside);
            wt_model_close(&beside);
        }
        wt_model_close(&model);
    }
}

static void look(const uint8_t *bytes, size_t n)
{
    char path[32];
    int fd = fuzz_file(bytes, n, path);

    tell(path);
    open_all(path);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = fuzz_copy(bytes, n);

    look(bytes, n);
    repair(copy, n);
    look(copy, n);
    free(copy);
    return 0;
}
