# make man: manual pages of programs from the first comment of each main.c, of
# formats from share/doc; schema.mk adds those of configuration files.  Their
# date is that of the last commit.
mandate	= $(or $(shell git log -1 --format=%cs 2>/dev/null),$(shell date -u +%F))
manuals	:= $(progs:%=build/man/man1/%.1)
define manual
build/man/man1/$(1).1: src/$(2)/main.c share/mk/man.awk share/mk/roff.awk
	@mkdir -p $$(@D)
	@awk -f share/mk/roff.awk -f share/mk/man.awk -v prog=$(1) -v date=$$(mandate) $$< >$$@.tmp && mv $$@.tmp $$@
endef
$(foreach m,$(patsubst src/%/main.c,%,$(mains)),$(eval $(call manual,$(subst /,-,$(m)),$(m))))
docman	:= build/man/man5/pipecd-frames.5 build/man/man5/pipecd-journal.5
build/man/man5/pipecd-frames.5: share/doc/frames.md
build/man/man5/pipecd-frames.5: about := what the programs say to each other
build/man/man5/pipecd-journal.5: share/doc/journal.md
build/man/man5/pipecd-journal.5: about := what happened to a deployment, line by line
$(docman): share/mk/mdman.awk share/mk/roff.awk
	@mkdir -p $(@D)
	@awk -f share/mk/roff.awk -f share/mk/mdman.awk -v prog=$(basename $(@F)) -v date=$(mandate) -v about="$(about)" \
	    $(filter %.md,$^) >$@.tmp && mv $@.tmp $@
man: $(manuals) $(docman)
man-check: man
	@find build/man -name '*.[15]' -print0 | xargs -0 mandoc -T lint -W warning
.PHONY: man man-check
