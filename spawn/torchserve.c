/* torchserve.c: TorchServe's question whether anybody is there. */
#include <string.h>

#include "spawn/answer.h"

void spawn_torchserve_ping(const struct spawn_scene *scene, const struct spawn_request *request,
                           struct spawn_answer *answer)
{
    spawn_health_ready(scene, request, answer);
    spawn_health_reword(answer, "{\"status\":\"Healthy\"}\n");
}

const char *spawn_torchserve_hint(const char *path)
{
    return strncmp(path, "/predictions", 12) ? NULL
                                             : "the one model is \"resnet50\" in version 1.0: POST "
                                               "/predictions/resnet50; GET /ping";
}
