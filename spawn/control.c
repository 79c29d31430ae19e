/* control.c: the supervisor's side of resnet-control: start, restart, answer its question. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fcgi/log.h"
#include "spawn/spawn.h"

#define MS_NS 1000000LL
enum { LEAVE_MS = 3000 };

static pid_t exec_control(const struct spawn *s, int ask_fd)
{
    char shed[16], board[16], ask[16], deaths[16];
    enum { FIRST = 5 };
    int keep[FIRST + FCGI_BOARD_MAX_SLOTS] = {ask_fd, s->sockets.shed_fd, s->board_fd,
                                              s->control.page_fd, s->deaths_fd};

    for (int slot = 0; slot < s->n_slots; slot++)
        keep[FIRST + slot] = s->workers[slot].page_fd;
    snprintf(shed, sizeof shed, "%d", s->sockets.shed_fd);
    snprintf(board, sizeof board, "%d", s->board_fd);
    snprintf(ask, sizeof ask, "%d", ask_fd);
    snprintf(deaths, sizeof deaths, "%d", s->deaths_fd);
    char *const argv[] = {"resnet-control", "--shed-fd", shed,          "--board-fd", board,
                          "--ask-fd",       ask,         "--deaths-fd", deaths,       NULL};
    struct spawn_process process = {.program_fd = s->control.program_fd,
                                    .argv = argv,
                                    .stdin_fd = s->sockets.ctl_fd,
                                    .stderr_fd = s->log.write_fd,
                                    .keep_fds = keep,
                                    .n_keep = FIRST + s->n_slots,
                                    .death_signal = SIGTERM};
    return spawn_process_start(&process);
}

static void start_later(struct spawn_control *control, int64_t now_ns)
{
    bool settled = now_ns - control->start_ns >= SPAWN_SETTLE_MS * MS_NS;

    control->pid = 0;
    if (control->ask_fd >= 0)
        close(control->ask_fd);
    control->ask_fd = -1;
    control->failures = settled ? 0 : control->failures + 1;
    control->due_ns = now_ns + spawn_workers_backoff_ms(control->failures) * MS_NS;
}

void spawn_control_start(struct spawn *s)
{
    struct spawn_control *control = &s->control;
    int ends[2], error;
    char why[SPAWN_TEXT_BYTES];

    control->start_ns = spawn_now_ns();
    control->due_ns = INT64_MAX;
    control->pid = -1;
    if (!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends)) {
        control->ask_fd = ends[0];
        control->pid = exec_control(s, ends[1]);
        error = errno;
        close(ends[1]);
    } else {
        error = errno;
    }
    if (control->pid >= 0) {
        spawn_forks_worked(s);
        return;
    }
    spawn_forks_failed(s, "resnet-control", error, why);
    start_later(control, control->start_ns);
}

void spawn_control_hear(struct spawn *s)
{
    char question[64];

    for (;;) {
        ssize_t n = recv(s->control.ask_fd, question, sizeof question, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0 || errno != EAGAIN) { /* it died: SIGCHLD follows */
                close(s->control.ask_fd);
                s->control.ask_fd = -1;
            }
            return;
        }
        send(s->control.ask_fd, question, (size_t)n, MSG_NOSIGNAL);
    }
}

bool spawn_control_reaped(struct spawn *s, pid_t pid, int status)
{
    struct spawn_control *control = &s->control;

    if (pid != control->pid)
        return false;
    start_later(control, spawn_now_ns());
    if (control->leaving) {
        control->due_ns = INT64_MAX;
        return true;
    }
    fcgi_log(FCGI_LOG_ERROR, "control_end", "worker_pid=%d status=%x failures=%d", (int)pid,
             (unsigned)status, control->failures);
    return true;
}

void spawn_control_dismiss(struct spawn *s)
{
    if (s->control.leaving)
        return;
    s->control.leaving = true;
    s->control.due_ns = INT64_MAX;
    if (!s->control.pid)
        return;
    s->control.due_ns = spawn_now_ns() + LEAVE_MS * MS_NS;
    kill(s->control.pid, SIGTERM);
}

void spawn_control_step(struct spawn *s, int64_t now_ns)
{
    if (s->control.due_ns > now_ns)
        return;
    s->control.due_ns = INT64_MAX;
    if (s->control.leaving)
        kill(s->control.pid, SIGKILL);
    else
        spawn_control_start(s);
}
