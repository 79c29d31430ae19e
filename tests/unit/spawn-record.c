/* spawn-record: the FastCGI parser gives the same result however its input is cut, keeps what it
 * should, and refuses what is out of order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/buffer.h"
#include "spawn/record.h"

enum { ID = 0x1234 };

static void add_record(struct fcgi_buffer *out, enum spawn_record_type type, const void *bytes,
                       size_t n, uint8_t padding)
{
    uint8_t header[SPAWN_RECORD_HEADER_BYTES];
    static const uint8_t zeros[255];

    spawn_record_header(header, type, ID, n);
    header[6] = padding;
    fcgi_buffer_add(out, header, sizeof header);
    fcgi_buffer_add(out, bytes, n);
    fcgi_buffer_add(out, zeros, padding);
}

static void add_length(struct fcgi_buffer *out, size_t n, int wide)
{
    uint8_t bytes[4] = {(uint8_t)(n >> 24 | 0x80), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                        (uint8_t)n};

    fcgi_buffer_add(out, wide ? bytes : bytes + 3, wide ? 4 : 1);
}

static void add_pair(struct fcgi_buffer *out, const char *name, const char *value, int wide)
{
    add_length(out, strlen(name), wide);
    add_length(out, strlen(value), wide || strlen(value) > 127);
    fcgi_buffer_text(out, name);
    fcgi_buffer_text(out, value);
}

static struct fcgi_buffer make_request(void)
{
    static const uint8_t begin[8] = {0, 1};
    struct fcgi_buffer params = {0}, out = {0};
    char cookie[600];

    memset(cookie, 'c', sizeof cookie - 1);
    cookie[sizeof cookie - 1] = '\0';
    add_pair(&params, "QUERY_STRING", "", 0);
    add_pair(&params, "REQUEST_METHOD", "GET", 1);
    add_pair(&params, "HTTP_COOKIE", cookie, 0);
    add_pair(&params, "HTTP_A_NAME_LONGER_THAN_ANY_THAT_IS_KEPT_HERE", "x", 0);
    add_pair(&params, "", "no name", 0);
    add_pair(&params, "REQUEST_METHO", "shorter", 0);
    add_pair(&params, "DOCUMENT_URI", "/health", 0);
    add_pair(&params, "RESNET_LISTENER", "a value longer than its place", 0);

    add_record(&out, SPAWN_RECORD_BEGIN, begin, sizeof begin, 3);
    add_record(&out, SPAWN_RECORD_PARAMS, params.bytes, 100, 7);
    add_record(&out, SPAWN_RECORD_PARAMS, params.bytes + 100, params.n - 100, 0);
    add_record(&out, SPAWN_RECORD_PARAMS, NULL, 0, 0);
    add_record(&out, SPAWN_RECORD_STDIN, cookie, sizeof cookie, 255);
    add_record(&out, SPAWN_RECORD_STDIN, NULL, 0, 0);
    assert_false(params.failed || out.failed);
    fcgi_buffer_free(&params);
    return out;
}

static const uint8_t *bytes_of(const struct fcgi_buffer *buffer)
{
    return (const uint8_t *)buffer->bytes;
}

static void check_whole(const struct spawn_record_reader *reader)
{
    assert_int_equal(reader->state, SPAWN_RECORD_WHOLE);
    assert_int_equal(reader->request_id, ID);
    assert_string_equal(reader->params.method, "GET");
    assert_string_equal(reader->params.uri, "/health");
    assert_string_equal(reader->params.listener, "a value longer ");
    assert_string_equal(reader->params.request_id, "");
}

static void every_cut(void **state)
{
    struct fcgi_buffer request = make_request();
    (void)state;

    for (size_t cut = 0; cut <= request.n; cut++) {
        struct spawn_record_reader reader;
        spawn_record_init(&reader);
        if (cut < request.n)
            assert_int_equal(spawn_record_feed(&reader, bytes_of(&request), cut),
                             SPAWN_RECORD_MORE);
        else
            spawn_record_feed(&reader, bytes_of(&request), cut);
        spawn_record_feed(&reader, bytes_of(&request) + cut, request.n - cut);
        check_whole(&reader);
    }
    fcgi_buffer_free(&request);
}

static void byte_by_byte(void **state)
{
    struct fcgi_buffer request = make_request();
    struct spawn_record_reader reader;
    (void)state;

    spawn_record_init(&reader);
    for (size_t i = 0; i < request.n; i++) {
        uint8_t *byte = malloc(1); /* a sanitizer sees the first byte too many */
        assert_non_null(byte);
        *byte = bytes_of(&request)[i];
        spawn_record_feed(&reader, byte, 1);
        free(byte);
    }
    check_whole(&reader);
    fcgi_buffer_free(&request);
}

/* Whatever one byte is turned into, the parser ends in one of its states and stays inside. */
static void every_damage(void **state)
{
    struct fcgi_buffer request = make_request();
    uint8_t *copy = malloc(request.n);
    (void)state;

    assert_non_null(copy);
    for (size_t at = 0; at < request.n; at++) {
        for (int bit = 0; bit < 8; bit++) {
            struct spawn_record_reader reader;
            memcpy(copy, request.bytes, request.n);
            copy[at] ^= (uint8_t)(1 << bit);
            spawn_record_init(&reader);
            spawn_record_feed(&reader, copy, request.n);
            assert_int_equal(reader.params.method[sizeof reader.params.method - 1], 0);
            assert_int_equal(reader.params.uri[sizeof reader.params.uri - 1], 0);
            assert_int_equal(reader.params.listener[sizeof reader.params.listener - 1], 0);
        }
    }
    free(copy);
    fcgi_buffer_free(&request);
}

static void last_value_counts(void **state)
{
    static const uint8_t begin[8] = {0, 1};
    struct fcgi_buffer params = {0}, out = {0};
    struct spawn_record_reader reader;
    (void)state;

    add_pair(&params, "DOCUMENT_URI", "/longer/than/the/next", 0);
    add_pair(&params, "DOCUMENT_URI", "/short", 0);
    add_record(&out, SPAWN_RECORD_BEGIN, begin, sizeof begin, 0);
    add_record(&out, SPAWN_RECORD_PARAMS, params.bytes, params.n, 0);
    spawn_record_init(&reader);
    assert_int_equal(spawn_record_feed(&reader, bytes_of(&out), out.n), SPAWN_RECORD_MORE);
    assert_string_equal(reader.params.uri, "/short");
    fcgi_buffer_free(&params);
    fcgi_buffer_free(&out);
}

static enum spawn_record_state feed_one(const uint8_t *begin, enum spawn_record_type then)
{
    struct fcgi_buffer out = {0};
    struct spawn_record_reader reader;

    if (begin)
        add_record(&out, SPAWN_RECORD_BEGIN, begin, 8, 0);
    add_record(&out, then, NULL, 0, 0);
    spawn_record_init(&reader);
    enum spawn_record_state state = spawn_record_feed(&reader, bytes_of(&out), out.n);
    fcgi_buffer_free(&out);
    return state;
}

static void order(void **state)
{
    static const uint8_t responder[8] = {0, 1}, authorizer[8] = {0, 2}, far[8] = {1, 1};
    (void)state;

    assert_int_equal(feed_one(responder, SPAWN_RECORD_PARAMS), SPAWN_RECORD_MORE);
    assert_int_equal(feed_one(NULL, SPAWN_RECORD_PARAMS), SPAWN_RECORD_BROKEN);
    assert_int_equal(feed_one(responder, SPAWN_RECORD_STDIN), SPAWN_RECORD_BROKEN);
    assert_int_equal(feed_one(responder, SPAWN_RECORD_ABORT), SPAWN_RECORD_BROKEN);
    assert_int_equal(feed_one(responder, SPAWN_RECORD_BEGIN), SPAWN_RECORD_BROKEN);
    assert_int_equal(feed_one(authorizer, SPAWN_RECORD_PARAMS), SPAWN_RECORD_BROKEN);
    assert_int_equal(feed_one(far, SPAWN_RECORD_PARAMS), SPAWN_RECORD_BROKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut),    cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(every_damage), cmocka_unit_test(last_value_counts),
        cmocka_unit_test(order),
    };

    return cmocka_run_group_tests_name("spawn-record", tests, NULL, NULL);
}
