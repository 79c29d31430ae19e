/* pickle_machine.h: what the instructions of pickle.c and pickle_call.c share: input, stack, memo.
 * Internal to pickle*.c. Functions return WT_OK or a code with the machine's err filled. */
#ifndef WEIGHTS_PICKLE_MACHINE_H
#define WEIGHTS_PICKLE_MACHINE_H

#include "weights/pickle.h"

enum {
    WT_PICKLE_MAX_VALUES = 1 << 21, /* a ResNet-152 with Adam's state has some 40,000 */
    WT_PICKLE_MAX_ITEMS = 1 << 23,  /* of all containers: some instructions copy them */
};

struct wt_pickle_indices {
    uint32_t *item;
    uint32_t n, capacity;
};

struct wt_pickle_machine {
    struct wt_pickle *pickle;
    const char *where;
    const uint8_t *bytes;
    size_t n, at;
    struct wt_pickle_indices stack, memo;
    struct wt_pickle_indices marks; /* heights of the stack */
    uint32_t n_items;               /* of all containers so far */
    int stopped;
    struct wt_err *err;
};

/* One instruction; arg and type tell apart those that share a function. */
typedef int wt_pickle_op_fn(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type);

/* ---- pickle_machine.c ----------------------------------------------------------------------- */

int wt_pickle_bad(struct wt_pickle_machine *m, const char *what);
struct wt_pickle_value *wt_pickle_machine_value(const struct wt_pickle_machine *m, uint32_t index);

int wt_pickle_take(struct wt_pickle_machine *m, size_t n, const uint8_t **bytes);
/* Little-endian, unsigned, of up to 8 bytes. */
int wt_pickle_take_number(struct wt_pickle_machine *m, int n_bytes, uint64_t *out);

int wt_pickle_append(struct wt_pickle_machine *m, struct wt_pickle_indices *list, uint32_t index);
int wt_pickle_append_item(struct wt_pickle_machine *m, struct wt_pickle_value *to, uint32_t index);

int wt_pickle_push(struct wt_pickle_machine *m, uint32_t index);
/* Takes the value's list over, also when it fails. */
int wt_pickle_push_value(struct wt_pickle_machine *m, struct wt_pickle_value value);

int wt_pickle_top(struct wt_pickle_machine *m, uint32_t *index);
int wt_pickle_pop(struct wt_pickle_machine *m, uint32_t *index);
/* The n topmost values, or (n < 0) those above the last mark: their place on the stack, from which
 * they are gone; they stay readable there until the next push. */
int wt_pickle_pop_many(struct wt_pickle_machine *m, int n, uint32_t *from, uint32_t *count);

/* ---- pickle_call.c: instructions that would import and call ---------------------------------- */

wt_pickle_op_fn wt_pickle_op_global, wt_pickle_op_stack_global, wt_pickle_op_reduce,
    wt_pickle_op_build, wt_pickle_op_persistent_id;

#endif
