/* assume.c: what a network's layers put out, told by batch-norm alone.
 *
 * After batch-norm a channel has the mean beta and the deviation |gamma| over all pictures of the
 * training. ReLU makes of a normal distribution one whose mean and variance are known too; residual
 * sums add both. So every layer's outputs are a mixture of as many normal distributions as it has
 * channels. Real ones have longer tails. */
#include <math.h>
#include <stdlib.h>

#include "weights/statistics.h"

/* Mean and variance of max(0, x), x of that mean and deviation. */
static void rectify(double *mean, double *variance)
{
    static const double to_density = 0.3989422804014327; /* 1 / sqrt(2 pi) */
    double m = *mean, deviation = sqrt(*variance);

    if (!(deviation > 0)) {
        *mean = m > 0 ? m : 0;
        return;
    }
    double z = m / deviation, density = to_density * exp(-z * z / 2);
    double above = 0.5 * erfc(-z * sqrt(0.5)); /* share of the values */
    double square = (m * m + *variance) * above + m * deviation * density;
    *mean = m * above + deviation * density;
    *variance = fmax(0, square - *mean * *mean);
}

struct assumption {
    struct wt_statistics *statistics;
    const struct wt_folded *folded;
    double *variance[KN_MAX_LAYERS]; /* [oc] */
};

/* The layer that writes the value, or -1 for the network's input. */
static int writer_of(const struct kn_net *net, int value)
{
    for (int i = 0; i < net->n_layers; i++)
        if (net->layer[i].out == value)
            return i;
    return -1;
}

static double farthest(double mean, double deviation, int rectified)
{
    double above = fmax(0, mean + WT_HISTOGRAM_SIGMAS * deviation);

    return rectified ? above : fmax(above, WT_HISTOGRAM_SIGMAS * deviation - mean);
}

static void assume_conv(struct assumption *a, int i)
{
    const struct kn_net *net = &a->folded->net;
    const struct kn_layer *layer = &net->layer[i];
    const float *norm = a->folded->norm[i];
    int residual = layer->residual > 0 ? writer_of(net, layer->residual) : -1;
    double plane = (double)layer->oh * layer->ow;

    for (int c = 0; c < layer->oc; c++) {
        double mean = (double)norm[c], deviation = (double)norm[layer->oc + c];
        double variance = deviation * deviation;
        if (residual >= 0) {
            mean += a->statistics->mean[residual][c];
            variance += a->variance[residual][c];
        }
        wt_histogram_add_normal(&a->statistics->histogram[i], mean, sqrt(variance), plane,
                                layer->relu);
        a->statistics->largest[i][c] = farthest(mean, sqrt(variance), layer->relu);
        if (layer->relu)
            rectify(&mean, &variance);
        a->statistics->mean[i][c] = mean;
        a->variance[i][c] = variance;
    }
}

/* Pooling is taken as changing nothing, but that a mean over a picture has less variance. */
static void assume_pool(struct assumption *a, int i)
{
    const struct kn_net *net = &a->folded->net;
    int from = writer_of(net, net->layer[i].in);
    double fewer = net->layer[i].op == KN_AVGPOOL ? net->layer[i].kh * net->layer[i].kw : 1;

    for (int c = 0; c < net->layer[i].oc; c++) {
        a->statistics->mean[i][c] = a->statistics->mean[from][c];
        a->variance[i][c] = a->variance[from][c] / fewer;
        wt_histogram_add_normal(&a->statistics->histogram[i], a->statistics->mean[i][c],
                                sqrt(a->variance[i][c]), 1, 1);
    }
}

static int check_norms(const struct wt_folded *folded, struct wt_err *err)
{
    for (int i = 0; i < folded->net.n_layers; i++)
        if (folded->net.layer[i].op == KN_CONV && folded->norm[i] == NULL)
            return wt_fail(
                err, WT_ETENSOR,
                "%s: there is no batch-norm to take ranges from; calibrate with pictures",
                folded->net.layer[i].name);
    return WT_OK;
}

static int make_variances(struct assumption *a, double **memory, struct wt_err *err)
{
    const struct kn_net *net = &a->folded->net;
    size_t channels = 0;

    for (int i = 0; i < net->n_layers; i++)
        channels += (size_t)net->layer[i].oc;
    double *at = *memory = calloc(channels, sizeof(*at));
    if (at == NULL)
        return wt_fail(err, WT_ENOMEM, "no memory for the variances of %zu channels", channels);
    for (int i = 0; i < net->n_layers; at += net->layer[i++].oc)
        a->variance[i] = at;
    return WT_OK;
}

int wt_statistics_assume(struct wt_statistics *statistics, const struct wt_folded *folded,
                         struct wt_err *err)
{
    struct assumption a = {.statistics = statistics, .folded = folded};
    double *memory = NULL;
    int code;

    *statistics = (struct wt_statistics){0};
    if ((code = check_norms(folded, err)) != WT_OK ||
        (code = wt_statistics_init(statistics, &folded->net, err)) != WT_OK ||
        (code = make_variances(&a, &memory, err)) != WT_OK) {
        wt_statistics_free(statistics);
        return code;
    }
    for (int i = 0; i < folded->net.n_layers; i++)
        if (folded->net.layer[i].op == KN_CONV)
            assume_conv(&a, i);
        else if (folded->net.layer[i].op != KN_FC)
            assume_pool(&a, i);
    free(memory);
    return WT_OK;
}
