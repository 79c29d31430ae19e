/* weights-tiny.h: a ResNet-18 of two channels for 32 x 32 pixels, packed: 60 kB that have all that
 * a model file has. For the tests of weights/. */
#ifndef TESTS_UNIT_WEIGHTS_TINY_H
#define TESTS_UNIT_WEIGHTS_TINY_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weights/digest.h"
#include "weights/pack.h"
#include "weights/random.h"

#define T_SOURCE_SHA256 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

struct t_tiny {
    struct wt_folded folded;
    struct wt_recipe recipe;
    struct wt_labels labels;
    struct wt_rnm_selftest *selftest;
    struct wt_pack pack;
};

static inline void t_must(int code, const struct wt_err *err)
{
    if (code != WT_OK)
        fail_msg("%s", err->text);
}

static inline void t_tiny_new(struct t_tiny *tiny)
{
    struct wt_random random = {.seed = 3, .depth = 18, .width = 2, .classes = 5};
    struct wt_err err = {.text = ""};

    *tiny = (struct t_tiny){.recipe = wt_recipe_default};
    tiny->recipe.resize = tiny->recipe.crop = 32;
    tiny->recipe.mean[1] = 0.25f;
    tiny->recipe.squash = 1;
    tiny->recipe.interpolation = WT_BICUBIC;
    t_must(wt_random_make(&tiny->folded, &random, 32, &err), &err);
    t_must(wt_labels_default(&tiny->labels, 5, &err), &err);
    t_must(wt_selftest_compute(&tiny->selftest, &tiny->folded.net, tiny->folded.weights,
                               &tiny->recipe, 1, NULL, &err),
           &err);
    tiny->pack = (struct wt_pack){
        .net = &tiny->folded.net,
        .weights = tiny->folded.weights,
        .recipe = &tiny->recipe,
        .labels = &tiny->labels,
        .selftest = tiny->selftest,
        .name = "Tiny \"net\"",
        .source_sha256 = T_SOURCE_SHA256,
    };
}

static inline void t_tiny_free(struct t_tiny *tiny)
{
    free(tiny->selftest);
    wt_labels_free(&tiny->labels);
    wt_folded_free(&tiny->folded);
}

/* A directory of the test's own, and how many names are in it. */
static inline void t_directory(char path[64])
{
    snprintf(path, 64, "%s", "/tmp/resnet-unit-XXXXXX");
    assert_non_null(mkdtemp(path));
}

static inline int t_names_in(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;

    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    closedir(dir);
    return n;
}

/* A file's bytes: malloc'ed. */
static inline uint8_t *t_slurp(const char *path, size_t *bytes)
{
    struct stat st;
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    uint8_t *data = malloc((size_t)st.st_size);
    assert_non_null(data);
    assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
    close(fd);
    *bytes = (size_t)st.st_size;
    return data;
}

/* A file that is only memory, and the path it has. */
struct t_memfd {
    int fd;
    char path[64];
};

static inline void t_memfd_new(struct t_memfd *m, const void *data, size_t bytes)
{
    m->fd = memfd_create("model", MFD_CLOEXEC);
    assert_true(m->fd >= 0);
    snprintf(m->path, sizeof(m->path), "/proc/self/fd/%d", m->fd);
    assert_int_equal(pwrite(m->fd, data, bytes, 0), bytes);
}

static inline void t_memfd_set(const struct t_memfd *m, const void *data, size_t bytes)
{
    assert_int_equal(ftruncate(m->fd, (off_t)bytes), 0);
    assert_int_equal(pwrite(m->fd, data, bytes, 0), bytes);
}

/* Makes the head's CRC right again, after a test changed it on purpose. */
static inline void t_fix_head(uint8_t *image)
{
    struct wt_rnm_header *h = (struct wt_rnm_header *)image;

    h->head_crc = 0;
    h->head_crc = wt_digest_crc32c(0, image, h->head_bytes);
}

static inline void t_fix_section(uint8_t *image, int i)
{
    struct wt_rnm_header *h = (struct wt_rnm_header *)image;
    struct wt_rnm_section *s = (struct wt_rnm_section *)(image + h->sections_offset) + i;

    s->crc = wt_digest_crc32c(0, image + s->offset, s->bytes);
    t_fix_head(image);
}

#endif
