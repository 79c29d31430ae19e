/* arena.c: where each activation lies. Values that hand one buffer on (a residual and the sum
 * written over it) form a group; groups are placed largest first, each at the lowest offset where
 * it meets none that is alive at the same time. */
#include <stdlib.h>

#include "kernels/engine.h"

struct group {
    int first, last; /* the layers between which it is alive, both included */
    size_t bytes, offset;
};

struct arena {
    int n;
    struct group group[KN_MAX_LAYERS];
    int group_of[KN_MAX_LAYERS + 1]; /* by value */
};

/* -1: none, so it is the network's result. The features, which are copied out too, are what the
 * last layer reads. */
static int last_reader(const struct kn_net *net, int value)
{
    int last = -1;
    for (int i = 0; i < net->n_layers; i++)
        if (net->layer[i].in == value || net->layer[i].residual == value)
            last = i;
    return last;
}

static void make_groups(struct arena *a, const struct kn_net *net, const size_t *bytes)
{
    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_layer *l = &net->layer[i];
        int r = l->residual;
        struct group *g;
        if (r > 0 && r != l->in && a->group[a->group_of[r]].last == i &&
            bytes[r] == bytes[l->out]) {
            g = &a->group[a->group_of[r]];
            a->group_of[l->out] = a->group_of[r];
        } else {
            g = &a->group[a->n];
            *g = (struct group){.first = i, .bytes = bytes[l->out]};
            a->group_of[l->out] = a->n++;
        }
        int last = last_reader(net, l->out);
        g->last = last < 0 ? net->n_layers - 1 : last;
    }
}

static int larger_first(const void *x, const void *y)
{
    const struct group *a = *(struct group *const *)x, *b = *(struct group *const *)y;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->first - b->first;
}

static int alive_together(const struct group *a, const struct group *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset where g meets none of placed[n]; 0 with *overflow set when there is none. */
static size_t lowest_offset(const struct group *g, struct group *const *placed, int n,
                            int *overflow)
{
    size_t offset = 0, end;
    for (int i = 0; i < n; i++) {
        const struct group *p = placed[i];
        *overflow |= __builtin_add_overflow(offset, g->bytes, &end);
        if (alive_together(g, p) && offset < p->offset + p->bytes && p->offset < end) {
            offset = p->offset + p->bytes;
            i = -1;
        }
    }
    *overflow |= __builtin_add_overflow(offset, g->bytes, &end);
    return offset;
}

size_t kn_arena_plan(const struct kn_net *net, const size_t *bytes, size_t *offset)
{
    struct arena a = {0};
    struct group *order[KN_MAX_LAYERS];
    size_t rounded[KN_MAX_LAYERS + 1] = {0}, total = KN_ALIGN;
    int overflow = 0;

    for (int i = 0; i < net->n_layers; i++) {
        int v = net->layer[i].out;
        overflow |= __builtin_add_overflow(bytes[v], KN_ALIGN - 1, &rounded[v]);
        rounded[v] &= ~(size_t)(KN_ALIGN - 1);
    }
    make_groups(&a, net, rounded);
    for (int i = 0; i < a.n; i++)
        order[i] = &a.group[i];
    qsort(order, (size_t)a.n, sizeof *order, larger_first);
    for (int i = 0; i < a.n; i++) {
        order[i]->offset = lowest_offset(order[i], order, i, &overflow);
        size_t end = order[i]->offset + order[i]->bytes;
        total = end > total ? end : total;
    }
    for (int i = 0; i < net->n_layers; i++) {
        int v = net->layer[i].out;
        offset[v] = a.group[a.group_of[v]].offset;
    }
    return overflow ? 0 : total;
}
