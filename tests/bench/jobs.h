/* jobs.h: one layer with random data between guard pages, to be run by any algorithm. */
#ifndef TESTS_BENCH_JOBS_H
#define TESTS_BENCH_JOBS_H

#include "kernels/engine.h"

/* n floats that end where an unreadable page begins, with another before them; freed by
 * t_guarded_free(). Asserts that there is memory. */
struct t_guarded {
    float *data;
    size_t n;
    void *map;
    size_t map_bytes;
};

void t_guarded_new(struct t_guarded *g, size_t n);
void t_guarded_free(struct t_guarded *g);

/* A layer's operands, block 1: x, w, bias, residual in [-1, 1]; y full of NaN. */
struct t_job {
    struct kn_layer layer;
    struct t_guarded x, w, bias, residual, y;
};

/* The output's size and, for pools, the depth are derived. stride, pad as given. */
struct kn_layer t_conv(int ic, int ih, int iw, int oc, int k, int stride, int pad);

void t_job_new(struct t_job *t, const struct kn_layer *layer, uint64_t seed);
void t_job_free(struct t_job *t);

/* Runs the algorithm with guarded scratch. The residual is used if layer.residual >= 0; in_place: y
 * holds it from the start, as kn_arena_plan() arranges. */
void t_job_run(struct t_job *t, const struct kn_algorithm *algorithm, int in_place);

/* The same by an engine of any layout: operands are brought into it (halo_y: px around the output),
 * and y back. threads: NULL for none but the caller's; every float of the output's halo and of the
 * channels that fill up a block must come out 0. */
void t_job_run_engine(struct t_job *t, const struct kn_engine *engine, int in_place, int halo_y,
                      struct kn_threads *threads, int width);

/* What `ref` gives for channels [from, to), as if the others were not there. out: [to - from, oh,
 * ow] */
void t_job_expect(const struct t_job *t, int from, int to, float *out);

#endif
