/* int8.h: random networks in int8, calibrated on what they do themselves. What the kernels' unit
 * tests and resnet-bench share. */
#ifndef TESTS_BENCH_INT8_H
#define TESTS_BENCH_INT8_H

#include "tests/bench/nets.h"

/* ImageNet's. */
extern const float t_int8_mean[3], t_int8_deviation[3];

/* The floats that pixels [side, side, 3] become: (pixel / 255 - mean) / deviation, x: [3, side,
 * side] */
void t_int8_normalise(const uint8_t *pixels, int side, float *x);

/* Pixels with structure, the same for the same seed. */
void t_int8_picture(uint8_t *pixels, int side, uint64_t seed);

/* Quantises fp32 ("f32.plain") parameters of a network with 3 channels. The steps of its values
 * come from one pass over one picture; step: [n_values]. 0 or -1 (no memory) */
int t_int8_params(struct t_params *params, const struct kn_net *net, const struct t_params *fp32,
                  float *step);

/* Room for int8 parameters, each layer's pointers set, contents unset. 0 or -1 */
int t_int8_lay_out(struct t_params *params, const struct kn_net *net);

#endif
