# make check: everything.  make SAN=1 check: the tests alone, sanitized.
# T= picks tests: make SAN=1 check T=tests/libmsg
T	?= tests
check:
ifdef SAN
	@$(MAKE) --no-print-directory SAN=1 all testbin
	@BIN=$(CURDIR)/$(BIN) TESTBIN=$(CURDIR)/$(O)/tests tests/run $(T)
else
	@CC='$(CC)' tests/check
endif
# The tests on the plain build, without sanitizers and fuzzing: for working.
test: all testbin
	@BIN=$(CURDIR)/$(BIN) TESTBIN=$(CURDIR)/$(O)/tests tests/run $(T)
# PipeCD's own programs against ours; builds them first (once, many minutes).
check-pipecd: all
	@share/mk/pipecd-peer >/dev/null
	@BIN=$(CURDIR)/$(BIN) TESTBIN=$(CURDIR)/$(O)/tests JOBS=$${JOBS:-1} tests/run tests/optional/pipecd
deps:
	@share/mk/deps -t
.PHONY: check test check-pipecd deps
