/* request.c: CGI parameters, checked. */
#include "fcgi/request.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/trace.h"

int fcgi_request_number(const char *text, size_t n, int64_t max, int64_t *number)
{
    int64_t value = 0;

    if (n == 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text[i] - '0', &value))
            return -1;
    if (value > max)
        return -1;
    *number = value;
    return 0;
}

int fcgi_request_msec(const char *text, size_t n, int64_t *ms)
{
    const int64_t most_seconds = 1LL << 40;
    const char *dot = memchr(text, '.', n);
    size_t whole_n = dot ? (size_t)(dot - text) : n;
    int64_t seconds, fraction;

    if (!dot || n - whole_n != 4 || fcgi_request_number(text, whole_n, most_seconds, &seconds) ||
        fcgi_request_number(dot + 1, 3, 999, &fraction))
        return -1;
    *ms = seconds * 1000 + fraction;
    return 0;
}

int fcgi_request_is_id(const char *text, size_t n)
{
    enum { LEAST = 8 };

    if (n < LEAST || n > FCGI_REQUEST_MAX_ID)
        return 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '.' || c == '_' || c == '-'))
            return 0;
    }
    return 1;
}

int fcgi_request_query(const char **query, struct fcgi_request_pair *pair)
{
    const char *at = *query + strspn(*query, "&");

    if (!*at)
        return 0;
    pair->name = at;
    pair->name_n = strcspn(at, "=&");
    at += pair->name_n;
    if (*at == '=')
        at++;
    pair->value = at;
    pair->value_n = strcspn(at, "&");
    *query = at + pair->value_n;
    return 1;
}

/* ---- parameters ----------------------------------------------------------------------------- */

/* The value of a parameter; "" when it is not there. */
static const char *param(char **envp, const char *name)
{
    size_t n = strlen(name);

    for (; *envp; envp++)
        if (!strncmp(*envp, name, n) && (*envp)[n] == '=')
            return *envp + n + 1;
    return "";
}

/* DOCUMENT_URI is nginx's, without the query; REQUEST_URI every server's, with it. */
static void find_path(struct fcgi_request *request, char **envp)
{
    const char *uri = param(envp, "REQUEST_URI");
    size_t n = strcspn(uri, "?");

    request->path = param(envp, "DOCUMENT_URI");
    if (*request->path)
        return;
    if (!*uri) {
        request->path = param(envp, "SCRIPT_NAME");
        return;
    }
    if (n >= sizeof request->path_copy)
        n = sizeof request->path_copy - 1;
    memcpy(request->path_copy, uri, n);
    request->path_copy[n] = 0;
    request->path = request->path_copy;
}

/* nginx's own id cannot be forged, the client's can: both are kept. */
static void find_ids(struct fcgi_request *request, char **envp, const char *own_id)
{
    const char *client = param(envp, "HTTP_X_REQUEST_ID"), *nginx = param(envp, "REQUEST_ID");
    const char *id = own_id;

    request->nginx_id[0] = 0;
    if (strlen(nginx) < sizeof request->nginx_id && fcgi_request_is_id(nginx, strlen(nginx))) {
        snprintf(request->nginx_id, sizeof request->nginx_id, "%s", nginx);
        id = nginx;
    }
    if (fcgi_request_is_id(client, strlen(client)))
        id = client;
    snprintf(request->id, sizeof request->id, "%s", id);
}

static const char *find_trace(char **envp)
{
    const char *text = param(envp, "HTTP_TRACEPARENT");

    return fcgi_trace_is_parent(text) ? text : "";
}

/* nginx's clock is ours, if both run on one kernel: a difference that no queue explains is a step
 * of the clock, and tells nothing about age. */
static void find_age(struct fcgi_request *request, char **envp,
                     const struct fcgi_request_context *context)
{
    int64_t now_ms = (int64_t)(context->accepted_ns / 1000000);
    const char *text = param(envp, "MSEC");
    int64_t passed_on_ms;

    request->age_ms = 0;
    request->clock_stepped = 0;
    if (fcgi_request_msec(text, strlen(text), &passed_on_ms))
        return;
    int64_t age_ms = context->wall_ms - passed_on_ms;
    request->clock_stepped = !fcgi_wall_believes(&context->wall, age_ms, now_ms);
    if (age_ms > 0 && !request->clock_stepped)
        request->age_ms = age_ms;
}

static int find_budget(struct fcgi_request *request, char **envp,
                       const struct fcgi_request_context *context, struct fcgi_err *err)
{
    const char *text = param(envp, "HTTP_X_REQUEST_TIMEOUT_MS");
    int64_t asked_ms = context->timeout_ms;
    int malformed = *text && fcgi_request_number(text, strlen(text), INT64_MAX, &asked_ms);

    request->budget_ms = asked_ms < context->timeout_ms ? asked_ms : context->timeout_ms;
    int64_t left_ms = request->budget_ms - request->age_ms;
    request->deadline_ns = context->accepted_ns + (left_ms > 0 ? (uint64_t)left_ms * 1000000u : 0);
    return malformed ? fcgi_fail(err, FCGI_E_BAD_REQUEST,
                                 "X-Request-Timeout-Ms: expected a whole number of milliseconds")
                     : FCGI_E_OK;
}

int fcgi_request_parse(struct fcgi_request *request, char **envp,
                       const struct fcgi_request_context *context, struct fcgi_err *err)
{
    const char *length = param(envp, "CONTENT_LENGTH");

    request->method = param(envp, "REQUEST_METHOD");
    request->query = param(envp, "QUERY_STRING");
    request->content_type = param(envp, "CONTENT_TYPE");
    request->content_encoding = param(envp, "HTTP_CONTENT_ENCODING");
    request->traceparent = find_trace(envp);
    request->inference_header_length = param(envp, "HTTP_INFERENCE_HEADER_CONTENT_LENGTH");
    request->content_length = -1;
    find_path(request, envp);
    find_ids(request, envp, context->own_id);
    find_age(request, envp, context);
    if (find_budget(request, envp, context, err))
        return err->code;
    if (*length && fcgi_request_number(length, strlen(length), INT64_MAX, &request->content_length))
        return fcgi_fail(err, FCGI_E_BAD_REQUEST, "Content-Length: expected a whole number");
    if (!*request->method || !*request->path)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "the web server passed no REQUEST_METHOD or no DOCUMENT_URI");
    return FCGI_E_OK;
}
