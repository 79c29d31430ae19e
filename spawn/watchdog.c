/* watchdog.c: progress, not wall clock. A busy worker's page says how far it has come; the kernel
 * says how much CPU time it was given. Long is not stuck: a request that ticks is left alone, one
 * that gets no CPU is waited for until its budget ends.
 *
 * The loop sleeps while nobody works: a worker that becomes busy adds 1 to an eventfd, which starts
 * the timer; the look that finds nobody busy stops it. */
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/cpus.h"
#include "fcgi/log.h"
#include "spawn/spawn.h"

#define MS_NS 1000000LL
enum {
    GRACE_MS = 5000,  /* a request's end is the worker's own business for so long */
    SLOW_MS = 30000,  /* the heartbeat that killed busy workers elsewhere */
    PERIOD_MS = 500,  /* between two looks, at most */
    LEAST_MS = 20,    /* and at least */
    LATE_MS = 1000,   /* the longest period of a CPU quota: we wait for it as the workers do */
    MOST_THREADS = 8, /* of a request, each burning CPU time */
};

enum fcgi_verdict spawn_watchdog_verdict(const struct spawn_sight *sight,
                                         const struct spawn_limits *limits)
{
    bool still = sight->idle_ns >= limits->stall_ns;
    bool denied = sight->cpu_ns < sight->idle_ns / 2;

    if (sight->cpu_ns >= limits->stall_ns)
        return FCGI_VERDICT_STUCK;
    if (sight->overdue_ns >= GRACE_MS * MS_NS && sight->idle_ns >= GRACE_MS * MS_NS)
        return FCGI_VERDICT_STUCK;
    if (still && (denied || sight->last == FCGI_VERDICT_STARVED))
        return FCGI_VERDICT_STARVED;
    return sight->age_ns >= limits->slow_ns ? FCGI_VERDICT_SLOW : FCGI_VERDICT_RUNNING;
}

struct spawn_limits spawn_watchdog_limits(const struct fcgi_config *config)
{
    int64_t slow_ms = spawn_min_ns(SLOW_MS, config->request_timeout_ms / 4);

    return (struct spawn_limits){.stall_ns = config->stall_timeout_ms * MS_NS,
                                 .slow_ns = slow_ms * MS_NS};
}

/* Four looks within the stall limit, however many threads burn it. */
static int64_t choose_period_ns(const struct fcgi_config *config)
{
    int threads = config->threads == FCGI_AUTO ? MOST_THREADS : config->threads;
    int64_t ms = spawn_min_ns(PERIOD_MS, config->stall_timeout_ms / (4 * threads));

    return (ms > LEAST_MS ? ms : LEAST_MS) * MS_NS;
}

int spawn_watchdog_open(struct spawn *s)
{
    struct spawn_watchdog *watchdog = &s->watchdog;

    watchdog->limits = spawn_watchdog_limits(&s->config);
    watchdog->period_ns = choose_period_ns(&s->config);
    watchdog->due_ns = INT64_MAX;
    watchdog->throttle_fd = fcgi_cpus_throttle_open("");
    watchdog->busy_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return watchdog->busy_fd < 0 ? -1 : 0;
}

void spawn_watchdog_wake(struct spawn *s)
{
    s->watchdog.seen_ns = spawn_now_ns();
    s->watchdog.due_ns = s->watchdog.seen_ns + s->watchdog.period_ns;
}

/* ---- one look ------------------------------------------------------------------------------- */

/* All threads, ended ones too; 0 when it cannot be told. We have not reaped it: the pid is its. */
static int64_t cpu_time_ns(pid_t pid)
{
    struct timespec used;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &used))
        return 0;
    return (int64_t)used.tv_sec * 1000 * MS_NS + used.tv_nsec;
}

/* passed_ns: since the last look. A machine that stood still is not held against the worker: it is
 * LATE_MS past the period at most. */
static void follow(struct spawn *s, struct spawn_worker *worker, int64_t cpu_ns, int64_t passed_ns)
{
    struct spawn_watch *watch = &worker->watch;
    uint64_t attempts = worker->page->attempts, ticks = worker->page->ticks;

    if (attempts != watch->attempts)
        watch->verdict = FCGI_VERDICT_RUNNING;
    if (attempts == watch->attempts && ticks == watch->ticks) {
        watch->idle_ns += passed_ns;
        return;
    }
    watch->attempts = attempts;
    watch->ticks = ticks;
    watch->idle_ns = 0;
    watch->tick_cpu_ns = cpu_ns;
    watch->tick_throttled_us = s->board->throttled_us;
}

static struct spawn_sight see(const struct spawn *s, const struct spawn_worker *worker,
                              int64_t cpu_ns, int64_t now_ns)
{
    int64_t accepted_ns = spawn_past_ns(worker->page->accepted_ns, now_ns);
    int64_t last_ns = accepted_ns + s->config.request_timeout_ms * MS_NS;
    uint64_t told_ns = worker->page->deadline_ns; /* 0: its parameters have not been read */
    int64_t deadline_ns = told_ns && told_ns < (uint64_t)last_ns ? (int64_t)told_ns : last_ns;

    return (struct spawn_sight){.age_ns = now_ns - accepted_ns,
                                .overdue_ns = now_ns - deadline_ns,
                                .idle_ns = worker->watch.idle_ns,
                                .cpu_ns = cpu_ns - worker->watch.tick_cpu_ns,
                                .last = worker->watch.verdict};
}

/* Of what a stuck worker has had too much. */
static const char *because(const struct spawn *s, enum fcgi_verdict verdict,
                           const struct spawn_sight *sight)
{
    if (verdict != FCGI_VERDICT_STUCK)
        return "";
    return sight->cpu_ns >= s->watchdog.limits.stall_ns ? "cpu" : "time";
}

static void report(const struct spawn *s, int slot, enum fcgi_verdict verdict,
                   const struct spawn_sight *sight)
{
    static const enum fcgi_log_level levels[] = {
        [FCGI_VERDICT_RUNNING] = FCGI_LOG_INFO,
        [FCGI_VERDICT_SLOW] = FCGI_LOG_WARN,
        [FCGI_VERDICT_STARVED] = FCGI_LOG_WARN,
        [FCGI_VERDICT_STUCK] = FCGI_LOG_ERROR,
    };
    const struct spawn_worker *worker = &s->workers[slot];
    const struct fcgi_board_worker *page = worker->page;
    struct fcgi_board_request request;
    char layer_name[FCGI_BOARD_LAYER_BYTES];
    uint64_t throttled_us = s->board->throttled_us - worker->watch.tick_throttled_us;

    if (!fcgi_scoreboard_request(page, &request))
        request = (struct fcgi_board_request){0};
    fcgi_scoreboard_layer(page, page->layer, layer_name);
    fcgi_log(
        levels[verdict], fcgi_scoreboard_verdict_name(verdict),
        "slot=%d gen=%d worker_pid=%d request_id=%s nginx_id=%s stage=%s layer=%d layer_name=%s "
        "because=%s cpu_ms=%lld wall_ms=%lld idle_ms=%lld throttled_ms=%llu bytes_in=%llu",
        slot, worker->generation, (int)worker->pid, request.request_id, request.nginx_id,
        fcgi_scoreboard_stage_name((enum fcgi_stage)page->stage), (int)page->layer, layer_name,
        because(s, verdict, sight), (long long)(sight->cpu_ns / MS_NS),
        (long long)(sight->age_ns / MS_NS), (long long)(sight->idle_ns / MS_NS),
        (unsigned long long)(throttled_us / 1000), (unsigned long long)page->bytes_in);
}

/* The death is told first: the web server tries again as soon as the worker is gone. */
static void judge(struct spawn *s, int slot, int64_t now_ns, int64_t passed_ns)
{
    struct spawn_worker *worker = &s->workers[slot];
    int64_t cpu_ns = cpu_time_ns(worker->pid);

    follow(s, worker, cpu_ns, passed_ns);
    struct spawn_sight sight = see(s, worker, cpu_ns, now_ns);
    enum fcgi_verdict verdict = spawn_watchdog_verdict(&sight, &s->watchdog.limits);
    if (verdict == worker->watch.verdict)
        return;
    worker->watch.verdict = verdict;
    atomic_fetch_add(&s->board->verdicts[verdict], 1);
    report(s, slot, verdict, &sight);
    if (verdict == FCGI_VERDICT_STUCK) {
        spawn_deaths_record(s, slot);
        spawn_workers_abort(s, slot, FCGI_END_STUCK);
    }
}

/* The eventfd is emptied before anybody is looked at: who becomes busy after that starts us. */
void spawn_watchdog_step(struct spawn *s, int64_t now_ns)
{
    struct spawn_watchdog *watchdog = &s->watchdog;
    uint64_t count;
    bool any = false;

    if (watchdog->due_ns > now_ns)
        return;
    int64_t throttled_us = fcgi_cpus_throttled_us(watchdog->throttle_fd);
    if (throttled_us >= 0)
        s->board->throttled_us = (uint64_t)throttled_us;
    ssize_t n = read(watchdog->busy_fd, &count, sizeof count); /* takes all that was added */
    (void)n;
    int64_t most_ns = watchdog->period_ns + LATE_MS * MS_NS;
    int64_t passed_ns = spawn_min_ns(now_ns - watchdog->seen_ns, most_ns);
    for (int slot = 0; slot < s->n_slots; slot++) {
        const struct spawn_worker *worker = &s->workers[slot];
        if (!worker->pid || worker->doomed || worker->page->state != FCGI_WORKER_BUSY)
            continue;
        judge(s, slot, now_ns, passed_ns);
        any = true;
    }
    watchdog->seen_ns = now_ns;
    watchdog->due_ns = any ? now_ns + watchdog->period_ns : INT64_MAX;
}
