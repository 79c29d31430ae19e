archives += libfcgi-app.a
libfcgi-app.a_src := $(filter-out %_main.c,$(wildcard fcgi/*.c))
fcgi_ldlibs := -lfcgi -ljpeg

programs += resnet-fcgi resnet-classify
resnet-fcgi_src        := fcgi/worker_main.c
resnet-fcgi_libs       := libfcgi-app.a libweights.a libkernels.a
resnet-fcgi_ldlibs      = $(fcgi_ldlibs) $(weights_ldlibs) $(kernels_ldlibs)
resnet-classify_src    := fcgi/classify_main.c
resnet-classify_libs   := $(resnet-fcgi_libs)
resnet-classify_ldlibs  = $(resnet-fcgi_ldlibs)
