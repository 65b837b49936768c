# make demo: the main job, told as it happens.  ONCE=1: for scripts.
demo:
	@share/mk/deps
	@$(MAKE) -s --no-print-directory all
	@BIN=$(CURDIR)/$(BIN) share/demo/run
.PHONY: demo
