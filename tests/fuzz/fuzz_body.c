/* body: the first line is the Content-Type, the rest the body; as /predict and as TorchServe's. */
#include "fcgi/body.h"
#include "tests/fuzz/fuzz.h"
#include "weights/json.h"

enum { MAX_IMAGES = 3 };

static void check(const struct fcgi_body *body, const uint8_t *bytes, size_t n)
{
    FUZZ_EXPECT(body->n_images >= 1 && body->n_images <= MAX_IMAGES);
    for (int i = 0; i < body->n_images; i++) {
        const struct fcgi_span *image = &body->images[i];

        FUZZ_EXPECT(image->bytes >= bytes && image->n > 0);
        FUZZ_EXPECT(image->n <= n - (size_t)(image->bytes - bytes));
    }
    FUZZ_EXPECT(body->top_k >= FCGI_BODY_BAD_TOP_K && body->top_k <= INT32_MAX);
    if (body->precision.bytes != NULL)
        FUZZ_EXPECT(body->precision.bytes >= bytes &&
                    body->precision.n <= n - (size_t)(body->precision.bytes - bytes));
}

static void read_as(fcgi_body_fn *read, const char *content_type, const uint8_t *bytes, size_t n)
{
    uint8_t *copy = fuzz_copy(bytes, n);
    struct wt_json json = {0};
    struct fcgi_err err = {.code = FCGI_E_OK};
    struct fcgi_body body = {.n_images = 0};
    const struct fcgi_body_source source = {.content_type = content_type,
                                            .bytes = copy,
                                            .n = n,
                                            .max_images = MAX_IMAGES,
                                            .json = &json};

    if (read(&body, &source, &err) == FCGI_E_OK)
        check(&body, copy, n);
    else
        FUZZ_EXPECT(err.text[0] != 0 && fcgi_error_status(err.code) / 100 == 4);
    wt_json_free(&json);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char *content_type = fuzz_line(&bytes, &n);

    if (n != 0) {
        read_as(fcgi_body_predict, content_type, bytes, n);
        read_as(fcgi_body_torchserve, content_type, bytes, n);
    }
    free(content_type);
    return 0;
}
