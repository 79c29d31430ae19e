/* records: what a peer of a worker's socket sends: the check of its beginning gives one verdict for
 * every way of cutting it. */
#include "fcgi/records.h"
#include "tests/fuzz/fuzz.h"

/* The first so many bytes; a verdict that is final stays the same when more follow. */
static void check_head(const uint8_t *bytes, size_t n)
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
    check_head(bytes, n);
    answer(bytes, n);
    return 0;
}
