/* npy.c: .npy version 1 to 3: magic, version, header length, a Python dict, the data. */
#include "fcgi/npy.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum {
    PREFIX_BYTES = 10, /* magic, version, 16-bit header length */
    HEADER_BYTES = 256 /* written: prefix and dict, padded; room for any shape */
};

static const char magic[] = "\x93NUMPY";
static const struct {
    const char *descr;
    size_t bytes;
} types[] = {[FCGI_NPY_F4] = {"<f4", 4}, [FCGI_NPY_U1] = {"|u1", 1}};

__attribute__((format(printf, 2, 3))) static int fail(char text[256], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(text, 256, format, args);
    va_end(args);
    return -1;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* What is left of the header's text. */
struct cursor {
    const char *at, *end;
};

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n'))
        c->at++;
}

static int take(struct cursor *c, const char *token)
{
    size_t n = strlen(token);

    skip_blanks(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, token, n) != 0)
        return 0;
    c->at += n;
    return 1;
}

/* 'word' or "word", without escapes. */
static int take_string(struct cursor *c, char word[32])
{
    char quote;
    size_t n = 0;

    skip_blanks(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
        return 0;
    quote = *c->at++;
    for (; c->at < c->end && *c->at != quote && n < 31; c->at++)
        word[n++] = *c->at;
    word[n] = '\0';
    return c->at < c->end && *c->at++ == quote;
}

static int take_number(struct cursor *c, int64_t *value)
{
    const char *start;

    skip_blanks(c);
    start = c->at;
    *value = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, *c->at - '0', value))
            return 0;
    return c->at > start;
}

static int take_shape(struct cursor *c, struct fcgi_npy *npy)
{
    if (!take(c, "("))
        return 0;
    npy->ndim = 0;
    while (!take(c, ")")) {
        if (npy->ndim == FCGI_NPY_MAX_DIMS || !take_number(c, &npy->shape[npy->ndim++]))
            return 0;
        if (!take(c, ",") && !(c->at < c->end && *c->at == ')'))
            return 0;
    }
    return 1;
}

static int set_type(struct fcgi_npy *npy, const char *descr, char text[256])
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(descr, types[i].descr) == 0 ||
            (types[i].bytes == 1 && strcmp(descr + (*descr != '\0'), types[i].descr + 1) == 0)) {
            npy->type = (enum fcgi_npy_type)i;
            return 0;
        }
    return fail(text,
                "the .npy holds '%s': expected '<f4' (little-endian float32) or '|u1'; in "
                "Python: numpy.save(file, numpy.ascontiguousarray(x, 'float32'))",
                descr);
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (4, 3, 224, 224), } */
static int parse_header(struct cursor *c, struct fcgi_npy *npy, char text[256])
{
    char key[32], descr[32] = "";
    int seen = 0;

    if (!take(c, "{"))
        return fail(text, "the .npy's header is not a Python dict");
    while (!take(c, "}")) {
        if (!take_string(c, key) || !take(c, ":"))
            return fail(text, "the .npy's header is not a Python dict");
        if (strcmp(key, "descr") == 0 && take_string(c, descr))
            seen |= 1;
        else if (strcmp(key, "fortran_order") == 0 && take(c, "False"))
            seen |= 2;
        else if (strcmp(key, "fortran_order") == 0 && take(c, "True"))
            return fail(text, "the .npy is in column-major order: save it with "
                              "numpy.ascontiguousarray()");
        else if (strcmp(key, "shape") == 0 && take_shape(c, npy))
            seen |= 4;
        else
            return fail(text, "the .npy's header has a '%s' that cannot be read", key);
        take(c, ",");
    }
    if (seen != 7)
        return fail(text, "the .npy's header lacks one of descr, fortran_order, shape");
    return set_type(npy, descr, text);
}

int fcgi_npy_parse(const uint8_t *bytes, size_t n, struct fcgi_npy *npy, char text[256])
{
    size_t header, at = PREFIX_BYTES, total;
    struct cursor cursor;

    if (n < PREFIX_BYTES + 2 || memcmp(bytes, magic, 6) != 0)
        return fail(text, "not a .npy file: it does not begin with \\x93NUMPY");
    if (bytes[6] < 1 || bytes[6] > 3)
        return fail(text, "the .npy has version %d; expected 1, 2 or 3", bytes[6]);
    header = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1) {
        header |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
        at += 2;
    }
    if (header > n - at)
        return fail(text, "the .npy ends within its header");
    cursor.at = (const char *)bytes + at;
    cursor.end = cursor.at + header;
    if (parse_header(&cursor, npy, text) != 0)
        return -1;
    total = types[npy->type].bytes;
    for (int i = 0; i < npy->ndim; i++)
        if (__builtin_mul_overflow(total, (size_t)npy->shape[i], &total))
            return fail(text, "the .npy's shape is too large for any memory");
    npy->data = bytes + at + header;
    npy->data_bytes = n - at - header;
    if (npy->data_bytes != total)
        return fail(text, "the .npy has %zu bytes of data; its shape asks for %zu", npy->data_bytes,
                    total);
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int write_header(struct fcgi_npy_writer *writer)
{
    char header[HEADER_BYTES], *at = header + PREFIX_BYTES, *end = header + HEADER_BYTES;
    const unsigned dict_bytes = HEADER_BYTES - PREFIX_BYTES;

    memset(header, ' ', sizeof(header));
    memcpy(header, magic, 6);
    header[6] = 1;
    header[7] = 0;
    header[8] = (char)(dict_bytes & 0xff);
    header[9] = (char)(dict_bytes >> 8);
    at += snprintf(at, (size_t)(end - at), "{'descr': '%s', 'fortran_order': False, 'shape': (",
                   types[writer->type].descr);
    for (int i = 0; i < writer->ndim; i++)
        at += snprintf(at, (size_t)(end - at), "%lld,%s", (long long)writer->shape[i],
                       i + 1 < writer->ndim ? " " : "");
    at += snprintf(at, (size_t)(end - at), "), }");
    *at = ' ';
    header[HEADER_BYTES - 1] = '\n';
    return fwrite(header, sizeof(header), 1, writer->file) == 1 ? 0 : -1;
}

int fcgi_npy_create(struct fcgi_npy_writer *writer, const char *path, enum fcgi_npy_type type,
                    int row_ndim, const int64_t *row_shape)
{
    *writer = (struct fcgi_npy_writer){.type = type, .ndim = row_ndim + 1};
    writer->row_bytes = types[type].bytes;
    if (row_ndim + 1 > FCGI_NPY_MAX_DIMS) {
        errno = EINVAL;
        return -1;
    }
    for (int i = 0; i < row_ndim; i++) {
        writer->shape[i + 1] = row_shape[i];
        if (__builtin_mul_overflow(writer->row_bytes, (size_t)row_shape[i], &writer->row_bytes)) {
            errno = EOVERFLOW;
            return -1;
        }
    }
    writer->file = fopen(path, "wbe");
    return writer->file != NULL ? write_header(writer) : -1;
}

int fcgi_npy_append(struct fcgi_npy_writer *writer, const void *row)
{
    if (fwrite(row, writer->row_bytes, 1, writer->file) != 1)
        return -1;
    writer->shape[0]++;
    return 0;
}

int fcgi_npy_close(struct fcgi_npy_writer *writer)
{
    FILE *file = writer->file;
    int bad = ferror(file) != 0 || fseek(file, 0, SEEK_SET) != 0 || write_header(writer) != 0;

    writer->file = NULL;
    return fclose(file) != 0 || bad ? -1 : 0;
}
