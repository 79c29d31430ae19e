/* pool.c: max-pooling in two passes that both go along rows: over the rows under a window, then
 * over its columns. Block 1 only. NaN wins over every number, as in PyTorch. */
#include <math.h>
#include <string.h>

#include "kernels/engine.h"

/* Two selections, because compilers vectorise those. */
static inline float larger(float a, float b)
{
    float m = b > a ? b : a;
    return b != b ? b : m;
}

size_t kn_pool_max_scratch(const struct kn_layer *layer, int threads)
{
    (void)threads;
    return (size_t)(layer->iw + 2 * layer->pad) * sizeof(float);
}

/* row: [iw], the largest of each column over x's rows [from, to) */
static void merge_rows(float *row, const float *x, int from, int to, int iw)
{
    memcpy(row, x + (size_t)from * (size_t)iw, (size_t)iw * sizeof *row);
    for (int iy = from + 1; iy < to; iy++) {
        const float *next = x + (size_t)iy * (size_t)iw;
        for (int i = 0; i < iw; i++)
            row[i] = larger(row[i], next[i]);
    }
}

/* row: [n], padding included; every place becomes the largest of the k that begin there. */
static void merge_columns(float *row, int n, int k)
{
    for (int shift = 1; shift < k; shift++)
        for (int i = 0; i + shift < n; i++)
            row[i] = larger(row[i], row[i + 1]);
}

void kn_pool_max(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    int n = l->iw + 2 * l->pad;
    float *row = job->scratch, *y = job->y;
    for (int c = 0; c < l->oc; c++) {
        const float *x = job->x + (size_t)c * (size_t)l->ih * (size_t)l->iw;
        for (int oy = 0; oy < l->oh; oy++, y += l->ow) {
            int top = oy * l->stride - l->pad, bottom = top + l->kh;
            for (int i = 0; i < l->pad; i++)
                row[i] = row[n - 1 - i] = -INFINITY;
            merge_rows(row + l->pad, x, top < 0 ? 0 : top, bottom > l->ih ? l->ih : bottom, l->iw);
            merge_columns(row, n, l->kw);
            for (int ox = 0; ox < l->ow; ox++)
                y[ox] = row[ox * l->stride];
        }
    }
}
