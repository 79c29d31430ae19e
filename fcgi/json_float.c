/* json_float.c: the fewest digits that read back as the same float. An answer may hold tens of
 * thousands of them; trying with printf and strtof takes 5,000 instructions each, this 600. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/json.h"

/* No float needs more than nine. Fewer than six need no try of their own: what is shorter comes out
 * of six as zeros at the end. */
enum { LEAST_DIGITS = 6, MOST_DIGITS = 9 };

/* digits[0].digits[1]... x 10^exponent, as printf's %e has it. */
struct decimal {
    uint32_t digits; /* n of them */
    int n, exponent;
};

/* x 10^k, with at most three roundings; |k| <= 44. */
static double scale(double value, int k)
{
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}; /* exact */
    enum { LAST = sizeof tens / sizeof *tens - 1 };

    for (; k > LAST; k -= LAST)
        value *= tens[LAST];
    for (; k < -LAST; k += LAST)
        value /= tens[LAST];
    return k < 0 ? value / tens[-k] : value * tens[k];
}

/* value > 0, normal. exponent: value is in [10^exponent, 10^(exponent + 1)); 0 where that cannot be
 * told, or scale() does not reach. */
static int find_exponent(float value, int *exponent)
{
    int binary;
    double at_least;

    frexpf(value, &binary);
    /* of 2^(binary - 1); the product of 30103 falls short of log10(2) by less than 1e-5 of it */
    *exponent = (binary - 1) * 30103 / 100000 - (binary < 1);
    if (*exponent < -35 || *exponent > 35)
        return 0;
    at_least = scale(value, -*exponent);
    if (at_least >= 10)
        *exponent += 1;
    return fabs(at_least - 10) > 1e-9 && at_least > 1 + 1e-9;
}

/* The decimals that read back as value lie between the middles to its two neighbours. All is scaled
 * to nine digits before the point, where it is off by less than 1e-6: what comes closer than 1e-5
 * to a border, or to the middle between two candidates, is not decided here. Returns 0 then. */
static int find_shortest(float value, struct decimal *decimal)
{
    const double margin = 1e-5;
    double middle = value, up = nextafterf(value, INFINITY), down = nextafterf(value, 0);
    int k, exponent, step = 1000;

    if (!isnormal(value) || !isfinite(up) || !find_exponent(value, &exponent))
        return 0;
    k = MOST_DIGITS - 1 - exponent;
    double low = scale((middle + down) / 2, k), high = scale((middle + up) / 2, k);
    middle = scale(middle, k);
    for (int n = LEAST_DIGITS; n <= MOST_DIGITS; n++, step /= 10) {
        uint32_t digits = (uint32_t)(middle / step + 0.5);
        double candidate = (double)digits * step;
        if (fabs(fabs(candidate - middle) - step * 0.5) < margin ||
            fabs(candidate - low) < margin || fabs(candidate - high) < margin)
            return 0;
        if (candidate > low && candidate < high) {
            int carry = candidate >= 1e9; /* 99999.97 -> 100000 */
            *decimal = (struct decimal){carry ? digits / 10 : digits, n, exponent + carry};
            return 1;
        }
    }
    return 0;
}

static size_t format_exponent(int exponent, char text[4])
{
    int size = exponent < 0 ? -exponent : exponent;

    text[0] = 'e';
    text[1] = exponent < 0 ? '-' : '+';
    text[2] = (char)('0' + size / 10);
    text[3] = (char)('0' + size % 10);
    return 4;
}

/* As printf's %.*g with n for the precision. Returns the length. */
static size_t format(const struct decimal *decimal, char text[32])
{
    char digits[MOST_DIGITS];
    uint32_t rest = decimal->digits;
    int n = decimal->n, exponent = decimal->exponent;
    int fixed = exponent >= -4 && exponent < n, whole = fixed ? exponent + 1 : 1;
    size_t at = 0;

    for (int i = n - 1; i >= 0; i--, rest /= 10)
        digits[i] = (char)('0' + rest % 10);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (whole <= 0) {
        memcpy(text, "0.000", 5);
        at = (size_t)(2 - whole);
    }
    for (int i = 0; i < n || i < whole; i++) {
        if (i == whole && whole > 0)
            text[at++] = '.';
        text[at++] = i < n ? digits[i] : '0';
    }
    return fixed ? at : at + format_exponent(exponent, text + at);
}

/* Digits by trial: exact for every value, and slow. */
static size_t try_digits(float value, char text[32])
{
    int n = 0;

    for (int digits = LEAST_DIGITS; digits <= MOST_DIGITS; digits++) {
        n = snprintf(text, 32, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return (size_t)n;
}

void fcgi_json_float(struct fcgi_buffer *buffer, float value)
{
    struct decimal decimal;
    char text[33];
    size_t sign = signbit(value) != 0, n;

    if (!isfinite(value)) {
        fcgi_buffer_text(buffer, "null");
        return;
    }
    text[0] = '-';
    if (find_shortest(fabsf(value), &decimal))
        n = sign + format(&decimal, text + sign);
    else
        n = try_digits(value, text);
    fcgi_buffer_add(buffer, text, n);
}
