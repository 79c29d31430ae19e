/* nets.h: torchvision's ResNets as shapes, and deterministic random parameters for them. What the
 * kernels' unit tests and resnet-bench share. */
#ifndef TESTS_BENCH_NETS_H
#define TESTS_BENCH_NETS_H

#include "kernels/kernels.h"

struct t_arch {
    int bottleneck;
    int blocks[4];
    int channels; /* of the image */
    int stem;     /* channels after the first convolution */
    int mid;      /* channels inside the first block; doubles every stage */
    int out;      /* channels after the first stage; doubles every stage */
    int classes;
};

/* ResNet-18, 34, 50, 101 or 152, as torchvision has it: 3 channels, 1000 classes. */
struct t_arch t_arch_of(int depth);

/* The same network with 1/divisor of the channels. */
struct t_arch t_arch_narrow(struct t_arch arch, int divisor);

/* A kn_shape_fn; ctx is a const struct t_arch *. */
int t_arch_shape(void *ctx, const char *name, int64_t dim[KN_MAX_DIMS]);

/* The table, for a square image; asserts that there is one. */
void t_net(struct kn_net *net, struct t_arch arch, int side);

/* Uniform in [-scale, scale], the same for the same state on every machine. */
void t_random(float *x, size_t n, float scale, uint64_t *state);

/* Random parameters whose activations neither grow nor vanish, "f32.plain". */
struct t_params {
    struct kn_weight weights[KN_MAX_LAYERS];
    void *memory;
};

int t_params_new(struct t_params *params, const struct kn_net *net, uint64_t seed); /* 0 or -1 */
int t_params_pack(struct t_params *params, const struct kn_net *net, const char *layout); /* same */
void t_params_free(struct t_params *params);

#endif
