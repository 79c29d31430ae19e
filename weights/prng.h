/* prng.h: SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine; internal to
 * weights/. */
#ifndef WEIGHTS_PRNG_H
#define WEIGHTS_PRNG_H

#include <stdint.h>

struct wt_prng {
    uint64_t state;
};

static inline uint64_t wt_prng_next(struct wt_prng *prng)
{
    uint64_t z = prng->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif
