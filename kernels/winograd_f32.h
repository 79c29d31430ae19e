/* winograd_f32.h: Winograd's transforms for one tile and one block of 16 channels, written once
 * over the vector type of the ISA file that includes it. That file defines
 *
 *   VEC, LANES (16 or 8), LOAD(p), STORE(p, v), SET1(s), ADD(a, b), SUB(a, b), MAX(low, x),
 *   MADD(a, b, c) = a * b + c, NMADD(a, b, c) = c - a * b, each rounded once
 *
 * Points 0, 1, -1, 2, infinity for F(3,3) and 0, 1, -1, 2, -2, infinity for F(4,3); the matrices
 * are those of Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015. With
 * stride 2, inputs 0, 2 and 4 of a window's line are convolved with two taps at the points 0, 1,
 * infinity; 1 and 3 are multiplied as they are. A transform of a tile is the one-dimensional
 * transform of its columns, then of its rows.
 */
#ifndef KERNELS_WINOGRAD_F32_H
#define KERNELS_WINOGRAD_F32_H

#include <stddef.h>

#define INLINE static inline __attribute__((always_inline))

/* One line of a window, in place. */
INLINE void in3(VEC d[5])
{
    VEC two = SET1(2), v3 = SUB(d[3], d[1]), near = SUB(d[3], d[2]);

    d[0] = MADD(two, SUB(d[0], d[2]), v3);
    d[4] = NMADD(two, v3, SUB(d[4], d[2]));
    d[2] = MADD(two, SUB(d[1], d[2]), near);
    d[1] = NMADD(two, d[1], near);
    d[3] = v3;
}

/* from, to: floats from one element of the line to the next */
INLINE void in4(const float *d, ptrdiff_t from, float *v, ptrdiff_t to)
{
    VEC d0 = LOAD(d), d1 = LOAD(d + from), d2 = LOAD(d + 2 * from), d3 = LOAD(d + 3 * from);
    VEC d4 = LOAD(d + 4 * from), d5 = LOAD(d + 5 * from);
    VEC two = SET1(2), four = SET1(4), five = SET1(5);
    VEC even = NMADD(four, d2, d4), odd = NMADD(four, d1, d3);
    VEC e2 = SUB(d4, d2), o2 = SUB(d3, d1);

    STORE(v, MADD(four, d0, NMADD(five, d2, d4)));
    STORE(v + to, ADD(even, odd));
    STORE(v + 2 * to, SUB(even, odd));
    STORE(v + 3 * to, MADD(two, o2, e2));
    STORE(v + 4 * to, NMADD(two, o2, e2));
    STORE(v + 5 * to, MADD(four, d1, NMADD(five, d3, d5)));
}

/* The lines that leave: 3 or 4 values of one row or column of the result. */
INLINE void out3(const VEC m[5], VEC y[3])
{
    VEC s = ADD(m[1], m[2]);

    y[0] = ADD(ADD(m[0], s), m[3]);
    y[1] = MADD(SET1(2), m[3], SUB(m[1], m[2]));
    y[2] = MADD(SET1(4), m[3], ADD(s, m[4]));
}

INLINE void out4(const float *m, ptrdiff_t from, VEC y[4])
{
    VEC m1 = LOAD(m + from), m2 = LOAD(m + 2 * from);
    VEC m3 = LOAD(m + 3 * from), m4 = LOAD(m + 4 * from);
    VEC s = ADD(m1, m2), d = SUB(m1, m2), s2 = ADD(m3, m4), d2 = SUB(m3, m4);

    y[0] = ADD(LOAD(m), ADD(s, s2));
    y[1] = MADD(SET1(2), d2, d);
    y[2] = MADD(SET1(4), s2, s);
    y[3] = ADD(MADD(SET1(8), d2, d), LOAD(m + 5 * from));
}

/* The next tile's lines of v, m and y lie in L2, one or `size` after this one's. Writes wait for
 * their line one after the other if it is not in L1; in a row of tiles the last fetches in vain. */
INLINE void fetch_next_in(const float *v, ptrdiff_t point, const int points)
{
#pragma GCC unroll 6
    for (int i = 0; i < points; i++)
        __builtin_prefetch(v + 16 + point * i, 1, 3);
}

INLINE void fetch_next_out(const float *m, ptrdiff_t row_of_points, const float *y, const int size,
                           const int points)
{
#pragma GCC unroll 6
    for (int i = 0; i < points; i++)
        __builtin_prefetch(m + 16 + row_of_points * i, 0, 3);
#pragma GCC unroll 4
    for (int i = 0; i < size; i++)
        __builtin_prefetch(y + 16 * (size + i), 1, 3);
}

/* The 25 values of a window of five fit into AVX-512's registers. */
INLINE void transform3_in(const float *d, ptrdiff_t row, float *v, ptrdiff_t point)
{
    for (int h = 0; h < 16; h += LANES, d += LANES, v += LANES) {
        VEC t[5][5], line[5];
#pragma GCC unroll 5
        for (int x = 0; x < 5; x++) {
            if (h == 0)
                fetch_next_in(v + point * 5 * x, point, 5);
#pragma GCC unroll 5
            for (int y = 0; y < 5; y++)
                line[y] = LOAD(d + row * y + 16 * x);
            in3(line);
#pragma GCC unroll 5
            for (int y = 0; y < 5; y++)
                t[y][x] = line[y];
        }
#pragma GCC unroll 5
        for (int y = 0; y < 5; y++) {
            in3(t[y]);
#pragma GCC unroll 5
            for (int x = 0; x < 5; x++)
                STORE(v + point * (5 * y + x), t[y][x]);
        }
    }
}

INLINE void transform4_in(const float *d, ptrdiff_t row, float *v, ptrdiff_t point)
{
    float columns[6 * 6 * LANES] __attribute__((aligned(64)));

    for (int h = 0; h < 16; h += LANES, d += LANES, v += LANES) {
#pragma GCC unroll 6
        for (int x = 0; x < 6; x++) {
            if (h == 0)
                fetch_next_in(v + point * 6 * x, point, 6);
            in4(d + 16 * x, row, columns + LANES * x, LANES * 6);
        }
#pragma GCC unroll 6
        for (int y = 0; y < 6; y++)
            in4(columns + LANES * 6 * y, LANES, v + point * 6 * y, point);
    }
}

/* One row of the result: bias, residual, ReLU. */
INLINE void finish_row(const VEC *line, VEC bias, VEC low, const float *residual, float *y,
                       const int size)
{
    for (int x = 0; x < size; x++) {
        VEC v = ADD(line[x], bias);
        if (residual)
            v = ADD(v, LOAD(residual + 16 * x));
        STORE(y + 16 * x, MAX(low, v));
    }
}

INLINE void transform3_out(const float *m, ptrdiff_t point, const float *bias,
                           const float *residual, float *y, ptrdiff_t row, float low)
{
    for (int h = 0; h < 16; h += LANES) {
        VEC t[3][5], line[5];
#pragma GCC unroll 5
        for (int x = 0; x < 5; x++) {
            if (h == 0)
                fetch_next_out(m + point * x, point * 5, y + row * x, x < 3 ? 3 : 0, 5);
#pragma GCC unroll 5
            for (int i = 0; i < 5; i++)
                line[i] = LOAD(m + h + point * (5 * i + x));
            out3(line, line);
#pragma GCC unroll 3
            for (int i = 0; i < 3; i++)
                t[i][x] = line[i];
        }
#pragma GCC unroll 3
        for (int i = 0; i < 3; i++) {
            out3(t[i], line);
            finish_row(line, LOAD(bias + h), SET1(low), residual ? residual + h + row * i : NULL,
                       y + h + row * i, 3);
        }
    }
}

INLINE void transform4_out(const float *m, ptrdiff_t point, const float *bias,
                           const float *residual, float *y, ptrdiff_t row, float low)
{
    float columns[4 * 6 * LANES] __attribute__((aligned(64)));
    VEC line[4];

    for (int h = 0; h < 16; h += LANES) {
#pragma GCC unroll 6
        for (int x = 0; x < 6; x++) {
            if (h == 0)
                fetch_next_out(m + point * x, point * 6, y + row * x, x < 4 ? 4 : 0, 6);
            out4(m + h + point * x, point * 6, line);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                STORE(columns + LANES * (6 * i + x), line[i]);
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            out4(columns + LANES * 6 * i, LANES, line);
            finish_row(line, LOAD(bias + h), SET1(low), residual ? residual + h + row * i : NULL,
                       y + h + row * i, 4);
        }
    }
}

/* Stride 2: the point of row a and column b of the transformed window. Those that share weights (a
 * or b is 3 or 4: both are an input as it is, times the middle tap) are neighbours. */
INLINE int strided_point(int a, int b)
{
    return a < 3 ? 5 * a + b : b < 3 ? 15 + 2 * b + a - 3 : 21 + 2 * (a - 3) + b - 3;
}

INLINE void in_strided(VEC d[5])
{
    VEC odd = d[3];

    d[0] = SUB(d[0], d[2]);
    d[4] = SUB(d[4], d[2]);
    d[3] = d[1];
    d[1] = d[2];
    d[2] = d[4];
    d[4] = odd;
}

INLINE void transform_strided_in(const float *d, ptrdiff_t row, float *v, ptrdiff_t point)
{
    for (int h = 0; h < 16; h += LANES, d += LANES, v += LANES) {
        VEC t[5][5], line[5];
#pragma GCC unroll 5
        for (int x = 0; x < 5; x++) {
            if (h == 0)
                fetch_next_in(v + point * 5 * x, point, 5);
#pragma GCC unroll 5
            for (int y = 0; y < 5; y++)
                line[y] = LOAD(d + row * y + 16 * x);
            in_strided(line);
#pragma GCC unroll 5
            for (int y = 0; y < 5; y++)
                t[y][x] = line[y];
        }
#pragma GCC unroll 5
        for (int y = 0; y < 5; y++) {
            in_strided(t[y]);
#pragma GCC unroll 5
            for (int x = 0; x < 5; x++)
                STORE(v + point * strided_point(y, x), t[y][x]);
        }
    }
}

INLINE void out_strided(const VEC m[5], VEC *y0, VEC *y1)
{
    *y0 = ADD(ADD(m[0], m[1]), m[3]);
    *y1 = ADD(ADD(m[1], m[2]), m[4]);
}

INLINE void transform_strided_out(const float *m, ptrdiff_t point, const float *bias,
                                  const float *residual, float *y, ptrdiff_t row, float low)
{
    for (int h = 0; h < 16; h += LANES) {
        VEC t[2][5], line[5];
#pragma GCC unroll 5
        for (int x = 0; x < 5; x++) {
            if (h == 0)
                fetch_next_out(m + point * x, point * 5, y + row * x, x < 2 ? 2 : 0, 5);
#pragma GCC unroll 5
            for (int i = 0; i < 5; i++)
                line[i] = LOAD(m + h + point * strided_point(i, x));
            out_strided(line, &t[0][x], &t[1][x]);
        }
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            out_strided(t[i], &line[0], &line[1]);
            finish_row(line, LOAD(bias + h), SET1(low), residual ? residual + h + row * i : NULL,
                       y + h + row * i, 2);
        }
    }
}

#endif
