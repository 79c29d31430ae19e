/* peak.h: what a core can do at most. */
#ifndef TESTS_BENCH_PEAK_H
#define TESTS_BENCH_PEAK_H

#include <stddef.h>

/* Multiply-adds of one core, two operations each, in 10^9/s: with the instruction that an engine of
 * this name and precision does them with, the widest fused multiply-add where it has none of its
 * own. 0 where there is no loop for this CPU. About 50 ms. */
double t_peak_gflops(const char *isa, const char *precision);

/* Reading `bytes` again and again by one core, in GB/s: of the level of cache that holds so much.
 * 0 where there is no loop for this CPU. */
double t_peak_read_gbs(size_t bytes);

#endif
