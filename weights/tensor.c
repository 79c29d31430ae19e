/* tensor.c: shapes, and elements of any type as floats. */
#include <stdio.h>
#include <string.h>

#include "weights/reader.h"

static const struct {
    const char *name;
    size_t n_bytes;
} dtypes[] = {
    [WT_F32] = {"F32", 4}, [WT_F64] = {"F64", 8},   [WT_F16] = {"F16", 2}, [WT_BF16] = {"BF16", 2},
    [WT_I64] = {"I64", 8}, [WT_I32] = {"I32", 4},   [WT_I16] = {"I16", 2}, [WT_I8] = {"I8", 1},
    [WT_U8] = {"U8", 1},   [WT_BOOL] = {"BOOL", 1},
};

size_t wt_dtype_bytes(enum wt_dtype dtype)
{
    return dtypes[dtype].n_bytes;
}

const char *wt_dtype_name(enum wt_dtype dtype)
{
    return dtypes[dtype].name;
}

int wt_dtype_parse(const char *name, enum wt_dtype *dtype)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (strcmp(name, dtypes[i].name) == 0) {
            *dtype = (enum wt_dtype)i;
            return 1;
        }
    return 0;
}

int wt_tensor_size(const struct wt_tensor *tensor, int64_t *count, int64_t *n_bytes)
{
    *count = 1;
    for (int i = 0; i < tensor->ndim; i++)
        if (tensor->dim[i] < 0 || __builtin_mul_overflow(*count, tensor->dim[i], count))
            return 0;
    return !__builtin_mul_overflow(*count, wt_dtype_bytes(tensor->dtype), n_bytes);
}

int64_t wt_tensor_count(const struct wt_tensor *tensor)
{
    int64_t count, n_bytes;

    return wt_tensor_size(tensor, &count, &n_bytes) ? count : 0;
}

void wt_tensor_make_dense(struct wt_tensor *tensor)
{
    int64_t stride = 1;

    for (int i = tensor->ndim - 1; i >= 0; i--) {
        tensor->stride[i] = stride;
        /* Without an element strides are never used, and the product may wrap. */
        (void)__builtin_mul_overflow(stride, tensor->dim[i], &stride);
    }
}

const char *wt_shape_text(const int64_t *dim, int ndim, char out[WT_SHAPE_TEXT])
{
    size_t used = 0;

    out[used++] = '[';
    for (int i = 0; i < ndim; i++)
        used += (size_t)snprintf(out + used, WT_SHAPE_TEXT - used, i ? ",%lld" : "%lld",
                                 (long long)dim[i]);
    memcpy(out + used, "]", 2);
    return out;
}

/* ---- elements ------------------------------------------------------------------------------- */

static float from_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static float from_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, mantissa = half & 0x3ff;
    uint32_t exponent = half >> 10 & 31;
    float magnitude;

    if (exponent == 31)
        return from_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent > 0)
        return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    magnitude = (float)mantissa * 0x1p-24f; /* subnormal: exact in a float */
    return sign ? -magnitude : magnitude;
}

static float element(enum wt_dtype dtype, const uint8_t *at)
{
    float f32;
    double f64;
    uint16_t half;

    switch (dtype) {
    case WT_F64:
        memcpy(&f64, at, sizeof f64);
        return (float)f64;
    case WT_F16:
        memcpy(&half, at, sizeof half);
        return from_half(half);
    case WT_BF16:
        memcpy(&half, at, sizeof half);
        return from_bits((uint32_t)half << 16);
    default:
        memcpy(&f32, at, sizeof f32);
        return f32;
    }
}

static int is_dense(const struct wt_tensor *tensor)
{
    struct wt_tensor dense = *tensor;

    wt_tensor_make_dense(&dense);
    for (int i = 0; i < tensor->ndim; i++)
        if (tensor->dim[i] > 1 && tensor->stride[i] != dense.stride[i])
            return 0;
    return 1;
}

/* Steps to the next index in row-major order; returns by how many elements the data moves. */
static int64_t advance(const struct wt_tensor *tensor, int64_t index[WT_MAX_DIMS])
{
    int64_t moved = 0;

    for (int i = tensor->ndim - 1; i >= 0; i--) {
        moved += tensor->stride[i];
        if (++index[i] < tensor->dim[i])
            break;
        moved -= tensor->stride[i] * index[i];
        index[i] = 0;
    }
    return moved;
}

int wt_tensor_floats(const struct wt_tensor *tensor, float *out, struct wt_err *err)
{
    int64_t index[WT_MAX_DIMS] = {0}, at = 0, count = wt_tensor_count(tensor);
    int64_t size = (int64_t)wt_dtype_bytes(tensor->dtype);

    if (tensor->dtype != WT_F32 && tensor->dtype != WT_F64 && tensor->dtype != WT_F16 &&
        tensor->dtype != WT_BF16)
        return wt_fail(err, WT_ETENSOR,
                       "%s: expected floating point (F32, F64, F16, BF16), found integers (%s)",
                       tensor->name, wt_dtype_name(tensor->dtype));
    if (tensor->dtype == WT_F32 && is_dense(tensor)) {
        if (count > 0)
            memcpy(out, tensor->data, (size_t)count * sizeof *out);
        return WT_OK;
    }
    for (int64_t i = 0; i < count; i++) {
        out[i] = element(tensor->dtype, tensor->data + at * size);
        at += advance(tensor, index);
    }
    return WT_OK;
}
