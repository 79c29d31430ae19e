/* The classifier: images, batches, orders, refusals, and what the caller can stop. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/classify.h"
#include "fcgi/config.h"
#include "fcgi/preprocess.h"
#include "tests/fixtures/jpeg.h"
#include "tests/fixtures/model.h"

enum { SIDE = 64, CLASSES = 10, MAX_IMAGES = 3 };

static const struct fcgi_image_limits roomy = {.max_pixels = 64000000,
                                               .max_decode_bytes = (uint64_t)256 << 20};
static char path[] = "/tmp/classify-XXXXXX";

static void write_model(enum wt_activation activation)
{
    struct wt_recipe recipe = wt_recipe_default;
    struct wt_err err;

    recipe.resize = 72;
    recipe.crop = SIDE;
    recipe.activation = activation;
    if (t_model_write(path, &recipe, &err) != 0)
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    if (fd < 0)
        return -1;
    close(fd);
    write_model(WT_SOFTMAX);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static void open_it(struct fcgi_classifier *classifier)
{
    struct fcgi_classifier_options options = {
        .path = path, .max_images = MAX_IMAGES, .max_threads = 1};
    char text[512] = "";

    if (fcgi_classifier_open(classifier, &options, NULL, text) != 0)
        fail_msg("%s", text);
}

static struct fcgi_span drawn(uint32_t seed, int orientation)
{
    struct t_image image = t_image_draw(90, 120, seed);
    struct t_bytes jpeg = t_jpeg_make(&image, &(struct t_jpeg){.orientation = orientation});

    free(image.rgb);
    return (struct fcgi_span){jpeg.p, jpeg.n};
}

static void free_span(struct fcgi_span *span)
{
    free((void *)(uintptr_t)span->bytes);
}

/* Each image of a request gets what it gets alone, to the bit. */
static void together_as_alone(void **state)
{
    struct fcgi_span images[MAX_IMAGES] = {drawn(1, 0), drawn(2, 6), drawn(3, 0)};
    float together[MAX_IMAGES * CLASSES];
    struct fcgi_classify_times times;
    struct fcgi_classifier c;
    struct fcgi_err err;

    (void)state;
    open_it(&c);
    assert_int_equal(fcgi_classify_images(&c, images, 3, &roomy, -1, &times, NULL, &err),
                     FCGI_E_OK);
    assert_true(times.decode_ns > 0 && times.resize_ns > 0 && times.infer_ns > 0);
    memcpy(together, c.logits, sizeof(together));
    assert_memory_not_equal(together, together + CLASSES, CLASSES * sizeof(float));
    for (int i = 0; i < MAX_IMAGES; i++) {
        assert_int_equal(fcgi_classify_images(&c, images + i, 1, &roomy, -1, &times, NULL, &err),
                         FCGI_E_OK);
        assert_memory_equal(c.logits, together + i * CLASSES, CLASSES * sizeof(float));
        free_span(&images[i]);
    }
    fcgi_classifier_close(&c);
}

static void exif_as_asked(void **state)
{
    struct fcgi_span upright = drawn(4, 0), turned = drawn(4, 6);
    struct fcgi_classify_times times;
    float plain[CLASSES];
    struct fcgi_classifier c;
    struct fcgi_err err;

    (void)state;
    open_it(&c);
    fcgi_classify_images(&c, &upright, 1, &roomy, -1, &times, NULL, &err);
    memcpy(plain, c.logits, sizeof(plain));
    fcgi_classify_images(&c, &turned, 1, &roomy, WT_EXIF_IGNORE, &times, NULL, &err);
    assert_memory_equal(c.logits, plain, sizeof(plain));
    fcgi_classify_images(&c, &turned, 1, &roomy, WT_EXIF_APPLY, &times, NULL, &err);
    assert_memory_not_equal(c.logits, plain, sizeof(plain));
    fcgi_classify_images(&c, &turned, 1, &roomy, -1, &times, NULL, &err); /* the recipe: apply */
    assert_memory_not_equal(c.logits, plain, sizeof(plain));
    fcgi_classifier_close(&c);
    free_span(&upright);
    free_span(&turned);
}

static void tensor_as_image(void **state)
{
    struct fcgi_span image = drawn(5, 0);
    struct fcgi_classify_times times;
    float x[3 * SIDE * SIDE], logits[CLASSES];
    struct fcgi_classifier c;
    struct fcgi_err err;

    (void)state;
    open_it(&c);
    fcgi_classify_images(&c, &image, 1, &roomy, -1, &times, NULL, &err);
    memcpy(x, c.input, sizeof(x));
    memcpy(logits, c.logits, sizeof(logits));
    memset(c.logits, 0, sizeof(logits));
    assert_int_equal(fcgi_classify_tensor(&c, x, 1, &times, NULL, &err), FCGI_E_OK);
    assert_memory_equal(c.logits, logits, sizeof(logits));
    assert_int_equal(times.decode_ns, 0);
    fcgi_classifier_close(&c);
    free_span(&image);
}

static void the_bad_one_is_numbered(void **state)
{
    struct fcgi_span images[2] = {drawn(6, 0), {(const uint8_t *)"GIF89a..", 8}};
    struct fcgi_classify_times times;
    struct fcgi_classifier c;
    struct fcgi_err err;

    (void)state;
    open_it(&c);
    assert_int_equal(fcgi_classify_images(&c, images, 2, &roomy, -1, &times, NULL, &err),
                     FCGI_E_UNSUPPORTED_MEDIA_TYPE);
    assert_ptr_equal(strstr(err.text, "image 2 of 2: the image is a GIF"), err.text);
    assert_int_equal(fcgi_classify_images(&c, images + 1, 1, &roomy, -1, &times, NULL, &err),
                     FCGI_E_UNSUPPORTED_MEDIA_TYPE);
    assert_ptr_equal(strstr(err.text, "the image is a GIF"), err.text);
    assert_int_equal(times.infer_ns, 0);
    fcgi_classifier_close(&c);
    free_span(&images[0]);
}

static int stop_at_layer_3(void *ctx, int layer)
{
    *(int *)ctx = layer;
    return layer != 3;
}

static int refuse_tick(void *ctx, struct fcgi_err *err)
{
    (void)ctx;
    fcgi_fail(err, FCGI_E_DEADLINE_EXCEEDED, "the test's own sentence");
    return 0;
}

static void stopped(void **state)
{
    struct fcgi_span image = drawn(7, 0);
    int layer = -1;
    struct fcgi_follow follow = {.between = stop_at_layer_3, .ctx = &layer};
    struct fcgi_classify_times times;
    struct fcgi_classifier c;
    struct fcgi_err err;

    (void)state;
    open_it(&c);
    assert_int_equal(fcgi_classify_images(&c, &image, 1, &roomy, -1, &times, &follow, &err),
                     FCGI_E_CANCELLED);
    assert_int_equal(layer, 3);
    follow = (struct fcgi_follow){.tick = refuse_tick};
    assert_int_equal(fcgi_classify_images(&c, &image, 1, &roomy, -1, &times, &follow, &err),
                     FCGI_E_DEADLINE_EXCEEDED);
    assert_string_equal(err.text, "the test's own sentence");
    assert_int_equal(fcgi_classify_images(&c, &image, 1, &roomy, -1, &times, NULL, &err),
                     FCGI_E_OK);
    fcgi_classifier_close(&c);
    free_span(&image);
}

static void best_first(void **state)
{
    static const float logits[CLASSES] = {0, 3, 1, 3, -1, 5, 1, 1, 2, 0};
    static const int order[CLASSES] = {5, 1, 3, 8, 2, 6, 7, 0, 9, 4}; /* ties by lower class id */
    struct fcgi_prediction top[CLASSES + 1];
    struct fcgi_classifier c;
    double sum = 0;

    (void)state;
    open_it(&c);
    memcpy(c.logits + CLASSES, logits, sizeof(logits));
    for (int k = 0; k <= CLASSES + 1; k++) {
        int n = fcgi_classify_top(&c, 1, k, top);

        assert_int_equal(n, k < CLASSES ? k : CLASSES);
        for (int i = 0; i < n; i++) {
            assert_int_equal(top[i].class_id, order[i]);
            assert_ptr_equal(top[i].label, c.model.labels[order[i]]);
        }
    }
    for (int i = 0; i < CLASSES; i++)
        sum += (double)top[i].probability;
    assert_true(fabs(sum - 1) < 1e-6);
    assert_true(fabs((double)top[0].probability - 0.7187) < 1e-4); /* e^5 / sum of e^logit */
    fcgi_classifier_close(&c);
}

static void sigmoid_where_the_recipe_says_so(void **state)
{
    struct fcgi_prediction top[1];
    struct fcgi_classifier c;

    (void)state;
    write_model(WT_SIGMOID);
    open_it(&c);
    memset(c.logits, 0, CLASSES * sizeof(float));
    c.logits[4] = 2.0f;
    assert_int_equal(fcgi_classify_top(&c, 0, 1, top), 1);
    assert_int_equal(top[0].class_id, 4);
    assert_true(fabs((double)top[0].probability - 1 / (1 + exp(-2))) < 1e-6);
    fcgi_classifier_close(&c);
    write_model(WT_SOFTMAX);
}

static void not_opened(void **state)
{
    struct fcgi_classifier_options good = {.path = path, .max_images = 1, .max_threads = 1}, bad;
    struct fcgi_classifier c;
    char text[512];

    (void)state;
    bad = good;
    bad.path = "/no/such/model.rnm";
    assert_int_equal(fcgi_classifier_open(&c, &bad, NULL, text), FCGI_EXIT_CONFIG);
    assert_non_null(strstr(text, "/no/such/model.rnm"));
    bad = good;
    bad.isa = "abacus";
    assert_int_equal(fcgi_classifier_open(&c, &bad, NULL, text), FCGI_EXIT_CONFIG);
    assert_non_null(strstr(text, "abacus"));
    bad = good;
    bad.precision = "fp1";
    assert_int_equal(fcgi_classifier_open(&c, &bad, NULL, text), FCGI_EXIT_CONFIG);
    assert_non_null(strstr(text, "fp1"));
}

static void open_all(struct fcgi_classifier *classifier, const char *precision)
{
    struct fcgi_classifier_options options = {.path = path,
                                              .precision = precision,
                                              .max_images = MAX_IMAGES,
                                              .max_threads = 2,
                                              .all_precisions = 1};
    char text[512] = "";

    if (fcgi_classifier_open(classifier, &options, NULL, text) != 0)
        fail_msg("%s", text);
}

/* Each is what it is when it is the default, whatever was computed before. */
static void any_precision_that_is_there(void **state)
{
    static const char *const names[] = {"fp32", "bf16", "fp32", "bf16", "bf16"};
    struct fcgi_span image = drawn(6, 0);
    float want[2][CLASSES];
    struct fcgi_classify_times times;
    struct fcgi_classifier c;
    struct fcgi_err err;

    (void)state;
    for (int i = 0; i < 2; i++) {
        open_all(&c, names[i]);
        assert_string_equal(fcgi_classifier_precision(&c), names[i]);
        fcgi_classify_images(&c, &image, 1, &roomy, -1, &times, NULL, &err);
        memcpy(want[i], c.logits, sizeof(want[i]));
        fcgi_classifier_close(&c);
    }
    assert_memory_not_equal(want[0], want[1], sizeof(want[0]));
    open_all(&c, "fp32");
    assert_int_equal(c.others.other[0].proof, FCGI_UNPROVEN);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(fcgi_classifier_choose(&c, names[i], 4, &err), FCGI_E_OK);
        assert_string_equal(fcgi_classifier_precision(&c), names[i]);
        assert_int_equal(fcgi_classify_images(&c, &image, 1, &roomy, -1, &times, NULL, &err),
                         FCGI_E_OK);
        assert_memory_equal(c.logits, want[i == 1 || i > 2], sizeof(want[0]));
    }
    assert_int_equal(c.others.other[0].proof, FCGI_PROVEN);
    fcgi_classifier_choose(&c, NULL, 0, NULL);
    assert_string_equal(fcgi_classifier_precision(&c), "fp32");
    fcgi_classifier_close(&c);
    free_span(&image);
}

static void precisions_that_are_not_there(void **state)
{
    static const char *const wrong[] = {"int8", "fp3", "fp322", "", "bf16\n"};
    struct fcgi_classifier c;
    struct fcgi_err err;

    (void)state;
    open_all(&c, "bf16");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(fcgi_classifier_choose(&c, wrong[i], strlen(wrong[i]), &err),
                         FCGI_E_BAD_REQUEST);
        assert_non_null(strstr(err.text, "(bf16, fp32)"));
        assert_string_equal(fcgi_classifier_precision(&c), "bf16");
    }
    fcgi_classifier_close(&c);
    open_it(&c); /* which binds the default only */
    assert_int_equal(fcgi_classifier_choose(&c, "bf16", 4, &err), FCGI_E_BAD_REQUEST);
    assert_non_null(strstr(err.text, "(fp32)"));
    fcgi_classifier_close(&c);
}

/* A self-test that was stopped says nothing of the weights; one that failed does, for good. */
static void proven_at_the_first_use(void **state)
{
    int layer = -1;
    struct fcgi_follow follow = {.between = stop_at_layer_3, .ctx = &layer};
    struct fcgi_span image = drawn(6, 0);
    struct fcgi_classify_times times;
    struct fcgi_classifier c;
    struct fcgi_err err;

    (void)state;
    open_all(&c, "fp32");
    struct fcgi_other *bf16 = &c.others.other[0];
    fcgi_classifier_choose(&c, "bf16", 4, &err);
    assert_int_equal(fcgi_classify_images(&c, &image, 1, &roomy, -1, &times, &follow, &err),
                     FCGI_E_CANCELLED);
    assert_int_equal(bf16->proof, FCGI_UNPROVEN);
    bf16->model.weights[0].bias = bf16->model.weights[3].bias;
    kn_plan_free(bf16->plan);
    struct kn_options options = {.precision = "bf16", .max_batch = MAX_IMAGES, .beside = c.plan};
    assert_int_equal(
        kn_plan_new(&bf16->plan, &bf16->model.net, bf16->model.weights, &options, NULL), KN_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fcgi_classify_images(&c, &image, 1, &roomy, -1, &times, NULL, &err),
                         FCGI_E_WORKER_FAILED);
        assert_non_null(strstr(err.text, "precision bf16"));
        assert_int_equal(bf16->proof, FCGI_REFUTED);
    }
    fcgi_classifier_close(&c);
    free_span(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(together_as_alone),
        cmocka_unit_test(exif_as_asked),
        cmocka_unit_test(tensor_as_image),
        cmocka_unit_test(the_bad_one_is_numbered),
        cmocka_unit_test(stopped),
        cmocka_unit_test(best_first),
        cmocka_unit_test(sigmoid_where_the_recipe_says_so),
        cmocka_unit_test(not_opened),
        cmocka_unit_test(any_precision_that_is_there),
        cmocka_unit_test(precisions_that_are_not_there),
        cmocka_unit_test(proven_at_the_first_use),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
