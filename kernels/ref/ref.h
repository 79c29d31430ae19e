/* ref.h: how the reference finds a channel. Internal to kernels/ref/. */
#ifndef KERNELS_REF_REF_H
#define KERNELS_REF_REF_H

#include "kernels/engine.h"

/* Index of channel c's first pixel in [c / block, pixels, block]; its pixels are `block` apart. */
static inline size_t plane_at(int c, int block, size_t pixels)
{
    return (size_t)(c / block) * pixels * (size_t)block + (size_t)(c % block);
}

#endif
