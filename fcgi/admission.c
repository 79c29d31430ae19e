/* admission.c: whether a request that was just dequeued is worth computing. Nothing is refused here
 * for being unlucky: only what nobody waits for, what cannot be in time, and what kills workers. */
#include "fcgi/crash.h"
#include "fcgi/worker.h"
#include "weights/digest.h"

/* Only successes renew the estimate. When all are refused because of it, one in so long is tried.
 */
static const uint64_t estimate_lives_ns = 10000000000u;

static int has_taken_workers(struct fcgi_worker *worker)
{
    unsigned count = fcgi_deaths_count(worker->deaths, worker->job.request.nginx_id);

    if (count < FCGI_DEATHS_LIMIT)
        return 0;
    fcgi_fail(&worker->job.err, FCGI_E_WORKER_FAILED,
              "%u workers crashed or got stuck on this request; it is not tried again", count);
    return 1;
}

static int is_late(struct fcgi_job *job)
{
    const struct fcgi_request *request = &job->request;

    if (job->accepted_ns < request->deadline_ns)
        return 0;
    fcgi_fail(&job->err, FCGI_E_DEADLINE_EXCEEDED,
              "the request's %lld ms were spent before it was begun, %lld of them in the queue",
              (long long)request->budget_ms, (long long)request->age_ms);
    return 1;
}

static int will_be_late(struct fcgi_worker *worker)
{
    struct fcgi_job *job = &worker->job;
    const struct fcgi_request *request = &job->request;
    uint64_t service_us = atomic_load(&worker->board->service_us);

    if (!service_us || job->accepted_ns + service_us * 1000 <= request->deadline_ns)
        return 0;
    if (job->accepted_ns - worker->estimated_ns > estimate_lives_ns) {
        worker->estimated_ns = job->accepted_ns;
        return 0;
    }
    fcgi_fail(&job->err, FCGI_E_DEADLINE_EXCEEDED,
              "the request would not finish within its %lld ms: %lld were spent in the queue, and "
              "an answer takes about %llu",
              (long long)request->budget_ms, (long long)request->age_ms,
              (unsigned long long)(service_us + 999) / 1000);
    return 1;
}

int fcgi_admission_check(struct fcgi_worker *worker)
{
    if (fcgi_follow_hung_up(worker, "before its request was begun"))
        return -1;
    return has_taken_workers(worker) || is_late(&worker->job) || will_be_late(worker) ? -1 : 0;
}

int fcgi_admission_check_body(struct fcgi_worker *worker)
{
    const struct fcgi_deaths *deaths = worker->deaths;
    uint64_t now_ns = fcgi_scoreboard_now_ns();
    uint8_t sha256[FCGI_QUARANTINE_HASH];

    fcgi_crash_body(worker->input.bytes, worker->input.n);
    if (!deaths || !worker->input.n || !fcgi_quarantine_has_any(&deaths->quarantine, now_ns))
        return 0;
    wt_digest_sha256(sha256, worker->input.bytes, worker->input.n);
    fcgi_scoreboard_body(worker->board, sha256);
    unsigned requests = fcgi_quarantine_requests(&deaths->quarantine, sha256, now_ns);
    worker->job.is_suspect = requests > 0;
    if (requests < FCGI_QUARANTINE_LIMIT)
        return 0;
    fcgi_fail(&worker->job.err, FCGI_E_INPUT_QUARANTINED,
              "workers crashed or got stuck on this very body in %u requests; it is not computed "
              "for now, and the operator has been told",
              requests);
    return -1;
}

/* Whatever the answer was, no worker died of it. */
void fcgi_admission_absolve(struct fcgi_worker *worker)
{
    enum { CLOSED_REQUEST = 499 };
    enum fcgi_code code = worker->job.err.code;

    if (worker->job.is_suspect && code != FCGI_E_INPUT_QUARANTINED &&
        fcgi_error_status(code) < CLOSED_REQUEST)
        fcgi_scoreboard_answered(worker->board);
    fcgi_crash_body(NULL, 0);
}

void fcgi_admission_learn(struct fcgi_worker *worker)
{
    const struct fcgi_job *job = &worker->job;

    if (worker->response.code != FCGI_E_OK || !job->n_images)
        return;
    worker->estimated_ns = fcgi_scoreboard_now_ns();
    fcgi_scoreboard_service(worker->board, (int64_t)(worker->estimated_ns - job->accepted_ns));
}
