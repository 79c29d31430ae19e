archives += libweights.a
# resnet-pack's own files; what it calibrates with it decodes with fcgi/'s front.
pack_own := $(addprefix weights/,pack_main.c pack_options.c pack_photographs.c)
libweights.a_src := $(filter-out $(pack_own),$(wildcard weights/*.c))
weights_ldlibs := -lzip -lnettle -lisal

programs += resnet-pack
resnet-pack_src    := $(pack_own) fcgi/blas_env.c
resnet-pack_libs   := libfcgi-app.a libweights.a libkernels.a
resnet-pack_ldlibs  = $(fcgi_ldlibs) $(weights_ldlibs) $(kernels_ldlibs)

# Text files that become strings of libweights.a: weights/embedded.h.
weights_gen := $(O)/gen/weights
libweights.a_src += $(weights_gen)/imagenet_labels.c $(weights_gen)/sources.c

define weights_embed
@mkdir -p $(@D)
$(call say,GEN,$@){ printf '#include "weights/embedded.h"\n\nconst char %s[] =\n' $(1); \
    sed 's/[\\"]/\\&/g; s/	/\\t/g; s/.*/    "&\\n"/; $$s/$$/;/' $<; } > $@
endef

$(weights_gen)/imagenet_labels.c: weights/imagenet-labels.txt weights/rules.mk
	$(call weights_embed,wt_embedded_imagenet_labels)
$(weights_gen)/sources.c: weights/sources.tsv weights/rules.mk
	$(call weights_embed,wt_embedded_sources)
