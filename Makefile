# One make sees the whole tree.  A folder src/lib* is a library; a folder with
# a main.c is a program named after its path: src/pipecd-exec/host becomes
# bin/pipecd-exec-host.  needs.mk in a folder says what it may include and
# link, and nothing else is on its include path.
#
#	make			build bin/
#	make check		everything, on a fresh Debian 12 (runs deps first)
#	make SAN=1 check	the tests alone, under ASan and UBSan
#	make check-pipecd	PipeCD's own programs against ours (builds them)
#	make demo		the main job, in half a minute (ONCE=1 for scripts)
#	make bench		speed and memory against their bars
#	make fuzz		every parser of foreign bytes, FUZZ_SECONDS each
#	make man schema		manual pages and JSON schemas from their sources
#	make install		DESTDIR= PREFIX=
#	make deps		install what is missing, saying what
#	make format lint	clang-format in place; clang-tidy
CC	?= cc
V	?= 0
quiet	= $(if $(filter 0,$(V)),@echo '  $(1)	$@';)
O	:= build/plain
BIN	:= bin
G	:= build/gen
CFLAGS	?= -O2 -g
W	:= -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	   -Wpointer-arith -Wcast-qual -Wformat=2 -Wvla -Werror
flags	= -std=c11 -D_GNU_SOURCE $(W) -fPIE -fstack-protector-strong \
	   -fstack-clash-protection -fcf-protection=full $(autoinit)
# clang 14 takes it only with a second flag that later ones drop.
autoinit := $(shell echo | $(CC) -ftrivial-auto-var-init=zero -E -x c - \
	   >/dev/null 2>&1 && echo -ftrivial-auto-var-init=zero)
ldflags	:= -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed
ifdef SAN
O	:= build/san
BIN	:= build/san/bin
CFLAGS	:= -O1 -g
flags	+= -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	   -fno-omit-frame-pointer
else
flags	+= -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif

libs	:= $(notdir $(wildcard src/lib*))
mains	:= $(wildcard src/*/main.c src/*/*/main.c)
progs	:= $(subst /,-,$(patsubst src/%/main.c,%,$(mains)))
-include $(wildcard src/*/needs.mk src/*/*/needs.mk tests/*/needs.mk)

# The closure of NEEDS, users before used, as the linker wants them.
need	= $(foreach n,$(NEEDS.$(1)),$(n) $(if $(NEEDS.$(n)),$(call need,$(n))))
ourlibs	= $(filter lib%,$(call need,$(1)))
extlibs	= $(filter -l%,$(call need,$(1)))
srcs	= $(wildcard src/$(1)/*.c)
objs	= $(patsubst src/%.c,$(O)/%.o,$(call srcs,$(1)))
# Generated headers are visible to whoever may see libmsg.
geninc	= $(if $(filter libmsg,$(1) $(call ourlibs,$(1))),-isystem $(G))
incs	= $(addprefix -Isrc/,$(call ourlibs,$(1)) $(2)) $(call geninc,$(1))

# Messages: .proto to C, at build time.  Dependencies include system headers
# (-MD), because the generated ones are such: a new field must reach everyone.
# clang's -Wcast-qual would see the casts in their INIT macros.
protos	:= $(patsubst src/libmsg/%.proto,%,$(wildcard $(foreach d,* */* */*/*,src/libmsg/$(d).proto)))
genc	:= $(protos:%=$(G)/%.pb-c.c)
genh	:= $(protos:%=$(G)/%.pb-c.h)
geno	:= $(protos:%=$(O)/gen/%.pb-c.o)
$(G)/%.pb-c.c $(G)/%.pb-c.h &: src/libmsg/%.proto
	@mkdir -p $(G)
	$(call quiet,PROTO)protoc-c --proto_path=src/libmsg --c_out=$(G) $< && \
	    sed -i 's/(char \*)protobuf_c/(char *)(uintptr_t)protobuf_c/g' $(G)/$*.pb-c.h
$(geno): $(O)/gen/%.pb-c.o: $(G)/%.pb-c.c | $(genh)
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(CFLAGS) $(flags) -w -I$(G) -MMD -MP -c -o $@ $<

define folder		# 1 name  2 path under src/
$(call objs,$(2)): $(O)/$(2)/%.o: src/$(2)/%.c $(if $(call geninc,$(1)),| $(genh))
	@mkdir -p $$(@D)
	$$(call quiet,CC)$(CC) $(CFLAGS) $(flags) $(call incs,$(1),$(2)) -MD -MP -c -o $$@ $$<
endef
define lib
$(call folder,$(1),$(1))
$(O)/$(1).a: $(call objs,$(1)) $(if $(filter libmsg,$(1)),$(geno))
	@rm -f $$@
	$$(call quiet,AR)$(AR) rcs $$@ $$^
endef
define prog
$(call folder,$(1),$(2))
$(BIN)/$(1): $(call objs,$(2)) $(patsubst %,$(O)/%.a,$(call ourlibs,$(1)))
	@mkdir -p $$(@D)
	$$(call quiet,LD)$(CC) $(CFLAGS) $(flags) $(ldflags) $(LDFLAGS) -o $$@ $$(filter %.o,$$^) \
	    -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $(call extlibs,$(1))
endef
.DEFAULT_GOAL := all
all: $(progs:%=$(BIN)/%)
$(foreach l,$(libs),$(eval $(call lib,$(l))))
$(foreach m,$(patsubst src/%/main.c,%,$(mains)),$(eval $(call prog,$(subst /,-,$(m)),$(m))))

# Small programs that show a library's inside to a test: tests/libmsg/json.c
# becomes build/plain/tests/libmsg/json and may use what the library may use.
testsrc	:= $(wildcard tests/lib*/*.c)
testbin	:= $(testsrc:%.c=$(O)/%)
define testprog		# 1 path without .c  2 library
$(O)/$(1): $(1).c $(patsubst %,$(O)/%.a,$(2) $(call ourlibs,$(2)))
	@mkdir -p $$(@D)
	$$(call quiet,LD)$(CC) $(CFLAGS) $(flags) $(ldflags) $(LDFLAGS) -Isrc/$(2) $(call incs,$(2),$(2)) \
	    -MD -MP -o $$@ $$< -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $(call extlibs,$(2))
endef
$(foreach t,$(testsrc:%.c=%),$(eval $(call testprog,$(t),$(notdir $(patsubst %/,%,$(dir $(t)))))))
testbin: $(testbin)

include $(sort $(wildcard share/mk/*.mk))

-include $(shell find $(O) -name '*.d' 2>/dev/null)
.PHONY: all testbin clean
.DELETE_ON_ERROR:
.SECONDARY: $(genc) $(genh)
clean:
	rm -rf build bin
