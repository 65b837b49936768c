# make fuzz: every tests/fuzz/NAME.c for FUZZ_SECONDS each, under ASan and
# UBSan, from its corpus in tests/fuzz/corpus/NAME.  A target names what it
# links in a comment: "needs: libconf".
FUZZ_SECONDS ?= 20
FUZZCC	?= clang
fuzzsrc	:= $(wildcard tests/fuzz/*.c)
fuzzbin	:= $(fuzzsrc:tests/fuzz/%.c=build/fuzz/%)
fuzzneeds = $(shell sed -n 's/.*needs: *\([a-z0-9 ]*[a-z0-9]\).*/\1/p' $(1) | head -n 1)
fuzzlibs = $(sort $(foreach l,$(call fuzzneeds,$(1)),$(l) $(call ourlibs,$(l))))
fuzzflags = -std=c11 -D_GNU_SOURCE -O1 -g -w -fno-omit-frame-pointer \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
define fuzzer		# 1 source  2 target
$(2): $(1) $(foreach l,$(call fuzzlibs,$(1)),$(wildcard src/$(l)/*.[ch])) $(genh)
	@mkdir -p $$(@D)
	$$(call quiet,FUZZ)$(FUZZCC) $(fuzzflags) -isystem $(G) \
	    $(addprefix -Isrc/,$(call fuzzlibs,$(1))) -o $$@ $(1) \
	    $(foreach l,$(call fuzzlibs,$(1)),$(wildcard src/$(l)/*.c)) \
	    $(if $(filter libmsg,$(call fuzzlibs,$(1))),$(genc)) \
	    $(sort $(foreach l,$(call fuzzlibs,$(1)),$(call extlibs,$(l))))
endef
$(foreach f,$(fuzzsrc),$(eval $(call fuzzer,$(f),$(f:tests/fuzz/%.c=build/fuzz/%))))
fuzzers: $(fuzzbin)
fuzz: fuzzers
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run $(fuzzbin)
.PHONY: fuzz fuzzers
