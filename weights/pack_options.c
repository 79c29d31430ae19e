/* pack_options.c: resnet-pack's command line, and what was meant by one that is wrong. */
#include "weights/pack_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/version.h"
#include "weights/layouts.h"

enum { EXIT_USAGE = 64 };

static const char usage[] =
    "usage: resnet-pack pack IN.safetensors|IN.pth -o OUT.rnm [options]\n"
    "       resnet-pack random [--seed N] [--width 1/8] [--depth 50] [options] -o OUT.rnm\n"
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
    "  --precision LIST            what to compute in: fp32,bf16,int8 or some of them (fp32)\n"
    "  --calibrate DIR             photographs like those to come, some dozens: where int8 rounds\n"
    "random: weights drawn from a seed, for tests and for machines without real ones\n"
    "  --precision LIST            as above\n"
    "  --seed N --depth 18|34|50|101|152 --width P/Q (of ResNet's channels) --classes N\n"
    "  --resize N --crop N         as above\n"
    "\n"
    "  -o, --output FILE   -h, --help   -V, --version\n"
    "\n"
    "Exit status: 0 done, 64 wrong usage, 75 cannot be written now, 78 the file is refused.\n";

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
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

static const struct option random_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"seed", required_argument, NULL, OPT_SEED},
    {"width", required_argument, NULL, OPT_WIDTH},
    {"depth", required_argument, NULL, OPT_DEPTH},
    {"precision", required_argument, NULL, OPT_PRECISION},
    {"classes", required_argument, NULL, OPT_CLASSES},
    {"resize", required_argument, NULL, OPT_RECIPE},
    {"crop", required_argument, NULL, OPT_RECIPE},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

static const struct option info_options[] = {
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

static const struct option verify_options[] = {
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

/* ---- saying what is wrong ------------------------------------------------------------------ */

void wt_options_fail(const char *format, ...)
{
    va_list args;

    fputs("resnet-pack: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("; see resnet-pack --help\n", stderr);
    exit(EXIT_USAGE);
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
    const char *nearest = NULL;
    size_t best = 4; /* farther words are not what was meant */

    for (; options->name != NULL; options++) {
        size_t d = distance(given + strspn(given, "-"), options->name);
        if (d < best) {
            best = d;
            nearest = options->name;
        }
    }
    if (nearest == NULL)
        wt_options_fail("%s: no such option here", given);
    wt_options_fail("%s: no such option here, or not so; did you mean --%s?", given, nearest);
}

/* ---- arguments ----------------------------------------------------------------------------- */

static long long number(const char *name, const char *value, long long least, long long most)
{
    char *end;

    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (end == value || *end != '\0' || errno != 0 || n < least || n > most)
        wt_options_fail("--%s: expected a number from %lld to %lld, found \"%s\"", name, least,
                        most, value);
    return n;
}

/* "1/8" or "2", of ResNet's 64 channels */
static int width_channels(const char *value)
{
    enum { CHANNELS = 64 };
    int p, q = 1, used = 0;

    if ((sscanf(value, "%4d%n/%4d%n", &p, &used, &q, &used) < 1) || value[used] != '\0' || p < 1 ||
        q < 1 || p * CHANNELS % q != 0)
        wt_options_fail("--width: expected a share of %d channels like 1/8, found \"%s\"", CHANNELS,
                        value);
    return p * CHANNELS / q;
}

static unsigned precisions(const char *value)
{
    const char *unknown;
    int n;
    unsigned found = wt_layouts_parse(value, &unknown, &n);

    if (found == 0)
        wt_options_fail("--precision: expected some of fp32,bf16,int8, found \"%.*s\"", n, unknown);
    return found;
}

static void take_option(struct wt_arguments *a, int option, const char *name)
{
    switch (option) {
    case 'o':
        a->output = optarg;
        break;
    case OPT_RECIPE:
        if (a->n_recipe == sizeof(a->recipe) / sizeof(a->recipe[0]))
            wt_options_fail("--%s: too many options", name);
        a->recipe[a->n_recipe][0] = name;
        a->recipe[a->n_recipe++][1] = optarg;
        break;
    case OPT_PRECISION:
        a->precisions = precisions(optarg);
        break;
    case OPT_CALIBRATE:
        a->calibrate = optarg;
        break;
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

static void parse(struct wt_arguments *a, int argc, char **argv, const struct option *options)
{
    int option, index = 0;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":o:hV", options, &index)) != -1) {
        if (option == 'h' || option == 'V') {
            option == 'h' ? (void)fputs(usage, stdout) : print_version();
            exit(0);
        }
        if (option == ':')
            wt_options_fail("%s: needs a value", argv[optind - 1]);
        if (option == '?')
            unknown_option(argv[optind - 1], options);
        take_option(a, option, options[index].name);
    }
    if (optind < argc)
        a->input = argv[optind++];
    if (optind < argc)
        wt_options_fail("%s: one file too many", argv[optind]);
}

struct command {
    const char *name;
    const struct option *options;
};

static const struct command commands[] = {
    [WT_COMMAND_PACK] = {"pack", pack_options},
    [WT_COMMAND_RANDOM] = {"random", random_options},
    [WT_COMMAND_INFO] = {"info", info_options},
    [WT_COMMAND_VERIFY] = {"verify", verify_options},
};

void wt_options_parse(struct wt_arguments *a, int argc, char **argv)
{
    const char *nearest = "pack, random, info or verify";

    *a = (struct wt_arguments){.random = {.seed = 1, .depth = 50, .width = 64, .classes = 1000}};
    if (argc < 2)
        wt_options_fail("expected pack, random, info or verify");
    if (argv[1][0] == '-') {
        parse(a, argc, argv, verify_options);
        wt_options_fail("%s: expected pack, random, info or verify first", argv[1]);
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            a->command = (enum wt_command)i;
            parse(a, argc - 1, argv + 1, commands[i].options);
            return;
        }
        if (distance(argv[1], commands[i].name) < 3)
            nearest = commands[i].name;
    }
    wt_options_fail("%s: no such command; did you mean %s?", argv[1], nearest);
}
