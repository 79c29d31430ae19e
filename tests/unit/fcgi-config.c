/* The option table: defaults, environment, flags, and the sentences for what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/config.h"
#include "fcgi/log.h"

enum { EVERY = 31 };
static struct fcgi_config config;
static char text[256], warned[1024];
static int rest;

static void keep_warning(const char *sentence)
{
    strncat(warned, sentence, sizeof warned - strlen(warned) - 1);
    strncat(warned, "\n", sizeof warned - strlen(warned) - 1);
}

/* flags: up to four arguments, NULL-terminated */
static int load(int program, const char *a, const char *b, const char *c, const char *d)
{
    const char *argv[] = {"program", a, b, c, d, NULL};
    int argc = 1;

    while (argv[argc])
        argc++;
    text[0] = warned[0] = 0;
    return fcgi_config_load(&config, program, argc, (char **)argv, &rest, keep_warning, text);
}

static int clean(void **state)
{
    extern char **environ;

    (void)state;
    for (char **e = environ; *e;) {
        char name[128];
        size_t n = strcspn(*e, "=");
        if (strncmp(*e, "RESNET_", 7) || n >= sizeof name) {
            e++;
            continue;
        }
        memcpy(name, *e, n);
        name[n] = 0;
        unsetenv(name);
    }
    return 0;
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(load(EVERY, NULL, NULL, NULL, NULL), 0);
    assert_string_equal(config.model, "/var/lib/resnet-fcgi/resnet50.rnm");
    assert_string_equal(config.run_dir, "/run/resnet-fcgi");
    assert_string_equal(config.precision, "fp32");
    assert_string_equal(config.isa, "");
    assert_int_equal(config.workers, FCGI_AUTO);
    assert_int_equal(config.threads, FCGI_AUTO);
    assert_int_equal(config.request_timeout_ms, 120000);
    assert_int_equal(config.read_timeout_ms, 130000);
    assert_int_equal(config.drain_timeout_ms, 140000);
    assert_int_equal(config.stall_timeout_ms, 30000);
    assert_int_equal(config.start_timeout_ms, 90000);
    assert_int_equal(config.backlog, 128);
    assert_int_equal(config.max_body, 16 << 20);
    assert_int_equal(config.max_pixels, 64 << 20);
    assert_int_equal(config.max_decode_memory, FCGI_AUTO);
    assert_int_equal(config.max_images, 16);
    assert_int_equal(config.exif, FCGI_AUTO);
    assert_int_equal(config.log_level, FCGI_LOG_INFO);
    assert_int_equal(config.log_json, 0);
    assert_int_equal(config.board_fd, -1);
    assert_int_equal(config.ready_fd, -1);
    assert_int_equal(rest, 1);
    assert_string_equal(warned, "");
}

static void flag_over_environment(void **state)
{
    (void)state;
    setenv("RESNET_REQUEST_TIMEOUT", "2m", 1);
    setenv("RESNET_WORKERS", "3", 1);
    setenv("RESNET_EXIF", "ignore", 1);
    setenv("RESNET_LOG_FORMAT", "json", 1);
    setenv("RESNET_MODEL", "", 1); /* empty: as if not set */
    assert_int_equal(load(EVERY, "--workers=7", "--max-body", "8m", "left"), 0);
    assert_int_equal(config.request_timeout_ms, 120000);
    assert_int_equal(config.workers, 7);
    assert_int_equal(config.max_body, 8 << 20);
    assert_int_equal(config.exif, 1);
    assert_int_equal(config.log_json, 1);
    assert_string_equal(config.model, "/var/lib/resnet-fcgi/resnet50.rnm");
    assert_int_equal(rest, 4);
    assert_int_equal(load(EVERY, "--workers", "auto", "--", "--backlog"), 0);
    assert_int_equal(config.workers, FCGI_AUTO);
    assert_int_equal(rest, 4);
}

static void time_outs_follow(void **state)
{
    (void)state;
    assert_int_equal(load(FCGI_FOR_SPAWN, "--request-timeout", "1500ms", NULL, NULL), 0);
    assert_int_equal(config.read_timeout_ms, 11500);
    assert_int_equal(config.drain_timeout_ms, 21500);
    setenv("RESNET_READ_TIMEOUT", "7", 1);
    assert_int_equal(load(FCGI_FOR_SPAWN, "--drain-timeout=1h", NULL, NULL, NULL), 0);
    assert_int_equal(config.read_timeout_ms, 7000);
    assert_int_equal(config.drain_timeout_ms, 3600000);
}

static void wrong_flags(void **state)
{
    (void)state;
    assert_int_equal(load(FCGI_FOR_WORKER, "--max-bodi", "1m", NULL, NULL), FCGI_EXIT_USAGE);
    assert_string_equal(text, "unknown option \"--max-bodi\"; did you mean --max-body?");
    assert_int_equal(load(FCGI_FOR_WORKER, "--xyzzy", NULL, NULL, NULL), FCGI_EXIT_USAGE);
    assert_string_equal(text, "unknown option \"--xyzzy\"; --help lists them");
    assert_int_equal(load(FCGI_FOR_WORKER, "--backlog", "3", NULL, NULL), FCGI_EXIT_USAGE);
    assert_int_equal(load(FCGI_FOR_CLASSIFY, "-t", NULL, NULL, NULL), FCGI_EXIT_USAGE);
    assert_int_equal(load(FCGI_FOR_WORKER, "--max-body", NULL, NULL, NULL), FCGI_EXIT_USAGE);
    assert_string_equal(text, "--max-body needs a value");
    assert_int_equal(load(FCGI_FOR_WORKER, "--max-body=", NULL, NULL, NULL), FCGI_EXIT_USAGE);
    assert_int_equal(load(FCGI_FOR_WORKER, "--help=1", NULL, NULL, NULL), FCGI_EXIT_USAGE);
    assert_int_equal(load(FCGI_FOR_SPAWN, "--workers", "0", NULL, NULL), FCGI_EXIT_USAGE);
    assert_string_equal(text,
                        "--workers: expected a whole number from 1 to 255, or auto, found \"0\"");
    assert_int_equal(load(FCGI_FOR_SPAWN, "--exif", "rotate", NULL, NULL), FCGI_EXIT_USAGE);
    assert_string_equal(text, "--exif: expected one of apply|ignore, or recipe, found \"rotate\"");
    assert_int_equal(load(FCGI_FOR_SPAWN, "--precision=fp16", NULL, NULL, NULL), FCGI_EXIT_USAGE);
}

static void wrong_variables(void **state)
{
    (void)state;
    setenv("RESNET_MAX_BODY", "16 MB", 1);
    assert_int_equal(load(FCGI_FOR_WORKER, NULL, NULL, NULL, NULL), FCGI_EXIT_CONFIG);
    assert_string_equal(text, "RESNET_MAX_BODY: expected a size such as 16MiB, 16m, 4096, from 1 "
                              "to 1073741824, found \"16 MB\"");
    /* not resnet-ctl's: a health probe must not fail over it */
    assert_int_equal(load(FCGI_FOR_CTL, NULL, NULL, NULL, NULL), 0);
    clean(NULL);
    setenv("RESNET_WORKRES", "2", 1);
    setenv("RESNET_NONSENSE_ALTOGETHER", "2", 1);
    setenv("RESNET_SLOT", "2", 1); /* a flag for programs only */
    assert_int_equal(load(FCGI_FOR_WORKER, NULL, NULL, NULL, NULL), 0);
    assert_non_null(strstr(warned, "RESNET_WORKRES is not a variable of these programs; did you "
                                   "mean RESNET_WORKERS?\n"));
    assert_non_null(
        strstr(warned, "RESNET_NONSENSE_ALTOGETHER is not a variable of these programs\n"));
    assert_non_null(strstr(warned, "RESNET_SLOT is not"));
    assert_int_equal(config.slot, -1);
}

static void a_long_path(void **state)
{
    char *path = malloc(5001);

    (void)state;
    memset(path, 'x', 5000);
    path[5000] = 0;
    assert_int_equal(load(FCGI_FOR_WORKER, "--model", path, NULL, NULL), FCGI_EXIT_USAGE);
    path[4095] = 0;
    assert_int_equal(load(FCGI_FOR_WORKER, "--model", path, NULL, NULL), 0);
    assert_string_equal(config.model, path);
    free(path);
}

/* What is exported is read back as it was. */
static void export_and_back(void **state)
{
    struct fcgi_config before;

    (void)state;
    assert_int_equal(load(EVERY, "--exif=apply", "--isa=avx2", "--log-level=debug", "--slowlog=2"),
                     0);
    before = config;
    fcgi_config_export(&config);
    assert_string_equal(getenv("RESNET_READ_TIMEOUT"), "130000ms");
    assert_string_equal(getenv("RESNET_WORKERS"), "auto");
    assert_null(getenv("RESNET_WEIGHTS"));
    assert_null(getenv("RESNET_SLOT"));
    assert_int_equal(load(EVERY, NULL, NULL, NULL, NULL), 0);
    assert_memory_equal(&config, &before, sizeof config);
    assert_string_equal(warned, "");
}

static void help_shows_a_program_its_own(void **state)
{
    char *shown = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&shown, &n);

    (void)state;
    fcgi_config_help(out, FCGI_FOR_WORKER);
    fclose(out);
    assert_non_null(strstr(shown, "--max-body SIZE"));
    assert_non_null(strstr(shown, "(RESNET_MAX_BODY, default 16MiB)"));
    assert_non_null(strstr(shown, "--version"));
    assert_null(strstr(shown, "--backlog"));
    assert_null(strstr(shown, "--board-fd"));
    free(shown);
}

static void durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"90s", 90000},    {"2m", 120000}, {"500ms", 500}, {"7", 7000},
                {"1.5h", 5400000}, {"0", 0},       {"0.25s", 250}, {"2min", 120000},
                {"1.5", 1500},     {"0.0015s", 1}, {"3S", 3000},   {"1.9999999s", 1999}};
    static const char *const bad[] = {"",
                                      "s",
                                      "-1s",
                                      "1 s",
                                      " 1s",
                                      "1s ",
                                      "1d",
                                      "0x10",
                                      "1e3",
                                      "1.s",
                                      ".5s",
                                      "1..5",
                                      "+1s",
                                      "nan",
                                      "1,5s",
                                      "99999999999999999999",
                                      "9223372036854775807h"};
    int64_t ms = -7;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(fcgi_config_duration(good[i].text, &ms), 0);
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (!fcgi_config_duration(bad[i], &ms))
            fail_msg("\"%s\" was taken", bad[i]);
}

static void sizes(void **state)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"16MiB", 16 << 20}, {"16m", 16 << 20},   {"4096", 4096},
                {"1k", 1024},        {"1KiB", 1024},      {"2Gi", 2LL << 30},
                {"64M", 64 << 20},   {"0.5m", 512 << 10}, {"12b", 12}};
    static const char *const bad[] = {"",
                                      "m",
                                      "16MB",
                                      "16 m",
                                      "-1",
                                      "1mm",
                                      "0x10",
                                      "1e6",
                                      "1.m",
                                      "16mi b",
                                      "9223372036854775807k"};
    int64_t bytes = -7;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(fcgi_config_size(good[i].text, &bytes), 0);
        assert_int_equal(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (!fcgi_config_size(bad[i], &bytes))
            fail_msg("\"%s\" was taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults, clean),
        cmocka_unit_test_setup(flag_over_environment, clean),
        cmocka_unit_test_setup(time_outs_follow, clean),
        cmocka_unit_test_setup(wrong_flags, clean),
        cmocka_unit_test_setup(wrong_variables, clean),
        cmocka_unit_test_setup(a_long_path, clean),
        cmocka_unit_test_setup(export_and_back, clean),
        cmocka_unit_test_setup(help_shows_a_program_its_own, clean),
        cmocka_unit_test(durations),
        cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
