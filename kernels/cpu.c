/* cpu.c: what this CPU and its operating system let a kernel use, and how large its caches are. */
#include <string.h>

#include "kernels/kernels.h"

/* What a hypervisor that hides its caches is taken to have. */
enum { DEFAULT_L1D = 32 << 10, DEFAULT_L2 = 1 << 20, DEFAULT_L3 = 8 << 20 };

#if defined(__x86_64__)
#include <cpuid.h>

struct regs {
    unsigned a, b, c, d;
};

static struct regs cpuid(unsigned leaf, unsigned sub)
{
    struct regs r = {0, 0, 0, 0};
    __get_cpuid_count(leaf, sub, &r.a, &r.b, &r.c, &r.d);
    return r;
}

/* The register sets that the operating system saves (XCR0); 0 when it saves none. */
static unsigned saved_state(void)
{
    if (!(cpuid(1, 0).c & bit_OSXSAVE))
        return 0;
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* VDPBF16PS does two multiply-adds a lane. AMD's cores (Zen 4 on) begin as many of them a cycle as
 * FMAs; Intel's Sapphire Rapids begins one in two cycles, where it begins four FMAs (measured: 0.8
 * ns against 0.2), so that widening to fp32 is faster there. */
static int has_fast_bf16(void)
{
    struct regs vendor = cpuid(0, 0);
    char name[12];

    memcpy(name, &vendor.b, 4);
    memcpy(name + 4, &vendor.d, 4);
    memcpy(name + 8, &vendor.c, 4);
    return memcmp(name, "AuthenticAMD", sizeof name) == 0;
}

static void read_features(struct kn_cpu *cpu)
{
    const unsigned ymm = 0x6, zmm = 0xe6; /* SSE + AVX; and opmask + both halves of ZMM */
    unsigned saved = saved_state();
    struct regs one = cpuid(1, 0), seven = cpuid(7, 0);
    const unsigned f512 = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;

    cpu->avx2 =
        (saved & ymm) == ymm && (one.c & bit_AVX) && (one.c & bit_FMA) && (seven.b & bit_AVX2);
    cpu->avx512 = cpu->avx2 && (saved & zmm) == zmm && (seven.b & f512) == f512;
    cpu->avx512vnni = cpu->avx512 && (seven.c & bit_AVX512VNNI);
    cpu->avx512bf16 = cpu->avx512 && seven.a >= 1 && (cpuid(7, 1).a & bit_AVX512BF16);
    cpu->fast_bf16 = cpu->avx512bf16 && has_fast_bf16();
}

/* Leaf 4 (Intel) and 0x8000001d (AMD) describe one cache a sub-leaf, in the same form. */
static void read_caches(struct kn_cpu *cpu, unsigned leaf)
{
    for (unsigned sub = 0; sub < 16; sub++) {
        struct regs r = cpuid(leaf, sub);
        unsigned type = r.a & 31, level = (r.a >> 5) & 7;
        if (type == 0)
            return;
        uint64_t ways = (r.b >> 22) + 1, parts = ((r.b >> 12) & 0x3ff) + 1;
        uint64_t bytes = ways * parts * ((r.b & 0xfff) + 1) * ((uint64_t)r.c + 1);
        if (bytes == 0 || bytes > INT32_MAX)
            continue;
        if (level == 1 && type == 1)
            cpu->l1d_bytes = (int)bytes;
        else if (level == 2)
            cpu->l2_bytes = (int)bytes;
        else if (level == 3)
            cpu->l3_bytes = (int)bytes;
    }
}

static void read_brand(struct kn_cpu *cpu)
{
    if (cpuid(0x80000000, 0).a < 0x80000004)
        return;
    for (unsigned i = 0; i < 3; i++) {
        struct regs r = cpuid(0x80000002 + i, 0);
        memcpy(cpu->brand + 16 * i, &r, sizeof r);
    }
    cpu->brand[48] = '\0';
}

static void read_cpu(struct kn_cpu *cpu)
{
    read_features(cpu);
    read_caches(cpu, 4);
    if (cpuid(0x80000000, 0).a >= 0x8000001d)
        read_caches(cpu, 0x8000001d);
    read_brand(cpu);
}

#else

static void read_cpu(struct kn_cpu *cpu)
{
    (void)cpu;
}

#endif

const struct kn_cpu *kn_cpu(void)
{
    static struct kn_cpu cpu;
    if (cpu.l1d_bytes == 0) {
        struct kn_cpu found = {.l2_bytes = DEFAULT_L2, .l3_bytes = DEFAULT_L3, .brand = "unknown"};
        found.l1d_bytes = DEFAULT_L1D;
        read_cpu(&found);
        cpu = found;
    }
    return &cpu;
}
