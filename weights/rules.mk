archives += libweights.a
libweights.a_src := $(filter-out %_main.c,$(wildcard weights/*.c))
weights_ldlibs := -lzip -lnettle -lisal

programs += resnet-pack
resnet-pack_src    := weights/pack_main.c fcgi/blas_env.c
resnet-pack_libs   := libweights.a libkernels.a
resnet-pack_ldlibs  = $(weights_ldlibs) $(kernels_ldlibs)
