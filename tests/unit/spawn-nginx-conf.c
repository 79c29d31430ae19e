/* An nginx configuration is read as nginx reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "spawn/nginx_conf.h"

static struct spawn_nginx_conf conf;
static char text[512], folder[64];

static int open_conf(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/resnet-nginx-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static void remove_file(const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

static int close_conf(void **state)
{
    static const char *const names[] = {"main", "conf.d/a.conf", "conf.d/b.conf", "conf.d/c.off"};

    (void)state;
    spawn_nginx_conf_free(&conf);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        remove_file(names[i]);
    char path[128];
    snprintf(path, sizeof path, "%s/conf.d", folder);
    rmdir(path);
    return rmdir(folder);
}

static int parse(const char *source)
{
    spawn_nginx_conf_free(&conf);
    return spawn_nginx_conf_parse(&conf, "x", source, strlen(source), text);
}

static void put(const char *name, const char *source)
{
    char path[128];

    snprintf(path, sizeof path, "%s/conf.d", folder);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(source, file);
    fclose(file);
}

static int read_main(void)
{
    char path[128];

    spawn_nginx_conf_free(&conf);
    snprintf(path, sizeof path, "%s/main", folder);
    return spawn_nginx_conf_read(&conf, path, text);
}

static const char *word(int directive, int i)
{
    return spawn_nginx_conf_word(&conf, directive, i);
}

static void words_quotes_and_comments(void **state)
{
    (void)state;
    assert_int_equal(parse("# all; of { this\n"
                           "user  www-data;# and this\n"
                           "a 'one word; {not} #three' \"it's\" \"say \\\"x\\\"\" ;\n"
                           "b a#b \\d+ \"\\.(jpg)\" \"tab\\there\" ${x}y '';"),
                     0);
    assert_int_equal(conf.n, 3);
    assert_string_equal(word(0, 1), "www-data");
    assert_int_equal(conf.directives[0].line, 2);
    assert_string_equal(word(1, 1), "one word; {not} #three");
    assert_string_equal(word(1, 2), "it's");
    assert_string_equal(word(1, 3), "say \"x\"");
    assert_string_equal(word(2, 1), "a#b");
    assert_string_equal(word(2, 2), "\\d+");
    assert_string_equal(word(2, 3), "\\.(jpg)");
    assert_string_equal(word(2, 4), "tab\there");
    assert_string_equal(word(2, 5), "${x}y");
    assert_string_equal(word(2, 6), "");
    assert_int_equal(conf.directives[2].n_words, 7);
    assert_true(spawn_nginx_conf_has(&conf, 2, "a#b"));
    assert_false(spawn_nginx_conf_has(&conf, 2, "b"));
    assert_string_equal(word(-1, 0), "");
}

static void blocks_inherit(void **state)
{
    (void)state;
    assert_int_equal(parse("http { t 1s; t 2s; server { listen 1; location / { p a; }\n"
                           " location ~ ^/x(/1\\.0)?$ { t 3s; if ($x) { p b; } } }\n"
                           " server { t 4s; location / { p c; } } }\n"
                           "stream { p d; }"),
                     0);
    int http = spawn_nginx_conf_next(&conf, SPAWN_NGINX_TOP, "http", -1), at = -1;
    static const char *const times[] = {"2s", "3s", "4s"};
    for (int i = 0; i < 3; i++) {
        at = spawn_nginx_conf_find(&conf, http, "p", at);
        assert_true(at >= 0);
        int time = spawn_nginx_conf_effective(&conf, conf.directives[at].parent, "t");
        assert_string_equal(word(time, 1), times[i]);
    }
    assert_int_equal(spawn_nginx_conf_find(&conf, http, "p", at), -1); /* stream is not http */
    at = spawn_nginx_conf_find(&conf, SPAWN_NGINX_TOP, "p", at);
    assert_string_equal(word(at, 1), "d");
    assert_int_equal(spawn_nginx_conf_effective(&conf, conf.directives[at].parent, "t"), -1);
    assert_int_equal(spawn_nginx_conf_next(&conf, http, "p", -1), -1); /* only directly */
    assert_true(conf.directives[http].is_block);
}

static void files_include_files(void **state)
{
    (void)state;
    put("main", "one 1;\nhttp { include conf.d/*.conf; last 4; }\n");
    put("conf.d/a.conf", "two 2; server {\n include conf.d/c.off; }\n");
    put("conf.d/b.conf", "three 3;\n");
    put("conf.d/c.off", "inner 5;\n");
    assert_int_equal(read_main(), 0);
    static const char *const names[] = {"one", "http", "two", "server", "inner", "three", "last"};
    assert_int_equal(conf.n, 7);
    for (int i = 0; i < 7; i++)
        assert_string_equal(word(i, 0), names[i]);
    assert_int_equal(conf.directives[4].parent, 3);
    assert_int_equal(conf.directives[5].parent, 1);
    assert_non_null(strstr(conf.files[conf.directives[4].file], "/conf.d/c.off"));
}

static void what_cannot_be_included(void **state)
{
    (void)state;
    put("main", "include conf.d/*.none;\n"); /* a pattern may match nothing */
    assert_int_equal(read_main(), 0);
    assert_int_equal(conf.n, 0);
    put("main", "include conf.d/none;\n");
    assert_int_equal(read_main(), -1);
    assert_non_null(strstr(text, "conf.d/none: No such file"));
    put("main", "x;\ninclude main;\n");
    assert_int_equal(read_main(), -1);
    assert_non_null(strstr(text, "include each other"));
    put("main", "include conf.d/a.conf; }\n"); /* each file closes what it opens */
    put("conf.d/a.conf", "http {\n");
    assert_int_equal(read_main(), -1);
    assert_non_null(strstr(text, "ends within"));
    remove_file("main");
    assert_int_equal(read_main(), -1);
}

/* What nginx -T prints, its standard error with it. */
static void a_dump_has_all_files(void **state)
{
    (void)state;
    assert_int_equal(parse("nginx: the configuration file /e/nginx.conf syntax is ok\n"
                           "# configuration file /e/nginx.conf:\n"
                           "http { include c.d/*.conf; include types; last 4; }\n\n"
                           "# configuration file /e/c.d/b.conf:\n"
                           "three 3;\n\n"
                           "# configuration file /e/types:\n"
                           "four; # configuration file /e/none:\n"
                           "# configuration file /e/c.d/a.txt:\n"
                           "}}}\n"),
                     0);
    static const char *const names[] = {"http", "three", "four", "last"};
    assert_int_equal(conf.n, 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(word(i, 0), names[i]);
    assert_string_equal(conf.files[conf.directives[1].file], "/e/c.d/b.conf");
    assert_int_equal(conf.directives[1].line, 1);
    assert_int_equal(parse("# configuration file /e/a:\ninclude /e/b;\n"), -1);
    assert_non_null(strstr(text, "not in this text"));
    assert_int_equal(parse("# configuration file /e/a:\ninclude a;\n"), -1);
    assert_non_null(strstr(text, "include each other"));
    assert_int_equal(parse("include /dev/null;\n"), -1); /* a text alone has no other files */
    put("main", "# configuration file /e/a:\na 1;\n");
    assert_int_equal(read_main(), 0);
    assert_string_equal(conf.files[0], "/e/a");
}

static void what_is_no_file(void **state)
{
    char path[128];

    (void)state;
    snprintf(path, sizeof path, "%s/main", folder);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes into it */
    assert_int_equal(read_main(), -1);
    assert_int_equal(spawn_nginx_conf_read(&conf, folder, text), -1);
}

static void what_is_no_configuration(void **state)
{
    static const struct {
        const char *source, *says;
    } cases[] = {
        {"a 1", "ends within"},          {"a {", "ends within"},
        {"a \"1;", "quote without end"}, {"}", "closes nothing"},
        {"a 1; } b;", "closes nothing"}, {"{ }", "without a name"},
        {"\n\n;", "x:3: a \";\" where"}, {"a 'x\\", "quote without end"},
        {"a }", "closes nothing"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse(cases[i].source), -1);
        if (!strstr(text, cases[i].says))
            fail_msg("%s: %s", cases[i].source, text);
    }
    char *word_too_long = malloc(10001);
    memset(word_too_long, 'x', 10000);
    word_too_long[10000] = '\0';
    assert_int_equal(parse(word_too_long), -1);
    free(word_too_long);
    char *nested = calloc(1, 401);
    for (int i = 0; i < 200; i++)
        memcpy(nested + 2 * i, "a{", 2);
    assert_int_equal(parse(nested), -1);
    assert_non_null(strstr(text, "64 blocks"));
    free(nested);
    assert_int_equal(parse(""), 0);
    assert_int_equal(conf.n, 0);
}

static void times_and_sizes(void **state)
{
    static const struct {
        const char *text;
        int64_t time_ms, size_bytes;
    } cases[] = {
        {"90", 90000, 90},
        {"130s", 130000, -1},
        {"1m30s", 90000, -1},
        {"1m 30s", 90000, -1},
        {"500ms", 500, -1},
        {"16m", 960000, 16 << 20},
        {"1g", -1, 1 << 30},
        {"8k", -1, 8192},
        {"2d", 172800000, -1},
        {"", -1, -1},
        {"x", -1, -1},
        {"-1s", -1, -1},
        {"99999999999999999999", -1, -1},
        {"999999999999999y", -1, -1},
        {"1.5h", -1, -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (spawn_nginx_conf_time_ms(cases[i].text) != cases[i].time_ms ||
            spawn_nginx_conf_size_bytes(cases[i].text) != cases[i].size_bytes)
            fail_msg("%s", cases[i].text);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_conf, close_conf)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(words_quotes_and_comments), TEST(blocks_inherit),       TEST(files_include_files),
        TEST(what_cannot_be_included),   TEST(a_dump_has_all_files), TEST(what_is_no_file),
        TEST(what_is_no_configuration),  TEST(times_and_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
