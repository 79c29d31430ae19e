/* pickle_machine.c: the pickle machine's input and stack, every access checked. */
#include <stdlib.h>
#include <string.h>

#include "weights/pickle_machine.h"

int wt_pickle_bad(struct wt_pickle_machine *m, const char *what)
{
    return wt_fail(m->err, WT_EFORMAT, "%s: pickle, byte %zu: %s", m->where, m->at, what);
}

static int no_memory(struct wt_pickle_machine *m)
{
    return wt_fail(m->err, WT_ENOMEM, "%s: no memory for a pickle of %zu bytes", m->where, m->n);
}

int wt_pickle_take(struct wt_pickle_machine *m, size_t n, const uint8_t **bytes)
{
    *bytes = m->bytes + m->at;
    if (n > m->n - m->at)
        return wt_pickle_bad(m, "ends in the middle of an instruction");
    m->at += n;
    return WT_OK;
}

int wt_pickle_take_number(struct wt_pickle_machine *m, int n_bytes, uint64_t *out)
{
    const uint8_t *bytes;
    int code = wt_pickle_take(m, (size_t)n_bytes, &bytes);

    *out = 0;
    if (code == WT_OK)
        memcpy(out, bytes, (size_t)n_bytes);
    return code;
}

int wt_pickle_append(struct wt_pickle_machine *m, struct wt_pickle_indices *list, uint32_t index)
{
    if (list->n >= WT_PICKLE_MAX_VALUES)
        return wt_pickle_bad(m, "the stack, the memo or a container grows too large");
    if (list->n == list->capacity) {
        uint32_t capacity = list->capacity ? list->capacity * 2 : 8;
        void *item = reallocarray(list->item, capacity, sizeof *list->item);
        if (!item)
            return no_memory(m);
        list->item = item;
        list->capacity = capacity;
    }
    list->item[list->n++] = index;
    return WT_OK;
}

int wt_pickle_append_item(struct wt_pickle_machine *m, struct wt_pickle_value *to, uint32_t index)
{
    struct wt_pickle_indices list = {to->list.item, to->list.n, to->list.capacity};
    int code = ++m->n_items > WT_PICKLE_MAX_ITEMS
                   ? wt_pickle_bad(m, "more elements than this program reads")
                   : wt_pickle_append(m, &list, index);

    to->list.item = list.item;
    to->list.n = list.n;
    to->list.capacity = list.capacity;
    return code;
}

int wt_pickle_push(struct wt_pickle_machine *m, uint32_t index)
{
    return wt_pickle_append(m, &m->stack, index);
}

static int grow_values(struct wt_pickle_machine *m)
{
    struct wt_pickle *p = m->pickle;
    uint32_t capacity = p->capacity ? p->capacity * 2 : 1024;
    void *values;

    if (p->n_values < p->capacity)
        return WT_OK;
    if (p->n_values >= WT_PICKLE_MAX_VALUES)
        return wt_pickle_bad(m, "more values than this program reads");
    values = reallocarray(p->values, capacity, sizeof *p->values);
    if (!values)
        return no_memory(m);
    p->values = values;
    p->capacity = capacity;
    return WT_OK;
}

int wt_pickle_push_value(struct wt_pickle_machine *m, struct wt_pickle_value value)
{
    int code = grow_values(m);

    if (code != WT_OK) {
        wt_pickle_value_free(&value);
        return code;
    }
    m->pickle->values[m->pickle->n_values] = value;
    return wt_pickle_push(m, m->pickle->n_values++);
}

/* Nothing below the last mark may be popped. */
static uint32_t floor_of(const struct wt_pickle_machine *m)
{
    return m->marks.n ? m->marks.item[m->marks.n - 1] : 0;
}

int wt_pickle_pop(struct wt_pickle_machine *m, uint32_t *index)
{
    *index = 0;
    if (m->stack.n <= floor_of(m))
        return wt_pickle_bad(m, "takes from an empty stack");
    *index = m->stack.item[--m->stack.n];
    return WT_OK;
}

int wt_pickle_pop_many(struct wt_pickle_machine *m, int n, uint32_t *from, uint32_t *count)
{
    uint32_t low = floor_of(m);

    *from = *count = 0;
    if (n < 0 && m->marks.n == 0)
        return wt_pickle_bad(m, "lacks a mark");
    if (n < 0)
        m->marks.n--;
    else if (m->stack.n - low < (uint32_t)n)
        return wt_pickle_bad(m, "takes from an empty stack");
    else
        low = m->stack.n - (uint32_t)n;
    *from = low;
    *count = m->stack.n - low;
    m->stack.n = low;
    return WT_OK;
}

int wt_pickle_top(struct wt_pickle_machine *m, uint32_t *index)
{
    int code = wt_pickle_pop(m, index);

    if (code == WT_OK)
        m->stack.n++;
    return code;
}

struct wt_pickle_value *wt_pickle_machine_value(const struct wt_pickle_machine *m, uint32_t index)
{
    return &m->pickle->values[index];
}
