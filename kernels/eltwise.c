/* eltwise.c: what happens to single values: a convolution's last touch, and what turns logits into
 * probabilities. A NaN stays a NaN everywhere, so that a broken input never looks like an answer.
 */
#include <math.h>

#include "kernels/engine.h"

void kn_eltwise_bias(float *y, const float *bias, int c, size_t n, size_t stride, int relu)
{
    for (int i = 0; i < c; i++, y += stride) {
        const float b = bias[i];
        if (relu) {
            for (size_t j = 0; j < n; j++) {
                float v = y[j] + b;
                y[j] = v < 0 ? 0 : v;
            }
        } else {
            for (size_t j = 0; j < n; j++)
                y[j] += b;
        }
    }
}

void kn_softmax(const float *x, int n, float *p)
{
    float largest = x[0];
    for (int i = 1; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp((double)x[i] - (double)largest);
    for (int i = 0; i < n; i++)
        p[i] = (float)(exp((double)x[i] - (double)largest) / sum);
}

void kn_sigmoid(const float *x, int n, float *p)
{
    for (int i = 0; i < n; i++)
        p[i] = (float)(1 / (1 + exp(-(double)x[i])));
}
