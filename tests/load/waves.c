/* waves.c: what is sent when, and what is counted. */
#include "tests/load/waves.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "tests/load/expect.h"
#include "tests/load/report.h"

enum { PROGRESS_STEPS = 10 };

struct waves {
    const struct t_options *options;
    struct t_load load;
    struct t_pictures pictures;
    struct t_body *body;         /* [pictures.n] */
    struct t_expected *expected; /* [pictures.n], or NULL */
    char run_id[12];             /* of all requests of this program's run */
    size_t sent;                 /* in all */
    FILE *progress;              /* NULL: quiet */

    /* the wave in hand; wave 0 warms up */
    int wave;
    size_t wave_sent, wave_ok, wave_failed, wanted; /* wanted: 0 where time decides */
    double rate;
    int64_t start_ns, end_ns, shown_ns, last_ns; /* last_ns: when the last answer came */
};

/* ---- progress -------------------------------------------------------------------------------- */

static void show_progress(struct waves *w)
{
    size_t done = w->wave_ok + w->wave_failed;
    size_t step = w->wanted > PROGRESS_STEPS ? w->wanted / PROGRESS_STEPS : 1;

    if (w->progress == NULL || w->wave == 0)
        return;
    if (w->wanted == 0) {
        if (w->last_ns - w->shown_ns < 1000000000)
            return;
        w->shown_ns = w->last_ns;
        fprintf(w->progress, "Progress: %.1f/%.1f s — %zu ok, %zu err\n",
                (double)(w->last_ns - w->start_ns) * 1e-9, (double)w->options->duration_ms * 1e-3,
                w->wave_ok, w->wave_failed);
    } else if (done % step == 0 || done == w->wanted) {
        fprintf(w->progress, "Progress: %zu/%zu (%zu%%) — %zu ok, %zu err\n", done, w->wanted,
                done * 100 / w->wanted, w->wave_ok, w->wave_failed);
    }
    fflush(w->progress);
}

/* ---- the source of requests ------------------------------------------------------------------ */

static int64_t due_ns(const struct waves *w)
{
    return w->start_ns + (int64_t)((double)w->wave_sent * 1e9 / w->rate);
}

static enum t_next next(void *ctx, int64_t now_ns, struct t_request *request, int64_t *wake_ns)
{
    struct waves *w = ctx;
    int64_t due = w->rate > 0 ? due_ns(w) : now_ns;

    if (w->wanted > 0 ? w->wave_sent == w->wanted : due >= w->end_ns)
        return T_NEXT_END;
    if (due > now_ns) {
        *wake_ns = due;
        return T_NEXT_WAIT;
    }
    request->target = w->load.target;
    request->due_ns = w->rate > 0 ? due : 0;
    request->body = &w->body[w->sent % w->pictures.n];
    request->number = w->sent++;
    w->wave_sent++;
    snprintf(request->id, sizeof request->id, "load-%s-%zu", w->run_id, w->sent);
    return T_NEXT_SEND;
}

/* What it counts as, a whole answer that is not the one expected included. */
static struct t_outcome judge(const struct waves *w, const struct t_request *request,
                              const struct t_answer *answer)
{
    struct t_outcome outcome = t_outcome_of(answer);

    if (outcome.ok && w->expected != NULL &&
        !t_expect_is(&w->expected[request->number % w->pictures.n], request, answer)) {
        outcome.ok = 0;
        snprintf(outcome.detail, sizeof outcome.detail, "another answer");
    }
    return outcome;
}

static void done(void *ctx, const struct t_request *request, const struct t_answer *answer)
{
    struct waves *w = ctx;
    struct t_failure failure = {.outcome = judge(w, request, answer)};
    int rc = 0;

    w->last_ns = answer->end_ns;
    failure.ms = (double)(answer->end_ns - answer->start_ns) * 1e-6;
    if (failure.outcome.ok)
        w->wave_ok++;
    else
        w->wave_failed++;
    if (w->wave > 0 && failure.outcome.ok) {
        rc = t_tally_ok(&w->load.tally, failure.ms);
        w->load.tally.ok_in_time += w->wanted > 0 || answer->end_ns <= w->end_ns;
    } else if (w->wave > 0) {
        memcpy(failure.id, answer->id, sizeof failure.id);
        failure.path = w->pictures.path[request->number % w->pictures.n];
        failure.wave = w->wave;
        failure.number = request->number - (w->sent - w->wave_sent) + 1;
        rc = t_tally_failed(&w->load.tally, &failure);
    }
    if (rc != 0)
        t_options_quit(T_EXIT_FAILED, "no memory to count with");
    show_progress(w);
}

/* ---- waves ----------------------------------------------------------------------------------- */

static int run_wave(struct waves *w, struct t_engine *engine, int wave)
{
    const struct t_options *o = w->options;
    const struct t_source source = {next, done, w};

    w->wave = wave;
    w->wave_sent = w->wave_ok = w->wave_failed = 0;
    w->wanted = wave == 0 ? (size_t)o->warm_up : o->duration_ms > 0 ? 0 : (size_t)o->requests;
    w->rate = wave == 0 ? 0 : o->rate;
    w->start_ns = w->shown_ns = w->last_ns = t_engine_now_ns();
    w->end_ns = w->start_ns + o->duration_ms * 1000000;
    if (w->progress != NULL && wave > 0)
        fprintf(w->progress, "Wave %d of %d\n", wave, o->waves);

    int rc = t_engine_run(engine, &source);
    int64_t end_ns = w->wanted == 0 && rc == 0 ? w->end_ns : t_engine_now_ns();
    if (wave > 0) {
        w->load.tally.seconds += (double)(end_ns - w->start_ns) * 1e-9;
        w->load.waves += rc == 0;
    }
    return rc;
}

static void pause_between(int64_t ms)
{
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&time, NULL); /* a signal ends it, and is looked at next */
}

static void run_waves(struct waves *w, struct t_engine *engine)
{
    const struct t_options *o = w->options;
    int rc = 0;

    if (o->warm_up > 0)
        rc = run_wave(w, engine, 0);
    w->load.warm_up = (int)w->sent;
    for (int wave = 1; wave <= o->waves && rc == 0; wave++) {
        if (wave > 1 && o->pause_ms > 0)
            pause_between(o->pause_ms);
        rc = run_wave(w, engine, wave);
    }
    w->load.interrupted = rc != 0;
    t_tally_sort(&w->load.tally);
}

static void read_pictures(struct waves *w)
{
    uint8_t *bytes;
    char text[256];
    size_t n;

    w->pictures = t_pictures_list(w->options);
    w->body = calloc(w->pictures.n, sizeof *w->body);
    if (w->body == NULL)
        t_options_quit(T_EXIT_FAILED, "no memory for %zu pictures", w->pictures.n);
    if (w->options->expect != NULL)
        w->expected = t_expect_read(w->options->expect, &w->pictures);
    for (size_t i = 0; i < w->pictures.n; i++) {
        const char *path = w->pictures.path[i], *slash = strrchr(path, '/');
        if (t_pictures_read(path, &bytes, &n, text) != 0)
            t_options_quit(T_EXIT_USAGE, "%s", text);
        if (t_pictures_body(w->options, slash != NULL ? slash + 1 : path, bytes, n, &w->body[i]))
            t_options_quit(T_EXIT_FAILED, "%s: no memory for it", path);
        free(bytes);
    }
}

static void free_waves(struct waves *w)
{
    for (size_t i = 0; i < w->pictures.n; i++)
        free(w->body[i].bytes);
    free(w->body);
    t_expect_free(w->expected, w->pictures.n);
    t_pictures_free(&w->pictures);
    t_tally_free(&w->load.tally);
}

int t_waves_run(const struct t_options *options, const volatile sig_atomic_t *stop)
{
    static struct waves w;
    struct t_target target;
    struct t_engine *engine;
    unsigned seed;
    char text[256];

    t_engine_target(&target, options->url[0]);
    if (options->probe && t_engine_probe(options, &target, text) != 0)
        t_options_quit(T_EXIT_TRY_LATER, "nothing listens at %s (%s)", target.shown, text);
    w.options = w.load.options = options;
    w.load.target = &target;
    w.progress = options->quiet ? NULL : options->json ? stderr : stdout;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        t_options_quit(T_EXIT_FAILED, "no random number for request ids");
    snprintf(w.run_id, sizeof w.run_id, "%08x", seed);
    read_pictures(&w);
    engine = t_engine_new(options, stop);
    if (engine == NULL)
        t_options_quit(T_EXIT_FAILED, "no memory for %d requests at once", options->concurrency);
    run_waves(&w, engine);
    if (options->json)
        t_report_json(&w.load);
    else
        t_report_text(&w.load);
    int failed = w.load.tally.failed > 0 || w.load.interrupted;
    t_engine_free(engine);
    free_waves(&w);
    t_engine_target_free(&target);
    return failed ? T_EXIT_FAILED : 0;
}
