/* weights-torch.h: what torch.save writes, instruction by instruction: pickles, the zip around them
 * and the older form without. For the tests of weights/'s .pth reader. */
#ifndef TESTS_UNIT_WEIGHTS_TORCH_H
#define TESTS_UNIT_WEIGHTS_TORCH_H

#include "tests/unit/weights-write.h"

/* ---- pickle: each pushes one value ---------------------------------------------------------- */

static inline void t_p_string(struct t_bytes *b, const char *s)
{
    t_text(b, "X");
    t_number(b, strlen(s), 4);
    t_text(b, s);
}

static inline void t_p_int(struct t_bytes *b, int64_t i)
{
    t_text(b, "\x8a\x08");
    t_number(b, (uint64_t)i, 8);
}

static inline void t_p_ints(struct t_bytes *b, const int64_t *i, int n)
{
    t_text(b, "(");
    for (int k = 0; k < n; k++)
        t_p_int(b, i[k]);
    t_text(b, "t");
}

static inline void t_p_global(struct t_bytes *b, const char *module, const char *name)
{
    t_text(b, "c");
    t_text(b, module);
    t_text(b, "\n");
    t_text(b, name);
    t_text(b, "\n");
}

/* OrderedDict(), to be filled */
static inline void t_p_dict(struct t_bytes *b)
{
    t_p_global(b, "collections", "OrderedDict");
    t_text(b, ")R");
}

struct t_storage {
    const char *type, *key;
    int64_t count;
    const char *view; /* instructions that push the last element of an older form's id, or NULL */
};

struct t_strided {
    const char *name;
    struct t_storage storage;
    int64_t offset;
    int ndim;
    int64_t dim[9], stride[9];
};

static inline void t_p_storage(struct t_bytes *b, const struct t_storage *s)
{
    t_text(b, "(");
    t_p_string(b, "storage");
    t_p_global(b, "torch", s->type);
    t_p_string(b, s->key);
    t_p_string(b, "cuda:0");
    t_p_int(b, s->count);
    if (s->view)
        t_text(b, s->view);
    t_text(b, "tQ");
}

static inline void t_p_tensor(struct t_bytes *b, const struct t_strided *t)
{
    t_p_global(b, "torch._utils", "_rebuild_tensor_v2");
    t_text(b, "(");
    t_p_storage(b, &t->storage);
    t_p_int(b, t->offset);
    t_p_ints(b, t->dim, t->ndim);
    t_p_ints(b, t->stride, t->ndim);
    t_text(b, "\x89");
    t_p_dict(b);
    t_text(b, "tR");
}

/* name: tensor, up to one without a name; into the dict on the stack */
static inline void t_p_items(struct t_bytes *b, const struct t_strided *t)
{
    t_text(b, "(");
    for (; t->name; t++) {
        t_p_string(b, t->name);
        t_p_tensor(b, t);
    }
    t_text(b, "u");
}

/* A bare state_dict. */
static inline void t_p_state_dict(struct t_bytes *b, const struct t_strided *t)
{
    t_text(b, "\x80\2");
    t_p_dict(b);
    t_p_items(b, t);
    t_text(b, ".");
}

/* ---- zip ------------------------------------------------------------------------------------ */

static inline uint32_t t_crc32(const uint8_t *p, size_t n)
{
    uint32_t crc = ~0u;

    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

struct t_zip {
    struct t_bytes file, directory;
    uint16_t n;
};

/* What local headers and the directory have in common. */
static inline void t_zip_header(struct t_bytes *b, const char *name, int deflated,
                                const struct t_bytes *raw, const uint8_t *data, size_t n)
{
    t_number(b, 20, 2); /* version */
    t_number(b, 0, 2);
    t_number(b, deflated ? 8 : 0, 2);
    t_number(b, 0x21 << 16, 4); /* 1980-01-01 */
    t_number(b, t_crc32(data, n), 4);
    t_number(b, raw->n, 4);
    t_number(b, n, 4);
    t_number(b, strlen(name), 2);
    t_number(b, 0, 2);
}

/* deflated: as one stored block, which is a valid deflate stream. */
static inline void t_zip_add(struct t_zip *z, const char *name, int deflated, const void *data,
                             size_t n)
{
    size_t at = z->file.n;
    struct t_bytes raw = {0};

    if (deflated) {
        t_number(&raw, 1, 1);
        t_number(&raw, n, 2);
        t_number(&raw, ~n & 0xffff, 2);
    }
    t_put(&raw, data, n);
    t_text(&z->file, "PK\3\4");
    t_zip_header(&z->file, name, deflated, &raw, data, n);
    t_text(&z->file, name);
    t_put(&z->file, raw.p, raw.n);

    t_text(&z->directory, "PK\1\2");
    t_number(&z->directory, 20, 2);
    t_zip_header(&z->directory, name, deflated, &raw, data, n);
    t_number(&z->directory, 0, 6); /* no comment, disk 0, binary */
    t_number(&z->directory, 0, 4);
    t_number(&z->directory, at, 4);
    t_text(&z->directory, name);
    z->n++;
    t_bytes_free(&raw);
}

/* Moves the finished archive to out. */
static inline void t_zip_finish(struct t_zip *z, struct t_bytes *out)
{
    size_t at = z->file.n;

    *out = z->file;
    t_put(out, z->directory.p, z->directory.n);
    t_text(out, "PK\5\6");
    t_number(out, 0, 4);
    t_number(out, z->n, 2);
    t_number(out, z->n, 2);
    t_number(out, z->directory.n, 4);
    t_number(out, at, 4);
    t_number(out, 0, 2);
    t_bytes_free(&z->directory);
    *z = (struct t_zip){.n = 0};
}

/* ---- before 1.6 ----------------------------------------------------------------------------- */

static inline void t_legacy_preamble(struct t_bytes *b, int little_endian)
{
    t_text(b, "\x80\2\x8a\x0al\xfc\x9c"
              "F\xf9 j\xa8P\x19.");
    t_text(b, "\x80\2M\xe9\3.");
    t_text(b, "\x80\2}(");
    t_p_string(b, "protocol_version");
    t_p_int(b, 1001);
    t_p_string(b, "little_endian");
    t_text(b, little_endian ? "\x88" : "\x89");
    t_p_string(b, "type_sizes");
    t_text(b, "}u.");
}

/* The storages' keys, up to a NULL. */
static inline void t_legacy_keys(struct t_bytes *b, const char *const *keys)
{
    t_text(b, "\x80\2](");
    while (*keys)
        t_p_string(b, *keys++);
    t_text(b, "e.");
}

static inline void t_legacy_storage(struct t_bytes *b, int64_t count, const void *data, size_t n)
{
    t_number(b, (uint64_t)count, 8);
    t_put(b, data, n);
}

#endif
