/* crew.c: who is busy, and what that leaves for each. */
#include "fcgi/crew.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int fcgi_crew_create(int n_slots)
{
    struct fcgi_crew head = {.n_slots = (uint32_t)n_slots};
    const ssize_t head_bytes = offsetof(struct fcgi_crew, busy);
    int fd = memfd_create("resnet-crew", MFD_CLOEXEC);

    if (fd >= 0 &&
        (ftruncate(fd, FCGI_CREW_BYTES) || pwrite(fd, &head, head_bytes, 0) != head_bytes)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

struct fcgi_crew *fcgi_crew_map(int fd)
{
    struct fcgi_crew *crew;
    struct stat st;

    if (fstat(fd, &st))
        return NULL;
    if (st.st_size != FCGI_CREW_BYTES) {
        errno = EINVAL;
        return NULL;
    }
    crew = mmap(NULL, FCGI_CREW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return crew == MAP_FAILED ? NULL : crew;
}

void fcgi_crew_unmap(struct fcgi_crew *crew)
{
    if (crew)
        munmap(crew, FCGI_CREW_BYTES);
}

void fcgi_crew_set(struct fcgi_crew *crew, int slot, int busy)
{
    if (crew && slot >= 0 && slot < FCGI_BOARD_MAX_SLOTS)
        atomic_store_explicit(&crew->busy[slot], busy != 0, memory_order_relaxed);
}

/* Busy slots but `slot`, and how many of them are before it. */
static int count_others(const struct fcgi_crew *crew, int slot, int *before)
{
    uint32_t told = atomic_load_explicit(&crew->n_slots, memory_order_relaxed);
    uint32_t n_slots = told < FCGI_BOARD_MAX_SLOTS ? told : FCGI_BOARD_MAX_SLOTS;
    int n = 0;

    *before = 0;
    for (uint32_t i = 0; i < n_slots; i++) {
        if ((int)i == slot)
            *before = n;
        else
            n += atomic_load_explicit(&crew->busy[i], memory_order_relaxed) != 0;
    }
    return n;
}

int fcgi_crew_threads(const struct fcgi_crew *crew, int slot, int cores, int most)
{
    int before, busy, idle, threads;

    if (!crew)
        return most;
    busy = 1 + count_others(crew, slot, &before);
    idle = cores > busy ? cores - busy : 0;
    threads = 1 + idle / busy + (before < idle % busy);
    return threads < most ? threads : most;
}
