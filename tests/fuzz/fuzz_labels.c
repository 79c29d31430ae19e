/* labels: the first line is how many classes there are, the rest the file. */
#include "tests/fuzz/fuzz.h"
#include "weights/labels.h"

enum { MAX_CLASSES = 1 << 20 };

/* Those that a model without a file has. */
static void check_others(int classes)
{
    struct wt_labels labels;
    struct wt_err err;

    FUZZ_EXPECT(wt_labels_default(&labels, classes, &err) == WT_OK);
    FUZZ_EXPECT(wt_labels_check(labels.text, labels.bytes, classes, &err) == WT_OK);
    wt_labels_free(&labels);
    FUZZ_EXPECT(wt_labels_synthetic(&labels, classes, &err) == WT_OK);
    FUZZ_EXPECT(wt_labels_check(labels.text, labels.bytes, classes, &err) == WT_OK);
    wt_labels_free(&labels);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char *line = fuzz_line(&bytes, &n), path[32];
    int classes = atoi(line), fd = fuzz_file(bytes, n, path);
    struct wt_labels labels;
    struct wt_err err;

    free(line);
    if (classes >= 1 && classes <= MAX_CLASSES &&
        wt_labels_read(&labels, path, classes, &err) == WT_OK) {
        FUZZ_EXPECT(labels.text[labels.bytes - 1] == 0);
        FUZZ_EXPECT(wt_labels_check(labels.text, labels.bytes, classes, &err) == WT_OK);
        wt_labels_free(&labels);
    }
    if (classes >= 1 && classes <= 1000)
        check_others(classes);
    close(fd);
    return 0;
}
