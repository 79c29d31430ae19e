/* config: options, one a line: "--name value" as flags, and "RESNET_NAME=value" as the environment.
 * What is taken is written as it would be read again. */
#include "fcgi/config_table.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_LINES = 16 };

static void on_warning(const char *sentence)
{
    FUZZ_EXPECT(sentence[0] != 0);
}

/* RESNET_NAME */
static void drop_option(const struct fcgi_option *option)
{
    char name[64] = "RESNET_";

    for (size_t i = 0; option->name[i] != 0; i++)
        name[7 + i] = option->name[i] == '-' ? '_' : (char)(option->name[i] & ~0x20);
    unsetenv(name);
}

/* Through text and back. */
static void round_trip(const struct fcgi_config *config)
{
    static struct fcgi_config again; /* large */
    char text[4096], second[4096];

    for (const struct fcgi_option *o = fcgi_config_options; o->name != NULL; o++) {
        if (o->kind == FCGI_OPTION_SWITCH)
            continue;
        fcgi_config_format(config, o, text);
        if (text[0] == 0)
            continue;
        FUZZ_EXPECT(fcgi_config_set(&again, o, text) == 0);
        fcgi_config_format(&again, o, second);
        FUZZ_EXPECT(strcmp(text, second) == 0);
    }
}

/* The environment, as a child would read it. */
static void exported(const struct fcgi_config *config, int program)
{
    static struct fcgi_config child;
    char *argv[] = {(char *)"child", NULL}, text[256], *help = NULL, a[4096], b[4096];
    size_t n = 0;
    FILE *out = open_memstream(&help, &n);
    int rest;

    FUZZ_EXPECT(out != NULL);
    FUZZ_EXPECT(fcgi_config_export(config) == 0);
    FUZZ_EXPECT(fcgi_config_load(&child, program, 1, argv, &rest, on_warning, text) == 0);
    for (const struct fcgi_option *o = fcgi_config_options; o->name != NULL; o++) {
        if (o->help == NULL || o->kind == FCGI_OPTION_SWITCH || !(o->programs & program))
            continue;
        fcgi_config_format(config, o, a);
        fcgi_config_format(&child, o, b);
        FUZZ_EXPECT(a[0] == 0 || strcmp(a, b) == 0);
    }
    fcgi_config_help(out, program);
    fclose(out);
    free(help);
    for (const struct fcgi_option *o = fcgi_config_options; o->name != NULL; o++)
        drop_option(o);
}

static void load(int program, int argc, char **argv)
{
    static struct fcgi_config config;
    char text[256] = "";
    int rest = 0, code;

    code = fcgi_config_load(&config, program, argc, argv, &rest, on_warning, text);
    FUZZ_EXPECT(code == 0 || code == FCGI_EXIT_USAGE || code == FCGI_EXIT_CONFIG);
    FUZZ_EXPECT(memchr(text, 0, sizeof text) != NULL && (code == 0 || text[0] != 0));
    if (code == 0) {
        FUZZ_EXPECT(rest >= 1 && rest <= argc);
        round_trip(&config);
        exported(&config, program);
    }
}

/* Cuts "--name value" in two arguments. */
static int add(char **argv, int argc, char *line)
{
    char *blank = strchr(line, ' ');

    argv[argc++] = line;
    if (blank != NULL) {
        *blank = 0;
        argv[argc++] = blank + 1;
    }
    return argc;
}

/* The environment has the line itself, not a copy. */
static void drop_variable(const char *line)
{
    char *name = strndup(line, strcspn(line, "="));

    unsetenv(name);
    free(name);
}

static void one_value(const char *text)
{
    int64_t value;

    if (fcgi_config_duration(text, &value) == 0)
        FUZZ_EXPECT(value >= 0);
    if (fcgi_config_size(text, &value) == 0)
        FUZZ_EXPECT(value >= 0);
    FUZZ_EXPECT(fcgi_config_distance(text, "workers") <= 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char *lines[MAX_LINES], *argv[2 * MAX_LINES + 2] = {(char *)"fuzz"};
    int n_lines = 0, argc = 1;

    while (n != 0 && n_lines < MAX_LINES) {
        char *line = lines[n_lines++] = fuzz_line(&bytes, &n);

        one_value(line);
        if (strncmp(line, "RESNET_", 7) == 0 && strchr(line, '=') != NULL)
            putenv(line);
        else
            argc = add(argv, argc, line);
    }
    for (int program = FCGI_FOR_WORKER; program <= FCGI_FOR_CLASSIFY; program *= 2)
        load(program, argc, argv);
    for (int i = 0; i < n_lines; i++) {
        drop_variable(lines[i]);
        free(lines[i]);
    }
    return 0;
}
