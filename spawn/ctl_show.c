/* ctl_show.c: health and status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spawn/ctl.h"
#include "spawn/printable.h"

static int print(const struct fcgi_config *config, const char *path, int code_if_nobody)
{
    struct fcgi_buffer body = {0};
    int status = spawn_view_ask(config, path, &body);
    int code = status == 200 ? EXIT_SUCCESS : status < 0 ? code_if_nobody : EXIT_FAILURE;

    if (status < 0)
        spawn_view_complain(config);
    else
        fwrite(body.bytes, 1, body.n, stdout);
    fcgi_buffer_free(&body);
    return code;
}

int spawn_ctl_show_health(const struct fcgi_config *config, int argc, char **argv)
{
    static const char *const kinds[] = {"live", "ready", "startup"};
    char path[32] = "/health";

    for (size_t i = 0; argc > 1 && i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(argv[1], kinds[i]))
            snprintf(path, sizeof path, "/health/%s", kinds[i]);
    if (argc > 2 || (argc == 2 && !path[sizeof "/health" - 1]))
        return spawn_ctl_misused(argc, argv, "live, ready or startup");
    return print(config, path, EXIT_FAILURE);
}

/* ---- status --------------------------------------------------------------------------------- */

static void print_totals(const char *title, const struct spawn_view_totals *totals,
                         const char *skipped)
{
    const char *comma = "";

    for (int i = 0; i < totals->n; i++) {
        const struct spawn_view_total *row = &totals->row[i];
        if (row->n == 0 || !strcmp(row->name, skipped))
            continue;
        printf("%s%lld %s", *comma ? comma : title, (long long)row->n, row->name);
        comma = ", ";
    }
    if (*comma)
        putchar('\n');
}

static void print_queue(const struct spawn_view *view)
{
    char age[32];

    spawn_ctl_duration(view->queue_age_ms, age);
    if (view->queue_depth < 0)
        puts("queue      the kernel does not tell");
    else if (view->queue_depth == 0)
        puts("queue      empty");
    else
        printf("queue      %lld waiting, for %s\n", (long long)view->queue_depth, age);
}

static void print_service(const struct spawn_view *view)
{
    char up[32], throttled[32];

    spawn_ctl_duration(view->uptime_ms, up);
    printf("service    %s, pid %d, for %s\n", view->state, view->pid, up);
    printf("serves     generation %d, model %s, %s\n", view->generation,
           view->model_sha256[0] ? view->model_sha256 : "-",
           view->precision[0] ? view->precision : "-");
    print_queue(view);
    if (view->service_ms > 0)
        printf("a request  takes %.1f ms lately\n", view->service_ms);
    if (view->reloading || view->reloads_ok || view->reloads_failed)
        printf("reloads    %lld went well, %lld failed%s\n", (long long)view->reloads_ok,
               (long long)view->reloads_failed, view->reloading ? ", one is under way" : "");
    if (view->reason[0]) {
        fputs("failed     ", stdout);
        spawn_printable_print(view->reason, sizeof view->reason - 1, stdout);
        putchar('\n');
    }
    print_totals("ended      ", &view->ends, "");
    print_totals("verdicts   ", &view->verdicts, "running");
    print_totals("refused    ", &view->shed, "");
    spawn_ctl_duration(view->throttled_ms, throttled);
    if (view->throttled_ms)
        printf("throttled  for %s, by the cgroup's quota\n", throttled);
}

int spawn_ctl_show_status(const struct fcgi_config *config, int argc, char **argv)
{
    static struct spawn_view view;
    int json = spawn_ctl_only(argc, argv, "--json");

    if (json < 0)
        return spawn_ctl_misused(argc, argv, "--json or nothing");
    if (json)
        return print(config, "/status", FCGI_EXIT_TRY_LATER);
    if (spawn_view_get(&view, config))
        return FCGI_EXIT_TRY_LATER;
    print_service(&view);
    putchar('\n');
    spawn_top_workers(&view, NULL, view.n_workers, stdout);
    return EXIT_SUCCESS;
}
