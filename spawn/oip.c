/* oip.c: the Open Inference Protocol's questions about server and model, Triton's extensions for
 * configuration, statistics and repository included. Inference itself is the workers'. */
#include <string.h>
#include <time.h>

#include "fcgi/json.h"
#include "fcgi/oip_names.h"
#include "fcgi/version.h"
#include "spawn/answer.h"

#define MODEL_MEMBERS "\"name\":\"" FCGI_OIP_MODEL "\""

/* ---- server --------------------------------------------------------------------------------- */

void spawn_oip_server(const struct spawn_scene *scene, const struct spawn_request *request,
                      struct spawn_answer *answer)
{
    (void)scene;
    (void)request;
    answer->status = 200;
    fcgi_buffer_format(answer->body,
                       "{\"name\":\"resnet-fcgi\",\"version\":\"%s\",\"extensions\":["
                       "\"binary_tensor_data\",\"classification\",\"model_configuration\","
                       "\"model_repository\",\"statistics\"]}\n",
                       fcgi_version);
}

void spawn_oip_live(const struct spawn_scene *scene, const struct spawn_request *request,
                    struct spawn_answer *answer)
{
    spawn_health_live(scene, request, answer);
    spawn_health_reword(answer, "{\"live\":true}\n");
}

void spawn_oip_ready(const struct spawn_scene *scene, const struct spawn_request *request,
                     struct spawn_answer *answer)
{
    spawn_health_ready(scene, request, answer);
    spawn_health_reword(answer, "{\"ready\":true}\n");
}

void spawn_oip_model_ready(const struct spawn_scene *scene, const struct spawn_request *request,
                           struct spawn_answer *answer)
{
    spawn_health_ready(scene, request, answer);
    spawn_health_reword(answer, "{" MODEL_MEMBERS ",\"ready\":true}\n");
}

/* ---- model ---------------------------------------------------------------------------------- */

/* What a worker has said of the model; without one the answer is that none is ready. */
static const struct fcgi_board_worker *find_model(const struct spawn_scene *scene,
                                                  const struct spawn_request *request,
                                                  struct spawn_answer *answer,
                                                  struct fcgi_board_model *told)
{
    const struct fcgi_board_worker *model = spawn_pages_model(scene->pages, told);

    if (!model)
        spawn_health_ready(scene, request, answer);
    else
        answer->status = 200;
    return model;
}

void spawn_oip_model(const struct spawn_scene *scene, const struct spawn_request *request,
                     struct spawn_answer *answer)
{
    struct fcgi_board_model told;
    const struct fcgi_board_worker *model = find_model(scene, request, answer, &told);
    struct fcgi_buffer *body = answer->body;
    const char *comma = "";

    if (!model)
        return;
    const int columns[FCGI_OIP_N_OUTPUTS] = {
        [FCGI_OIP_PROBABILITIES] = (int)model->classes,
        [FCGI_OIP_LOGITS] = (int)model->classes,
        [FCGI_OIP_FEATURES] = (int)model->features,
        [FCGI_OIP_CLASSIFICATION] = -1,
    };
    fcgi_buffer_format(body,
                       "{" MODEL_MEMBERS ",\"versions\":[\"" FCGI_OIP_VERSION "\"],"
                       "\"platform\":\"resnet-fcgi\",\"inputs\":["
                       "{\"name\":\"" FCGI_OIP_IMAGE "\",\"datatype\":\"BYTES\",\"shape\":[-1]},"
                       "{\"name\":\"" FCGI_OIP_INPUT "\",\"datatype\":\"FP32\","
                       "\"shape\":[-1,3,%u,%u]}],\"outputs\":[",
                       model->crop_px, model->crop_px);
#define X(id, text, type)                                                                          \
    fcgi_buffer_format(body,                                                                       \
                       "%s{\"name\":\"" text "\",\"datatype\":\"" type "\",\"shape\":[-1,%d]}",    \
                       comma, columns[FCGI_OIP_##id]);                                             \
    comma = ",";
    FCGI_OIP_OUTPUTS(X)
#undef X
    fcgi_buffer_text(body, "]}\n");
}

/* ModelConfig as Triton writes it: dims without the batch. */
static void add_tensors(struct fcgi_buffer *body, const struct fcgi_board_worker *model)
{
    fcgi_buffer_format(body,
                       "\"input\":[{\"name\":\"" FCGI_OIP_IMAGE "\",\"data_type\":\"TYPE_STRING\","
                       "\"dims\":[1],\"reshape\":{\"shape\":[]},\"optional\":true},"
                       "{\"name\":\"" FCGI_OIP_INPUT "\",\"data_type\":\"TYPE_FP32\","
                       "\"dims\":[3,%u,%u],\"optional\":true}],",
                       model->crop_px, model->crop_px);
    fcgi_buffer_format(body,
                       "\"output\":["
                       "{\"name\":\"probabilities\",\"data_type\":\"TYPE_FP32\",\"dims\":[%u]},"
                       "{\"name\":\"logits\",\"data_type\":\"TYPE_FP32\",\"dims\":[%u]},"
                       "{\"name\":\"features\",\"data_type\":\"TYPE_FP32\",\"dims\":[%u]},"
                       "{\"name\":\"classification\",\"data_type\":\"TYPE_STRING\",\"dims\":[-1]}]",
                       model->classes, model->classes, model->features);
}

static void add_parameter(struct fcgi_buffer *body, const char *comma, const char *name,
                          const char *value)
{
    fcgi_buffer_format(body, "%s\"%s\":{\"string_value\":", comma, name);
    fcgi_json_string(body, value);
    fcgi_buffer_text(body, "}");
}

void spawn_oip_config(const struct spawn_scene *scene, const struct spawn_request *request,
                      struct spawn_answer *answer)
{
    struct fcgi_board_model told;
    const struct fcgi_board_worker *model = find_model(scene, request, answer, &told);
    struct fcgi_buffer *body = answer->body;

    if (!model)
        return;
    fcgi_buffer_format(body,
                       "{" MODEL_MEMBERS ",\"platform\":\"\",\"backend\":\"resnet-fcgi\","
                       "\"version_policy\":{\"latest\":{\"num_versions\":1}},"
                       "\"max_batch_size\":%u,",
                       model->max_images);
    add_tensors(body, model);
    fcgi_buffer_format(body,
                       ",\"instance_group\":[{\"name\":\"" FCGI_OIP_MODEL "\","
                       "\"kind\":\"KIND_CPU\",\"count\":%u}],\"parameters\":{",
                       scene->pages->main->workers);
    add_parameter(body, "", "model", told.name);
    add_parameter(body, ",", "sha256", told.sha256);
    add_parameter(body, ",", "precision", told.precision);
    add_parameter(body, ",", "isa", told.isa);
    fcgi_buffer_text(body, "}}\n");
}

/* ---- statistics ----------------------------------------------------------------------------- */

/* Of all slots since the supervisor started. */
struct totals {
    uint64_t images, ok, ok_us, failed, all_us;
    uint64_t stage_n[FCGI_N_STAGES], stage_us[FCGI_N_STAGES];
    uint64_t last_ns; /* CLOCK_MONOTONIC, of the newest request */
};

static uint64_t count_of(const struct fcgi_histogram *histogram)
{
    uint64_t n = 0;

    for (int i = 0; i < FCGI_N_BUCKETS; i++)
        n += histogram->count[i];
    return n;
}

static void add_slot(struct totals *totals, const struct fcgi_board_worker *page)
{
    for (int p = 0; p < FCGI_N_PRECISIONS; p++)
        totals->images += page->images[p];
    totals->ok += page->codes[FCGI_E_OK];
    totals->ok_us += page->ok_us;
    totals->all_us += page->total.sum_us;
    for (int i = 0; i < FCGI_N_CODES; i++)
        totals->failed += i != FCGI_E_OK ? page->codes[i] : 0;
    for (int i = 0; i < FCGI_N_STAGES; i++) {
        totals->stage_n[i] += count_of(&page->stages[i]);
        totals->stage_us[i] += page->stages[i].sum_us;
    }
    if (page->accepted_ns > totals->last_ns)
        totals->last_ns = page->accepted_ns;
}

/* Milliseconds since 1970 of a moment of CLOCK_MONOTONIC; 0 where there was none. */
static unsigned long long wall_ms(uint64_t at_ns)
{
    struct timespec now;
    uint64_t now_ns = fcgi_scoreboard_now_ns();

    if (!at_ns || clock_gettime(CLOCK_REALTIME, &now))
        return 0;
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    return ms - (now_ns > at_ns ? now_ns - at_ns : 0) / 1000000;
}

static void add_duration(struct fcgi_buffer *body, const char *comma, const char *name, uint64_t n,
                         uint64_t us)
{
    fcgi_buffer_format(body, "%s\"%s\":{\"count\":%llu,\"ns\":%llu}", comma, name,
                       (unsigned long long)n, (unsigned long long)us * 1000);
}

/* Decoding and resizing are Triton's compute_input. Nothing is cached, and no batch is made of
 * several requests. */
static void add_durations(struct fcgi_buffer *body, const struct totals *t)
{
    uint64_t failed_us = t->all_us > t->ok_us ? t->all_us - t->ok_us : 0;

    add_duration(body, "", "success", t->ok, t->ok_us);
    add_duration(body, ",", "fail", t->failed, failed_us);
    add_duration(body, ",", "queue", t->stage_n[FCGI_STAGE_QUEUE], t->stage_us[FCGI_STAGE_QUEUE]);
    add_duration(body, ",", "compute_input", t->stage_n[FCGI_STAGE_DECODE],
                 t->stage_us[FCGI_STAGE_DECODE] + t->stage_us[FCGI_STAGE_RESIZE]);
    add_duration(body, ",", "compute_infer", t->stage_n[FCGI_STAGE_INFER],
                 t->stage_us[FCGI_STAGE_INFER]);
    add_duration(body, ",", "compute_output", t->stage_n[FCGI_STAGE_WRITE],
                 t->stage_us[FCGI_STAGE_WRITE]);
    add_duration(body, ",", "cache_hit", 0, 0);
    add_duration(body, ",", "cache_miss", 0, 0);
}

void spawn_oip_stats(const struct spawn_scene *scene, const struct spawn_request *request,
                     struct spawn_answer *answer)
{
    struct totals totals = {0};
    struct fcgi_buffer *body = answer->body;

    (void)request;
    for (int i = 0; i < scene->pages->n; i++)
        add_slot(&totals, scene->pages->slots[i]);
    answer->status = 200;
    fcgi_buffer_format(body,
                       "{\"model_stats\":[{" MODEL_MEMBERS ",\"version\":\"" FCGI_OIP_VERSION "\","
                       "\"last_inference\":%llu,\"inference_count\":%llu,"
                       "\"execution_count\":%llu,\"inference_stats\":{",
                       wall_ms(totals.last_ns), (unsigned long long)totals.images,
                       (unsigned long long)totals.stage_n[FCGI_STAGE_INFER]);
    add_durations(body, &totals);
    fcgi_buffer_text(body, "},\"batch_stats\":[]}]}\n");
}

/* ---- repository ----------------------------------------------------------------------------- */

/* The request's body may ask for ready models only. It is not read: the one that there is says in
 * its state whether it is. */
void spawn_oip_repository(const struct spawn_scene *scene, const struct spawn_request *request,
                          struct spawn_answer *answer)
{
    const struct fcgi_board_main *main = scene->pages->main;
    bool draining = main->state == FCGI_SERVICE_DRAINING;
    bool ready = !draining && spawn_pages_tally(scene->pages).ready;
    char reason[sizeof main->reason];

    (void)request;
    answer->status = 200;
    fcgi_shared_get_text(reason, sizeof reason, main->reason);
    fcgi_buffer_format(answer->body,
                       "[{" MODEL_MEMBERS ",\"version\":\"" FCGI_OIP_VERSION "\",\"state\":\"%s\","
                       "\"reason\":",
                       ready ? "READY" : "UNAVAILABLE");
    fcgi_json_string(answer->body, ready ? "" : draining ? "the service is stopping" : reason);
    fcgi_buffer_text(answer->body, "}]\n");
}

const char *spawn_oip_hint(const char *path)
{
    if (strncmp(path, "/v2", 3) != 0 || (path[3] && path[3] != '/'))
        return NULL;
    if (!strncmp(path, "/v2/repository/", 15))
        return "models are loaded by the operator (resnet-ctl reload), not over HTTP; POST "
               "/v2/repository/index lists them";
    return "the one model is \"" FCGI_OIP_MODEL "\" in version " FCGI_OIP_VERSION
           ": GET /v2/models/" FCGI_OIP_MODEL ", POST /v2/models/" FCGI_OIP_MODEL "/infer";
}
