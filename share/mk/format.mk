# The layout and the lint that the tree passes.
csrc	= $(wildcard src/*/*.[ch] src/*/*/*.[ch] tests/lib*/*.c tests/fuzz/*.c)
format:
	clang-format -i $(csrc)
format-check:
	clang-format --dry-run --Werror $(csrc)
lint: $(genh)
	@tests/lint
.PHONY: format format-check lint
