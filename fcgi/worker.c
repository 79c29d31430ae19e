/* worker.c: opens everything, then serves one request at a time. */
#include "fcgi/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/cpus.h"
#include "fcgi/crash.h"
#include "fcgi/faults.h"
#include "fcgi/json.h"
#include "fcgi/log.h"
#include "fcgi/probes.h"
#include "fcgi/version.h"
#include "weights/digest.h"

/* ---- opening -------------------------------------------------------------------------------- */

/* Under the supervisor its page, else a private one, so that nothing has to ask. */
static int open_board(struct fcgi_worker *worker, char text[512])
{
    const struct fcgi_config *config = worker->config;
    int fd = worker->alone ? fcgi_scoreboard_create("resnet-board") : config->board_fd;

    worker->board = fd < 0 ? NULL : fcgi_scoreboard_map(fd, 1);
    if (worker->alone && worker->board)
        fcgi_scoreboard_init_worker(worker->board, 0);
    if (fd >= 0)
        close(fd);
    if (!worker->board) {
        snprintf(text, 512, "the scoreboard page cannot be mapped: %s", strerror(errno));
        return worker->alone ? FCGI_EXIT_TRY_LATER : FCGI_EXIT_USAGE;
    }
    if (!fcgi_scoreboard_is_worker(worker->board)) {
        snprintf(text, 512,
                 "--board-fd is not a scoreboard page of this version; is resnet-spawn "
                 "older or newer than resnet-fcgi?");
        return FCGI_EXIT_CONFIG;
    }
    fcgi_scoreboard_start(worker->board, fcgi_scoreboard_now_ns());
    atomic_store(&worker->board->pid, (int32_t)getpid());
    atomic_store(&worker->board->generation, (uint32_t)config->generation);
    return 0;
}

static int open_deaths(struct fcgi_worker *worker, char text[512])
{
    int fd = worker->config->deaths_fd;

    if (fd < 0)
        return 0;
    worker->deaths = fcgi_deaths_map(fd, 0);
    close(fd);
    if (worker->deaths)
        return 0;
    snprintf(text, 512, "--deaths-fd is not a page of this version: %s", strerror(errno));
    return FCGI_EXIT_USAGE;
}

/* One that loads computes as well: it counts as busy until it first waits for a request. */
static int open_crew(struct fcgi_worker *worker, char text[512])
{
    const struct fcgi_config *config = worker->config;

    worker->cores = fcgi_cpus_usable("");
    worker->threads = worker->cores < KN_MAX_THREADS ? worker->cores : KN_MAX_THREADS;
    if (config->threads != FCGI_AUTO)
        worker->threads = config->threads;
    else if (config->crew_fd < 0) /* several that do not know of each other must not share */
        worker->threads = 1;
    if (config->crew_fd < 0)
        return 0;
    worker->crew = fcgi_crew_map(config->crew_fd);
    close(config->crew_fd);
    if (!worker->crew) {
        snprintf(text, 512, "--crew-fd is not a page of this version: %s", strerror(errno));
        return FCGI_EXIT_USAGE;
    }
    fcgi_crew_set(worker->crew, config->slot, 1);
    if (config->slot >= 0)
        worker->accept.busy = &worker->crew->busy[config->slot];
    return 0;
}

/* The self-test's run counts as progress too, but nothing bounds it. */
static int tick_loading(void *ctx, int layer)
{
    struct fcgi_worker *worker = ctx;

    fcgi_scoreboard_tick(worker->board, layer);
    return fcgi_follow_threads(worker);
}

static int open_model(struct fcgi_worker *worker, char text[512])
{
    const struct fcgi_config *config = worker->config;
    struct fcgi_follow follow = {.between = tick_loading, .ctx = worker};

    if (fcgi_faults_open(text))
        return FCGI_EXIT_CONFIG;
    fcgi_faults_at("load");
    if (fcgi_faults_fail("load")) {
        snprintf(text, 512, "no memory for the network");
        return FCGI_EXIT_TRY_LATER;
    }
    fcgi_intact_open(&worker->intact, config->model_fd, config->model);
    struct fcgi_classifier_options options = {
        .path = config->model,
        .model_fd = worker->intact.fd,
        .isa = config->isa[0] ? config->isa : NULL,
        .precision = config->precision,
        .max_images = config->max_images,
        .max_threads = worker->threads,
        .all_precisions = 1,
    };
    int code = fcgi_classifier_open(&worker->classifier, &options, &follow, text);
    if (code)
        return code;
    fcgi_faults_network(&worker->classifier.model.net);
    fcgi_faults_at("selftest");
    if (fcgi_faults_fail("selftest")) {
        snprintf(text, 512, "the self-test's logits are wrong");
        return FCGI_EXIT_CONFIG;
    }
    memcpy(worker->model_id, worker->classifier.model.sha256, sizeof worker->model_id - 1);
    return 0;
}

static int64_t decode_memory(const struct fcgi_worker *worker)
{
    if (worker->config->max_decode_memory != FCGI_AUTO)
        return worker->config->max_decode_memory;
    return fcgi_cpus_decode_memory(fcgi_cpus_memory_limit(""),
                                   (int64_t)worker->classifier.model.mapped_bytes, 1);
}

static int open_predictor(struct fcgi_worker *worker, char text[512])
{
    const struct fcgi_config *config = worker->config;
    struct fcgi_predictor *predictor = &worker->predictor;
    size_t classes = (size_t)worker->classifier.model.net.classes;

    predictor->classifier = &worker->classifier;
    predictor->limits.max_pixels = (uint64_t)config->max_pixels;
    predictor->limits.max_decode_bytes = (uint64_t)decode_memory(worker);
    predictor->limits.fast = config->decode_fast;
    predictor->exif = config->exif;
    predictor->max_images = config->max_images;
    predictor->follow = (struct fcgi_follow){fcgi_follow_tick, fcgi_follow_between, worker};
    predictor->top = calloc(classes, sizeof *predictor->top);
    if (predictor->top && !fcgi_response_open(&worker->response) &&
        !fcgi_input_open(&worker->input, (size_t)config->max_body))
        return 0;
    snprintf(text, 512, "no memory for a request's body of %lld bytes (RESNET_MAX_BODY): %s",
             (long long)config->max_body, strerror(errno));
    return FCGI_EXIT_TRY_LATER;
}

/* So that others can tell which layer is meant by a number. */
static void name_layers(struct fcgi_board_worker *board, const struct kn_net *net)
{
    char names[sizeof board->layers];
    size_t n = 0;

    for (int i = 0; i < net->n_layers; i++) {
        int more = snprintf(names + n, sizeof names - n, "%s ", net->layer[i].name);
        if (more < 0 || (size_t)more >= sizeof names - n)
            break;
        n += (size_t)more;
    }
    names[n] = 0;
    fcgi_scoreboard_name_layers(board, names);
}

static void describe(struct fcgi_worker *worker)
{
    struct fcgi_board_worker *board = worker->board;
    const struct wt_model *model = &worker->classifier.model;
    struct fcgi_board_model told = {0};
    char host[64] = "localhost";

    gethostname(host, sizeof host - 1);
    snprintf(worker->served_by, sizeof worker->served_by, "%s/%d.%d", host,
             worker->alone ? 0 : worker->config->slot, worker->config->generation);
    snprintf(told.sha256, sizeof told.sha256, "%s", model->sha256);
    snprintf(told.name, sizeof told.name, "%s", model->name);
    snprintf(told.isa, sizeof told.isa, "%s", kn_plan_isa(worker->classifier.plan));
    snprintf(told.precision, sizeof told.precision, "%s", model->precision);
    fcgi_precisions_list(&worker->classifier.others, model->precision, told.precisions);
    snprintf(told.ranges, sizeof told.ranges, "%s", model->ranges ? model->ranges : "");
    snprintf(told.blas_core, sizeof told.blas_core, "%s", kn_blas_core());
    fcgi_scoreboard_describe(board, &told);
    name_layers(board, &model->net);
    atomic_store(&board->classes, (uint32_t)model->net.classes);
    atomic_store(&board->features, (uint32_t)model->net.features);
    atomic_store(&board->crop_px, (uint32_t)model->recipe.crop);
    atomic_store(&board->max_images, (uint32_t)worker->config->max_images);
    atomic_store(&board->model_mapped_bytes, model->mapped_bytes);
    atomic_store(&board->model_private_bytes, kn_plan_bytes(worker->classifier.plan));
}

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* glibc asks for the machine's memory before it sorts its first large array, and older ones open
 * /proc/meminfo to know. */
static void warm_up_qsort(void)
{
    int large[1024] = {1};

    qsort(large, sizeof large / sizeof large[0], sizeof large[0], by_value);
}

/* Before a request is taken: it stays in the queue, for a worker whose weights are what they were.
 */
static void check_model(void *ctx)
{
    struct fcgi_worker *worker = ctx;

    if (!fcgi_intact_holds(&worker->intact))
        fcgi_intact_leave(&worker->intact, worker->board);
}

/* What would open a file or allocate at its first use does so now. */
static void warm_up(struct fcgi_worker *worker)
{
    fcgi_crash_watch(worker->board, &worker->classifier.model.net, worker->deaths);
    fcgi_crash_model(&worker->classifier.model, &worker->intact);
    warm_up_qsort();
    fcgi_wall_now_ms(&worker->wall);
    if (getrandom(&worker->id_seed, sizeof worker->id_seed, 0) < 0)
        worker->id_seed = fcgi_scoreboard_now_ns();
    fcgi_memory_open(&worker->memory);
    atomic_store(&worker->board->rss_bytes, fcgi_memory_rss(&worker->memory));
    atomic_store(&worker->board->pss_bytes,
                 fcgi_memory_pss(&worker->memory, fcgi_scoreboard_now_ns()));
}

int fcgi_worker_open(struct fcgi_worker *worker, const struct fcgi_config *config, int listen_fd,
                     char text[512])
{
    int code;

    memset(worker, 0, sizeof *worker);
    worker->config = config;
    worker->alone = config->board_fd < 0;
    worker->memory.statm_fd = worker->memory.rollup_fd = worker->intact.fd = -1;
    worker->params.pipe[0] = worker->params.pipe[1] = -1;
    code = fcgi_accept_open(&worker->accept, listen_fd, text);
    if (!code)
        code = open_board(worker, text);
    if (!code)
        code = open_deaths(worker, text);
    if (!code)
        code = open_crew(worker, text);
    if (!code)
        code = open_model(worker, text);
    if (!code)
        code = open_predictor(worker, text);
    if (code)
        return code;
    if (fcgi_params_open(&worker->params)) {
        snprintf(text, 512, "libfcgi could not be set up: %s", strerror(errno));
        return FCGI_EXIT_TRY_LATER;
    }
    describe(worker);
    warm_up(worker);
    worker->accept.before = check_model;
    worker->accept.ctx = worker;
    worker->estimated_ns = fcgi_scoreboard_now_ns();
    return 0;
}

void fcgi_worker_close(struct fcgi_worker *worker)
{
    fcgi_crash_unwatch();
    fcgi_memory_close(&worker->memory);
    fcgi_response_free(&worker->response);
    fcgi_input_close(&worker->input);
    fcgi_params_close(&worker->params);
    fcgi_buffer_free(&worker->predictor.scratch);
    wt_json_free(&worker->predictor.json);
    free(worker->predictor.top);
    fcgi_classifier_close(&worker->classifier);
    fcgi_intact_close(&worker->intact);
    fcgi_crew_unmap(worker->crew);
    fcgi_deaths_unmap(worker->deaths);
    fcgi_scoreboard_unmap(worker->board);
    fcgi_accept_close(&worker->accept);
}

/* ---- one request ---------------------------------------------------------------------------- */

/* Where libfcgi is in disorder, the next worker begins with one that is not. One that has no memory
 * left makes room for the next, too, if there is one: idle, it would take requests from those that
 * work, and answer none. */
static int attach(struct fcgi_worker *worker)
{
    const struct fcgi_params *params = &worker->params;

    if (!fcgi_params_read(&worker->params, worker->accept.head, worker->accept.head_n))
        return 0;
    fcgi_log(FCGI_LOG_ERROR, "params_failed", "reason=%s bytes=%zu room=%zu", params->why,
             worker->accept.head_n, params->room);
    worker->accept.leaves |= params->broken || (params->starved && !worker->alone);
    return -1;
}

static void detach(struct fcgi_worker *worker)
{
    fcgi_params_drop(&worker->params);
    close(worker->job.fd);
}

/* The supervisor sleeps while nobody works, and watches from here on. */
static void tell_busy(const struct fcgi_worker *worker)
{
    const uint64_t one = 1;

    if (worker->config->busy_fd >= 0 &&
        write(worker->config->busy_fd, &one, sizeof one) != sizeof one && errno != EAGAIN)
        fcgi_log(FCGI_LOG_WARN, "unwatched", "error=%s", strerror(errno));
}

static void parse(struct fcgi_worker *worker)
{
    struct fcgi_job *job = &worker->job;
    char own_id[40];

    int64_t wall_ms = fcgi_wall_now_ms(&worker->wall);
    int64_t since_ms = (int64_t)(fcgi_scoreboard_now_ns() - job->accepted_ns) / 1000000;
    snprintf(own_id, sizeof own_id, "%016llx%016llx", (unsigned long long)worker->id_seed,
             (unsigned long long)worker->served);
    struct fcgi_request_context context = {
        .wall_ms = wall_ms - since_ms,
        .accepted_ns = job->accepted_ns,
        .wall = worker->wall,
        .timeout_ms = worker->config->request_timeout_ms,
        .own_id = own_id,
    };
    fcgi_request_parse(&job->request, worker->params.fcgx.envp, &context, &job->err);
    fcgi_scoreboard_name(worker->board, job->request.id, job->request.nginx_id, job->request.method,
                         job->request.path);
    fcgi_log(FCGI_LOG_DEBUG, "dequeue", "request_id=%s nginx_id=%s queue_ms=%lld", job->request.id,
             job->request.nginx_id, (long long)job->request.age_ms);
    fcgi_faults_request(&job->request);
    fcgi_probes_request_start(job->request.id, job->request.nginx_id, job->request.path,
                              job->request.age_ms * 1000000);
    atomic_store(&worker->board->deadline_ns, job->request.deadline_ns);
    atomic_store(&worker->board->queue_us, (uint64_t)job->request.age_ms * 1000);
    job->stage_ns[FCGI_STAGE_QUEUE] = job->request.age_ms * 1000000;
    if (job->request.clock_stepped && !worker->step_was_logged) {
        worker->step_was_logged = 1;
        fcgi_log(
            FCGI_LOG_WARN, "clock_stepped", "request_id=%s nginx_id=%s reason=%s", job->request.id,
            job->request.nginx_id,
            "the clock was set, or the web server's is over 15 minutes away: what was passed on "
            "before counts as new");
    }
}

/* The body is read to its end whatever the parameters were; the first error is what counts. */
static void read_body(struct fcgi_worker *worker)
{
    struct fcgi_job *job = &worker->job;
    struct fcgi_err err = {.code = FCGI_E_OK};

    fcgi_follow_stage(worker, FCGI_STAGE_READ);
    fcgi_faults_at("read");
    fcgi_input_read(&worker->input, job->fd, worker->params.fcgx.requestId,
                    job->request.content_length, job->request.deadline_ns, &worker->board->ticks,
                    &err);
    if (job->err.code == FCGI_E_OK)
        job->err = err;
    atomic_store(&worker->board->bytes_in, worker->input.total);
    job->read_ns = fcgi_scoreboard_now_ns();
    job->stage_ns[FCGI_STAGE_READ] = (int64_t)(job->read_ns - job->accepted_ns);
    if (job->err.code == FCGI_E_OK && job->read_ns > job->request.deadline_ns)
        fcgi_fail(&job->err, FCGI_E_DEADLINE_EXCEEDED,
                  "the request's %lld ms were spent when its body had been read",
                  (long long)job->request.budget_ms);
}

/* A stage that was not reached has taken no time, and is not counted. */
static int64_t reached(int64_t ns)
{
    return ns > 0 ? ns : -1;
}

/* What the answer was computed in, and how anybody can check it. */
static void note_precision(struct fcgi_worker *worker)
{
    const struct fcgi_classifier *classifier = &worker->classifier;
    struct fcgi_job *job = &worker->job;
    size_t n = (size_t)job->n_images * (size_t)classifier->model.net.classes;
    struct wt_digest_logits digest;

    job->precision = fcgi_classifier_precision(classifier);
    if (!fcgi_classifier_is_exact(classifier))
        return;
    wt_digest_logits_begin(&digest);
    wt_digest_logits_add(&digest, classifier->logits, n);
    wt_digest_logits_hex(&digest, job->digest);
}

static void classify(struct fcgi_worker *worker, fcgi_dialect_fn *answer)
{
    struct fcgi_job *job = &worker->job;
    struct fcgi_err err = {.code = FCGI_E_OK};
    struct fcgi_call call = {
        .predictor = &worker->predictor,
        .request = &job->request,
        .body = worker->input.bytes,
        .body_n = worker->input.n,
        .response = &worker->response,
        .err = &err,
    };

    job->hangup = FCGI_CANCEL_HANGUP;
    fcgi_follow_stage(worker, FCGI_STAGE_DECODE);
    fcgi_faults_at("decode");
    fcgi_classifier_choose(&worker->classifier, NULL, 0, NULL);
    answer(&call);
    check_model(worker); /* and after it was computed from them */
    /* a run that was stopped knows that, but not why: follow.c left the reason */
    if (err.code && job->err.code == FCGI_E_OK)
        job->err = err;
    job->n_images = call.n_images;
    if (!job->n_images)
        return;
    job->stage_ns[FCGI_STAGE_DECODE] = reached(call.times.decode_ns);
    job->stage_ns[FCGI_STAGE_RESIZE] = reached(call.times.resize_ns);
    job->stage_ns[FCGI_STAGE_INFER] = reached(call.times.infer_ns);
    if (err.code == FCGI_E_OK)
        note_precision(worker);
}

static void answer_health(struct fcgi_worker *worker)
{
    struct fcgi_buffer *body = &worker->response.body;

    fcgi_buffer_text(body, "{\"success\":true,\"status\":\"healthy\",\"model\":");
    fcgi_json_string(body, worker->classifier.model.name);
    fcgi_buffer_format(body, ",\"version\":\"%s\",\"isa\":\"%s\",\"precision\":\"%s\"}\n",
                       fcgi_version, kn_plan_isa(worker->classifier.plan),
                       worker->config->precision);
}

static void refuse_method(struct fcgi_worker *worker, const char *allowed, const char *example)
{
    const struct fcgi_request *request = &worker->job.request;

    fcgi_response_header(&worker->response, "Allow", allowed);
    fcgi_fail(&worker->job.err, FCGI_E_METHOD_NOT_ALLOWED,
              "%.15s is not allowed at %.64s; expected %s, for example %s", request->method,
              request->path, allowed, example);
}

static int is_health(const char *path)
{
    return !strcmp(path, "/health") || !strcmp(path, "/health/live") ||
           !strcmp(path, "/health/ready") || !strcmp(path, "/health/startup");
}

static void route(struct fcgi_worker *worker)
{
    const struct fcgi_request *request = &worker->job.request;
    const struct fcgi_usage *usage = fcgi_usage_find(request->path);

    if (usage) {
        if (fcgi_usage_allows(usage, request->method))
            classify(worker, fcgi_dialect_find(request->path));
        else
            refuse_method(worker, usage->methods, usage->example);
    } else if (worker->alone && is_health(request->path)) {
        if (!strcmp(request->method, "GET") || !strcmp(request->method, "HEAD"))
            answer_health(worker);
        else
            refuse_method(worker, "GET, HEAD", "curl http://HOST/health");
    } else {
        fcgi_fail(&worker->job.err, FCGI_E_NOT_FOUND, "nothing is here; try POST /predict");
    }
}

/* An answer for which there is no memory gives way to one for which there always is. */
static int seal(struct fcgi_worker *worker)
{
    struct fcgi_response *response = &worker->response;
    struct fcgi_job *job = &worker->job;
    int id = worker->params.fcgx.requestId;

    if (!fcgi_response_seal(response, id))
        return 0;
    fcgi_fail(&job->err, FCGI_E_WORKER_FAILED, "no memory is left for the answer");
    fcgi_buffer_reset(&response->head);
    fcgi_response_error(response, &job->err, job->request.id);
    fcgi_report_headers(worker);
    return fcgi_response_seal(response, id);
}

/* Nothing is sent to a client that has gone. */
static int answer(struct fcgi_worker *worker)
{
    struct fcgi_job *job = &worker->job;
    struct fcgi_response *response = &worker->response;
    int sent = -1;

    fcgi_follow_stage(worker, FCGI_STAGE_WRITE);
    fcgi_faults_at("write");
    if (job->err.code != FCGI_E_CANCELLED) /* else it is known, and when */
        fcgi_follow_hung_up(worker, "before its answer was written");
    if (job->err.code)
        fcgi_response_error(response, &job->err, job->request.id);
    uint64_t now_ns = fcgi_scoreboard_now_ns();
    int64_t since_read_ns = (int64_t)(now_ns - job->read_ns);
    for (int i = FCGI_STAGE_DECODE; i < FCGI_STAGE_WRITE; i++)
        since_read_ns -= job->stage_ns[i] > 0 ? job->stage_ns[i] : 0;
    job->stage_ns[FCGI_STAGE_WRITE] = since_read_ns > 0 ? since_read_ns : 0;
    job->total_ns = (int64_t)(now_ns - job->accepted_ns) + job->request.age_ms * 1000000;
    fcgi_report_headers(worker);
    if (job->err.code == FCGI_E_CANCELLED) {
        fcgi_report_count(worker);
    } else if (!seal(worker)) {
        fcgi_report_count(worker);
        sent = fcgi_response_send(response, job->fd, worker->accept.timeout_ms);
    }
    return sent;
}

static void serve(struct fcgi_worker *worker, int fd, uint64_t accepted_ns)
{
    struct fcgi_job *job = &worker->job;

    memset(job, 0, sizeof *job);
    for (int i = 0; i < FCGI_N_STAGES; i++)
        job->stage_ns[i] = -1;
    job->fd = fd;
    job->accepted_ns = accepted_ns;
    job->hangup = FCGI_CANCEL_HANGUP_QUEUE;
    fcgi_response_reset(&worker->response);
    if (attach(worker)) {
        close(fd);
        return;
    }
    worker->served++;
    fcgi_scoreboard_begin(worker->board, accepted_ns);
    fcgi_crew_set(worker->crew, worker->config->slot, 1);
    tell_busy(worker);
    parse(worker);
    if (job->err.code == FCGI_E_OK)
        fcgi_admission_check(worker);
    read_body(worker);
    if (job->err.code == FCGI_E_OK && !fcgi_admission_check_body(worker))
        route(worker);
    int sent = answer(worker);
    fcgi_admission_absolve(worker);
    fcgi_report_log(worker, sent); /* the parameters live until detach() */
    detach(worker);
    fcgi_input_trim(&worker->input);
}

/* ---- the loop ------------------------------------------------------------------------------- */

static void publish_memory(struct fcgi_worker *worker)
{
    uint64_t pss = fcgi_memory_pss(&worker->memory, fcgi_scoreboard_now_ns());

    atomic_store(&worker->board->rss_bytes, fcgi_memory_rss(&worker->memory));
    if (pss)
        atomic_store(&worker->board->pss_bytes, pss);
}

void fcgi_worker_run(struct fcgi_worker *worker)
{
    uint64_t accepted_ns;
    int fd, leaves = 0;

    while (!leaves && (fd = fcgi_accept_next(&worker->accept, &accepted_ns)) >= 0) {
        serve(worker, fd, accepted_ns);
        publish_memory(worker);
        /* one that is the last to hold the queue stays for it, however large */
        leaves = fcgi_accept_must_leave(&worker->accept) ||
                 (!worker->accept.leaves_when_empty && fcgi_recycle_due(worker));
        fcgi_scoreboard_end(worker->board, leaves ? FCGI_WORKER_DRAINING : FCGI_WORKER_IDLE);
    }
}
