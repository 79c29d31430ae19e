/* memory.h: how much memory this process takes, from descriptors that were opened early: later it
 * may not open anything, and a non-dumpable process hides smaps_rollup from its own user. And
 * whether it may take more. */
#ifndef FCGI_MEMORY_H
#define FCGI_MEMORY_H

#include <stdint.h>

struct fcgi_memory {
    int statm_fd, rollup_fd; /* -1 where the kernel has none */
    uint64_t pss_ns;         /* when PSS was read last, CLOCK_MONOTONIC */
};

void fcgi_memory_open(struct fcgi_memory *memory);
void fcgi_memory_close(struct fcgi_memory *memory);

/* Resident bytes, model mapping included; 0 when not to be had. */
uint64_t fcgi_memory_rss(const struct fcgi_memory *memory);

/* Proportional share. Reading it walks all pages (0.65 ms with a ResNet-50 mapped), so it is done
 * once a second; 0 in between. */
uint64_t fcgi_memory_pss(struct fcgi_memory *memory, uint64_t now_ns);

/* 1: so many bytes can be had now; nobody else takes from a process's limits. To be asked before a
 * library that ends the process, or says something else, where it gets none. */
int fcgi_memory_has(uint64_t bytes);

#endif
