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
    $(eval $(t)_src += tests/bench/nets.c tests/bench/jobs.c tests/bench/int8.c))

programs += resnet-bench
resnet-bench_src    := $(addprefix tests/bench/,bench_main.c report.c peak.c nets.c int8.c) fcgi/blas_env.c
resnet-bench_libs   := libfcgi-app.a libweights.a libkernels.a
resnet-bench_ldlibs  = $(fcgi_ldlibs) $(weights_ldlibs) $(kernels_ldlibs)

# resnet-load's test has its parts.
unit-load_src    += $(addprefix tests/load/,tally.c predictions.c pictures.c options.c)
unit-load_ldlibs += -lcurl -lnettle -lm

# libcurl makes the requests; of the archives it has JSON, buffers, EXIF and the units of options.
programs += resnet-load
resnet-load_src    := $(wildcard tests/load/*.c)
resnet-load_libs   := libfcgi-app.a libweights.a
resnet-load_ldlibs := -lcurl -lpng -lnettle -lm

# Draws tests/fixtures/demo.jpg, which make demo classifies.
test_programs += draw-demo
draw-demo_src    := tests/fixtures/draw_demo.c
draw-demo_libs   :=
draw-demo_ldlibs := -ljpeg -lm

# Preloaded into other programs, so never sanitized; see tests/lib/clock.py.
$(O)/tests/clock-step.so: tests/lib/clock_step.c $(O)/flags
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(STRICT) $(WARN) $(CFLAGS) -fPIC -shared -o $@ $<

include tests/fuzz/rules.mk

# Preloaded, it lets allocations fail: lib/scarce.py.
scarce := $(O)/tests/scarce.so
$(scarce): tests/fixtures/scarce.c tests/fixtures/scarce.h $(O)/flags
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(STRICT) $(WARN) -fPIC -shared -I. $(CFLAGS) $(LDFLAGS) -o $@ $<

.PHONY: tests
tests: $(test_programs:%=$(O)/tests/%) $(O)/tests/clock-step.so $(scarce)

# What compilers and checkers say: tests/lint has the exceptions, with their reasons.
.PHONY: lint
lint:
	@tests/deps.sh build check lint
	@tests/lint $(LINT)

# Measurements: nothing of `make check`, and nothing that it depends on.
measure = BUILD=$(O) PYTHONPATH=tests/lib PYTHONDONTWRITEBYTECODE=1

.PHONY: bench bench-http compare

bench:
	@tests/deps.sh build bench
	@$(again) all
	@$(measure) python3 tests/bench/table.py --seconds $(or $(SECONDS),2)

bench-http:
	@tests/deps.sh build demo bench
	@$(again) all
	@$(measure) python3 tests/bench/http.py --seconds $(or $(SECONDS),3) \
	    --rounds $(or $(ROUNDS),3) $(if $(IMAGE),--image $(abspath $(IMAGE))) \
	    $(if $(PRECISION),--precision $(PRECISION))

comparisons = $(subst $(comma), ,$(or $(ONLY),forward speed cold harm))

compare:
	@tests/deps.sh build demo bench
	@tests/deps.sh compare || echo 'going on without what is missing'
	@$(again) all
	$(if $(filter forward,$(comparisons)),@$(measure) python3 tests/baseline/compare.py \
	    --seconds $(or $(SECONDS),2) --rounds $(or $(ROUNDS),3) \
	    $(if $(WEIGHTS),--weights $(abspath $(WEIGHTS))) \
	    $(if $(CELLS),--cells $(CELLS)) $(if $(filter 1,$(CHECK)),--check))
	$(if $(filter-out forward,$(comparisons)),@$(measure) python3 tests/baseline/through.py \
	    --only $(subst $(eval ) ,$(comma),$(filter-out forward,$(comparisons))) \
	    --seconds $(or $(SECONDS),3) --rounds $(or $(ROUNDS),3) \
	    $(if $(WEIGHTS),--weights $(abspath $(WEIGHTS))) \
	    $(if $(PHOTOGRAPHS),--photographs $(abspath $(PHOTOGRAPHS))) \
	    $(if $(IMAGE),--image $(abspath $(IMAGE))) $(if $(STACKS),--stacks '$(STACKS)') \
	    $(if $(filter 1,$(CHECK)),--check))

#? lint         gcc and clang with -Werror, gcc -fanalyzer, cppcheck, clang-tidy (LINT='tidy': only that)
#? bench        a table of speed: engines, threads, batches, layers (SECONDS=2)
#? bench-http   photographs through nginx, beside what the parts take (SECONDS=3 ROUNDS=3 IMAGE= PRECISION=fp32)
#? compare      ours beside ONNX Runtime, PyTorch, and whole services of theirs (ONLY=forward,speed,cold,harm
#?              SECONDS= ROUNDS= CELLS=1x1,4x1 STACKS='ours, fp32; old, jit' WEIGHTS= PHOTOGRAPHS=DIR IMAGE= CHECK=1)
