/* blas_env.c: chooses OpenBLAS's kernels by what the CPU can, whatever the environment says.
 *
 * OpenBLAS reads OPENBLAS_CORETYPE in a constructor, before main(). A stray value (or a CPU that
 * OpenBLAS does not know) nearly halves its speed, so this runs before: OpenBLAS is linked
 * statically, hence its constructor is one of the executable's, and the linker sorts them by
 * priority. (.preinit_array would come too early: libc's own start-up then puts back the
 * environment that exec gave, and what setenv() added is lost.)
 *
 * Every program that links BLAS lists this file among its own sources: out of an archive nobody
 * would pull it in.
 */
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
static int is_avx2(const char *isa)
{
    return isa && !strcmp(isa, "avx2");
}

/* RESNET_ISA=avx2 or --isa avx2: OpenBLAS is lowered with the rest, so that a comparison is fair
 * and a test on this machine shows what the smaller one computes. With both, RESNET_ISA=avx2 and
 * --isa blas, it is OpenBLAS as it would be there. */
static int is_lowered_to_avx2(int argc, char **argv)
{
    int lowered = is_avx2(getenv("RESNET_ISA"));

    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "--isa=", 6))
            lowered |= is_avx2(argv[i] + 6);
        else if (!strcmp(argv[i], "--isa"))
            lowered |= is_avx2(argv[i + 1]); /* argv ends with a NULL */
    }
    return lowered;
}

static const char *core_for_this_cpu(int lowered)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return NULL;
    if (lowered || !__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return "Haswell";
    return __builtin_cpu_supports("avx512bf16") ? "Cooperlake" : "SkylakeX";
}

static void set_core(int argc, char **argv)
{
    const char *core = core_for_this_cpu(is_lowered_to_avx2(argc, argv));

    unsetenv("OPENBLAS_L2_SIZE");
    if (core)
        setenv("OPENBLAS_CORETYPE", core, 1);
    else
        unsetenv("OPENBLAS_CORETYPE");
}

typedef void init_fn(int argc, char **argv);
__attribute__((section(".init_array.00001"), used)) static init_fn *const first = set_core;
#endif
