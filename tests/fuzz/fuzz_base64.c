/* base64: beside a decoder that knows nothing but the RFC's words, in place and elsewhere. */
#include "fcgi/base64.h"
#include "tests/fuzz/fuzz.h"

static int digit(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != 0 ? strchr(alphabet, c) : NULL;

    return at != NULL ? (int)(at - alphabet) : -1;
}

/* A bit at a time. Returns the bytes made, -1 when text is not strict base64. */
static long by_bits(const char *text, size_t n, uint8_t *out)
{
    size_t padding = n != 0 && text[n - 1] == '=' ? 1 + (n > 1 && text[n - 2] == '=') : 0;
    size_t bits = 0;

    if (n % 4 != 0)
        return -1;
    for (size_t i = 0; i < n - padding; i++) {
        if (digit(text[i]) < 0)
            return -1;
        for (int b = 5; b >= 0; b--, bits++) {
            uint8_t *byte = &out[bits / 8];

            *byte = (uint8_t)(*byte << 1 | (digit(text[i]) >> b & 1));
        }
    }
    /* what is left over of a last group, and has to be zero */
    if (bits % 8 != 0 && out[bits / 8] != 0)
        return -1;
    return (long)(bits / 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char *text = (char *)fuzz_copy(bytes, n);
    uint8_t *expected = fuzz_block(n + 1), *out = fuzz_block(n / 4 * 3 + 1);
    struct fcgi_err err = {.code = FCGI_E_OK};

    memset(expected, 0, n + 1);
    long n_expected = by_bits(text, n, expected);
    size_t n_out = 0;
    int code = fcgi_base64_decode(text, n, out, &n_out, &err);

    FUZZ_EXPECT((code == FCGI_E_OK) == (n_expected >= 0));
    FUZZ_EXPECT(code == FCGI_E_OK || (code == FCGI_E_BAD_BASE64 && err.text[0] != 0));
    if (code == FCGI_E_OK) {
        FUZZ_EXPECT((long)n_out == n_expected && memcmp(out, expected, n_out) == 0);
        FUZZ_EXPECT(fcgi_base64_decode(text, n, (uint8_t *)text, &n_out, &err) == FCGI_E_OK);
        FUZZ_EXPECT((long)n_out == n_expected && memcmp(text, expected, n_out) == 0);
    }
    free(out);
    free(expected);
    free(text);
    return 0;
}
