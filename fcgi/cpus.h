/* cpus.h: how many CPUs and how much memory this process may really use: affinity and the cgroup
 * (v1 or v2), which a container's /proc/cpuinfo does not tell. Plain C and libc only.
 *
 * root: "" on a real machine; a test gives a directory that holds its own proc/self/cgroup,
 * proc/self/mountinfo and the cgroup tree that they name. The functions that end in _of look at
 * another process; pid 0 is the caller.
 */
#ifndef FCGI_CPUS_H
#define FCGI_CPUS_H

#include <stdint.h>
#include <sys/types.h>

/* CPUs of the affinity mask. At least 1. */
int fcgi_cpus_affinity(void);
int fcgi_cpus_affinity_of(pid_t pid);

/* Quota of the cgroup and of those above it, in CPUs rounded up; 0: none. */
int fcgi_cpus_quota(const char *root);
int fcgi_cpus_quota_of(const char *root, pid_t pid);

/* affinity, lowered to the quota. At least 1. */
int fcgi_cpus_usable(const char *root);

/* cpu.stat of the cgroup whose quota is the tightest (of the own one where there is none), kept
 * open and close-on-exec; -1: cannot be told. */
int fcgi_cpus_throttle_open(const char *root);
int fcgi_cpus_throttle_open_of(const char *root, pid_t pid);

/* For how long that group has had to wait for its quota, in microseconds; -1: cannot be told. */
int64_t fcgi_cpus_throttled_us(int fd);

/* Least memory limit of the cgroup and of those above it, in bytes; 0: none. */
int64_t fcgi_cpus_memory_limit(const char *root);
int64_t fcgi_cpus_memory_limit_of(const char *root, pid_t pid);

/* Workers that fit: cpus, lowered until shared_bytes + workers * each_bytes is within limit_bytes
 * (0: no limit). At least 1. */
int fcgi_cpus_workers(int cpus, int64_t limit_bytes, int64_t shared_bytes, int64_t each_bytes);

/* RESNET_MAX_DECODE_MEMORY=auto: (limit - model) / workers / 2, at most 256 MiB, at least 16 MiB;
 * limit_bytes 0: 256 MiB. */
int64_t fcgi_cpus_decode_memory(int64_t limit_bytes, int64_t model_bytes, int workers);

#endif
