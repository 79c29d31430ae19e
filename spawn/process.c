/* process.c: fork + exec, in one place. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fcgi/log.h"
#include "spawn/spawn.h"

static int place_descriptors(const struct spawn_process *process)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null_fd < 0 || dup2(null_fd, STDOUT_FILENO) < 0)
        return -1;
    /* dup2() of a descriptor to itself would leave it close-on-exec */
    if (process->stdin_fd != STDIN_FILENO && dup2(process->stdin_fd, STDIN_FILENO) < 0)
        return -1;
    if (process->stdin_fd == STDIN_FILENO && fcntl(STDIN_FILENO, F_SETFD, 0))
        return -1;
    if (process->stderr_fd >= 0 && dup2(process->stderr_fd, STDERR_FILENO) < 0)
        return -1;
    for (int i = 0; i < process->n_keep; i++)
        if (fcntl(process->keep_fds[i], F_SETFD, 0))
            return -1;
    return 0;
}

/* A group of its own: Ctrl-C in a terminal is for the supervisor, which drains. */
static int prepare(const struct spawn_process *process, pid_t parent)
{
    sigset_t none;

    setpgid(0, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) ||
        prctl(PR_SET_PDEATHSIG, process->death_signal, 0, 0, 0))
        return -1;
    if (getppid() != parent) /* it died before the line above */
        _exit(EXIT_FAILURE);
    return place_descriptors(process);
}

/* By descriptor: what was on disk when it was opened. The interpreter of a script opens it once
 * more, by its number; only then must it stay open. */
static void exec_program(const struct spawn_process *process)
{
    execveat(process->program_fd, "", process->argv, environ, AT_EMPTY_PATH);
    if (errno != ENOENT || fcntl(process->program_fd, F_SETFD, 0))
        return;
    execveat(process->program_fd, "", process->argv, environ, AT_EMPTY_PATH);
}

pid_t spawn_process_start(const struct spawn_process *process)
{
    char text[SPAWN_TEXT_BYTES];
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid)
        return pid;
    if (!prepare(process, parent))
        exec_program(process);
    int code = spawn_refusal(text, "run", process->argv[0], "whether the package is whole");
    fcgi_log(FCGI_LOG_ERROR, "exec", "program=%s reason=%s", process->argv[0], text);
    _exit(code);
}
