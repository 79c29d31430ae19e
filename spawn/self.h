/* self.h: resnet-control as a process: how soon it gets the CPU when it wakes up, and what it costs
 * (the process_* metrics that every Prometheus client has). */
#ifndef SPAWN_SELF_H
#define SPAWN_SELF_H

#include <dirent.h>
#include <stdint.h>

struct spawn_self {
    double start_s; /* UNIX time at which this process began */
    int statm_fd;   /* -1: cannot be read */
    DIR *fds;       /* /proc/self/fd; NULL: cannot be read */
};

struct spawn_self_usage {
    double cpu_s;
    uint64_t rss_bytes, virtual_bytes; /* 0: cannot be told */
    int open_fds, max_fds;             /* -1: cannot be told */
};

/* Asks the kernel to let us go first: answers are short, and the workers' computing is long. What
 * it does not grant costs only time. */
void spawn_self_hurry(void);

/* Opens what is read later on: then nothing may be opened any more. */
void spawn_self_start(struct spawn_self *self);
struct spawn_self_usage spawn_self_usage(const struct spawn_self *self);

#endif
