/* The digest of logits: SHA-256 of their bytes, in one piece or in several. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "weights/digest.h"

/* printf '\0\0\200\77\0\0\0\300' | sha256sum: 1.0 and -2.0 */
static const char want[] = "ee4ac73c2bd27756ab82780f27c73a7bc4d3f0bb6acb37e008bc27eccd7e588b";
static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static void known_bytes(void **state)
{
    static const float x[] = {1, -2};
    char hex[65];
    struct wt_digest_logits digest;

    (void)state;
    wt_digest_logits_begin(&digest);
    wt_digest_logits_hex(&digest, hex);
    assert_string_equal(hex, empty);
    wt_digest_logits_add(&digest, x, 2);
    wt_digest_logits_hex(&digest, hex);
    assert_string_equal(hex, want);
    wt_digest_logits_add(&digest, x, 1);
    wt_digest_logits_add(&digest, x + 1, 1);
    wt_digest_logits_hex(&digest, hex);
    assert_string_equal(hex, want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_bytes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
