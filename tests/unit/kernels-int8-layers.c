/* Every int8 engine against ref, bit for bit, layer by layer: each shape of ResNet-50 and 18 and
 * ragged ones, random numbers and the largest there are, operands before unreadable pages, any
 * number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/blocked_u8.h"
#include "kernels/quant.h"
#include "kernels/threads.h"
#include "tests/bench/jobs.h"
#include "tests/bench/nets.h"

enum { BLOCK = KN_S8_BLOCK, SAMPLE = 8, MOST_OUTPUTS = 2 * SAMPLE };

static const char *const isas[] = {"avx512vnni", "avx2"};
enum { N_ISAS = sizeof isas / sizeof *isas };

enum numbers {
    RANDOM,
    LARGEST,  /* 255 times 127, and 32767 */
    SMALLEST, /* 255 times -128, and -32768 */
    N_NUMBERS
};

/* One layer's operands as functions of their place, so that any part of them can be made. */
struct subject {
    struct kn_layer layer;
    enum numbers numbers;
    uint64_t seed;
    int residual_s16;
};

static uint32_t hash(const struct subject *s, int what, uint64_t i)
{
    uint64_t z = (i * 8 + (uint64_t)what) * 0x9e3779b97f4a7c15u + s->seed * 0xd1b54a32d192ed03u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 33);
}

static int weight(const struct subject *s, uint64_t i)
{
    int wide = kn_pack_s8_wide(&s->layer), most = wide ? 32767 : 127;
    if (s->layer.op == KN_FC)
        most /= 64; /* 2048 products are summed in 32 bits */
    if (s->numbers != RANDOM)
        return s->numbers == LARGEST ? most : -most - 1;
    return (int)(hash(s, 0, i) % (unsigned)(2 * most + 1)) - most;
}

static int input(const struct subject *s, uint64_t i)
{
    int most = s->layer.op == KN_FC ? 12495 : 255;
    return s->numbers != RANDOM ? most : (int)(hash(s, 1, i) % (unsigned)(most + 1));
}

static int residual(const struct subject *s, uint64_t i)
{
    int least = s->residual_s16 ? -32768 : 0, n = s->residual_s16 ? 65536 : 256;
    if (s->numbers != RANDOM)
        return s->numbers == LARGEST ? least + n - 1 : least;
    return least + (int)(hash(s, 2, i) % (unsigned)n);
}

static int32_t bias_of(const struct subject *s, int o)
{
    return (int32_t)(hash(s, 3, (uint64_t)o) % 200001) - 100000;
}

/* Such that random sums spread over the range of a u8 or s16. The largest is taken too. */
static float multiplier_of(const struct subject *s, int o)
{
    double k = s->layer.ic * s->layer.kh * s->layer.kw, scale = s->layer.relu ? 100 : 8000;
    double sum = 255.0 / 2 * (kn_pack_s8_wide(&s->layer) ? 18000 : 74);
    if (o % 16 == 7)
        return 0.9375f;
    return (float)(scale / (sum * __builtin_sqrt(k)) * (0.5 + hash(s, 4, (uint64_t)o) % 100 / 99.));
}

/* A value that keeps `block` channels together, with a halo; or pixels. */
struct value {
    struct t_guarded mem;
    int c, h, w, block, halo, bytes;
};

static void value_new(struct value *v, int c, int h, int w, int block, int halo, int bytes)
{
    size_t n = (size_t)((c + block - 1) / block * block) * (size_t)(h + 2 * halo) *
               (size_t)(w + 2 * halo) * (size_t)bytes;
    *v = (struct value){.c = c, .h = h, .w = w, .block = block, .halo = halo, .bytes = bytes};
    t_guarded_new(&v->mem, (n + 3) / 4);
    memset(v->mem.data, 0, (n + 3) / 4 * 4);
}

static size_t at(const struct value *v, int c, int y, int x)
{
    int h = v->h + 2 * v->halo, w = v->w + 2 * v->halo;
    size_t pixel = ((size_t)(c / v->block) * (size_t)h + (size_t)(y + v->halo)) * (size_t)w;
    return (pixel + (size_t)(x + v->halo)) * (size_t)v->block + (size_t)(c % v->block);
}

static void put(struct value *v, size_t i, int number)
{
    if (v->bytes == 1)
        ((uint8_t *)(void *)v->mem.data)[i] = (uint8_t)number;
    else
        ((int16_t *)(void *)v->mem.data)[i] = (int16_t)number;
}

/* Of `first` channels and then those of the last `last`, as if there were no others. */
static void fill(struct value *v, const struct subject *s,
                 int (*of)(const struct subject *, uint64_t), const int *channels)
{
    for (int c = 0; c < v->c; c++)
        for (int y = 0; y < v->h; y++)
            for (int x = 0; x < v->w; x++) {
                uint64_t o = (uint64_t)(channels ? channels[c] : c);
                uint64_t i = (o * (uint64_t)v->h + (uint64_t)y) * (uint64_t)v->w + (uint64_t)x;
                put(v, at(v, c, y, x), of(s, i));
            }
}

/* Parameters of some output channels. */
struct params {
    struct t_guarded w, bias, multiplier, input;
    float step[KN_QUANT_STEPS];
    struct kn_quant quant;
};

static void params_new(struct params *p, const struct subject *s, const struct kn_layer *l,
                       const int *channels)
{
    uint64_t inputs = (uint64_t)(l->ic * l->kh * l->kw);
    int taps = l->kh * l->kw, wide = kn_pack_s8_wide(l);

    t_guarded_new(&p->w, kn_pack_s8_bytes(l) / sizeof(float));
    memset(p->w.data, 0, kn_pack_s8_bytes(l));
    t_guarded_new(&p->bias, (size_t)l->oc);
    t_guarded_new(&p->multiplier, (size_t)l->oc);
    t_guarded_new(&p->input, 2 * (size_t)l->ic);
    for (int o = 0; o < l->oc; o++) {
        int channel = channels ? channels[o] : o;
        ((int32_t *)(void *)p->bias.data)[o] = bias_of(s, channel);
        p->multiplier.data[o] = multiplier_of(s, channel);
        for (uint64_t i = 0; i < inputs; i++) {
            int number = weight(s, (uint64_t)channel * inputs + i);
            size_t to = kn_pack_s8_place(l, (size_t)o, i / (uint64_t)taps, i % (uint64_t)taps);
            if (wide)
                ((int16_t *)(void *)p->w.data)[to] = (int16_t)number;
            else
                ((int8_t *)(void *)p->w.data)[to] = (int8_t)number;
        }
    }
    for (int i = 0; i < l->ic; i++) {
        p->input.data[i] = 58;
        p->input.data[l->ic + i] = (float)(100 + i % 50);
    }
    p->step[KN_QUANT_STEP] = 0.02f;
    p->step[KN_QUANT_RESIDUAL] = s->residual_s16 ? 0.0078f : 0.71f;
    p->quant = (struct kn_quant){.bias = (const int32_t *)(const void *)p->bias.data,
                                 .multiplier = p->multiplier.data,
                                 .step = p->step,
                                 .input = p->input.data};
}

static void params_free(struct params *p)
{
    t_guarded_free(&p->w);
    t_guarded_free(&p->bias);
    t_guarded_free(&p->multiplier);
    t_guarded_free(&p->input);
}

/* How a layer is run. */
struct how {
    const struct kn_engine *engine;
    int halo_y, in_place;
    struct kn_threads *threads;
    int width;
};

static int bytes_of(const struct kn_engine *engine, const struct kn_layer *l)
{
    return (int)kn_element_bytes(kn_element_out(engine, l));
}

/* Runs l, channels as fill() has them, into y, which is made. */
static void run(const struct subject *s, const struct kn_layer *l, const int *channels,
                const struct how *how, struct value *y)
{
    const struct kn_algorithm *algorithm = kn_dispatch_layer(how->engine, l);
    int block = how->engine->block, halo = block > 1 && l->op == KN_CONV && l->in ? l->pad : 0;
    int halo_y = block > 1 ? how->halo_y : 0, block_x = l->in ? block : l->ic;
    struct value x, added;
    struct params p = {.quant = {0}};
    struct t_guarded scratch;

    value_new(&x, l->ic, l->ih, l->iw, block_x, halo, l->op == KN_FC ? 2 : 1);
    fill(&x, s, input, l->op == KN_MAXPOOL || l->op == KN_AVGPOOL ? channels : NULL);
    value_new(&added, l->oc, l->oh, l->ow, block, halo_y, s->residual_s16 ? 2 : 1);
    fill(&added, s, residual, channels);
    value_new(y, l->oc, l->oh, l->ow, block, halo_y, bytes_of(how->engine, l));
    memset(y->mem.data, 0xa5, y->mem.n * sizeof(float));
    if (l->op == KN_CONV || l->op == KN_FC)
        params_new(&p, s, l, channels);
    size_t bytes = algorithm->scratch_bytes ? algorithm->scratch_bytes(l, how->width) : 0;
    t_guarded_new(&scratch, (bytes + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN / sizeof(float));
    struct kn_job job = {.layer = l, .engine = how->engine, .w = p.w.data, .quant = &p.quant};
    job.x = x.mem.data;
    job.y = y->mem.data;
    if (l->residual >= 0) {
        if (how->in_place)
            memcpy(y->mem.data, added.mem.data, y->mem.n * sizeof(float));
        job.residual = how->in_place ? y->mem.data : added.mem.data;
    }
    job.residual_s16 = s->residual_s16;
    job.block_x = block_x;
    job.block_y = block;
    job.halo_x = halo;
    job.halo_y = halo_y;
    job.images = 1;
    job.scratch = scratch.data;
    job.threads = how->threads;
    job.width = how->width;
    algorithm->run(&job);
    t_guarded_free(&scratch);
    if (p.w.map != NULL)
        params_free(&p);
    t_guarded_free(&x.mem);
    t_guarded_free(&added.mem);
}

/* Channels that ref computes: all of a narrow layer, else some at either end. */
static int choose_channels(const struct kn_layer *l, int *channels)
{
    int n = l->oc < MOST_OUTPUTS ? l->oc : MOST_OUTPUTS;

    for (int i = 0; i < n; i++)
        channels[i] = i < n / 2 ? i : l->oc - n + i;
    return n;
}

static void compare(const struct subject *s, const struct value *found, const struct value *want,
                    const int *channels, const char *isa)
{
    const struct kn_layer *l = &s->layer;
    const char *f = (const void *)found->mem.data, *w = (const void *)want->mem.data;

    for (int c = 0; c < want->c; c++)
        for (int y = 0; y < want->h; y++)
            for (int x = 0; x < want->w; x++) {
                size_t i = at(found, channels[c], y, x), j = at(want, c, y, x);
                size_t bytes = (size_t)want->bytes;
                if (memcmp(f + i * bytes, w + j * bytes, bytes) != 0)
                    fail_msg("%s: [%d,%d,%d]->[%d,%d,%d] k%d s%d numbers %d: channel %d, y %d, x "
                             "%d differs",
                             isa, l->ic, l->ih, l->iw, l->oc, l->oh, l->ow, l->kh, l->stride,
                             s->numbers, channels[c], y, x);
            }
}

/* What fills up a block, and the halo, is zero. */
static void check_zeros(struct value *v)
{
    for (int c = 0; c < v->c; c++)
        for (int y = 0; y < v->h; y++)
            memset((char *)v->mem.data + at(v, c, y, 0) * (size_t)v->bytes, 0, (size_t)v->bytes);
    const char *bytes = (const void *)v->mem.data;
    for (int b = 0; b < (v->c + BLOCK - 1) / BLOCK; b++)
        for (int y = -v->halo; y < v->h + v->halo; y++)
            for (int x = -v->halo; x < v->w + v->halo; x++) {
                int inside = y >= 0 && y < v->h && x >= 0 && x < v->w;
                int from = !inside ? 0 : v->c - b * BLOCK < BLOCK ? v->c - b * BLOCK : BLOCK;
                size_t first = at(v, b * BLOCK, y, x);
                for (size_t i = (size_t)from * (size_t)v->bytes; i < BLOCK * (size_t)v->bytes; i++)
                    assert_int_equal(bytes[first * (size_t)v->bytes + i], 0);
            }
}

static void check(const struct subject *s, int in_place)
{
    const struct how reference = {.engine = kn_dispatch("ref", "int8", NULL), .width = 1};
    int channels[MOST_OUTPUTS];
    struct kn_layer part = s->layer;
    struct value want, found;

    part.oc = choose_channels(&s->layer, channels);
    if (part.op == KN_MAXPOOL || part.op == KN_AVGPOOL)
        part.ic = part.oc;
    run(s, &part, channels, &reference, &want);
    for (int i = 0; i < N_ISAS; i++) {
        struct how how = {.engine = kn_dispatch(isas[i], "int8", NULL), .width = 1};
        if (how.engine == NULL || strcmp(how.engine->isa, isas[i]) != 0)
            continue;
        how.halo_y = (int)(s->seed & 1) && s->layer.op == KN_CONV;
        how.in_place = in_place && !s->residual_s16;
        run(s, &s->layer, NULL, &how, &found);
        compare(s, &found, &want, channels, isas[i]);
        if (s->layer.op != KN_FC)
            check_zeros(&found);
        t_guarded_free(&found.mem);
    }
    t_guarded_free(&want.mem);
}

static int same_shape(const struct kn_layer *a, const struct kn_layer *b)
{
    return a->op == b->op && a->ic == b->ic && a->ih == b->ih && a->oc == b->oc && a->kh == b->kh &&
           a->stride == b->stride && a->relu == b->relu && (a->residual < 0) == (b->residual < 0);
}

static void layers_of(int depth, int at_least)
{
    static struct kn_net net;
    int checked = 0;

    t_net(&net, t_arch_of(depth), 224);
    for (int i = 0; i < net.n_layers; i++) {
        int seen = 0;
        for (int j = 0; j < i; j++)
            seen |= same_shape(&net.layer[i], &net.layer[j]);
        if (seen)
            continue;
        struct subject s = {.layer = net.layer[i], .seed = (uint64_t)i, .residual_s16 = i % 2};
        check(&s, 1);
        checked++;
    }
    printf("%d distinct layers\n", checked);
    assert_in_range(checked, at_least, net.n_layers);
}

static void resnet50_layers(void **state)
{
    (void)state;
    layers_of(50, 24);
}

static void resnet18_layers(void **state)
{
    (void)state;
    layers_of(18, 12);
}

static struct kn_layer stem_of(int ic, int ih, int iw, int oc)
{
    struct kn_layer l = t_conv(ic, ih, iw, oc, 7, 2, 3);
    l.in = 0;
    return l;
}

static struct kn_layer conv_of(int ic, int ih, int iw, int oc, int k, int stride)
{
    struct kn_layer l = t_conv(ic, ih, iw, oc, k, stride, k / 2);
    l.in = 1;
    l.out = 2;
    return l;
}

static void ragged_layers(void **state)
{
    const struct kn_layer shapes[] = {
        stem_of(3, 33, 33, 5),
        stem_of(1, 1, 1, 1),
        stem_of(4, 2, 5, 9),
        stem_of(3, 17, 64, 70),
        conv_of(17, 13, 29, 31, 3, 1),
        conv_of(5, 1, 9, 3, 3, 1),
        conv_of(8, 9, 1, 8, 3, 2),
        conv_of(64, 15, 15, 33, 3, 2),
        conv_of(100, 28, 58, 7, 3, 1),
        conv_of(31, 7, 5, 19, 1, 1),
        conv_of(257, 3, 3, 65, 1, 1),
        conv_of(37, 15, 15, 41, 1, 2),
        conv_of(16, 29, 29, 24, 1, 2),
        conv_of(8, 5, 7, 8, 3, 1),
        conv_of(130, 9, 14, 129, 3, 1),
    };
    int n = sizeof shapes / sizeof *shapes;

    (void)state;
    for (int i = 0; i < 4 * N_NUMBERS * n; i++) {
        struct subject s = {.layer = shapes[i % n], .seed = (uint64_t)i};
        int kind = i / n % 4; /* plain, projection, residual u8, residual s16 */
        s.numbers = (enum numbers)(i / n / 4);
        if (kind > 0 && (s.layer.in == 0 || (kind > 1 && s.layer.stride == 2)))
            continue;
        s.layer.relu = kind != 1;
        s.layer.residual = kind > 1 ? 3 : -1;
        s.residual_s16 = kind == 3;
        check(&s, i % 2);
    }
}

static void pools_and_classifiers(void **state)
{
    static const int sides[][2] = {{112, 112}, {17, 17}, {1, 1}, {2, 7}, {9, 4}, {46, 15}};

    (void)state;
    for (int i = 0; i < 6 * N_NUMBERS; i++) {
        struct subject s = {.seed = (uint64_t)i, .numbers = (enum numbers)(i / 6)};
        int h = sides[i % 6][0], w = sides[i % 6][1];
        s.layer = conv_of(5 + 64 * (i % 2), h, w, 5 + 64 * (i % 2), 3, 2);
        s.layer.op = KN_MAXPOOL;
        s.layer.relu = 0;
        check(&s, 0);
        s.layer =
            (struct kn_layer){.op = KN_AVGPOOL, .ic = 70, .ih = h, .iw = w, .oc = 70, .oh = 1};
        s.layer.ow = s.layer.in = 1;
        s.layer.out = 2;
        s.layer.kh = h;
        s.layer.kw = w;
        s.layer.residual = -1;
        check(&s, 0);
        s.layer = conv_of(2000 + i, 1, 1, 37 * (i % 6) + 1, 1, 1);
        s.layer.op = KN_FC;
        s.layer.relu = 0;
        check(&s, 0);
    }
}

/* Threads change no bit of a layer, for tiles of every kind. */
static void threads_change_no_bit(void **state)
{
    const struct kn_layer shapes[] = {
        stem_of(3, 65, 65, 33),        conv_of(64, 28, 28, 80, 3, 1), conv_of(96, 7, 7, 64, 3, 1),
        conv_of(96, 15, 9, 64, 3, 2),  conv_of(640, 7, 7, 224, 1, 1), conv_of(512, 9, 9, 608, 1, 2),
        conv_of(512, 7, 7, 512, 3, 1),
    };
    struct kn_threads *pool;

    (void)state;
    assert_int_equal(kn_threads_new(&pool, KN_MAX_THREADS, NULL), KN_OK);
    for (size_t i = 0; i < N_ISAS * sizeof shapes / sizeof *shapes; i++) {
        struct how how = {.engine = kn_dispatch(isas[i % N_ISAS], "int8", NULL), .halo_y = 1};
        struct subject s = {.layer = shapes[i / N_ISAS], .seed = i};
        struct value one, other;
        how.width = 1;
        if (how.engine == NULL)
            continue;
        run(&s, &s.layer, NULL, &how, &one);
        how.threads = pool;
        for (how.width = 2; how.width <= KN_MAX_THREADS; how.width++) {
            run(&s, &s.layer, NULL, &how, &other);
            assert_memory_equal(one.mem.data, other.mem.data, one.mem.n * sizeof(float));
            t_guarded_free(&other.mem);
        }
        t_guarded_free(&one.mem);
    }
    kn_threads_free(pool);
}

static void say_what_is_missing(void **state)
{
    (void)state;
    for (int i = 0; i < N_ISAS; i++) {
        const struct kn_engine *engine = kn_dispatch(isas[i], "int8", NULL);
        if (engine == NULL || strcmp(engine->isa, isas[i]) != 0) {
            printf("skipped: %s is not to be had on this machine\n", isas[i]);
            skip();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resnet50_layers),       cmocka_unit_test(resnet18_layers),
        cmocka_unit_test(ragged_layers),         cmocka_unit_test(pools_and_classifiers),
        cmocka_unit_test(threads_change_no_bit), cmocka_unit_test(say_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
