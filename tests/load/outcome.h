/* outcome.h: what one answer, or none, counts as. */
#ifndef TESTS_LOAD_OUTCOME_H
#define TESTS_LOAD_OUTCOME_H

#include "tests/load/engine.h"

/* A success is a whole answer of status 2xx that is JSON and does not say "success":false. */
struct t_outcome {
    int ok;
    char row[16];    /* of a failure: "HTTP 503", "HTTP N/A", "timeout" */
    char detail[48]; /* "overloaded", "refused", "cut short", "HTML" */
};

struct t_outcome t_outcome_of(const struct t_answer *answer);

#endif
