/* Every engine against the activations that PyTorch had after each stage, real weights, one
 * photograph: the first stage that differs is named. Needs RESNET_SHARED; skipped without it.
 * timeout: 300 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zip.h>

#include "fcgi/classify_files.h"
#include "fcgi/npy.h"
#include "weights/source.h"

enum { N_STAGES = 6, SIDE = 224 };

static const char *const stages[N_STAGES] = {"maxpool", "layer1", "layer2",
                                             "layer3",  "layer4", "avgpool"};

/* Largest difference as a share of the stage's largest magnitude that any engine had, times three.
 * PyTorch's own float32 sums are in it. */
static const double bounds[N_STAGES] = {1.6e-6, 7.6e-6, 6.4e-6, 4.1e-6, 3.7e-6, 3.7e-6};

struct golden {
    struct wt_folded folded;
    float *input;            /* [3, SIDE, SIDE] */
    float *stage[N_STAGES];  /* as PyTorch had them */
    size_t floats[N_STAGES]; /* in each */
};

struct watch {
    const struct golden *golden;
    struct kn_plan *plan;
    double worst[N_STAGES];
    int seen;
};

static const char *data_path(const char *name, char path[4096])
{
    snprintf(path, 4096, "%s/data/%s", getenv("RESNET_SHARED"), name);
    return path;
}

/* The array's floats, in a block of their own. */
static float *floats_of(const uint8_t *bytes, size_t n, size_t *floats)
{
    struct fcgi_npy npy;
    char text[256];
    float *copy;

    if (fcgi_npy_parse(bytes, n, &npy, text) != 0)
        fail_msg("%s", text);
    assert_int_equal(npy.type, FCGI_NPY_F4);
    copy = malloc(npy.data_bytes);
    memcpy(copy, npy.data, npy.data_bytes);
    *floats = npy.data_bytes / sizeof(float);
    return copy;
}

static float *from_zip(zip_t *zip, const char *name, size_t *floats)
{
    char entry[64];
    zip_stat_t info;
    zip_file_t *file;
    uint8_t *bytes;
    float *copy;

    snprintf(entry, sizeof(entry), "%s.npy", name);
    assert_int_equal(zip_stat(zip, entry, 0, &info), 0);
    bytes = malloc(info.size);
    file = zip_fopen(zip, entry, 0);
    assert_non_null(file);
    assert_int_equal(zip_fread(file, bytes, info.size), (zip_int64_t)info.size);
    zip_fclose(file);
    copy = floats_of(bytes, info.size, floats);
    free(bytes);
    return copy;
}

static void load_stages(struct golden *golden)
{
    char path[4096];
    zip_t *zip = zip_open(data_path("ref/acts_image0.npz", path), ZIP_RDONLY, NULL);

    assert_non_null(zip);
    for (int s = 0; s < N_STAGES; s++)
        golden->stage[s] = from_zip(zip, stages[s], &golden->floats[s]);
    zip_discard(zip);
}

static void load_weights(struct golden *golden)
{
    char path[4096];
    struct wt_source source;
    struct wt_err err;

    if (wt_source_open(&source, data_path("weights/resnet50.safetensors", path), &err) != WT_OK ||
        wt_fold_source(&golden->folded, &source, SIDE, &err) != WT_OK)
        fail_msg("%s", err.text);
    wt_source_close(&source);
}

static int set_up(void **state)
{
    static struct golden golden;
    char path[4096], text[256];
    uint8_t *bytes = NULL;
    size_t size = 0, floats;
    int64_t n;

    if (getenv("RESNET_SHARED") == NULL || access(data_path("ref/input4.npy", path), R_OK) != 0)
        return 0;
    load_weights(&golden);
    load_stages(&golden);
    n = fcgi_classify_files_read(data_path("ref/input4.npy", path), &bytes, &size, text);
    assert_true(n > 0);
    golden.input = floats_of(bytes, (size_t)n, &floats);
    assert_int_equal(floats, 4 * 3 * SIDE * SIDE);
    free(bytes);
    *state = &golden;
    return 0;
}

static int tear_down(void **state)
{
    struct golden *golden = *state;

    if (golden == NULL)
        return 0;
    for (int s = 0; s < N_STAGES; s++)
        free(golden->stage[s]);
    free(golden->input);
    wt_folded_free(&golden->folded);
    return 0;
}

/* Which stage ends with this layer, or -1. */
static int stage_after(const struct kn_net *net, int layer)
{
    const struct kn_layer *l = &net->layer[layer];

    if (l->op == KN_MAXPOOL)
        return 0;
    if (l->op == KN_AVGPOOL)
        return N_STAGES - 1;
    return l->stage >= 1 && l->stage <= 4 && net->layer[layer + 1].stage != l->stage ? l->stage
                                                                                     : -1;
}

static int compare_stage(void *ctx, int layer)
{
    struct watch *watch = ctx;
    int s = layer > 0 ? stage_after(kn_plan_net(watch->plan), layer - 1) : -1;
    double largest = 0, worst = 0;
    float *found;

    if (s < 0)
        return 1;
    found = malloc(watch->golden->floats[s] * sizeof(float));
    kn_plan_output(watch->plan, layer - 1, found);
    for (size_t i = 0; i < watch->golden->floats[s]; i++) {
        double want = watch->golden->stage[s][i];

        worst = fmax(worst, fabs((double)found[i] - want));
        largest = fmax(largest, fabs(want));
    }
    free(found);
    watch->worst[s] = worst / largest;
    watch->seen++;
    return 1;
}

/* The folded weights in the layout that an engine reads. Returns the block that they are in. */
static void *pack_for(const struct golden *golden, const char *layout, struct kn_weight *packed)
{
    const struct kn_net *net = &golden->folded.net;
    size_t total = 0, at = 0;
    uint8_t *memory;

    for (int i = 0; i < net->n_layers; i++)
        total += (kn_pack_bytes(layout, &net->layer[i]) + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN;
    memory = aligned_alloc(KN_ALIGN, total);
    assert_non_null(memory);
    for (int i = 0; i < net->n_layers; i++) {
        size_t bytes = kn_pack_bytes(layout, &net->layer[i]);

        packed[i] = golden->folded.weights[i];
        if (bytes == 0)
            continue;
        packed[i].w = memory + at;
        kn_pack(layout, &net->layer[i], golden->folded.weights[i].w, memory + at);
        at += (bytes + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN;
    }
    return memory;
}

static void check_engine(const struct golden *golden, const char *isa)
{
    struct kn_options options = {.isa = isa, .max_batch = 1, .max_threads = 1};
    struct kn_weight packed[KN_MAX_LAYERS];
    struct watch watch = {.golden = golden};
    struct kn_err err;
    const char *layout = kn_plan_layout(isa, "fp32", &err);
    void *memory;
    float *logits = calloc((size_t)golden->folded.net.classes, sizeof(float));

    assert_non_null(layout);
    memory = pack_for(golden, layout, packed);
    assert_int_equal(kn_plan_new(&watch.plan, &golden->folded.net, packed, &options, &err), KN_OK);
    assert_int_equal(kn_run(watch.plan, golden->input, 1, logits, NULL, compare_stage, &watch),
                     KN_OK);
    assert_int_equal(watch.seen, N_STAGES);
    for (int s = 0; s < N_STAGES; s++) {
        print_message("%s: %s differs by %.2e of its largest magnitude\n", isa, stages[s],
                      watch.worst[s]);
        if (!(watch.worst[s] <= bounds[s]))
            fail_msg("%s: %s is the first stage that differs: %.2e, allowed %.2e", isa, stages[s],
                     watch.worst[s], bounds[s]);
    }
    kn_plan_free(watch.plan);
    free(logits);
    free(memory);
}

static void every_engine(void **state)
{
    char names[256], *next = names;

    if (*state == NULL) {
        print_message("RESNET_SHARED has no data: no weights, no activations\n");
        skip();
    }
    snprintf(names, sizeof(names), "%s", kn_isa_names());
    for (char *isa; (isa = strtok_r(next, ", ", &next)) != NULL;)
        check_engine(*state, isa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_engine, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
