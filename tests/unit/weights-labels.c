/* Labels: ImageNet's, numbered ones, files of people. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "weights/labels.h"

static const char *nth(const struct wt_labels *labels, int n)
{
    const char *at = labels->text;

    while (n-- > 0)
        at += strlen(at) + 1;
    return at;
}

static void imagenet_has_its_names(void **state)
{
    static const struct {
        int number;
        const char *label;
    } known[] = {
        {0, "tench"},          {1, "goldfish"}, {134, "crane bird"}, {207, "golden retriever"},
        {285, "Egyptian cat"}, {517, "crane"},  {638, "maillot"},    {999, "toilet tissue"},
    };
    struct wt_labels labels;
    struct wt_err err = {.text = ""};

    (void)state;
    assert_int_equal(wt_labels_default(&labels, 1000, &err), WT_OK);
    assert_int_equal(wt_labels_check(labels.text, labels.bytes, 1000, &err), WT_OK);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_string_equal(nth(&labels, known[i].number), known[i].label);
    wt_labels_free(&labels);
    wt_labels_free(&labels);
}

static void other_counts_are_numbered(void **state)
{
    struct wt_labels labels;
    struct wt_err err = {.text = ""};

    (void)state;
    assert_int_equal(wt_labels_default(&labels, 3, &err), WT_OK);
    assert_int_equal(wt_labels_check(labels.text, labels.bytes, 3, &err), WT_OK);
    assert_string_equal(nth(&labels, 2), "class 2");
    wt_labels_free(&labels);
    assert_int_equal(wt_labels_synthetic(&labels, 1000, &err), WT_OK);
    assert_int_equal(wt_labels_check(labels.text, labels.bytes, 1000, &err), WT_OK);
    assert_string_equal(nth(&labels, 17), "synthetic class 17");
    wt_labels_free(&labels);
}

/* wt_labels_read() on a file of those bytes */
static int read_bytes(struct wt_labels *labels, const char *data, size_t bytes, int classes,
                      struct wt_err *err)
{
    char path[64];
    int fd = memfd_create("labels", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, bytes), bytes);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int code = wt_labels_read(labels, path, classes, err);
    close(fd);
    return code;
}

static void files_are_read(void **state)
{
    static const char *const files[] = {
        "cat\ndog\nna\xc3\xafve \xf0\x9f\x90\x88\n", /* as any editor writes it */
        "cat\ndog\nna\xc3\xafve \xf0\x9f\x90\x88",   /* no end of the last line */
        ("\xef\xbb\xbf"
         "cat\r\ndog\r\nna\xc3\xafve \xf0\x9f\x90\x88\r\n"), /* as Windows does */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct wt_labels labels;
        struct wt_err err = {.text = ""};
        if (read_bytes(&labels, files[i], strlen(files[i]), 3, &err) != WT_OK)
            fail_msg("file %zu: %s", i, err.text);
        assert_string_equal(nth(&labels, 0), "cat");
        assert_string_equal(nth(&labels, 1), "dog");
        assert_string_equal(nth(&labels, 2), "na\xc3\xafve \xf0\x9f\x90\x88");
        wt_labels_free(&labels);
    }
}

static void files_that_do_not_fit_are_refused(void **state)
{
#define FILE_OF(text) text, sizeof(text) - 1
    static const struct {
        const char *data;
        size_t bytes;
        const char *words;
    } files[] = {
        {FILE_OF(""), "the last label does not end"},
        {FILE_OF("a\nb\n"), "expected 3, one for each class, found 2"},
        {FILE_OF("a\nb\nc\nd\n"), "found 4"},
        {FILE_OF("a\n\nc\n"), "label 1 is empty"},
        {FILE_OF("a\nb\nc\n\n"), "label 3 is empty"},
        {FILE_OF("a\nb\tb\nc\n"), "label 1: byte 09 at 1"},
        {FILE_OF("a\nb\rb\nc\n"), "label 1: byte 0d"},
        {FILE_OF("a\0a\nb\nc\n"), "a NUL byte"},
        {FILE_OF("a\nb\n\x7f\n"), "label 2: byte 7f"},
        {FILE_OF("a\nb\n\xc2\x85\n"), "label 2: byte c2"},         /* a C1 control character */
        {FILE_OF("a\nb\n\xff\n"), "label 2: byte ff"},             /* never in UTF-8 */
        {FILE_OF("a\nb\n\x80\n"), "label 2: byte 80"},             /* a lone continuation */
        {FILE_OF("a\nb\n\xc1\xa1\n"), "label 2: byte c1"},         /* overlong */
        {FILE_OF("a\nb\n\xe0\x82\xa9\n"), "label 2: byte e0"},     /* overlong */
        {FILE_OF("a\nb\n\xed\xa0\x80\n"), "label 2: byte ed"},     /* a surrogate */
        {FILE_OF("a\nb\n\xf4\x90\x80\x80\n"), "label 2: byte f4"}, /* past U+10FFFF */
        {FILE_OF("a\nb\nc\xe2\x82"), "label 2: byte e2 at 1"},     /* cut off */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct wt_labels labels;
        struct wt_err err = {.text = ""};
        assert_int_equal(read_bytes(&labels, files[i].data, files[i].bytes, 3, &err), WT_EFORMAT);
        if (strstr(err.text, files[i].words) == NULL)
            fail_msg("expected \"%s\", found %s", files[i].words, err.text);
        assert_null(labels.text);
    }
}

static void no_file_is_named(void **state)
{
    struct wt_labels labels;
    struct wt_err err = {.text = ""};

    (void)state;
    assert_int_equal(wt_labels_read(&labels, "/nonexistent/labels", 3, &err), WT_EIO);
    assert_non_null(strstr(err.text, "/nonexistent/labels"));
    assert_int_equal(wt_labels_read(&labels, "/", 3, &err), WT_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(imagenet_has_its_names),
        cmocka_unit_test(other_counts_are_numbered),
        cmocka_unit_test(files_are_read),
        cmocka_unit_test(files_that_do_not_fit_are_refused),
        cmocka_unit_test(no_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
