/* Calibration: the same network after equalising, biases that give back what rounding takes, the
 * best of what was tried, and what the file then says of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/quant.h"
#include "tests/unit/weights-tiny.h"
#include "weights/calibrate.h"
#include "weights/compare.h"
#include "weights/equalise.h"
#include "weights/report.h"

enum { PICTURES = 3, SIDE = 32, CLASSES = 5 };

static struct t_tiny tiny;
static uint8_t pixels[PICTURES][SIDE * SIDE * 3];
static const struct wt_crops crops = {.pixels = pixels[0], .n = PICTURES, .side = SIDE};
static float norms[KN_MAX_LAYERS][64];

/* The tiny network as if it had had batch-norm, channels of very different size. */
static void add_norms(void)
{
    struct wt_folded *f = &tiny.folded;

    for (int i = 0; i < f->net.n_layers; i++) {
        int oc = f->net.layer[i].oc;
        if (f->net.layer[i].op != KN_CONV)
            continue;
        for (int c = 0; c < oc; c++) {
            norms[i][c] = 0.1f;
            norms[i][oc + c] = c % 2 ? 1.0f : 0.125f;
        }
        f->norm[i] = norms[i];
    }
}

static int set_up(void **state)
{
    (void)state;
    t_tiny_new(&tiny);
    for (int i = 0; i < PICTURES; i++)
        wt_picture_draw(pixels[i], SIDE, (uint64_t)i);
    add_norms();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    t_tiny_free(&tiny);
    return 0;
}

static int find(const char *name)
{
    for (int i = 0; i < tiny.folded.net.n_layers; i++)
        if (strcmp(tiny.folded.net.layer[i].name, name) == 0)
            return i;
    fail_msg("no layer %s", name);
    return -1;
}

/* Logits of picture 0 by `ref`. */
static void run(const struct wt_folded *f, float logits[CLASSES])
{
    static float x[3 * SIDE * SIDE];
    const struct kn_options options = {.isa = "ref", .max_batch = 1, .max_threads = 1};
    struct kn_plan *plan;

    assert_int_equal(kn_plan_new(&plan, &f->net, f->weights, &options, NULL), KN_OK);
    wt_picture_normalise(pixels[0], &tiny.recipe, x);
    assert_int_equal(kn_run(plan, x, 1, logits, NULL, NULL, NULL), KN_OK);
    kn_plan_free(plan);
}

static void equalising_changes_no_answer(void **state)
{
    int first = find("layer2.0.conv1"), second = find("layer2.0.conv2"), sum = find("conv1");
    float before[CLASSES], after[CLASSES];
    struct wt_statistics told;
    struct wt_folded equal;
    struct wt_err err = {.text = ""};

    (void)state;
    t_must(wt_statistics_assume(&told, &tiny.folded, &err), &err);
    t_must(wt_equalise(&equal, &tiny.folded, &told, &err), &err);
    run(&tiny.folded, before);
    run(&equal, after);
    for (int c = 0; c < CLASSES; c++)
        if (!(fabsf(before[c] - after[c]) <= 1e-5f * fabsf(before[c]) + 1e-6f))
            fail_msg("logit %d: %g became %g", c, (double)before[c], (double)after[c]);

    /* A small channel has become larger in the first, and what reads it smaller. */
    const float *w[] = {tiny.folded.weights[first].w, equal.weights[first].w};
    float scale = w[1][0] / w[0][0];
    assert_true(scale > 1.2f);
    assert_true(fabsf(equal.norm[first][0] - scale * 0.1f) < 1e-6f);
    w[0] = tiny.folded.weights[second].w, w[1] = equal.weights[second].w;
    assert_true(fabsf(w[1][0] * scale / w[0][0] - 1) < 1e-5f);
    /* What a sum or a pool reads too stays as it is. */
    assert_memory_equal(equal.weights[sum].bias, tiny.folded.weights[sum].bias, 2 * sizeof(float));
    assert_memory_equal(equal.weights[second].bias, tiny.folded.weights[second].bias, 16);
    wt_folded_free(&equal);
    wt_statistics_free(&told);
}

static void decibels(void **state)
{
    (void)state;
    assert_true(fabs(wt_compare_db(100, 1) - 20) < 1e-9);
    assert_true(wt_compare_db(1, 0) == WT_COMPARE_EXACT && wt_compare_db(0, 1) == 0);
}

static double step_of(const struct wt_int8 *int8, const char *layer)
{
    return (double)int8->step[tiny.folded.net.layer[find(layer)].out];
}

static void pictures_set_the_steps(void **state)
{
    static struct wt_int8 int8;
    struct wt_statistics seen;
    struct wt_err err = {.text = ""};
    const int fc = tiny.folded.net.n_layers - 1;

    (void)state;
    t_must(wt_calibrate(&int8, &tiny.folded, &tiny.recipe, &crops, 0, NULL, &err), &err);
    assert_int_equal(int8.about.pictures, PICTURES);
    assert_true(int8.about.clip < WT_N_CLIPS);
    t_must(wt_statistics_gather(&seen, &tiny.folded, &tiny.recipe, &crops, NULL, &err), &err);
    double clip = wt_histogram_clip(&seen.histogram[0], (enum wt_clip)int8.about.clip, 255);
    assert_true(step_of(&int8, "conv1") == (double)(float)(clip / KN_QUANT_U8_MOST));
    for (int i = 0; i <= fc; i++)
        if (!(int8.snr_db[i] > 15 && int8.snr_db[i] <= (float)WT_COMPARE_EXACT))
            fail_msg("%s: %g dB", tiny.folded.net.layer[i].name, (double)int8.snr_db[i]);
    wt_statistics_free(&seen);
    wt_calibrate_free(&int8);
}

/* Each way of cutting, tried here once more: none does better than the one that was taken. */
static void the_best_way_is_taken(void **state)
{
    static struct wt_int8 int8;
    const struct kn_net *net = &tiny.folded.net;
    const struct wt_pack pack = {
        .net = net, .weights = tiny.folded.weights, .recipe = &tiny.recipe, .int8 = &int8};
    struct wt_statistics seen;
    struct wt_engine fp32, engine;
    struct wt_err err = {.text = ""};
    float snr_db[KN_MAX_LAYERS], worst = (float)WT_COMPARE_EXACT;

    (void)state;
    t_must(wt_calibrate(&int8, &tiny.folded, &tiny.recipe, &crops, 1, NULL, &err), &err);
    t_must(wt_statistics_gather(&seen, &tiny.folded, &tiny.recipe, &crops, NULL, &err), &err);
    t_must(wt_engine_new(&fp32, &pack, "fp32", &err), &err);
    float taken = int8.snr_db[net->n_layers - 1];
    assert_true(taken > 10 && taken < (float)WT_COMPARE_EXACT);
    for (int clip = 0; clip < WT_N_CLIPS; clip++) {
        wt_statistics_steps(&seen, net, (enum wt_clip)clip, int8.step);
        t_must(wt_engine_new(&engine, &pack, "int8", &err), &err);
        t_must(
            wt_compare_layers(snr_db, &fp32, &engine, &tiny.recipe, &crops, PICTURES, NULL, &err),
            &err);
        float db = snr_db[net->n_layers - 1];
        worst = fminf(worst, db);
        if (!(db <= taken + 0.01f))
            fail_msg("%s: %g dB, taken were %g", wt_clip_name((enum wt_clip)clip), (double)db,
                     (double)taken);
        wt_engine_free(&engine);
    }
    assert_true(worst < taken - 0.5f);
    wt_engine_free(&fp32);
    wt_statistics_free(&seen);
    wt_calibrate_free(&int8);
}

/* What is rounded of a filter, times the mean of what it reads, comes back by the bias. */
static void biases_give_back_what_rounding_takes(void **state)
{
    static struct wt_int8 int8;
    const int layer = find("layer1.0.conv1");
    const struct kn_layer *l = &tiny.folded.net.layer[layer];
    struct wt_statistics seen;
    struct wt_err err = {.text = ""};

    (void)state;
    t_must(wt_calibrate(&int8, &tiny.folded, &tiny.recipe, &crops, 1, NULL, &err), &err);
    t_must(wt_statistics_gather(&seen, &tiny.folded, &tiny.recipe, &crops, NULL, &err), &err);
    const float *w = int8.weights[layer].w;
    for (int o = 0; o < l->oc; o++) {
        double largest = 0, lost = 0;
        for (int k = 0; k < l->ic * 9; k++)
            largest = fmax(largest, fabs((double)w[o * l->ic * 9 + k]));
        for (int k = 0; k < l->ic * 9; k++) {
            double x = (double)w[o * l->ic * 9 + k], step = largest / 127;
            lost += (x - rint(x / step) * step) * seen.mean[find("maxpool")][k / 9];
        }
        double want = (double)tiny.folded.weights[layer].bias[o] + lost;
        assert_true(fabs(lost) > 1e-6);
        assert_true(fabs((double)int8.weights[layer].bias[o] - want) < 1e-6);
    }
    assert_true(int8.weights[0].bias == tiny.folded.weights[0].bias); /* 16 bits lose nothing */
    wt_statistics_free(&seen);
    wt_calibrate_free(&int8);
}

static void batch_norm_does_without_pictures(void **state)
{
    static struct wt_int8 int8;
    struct wt_err err = {.text = ""};

    (void)state;
    t_must(wt_calibrate(&int8, &tiny.folded, &tiny.recipe, NULL, 0, NULL, &err), &err);
    assert_int_equal(int8.about.pictures, 0);
    double reach = step_of(&int8, "conv1") * KN_QUANT_U8_MOST;
    assert_true(fabs(reach - (0.1 + WT_HISTOGRAM_SIGMAS)) < 0.02);
    assert_true(isnan(int8.snr_db[0]));
    wt_calibrate_free(&int8);

    struct wt_folded without = tiny.folded;
    memset(without.norm, 0, sizeof(without.norm));
    assert_int_equal(wt_calibrate(&int8, &without, &tiny.recipe, NULL, 0, NULL, &err), WT_ETENSOR);
    assert_null(int8.biases);
    t_must(wt_calibrate(&int8, &without, &tiny.recipe, &crops, 1, NULL, &err), &err);
    wt_calibrate_free(&int8);
}

struct stopper {
    const char *at;
    int seen;
};

static int stop(void *ctx, const char *what, double share)
{
    struct stopper *s = ctx;

    assert_true(share >= 0 && share <= 1);
    s->seen += strcmp(what, s->at) == 0;
    return s->seen > 0;
}

static void calibration_can_be_given_up(void **state)
{
    static const char *const stages[] = {"observing", "trying", "comparing"};
    static struct wt_int8 int8;

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct stopper stopper = {stages[i], 0};
        const struct wt_progress progress = {.report = stop, .ctx = &stopper};
        struct wt_err err = {.text = ""};
        assert_int_equal(
            wt_calibrate(&int8, &tiny.folded, &tiny.recipe, &crops, 0, &progress, &err), WT_EIO);
        assert_true(stopper.seen > 0);
        assert_null(int8.biases);
        assert_null(int8.equal.memory);
    }
}

/* What has become of a note when somebody else's program wrote the file. */
enum damage { NONE, OTHER_TYPE, OTHER_SIZE, OTHER_NAME, OTHER_CLIP };

static void damage_notes(const char *path, enum damage damage)
{
    size_t bytes;
    uint8_t *image = t_slurp(path, &bytes);
    struct wt_rnm_header *h = (struct wt_rnm_header *)image;
    struct wt_rnm_section *s = (struct wt_rnm_section *)(image + h->sections_offset);
    s += h->n_sections - 1;
    struct wt_rnm_tensor *t = (struct wt_rnm_tensor *)(image + s->tensors_offset);

    for (t += s->n_tensors - 2; damage != NONE && strncmp(t->name, "calibration.", 12) == 0; t++) {
        t->dtype = damage == OTHER_TYPE ? WT_RNM_S16 : t->dtype;
        t->bytes -= damage == OTHER_SIZE ? 4 : 0;
        t->name[0] = damage == OTHER_NAME ? 'x' : t->name[0];
        if (damage == OTHER_CLIP && strstr(t->name, ".about") != NULL)
            image[s->offset + t->offset + offsetof(struct wt_rnm_calibration, clip)] = WT_N_CLIPS;
        if (strstr(t->name, ".snr") != NULL)
            break;
    }
    t_fix_head(image);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(image, 1, bytes, file), bytes);
    fclose(file);
    free(image);
}

/* Packs with that calibration. -> what info says, malloc'ed */
static char *described(struct wt_int8 *int8, int json, enum damage damage)
{
    struct wt_pack pack = tiny.pack;
    char directory[64], path[96], *text;
    struct wt_err err = {.text = ""};
    struct wt_view view;
    size_t bytes;

    pack.precisions = 1u << WT_IN_FP32 | 1u << WT_IN_INT8;
    pack.int8 = int8;
    t_directory(directory);
    snprintf(path, sizeof(path), "%s/int8.rnm", directory);
    t_must(wt_pack_write(&pack, path, NULL, &err), &err);
    damage_notes(path, damage);
    t_must(wt_view_open(&view, path, &err), &err);
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    json ? wt_report_int8_json(&view, out) : wt_report_int8_text(&view, out);
    fclose(out);
    wt_view_close(&view);
    unlink(path);
    rmdir(directory);
    return text;
}

static void assert_says(char *text, const char *words)
{
    if (strstr(text, words) == NULL)
        fail_msg("expected \"%s\" in: %s", words, text);
}

static void info_says_how(void **state)
{
    static struct wt_int8 int8;
    struct wt_err err = {.text = ""};
    char words[64];

    (void)state;
    t_must(wt_calibrate(&int8, &tiny.folded, &tiny.recipe, &crops, 0, NULL, &err), &err);
    char *text = described(&int8, 1, NONE);
    snprintf(words, sizeof(words), "\"cut\":\"%s\"", wt_clip_name((enum wt_clip)int8.about.clip));
    assert_says(text, "\"int8\":{\"ranges\":\"photographs\",\"pictures\":3,");
    assert_says(text, words);
    snprintf(words, sizeof(words), "\"conv1\":%.2f,", (double)int8.snr_db[0]);
    assert_says(text, words);
    snprintf(words, sizeof(words), "\"fc\":%.2f}}",
             (double)int8.snr_db[tiny.folded.net.n_layers - 1]);
    assert_says(text, words);
    free(text);
    text = described(&int8, 0, NONE);
    assert_says(text, "ranges by photographs (3)");
    assert_says(text, "layer4.1.conv2");
    free(text);
    text = described(&int8, 1, OTHER_CLIP);
    assert_says(text, "\"int8\":{\"ranges\":\"photographs\",\"snr_db\":{\"conv1\":");
    free(text);
    for (enum damage damage = OTHER_TYPE; damage <= OTHER_NAME; damage++) {
        text = described(&int8, 0, damage);
        assert_says(text, "ranges by photographs; its error was not measured");
        free(text);
        text = described(&int8, 1, damage);
        assert_string_equal(text, "\"int8\":{\"ranges\":\"photographs\",\"snr_db\":{}}");
        free(text);
    }
    wt_calibrate_free(&int8);

    t_must(wt_calibrate(&int8, &tiny.folded, &tiny.recipe, NULL, 0, NULL, &err), &err);
    text = described(&int8, 1, NONE);
    assert_says(text, "\"int8\":{\"ranges\":\"batch-norm\",\"pictures\":0,");
    assert_says(text, "\"conv1\":null,");
    free(text);
    text = described(&int8, 0, NONE);
    assert_says(text, "ranges by batch-norm; its error was not measured");
    free(text);
    wt_calibrate_free(&int8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equalising_changes_no_answer),
        cmocka_unit_test(decibels),
        cmocka_unit_test(pictures_set_the_steps),
        cmocka_unit_test(the_best_way_is_taken),
        cmocka_unit_test(biases_give_back_what_rounding_takes),
        cmocka_unit_test(batch_norm_does_without_pictures),
        cmocka_unit_test(calibration_can_be_given_up),
        cmocka_unit_test(info_says_how),
    };

    return cmocka_run_group_tests_name("weights-calibrate", tests, set_up, tear_down);
}
