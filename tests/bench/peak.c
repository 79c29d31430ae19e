/* peak.c: a loop of nothing but multiply-adds on twelve accumulators: more than latency times
 * ports on any core so far, so what limits it is the units themselves. */
#include "tests/bench/peak.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/kernels.h"

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__x86_64__)

/* Reads 512 bytes a round into registers that nobody looks at. bytes: a multiple of 512. */
static void read_through(const unsigned char *x, size_t bytes)
{
    const unsigned char *end = x + bytes;
    if (kn_cpu()->avx2)
        for (; x < end; x += 512)
            __asm__ volatile("vmovups (%0), %%ymm0\n\tvmovups 32(%0), %%ymm1\n\t"
                             "vmovups 64(%0), %%ymm0\n\tvmovups 96(%0), %%ymm1\n\t"
                             "vmovups 128(%0), %%ymm0\n\tvmovups 160(%0), %%ymm1\n\t"
                             "vmovups 192(%0), %%ymm0\n\tvmovups 224(%0), %%ymm1\n\t"
                             "vmovups 256(%0), %%ymm0\n\tvmovups 288(%0), %%ymm1\n\t"
                             "vmovups 320(%0), %%ymm0\n\tvmovups 352(%0), %%ymm1\n\t"
                             "vmovups 384(%0), %%ymm0\n\tvmovups 416(%0), %%ymm1\n\t"
                             "vmovups 448(%0), %%ymm0\n\tvmovups 480(%0), %%ymm1\n\t"
                             "vzeroupper"
                             :
                             : "r"(x)
                             : "xmm0", "xmm1", "memory");
}

#else

static void read_through(const unsigned char *x, size_t bytes)
{
    (void)x;
    (void)bytes;
}

#endif

double t_peak_read_gbs(size_t bytes)
{
    enum { LEAST_BYTES = 512 << 20, PASSES = 5 };
    double best = 0;
    bytes = bytes / 512 * 512;
    unsigned char *x = kn_cpu()->avx2 && bytes > 0 ? aligned_alloc(64, bytes) : NULL;
    if (x == NULL)
        return 0;
    memset(x, 1, bytes);
    for (int i = 0; i < PASSES; i++) {
        size_t times = LEAST_BYTES / bytes + 1;
        double start = seconds();
        for (size_t t = 0; t < times; t++)
            read_through(x, bytes);
        double gbs = (double)(bytes * times) / (seconds() - start) / 1e9;
        best = gbs > best ? gbs : best;
    }
    free(x);
    return best;
}

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
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm13", "xmm14", "xmm15")

#define VNNI(r) "vpdpbusd %%zmm14, %%zmm13, %%zmm" #r "\n\t"
#define BF16(r) "vdpbf16ps %%zmm14, %%zmm13, %%zmm" #r "\n\t"
#define MADD(r)                                                                                    \
    "vpmaddwd %%ymm14, %%ymm13, %%ymm15\n\t"                                                       \
    "vpaddd %%ymm15, %%ymm" #r ", %%ymm" #r "\n\t"

static void loop_ymm(long rounds)
{
    LOOP(EACH(YMM));
}

static void loop_zmm(long rounds)
{
    LOOP(EACH(ZMM));
}

static void loop_vnni(long rounds)
{
    LOOP(EACH(VNNI));
}

static void loop_bf16(long rounds)
{
    LOOP(EACH(BF16));
}

static void loop_madd(long rounds)
{
    LOOP(EACH(MADD));
}

struct loop {
    void (*run)(long rounds);
    double ops; /* of one instruction */
};

static struct loop loop_of(const char *isa, const char *precision)
{
    if (strcmp(precision, "int8") == 0 && strcmp(isa, "avx512vnni") == 0)
        return (struct loop){loop_vnni, 128};
    if (strcmp(precision, "int8") == 0 && strcmp(isa, "avx2") == 0)
        return (struct loop){loop_madd, 32};
    if (strcmp(precision, "bf16") == 0 && strcmp(isa, "avx512bf16") == 0)
        return (struct loop){loop_bf16, 64};
    if (kn_cpu()->avx512 && strcmp(isa, "avx2") != 0)
        return (struct loop){loop_zmm, 32};
    return (struct loop){loop_ymm, 16};
}

double t_peak_gflops(const char *isa, const char *precision)
{
    struct loop loop = loop_of(isa, precision);
    double best = 0, ops = loop.ops * ROUNDS * ACCUMULATORS;

    for (int i = 0; i < TRIES && kn_cpu()->avx2; i++) {
        double start = seconds();
        loop.run(ROUNDS);
        double gflops = ops / (seconds() - start) / 1e9;
        best = gflops > best ? gflops : best;
    }
    return best;
}

#else

double t_peak_gflops(const char *isa, const char *precision)
{
    (void)isa;
    (void)precision;
    return 0;
}

#endif
