.POSIX:
.PHONY: all test bench lint demo install uninstall clean

# make CC=clang CFLAGS=-g LDFLAGS=-static: both come last and so have the
# last word.  CFLAGS=-DPOSIX_ONLY leaves out all that is not in POSIX.
CC = cc
CFLAGS = -Os
LDFLAGS =
PREFIX = /usr/local
DESTDIR =

BIN = $(DESTDIR)$(PREFIX)/bin
MAN = $(DESTDIR)$(PREFIX)/share/man/man1
WARNINGS = -std=c99 -Wall -Wextra -Wpedantic -Wshadow -Wconversion \
	-Wstrict-prototypes -Wmissing-prototypes -Werror

all: blogserve

blogserve: blogserve.c
	$(CC) -o $@ blogserve.c $(CFLAGS) $(LDFLAGS)

test: blogserve
	HOSTCC="$${HOSTCC:-$(CC)}" sh test.sh

bench: blogserve
	CC="$(CC)" sh .ci/bench

# The rules of style that a machine can see.
STYLE = \
	function bad(what) { print FILENAME ":" NR ": " what; n++ } \
	/^[ \t]*\#[ \t]*pragma|__attribute__/ { bad("made for one compiler") } \
	/^static / && !/[(]|const/ && /[;={]/ && ++vars > 5 { \
		bad("more than 5 variables at file scope") } \
	/^[A-Za-z_].*[(]/ && !/^typedef/ { head = 1; name = $$0 } \
	/^[{]/ { head = 0; start = NR } \
	head && /;[ \t]*$$/ { bad("a forward declaration"); head = 0 } \
	/^}/ && start { if (NR - start > 59 && name !~ /^options_parse/) \
		bad("more than 60 lines: " name); start = 0 } \
	END { if (NR > 5900) bad("more than 5900 lines"); exit n > 0 }

# For those who change it: gcc or clang, mandoc, shellcheck and cppcheck.
lint:
	@awk '$(STYLE)' blogserve.c
	$(CC) $(WARNINGS) -O2 -c -o /dev/null blogserve.c
	$(CC) $(WARNINGS) -O2 -DPOSIX_ONLY -c -o /dev/null blogserve.c
	! mandoc -T lint blogserve.1 | grep -v 'referenced manual not found'
	shellcheck -s sh test.sh
	cppcheck -q --force --std=c99 --error-exitcode=1 --inline-suppr \
		--enable=warning,performance,portability blogserve.c

# The blog of README's "A blog from nothing" in a directory that goes with
# it.  blogserve runs in the background of this shell, where ^C is ignored,
# and hears of every signal once, from here: so there is someone left who
# waits for the last build and only then removes the directory.
demo: blogserve
	@d=$${TMPDIR:-/tmp}/blogserve-demo.$$$$; bin=$$(pwd); \
	blog=$$(awk '/^A blog from nothing/ { on = 1 } \
	    on && (sub(/^    /, "") || /^$$/) { \
		if (sub(/^blogserve/, "exec & $(DEMOFLAGS)")) last = 1; \
		print; if (last) exit }' README); \
	(umask 077; mkdir "$$d") || exit 1; \
	trap 'rm -rf "$$d"' EXIT; \
	trap 'kill $$! 2>/dev/null || exit 1' HUP INT TERM; \
	echo "a blog in $$d; ^C ends and removes it" >&2; \
	(cd "$$d" && PATH=$$bin:$$PATH exec sh -c "$$blog") & \
	while wait $$!; status=$$?; kill -0 $$! 2>/dev/null; do :; done; \
	exit $$status

install: blogserve
	mkdir -p "$(BIN)" "$(MAN)"
	rm -f "$(BIN)/blogserve" "$(MAN)/blogserve.1"
	cp blogserve "$(BIN)/blogserve"
	cp blogserve.1 "$(MAN)/blogserve.1"
	chmod 755 "$(BIN)/blogserve"
	chmod 644 "$(MAN)/blogserve.1"

uninstall:
	rm -f "$(BIN)/blogserve" "$(MAN)/blogserve.1"

clean:
	rm -f blogserve
