/* fc.c: the classifier: y[oc] = bias[oc] + sum over ic of w[oc, ic] * x[ic]. With one pixel, every
 * block keeps channels in their order. */
#include "kernels/ref/ref.h"

void kn_ref_fc(const struct kn_job *job)
{
    const struct kn_layer *l = job->layer;
    const float *w = job->w;
    for (int oc = 0; oc < l->oc; oc++, w += l->ic) {
        double sum = (double)job->bias[oc];
        for (int ic = 0; ic < l->ic; ic++)
            sum += (double)w[ic] * (double)job->x[ic];
        job->y[oc] = (float)sum;
    }
}
