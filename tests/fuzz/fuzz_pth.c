/* pth: both container forms; of a zip also with its entries' checksums put right. */
#include <isa-l/crc.h>

#include "tests/fuzz/fuzz_source.h"

enum { DIRECTORY_BYTES = 46, LOCAL_BYTES = 30 };

static uint32_t get(const uint8_t *p, int n)
{
    uint32_t v = 0;

    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

/* The entry that the directory describes at `at`, if it is stored. */
static void repair_entry(uint8_t *bytes, size_t n, size_t at)
{
    size_t local = get(bytes + at + 42, 4), size = get(bytes + at + 20, 4), data;

    if (local > n || n - local < LOCAL_BYTES || memcmp(bytes + local, "PK\3\4", 4) != 0)
        return;
    data = local + LOCAL_BYTES + get(bytes + local + 26, 2) + get(bytes + local + 28, 2);
    if (data > n || size > n - data)
        return;
    uint32_t crc = crc32_gzip_refl(0, bytes + data, size);
    put32(bytes + at + 16, crc);
    put32(bytes + local + 14, crc);
}

static void repair(uint8_t *bytes, size_t n)
{
    for (size_t at = 0; n - at >= DIRECTORY_BYTES; at++)
        if (memcmp(bytes + at, "PK\1\2", 4) == 0)
            repair_entry(bytes, n, at);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    uint8_t *copy;

    fuzz_source(bytes, n);
    if (n < DIRECTORY_BYTES || memcmp(bytes, "PK\3\4", 4) != 0)
        return 0;
    copy = fuzz_copy(bytes, n);
    repair(copy, n);
    fuzz_source(copy, n);
    free(copy);
    return 0;
}
