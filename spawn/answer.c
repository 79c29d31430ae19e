/* answer.c: from path and method to a whole answer. */
#include <stdio.h>
#include <string.h>

#include "fcgi/json.h"
#include "fcgi/log.h"
#include "fcgi/records.h"
#include "fcgi/trace.h"
#include "fcgi/usage.h"
#include "spawn/answer.h"

typedef void answer_fn(const struct spawn_scene *scene, const struct spawn_request *request,
                       struct spawn_answer *answer);

static const struct route {
    const char *path;
    answer_fn *fill;
    bool needs_loop;
    bool internal; /* only there for the second listener */
    bool posted;   /* asked for by POST, and yet not the workers' */
} routes[] = {
    {.path = "/health", .fill = spawn_health_overall, .needs_loop = true},
    {.path = "/health/live", .fill = spawn_health_live, .needs_loop = true},
    {.path = "/health/ready", .fill = spawn_health_ready},
    {.path = "/health/startup", .fill = spawn_health_startup},
    {.path = "/status", .fill = spawn_status},
    {.path = "/metrics", .fill = spawn_metrics, .internal = true},
    {.path = "/ping", .fill = spawn_torchserve_ping},

    {.path = "/v1/models/resnet50", .fill = spawn_tfserving_status},
    {.path = "/v1/models/resnet50/metadata", .fill = spawn_tfserving_metadata},
    {.path = "/v1/models/resnet50/versions/1", .fill = spawn_tfserving_status},
    {.path = "/v1/models/resnet50/versions/1/metadata", .fill = spawn_tfserving_metadata},

    {.path = "/v2", .fill = spawn_oip_server},
    {.path = "/v2/health/live", .fill = spawn_oip_live, .needs_loop = true},
    {.path = "/v2/health/ready", .fill = spawn_oip_ready},
    {.path = "/v2/models/stats", .fill = spawn_oip_stats},
    {.path = "/v2/models/resnet50", .fill = spawn_oip_model},
    {.path = "/v2/models/resnet50/ready", .fill = spawn_oip_model_ready},
    {.path = "/v2/models/resnet50/config", .fill = spawn_oip_config},
    {.path = "/v2/models/resnet50/stats", .fill = spawn_oip_stats},
    {.path = "/v2/models/resnet50/versions/1", .fill = spawn_oip_model},
    {.path = "/v2/models/resnet50/versions/1/ready", .fill = spawn_oip_model_ready},
    {.path = "/v2/models/resnet50/versions/1/config", .fill = spawn_oip_config},
    {.path = "/v2/models/resnet50/versions/1/stats", .fill = spawn_oip_stats},
    {.path = "/v2/repository/index", .fill = spawn_oip_repository, .posted = true},
};

static bool is_internal(const struct spawn_params *params)
{
    return !strcmp(params->listener, "internal");
}

static const struct route *find_route(const struct spawn_params *params)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (!strcmp(routes[i].path, params->uri) && (!routes[i].internal || is_internal(params)))
            return &routes[i];
    return NULL;
}

static bool is_answered(const struct route *route, const char *method)
{
    if (route->posted)
        return !strcmp(method, "POST");
    return !strcmp(method, "GET") || !strcmp(method, "HEAD");
}

bool spawn_answer_needs_loop(const struct spawn_params *params)
{
    const struct route *route = find_route(params);

    return route && route->needs_loop && is_answered(route, params->method);
}

void spawn_answer_error(struct spawn_answer *answer, int status, const char *code,
                        const struct spawn_request *request, const char *sentence)
{
    answer->status = status;
    fcgi_buffer_text(answer->body, "{\"success\":false,\"error\":");
    fcgi_json_string(answer->body, sentence);
    fcgi_buffer_format(answer->body, ",\"code\":\"%s\",\"request_id\":\"%s\"}\n", code,
                       request->request_id);
}

/* ---- request -------------------------------------------------------------------------------- */

static bool is_id(const char *text)
{
    size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

    return n >= 8 && n < SPAWN_REQUEST_ID_BYTES && !text[n];
}

static struct spawn_request describe(struct spawn_scene *scene, const struct spawn_params *params)
{
    struct spawn_request request = {
        .path = params->uri, .nginx_id = params->nginx_id, .internal = is_internal(params)};
    const char *id = is_id(params->request_id) ? params->request_id : params->nginx_id;

    if (is_id(id))
        snprintf(request.request_id, sizeof request.request_id, "%.128s", id);
    else
        snprintf(request.request_id, sizeof request.request_id, "control-%llu",
                 (unsigned long long)++scene->n_ids);
    return request;
}

/* ---- answer --------------------------------------------------------------------------------- */

static const char *reason_phrase(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    default:
        return "Service Unavailable";
    }
}

static void fill_head(struct fcgi_buffer *head, const struct spawn_scene *scene,
                      const struct spawn_request *request, const struct spawn_answer *answer)
{
    struct fcgi_board_model model;

    fcgi_buffer_format(head,
                       "Status: %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                       "Cache-Control: no-store\r\nX-Request-ID: %s\r\nX-Served-By: %s/control\r\n",
                       answer->status, reason_phrase(answer->status),
                       answer->content_type ? answer->content_type : "application/json",
                       answer->body->n, request->request_id, scene->host);
    if (spawn_pages_model(scene->pages, &model))
        fcgi_buffer_format(head, "X-Model: %.12s\r\n", model.sha256);
    if (answer->retry_after_s)
        fcgi_buffer_format(head, "Retry-After: %d\r\n", answer->retry_after_s);
    if (answer->allow)
        fcgi_buffer_format(head, "Allow: %s\r\n", answer->allow);
    fcgi_buffer_text(head, "\r\n");
}

static struct spawn_answer begin(struct spawn_scene *scene)
{
    fcgi_buffer_reset(&scene->head);
    fcgi_buffer_reset(&scene->body);
    return (struct spawn_answer){.body = &scene->body};
}

/* Probes and polls are many, and say little: only who debugs wants to read of them. */
static void log_answer(const struct spawn_params *params, const struct spawn_request *request,
                       const struct spawn_answer *answer)
{
    fcgi_log(FCGI_LOG_DEBUG, "answer",
             "request_id=%s nginx_id=%s traceparent=%.55s method=%s path=%s status=%d",
             request->request_id, params->nginx_id,
             fcgi_trace_is_parent(params->traceparent) ? params->traceparent : "", params->method,
             params->uri, answer->status);
}

static void send_off(struct spawn_scene *scene, const struct spawn_params *params,
                     const struct spawn_request *request, const struct spawn_answer *answer,
                     uint16_t id, struct fcgi_buffer *wire)
{
    log_answer(params, request, answer);
    fill_head(&scene->head, scene, request, answer);
    wire->failed |= scene->head.failed | scene->body.failed;
    if (!strcmp(params->method, "HEAD"))
        fcgi_buffer_reset(&scene->body);
    fcgi_records_answer(wire, id, &scene->head, &scene->body);
}

static void refuse_path(const struct spawn_request *request, struct spawn_answer *answer)
{
    const char *hint = spawn_oip_hint(request->path);
    char sentence[384];

    hint = hint ? hint : spawn_tfserving_hint(request->path);
    hint = hint ? hint : spawn_torchserve_hint(request->path);
    snprintf(sentence, sizeof sentence, "There is nothing at %.200s; %s.", request->path,
             hint ? hint : "/health, /status and POST /predict are here");
    spawn_answer_error(answer, 404, fcgi_error_code(FCGI_E_NOT_FOUND), request, sentence);
}

static void refuse_method(const struct route *route, const struct spawn_params *params,
                          const struct spawn_request *request, struct spawn_answer *answer)
{
    const struct fcgi_usage *usage = fcgi_usage_find(params->uri);
    char sentence[384];

    answer->allow = usage ? usage->methods : route->posted ? "POST" : "GET, HEAD";
    snprintf(sentence, sizeof sentence, "%.15s is not allowed at %.100s; expected %s%s%s.",
             params->method, params->uri, answer->allow, usage ? ", for example " : "",
             usage ? usage->example : "");
    spawn_answer_error(answer, 405, fcgi_error_code(FCGI_E_METHOD_NOT_ALLOWED), request, sentence);
}

void spawn_answer_control(struct spawn_scene *scene, const struct spawn_params *params, bool alive,
                          uint16_t id, struct fcgi_buffer *wire)
{
    struct spawn_request request = describe(scene, params);
    struct spawn_answer answer = begin(scene);
    const struct route *route = find_route(params);

    request.alive = alive;
    if (route && is_answered(route, params->method))
        route->fill(scene, &request, &answer);
    else if (route || fcgi_usage_find(params->uri))
        refuse_method(route, params, &request, &answer);
    else
        refuse_path(&request, &answer);
    send_off(scene, params, &request, &answer, id, wire);
}

void spawn_answer_shed(struct spawn_scene *scene, const struct spawn_params *params, uint16_t id,
                       struct fcgi_buffer *wire)
{
    struct spawn_request request = describe(scene, params);
    struct spawn_answer answer = begin(scene);

    spawn_shed(scene, &request, &answer);
    send_off(scene, params, &request, &answer, id, wire);
}
