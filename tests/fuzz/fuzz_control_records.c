/* control_records: what a peer of resnet-control's sockets sends, whole and byte by byte: the same
 * comes out. */
#include "spawn/record.h"
#include "tests/fuzz/fuzz.h"

static void same(const struct spawn_params *a, const struct spawn_params *b)
{
    FUZZ_EXPECT(memcmp(a, b, sizeof *a) == 0);
    FUZZ_EXPECT(memchr(a->method, 0, sizeof a->method) != NULL);
    FUZZ_EXPECT(memchr(a->uri, 0, sizeof a->uri) != NULL);
    FUZZ_EXPECT(memchr(a->nginx_id, 0, sizeof a->nginx_id) != NULL);
    FUZZ_EXPECT(memchr(a->request_id, 0, sizeof a->request_id) != NULL);
    FUZZ_EXPECT(memchr(a->listener, 0, sizeof a->listener) != NULL);
    FUZZ_EXPECT(memchr(a->traceparent, 0, sizeof a->traceparent) != NULL);
}

static enum spawn_record_state feed(struct spawn_record_reader *reader, enum spawn_record_type type,
                                    const uint8_t *bytes, size_t n)
{
    uint8_t header[SPAWN_RECORD_HEADER_BYTES];

    spawn_record_header(header, type, 1, n);
    spawn_record_feed(reader, header, sizeof header);
    return spawn_record_feed(reader, bytes, n);
}

/* The bytes as parameters between records that are as they should be: nothing is waited for. */
static void as_parameters(const uint8_t *bytes, size_t n)
{
    enum { MAX_CONTENT = 65535 };
    static const uint8_t begin[8] = {0, 1};
    struct spawn_record_reader reader;

    spawn_record_init(&reader);
    feed(&reader, SPAWN_RECORD_BEGIN, begin, sizeof begin);
    feed(&reader, SPAWN_RECORD_PARAMS, bytes, n < MAX_CONTENT ? n : MAX_CONTENT);
    feed(&reader, SPAWN_RECORD_PARAMS, begin, 0);
    FUZZ_EXPECT(feed(&reader, SPAWN_RECORD_STDIN, begin, 0) != SPAWN_RECORD_MORE);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct spawn_record_reader whole, pieces;
    enum spawn_record_state state;

    spawn_record_init(&whole);
    spawn_record_init(&pieces);
    state = spawn_record_feed(&whole, bytes, n);
    for (size_t i = 0; i < n; i++)
        spawn_record_feed(&pieces, bytes + i, 1);
    FUZZ_EXPECT(pieces.state == state);
    if (state == SPAWN_RECORD_WHOLE)
        same(&whole.params, &pieces.params);
    as_parameters(bytes, n);
    return 0;
}
