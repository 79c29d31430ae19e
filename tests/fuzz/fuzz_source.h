/* fuzz_source.h: weights as people have them: what the fuzzers of both formats do with a file. */
#ifndef TESTS_FUZZ_FUZZ_SOURCE_H
#define TESTS_FUZZ_FUZZ_SOURCE_H

#include "tests/fuzz/fuzz.h"
#include "weights/source.h"

enum { FUZZ_MAX_ELEMENTS = 1 << 16 };

/* Every element of every tensor. */
static inline void fuzz_tensors(const struct wt_source *source)
{
    struct wt_err err;

    for (size_t i = 0; i < source->n_tensors; i++) {
        const struct wt_tensor *tensor = &source->tensors[i];
        int64_t count = wt_tensor_count(tensor);
        float *out;

        FUZZ_EXPECT(tensor->name != NULL && tensor->ndim >= 0 && tensor->ndim <= WT_MAX_DIMS);
        FUZZ_EXPECT(count >= 0 && wt_source_find(source, tensor->name) == tensor);
        if (count > FUZZ_MAX_ELEMENTS)
            continue;
        out = fuzz_block((size_t)count * sizeof *out + 1);
        wt_tensor_floats(tensor, out, &err);
        free(out);
    }
}

static inline void fuzz_source(const uint8_t *bytes, size_t n)
{
    struct wt_folded folded = {.memory = NULL};
    struct wt_source source;
    struct wt_err err;
    char path[32];
    int fd = fuzz_file(bytes, n, path);

    if (wt_source_open(&source, path, &err) == WT_OK) {
        FUZZ_EXPECT(strlen(source.sha256) == 64);
        fuzz_tensors(&source);
        if (wt_fold_source(&folded, &source, 32, &err) == WT_OK)
            wt_folded_free(&folded);
        wt_source_close(&source);
    }
    close(fd);
}

#endif
