/* pickle_call.c: the instructions that, in Python, import and call. Here a known name becomes a
 * description, and every other name the sentence that says how to save without it. */
#include <stdlib.h>
#include <string.h>

#include "weights/pickle_machine.h"

/* Printable part of a name, for a sentence. */
static void printable(const uint8_t *s, size_t n, char out[64])
{
    size_t i = 0;

    for (; i < n && i < 63; i++)
        out[i] = s[i] > ' ' && s[i] < 0x7f && s[i] != '"' ? (char)s[i] : '?';
    out[i] = '\0';
}

/* Where, on the stack, the keys and values of the outermost dict end that are there so far: while
 * it is being built, the stack holds that dict, then those, up to the next mark. */
static uint32_t outer_end(const struct wt_pickle_machine *m)
{
    uint32_t end = m->stack.n;

    for (uint32_t i = m->marks.n; i > 0; i--)
        if (m->marks.item[i - 1] > 1)
            end = m->marks.item[i - 1];
    return end;
}

/* The key whose value is being built. */
static int outer_key(const struct wt_pickle_machine *m, char out[64])
{
    uint32_t end = outer_end(m);
    const struct wt_pickle_value *key;

    if (end < 2)
        return 0;
    key = wt_pickle_machine_value(m, m->stack.item[1 + 2 * ((end - 2) / 2)]);
    if (key->type != WT_PICKLE_STRING)
        return 0;
    printable(key->text.s, key->text.n, out);
    return 1;
}

/* The key that has the state_dict, as far as has been read. */
static const char *state_dict_key(const struct wt_pickle_machine *m)
{
    static const char *const keys[] = {"state_dict", "model", "model_state_dict"};
    uint32_t end = outer_end(m);

    for (uint32_t i = 1; i + 1 < end; i += 2)
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            if (wt_pickle_is(wt_pickle_machine_value(m, m->stack.item[i]), keys[k]))
                return keys[k];
    return keys[0];
}

static int refuse_global(struct wt_pickle_machine *m, const uint8_t *module, size_t n_module,
                         const uint8_t *name, size_t n_name)
{
    char first[64], last[64], key[64];
    int is_model;

    printable(module, n_module, first);
    printable(name, n_name, last);
    if (m->stack.n == 0 || wt_pickle_machine_value(m, m->stack.item[0])->type != WT_PICKLE_DICT)
        return wt_fail(
            m->err, WT_EPICKLE,
            "%s: expected a state_dict, found a pickled object, %s.%s, that only running "
            "code could restore; in Python, where it can be loaded, save what is needed: "
            "torch.save(model.state_dict(), \"weights.pth\")",
            m->where, first, last);
    if (!outer_key(m, key))
        return wt_fail(m->err, WT_EPICKLE,
                       "%s: holds %s.%s, which is never executed here; in Python, save the "
                       "state_dict alone: torch.save(model.state_dict(), \"weights.pth\")",
                       m->where, first, last);
    is_model = strcmp(key, "model") == 0 || strcmp(key, "state_dict") == 0;
    return wt_fail(
        m->err, WT_EPICKLE,
        "%s: holds, under the key \"%s\", %s.%s, which is never executed here; in Python, "
        "save the state_dict alone: torch.save(torch.load(\"IN.pth\")[\"%s\"]%s, "
        "\"weights.pth\")",
        m->where, key, first, last, is_model ? key : state_dict_key(m),
        is_model ? ".state_dict()" : "");
}

static int push_global(struct wt_pickle_machine *m, const uint8_t *module, size_t n_module,
                       const uint8_t *name, size_t n_name)
{
    struct wt_pickle_value value;

    if (!wt_pickle_global(module, n_module, name, n_name, &value))
        return refuse_global(m, module, n_module, name, n_name);
    return wt_pickle_push_value(m, value);
}

static int take_line(struct wt_pickle_machine *m, const uint8_t **line, size_t *n)
{
    const uint8_t *start = m->bytes + m->at, *end = memchr(start, '\n', m->n - m->at);

    *line = start;
    *n = end ? (size_t)(end - start) : 0;
    if (!end)
        return wt_pickle_bad(m, "ends in the middle of a name");
    m->at += *n + 1;
    return WT_OK;
}

int wt_pickle_op_global(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    const uint8_t *module, *name;
    size_t n_module, n_name;
    int code = take_line(m, &module, &n_module);

    (void)arg;
    (void)type;
    if (code == WT_OK)
        code = take_line(m, &name, &n_name);
    return code == WT_OK ? push_global(m, module, n_module, name, n_name) : code;
}

int wt_pickle_op_stack_global(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    const struct wt_pickle_value *module, *name;
    uint32_t from, count;
    int code = wt_pickle_pop_many(m, arg, &from, &count);

    (void)type;
    if (code != WT_OK)
        return code;
    module = wt_pickle_machine_value(m, m->stack.item[from]);
    name = wt_pickle_machine_value(m, m->stack.item[from + 1]);
    if (module->type != WT_PICKLE_STRING || name->type != WT_PICKLE_STRING)
        return wt_pickle_bad(m, "expected two strings as a global's name");
    return push_global(m, module->text.s, module->text.n, name->text.s, name->text.n);
}

/* OrderedDict() or OrderedDict([(key, value), ...]) */
static int make_dict(struct wt_pickle_machine *m, const struct wt_pickle_value *args)
{
    struct wt_pickle_value dict = {.type = WT_PICKLE_DICT};
    const struct wt_pickle_value *pairs = wt_pickle_item(m->pickle, args, 0), *pair;
    int code = WT_OK;

    if (args->list.n > 1 || (pairs && pairs->type != WT_PICKLE_LIST))
        return wt_pickle_bad(m, "expected OrderedDict with nothing or a list of pairs");
    for (uint32_t i = 0; pairs && i < pairs->list.n && code == WT_OK; i++) {
        pair = wt_pickle_item(m->pickle, pairs, i);
        if ((pair->type != WT_PICKLE_LIST && pair->type != WT_PICKLE_TUPLE) || pair->list.n != 2)
            code = wt_pickle_bad(m, "expected OrderedDict with nothing or a list of pairs");
        for (uint32_t k = 0; k < 2 && code == WT_OK; k++)
            code = wt_pickle_append_item(m, &dict, pair->list.item[k]);
    }
    if (code == WT_OK)
        return wt_pickle_push_value(m, dict);
    free(dict.list.item);
    return code;
}

/* REDUCE and NEWOBJ: a callable's description and its arguments become a result's description. */
int wt_pickle_op_reduce(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    const struct wt_pickle_value *callable, *args, *first;
    uint32_t from, count, args_index;
    int code = wt_pickle_pop_many(m, arg, &from, &count);

    (void)type;
    if (code != WT_OK)
        return code;
    args_index = m->stack.item[from + 1];
    callable = wt_pickle_machine_value(m, m->stack.item[from]);
    args = wt_pickle_machine_value(m, args_index);
    if (callable->type != WT_PICKLE_GLOBAL || args->type != WT_PICKLE_TUPLE)
        return wt_pickle_bad(m, "calls what is no function");
    switch (callable->global.kind) {
    case WT_PICKLE_ORDERED_DICT:
        return make_dict(m, args);
    case WT_PICKLE_REBUILD_TENSOR:
        return wt_pickle_push_value(
            m, (struct wt_pickle_value){.type = WT_PICKLE_TENSOR, .args = args_index});
    case WT_PICKLE_REBUILD_PARAMETER:
        first = wt_pickle_item(m->pickle, args, 0);
        if (first && first->type == WT_PICKLE_TENSOR)
            return wt_pickle_push(m, args->list.item[0]);
        break;
    case WT_PICKLE_STORAGE_TYPE:
        break;
    }
    return wt_pickle_bad(m, "calls a function in a way that torch.save does not");
}

/* An object's attributes: a state_dict has its versions there ("_metadata"). Nobody needs them. */
int wt_pickle_op_build(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    uint32_t state, object;
    int code = wt_pickle_pop(m, &state);

    (void)arg;
    if (code == WT_OK)
        code = wt_pickle_top(m, &object);
    if (code == WT_OK && wt_pickle_machine_value(m, object)->type != type)
        return wt_pickle_bad(m, "gives attributes to what is no state_dict");
    return code;
}

int wt_pickle_op_persistent_id(struct wt_pickle_machine *m, int arg, enum wt_pickle_type type)
{
    uint32_t args;
    int code = wt_pickle_pop(m, &args);

    (void)arg;
    if (code == WT_OK && wt_pickle_machine_value(m, args)->type != WT_PICKLE_TUPLE)
        return wt_pickle_bad(m, "expected a tuple as persistent id");
    return code == WT_OK
               ? wt_pickle_push_value(m, (struct wt_pickle_value){.type = type, .args = args})
               : code;
}
