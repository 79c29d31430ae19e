/* json_text.c: what stands inside JSON's strings and numbers. */
#include <stdint.h>
#include <string.h>

#include "weights/json_text.h"

enum { BAD = -1 };

static int hex4(const char *s, size_t n)
{
    int value = 0;

    if (n < 4)
        return BAD;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : BAD;
        if (digit == BAD)
            return BAD;
        value = value * 16 + digit;
    }
    return value;
}

/* s: what follows "\u". Returns the bytes of s used, 0 for a surrogate without its other half. */
static size_t unicode_escape(const char *s, size_t n, uint32_t *c)
{
    int high = hex4(s, n), low;

    if (high == BAD || (high >= 0xdc00 && high <= 0xdfff))
        return 0;
    *c = (uint32_t)high;
    if (high < 0xd800 || high > 0xdbff)
        return 4;
    if (n < 10 || s[4] != '\\' || s[5] != 'u')
        return 0;
    low = hex4(s + 6, n - 6);
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *c = 0x10000 + (((uint32_t)high - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    return 10;
}

/* s: what follows a backslash. Returns the bytes of s used, 0 for none that JSON has. */
static size_t escape(const char *s, size_t n, uint32_t *c)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found;
    size_t used;

    if (n == 0 || *s == '\0')
        return 0;
    if (*s == 'u') {
        used = unicode_escape(s + 1, n - 1, c);
        return used ? used + 1 : 0;
    }
    found = strchr(from, *s);
    *c = found ? (uint32_t)(unsigned char)to[found - from] : 0;
    return found != NULL;
}

/* One UTF-8 sequence of more than a byte: its length, 0 when overlong, cut or out of range. */
static size_t utf8_sequence(const unsigned char *s, size_t n)
{
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    unsigned char least = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char most = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;

    if (s[0] < 0xc2 || s[0] > 0xf4 || n < length || s[1] < least || s[1] > most)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static size_t put_utf8(char *out, uint32_t c)
{
    int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0x00, 0xc0, 0xe0, 0xf0};

    out[0] = (char)(lead[more] | c >> (6 * more));
    for (int i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (c >> (6 * (more - i)) & 0x3f));
    return (size_t)more + 1;
}

size_t wt_json_text_character(const char *s, size_t n, char out[4], size_t *n_out)
{
    unsigned char first = (unsigned char)s[0];
    uint32_t c;
    size_t used;

    if (first == '\\') {
        used = escape(s + 1, n - 1, &c);
        *n_out = used ? put_utf8(out, c) : 0;
        return used ? used + 1 : 0;
    }
    if (first < 0x20)
        return 0;
    used = first < 0x80 ? 1 : utf8_sequence((const unsigned char *)s, n);
    memcpy(out, s, used);
    *n_out = used;
    return used;
}

/* Eight bytes at once; in `high`, the bytes that need a second look. */
size_t wt_json_text_plain(const char *s, size_t n)
{
    const uint64_t ones = 0x0101010101010101u, top = ones * 0x80;
    uint64_t word, backslash, high;
    size_t at = 0;

    for (; n - at >= sizeof word; at += sizeof word) {
        memcpy(&word, s + at, sizeof word);
        backslash = word ^ ones * '\\';
        high = word | ((word - ones * 0x20) & ~word) | ((backslash - ones) & ~backslash);
        if (high & top)
            break;
    }
    return at;
}

size_t wt_json_text_string(const char *s, size_t n)
{
    size_t at = 0, behind = 0; /* no backslash before `behind` is looked at again */

    while (at < n) {
        const char *quote = memchr(s + at, '"', n - at);
        size_t end = quote ? (size_t)(quote - s) : n, first = end;
        while (first > behind && s[first - 1] == '\\')
            first--;
        if (!quote || (end - first) % 2 == 0)
            return end;
        at = behind = end + 1;
    }
    return n;
}

static size_t digits(const char *s, size_t n, size_t at)
{
    size_t i = at;

    while (i < n && s[i] >= '0' && s[i] <= '9')
        i++;
    return i - at;
}

size_t wt_json_text_number(const char *s, size_t n)
{
    size_t i = n > 0 && s[0] == '-', whole = digits(s, n, i);

    if (whole == 0 || (whole > 1 && s[i] == '0'))
        return 0;
    i += whole;
    if (i < n && s[i] == '.') {
        size_t part = digits(s, n, i + 1);
        if (part == 0)
            return 0;
        i += 1 + part;
    }
    if (i < n && (s[i] == 'e' || s[i] == 'E')) {
        size_t sign = i + 1 < n && (s[i + 1] == '+' || s[i + 1] == '-');
        size_t part = digits(s, n, i + 1 + sign);
        if (part == 0)
            return 0;
        i += 1 + sign + part;
    }
    return i;
}

int wt_json_text_is_number(const char *s, size_t n)
{
    return n > 0 && wt_json_text_number(s, n) == n;
}

static size_t white_space(const char *s, size_t n, size_t at)
{
    size_t i = at;

    while (i < n && (s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r'))
        i++;
    return i;
}

size_t wt_json_text_numbers(const char *s, size_t n, int *count)
{
    size_t at = 0, used;
    char c = ',';

    for (*count = 0; c == ','; ++*count) {
        at = white_space(s, n, at + 1);
        used = at < n ? wt_json_text_number(s + at, n - at) : 0;
        if (used == 0)
            return 0;
        at = white_space(s, n, at + used);
        c = at < n ? s[at] : 0;
    }
    return c == ']' ? at + 1 : 0;
}
