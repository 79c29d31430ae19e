/* peak.h: what a core can do at most. */
#ifndef TESTS_BENCH_PEAK_H
#define TESTS_BENCH_PEAK_H

#include <stddef.h>

/* Fused multiply-adds of one core, in GFLOP/s (two a multiply-add), with the widest registers that
 * the CPU has, or with those of AVX2 only. 0 where there is no loop for this CPU. About 50 ms. */
double t_peak_gflops(int avx2_only);

/* Reading `bytes` again and again by one core, in GB/s: of the level of cache that holds so much.
 * 0 where there is no loop for this CPU. */
double t_peak_read_gbs(size_t bytes);

#endif
