/* ctl_text.c: numbers as people read them. */
#include <stdio.h>

#include "spawn/ctl.h"

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS };
#define DAY_MS (24LL * HOUR_MS)

void spawn_ctl_duration(int64_t ms, char text[32])
{
    if (ms < SECOND_MS)
        snprintf(text, 32, "%lld ms", (long long)ms);
    else if (ms < MINUTE_MS)
        snprintf(text, 32, "%.1f s", (double)ms / SECOND_MS);
    else if (ms < HOUR_MS)
        snprintf(text, 32, "%d min %d s", (int)(ms / MINUTE_MS), (int)(ms % MINUTE_MS / SECOND_MS));
    else if (ms < DAY_MS)
        snprintf(text, 32, "%d h %d min", (int)(ms / HOUR_MS), (int)(ms % HOUR_MS / MINUTE_MS));
    else
        snprintf(text, 32, "%lld d %d h", (long long)(ms / DAY_MS), (int)(ms % DAY_MS / HOUR_MS));
}

void spawn_ctl_size(int64_t bytes, char text[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    int unit = 0;

    for (; size >= 1024 && unit < 4; unit++)
        size /= 1024;
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", size, units[unit]);
}
