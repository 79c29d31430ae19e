/* ctl_why.c: which logs are read for `why`, and what is printed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "spawn/ctl.h"
#include "spawn/logread.h"
#include "spawn/printable.h"
#include "spawn/spawn.h"
#include "spawn/why.h"

static void look(void *ctx, const char *text, size_t n)
{
    spawn_why_look(ctx, text, n);
}

/* 0, or -1 after a sentence. */
static int read_log(struct spawn_why *why, const char *path)
{
    char text[256];

    if (!spawn_logread_file(path, look, why, text))
        return 0;
    fprintf(stderr, "resnet-ctl: why: %s\n", text);
    return -1;
}

/* A log, and the one that logrotate put aside last. */
static int read_default(struct spawn_why *why, const char *path)
{
    char rotated[SPAWN_PATH_BYTES];

    snprintf(rotated, sizeof rotated, "%s.1", path);
    if (!access(rotated, R_OK))
        read_log(why, rotated);
    return read_log(why, path);
}

/* What systemd keeps of our units. Missing it is no failure: nginx's log may be enough. */
static void read_journal(struct spawn_why *why)
{
    static const char *const argv[] = {"journalctl",
                                       "--quiet",
                                       "--no-pager",
                                       "--output=cat",
                                       "--unit=resnet-fcgi.service",
                                       "--unit=resnet-fcgi-spawn-fcgi.service",
                                       "--unit=resnet-fcgi-multiwatch.service",
                                       NULL};
    char text[256];

    if (spawn_logread_program(argv, look, why, text))
        fprintf(stderr,
                "resnet-ctl: why: RESNET_LOG names no file, and %s: the programs' own lines are "
                "missing; --from LOG... says where they are\n",
                text);
}

static int read_own(struct spawn_why *why, const char *log)
{
    static const char packaged[] = "/var/log/resnet-fcgi/resnet-fcgi.log";

    if (strcmp(log, "stderr"))
        return read_default(why, log);
    if (!access(packaged, R_OK))
        return read_default(why, packaged);
    read_journal(why);
    return 0;
}

static int read_nginx(struct spawn_why *why)
{
    static const char packaged[] = "/var/log/nginx/resnet-fcgi.log";
    const char *given = getenv("NGINX_ACCESS_LOG");

    if (given && *given)
        return read_default(why, given);
    return read_default(why, access(packaged, R_OK) ? "/var/log/nginx/access.log" : packaged);
}

/* why ID [--from LOG...]...: everything behind --from is a log. */
static int read_given(struct spawn_why *why, int argc, char **argv)
{
    int failed = 0;

    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--from"))
            failed |= read_log(why, argv[i]);
    return failed;
}

static void print_request(const struct spawn_why *why, const struct spawn_why_request *request)
{
    int64_t arrival_ms = spawn_why_arrival_ms(request);
    struct fcgi_buffer text = {0};
    char date[16] = "";
    time_t seconds = (time_t)(arrival_ms / 1000);
    struct tm tm;

    if (gmtime_r(&seconds, &tm))
        strftime(date, sizeof date, "%Y-%m-%d", &tm);
    fcgi_buffer_format(&text, "%s", request->request_id);
    if (*request->nginx_id && strcmp(request->nginx_id, request->request_id))
        fcgi_buffer_format(&text, " (nginx's id %s)", request->nginx_id);
    fcgi_buffer_format(&text, ", %s UTC", date);
    spawn_why_words_print(&text, stdout);
    fcgi_buffer_free(&text);
    spawn_why_verdict(request, stdout);
    putchar('\n');
    spawn_why_story(why, request, stdout);
}

static int tell(struct spawn_why *why)
{
    static struct spawn_why_request request;
    size_t at = 0;
    int n = 0;

    spawn_why_sort(why);
    for (; spawn_why_next(why, &at, &request); n++) {
        if (n > 0)
            putchar('\n');
        print_request(why, &request);
    }
    if (why->failed)
        fputs("resnet-ctl: why: not enough memory: lines are missing\n", stderr);
    return n;
}

/* A request that is not over has no line of its end, but a worker that has it. */
static int tell_present(const struct fcgi_config *config, const char *id)
{
    static struct spawn_view view;
    char ms[32];

    if (spawn_view_try(&view, config))
        return 0;
    for (int i = 0; i < view.n_workers; i++) {
        const struct spawn_view_worker *worker = &view.worker[i];
        if (strcmp(worker->request_id, id))
            continue;
        spawn_ctl_duration(worker->ms, ms);
        printf("At present worker %d.%d, pid %d, has it, for %s, in %s%s%s.\n", worker->slot,
               worker->generation, worker->pid, ms, worker->stage, worker->layer[0] ? ", " : "",
               worker->layer);
        return 1;
    }
    return 0;
}

int spawn_ctl_why(const struct fcgi_config *config, int argc, char **argv)
{
    struct spawn_why why = {0};

    if (argc < 2 || !argv[1][0] || argv[1][0] == '-' ||
        (argc > 2 && (argc == 3 || strcmp(argv[2], "--from"))))
        return spawn_ctl_misused(argc, argv, "REQUEST_ID [--from LOG...]");
    why.id = argv[1];
    int failed =
        argc > 2 ? read_given(&why, argc, argv) : read_own(&why, config->log) | read_nginx(&why);
    int n = tell(&why);
    n += argc == 2 && tell_present(config, why.id);
    if (!n) {
        fputs("resnet-ctl: why: no line about ", stderr);
        spawn_printable_print(why.id, 128, stderr);
        fprintf(stderr, " among %zu lines; --from LOG... says where to look\n", why.n_looked_at);
    }
    failed |= why.failed;
    spawn_why_free(&why);
    return n && !failed ? EXIT_SUCCESS : EXIT_FAILURE;
}
