/* memory.c: /proc/self/statm and smaps_rollup, kept open; and a try. */
#include "fcgi/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void fcgi_memory_open(struct fcgi_memory *memory)
{
    memory->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    memory->rollup_fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    memory->pss_ns = 0;
}

void fcgi_memory_close(struct fcgi_memory *memory)
{
    if (memory->statm_fd >= 0)
        close(memory->statm_fd);
    if (memory->rollup_fd >= 0)
        close(memory->rollup_fd);
    memory->statm_fd = memory->rollup_fd = -1;
}

static int read_whole(int fd, char *text, size_t size)
{
    ssize_t n = fd < 0 ? -1 : pread(fd, text, size - 1, 0);

    text[n > 0 ? n : 0] = 0;
    return n > 0;
}

uint64_t fcgi_memory_rss(const struct fcgi_memory *memory)
{
    char text[128];
    unsigned long long resident;

    if (!read_whole(memory->statm_fd, text, sizeof text) ||
        sscanf(text, "%*u %llu", &resident) != 1)
        return 0;
    return resident * (uint64_t)getpagesize();
}

uint64_t fcgi_memory_pss(struct fcgi_memory *memory, uint64_t now_ns)
{
    const uint64_t interval_ns = 1000000000u;
    char text[2048];

    if (memory->pss_ns && now_ns - memory->pss_ns < interval_ns)
        return 0;
    memory->pss_ns = now_ns;
    if (!read_whole(memory->rollup_fd, text, sizeof text))
        return 0;
    const char *line = strstr(text, "\nPss:");
    return line ? strtoull(line + 5, NULL, 10) * 1024 : 0;
}

/* Not by malloc(), which learns from large blocks that are freed, and keeps more. */
int fcgi_memory_has(uint64_t bytes)
{
    void *there;

    if (bytes > SIZE_MAX)
        return 0;
    there = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (there == MAP_FAILED)
        return 0;
    munmap(there, bytes);
    return 1;
}
