/* dialects: path and query, Content-Type, Inference-Header-Content-Length, a line each; then the
 * body, through a whole classifier with a very small network, to the answer's JSON. */
#include <fcntl.h>

#include "fcgi/dialect.h"
#include "tests/fixtures/model.h"
#include "tests/fuzz/fuzz.h"

enum { CROP_PX = 32, MAX_IMAGES = 2 };

static struct fcgi_classifier classifier;
static struct fcgi_predictor predictor;

static void open_classifier(void)
{
    char directory[] = "/tmp/fuzz-XXXXXX", path[64], text[512];
    struct wt_recipe recipe = wt_recipe_default;
    struct fcgi_classifier_options options = {.path = path,
                                              .isa = "ref",
                                              .max_images = MAX_IMAGES,
                                              .max_threads = 1,
                                              .all_precisions = 1};
    struct wt_err err;

    recipe.resize = recipe.crop = CROP_PX;
    FUZZ_EXPECT(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/model.rnm", directory);
    FUZZ_EXPECT(t_model_write(path, &recipe, &err) == 0);
    FUZZ_EXPECT(fcgi_classifier_open(&classifier, &options, &(struct fcgi_follow){.tick = NULL},
                                     text) == 0);
    unlink(path);
    rmdir(directory);
    predictor = (struct fcgi_predictor){
        .classifier = &classifier,
        .limits = {.max_pixels = 1 << 16, .max_decode_bytes = 4 << 20},
        .exif = -1,
        .max_images = MAX_IMAGES,
        .top = calloc((size_t)classifier.model.net.classes, sizeof *predictor.top),
    };
}

/* Whole answers are JSON; with binary tensors the part before them is. */
static void check_answer(const struct fcgi_response *response)
{
    size_t n = response->body.n;
    const char *length = strstr(response->head.n != 0 ? response->head.bytes : "",
                                "Inference-Header-Content-Length: ");
    struct wt_json json = {0};
    struct wt_err err;

    if (length != NULL)
        n = strtoul(strchr(length, ':') + 1, NULL, 10);
    FUZZ_EXPECT(n <= response->body.n && !response->body.failed && !response->wire.failed);
    FUZZ_EXPECT(wt_json_parse(&json, response->body.bytes, n, 1 << 20, &err) == WT_OK);
    wt_json_free(&json);
}

static void answer(const struct fcgi_request *request, fcgi_dialect_fn *handler,
                   const uint8_t *bytes, size_t n)
{
    struct fcgi_response response = {0};
    struct fcgi_err err = {.code = FCGI_E_OK};
    uint8_t *body = fuzz_copy(bytes, n);
    struct fcgi_call call = {.predictor = &predictor,
                             .request = request,
                             .body = body,
                             .body_n = n,
                             .response = &response,
                             .err = &err};

    fcgi_classifier_choose(&classifier, NULL, 0, NULL);
    fcgi_response_reset(&response);
    FUZZ_EXPECT(handler(&call) == (int)err.code);
    if (err.code != FCGI_E_OK) {
        FUZZ_EXPECT(err.text[0] != 0 && fcgi_error_status(err.code) / 100 == 4);
        fcgi_response_error(&response, &err, "0123456789abcdef");
    }
    fcgi_buffer_add(&response.head, "", 1);
    FUZZ_EXPECT(!response.head.failed && !response.body.failed);
    check_answer(&response);
    response.head.n--;
    FUZZ_EXPECT(fcgi_response_seal(&response, 1) == 0);
    fcgi_response_free(&response);
    free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char *path = fuzz_line(&bytes, &n), *query = strchr(path, '?');
    char *content_type = fuzz_line(&bytes, &n), *length = fuzz_line(&bytes, &n);
    struct fcgi_request request = {.method = "POST",
                                   .path = path,
                                   .query = query != NULL ? query + 1 : "",
                                   .content_type = content_type,
                                   .content_encoding = "",
                                   .inference_header_length = length};

    if (classifier.plan == NULL)
        open_classifier();
    if (query != NULL)
        *query = 0;
    fcgi_dialect_fn *handler = fcgi_dialect_find(path);
    if (handler != NULL)
        answer(&request, handler, bytes, n);
    free(path);
    free(content_type);
    free(length);
    return 0;
}
