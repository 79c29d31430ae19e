/* ctl_main.c: resnet-ctl, the operator's tool: finds the command. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/version.h"
#include "spawn/ctl.h"

static const struct command {
    const char *name, *arguments, *help;
    spawn_ctl_fn *run;
} commands[] = {
    {"health", "[live|ready|startup]", "ask resnet-control; exit 0 if good, 1 if not",
     spawn_ctl_show_health},
    {"status", "[--json]", "what the service and each worker do", spawn_ctl_show_status},
    {"top", "[--once]", "the same, again and again", spawn_top_run},
    {"why", "ID [--from LOG...]", "what became of one request, and why", spawn_ctl_why},
    {"doctor", "[--json] ...", "what is set up wrong, and what to do; changes nothing",
     spawn_doctor_run},
    {"reload", "", "replace all workers; exit 1 if the new ones cannot start",
     spawn_ctl_change_reload},
    {"drain", "", "stop after the last request; wait for it", spawn_ctl_change_drain},
    {"release", "", "let in again what is in quarantine", spawn_ctl_change_release},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

int spawn_ctl_misused(int argc, char **argv, const char *what)
{
    fprintf(stderr, "resnet-ctl: %s: expected %s, found \"%s\"\n", argv[0], what,
            argc > 1 ? argv[argc - 1] : "");
    return FCGI_EXIT_USAGE;
}

int spawn_ctl_only(int argc, char **argv, const char *word)
{
    if (argc == 1)
        return 0;
    return argc == 2 && !strcmp(argv[1], word) ? 1 : -1;
}

static void print_help(void)
{
    puts("usage: resnet-ctl [options] COMMAND");
    for (const struct command *c = commands; c < commands + N_COMMANDS; c++) {
        char left[48];
        snprintf(left, sizeof left, "%s %s", c->name, c->arguments);
        printf("  %-28s %s\n", left, c->help);
    }
    putchar('\n');
    fcgi_config_help(stdout, FCGI_FOR_CTL);
}

static int refuse(const char *found)
{
    fputs("resnet-ctl: expected ", stderr);
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(stderr, "%s%s", commands[i].name,
                i + 2 < N_COMMANDS   ? ", "
                : i + 1 < N_COMMANDS ? " or "
                                     : "");
    fprintf(stderr, ", found \"%s\"\n", found);
    return FCGI_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static struct fcgi_config config;
    char text[256];
    int rest;

    int code = fcgi_config_load(&config, FCGI_FOR_CTL, argc, argv, &rest, NULL, text);
    if (code) {
        fprintf(stderr, "resnet-ctl: %s\n", text);
        return code;
    }
    if (config.help) {
        print_help();
        return EXIT_SUCCESS;
    }
    if (config.version) {
        printf("resnet-ctl %s (%s)\n", fcgi_version, fcgi_commit);
        return EXIT_SUCCESS;
    }
    const char *name = rest < argc ? argv[rest] : "";
    for (const struct command *c = commands; c < commands + N_COMMANDS; c++)
        if (!strcmp(c->name, name))
            return c->run(&config, argc - rest, argv + rest);
    return refuse(name);
}
