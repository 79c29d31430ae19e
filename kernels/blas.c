/* blas.c: convolutions as matrix products by OpenBLAS: the portable floor, and the independent
 * oracle for kernels of our own. The only file that knows cblas.h.
 *
 * y[oc, pixels] = w[oc, k] * columns[k, pixels] with k = ic * kh * kw. A 1x1 filter of stride 1
 * reads its input as it is; for the others a strip of output rows at a time is unrolled into
 * columns, so that a strip stays in the L2 cache between being written and being read. The residual
 * is what sgemm adds to (beta = 1); bias and ReLU follow while the strip is still warm. */
#include <cblas.h>
#include <string.h>

#include "kernels/engine.h"

/* A strip has STRIP_BYTES of columns, but not fewer than MIN_PIXELS of them: every strip makes
 * sgemm pack all the weights anew. Measured with ResNet-50: see the README. */
enum { STRIP_BYTES = 512 << 10, MIN_PIXELS = 256 };

const char *kn_blas_core(void)
{
    return openblas_get_corename();
}

const char *kn_blas_config(void)
{
    return openblas_get_config();
}

int kn_blas_is_serial(void)
{
    return openblas_get_parallel() == 0;
}

/* Where the sum starts: at the residual (brought to y if it is not there yet), or at 0. */
static float start_sum(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    if (job->residual == NULL)
        return 0;
    if (job->residual != job->y)
        memcpy(job->y, job->residual,
               (size_t)l->oc * (size_t)l->oh * (size_t)l->ow * sizeof *job->y);
    return 1;
}

/* Output pixels [from, from + n) of all channels. columns: [k, n], rows of `stride` floats. */
static void multiply(const struct kn_job *job, const float *columns, int stride, int from, int n,
                     float beta)
{
    const struct kn_layer *l = job->layer;
    int k = l->ic * l->kh * l->kw, pixels = l->oh * l->ow;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, l->oc, n, k, 1, job->w, k, columns,
                stride, beta, job->y + from, pixels);
    kn_eltwise_bias(job->y + from, job->bias, l->oc, (size_t)n, (size_t)pixels, l->relu);
}

void kn_blas_conv_1x1(const struct kn_job *job)
{
    int pixels = job->layer->oh * job->layer->ow;
    multiply(job, job->x, pixels, 0, pixels, start_sum(job));
}

static int strip_rows(const struct kn_layer *l)
{
    size_t row_bytes = (size_t)l->ic * (size_t)(l->kh * l->kw) * (size_t)l->ow * sizeof(float);
    size_t rows = STRIP_BYTES / row_bytes, least = (size_t)((MIN_PIXELS + l->ow - 1) / l->ow);
    rows = rows < least ? least : rows;
    return rows > (size_t)l->oh ? l->oh : (int)rows;
}

size_t kn_blas_conv_scratch(const struct kn_layer *l, int threads)
{
    (void)threads;
    size_t pixels = (size_t)strip_rows(l) * (size_t)l->ow;
    return (size_t)l->ic * (size_t)(l->kh * l->kw) * pixels * sizeof(float);
}

/* One row of columns from one row of the image: out[ox] = row[ox * stride + shift], 0 outside.
 * row NULL: a row of padding. */
static void unroll_row(float *out, const float *row, const struct kn_layer *l, int shift)
{
    if (row == NULL) {
        memset(out, 0, (size_t)l->ow * sizeof *out);
        return;
    }
    int from = shift < 0 ? (-shift + l->stride - 1) / l->stride : 0;
    int to = l->iw > shift ? (l->iw - shift - 1) / l->stride + 1 : 0;
    to = to > l->ow ? l->ow : to;
    from = from > to ? to : from;
    for (int ox = 0; ox < from; ox++)
        out[ox] = 0;
    if (l->stride == 1)
        memcpy(out + from, row + from + shift, (size_t)(to - from) * sizeof *out);
    else
        for (int ox = from; ox < to; ox++)
            out[ox] = row[ox * l->stride + shift];
    for (int ox = to; ox < l->ow; ox++)
        out[ox] = 0;
}

/* columns: [ic * kh * kw, rows * ow] of the output rows [oy, oy + rows) */
static void unroll(float *columns, const float *x, const struct kn_layer *l, int oy, int rows)
{
    for (int c = 0; c < l->ic; c++, x += (size_t)l->ih * (size_t)l->iw)
        for (int ky = 0; ky < l->kh; ky++)
            for (int kx = 0; kx < l->kw; kx++)
                for (int r = oy; r < oy + rows; r++, columns += l->ow) {
                    int iy = r * l->stride + ky - l->pad;
                    int inside = iy >= 0 && iy < l->ih;
                    const float *row = inside ? x + (size_t)iy * (size_t)l->iw : NULL;
                    unroll_row(columns, row, l, kx - l->pad);
                }
}

void kn_blas_conv_im2col(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    int most = strip_rows(l);
    float beta = start_sum(job);
    for (int oy = 0; oy < l->oh; oy += most) {
        int rows = l->oh - oy < most ? l->oh - oy : most;
        unroll(job->scratch, job->x, l, oy, rows);
        multiply(job, job->scratch, rows * l->ow, oy * l->ow, rows * l->ow, beta);
    }
}

void kn_blas_fc(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    memcpy(job->y, job->bias, (size_t)l->oc * sizeof *job->y);
    cblas_sgemv(CblasRowMajor, CblasNoTrans, l->oc, l->ic, 1, job->w, l->ic, job->x, 1, 1, job->y,
                1);
}
