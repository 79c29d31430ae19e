/* digest.h: checksums of model files, and of what fcgi/ answers. */
#ifndef WEIGHTS_DIGEST_H
#define WEIGHTS_DIGEST_H

#include <nettle/sha2.h>
#include <stddef.h>
#include <stdint.h>

/* CRC-32C, continued from crc (0 to start): wt_digest_crc32c(0, "123456789", 9) == 0xE3069283. */
uint32_t wt_digest_crc32c(uint32_t crc, const void *data, size_t bytes);

/* 32 bytes as 64 lower-case digits and a NUL; and back: 0, or -1 when it is not 64 hex digits. */
void wt_digest_hex(char hex[65], const uint8_t digest[32]);
int wt_digest_unhex(uint8_t digest[32], const char *hex);

/* Allocates nothing: also for signal handlers. */
void wt_digest_sha256(uint8_t digest[32], const void *data, size_t bytes);

/* What an exact answer can be checked by: the SHA-256 of its logits, as little-endian float32,
 * image by image. The hex digits leave it as at its beginning. */
struct wt_digest_logits {
    struct sha256_ctx sha256;
};

void wt_digest_logits_begin(struct wt_digest_logits *digest);
void wt_digest_logits_add(struct wt_digest_logits *digest, const float *logits, size_t n);
void wt_digest_logits_hex(struct wt_digest_logits *digest, char hex[65]);

#endif
