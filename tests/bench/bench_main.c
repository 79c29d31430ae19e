/* bench_main.c: resnet-bench, how long a forward pass takes and where the time goes. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fcgi/version.h"
#include "tests/bench/int8.h"
#include "tests/bench/nets.h"
#include "tests/bench/peak.h"
#include "tests/bench/report.h"
#include "weights/weights.h"

enum { EXIT_USAGE = 64, EXIT_REFUSED = 78 };
enum { SIDE = 224, MIN_RUNS = 5, MAX_RUNS = 5000, MAX_BATCH = 256 };

struct settings {
    const char *model; /* NULL: random weights */
    const char *isa, *precision;
    int threads, batch, layers, json;
    double seconds;
};

/* What is measured: weights of a file or random ones, and a plan for them. */
struct subject {
    struct kn_net net;
    struct wt_model model;
    struct t_params params;
    int from_file;
    struct kn_plan *plan;
    float *x, *logits;
};

/* One pass's times, taken in the callback. */
struct watch {
    int threads, n_layers;
    int layer;    /* the one in hand */
    double at_ms; /* when it began */
    double layer_ms[KN_MAX_LAYERS];
};

static const char usage[] =
    "usage: resnet-bench [options]\n"
    "\n"
    "Measures forward passes of a network, on random images.\n"
    "\n"
    "  -m, --model FILE      packed model (default: a ResNet-50 with random weights)\n"
    "      --precision P     fp32, bf16 or int8\n"
    "      --isa I           %s (default: the first)\n"
    "      --threads T       1..%d that a pass may use (1)\n"
    "      --batch B         images a pass, 1..%d (1)\n"
    "      --seconds S       how long to measure (3)\n"
    "      --layers          one row a layer: shape, algorithm, time, share of the peak\n"
    "      --json            the same for programs\n"
    "  -h, --help   -V, --version\n"
    "\n"
    "RESNET_MODEL, RESNET_ISA, RESNET_PRECISION and RESNET_THREADS stand for these options.\n"
    "Exit status: 0 measured, 64 wrong usage, 78 the model is refused.\n";

enum { OPT_PRECISION = 256, OPT_ISA, OPT_THREADS, OPT_BATCH, OPT_SECONDS, OPT_LAYERS, OPT_JSON };

static const struct option options[] = {
    {"model", required_argument, NULL, 'm'},
    {"precision", required_argument, NULL, OPT_PRECISION},
    {"isa", required_argument, NULL, OPT_ISA},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"batch", required_argument, NULL, OPT_BATCH},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"layers", no_argument, NULL, OPT_LAYERS},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

__attribute__((format(printf, 2, 3), noreturn)) static void quit(int status, const char *format,
                                                                 ...)
{
    va_list args;
    fputs("resnet-bench: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(status);
}

static double number(const char *name, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= least && value <= most))
        quit(EXIT_USAGE, "%s: expected a number from %g to %g, found \"%s\"", name, least, most,
             text);
    return value;
}

static int whole(const char *name, const char *text, int most)
{
    double value = number(name, text, 1, most);
    if (value != (int)value)
        quit(EXIT_USAGE, "%s: expected a whole number, found \"%s\"", name, text);
    return (int)value;
}

__attribute__((noreturn)) static void unknown_option(const char *given)
{
    char list[256] = "";
    size_t used = 0;
    for (const struct option *o = options; o->name != NULL; o++)
        used += (size_t)snprintf(list + used, sizeof list - used, " --%s", o->name);
    quit(EXIT_USAGE, "%s: unknown, or without its value; the options are%s", given, list);
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static void show_version(void)
{
    printf("resnet-bench %s (%s)\nisa: %s\nOpenBLAS: %s\n", fcgi_version, fcgi_commit,
           kn_isa_names(), kn_blas_core());
    exit(0);
}

static struct settings read_settings(int argc, char **argv)
{
    const char *threads = variable("RESNET_THREADS");
    struct settings s = {.threads = 1, .batch = 1, .seconds = 3};
    s.model = variable("RESNET_MODEL");
    s.isa = variable("RESNET_ISA");
    s.precision = variable("RESNET_PRECISION");
    if (threads != NULL && strcmp(threads, "auto") != 0)
        s.threads = whole("RESNET_THREADS", threads, KN_MAX_THREADS);

    opterr = 0;
    for (;;) {
        const char *given = argv[optind];
        switch (getopt_long(argc, argv, "m:hV", options, NULL)) {
        case -1:
            if (optind < argc)
                quit(EXIT_USAGE, "%s: expected options only; the model follows -m", argv[optind]);
            return s;
        case 'm':
            s.model = optarg;
            break;
        case OPT_PRECISION:
            s.precision = optarg;
            break;
        case OPT_ISA:
            s.isa = optarg;
            break;
        case OPT_THREADS:
            s.threads = whole("--threads", optarg, KN_MAX_THREADS);
            break;
        case OPT_BATCH:
            s.batch = whole("--batch", optarg, MAX_BATCH);
            break;
        case OPT_SECONDS:
            s.seconds = number("--seconds", optarg, 0, 3600);
            break;
        case OPT_LAYERS:
            s.layers = 1;
            break;
        case OPT_JSON:
            s.json = 1;
            break;
        case 'h':
            printf(usage, kn_isa_names(), KN_MAX_THREADS, MAX_BATCH);
            exit(0);
        case 'V':
            show_version();
            break;
        default:
            unknown_option(given);
        }
    }
}

/* Random parameters, brought into the layout that the engine reads. */
static int random_params(struct subject *subject, const char *layout)
{
    float step[KN_MAX_LAYERS + 1];
    struct t_params fp32;

    t_net(&subject->net, t_arch_of(50), SIDE);
    if (t_params_new(&fp32, &subject->net, 1) != 0)
        return -1;
    if (strcmp(layout, "s8.n32") == 0) {
        int rc = t_int8_params(&subject->params, &subject->net, &fp32, step);
        t_params_free(&fp32);
        return rc;
    }
    subject->params = fp32;
    return t_params_pack(&subject->params, &subject->net, layout);
}

static void open_subject(struct subject *subject, const struct settings *s)
{
    struct kn_options how = {.isa = s->isa, .precision = s->precision, .max_batch = s->batch};
    const struct kn_weight *weights = subject->params.weights;
    struct kn_err err;
    struct wt_err wt_err;

    how.max_threads = s->threads;
    const char *layout = kn_plan_layout(s->isa, s->precision, &err);
    if (layout == NULL)
        quit(EXIT_USAGE, "%s", err.text);
    subject->from_file = s->model != NULL;
    if (s->model != NULL) {
        if (wt_model_open(&subject->model, s->model, layout, &wt_err) != WT_OK)
            quit(EXIT_REFUSED, "%s", wt_err.text);
        subject->net = subject->model.net;
        weights = subject->model.weights;
    } else if (random_params(subject, layout) != 0) {
        quit(EXIT_REFUSED, "no memory for random weights");
    }
    if (kn_plan_new(&subject->plan, &subject->net, weights, &how, &err) != KN_OK)
        quit(EXIT_REFUSED, "%s", err.text);

    const struct kn_net *net = &subject->net;
    size_t image = (size_t)net->layer[0].ic * (size_t)net->height * (size_t)net->width;
    size_t batch = (size_t)s->batch;
    uint64_t seed = 2;
    subject->x = malloc(batch * image * sizeof *subject->x);
    subject->logits = malloc(batch * (size_t)net->classes * sizeof *subject->logits);
    if (subject->x == NULL || subject->logits == NULL)
        quit(EXIT_REFUSED, "no memory for %d images", s->batch);
    t_random(subject->x, batch * image, 2, &seed);
}

static void close_subject(struct subject *subject)
{
    kn_plan_free(subject->plan);
    if (subject->from_file)
        wt_model_close(&subject->model);
    else
        t_params_free(&subject->params);
    free(subject->x);
    free(subject->logits);
}

static double clock_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static double now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

static int tick(void *ctx, int layer)
{
    struct watch *w = ctx;
    double now = now_ms();
    w->layer_ms[w->layer] += now - w->at_ms;
    w->layer = layer;
    w->at_ms = now;
    return w->threads;
}

/* One pass; its total and each layer's time go to column `run` of samples: [n_layers + 1][MAX_RUNS]
 */
static void measure_once(struct subject *subject, const struct settings *s, double *samples,
                         int run)
{
    struct watch watch = {.threads = s->threads, .n_layers = subject->net.n_layers};
    double start = watch.at_ms = now_ms();
    kn_run(subject->plan, subject->x, s->batch, subject->logits, NULL, tick, &watch);
    samples[run] = now_ms() - start;
    for (int i = 0; i < watch.n_layers; i++)
        samples[(size_t)(i + 1) * MAX_RUNS + (size_t)run] = watch.layer_ms[i];
}

static void measure(struct subject *subject, const struct settings *s, struct t_result *result)
{
    size_t rows = (size_t)subject->net.n_layers + 1;
    double *samples = calloc(rows * MAX_RUNS, sizeof *samples);
    if (samples == NULL)
        quit(EXIT_REFUSED, "no memory for measurements");

    measure_once(subject, s, samples, 0); /* warms caches and page tables */
    int n = 0;
    double start = now_ms(), cpu_start = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
    for (double end = start + s->seconds * 1e3; n < MAX_RUNS && (n < MIN_RUNS || now_ms() < end);)
        measure_once(subject, s, samples, n++);
    double cpu_ms = clock_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
    result->cpu_per_wall = cpu_ms / (now_ms() - start);
    result->cpu_ms = cpu_ms / n;
    for (int i = 0; i < subject->net.n_layers; i++)
        result->layer_ms[i] = t_median(samples + (size_t)(i + 1) * MAX_RUNS, n);
    t_result_times(result, samples, n);
    free(samples);
}

int main(int argc, char **argv)
{
    static struct subject subject;
    struct settings s = read_settings(argc, argv);
    struct t_result result = {.threads = s.threads, .batch = s.batch};

    open_subject(&subject, &s);
    result.plan = subject.plan;
    result.precision = s.precision ? s.precision : "fp32";
    const char *isa = kn_plan_isa(subject.plan);
    double before = t_peak_gflops(isa, result.precision);
    measure(&subject, &s, &result);
    double after =
        t_peak_gflops(isa, result.precision); /* a shared machine is not always as fast */
    result.peak_gflops = (after > before ? after : before) * s.threads;
    if (s.layers) {
        result.l2_gbs = t_peak_read_gbs((size_t)kn_cpu()->l2_bytes / 4);
        result.l3_gbs = t_peak_read_gbs((size_t)kn_cpu()->l2_bytes * 3);
        result.memory_gbs = t_peak_read_gbs((size_t)256 << 20);
    }
    if (s.json)
        t_report_json(&result, s.layers);
    else
        t_report_text(&result, s.layers);
    close_subject(&subject);
    return 0;
}
