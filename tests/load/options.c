/* options.c: the command line of resnet-load. */
#include "tests/load/options.h"

#include <curl/curl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/config.h"
#include "fcgi/version.h"

enum { DEFAULT_CONCURRENCY = 4, DEFAULT_OPEN = 1024, DEFAULT_TIMEOUT_MS = 130000 };
enum { MAX_WAVES = 10000, MAX_REQUESTS = 100000000, MAX_GUESS = 3 };

static const char usage[] =
    "usage: resnet-load [options] URL IMAGE|DIRECTORY...\n"
    "       resnet-load [options] --compare OLD_URL NEW_URL DIRECTORY...\n"
    "\n"
    "Sends pictures to a classification service and tells what became of each request.\n"
    "A URL without a path means /predict.\n"
    "\n"
    "  -w, --waves N         how often (2)\n"
    "  -n, --requests N      in each wave (50)\n"
    "  -d, --duration TIME   a wave lasts so long instead\n"
    "  -c, --concurrency N   requests at once (4; with --rate at most, 1024; with --compare 1)\n"
    "  -r, --rate N          so many a second, whether or not answers come: an open loop, whose\n"
    "                        latencies count from when a request should have been sent\n"
    "      --pause TIME      between waves (0)\n"
    "      --warm-up N       requests before, which count for nothing (0)\n"
    "      --keep-alive      keep connections; without, each request has its own\n"
    "      --timeout TIME    for each request (130s)\n"
    "      --send raw|form|json   the picture as body, in a form's field, or base64 in JSON\n"
    "                        (raw; with --compare form)\n"
    "      --field NAME      the form's field (file) or JSON's member (image)\n"
    "  -H, --header LINE     one more header, \"Name: value\"; may be repeated\n"
    "      --expect DIR      DIR/PICTURE.json is what each answer to that picture has to be\n"
    "  -k, --insecure        do not verify certificates\n"
    "      --no-probe        do not look first whether anything listens\n"
    "      --compare         what would change if one moved from OLD_URL to NEW_URL\n"
    "      --html FILE       the comparison as a page too\n"
    "      --json            the report for programs; progress goes to stderr\n"
    "  -q, --quiet           no progress\n"
    "  -h, --help   -V, --version\n"
    "\n"
    "Times are 90s, 2m, 500ms or seconds. Exit status: 0 all went well (and all agreed),\n"
    "1 something failed or differs, 64 wrong usage, 75 nothing listens.\n";

enum {
    OPT_PAUSE = 256,
    OPT_WARM_UP,
    OPT_KEEP_ALIVE,
    OPT_TIMEOUT,
    OPT_SEND,
    OPT_FIELD,
    OPT_EXPECT,
    OPT_NO_PROBE,
    OPT_COMPARE,
    OPT_HTML,
    OPT_JSON
};

static const struct option options[] = {
    {"waves", required_argument, NULL, 'w'},
    {"requests", required_argument, NULL, 'n'},
    {"duration", required_argument, NULL, 'd'},
    {"concurrency", required_argument, NULL, 'c'},
    {"rate", required_argument, NULL, 'r'},
    {"pause", required_argument, NULL, OPT_PAUSE},
    {"warm-up", required_argument, NULL, OPT_WARM_UP},
    {"keep-alive", no_argument, NULL, OPT_KEEP_ALIVE},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"send", required_argument, NULL, OPT_SEND},
    {"field", required_argument, NULL, OPT_FIELD},
    {"expect", required_argument, NULL, OPT_EXPECT},
    {"header", required_argument, NULL, 'H'},
    {"insecure", no_argument, NULL, 'k'},
    {"no-probe", no_argument, NULL, OPT_NO_PROBE},
    {"compare", no_argument, NULL, OPT_COMPARE},
    {"html", required_argument, NULL, OPT_HTML},
    {"json", no_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

void t_options_quit(int status, const char *format, ...)
{
    va_list args;

    fputs("resnet-load: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(status);
}

/* ---- values ---------------------------------------------------------------------------------- */

static double number(const char *name, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= least && value <= most))
        t_options_quit(T_EXIT_USAGE, "%s: expected a number from %.10g to %.10g, found \"%s\"",
                       name, least, most, text);
    return value;
}

static int whole(const char *name, const char *text, int least, int most)
{
    double value = number(name, text, least, most);

    if (value != (int)value)
        t_options_quit(T_EXIT_USAGE, "%s: expected a whole number, found \"%s\"", name, text);
    return (int)value;
}

static int64_t duration(const char *name, const char *text, int64_t least_ms)
{
    int64_t ms;

    if (fcgi_config_duration(text, &ms) != 0 || ms < least_ms || ms > INT32_MAX)
        t_options_quit(T_EXIT_USAGE, "%s: expected a time like 90s, 2m or 500ms, found \"%s\"",
                       name, text);
    return ms;
}

static enum t_send send_as(const char *text)
{
    static const char *const names[] = {"raw", "form", "json"};

    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0)
            return (enum t_send)i;
    t_options_quit(T_EXIT_USAGE, "--send: expected raw, form or json, found \"%s\"", text);
}

static const char *header(const char *text)
{
    size_t name = strcspn(text, ":");

    if (name == 0 || text[name] != ':' || text[strcspn(text, "\r\n")] != '\0')
        t_options_quit(T_EXIT_USAGE, "--header: expected \"Name: value\", found \"%s\"", text);
    return text;
}

/* ---- the line -------------------------------------------------------------------------------- */

static void show_version(void)
{
    printf("resnet-load %s (%s)\n%s\n", fcgi_version, fcgi_commit, curl_version());
    exit(0);
}

__attribute__((noreturn)) static void unknown(const char *given)
{
    const char *nearest = NULL;
    size_t least = MAX_GUESS + 1;

    for (const struct option *o = options; o->name != NULL; o++) {
        if (optopt != 0 && optopt == o->val)
            t_options_quit(T_EXIT_USAGE, "--%s: expected %s", o->name,
                           o->has_arg == required_argument ? "a value after it" : "no value");
        size_t edits = fcgi_config_distance(given + strspn(given, "-"), o->name);
        if (edits < least) {
            least = edits;
            nearest = o->name;
        }
    }
    if (nearest != NULL)
        t_options_quit(T_EXIT_USAGE, "%s: no such option; --%s?", given, nearest);
    t_options_quit(T_EXIT_USAGE, "%s: no such option; see --help", given);
}

static void set_amount(struct t_options *o, int option)
{
    switch (option) {
    case 'w':
        o->waves = whole("--waves", optarg, 1, MAX_WAVES);
        break;
    case 'n':
        o->requests = whole("--requests", optarg, 1, MAX_REQUESTS);
        break;
    case 'd':
        o->duration_ms = duration("--duration", optarg, 1);
        break;
    case 'c':
        o->concurrency = whole("--concurrency", optarg, 1, T_MAX_CONCURRENCY);
        break;
    case 'r':
        o->rate = number("--rate", optarg, 1e-3, 1e6);
        break;
    case OPT_PAUSE:
        o->pause_ms = duration("--pause", optarg, 0);
        break;
    case OPT_WARM_UP:
        o->warm_up = whole("--warm-up", optarg, 0, MAX_REQUESTS);
        break;
    case OPT_TIMEOUT:
        o->timeout_ms = duration("--timeout", optarg, 1);
        break;
    default:
        break;
    }
}

static void set_manner(struct t_options *o, int option, int *send_given)
{
    switch (option) {
    case OPT_KEEP_ALIVE:
        o->keep_alive = 1;
        break;
    case OPT_SEND:
        o->send = send_as(optarg);
        *send_given = 1;
        break;
    case OPT_FIELD:
        o->field = optarg;
        break;
    case OPT_EXPECT:
        o->expect = optarg;
        break;
    case 'H':
        if (o->n_headers == T_MAX_HEADERS)
            t_options_quit(T_EXIT_USAGE, "--header: %d at most", T_MAX_HEADERS);
        o->header[o->n_headers++] = header(optarg);
        break;
    case 'k':
        o->insecure = 1;
        break;
    case OPT_NO_PROBE:
        o->probe = 0;
        break;
    case OPT_COMPARE:
        o->compare = 1;
        break;
    case OPT_HTML:
        o->html = optarg;
        break;
    case OPT_JSON:
        o->json = 1;
        break;
    case 'q':
        o->quiet = 1;
        break;
    default:
        break;
    }
}

/* What is not said, and what does not go together. */
static void complete(struct t_options *o, int send_given)
{
    if (o->concurrency == 0)
        o->concurrency = o->compare ? 1 : o->rate > 0 ? DEFAULT_OPEN : DEFAULT_CONCURRENCY;
    if (!send_given)
        o->send = o->compare ? T_SEND_FORM : T_SEND_RAW;
    if (o->field == NULL)
        o->field = o->send == T_SEND_JSON ? "image" : "file";
    if (o->field[strcspn(o->field, "\"\\\r\n")] != '\0')
        t_options_quit(T_EXIT_USAGE, "--field: expected a name without quotes, found \"%s\"",
                       o->field);
    if (o->html != NULL && !o->compare)
        t_options_quit(T_EXIT_USAGE, "--html: only a comparison (--compare) makes a page");
    if (o->expect != NULL && o->compare)
        t_options_quit(T_EXIT_USAGE, "--expect: a comparison (--compare) has nothing to expect");
    if (o->compare && (o->rate > 0 || o->duration_ms > 0))
        t_options_quit(T_EXIT_USAGE, "--compare sends each picture once: no --rate, no --duration");
}

struct t_options t_options_read(int argc, char **argv)
{
    struct t_options o = {.waves = 2, .requests = 50, .timeout_ms = DEFAULT_TIMEOUT_MS, .probe = 1};
    int send_given = 0, option;

    opterr = 0;
    for (;;) {
        const char *given = argv[optind];
        option = getopt_long(argc, argv, "w:n:d:c:r:H:kqhV", options, NULL);
        if (option == -1)
            break;
        if (option == 'h') {
            fputs(usage, stdout);
            exit(0);
        }
        if (option == 'V')
            show_version();
        if (option == '?')
            unknown(given);
        set_amount(&o, option);
        set_manner(&o, option, &send_given);
    }
    complete(&o, send_given);
    int urls = o.compare ? 2 : 1;
    if (argc - optind <= urls)
        t_options_quit(T_EXIT_USAGE, "expected %s; see --help",
                       o.compare ? "--compare OLD_URL NEW_URL DIRECTORY" : "URL IMAGE...");
    for (int i = 0; i < urls; i++)
        o.url[i] = argv[optind + i];
    o.path = argv + optind + urls;
    o.n_paths = argc - optind - urls;
    return o;
}
