/* status.c: /status. Counts for everybody; on the second listener also what each worker does. */
#include <stdio.h>
#include <string.h>

#include "fcgi/json.h"
#include "spawn/answer.h"
#include "spawn/spawn.h"

static void add_text(struct fcgi_buffer *body, const char *text)
{
    if (*text)
        fcgi_json_string(body, text);
    else
        fcgi_buffer_text(body, "null");
}

static void add_request(struct fcgi_buffer *body, const struct fcgi_board_worker *page,
                        bool is_busy)
{
    struct fcgi_board_request request;
    int32_t layer = page->layer;
    char layer_name[FCGI_BOARD_LAYER_BYTES];
    uint64_t accepted_ns = page->accepted_ns, now_ns = fcgi_scoreboard_now_ns();

    if (!is_busy || !fcgi_scoreboard_request(page, &request)) {
        fcgi_buffer_text(body, "\"request_id\":null,\"stage\":null,\"layer\":null,"
                               "\"layer_name\":null,\"ms\":0");
        return;
    }
    fcgi_buffer_text(body, "\"request_id\":");
    add_text(body, request.request_id);
    fcgi_buffer_format(body, ",\"stage\":\"%s\",\"layer\":",
                       fcgi_scoreboard_stage_name((enum fcgi_stage)page->stage));
    if (layer < 0)
        fcgi_buffer_text(body, "null");
    else
        fcgi_buffer_format(body, "%d", layer);
    fcgi_scoreboard_layer(page, layer, layer_name);
    fcgi_buffer_text(body, ",\"layer_name\":");
    add_text(body, layer_name);
    fcgi_buffer_format(body, ",\"ms\":%llu",
                       (unsigned long long)(now_ns > accepted_ns ? now_ns - accepted_ns : 0) /
                           1000000);
}

static void add_worker(struct fcgi_buffer *body, const struct fcgi_board_worker *page,
                       uint64_t restarts)
{
    uint32_t state = page->state;

    fcgi_buffer_format(body, "{\"slot\":%u,\"generation\":%u,\"pid\":%d,\"state\":\"%s\",",
                       page->slot, page->generation, page->pid,
                       fcgi_scoreboard_state_name((enum fcgi_worker_state)state));
    add_request(body, page, state == FCGI_WORKER_BUSY || state == FCGI_WORKER_DRAINING);
    fcgi_buffer_format(body,
                       ",\"requests\":%llu,\"restarts\":%llu,\"rss_bytes\":%llu,"
                       "\"pss_bytes\":%llu}",
                       (unsigned long long)page->requests, (unsigned long long)restarts,
                       (unsigned long long)page->rss_bytes, (unsigned long long)page->pss_bytes);
}

static void add_workers(struct fcgi_buffer *body, const struct spawn_pages *pages)
{
    const char *comma = "";

    fcgi_buffer_text(body, "\"workers\":[");
    for (int i = 0; i < pages->n; i++) {
        if (pages->slots[i]->state == FCGI_WORKER_NONE)
            continue;
        fcgi_buffer_text(body, comma);
        add_worker(body, pages->slots[i], pages->main->restarts[i]);
        comma = ",";
    }
    fcgi_buffer_text(body, "]");
}

typedef const char *name_fn(int i);

static const char *end_name(int i)
{
    return fcgi_scoreboard_how_ended((enum fcgi_end)i);
}

static const char *verdict_name(int i)
{
    return fcgi_scoreboard_verdict_name((enum fcgi_verdict)i);
}

static const char *shed_name(int i)
{
    return fcgi_error_code(fcgi_scoreboard_shed_code((enum fcgi_shed)i));
}

static void add_totals(struct fcgi_buffer *body, const char *key, const _Atomic uint64_t *totals,
                       int n, name_fn *name)
{
    fcgi_buffer_format(body, ",\"%s\":{", key);
    for (int i = 0; i < n; i++)
        fcgi_buffer_format(body, "%s\"%s\":%llu", i ? "," : "", name(i),
                           (unsigned long long)totals[i]);
    fcgi_buffer_text(body, "}");
}

static void add_service(struct fcgi_buffer *body, const struct spawn_pages *pages)
{
    static const char *const states[] = {"starting", "serving", "draining"};
    const struct fcgi_board_main *main = pages->main;
    char reason[sizeof main->reason];

    fcgi_buffer_format(body,
                       "\"pid\":%d,\"state\":\"%s\",\"reload\":{\"active\":%s,\"ok\":%llu,"
                       "\"failed\":%llu},\"reason\":",
                       main->pid, states[main->state % 3], main->reloading ? "true" : "false",
                       (unsigned long long)main->reloads_ok,
                       (unsigned long long)main->reloads_failed);
    fcgi_shared_get_text(reason, sizeof reason, main->reason);
    add_text(body, reason);
    fcgi_buffer_format(body, ",\"uptime_ms\":%llu,\"service_ms\":%.3f,\"cpu_throttled_ms\":%llu",
                       (unsigned long long)(fcgi_scoreboard_now_ns() - main->start_ns) / 1000000,
                       spawn_pages_service_us(pages) / 1e3,
                       (unsigned long long)main->throttled_us / 1000);
    fcgi_buffer_format(body, ",\"sandbox\":{\"state\":\"%s\",\"violations\":%llu}",
                       fcgi_scoreboard_sandbox_name(spawn_pages_sandbox(pages)),
                       (unsigned long long)spawn_pages_violations(pages));
    add_totals(body, "ends", main->ends, FCGI_N_ENDS, end_name);
    add_totals(body, "verdicts", main->verdicts, FCGI_N_VERDICTS, verdict_name);
    add_totals(body, "shed", pages->control->shed, FCGI_N_SHEDS, shed_name);
}

/* Bodies that workers died of: refused after two requests, watched after one. */
static void add_quarantine(struct fcgi_buffer *body, const struct fcgi_quarantine *quarantine)
{
    uint64_t now_ns = fcgi_scoreboard_now_ns();
    const char *comma = "";

    fcgi_buffer_format(body, ",\"quarantine\":{\"ttl_ms\":%llu,\"inputs\":[",
                       (unsigned long long)quarantine->ttl_ns / 1000000);
    for (int i = 0; i < FCGI_QUARANTINE_SUSPECTS; i++) {
        const struct fcgi_suspect *suspect = &quarantine->suspect[i];
        uint8_t sha256[FCGI_QUARANTINE_HASH];
        unsigned requests = fcgi_quarantine_read(quarantine, suspect, now_ns, sha256);
        if (!requests)
            continue;
        fcgi_buffer_format(body, "%s{\"sha256\":\"", comma);
        for (int j = 0; j < FCGI_QUARANTINE_HASH; j++)
            fcgi_buffer_format(body, "%02x", sha256[j]);
        fcgi_buffer_format(body, "\",\"requests\":%u,\"refused\":%s,\"age_ms\":%llu}", requests,
                           requests >= FCGI_QUARANTINE_LIMIT ? "true" : "false",
                           (unsigned long long)(now_ns - suspect->last_ns) / 1000000);
        comma = ",";
    }
    fcgi_buffer_text(body, "]}");
}

/* "fp32, int8" -> "precision":"fp32","precisions":["fp32","int8"],"int8_ranges":"batch-norm" */
static void add_precisions(struct fcgi_buffer *body, const struct fcgi_board_model *model)
{
    const char *at = model->precisions, *comma = "";

    fcgi_buffer_text(body, "\"precision\":");
    add_text(body, model->precision);
    fcgi_buffer_text(body, ",\"precisions\":[");
    for (size_t n; (n = strcspn(at, ", ")) > 0; at += n, at += strspn(at, ", "), comma = ",") {
        char word[sizeof model->precisions];
        snprintf(word, sizeof word, "%.*s", (int)n, at);
        fcgi_buffer_text(body, comma);
        fcgi_json_string(body, word);
    }
    fcgi_buffer_text(body, "],\"int8_ranges\":");
    if (model->ranges[0] != '\0')
        add_text(body, model->ranges);
    else
        fcgi_buffer_text(body, "null");
    fcgi_buffer_text(body, ",");
}

static void add_counts(struct fcgi_buffer *body, const struct spawn_pages *pages)
{
    struct spawn_tally tally = spawn_pages_tally(pages);
    double service_us = spawn_pages_service_us(pages);
    unsigned long long requests = 0;

    for (int i = 0; i < pages->n; i++)
        requests += pages->slots[i]->requests;
    fcgi_buffer_format(body,
                       "\"workers\":{\"wanted\":%u,\"ready\":%d,\"busy\":%d,\"starting\":%d,"
                       "\"draining\":%d}",
                       pages->main->workers, tally.ready, tally.busy, tally.starting,
                       tally.draining);
    fcgi_buffer_format(body, ",\"requests\":%llu,\"service_ms\":", requests);
    if (service_us > 0)
        fcgi_buffer_format(body, "%.3f", service_us / 1e3);
    else
        fcgi_buffer_text(body, "null");
}

/* null where the kernel does not tell. */
static void add_queue(struct fcgi_buffer *body, const struct spawn_scene *scene)
{
    const struct spawn_pages *pages = scene->pages;
    int depth = spawn_queue_ask(scene->queue_fd, pages->main->work_inode);
    uint64_t age_us = depth > 0 ? spawn_pages_queue_age_us(pages, fcgi_scoreboard_now_ns()) : 0;

    if (depth < 0)
        fcgi_buffer_text(body, ",\"queue\":{\"depth\":null,\"age_ms\":null}");
    else
        fcgi_buffer_format(body, ",\"queue\":{\"depth\":%d,\"age_ms\":%llu}", depth,
                           (unsigned long long)age_us / 1000);
}

void spawn_status(const struct spawn_scene *scene, const struct spawn_request *request,
                  struct spawn_answer *answer)
{
    const struct spawn_pages *pages = scene->pages;
    struct fcgi_buffer *body = answer->body;
    struct fcgi_board_model model;

    spawn_pages_model(pages, &model);
    answer->status = 200;
    fcgi_buffer_format(body, "{\"generation\":%u,\"model_sha256\":", pages->main->generation);
    add_text(body, model.sha256);
    fcgi_buffer_text(body, ",");
    add_precisions(body, &model);
    if (request->internal) {
        add_service(body, pages);
        add_quarantine(body, &pages->deaths->quarantine);
        fcgi_buffer_text(body, ",");
        add_workers(body, pages);
    } else {
        add_counts(body, pages);
    }
    add_queue(body, scene);
    fcgi_buffer_text(body, "}\n");
}
