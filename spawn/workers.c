/* workers.c: one slot, one worker: start, readiness, time-outs, end.
 *
 * Back-off counts only workers that ended by themselves before they were ready, or crashed soon
 * after: one that had served, or was killed from outside, is replaced at once; but not one that is
 * killed before readiness again and again. Even so a slot starts ten workers a second at most. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fcgi/log.h"
#include "spawn/spawn.h"

#define MS_NS 1000000LL
enum { BACKOFF_FIRST_MS = 100, BACKOFF_MAX_MS = 10000, LEAST_MS = 100 };
enum { FREE_KILLS = 3, MOST_KILLS = 5 }; /* before readiness: no back-off; 1.6 s of it */
enum { LAST_WORDS_MS = 1000 };

static const char *const end_names[] = {
#define X(name, text) [FCGI_END_##name] = text,
    FCGI_ENDS(X)
#undef X
};

int64_t spawn_workers_backoff_ms(int failures)
{
    if (failures <= 0)
        return 0;
    int64_t ms = failures > 10 ? BACKOFF_MAX_MS : (int64_t)BACKOFF_FIRST_MS << (failures - 1);
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

int spawn_workers_count(const struct spawn *s, enum spawn_worker_state state)
{
    int n = 0;

    for (int slot = 0; slot < s->n_slots; slot++)
        n += s->workers[slot].state == state;
    return n;
}

int64_t spawn_workers_due_ns(const struct spawn *s)
{
    int64_t due = INT64_MAX;

    for (int slot = 0; slot < s->n_slots; slot++)
        due = spawn_min_ns(due, s->workers[slot].due_ns);
    return due;
}

/* ---- start ---------------------------------------------------------------------------------- */

/* We write the page while nobody else does: before the worker runs and after it was reaped. What
 * the last one left in it must not keep the next from its work: its head, and the time that is
 * taken for an answer's, are ours to mend. */
static void open_page(const struct spawn *s, int slot, int64_t now_ns)
{
    struct spawn_worker *worker = &s->workers[slot];
    struct fcgi_board_worker *page = worker->page;

    fcgi_scoreboard_init_worker(page, slot);
    fcgi_scoreboard_start(page, (uint64_t)now_ns);
    page->generation = (uint32_t)worker->generation;
    page->crash = FCGI_CRASH_NONE;
    if (page->service_us / 1000 > (uint64_t)s->config.request_timeout_ms)
        page->service_us = 0;
    worker->start_ns = now_ns;
    worker->heard = false;
    worker->violations = page->violations;
}

static void close_page(const struct spawn_worker *worker)
{
    fcgi_scoreboard_end(worker->page, FCGI_WORKER_NONE);
    worker->page->pid = 0;
    worker->page->rss_bytes = 0;
    worker->page->pss_bytes = 0;
}

/* ARGUMENTS pairs of a flag and a number. */
enum { ARGUMENTS = 8 };
struct arguments {
    int n, n_fds;
    int fds[ARGUMENTS];
    char text[ARGUMENTS][12];
    char *argv[1 + 2 * ARGUMENTS + 1];
};

static void add_number(struct arguments *a, char *flag, int number)
{
    snprintf(a->text[a->n], sizeof a->text[a->n], "%d", number);
    a->argv[1 + 2 * a->n] = flag;
    a->argv[2 + 2 * a->n] = a->text[a->n];
    a->n++;
}

static void add_descriptor(struct arguments *a, char *flag, int fd)
{
    add_number(a, flag, fd);
    a->fds[a->n_fds++] = fd;
}

static pid_t exec_worker(const struct spawn *s, int slot, int ready_fd)
{
    const struct spawn_worker *worker = &s->workers[slot];
    const struct spawn_held *held =
        worker->generation == s->generation ? &s->held : &s->reload.held;
    struct arguments a = {.argv = {"resnet-fcgi"}};

    add_number(&a, "--slot", slot);
    add_number(&a, "--generation", worker->generation);
    add_descriptor(&a, "--ready-fd", ready_fd);
    add_descriptor(&a, "--board-fd", worker->page_fd);
    add_descriptor(&a, "--busy-fd", s->watchdog.busy_fd);
    add_descriptor(&a, "--deaths-fd", s->deaths_fd);
    add_descriptor(&a, "--crew-fd", s->crew_fd);
    if (held->model_fd >= 0)
        add_descriptor(&a, "--model-fd", held->model_fd);
    struct spawn_process process = {.program_fd = held->program_fd,
                                    .argv = a.argv,
                                    .stdin_fd = s->sockets.work_fd,
                                    .stderr_fd = s->log.write_fd,
                                    .keep_fds = a.fds,
                                    .n_keep = a.n_fds,
                                    .death_signal = SIGUSR2};
    return spawn_process_start(&process);
}

static void wait_and_retry(struct spawn_worker *worker)
{
    int64_t due_ns = spawn_now_ns() + spawn_workers_backoff_ms(worker->failures) * MS_NS;
    int64_t least_ns = worker->start_ns + LEAST_MS * MS_NS;

    worker->state = SPAWN_WAITING;
    worker->due_ns = due_ns > least_ns ? due_ns : least_ns;
}

static void vacate(struct spawn_worker *worker)
{
    worker->state = SPAWN_EMPTY;
    worker->due_ns = INT64_MAX;
    worker->failures = worker->kills = 0;
}

/* A reload does not wait for better times: the old generation serves on. */
static void no_process(struct spawn *s, int slot, int error)
{
    struct spawn_worker *worker = &s->workers[slot];
    char why[SPAWN_TEXT_BYTES];

    worker->pid = 0;
    close_page(worker);
    spawn_forks_failed(s, "resnet-fcgi", error, why);
    if (slot == s->reload.candidate) {
        vacate(worker);
        spawn_reload_failed(s, FCGI_END_FAILED, why);
        return;
    }
    worker->failures++;
    wait_and_retry(worker);
}

void spawn_workers_start(struct spawn *s, int slot, int generation)
{
    struct spawn_worker *worker = &s->workers[slot];
    int64_t now_ns = spawn_now_ns();
    int ends[2] = {-1, -1};

    worker->generation = generation;
    worker->doomed = false;
    worker->reason[0] = '\0';
    open_page(s, slot, now_ns);
    worker->pid = pipe2(ends, O_CLOEXEC | O_NONBLOCK) ? -1 : exec_worker(s, slot, ends[1]);
    int error = errno;
    if (ends[1] >= 0)
        close(ends[1]);
    if (worker->pid < 0) {
        if (ends[0] >= 0)
            close(ends[0]);
        no_process(s, slot, error);
        return;
    }
    spawn_forks_worked(s);
    worker->page->pid = (int32_t)worker->pid;
    worker->ready_fd = ends[0];
    worker->state = SPAWN_STARTING;
    worker->due_ns = now_ns + s->config.start_timeout_ms * MS_NS;
}

/* ---- readiness ------------------------------------------------------------------------------ */

static void stop_hearing(struct spawn_worker *worker)
{
    if (worker->ready_fd >= 0)
        close(worker->ready_fd);
    worker->ready_fd = -1;
}

/* One byte says ready; more is a sentence that says why not. */
void spawn_workers_hear(struct spawn *s, int slot)
{
    struct spawn_worker *worker = &s->workers[slot];
    ssize_t n = read(worker->ready_fd, worker->reason, sizeof worker->reason - 1);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    stop_hearing(worker);
    worker->reason[n > 1 ? n : 0] = '\0';
    if (n != 1 || worker->state != SPAWN_STARTING)
        return;
    worker->state = SPAWN_READY;
    worker->due_ns = INT64_MAX;
    worker->kills = 0;
    worker->ready_ns = spawn_now_ns();
    fcgi_log(FCGI_LOG_INFO, "worker_ready", "slot=%d gen=%d worker_pid=%d ms=%lld", slot,
             worker->generation, (int)worker->pid,
             (long long)(worker->ready_ns - worker->start_ns) / MS_NS);
    if (s->draining)
        spawn_drain_ready(s, slot);
    else
        spawn_reload_ready(s, slot);
    if (spawn_workers_count(s, SPAWN_READY) >= s->n_workers)
        spawn_board_complete(s);
}

/* ---- end ------------------------------------------------------------------------------------ */

static bool is_crash(int sig)
{
    return sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE || sig == SIGABRT ||
           sig == SIGSYS;
}

static enum fcgi_end judge(const struct spawn_worker *worker, int status)
{
    if (worker->doomed)
        return worker->end;
    if (WIFSIGNALED(status))
        return is_crash(WTERMSIG(status)) ? FCGI_END_CRASHED : FCGI_END_KILLED;
    if (WEXITSTATUS(status) == FCGI_EXIT_CONFIG)
        return FCGI_END_CONFIGURATION;
    if (WEXITSTATUS(status) == FCGI_EXIT_MODEL)
        return FCGI_END_MODEL;
    if (WEXITSTATUS(status) || worker->state == SPAWN_STARTING)
        return FCGI_END_FAILED;
    return worker->state == SPAWN_LEAVING ? FCGI_END_DRAINED : FCGI_END_RECYCLED;
}

static const char *how_kind(int status)
{
    return WIFSIGNALED(status) ? "signal" : "exit";
}

static int how_code(int status)
{
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void report(const struct spawn_worker *worker, int slot, enum fcgi_end end, int status)
{
    bool wanted = end == FCGI_END_DRAINED || end == FCGI_END_RECYCLED;

    fcgi_log(wanted ? FCGI_LOG_INFO : FCGI_LOG_ERROR, "worker_end",
             "slot=%d gen=%d worker_pid=%d end=%s how=%s:%d was_ready=%d", slot, worker->generation,
             (int)worker->pid, end_names[end], how_kind(status), how_code(status),
             worker->state != SPAWN_STARTING);
}

/* The request that ended with it: whoever asks what became of that one finds its last trace here.
 */
static void report_request(const struct spawn_worker *worker, int slot, enum fcgi_end end,
                           int status)
{
    const struct fcgi_board_worker *page = worker->page;
    struct fcgi_board_request request;
    char layer_name[FCGI_BOARD_LAYER_BYTES];
    int64_t now_ns = spawn_now_ns();
    int64_t age_ns = now_ns - spawn_past_ns(page->accepted_ns, now_ns);

    if (page->state != FCGI_WORKER_BUSY || !fcgi_scoreboard_request(page, &request))
        return;
    fcgi_scoreboard_layer(page, page->layer, layer_name);
    fcgi_log(
        FCGI_LOG_ERROR, "lost",
        "request_id=%s nginx_id=%s slot=%d gen=%d worker_pid=%d end=%s how=%s:%d stage=%s layer=%d "
        "layer_name=%s queue_ms=%llu ms=%lld",
        request.request_id, request.nginx_id, slot, worker->generation, (int)worker->pid,
        end_names[end], how_kind(status), how_code(status),
        fcgi_scoreboard_stage_name((enum fcgi_stage)page->stage), (int)page->layer, layer_name,
        (unsigned long long)page->queue_us / 1000, (long long)age_ns / MS_NS);
}

/* With its signals blocked a worker is ended by the kernel before it can name the system call that
 * the sandbox forbids it. Nobody else writes to its page any more. */
static void report_violation(struct spawn_worker *worker, int slot, int status)
{
    struct fcgi_board_request request;

    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS ||
        worker->page->violations != worker->violations)
        return;
    if (worker->page->state != FCGI_WORKER_BUSY || !fcgi_scoreboard_request(worker->page, &request))
        memset(&request, 0, sizeof request);
    atomic_fetch_add(&worker->page->violations, 1);
    fcgi_log(FCGI_LOG_ERROR, "sandbox_violation",
             "syscall=? number=-1 request_id=%s nginx_id=%s slot=%d gen=%d worker_pid=%d",
             request.request_id, request.nginx_id, slot, worker->generation, (int)worker->pid);
}

/* Sentence for people: why this worker never became ready. */
static void explain(const struct spawn_worker *worker, enum fcgi_end end, int status,
                    char text[SPAWN_TEXT_BYTES])
{
    if (worker->reason[0])
        snprintf(text, SPAWN_TEXT_BYTES, "%s", worker->reason);
    else if (end == FCGI_END_START)
        snprintf(text, SPAWN_TEXT_BYTES, "not ready within RESNET_START_TIMEOUT");
    else
        snprintf(text, SPAWN_TEXT_BYTES,
                 "ended with %s %d before it was ready; its own line in "
                 "the log says why",
                 WIFSIGNALED(status) ? "signal" : "exit code",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* In the first generation a configuration error is final: no retry can mend it. */
static void give_up(struct spawn *s, const char *why)
{
    fcgi_log(FCGI_LOG_ERROR, "start_failed", "reason=%s", why);
    s->exit_code = FCGI_EXIT_CONFIG;
    spawn_drain_fast(s);
}

/* Some of these are one person's doing. More in a row are the kernel's, out of memory; and what
 * fits at last must not wait for long. */
static int count_kills(struct spawn_worker *worker)
{
    int more = ++worker->kills - FREE_KILLS;

    return more < 0 ? 0 : more < MOST_KILLS ? more : MOST_KILLS;
}

static void count_failures(struct spawn_worker *worker, enum fcgi_end end)
{
    bool settled = spawn_now_ns() - worker->ready_ns >= SPAWN_SETTLE_MS * MS_NS;

    if (worker->state == SPAWN_STARTING && end == FCGI_END_KILLED)
        worker->failures = count_kills(worker);
    else if (worker->state == SPAWN_STARTING ||
             ((end == FCGI_END_CRASHED || end == FCGI_END_MODEL) && !settled))
        worker->failures++;
    else
        worker->failures = 0;
}

static void start_again(struct spawn *s, int slot)
{
    struct spawn_worker *worker = &s->workers[slot];

    atomic_fetch_add(&s->board->restarts[slot], 1);
    wait_and_retry(worker);
    if (worker->failures)
        fcgi_log(FCGI_LOG_WARN, "back_off", "slot=%d failures=%d ms=%lld", slot, worker->failures,
                 (long long)spawn_workers_backoff_ms(worker->failures));
}

static void ended(struct spawn *s, int slot, int status)
{
    struct spawn_worker *worker = &s->workers[slot];
    enum spawn_worker_state was = worker->state;
    enum fcgi_end end = judge(worker, status);
    bool wanted = end == FCGI_END_DRAINED || end == FCGI_END_RECYCLED;
    char why[SPAWN_TEXT_BYTES];

    report(worker, slot, end, status);
    report_violation(worker, slot, status);
    report_request(worker, slot, end, status);
    explain(worker, end, status, why);
    atomic_fetch_add(&s->board->ends[end], 1);
    count_failures(worker, end);
    if (end == FCGI_END_CRASHED)
        spawn_deaths_record(s, slot);
    if (!worker->heard && (end == FCGI_END_CRASHED || end == FCGI_END_STUCK))
        spawn_quarantine_record(s, slot);
    if (end == FCGI_END_MODEL)
        spawn_held_spoilt(s, worker->generation);
    close_page(worker);
    fcgi_crew_set(s->crew, slot, 0);
    worker->pid = 0;
    if (slot == s->reload.candidate) {
        vacate(worker);
        spawn_reload_failed(s, end, why);
    } else if (was == SPAWN_LEAVING || (s->draining && (wanted || !spawn_drain_needs_worker(s)))) {
        vacate(worker);
    } else if (was == SPAWN_STARTING && s->board->state == FCGI_SERVICE_STARTING &&
               end == FCGI_END_CONFIGURATION) {
        vacate(worker);
        spawn_board_reason(s, why);
        give_up(s, why);
    } else {
        if (was == SPAWN_STARTING) {
            spawn_board_missing(s, why);
            spawn_held_failed(s);
        }
        start_again(s, slot);
    }
}

bool spawn_workers_reaped(struct spawn *s, pid_t pid, int status)
{
    for (int slot = 0; slot < s->n_slots; slot++) {
        if (s->workers[slot].pid != pid)
            continue;
        if (s->workers[slot].ready_fd >= 0) /* its last words are in the pipe */
            spawn_workers_hear(s, slot);
        stop_hearing(&s->workers[slot]);
        ended(s, slot, status);
        return true;
    }
    return false;
}

void spawn_workers_kill(struct spawn *s, int slot, enum fcgi_end end)
{
    struct spawn_worker *worker = &s->workers[slot];

    worker->doomed = true;
    worker->end = end;
    worker->due_ns = INT64_MAX;
    if (worker->pid)
        kill(worker->pid, SIGKILL);
}

/* A stopped process does not see the first signal, but the second. */
void spawn_workers_abort(struct spawn *s, int slot, enum fcgi_end end)
{
    struct spawn_worker *worker = &s->workers[slot];

    worker->doomed = true;
    worker->end = end;
    worker->due_ns = spawn_now_ns() + LAST_WORDS_MS * MS_NS;
    kill(worker->pid, SIGABRT);
}

void spawn_workers_dismiss(struct spawn *s, int slot, int sig)
{
    struct spawn_worker *worker = &s->workers[slot];

    if (worker->state == SPAWN_WAITING) {
        vacate(worker);
    } else if (worker->state == SPAWN_STARTING) {
        worker->state = SPAWN_LEAVING;
        spawn_workers_kill(s, slot, FCGI_END_DRAINED);
    } else if (worker->state == SPAWN_READY) {
        worker->state = SPAWN_LEAVING;
        if (!worker->doomed)
            worker->due_ns = spawn_now_ns() + s->config.drain_timeout_ms * MS_NS;
        kill(worker->pid, sig);
    }
}

void spawn_workers_step(struct spawn *s, int64_t now_ns)
{
    for (int slot = 0; slot < s->n_slots; slot++) {
        struct spawn_worker *worker = &s->workers[slot];
        if (worker->due_ns > now_ns)
            continue;
        if (worker->doomed && worker->pid)
            spawn_workers_kill(s, slot, worker->end);
        else if (worker->state == SPAWN_WAITING)
            spawn_workers_start(s, slot, s->generation);
        else if (worker->state == SPAWN_STARTING)
            spawn_workers_kill(s, slot, FCGI_END_START);
        else if (worker->state == SPAWN_LEAVING)
            spawn_workers_kill(s, slot, FCGI_END_DRAIN);
    }
}
