/* config.c: what reads the option table: environment, flags, --help, export. */
#include "fcgi/config.h"

#include <stdlib.h>
#include <string.h>

#include "fcgi/config_table.h"

extern char **environ;

static int malformed(const struct fcgi_option *option, const char *name, const char *value,
                     int code, char text[256])
{
    char wanted[128];

    fcgi_config_describe(option, wanted, sizeof wanted);
    snprintf(text, 256, "%s: expected %s, found \"%.40s\"", name, wanted, value);
    return code;
}

/* ---- names ---------------------------------------------------------------------------------- */

/* "max-body" -> "RESNET_MAX_BODY" */
static void variable_name(const struct fcgi_option *option, char name[64])
{
    size_t n = 7;

    memcpy(name, "RESNET_", n);
    for (const char *p = option->name; *p && n < 63; p++)
        name[n++] = *p == '-' ? '_' : (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    name[n] = 0;
}

static int has_variable(const struct fcgi_option *option)
{
    return option->help && option->kind != FCGI_OPTION_SWITCH;
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
static const struct fcgi_option *nearest(const char *name, int programs, int variables)
{
    const struct fcgi_option *best = NULL;
    size_t best_distance = 2 + strlen(name) / 4;

    for (const struct fcgi_option *o = fcgi_config_options; o->name; o++) {
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
    for (const struct fcgi_option *o = fcgi_config_options; o->name; o++) {
        char name[64];
        const char *value;
        if (!has_variable(o) || !(o->programs & program))
            continue;
        variable_name(o, name);
        value = getenv(name);
        if (value && *value && fcgi_config_set(config, o, value))
            return malformed(o, name, value, FCGI_EXIT_CONFIG, text);
    }
    return 0;
}

static int is_known(const char *name)
{
    for (const struct fcgi_option *o = fcgi_config_options; o->name; o++) {
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
        const struct fcgi_option *o = nearest(name, -1, 1);
        if (o)
            variable_name(o, near);
        snprintf(sentence, sizeof sentence, "%s is not a variable of these programs%s%s%s", name,
                 o ? "; did you mean " : "", o ? near : "", o ? "?" : "");
        warn(sentence);
    }
}

/* ---- flags ---------------------------------------------------------------------------------- */

static const struct fcgi_option *find_flag(const char *name, size_t n, int program)
{
    for (const struct fcgi_option *o = fcgi_config_options; o->name; o++)
        if ((o->programs & program) && strlen(o->name) == n && !memcmp(o->name, name, n))
            return o;
    return NULL;
}

static const struct fcgi_option *find_letter(const char *letter, int program)
{
    for (const struct fcgi_option *o = fcgi_config_options; o->name; o++)
        if ((o->programs & program) && o->kind == FCGI_OPTION_SWITCH && !strcmp(o->arg, letter))
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
    const struct fcgi_option *o = nearest(name, program, 0);
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
    const struct fcgi_option *o =
        is_long ? find_flag(flag + 2, n, program) : find_letter(flag + 1, program);
    const char *value = is_long && flag[2 + n] == '=' ? flag + 3 + n : NULL;

    if (!o)
        return unknown_flag(flag, program, text);
    if (o->kind == FCGI_OPTION_SWITCH) {
        if (value) {
            snprintf(text, 256, "--%s takes no value", o->name);
            return FCGI_EXIT_USAGE;
        }
        return fcgi_config_set(config, o, "");
    }
    if (!value && *i + 1 < argc)
        value = argv[++*i];
    if (!value || !*value) {
        snprintf(text, 256, "--%s needs a value", o->name);
        return FCGI_EXIT_USAGE;
    }
    return fcgi_config_set(config, o, value) ? malformed(o, flag, value, FCGI_EXIT_USAGE, text) : 0;
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
    for (const struct fcgi_option *o = fcgi_config_options; o->name; o++)
        if (o->fallback)
            fcgi_config_set(config, o, o->fallback);
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

int fcgi_config_export(const struct fcgi_config *config)
{
    for (const struct fcgi_option *o = fcgi_config_options; o->name; o++) {
        char name[64], value[4096];
        if (!has_variable(o))
            continue;
        variable_name(o, name);
        fcgi_config_format(config, o, value);
        if (!*value)
            unsetenv(name);
        else if (setenv(name, value, 1))
            return -1;
    }
    return 0;
}

void fcgi_config_help(FILE *out, int program)
{
    for (const struct fcgi_option *o = fcgi_config_options; o->name; o++) {
        char left[64], name[64];
        if (!o->help || !(o->programs & program))
            continue;
        if (o->kind == FCGI_OPTION_SWITCH) {
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
