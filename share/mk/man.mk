# make man: share/man from the first comment of each main.c.
manuals	:= $(progs:%=build/man/man1/%.1)
define manual
build/man/man1/$(1).1: src/$(2)/main.c share/mk/man.awk
	@mkdir -p $$(@D)
	@awk -f share/mk/man.awk -v prog=$(1) $$< >$$@.tmp && mv $$@.tmp $$@
endef
$(foreach m,$(patsubst src/%/main.c,%,$(mains)),$(eval $(call manual,$(subst /,-,$(m)),$(m))))
man: $(manuals)
.PHONY: man
