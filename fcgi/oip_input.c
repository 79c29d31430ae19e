/* oip_input.c: the one input of a request: encoded photographs, or what preprocessing would make of
 * them. Either comes as JSON or as bytes behind it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fcgi/body_json.h"
#include "fcgi/oip.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are taken as they come");

enum { RANK = 4 }; /* of the network's input */

/* What the request says of its input. */
struct tensor {
    const struct wt_json *json;
    const char *name;
    int64_t shape[RANK];
    int data; /* a value of json; WT_JSON_NONE: bytes behind it */
};

/* ---- name, datatype, shape ------------------------------------------------------------------ */

static int find_object(const struct fcgi_oip_request *request, int *object, struct fcgi_err *err)
{
    int list = wt_json_find(request->json, WT_JSON_ROOT, "inputs");

    if (wt_json_type(request->json, list) != WT_JSON_ARRAY ||
        wt_json_size(request->json, list) != 1)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "inputs: expected an array of one tensor, \"image\" (BYTES, encoded "
                         "photographs) or \"input\" (FP32)");
    *object = wt_json_first(request->json, list);
    return FCGI_E_OK;
}

static int find_name(struct fcgi_oip_request *request, int object, struct tensor *tensor,
                     struct fcgi_err *err)
{
    int name = wt_json_find(request->json, object, "name");
    int datatype = wt_json_find(request->json, object, "datatype");
    const char *expected;

    request->is_tensor = fcgi_oip_is(request->json, name, FCGI_OIP_INPUT);
    if (!request->is_tensor && !fcgi_oip_is(request->json, name, FCGI_OIP_IMAGE))
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "inputs[0].name: expected \"image\" (BYTES) or \"input\" (FP32)");
    tensor->name = request->is_tensor ? FCGI_OIP_INPUT : FCGI_OIP_IMAGE;
    expected = request->is_tensor ? "FP32" : "BYTES";
    if (wt_json_type(request->json, datatype) != WT_JSON_STRING)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "inputs[0].datatype: expected the string \"%s\", found %s", expected,
                         wt_json_type_name(request->json, datatype));
    return fcgi_oip_is(request->json, datatype, expected)
               ? FCGI_E_OK
               : fcgi_fail(err, FCGI_E_TENSOR_SHAPE_MISMATCH,
                           "inputs[0].datatype: \"%s\" is %s; convert it first", tensor->name,
                           expected);
}

static int is_shape(const int64_t *shape, int rank, int is_tensor, int crop)
{
    if (is_tensor)
        return rank == RANK && shape[1] == 3 && shape[2] == crop && shape[3] == crop;
    return rank == 1 || (rank == 2 && shape[1] == 1);
}

static int find_shape(const struct fcgi_call *call, struct fcgi_oip_request *request, int object,
                      struct tensor *tensor)
{
    int shape = wt_json_find(request->json, object, "shape");
    int rank = wt_json_size(request->json, shape);
    int crop = call->predictor->classifier->model.recipe.crop;
    int max_images = call->predictor->max_images;

    if (wt_json_type(request->json, shape) != WT_JSON_NUMBERS)
        return fcgi_fail(call->err, FCGI_E_BAD_REQUEST,
                         "inputs[0].shape: expected an array of whole numbers, found %s",
                         wt_json_type_name(request->json, shape));
    if (rank > RANK || wt_json_numbers_int64s(request->json, shape, tensor->shape) != rank ||
        !is_shape(tensor->shape, rank, request->is_tensor, crop) || tensor->shape[0] < 1) {
        if (request->is_tensor)
            return fcgi_fail(call->err, FCGI_E_TENSOR_SHAPE_MISMATCH,
                             "inputs[0].shape: \"input\" is [n,3,%d,%d], n from 1 on", crop, crop);
        return fcgi_fail(call->err, FCGI_E_TENSOR_SHAPE_MISMATCH,
                         "inputs[0].shape: \"image\" is [n] or [n,1], n from 1 on");
    }
    if (tensor->shape[0] > max_images)
        return fcgi_fail(call->err, FCGI_E_TOO_MANY_IMAGES,
                         "inputs[0].shape: more than %d pictures in one request; send them in "
                         "several",
                         max_images);
    request->n = (int)tensor->shape[0];
    return FCGI_E_OK;
}

/* Either `data`, or `binary_data_size` and as many bytes behind the JSON. */
static int find_data(struct fcgi_oip_request *request, int object, struct tensor *tensor,
                     struct fcgi_err *err)
{
    const struct wt_json *json = request->json;
    int parameters = wt_json_find(json, object, "parameters");
    int size = wt_json_find(json, parameters, "binary_data_size");
    int64_t bytes = 0;

    tensor->data = wt_json_find(json, object, "data");
    if ((tensor->data == WT_JSON_NONE) == (size == WT_JSON_NONE))
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "inputs[0]: expected either data or parameters.binary_data_size");
    if (size != WT_JSON_NONE && (!wt_json_int64(json, size, &bytes) || bytes < 0))
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "inputs[0].parameters.binary_data_size: expected a number of bytes");
    if ((uint64_t)bytes != request->binary_n)
        return fcgi_fail(err, FCGI_E_TENSOR_SHAPE_MISMATCH,
                         "binary_data_size is %lld, but %zu bytes follow the JSON; "
                         "Inference-Header-Content-Length has to be the JSON's exact length",
                         (long long)bytes, request->binary_n);
    return FCGI_E_OK;
}

/* ---- the network's input -------------------------------------------------------------------- */

static int refuse_float(int64_t index, struct fcgi_err *err)
{
    return fcgi_fail(err, FCGI_E_TENSOR_NOT_FINITE,
                     "\"input\", element %lld: not a number, or beyond a float's range",
                     (long long)index);
}

static int64_t elements(const struct tensor *tensor, int dimension)
{
    int64_t n = 1;

    for (; dimension < RANK; dimension++)
        n *= tensor->shape[dimension];
    return n;
}

/* value: what belongs to the dimensions from `dimension` on, nested by them or flat. x: where it
 * goes, the tensor's element number `at`. */
static int read_floats(const struct tensor *tensor, int value, int dimension, float *x, int64_t at,
                       struct fcgi_err *err)
{
    int64_t n = elements(tensor, dimension), size = wt_json_size(tensor->json, value);
    enum wt_json_type type = wt_json_type(tensor->json, value);

    if (type == WT_JSON_NUMBERS && size == n) {
        int read = wt_json_numbers_floats(tensor->json, value, x + at);
        return read == n ? FCGI_E_OK : refuse_float(at + read, err);
    }
    if (type != WT_JSON_ARRAY || dimension == RANK - 1 || size != tensor->shape[dimension])
        return fcgi_fail(err, FCGI_E_TENSOR_SHAPE_MISMATCH,
                         "inputs[0].data: the shape wants %lld numbers from element %lld on, "
                         "nested by it or flat; found %s of %lld",
                         (long long)n, (long long)at, wt_json_type_name(tensor->json, value),
                         (long long)size);
    value = wt_json_first(tensor->json, value);
    for (; value != WT_JSON_NONE; value = wt_json_next(tensor->json, value)) {
        if (read_floats(tensor, value, dimension + 1, x, at, err))
            return err->code;
        at += n / size;
    }
    return FCGI_E_OK;
}

static int copy_floats(const struct fcgi_oip_request *request, int64_t n, float *x,
                       struct fcgi_err *err)
{
    if (request->binary_n != (size_t)n * sizeof *x)
        return fcgi_fail(err, FCGI_E_TENSOR_SHAPE_MISMATCH,
                         "binary_data_size: the shape wants %lld floats, %lld bytes, found %zu",
                         (long long)n, (long long)n * (long long)sizeof *x, request->binary_n);
    memcpy(x, request->binary, request->binary_n);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return refuse_float(i, err);
    return FCGI_E_OK;
}

/* ---- photographs ---------------------------------------------------------------------------- */

/* [n] strings, or [n,1]. */
static int read_images(const struct fcgi_call *call, const struct tensor *tensor,
                       struct fcgi_oip_request *request)
{
    const struct wt_json *json = tensor->json;
    const struct fcgi_body_source source = {.bytes = call->body,
                                            .n = call->body_n,
                                            .max_images = call->predictor->max_images,
                                            .json = &call->predictor->json};
    int value = wt_json_first(json, tensor->data), i = 0;
    char where[32];

    if (wt_json_type(json, tensor->data) != WT_JSON_ARRAY ||
        wt_json_size(json, tensor->data) != request->n)
        return fcgi_fail(call->err, FCGI_E_TENSOR_SHAPE_MISMATCH,
                         "inputs[0].data: the shape wants an array of %d base64 strings, found %s "
                         "of %d",
                         request->n, wt_json_type_name(json, tensor->data),
                         wt_json_size(json, tensor->data));
    for (; value != WT_JSON_NONE; value = wt_json_next(json, value), i++) {
        int nested = wt_json_type(json, value) == WT_JSON_ARRAY && wt_json_size(json, value) == 1;
        int text = nested ? wt_json_first(json, value) : value;
        snprintf(where, sizeof where, "inputs[0].data[%d]", i);
        if (wt_json_type(json, text) != WT_JSON_STRING)
            return fcgi_fail(call->err, FCGI_E_TENSOR_SHAPE_MISMATCH,
                             "%s: expected a base64 string, found %s", where,
                             wt_json_type_name(json, text));
        if (fcgi_body_json_picture(&request->body, &source, text, where, call->err))
            return call->err->code;
    }
    return FCGI_E_OK;
}

/* Each after its length, and nothing behind the last. */
static int split_images(struct fcgi_oip_request *request, int max_images, struct fcgi_err *err)
{
    const uint8_t *at = request->binary, *end = at + request->binary_n;
    char where[32];
    uint32_t n;

    for (int i = 0; i < request->n; i++) {
        if ((size_t)(end - at) < sizeof n)
            return fcgi_fail(err, FCGI_E_TENSOR_SHAPE_MISMATCH,
                             "\"image\", element %d: expected four bytes of length, %d are left", i,
                             (int)(end - at));
        memcpy(&n, at, sizeof n);
        at += sizeof n;
        if (n > (size_t)(end - at))
            return fcgi_fail(err, FCGI_E_TENSOR_SHAPE_MISMATCH,
                             "\"image\", element %d: its length says %lu bytes, %zu are left", i,
                             (unsigned long)n, (size_t)(end - at));
        snprintf(where, sizeof where, "\"image\", element %d,", i);
        if (fcgi_body_add(&request->body, &(struct fcgi_span){at, n}, where, max_images, err))
            return err->code;
        at += n;
    }
    return at == end ? FCGI_E_OK
                     : fcgi_fail(err, FCGI_E_TENSOR_SHAPE_MISMATCH,
                                 "\"image\": %zu bytes are left after %d elements",
                                 (size_t)(end - at), request->n);
}

int fcgi_oip_input(struct fcgi_call *call, struct fcgi_oip_request *request)
{
    float *x = call->predictor->classifier->input;
    struct tensor tensor = {.json = request->json};
    int object = WT_JSON_NONE;

    if (find_object(request, &object, call->err) ||
        find_name(request, object, &tensor, call->err) ||
        find_shape(call, request, object, &tensor) ||
        find_data(request, object, &tensor, call->err))
        return call->err->code;
    if (!request->is_tensor)
        return tensor.data == WT_JSON_NONE
                   ? split_images(request, call->predictor->max_images, call->err)
                   : read_images(call, &tensor, request);
    return tensor.data == WT_JSON_NONE ? copy_floats(request, elements(&tensor, 0), x, call->err)
                                       : read_floats(&tensor, tensor.data, 0, x, 0, call->err);
}
