/* ahead.h: fetching what comes next while a tile is computed. Internal to kernels/. */
#ifndef KERNELS_AHEAD_H
#define KERNELS_AHEAD_H

#include "kernels/engine.h"
#include "kernels/f32.h"

enum {
    KN_AHEAD_LINES = 32,        /* at most, in one run of 16 inputs */
    KN_AHEAD_BYTES = 256 << 10, /* at most, of the next layer's weights */
};

struct kn_ahead {
    const char *from;
    size_t bytes;
};

/* Of the next layer's weights, where this thread will begin; no more than L2 can take. */
static inline struct kn_ahead kn_ahead_next(const struct kn_job *job, int thread, int threads)
{
    size_t start = job->ahead_bytes / (size_t)threads * (size_t)thread / 64 * 64;
    size_t rest = job->ahead_bytes - start;
    struct kn_ahead next = {.from = (const char *)job->ahead + start};

    next.bytes = rest < KN_AHEAD_BYTES ? rest : KN_AHEAD_BYTES;
    return next;
}

/* Cache lines that each of `runs` runs has to fetch to get all of it. */
static inline int kn_ahead_lines(struct kn_ahead what, long runs)
{
    size_t lines = (what.bytes / 64 + (size_t)runs - 1) / (size_t)runs;
    return (int)(lines < KN_AHEAD_LINES ? lines : KN_AHEAD_LINES);
}

/* Lets the tile fetch its part, at `at` bytes, of that many lines a run; nothing past the end. */
static inline void kn_ahead_part(struct kn_f32_tile *tile, struct kn_ahead what, int lines,
                                 size_t at)
{
    tile->ahead = what.from + at;
    tile->ahead_lines = at < what.bytes ? lines : 0;
}

#endif
