/* huffman.c: Huffman-coded blocks of which few coefficients are wanted.
 *
 * Decoding is a chain: the length of one symbol says where the next begins. What is not wanted
 * needs no value, only its length, so a table entry covers as many symbols as its 12 bits determine
 * (the last one's value bits may lie beyond them): some two on the average, at the price of one.
 */
#include "fcgi/huffman.h"

#include <endian.h>
#include <string.h>

enum {
    PEEK = FCGI_HUFFMAN_PEEK_BITS,
    BLOCK = 64,
    STEP_BITS = 16 + 15, /* a code and its value */
    /* of a group's entry */
    GROUPS = 3, /* after one refill */
    GROUP_BITS = 56 / GROUPS,
    LENGTH_MASK = 31,
    ADVANCE_SHIFT = 5,
    END = 128,    /* coefficients more, where the block ends with it */
    NONE = BLOCK, /* coefficients: it is no group */
};

/* ---- tables ---------------------------------------------------------------------------------- */

static uint16_t group_at(const struct fcgi_huffman_table *table, unsigned bits)
{
    int length = 0, advance = 0;

    while (length < PEEK) {
        int entry = table->symbol[bits << length & ((1u << PEEK) - 1)];
        int run = entry >> 4 & 15, size = entry & 15, total = entry >> 8;

        /* the code has to be known, of the value the length is enough */
        if (entry == 0 || length + total - size > PEEK || length + total > GROUP_BITS ||
            advance + run + 1 >= BLOCK)
            break;
        length += total;
        if (size == 0 && run < 15)
            return (uint16_t)((END + advance) << ADVANCE_SHIFT | length);
        advance += run + 1;
    }
    return (uint16_t)((length > 0 ? advance : NONE) << ADVANCE_SHIFT | length);
}

/* Fills in all prefixes of one code. */
static void add_code(struct fcgi_huffman_table *table, int code, int length, int symbol)
{
    int first = code << (PEEK - length), n = 1 << (PEEK - length);

    for (int i = 0; i < n; i++)
        table->symbol[first + i] = (uint16_t)((length + (symbol & 15)) << 8 | symbol);
}

int fcgi_huffman_table(struct fcgi_huffman_table *table, const uint8_t counts[17],
                       const uint8_t *values, int dc)
{
    int code = 0, n = 0;

    memset(table, 0, sizeof(*table));
    table->values = values;
    for (int length = 1; length <= 16; length++, code *= 2) {
        table->offset[length] = n - code;
        for (int i = 0; i < counts[length]; i++, code++, n++) {
            if (n == 256 || code >= 1 << length || (dc && values[n] > 15))
                return -1;
            if (length <= PEEK)
                add_code(table, code, length, values[n]);
        }
        table->last_code[length] = counts[length] > 0 ? code - 1 : -1;
    }
    for (unsigned bits = 0; bits < 1u << PEEK && !dc; bits++)
        table->group[bits] = group_at(table, bits);
    return 0;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* What is left moves to the front; then bytes without their stuffing, as many as there is room for,
 * or up to a marker. */
static void refill_window(struct fcgi_huffman *h)
{
    size_t left = (size_t)(h->end - h->at);
    uint8_t *to = h->window + left, *full = h->window + FCGI_HUFFMAN_WINDOW;

    memmove(h->window, h->at, left);
    while (to < full && !h->marker) {
        size_t most = (size_t)(full - to), there = (size_t)(h->in_end - h->in), n;
        const uint8_t *ff = memchr(h->in, 0xff, there < most ? there : most);

        n = ff != NULL ? (size_t)(ff - h->in) : there < most ? there : most;
        memcpy(to, h->in, n);
        to += n;
        h->in += n;
        if (h->in_end - h->in < 2)
            h->marker = 1;
        else if (ff != NULL && ff[1] != 0)
            h->marker = 1;
        else if (ff != NULL) {
            *to++ = 0xff;
            h->in += 2;
        }
    }
    h->at = h->window;
    h->end = to;
    memset(to, 0, FCGI_HUFFMAN_MARGIN);
}

void fcgi_huffman_open(struct fcgi_huffman *h, const uint8_t *in, size_t n)
{
    h->bits = 0;
    h->n = 0;
    h->in = in;
    h->in_end = in + n;
    h->at = h->end = h->window;
    h->marker = h->overrun = 0;
    fcgi_huffman_fill(h);
}

void fcgi_huffman_fill(struct fcgi_huffman *h)
{
    if (h->end - h->at >= FCGI_HUFFMAN_MARGIN)
        return;
    if (!h->marker) {
        refill_window(h);
    } else if (fcgi_huffman_overrun(h)) {
        h->overrun = 1;
        h->at = h->end;
    }
}

int fcgi_huffman_overrun(const struct fcgi_huffman *h)
{
    return h->overrun || h->at - h->n / 8 > h->end;
}

/* The bits of this interval have to be used up, but for those that fill its last byte. */
int fcgi_huffman_restart(struct fcgi_huffman *h, int number)
{
    const uint8_t *p;

    if (!h->marker || h->at - h->n / 8 != h->end)
        return -1;
    for (p = h->in; p < h->in_end && *p == 0xff; p++)
        ;
    if (p == h->in_end || *p != 0xd0 + number)
        return -1;
    fcgi_huffman_open(h, p + 1, (size_t)(h->in_end - p - 1));
    return 0;
}

/* ---- bits ------------------------------------------------------------------------------------ */

/* The reader's state while a block is decoded: in registers. */
struct bits {
    uint64_t next; /* from the top */
    int n;         /* how many of them are valid */
    const uint8_t *at;
};

/* At least 56 are valid then. */
static inline void refill(struct bits *b)
{
    uint64_t more;

    memcpy(&more, b->at, sizeof(more));
    b->next |= be64toh(more) >> b->n;
    b->at += (63 - b->n) >> 3;
    b->n |= 56;
}

static inline unsigned peek(const struct bits *b, int n)
{
    return (unsigned)(b->next >> (64 - n));
}

static inline void skip(struct bits *b, int n)
{
    b->next <<= n;
    b->n -= n;
}

/* The entry of a code longer than PEEK bits; of those that are none, one that ends a block. */
static int long_symbol(unsigned sixteen, const struct fcgi_huffman_table *table)
{
    for (int length = PEEK + 1; length <= 16; length++) {
        int32_t code = (int32_t)(sixteen >> (16 - length));

        if (code <= table->last_code[length]) {
            int symbol = table->values[code + table->offset[length]];

            return (length + (symbol & 15)) << 8 | symbol;
        }
    }
    return 16 << 8;
}

/* Takes a symbol, and the value that follows it, of up to 31 bits in all. No branch on the value:
 * signs cannot be foreseen. */
static inline int take(struct bits *b, const struct fcgi_huffman_table *table, int *value)
{
    int entry = table->symbol[peek(b, PEEK)], size, total, v, half;

    if (entry == 0)
        entry = long_symbol(peek(b, 16), table);
    size = entry & 15;
    total = entry >> 8;
    half = (1 << size) >> 1;
    v = (int)peek(b, total) & ((1 << size) - 1);
    *value = v + (((v - half) >> 31) & (1 - (1 << size)));
    skip(b, total);
    return entry & 0xff;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* One symbol and its value, at coefficient k < BLOCK. Returns the next k. */
static inline int step(struct bits *b, const struct fcgi_huffman_table *ac, int k, int16_t *coefs)
{
    int value, symbol = take(b, ac, &value), run = symbol >> 4;

    if ((symbol & 15) == 0 && run < 15)
        return BLOCK;
    coefs[k + run] = (int16_t)value; /* 0, where there is none */
    return k + run + 1;
}

/* Steps over what is left of a block. A refill waits for everything before it, so there is one for
 * three groups; and what ends the block, or is no group, looks like leading past it. */
static inline void skip_rest(struct bits *b, const struct fcgi_huffman_table *ac, int k,
                             int16_t *coefs)
{
    while (k < BLOCK) {
        int group = 0, next = k;

        refill(b);
        for (int i = 0; i < GROUPS; i++) {
            group = ac->group[peek(b, PEEK)];
            next = k + (group >> ADVANCE_SHIFT);
            if (next >= BLOCK)
                break;
            skip(b, group & LENGTH_MASK);
            k = next;
        }
        if (next >= END && next < END + BLOCK) {
            skip(b, group & LENGTH_MASK);
            return;
        }
        if (next >= BLOCK) {
            refill(b);
            k = step(b, ac, k, coefs);
        }
    }
}

void fcgi_huffman_block(struct fcgi_huffman *huffman, const struct fcgi_huffman_table *dc,
                        const struct fcgi_huffman_table *ac, int want,
                        int16_t coefs[FCGI_HUFFMAN_BLOCK])
{
    struct bits bits = {huffman->bits, huffman->n, huffman->at}, *b = &bits;
    int k = 1, level;

    memset(coefs, 0, sizeof(*coefs) * FCGI_HUFFMAN_COEFS);
    refill(b);
    take(b, dc, &level);
    coefs[0] = (int16_t)level;
    while (k <= want) {
        if (b->n < STEP_BITS)
            refill(b);
        k = step(b, ac, k, coefs);
    }
    skip_rest(b, ac, k, coefs);
    huffman->bits = bits.next;
    huffman->n = bits.n;
    huffman->at = bits.at;
}
