# make install DESTDIR= PREFIX=: programs find each other beside themselves.
PREFIX	?= /usr/local
install: all man schema
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin libexec/pipecd share/man share/pipecd share/doc/pipecd) \
	    $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d
	install -m 755 $(progs:%=$(BIN)/%) $(DESTDIR)$(PREFIX)/bin
	cp -r build/man/. $(DESTDIR)$(PREFIX)/share/man
	cp -r build/schema share/examples $(DESTDIR)$(PREFIX)/share/pipecd
	cp README.md LICENSE share/doc/*.md $(DESTDIR)$(PREFIX)/share/doc/pipecd
	sed 's|@bindir@|$(PREFIX)/bin|' share/systemd/piped.service \
	    >$(DESTDIR)$(PREFIX)/lib/systemd/system/piped.service
	install -m 644 share/systemd/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/pipecd.conf
.PHONY: install
