/* wall.c: was the clock set while a request may have been waiting? */
#include "fcgi/wall.h"

#include <time.h>

enum {
    LEAST_STEP_MS = 1000,       /* less is a clock that is being corrected */
    MEMORY_MS = 15 * 60 * 1000, /* no request waits for longer */
};

void fcgi_wall_look(struct fcgi_wall *wall, int64_t wall_ms, int64_t now_ms)
{
    int64_t offset_ms = wall_ms - now_ms, step_ms = offset_ms - wall->offset_ms;

    if (wall->seen_ms && (step_ms >= LEAST_STEP_MS || step_ms <= -LEAST_STEP_MS)) {
        wall->step_ms = step_ms;
        wall->before_ms = wall->seen_ms;
        wall->noticed_ms = now_ms;
    }
    wall->offset_ms = offset_ms;
    wall->seen_ms = now_ms;
}

static int64_t read_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t fcgi_wall_now_ms(struct fcgi_wall *wall)
{
    int64_t wall_ms = read_ms(CLOCK_REALTIME);

    fcgi_wall_look(wall, wall_ms, read_ms(CLOCK_MONOTONIC));
    return wall_ms;
}

/* What was passed on after the step is not older than our last look before it, nor as old as the
 * step is large; unless that look is long ago, or the step small, and the age of a request that
 * waited for long is taken for nothing. */
int fcgi_wall_believes(const struct fcgi_wall *wall, int64_t age_ms, int64_t now_ms)
{
    if (age_ms > MEMORY_MS || age_ms < -MEMORY_MS)
        return 0;
    if (!wall->step_ms || now_ms - wall->noticed_ms > MEMORY_MS)
        return 1;
    return age_ms >= 0 && age_ms <= now_ms - wall->before_ms &&
           (wall->step_ms < 0 || age_ms < wall->step_ms);
}
