# blas_env.c is named by every program that links BLAS: see there.
archives += libfcgi-app.a
libfcgi-app.a_src := $(filter-out %_main.c fcgi/blas_env.c \
    $(if $(FAULTS),,fcgi/faults.c fcgi/attack.c),$(wildcard fcgi/*.c))
# As in kernels/: instructions that not every CPU has stay in their folder.
ifneq ($(filter x86_64%,$(ARCH)),)
libfcgi-app.a_src += $(wildcard fcgi/avx2/*.c)
endif
flags_fcgi/avx2 := -mavx2
# Its loops are short and plain.
cflags_fcgi/resample.c := -O3
cflags_fcgi/jpeg_fast.c := -O3
fcgi_ldlibs := -lfcgi -ljpeg -lpng -lwebpdemux -lwebp -lseccomp

programs += resnet-fcgi resnet-classify
resnet-fcgi_src        := fcgi/worker_main.c fcgi/blas_env.c
resnet-fcgi_libs       := libfcgi-app.a libweights.a libkernels.a
resnet-fcgi_ldlibs      = $(fcgi_ldlibs) $(weights_ldlibs) $(kernels_ldlibs)
resnet-classify_src    := fcgi/classify_main.c fcgi/blas_env.c
resnet-classify_libs   := $(resnet-fcgi_libs)
resnet-classify_ldlibs  = $(resnet-fcgi_ldlibs)

cflags_fcgi/version.c := -DFCGI_VERSION='"$(VERSION)"' -DFCGI_COMMIT='"$(COMMIT)"'
$(O)/obj/fcgi/version.o: $(O)/commit
$(O)/commit: FORCE
	@mkdir -p $(@D)
	@echo '$(COMMIT)' | cmp -s - $@ || echo '$(COMMIT)' > $@
