/* status.c: /status. Counts for everybody; on the second listener also what each worker does. */
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
    uint64_t accepted_ns = page->accepted_ns, now_ns = fcgi_scoreboard_now_ns();

    if (!is_busy || !fcgi_scoreboard_request(page, &request)) {
        fcgi_buffer_text(body, "\"request_id\":null,\"stage\":null,\"layer\":null,\"ms\":0");
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

static void add_ends(struct fcgi_buffer *body, const struct fcgi_board_main *main)
{
    static const char *const names[] = {
#define X(name, text) [FCGI_END_##name] = text,
        FCGI_ENDS(X)
#undef X
    };

    for (int i = 0; i < FCGI_N_ENDS; i++)
        fcgi_buffer_format(body, "%s\"%s\":%llu", i ? "," : ",\"ends\":{", names[i],
                           (unsigned long long)main->ends[i]);
    fcgi_buffer_text(body, "}");
}

static void add_service(struct fcgi_buffer *body, const struct spawn_pages *pages)
{
    static const char *const states[] = {"starting", "serving", "draining"};
    const struct fcgi_board_main *main = pages->main;

    fcgi_buffer_format(body,
                       "\"pid\":%d,\"state\":\"%s\",\"reload\":{\"active\":%s,\"ok\":%llu,"
                       "\"failed\":%llu},\"reason\":",
                       main->pid, states[main->state % 3], main->reloading ? "true" : "false",
                       (unsigned long long)main->reloads_ok,
                       (unsigned long long)main->reloads_failed);
    add_text(body, main->reason);
    add_ends(body, main);
}

static void add_counts(struct fcgi_buffer *body, const struct spawn_pages *pages)
{
    struct spawn_tally tally = spawn_pages_tally(pages);

    fcgi_buffer_format(body,
                       "\"workers\":{\"wanted\":%u,\"ready\":%d,\"busy\":%d,\"starting\":%d,"
                       "\"draining\":%d}",
                       pages->main->workers, tally.ready, tally.busy, tally.starting,
                       tally.draining);
}

/* Age is known only of what has been dequeued: of an empty queue it is 0, else unknown. */
static void add_queue(struct fcgi_buffer *body, const struct spawn_pages *pages)
{
    int depth = spawn_queue_depth(pages->main->work_inode);

    fcgi_buffer_text(body, ",\"queue\":{\"depth\":");
    if (depth < 0)
        fcgi_buffer_text(body, "null");
    else
        fcgi_buffer_format(body, "%d", depth);
    fcgi_buffer_format(body, ",\"age_ms\":%s}", depth ? "null" : "0");
}

void spawn_status(const struct spawn_scene *scene, const struct spawn_request *request,
                  struct spawn_answer *answer)
{
    const struct spawn_pages *pages = scene->pages;
    const struct fcgi_board_worker *model = spawn_pages_model(pages);
    struct fcgi_buffer *body = &answer->body;

    answer->status = 200;
    fcgi_buffer_format(body, "{\"generation\":%u,\"model_sha256\":", pages->main->generation);
    add_text(body, model ? model->model_sha256 : "");
    fcgi_buffer_text(body, ",");
    if (request->internal) {
        add_service(body, pages);
        fcgi_buffer_text(body, ",");
        add_workers(body, pages);
    } else {
        add_counts(body, pages);
    }
    add_queue(body, pages);
    fcgi_buffer_text(body, "}\n");
}
