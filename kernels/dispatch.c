/* dispatch.c: the engines there are here, as one table. Every engine begins as a copy of a simpler
 * one and overrides single rows, so that none has a hole. A name lowers; nothing raises. */
#include <stdio.h>
#include <string.h>

#include "kernels/bf16.h"
#include "kernels/engine.h"
#include "kernels/f32.h"
#include "kernels/u8.h"

enum { MAX_ENGINES = 16 };

/* By precision, best first in each. Filled once, by the first call. */
static struct {
    int n;
    struct kn_engine engine[MAX_ENGINES];
    char names[64]; /* of fp32's */
} table;

/* What each name stands above: lowering goes down this list. */
static const char *const ladder[] = {"ref", "blas", "avx2", "avx512", "avx512vnni", "avx512bf16"};
enum { N_STEPS = sizeof ladder / sizeof *ladder };

static struct kn_engine ref_engine(void)
{
    const struct kn_algorithm conv = {"ref", kn_ref_conv, kn_ref_conv_scratch};
    return (struct kn_engine){
        .isa = "ref",
        .precision = "fp32",
        .layout = "f32.plain",
        .block = 1,
        .algorithm = {[KN_CONV_1X1] = conv,
                      [KN_CONV_1X1_STRIDED] = conv,
                      [KN_CONV_3X3] = conv,
                      [KN_CONV_3X3_MIDDLE] = conv,
                      [KN_CONV_3X3_LARGE] = conv,
                      [KN_CONV_3X3_STRIDED] = conv,
                      [KN_CONV_STEM] = conv,
                      [KN_CONV_ANY] = conv,
                      [KN_POOL_MAX] = {"ref", kn_ref_maxpool, NULL},
                      [KN_POOL_AVG] = {"ref", kn_ref_avgpool, NULL},
                      [KN_CLASSIFIER] = {"ref", kn_ref_fc, NULL}},
    };
}

static struct kn_engine blas_engine(void)
{
    const struct kn_algorithm im2col = {"im2col+sgemm", kn_blas_conv_im2col, kn_blas_conv_scratch};
    struct kn_engine engine = ref_engine();
    struct kn_algorithm *a = engine.algorithm;

    engine.isa = "blas";
    a[KN_CONV_1X1] = (struct kn_algorithm){"sgemm", kn_blas_conv_1x1, NULL};
    a[KN_CONV_1X1_STRIDED] = im2col;
    a[KN_CONV_1X1_STRIDED].name = "gather+sgemm";
    for (int kind = KN_CONV_3X3; kind <= KN_CONV_ANY; kind++)
        a[kind] = im2col;
    a[KN_POOL_MAX] = (struct kn_algorithm){"rows", kn_pool_max, kn_pool_max_scratch};
    a[KN_CLASSIFIER] = (struct kn_algorithm){"sgemv", kn_blas_fc, NULL};
    return engine;
}

#if defined(__x86_64__)
/* Blocked activations: it shares no row with the plain engines, but has one of every kind. */
static struct kn_engine f32_engine(const struct kn_f32_ops *ops)
{
    const struct kn_algorithm direct = {"direct", kn_f32_conv, kn_f32_conv_scratch};
    const struct kn_algorithm f3 = {"winograd F(3,3)", kn_f32_winograd, kn_f32_winograd_scratch};
    const struct kn_algorithm f4 = {"winograd F(4,3)", kn_f32_winograd, kn_f32_winograd_scratch};
    const struct kn_algorithm s2 = {"winograd F(2,3)/2", kn_f32_winograd, kn_f32_winograd_scratch};
    return (struct kn_engine){
        .isa = ops->isa,
        .precision = "fp32",
        .layout = "f32.n16",
        .block = KN_F32_BLOCK,
        .f32 = ops,
        .algorithm = {[KN_CONV_1X1] = {"gemm", kn_f32_conv, kn_f32_conv_scratch},
                      [KN_CONV_1X1_STRIDED] = {"gemm", kn_f32_conv, kn_f32_conv_scratch},
                      [KN_CONV_3X3] = direct,
                      [KN_CONV_3X3_MIDDLE] = f3,
                      [KN_CONV_3X3_LARGE] = f4,
                      [KN_CONV_3X3_STRIDED] = s2,
                      [KN_CONV_STEM] = {"direct NCHW", kn_f32_stem, kn_f32_stem_scratch},
                      [KN_CONV_ANY] = direct,
                      [KN_POOL_MAX] = {"blocks", kn_f32_maxpool, NULL},
                      [KN_POOL_AVG] = {"blocks", kn_f32_avgpool, NULL},
                      [KN_CLASSIFIER] = {"gemv", kn_f32_conv, kn_f32_conv_scratch}},
        .batches = 1 << KN_CONV_1X1 | 1 << KN_CONV_1X1_STRIDED | 1 << KN_CONV_3X3 |
                   1 << KN_CONV_ANY | 1 << KN_POOL_AVG | 1 << KN_CLASSIFIER,
    };
}
#endif

#if defined(__x86_64__)
static struct kn_engine bf16_engine(const struct kn_bf16_ops *ops)
{
    const struct kn_algorithm direct = {"direct", kn_bf16_conv, kn_bf16_conv_scratch};
    return (struct kn_engine){
        .isa = ops->isa,
        .precision = "bf16",
        .layout = "bf16.n32",
        .block = KN_BF16_BLOCK,
        .element = KN_BF16,
        .bf16 = ops,
        .algorithm = {[KN_CONV_1X1] = {"gemm", kn_bf16_conv, kn_bf16_conv_scratch},
                      [KN_CONV_1X1_STRIDED] = {"gemm", kn_bf16_conv, kn_bf16_conv_scratch},
                      [KN_CONV_3X3] = direct,
                      [KN_CONV_3X3_MIDDLE] = direct,
                      [KN_CONV_3X3_LARGE] = direct,
                      [KN_CONV_STEM] = {"direct NCHW", kn_bf16_stem, kn_bf16_conv_scratch},
                      [KN_CONV_ANY] = direct,
                      [KN_POOL_MAX] = {"blocks", kn_bf16_maxpool, NULL},
                      [KN_POOL_AVG] = {"blocks", kn_bf16_avgpool, NULL},
                      [KN_CLASSIFIER] = {"gemv", kn_bf16_fc, NULL}},
    };
}

static const struct kn_bf16_ops *bf16_ops_avx512bf16(void)
{
    static struct kn_bf16_ops ops;

    ops = kn_bf16_ops_avx512;
    kn_bf16_ops_override__avx512bf16(&ops);
    return &ops;
}
#endif

/* bf16 as any plain fp32 engine computes it. */
static struct kn_engine widening_engine(const struct kn_engine *plain)
{
    struct kn_engine engine = {.isa = plain->isa,
                               .precision = "bf16",
                               .layout = "bf16.n32",
                               .block = KN_BF16_BLOCK,
                               .element = KN_BF16,
                               .plain = plain};

    for (int kind = 0; kind < KN_N_KINDS; kind++)
        engine.algorithm[kind] =
            (struct kn_algorithm){plain->algorithm[kind].name, kn_widen_layer, kn_widen_scratch};
    return engine;
}

static struct kn_engine ref_u8_engine(void)
{
    const struct kn_algorithm conv = {"ref", kn_ref_conv_u8, kn_ref_conv_u8_scratch};
    struct kn_engine engine = {
        .isa = "ref", .precision = "int8", .layout = "s8.n32", .block = 1, .element = KN_U8};
    struct kn_algorithm *a = engine.algorithm;

    for (int kind = KN_CONV_1X1; kind <= KN_CONV_ANY; kind++)
        a[kind] = conv;
    a[KN_POOL_MAX] = (struct kn_algorithm){"ref", kn_ref_maxpool_u8, NULL};
    a[KN_POOL_AVG] = (struct kn_algorithm){"ref", kn_ref_avgpool_u8, NULL};
    a[KN_CLASSIFIER] = (struct kn_algorithm){"ref", kn_ref_fc_s16, NULL};
    return engine;
}

#if defined(__x86_64__)
static struct kn_engine u8_engine(const struct kn_u8_ops *ops)
{
    struct kn_engine engine = ref_u8_engine();
    struct kn_algorithm *a = engine.algorithm;

    engine.isa = ops->isa;
    engine.block = KN_S8_BLOCK;
    engine.batches = 1 << KN_CONV_1X1 | 1 << KN_CONV_1X1_STRIDED | 1 << KN_CONV_3X3 |
                     1 << KN_CONV_3X3_STRIDED | 1 << KN_CONV_ANY | 1 << KN_CLASSIFIER;
    engine.u8 = ops;
    for (int kind = KN_CONV_1X1; kind <= KN_CONV_ANY; kind++)
        a[kind] = (struct kn_algorithm){"direct", kn_u8_conv, kn_u8_conv_scratch};
    a[KN_CONV_1X1].name = a[KN_CONV_1X1_STRIDED].name = "gemm";
    a[KN_CONV_STEM] = (struct kn_algorithm){"direct", kn_u8_stem, kn_u8_stem_scratch};
    a[KN_POOL_MAX] = (struct kn_algorithm){"blocks", kn_u8_maxpool, NULL};
    a[KN_POOL_AVG] = (struct kn_algorithm){"blocks", kn_u8_avgpool, NULL};
    a[KN_CLASSIFIER] = (struct kn_algorithm){"gemv", kn_u8_fc, NULL};
    return engine;
}
#endif

/* A strided 3x3 that an engine does not tell apart is a convolution like any other. */
static const struct kn_engine *add(struct kn_engine engine)
{
    if (engine.algorithm[KN_CONV_3X3_STRIDED].run == NULL)
        engine.algorithm[KN_CONV_3X3_STRIDED] = engine.algorithm[KN_CONV_ANY];
    table.engine[table.n] = engine;
    return &table.engine[table.n++];
}

/* The choices of a precision, best first: "avx2, blas, ref". */
static void list_names(const char *precision, char *names, size_t size)
{
    size_t used = 0;

    for (int i = 0; i < table.n && used < size; i++)
        if (strcmp(table.engine[i].precision, precision) == 0)
            used += (size_t)snprintf(names + used, size - used, "%s%s", used ? ", " : "",
                                     table.engine[i].isa);
}

static void fill(void)
{
    if (table.n > 0)
        return;
#if defined(__x86_64__)
    if (kn_cpu()->avx512)
        add(f32_engine(&kn_f32_ops_avx512));
    if (kn_cpu()->avx2)
        add(f32_engine(&kn_f32_ops_avx2));
#endif
    const struct kn_engine *blas = add(blas_engine()), *ref = add(ref_engine());
#if defined(__x86_64__)
    const struct kn_cpu *cpu = kn_cpu();
    if (cpu->avx512bf16 && cpu->fast_bf16)
        add(bf16_engine(bf16_ops_avx512bf16()));
    if (cpu->avx512)
        add(bf16_engine(&kn_bf16_ops_avx512));
    if (cpu->avx512bf16 && !cpu->fast_bf16)
        add(bf16_engine(bf16_ops_avx512bf16()));
    if (cpu->avx2)
        add(bf16_engine(&kn_bf16_ops_avx2));
#endif
    add(widening_engine(blas));
    add(widening_engine(ref));
#if defined(__x86_64__)
    if (kn_cpu()->avx512vnni)
        add(u8_engine(&kn_u8_ops_avx512vnni));
    if (kn_cpu()->avx2)
        add(u8_engine(&kn_u8_ops_avx2));
#endif
    add(ref_u8_engine());
    list_names("fp32", table.names, sizeof table.names);
}

const char *kn_isa_names(void)
{
    fill();
    return table.names;
}

/* How far up an isa is; -1: it is not to be had here, in any precision. */
static int step_of(const char *isa)
{
    int here = 0;

    for (int i = 0; i < table.n; i++)
        here |= strcmp(isa, table.engine[i].isa) == 0;
    for (int i = 0; here && i < N_STEPS; i++)
        if (strcmp(isa, ladder[i]) == 0)
            return i;
    return -1;
}

/* The row of that name, else the best one below it. */
static const struct kn_engine *find(const char *isa, const char *precision)
{
    const struct kn_engine *below = NULL;
    int step = isa ? step_of(isa) : N_STEPS;

    for (int i = 0; i < table.n; i++) {
        const struct kn_engine *engine = &table.engine[i];
        if (strcmp(precision, engine->precision) != 0)
            continue;
        if (isa != NULL && strcmp(isa, engine->isa) == 0)
            return engine;
        if (below == NULL && step_of(engine->isa) <= step)
            below = engine;
    }
    return below;
}

const struct kn_engine *kn_dispatch(const char *isa, const char *precision, struct kn_err *err)
{
    char names[64] = "";

    fill();
    precision = precision ? precision : "fp32";
    list_names(precision, names, sizeof names);
    if (names[0] == '\0') {
        kn_fail(err, KN_EPRECISION, "precision: expected fp32, bf16 or int8, found \"%s\"",
                precision);
        return NULL;
    }
    const struct kn_engine *engine = find(isa, precision);
    if (engine == NULL)
        kn_fail(err, KN_EISA, "isa: expected one of %s (the choices on this machine), found \"%s\"",
                names, isa);
    return engine;
}

enum kn_kind kn_kind_of(const struct kn_layer *l)
{
    switch (l->op) {
    case KN_MAXPOOL:
        return KN_POOL_MAX;
    case KN_AVGPOOL:
        return KN_POOL_AVG;
    case KN_FC:
        return KN_CLASSIFIER;
    case KN_CONV:
        break;
    }
    if (l->kh == 1 && l->kw == 1 && l->pad == 0)
        return l->stride == 1 ? KN_CONV_1X1 : KN_CONV_1X1_STRIDED;
    long pixels = (long)l->oh * l->ow;
    if (l->kh == 3 && l->kw == 3 && l->stride == 2 && l->pad == 1 && pixels >= KN_MIDDLE_PIXELS)
        return KN_CONV_3X3_STRIDED;
    if (l->kh == 3 && l->kw == 3 && l->stride == 1 && l->pad == 1)
        return pixels >= KN_LARGE_PIXELS    ? KN_CONV_3X3_LARGE
               : pixels >= KN_MIDDLE_PIXELS ? KN_CONV_3X3_MIDDLE
                                            : KN_CONV_3X3;
    if (l->kh == 7 && l->kw == 7 && l->stride == 2)
        return KN_CONV_STEM;
    return KN_CONV_ANY;
}

const struct kn_algorithm *kn_dispatch_layer(const struct kn_engine *engine,
                                             const struct kn_layer *layer)
{
    return &engine->algorithm[kn_kind_of(layer)];
}

const char *kn_plan_layout(const char *isa, const char *precision, struct kn_err *err)
{
    const struct kn_engine *engine = kn_dispatch(isa, precision, err);
    return engine ? engine->layout : NULL;
}
