/* report.c: what client, operator and metrics are told about a request. */
#include <stdio.h>
#include <string.h>

#include "fcgi/log.h"
#include "fcgi/probes.h"
#include "fcgi/worker.h"

static double ms(int64_t ns)
{
    return ns > 0 ? (double)ns / 1e6 : 0;
}

void fcgi_report_headers(struct fcgi_worker *worker)
{
    struct fcgi_response *response = &worker->response;
    const struct fcgi_job *job = &worker->job;
    char timing[256];
    size_t n = 0;

    fcgi_response_header(response, "X-Request-ID", job->request.id);
    fcgi_response_header(response, "X-Served-By", worker->served_by);
    fcgi_response_header(response, "X-Model", worker->model_id);
    if (response->code != FCGI_E_OK)
        return;
    if (job->precision)
        fcgi_response_header(response, "X-Precision", job->precision);
    if (job->digest[0])
        fcgi_response_header(response, "X-Result-Digest", job->digest);
    for (int i = 0; i < FCGI_N_STAGES; i++)
        n += (size_t)snprintf(timing + n, sizeof timing - n, "%s%s;dur=%.3f", i ? ", " : "",
                              fcgi_scoreboard_stage_name((enum fcgi_stage)i), ms(job->stage_ns[i]));
    fcgi_response_header(response, "Server-Timing", timing);
}

void fcgi_report_count(struct fcgi_worker *worker)
{
    const struct fcgi_job *job = &worker->job;

    fcgi_admission_learn(worker);
    if (worker->response.code == FCGI_E_DEADLINE_EXCEEDED)
        fcgi_scoreboard_cancel(worker->board, FCGI_CANCEL_DEADLINE);
    else if (worker->response.code == FCGI_E_CANCELLED)
        fcgi_scoreboard_cancel(worker->board, job->hangup);
    else if (worker->response.code == FCGI_E_OK && job->precision)
        fcgi_scoreboard_images(worker->board, fcgi_scoreboard_precision(job->precision),
                               job->n_images);
    fcgi_scoreboard_count(worker->board, worker->response.code, job->stage_ns, job->total_ns);
}

/* "layer4.0.conv2:3.1 conv1:2.0 layer4.1.conv2:1.9" */
static void slowest_layers(const struct fcgi_worker *worker, char *text, size_t size)
{
    enum { SHOWN = 3 };
    const struct kn_net *net = &worker->classifier.model.net;
    const int64_t *layer_ns = worker->job.layer_ns;
    int64_t below = INT64_MAX;
    size_t n = 0;

    text[0] = 0;
    for (int shown = 0; shown < SHOWN; shown++) {
        int slowest = -1;
        for (int i = 0; i < net->n_layers; i++)
            if (layer_ns[i] > 0 && layer_ns[i] < below &&
                (slowest < 0 || layer_ns[i] > layer_ns[slowest]))
                slowest = i;
        if (slowest < 0)
            break;
        below = layer_ns[slowest];
        n += (size_t)snprintf(text + n, size - n, "%s%s:%.1f", shown ? " " : "",
                              net->layer[slowest].name, ms(below));
    }
}

static void trace(const struct fcgi_job *job, int status)
{
    for (int i = 0; i < FCGI_N_STAGES; i++)
        if (job->stage_ns[i] >= 0)
            fcgi_probes_stage_done(job->request.id, fcgi_scoreboard_stage_name((enum fcgi_stage)i),
                                   job->stage_ns[i]);
    fcgi_probes_request_done(job->request.id, status, job->total_ns, job->n_images);
}

void fcgi_report_log(struct fcgi_worker *worker, int sent)
{
    const struct fcgi_job *job = &worker->job;
    const struct fcgi_request *request = &job->request;
    const struct fcgi_response *response = &worker->response;
    const int64_t *stage_ns = job->stage_ns;
    int64_t slow_ms = worker->config->slowlog_ms;
    char layers[192];

    trace(job, fcgi_error_status(response->code));
    fcgi_log(
        FCGI_LOG_INFO, "request",
        "request_id=%s nginx_id=%s traceparent=%.55s method=%.16s path=%.128s status=%d "
        "code=%s sent=%s ms=%.3f queue_ms=%.3f read_ms=%.3f decode_ms=%.3f resize_ms=%.3f "
        "infer_ms=%.3f write_ms=%.3f bytes_in=%llu bytes_out=%zu images=%d precision=%s error=%s",
        request->id, request->nginx_id, request->traceparent, request->method, request->path,
        fcgi_error_status(response->code), fcgi_error_code(response->code), sent ? "no" : "yes",
        ms(job->total_ns), ms(stage_ns[FCGI_STAGE_QUEUE]), ms(stage_ns[FCGI_STAGE_READ]),
        ms(stage_ns[FCGI_STAGE_DECODE]), ms(stage_ns[FCGI_STAGE_RESIZE]),
        ms(stage_ns[FCGI_STAGE_INFER]), ms(stage_ns[FCGI_STAGE_WRITE]),
        (unsigned long long)worker->input.total, sent ? (size_t)0 : response->body.n, job->n_images,
        job->precision ? job->precision : "", response->code ? job->err.text : "");
    if (!slow_ms || job->total_ns < slow_ms * 1000000)
        return;
    slowest_layers(worker, layers, sizeof layers);
    fcgi_log(FCGI_LOG_WARN, "slow",
             "request_id=%s nginx_id=%s ms=%.3f queue_ms=%.3f read_ms=%.3f decode_ms=%.3f "
             "resize_ms=%.3f infer_ms=%.3f write_ms=%.3f layers=%s",
             request->id, request->nginx_id, ms(job->total_ns), ms(stage_ns[FCGI_STAGE_QUEUE]),
             ms(stage_ns[FCGI_STAGE_READ]), ms(stage_ns[FCGI_STAGE_DECODE]),
             ms(stage_ns[FCGI_STAGE_RESIZE]), ms(stage_ns[FCGI_STAGE_INFER]),
             ms(stage_ns[FCGI_STAGE_WRITE]), layers);
}
