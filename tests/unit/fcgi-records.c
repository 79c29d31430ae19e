/* What begins a request, byte by byte, and an answer's records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/records.h"

static uint8_t wire[FCGI_RECORDS_MAX_HEAD + 4096];
static size_t wire_n;
static const char *why;

static void add_record(int type, int id, const void *content, size_t n, size_t padding)
{
    const uint8_t header[8] = {1,          (uint8_t)type,    0, (uint8_t)id, (uint8_t)(n >> 8),
                               (uint8_t)n, (uint8_t)padding, 0};

    assert_true(wire_n + 8 + n + padding <= sizeof wire);
    memcpy(wire + wire_n, header, 8);
    if (n)
        memcpy(wire + wire_n + 8, content, n);
    memset(wire + wire_n + 8 + n, 0xee, padding);
    wire_n += 8 + n + padding;
}

static void begin(int role, int flags)
{
    const uint8_t content[8] = {0, (uint8_t)role, (uint8_t)flags};

    wire_n = 0;
    add_record(1, 1, content, 8, 0);
}

/* In a block of its own size, so that AddressSanitizer sees any byte read past it. */
static enum fcgi_records_verdict check(size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);

    memcpy(copy, wire, n);
    enum fcgi_records_verdict verdict = fcgi_records_head(copy, n, &why);
    free(copy);
    return verdict;
}

static const char pairs[] = "\x04\x05"
                            "NAMEvalue"
                            "\x03\x00"
                            "TWO"
                            "\x80\x00\x00\x05\x01"
                            "THREEx";
enum { PAIRS_N = sizeof pairs - 1 };

static void whole_only_at_the_last_byte(void **state)
{
    (void)state;
    begin(1, 0);
    add_record(4, 1, pairs, PAIRS_N, 3);
    add_record(4, 1, NULL, 0, 0);
    for (size_t n = 0; n < wire_n; n++)
        assert_int_equal(check(n), FCGI_RECORDS_MORE);
    assert_int_equal(check(wire_n), FCGI_RECORDS_WHOLE);
    size_t head_n = wire_n;
    add_record(5, 1, "body", 4, 0); /* what follows is not looked at */
    for (size_t n = head_n; n <= wire_n; n++)
        assert_int_equal(check(n), FCGI_RECORDS_WHOLE);
}

/* A record may end anywhere in a name, a value, or a length. */
static void pairs_across_records(void **state)
{
    (void)state;
    for (size_t cut = 1; cut < PAIRS_N; cut++) {
        begin(1, 1);
        add_record(4, 1, pairs, cut, 0);
        add_record(4, 1, pairs + cut, PAIRS_N - cut, 1);
        add_record(4, 1, NULL, 0, 0);
        assert_int_equal(check(wire_n), FCGI_RECORDS_WHOLE);
    }
}

static void cut_pairs_are_wrong(void **state)
{
    (void)state;
    for (size_t n = 1; n < PAIRS_N; n++) {
        begin(1, 0);
        add_record(4, 1, pairs, n, 0);
        add_record(4, 1, NULL, 0, 0);
        int ends_a_pair = n == 11 || n == 16;
        assert_int_equal(check(wire_n), ends_a_pair ? FCGI_RECORDS_WHOLE : FCGI_RECORDS_WRONG);
    }
}

static void wrong_from_the_start(void **state)
{
    (void)state;
    begin(1, 0);
    wire[0] = 'G';
    assert_int_equal(check(1), FCGI_RECORDS_WRONG);
    assert_string_equal(why, "not FastCGI version 1");
    begin(2, 0); /* an authorizer */
    assert_int_equal(check(wire_n), FCGI_RECORDS_WRONG);
    begin(1, 0);
    wire[3] = 0; /* request 0 is for management */
    assert_int_equal(check(wire_n), FCGI_RECORDS_WRONG);
    wire_n = 0;
    add_record(9, 0,
               "\x0f\x00"
               "FCGI_MPXS_CONNS",
               17, 0); /* GET_VALUES */
    assert_int_equal(check(wire_n), FCGI_RECORDS_WRONG);
    assert_string_equal(why, "expected BEGIN_REQUEST of a responder");
}

static void wrong_later(void **state)
{
    static const int types[] = {0, 1, 2, 3, 5, 6, 8, 9, 255};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        begin(1, 0);
        add_record(types[i], 1, pairs, PAIRS_N, 0);
        assert_int_equal(check(wire_n), FCGI_RECORDS_WRONG);
    }
    begin(1, 0);
    add_record(4, 2, pairs, PAIRS_N, 0);
    assert_int_equal(check(wire_n), FCGI_RECORDS_WRONG);
    /* a length near 2^31 makes libfcgi assert */
    begin(1, 0);
    add_record(4, 1, "\xff\xff\xff\xff\x01x", 6, 0);
    assert_int_equal(check(wire_n), FCGI_RECORDS_WRONG);
    assert_string_equal(why, "a parameter longer than 128 KiB");
}

static void endless_parameters(void **state)
{
    static char value[60000];

    (void)state;
    begin(1, 0);
    /* one pair of 128 KiB, value first cut by the limit on the whole */
    memcpy(value, "\x01\x80\x01\xff\xf0N", 6);
    add_record(4, 1, value, sizeof value, 0);
    add_record(4, 1, value, sizeof value, 0);
    add_record(4, 1, value, 14000, 0);
    assert_true(wire_n > FCGI_RECORDS_MAX_HEAD);
    assert_int_equal(check(FCGI_RECORDS_MAX_HEAD - 1), FCGI_RECORDS_MORE);
    assert_int_equal(check(FCGI_RECORDS_MAX_HEAD), FCGI_RECORDS_WRONG);
    assert_string_equal(why, "more than 128 KiB of parameters");
}

static void bytes_of_a_head(void **state)
{
    (void)state;
    begin(1, 0);
    add_record(4, 1, pairs, PAIRS_N, 5);
    add_record(4, 1, "", 0, 3);
    size_t head_n = wire_n;
    assert_int_equal(fcgi_records_head_bytes(wire, wire_n), head_n);
    add_record(5, 1, "body", 4, 0);
    assert_int_equal(fcgi_records_head_bytes(wire, wire_n), head_n);
}

static void a_head_without_padding(void **state)
{
    uint8_t padded[1024], bare[1024];

    (void)state;
    begin(1, 0);
    add_record(4, 1, pairs, PAIRS_N, 0);
    add_record(4, 1, "", 0, 0);
    size_t bare_n = wire_n;
    memcpy(bare, wire, bare_n);
    wire_n = 0;
    add_record(1, 1, "\0\1\0\0\0\0\0\0", 8, 255);
    add_record(4, 1, pairs, PAIRS_N, 5);
    add_record(4, 1, "", 0, 3);
    assert_true(wire_n <= sizeof padded);
    memcpy(padded, wire, wire_n);
    assert_int_equal(fcgi_records_head_bare(padded, wire_n), bare_n);
    assert_memory_equal(padded, bare, bare_n);
    assert_int_equal(fcgi_records_head_bare(bare, bare_n), bare_n);
    assert_int_equal(fcgi_records_head_bare(bare, 0), 0);
}

/* ---- the body ------------------------------------------------------------------------------- */

/* Feeds the wire in pieces of so many bytes, each in a block of its own. Returns the content's
 * bytes, in text, or -1. */
static long feed(size_t piece, char *text, struct fcgi_records_stdin *in)
{
    long total = 0;

    *in = (struct fcgi_records_stdin){.id = 1};
    for (size_t at = 0; at < wire_n; at += piece) {
        size_t n = wire_n - at < piece ? wire_n - at : piece, content = 0;
        uint8_t *copy = malloc(n);
        memcpy(copy, wire + at, n);
        int code = fcgi_records_stdin(in, copy, n, &content);
        assert_true(content <= n);
        memcpy(text + total, copy, content);
        free(copy);
        if (code)
            return -1;
        total += (long)content;
    }
    return total;
}

static void a_body_in_any_cut(void **state)
{
    struct fcgi_records_stdin in;
    char text[64];

    (void)state;
    wire_n = 0;
    add_record(5, 1, "Hello, ", 7, 1);
    add_record(5, 1, "w", 1, 255);
    add_record(5, 1, "orld", 4, 0);
    size_t before_end = wire_n;
    add_record(5, 1, "", 0, 2);
    add_record(5, 1, "what follows is nobody's", 24, 0);
    for (size_t piece = 1; piece <= wire_n; piece++) {
        assert_int_equal(feed(piece, text, &in), 12);
        assert_memory_equal(text, "Hello, world", 12);
        assert_true(in.ended);
    }
    wire_n = before_end;
    assert_int_equal(feed(wire_n, text, &in), 12);
    assert_false(in.ended);
}

/* GET_VALUES with four names overruns libfcgi's stack, an unknown type leaks, ABORT ends it. */
static void a_body_of_other_records(void **state)
{
    static const int types[] = {0, 1, 2, 3, 4, 6, 8, 9, 99};
    struct fcgi_records_stdin in;
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        for (int id = 0; id < 2; id++) {
            wire_n = 0;
            add_record(5, 1, "abc", 3, 0);
            add_record(types[i], id, "x", 1, 0);
            assert_int_equal(feed(1, text, &in), -1);
            assert_int_equal(feed(wire_n, text, &in), -1);
        }
    wire_n = 0;
    add_record(5, 2, "another request's", 17, 0);
    assert_int_equal(feed(wire_n, text, &in), -1);
    wire[0] = 2;
    assert_int_equal(feed(wire_n, text, &in), -1);
}

/* Reads the STDOUT records back. */
static size_t read_back(const struct fcgi_buffer *out, int id, char *text)
{
    const unsigned char *at = (const unsigned char *)out->bytes;
    size_t left = out->n, n = 0;

    for (;;) {
        assert_true(left >= 8 && at[0] == 1 && (at[2] << 8 | at[3]) == id && at[6] == 0);
        size_t content = (size_t)(at[4] << 8 | at[5]);
        assert_true(left >= 8 + content);
        if (at[1] == 3) {
            assert_int_equal(left, 16);
            return n;
        }
        assert_int_equal(at[1], 6);
        memcpy(text + n, at + 8, content);
        n += content;
        at += 8 + content;
        left -= 8 + content;
    }
}

static void answers_of_every_size(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 65500, 65528, 65529, 131056, 200000};
    char *text = malloc(300000), *back = malloc(300000);

    (void)state;
    for (size_t i = 0; i < 300000; i++)
        text[i] = (char)(i * 7 + i / 256);
    for (size_t h = 0; h < 4; h++)
        for (size_t b = 0; b < sizeof sizes / sizeof sizes[0]; b++) {
            struct fcgi_buffer head = {text, sizes[h], 0, 0},
                               body = {text + sizes[h], sizes[b], 0, 0}, out = {0};
            fcgi_records_answer(&out, 0x1234, &head, &body);
            assert_int_equal(out.failed, 0);
            assert_int_equal(read_back(&out, 0x1234, back), sizes[h] + sizes[b]);
            assert_memory_equal(back, text, sizes[h] + sizes[b]);
            fcgi_buffer_free(&out);
        }
    free(text);
    free(back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_only_at_the_last_byte),
        cmocka_unit_test(pairs_across_records),
        cmocka_unit_test(cut_pairs_are_wrong),
        cmocka_unit_test(wrong_from_the_start),
        cmocka_unit_test(wrong_later),
        cmocka_unit_test(endless_parameters),
        cmocka_unit_test(bytes_of_a_head),
        cmocka_unit_test(a_head_without_padding),
        cmocka_unit_test(a_body_in_any_cut),
        cmocka_unit_test(a_body_of_other_records),
        cmocka_unit_test(answers_of_every_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
