/* json_numbers.c: the numbers of a tensor that came as JSON. The text was checked when it was
 * parsed.
 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "weights/json.h"

/* A decimal as mantissa x 10^exponent; `cut` when the mantissa holds only some of its digits. */
struct decimal {
    uint64_t mantissa;
    int exponent, cut, negative;
};

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits of which 19 always fit. step: what each one does to the exponent when it is kept (-1
 * behind the point, else 0). */
static const char *take_digits(const char *s, int step, struct decimal *decimal)
{
    const uint64_t most = (UINT64_MAX - 9) / 10;

    for (; is_digit(*s); s++) {
        if (decimal->mantissa <= most) {
            decimal->mantissa = decimal->mantissa * 10 + (uint64_t)(*s - '0');
            decimal->exponent += step;
        } else {
            decimal->cut = 1;
        }
    }
    return s;
}

static const char *take_exponent(const char *s, struct decimal *decimal)
{
    enum { MOST = 100000 };
    int negative = *s == '-', exponent = 0;

    for (s += negative || *s == '+'; is_digit(*s); s++)
        exponent = exponent < MOST ? exponent * 10 + (*s - '0') : MOST;
    decimal->exponent += negative ? -exponent : exponent;
    return s;
}

static const char *take_decimal(const char *s, struct decimal *decimal)
{
    *decimal = (struct decimal){.negative = *s == '-'};
    s = take_digits(s + decimal->negative, 0, decimal);
    if (*s == '.')
        s = take_digits(s + 1, -1, decimal);
    if (*s == 'e' || *s == 'E')
        s = take_exponent(s + 1, decimal);
    return s;
}

/* The float nearest to the decimal, by a double that is off by its last two bits at most; 0 where
 * that is too near to the middle between two floats, or out of a normal float's range. */
static int round_decimal(const struct decimal *decimal, float *out)
{
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}; /* exact */
    const uint64_t below_float = 0x1fffffff, middle = 0x10000000;
    int k = decimal->exponent;
    uint64_t bits;

    if (decimal->cut || k < -22 || k > 22)
        return 0;
    double value = (double)decimal->mantissa;
    value = k < 0 ? value / tens[-k] : value * tens[k];
    memcpy(&bits, &value, sizeof bits);
    if ((bits & below_float) - (middle - 4) <= 8)
        return 0;
    if (value != 0 && (value < FLT_MIN || value > FLT_MAX))
        return 0;
    *out = decimal->negative ? -(float)value : (float)value;
    return 1;
}

/* The first byte of the next number, at s or behind. */
static const char *next_number(const char *s)
{
    while (*s != '-' && !is_digit(*s))
        s++;
    return s;
}

/* strtof and strtoll stop at the byte behind the number, which is there: a bracket closes the
 * array.
 */
int wt_json_numbers_floats(const struct wt_json *json, int value, float *out)
{
    int n = wt_json_type(json, value) == WT_JSON_NUMBERS ? wt_json_size(json, value) : 0;
    size_t n_raw;
    const char *s = wt_json_raw(json, value, &n_raw);
    struct decimal decimal;

    for (int i = 0; i < n; i++) {
        s = next_number(s);
        const char *end = take_decimal(s, &decimal);
        if (!round_decimal(&decimal, &out[i]))
            out[i] = strtof(s, NULL);
        if (!isfinite(out[i]))
            return i;
        s = end;
    }
    return n;
}

int wt_json_numbers_int64s(const struct wt_json *json, int value, int64_t *out)
{
    int n = wt_json_type(json, value) == WT_JSON_NUMBERS ? wt_json_size(json, value) : 0;
    size_t n_raw;
    const char *s = wt_json_raw(json, value, &n_raw);
    char *end;

    for (int i = 0; i < n; i++) {
        s = next_number(s);
        errno = 0;
        out[i] = strtoll(s, &end, 10);
        if (errno != 0 || *end == '.' || *end == 'e' || *end == 'E')
            return i;
        s = end;
    }
    return n;
}
