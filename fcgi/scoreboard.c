/* scoreboard.c: pages shared between a worker, the supervisor and resnet-control.
 *
 * The numbers are relaxed atomics: each is right by itself, and nobody computes with two that must
 * belong together. Only the request's strings need more: `sequence` is odd while they change.
 */
#include "fcgi/scoreboard.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const uint64_t fcgi_scoreboard_bounds_us[FCGI_N_BUCKETS - 1] = FCGI_BUCKETS_US;

static const char *const stage_names[FCGI_N_STAGES] = {
#define X(name, text) text,
    FCGI_STAGES(X)
#undef X
};

static const char *const state_names[] = {"none", "starting", "idle", "busy", "draining"};

static const char *const precision_names[FCGI_N_PRECISIONS] = {
#define X(name, text) text,
    FCGI_PRECISIONS(X)
#undef X
};
static const char *const cancel_names[FCGI_N_CANCELS] = {
#define X(name, text) text,
    FCGI_CANCELS(X)
#undef X
};

static const char *const sandbox_names[FCGI_N_SANDBOXES] = {
#define X(name, text) text,
    FCGI_SANDBOXES(X)
#undef X
};

static const char *const verdict_names[FCGI_N_VERDICTS] = {
#define X(name, text) text,
    FCGI_VERDICTS(X)
#undef X
};

static const char *const end_names[FCGI_N_ENDS] = {
#define X(name, text) text,
    FCGI_ENDS(X)
#undef X
};

static const enum fcgi_code shed_codes[FCGI_N_SHEDS] = {
#define X(name) FCGI_E_##name,
    FCGI_SHEDS(X)
#undef X
};

static void set32(_Atomic uint32_t *at, uint32_t value)
{
    atomic_store_explicit(at, value, memory_order_relaxed);
}

static void set64(_Atomic uint64_t *at, uint64_t value)
{
    atomic_store_explicit(at, value, memory_order_relaxed);
}

/* One writer: a load and a store will do, and cost no locked instruction. */
static void add64(_Atomic uint64_t *at, uint64_t value)
{
    set64(at, atomic_load_explicit(at, memory_order_relaxed) + value);
}

uint64_t fcgi_scoreboard_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- making and mapping --------------------------------------------------------------------- */

int fcgi_scoreboard_create(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    if (fd >= 0 && ftruncate(fd, FCGI_BOARD_BYTES)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

void *fcgi_scoreboard_map(int fd, int writable)
{
    struct stat st;
    void *page;

    if (fstat(fd, &st))
        return NULL;
    if (st.st_size != FCGI_BOARD_BYTES) {
        errno = EINVAL;
        return NULL;
    }
    page = mmap(NULL, FCGI_BOARD_BYTES, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    return page == MAP_FAILED ? NULL : page;
}

void fcgi_scoreboard_unmap(void *page)
{
    if (page)
        munmap(page, FCGI_BOARD_BYTES);
}

void fcgi_scoreboard_init_worker(struct fcgi_board_worker *page, int slot)
{
    page->magic = FCGI_BOARD_MAGIC;
    page->version = FCGI_BOARD_VERSION;
    page->slot = (uint32_t)slot;
    atomic_store_explicit(&page->layer, -1, memory_order_relaxed);
}

/* Whoever sees neither change has read nothing that is written after them: the state is the first,
 * or a reader could take the new start_ns for the one that the old state goes with. */
void fcgi_scoreboard_start(struct fcgi_board_worker *page, uint64_t start_ns)
{
    page->state = FCGI_WORKER_STARTING;
    page->start_ns = start_ns;
}

void fcgi_scoreboard_init_main(struct fcgi_board_main *page, int n_slots)
{
    page->magic = FCGI_BOARD_MAGIC;
    page->version = FCGI_BOARD_VERSION;
    page->n_slots = (uint32_t)n_slots;
}

void fcgi_scoreboard_init_control(struct fcgi_board_control *page)
{
    page->magic = FCGI_BOARD_MAGIC;
    page->version = FCGI_BOARD_VERSION;
}

int fcgi_scoreboard_is_worker(const struct fcgi_board_worker *page)
{
    return page->magic == FCGI_BOARD_MAGIC && page->version == FCGI_BOARD_VERSION;
}

int fcgi_scoreboard_is_main(const struct fcgi_board_main *page)
{
    return page->magic == FCGI_BOARD_MAGIC && page->version == FCGI_BOARD_VERSION;
}

int fcgi_scoreboard_is_control(const struct fcgi_board_control *page)
{
    return page->magic == FCGI_BOARD_MAGIC && page->version == FCGI_BOARD_VERSION;
}

/* ---- the one writer ------------------------------------------------------------------------- */

/* A writer that died in between leaves an odd number; the next one starts from there. */
static void open_strings(struct fcgi_board_worker *page)
{
    uint32_t sequence = atomic_load_explicit(&page->sequence, memory_order_relaxed);

    set32(&page->sequence, sequence | 1);
}

static void close_strings(struct fcgi_board_worker *page)
{
    uint32_t sequence = atomic_load_explicit(&page->sequence, memory_order_relaxed);

    atomic_store_explicit(&page->sequence, sequence + 1, memory_order_release);
}

static void copy(char *to, size_t size, const char *from)
{
    memcpy(to, from, strnlen(from, size - 1));
}

void fcgi_scoreboard_begin(struct fcgi_board_worker *page, uint64_t accepted_ns)
{
    set64(&page->accepted_ns, accepted_ns);
    set64(&page->stage_ns, accepted_ns);
    set64(&page->bytes_in, 0);
    set32(&page->body_known, 0);
    set32(&page->stage, FCGI_STAGE_READ);
    add64(&page->attempts, 1);
    set32(&page->state, FCGI_WORKER_BUSY);
}

void fcgi_scoreboard_name(struct fcgi_board_worker *page, const char *request_id,
                          const char *nginx_id, const char *method, const char *path)
{
    struct fcgi_board_request request = {0};

    copy(request.request_id, sizeof request.request_id, request_id);
    copy(request.nginx_id, sizeof request.nginx_id, nginx_id);
    copy(request.method, sizeof request.method, method);
    copy(request.path, sizeof request.path, path);
    open_strings(page);
    fcgi_shared_put(page->request, &request, sizeof request);
    close_strings(page);
}

void fcgi_scoreboard_describe(struct fcgi_board_worker *page, const struct fcgi_board_model *model)
{
    fcgi_shared_put(page->model, model, sizeof *model);
}

void fcgi_scoreboard_name_layers(struct fcgi_board_worker *page, const char *names)
{
    fcgi_shared_put_text(page->layers, sizeof page->layers, names);
}

void fcgi_scoreboard_body(struct fcgi_board_worker *page, const uint8_t sha256[32])
{
    fcgi_shared_put(page->body_sha256, sha256, sizeof page->body_sha256);
    atomic_store_explicit(&page->body_known, 1, memory_order_release);
}

void fcgi_scoreboard_answered(struct fcgi_board_worker *page)
{
    struct fcgi_board_answered *answered = &page->answered[page->n_answered % FCGI_BOARD_ANSWERED];
    uint64_t first_bytes;

    fcgi_shared_get(&first_bytes, page->body_sha256, sizeof first_bytes);
    set64(&answered->first_bytes, first_bytes);
    set64(&answered->at_ns, fcgi_scoreboard_now_ns());
    set32(&page->n_answered, page->n_answered + 1);
}

void fcgi_scoreboard_stage(struct fcgi_board_worker *page, enum fcgi_stage stage)
{
    set32(&page->stage, stage);
    set64(&page->stage_ns, fcgi_scoreboard_now_ns());
    fcgi_scoreboard_tick(page, -1);
}

void fcgi_scoreboard_tick(struct fcgi_board_worker *page, int layer)
{
    atomic_store_explicit(&page->layer, layer, memory_order_relaxed);
    add64(&page->ticks, 1);
}

static void add_to_histogram(struct fcgi_histogram *histogram, int64_t ns)
{
    uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0;
    int i = 0;

    while (i < FCGI_N_BUCKETS - 1 && us > fcgi_scoreboard_bounds_us[i])
        i++;
    add64(&histogram->count[i], 1);
    add64(&histogram->sum_us, us);
}

void fcgi_scoreboard_count(struct fcgi_board_worker *page, enum fcgi_code code,
                           const int64_t *stage_ns, int64_t total_ns)
{
    add64(&page->codes[code], 1);
    for (int i = 0; i < FCGI_N_STAGES; i++)
        if (stage_ns[i] >= 0)
            add_to_histogram(&page->stages[i], stage_ns[i]);
    add_to_histogram(&page->total, total_ns);
    if (code == FCGI_E_OK)
        add64(&page->ok_us, total_ns > 0 ? (uint64_t)total_ns / 1000 : 0);
    if (code != FCGI_E_CANCELLED) /* nobody is answered */
        add64(&page->requests, 1);
}

void fcgi_scoreboard_images(struct fcgi_board_worker *page, enum fcgi_precision precision, int n)
{
    add64(&page->images[precision], (uint64_t)n);
}

void fcgi_scoreboard_cancel(struct fcgi_board_worker *page, enum fcgi_cancel reason)
{
    add64(&page->cancelled[reason], 1);
}

void fcgi_scoreboard_service(struct fcgi_board_worker *page, int64_t service_ns)
{
    uint64_t old = atomic_load_explicit(&page->service_us, memory_order_relaxed);
    uint64_t us = service_ns > 1000 ? (uint64_t)service_ns / 1000 : 1;

    set64(&page->service_us, old ? (old * 7 + us + 4) / 8 : us);
}

void fcgi_scoreboard_shed(struct fcgi_board_control *page, enum fcgi_shed reason)
{
    add64(&page->shed[reason], 1);
}

void fcgi_scoreboard_end(struct fcgi_board_worker *page, enum fcgi_worker_state state)
{
    fcgi_scoreboard_name(page, "", "", "", "");
    set64(&page->deadline_ns, 0);
    atomic_store_explicit(&page->layer, -1, memory_order_relaxed);
    set32(&page->state, state);
}

/* ---- readers -------------------------------------------------------------------------------- */

/* A writer that was taken over may have left no end. */
static void end(char *text, size_t size)
{
    text[size - 1] = 0;
}

int fcgi_scoreboard_request(const struct fcgi_board_worker *page,
                            struct fcgi_board_request *request)
{
    enum { TRIES = 100 };

    for (int i = 0; i < TRIES; i++) {
        uint32_t before = atomic_load_explicit(&page->sequence, memory_order_acquire);
        fcgi_shared_get(request, page->request, sizeof *request);
        if (!(before & 1) && before == atomic_load_explicit(&page->sequence, memory_order_relaxed))
            break;
        request->request_id[0] = 0;
    }
    end(request->request_id, sizeof request->request_id);
    end(request->nginx_id, sizeof request->nginx_id);
    end(request->method, sizeof request->method);
    end(request->path, sizeof request->path);
    return request->request_id[0] != 0;
}

int fcgi_scoreboard_model(const struct fcgi_board_worker *page, struct fcgi_board_model *model)
{
    uint64_t start_ns = page->start_ns;

    if (page->state == FCGI_WORKER_STARTING)
        return 0;
    fcgi_shared_get(model, page->model, sizeof *model);
    end(model->sha256, sizeof model->sha256);
    if (model->sha256[strspn(model->sha256, "0123456789abcdef")])
        model->sha256[0] = 0; /* it stands in a header */
    end(model->name, sizeof model->name);
    end(model->isa, sizeof model->isa);
    end(model->precision, sizeof model->precision);
    end(model->blas_core, sizeof model->blas_core);
    end(model->precisions, sizeof model->precisions);
    end(model->ranges, sizeof model->ranges);
    return model->sha256[0] && page->state != FCGI_WORKER_STARTING && page->start_ns == start_ns;
}

void fcgi_scoreboard_layer(const struct fcgi_board_worker *page, int layer,
                           char name[FCGI_BOARD_LAYER_BYTES])
{
    size_t n = 0;

    for (size_t i = 0; layer >= 0 && i < sizeof page->layers; i++) {
        char c = (char)atomic_load_explicit(&page->layers[i], memory_order_relaxed);
        if (!c)
            break;
        if (c == ' ')
            layer--;
        else if (layer == 0 && n < FCGI_BOARD_LAYER_BYTES - 1)
            name[n++] = c;
    }
    name[layer < 0 ? n : 0] = 0; /* one that has no end is none */
}

const char *fcgi_scoreboard_stage_name(enum fcgi_stage stage)
{
    return (unsigned)stage < FCGI_N_STAGES ? stage_names[stage] : "?";
}

const char *fcgi_scoreboard_state_name(enum fcgi_worker_state state)
{
    return (unsigned)state <= FCGI_WORKER_DRAINING ? state_names[state] : "?";
}

const char *fcgi_scoreboard_precision_name(enum fcgi_precision precision)
{
    return (unsigned)precision < FCGI_N_PRECISIONS ? precision_names[precision] : "?";
}

enum fcgi_precision fcgi_scoreboard_precision(const char *name)
{
    int i = 0;

    while (i < FCGI_N_PRECISIONS - 1 && strcmp(name, precision_names[i]))
        i++;
    return (enum fcgi_precision)i;
}

const char *fcgi_scoreboard_cancel_name(enum fcgi_cancel reason)
{
    return (unsigned)reason < FCGI_N_CANCELS ? cancel_names[reason] : "?";
}

const char *fcgi_scoreboard_verdict_name(enum fcgi_verdict verdict)
{
    return (unsigned)verdict < FCGI_N_VERDICTS ? verdict_names[verdict] : "?";
}

const char *fcgi_scoreboard_sandbox_name(enum fcgi_sandbox_state state)
{
    return (unsigned)state < FCGI_N_SANDBOXES ? sandbox_names[state] : "?";
}

const char *fcgi_scoreboard_how_ended(enum fcgi_end end)
{
    return (unsigned)end < FCGI_N_ENDS ? end_names[end] : "?";
}

enum fcgi_code fcgi_scoreboard_shed_code(enum fcgi_shed reason)
{
    return shed_codes[reason];
}
