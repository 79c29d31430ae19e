/* procs.c: reads /proc. */
#include "spawn/procs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

ssize_t spawn_procs_read(pid_t pid, const char *file, char *out, size_t size)
{
    char path[64];
    size_t n = 0;
    ssize_t got = 0;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    while (n < size - 1 && (got = read(fd, out + n, size - 1 - n)) > 0)
        n += (size_t)got;
    int error = errno;
    close(fd);
    errno = error;
    out[n] = '\0';
    return got < 0 ? -1 : (ssize_t)n;
}

/* "123 (name) S 1 ...": the name may have anything in it, parentheses too. */
static int read_stat(pid_t pid, struct spawn_proc *proc)
{
    char text[512];
    int parent;

    if (spawn_procs_read(pid, "stat", text, sizeof text) < 0)
        return -1;
    char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (!open || !close || close < open || sscanf(close, ") %*c %d", &parent) != 1)
        return -1;
    *close = '\0';
    *proc = (struct spawn_proc){.pid = pid, .parent = parent};
    snprintf(proc->name, sizeof proc->name, "%s", open + 1);
    return 0;
}

bool spawn_procs_next(DIR **dir, struct spawn_proc *proc)
{
    const struct dirent *entry;

    if (!*dir)
        *dir = opendir("/proc");
    while (*dir && (entry = readdir(*dir))) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0 && !read_stat((pid_t)pid, proc))
            return true;
    }
    if (*dir)
        closedir(*dir);
    *dir = NULL;
    return false;
}

pid_t spawn_procs_child(pid_t parent, const char *name)
{
    DIR *dir = NULL;
    struct spawn_proc proc;
    pid_t found = 0;

    while (spawn_procs_next(&dir, &proc))
        if (!found && proc.parent == parent && !strcmp(proc.name, name))
            found = proc.pid;
    return found;
}

static void become(const char *const *argv, int out_fd)
{
    setpriority(PRIO_PROCESS, 0, 19);
    dup2(out_fd, STDOUT_FILENO);
    dup2(out_fd, STDERR_FILENO);
    execvp(argv[0], (char *const *)argv);
    _exit(127);
}

int spawn_procs_run(const char *const *argv, char *out, size_t size)
{
    char rest[4096];
    int ends[2], status;
    size_t n = 0;
    ssize_t got;

    out[0] = '\0';
    if (pipe2(ends, O_CLOEXEC))
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        become(argv, ends[1]);
    close(ends[1]);
    while ((got = n < size - 1 ? read(ends[0], out + n, size - 1 - n)
                               : read(ends[0], rest, sizeof rest)) > 0)
        if (n < size - 1)
            n += (size_t)got;
    out[n] = '\0';
    close(ends[0]);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status)
                                                                           : -1;
}

/* "btime 1795249482" */
static int64_t booted_s(void)
{
    char *line = NULL;
    size_t size = 0;
    long long seconds = -1;
    FILE *file = fopen("/proc/stat", "re");

    while (file && seconds < 0 && getline(&line, &size, file) > 0)
        if (sscanf(line, "btime %lld", &seconds) != 1)
            seconds = -1;
    free(line);
    if (file)
        fclose(file);
    return seconds;
}

int64_t spawn_procs_started_s(pid_t pid)
{
    enum { STATE = 3, STARTTIME = 22 }; /* fields of proc(5) */
    char text[1024];
    int64_t boot_s = booted_s();
    const char *at =
        spawn_procs_read(pid, "stat", text, sizeof text) < 0 ? NULL : strrchr(text, ')');

    for (int field = STATE - 1; at && field < STARTTIME; field++)
        at = strchr(at + 1, ' ');
    if (!at || boot_s < 0)
        return -1;
    return boot_s + strtoll(at, NULL, 10) / sysconf(_SC_CLK_TCK);
}

/* "Uid:\t33\t33\t33\t33" (real, effective, ...), "Groups:\t4 33 " */
int spawn_procs_identity(pid_t pid, struct spawn_identity *identity)
{
    const int most = sizeof identity->groups / sizeof *identity->groups;
    char text[8192];

    *identity = (struct spawn_identity){0};
    if (spawn_procs_read(pid, "status", text, sizeof text) < 0)
        return -1;
    const char *uid = strstr(text, "\nUid:"), *gid = strstr(text, "\nGid:"),
               *groups = strstr(text, "\nGroups:");
    unsigned effective_uid, effective_gid;
    if (!uid || !gid || sscanf(uid, "\nUid: %*u %u", &effective_uid) != 1 ||
        sscanf(gid, "\nGid: %*u %u", &effective_gid) != 1)
        return -1;
    identity->uid = effective_uid;
    identity->groups[identity->n_groups++] = effective_gid;
    if (!groups)
        return 0;
    for (groups += strlen("\nGroups:"); identity->n_groups < most;) {
        groups += strspn(groups, " \t");
        if (*groups < '0' || *groups > '9')
            break;
        identity->groups[identity->n_groups++] = (gid_t)strtoul(groups, (char **)&groups, 10);
    }
    return 0;
}
