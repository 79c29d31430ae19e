/* metrics.c: /metrics. Counters are the pages' totals summed over all slots, which no worker's end
 * resets, the supervisor's, and our own of what was shed. Nothing is kept here between two answers.
 */
#include <string.h>

#include "fcgi/utf8.h"
#include "fcgi/version.h"
#include "spawn/answer.h"
#include "spawn/spawn.h"

typedef uint64_t total_fn(const struct fcgi_board_worker *page, int i);

/* ---- the text format ------------------------------------------------------------------------ */

void spawn_metrics_escape(struct fcgi_buffer *body, const char *text)
{
    size_t left = strlen(text);

    while (left) {
        size_t n = fcgi_utf8_length(text, left);
        if (!n)
            fcgi_buffer_text(body, "\xef\xbf\xbd");
        else if (*text == '\n')
            fcgi_buffer_text(body, "\\n");
        else if (*text == '"' || *text == '\\')
            fcgi_buffer_format(body, "\\%c", *text);
        else
            fcgi_buffer_add(body, text, n);
        text += n ? n : 1;
        left -= n ? n : 1;
    }
}

static void add_family(struct fcgi_buffer *body, const char *name, const char *type,
                       const char *help)
{
    fcgi_buffer_format(body, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_labelled(struct fcgi_buffer *body, const char *name, const char *label,
                         const char *text, uint64_t value)
{
    fcgi_buffer_format(body, "%s{%s=\"%s\"} %llu\n", name, label, text, (unsigned long long)value);
}

static void add_counter(struct fcgi_buffer *body, const char *name, const char *help,
                        uint64_t value)
{
    add_family(body, name, "counter", help);
    fcgi_buffer_format(body, "%s %llu\n", name, (unsigned long long)value);
}

static void add_gauge(struct fcgi_buffer *body, const char *name, const char *help, uint64_t value)
{
    add_family(body, name, "gauge", help);
    fcgi_buffer_format(body, "%s %llu\n", name, (unsigned long long)value);
}

/* Microseconds as seconds, exactly. */
static void add_seconds(struct fcgi_buffer *body, uint64_t us)
{
    fcgi_buffer_format(body, " %llu.%06llu\n", (unsigned long long)(us / 1000000),
                       (unsigned long long)(us % 1000000));
}

/* ---- sums over the slots -------------------------------------------------------------------- */

static uint64_t sum(const struct spawn_pages *pages, total_fn *total, int i)
{
    uint64_t all = 0;

    for (int slot = 0; slot < pages->n; slot++)
        all += total(pages->slots[slot], i);
    return all;
}

static uint64_t code_of(const struct fcgi_board_worker *page, int i)
{
    return page->codes[i];
}

static uint64_t attempts_of(const struct fcgi_board_worker *page, int i)
{
    (void)i;
    return page->attempts;
}

static uint64_t images_of(const struct fcgi_board_worker *page, int i)
{
    return page->images[i];
}

static uint64_t cancelled_of(const struct fcgi_board_worker *page, int i)
{
    return page->cancelled[i];
}

static uint64_t private_bytes_of(const struct fcgi_board_worker *page, int i)
{
    (void)i;
    return page->state == FCGI_WORKER_NONE || page->state == FCGI_WORKER_STARTING
               ? 0
               : page->model_private_bytes;
}

/* ---- requests ------------------------------------------------------------------------------- */

/* Answers by HTTP status: the workers', and the 503s that were given in their stead. */
static void add_requests(struct fcgi_buffer *body, const struct spawn_pages *pages)
{
    static const char name[] = "resnet_requests_total";
    uint64_t by_status[600] = {0};
    bool known[600] = {false};

    for (int i = 0; i < FCGI_N_CODES; i++) {
        int status = fcgi_error_status((enum fcgi_code)i);
        by_status[status] += sum(pages, code_of, i);
        known[status] = i != FCGI_E_CANCELLED; /* nobody was answered */
    }
    for (int i = 0; i < FCGI_N_SHEDS; i++)
        by_status[fcgi_error_status(fcgi_scoreboard_shed_code((enum fcgi_shed)i))] +=
            pages->control->shed[i];
    add_family(body, name, "counter", "Answers to inference requests by HTTP status.");
    for (int status = 0; status < 600; status++)
        if (known[status])
            fcgi_buffer_format(body, "%s{code=\"%d\"} %llu\n", name, status,
                               (unsigned long long)by_status[status]);
    add_counter(body, "resnet_attempts_total",
                "Requests that workers took from the queue, tries that died included.",
                sum(pages, attempts_of, 0));
}

static void add_images(struct fcgi_buffer *body, const struct spawn_pages *pages)
{
    static const char name[] = "resnet_images_total";

    add_family(body, name, "counter", "Images classified, in answers with 200, by precision.");
    for (int i = 0; i < FCGI_N_PRECISIONS; i++)
        add_labelled(body, name, "precision",
                     fcgi_scoreboard_precision_name((enum fcgi_precision)i),
                     sum(pages, images_of, i));
}

static void add_reasons(struct fcgi_buffer *body, const struct spawn_pages *pages)
{
    static const char shed[] = "resnet_shed_total", cancelled[] = "resnet_cancelled_total";

    add_family(body, shed, "counter", "Requests answered 503 without reaching a worker.");
    for (int i = 0; i < FCGI_N_SHEDS; i++)
        add_labelled(body, shed, "reason",
                     fcgi_error_code(fcgi_scoreboard_shed_code((enum fcgi_shed)i)),
                     pages->control->shed[i]);
    add_family(body, cancelled, "counter", "Requests that were dropped after they were dequeued.");
    for (int i = 0; i < FCGI_N_CANCELS; i++)
        add_labelled(body, cancelled, "reason", fcgi_scoreboard_cancel_name((enum fcgi_cancel)i),
                     sum(pages, cancelled_of, i));
}

/* stage FCGI_N_STAGES: the whole request. */
static const struct fcgi_histogram *histogram_of(const struct fcgi_board_worker *page, int stage)
{
    return stage < FCGI_N_STAGES ? &page->stages[stage] : &page->total;
}

static void add_histogram(struct fcgi_buffer *body, const struct spawn_pages *pages,
                          const char *name, int stage)
{
    const char *label =
        stage < FCGI_N_STAGES ? fcgi_scoreboard_stage_name((enum fcgi_stage)stage) : "total";
    uint64_t count = 0, sum_us = 0;

    for (int i = 0; i < FCGI_N_BUCKETS; i++) {
        for (int slot = 0; slot < pages->n; slot++)
            count += histogram_of(pages->slots[slot], stage)->count[i];
        fcgi_buffer_format(body, "%s_bucket{stage=\"%s\",le=\"", name, label);
        if (i < FCGI_N_BUCKETS - 1)
            fcgi_buffer_format(body, "%g", (double)fcgi_scoreboard_bounds_us[i] / 1e6);
        else
            fcgi_buffer_text(body, "+Inf");
        fcgi_buffer_format(body, "\"} %llu\n", (unsigned long long)count);
    }
    for (int slot = 0; slot < pages->n; slot++)
        sum_us += histogram_of(pages->slots[slot], stage)->sum_us;
    fcgi_buffer_format(body, "%s_sum{stage=\"%s\"}", name, label);
    add_seconds(body, sum_us);
    fcgi_buffer_format(body, "%s_count{stage=\"%s\"} %llu\n", name, label,
                       (unsigned long long)count);
}

static void add_durations(struct fcgi_buffer *body, const struct spawn_pages *pages)
{
    static const char name[] = "resnet_request_duration_seconds";

    add_family(body, name, "histogram",
               "How long each stage of a request took, and all (total) since nginx passed it on.");
    for (int stage = 0; stage <= FCGI_N_STAGES; stage++)
        add_histogram(body, pages, name, stage);
}

/* Where the kernel does not tell the depth there is no sample. */
static void add_queue(struct fcgi_buffer *body, const struct spawn_scene *scene)
{
    static const char age[] = "resnet_queue_age_seconds";
    const struct spawn_pages *pages = scene->pages;
    int depth = spawn_queue_ask(scene->queue_fd, pages->main->work_inode);

    if (depth < 0)
        return;
    add_gauge(body, "resnet_queue_depth", "Requests that wait for a worker.", (uint64_t)depth);
    add_family(body, age, "gauge", "How long the first of them has waited, about.");
    fcgi_buffer_text(body, age);
    add_seconds(body, depth ? spawn_pages_queue_age_us(pages, fcgi_scoreboard_now_ns()) : 0);
}

/* ---- workers -------------------------------------------------------------------------------- */

static void add_workers(struct fcgi_buffer *body, const struct spawn_pages *pages)
{
    static const char workers[] = "resnet_workers", exits[] = "resnet_worker_exits_total",
                      verdicts[] = "resnet_watchdog_verdicts_total";
    int n[FCGI_WORKER_DRAINING + 1] = {0};

    for (int slot = 0; slot < pages->n; slot++) {
        uint32_t state = pages->slots[slot]->state;
        n[state <= FCGI_WORKER_DRAINING ? state : FCGI_WORKER_NONE]++;
    }
    add_family(body, workers, "gauge", "Worker processes by state.");
    for (int i = FCGI_WORKER_STARTING; i <= FCGI_WORKER_DRAINING; i++)
        add_labelled(body, workers, "state", fcgi_scoreboard_state_name((enum fcgi_worker_state)i),
                     (uint64_t)n[i]);
    add_family(body, exits, "counter", "Workers that ended, by how.");
    for (int i = 0; i < FCGI_N_ENDS; i++)
        add_labelled(body, exits, "reason", fcgi_scoreboard_how_ended((enum fcgi_end)i),
                     pages->main->ends[i]);
    add_family(body, verdicts, "counter", "Times that the watchdog thought anew of a worker.");
    for (int i = 0; i < FCGI_N_VERDICTS; i++)
        add_labelled(body, verdicts, "verdict", fcgi_scoreboard_verdict_name((enum fcgi_verdict)i),
                     pages->main->verdicts[i]);
}

static void add_service(struct fcgi_buffer *body, const struct spawn_pages *pages)
{
    static const char reloads[] = "resnet_reloads_total",
                      throttled[] = "resnet_cpu_throttled_seconds_total";

    add_gauge(body, "resnet_generation", "Newest generation of workers that became ready.",
              pages->main->generation);
    add_family(body, reloads, "counter", "Reloads by result.");
    add_labelled(body, reloads, "result", "ok", pages->main->reloads_ok);
    add_labelled(body, reloads, "result", "failed", pages->main->reloads_failed);
    add_family(body, throttled, "counter", "Time that the cgroup's CPU quota took away.");
    fcgi_buffer_text(body, throttled);
    add_seconds(body, pages->main->throttled_us);
}

static void add_sandbox(struct fcgi_buffer *body, const struct spawn_pages *pages)
{
    add_gauge(body, "resnet_sandbox_enabled",
              "1: workers and resnet-control are in the sandbox. 0: not all of them.",
              spawn_pages_sandbox(pages) == FCGI_SANDBOX_ON);
    add_counter(body, "resnet_sandbox_violations_total",
                "Processes that were ended for a system call they may not make.",
                spawn_pages_violations(pages));
}

/* ---- model and build ------------------------------------------------------------------------ */

static const char *engine_of(const char *isa)
{
    return !strcmp(isa, "ref") || !strcmp(isa, "blas") || !*isa ? isa : "native";
}

/* Of the model only what a worker has said; before that the labels are empty. */
static void add_build(struct fcgi_buffer *body, const struct fcgi_board_model *model)
{
    static const char name[] = "resnet_build_info";
    const struct {
        const char *label, *value;
    } labels[] = {
        {"version", fcgi_version},
        {"isa", model->isa},
        {"engine", engine_of(model->isa)},
        {"precision", model->precision},
        {"model", model->name},
        {"openblas_core", model->blas_core},
    };

    add_family(body, name, "gauge", "Always 1; the labels say what runs.");
    fcgi_buffer_text(body, name);
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        fcgi_buffer_format(body, "%s%s=\"", i ? "," : "{", labels[i].label);
        spawn_metrics_escape(body, labels[i].value);
        fcgi_buffer_text(body, "\"");
    }
    fcgi_buffer_text(body, "} 1\n");
}

static void add_model(struct fcgi_buffer *body, const struct spawn_pages *pages)
{
    static const char name[] = "resnet_model_bytes";
    struct fcgi_board_model model;
    const struct fcgi_board_worker *page = spawn_pages_model(pages, &model);

    add_family(body, name, "gauge",
               "The model file that all workers map, and what they have of it for themselves.");
    add_labelled(body, name, "kind", "mapped", page ? page->model_mapped_bytes : 0);
    add_labelled(body, name, "kind", "private", sum(pages, private_bytes_of, 0));
    add_build(body, &model);
}

static void add_self(struct fcgi_buffer *body, const struct spawn_self *self)
{
    struct spawn_self_usage usage = spawn_self_usage(self);
    static const char cpu[] = "process_cpu_seconds_total", start[] = "process_start_time_seconds";

    add_family(body, cpu, "counter", "CPU time of resnet-control, as all process_*.");
    fcgi_buffer_format(body, "%s %.6f\n", cpu, usage.cpu_s);
    add_family(body, start, "gauge", "When it started, UNIX time.");
    fcgi_buffer_format(body, "%s %.3f\n", start, self->start_s);
    add_gauge(body, "process_resident_memory_bytes", "Its resident memory.", usage.rss_bytes);
    add_gauge(body, "process_virtual_memory_bytes", "Its address space.", usage.virtual_bytes);
    if (usage.open_fds >= 0)
        add_gauge(body, "process_open_fds", "Its open descriptors.", (uint64_t)usage.open_fds);
    if (usage.max_fds >= 0)
        add_gauge(body, "process_max_fds", "How many it may have.", (uint64_t)usage.max_fds);
}

void spawn_metrics(const struct spawn_scene *scene, const struct spawn_request *request,
                   struct spawn_answer *answer)
{
    (void)request;
    answer->status = 200;
    answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
    add_requests(answer->body, scene->pages);
    add_images(answer->body, scene->pages);
    add_reasons(answer->body, scene->pages);
    add_durations(answer->body, scene->pages);
    add_queue(answer->body, scene);
    add_workers(answer->body, scene->pages);
    add_service(answer->body, scene->pages);
    add_sandbox(answer->body, scene->pages);
    add_model(answer->body, scene->pages);
    add_self(answer->body, &scene->self);
}
