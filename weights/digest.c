/* digest.c: CRC-32C by isa-l, and hex. */
#include "weights/digest.h"

#include <isa-l/crc.h>

uint32_t wt_digest_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    /* isa-l neither inverts the register nor writes through its pointer, and counts in int. */
    enum { CHUNK_BYTES = 1 << 30 };
    unsigned char *at = (unsigned char *)(uintptr_t)data;

    while (bytes > 0) {
        size_t n = bytes < CHUNK_BYTES ? bytes : CHUNK_BYTES;
        crc = ~crc32_iscsi(at, (int)n, ~crc);
        at += n;
        bytes -= n;
    }
    return crc;
}

void wt_digest_hex(char hex[65], const uint8_t digest[32])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < 32; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
}

void wt_digest_sha256(uint8_t digest[32], const void *data, size_t bytes)
{
    struct sha256_ctx sha256;

    sha256_init(&sha256);
    sha256_update(&sha256, bytes, data);
    sha256_digest(&sha256, 32, digest);
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int wt_digest_unhex(uint8_t digest[32], const char *hex)
{
    for (int i = 0; i < 32; i++) {
        int high = nibble(hex[2 * i]);
        int low = high < 0 ? -1 : nibble(hex[2 * i + 1]);
        if (low < 0)
            return -1;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    return hex[64] == '\0' ? 0 : -1;
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "logits are hashed as they lie in memory: this needs a little-endian machine"
#endif

void wt_digest_logits_begin(struct wt_digest_logits *digest)
{
    sha256_init(&digest->sha256);
}

void wt_digest_logits_add(struct wt_digest_logits *digest, const float *logits, size_t n)
{
    sha256_update(&digest->sha256, n * sizeof(*logits), (const uint8_t *)(const void *)logits);
}

void wt_digest_logits_hex(struct wt_digest_logits *digest, char hex[65])
{
    uint8_t bytes[SHA256_DIGEST_SIZE];

    sha256_digest(&digest->sha256, sizeof(bytes), bytes);
    wt_digest_hex(hex, bytes);
}
