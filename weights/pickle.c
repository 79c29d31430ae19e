/* pickle.c: a stack machine for protocols 2 to 4 that builds descriptions and calls nothing.
 *
 * Every instruction makes at most one value and moves what is on the stack, so that memory follows
 * the pickle's length; there is no recursion, and nesting costs nothing. */
#include <stdlib.h>
#include <string.h>

#include "weights/pickle_machine.h"

enum { NO_VALUE = UINT32_MAX };

/* ---- instructions: plain values ------------------------------------------------------------- */

static int op_protocol(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    uint64_t version;
    int code = wt_pickle_take_number(m, arg, &version);

    (void)type;
    if (code == WT_OK && (version < 2 || version > 4))
        return wt_pickle_bad(m, "expected protocol 2, 3 or 4");
    return code;
}

static int op_frame(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    uint64_t length;

    (void)type;
    return wt_pickle_take_number(m, arg, &length);
}

static int op_empty(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    struct wt_pickle_value value = {.type = type};

    if (type == WT_PICKLE_BOOL)
        value.i = arg;
    return wt_pickle_push_value(m, value);
}

static int op_int(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    uint64_t number;
    int code = wt_pickle_take_number(m, arg, &number);

    if (code != WT_OK)
        return code;
    return wt_pickle_push_value(
        m,
        (struct wt_pickle_value){.type = type, .i = arg == 4 ? (int32_t)number : (int64_t)number});
}

static int op_long(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    struct wt_pickle_value value = {.type = type};
    const uint8_t *bytes;
    uint64_t n, number = 0;
    int code = wt_pickle_take_number(m, arg, &n);

    if (code == WT_OK)
        code = wt_pickle_take(m, n, &bytes);
    if (code != WT_OK)
        return code;
    if (n > 8) {
        value.type = WT_PICKLE_BIG_INT;
        value.text.s = bytes;
        value.text.n = n;
    } else {
        memcpy(&number, bytes, n);
        if (n > 0 && n < 8 && bytes[n - 1] & 0x80)
            number |= UINT64_MAX << (8 * n);
        value.i = (int64_t)number;
    }
    return wt_pickle_push_value(m, value);
}

static int op_float(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    const uint8_t *bytes;
    int code = wt_pickle_take(m, (size_t)arg, &bytes);

    return code == WT_OK ? wt_pickle_push_value(m, (struct wt_pickle_value){.type = type}) : code;
}

static int op_text(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    struct wt_pickle_value value = {.type = type};
    uint64_t n;
    int code = wt_pickle_take_number(m, arg, &n);

    if (code == WT_OK)
        code = wt_pickle_take(m, n, &value.text.s);
    value.text.n = n;
    return code == WT_OK ? wt_pickle_push_value(m, value) : code;
}

/* ---- instructions: stack and memo ----------------------------------------------------------- */

static int op_mark(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    (void)arg;
    (void)type;
    return wt_pickle_append(m, &m->marks, m->stack.n);
}

static int op_pop(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    uint32_t from, count;

    (void)type;
    return wt_pickle_pop_many(m, arg, &from, &count);
}

static int op_dup(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    uint32_t index;
    int code = wt_pickle_top(m, &index);

    (void)arg;
    (void)type;
    return code == WT_OK ? wt_pickle_push(m, index) : code;
}

/* arg 0: under the next free number. */
static int op_put(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    uint64_t slot = m->memo.n;
    uint32_t index;
    int code = arg ? wt_pickle_take_number(m, arg, &slot) : WT_OK;

    (void)type;
    if (code == WT_OK)
        code = wt_pickle_top(m, &index);
    if (code != WT_OK)
        return code;
    while (code == WT_OK && m->memo.n <= slot)
        code = wt_pickle_append(m, &m->memo, NO_VALUE);
    if (code == WT_OK)
        m->memo.item[slot] = index;
    return code;
}

static int op_get(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    uint64_t slot;
    int code = wt_pickle_take_number(m, arg, &slot);

    (void)type;
    if (code != WT_OK)
        return code;
    if (slot >= m->memo.n || m->memo.item[slot] == NO_VALUE)
        return wt_pickle_bad(m, "asks the memo for what was never put there");
    return wt_pickle_push(m, m->memo.item[slot]);
}

static int op_stop(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    (void)arg;
    (void)type;
    if (m->marks.n || m->stack.n != 1)
        return wt_pickle_bad(m, "stops with other than one value");
    m->pickle->root = m->stack.item[0];
    m->stopped = 1;
    return WT_OK;
}

/* ---- instructions: containers --------------------------------------------------------------- */

static int op_collect(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    struct wt_pickle_value value = {.type = type};
    uint32_t from, count;
    int code = wt_pickle_pop_many(m, arg, &from, &count);

    for (uint32_t i = 0; i < count && code == WT_OK; i++)
        code = wt_pickle_append_item(m, &value, m->stack.item[from + i]);
    if (code == WT_OK)
        return wt_pickle_push_value(m, value);
    free(value.list.item);
    return code;
}

/* APPEND(S), SETITEM(S), ADDITEMS: arg values (or those above the mark) into the container below.
 */
static int op_extend(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    uint32_t from, count, container;
    int code = wt_pickle_pop_many(m, arg, &from, &count);

    if (code == WT_OK)
        code = wt_pickle_top(m, &container);
    if (code != WT_OK)
        return code;
    if (wt_pickle_machine_value(m, container)->type != type ||
        (type == WT_PICKLE_DICT && count % 2 != 0))
        return wt_pickle_bad(m, "adds elements to what cannot have them");
    for (uint32_t i = 0; i < count && code == WT_OK; i++)
        code = wt_pickle_append_item(m, wt_pickle_machine_value(m, container),
                                     m->stack.item[from + i]);
    return code;
}

/* ---- the machine ---------------------------------------------------------------------------- */

enum { MARK = -1 };

static const struct {
    wt_pickle_op_fn *run;
    int arg;
    enum wt_pickle_type type;
} ops[256] = {
    [0x80] = {op_protocol, 1, 0},
    [0x95] = {op_frame, 8, 0},
    ['.'] = {op_stop, 0, 0},

    ['N'] = {op_empty, 0, WT_PICKLE_NONE},
    [0x88] = {op_empty, 1, WT_PICKLE_BOOL},
    [0x89] = {op_empty, 0, WT_PICKLE_BOOL},
    [')'] = {op_empty, 0, WT_PICKLE_TUPLE},
    [']'] = {op_empty, 0, WT_PICKLE_LIST},
    ['}'] = {op_empty, 0, WT_PICKLE_DICT},
    [0x8f] = {op_empty, 0, WT_PICKLE_SET},
    ['K'] = {op_int, 1, WT_PICKLE_INT},
    ['M'] = {op_int, 2, WT_PICKLE_INT},
    ['J'] = {op_int, 4, WT_PICKLE_INT},
    [0x8a] = {op_long, 1, WT_PICKLE_INT},
    [0x8b] = {op_long, 4, WT_PICKLE_INT},
    ['G'] = {op_float, 8, WT_PICKLE_FLOAT},
    ['U'] = {op_text, 1, WT_PICKLE_STRING}, /* Python 2's str */
    ['T'] = {op_text, 4, WT_PICKLE_STRING},
    [0x8c] = {op_text, 1, WT_PICKLE_STRING},
    ['X'] = {op_text, 4, WT_PICKLE_STRING},
    [0x8d] = {op_text, 8, WT_PICKLE_STRING},
    ['C'] = {op_text, 1, WT_PICKLE_BYTES},
    ['B'] = {op_text, 4, WT_PICKLE_BYTES},
    [0x8e] = {op_text, 8, WT_PICKLE_BYTES},

    ['('] = {op_mark, 0, 0},
    ['0'] = {op_pop, 1, 0},
    ['1'] = {op_pop, MARK, 0},
    ['2'] = {op_dup, 0, 0},
    ['q'] = {op_put, 1, 0},
    ['r'] = {op_put, 4, 0},
    [0x94] = {op_put, 0, 0},
    ['h'] = {op_get, 1, 0},
    ['j'] = {op_get, 4, 0},

    ['t'] = {op_collect, MARK, WT_PICKLE_TUPLE},
    [0x85] = {op_collect, 1, WT_PICKLE_TUPLE},
    [0x86] = {op_collect, 2, WT_PICKLE_TUPLE},
    [0x87] = {op_collect, 3, WT_PICKLE_TUPLE},
    [0x91] = {op_collect, MARK, WT_PICKLE_SET},
    ['a'] = {op_extend, 1, WT_PICKLE_LIST},
    ['e'] = {op_extend, MARK, WT_PICKLE_LIST},
    ['s'] = {op_extend, 2, WT_PICKLE_DICT},
    ['u'] = {op_extend, MARK, WT_PICKLE_DICT},
    [0x90] = {op_extend, MARK, WT_PICKLE_SET},

    ['c'] = {wt_pickle_op_global, 0, 0},
    [0x93] = {wt_pickle_op_stack_global, 2, 0},
    ['R'] = {wt_pickle_op_reduce, 2, 0},
    [0x81] = {wt_pickle_op_reduce, 2, 0},
    ['b'] = {wt_pickle_op_build, 0, WT_PICKLE_DICT},
    ['Q'] = {wt_pickle_op_persistent_id, 0, WT_PICKLE_STORAGE},
};

static int run(struct wt_pickle_machine *m)
{
    int code = WT_OK;

    while (code == WT_OK && !m->stopped) {
        uint8_t op;
        if (m->at == m->n)
            return wt_pickle_bad(m, "ends before its STOP; is the file complete?");
        op = m->bytes[m->at];
        if (!ops[op].run)
            return wt_fail(
                m->err, WT_EFORMAT,
                "%s: pickle, byte %zu: instruction 0x%02x is none that torch.save writes", m->where,
                m->at, op);
        m->at++;
        code = ops[op].run(m, ops[op].arg, ops[op].type);
    }
    return code;
}

int wt_pickle_load(struct wt_pickle *pickle, const char *where, const uint8_t *bytes, size_t n,
                   struct wt_err *err)
{
    struct wt_pickle_machine m = {
        .pickle = pickle, .where = where, .bytes = bytes, .n = n, .err = err};
    int code;

    memset(pickle, 0, sizeof *pickle);
    code = run(&m);
    pickle->n_used = m.at;
    free(m.stack.item);
    free(m.marks.item);
    free(m.memo.item);
    return code;
}
