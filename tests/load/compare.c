/* compare.c: both services are asked about every picture, in turns. */
#include "tests/load/compare.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Pictures once through, each to both; every second one to the new service first. */
struct pass {
    struct t_compare *compare;
    size_t n, next; /* requests: two a picture */
    int counts;
};

/* ---- one answer ------------------------------------------------------------------------------ */

static void take_answer(struct t_side *side, const struct t_answer *answer)
{
    side->outcome = t_outcome_of(answer);
    side->ms = (double)(answer->end_ns - answer->start_ns) * 1e-6;
    memcpy(side->id, answer->id, sizeof side->id);
    memcpy(side->precision, answer->precision, sizeof side->precision);
    if (side->outcome.ok && t_predictions_read(answer->body, answer->n_body, &side->said) != 0) {
        side->outcome.ok = 0;
        snprintf(side->outcome.detail, sizeof side->outcome.detail, "no predictions");
    }
}

enum t_verdict t_compare_verdict(const struct t_side side[T_SIDES])
{
    const struct t_predictions *old = &side[T_OLD].said, *new = &side[T_NEW].said;

    if (!side[T_OLD].outcome.ok || !side[T_NEW].outcome.ok)
        return T_VERDICT_FAILED;
    if (!t_predictions_same(&old->top[0], &new->top[0]))
        return T_VERDICT_OTHER;
    return t_predictions_difference(old, new) > T_COMPARE_TOLERANCE ? T_VERDICT_CLOSE
                                                                    : T_VERDICT_SAME;
}

static void name_request(struct t_compare *compare, struct t_request *request)
{
    snprintf(request->id, sizeof request->id, "compare-%s-%zu", compare->run_id, ++compare->sent);
}

/* ---- one picture by itself ------------------------------------------------------------------- */

struct question {
    struct t_compare *compare;
    const struct t_target *target;
    const struct t_body *body;
    struct t_side *side;
    int asked;
};

static enum t_next next_question(void *ctx, int64_t now_ns, struct t_request *request,
                                 int64_t *wake_ns)
{
    struct question *question = ctx;

    (void)now_ns;
    (void)wake_ns;
    if (question->asked)
        return T_NEXT_END;
    question->asked = 1;
    request->target = question->target;
    request->body = question->body;
    name_request(question->compare, request);
    return T_NEXT_SEND;
}

static void question_done(void *ctx, const struct t_request *request, const struct t_answer *answer)
{
    struct question *question = ctx;

    (void)request;
    take_answer(question->side, answer);
}

int t_compare_ask(struct t_compare *compare, const struct t_target *target, const char *name,
                  const uint8_t *bytes, size_t n, struct t_side *side)
{
    struct t_body body = {0};
    struct question question = {compare, target, &body, side, 0};
    const struct t_source source = {next_question, question_done, &question};

    *side = (struct t_side){0};
    if (t_pictures_body(compare->options, name, bytes, n, &body) != 0)
        t_options_quit(T_EXIT_FAILED, "%s: no memory for it", name);
    int rc = t_engine_run(compare->engine, &source);
    free(body.bytes);
    return rc;
}

/* ---- all pictures ---------------------------------------------------------------------------- */

static void open_case(const struct t_compare *compare, struct t_case *c)
{
    uint8_t *bytes;
    char text[256];
    size_t n;

    if (t_pictures_read(c->path, &bytes, &n, text) != 0)
        t_options_quit(T_EXIT_USAGE, "%s", text);
    c->orientation = t_pictures_orientation(bytes, n);
    if (t_pictures_body(compare->options, c->name, bytes, n, &c->body) != 0)
        t_options_quit(T_EXIT_FAILED, "%s: no memory for it", c->path);
    free(bytes);
    c->open = T_SIDES; /* the second request may be sent after the first has been answered */
}

static enum t_next next(void *ctx, int64_t now_ns, struct t_request *request, int64_t *wake_ns)
{
    struct pass *pass = ctx;
    size_t number = pass->next / 2;
    struct t_case *c = &pass->compare->cases[number];

    (void)now_ns;
    (void)wake_ns;
    if (pass->next == pass->n)
        return T_NEXT_END;
    if (pass->next % 2 == 0)
        open_case(pass->compare, c);
    request->number = number * 2 + (pass->next + number) % 2;
    request->target = &pass->compare->target[request->number % 2];
    request->body = &c->body;
    name_request(pass->compare, request);
    pass->next++;
    return T_NEXT_SEND;
}

static void count(struct t_compare *compare, const struct t_case *c, int which, size_t number)
{
    const struct t_side *side = &c->side[which];
    struct t_tally *tally = &compare->tally[which];
    struct t_failure failure = {side->outcome, "", c->path, 1, number + 1, side->ms};

    memcpy(failure.id, side->id, sizeof failure.id);
    if (side->outcome.ok ? t_tally_ok(tally, side->ms) : t_tally_failed(tally, &failure))
        t_options_quit(T_EXIT_FAILED, "no memory to count with");
}

static void show_progress(const struct t_compare *compare, size_t done, size_t all)
{
    size_t step = all > 10 ? all / 10 : 1;

    if (compare->progress == NULL || (done % step != 0 && done != all))
        return;
    fprintf(compare->progress,
            "Progress: %zu/%zu (%zu%%) — old %zu ok, %zu err; new %zu ok, %zu err\n", done, all,
            done * 100 / all, compare->tally[T_OLD].ok, compare->tally[T_OLD].failed,
            compare->tally[T_NEW].ok, compare->tally[T_NEW].failed);
    fflush(compare->progress);
}

static void done(void *ctx, const struct t_request *request, const struct t_answer *answer)
{
    struct pass *pass = ctx;
    struct t_compare *compare = pass->compare;
    size_t number = request->number / 2;
    struct t_case *c = &compare->cases[number];

    c->side[request->number % 2] = (struct t_side){0};
    take_answer(&c->side[request->number % 2], answer);
    if (pass->counts)
        count(compare, c, (int)(request->number % 2), number);
    if (--c->open > 0)
        return;
    free(c->body.bytes);
    c->body.bytes = NULL;
    if (pass->counts)
        show_progress(compare, ++compare->n, pass->n / 2);
}

static int run_pass(struct t_compare *compare, size_t n, int counts)
{
    struct pass pass = {compare, n * 2, 0, counts};
    const struct t_source source = {next, done, &pass};

    return t_engine_run(compare->engine, &source);
}

static void judge(struct t_compare *compare)
{
    for (size_t i = 0; i < compare->pictures.n; i++) {
        struct t_case *c = &compare->cases[i];
        c->verdict = t_compare_verdict(c->side);
        if (c->verdict != T_VERDICT_FAILED)
            c->difference = t_predictions_difference(&c->side[T_OLD].said, &c->side[T_NEW].said);
        if (c->verdict != T_VERDICT_FAILED &&
            (compare->largest == NULL || c->difference > compare->largest->difference))
            compare->largest = c;
        compare->verdicts[c->verdict]++;
    }
    for (int i = 0; i < T_SIDES; i++)
        t_tally_sort(&compare->tally[i]);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static void probe(const struct t_compare *compare)
{
    char text[256];

    for (int i = 0; i < T_SIDES && compare->options->probe; i++)
        if (t_engine_probe(compare->options, &compare->target[i], text) != 0)
            t_options_quit(T_EXIT_TRY_LATER, "nothing listens at %s (%s)", compare->target[i].shown,
                           text);
}

/* Before anything is sent: a page that cannot be written is noticed at once. */
static FILE *open_page(const struct t_options *options)
{
    FILE *page = options->html != NULL ? fopen(options->html, "we") : NULL;

    if (options->html != NULL && page == NULL)
        t_options_quit(T_EXIT_USAGE, "%s: cannot be written: %s", options->html, strerror(errno));
    return page;
}

static void prepare(struct t_compare *compare, const volatile sig_atomic_t *stop)
{
    const struct t_options *options = compare->options;
    unsigned seed;

    for (int i = 0; i < T_SIDES; i++)
        t_engine_target(&compare->target[i], options->url[i]);
    probe(compare);
    compare->progress = options->quiet ? NULL : options->json ? stderr : stdout;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        t_options_quit(T_EXIT_FAILED, "no random number for request ids");
    snprintf(compare->run_id, sizeof compare->run_id, "%08x", seed);
    compare->pictures = t_pictures_list(options);
    compare->cases = calloc(compare->pictures.n, sizeof *compare->cases);
    compare->engine = t_engine_new(options, stop);
    if (compare->cases == NULL || compare->engine == NULL)
        t_options_quit(T_EXIT_FAILED, "no memory for %zu pictures", compare->pictures.n);
    for (size_t i = 0; i < compare->pictures.n; i++) {
        struct t_case *c = &compare->cases[i];
        const char *slash = strrchr(compare->pictures.path[i], '/');
        c->path = compare->pictures.path[i];
        c->name = slash != NULL ? slash + 1 : c->path;
    }
}

static void clean_up(struct t_compare *compare)
{
    for (size_t i = 0; i < compare->pictures.n; i++)
        free(compare->cases[i].body.bytes);
    free(compare->cases);
    t_pictures_free(&compare->pictures);
    t_engine_free(compare->engine);
    for (int i = 0; i < T_SIDES; i++) {
        t_tally_free(&compare->tally[i]);
        t_engine_target_free(&compare->target[i]);
    }
}

int t_compare_run(const struct t_options *options, const volatile sig_atomic_t *stop)
{
    static struct t_compare compare;
    size_t warm_up;

    compare.options = options;
    prepare(&compare, stop);
    FILE *page = open_page(options);
    warm_up = compare.pictures.n < (size_t)options->warm_up ? compare.pictures.n
                                                            : (size_t)options->warm_up;
    int interrupted = (warm_up > 0 && run_pass(&compare, warm_up, 0) != 0) ||
                      run_pass(&compare, compare.pictures.n, 1) != 0;
    if (interrupted)
        t_options_quit(T_EXIT_FAILED, "interrupted after %zu of %zu pictures; nothing is compared",
                       compare.n, compare.pictures.n);
    judge(&compare);
    t_cause_find(&compare);
    if (options->json)
        t_compare_json(&compare);
    else
        t_compare_text(&compare);
    if (page != NULL && t_compare_html(&compare, page) != 0)
        t_options_quit(T_EXIT_FAILED, "%s: cannot be written: %s", options->html, strerror(errno));
    int differs = compare.verdicts[T_VERDICT_OTHER] + compare.verdicts[T_VERDICT_FAILED] > 0;
    clean_up(&compare);
    return differs ? T_EXIT_FAILED : 0;
}
