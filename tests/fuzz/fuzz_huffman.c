/* huffman: two tables' counts and values, how many coefficients are wanted, blocks between restart
 * markers, then data; beside a decoder that takes a bit at a time. */
#include "fcgi/huffman.h"
#include "tests/fuzz/fuzz.h"

enum { LENGTHS = 16, MAX_INTERVALS = 64, UNIT_BLOCKS = 10 };

struct spec {
    uint8_t counts[17], values[256];
};

struct bits {
    const uint8_t *at, *end;
    unsigned byte, left; /* of what has been taken: bits still to come */
    int over;
};

static int bit(struct bits *b)
{
    if (b->left == 0) {
        if (b->at == b->end || (b->at[0] == 0xff && (b->end - b->at < 2 || b->at[1] != 0))) {
            b->over = 1;
            return 0;
        }
        b->byte = *b->at;
        b->at += b->byte == 0xff ? 2 : 1;
        b->left = 8;
    }
    return b->byte >> --b->left & 1;
}

static int take(struct bits *b, int n)
{
    int v = 0;

    while (n-- > 0)
        v = v << 1 | bit(b);
    return v;
}

/* The next code's symbol; -1 when there is none. */
static int symbol(struct bits *b, const struct spec *spec)
{
    int code = 0, first = 0, index = 0;

    for (int length = 1; length <= LENGTHS; length++) {
        code = code << 1 | bit(b);
        if (code - first < spec->counts[length])
            return spec->values[index + code - first];
        index += spec->counts[length];
        first = (first + spec->counts[length]) << 1;
    }
    return -1;
}

static int extend(int v, int n)
{
    return n != 0 && v < 1 << (n - 1) ? v - (1 << n) + 1 : v;
}

/* Returns -1 where the data are none: what the other makes of them is anybody's guess. */
static int block(struct bits *b, const struct spec *dc, const struct spec *ac, int coefs[64])
{
    int s = symbol(b, dc);

    memset(coefs, 0, 64 * sizeof *coefs);
    if (s < 0 || s > 11)
        return -1;
    coefs[0] = extend(take(b, s), s);
    for (int k = 1; k < 64; k++) {
        s = symbol(b, ac);
        if (s < 0 || (s & 15) > 10)
            return -1;
        if ((s & 15) == 0 && s >> 4 < 15)
            break; /* libjpeg takes any run without a value, not only 0, as the end */
        k += s >> 4;
        if (k > 63)
            return -1;
        coefs[k] = extend(take(b, s & 15), s & 15);
    }
    return b->over ? -1 : 0;
}

static int read_spec(struct spec *spec, const uint8_t **bytes, size_t *n)
{
    size_t total = 0;

    memset(spec, 0, sizeof *spec);
    if (*n < LENGTHS)
        return -1;
    memcpy(spec->counts + 1, *bytes, LENGTHS);
    for (int i = 1; i <= LENGTHS; i++)
        total += spec->counts[i];
    if (total > sizeof spec->values || total > *n - LENGTHS)
        return -1;
    memcpy(spec->values, *bytes + LENGTHS, total);
    *bytes += LENGTHS + total;
    *n -= LENGTHS + total;
    return 0;
}

/* Up to the next restart marker, which is number 0 to 7 in turn; 0 when it follows. */
static int interval(struct fcgi_huffman *huffman, const struct fcgi_huffman_table tables[2],
                    const struct spec spec[2], int want, int blocks, struct bits *bits, int *good)
{
    int16_t coefs[FCGI_HUFFMAN_BLOCK];
    int expected[64];

    for (int i = 0; i < blocks && !fcgi_huffman_overrun(huffman); i++) {
        if (i % UNIT_BLOCKS == 0)
            fcgi_huffman_fill(huffman);
        fcgi_huffman_block(huffman, &tables[0], &tables[1], want, coefs);
        *good = *good && block(bits, &spec[0], &spec[1], expected) == 0;
        for (int k = 0; k <= want && *good; k++)
            FUZZ_EXPECT(coefs[k] == expected[k]);
    }
    FUZZ_EXPECT(!*good || !fcgi_huffman_overrun(huffman));
    fcgi_huffman_fill(huffman);
    return fcgi_huffman_overrun(huffman) ? -1 : 0;
}

static void decode(struct fcgi_huffman *huffman, const struct spec spec[2], int want, int blocks,
                   const uint8_t *bytes, size_t n)
{
    static struct fcgi_huffman_table tables[2]; /* large */
    struct bits bits = {.at = bytes, .end = bytes + n};
    int good = 1;

    if (fcgi_huffman_table(&tables[0], spec[0].counts, spec[0].values, 1) != 0 ||
        fcgi_huffman_table(&tables[1], spec[1].counts, spec[1].values, 0) != 0)
        return;
    fcgi_huffman_open(huffman, bytes, n);
    for (int number = 0; number < MAX_INTERVALS; number++) {
        if (interval(huffman, tables, spec, want, blocks, &bits, &good) != 0 ||
            fcgi_huffman_restart(huffman, number & 7) != 0)
            return;
        good = 0; /* the other does not know where it goes on */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct fcgi_huffman *huffman = fuzz_block(sizeof *huffman);
    struct spec spec[2];

    if (read_spec(&spec[0], &bytes, &n) == 0 && read_spec(&spec[1], &bytes, &n) == 0 && n > 1)
        decode(huffman, spec, bytes[0] % FCGI_HUFFMAN_COEFS, bytes[1] + 1, bytes + 2, n - 2);
    free(huffman);
    return 0;
}
