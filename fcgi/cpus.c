/* cpus.c: affinity and cgroups.
 *
 * A process is in one cgroup per hierarchy (/proc/self/cgroup), and a hierarchy is mounted
 * somewhere, perhaps from a subdirectory on (/proc/self/mountinfo). Limits of every group from
 * there up to the mount point count: the tightest one holds.
 */
#include "fcgi/cpus.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct group {
    char dir[PATH_MAX]; /* of this process's group; empty: no such hierarchy */
    size_t mount_n;     /* bytes of dir that are the mount point */
    int v2;
};

/* Whose group is looked for. */
struct whom {
    const char *root;
    pid_t pid; /* 0: the caller */
};

int fcgi_cpus_affinity_of(pid_t pid)
{
    enum { MOST_CPUS = 8192 };
    cpu_set_t *set = CPU_ALLOC(MOST_CPUS);
    size_t size = CPU_ALLOC_SIZE(MOST_CPUS);
    int n = 0;

    if (set && !sched_getaffinity(pid, size, set))
        n = CPU_COUNT_S(size, set);
    CPU_FREE(set);
    return n > 0 ? n : 1;
}

int fcgi_cpus_affinity(void)
{
    return fcgi_cpus_affinity_of(0);
}

/* ---- where the group is --------------------------------------------------------------------- */

/* Whether `name` is one of the words of a comma-separated list. */
static int in_list(const char *list, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = list; *p; p += strcspn(p, ",\n"), p += *p == ',') {
        if (!strncmp(p, name, n) && strchr(",\n", p[n]))
            return 1;
        if (*p == '\n')
            break;
    }
    return 0;
}

static FILE *open_proc(const struct whom *whom, const char *name)
{
    char full[PATH_MAX], pid[16] = "self";

    if (whom->pid)
        snprintf(pid, sizeof pid, "%d", (int)whom->pid);
    if (snprintf(full, sizeof full, "%s/proc/%s/%s", whom->root, pid, name) >= (int)sizeof full)
        return NULL;
    return fopen(full, "re");
}

/* "4:cpu,cpuacct:/docker/1", "0::/user.slice" -> path of the v1 controller or, else, of v2. */
static int find_path(const struct whom *whom, const char *controller, char path[PATH_MAX], int v2)
{
    FILE *file = open_proc(whom, "cgroup");
    char line[PATH_MAX + 256];
    int found = 0;

    while (file && !found && fgets(line, sizeof line, file)) {
        char *list = strchr(line, ':'), *at = list ? strchr(list + 1, ':') : NULL;
        if (!at)
            continue;
        list++;
        *at++ = 0;
        if (v2 ? (list[0] == 0 && line[0] == '0') : in_list(list, controller)) {
            at[strcspn(at, "\n")] = 0;
            found = snprintf(path, PATH_MAX, "%s", at) < PATH_MAX;
        }
    }
    if (file)
        fclose(file);
    return found;
}

/* "36 25 0:30 /root /mount/point rw - cgroup2 cgroup2 rw,super options" */
static int find_mount(const struct whom *whom, const char *controller, int v2, char from[PATH_MAX],
                      char mount[PATH_MAX])
{
    FILE *file = open_proc(whom, "mountinfo");
    char line[3 * PATH_MAX], type[32], options[1024];
    int found = 0;

    while (file && !found && fgets(line, sizeof line, file)) {
        const char *tail = strstr(line, " - ");
        if (!tail || sscanf(tail, " - %31s %*s %1023s", type, options) != 2 ||
            sscanf(line, "%*d %*d %*s %4095s %4095s", from, mount) != 2)
            continue;
        found =
            v2 ? !strcmp(type, "cgroup2") : !strcmp(type, "cgroup") && in_list(options, controller);
    }
    if (file)
        fclose(file);
    return found;
}

/* In a container the path may be told from the host's root and the mount begin further down: then
 * the common beginning goes away; a path outside the mount means its top. */
static int locate(const struct whom *whom, const char *controller, int v2, struct group *group)
{
    char path[PATH_MAX], from[PATH_MAX], mount[PATH_MAX];
    const char *below = path;
    size_t from_n;

    if (!find_path(whom, controller, path, v2) || !find_mount(whom, controller, v2, from, mount))
        return 0;
    from_n = strcmp(from, "/") ? strlen(from) : 0;
    if (!strncmp(path, from, from_n) && (!path[from_n] || path[from_n] == '/'))
        below = path + from_n;
    else
        below = "";
    if (!strcmp(below, "/") || strstr(below, ".."))
        below = "";
    group->v2 = v2;
    group->mount_n = strlen(whom->root) + strlen(mount);
    return snprintf(group->dir, sizeof group->dir, "%s%s%s", whom->root, mount, below) <
           (int)sizeof group->dir;
}

static int find_group(const char *root, pid_t pid, const char *controller, struct group *group)
{
    const struct whom whom = {root, pid};

    return locate(&whom, controller, 0, group) || locate(&whom, controller, 1, group);
}

/* One step towards the mount point; 0 when there. */
static int go_up(struct group *group)
{
    char *slash = strrchr(group->dir, '/');

    if (strlen(group->dir) <= group->mount_n || !slash)
        return 0;
    *slash = 0;
    return 1;
}

/* First line of a file in the group's directory; 0 when there is none. */
static int read_line(const struct group *group, const char *name, char text[64])
{
    char path[PATH_MAX + 64];
    FILE *file;
    int got = 0;

    snprintf(path, sizeof path, "%s/%s", group->dir, name);
    file = fopen(path, "re");
    if (file) {
        got = fgets(text, 64, file) != NULL;
        fclose(file);
    }
    return got;
}

/* ---- limits --------------------------------------------------------------------------------- */

/* CPUs of this one group, or 0 when it has no quota. */
static int group_quota(const struct group *group)
{
    char text[64], period_text[64];
    long long quota = -1, period = 0;

    if (group->v2) {
        if (!read_line(group, "cpu.max", text) || sscanf(text, "%lld %lld", &quota, &period) != 2)
            return 0;
    } else if (read_line(group, "cpu.cfs_quota_us", text) &&
               read_line(group, "cpu.cfs_period_us", period_text)) {
        quota = strtoll(text, NULL, 10);
        period = strtoll(period_text, NULL, 10);
    }
    if (quota <= 0 || period <= 0 || quota / period >= INT_MAX)
        return 0;
    return (int)(quota / period + (quota % period != 0));
}

int fcgi_cpus_quota_of(const char *root, pid_t pid)
{
    struct group group;
    int least = 0;

    if (!find_group(root, pid, "cpu", &group))
        return 0;
    do {
        int quota = group_quota(&group);
        if (quota && (!least || quota < least))
            least = quota;
    } while (go_up(&group));
    return least;
}

int fcgi_cpus_throttle_open_of(const char *root, pid_t pid)
{
    struct group group;
    char path[PATH_MAX + 64];
    int least = 0;

    if (!find_group(root, pid, "cpu", &group))
        return -1;
    snprintf(path, sizeof path, "%s/cpu.stat", group.dir);
    do {
        int quota = group_quota(&group);
        if (!quota || (least && quota >= least))
            continue;
        least = quota;
        snprintf(path, sizeof path, "%s/cpu.stat", group.dir);
    } while (go_up(&group));
    return open(path, O_RDONLY | O_CLOEXEC);
}

int fcgi_cpus_throttle_open(const char *root)
{
    return fcgi_cpus_throttle_open_of(root, 0);
}

/* v1 says throttled_time, in nanoseconds. */
int64_t fcgi_cpus_throttled_us(int fd)
{
    char text[4096];
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);
    const char *found;

    if (n < 0)
        return -1;
    text[n] = 0;
    if ((found = strstr(text, "throttled_usec ")) != NULL)
        return strtoll(found + strlen("throttled_usec "), NULL, 10);
    if ((found = strstr(text, "throttled_time ")) != NULL)
        return strtoll(found + strlen("throttled_time "), NULL, 10) / 1000;
    return -1;
}

int fcgi_cpus_quota(const char *root)
{
    return fcgi_cpus_quota_of(root, 0);
}

int fcgi_cpus_usable(const char *root)
{
    int cpus = fcgi_cpus_affinity(), quota = fcgi_cpus_quota(root);

    return quota && quota < cpus ? quota : cpus;
}

int64_t fcgi_cpus_memory_limit_of(const char *root, pid_t pid)
{
    struct group group;
    char text[64];
    int64_t least = 0;

    if (!find_group(root, pid, "memory", &group))
        return 0;
    do {
        if (!read_line(&group, group.v2 ? "memory.max" : "memory.limit_in_bytes", text))
            continue;
        int64_t limit = strtoll(text, NULL, 10); /* "max" reads as 0 */
        /* v1 says "none" as the largest multiple of a page */
        if (limit > 0 && limit < INT64_MAX / 2 && (!least || limit < least))
            least = limit;
    } while (go_up(&group));
    return least;
}

int64_t fcgi_cpus_memory_limit(const char *root)
{
    return fcgi_cpus_memory_limit_of(root, 0);
}

/* ---- what follows from them ----------------------------------------------------------------- */

int fcgi_cpus_workers(int cpus, int64_t limit_bytes, int64_t shared_bytes, int64_t each_bytes)
{
    int workers = cpus > 0 ? cpus : 1;

    if (limit_bytes > 0 && each_bytes > 0) {
        int64_t fit = (limit_bytes - shared_bytes) / each_bytes;
        if (fit < workers)
            workers = fit > 1 ? (int)fit : 1;
    }
    return workers;
}

int64_t fcgi_cpus_decode_memory(int64_t limit_bytes, int64_t model_bytes, int workers)
{
    const int64_t most = 256LL << 20, least = 16LL << 20;

    if (limit_bytes <= 0)
        return most;
    int64_t share = (limit_bytes - model_bytes) / (workers > 0 ? workers : 1) / 2;
    return share > most ? most : share < least ? least : share;
}
