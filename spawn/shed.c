/* shed.c: the answer to a request that found the queue full, closed, or nobody behind it. When it
 * is sent is decided in conn.c. */
#include <stdio.h>

#include "spawn/answer.h"
#include "spawn/spawn.h"

enum { RETRY_MAX_S = 60, RETRY_STARTING_S = 2, RETRY_DRAINING_S = 5 };

int spawn_shed_retry_after_s(int depth, double service_us, int workers)
{
    double s = (double)depth * service_us / 1e6 / (workers > 0 ? workers : 1);

    if (s >= RETRY_MAX_S)
        return RETRY_MAX_S;
    return s <= 1 ? 1 : (int)s + (s > (int)s);
}

/* Microseconds of work for one answer, smoothed. */
static double service_us(struct spawn_scene *scene)
{
    uint64_t answers, work_us;

    spawn_pages_work(scene->pages, &answers, &work_us);
    if (answers > scene->seen_answers) {
        double mean =
            (double)(work_us - scene->seen_work_us) / (double)(answers - scene->seen_answers);
        scene->service_us = scene->service_us > 0 ? 0.7 * scene->service_us + 0.3 * mean : mean;
        scene->seen_answers = answers;
        scene->seen_work_us = work_us;
    }
    return scene->service_us;
}

static void say(struct spawn_answer *answer, const struct spawn_request *request,
                enum fcgi_code code, int retry_after_s, const char *sentence)
{
    answer->retry_after_s = retry_after_s;
    spawn_answer_error(answer, fcgi_error_status(code), fcgi_error_code(code), request, sentence);
}

static void say_overloaded(struct spawn_scene *scene, const struct spawn_request *request,
                           int ready, struct spawn_answer *answer)
{
    int depth = spawn_queue_depth(scene->pages->main->work_inode);
    int retry_s = spawn_shed_retry_after_s(depth > 0 ? depth : 0, service_us(scene), ready);
    char sentence[160];

    snprintf(sentence, sizeof sentence,
             "The queue is full: %d requests wait for %d workers; ask again in %d s.",
             depth > 0 ? depth : 0, ready, retry_s);
    say(answer, request, FCGI_E_OVERLOADED, retry_s, sentence);
}

void spawn_shed(struct spawn_scene *scene, const struct spawn_request *request,
                struct spawn_answer *answer)
{
    int ready = spawn_pages_tally(scene->pages).ready;
    uint32_t state = scene->pages->main->state;

    if (state == FCGI_SERVICE_DRAINING)
        say(answer, request, FCGI_E_DRAINING, RETRY_DRAINING_S,
            "The service was told to stop and takes no new requests.");
    else if (!ready && state == FCGI_SERVICE_STARTING)
        say(answer, request, FCGI_E_STARTING, RETRY_STARTING_S,
            "The workers are loading the model, and the queue is full.");
    else
        say_overloaded(scene, request, ready, answer);
}
