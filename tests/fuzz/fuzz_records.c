/* records: what a peer of a worker's socket sends. The check of its beginning gives one verdict for
 * every way of cutting it; what it lets through libfcgi takes; and behind that the body is read.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fcgi/input.h"
#include "fcgi/params.h"
#include "fcgi/records.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_BODY = 1 << 14 };

/* The first so many bytes; a verdict that is final stays the same when more follow. Returns the
 * last. */
static enum fcgi_records_verdict check_head(const uint8_t *bytes, size_t n)
{
    enum fcgi_records_verdict last = FCGI_RECORDS_MORE;

    for (size_t cut = 0; cut <= n; cut += 1 + (n - cut) / 16) {
        uint8_t *head = fuzz_copy(bytes, cut);
        const char *why = NULL;
        enum fcgi_records_verdict verdict = fcgi_records_head(head, cut, &why);

        FUZZ_EXPECT(last == FCGI_RECORDS_MORE || verdict == last);
        FUZZ_EXPECT((verdict == FCGI_RECORDS_WRONG) == (why != NULL));
        last = verdict;
        free(head);
    }
    return last;
}

/* The body is the same, or broken in the same place, in whatever pieces it comes. */
static void check_body(const uint8_t *bytes, size_t n, int id)
{
    struct fcgi_records_stdin whole = {.id = id}, pieces = {.id = id};
    uint8_t *copy = fuzz_copy(bytes, n);
    size_t content, total = 0, got = 0;
    int code = fcgi_records_stdin(&whole, copy, n, &content), piece = 0;

    for (size_t i = 0; i < n && piece == 0; i++) {
        uint8_t byte = bytes[i];

        piece = fcgi_records_stdin(&pieces, &byte, 1, &got);
        FUZZ_EXPECT(got == 0 || (total < content && copy[total] == byte));
        total += got;
    }
    FUZZ_EXPECT(piece == code && total == content && pieces.ended == whole.ended);
    free(copy);
}

/* As input.c reads it from a connection that ends with these bytes. */
static void read_body(const uint8_t *bytes, size_t n, int id, int64_t declared)
{
    _Atomic uint64_t ticks = 0;
    struct fcgi_err err = {.code = FCGI_E_OK};
    struct fcgi_input input;
    int pair[2], code;

    FUZZ_EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    if (send(pair[1], bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n) {
        shutdown(pair[1], SHUT_WR);
        FUZZ_EXPECT(fcgi_input_open(&input, MAX_BODY) == 0);
        code = fcgi_input_read(&input, pair[0], id, declared, 0, &ticks, &err);
        FUZZ_EXPECT(input.n <= input.max && input.n <= input.total);
        FUZZ_EXPECT(code == FCGI_E_OK || code == FCGI_E_BODY_TOO_LARGE ||
                    code == FCGI_E_BODY_TRUNCATED || code == FCGI_E_BAD_REQUEST);
        FUZZ_EXPECT(code != FCGI_E_OK || declared < 0 || declared == (int64_t)input.total);
        FUZZ_EXPECT(code != FCGI_E_OK || input.n == input.total);
        fcgi_input_trim(&input);
        fcgi_input_close(&input);
    }
    close(pair[0]);
    close(pair[1]);
}

static void take(const uint8_t *bytes, size_t n)
{
    struct fcgi_params params;
    size_t head_n = fcgi_records_head_bytes(bytes, n);
    uint8_t *bare = malloc(head_n);
    int id;

    FUZZ_EXPECT(bare && head_n <= n);
    memcpy(bare, bytes, head_n);
    FUZZ_EXPECT(fcgi_params_open(&params) == 0);
    FUZZ_EXPECT(fcgi_params_read(&params, bare, fcgi_records_head_bare(bare, head_n)) == 0);
    free(bare);
    id = params.fcgx.requestId;
    fcgi_params_drop(&params);
    fcgi_params_close(&params);
    check_body(bytes + head_n, n - head_n, id);
    read_body(bytes + head_n, n - head_n, id, -1);
    read_body(bytes + head_n, n - head_n, id, 5);
}

/* What is written: whole records, nothing lost. */
static void answer(const uint8_t *bytes, size_t n)
{
    struct fcgi_buffer wire = {0}, head = {0}, body = {0};

    fcgi_buffer_add(&head, bytes, n / 3);
    fcgi_buffer_add(&body, bytes + n / 3, n - n / 3);
    fcgi_records_answer(&wire, 1, &head, &body);
    FUZZ_EXPECT(!wire.failed && wire.n >= n + 24 && wire.n % 8 == n % 8);
    fcgi_buffer_free(&wire);
    fcgi_buffer_free(&head);
    fcgi_buffer_free(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n > FCGI_RECORDS_MAX_HEAD)
        n = FCGI_RECORDS_MAX_HEAD;
    if (check_head(bytes, n) == FCGI_RECORDS_WHOLE)
        take(bytes, n);
    answer(bytes, n);
    return 0;
}
