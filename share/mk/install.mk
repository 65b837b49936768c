# make install DESTDIR= PREFIX=: programs find each other beside themselves,
# platforms that are not built in are looked for in libexec/pipecd.
PREFIX	?= /usr/local
to	= $(DESTDIR)$(PREFIX)
install: all man schema
	install -d $(addprefix $(to)/,bin libexec/pipecd lib/systemd/system lib/sysusers.d share/doc/pipecd \
	    share/man/man1 share/man/man5 share/pipecd/schema share/pipecd/examples/platforms)
	install -m 755 $(progs:%=$(BIN)/%) $(to)/bin
	install -m 644 $(filter %.1,$(manuals)) $(to)/share/man/man1
	install -m 644 $(docman) $(formats) $(to)/share/man/man5
	install -m 644 $(schemas) $(to)/share/pipecd/schema
	install -m 755 $(wildcard share/examples/platforms/*) $(to)/share/pipecd/examples/platforms
	install -m 644 README.md LICENSE $(wildcard share/doc/*.md) $(to)/share/doc/pipecd
	sed 's|@bindir@|$(PREFIX)/bin|' share/systemd/piped.service >build/piped.service
	install -m 644 build/piped.service $(to)/lib/systemd/system/piped.service
	install -m 644 share/systemd/sysusers.conf $(to)/lib/sysusers.d/pipecd.conf
.PHONY: install
