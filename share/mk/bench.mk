# make bench: speed and memory against their bars (tests/bench/bench.py).
# B= picks some; BENCH_LARGE=1 adds 10 000 applications.
bench: all testbin
	@BIN=$(CURDIR)/$(BIN) TESTBIN=$(CURDIR)/$(O)/tests python3 tests/bench/bench.py $(B)
	@BIN=$(CURDIR)/$(BIN) TESTBIN=$(CURDIR)/$(O)/tests python3 tests/bench/store.py
.PHONY: bench
