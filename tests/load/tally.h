/* tally.h: what has come of all requests so far. */
#ifndef TESTS_LOAD_TALLY_H
#define TESTS_LOAD_TALLY_H

#include <stddef.h>

#include "tests/load/outcome.h"

/* T_MAX_DETAILS: of one kind of failure, the last of them "other". */
enum { T_MAX_ROWS = 128, T_MAX_DETAILS = 8, T_MAX_FAILURES = 100000 };

struct t_row {
    char row[16], detail[48];
    size_t n;
};

struct t_failure {
    struct t_outcome outcome;
    char id[T_ID_BYTES];
    const char *path;
    int wave;
    size_t number; /* in its wave, from 1 */
    double ms;
};

/* All zero is none. */
struct t_tally {
    size_t ok, failed;
    double *ms; /* [ok], of successes; ascending after t_tally_sort() */
    size_t size;
    struct t_row row[T_MAX_ROWS]; /* those of one kind follow one another */
    int n_rows;
    struct t_failure *failure; /* the first T_MAX_FAILURES */
    size_t n_failures, failures_size;
    double seconds;    /* what ok_in_time took */
    size_t ok_in_time; /* successes, without those that came after a wave's time was over */
};

/* -1: no memory. */
int t_tally_ok(struct t_tally *tally, double ms);
int t_tally_failed(struct t_tally *tally, const struct t_failure *failure);

void t_tally_sort(struct t_tally *tally);
void t_tally_free(struct t_tally *tally);

/* The latency that a share of the successes did not exceed: the nearest rank; after t_tally_sort().
 * 0 where nothing succeeded. */
double t_tally_percentile(const struct t_tally *tally, double share);

/* What reports show: p50, p90, p95, p99, max. */
struct t_share {
    const char *name;
    double share;
};
enum { T_SHARES = 5 };
extern const struct t_share t_tally_shares[T_SHARES];

double t_tally_per_second(const struct t_tally *tally);
double t_tally_success_percent(const struct t_tally *tally);

#endif
