/* Model files: what goes in comes out; what is damaged, foreign or made up is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/weights-tiny.h"
#include "weights/prng.h"
#include "weights/view.h"

static struct t_tiny tiny;
static uint8_t *image; /* the packed file */
static size_t image_bytes;
static char directory[64];

static const char layout[] = "f32.plain";

static int set_up(void **state)
{
    char path[96];
    struct wt_err err = {.text = ""};

    (void)state;
    t_tiny_new(&tiny);
    t_directory(directory);
    snprintf(path, sizeof(path), "%s/tiny.rnm", directory);
    t_must(wt_pack_write(&tiny.pack, path, NULL, &err), &err);
    image = t_slurp(path, &image_bytes);
    unlink(path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rmdir(directory);
    free(image);
    t_tiny_free(&tiny);
    return 0;
}

static struct wt_rnm_header *header_of(uint8_t *bytes)
{
    return (struct wt_rnm_header *)bytes;
}

static struct wt_rnm_section *section_of(uint8_t *bytes, int i)
{
    return (struct wt_rnm_section *)(bytes + header_of(bytes)->sections_offset) + i;
}

static struct wt_rnm_tensor *tensor_of(uint8_t *bytes, int i)
{
    return (struct wt_rnm_tensor *)(bytes + section_of(bytes, 0)->tensors_offset) + i;
}

static uint8_t *copy_image(size_t extra)
{
    uint8_t *copy = calloc(1, image_bytes + extra);

    assert_non_null(copy);
    memcpy(copy, image, image_bytes);
    return copy;
}

/* Opens those bytes, which must be refused with that code, and with those words. */
static void assert_refused(const uint8_t *bytes, size_t n, enum wt_code code, const char *words)
{
    struct wt_err err = {.text = ""};
    struct wt_model model;
    struct t_memfd m;

    t_memfd_new(&m, bytes, n);
    int found = wt_model_open(&model, m.path, layout, &err);
    close(m.fd);
    if (found == WT_OK)
        fail_msg("opened, expected a refusal with \"%s\"", words);
    if (found != (int)code || strstr(err.text, words) == NULL)
        fail_msg("expected code %d with \"%s\", found %d: %s", code, words, found, err.text);
    assert_int_equal(err.code, code);
}

static void round_trip(void **state)
{
    struct wt_err err = {.text = ""};
    struct wt_model model;
    struct t_memfd m;

    (void)state;
    t_memfd_new(&m, image, image_bytes);
    t_must(wt_model_open(&model, m.path, layout, &err), &err);
    assert_memory_equal(&model.net, &tiny.folded.net, sizeof(model.net));
    assert_memory_equal(&model.recipe, &tiny.recipe, sizeof(model.recipe));
    assert_string_equal(model.name, "Tiny \"net\"");
    assert_string_equal(model.source_sha256, T_SOURCE_SHA256);
    assert_int_equal(strlen(model.sha256), 64);
    assert_string_equal(model.layout, layout);
    assert_int_equal(model.synthetic, 0);
    assert_string_equal(model.labels[0], "class 0");
    assert_string_equal(model.labels[4], "class 4");
    const char *before = NULL;
    for (int i = 0; i < model.net.n_layers; i++) {
        const struct kn_layer *layer = &model.net.layer[i];
        if (layer->op != KN_CONV && layer->op != KN_FC) {
            assert_null(model.weights[i].w);
            continue;
        }
        assert_int_equal((uintptr_t)model.weights[i].w % KN_ALIGN, 0);
        assert_int_equal((uintptr_t)model.weights[i].bias % KN_ALIGN, 0);
        assert_true((const char *)model.weights[i].w > before); /* in execution order */
        before = (const char *)model.weights[i].bias;
        assert_memory_equal(model.weights[i].w, tiny.folded.weights[i].w,
                            kn_pack_bytes(layout, layer));
        assert_memory_equal(model.weights[i].bias, tiny.folded.weights[i].bias,
                            (size_t)layer->oc * sizeof(float));
    }
    wt_model_close(&model);
    wt_model_close(&model); /* a second time is harmless */
    close(m.fd);
}

static void every_truncation_is_refused(void **state)
{
    struct wt_err err = {.text = ""};
    struct wt_model model;
    struct t_memfd m;

    (void)state;
    t_memfd_new(&m, image, image_bytes);
    for (size_t n = image_bytes; n-- > 0;) {
        assert_int_equal(ftruncate(m.fd, (off_t)n), 0);
        assert_int_equal(wt_model_open(&model, m.path, layout, &err), WT_EFORMAT);
    }
    close(m.fd);
    uint8_t *longer = copy_image(1);
    assert_refused(longer, image_bytes + 1, WT_EFORMAT, "cut off or added to");
    free(longer);
}

/* A truncated file whose header was made to agree with it. */
static void a_short_file_that_says_so_is_refused(void **state)
{
    (void)state;
    uint64_t head = header_of(image)->head_bytes;

    for (size_t n = image_bytes - 1; n >= head; n -= 1 + (n - head) / 97) {
        uint8_t *bytes = copy_image(0);
        header_of(bytes)->file_bytes = n;
        t_fix_head(bytes);
        assert_refused(bytes, n, WT_EFORMAT, "section f32.");
        free(bytes);
        if (n == head)
            break;
    }
}

static void flipped_bytes_are_noticed(void **state)
{
    struct wt_err err = {.text = ""};
    struct wt_model model;
    struct t_memfd m;

    (void)state;
    t_memfd_new(&m, image, image_bytes);
    const struct wt_rnm_section *plain = section_of(image, 0), *panels = section_of(image, 1);
    assert_int_equal(header_of(image)->n_sections, 2);
    assert_int_equal(header_of(image)->head_bytes, plain->offset);
    assert_int_equal(panels->offset + panels->bytes, image_bytes);
    /* All of the head; of the sections every 11th, which is each place in a word. */
    for (size_t i = 0; i < image_bytes; i += i < plain->offset ? 1 : 11) {
        if (i >= plain->offset + plain->bytes && i < panels->offset)
            i = panels->offset; /* what fills up the page between them is nobody's */
        uint8_t bad = image[i] ^ (uint8_t)(1u << i % 8);
        const char *read_as = i < panels->offset ? plain->layout : panels->layout;
        assert_int_equal(pwrite(m.fd, &bad, 1, (off_t)i), 1);
        if (wt_model_open(&model, m.path, read_as, &err) == WT_OK)
            fail_msg("byte %zu was flipped and the file opened", i);
        assert_int_equal(pwrite(m.fd, &image[i], 1, (off_t)i), 1);
    }
    t_must(wt_model_open(&model, m.path, layout, &err), &err);
    wt_model_close(&model);
    close(m.fd);
}

/* Reads everything that an opened model offers. */
static double touch(const struct wt_model *model)
{
    double sum = 0;

    for (int i = 0; i < model->net.n_layers; i++) {
        const struct kn_layer *layer = &model->net.layer[i];
        const float *w = model->weights[i].w;
        for (size_t k = 0; w != NULL && k < kn_pack_bytes(layout, layer) / sizeof(float); k++)
            sum += w[k] > 0;
        for (int k = 0; w != NULL && k < layer->oc; k++)
            sum += model->weights[i].bias[k] > 0;
    }
    for (int i = 0; i < model->net.classes; i++)
        sum += (double)strlen(model->labels[i]);
    return sum + (double)strlen(model->name);
}

/* Damage behind a right CRC: a head that somebody made up. It may be refused or not, but all that
 * is reached must be inside the file (the sanitizer build looks). */
static void made_up_heads_do_no_harm(void **state)
{
    static const uint64_t edges[] = {
        0,         1,          63,         64,         4096,
        INT32_MAX, UINT32_MAX, INT64_MAX,  UINT64_MAX, UINT64_MAX - 63,
        1u << 31,  1ull << 63, 1ull << 32, 65536,      UINT64_MAX - 4095};
    enum { ROUNDS = 20000 };
    struct wt_prng prng = {42};
    uint8_t *bytes = copy_image(0);
    size_t head = header_of(image)->head_bytes;
    struct t_memfd m;
    int opened = 0;

    (void)state;
    t_memfd_new(&m, image, image_bytes);
    for (int round = 0; round < ROUNDS; round++) {
        memcpy(bytes, image, head);
        for (uint64_t n = 1 + wt_prng_next(&prng) % 3; n > 0; n--) {
            uint64_t r = wt_prng_next(&prng);
            size_t width = (size_t)1 << (r & 3);
            size_t used = (r >> 2 & 3) == 0 ? sizeof(struct wt_rnm_header) : head;
            size_t at = 8 + (size_t)(r >> 8) % (used - 16) / width * width;
            uint64_t value = r >> 60 ? edges[(r >> 40) % 15] : wt_prng_next(&prng);
            memcpy(bytes + at, &value, width);
        }
        header_of(bytes)->file_bytes = image_bytes;
        if (header_of(bytes)->head_bytes > image_bytes)
            header_of(bytes)->head_bytes = head;
        t_fix_head(bytes);
        assert_int_equal(pwrite(m.fd, bytes, head, 0), head);
        struct wt_err err = {.text = ""};
        struct wt_model model;
        if (wt_model_open(&model, m.path, layout, &err) == WT_OK) {
            opened += touch(&model) > 0;
            wt_model_close(&model);
        } else {
            assert_true(strlen(err.text) > 20);
        }
    }
    close(m.fd);
    free(bytes);
    assert_in_range(opened, 1, ROUNDS - 1); /* else this looked at one side only */
}

static void foreign_files_are_named(void **state)
{
    (void)state;
    uint8_t zip[512] = "PK\003\004";
    uint8_t *bytes = copy_image(0);

    assert_refused(zip, 0, WT_EFORMAT, "0 bytes are too few");
    assert_refused(zip, sizeof(zip), WT_EFORMAT, "begins with 50 4b 03 04");
    header_of(bytes)->version = 2;
    t_fix_head(bytes);
    assert_refused(bytes, image_bytes, WT_EFORMAT, "version 2, this program reads version 1");
    free(bytes);
}

static void files_that_are_no_files(void **state)
{
    struct wt_err err = {.text = ""};
    struct wt_model model;
    char path[96];

    (void)state;
    assert_int_equal(wt_model_open(&model, "/nonexistent/x.rnm", layout, &err), WT_EIO);
    assert_non_null(strstr(err.text, "resnet-pack pack"));
    assert_int_equal(wt_model_open(&model, directory, layout, &err), WT_EIO);
    snprintf(path, sizeof(path), "%s/fifo", directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(wt_model_open(&model, path, layout, &err), WT_EIO); /* and does not wait */
    assert_non_null(strstr(err.text, "not a regular file"));
    unlink(path);
}

/* Changes the head with `change`, makes its CRC right again, and expects a refusal. */
static void refuse_change(void (*change)(uint8_t *), enum wt_code code, const char *words)
{
    uint8_t *bytes = copy_image(0);

    change(bytes);
    t_fix_head(bytes);
    assert_refused(bytes, image_bytes, code, words);
    free(bytes);
}

static void change_arch(uint8_t *bytes)
{
    snprintf(header_of(bytes)->arch, 32, "%s", "resnet50");
}

static void change_name_of_tensor(uint8_t *bytes)
{
    snprintf(tensor_of(bytes, 0)->name, 48, "%s", "conv0.weight");
}

static void change_bias(uint8_t *bytes)
{
    snprintf(tensor_of(bytes, 1)->name, 48, "%s", "conv1.biased");
}

static void change_shape(uint8_t *bytes)
{
    tensor_of(bytes, 2)->dim[1] = 3;
}

static void change_dtype(uint8_t *bytes)
{
    tensor_of(bytes, 2)->dtype = 7;
}

static void change_bytes(uint8_t *bytes)
{
    tensor_of(bytes, 2)->bytes -= 4;
}

static void change_order(uint8_t *bytes)
{
    struct wt_rnm_tensor t = *tensor_of(bytes, 2);
    *tensor_of(bytes, 2) = *tensor_of(bytes, 3);
    *tensor_of(bytes, 3) = t;
}

static void change_alignment(uint8_t *bytes)
{
    tensor_of(bytes, 2)->offset += 4;
}

static void change_channels(uint8_t *bytes)
{
    tensor_of(bytes, 0)->dim[1] = 1;
}

static void change_recipe(uint8_t *bytes)
{
    header_of(bytes)->recipe.std[2] = 0;
}

static void change_label(uint8_t *bytes)
{
    bytes[header_of(bytes)->labels_offset] = '\n';
}

static void change_selftest(uint8_t *bytes)
{
    header_of(bytes)->selftest_bytes -= 4;
}

static void change_layout(uint8_t *bytes)
{
    snprintf(section_of(bytes, 0)->layout, 16, "%s", "f32.odd");
}

static void wrong_heads_say_what_is_wrong(void **state)
{
    (void)state;
    refuse_change(change_arch, WT_EARCH, "the header says resnet50 with 5 classes");
    refuse_change(change_name_of_tensor, WT_EARCH, "conv1.weight");
    refuse_change(change_bias, WT_ETENSOR, "lacks conv1.bias");
    refuse_change(change_shape, WT_EARCH, "layer1.0.conv1.weight: expected [N,2,3,3]");
    refuse_change(change_dtype, WT_ESHAPE, "layer1.0.conv1.weight: expected f32");
    refuse_change(change_bytes, WT_ESHAPE, "layer1.0.conv1.weight: expected f32");
    refuse_change(change_order, WT_EFORMAT, "layer1.0.conv1.weight: ");
    refuse_change(change_alignment, WT_EFORMAT, "expected a multiple of 64");
    refuse_change(change_channels, WT_EARCH, "expected 3 (R, G, B)");
    refuse_change(change_recipe, WT_EFORMAT, "std: expected");
    refuse_change(change_label, WT_EFORMAT, "label 0: byte 0a");
    refuse_change(change_selftest, WT_EFORMAT, "self-test");
    refuse_change(change_layout, WT_ESECTION,
                  "has no section f32.plain (fp32), only f32.odd (fp32)");
}

/* Appends a second section, of one page, with the table moved into the head's padding. */
static uint8_t *two_sections(size_t *bytes)
{
    size_t at = (image_bytes + WT_RNM_PAGE - 1) / WT_RNM_PAGE * WT_RNM_PAGE;
    uint8_t *copy = copy_image(at + WT_RNM_PAGE - image_bytes);
    struct wt_rnm_header *h = header_of(copy);
    struct wt_rnm_section first = *section_of(copy, 0);
    uint64_t table = h->selftest_offset + h->selftest_bytes;

    table = (table + 7) / 8 * 8;
    assert_true(table + 2 * sizeof(first) <= h->head_bytes);
    h->sections_offset = table;
    h->n_sections = 2;
    h->file_bytes = *bytes = at + WT_RNM_PAGE;
    *section_of(copy, 0) = first;
    first.offset = at;
    first.bytes = WT_RNM_PAGE;
    first.n_tensors = 0;
    snprintf(first.layout, sizeof(first.layout), "%s", "x99.later");
    *section_of(copy, 1) = first;
    t_fix_section(copy, 1);
    return copy;
}

static void sections_of_later_versions_are_skipped(void **state)
{
    struct wt_err err = {.text = ""};
    struct wt_model model;
    struct t_memfd m;
    size_t bytes;

    (void)state;
    uint8_t *copy = two_sections(&bytes);
    t_memfd_new(&m, copy, bytes);
    t_must(wt_model_open(&model, m.path, layout, &err), &err);
    wt_model_close(&model);
    assert_int_equal(wt_model_open(&model, m.path, "f32.n16", &err), WT_ESECTION);
    assert_non_null(strstr(err.text, "only f32.plain (fp32), x99.later (fp32)"));
    assert_int_equal(wt_model_open(&model, m.path, "x99.later", &err), WT_EARCH);

    /* Only the section in use is looked at, so damage elsewhere waits for `verify`. */
    copy[bytes - 1] ^= 1;
    t_memfd_set(&m, copy, bytes);
    t_must(wt_model_open(&model, m.path, layout, &err), &err);
    wt_model_close(&model);
    close(m.fd);
    free(copy);
}

/* Two sections of one mapping; what lies beside is looked at when asked. */
static void sections_beside_each_other(void **state)
{
    struct wt_err err = {.text = ""};
    struct wt_model plain, panels, none;
    struct t_memfd m;

    (void)state;
    for (int first = 0; first < 2; first++) {
        t_memfd_new(&m, image, image_bytes);
        t_must(wt_model_open(&plain, m.path, "f32.plain", &err), &err);
        close(m.fd);
        assert_true(wt_model_has(&plain, "f32.n16") && !wt_model_has(&plain, "bf16.n32"));
        t_must(wt_model_beside(&panels, &plain, "f32.n16", &err), &err);
        t_must(wt_model_check(&panels, &err), &err);
        assert_string_equal(panels.layout, "f32.n16");
        assert_string_equal(panels.sha256, plain.sha256);
        assert_int_equal(wt_model_beside(&none, &plain, "bf16.n32", &err), WT_ESECTION);
        assert_non_null(strstr(err.text, "--precision fp32,bf16"));
        wt_model_close(first ? &panels : &plain);
        struct wt_model *left = first ? &plain : &panels;
        t_must(wt_model_check(left, &err), &err);
        assert_string_equal(left->labels[0], "class 0");
        wt_model_close(left);
    }
    uint8_t *copy = copy_image(0);
    copy[image_bytes - 1] ^= 1;
    t_memfd_new(&m, copy, image_bytes);
    t_must(wt_model_open(&plain, m.path, "f32.plain", &err), &err);
    t_must(wt_model_beside(&panels, &plain, "f32.n16", &err), &err);
    assert_int_equal(wt_model_check(&panels, &err), WT_ECHECKSUM);
    wt_model_close(&panels);
    wt_model_close(&plain);
    close(m.fd);
    free(copy);
}

static void swapped_sections_are_refused(void **state)
{
    size_t bytes;

    (void)state;
    uint8_t *copy = two_sections(&bytes);
    struct wt_rnm_section a = *section_of(copy, 0), b = *section_of(copy, 1);

    /* The table's rows in the other order: offsets must go up. */
    *section_of(copy, 0) = b;
    *section_of(copy, 1) = a;
    t_fix_head(copy);
    assert_refused(copy, bytes, WT_EFORMAT, "section f32.plain: ");

    /* The rows in place, each with the other's bytes. */
    *section_of(copy, 0) = a;
    *section_of(copy, 1) = b;
    section_of(copy, 0)->crc = b.crc;
    section_of(copy, 1)->crc = a.crc;
    t_fix_head(copy);
    assert_refused(copy, bytes, WT_ECHECKSUM, "section f32.plain: CRC-32C");
    free(copy);
}

static void opening_leaves_no_descriptor(void **state)
{
    struct wt_err err = {.text = ""};
    struct wt_model model;
    struct t_memfd m;

    (void)state;
    t_memfd_new(&m, image, image_bytes);
    int before = t_names_in("/proc/self/fd");
    t_must(wt_model_open(&model, m.path, layout, &err), &err);
    assert_int_equal(t_names_in("/proc/self/fd"), before);
    wt_model_close(&model);
    close(m.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_short_file_that_says_so_is_refused),
        cmocka_unit_test(flipped_bytes_are_noticed),
        cmocka_unit_test(made_up_heads_do_no_harm),
        cmocka_unit_test(foreign_files_are_named),
        cmocka_unit_test(files_that_are_no_files),
        cmocka_unit_test(wrong_heads_say_what_is_wrong),
        cmocka_unit_test(sections_of_later_versions_are_skipped),
        cmocka_unit_test(sections_beside_each_other),
        cmocka_unit_test(swapped_sections_are_refused),
        cmocka_unit_test(opening_leaves_no_descriptor),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
