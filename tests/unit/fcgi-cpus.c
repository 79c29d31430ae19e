/* Usable CPUs and memory from made-up cgroup trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/cpus.h"

static char root[] = "/tmp/resnet-cpus.XXXXXX";

/* Writes text under root, making the directories on the way. */
static void put(const char *path, const char *text)
{
    char full[512];

    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root + strlen(root) - 6, "XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static const char v2_mount[] =
    "22 28 0:20 / /proc rw - proc proc rw\n"
    "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

static void no_cgroup(void **state)
{
    (void)state;
    assert_int_equal(fcgi_cpus_quota(root), 0);
    assert_int_equal(fcgi_cpus_memory_limit(root), 0);
    assert_int_equal(fcgi_cpus_usable(root), fcgi_cpus_affinity());
    assert_true(fcgi_cpus_affinity() >= 1);
}

static void v2_quota_is_rounded_up(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/box\n");
    put("/proc/self/mountinfo", v2_mount);
    put("/sys/fs/cgroup/box/cpu.max", "max 100000\n");
    assert_int_equal(fcgi_cpus_quota(root), 0);
    put("/sys/fs/cgroup/box/cpu.max", "150000 100000\n");
    assert_int_equal(fcgi_cpus_quota(root), 2);
    put("/sys/fs/cgroup/box/cpu.max", "1000 100000\n");
    assert_int_equal(fcgi_cpus_quota(root), 1);
    assert_int_equal(fcgi_cpus_usable(root), 1);
    put("/sys/fs/cgroup/box/cpu.max", "nonsense\n");
    assert_int_equal(fcgi_cpus_quota(root), 0);
}

static void v2_parents_count(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/pod/box\n");
    put("/proc/self/mountinfo", v2_mount);
    put("/sys/fs/cgroup/pod/cpu.max", "200000 100000\n");
    put("/sys/fs/cgroup/pod/box/cpu.max", "400000 100000\n");
    put("/sys/fs/cgroup/pod/memory.max", "1073741824\n");
    put("/sys/fs/cgroup/pod/box/memory.max", "max\n");
    assert_int_equal(fcgi_cpus_quota(root), 2);
    assert_int_equal(fcgi_cpus_memory_limit(root), 1 << 30);
    put("/sys/fs/cgroup/pod/box/memory.max", "536870912\n");
    assert_int_equal(fcgi_cpus_memory_limit(root), 512 << 20);
}

/* Namespaced: the process sees itself at the top. */
static void v2_inside_a_container(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/\n");
    put("/proc/self/mountinfo", v2_mount);
    put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
    put("/sys/fs/cgroup/memory.max", "2147483648\n");
    assert_int_equal(fcgi_cpus_quota(root), 3);
    assert_int_equal(fcgi_cpus_memory_limit(root), 2LL << 30);
}

static const char v1_cgroup[] = "5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/\n"
                                "0::/\n";

static void v1(void **state)
{
    (void)state;
    put("/proc/self/cgroup", v1_cgroup);
    put("/proc/self/mountinfo",
        "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "250000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(fcgi_cpus_quota(root), 3);
    assert_int_equal(fcgi_cpus_memory_limit(root), 0);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "805306368\n");
    assert_int_equal(fcgi_cpus_memory_limit(root), 768 << 20);
}

/* A container without a cgroup namespace: the path is the host's, the mount begins at it. */
static void v1_mounted_from_below(void **state)
{
    (void)state;
    put("/proc/self/cgroup", v1_cgroup);
    put("/proc/self/mountinfo",
        "31 30 0:27 /docker/1 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(fcgi_cpus_quota(root), 1);
}

static int64_t throttled(void)
{
    int fd = fcgi_cpus_throttle_open(root);
    int64_t us = fcgi_cpus_throttled_us(fd);

    if (fd >= 0)
        close(fd);
    return us;
}

static void throttled_by_the_tightest_quota(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/pod/box\n");
    put("/proc/self/mountinfo", v2_mount);
    assert_int_equal(throttled(), -1);
    put("/sys/fs/cgroup/pod/box/cpu.stat", "usage_usec 9\nnr_throttled 7\nthrottled_usec 11\n");
    put("/sys/fs/cgroup/pod/cpu.stat",
        "usage_usec 9\nnr_throttled 7\nthrottled_usec 12345678901\n");
    assert_int_equal(throttled(), 11);
    put("/sys/fs/cgroup/pod/cpu.max", "50000 100000\n");
    assert_int_equal(throttled(), 12345678901);
    put("/sys/fs/cgroup/pod/box/cpu.max", "400000 100000\n");
    assert_int_equal(throttled(), 12345678901);
    put("/sys/fs/cgroup/pod/cpu.stat", "usage_usec 9\n"); /* no cpu controller there */
    assert_int_equal(throttled(), -1);
}

static void v1_says_nanoseconds(void **state)
{
    (void)state;
    put("/proc/self/cgroup", v1_cgroup);
    put("/proc/self/mountinfo",
        "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.stat",
        "nr_periods 10\nnr_throttled 2\nthrottled_time 1234567\n");
    assert_int_equal(throttled(), 1234);
}

static void workers_fit_into_memory(void **state)
{
    const int64_t mib = 1 << 20;

    (void)state;
    assert_int_equal(fcgi_cpus_workers(4, 0, 100 * mib, 50 * mib), 4);
    assert_int_equal(fcgi_cpus_workers(4, 1024 * mib, 100 * mib, 50 * mib), 4);
    assert_int_equal(fcgi_cpus_workers(4, 210 * mib, 100 * mib, 50 * mib), 2);
    assert_int_equal(fcgi_cpus_workers(4, 90 * mib, 100 * mib, 50 * mib), 1);
    assert_int_equal(fcgi_cpus_decode_memory(0, 100 * mib, 4), 256 * mib);
    assert_int_equal(fcgi_cpus_decode_memory(1100 * mib, 100 * mib, 4), 125 * mib);
    assert_int_equal(fcgi_cpus_decode_memory(100 * mib, 100 * mib, 4), 16 * mib);
    assert_int_equal(fcgi_cpus_decode_memory(64LL << 30, 100 * mib, 4), 256 * mib);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_cgroup, make_root, remove_root),
        cmocka_unit_test_setup_teardown(v2_quota_is_rounded_up, make_root, remove_root),
        cmocka_unit_test_setup_teardown(v2_parents_count, make_root, remove_root),
        cmocka_unit_test_setup_teardown(v2_inside_a_container, make_root, remove_root),
        cmocka_unit_test_setup_teardown(v1, make_root, remove_root),
        cmocka_unit_test_setup_teardown(v1_mounted_from_below, make_root, remove_root),
        cmocka_unit_test_setup_teardown(throttled_by_the_tightest_quota, make_root, remove_root),
        cmocka_unit_test_setup_teardown(v1_says_nanoseconds, make_root, remove_root),
        cmocka_unit_test(workers_fit_into_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
