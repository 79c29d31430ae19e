/* report.h: the end of a load, for people and for programs. */
#ifndef TESTS_LOAD_REPORT_H
#define TESTS_LOAD_REPORT_H

#include <stdio.h>

#include "tests/load/tally.h"

struct t_load {
    const struct t_options *options;
    const struct t_target *target;
    struct t_tally tally; /* sorted */
    int waves;            /* that were finished */
    int warm_up;          /* requests before, not counted */
    int interrupted;
};

void t_report_text(const struct t_load *load);
void t_report_json(const struct t_load *load);

/* One line between the sides of a box; what does not fit is cut. */
void t_report_line(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* 0: the box's first line, 1: one between, 2: the last. */
void t_report_rule(FILE *out, int which);

#endif
