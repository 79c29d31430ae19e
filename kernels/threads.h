/* threads.h: a pool that splits one layer at a time. Internal to kernels/. */
#ifndef KERNELS_THREADS_H
#define KERNELS_THREADS_H

#include "kernels/kernels.h"

struct kn_threads;

/* One share of the work, number `part` of `parts`. Which thread runs it is not said: thread i
 * begins with the i-th of its equals, and takes what others have not begun when it is through. */
typedef void kn_share_fn(void *ctx, int part, int parts);

/* Starts n - 1 threads (n: 1..KN_MAX_THREADS) that take no signals but their own faults. Errors:
 * KN_ENOMEM, KN_ETHREADS. Free with kn_threads_free (NULL is fine); one caller at a time. */
int kn_threads_new(struct kn_threads **pool, int n, struct kn_err *err);
void kn_threads_free(struct kn_threads *pool);

/* Runs width x pieces shares, each once, on up to `width` threads, the caller one of them, and
 * returns when all are done. A thread that finds no core in time is not waited for. Threads beyond
 * the width are not woken. pool NULL or width 1: one share. */
void kn_threads_split(struct kn_threads *pool, int width, int pieces, kn_share_fn *share,
                      void *ctx);

/* The same with one piece a thread. */
void kn_threads_run(struct kn_threads *pool, int width, kn_share_fn *share, void *ctx);

/* The part [*from, *to) of n items: contiguous, equal to within one. */
static inline void kn_threads_part(long n, int part, int parts, long *from, long *to)
{
    *from = n * part / parts;
    *to = n * (part + 1) / parts;
}

#endif
