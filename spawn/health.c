/* health.c: four questions that probes ask. live: does the supervisor's loop turn? ready: is there
 * a warm worker, and will it stay? startup: did the first generation become ready? */
#include <stdio.h>

#include "fcgi/json.h"
#include "fcgi/version.h"
#include "spawn/answer.h"

static void say(struct spawn_answer *answer, const struct spawn_request *request, bool good,
                const char *status, const char *code, const char *sentence)
{
    answer->status = good ? 200 : 503;
    answer->retry_after_s = good ? 0 : 1;
    fcgi_buffer_format(answer->body, "{\"success\":%s,\"status\":\"%s\"", good ? "true" : "false",
                       status);
    if (good)
        return;
    fcgi_buffer_text(answer->body, ",\"error\":");
    fcgi_json_string(answer->body, sentence);
    fcgi_buffer_format(answer->body, ",\"code\":\"%s\",\"request_id\":\"%s\"", code,
                       request->request_id);
}

static void finish(struct spawn_answer *answer)
{
    fcgi_buffer_text(answer->body, "}\n");
}

/* Why there is no worker, as far as anybody knows. */
static void say_starting(const struct spawn_scene *scene, const struct spawn_request *request,
                         struct spawn_answer *answer)
{
    char sentence[384], reason[sizeof scene->pages->main->reason];

    fcgi_shared_get_text(reason, sizeof reason, scene->pages->main->reason);
    snprintf(sentence, sizeof sentence, "No worker is ready yet%s%s",
             reason[0] ? "; the last start failed: " : ".", reason);
    say(answer, request, false, "starting", fcgi_error_code(FCGI_E_STARTING), sentence);
}

static void say_draining(const struct spawn_request *request, struct spawn_answer *answer)
{
    say(answer, request, false, "draining", fcgi_error_code(FCGI_E_DRAINING),
        "The service was told to stop and finishes what it has.");
}

static void say_stuck(const struct spawn_request *request, struct spawn_answer *answer)
{
    say(answer, request, false, "unhealthy", "unavailable",
        "The supervisor's loop did not answer in time.");
}

static void add_facts(const struct spawn_scene *scene, struct spawn_tally tally,
                      struct spawn_answer *answer)
{
    const struct fcgi_board_main *main = scene->pages->main;
    struct fcgi_board_model model;
    uint64_t up_ms = (fcgi_scoreboard_now_ns() - main->start_ns) / 1000000;

    fcgi_buffer_text(answer->body, ",\"model\":");
    if (spawn_pages_model(scene->pages, &model))
        fcgi_json_string(answer->body, model.name);
    else
        fcgi_buffer_text(answer->body, "null");
    fcgi_buffer_format(answer->body,
                       ",\"version\":\"%s\",\"generation\":%u,"
                       "\"workers\":{\"wanted\":%u,\"ready\":%d},\"uptime_ms\":%llu",
                       fcgi_version, main->generation, main->workers, tally.ready,
                       (unsigned long long)up_ms);
}

void spawn_health_overall(const struct spawn_scene *scene, const struct spawn_request *request,
                          struct spawn_answer *answer)
{
    struct spawn_tally tally = spawn_pages_tally(scene->pages);
    uint32_t state = scene->pages->main->state;

    if (!request->alive)
        say_stuck(request, answer);
    else if (state == FCGI_SERVICE_DRAINING)
        say_draining(request, answer);
    else if (tally.ready)
        say(answer, request, true, "healthy", NULL, NULL);
    else if (state == FCGI_SERVICE_STARTING)
        say_starting(scene, request, answer);
    else
        say(answer, request, false, "unhealthy", "unavailable", "No worker is ready.");
    add_facts(scene, tally, answer);
    finish(answer);
}

void spawn_health_live(const struct spawn_scene *scene, const struct spawn_request *request,
                       struct spawn_answer *answer)
{
    (void)scene;
    if (request->alive)
        say(answer, request, true, "live", NULL, NULL);
    else
        say_stuck(request, answer);
    finish(answer);
}

void spawn_health_ready(const struct spawn_scene *scene, const struct spawn_request *request,
                        struct spawn_answer *answer)
{
    if (scene->pages->main->state == FCGI_SERVICE_DRAINING)
        say_draining(request, answer);
    else if (spawn_pages_tally(scene->pages).ready)
        say(answer, request, true, "ready", NULL, NULL);
    else
        say_starting(scene, request, answer);
    finish(answer);
}

void spawn_health_startup(const struct spawn_scene *scene, const struct spawn_request *request,
                          struct spawn_answer *answer)
{
    if (scene->pages->main->generation)
        say(answer, request, true, "started", NULL, NULL);
    else
        say_starting(scene, request, answer);
    finish(answer);
}

void spawn_health_reword(struct spawn_answer *answer, const char *yes)
{
    if (answer->status != 200)
        return;
    fcgi_buffer_reset(answer->body);
    fcgi_buffer_text(answer->body, yes);
}
