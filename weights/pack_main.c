/* pack_main.c: resnet-pack, from weights as people have them to a model file. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fcgi/version.h"
#include "weights/pack.h"
#include "weights/random.h"
#include "weights/recipe.h"
#include "weights/report.h"
#include "weights/sources.h"

enum { EXIT_USAGE = 64, EXIT_LATER = 75, EXIT_REFUSED = 78 };

/* Any number does; this one is the day of the paper. */
enum { SELFTEST_SEED = 20151210 };

static const char usage[] =
    "usage: resnet-pack pack IN.safetensors|IN.pth -o OUT.rnm [options]\n"
    "       resnet-pack random [--seed N] [--width 1/8] [--depth 50] [--classes N] -o OUT.rnm\n"
    "       resnet-pack info [--json] FILE.rnm\n"
    "       resnet-pack verify FILE.rnm\n"
    "\n"
    "pack:   what weights do not say about pictures; known weights bring their own values\n"
    "  --resize N --crop N         pixels: shorter side, centre square (256, 224)\n"
    "  --squash                    both sides to --resize, the aspect ratio lost\n"
    "  --interpolation NAME        bilinear or bicubic\n"
    "  --mean R,G,B --std R,G,B    of pixels in 0..1\n"
    "  --activation NAME           softmax or sigmoid\n"
    "  --exif apply|ignore         the orientation that a photograph carries\n"
    "  --labels FILE               one class name a line\n"
    "  --precision fp32            what to pack; this build packs fp32 only\n"
    "random: weights drawn from a seed, for tests and for machines without real ones\n"
    "  --seed N --depth 18|34|50|101|152 --width P/Q (of ResNet's channels) --classes N\n"
    "\n"
    "  -o, --output FILE   -h, --help   -V, --version\n"
    "\n"
    "Exit status: 0 done, 64 wrong usage, 75 cannot be written now, 78 the file is refused.\n";

struct arguments {
    const char *command, *input, *output, *labels;
    int json;
    struct wt_random random;
    const char *recipe[16][2]; /* flag and value, in the order given */
    int n_recipe;
};

enum {
    OPT_RECIPE = 256,
    OPT_PRECISION,
    OPT_CALIBRATE,
    OPT_LABELS,
    OPT_SEED,
    OPT_WIDTH,
    OPT_DEPTH,
    OPT_CLASSES,
    OPT_JSON
};

#define COMMON_OPTIONS                                                                             \
    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'},                         \
    {                                                                                              \
        0                                                                                          \
    }

static const struct option pack_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"resize", required_argument, NULL, OPT_RECIPE},
    {"crop", required_argument, NULL, OPT_RECIPE},
    {"squash", no_argument, NULL, OPT_RECIPE},
    {"interpolation", required_argument, NULL, OPT_RECIPE},
    {"mean", required_argument, NULL, OPT_RECIPE},
    {"std", required_argument, NULL, OPT_RECIPE},
    {"activation", required_argument, NULL, OPT_RECIPE},
    {"exif", required_argument, NULL, OPT_RECIPE},
    {"labels", required_argument, NULL, OPT_LABELS},
    {"precision", required_argument, NULL, OPT_PRECISION},
    {"calibrate", required_argument, NULL, OPT_CALIBRATE},
    COMMON_OPTIONS,
};

static const struct option random_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"seed", required_argument, NULL, OPT_SEED},
    {"width", required_argument, NULL, OPT_WIDTH},
    {"depth", required_argument, NULL, OPT_DEPTH},
    {"classes", required_argument, NULL, OPT_CLASSES},
    COMMON_OPTIONS,
};

static const struct option info_options[] = {{"json", no_argument, NULL, OPT_JSON}, COMMON_OPTIONS};
static const struct option verify_options[] = {COMMON_OPTIONS};

/* ---- saying what is wrong ------------------------------------------------------------------ */

__attribute__((format(printf, 1, 2), noreturn)) static void usage_error(const char *format, ...)
{
    va_list args;

    fputs("resnet-pack: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("; see resnet-pack --help\n", stderr);
    exit(EXIT_USAGE);
}

static int report_error(const struct wt_err *err, int status)
{
    fprintf(stderr, "resnet-pack: %s\n", wt_err_sentence(err));
    return status;
}

/* Letters to add, drop or change to make b of a (Levenshtein); long words count as unlike. */
static size_t distance(const char *a, const char *b)
{
    enum { LONGEST = 32 };
    size_t row[LONGEST + 1], n = strlen(b);

    if (n > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; *a != '\0'; a++, i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = corner + (*a != b[j - 1]);
            corner = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[n];
}

__attribute__((noreturn)) static void unknown_option(const char *given,
                                                     const struct option *options)
{
    const char *nearest = "help";
    size_t best = 4; /* farther words are not what was meant */

    for (; options->name != NULL; options++) {
        size_t d = distance(given + strspn(given, "-"), options->name);
        if (d < best) {
            best = d;
            nearest = options->name;
        }
    }
    usage_error("%s: no such option here, or not so; did you mean --%s?", given, nearest);
}

/* ---- progress, and giving up --------------------------------------------------------------- */

static volatile sig_atomic_t signal_seen;

static void note_signal(int number)
{
    signal_seen = number;
}

/* So that Ctrl-C leaves no temporary file behind. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = note_signal};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file-size limit is an error of write(), not a death */
}

static int show_progress(void *ctx, const char *what, double share)
{
    (void)ctx;
    if (isatty(STDERR_FILENO)) {
        int done = (int)(share * 40);
        fprintf(stderr, "\r%-10s [%.*s%*s] %3d %%", what, done,
                "========================================", 40 - done, "", (int)(share * 100));
        if (share >= 1)
            fputs("\r\033[K", stderr);
    }
    return signal_seen;
}

static const struct wt_progress progress = {.report = show_progress};

/* ---- arguments ----------------------------------------------------------------------------- */

static long long number(const char *name, const char *value, long long least, long long most)
{
    char *end;

    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (end == value || *end != '\0' || errno != 0 || n < least || n > most)
        usage_error("--%s: expected a number from %lld to %lld, found \"%s\"", name, least, most,
                    value);
    return n;
}

/* "1/8" or "2", of ResNet's 64 channels */
static int width_channels(const char *value)
{
    enum { CHANNELS = 64 };
    int p, q = 1, used = 0;

    if ((sscanf(value, "%4d%n/%4d%n", &p, &used, &q, &used) < 1) || value[used] != '\0' || p < 1 ||
        q < 1 || p * CHANNELS % q != 0)
        usage_error("--width: expected a share of %d channels like 1/8, found \"%s\"", CHANNELS,
                    value);
    return p * CHANNELS / q;
}

static void check_precision(const char *value)
{
    char *list = strdup(value), *rest = list;

    for (char *one; rest != NULL && (one = strsep(&rest, ",")) != NULL;) {
        if (strcmp(one, "bf16") == 0 || strcmp(one, "int8") == 0)
            usage_error("--precision %s: this build packs fp32 only", one);
        if (strcmp(one, "fp32") != 0)
            usage_error("--precision: expected fp32, found \"%s\"", one);
    }
    free(list);
}

static void take_option(struct arguments *a, int option, const char *name)
{
    switch (option) {
    case 'o':
        a->output = optarg;
        break;
    case OPT_RECIPE:
        if (a->n_recipe == sizeof(a->recipe) / sizeof(a->recipe[0]))
            usage_error("--%s: too many options", name);
        a->recipe[a->n_recipe][0] = name;
        a->recipe[a->n_recipe++][1] = optarg;
        break;
    case OPT_PRECISION:
        check_precision(optarg);
        break;
    case OPT_CALIBRATE:
        usage_error("--calibrate is for int8, and this build packs fp32 only");
    case OPT_LABELS:
        a->labels = optarg;
        break;
    case OPT_SEED:
        a->random.seed = (uint64_t)number(name, optarg, 0, INT64_MAX);
        break;
    case OPT_WIDTH:
        a->random.width = width_channels(optarg);
        break;
    case OPT_DEPTH:
        a->random.depth = (int)number(name, optarg, 18, 152);
        break;
    case OPT_CLASSES:
        a->random.classes = (int)number(name, optarg, 1, 65536);
        break;
    case OPT_JSON:
        a->json = 1;
        break;
    }
}

static void print_version(void)
{
    printf("resnet-pack %s (commit %s), engines %s, OpenBLAS core %s\n", fcgi_version, fcgi_commit,
           kn_isa_names(), kn_blas_core());
}

static void parse(struct arguments *a, int argc, char **argv, const struct option *options)
{
    int option, index = 0;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":o:hV", options, &index)) != -1) {
        if (option == 'h' || option == 'V') {
            option == 'h' ? (void)fputs(usage, stdout) : print_version();
            exit(0);
        }
        if (option == ':')
            usage_error("%s: needs a value", argv[optind - 1]);
        if (option == '?')
            unknown_option(argv[optind - 1], options);
        take_option(a, option, options[index].name);
    }
    if (optind < argc)
        a->input = argv[optind++];
    if (optind < argc)
        usage_error("%s: one file too many", argv[optind]);
}

/* ---- commands ------------------------------------------------------------------------------ */

static int status_of(const struct wt_err *err)
{
    return err->code == WT_ENOMEM ? EXIT_LATER : EXIT_REFUSED;
}

/* Self-test, then the file. */
static int finish(const struct arguments *a, struct wt_pack *pack)
{
    struct wt_rnm_selftest *selftest;
    char name[64];
    struct wt_err err;

    catch_signals();
    wt_pack_name(name, pack->net, pack->synthetic);
    pack->name = name;
    int code = wt_selftest_compute(&selftest, pack->net, pack->weights, pack->recipe, SELFTEST_SEED,
                                   &progress, &err);
    if (code == WT_OK) {
        pack->selftest = selftest;
        code = wt_pack_write(pack, a->output, &progress, &err);
        free(selftest);
    }
    if (signal_seen != 0) {
        signal(signal_seen, SIG_DFL);
        raise(signal_seen);
    }
    if (code != WT_OK)
        return report_error(&err, EXIT_LATER);
    printf("%s: %s, %d classes\n", a->output, name, pack->net->classes);
    return 0;
}

/* The recipe: what is known of these weights, then what the options say. */
static int choose_recipe(struct wt_recipe *recipe, const struct arguments *a,
                         const struct wt_source *source)
{
    struct wt_known known;
    struct wt_err err;

    if (wt_sources_find(&known, source->sha256)) {
        *recipe = known.recipe;
        fprintf(stderr, "resnet-pack: %s is %s: resize %d, crop %d, %s\n", a->input, known.title,
                recipe->resize, recipe->crop, wt_recipe_interpolation(recipe->interpolation));
    } else {
        *recipe = wt_recipe_default;
        fprintf(stderr,
                "resnet-pack: %s is not among the weights known here: torchvision's V1 "
                "preprocessing is taken (resize %d, crop %d, %s) where no option says otherwise\n",
                a->input, recipe->resize, recipe->crop,
                wt_recipe_interpolation(recipe->interpolation));
    }
    for (int i = 0; i < a->n_recipe; i++)
        if (wt_recipe_set(recipe, a->recipe[i][0], a->recipe[i][1], &err) != WT_OK)
            return report_error(&err, EXIT_USAGE);
    if (wt_recipe_check(recipe, &err) != WT_OK)
        return report_error(&err, EXIT_USAGE);
    return 0;
}

static int pack_source(const struct arguments *a, const struct wt_source *source)
{
    struct wt_folded folded = {0};
    struct wt_labels labels = {0};
    struct wt_recipe recipe;
    struct wt_err err;

    int status = choose_recipe(&recipe, a, source);
    if (status != 0)
        return status;
    if (wt_fold_source(&folded, source, recipe.crop, &err) != WT_OK)
        return report_error(&err, status_of(&err));
    int code = a->labels != NULL ? wt_labels_read(&labels, a->labels, folded.net.classes, &err)
                                 : wt_labels_default(&labels, folded.net.classes, &err);
    if (code != WT_OK) {
        status = report_error(&err, status_of(&err));
    } else {
        struct wt_pack pack = {.net = &folded.net,
                               .weights = folded.weights,
                               .recipe = &recipe,
                               .labels = &labels,
                               .source_sha256 = source->sha256};
        status = finish(a, &pack);
    }
    wt_labels_free(&labels);
    wt_folded_free(&folded);
    return status;
}

static int is_same_file(const char *a, const char *b)
{
    struct stat sa, sb;

    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
           sa.st_ino == sb.st_ino;
}

static int command_pack(struct arguments *a)
{
    struct wt_source source;
    struct wt_err err;

    if (a->input == NULL || a->output == NULL)
        usage_error("pack needs weights and -o OUT.rnm");
    if (is_same_file(a->input, a->output))
        usage_error("%s: would be written over itself", a->input);
    if (wt_source_open(&source, a->input, &err) != WT_OK)
        return report_error(&err, status_of(&err));
    int status = pack_source(a, &source);
    wt_source_close(&source);
    return status;
}

static int command_random(struct arguments *a)
{
    struct wt_recipe recipe = wt_recipe_default;
    struct wt_folded folded = {0};
    struct wt_labels labels = {0};
    struct wt_err err;

    if (a->input != NULL || a->output == NULL)
        usage_error("random needs -o OUT.rnm, and reads no file");
    if (wt_random_make(&folded, &a->random, recipe.crop, &err) != WT_OK)
        return report_error(&err, err.code == WT_ENOMEM ? EXIT_LATER : EXIT_USAGE);
    int status = EXIT_LATER;
    if (wt_labels_synthetic(&labels, folded.net.classes, &err) != WT_OK) {
        report_error(&err, EXIT_LATER);
    } else {
        struct wt_pack pack = {.net = &folded.net,
                               .weights = folded.weights,
                               .recipe = &recipe,
                               .labels = &labels,
                               .synthetic = 1};
        status = finish(a, &pack);
    }
    wt_labels_free(&labels);
    wt_folded_free(&folded);
    return status;
}

static int command_info(struct arguments *a)
{
    struct wt_view view;
    struct wt_err err;

    if (a->input == NULL)
        usage_error("info needs a model file");
    if (wt_view_open(&view, a->input, &err) != WT_OK)
        return report_error(&err, status_of(&err));
    a->json ? wt_report_json(&view, stdout) : wt_report_text(&view, stdout);
    wt_view_close(&view);
    return 0;
}

static int command_verify(struct arguments *a)
{
    struct wt_err err;

    if (a->input == NULL)
        usage_error("verify needs a model file");
    if (wt_report_verify(a->input, stdout, &progress, &err) != WT_OK)
        return report_error(&err, status_of(&err));
    return 0;
}

struct command {
    const char *name;
    const struct option *options;
    int (*run)(struct arguments *a);
};

static const struct command commands[] = {
    {"pack", pack_options, command_pack},
    {"random", random_options, command_random},
    {"info", info_options, command_info},
    {"verify", verify_options, command_verify},
};

int main(int argc, char **argv)
{
    struct arguments a = {.random = {.seed = 1, .depth = 50, .width = 64, .classes = 1000}};
    const char *nearest = NULL;

    if (argc < 2)
        usage_error("expected pack, random, info or verify");
    if (argv[1][0] == '-') {
        parse(&a, argc, argv, verify_options);
        usage_error("%s: expected pack, random, info or verify first", argv[1]);
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            parse(&a, argc - 1, argv + 1, commands[i].options);
            int status = commands[i].run(&a);
            return fflush(stdout) == 0 ? status : EXIT_LATER;
        }
        if (distance(argv[1], commands[i].name) < 3)
            nearest = commands[i].name;
    }
    usage_error("%s: no such command; did you mean %s?", argv[1],
                nearest != NULL ? nearest : "pack, random, info or verify");
}
