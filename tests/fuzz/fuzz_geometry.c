/* geometry: a picture's size, a recipe, an orientation and a scale, two bytes each; then what the
 * resize asks for, and is given, as far as that is little. */
#include "fcgi/preprocess.h"
#include "tests/fuzz/fuzz.h"

enum { NUMBERS = 8, MAX_PIXELS = 1 << 21, MAX_PICTURE_PIXELS = 64000000 };

static void check(const struct fcgi_extent *extent, int crop)
{
    FUZZ_EXPECT(extent->out > 0 && extent->first >= 0 && extent->pad >= 0);
    FUZZ_EXPECT(extent->count >= 1 && extent->count <= extent->out - extent->first);
    FUZZ_EXPECT(extent->count <= crop - extent->pad);
}

/* Rows one by one, each in a block of its own size; the first pass stops half-way. */
static void feed(struct fcgi_resize *resize)
{
    int top = fcgi_resize_first_row(resize), end = fcgi_resize_end_row(resize);
    int left = fcgi_resize_first_column(resize);
    size_t row_bytes = (size_t)(fcgi_resize_end_column(resize) - left) * 3;
    uint8_t *row = fuzz_block(row_bytes + FCGI_RESIZE_SLACK);
    struct fcgi_strip strip = {.rgb = row, .stride = row_bytes, .left = left, .top = top, .n = 1};

    memset(row, 0x5a, row_bytes + FCGI_RESIZE_SLACK);
    for (; strip.top < top + (end - top) / 2; strip.top++)
        fcgi_resize_rows(resize, &strip);
    fcgi_resize_rewind(resize);
    for (strip.top = top; strip.top < end; strip.top++)
        fcgi_resize_rows(resize, &strip);
    free(row);
}

static void normalise(const uint8_t *crop, const struct wt_recipe *recipe)
{
    size_t n = (size_t)recipe->crop * (size_t)recipe->crop * 3;
    float *x = fuzz_block(n * sizeof *x);

    fcgi_preprocess_normalise(crop, recipe, x);
    for (size_t i = 0; i < n; i++)
        FUZZ_EXPECT(x[i] > -3 && x[i] < 3); /* ImageNet's mean and deviation */
    free(x);
}

/* A gray picture stays gray where it is shown. */
static void resize(const struct wt_recipe *recipe, const struct fcgi_extent *across,
                   const struct fcgi_extent *down, int orientation)
{
    size_t crop_bytes = (size_t)recipe->crop * (size_t)recipe->crop * 3;
    int turned = orientation >= 5, shrink = across->shrink;
    int width = ((turned ? down : across)->in + shrink - 1) / shrink;
    int height = ((turned ? across : down)->in + shrink - 1) / shrink;
    uint8_t *crop = fuzz_block(crop_bytes);
    struct fcgi_resize *made =
        fcgi_resize_new(across, down, orientation, recipe->interpolation, crop, recipe->crop);

    FUZZ_EXPECT(made != NULL);
    FUZZ_EXPECT(fcgi_resize_first_row(made) >= 0 && fcgi_resize_first_column(made) >= 0);
    FUZZ_EXPECT(fcgi_resize_first_row(made) < fcgi_resize_end_row(made));
    FUZZ_EXPECT(fcgi_resize_first_column(made) < fcgi_resize_end_column(made));
    FUZZ_EXPECT(fcgi_resize_end_row(made) <= height && fcgi_resize_end_column(made) <= width);
    int64_t rows = fcgi_resize_end_row(made) - fcgi_resize_first_row(made);
    if (rows * width <= MAX_PIXELS) {
        feed(made);
        const uint8_t *middle =
            crop + ((size_t)(down->pad + down->count / 2) * (size_t)recipe->crop +
                    (size_t)(across->pad + across->count / 2)) *
                       3;
        FUZZ_EXPECT(middle[0] == 0x5a && middle[1] == 0x5a && middle[2] == 0x5a);
        normalise(crop, recipe);
    }
    fcgi_resize_free(made);
    free(crop);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    unsigned v[NUMBERS];
    struct wt_recipe recipe = wt_recipe_default;
    struct fcgi_extent across, down;

    if (n < sizeof(uint16_t) * NUMBERS)
        return 0;
    for (int i = 0; i < NUMBERS; i++)
        v[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
    if ((uint64_t)(v[0] + 1) * (v[1] + 1) > MAX_PICTURE_PIXELS)
        return 0; /* RESNET_MAX_PIXELS */
    recipe.crop = 32 + (int)(v[2] % 64);
    recipe.resize = 16 + (int)(v[3] % 512); /* smaller than the crop, too: it is padded then */
    recipe.squash = v[4] & 1;
    recipe.interpolation = v[5] & 1 ? WT_BICUBIC : WT_BILINEAR;
    fcgi_preprocess_extents(&recipe, (int)v[0] + 1, (int)v[1] + 1, &across, &down);
    check(&across, recipe.crop);
    check(&down, recipe.crop);
    across.shrink = down.shrink = 1 << (v[7] & 3);
    if (across.shrink > 1 && (across.in < 64 || down.in < 64))
        across.shrink = down.shrink = 1;
    resize(&recipe, &across, &down, 1 + (int)(v[6] & 7));
    return 0;
}
