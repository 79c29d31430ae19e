/* winograd.h: which 3x3 filters go by Winograd's algorithm, and in what form. Internal to kernels/.
 */
#ifndef KERNELS_WINOGRAD_H
#define KERNELS_WINOGRAD_H

#include "kernels/engine.h"

enum { KN_WINOGRAD_MAX_WINDOW = 6, KN_WINOGRAD_MAX_SIZE = 4 };

/* Tiles of size x size outputs, made from windows of inputs. A window is transformed into `points`
 * values, a filter into `weights` of them; weight number i multiplies points first[i] to
 * first[i + 1] - 1. */
struct kn_winograd {
    int size, window; /* px of a side */
    int stride;       /* of the convolution */
    int points, weights;
    const unsigned char *first; /* [weights + 1] */
    const double (*filter)[3];  /* the filter's one-dimensional transform: [rows][3] */
    int rows;                   /* rows x rows weights */
    int number;                 /* of the functions in kn_f32_ops */
};

/* NULL: not by Winograd. The same for every instruction set: the layout of weights follows it. */
const struct kn_winograd *kn_winograd_of(const struct kn_layer *layer);

#endif
