# make install DESTDIR= PREFIX=: programs find each other beside themselves,
# platforms that are not built in are looked for in libexec/pipecd.
PREFIX	?= /usr/local
to	= $(DESTDIR)$(PREFIX)
units	:= $(notdir $(wildcard share/systemd/*.service))
examples := $(patsubst share/examples/%,%,$(wildcard share/examples/*.yaml share/examples/proxy/*))
install: all man schema
	install -d $(addprefix $(to)/,bin libexec/pipecd lib/systemd/system lib/sysusers.d share/doc/pipecd \
	    share/man/man1 share/man/man5 share/pipecd/schema share/pipecd/examples/platforms)
	install -m 755 $(progs:%=$(BIN)/%) $(to)/bin
	install -m 644 $(filter %.1,$(manuals)) $(to)/share/man/man1
	install -m 644 $(docman) $(formats) $(to)/share/man/man5
	install -m 644 $(schemas) $(to)/share/pipecd/schema
	install -m 755 $(wildcard share/examples/platforms/*) $(to)/share/pipecd/examples/platforms
	install -m 644 README.md LICENSE $(wildcard share/doc/*.md) $(to)/share/doc/pipecd
	for e in $(examples); do install -D -m 644 share/examples/$$e $(to)/share/pipecd/examples/$$e || exit 1; done
	for u in $(units); do sed 's|@bindir@|$(PREFIX)/bin|' share/systemd/$$u >build/$$u && \
	    install -m 644 build/$$u $(to)/lib/systemd/system/$$u || exit 1; done
	install -m 644 share/systemd/sysusers.conf $(to)/lib/sysusers.d/pipecd.conf
	install -m 644 share/systemd/piped-accounts.conf $(to)/share/pipecd/examples/piped-accounts.conf
.PHONY: install
