# The layout and the lint that the tree passes.
csrc	= $(filter-out src/libgrpc/llhttp/%, \
	  $(wildcard src/*/*.[ch] src/*/*/*.[ch] tests/lib*/*.c tests/fuzz/*.c))
format:
	clang-format -i $(csrc)
format-check:
	clang-format --dry-run --Werror $(csrc)
lint: $(genh)
	@tests/lint
show-includes:
	@echo '$(call incs,$(NAME),$(DIR))'
.PHONY: show-includes format format-check lint
