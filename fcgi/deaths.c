/* deaths.c: making, mapping and looking up. */
#include "fcgi/deaths.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int fcgi_deaths_create(void)
{
    struct fcgi_deaths head = {.magic = FCGI_DEATHS_MAGIC, .version = FCGI_DEATHS_VERSION};
    const ssize_t head_bytes = offsetof(struct fcgi_deaths, entry);
    int fd = memfd_create("resnet-deaths", MFD_CLOEXEC);

    if (fd >= 0 &&
        (ftruncate(fd, FCGI_DEATHS_BYTES) || pwrite(fd, &head, head_bytes, 0) != head_bytes)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

struct fcgi_deaths *fcgi_deaths_map(int fd, int writable)
{
    struct fcgi_deaths *deaths;
    struct stat st;

    if (fstat(fd, &st))
        return NULL;
    if (st.st_size != FCGI_DEATHS_BYTES) {
        errno = EINVAL;
        return NULL;
    }
    deaths =
        mmap(NULL, FCGI_DEATHS_BYTES, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (deaths == MAP_FAILED)
        return NULL;
    if (deaths->magic != FCGI_DEATHS_MAGIC || deaths->version != FCGI_DEATHS_VERSION) {
        fcgi_deaths_unmap(deaths);
        errno = EINVAL;
        return NULL;
    }
    return deaths;
}

void fcgi_deaths_unmap(struct fcgi_deaths *deaths)
{
    if (deaths)
        munmap(deaths, FCGI_DEATHS_BYTES);
}

int fcgi_deaths_is(const struct fcgi_death *death, const char *nginx_id)
{
    char id[sizeof death->nginx_id];

    fcgi_shared_get_text(id, sizeof id, death->nginx_id);
    return !strcmp(id, nginx_id);
}

/* The count is read once more: that of an entry which was overwritten before it was compared is
 * another request's. */
unsigned fcgi_deaths_count(const struct fcgi_deaths *deaths, const char *nginx_id)
{
    if (!deaths || !*nginx_id)
        return 0;
    for (int i = 0; i < FCGI_DEATHS_ENTRIES; i++) {
        const struct fcgi_death *death = &deaths->entry[i];
        if (atomic_load_explicit(&death->count, memory_order_acquire) &&
            fcgi_deaths_is(death, nginx_id))
            return atomic_load_explicit(&death->count, memory_order_relaxed);
    }
    return 0;
}
