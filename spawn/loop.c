/* loop.c: signalfd and poll. Every concern says when it next wants to act; with nothing due the
 * process sleeps for ever, so an idle service costs nothing. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fcgi/log.h"
#include "spawn/spawn.h"

/* places in the poll set; readiness pipes follow */
enum { AT_SIGNAL, AT_ASK, AT_LOG, AT_BUSY, AT_READY, AT_END = AT_READY + FCGI_BOARD_MAX_SLOTS };

int spawn_loop_signals(void)
{
    static const int taken[] = {SIGHUP,  SIGTERM, SIGQUIT, SIGINT,
                                SIGUSR1, SIGUSR2, SIGCHLD, FCGI_DEATHS_SIGNAL};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        sigaddset(&set, taken[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL))
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* As first process of a container we inherit orphans, too. */
static void reap(struct spawn *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (!spawn_workers_reaped(s, pid, status))
            spawn_control_reaped(s, pid, status);
}

static void take_signal(struct spawn *s, int sig)
{
    switch (sig) {
    case SIGHUP:
        spawn_reload_ask(s);
        break;
    case SIGTERM:
    case SIGQUIT:
        spawn_drain_begin(s);
        break;
    case SIGINT:
        spawn_drain_fast(s);
        break;
    case SIGUSR1:
        spawn_logsink_reopen(&s->log);
        break;
    case SIGUSR2:
        spawn_quarantine_release(s);
        break;
    case FCGI_DEATHS_SIGNAL:
        spawn_deaths_hear(s);
        break;
    default: /* SIGCHLD: several may have become one */
        reap(s);
    }
}

static void take_signals(struct spawn *s)
{
    struct signalfd_siginfo info;

    while (read(s->signal_fd, &info, sizeof info) == sizeof info)
        take_signal(s, (int)info.ssi_signo);
}

/* poll() skips negative descriptors. */
static nfds_t fill(const struct spawn *s, struct pollfd *set)
{
    set[AT_SIGNAL].fd = s->signal_fd;
    set[AT_ASK].fd = s->control.ask_fd;
    set[AT_LOG].fd = s->log.read_fd;
    set[AT_BUSY].fd = s->watchdog.due_ns == INT64_MAX ? s->watchdog.busy_fd : -1;
    for (int slot = 0; slot < s->n_slots; slot++)
        set[AT_READY + slot].fd = s->workers[slot].ready_fd;
    for (int i = 0; i < AT_READY + s->n_slots; i++)
        set[i].events = POLLIN;
    return (nfds_t)(AT_READY + s->n_slots);
}

static int timeout_ms(const struct spawn *s, int64_t now_ns)
{
    int64_t due = spawn_workers_due_ns(s);

    due = spawn_min_ns(due, s->control.due_ns);
    due = spawn_min_ns(due, s->watchdog.due_ns);
    due = spawn_min_ns(due, s->idle.due_ns);
    if (s->draining)
        due = spawn_min_ns(due, s->drain_due_ns);
    if (due == INT64_MAX)
        return -1;
    int64_t ms = due <= now_ns ? 0 : (due - now_ns + 999999) / 1000000;
    return ms < 1000000 ? (int)ms : 1000000;
}

static void step(struct spawn *s)
{
    int64_t now_ns = spawn_now_ns();

    spawn_workers_step(s, now_ns);
    spawn_watchdog_step(s, now_ns);
    if (!s->draining)
        spawn_reload_step(s);
    spawn_control_step(s, now_ns);
    spawn_idle_step(s, now_ns);
    spawn_notify_step(s);
    spawn_drain_step(s, now_ns);
}

int spawn_loop_run(struct spawn *s)
{
    struct pollfd set[AT_END];

    step(s);
    while (!s->done) {
        nfds_t n = fill(s, set);
        if (poll(set, n, timeout_ms(s, spawn_now_ns())) > 0) {
            for (int slot = 0; slot < s->n_slots; slot++)
                if (set[AT_READY + slot].revents)
                    spawn_workers_hear(s, slot);
            if (set[AT_ASK].revents)
                spawn_control_hear(s);
            if (set[AT_LOG].revents)
                spawn_logsink_pump(&s->log);
            if (set[AT_BUSY].revents)
                spawn_watchdog_wake(s);
            if (set[AT_SIGNAL].revents)
                take_signals(s);
        }
        step(s);
    }
    return s->exit_code;
}
