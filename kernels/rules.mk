archives += libkernels.a
libkernels.a_src := $(wildcard kernels/*.c kernels/ref/*.c)

# Instructions that not every CPU has belong to a folder, and never leave it.
ifneq ($(filter x86_64%,$(ARCH)),)
libkernels.a_src += $(wildcard kernels/avx2/*.c kernels/avx512/*.c kernels/avx512bf16/*.c \
                              kernels/avx512vnni/*.c)
endif
flags_kernels/avx2   := -mavx2 -mfma -mprfchw
flags_kernels/avx512 := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mprfchw
flags_kernels/avx512bf16 := $(flags_kernels/avx512) -mavx512bf16
flags_kernels/avx512vnni := $(flags_kernels/avx512) -mavx512vnni

# Statically linked: the shared name libblas/libopenblas belongs to Debian's alternatives, which
# prefer the pthread build, whose idle threads spin.
openblas_dir := /usr/lib/$(ARCH)/openblas-serial
openblas     := $(openblas_dir)/libopenblas.a
cflags_kernels/blas.c := -O3 -isystem /usr/include/$(ARCH)/openblas-serial

kernels_ldlibs = $(openblas) -lm -lpthread

# Their loops are short and plain: -O3 lets every compiler vectorise them. No ISA flag here.
cflags_kernels/conv_u8.c := -O3
cflags_kernels/eltwise.c := -O3
cflags_kernels/pool.c    := -O3
cflags_kernels/quant.c   := -O3 -fno-trapping-math
cflags_kernels/ref/conv.c := -O3
cflags_kernels/ref/conv_u8.c := -O3
