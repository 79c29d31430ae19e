/* file.c: mapping and hashing. */
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weights/file.h"

static int map(struct wt_file *file, int fd, const char *path, struct wt_err *err)
{
    struct stat st;
    void *bytes;

    if (fstat(fd, &st) != 0)
        return wt_fail(err, WT_EIO, "%s: cannot be looked at: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return wt_fail(err, WT_EIO, "%s: expected a regular file, found %s", path,
                       S_ISDIR(st.st_mode) ? "a directory" : "a device, pipe or socket");
    if (st.st_size == 0)
        return WT_OK;
    bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return wt_fail(err, errno == ENOMEM ? WT_ENOMEM : WT_EIO, "%s: cannot be mapped: %s", path,
                       strerror(errno));
    file->bytes = bytes;
    file->n_bytes = (size_t)st.st_size;
    return WT_OK;
}

int wt_file_open(struct wt_file *file, const char *path, struct wt_err *err)
{
    /* O_NONBLOCK: a pipe without a writer must be refused, not waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int code;

    memset(file, 0, sizeof *file);
    if (fd < 0)
        return wt_fail(err, WT_EIO, "%s: cannot be opened: %s", path, strerror(errno));
    code = map(file, fd, path, err);
    close(fd);
    return code;
}

void wt_file_close(struct wt_file *file)
{
    if (file->bytes)
        munmap((void *)file->bytes, file->n_bytes);
    memset(file, 0, sizeof *file);
}

void wt_file_sha256(const uint8_t *bytes, size_t n, char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[SHA256_DIGEST_SIZE];
    struct sha256_ctx ctx;

    sha256_init(&ctx);
    sha256_update(&ctx, n, bytes);
    sha256_digest(&ctx, sizeof digest, digest);
    for (int i = 0; i < SHA256_DIGEST_SIZE; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
}
