/* nets.c: torchvision's ResNets as shapes, told a second time and in another way than
 * kernels/resnet.c, and random parameters for them. */
#include "tests/bench/nets.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct t_arch t_arch_of(int depth)
{
    static const struct {
        int depth, bottleneck, blocks[4];
    } known[] = {{18, 0, {2, 2, 2, 2}},
                 {34, 0, {3, 4, 6, 3}},
                 {50, 1, {3, 4, 6, 3}},
                 {101, 1, {3, 4, 23, 3}},
                 {152, 1, {3, 8, 36, 3}}};
    struct t_arch arch = {.channels = 3, .stem = 64, .mid = 64, .classes = 1000};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].depth == depth) {
            arch.bottleneck = known[i].bottleneck;
            arch.out = arch.bottleneck ? 256 : 64;
            memcpy(arch.blocks, known[i].blocks, sizeof arch.blocks);
            return arch;
        }
    fprintf(stderr, "t_arch_of: torchvision has no ResNet-%d\n", depth);
    abort();
}

struct t_arch t_arch_narrow(struct t_arch arch, int divisor)
{
    arch.stem /= divisor;
    arch.mid /= divisor;
    arch.out /= divisor;
    return arch;
}

static int filter(int64_t *dim, int oc, int ic, int k)
{
    dim[0] = oc;
    dim[1] = ic;
    dim[2] = dim[3] = k;
    return 4;
}

int t_arch_shape(void *ctx, const char *name, int64_t dim[KN_MAX_DIMS])
{
    const struct t_arch *a = ctx;
    int s, b, k, end = 0;
    if (strcmp(name, "conv1.weight") == 0)
        return filter(dim, a->stem, a->channels, 7);
    if (strcmp(name, "fc.weight") == 0) {
        dim[0] = a->classes;
        dim[1] = a->out << 3;
        return 2;
    }
    if (sscanf(name, "layer%d.%d.%n", &s, &b, &end) != 2 || end == 0 || s < 1 || s > 4 ||
        b >= a->blocks[s - 1])
        return 0;
    int mid = a->mid << (s - 1), out = a->out << (s - 1);
    int in = b > 0 ? out : s > 1 ? out / 2 : a->stem;
    if (strcmp(name + end, "downsample.0.weight") == 0)
        return b == 0 && (s > 1 || in != out) ? filter(dim, out, in, 1) : 0;
    if (sscanf(name + end, "conv%d.weight", &k) != 1 || k < 1 || k > 2 + a->bottleneck)
        return 0;
    if (!a->bottleneck)
        return k == 1 ? filter(dim, mid, in, 3) : filter(dim, out, mid, 3);
    return k == 1   ? filter(dim, mid, in, 1)
           : k == 2 ? filter(dim, mid, mid, 3)
                    : filter(dim, out, mid, 1);
}

void t_net(struct kn_net *net, struct t_arch arch, int side)
{
    struct kn_err err;
    int rc = kn_net_init(net, side, side, t_arch_shape, &arch, &err);
    if (rc != KN_OK)
        fprintf(stderr, "%s\n", err.text);
    assert(rc == KN_OK);
}

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void t_random(float *x, size_t n, float scale, uint64_t *state)
{
    for (size_t i = 0; i < n; i++)
        x[i] = scale * ((float)(next(state) >> 40) * 0x1p-23f - 1);
}

static size_t rounded(size_t bytes)
{
    return (bytes + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN;
}

/* Room for all parameters in a layout; each layer's w and bias are pointed into it. */
static int lay_out(struct t_params *params, const struct kn_net *net, const char *layout)
{
    size_t total = KN_ALIGN;
    *params = (struct t_params){.memory = NULL};
    for (int i = 0; i < net->n_layers; i++)
        total += rounded(kn_pack_bytes(layout, &net->layer[i])) +
                 rounded((size_t)net->layer[i].oc * sizeof(float));
    unsigned char *p = params->memory = aligned_alloc(KN_ALIGN, total);
    if (p == NULL)
        return -1;
    for (int i = 0; i < net->n_layers; i++) {
        size_t bytes = rounded(kn_pack_bytes(layout, &net->layer[i]));
        if (bytes == 0)
            continue;
        params->weights[i].w = p;
        params->weights[i].bias = (float *)(void *)(p + bytes);
        p += bytes + rounded((size_t)net->layer[i].oc * sizeof(float));
    }
    return 0;
}

int t_params_new(struct t_params *params, const struct kn_net *net, uint64_t seed)
{
    if (lay_out(params, net, "f32.plain") != 0)
        return -1;
    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_layer *l = &net->layer[i];
        const struct kn_weight *p = &params->weights[i];
        size_t bytes = kn_pack_bytes("f32.plain", l);
        if (bytes == 0)
            continue;
        /* He's rule for uniform numbers; a sum of two branches is halved. */
        double scale = sqrt((l->residual < 0 ? 6.0 : 3.0) / (l->ic * l->kh * l->kw));
        t_random((float *)p->w, bytes / sizeof(float), (float)scale, &seed);
        t_random((float *)p->bias, (size_t)l->oc, 0.1f, &seed);
    }
    return 0;
}

int t_params_pack(struct t_params *params, const struct kn_net *net, const char *layout)
{
    struct t_params packed;
    if (lay_out(&packed, net, layout) != 0)
        return -1;
    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_weight *from = &params->weights[i], *to = &packed.weights[i];
        if (from->w == NULL)
            continue;
        kn_pack(layout, &net->layer[i], from->w, (void *)to->w);
        memcpy((float *)to->bias, from->bias, (size_t)net->layer[i].oc * sizeof(float));
    }
    t_params_free(params);
    *params = packed;
    return 0;
}

void t_params_free(struct t_params *params)
{
    free(params->memory);
    params->memory = NULL;
}
