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

/* Shares of the layer in hand that begin with one thread. */
static inline int kn_ahead_pieces(const struct kn_job *job, int parts)
{
    return parts > job->width ? parts / job->width : 1;
}

/* Of the next layer's weights, where the thread that this share belongs to will begin; each of its
 * shares fetches its piece, all together no more than L2 can take. */
static inline struct kn_ahead kn_ahead_next(const struct kn_job *job, int part, int parts)
{
    size_t pieces = (size_t)kn_ahead_pieces(job, parts), most = KN_AHEAD_BYTES / pieces;
    size_t thread = (size_t)part / pieces, threads = (size_t)parts / pieces;
    size_t start = job->ahead_bytes / threads * thread / 64 * 64 + (size_t)part % pieces * most;
    struct kn_ahead next = {.from = job->ahead}; /* NULL behind the last layer */

    if (start < job->ahead_bytes) {
        next.from += start;
        next.bytes = job->ahead_bytes - start < most ? job->ahead_bytes - start : most;
    }
    return next;
}

/* Cache lines that each of `runs` runs has to fetch to get all of it. */
static inline int kn_ahead_lines(struct kn_ahead what, long runs)
{
    size_t lines = (what.bytes / 64 + (size_t)runs - 1) / (size_t)runs;
    return (int)(lines < KN_AHEAD_LINES ? lines : KN_AHEAD_LINES);
}

/* Where it goes on at `at` bytes; past its end nothing is fetched, and there may be nothing at all.
 */
static inline const char *kn_ahead_at(struct kn_ahead what, size_t at)
{
    return at < what.bytes ? what.from + at : what.from;
}

/* Lets the tile fetch its part, at `at` bytes, of that many lines a run; nothing past the end. */
static inline void kn_ahead_part(struct kn_f32_tile *tile, struct kn_ahead what, int lines,
                                 size_t at)
{
    tile->ahead = kn_ahead_at(what, at);
    tile->ahead_lines = at < what.bytes ? lines : 0;
}

#endif
