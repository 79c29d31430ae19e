/* tally.c: counting. */
#include "tests/load/tally.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct t_share t_tally_shares[T_SHARES] = {
    {"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"max", 1}};

/* Room for one more element after n. Returns the array, or NULL with the old one still there. */
static void *grow(void *array, size_t n, size_t *size, size_t element)
{
    if (n < *size)
        return array;
    size_t wanted = *size != 0 ? *size * 2 : 256;
    void *grown = reallocarray(array, wanted, element);
    if (grown != NULL)
        *size = wanted;
    return grown;
}

int t_tally_ok(struct t_tally *tally, double ms)
{
    double *grown = grow(tally->ms, tally->ok, &tally->size, sizeof *grown);

    if (grown == NULL)
        return -1;
    tally->ms = grown;
    tally->ms[tally->ok++] = ms;
    return 0;
}

/* Where such failures are counted; a new row stands behind the last of its kind. */
static struct t_row *find_row(struct t_tally *tally, const char *kind, const char *detail)
{
    int after = tally->n_rows, details = 0;

    for (int i = 0; i < tally->n_rows; i++) {
        if (strcmp(tally->row[i].row, kind) != 0)
            continue;
        if (strcmp(tally->row[i].detail, detail) == 0)
            return &tally->row[i];
        after = i + 1;
        details++;
    }
    if (details >= T_MAX_DETAILS - 1 && strcmp(detail, "other") != 0)
        return find_row(tally, kind, "other");
    if (tally->n_rows == T_MAX_ROWS)
        return &tally->row[T_MAX_ROWS - 1];
    memmove(&tally->row[after + 1], &tally->row[after],
            (size_t)(tally->n_rows - after) * sizeof tally->row[0]);
    tally->n_rows++;
    struct t_row *row = &tally->row[after];
    row->n = 0;
    snprintf(row->row, sizeof row->row, "%s", kind);
    snprintf(row->detail, sizeof row->detail, "%s", detail);
    return row;
}

int t_tally_failed(struct t_tally *tally, const struct t_failure *failure)
{
    struct t_failure *grown;

    tally->failed++;
    find_row(tally, failure->outcome.row, failure->outcome.detail)->n++;
    if (tally->n_failures == T_MAX_FAILURES)
        return 0;
    grown = grow(tally->failure, tally->n_failures, &tally->failures_size, sizeof *grown);
    if (grown == NULL)
        return -1;
    tally->failure = grown;
    tally->failure[tally->n_failures++] = *failure;
    return 0;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void t_tally_sort(struct t_tally *tally)
{
    if (tally->ok > 0)
        qsort(tally->ms, tally->ok, sizeof *tally->ms, ascending);
}

void t_tally_free(struct t_tally *tally)
{
    free(tally->ms);
    free(tally->failure);
}

double t_tally_percentile(const struct t_tally *tally, double share)
{
    size_t rank = (size_t)ceil(share * (double)tally->ok);

    return tally->ok == 0 ? 0 : tally->ms[rank > 0 ? rank - 1 : 0];
}

double t_tally_per_second(const struct t_tally *tally)
{
    return tally->seconds > 0 ? (double)tally->ok_in_time / tally->seconds : 0;
}

double t_tally_success_percent(const struct t_tally *tally)
{
    size_t all = tally->ok + tally->failed;

    return all > 0 ? 100 * (double)tally->ok / (double)all : 0;
}
