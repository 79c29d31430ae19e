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
    return 0;
}
