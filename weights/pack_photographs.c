/* pack_photographs.c: a directory of photographs as the network's 8-bit input. */
#include "weights/pack_photographs.h"

#include <stdio.h>
#include <stdlib.h>

#include "fcgi/classify_files.h"
#include "fcgi/image.h"

/* Of one picture: what RESNET_MAX_PIXELS and RESNET_MAX_DECODE_MEMORY are for a request. */
static const struct fcgi_image_limits limits = {
    .max_pixels = 64000000, .max_decode_bytes = 256 << 20, .fast = 0};

struct reading {
    const struct wt_recipe *recipe;
    struct wt_crops *crops;
    uint8_t *bytes; /* of the file in hand */
    size_t size;
};

static void leave_out(const char *path, const char *why)
{
    fprintf(stderr, "resnet-pack: %s: not used to calibrate: %s\n", path, why);
}

static void read_one(struct reading *r, const char *path)
{
    size_t side = (size_t)r->recipe->crop;
    uint8_t *crop = r->crops->pixels + (size_t)r->crops->n * 3 * side * side;
    struct fcgi_image_timing timing = {0, 0};
    struct fcgi_err err;
    char text[256];
    int64_t n = fcgi_classify_files_read(path, &r->bytes, &r->size, text);

    if (n < 0)
        leave_out(path, text);
    else if (fcgi_image_crop(r->bytes, (size_t)n, r->recipe, &limits, crop, &timing, NULL, NULL,
                             &err) != FCGI_E_OK)
        leave_out(path, err.text);
    else
        r->crops->n++;
}

/* Reads every so-and-so-many-th file, so that `most` of them, or all, are tried. */
static int read_some(struct reading *r, const struct fcgi_classify_files *files, size_t most,
                     const struct wt_progress *progress, struct wt_err *err)
{
    for (size_t i = 0; i < most; i++) {
        if (wt_progress(progress, "reading", (double)i / (double)most) != 0)
            return wt_fail(err, WT_EIO, "calibration was given up, as asked");
        read_one(r, files->file[i * files->n / most].path);
    }
    return WT_OK;
}

int wt_photographs_read(struct wt_crops *crops, const char *path, const struct wt_recipe *recipe,
                        const struct wt_progress *progress, struct wt_err *err)
{
    struct reading r = {.recipe = recipe, .crops = crops};
    struct fcgi_classify_files files = {NULL, 0, 0};
    size_t side = (size_t)recipe->crop, most;
    char text[256];
    int code = WT_OK;

    *crops = (struct wt_crops){.side = recipe->crop};
    if (fcgi_classify_files_add(&files, path, text) != 0) {
        code = wt_fail(err, WT_EIO, "--calibrate: %s", text);
        goto out;
    }
    most = files.n < WT_PHOTOGRAPHS_MAX ? files.n : WT_PHOTOGRAPHS_MAX;
    crops->pixels = calloc(most > 0 ? most : 1, 3 * side * side);
    if (crops->pixels == NULL)
        code = wt_fail(err, WT_ENOMEM, "no memory for %zu photographs", most);
    else if ((code = read_some(&r, &files, most, progress, err)) == WT_OK && crops->n == 0)
        code = wt_fail(err, WT_EFORMAT,
                       "--calibrate %s: expected photographs, found none that can be decoded among "
                       "%zu files",
                       path, files.n);
out:
    free(r.bytes);
    fcgi_classify_files_free(&files);
    if (code != WT_OK) {
        free(crops->pixels);
        *crops = (struct wt_crops){0};
    }
    return code;
}
