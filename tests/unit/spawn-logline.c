/* Lines of logs: ours and nginx's, behind what collectors put in front; ragged, cut off, huge, and
 * made by somebody who means harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "spawn/logline.h"
#include "spawn/logread.h"

static const char logfmt[] =
    "2026-11-20T10:11:12.345Z level=info program=resnet-fcgi host=web1 slot=0 pid=7 event=request "
    "request_id=some-id ms=12.5 error=\"a \\\"b\\\" \\u00e9\\u000a\" path=/predict";
static const char json[] =
    "{\"time\":\"2026-11-20T10:11:12.345Z\",\"level\":\"info\",\"program\":\"resnet-fcgi\","
    "\"host\":\"web1\",\"pid\":7,\"event\":\"request\",\"request_id\":\"some-id\",\"ms\":12.5,"
    "\"empty\":\"\",\"error\":\"a \\\"b\\\" \\u00e9\\u000a\"}";
static const char nginx[] =
    "{\"time\":\"2026-11-20T10:11:12+00:00\",\"msec\":1795169472.345,\"request_id\":\"some-id\","
    "\"attempts\":1,\"upstream_status\":\"200\"}";

/* In memory that ends where the text ends, so that a byte read too far is found. */
static struct spawn_logline *parse(const char *text, size_t n)
{
    char *copy = malloc(n ? n : 1);

    assert_non_null(copy);
    memcpy(copy, text, n);
    struct spawn_logline *line = spawn_logline_parse(copy, n);
    free(copy);
    return line;
}

static struct spawn_logline *parse_after(const char *prefix, const char *text)
{
    char whole[2048];
    int n = snprintf(whole, sizeof whole, "%s%s", prefix, text);

    return parse(whole, (size_t)n);
}

static void both_formats_say_the_same(void **state)
{
    const char *texts[] = {logfmt, json};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct spawn_logline *line = parse_after("", texts[i]);
        assert_non_null(line);
        assert_int_equal(line->time_ms, 1795169472345);
        assert_string_equal(line->host, "web1");
        assert_string_equal(spawn_logline_get(line, "request_id"), "some-id");
        assert_string_equal(spawn_logline_get(line, "error"), "a \"b\" \xc3\xa9\n");
        assert_true(spawn_logline_number(line, "ms", 0) > 12.4);
        assert_string_equal(spawn_logline_get(line, "nothing"), "");
        assert_true(spawn_logline_number(line, "event", -1) < 0);
        free(line);
    }
}

static void nginx_has_milliseconds(void **state)
{
    struct spawn_logline *line = parse_after("", nginx);

    (void)state;
    assert_non_null(line);
    assert_int_equal(line->time_ms, 1795169472345);
    assert_string_equal(line->host, "");
    free(line);
}

static void prefixes_of_collectors(void **state)
{
    static const struct {
        const char *prefix, *host;
    } cases[] = {
        {"2026-11-20T10:11:12+0000 node7 resnet-spawn[12]: ", "node7"},
        {"2026-11-20T10:11:12.123456+00:00 node7 resnet-spawn[12]: ", "node7"},
        {"Nov 20 10:11:12 node7 resnet-spawn[12]: ", "node7"},
        {"2026-11-20T10:11:12.123456789Z stdout F ", "web1"},
        {"[pod/resnet-fcgi-abc-1/backend] ", "resnet-fcgi-abc-1"},
        {"/var/log/resnet.log:", "web1"},
        {"backend-1  | ", "web1"},
        {"\x1b[2J", "web1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct spawn_logline *line = parse_after(cases[i].prefix, logfmt);
        assert_non_null(line);
        assert_string_equal(line->host, cases[i].host);
        assert_string_equal(spawn_logline_get(line, "event"), "request");
        free(line);
    }
    struct spawn_logline *line = parse_after("backend-1  | ", nginx);
    assert_string_equal(line->host, "backend-1"); /* nothing better is known */
    free(line);
}

static void not_lines(void **state)
{
    static const char *const texts[] = {"",
                                        "level=info",
                                        " level=info",
                                        "Z level=",
                                        "2026-13-20T10:11:12.345Z level=info",
                                        "2026-11-20T10:11:12.345 level=info",
                                        "2026-1x-20T10:11:12.345Z level=info",
                                        "{\"time\":\"",
                                        "{\"time\":\"x\"}",
                                        "{\"time\":\"2026-11-20T10:11:12.345Z\"",
                                        "/lib/x.so(+0x12)[0x7f]",
                                        "{\"msec\":1.0}",
                                        "{\"time\":\"\",\"msec\":-5}"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_null(parse(texts[i], strlen(texts[i])));
    assert_null(parse("\0\0\0\0", 4));
}

/* Each beginning of a line, and each line with one byte changed, is a line or none; no more. */
static void cut_and_changed(void **state)
{
    static const char *const texts[] = {logfmt, json, nginx};

    (void)state;
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(texts[i]);
        char copy[1024];
        for (size_t cut = 0; cut < n; cut++)
            free(parse(texts[i], cut));
        for (size_t at = 0; at < n; at++)
            for (const char *byte = "\"\\ ={}[],:u\n\x1b\xff"; *byte; byte++) {
                memcpy(copy, texts[i], n);
                copy[at] = *byte;
                free(parse(copy, n));
            }
    }
}

static void a_value_that_is_cut_off_ends_there(void **state)
{
    struct spawn_logline *line = parse_after("", "2026-11-20T10:11:12.345Z level=warn a=\"b c");

    (void)state;
    assert_non_null(line);
    assert_string_equal(spawn_logline_get(line, "a"), "b c");
    free(line);
}

static void more_fields_than_are_kept(void **state)
{
    char text[4096] = "2026-11-20T10:11:12.345Z level=info";
    size_t n = strlen(text);

    (void)state;
    for (int i = 0; i < 200; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, " k%d=%d", i, i);
    struct spawn_logline *line = parse(text, n);
    assert_non_null(line);
    assert_int_equal(line->n_fields, SPAWN_LOGLINE_FIELDS);
    assert_string_equal(spawn_logline_get(line, "k9"), "9");
    free(line);
}

/* ---- files ---------------------------------------------------------------------------------- */

struct seen {
    int lines;
    size_t bytes, longest;
    char last[32];
};

static void see(void *ctx, const char *text, size_t n)
{
    struct seen *seen = ctx;

    seen->lines++;
    seen->bytes += n;
    seen->longest = n > seen->longest ? n : seen->longest;
    snprintf(seen->last, sizeof seen->last, "%.*s", n < 31 ? (int)n : 31, text);
}

/* The same lines however the file is cut into pieces. */
static void lines_from_any_cuts(void **state)
{
    static const char text[] = "one\n\ntwo \0 2\nthree";

    (void)state;
    for (size_t step = 1; step < sizeof text; step++) {
        struct seen seen = {0};
        struct spawn_logread *reader = calloc(1, sizeof *reader);
        assert_non_null(reader);
        reader->fn = see;
        reader->ctx = &seen;
        for (size_t at = 0; at < sizeof text - 1; at += step)
            spawn_logread_feed(reader, text + at,
                               sizeof text - 1 - at < step ? sizeof text - 1 - at : step);
        spawn_logread_end(reader);
        assert_int_equal(seen.lines, 4);
        assert_int_equal(seen.bytes, 3 + 0 + 7 + 5);
        assert_string_equal(seen.last, "three");
        free(reader);
    }
}

static void write_file(const char *path, size_t n_long)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs("before\n", file);
    for (size_t i = 0; i < n_long; i++)
        fputc('x', file);
    fputs("\nafter\n", file);
    fclose(file);
}

static void huge_lines_are_passed_over(void **state)
{
    static const size_t sizes[] = {SPAWN_LOGREAD_LINE_BYTES - 1, SPAWN_LOGREAD_LINE_BYTES,
                                   SPAWN_LOGREAD_LINE_BYTES + 1, 1000000};
    char path[] = "/tmp/resnet-lines.XXXXXX", text[256];
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    for (int i = 0; i < 4; i++) {
        struct seen seen = {0};
        write_file(path, sizes[i]);
        assert_int_equal(spawn_logread_file(path, see, &seen, text), 0);
        assert_int_equal(seen.lines, sizes[i] <= SPAWN_LOGREAD_LINE_BYTES ? 3 : 2);
        assert_true(seen.longest <= SPAWN_LOGREAD_LINE_BYTES);
        assert_string_equal(seen.last, "after");
    }
    unlink(path);
    assert_int_equal(spawn_logread_file(path, see, &(struct seen){0}, text), -1);
    assert_non_null(strstr(text, "No such file"));
    assert_int_equal(spawn_logread_file("/tmp", see, &(struct seen){0}, text), -1);
}

/* Called gzip, and is not. */
static void a_broken_gzip(void **state)
{
    char path[] = "/tmp/resnet-lines.XXXXXX", text[256];
    int fd = mkstemp(path);

    (void)state;
    assert_int_equal(write(fd, "\x1f\x8bnonsense", 10), 10);
    close(fd);
    assert_int_equal(spawn_logread_file(path, see, &(struct seen){0}, text), -1);
    assert_non_null(strstr(text, "gzip"));
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_formats_say_the_same),
        cmocka_unit_test(nginx_has_milliseconds),
        cmocka_unit_test(prefixes_of_collectors),
        cmocka_unit_test(not_lines),
        cmocka_unit_test(cut_and_changed),
        cmocka_unit_test(a_value_that_is_cut_off_ends_there),
        cmocka_unit_test(more_fields_than_are_kept),
        cmocka_unit_test(lines_from_any_cuts),
        cmocka_unit_test(huge_lines_are_passed_over),
        cmocka_unit_test(a_broken_gzip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
