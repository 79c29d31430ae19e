/* self.h: what resnet-control costs: the process_* metrics that every Prometheus client has. */
#ifndef SPAWN_SELF_H
#define SPAWN_SELF_H

#include <stdint.h>

struct spawn_self {
    double start_s; /* UNIX time at which this process began */
};

struct spawn_self_usage {
    double cpu_s;
    uint64_t rss_bytes, virtual_bytes; /* 0: cannot be told */
    int open_fds, max_fds;             /* -1: cannot be told */
};

void spawn_self_start(struct spawn_self *self);
struct spawn_self_usage spawn_self_usage(void);

#endif
