/* ctl.h: resnet-ctl's commands. Each is given what stands behind the options, its own name first,
 * and returns the exit code. */
#ifndef SPAWN_CTL_H
#define SPAWN_CTL_H

#include <stdio.h>

#include "fcgi/config.h"
#include "spawn/view.h"

typedef int spawn_ctl_fn(const struct fcgi_config *config, int argc, char **argv);

/* ctl_show.c: what is */
spawn_ctl_fn spawn_ctl_show_health, spawn_ctl_show_status;
/* ctl_change.c: what shall be */
spawn_ctl_fn spawn_ctl_change_reload, spawn_ctl_change_drain, spawn_ctl_change_release;

/* ctl_why.c: what became of one request */
spawn_ctl_fn spawn_ctl_why;
/* doctor.c: what is wrong */
spawn_ctl_fn spawn_doctor_run;

/* top.c: the same, again and again. spawn_top_workers(): one row a worker, `most` of them; cpu:
 * [n_workers] shares of a core in percent, negative where not known, or NULL. */
spawn_ctl_fn spawn_top_run;
void spawn_top_workers(const struct spawn_view *view, const double *cpu, int most, FILE *out);

/* "resnet-ctl: COMMAND: expected WHAT, found ..." Returns the exit code. */
int spawn_ctl_misused(int argc, char **argv, const char *what);
/* Whether argv has the one word that a command knows, as in `status --json`. -1: something else. */
int spawn_ctl_only(int argc, char **argv, const char *word);

/* ctl_text.c: "1.2 ms", "34.5 s", "5 min 6 s", "3 h 12 min"; "12.3 MiB" */
void spawn_ctl_duration(int64_t ms, char text[32]);
void spawn_ctl_size(int64_t bytes, char text[32]);

#endif
