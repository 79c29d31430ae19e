/* equalise.c: channels between two convolutions, scaled so that they round alike. */
#include "weights/equalise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t inputs_of(const struct kn_layer *layer)
{
    return (size_t)layer->ic * (size_t)(layer->kh * layer->kw);
}

static size_t padded_floats(size_t n)
{
    const size_t line = KN_ALIGN / sizeof(float);

    return (n + line - 1) / line * line;
}

static const float *copy_floats(float **at, const float *from, size_t n)
{
    float *to = *at;

    if (from == NULL)
        return NULL;
    *at += padded_floats(n);
    return memcpy(to, from, n * sizeof(*to));
}

/* A copy whose every part may be written. */
static int copy(struct wt_folded *to, const struct wt_folded *from, struct wt_err *err)
{
    size_t n = 0;

    *to = (struct wt_folded){.net = from->net};
    for (int i = 0; i < from->net.n_layers; i++) {
        size_t oc = (size_t)from->net.layer[i].oc;
        n += padded_floats(oc * inputs_of(&from->net.layer[i])) + 2 * padded_floats(2 * oc);
    }
    float *at = to->memory = aligned_alloc(KN_ALIGN, n * sizeof(*at));
    if (at == NULL)
        return wt_fail(err, WT_ENOMEM, "no memory for another %zu weights", n);
    for (int i = 0; i < from->net.n_layers; i++) {
        size_t oc = (size_t)from->net.layer[i].oc;
        const struct kn_weight *w = &from->weights[i];
        to->weights[i].w = copy_floats(&at, w->w, oc * inputs_of(&from->net.layer[i]));
        to->weights[i].bias = copy_floats(&at, w->bias, oc);
        to->norm[i] = copy_floats(&at, from->norm[i], 2 * oc);
    }
    return WT_OK;
}

/* The one convolution that reads the layer's output, if nothing else does; or -1. */
static int only_reader(const struct kn_net *net, int layer)
{
    const struct kn_layer *writer = &net->layer[layer];
    int reader = -1;

    if (writer->op != KN_CONV || !writer->relu || writer->residual >= 0)
        return -1;
    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_layer *l = &net->layer[i];
        if (l->residual == writer->out)
            return -1;
        if (l->in != writer->out)
            continue;
        if (reader >= 0 || l->op != KN_CONV)
            return -1;
        reader = i;
    }
    return reader;
}

/* The largest weight that reads the channel. */
static double largest_weight(const struct wt_folded *f, int reader, size_t channel)
{
    const struct kn_layer *l = &f->net.layer[reader];
    size_t taps = (size_t)(l->kh * l->kw), k = inputs_of(l);
    const float *w = (const float *)f->weights[reader].w + channel * taps;
    double largest = 0;

    for (size_t o = 0; o < (size_t)l->oc; o++, w += k)
        for (size_t t = 0; t < taps; t++)
            largest = fmax(largest, fabs((double)w[t]));
    return largest;
}

static void scale_floats(const float *x, size_t n, double scale)
{
    for (size_t i = 0; i < n; i++)
        ((float *)x)[i] = (float)((double)x[i] * scale);
}

static void scale_channel(const struct wt_folded *f, int writer, int reader, size_t channel,
                          double scale)
{
    const struct kn_layer *from = &f->net.layer[writer], *to = &f->net.layer[reader];
    const float *norm = f->norm[writer];
    size_t taps = (size_t)(to->kh * to->kw), inputs = inputs_of(from);

    scale_floats((const float *)f->weights[writer].w + channel * inputs, inputs, scale);
    scale_floats(f->weights[writer].bias + channel, 1, scale);
    if (norm != NULL) {
        scale_floats(norm + channel, 1, scale);
        scale_floats(norm + from->oc + channel, 1, scale);
    }
    for (size_t o = 0; o < (size_t)to->oc; o++)
        scale_floats((const float *)f->weights[reader].w + o * inputs_of(to) + channel * taps, taps,
                     1 / scale);
}

/* Both are shares of the largest there is; a channel that is dead on either side stays. */
static double scale_of(double output, double weight)
{
    const double most = 8; /* no farther: the largest number does not say all of a channel */
    double scale = output > 0 && weight > 0 ? sqrt(weight / output) : 1;

    return fmin(fmax(scale, 1 / most), most);
}

static void equalise_pair(const struct wt_folded *equal, const struct wt_folded *folded,
                          const double *outputs, int writer, int reader)
{
    int channels = folded->net.layer[writer].oc;
    double most_output = 0, most_weight = 0;

    for (int c = 0; c < channels; c++) {
        most_output = fmax(most_output, outputs[c]);
        most_weight = fmax(most_weight, largest_weight(folded, reader, (size_t)c));
    }
    for (int c = 0; c < channels; c++)
        scale_channel(equal, writer, reader, (size_t)c,
                      scale_of(outputs[c] / most_output,
                               largest_weight(folded, reader, (size_t)c) / most_weight));
}

int wt_equalise(struct wt_folded *equal, const struct wt_folded *folded,
                const struct wt_statistics *statistics, struct wt_err *err)
{
    int code = copy(equal, folded, err);

    for (int i = 0; i < folded->net.n_layers && code == WT_OK; i++) {
        int reader = only_reader(&folded->net, i);
        if (reader >= 0)
            equalise_pair(equal, folded, statistics->largest[i], i, reader);
    }
    return code;
}
