/* config_units.c: times and sizes as people write them. Strict: what is not understood whole is
 * refused, since "2m" read as 2 would be worse than an error. */
#include "fcgi/config.h"

#include <strings.h>

struct unit {
    const char *name;
    int64_t scale;
};

static const struct unit durations[] = {{"", 1000},   {"ms", 1},      {"s", 1000},
                                        {"m", 60000}, {"min", 60000}, {"h", 3600000}};

/* "M" is 2^20, as nginx has it; "MB" could be either and is refused. */
static const struct unit sizes[] = {{"", 1},           {"b", 1},           {"k", 1LL << 10},
                                    {"ki", 1LL << 10}, {"kib", 1LL << 10}, {"m", 1LL << 20},
                                    {"mi", 1LL << 20}, {"mib", 1LL << 20}, {"g", 1LL << 30},
                                    {"gi", 1LL << 30}, {"gib", 1LL << 30}};

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int64_t find_scale(const struct unit *units, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcasecmp(units[i].name, name))
            return units[i].scale;
    return 0;
}

/* DIGITS[.DIGITS]UNIT; a fraction of the unit is rounded down. */
static int parse(const char *text, const struct unit *units, size_t n, int64_t *result)
{
    int64_t whole = 0, fraction = 0, divisor = 1, scale;

    if (!is_digit(*text))
        return -1;
    for (; is_digit(*text); text++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, *text - '0', &whole))
            return -1;
    if (*text == '.') {
        if (!is_digit(*++text))
            return -1;
        for (; is_digit(*text); text++)
            if (divisor < 1000000) {
                fraction = fraction * 10 + (*text - '0');
                divisor *= 10;
            }
    }
    scale = find_scale(units, n, text);
    if (!scale || __builtin_mul_overflow(whole, scale, &whole) ||
        __builtin_mul_overflow(fraction, scale, &fraction) ||
        __builtin_add_overflow(whole, fraction / divisor, result))
        return -1;
    return 0;
}

int fcgi_config_duration(const char *text, int64_t *ms)
{
    return parse(text, durations, sizeof durations / sizeof durations[0], ms);
}

int fcgi_config_size(const char *text, int64_t *bytes)
{
    return parse(text, sizes, sizeof sizes / sizeof sizes[0], bytes);
}
