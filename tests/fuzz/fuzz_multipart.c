/* multipart: the first line is the Content-Type, the rest the body. */
#include "fcgi/multipart.h"
#include "tests/fuzz/fuzz.h"

static void walk(struct fcgi_multipart *multipart, const uint8_t *body, size_t n)
{
    const uint8_t *last = body;
    struct fcgi_err err = {.code = FCGI_E_OK};
    struct fcgi_part part;
    int got, parts = 0;

    while ((got = fcgi_multipart_next(multipart, &part, &err)) > 0) {
        FUZZ_EXPECT(part.bytes >= last && part.n <= n - (size_t)(part.bytes - body));
        FUZZ_EXPECT(memchr(part.name, 0, sizeof part.name) != NULL && part.name[0] != 0);
        for (const char *c = part.name; *c != 0; c++)
            FUZZ_EXPECT(*c >= ' ' && *c <= '~');
        FUZZ_EXPECT(part.n == 0 || memmem(part.bytes, part.n, multipart->delimiter,
                                          multipart->delimiter_n) == NULL);
        last = part.bytes + part.n;
        parts++;
    }
    FUZZ_EXPECT(parts <= FCGI_MULTIPART_MAX_PARTS);
    FUZZ_EXPECT(got == 0 || err.code == FCGI_E_BAD_MULTIPART);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char *content_type = fuzz_line(&bytes, &n);
    uint8_t *body = fuzz_copy(bytes, n);
    struct fcgi_multipart multipart;
    struct fcgi_err err;

    if (fcgi_multipart_open(&multipart, content_type, body, n, &err) == 0)
        walk(&multipart, body, n);
    else
        FUZZ_EXPECT(err.code == FCGI_E_BAD_MULTIPART);
    free(body);
    free(content_type);
    return 0;
}
