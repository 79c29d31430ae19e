/* follow.c: looks up from the work now and then. */
#include <poll.h>

#include "fcgi/faults.h"
#include "fcgi/probes.h"
#include "fcgi/worker.h"

/* The peer closed both directions: nobody is left to answer. A peer that only ended its sending
 * (some web servers do) still waits. */
static int has_hung_up(int fd)
{
    struct pollfd peer = {.fd = fd};

    return poll(&peer, 1, 0) > 0 && (peer.revents & (POLLHUP | POLLERR));
}

void fcgi_follow_stage(struct fcgi_worker *worker, enum fcgi_stage stage)
{
    fcgi_scoreboard_stage(worker->board, stage);
    fcgi_probes_stage_start(worker->job.request.id, fcgi_scoreboard_stage_name(stage));
}

int fcgi_follow_hung_up(struct fcgi_worker *worker, const char *where)
{
    if (!has_hung_up(worker->job.fd))
        return 0;
    fcgi_fail(&worker->job.err, FCGI_E_CANCELLED, "the client hung up %s", where);
    return 1;
}

static int may_go_on(struct fcgi_worker *worker, uint64_t now_ns, const char *where)
{
    struct fcgi_job *job = &worker->job;

    if (now_ns > job->request.deadline_ns) {
        fcgi_fail(&job->err, FCGI_E_DEADLINE_EXCEEDED, "the request's %lld ms were spent, %s",
                  (long long)job->request.budget_ms, where);
        return 0;
    }
    return !fcgi_follow_hung_up(worker, where);
}

int fcgi_follow_tick(void *ctx, struct fcgi_err *err)
{
    enum { TICKS_A_LOOK = 16 };
    struct fcgi_worker *worker = ctx;

    fcgi_scoreboard_tick(worker->board, -1);
    fcgi_faults_at("resize");
    if (worker->job.ticks++ % TICKS_A_LOOK ||
        may_go_on(worker, fcgi_scoreboard_now_ns(), "while a picture was decoded"))
        return 1;
    *err = worker->job.err;
    return 0;
}

int fcgi_follow_threads(const struct fcgi_worker *worker)
{
    return fcgi_crew_threads(worker->crew, worker->config->slot, worker->cores, worker->threads);
}

/* Of a batch the first layers are gone through once for each image: what ends is what was begun,
 * and not always the layer before. */
static void end_layer(struct fcgi_worker *worker, uint64_t now_ns)
{
    struct fcgi_job *job = &worker->job;
    int64_t ns = (int64_t)(now_ns - job->layer_start_ns);

    if (!job->layer_start_ns)
        return;
    job->layer_start_ns = 0;
    job->layer_ns[job->layer] += ns;
    fcgi_probes_layer_done(job->request.id, job->layer,
                           worker->classifier.model.net.layer[job->layer].name, ns);
}

int fcgi_follow_between(void *ctx, int layer)
{
    struct fcgi_worker *worker = ctx;
    struct fcgi_job *job = &worker->job;
    uint64_t now_ns = fcgi_scoreboard_now_ns();

    end_layer(worker, now_ns);
    if (layer == 0)
        fcgi_follow_stage(worker, FCGI_STAGE_INFER);
    fcgi_scoreboard_tick(worker->board, layer);
    fcgi_faults_layer(layer);
    if (!may_go_on(worker, now_ns, "while the network ran"))
        return 0;
    int threads = fcgi_follow_threads(worker);
    if (layer < worker->classifier.model.net.n_layers) {
        job->layer = layer;
        job->layer_start_ns = now_ns;
        fcgi_probes_layer_start(job->request.id, layer,
                                worker->classifier.model.net.layer[layer].name, threads);
    }
    return threads;
}
