/* base64.c: four characters at a time through one table. */
#include "fcgi/base64.h"

enum { VALID = 0x40, SIX_BITS = 0x3f };

/* By character: VALID and its six bits; 0 for what is not in the alphabet. */
#define V(c, value)           [c] = VALID | (value)
#define V4(a, b, c, d, value) V(a, value), V(b, value + 1), V(c, value + 2), V(d, value + 3)
static const uint8_t values[256] = {
    V4('A', 'B', 'C', 'D', 0),  V4('E', 'F', 'G', 'H', 4),  V4('I', 'J', 'K', 'L', 8),
    V4('M', 'N', 'O', 'P', 12), V4('Q', 'R', 'S', 'T', 16), V4('U', 'V', 'W', 'X', 20),
    V4('Y', 'Z', 'a', 'b', 24), V4('c', 'd', 'e', 'f', 28), V4('g', 'h', 'i', 'j', 32),
    V4('k', 'l', 'm', 'n', 36), V4('o', 'p', 'q', 'r', 40), V4('s', 't', 'u', 'v', 44),
    V4('w', 'x', 'y', 'z', 48), V4('0', '1', '2', '3', 52), V4('4', '5', '6', '7', 56),
    V4('8', '9', '+', '/', 60),
};
#undef V4
#undef V

/* One of the four characters at `from` is none of the alphabet: says which, and what it may be. */
static int refuse(const char *text, size_t from, struct fcgi_err *err)
{
    size_t i = from;

    while (i < from + 3 && values[(uint8_t)text[i]])
        i++;
    unsigned c = (uint8_t)text[i];
    if (c == '-' || c == '_')
        return fcgi_fail(err, FCGI_E_BAD_BASE64,
                         "base64, character %zu: '%c' is of the URL-safe alphabet; expected the "
                         "standard one, with + and /",
                         i, (int)c);
    if (c == '\r' || c == '\n' || c == ' ' || c == '\t')
        return fcgi_fail(err, FCGI_E_BAD_BASE64,
                         "base64, character %zu: a line break or blank; expected one unbroken line "
                         "(base64 -w0)",
                         i);
    if (c == '=')
        return fcgi_fail(err, FCGI_E_BAD_BASE64,
                         "base64, character %zu: padding '=' before the end", i);
    return fcgi_fail(err, FCGI_E_BAD_BASE64,
                     "base64, character %zu: 0x%02x is not of the alphabet A-Z a-z 0-9 + /", i, c);
}

/* The last group when it is padded: two or three characters stand for one or two bytes. */
static int decode_tail(const char *text, size_t n, size_t padding, uint8_t *out,
                       struct fcgi_err *err)
{
    const char *tail = text + n - 4;
    size_t n_chars = 4 - padding;
    uint32_t bits = 0;

    for (size_t i = 0; i < n_chars; i++) {
        uint8_t value = values[(uint8_t)tail[i]];
        if (!value)
            return refuse(text, n - 4, err);
        bits = bits << 6 | (value & SIX_BITS);
    }
    if (bits & (padding == 2 ? 0xfu : 0x3u))
        return fcgi_fail(err, FCGI_E_BAD_BASE64,
                         "base64: the character before the padding has bits that belong to no "
                         "byte; the text is damaged or cut");
    bits <<= 6 * padding;
    out[0] = (uint8_t)(bits >> 16);
    if (padding == 1)
        out[1] = (uint8_t)(bits >> 8);
    return FCGI_E_OK;
}

/* No whole groups. Where something does not belong, that is why; else the padding is missing. */
static int refuse_length(const char *text, size_t n, struct fcgi_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!values[(uint8_t)text[i]] && text[i] != '=')
            return refuse(text, i, err);
    return fcgi_fail(err, FCGI_E_BAD_BASE64,
                     "base64: %zu characters; expected a multiple of 4, padded with '='", n);
}

int fcgi_base64_decode(const char *text, size_t n, uint8_t *out, size_t *n_out,
                       struct fcgi_err *err)
{
    if (n % 4)
        return refuse_length(text, n, err);
    size_t padding = n && text[n - 1] == '=' ? 1 + (text[n - 2] == '=') : 0;
    size_t n_whole = n - (padding ? 4 : 0);
    uint8_t *to = out;

    for (size_t i = 0; i < n_whole; i += 4, to += 3) {
        uint32_t a = values[(uint8_t)text[i]], b = values[(uint8_t)text[i + 1]];
        uint32_t c = values[(uint8_t)text[i + 2]], d = values[(uint8_t)text[i + 3]];
        if (!(a & b & c & d & VALID))
            return refuse(text, i, err);
        uint32_t bits =
            (a & SIX_BITS) << 18 | (b & SIX_BITS) << 12 | (c & SIX_BITS) << 6 | (d & SIX_BITS);
        to[0] = (uint8_t)(bits >> 16);
        to[1] = (uint8_t)(bits >> 8);
        to[2] = (uint8_t)bits;
    }
    *n_out = n / 4 * 3 - padding;
    return padding ? decode_tail(text, n, padding, to, err) : FCGI_E_OK;
}
