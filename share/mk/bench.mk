# make bench: speed and memory against their bars, of the agent
# (tests/bench/bench.py) and of the control plane (tests/bench/control.py).
# B= picks some (B='start control-idle'); BENCH_LARGE=1 adds 10 000 applications.
bench: all testbin
	@export BIN=$(CURDIR)/$(BIN) TESTBIN=$(CURDIR)/$(O)/tests; rc=0; \
	    $(if $(filter-out control-%,$(or $(B),all)),python3 tests/bench/bench.py $(filter-out control-%,$(B)) || rc=1;) \
	    $(if $(or $(filter control-%,$(B)),$(if $(B),,all)),python3 tests/bench/control.py $(patsubst control-%,%,$(filter control-%,$(B))) || rc=1;) \
	    exit $$rc
.PHONY: bench
