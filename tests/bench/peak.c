/* peak.c: a loop of nothing but fused multiply-adds on twelve accumulators: more than latency times
 * ports on any core so far, so what limits it is the units themselves. */
#include "tests/bench/peak.h"

#include <time.h>

#include "kernels/kernels.h"

#if defined(__x86_64__)

enum { ACCUMULATORS = 12, ROUNDS = 400000, TRIES = 8 };

/* Assembly, so that no compiler has to be allowed these registers elsewhere. Zeros are as fast as
 * other numbers, NaN and denormals excepted. */
#define CLEAR(r)  "vpxor %%xmm" #r ", %%xmm" #r ", %%xmm" #r "\n\t"
#define FMA(v, r) "vfmadd231ps %%" v "14, %%" v "13, %%" v #r "\n\t"
#define EACH(X)   X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define YMM(r)    FMA("ymm", r)
#define ZMM(r)    FMA("zmm", r)
#define LOOP(body)                                                                                 \
    __asm__ volatile(EACH(CLEAR) CLEAR(13) CLEAR(14) "1:\n\t" body "dec %0\n\t"                    \
                                                     "jnz 1b\n\t"                                  \
                                                     "vzeroupper"                                  \
                     : "+r"(rounds)                                                                \
                     :                                                                             \
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",       \
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm13", "xmm14")

static void loop_ymm(long rounds)
{
    LOOP(EACH(YMM));
}

static void loop_zmm(long rounds)
{
    LOOP(EACH(ZMM));
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double t_peak_gflops(int avx2_only)
{
    const struct kn_cpu *cpu = kn_cpu();
    int wide = cpu->avx512 && !avx2_only;
    double best = 0, flops = (double)ROUNDS * ACCUMULATORS * (wide ? 16 : 8) * 2;
    if (!cpu->avx2)
        return 0;
    for (int i = 0; i < TRIES; i++) {
        double start = seconds();
        if (wide)
            loop_zmm(ROUNDS);
        else
            loop_ymm(ROUNDS);
        double gflops = flops / (seconds() - start) / 1e9;
        best = gflops > best ? gflops : best;
    }
    return best;
}

#else

double t_peak_gflops(int avx2_only)
{
    (void)avx2_only;
    return 0;
}

#endif
