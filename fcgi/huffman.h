/* huffman.h: the entropy-coded data of a sequential JPEG, block by block, for who wants only the
 * first coefficients of each: the rest is stepped over, several symbols at a time. Internal to
 * fcgi/.
 */
#ifndef FCGI_HUFFMAN_H
#define FCGI_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>

enum {
    FCGI_HUFFMAN_PEEK_BITS = 12,
    FCGI_HUFFMAN_COEFS = 10,       /* at most wanted, in zigzag order */
    FCGI_HUFFMAN_BLOCK = 64 + 16,  /* a block's, and as many as a wrong run can go past it */
    FCGI_HUFFMAN_WINDOW = 1 << 16, /* bytes without stuffing, kept ahead */
    FCGI_HUFFMAN_MARGIN = 1 << 12, /* more than a unit of ten blocks can have: 10 x 64 x 31 bits */
};

struct fcgi_huffman_table {
    uint16_t symbol[1 << FCGI_HUFFMAN_PEEK_BITS]; /* bits with the value << 8 | symbol; 0: a longer
                                                     code */
    uint16_t group[1 << FCGI_HUFFMAN_PEEK_BITS];  /* see huffman.c */
    int32_t last_code[17];                        /* of each length, -1: none */
    int32_t offset[17];    /* into values, less the first code of that length */
    const uint8_t *values; /* the caller's */
};

struct fcgi_huffman {
    uint64_t bits;              /* the next ones, from the top */
    int n;                      /* how many of them are valid */
    const uint8_t *at, *end;    /* into window; behind end there are zeros */
    const uint8_t *in, *in_end; /* not yet in window */
    int overrun;                /* 1: more was read than there is */
    int marker;                 /* 1: what follows `end` is a marker, or nothing */
    uint8_t window[FCGI_HUFFMAN_WINDOW + 2 * FCGI_HUFFMAN_MARGIN];
};

/* counts: codes of each length 1..16, as in a DHT segment; values: [256], what they stand for, kept
 * by reference. dc: these are lengths of differences. Returns 0, or -1 when this is not a Huffman
 * table. */
int fcgi_huffman_table(struct fcgi_huffman_table *table, const uint8_t counts[17],
                       const uint8_t *values, int dc);

void fcgi_huffman_open(struct fcgi_huffman *huffman, const uint8_t *in, size_t n);

/* Before each unit of up to ten blocks. Behind the end there are zeros without end. */
void fcgi_huffman_fill(struct fcgi_huffman *huffman);

/* One block, in zigzag order, not dequantised: coefs[0], which is a difference, to coefs[want] are
 * right, want < FCGI_HUFFMAN_COEFS; what is behind them may be anything. Whatever the bits are,
 * this ends within the margin. */
void fcgi_huffman_block(struct fcgi_huffman *huffman, const struct fcgi_huffman_table *dc,
                        const struct fcgi_huffman_table *ac, int want,
                        int16_t coefs[FCGI_HUFFMAN_BLOCK]);

/* Whether more was read than there is before the next marker. */
int fcgi_huffman_overrun(const struct fcgi_huffman *huffman);

/* Goes on behind restart marker number 0..7. Returns -1 when that is not what comes next. */
int fcgi_huffman_restart(struct fcgi_huffman *huffman, int number);

#endif
