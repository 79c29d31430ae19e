/* doctor_host.c: the machine, or the container, that it runs in. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fcgi/cpus.h"
#include "spawn/ctl.h"
#include "spawn/doctor.h"

enum { MIB = 1 << 20 };

/* The beginning of a file below --root; its bytes, or -1. */
static ssize_t read_file(const struct spawn_doctor *doctor, const char *name, char *out,
                         size_t size)
{
    char path[4096];

    snprintf(path, sizeof path, "%s%s", doctor->root, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n;
}

/* Whose cgroup is meant: a made-up root has one process. */
static pid_t whom(const struct spawn_doctor *doctor)
{
    return doctor->root[0] ? 0 : doctor->supervisor;
}

/* ---- CPUs and memory ------------------------------------------------------------------------ */

static void check_backlog(struct spawn_doctor *doctor)
{
    char text[64], remedy[512];
    int backlog = doctor->config.backlog;
    long most = read_file(doctor, "/proc/sys/net/core/somaxconn", text, sizeof text) > 0
                    ? strtol(text, NULL, 10)
                    : 0;

    snprintf(remedy, sizeof remedy,
             "sysctl -w net.core.somaxconn=%d (and into /etc/sysctl.d), then restart; or lower "
             "RESNET_BACKLOG",
             backlog);
    if (most > 0 && backlog > most)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "backlog", remedy,
                         "RESNET_BACKLOG=%d, but the kernel cuts each queue at somaxconn, %ld",
                         backlog, most);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "backlog", NULL,
                         "%d, of %ld that the kernel allows", backlog, most);
}

static void check_cpus(struct spawn_doctor *doctor)
{
    int cpus = fcgi_cpus_affinity_of(doctor->supervisor),
        quota = fcgi_cpus_quota_of(doctor->root, whom(doctor)), workers = doctor->config.workers;
    int usable = quota && quota < cpus ? quota : cpus;

    if (workers == FCGI_AUTO || workers <= usable)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "cpus", NULL, "%d for %d workers%s", usable,
                         workers == FCGI_AUTO ? usable : workers,
                         quota && quota < cpus ? " (the cgroup's quota)" : "");
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "cpus",
                         "RESNET_WORKERS=auto and restart, or give it more CPUs (quota, affinity)",
                         "%d workers share %d CPUs%s: each request takes longer, none more are "
                         "answered",
                         workers, usable, quota && quota < cpus ? " (the cgroup's quota)" : "");
}

/* Decoding is bounded for each worker, so the worst case is known beforehand. */
static void check_memory(struct spawn_doctor *doctor)
{
    const struct spawn_doctor_build *build = &doctor->build;
    int64_t limit = fcgi_cpus_memory_limit_of(doctor->root, whom(doctor));
    int64_t decode = doctor->config.max_decode_memory;
    int64_t always = build->mapped_bytes + build->private_bytes;
    int64_t worst = always + doctor->view.n_workers * (decode > 0 ? decode : 0);
    char has[32], needs[32];

    spawn_ctl_size(limit, has);
    if (!limit || !doctor->answers) {
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "memory", NULL, "no limit by the cgroup");
    } else if (limit < always) {
        spawn_ctl_size(always, needs);
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, "memory",
                         "raise the limit, or lower RESNET_WORKERS, or pack the model in int8",
                         "the cgroup's limit is %s; model and workers alone are %s", has, needs);
    } else if (limit < worst) {
        spawn_ctl_size(worst, needs);
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "memory",
                         "raise the limit, or RESNET_MAX_DECODE_MEMORY=auto and restart",
                         "the cgroup's limit is %s; with large pictures in all workers they are %s",
                         has, needs);
    } else {
        spawn_ctl_size(worst, needs);
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "memory", NULL, "%s at most, of %s", needs, has);
    }
}

static int64_t field(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at ? strtoll(at + strlen(name), NULL, 10) : 0;
}

static void check_throttling(struct spawn_doctor *doctor)
{
    enum { FEW_PERIODS = 100, MOST_PERCENT = 5 };
    char text[4096] = "";
    int fd = fcgi_cpus_throttle_open_of(doctor->root, whom(doctor));
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    int64_t periods = field(text, "nr_periods "), throttled = field(text, "nr_throttled ");
    if (periods >= FEW_PERIODS && throttled * 100 > periods * MOST_PERCENT)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "throttling",
                         "raise the quota, or RESNET_WORKERS=auto (whole CPUs of it) and "
                         "RESNET_THREADS=1; then restart",
                         "the quota stopped the group in %lld of %lld periods",
                         (long long)throttled, (long long)periods);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "throttling", NULL, "in %lld of %lld periods",
                         (long long)throttled, (long long)periods);
}

/* ---- kernel and libraries ------------------------------------------------------------------- */

static void check_huge_pages(struct spawn_doctor *doctor)
{
    char text[256];

    read_file(doctor, "/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text);
    if (strstr(text, "[never]"))
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "huge-pages",
                         "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, then "
                         "resnet-ctl reload",
                         "transparent huge pages are off: the activations' memory takes more of "
                         "the TLB");
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "huge-pages", NULL, "%s",
                         *text ? "where they are asked for" : "this kernel has none to switch");
}

/* The rank of a character in a version: ~ before the end, letters before what is neither. */
static int order(char c)
{
    return c == '~'                          ? -1
           : isdigit((unsigned char)c) || !c ? 0
           : isalpha((unsigned char)c)       ? c
                                             : c + 256;
}

static int compare_part(const char *a, const char *b)
{
    while (*a || *b) {
        while ((*a && !isdigit((unsigned char)*a)) || (*b && !isdigit((unsigned char)*b))) {
            int difference = order(*a) - order(*b);
            if (difference)
                return difference;
            a += *a != '\0';
            b += *b != '\0';
        }
        a += strspn(a, "0");
        b += strspn(b, "0");
        size_t digits_a = strspn(a, "0123456789"), digits_b = strspn(b, "0123456789");
        int difference =
            digits_a != digits_b ? (digits_a < digits_b ? -1 : 1) : strncmp(a, b, digits_a);
        if (difference)
            return difference;
        a += digits_a;
        b += digits_b;
    }
    return 0;
}

/* "1:2.4.2-2+deb12u1": epoch, upstream's version, Debian's revision of it. */
struct version {
    long epoch;
    char upstream[64], revision[64];
};

static void split_version(const char *text, struct version *version)
{
    const char *colon = strchr(text, ':'), *from = colon ? colon + 1 : text;
    const char *dash = strrchr(from, '-');
    int n = dash ? (int)(dash - from) : (int)strlen(from);

    version->epoch = colon ? strtol(text, NULL, 10) : 0;
    snprintf(version->upstream, sizeof version->upstream, "%.*s", n, from);
    snprintf(version->revision, sizeof version->revision, "%s", dash ? dash + 1 : "");
}

int spawn_doctor_compare_versions(const char *a, const char *b)
{
    struct version left, right;

    split_version(a, &left);
    split_version(b, &right);
    if (left.epoch != right.epoch)
        return left.epoch < right.epoch ? -1 : 1;
    int difference = compare_part(left.upstream, right.upstream);
    return difference ? difference : compare_part(left.revision, right.revision);
}

int spawn_doctor_libfcgi_is_fixed(const char *version)
{
    if (spawn_doctor_compare_versions(version, "2.4.5") >= 0)
        return 1;
    if (strstr(version, "ubuntu"))
        return -1;
    return !strncmp(version, "2.4.2-", 6) &&
           spawn_doctor_compare_versions(version, "2.4.2-2+deb12u1") >= 0;
}

/* The version of libfcgi's package, whichever its name: dpkg-query has a line for each that it
 * knows, "installed 2.4.2-2+deb12u1" or "not-installed ". */
static bool find_libfcgi(const struct spawn_doctor *doctor, char version[64])
{
    char root[4096], out[4096];
    const char *argv[] = {"dpkg-query", root, "-W", "-f", "${db:Status-Status} ${Version}\\n",
                          "libfcgi0*",  NULL};

    snprintf(root, sizeof root, "--root=%s/", doctor->root);
    spawn_procs_run(argv, out, sizeof out);
    for (const char *line = out; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (sscanf(line, "installed %63s", version) == 1)
            return true;
    return false;
}

static void check_libfcgi(struct spawn_doctor *doctor)
{
    static const char remedy[] = "apt-get install --only-upgrade libfcgi0ldbl, then resnet-ctl "
                                 "reload; 2.4.2-2+deb12u1 or 2.4.5 have the fix";
    char version[64];

    if (!find_libfcgi(doctor, version)) {
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "libfcgi", NULL,
                         "no package of this machine; the build refuses one without the fix");
        return;
    }
    int fixed = spawn_doctor_libfcgi_is_fixed(version);
    if (fixed > 0)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "libfcgi", NULL,
                         "%s has the fix of CVE-2025-23016", version);
    else
        spawn_doctor_say(doctor, fixed < 0 ? SPAWN_DOCTOR_WARN : SPAWN_DOCTOR_FAIL, "libfcgi",
                         remedy,
                         "%s %s CVE-2025-23016: whoever reaches work.sock can overrun the heap",
                         version, fixed < 0 ? "may have" : "has");
}

/* ---- disks ---------------------------------------------------------------------------------- */

void spawn_doctor_disk(struct spawn_doctor *doctor, const char *check, const char *path)
{
    enum { LEAST_PERCENT = 5, LEAST_MIB = 64 };
    struct statvfs disk;
    char free_text[32];

    if (statvfs(path, &disk)) {
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, check,
                         "make its directory, or name another file", "%.300s: %s", path,
                         strerror(errno));
        return;
    }
    int64_t free_bytes = (int64_t)(disk.f_bavail * disk.f_frsize);
    int64_t all_bytes = (int64_t)(disk.f_blocks * disk.f_frsize);
    spawn_ctl_size(free_bytes, free_text);
    bool full = disk.f_favail == 0 && disk.f_files > 0;
    if (full || free_bytes < LEAST_MIB * (int64_t)MIB)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, check,
                         "make room (logrotate, then kill -USR1 to resnet-spawn), or log elsewhere",
                         "%.300s: %s", path, full ? "no inode is free" : "its disk is full");
    else if (free_bytes / LEAST_PERCENT < all_bytes / 100 && free_bytes < 1024LL * MIB)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, check, "make room: logrotate, or a larger disk",
                         "%.300s: %s are left on its disk", path, free_text);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, check, NULL, "%.300s: %s free", path, free_text);
}

/* RESNET_LOG, or where the supervisor's stderr goes if that is a file. */
static void check_log(struct spawn_doctor *doctor)
{
    char path[sizeof doctor->config.log], link[64];

    snprintf(path, sizeof path, "%s", doctor->config.log);
    if (!strcmp(path, "stderr")) {
        snprintf(link, sizeof link, "/proc/%d/fd/2", (int)doctor->supervisor);
        ssize_t n = doctor->supervisor ? readlink(link, path, sizeof path - 1) : -1;
        path[n > 0 ? n : 0] = '\0';
    }
    if (path[0] == '/' && strncmp(path, "/dev/", 5) != 0)
        spawn_doctor_disk(doctor, "log-disk", path);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "log-disk", NULL,
                         "the log goes to stderr, which is no file");
}

void spawn_doctor_host(struct spawn_doctor *doctor)
{
    check_backlog(doctor);
    check_cpus(doctor);
    check_memory(doctor);
    check_throttling(doctor);
    check_huge_pages(doctor);
    check_libfcgi(doctor);
    check_log(doctor);
}
