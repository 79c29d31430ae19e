/* procs.h: other processes, as /proc shows them. */
#ifndef SPAWN_PROCS_H
#define SPAWN_PROCS_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct spawn_proc {
    pid_t pid, parent;
    char name[32]; /* what the kernel calls it: 15 bytes at most */
};

/* Which processes may do what with a file. */
struct spawn_identity {
    uid_t uid;
    gid_t groups[64]; /* [n_groups]; the first is the primary one */
    int n_groups;
};

/* One after the other, all there are. dir: NULL to begin with, and closed at the end. */
bool spawn_procs_next(DIR **dir, struct spawn_proc *proc);

/* The first child of that name (what spawn_proc has); 0: none. */
pid_t spawn_procs_child(pid_t parent, const char *name);

/* A file of /proc/PID, NUL-terminated, cut to fit. Its bytes, or -1 with errno. */
ssize_t spawn_procs_read(pid_t pid, const char *file, char *out, size_t size);

/* When it started, in seconds of UNIX time; -1: it has gone. */
int64_t spawn_procs_started_s(pid_t pid);

/* Runs a program, found by PATH, at the lowest priority, and takes what it prints, both ways,
 * NUL-terminated and cut to fit. Its exit code (127: there is no such program), or -1. */
int spawn_procs_run(const char *const *argv, char *out, size_t size);

/* 0, or -1 when the process has gone. */
int spawn_procs_identity(pid_t pid, struct spawn_identity *identity);

#endif
