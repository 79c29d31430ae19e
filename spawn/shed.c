/* shed.c: the answer to a request that found the queue full, closed, or nobody behind it. When it
 * is sent is decided in conn.c. */
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "fcgi/log.h"
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

/* Whoever is refused finds out why. But nobody is kept waiting for a log that is not read: there
 * may be thousands of these in a second, and health is answered by the same process. */
static void log_shed(const struct spawn_request *request, const char *code, int retry_after_s,
                     const char *sentence)
{
    struct pollfd log = {.fd = STDERR_FILENO, .events = POLLOUT};

    if (poll(&log, 1, 0) == 1 && log.revents & POLLOUT)
        fcgi_log(FCGI_LOG_INFO, "shed",
                 "request_id=%s nginx_id=%s path=%.128s code=%s retry_after_s=%d error=%s",
                 request->request_id, request->nginx_id, request->path, code, retry_after_s,
                 sentence);
}

static void say(const struct spawn_scene *scene, const struct spawn_request *request,
                enum fcgi_shed reason, int retry_after_s, const char *sentence,
                struct spawn_answer *answer)
{
    enum fcgi_code code = fcgi_scoreboard_shed_code(reason);

    fcgi_scoreboard_shed(scene->pages->control, reason);
    answer->retry_after_s = retry_after_s;
    spawn_answer_error(answer, fcgi_error_status(code), fcgi_error_code(code), request, sentence);
    log_shed(request, fcgi_error_code(code), retry_after_s, sentence);
}

static void say_overloaded(const struct spawn_scene *scene, const struct spawn_request *request,
                           int depth, int ready, int retry_s, struct spawn_answer *answer)
{
    char sentence[160];

    snprintf(sentence, sizeof sentence,
             "The queue is full: %d requests wait for %d workers; ask again in %d s.", depth, ready,
             retry_s);
    say(scene, request, FCGI_SHED_OVERLOADED, retry_s, sentence, answer);
}

static int at_least(int s, int least_s)
{
    return s > least_s ? s : least_s;
}

void spawn_shed(const struct spawn_scene *scene, const struct spawn_request *request,
                struct spawn_answer *answer)
{
    const struct spawn_pages *pages = scene->pages;
    int ready = spawn_pages_tally(pages).ready;
    uint32_t state = pages->main->state;
    int waiting = spawn_queue_ask(scene->queue_fd, pages->main->work_inode);
    int depth = waiting > 0 ? waiting : 0;
    int retry_s = spawn_shed_retry_after_s(depth, spawn_pages_service_us(pages), ready);

    if (state == FCGI_SERVICE_DRAINING)
        say(scene, request, FCGI_SHED_DRAINING, at_least(retry_s, RETRY_DRAINING_S),
            "The service was told to stop and takes no new requests.", answer);
    else if (!ready && state == FCGI_SERVICE_STARTING)
        say(scene, request, FCGI_SHED_STARTING, at_least(retry_s, RETRY_STARTING_S),
            "The workers are loading the model, and the queue is full.", answer);
    else
        say_overloaded(scene, request, depth, ready, retry_s, answer);
}
