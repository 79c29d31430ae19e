/* top.c: what each worker does, live on a terminal, once elsewhere. CPU time is the kernel's own
 * count, so a process that is stuck shows as well as one that works. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "spawn/ctl.h"
#include "spawn/printable.h"
#include "spawn/spawn.h"

enum { REFRESH_MS = 1000, ONCE_MS = 300, HEAD_ROWS = 4, ROWS = 24 };

/* ---- CPU time ------------------------------------------------------------------------------- */

/* Of all threads, in seconds; negative when it cannot be read. */
static double cpu_seconds(int pid)
{
    char path[40], text[1024];
    unsigned long user, system;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    const char *after = strrchr(text, ')'); /* the name may hold anything */
    if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                         &system) != 2)
        return -1;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

struct sample {
    int64_t at_ns;
    int n;
    int pid[FCGI_BOARD_MAX_SLOTS];
    double seconds[FCGI_BOARD_MAX_SLOTS];
};

static void take(struct sample *sample, const struct spawn_view *view)
{
    sample->at_ns = spawn_now_ns();
    sample->n = view->n_workers;
    for (int i = 0; i < view->n_workers; i++) {
        sample->pid[i] = view->worker[i].pid;
        sample->seconds[i] = cpu_seconds(view->worker[i].pid);
    }
}

static double seconds_of(const struct sample *sample, int pid)
{
    for (int i = 0; i < sample->n; i++)
        if (sample->pid[i] == pid)
            return sample->seconds[i];
    return -1;
}

static void compare(const struct sample *before, const struct sample *now, double *cpu)
{
    double wall = (double)(now->at_ns - before->at_ns) / 1e9;

    for (int i = 0; i < now->n; i++) {
        double was = seconds_of(before, now->pid[i]);
        bool known = was >= 0 && now->seconds[i] >= 0 && wall > 0;
        cpu[i] = known ? 100 * (now->seconds[i] - was) / wall : -1;
    }
}

/* ---- the table ------------------------------------------------------------------------------ */

static void cell(char text[32], const char *word)
{
    snprintf(text, 32, "%s", *word ? word : "-");
}

static void print_worker(const struct spawn_view_worker *w, double cpu, FILE *out)
{
    char where[24], ms[32] = "-", share[16] = "-", pss[32], stage[32], layer[48];

    snprintf(where, sizeof where, "%d.%d", w->slot, w->generation);
    if (w->request_id[0])
        spawn_ctl_duration(w->ms, ms);
    if (cpu >= 0)
        snprintf(share, sizeof share, "%.0f%%", cpu);
    spawn_ctl_size(w->pss_bytes, pss);
    cell(stage, w->stage);
    cell(layer, w->layer);
    fprintf(out, "%-7s %-8s %8d %-6s %-17.17s %12s %5s %10s %9lld %8lld  ", where, w->state, w->pid,
            stage, layer, ms, share, pss, (long long)w->requests, (long long)w->restarts);
    spawn_printable_print(w->request_id[0] ? w->request_id : "-", 48, out);
    fputc('\n', out);
}

void spawn_top_workers(const struct spawn_view *view, const double *cpu, int most, FILE *out)
{
    fprintf(out, "%-7s %-8s %8s %-6s %-17s %12s %5s %10s %9s %8s  %s\n", "WORKER", "STATE", "PID",
            "STAGE", "LAYER", "FOR", "CPU", "PSS", "REQUESTS", "RESTARTS", "REQUEST");
    for (int i = 0; i < view->n_workers && i < most; i++)
        print_worker(&view->worker[i], cpu ? cpu[i] : -1, out);
    if (view->n_workers > most)
        fprintf(out, "and %d more\n", view->n_workers - most);
}

static void print_head(const struct spawn_view *view, FILE *out)
{
    char up[32];

    spawn_ctl_duration(view->uptime_ms, up);
    fprintf(out, "resnet-fcgi %s, generation %d, model %.12s, %s, for %s\n", view->state,
            view->generation, view->model_sha256[0] ? view->model_sha256 : "-",
            view->precision[0] ? view->precision : "-", up);
    fprintf(out, "queue %lld, a request takes %.1f ms lately%s\n\n", (long long)view->queue_depth,
            view->service_ms, view->reloading ? ", a reload is under way" : "");
}

/* ---- the terminal --------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

static int rows_for_workers(void)
{
    struct winsize size;
    int rows = ROWS;

    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row > 0)
        rows = size.ws_row;
    return rows > HEAD_ROWS + 3 ? rows - HEAD_ROWS - 2 : 1;
}

/* Waits, or until somebody types q. */
static bool wait_for_key(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char key = 0;

    if (poll(&input, 1, REFRESH_MS) > 0 && read(STDIN_FILENO, &key, 1) <= 0)
        poll(NULL, 0, REFRESH_MS); /* nobody types there */
    return key == 'q' || key == 'Q';
}

static int live(const struct fcgi_config *config, struct spawn_view *view)
{
    static struct sample before, now;
    static double cpu[FCGI_BOARD_MAX_SLOTS];
    int code = EXIT_SUCCESS;

    do {
        before = now;
        take(&now, view);
        compare(&before, &now, cpu);
        fputs("\033[H\033[J", stdout); /* home, and clear from there */
        print_head(view, stdout);
        spawn_top_workers(view, cpu, rows_for_workers(), stdout);
        fflush(stdout);
        if (wait_for_key() || interrupted)
            break;
        code = spawn_view_try(view, config) ? FCGI_EXIT_TRY_LATER : EXIT_SUCCESS;
    } while (!code);
    return code;
}

/* Keys come one by one and unseen; the screen of before comes back at the end. */
static int run_live(const struct fcgi_config *config, struct spawn_view *view)
{
    struct sigaction action = {.sa_handler = interrupt};
    struct termios before, raw;
    bool is_tty = !tcgetattr(STDIN_FILENO, &before);

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (is_tty) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    fputs("\033[?1049h\033[?25l", stdout); /* a screen of our own, without a cursor */
    int code = live(config, view);
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    if (is_tty)
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return code ? spawn_view_complain(config) : EXIT_SUCCESS;
}

static int run_once(const struct fcgi_config *config, struct spawn_view *view)
{
    static struct sample before, now;
    static double cpu[FCGI_BOARD_MAX_SLOTS];

    take(&before, view);
    poll(NULL, 0, ONCE_MS);
    if (spawn_view_get(view, config))
        return FCGI_EXIT_TRY_LATER;
    take(&now, view);
    compare(&before, &now, cpu);
    print_head(view, stdout);
    spawn_top_workers(view, cpu, view->n_workers, stdout);
    return EXIT_SUCCESS;
}

int spawn_top_run(const struct fcgi_config *config, int argc, char **argv)
{
    static struct spawn_view view;
    int once = spawn_ctl_only(argc, argv, "--once");

    if (once < 0)
        return spawn_ctl_misused(argc, argv, "--once or nothing");
    if (spawn_view_get(&view, config))
        return FCGI_EXIT_TRY_LATER;
    return once || !isatty(STDOUT_FILENO) ? run_once(config, &view) : run_live(config, &view);
}
