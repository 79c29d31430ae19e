/* config.c: the option table, and what reads it: environment, flags, --help, export. */
#include "fcgi/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

enum kind {
    TEXT,     /* char[] */
    INT,      /* int */
    COUNT,    /* int64_t */
    DURATION, /* int64_t, ms */
    SIZE,     /* int64_t, bytes */
    CHOICE,   /* int: index into the words of `arg`, or FCGI_AUTO for `automatic` */
    WORD,     /* char[]: one of the words of `arg` */
    SWITCH,   /* int: a flag without a value */
};

struct option {
    const char *name;
    enum kind kind;
    int programs;
    size_t offset, size;
    const char *fallback;  /* default, as text; NULL: derived, or none */
    int64_t min, max;      /* of numbers */
    const char *automatic; /* the word that leaves the choice to the program; NULL: none */
    const char *arg;       /* what --help shows; of CHOICE and WORD, the words between '|' */
    const char *help;      /* NULL: not for people, and not read from the environment */
};

#define AT(member) offsetof(struct fcgi_config, member), sizeof((struct fcgi_config *)0)->member
#define WORKER     (FCGI_FOR_WORKER | FCGI_FOR_SPAWN)
#define SPAWN      FCGI_FOR_SPAWN
#define SERVERS    (FCGI_FOR_WORKER | FCGI_FOR_SPAWN | FCGI_FOR_CONTROL)
#define MODEL      (WORKER | FCGI_FOR_CLASSIFY)
#define EVERY      (SERVERS | FCGI_FOR_CTL | FCGI_FOR_CLASSIFY)
#define STARTED    (FCGI_FOR_WORKER | FCGI_FOR_CONTROL)

enum { MS_MIN = 1, FD_MAX = 1 << 20 };
#define MS_MAX    (30 * 86400000LL)
#define BYTES_MAX (1LL << 50)

/* clang-format off */
static const struct option options[] = {
    {"model", TEXT, MODEL, AT(model), "/var/lib/resnet-fcgi/resnet50.rnm", 0, 0, 0,
     "FILE", "packed model (resnet-pack makes it)"},
    {"weights", TEXT, SPAWN, AT(weights), "", 0, 0, 0,
     "FILE", "source weights, for `make demo` and the weights service"},
    {"run-dir", TEXT, SPAWN | FCGI_FOR_CONTROL | FCGI_FOR_CTL, AT(run_dir), "/run/resnet-fcgi",
     0, 0, 0, "DIR", "where work.sock, shed.sock, ctl.sock, lock and pid are"},
    {"workers", INT, SPAWN, AT(workers), "auto", 1, 255, "auto",
     "N", "worker processes; auto: usable CPUs, lowered by memory"},
    {"threads", INT, WORKER | FCGI_FOR_CLASSIFY, AT(threads), "auto", 1, 8, "auto",
     "N", "most threads of one request; auto: shares idle cores"},
    {"precision", WORD, MODEL, AT(precision), "fp32", 0, 0, 0,
     "fp32|bf16|int8", "arithmetic of the network"},
    {"isa", TEXT, MODEL, AT(isa), "best", 0, 0, "best",
     "NAME", "instruction set or engine; lowers only"},
    {"request-timeout", DURATION, SERVERS, AT(request_timeout_ms), "120s", MS_MIN, MS_MAX, 0,
     "TIME", "a request's whole budget, queue included"},
    {"stall-timeout", DURATION, SPAWN, AT(stall_timeout_ms), "30s", MS_MIN, MS_MAX, 0,
     "TIME", "CPU time burnt without progress that means stuck"},
    {"start-timeout", DURATION, SPAWN, AT(start_timeout_ms), "90s", MS_MIN, MS_MAX, 0,
     "TIME", "a worker not ready by then has failed"},
    {"read-timeout", DURATION, SPAWN, AT(read_timeout_ms), 0, MS_MIN, MS_MAX, 0,
     "TIME", "nginx's fastcgi_read_timeout (default: request-timeout + 10s)"},
    {"drain-timeout", DURATION, SPAWN, AT(drain_timeout_ms), 0, MS_MIN, MS_MAX, 0,
     "TIME", "how long draining may take (default: request-timeout + 20s)"},
    {"backlog", INT, SPAWN | FCGI_FOR_CONTROL, AT(backlog), "128", 1, 65535, 0,
     "N", "requests that may wait; past it they are shed with 503"},
    {"max-body", SIZE, SERVERS, AT(max_body), "16MiB", 1, 1 << 30, 0,
     "SIZE", "largest request body"},
    {"max-pixels", SIZE, MODEL, AT(max_pixels), "64M", 1, 1LL << 32, 0,
     "SIZE", "largest picture, in pixels"},
    {"max-decode-memory", SIZE, MODEL, AT(max_decode_memory), "auto", 1, BYTES_MAX, "auto",
     "SIZE", "memory that one decode may take; auto: by the memory limit"},
    {"max-images", INT, WORKER, AT(max_images), "16", 1, 64, 0,
     "N", "pictures in one request"},
    {"max-requests", COUNT, WORKER, AT(max_requests), "0", 0, INT64_MAX, 0,
     "N", "replace a worker after so many requests; 0: never"},
    {"max-rss", SIZE, WORKER, AT(max_rss), "0", 0, BYTES_MAX, 0,
     "SIZE", "replace a worker that has grown past this; 0: never"},
    {"idle-exit", DURATION, SPAWN, AT(idle_exit_ms), "0", 0, MS_MAX, 0,
     "TIME", "leave after so long without a request; 0: never"},
    {"exif", CHOICE, MODEL, AT(exif), "recipe", 0, 0, "recipe",
     "apply|ignore", "the orientation a photograph carries; recipe: as the model says"},
    {"rate-limit", INT, SPAWN, AT(rate_limit), "0", 0, 1000000, 0,
     "N", "nginx: requests per second and client address; 0: off"},
    {"log", TEXT, SPAWN, AT(log), "stderr", 0, 0, 0,
     "FILE", "log file, or stderr"},
    {"log-level", CHOICE, SERVERS, AT(log_level), "info", 0, 0, 0,
     "error|warn|info|debug", "what is logged"},
    {"log-format", CHOICE, SERVERS, AT(log_json), "logfmt", 0, 0, 0,
     "logfmt|json", "how a line is written"},
    {"slowlog", DURATION, WORKER, AT(slowlog_ms), "0", 0, MS_MAX, 0,
     "TIME", "a line with stages and layers for slower requests; 0: off"},
    {"sandbox", CHOICE, WORKER, AT(sandbox), "on", 0, 0, 0,
     "off|on", "seccomp, no_new_privs and rlimits after loading"},
    {"slot", INT, STARTED, AT(slot), "-1", -1, 511, 0, 0, 0},
    {"generation", INT, STARTED, AT(generation), "0", 0, INT32_MAX, 0, 0, 0},
    {"ready-fd", INT, STARTED, AT(ready_fd), "-1", -1, FD_MAX, 0, 0, 0},
    {"board-fd", INT, STARTED, AT(board_fd), "-1", -1, FD_MAX, 0, 0, 0},
    {"ask-fd", INT, STARTED, AT(ask_fd), "-1", -1, FD_MAX, 0, 0, 0},
    {"shed-fd", INT, STARTED, AT(shed_fd), "-1", -1, FD_MAX, 0, 0, 0},
    {"busy-fd", INT, FCGI_FOR_WORKER, AT(busy_fd), "-1", -1, FD_MAX, 0, 0, 0},
    {"deaths-fd", INT, FCGI_FOR_WORKER, AT(deaths_fd), "-1", -1, FD_MAX, 0, 0, 0},
    {"test", SWITCH, WORKER, AT(test), 0, 0, 0, 0,
     "t", "check configuration and model, start nothing"},
    {"help", SWITCH, EVERY, AT(help), 0, 0, 0, 0, "h", "print this"},
    {"version", SWITCH, EVERY, AT(version), 0, 0, 0, 0,
     "V", "print version, commit, instruction set"},
};
/* clang-format on */
enum { N_OPTIONS = sizeof options / sizeof options[0] };

/* ---- one value ------------------------------------------------------------------------------ */

static int is_number(const struct option *option)
{
    return option->kind != TEXT && option->kind != WORD && option->kind != SWITCH;
}

static void store(struct fcgi_config *config, const struct option *option, int64_t number)
{
    char *at = (char *)config + option->offset;

    if (option->size == sizeof(int)) {
        int narrow = (int)number;
        memcpy(at, &narrow, sizeof narrow);
    } else {
        memcpy(at, &number, sizeof number);
    }
}

static int64_t load(const struct fcgi_config *config, const struct option *option)
{
    const char *at = (const char *)config + option->offset;
    int narrow;
    int64_t number;

    if (option->size == sizeof(int)) {
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    }
    memcpy(&number, at, sizeof number);
    return number;
}

/* Which of the words "a|b|c" text is, or -1. */
static int find_word(const char *words, const char *text)
{
    size_t n = strlen(text);
    int i = 0;

    for (;; i++) {
        size_t word_n = strcspn(words, "|");
        if (word_n == n && !memcmp(words, text, n))
            return i;
        if (!words[word_n])
            return -1;
        words += word_n + 1;
    }
}

static int parse_whole(const char *text, int64_t *number)
{
    char *end;

    if (!*text || strspn(text, "-0123456789") != strlen(text))
        return -1;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return errno || *end ? -1 : 0;
}

static int parse_number(const struct option *option, const char *text, int64_t *number)
{
    switch (option->kind) {
    case DURATION:
        if (fcgi_config_duration(text, number))
            return -1;
        break;
    case SIZE:
        if (fcgi_config_size(text, number))
            return -1;
        break;
    case CHOICE:
        *number = find_word(option->arg, text);
        return *number < 0 ? -1 : 0;
    default:
        if (parse_whole(text, number))
            return -1;
    }
    return *number < option->min || *number > option->max ? -1 : 0;
}

static int set(struct fcgi_config *config, const struct option *option, const char *text)
{
    char *at = (char *)config + option->offset;
    int automatic = option->automatic && !strcmp(text, option->automatic);
    int64_t number = FCGI_AUTO;

    if (is_number(option)) {
        if (!automatic && parse_number(option, text, &number))
            return -1;
        store(config, option, number);
        return 0;
    }
    if (automatic)
        text = "";
    if (strlen(text) >= option->size || (option->kind == WORD && find_word(option->arg, text) < 0))
        return -1;
    memset(at, 0, option->size);
    memcpy(at, text, strlen(text));
    return 0;
}

/* "a whole number from 1 to 512, or auto" */
static void describe(const struct option *option, char *text, size_t n)
{
    const char * or = option->automatic ? ", or " : "";
    const char *automatic = option->automatic ? option->automatic : "";

    switch (option->kind) {
    case DURATION:
        snprintf(text, n, "a time such as 90s, 2m, 500ms%s%s, at most 30 days", or, automatic);
        break;
    case SIZE:
        snprintf(text, n, "a size such as 16MiB, 16m, 4096, from %lld to %lld%s%s",
                 (long long)option->min, (long long)option->max, or, automatic);
        break;
    case CHOICE:
    case WORD:
        snprintf(text, n, "one of %s%s%s", option->arg, or, automatic);
        break;
    case TEXT:
        snprintf(text, n, "at most %zu bytes", option->size - 1);
        break;
    default:
        snprintf(text, n, "a whole number from %lld to %lld%s%s", (long long)option->min,
                 (long long)option->max, or, automatic);
    }
}

static int malformed(const struct option *option, const char *name, const char *value, int code,
                     char text[256])
{
    char wanted[128];

    describe(option, wanted, sizeof wanted);
    snprintf(text, 256, "%s: expected %s, found \"%.40s\"", name, wanted, value);
    return code;
}

/* ---- names ---------------------------------------------------------------------------------- */

/* "max-body" -> "RESNET_MAX_BODY" */
static void variable_name(const struct option *option, char name[64])
{
    size_t n = 7;

    memcpy(name, "RESNET_", n);
    for (const char *p = option->name; *p && n < 63; p++)
        name[n++] = *p == '-' ? '_' : (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    name[n] = 0;
}

static int has_variable(const struct option *option)
{
    return option->help && option->kind != SWITCH;
}

size_t fcgi_config_distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);

    if (n >= 64 || strlen(a) >= 64)
        return 64;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

/* The public option of these programs that is spelled most like name, or NULL. */
static const struct option *nearest(const char *name, int programs, int variables)
{
    const struct option *best = NULL;
    size_t best_distance = 2 + strlen(name) / 4;

    for (const struct option *o = options; o < options + N_OPTIONS; o++) {
        char spelled[64];
        if (!o->help || !(o->programs & programs) || (variables && !has_variable(o)))
            continue;
        variable_name(o, spelled);
        size_t d = fcgi_config_distance(name, variables ? spelled : o->name);
        if (d < best_distance) {
            best_distance = d;
            best = o;
        }
    }
    return best;
}

/* ---- environment ---------------------------------------------------------------------------- */

/* An empty variable is one that is not set: compose files and unit files make such. */
static int load_environment(struct fcgi_config *config, int program, char text[256])
{
    for (const struct option *o = options; o < options + N_OPTIONS; o++) {
        char name[64];
        const char *value;
        if (!has_variable(o) || !(o->programs & program))
            continue;
        variable_name(o, name);
        value = getenv(name);
        if (value && *value && set(config, o, value))
            return malformed(o, name, value, FCGI_EXIT_CONFIG, text);
    }
    return 0;
}

static int is_known(const char *name)
{
    for (const struct option *o = options; o < options + N_OPTIONS; o++) {
        char spelled[64];
        variable_name(o, spelled);
        if (has_variable(o) && !strcmp(spelled, name))
            return 1;
    }
    return 0;
}

static void report_unknown(void (*warn)(const char *sentence))
{
    for (char **variable = environ; *variable; variable++) {
        char name[64], near[64], sentence[256];
        size_t n = strcspn(*variable, "=");
        if (strncmp(*variable, "RESNET_", 7) || n >= sizeof name)
            continue;
        memcpy(name, *variable, n);
        name[n] = 0;
        if (is_known(name))
            continue;
        const struct option *o = nearest(name, -1, 1);
        if (o)
            variable_name(o, near);
        snprintf(sentence, sizeof sentence, "%s is not a variable of these programs%s%s%s", name,
                 o ? "; did you mean " : "", o ? near : "", o ? "?" : "");
        warn(sentence);
    }
}

/* ---- flags ---------------------------------------------------------------------------------- */

static const struct option *find_flag(const char *name, size_t n, int program)
{
    for (const struct option *o = options; o < options + N_OPTIONS; o++)
        if ((o->programs & program) && strlen(o->name) == n && !memcmp(o->name, name, n))
            return o;
    return NULL;
}

static const struct option *find_letter(const char *letter, int program)
{
    for (const struct option *o = options; o < options + N_OPTIONS; o++)
        if ((o->programs & program) && o->kind == SWITCH && !strcmp(o->arg, letter))
            return o;
    return NULL;
}

static int unknown_flag(const char *flag, int program, char text[256])
{
    char name[64];
    const char *bare = flag + strspn(flag, "-");
    size_t n = strcspn(bare, "=");

    if (n >= sizeof name)
        n = sizeof name - 1;
    memcpy(name, bare, n);
    name[n] = 0;
    const struct option *o = nearest(name, program, 0);
    if (o)
        snprintf(text, 256, "unknown option \"%.80s\"; did you mean --%s?", flag, o->name);
    else
        snprintf(text, 256, "unknown option \"%.80s\"; --help lists them", flag);
    return FCGI_EXIT_USAGE;
}

/* One flag at argv[*i]; *i is left at the last argument that belongs to it. */
static int load_flag(struct fcgi_config *config, int program, int argc, char **argv, int *i,
                     char text[256])
{
    const char *flag = argv[*i];
    int is_long = flag[1] == '-';
    size_t n = is_long ? strcspn(flag + 2, "=") : 0;
    const struct option *o =
        is_long ? find_flag(flag + 2, n, program) : find_letter(flag + 1, program);
    const char *value = is_long && flag[2 + n] == '=' ? flag + 3 + n : NULL;

    if (!o)
        return unknown_flag(flag, program, text);
    if (o->kind == SWITCH) {
        if (value) {
            snprintf(text, 256, "--%s takes no value", o->name);
            return FCGI_EXIT_USAGE;
        }
        store(config, o, 1);
        return 0;
    }
    if (!value && *i + 1 < argc)
        value = argv[++*i];
    if (!value || !*value) {
        snprintf(text, 256, "--%s needs a value", o->name);
        return FCGI_EXIT_USAGE;
    }
    return set(config, o, value) ? malformed(o, flag, value, FCGI_EXIT_USAGE, text) : 0;
}

static int load_flags(struct fcgi_config *config, int program, int argc, char **argv, int *rest,
                      char text[256])
{
    int i = 1;

    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        if (!strcmp(argv[i], "--")) {
            i++;
            break;
        }
        int code = load_flag(config, program, argc, argv, &i, text);
        if (code)
            return code;
    }
    *rest = i;
    return 0;
}

/* ---- all together --------------------------------------------------------------------------- */

int fcgi_config_load(struct fcgi_config *config, int program, int argc, char **argv, int *rest,
                     void (*warn)(const char *sentence), char text[256])
{
    memset(config, 0, sizeof *config);
    config->read_timeout_ms = config->drain_timeout_ms = FCGI_AUTO;
    for (const struct option *o = options; o < options + N_OPTIONS; o++)
        if (o->fallback)
            set(config, o, o->fallback);
    int code = load_environment(config, program, text);
    if (!code)
        code = load_flags(config, program, argc, argv, rest, text);
    if (code)
        return code;
    if (config->read_timeout_ms == FCGI_AUTO)
        config->read_timeout_ms = config->request_timeout_ms + 10000;
    if (config->drain_timeout_ms == FCGI_AUTO)
        config->drain_timeout_ms = config->request_timeout_ms + 20000;
    if (warn)
        report_unknown(warn);
    return 0;
}

static void format_value(const struct fcgi_config *config, const struct option *option,
                         char text[4096])
{
    const char *at = (const char *)config + option->offset;
    int64_t number = is_number(option) ? load(config, option) : 0;

    if (!is_number(option)) {
        snprintf(text, 4096, "%s", *at || !option->automatic ? at : option->automatic);
    } else if (number == FCGI_AUTO && option->automatic) {
        snprintf(text, 4096, "%s", option->automatic);
    } else if (option->kind == CHOICE) {
        const char *word = option->arg;
        for (; number > 0; number--)
            word += strcspn(word, "|") + 1;
        snprintf(text, 4096, "%.*s", (int)strcspn(word, "|"), word);
    } else {
        snprintf(text, 4096, "%lld%s", (long long)number, option->kind == DURATION ? "ms" : "");
    }
}

void fcgi_config_export(const struct fcgi_config *config)
{
    for (const struct option *o = options; o < options + N_OPTIONS; o++) {
        char name[64], value[4096];
        if (!has_variable(o))
            continue;
        variable_name(o, name);
        format_value(config, o, value);
        if (*value)
            setenv(name, value, 1);
        else
            unsetenv(name);
    }
}

void fcgi_config_help(FILE *out, int program)
{
    for (const struct option *o = options; o < options + N_OPTIONS; o++) {
        char left[64], name[64];
        if (!o->help || !(o->programs & program))
            continue;
        if (o->kind == SWITCH) {
            snprintf(left, sizeof left, "-%s, --%s", o->arg, o->name);
            fprintf(out, "  %-28s %s\n", left, o->help);
            continue;
        }
        snprintf(left, sizeof left, "--%s %s", o->name, o->arg);
        variable_name(o, name);
        fprintf(out, "  %-28s %s\n", left, o->help);
        fprintf(out, "  %-28s (%s%s%s)\n", "", name,
                o->fallback && *o->fallback ? ", default " : "", o->fallback ? o->fallback : "");
    }
}
