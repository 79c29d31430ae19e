archives += libkernels.a
libkernels.a_src := $(wildcard kernels/*.c kernels/ref/*.c)

# Statically linked: the shared name libblas/libopenblas belongs to Debian's alternatives, which
# prefer the pthread build, whose idle threads spin.
openblas_dir := /usr/lib/$(ARCH)/openblas-serial
openblas     := $(openblas_dir)/libopenblas.a
cflags_kernels/blas.c := -O3 -isystem /usr/include/$(ARCH)/openblas-serial

kernels_ldlibs = $(openblas) -lm -lpthread

# Their loops are short and plain: -O3 lets every compiler vectorise them. No ISA flag here.
cflags_kernels/eltwise.c := -O3
cflags_kernels/pool.c    := -O3
cflags_kernels/ref/conv.c := -O3
