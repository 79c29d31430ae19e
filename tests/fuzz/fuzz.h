/* fuzz.h: what the fuzzers share. Each fuzz_NAME.c is one parser, driven by one function of bytes;
 * libFuzzer calls it (make fuzz), or replay_main.c for every file of a corpus (make check).
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* bytes: in a block of exactly n bytes, so that AddressSanitizer sees any byte read past it. Always
 * returns 0; what must not be ends the program. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* replay_main.c's. Does not return where an allocation was made to fail: without memory little is
 * as expected, but for the program itself, which goes on. */
__attribute__((weak)) void fuzz_excuse(void);

/* What has to be true whatever the bytes are. */
#define FUZZ_EXPECT(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            if (fuzz_excuse)                                                                       \
                fuzz_excuse();                                                                     \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A block of exactly that size. Free it. */
static inline void *fuzz_block(size_t n)
{
    void *block = malloc(n != 0 ? n : 1);

    FUZZ_EXPECT(block != NULL);
    return block;
}

/* A copy in a block of exactly that size, which the parser may write over. Free it. */
static inline uint8_t *fuzz_copy(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = fuzz_block(n);

    if (n != 0)
        memcpy(copy, bytes, n);
    return copy;
}

/* The same as a string. */
static inline char *fuzz_string(const uint8_t *bytes, size_t n)
{
    char *text = fuzz_block(n + 1);

    if (n != 0)
        memcpy(text, bytes, n);
    text[n] = 0;
    return text;
}

/* Cuts the first line off, its end too: what a target is told besides the bytes it parses. A string
 * to free. */
static inline char *fuzz_line(const uint8_t **bytes, size_t *n)
{
    const uint8_t *end = *n != 0 ? memchr(*bytes, '\n', *n) : NULL;
    size_t line_n = end != NULL ? (size_t)(end - *bytes) : *n;
    char *line = fuzz_string(*bytes, line_n);

    *bytes += end != NULL ? line_n + 1 : line_n;
    *n -= end != NULL ? line_n + 1 : line_n;
    return line;
}

/* A file of those bytes, in memory, and a path to open it by. Close it. */
static inline int fuzz_file(const uint8_t *bytes, size_t n, char path[32])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    FUZZ_EXPECT(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

#endif
