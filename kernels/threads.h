/* threads.h: a pool that splits one layer at a time. Internal to kernels/. */
#ifndef KERNELS_THREADS_H
#define KERNELS_THREADS_H

#include "kernels/kernels.h"

struct kn_threads;

/* One share of the work: thread 0 is the caller. */
typedef void kn_share_fn(void *ctx, int thread, int threads);

/* Starts n - 1 threads (n: 1..KN_MAX_THREADS) that take no signals but their own faults. Errors:
 * KN_ENOMEM, KN_ETHREADS. Free with kn_threads_free (NULL is fine); one caller at a time. */
int kn_threads_new(struct kn_threads **pool, int n, struct kn_err *err);
void kn_threads_free(struct kn_threads *pool);

/* Runs share() on `width` threads, the caller one of them, and returns when all are through.
 * Threads beyond the width are neither woken nor waited for. pool NULL: width 1. */
void kn_threads_run(struct kn_threads *pool, int width, kn_share_fn *share, void *ctx);

/* The part [*from, *to) of n items that one thread takes: contiguous, equal to within one. */
static inline void kn_threads_part(long n, int thread, int threads, long *from, long *to)
{
    *from = n * thread / threads;
    *to = n * (thread + 1) / threads;
}

#endif
