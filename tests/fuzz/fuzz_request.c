/* request: parameters, a line each, as a web server passes them on; then everything that is done
 * with their values. */
#include "fcgi/request.h"
#include "fcgi/trace.h"
#include "fcgi/usage.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_PARAMS = 64 };

static void check(const struct fcgi_request *request, const struct fcgi_request_context *context)
{
    const char *query = request->query;
    struct fcgi_request_pair pair;

    FUZZ_EXPECT(request->method != NULL && request->path != NULL && request->query != NULL);
    FUZZ_EXPECT(request->content_type != NULL && request->content_encoding != NULL);
    FUZZ_EXPECT(request->inference_header_length != NULL && request->traceparent != NULL);
    FUZZ_EXPECT(fcgi_request_is_id(request->id, strlen(request->id)));
    FUZZ_EXPECT(request->age_ms >= 0 && request->content_length >= -1);
    FUZZ_EXPECT(request->budget_ms >= 0 && request->budget_ms <= context->timeout_ms);
    FUZZ_EXPECT(request->deadline_ns >= context->accepted_ns);
    FUZZ_EXPECT(request->traceparent[0] == 0 || strlen(request->traceparent) >= FCGI_TRACE_BYTES);
    while (fcgi_request_query(&query, &pair))
        FUZZ_EXPECT(pair.value >= pair.name + pair.name_n && pair.value + pair.value_n == query);
    const struct fcgi_usage *usage = fcgi_usage_find(request->path);
    if (usage != NULL)
        fcgi_usage_allows(usage, request->method);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const struct fcgi_request_context context = {.wall_ms = 1700000000123,
                                                 .accepted_ns = 1000000000,
                                                 .timeout_ms = 120000,
                                                 .own_id = "0123456789abcdef"};
    struct fcgi_err err = {.code = FCGI_E_OK};
    char *envp[MAX_PARAMS + 1] = {NULL};
    struct fcgi_request request;
    int params = 0;

    while (n != 0 && params < MAX_PARAMS)
        envp[params++] = fuzz_line(&bytes, &n);
    int code = fcgi_request_parse(&request, envp, &context, &err);
    FUZZ_EXPECT(code == FCGI_E_OK || code == FCGI_E_BAD_REQUEST);
    check(&request, &context);
    for (int i = 0; i < params; i++)
        free(envp[i]);
    return 0;
}
