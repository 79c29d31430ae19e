# Every tests/fuzz/fuzz_NAME.c is the fuzzer of one parser. Built like all tests, build/tests/fuzz-NAME
# replays files; built with SAN=fuzzer-no-link,..., which make fuzz does, it is libFuzzer's.
fuzzers := $(patsubst tests/fuzz/fuzz_%.c,fuzz-%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz_by_libfuzzer := $(findstring fuzzer,$(SAN))
test_programs += $(fuzzers)
define fuzz_vars
$(1)_src    := $(1:fuzz-%=tests/fuzz/fuzz_%.c) fcgi/blas_env.c \
               $(if $(fuzz_by_libfuzzer),,tests/fuzz/replay_main.c tests/fixtures/scarce.c)
$(1)_libs   := libspawn.a libfcgi-app.a libweights.a libkernels.a
$(1)_ldlibs  = $(if $(fuzz_by_libfuzzer),-fsanitize=fuzzer) $$(fcgi_ldlibs) $$(weights_ldlibs) $$(kernels_ldlibs)
endef
$(foreach f,$(fuzzers),$(eval $(call fuzz_vars,$(f))))

# It is called before a sanitizer is ready.
cflags_tests/fixtures/scarce.c := -fno-sanitize=all

.PHONY: fuzz fuzz-programs fuzz-coverage
# Some seeds are made by resnet-pack.
fuzz-programs: $(fuzzers:%=$(O)/tests/%) $(O)/bin/resnet-pack

fuzz_san := fuzzer-no-link,address,undefined
fuzz:
	@tests/deps.sh build check fuzz
	@$(again) CC=clang SAN=$(fuzz_san) fuzz-programs
	@tests/fuzz/run -b build/san-$(subst $(comma),-,$(fuzz_san)) --seconds $(or $(TIME),60) $(FUZZ)

# Lines of our parsers that seeds and corpora reach.
fuzz-coverage:
	@tests/deps.sh build check fuzz
	@$(again) CC=clang O=build/coverage CFLAGS='-O1 -g -fprofile-instr-generate -fcoverage-mapping' \
	    LDFLAGS=-fprofile-instr-generate fuzz-programs
	@tests/fuzz/coverage -b build/coverage $(FUZZ)

#? fuzz         each parser's fuzzer, TIME=60 seconds each, on all cores (FUZZ='jpeg png': only those)
#? fuzz-coverage  lines of our parsers that the fuzzers' corpora reach
