/* tfserving.c: TensorFlow Serving's questions about the model: is it loaded, and what does it take
 * and give? */
#include <string.h>

#include "spawn/answer.h"

/* The states are those of its ManagerState. */
static const char *model_state(const struct spawn_scene *scene)
{
    if (scene->pages->main->state == FCGI_SERVICE_DRAINING)
        return "UNLOADING";
    return spawn_pages_tally(scene->pages).ready ? "AVAILABLE" : "LOADING";
}

void spawn_tfserving_status(const struct spawn_scene *scene, const struct spawn_request *request,
                            struct spawn_answer *answer)
{
    (void)request;
    answer->status = 200;
    fcgi_buffer_format(answer->body,
                       "{\"model_version_status\":[{\"version\":\"1\",\"state\":\"%s\","
                       "\"status\":{\"error_code\":\"OK\",\"error_message\":\"\"}}]}\n",
                       model_state(scene));
}

/* columns: 0 for one value a picture. Sizes are strings, as protobuf's JSON has it. */
static void add_tensor(struct fcgi_buffer *body, const char *name, const char *type,
                       unsigned columns)
{
    fcgi_buffer_format(body,
                       "{\"%s\":{\"dtype\":\"%s\",\"tensor_shape\":{\"dim\":["
                       "{\"size\":\"-1\",\"name\":\"\"}",
                       name, type);
    if (columns)
        fcgi_buffer_format(body, ",{\"size\":\"%u\",\"name\":\"\"}", columns);
    fcgi_buffer_format(body, "],\"unknown_rank\":false},\"name\":\"%s:0\"}}", name);
}

void spawn_tfserving_metadata(const struct spawn_scene *scene, const struct spawn_request *request,
                              struct spawn_answer *answer)
{
    struct fcgi_board_model told;
    const struct fcgi_board_worker *model = spawn_pages_model(scene->pages, &told);
    struct fcgi_buffer *body = answer->body;

    if (!model) {
        spawn_health_ready(scene, request, answer);
        return;
    }
    answer->status = 200;
    fcgi_buffer_text(body, "{\"model_spec\":{\"name\":\"resnet50\",\"signature_name\":\"\","
                           "\"version\":\"1\"},\"metadata\":{\"signature_def\":{\"signature_def\":{"
                           "\"serving_default\":{\"inputs\":");
    add_tensor(body, "image_bytes", "DT_STRING", 0);
    fcgi_buffer_text(body, ",\"outputs\":");
    add_tensor(body, "probabilities", "DT_FLOAT", model->classes);
    fcgi_buffer_text(body, ",\"method_name\":\"tensorflow/serving/predict\"}}}}}\n");
}

const char *spawn_tfserving_hint(const char *path)
{
    return strncmp(path, "/v1/", 4)
               ? NULL
               : "the one model is \"resnet50\" in version 1, and it only predicts: GET "
                 "/v1/models/resnet50[/metadata], POST /v1/models/resnet50:predict";
}
