/* What `resnet-pack verify` finds behind right checksums, and what `info` prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/weights-tiny.h"
#include "weights/report.h"

static struct t_tiny tiny;
static struct t_memfd file;
static uint8_t *image;
static size_t image_bytes;

static int set_up(void **state)
{
    char directory[64], path[96];
    struct wt_err err = {.text = ""};

    (void)state;
    t_tiny_new(&tiny);
    t_directory(directory);
    snprintf(path, sizeof(path), "%s/tiny.rnm", directory);
    t_must(wt_pack_write(&tiny.pack, path, NULL, &err), &err);
    image = t_slurp(path, &image_bytes);
    t_memfd_new(&file, image, image_bytes);
    unlink(path);
    rmdir(directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(file.fd);
    free(image);
    t_tiny_free(&tiny);
    return 0;
}

/* Runs verify on those bytes, all of whose checksums are made right first. */
static int verify(uint8_t *bytes, char **text, struct wt_err *err)
{
    struct wt_view view;
    size_t text_bytes;
    uint8_t sha256[32];

    for (int i = 0; i < 2; i++)
        t_fix_section(bytes, i);
    t_memfd_set(&file, bytes, image_bytes);
    t_must(wt_view_open(&view, file.path, err), err);
    wt_view_sha256(&view, sha256);
    wt_view_close(&view);
    memcpy(((struct wt_rnm_header *)bytes)->model_sha256, sha256, sizeof(sha256));
    t_fix_head(bytes);
    t_memfd_set(&file, bytes, image_bytes);
    FILE *out = open_memstream(text, &text_bytes);
    assert_non_null(out);
    int code = wt_report_verify(file.path, out, NULL, err);
    fclose(out);
    return code;
}

static void a_good_file_holds(void **state)
{
    struct wt_err err = {.text = ""};
    char *text;

    (void)state;
    t_must(verify(image, &text, &err), &err);
    assert_non_null(strstr(text, "head: CRC-32C"));
    assert_non_null(strstr(text, "section f32.n16: the weights of f32.plain\n"));
    assert_non_null(strstr(text, "self-test in fp32: stage sums and logits hold\n"));
    free(text);
}

/* Doubles the first value of a section's tensor. */
static void alter(uint8_t *bytes, int section, int tensor)
{
    const struct wt_rnm_header *h = (const struct wt_rnm_header *)bytes;
    const struct wt_rnm_section *s = (const struct wt_rnm_section *)(bytes + h->sections_offset);
    const struct wt_rnm_tensor *t =
        (const struct wt_rnm_tensor *)(bytes + s[section].tensors_offset) + tensor;
    float value;

    memcpy(&value, bytes + s[section].offset + t->offset, sizeof(value));
    value *= 2;
    memcpy(bytes + s[section].offset + t->offset, &value, sizeof(value));
}

static void refuse(int plain, int panels, int tensor, const char *words)
{
    uint8_t *bytes = malloc(image_bytes);
    struct wt_err err = {.text = ""};
    char *text;

    assert_non_null(bytes);
    memcpy(bytes, image, image_bytes);
    if (plain)
        alter(bytes, 0, tensor);
    if (panels)
        alter(bytes, 1, tensor);
    assert_int_not_equal(verify(bytes, &text, &err), WT_OK);
    if (strstr(err.text, words) == NULL)
        fail_msg("expected \"%s\", found %s", words, err.text);
    free(text);
    free(bytes);
}

static void sections_are_held_against_each_other(void **state)
{
    (void)state;
    refuse(1, 0, 0, "section f32.n16: conv1 is not that of f32.plain");
    refuse(0, 1, 2, "section f32.n16: layer1.0.conv1 is not that of f32.plain");
    refuse(0, 1, 3, "section f32.n16: layer1.0.conv1 is not that of f32.plain"); /* its bias */
    refuse(1, 1, 1, "self-test: stem: expected a sum of ");
}

static void info_is_json_and_text(void **state)
{
    struct wt_err err = {.text = ""};
    struct wt_view view;
    char *text;
    size_t bytes;

    (void)state;
    t_memfd_set(&file, image, image_bytes);
    t_must(wt_view_open(&view, file.path, &err), &err);
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    wt_report_json(&view, out);
    wt_report_text(&view, out);
    fclose(out);
    wt_view_close(&view);
    assert_non_null(strstr(text, "{\"name\":\"Tiny \\\"net\\\"\",\"arch\":\"resnet18-w2\","));
    assert_non_null(strstr(text, "\"mean\":[0.485,0.25,0.406]"));
    assert_non_null(strstr(text, "\"source_sha256\":\"" T_SOURCE_SHA256 "\""));
    assert_non_null(strstr(text, "\nname           Tiny \"net\"\n"));
    assert_non_null(strstr(text, "both sides to 32 (squashed), bicubic, crop 32"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_holds),
        cmocka_unit_test(sections_are_held_against_each_other),
        cmocka_unit_test(info_is_json_and_text),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
