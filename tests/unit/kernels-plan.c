/* Whole networks: engines agree, batches change nothing, the callback rules, names are checked. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/bench/jobs.h"
#include "tests/bench/nets.h"

enum { SIDE = 67, CLASSES = 10, MAX_BATCH = 9, MAX_FEATURES = 512 };

enum { N_ISAS = 8 };
static const char *isas[N_ISAS]; /* all that are here, best first */

static struct kn_net net;
static struct t_params params, panels; /* the same weights in either layout */

static void use(struct t_arch arch)
{
    arch.classes = CLASSES;
    t_net(&net, arch, SIDE);
    assert_int_equal(t_params_new(&params, &net, 7), 0);
    assert_int_equal(t_params_new(&panels, &net, 7), 0);
    assert_int_equal(t_params_pack(&panels, &net, "f32.n16"), 0);
}

static void forget(void)
{
    t_params_free(&params);
    t_params_free(&panels);
}

static struct kn_plan *plan_of(const char *isa)
{
    struct kn_options options = {.isa = isa, .max_batch = MAX_BATCH, .max_threads = 4};
    struct kn_err err = {.text = ""};
    struct kn_plan *plan;
    int plain = strcmp(kn_plan_layout(isa, NULL, &err), "f32.plain") == 0;
    const struct kn_weight *weights = plain ? params.weights : panels.weights;
    if (kn_plan_new(&plan, &net, weights, &options, &err) != KN_OK)
        fail_msg("%s", err.text);
    return plan;
}

static void images(struct t_guarded *x, int n, uint64_t seed)
{
    t_guarded_new(x, (size_t)n * 3 * SIDE * SIDE);
    t_random(x->data, x->n, 2, &seed);
}

/* The largest difference as a share of the largest expected magnitude. */
static double difference(const float *found, const float *want, size_t n)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)found[i] - (double)want[i]);
        worst = d <= worst ? worst : d;
        largest = fmax(largest, fabs((double)want[i]));
    }
    assert_true(largest > 1e-3);
    return worst / largest;
}

static void engines_agree(void **state)
{
    (void)state;
    static const int depths[] = {18, 50};
    for (size_t d = 0; d < 2; d++) {
        struct t_guarded x, logits, features, want, want_features;
        use(t_arch_narrow(t_arch_of(depths[d]), 8));
        images(&x, 1, 3);
        t_guarded_new(&logits, CLASSES);
        t_guarded_new(&want, CLASSES);
        t_guarded_new(&features, (size_t)net.features);
        t_guarded_new(&want_features, (size_t)net.features);
        struct kn_plan *ref = plan_of("ref");
        assert_int_equal(kn_run(ref, x.data, 1, want.data, want_features.data, NULL, NULL), KN_OK);
        kn_plan_free(ref);
        for (size_t e = 0; e < N_ISAS && isas[e] != NULL; e++) {
            struct kn_plan *plan = plan_of(isas[e]);
            int rc = kn_run(plan, x.data, 1, logits.data, features.data, NULL, NULL);
            assert_int_equal(rc, KN_OK);
            assert_true(difference(logits.data, want.data, CLASSES) < 1e-5);
            assert_true(difference(features.data, want_features.data, features.n) < 1e-5);
            kn_plan_free(plan);
        }
        t_guarded_free(&x);
        t_guarded_free(&logits);
        t_guarded_free(&want);
        t_guarded_free(&features);
        t_guarded_free(&want_features);
        forget();
    }
}

static void batches_change_nothing(void **state)
{
    (void)state;
    static float alone[MAX_BATCH][CLASSES], together[MAX_BATCH][CLASSES], again[MAX_BATCH][CLASSES];
    static float f_alone[MAX_BATCH][MAX_FEATURES], f_together[MAX_BATCH * MAX_FEATURES];
    struct t_guarded x;
    use(t_arch_narrow(t_arch_of(50), 8));
    images(&x, MAX_BATCH, 4);
    for (size_t e = 0; e < N_ISAS && isas[e] != NULL; e++) {
        struct kn_plan *plan = plan_of(isas[e]);
        for (int i = 0; i < MAX_BATCH; i++)
            kn_run(plan, x.data + i * 3 * SIDE * SIDE, 1, alone[i], f_alone[i], NULL, NULL);
        kn_run(plan, x.data, MAX_BATCH, together[0], f_together, NULL, NULL);
        kn_run(plan, x.data, MAX_BATCH, again[0], NULL, NULL, NULL);
        assert_memory_equal(alone, together, sizeof alone);
        assert_memory_equal(alone, again, sizeof alone);
        assert_memory_not_equal(alone[0], alone[1], sizeof alone[0]);
        for (int i = 0; i < MAX_BATCH; i++)
            assert_memory_equal(f_alone[i], f_together + i * net.features,
                                (size_t)net.features * sizeof(float));
        kn_plan_free(plan);
    }
    t_guarded_free(&x);
    forget();
}

static int three_threads(void *ctx, int layer)
{
    (void)ctx;
    (void)layer;
    return 3;
}

/* Images whose inputs are too large to share one pass over a layer's weights, and threads. */
static void wide_batches_change_nothing(void **state)
{
    (void)state;
    enum { N = 8 };
    static float alone[N][CLASSES], together[N][CLASSES];
    struct t_guarded x;
    use(t_arch_of(50));
    images(&x, N, 5);
    for (size_t e = 0; e < N_ISAS && isas[e] != NULL; e++) {
        if (kn_dispatch(isas[e], NULL, NULL)->block == 1)
            continue;
        struct kn_plan *plan = plan_of(isas[e]);
        for (int i = 0; i < N; i++)
            kn_run(plan, x.data + i * 3 * SIDE * SIDE, 1, alone[i], NULL, NULL, NULL);
        kn_run(plan, x.data, N, together[0], NULL, NULL, NULL);
        assert_memory_equal(alone, together, sizeof alone);
        memset(together, 0, sizeof together);
        kn_run(plan, x.data, N, together[0], NULL, three_threads, NULL);
        assert_memory_equal(alone, together, sizeof alone);
        kn_plan_free(plan);
    }
    t_guarded_free(&x);
    forget();
}

/* Every layer on as many threads as ctx says; 0: another number each layer. */
static int threads_for(void *ctx, int layer)
{
    const int *threads = ctx;
    return *threads ? *threads : 1 + layer * 7 % 4;
}

static void threads_change_nothing(void **state)
{
    (void)state;
    static float alone[CLASSES], together[CLASSES];
    struct t_guarded x;
    use(t_arch_narrow(t_arch_of(50), 4));
    images(&x, 1, 8);
    for (size_t e = 0; e < N_ISAS && isas[e] != NULL; e++) {
        struct kn_plan *plan = plan_of(isas[e]);
        kn_run(plan, x.data, 1, alone, NULL, NULL, NULL);
        for (int threads = 0; threads <= 5; threads++) {
            kn_run(plan, x.data, 1, together, NULL, threads_for, &threads);
            assert_memory_equal(alone, together, sizeof alone);
        }
        kn_plan_free(plan);
    }
    forget();
    t_guarded_free(&x);
}

/* The same sums in the same order, whatever the width of the registers. */
static void instruction_sets_agree_to_the_bit(void **state)
{
    (void)state;
    static float wide[CLASSES], narrow[CLASSES];
    struct t_guarded x;
    if (kn_dispatch("avx512", NULL, NULL) == NULL || kn_dispatch("avx2", NULL, NULL) == NULL) {
        printf("skipped: this machine has no AVX-512\n");
        skip();
    }
    for (int depth = 18; depth <= 50; depth += 32) {
        use(t_arch_narrow(t_arch_of(depth), 4));
        images(&x, 1, 9);
        struct kn_plan *avx512 = plan_of("avx512"), *avx2 = plan_of("avx2");
        kn_run(avx512, x.data, 1, wide, NULL, NULL, NULL);
        kn_run(avx2, x.data, 1, narrow, NULL, NULL, NULL);
        assert_memory_equal(wide, narrow, sizeof wide);
        kn_plan_free(avx512);
        kn_plan_free(avx2);
        forget();
        t_guarded_free(&x);
    }
}

struct ticks {
    const struct kn_plan *plan;
    int n, stop_at;
    double sum[KN_MAX_LAYERS];
};

/* Notes that calls come in order, and each layer's sum of outputs. */
static int tick(void *ctx, int layer)
{
    struct ticks *t = ctx;
    assert_int_equal(layer, t->n % (net.n_layers + 1));
    if (layer > 0) {
        const struct kn_layer *l = &net.layer[layer - 1];
        size_t n = (size_t)l->oc * (size_t)l->oh * (size_t)l->ow;
        float *out = malloc(n * sizeof *out);
        assert_non_null(out);
        kn_plan_output(t->plan, layer - 1, out);
        t->sum[layer - 1] = 0;
        for (size_t i = 0; i < n; i++)
            t->sum[layer - 1] += (double)out[i];
        free(out);
    }
    return t->n++ == t->stop_at ? 0 : 8;
}

static void the_callback_rules(void **state)
{
    (void)state;
    static float logits[MAX_BATCH * CLASSES];
    struct t_guarded x;
    use(t_arch_narrow(t_arch_of(18), 8));
    images(&x, 2, 5);
    struct kn_plan *plan = plan_of("blas"), *ref = plan_of("ref");
    struct ticks all = {.plan = plan, .stop_at = -1}, want = {.plan = ref, .stop_at = -1};
    assert_int_equal(kn_run(plan, x.data, 1, logits, NULL, tick, &all), KN_OK);
    assert_int_equal(all.n, net.n_layers + 1);
    double sum = 0;
    for (int i = 0; i < CLASSES; i++)
        sum += (double)logits[i];
    assert_true(sum == all.sum[net.n_layers - 1]);
    assert_int_equal(kn_run(ref, x.data, 1, logits, NULL, tick, &want), KN_OK);
    for (int i = 0; i < net.n_layers; i++)
        assert_true(fabs(all.sum[i] - want.sum[i]) <= 1e-4 * (fabs(want.sum[i]) + 1));

    for (int at = 0; at <= net.n_layers; at += net.n_layers / 3) {
        struct ticks some = {.plan = plan, .stop_at = at};
        assert_int_equal(kn_run(plan, x.data, 2, logits, NULL, tick, &some), KN_ESTOPPED);
        assert_int_equal(some.n, at + 1);
    }
    struct ticks both = {.plan = plan, .stop_at = -1};
    assert_int_equal(kn_run(plan, x.data, 2, logits, NULL, tick, &both), KN_OK);
    assert_int_equal(both.n, 2 * (net.n_layers + 1));
    kn_plan_free(plan);
    kn_plan_free(ref);
    t_guarded_free(&x);
    forget();
}

static void nan_shows(void **state)
{
    (void)state;
    static float logits[CLASSES];
    struct t_guarded x;
    use(t_arch_narrow(t_arch_of(50), 8));
    images(&x, 1, 6);
    x.data[SIDE * SIDE / 2] = NAN;
    for (size_t e = 0; e < N_ISAS && isas[e] != NULL; e++) {
        struct kn_plan *plan = plan_of(isas[e]);
        kn_run(plan, x.data, 1, logits, NULL, NULL, NULL);
        for (int i = 0; i < CLASSES; i++)
            assert_true(isnan(logits[i]));
        kn_plan_free(plan);
    }
    t_guarded_free(&x);
    forget();
}

static void names(void **state)
{
    (void)state;
    struct kn_err err;
    assert_string_equal(kn_plan_layout("ref", "fp32", &err), "f32.plain");
    assert_string_equal(kn_plan_layout("blas", NULL, &err), "f32.plain");
    assert_non_null(kn_plan_layout(NULL, NULL, &err));
    assert_null(kn_plan_layout("sse9", NULL, &err));
    assert_int_equal(err.code, KN_EISA);
    assert_non_null(strstr(err.text, kn_isa_names()));
    assert_non_null(strstr(err.text, "\"sse9\""));
    assert_null(kn_plan_layout("", NULL, &err));
    assert_null(kn_plan_layout("ref", "fp8", &err));
    assert_int_equal(err.code, KN_EPRECISION);
    assert_non_null(strstr(err.text, "expected fp32, bf16 or int8, found \"fp8\""));

    struct kn_options options = {.isa = "sse9", .max_batch = 1, .max_threads = 1};
    struct kn_plan *plan;
    use(t_arch_narrow(t_arch_of(18), 8));
    assert_int_equal(kn_plan_new(&plan, &net, params.weights, &options, NULL), KN_EISA);
    assert_null(plan);
    options = (struct kn_options){.precision = "fp8", .max_batch = 1, .max_threads = 1};
    assert_int_equal(kn_plan_new(&plan, &net, params.weights, &options, &err), KN_EPRECISION);
    kn_plan_free(NULL);
    forget();
}

/* No row of any engine is empty; the list is best first and ends with the truth. */
static void no_hole_in_the_table(void **state)
{
    (void)state;
    char list[128];
    int n = 0;
    snprintf(list, sizeof list, "%s", kn_isa_names());
    for (char *rest = list, *isa; (isa = strtok_r(rest, ", ", &rest)) != NULL; n++) {
        const struct kn_engine *engine = kn_dispatch(isa, NULL, NULL);
        assert_non_null(engine);
        assert_string_equal(engine->isa, isa);
        for (int k = 0; k < KN_N_KINDS; k++) {
            assert_non_null(engine->algorithm[k].name);
            assert_non_null(engine->algorithm[k].run);
        }
    }
    assert_true(n >= 2);
    assert_ptr_equal(strstr(kn_isa_names(), "ref") + 3, kn_isa_names() + strlen(kn_isa_names()));
}

static void what_a_plan_says(void **state)
{
    (void)state;
    use(t_arch_narrow(t_arch_of(50), 8));
    struct kn_plan *plan = plan_of("blas");
    assert_string_equal(kn_plan_isa(plan), "blas");
    assert_string_equal(kn_plan_net(plan)->arch, "resnet50-w8");
    assert_string_equal(kn_plan_algorithm(plan, 0), "im2col+sgemm");
    assert_string_equal(kn_plan_algorithm(plan, 2), "sgemm");
    assert_string_equal(kn_plan_algorithm(plan, net.n_layers - 1), "sgemv");
    assert_true(kn_plan_bytes(plan) > 0);
    kn_plan_free(plan);
    forget();
}

/* Plain engines do what the definition says; Winograd multiplies less, filled-up blocks more. */
static void what_a_layer_costs(void **state)
{
    (void)state;
    const struct kn_engine *blas = kn_dispatch("blas", NULL, NULL);
    const struct kn_engine *blocked = kn_dispatch("avx2", NULL, NULL);
    struct kn_layer l = t_conv(32, 28, 28, 40, 3, 1, 1);
    struct kn_work work;
    l.in = 1;
    kn_work_of(blas, &l, &work);
    assert_int_equal(work.macs, kn_layer_macs(&l));
    assert_int_equal(work.weight_bytes, 32 * 40 * 9 * 4);
    assert_int_equal(work.value_bytes, (32 + 40) * 28 * 28 * 4);
    if (blocked != NULL) {
        kn_work_of(blocked, &l, &work);
        assert_int_equal(work.macs, 7 * 7 * 36 * 32 * 48);
        assert_int_equal(work.weight_bytes, 36 * 32 * 48 * 4);
        assert_int_equal(work.value_bytes, (32 + 48) * 28 * 28 * 4);
    }
    l.op = KN_MAXPOOL;
    kn_work_of(blas, &l, &work);
    assert_int_equal(work.macs, 0);
}

static void openblas_is_serial(void **state)
{
    (void)state;
    assert_true(kn_blas_is_serial());
    assert_true(strlen(kn_blas_core()) > 0);
    assert_non_null(strstr(kn_blas_config(), "OpenBLAS"));
}

static void the_cpu(void **state)
{
    (void)state;
    const struct kn_cpu *cpu = kn_cpu();
    assert_ptr_equal(cpu, kn_cpu());
    assert_in_range(cpu->l1d_bytes, 4 << 10, 1 << 20);
    assert_in_range(cpu->l2_bytes, cpu->l1d_bytes, 1 << 28);
    assert_in_range(cpu->l3_bytes, 1 << 20, INT32_MAX);
    assert_true(cpu->avx2 || !cpu->avx512);
    assert_true(cpu->avx512 || !(cpu->avx512vnni || cpu->avx512bf16));
    assert_true(memchr(cpu->brand, 0, sizeof cpu->brand) != NULL && cpu->brand[0] != '\0');
}

static void panels_of_sixteen(void **state)
{
    (void)state;
    struct kn_layer conv = t_conv(3, 8, 8, 5, 1, 1, 0), winograd = t_conv(16, 28, 28, 17, 3, 1, 1);
    float w[15], out[16 * 16];
    uint64_t seed = 1;
    t_random(w, 15, 1, &seed);
    assert_int_equal(kn_pack_bytes("f32.n16", &conv), sizeof out);
    assert_int_equal(kn_pack_bytes("f32.n16", &winograd), 36 * 2 * 16 * 16 * sizeof(float));
    memset(out, 0xff, sizeof out);
    kn_pack("f32.n16", &conv, w, out);
    for (int i = 0; i < 16; i++)
        for (int o = 0; o < 16; o++)
            assert_true(out[16 * i + o] == (o < 5 && i < 3 ? w[3 * o + i] : 0));
}

static void packing(void **state)
{
    (void)state;
    struct kn_layer conv = t_conv(3, 8, 8, 5, 3, 1, 1), pool = conv;
    float w[135], out[135];
    uint64_t seed = 1;
    pool.op = KN_MAXPOOL;
    t_random(w, 135, 1, &seed);
    assert_int_equal(kn_pack_bytes("f32.plain", &conv), sizeof w);
    assert_int_equal(kn_pack_bytes("f32.plain", &pool), 0);
    assert_int_equal(kn_pack_bytes("f32.none", &conv), 0);
    kn_pack("f32.plain", &conv, w, out);
    assert_memory_equal(w, out, sizeof w);
}

static int list_isas(void **state)
{
    static char list[128];
    char *rest = list;
    (void)state;
    snprintf(list, sizeof list, "%s", kn_isa_names());
    for (int i = 0; i < N_ISAS - 1; i++) {
        isas[i] = strtok_r(rest, ", ", &rest);
        if (isas[i] == NULL)
            break;
    }
    printf("engines: %s\n", kn_isa_names());
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_agree),
        cmocka_unit_test(batches_change_nothing),
        cmocka_unit_test(wide_batches_change_nothing),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(instruction_sets_agree_to_the_bit),
        cmocka_unit_test(the_callback_rules),
        cmocka_unit_test(nan_shows),
        cmocka_unit_test(names),
        cmocka_unit_test(no_hole_in_the_table),
        cmocka_unit_test(what_a_plan_says),
        cmocka_unit_test(what_a_layer_costs),
        cmocka_unit_test(openblas_is_serial),
        cmocka_unit_test(the_cpu),
        cmocka_unit_test(packing),
        cmocka_unit_test(panels_of_sixteen),
    };
    return cmocka_run_group_tests(tests, list_isas, NULL);
}
