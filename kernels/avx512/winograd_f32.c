/* winograd_f32.c: Winograd's transforms over vectors of 16 channels. */
#include <immintrin.h>

#include "kernels/avx512/f32.h"

#define VEC            __m512
#define LANES          16
#define LOAD(p)        _mm512_load_ps(p)
#define STORE(p, v)    _mm512_store_ps(p, v)
#define SET1(s)        _mm512_set1_ps(s)
#define ADD(a, b)      _mm512_add_ps(a, b)
#define SUB(a, b)      _mm512_sub_ps(a, b)
#define MAX(low, x)    _mm512_max_ps(low, x)
#define MADD(a, b, c)  _mm512_fmadd_ps(a, b, c)
#define NMADD(a, b, c) _mm512_fnmadd_ps(a, b, c)
#include "kernels/winograd_f32.h"

void kn_f32_winograd3_in__avx512(const float *d, ptrdiff_t row, float *v, ptrdiff_t point)
{
    transform3_in(d, row, v, point);
}

void kn_f32_winograd4_in__avx512(const float *d, ptrdiff_t row, float *v, ptrdiff_t point)
{
    transform4_in(d, row, v, point);
}

void kn_f32_winograd3_out__avx512(const float *m, ptrdiff_t point, const float *bias,
                                  const float *residual, float *y, ptrdiff_t row, float low)
{
    transform3_out(m, point, bias, residual, y, row, low);
}

void kn_f32_winograd4_out__avx512(const float *m, ptrdiff_t point, const float *bias,
                                  const float *residual, float *y, ptrdiff_t row, float low)
{
    transform4_out(m, point, bias, residual, y, row, low);
}

void kn_f32_winograd_strided_in__avx512(const float *d, ptrdiff_t row, float *v, ptrdiff_t point)
{
    transform_strided_in(d, row, v, point);
}

void kn_f32_winograd_strided_out__avx512(const float *m, ptrdiff_t point, const float *bias,
                                         const float *residual, float *y, ptrdiff_t row, float low)
{
    transform_strided_out(m, point, bias, residual, y, row, low);
}
