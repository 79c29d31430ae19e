/* codec.c: what the decoders have in common: rows handed over, progress, alpha. */
#include "fcgi/codec.h"

#include <time.h>

int64_t fcgi_codec_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void fcgi_codec_rows(const struct fcgi_codec_job *job, const struct fcgi_strip *strip)
{
    int first = fcgi_resize_first_row(job->resize), end = fcgi_resize_end_row(job->resize);
    int from = strip->top > first ? strip->top : first;
    int until = strip->top + strip->n < end ? strip->top + strip->n : end;
    struct fcgi_strip needed = *strip;
    int64_t start;

    if (from >= until)
        return;
    needed.rgb += (size_t)(from - strip->top) * strip->stride;
    needed.top = from;
    needed.n = until - from;
    start = job->timing != NULL ? fcgi_codec_now_ns() : 0;
    fcgi_resize_rows(job->resize, &needed);
    if (job->timing != NULL)
        job->timing->resize_ns += fcgi_codec_now_ns() - start;
}

int fcgi_codec_tick(const struct fcgi_codec_job *job, struct fcgi_err *err)
{
    return job->tick == NULL || job->tick(job->ctx, err);
}

void fcgi_codec_over_white(uint8_t *rgba, int n)
{
    const uint8_t *in = rgba;

    for (int i = 0; i < n; i++, in += 4, rgba += 3) {
        unsigned alpha = in[3];

        for (int c = 0; c < 3; c++) {
            unsigned sum = in[c] * alpha + 255u * (255u - alpha) + 128u;

            rgba[c] = (uint8_t)(((sum >> 8) + sum) >> 8); /* sum / 255 */
        }
    }
}
