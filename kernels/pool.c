/* pool.c: max-pooling by rows: the rows under a window first, which are contiguous, then along the
 * one row that is left. Block 1 only. NaN wins over every number, as in PyTorch. */
#include <string.h>

#include "kernels/engine.h"

static inline float larger(float a, float b)
{
    return b > a || b != b ? b : a;
}

size_t kn_pool_max_scratch(const struct kn_layer *layer)
{
    return (size_t)layer->iw * sizeof(float);
}

/* The largest of each column over x's rows [from, to). */
static void merge_rows(float *row, const float *x, int from, int to, int iw)
{
    memcpy(row, x + (size_t)from * (size_t)iw, (size_t)iw * sizeof *row);
    for (int iy = from + 1; iy < to; iy++) {
        const float *next = x + (size_t)iy * (size_t)iw;
        for (int i = 0; i < iw; i++)
            row[i] = larger(row[i], next[i]);
    }
}

static void merge_columns(float *y, const float *row, const struct kn_layer *l)
{
    for (int ox = 0; ox < l->ow; ox++) {
        int left = ox * l->stride - l->pad, right = left + l->kw;
        left = left < 0 ? 0 : left;
        right = right > l->iw ? l->iw : right;
        float m = row[left];
        for (int i = left + 1; i < right; i++)
            m = larger(m, row[i]);
        y[ox] = m;
    }
}

void kn_pool_max(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    float *row = job->scratch, *y = job->y;
    for (int c = 0; c < l->oc; c++) {
        const float *x = job->x + (size_t)c * (size_t)l->ih * (size_t)l->iw;
        for (int oy = 0; oy < l->oh; oy++, y += l->ow) {
            int top = oy * l->stride - l->pad, bottom = top + l->kh;
            merge_rows(row, x, top < 0 ? 0 : top, bottom > l->ih ? l->ih : bottom, l->iw);
            merge_columns(y, row, l);
        }
    }
}
