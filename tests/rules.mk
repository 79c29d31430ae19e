# Every tests/unit/NAME.c is one cmocka program, build/tests/unit-NAME; every tests/*.t is an
# integration test. tests/run runs them all and counts.
unit_tests := $(patsubst tests/unit/%.c,unit-%,$(wildcard tests/unit/*.c))
test_programs += $(unit_tests)
define unit_vars
$(1)_src    := tests/unit/$(1:unit-%=%).c fcgi/blas_env.c
$(1)_libs   := libspawn.a libfcgi-app.a libweights.a libkernels.a
$(1)_ldlibs  = -lcmocka $(fcgi_ldlibs) $(weights_ldlibs) $(kernels_ldlibs)
endef
$(foreach t,$(unit_tests),$(eval $(call unit_vars,$(t))))

# The kernels' tests and resnet-bench share one table of networks.
$(foreach t,$(filter unit-kernels-%,$(unit_tests)),\
    $(eval $(t)_src += tests/bench/nets.c tests/bench/jobs.c))

programs += resnet-bench
resnet-bench_src    := $(addprefix tests/bench/,bench_main.c report.c peak.c nets.c) fcgi/blas_env.c
resnet-bench_libs   := libfcgi-app.a libweights.a libkernels.a
resnet-bench_ldlibs  = $(fcgi_ldlibs) $(weights_ldlibs) $(kernels_ldlibs)

# Draws tests/fixtures/demo.jpg, which make demo classifies.
test_programs += draw-demo
draw-demo_src    := tests/fixtures/draw_demo.c
draw-demo_libs   :=
draw-demo_ldlibs := -ljpeg -lm

.PHONY: tests
tests: $(test_programs:%=$(O)/tests/%)

#? bench        resnet-bench for every engine, as a page of Markdown in build/bench.md
#? compare      ONNX Runtime and PyTorch beside resnet-bench, in one alternating run
.PHONY: bench compare
bench: $(O)/bin/resnet-bench
	@BUILD=$(O) tests/bench/table | tee $(O)/bench.md

compare: $(O)/bin/resnet-bench
	@tests/baseline/compare
