archives += libkernels.a
libkernels.a_src := $(wildcard kernels/*.c kernels/ref/*.c)

# Statically linked: the shared name libblas/libopenblas belongs to Debian's alternatives, which
# prefer the pthread build, whose idle threads spin.
openblas_dir := /usr/lib/$(ARCH)/openblas-serial
openblas     := $(openblas_dir)/libopenblas.a
cflags_kernels/blas.c := -isystem /usr/include/$(ARCH)/openblas-serial

kernels_ldlibs = $(openblas) -lm -lpthread
