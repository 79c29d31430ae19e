/* report.h: what resnet-bench measured, and how it is told. */
#ifndef TESTS_BENCH_REPORT_H
#define TESTS_BENCH_REPORT_H

#include "kernels/kernels.h"

struct t_result {
    const struct kn_plan *plan;
    const char *precision;
    int threads, batch;
    double peak_gflops;                /* of the threads together; 0: not known */
    double l2_gbs, l3_gbs, memory_gbs; /* read bandwidth of one core; 0: not measured */
    int n_runs;
    double min_ms, median_ms, p99_ms;
    double layer_ms[KN_MAX_LAYERS]; /* medians */
    double cpu_per_wall;            /* threads that really ran; others' load lowers it */
    double cpu_ms;                  /* CPU time of a pass, on all threads; waiting is not in it */
};

/* Of n unsorted times; sorts them. */
void t_result_times(struct t_result *result, double *ms, int n);
double t_median(double *ms, int n);

void t_report_text(const struct t_result *result, int layers);
void t_report_json(const struct t_result *result, int layers);

#endif
