/* pickle.h: the part of Python's pickle language that torch.save writes for a state_dict, read
 * without executing anything. A pickle is a program for a stack machine whose GLOBAL instruction
 * names any importable thing and whose REDUCE calls it; here GLOBAL knows a short list of names,
 * which stand for descriptions, not for code, and refuses every other. Internal to weights/. */
#ifndef WEIGHTS_PICKLE_H
#define WEIGHTS_PICKLE_H

#include "weights/source.h"

enum wt_pickle_type {
    WT_PICKLE_NONE,
    WT_PICKLE_BOOL,
    WT_PICKLE_INT,
    WT_PICKLE_BIG_INT, /* more than 64 bits: its little-endian bytes as text */
    WT_PICKLE_FLOAT,   /* its value is never needed */
    WT_PICKLE_STRING,
    WT_PICKLE_BYTES,
    WT_PICKLE_TUPLE,
    WT_PICKLE_LIST,
    WT_PICKLE_DICT, /* OrderedDict as well */
    WT_PICKLE_SET,
    WT_PICKLE_GLOBAL,
    WT_PICKLE_TENSOR,  /* what _rebuild_tensor_v2 would have made */
    WT_PICKLE_STORAGE, /* what a persistent id stands for */
};

enum wt_pickle_global {
    WT_PICKLE_ORDERED_DICT,
    WT_PICKLE_REBUILD_TENSOR,
    WT_PICKLE_REBUILD_PARAMETER,
    WT_PICKLE_STORAGE_TYPE,
};

struct wt_pickle_value {
    enum wt_pickle_type type;
    union {
        int64_t i; /* BOOL, INT */
        struct {
            const uint8_t *s; /* into the pickle's bytes */
            size_t n;
        } text; /* STRING, BYTES, BIG_INT */
        struct {
            uint32_t *item; /* indices of values */
            uint32_t n, capacity;
        } list;        /* TUPLE, LIST, SET; DICT: key, value, key, value ... */
        uint32_t args; /* TENSOR, STORAGE: the tuple that describes it */
        struct {
            enum wt_pickle_global kind;
            enum wt_dtype dtype; /* of a STORAGE_TYPE */
        } global;
    };
};

struct wt_pickle {
    struct wt_pickle_value *values;
    uint32_t n_values, capacity;
    uint32_t root;
    size_t n_used; /* bytes up to and including STOP */
};

/* Runs one pickle, which starts at bytes[0] and may be followed by other data. where: file (and
 * entry) for sentences. bytes must stay as long as values are looked at. Free in any case.
 * Errors: WT_EPICKLE (a global that is not known, named), WT_EFORMAT, WT_ENOMEM. */
int wt_pickle_load(struct wt_pickle *pickle, const char *where, const uint8_t *bytes, size_t n,
                   struct wt_err *err);
void wt_pickle_free(struct wt_pickle *pickle);

/* Element i of a tuple, list or dict; NULL when it is none or too short. */
const struct wt_pickle_value *wt_pickle_item(const struct wt_pickle *pickle,
                                             const struct wt_pickle_value *list, uint32_t i);

int wt_pickle_is(const struct wt_pickle_value *value, const char *string);

/* The value of a string key; the last one, as in Python, or NULL. */
const struct wt_pickle_value *wt_pickle_find(const struct wt_pickle *pickle,
                                             const struct wt_pickle_value *dict, const char *key);

/* Frees what a value owns. */
void wt_pickle_value_free(struct wt_pickle_value *value);

/* Looks module.name up in the list of what is known: 1 and fills value, or 0. */
int wt_pickle_global(const uint8_t *module, size_t n_module, const uint8_t *name, size_t n_name,
                     struct wt_pickle_value *value);

#endif
