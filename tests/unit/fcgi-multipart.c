/* Forms, whole, cut at every byte, and wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/multipart.h"

static const char type[] = "multipart/form-data; boundary=XyZ";
static struct fcgi_err err;
static char seen[1024]; /* "[name:bytes]" of each part */

/* In a block of its own size. Returns what the last call did: 0 whole, -1 refused. */
static int walk(const char *content_type, const void *bytes, size_t n)
{
    struct fcgi_multipart multipart;
    struct fcgi_part part;
    uint8_t *copy = malloc(n ? n : 1);
    int got;

    memcpy(copy, bytes, n);
    seen[0] = 0;
    err.code = FCGI_E_OK;
    got = fcgi_multipart_open(&multipart, content_type, copy, n, &err);
    while (!got && (got = fcgi_multipart_next(&multipart, &part, &err)) > 0) {
        size_t at = strlen(seen);
        assert_true(part.bytes >= copy && part.bytes + part.n <= copy + n);
        snprintf(seen + at, sizeof seen - at, "[%s:%.*s]", part.name, (int)part.n,
                 (const char *)part.bytes);
        got = 0;
    }
    free(copy);
    if (got < 0)
        assert_int_equal(err.code, FCGI_E_BAD_MULTIPART);
    return got;
}

static int walk_text(const char *content_type, const char *text)
{
    return walk(content_type, text, strlen(text));
}

#define PART(name, content)                                                                        \
    "--XyZ\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" content "\r\n"

static const char whole[] =
    "--XyZ\r\n"
    "Content-Disposition: form-data; name=\"file\"; "
    "filename=\"a;name=\\\"x\\\".jpg\"\r\n"
    "Content-Type: image/jpeg\r\n"
    "\r\n"
    "bytes --XyZ and \r\n--Xy more\r\n" PART("top_k", "3") PART("image", "") "--XyZ--\r\n";

static void a_form(void **state)
{
    (void)state;
    assert_int_equal(walk_text(type, whole), 0);
    assert_string_equal(seen, "[file:bytes --XyZ and \r\n--Xy more][top_k:3][image:]");
    assert_int_equal(walk_text("multipart/form-data; charset=x; Boundary=\"XyZ\"", whole), 0);
    assert_int_equal(walk_text(type, "preamble\r\n" PART("file", "x") "--XyZ--epilogue"), 0);
    assert_string_equal(seen, "[file:x]");
    assert_int_equal(walk_text(type, "--XyZ \t\r\ncontent-disposition:form-data;name=f\r\n\r\nx"
                                     "\r\n--XyZ--"),
                     0);
    assert_string_equal(seen, "[f:x]");
}

static void cut_at_every_byte(void **state)
{
    size_t n = strlen(whole) - 2; /* the last line break is not needed */

    (void)state;
    for (size_t cut = 0; cut < n; cut++)
        if (walk(type, whole, cut) != -1)
            fail_msg("whole after %zu of %zu bytes", cut, n);
    assert_int_equal(walk(type, whole, n), 0);
}

static void every_byte_changed(void **state)
{
    char changed[sizeof whole];

    (void)state;
    for (size_t i = 0; i < sizeof whole - 1; i++)
        for (int byte = 0; byte < 256; byte += 3) {
            memcpy(changed, whole, sizeof whole);
            changed[i] = (char)byte;
            walk(type, changed, sizeof whole - 1); /* the sanitizer judges */
        }
}

static void boundaries(void **state)
{
    char longest[128] = "multipart/form-data; boundary=";

    (void)state;
    assert_int_equal(walk_text("multipart/form-data", whole), -1);
    assert_string_equal(err.text, "multipart: Content-Type has no boundary parameter");
    assert_int_equal(walk_text("multipart/form-data; boundary=", whole), -1);
    assert_int_equal(walk_text("multipart/form-data; boundary=\"Xy", whole), -1);
    assert_int_equal(walk_text("multipart/form-data; boundary=\"a\r\nb\"", whole), -1);
    assert_int_equal(walk_text("multipart/form-data; boundary=\"a \"", whole), -1);
    assert_int_equal(walk_text("multipart/form-data; boundary=other", whole), -1);
    assert_string_equal(
        err.text, "multipart: the body does not contain the boundary that Content-Type names");
    memset(longest + 30, 'b', 71);
    assert_int_equal(walk_text(longest, whole), -1);
    longest[30 + 70] = 0;
    char body[512];
    snprintf(body, sizeof body, "--%s\r\nContent-Disposition: form-data; name=f\r\n\r\nx\r\n--%s--",
             longest + 30, longest + 30);
    assert_int_equal(walk_text(longest, body), 0);
}

static void headers(void **state)
{
    static const char *const bad[] = {
        "--XyZ\r\n\r\nx\r\n--XyZ--",                                            /* none */
        "--XyZ\r\nContent-Type: a/b\r\n\r\nx\r\n--XyZ--",                       /* no disposition */
        "--XyZ\r\nContent-Disposition: attachment; name=f\r\n\r\nx\r\n--XyZ--", /* not a form */
        "--XyZ\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XyZ--",          /* no name */
        "--XyZ\r\nContent-Disposition: form-data; name=\"\"\r\n\r\nx\r\n--XyZ--", /* empty */
        "--XyZ\r\nContent-Disposition: form-data; name=\"f\r\n\r\nx\r\n--XyZ--",  /* open quote */
        "--XyZ\r\nno colon\r\n\r\nx\r\n--XyZ--",
        "--XyZ\r\n: no name\r\n\r\nx\r\n--XyZ--",
        "--XyZgarbage\r\nContent-Disposition: form-data; name=f\r\n\r\nx\r\n--XyZ--",
        "--XyZ\nContent-Disposition: form-data; name=f\n\nx\n--XyZ--",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (walk_text(type, bad[i]) != -1)
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(walk_text(type, PART("caf\xc3\xa9", "x") "--XyZ--"), 0);
    assert_string_equal(seen, "[caf??:x]"); /* fit for a sentence */
}

static void too_much(void **state)
{
    static char body[70 * 80 + 16], line[6000];
    size_t n = 0;

    (void)state;
    for (int parts = 0; parts < 65; parts++) {
        memcpy(body + n, PART("f", "x"), strlen(PART("f", "x")));
        n += strlen(PART("f", "x"));
        memcpy(body + n, "--XyZ--", 7);
        assert_int_equal(walk(type, body, n + 7), parts < 64 ? 0 : -1);
    }
    assert_string_equal(err.text, "multipart: more than 64 parts");
    memset(line, 'h', sizeof line);
    memcpy(line, "--XyZ\r\nX: ", 10);
    assert_int_equal(walk(type, line, sizeof line), -1);
    assert_string_equal(err.text, "multipart: a part's header line is over 4096 bytes");
    n = 7;
    memcpy(body, "--XyZ\r\n", 7);
    for (int i = 0; i < 17; i++, n += 6)
        memcpy(body + n, "A: b\r\n", 6);
    assert_int_equal(walk(type, body, n), -1);
    assert_string_equal(err.text, "multipart: a part has more than 16 header lines");
}

static void no_closing_boundary(void **state)
{
    (void)state;
    assert_int_equal(walk_text(type, "--XyZ\r\nContent-Disposition: form-data; name=file\r\n\r\nx"),
                     -1);
    assert_non_null(strstr(err.text, "no closing boundary after the part \"file\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_form),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(boundaries),
        cmocka_unit_test(every_byte_changed),
        cmocka_unit_test(headers),
        cmocka_unit_test(too_much),
        cmocka_unit_test(no_closing_boundary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
