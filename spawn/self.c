/* self.c: see self.h. */
#include "spawn/self.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NICE = -5, SLICE_NS = 100000 };

static double read_clock(clockid_t clock)
{
    struct timespec now;

    return clock_gettime(clock, &now) ? 0 : (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void spawn_self_start(struct spawn_self *self)
{
    self->start_s = read_clock(CLOCK_REALTIME);
    self->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    self->fds = opendir("/proc/self/fd");
}

/* A short slice is a near deadline: Linux 6.12 and later let a task that wakes up with one go
 * before those that compute, and everybody may ask for it. The nice value, where it is allowed,
 * does so on every kernel. */
void spawn_self_hurry(void)
{
    struct sched_attr attr = {.size = sizeof attr};

    setpriority(PRIO_PROCESS, 0, NICE);
    if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) || attr.sched_policy != SCHED_NORMAL)
        return;
    attr.sched_runtime = SLICE_NS;
    syscall(SYS_sched_setattr, 0, &attr, 0);
}

static void read_memory(int fd, struct spawn_self_usage *usage)
{
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    unsigned long long pages = 0, resident = 0;
    char text[128];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = 0;
    if (sscanf(text, "%llu %llu", &pages, &resident) == 2) {
        usage->virtual_bytes = pages * page_bytes;
        usage->rss_bytes = resident * page_bytes;
    }
}

static int count_fds(DIR *directory)
{
    const struct dirent *entry;
    int n = 0;

    if (!directory)
        return -1;
    rewinddir(directory);
    while ((entry = readdir(directory)))
        n += entry->d_name[0] != '.';
    return n;
}

static int limit_fds(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return -1;
    return limit.rlim_cur < INT_MAX ? (int)limit.rlim_cur : INT_MAX;
}

struct spawn_self_usage spawn_self_usage(const struct spawn_self *self)
{
    struct spawn_self_usage usage = {.cpu_s = read_clock(CLOCK_PROCESS_CPUTIME_ID),
                                     .open_fds = count_fds(self->fds),
                                     .max_fds = limit_fds()};

    read_memory(self->statm_fd, &usage);
    return usage;
}
