#!/bin/sh
# test.sh: what blogserve promises, a case for each; prints TAP.
#
#	sh test.sh [name ...]	these cases, or all; a name is that of the function, or its sentence
#	sh test.sh -l		their sentences
#	sh test.sh helper file	compiles what sh cannot do
#
# BLOGSERVE	the program, perhaps behind a wrapper; split at blanks ("valgrind -q ./blogserve")
# HOSTCC	compiles the helper
# JOBS		so many cases at a time
# SLOW		multiplies every deadline
# TMPDIR	where everything happens
#
# A case is a function; its name is its sentence. It runs in a subshell, in a directory of its own
# ($dir/here; its parent $dir is out of the way of what is watched), and fails by calling fail.

# Words are split and quotes kept from expanding on purpose.
# shellcheck disable=SC1003,SC2016,SC2059,SC2086

set -u
LC_ALL=C; export LC_ALL
TERM=dumb; export TERM
unset CDPATH MAKEFLAGS MFLAGS NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID LISTEN_FDS LISTEN_PID
SLOW=${SLOW:-1}; export SLOW
JOBS=${JOBS:-4}
HOSTCC=${HOSTCC:-${CC:-cc}}
newline='
'
source=$(cd "$(dirname "$0")" && pwd) || exit 1
self=$source/${0##*/}
tmp=${TMPDIR:-/tmp}/blogserve-test.$$
helper=$tmp/helper; export helper
dir=; export dir
url=; export url
count=0

# The words of BLOGSERVE one a line, so that a blank in the path of this directory does no harm;
# cases change directory, so names must not depend on it.
program=
for word in ${BLOGSERVE-}; do
	case $word in
	./*|../*) word=$PWD/$word ;;
	esac
	program=${program:+$program$newline}$word
done
program=${program:-$source/blogserve}

# --- what cases say ---

fail() {
	printf '%s\n' "$*"
	exit 1
}

skip() {
	printf '%s\n' "$*" >"$dir/skip"
	exit 0
}

is() { # what got expected
	[ "$2" = "$3" ] || fail "$1: expected [$3], got [$2]"
}

has() { # what text part
	case $2 in
	*"$3"*) ;;
	*) fail "$1: expected [$3] in [$2]" ;;
	esac
}

lacks() { # what text part
	case $2 in
	*"$3"*) fail "$1: did not expect [$3] in [$2]" ;;
	esac
}

says() { # file text
	grep -F -e "$2" "$1" >/dev/null 2>&1
}

# Nothing here waits for a fixed time but to show that nothing happens.
wait_for() { # command [argument ...]
	tries=$((500 * SLOW))
	until "$@"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || fail "waited in vain for: $*"
		"$helper" nap 20
	done
}

nap() {
	"$helper" nap "$1"
}

# By renaming, so that it is one change: on a loaded machine a build could fall between a file's
# being emptied and its being written. What is saved in place has cases of its own.
put() { # file line ...
	case $1 in
	*/*) mkdir -p "${1%/*}" ;;
	esac
	to=$1
	shift
	printf '%s\n' "$@" >"$dir/put.${to##*/}" && mv "$dir/put.${to##*/}" "$to"
}

files() { # name[=line] ...
	for file; do
		put "${file%%=*}" "${file#*=}"
	done
}

bytes() { # [file]
	cat "$@" | wc -c | tr -d ' '
}

# --- the program ---

# Whatever is started in the background is written down, and struck off once it was waited for. It is
# started by exec: in yash and ksh93 $! is else a shell that waits for it, and it would be left over.
note() { # pid
	echo "$1" >>"$dir/pids"
}

# What takes the program in may do and need other things than that.
wrapped() {
	[ "${program#*"$newline"}" != "$program" ]
}

first_line() {
	read -r url <"$out" || ! "$helper" alive "$pid"
}

# Until there is $dir/go; for builds, too, which may outlive their case.
gate='until [ -e "$dir/go" ]; do "$helper" nap 10 || exit; done'
gated() { # command [argument ...]
	eval "$gate"
	exec "$@"
}

# Starts the program with any port, and waits for its URL. $with: options for the helper's run;
# $input: its standard input.
anyport=-p0
with=
input=/dev/null
start() { # [argument ...]
	count=$((count + 1))
	out=$dir/out.$count
	err=$dir/err.$count
	[ -e "$out" ] || : >"$out"
	url=
	# braces: some shells start a second process for parentheses
	{ IFS=$newline; set -f; exec "$helper" run $with $program $anyport "$@"; } <$input >"$out" 2>"$err" &
	pid=$!
	note "$pid"
	wait_for first_line
	case $url in
	http://*/) ;;
	*) fail "no URL on the first line, but [$url]" ;;
	esac
	port=${url##*:}
	port=${port%%/*}
}

# With a site of one source.
blog() { # [option ...] command
	put src/post one
	mkdir -p site
	start -d site -w src "$@"
}

# With a site of one file.
hello() { # [argument ...]
	put a.txt hello
	start "$@"
}

# To its end, which must come soon: what ought to fail might serve instead.
try() { # [argument ...]
	out=$dir/out.try
	err=$dir/err.try
	rc=0
	( IFS=$newline; set -f; exec "$helper" run -t 5000 $with $program "$@" ) >"$out" 2>"$err" || rc=$?
}

# It cannot start, and says why in one line.
fails() { # message [argument ...]
	message=$1
	shift
	try "$@"
	is "exit status of $*" "$rc" 1
	is "standard output of $*" "$(cat "$out")" ''
	is "lines of $*" "$(wc -l <"$err" | tr -d ' ')" 1
	has "message of $*" "$(cat "$err")" 'blogserve: '
	has "message of $*" "$(cat "$err")" "$message"
}

gone() { # [exit status]
	rc=0
	wait "$pid" || rc=$?
	note "-$pid"
	[ $# -eq 0 ] || is 'exit status' "$rc" "$1"
}

leave() { # signal [exit status]
	kill -"$1" "$pid"
	shift
	gone "$@"
}

# It ends well; names: all that is left here.
ends() { # signal [name ...]
	leave "$1" 0
	shift
	[ $# -eq 0 ] || is 'what is left' "$(ls -A)" "$(printf '%s\n' "$@")"
}

take() { # port, 0 for any [address]
	{ exec "$helper" listen "$@"; } >"$dir/taken" &
	note $!
	wait_for [ -s "$dir/taken" ]
	taken=$(cat "$dir/taken")
}

since() { # time
	echo $(($("$helper" now) - $1))
}

leaves_within() { # ms [signal]
	began=$("$helper" now)
	ends "${2:-INT}"
	took=$(since "$began")
	[ "$took" -lt $(($1 * SLOW)) ] || fail "took $took ms to leave"
}

# At rest the server is the only child; it comes after the URL.
server() {
	wait_for has_child
	echo "$server"
}

has_child() {
	knows=0
	server=$("$helper" children "$pid") || knows=$?
	[ "$knows" -ne 3 ] || skip 'neither /proc nor ps tells of children'
	[ -n "$server" ]
}

server_killed() {
	child=$(server)
	[ -n "$child" ] && kill -KILL "$child" 2>/dev/null && wait_for dead "$child"
}

dead() { # pid
	! "$helper" alive "$1"
}

get() { # [option ...] path ...
	"$helper" http -b "$@"
}

told() { # field of the status
	get /.blogserve/status | sed -n "s/^$1: //p"
}

status() { # [option ...] path
	"$helper" http -s "$@"
}

answer() { # field [option ...] path
	"$helper" http -f "$@"
}

# A file that may change unseen has none as yet.
tag_of() { # [option ...] path
	wait_for has_tag "$@"
	cat "$dir/tag"
}

has_tag() {
	answer ETag "$@" >"$dir/tag"
	grep '^".*"$' "$dir/tag" >/dev/null
}

# What the bytes of a printf get for an answer.
raw() { # format [option for raw ...]
	format=$1
	shift
	printf "$format" | "$helper" raw "$@" /
}

# Asks in the background, and returns when the server has read the request: it answers another.
ask() { # path [option for raw ...]
	path=$1
	shift
	printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$path" |
	    { exec "$helper" raw -p -m "$dir/sent" "$@" /; } >"$dir/answer" &
	asker=$!
	note $asker
	wait_for [ -e "$dir/sent" ]
	get /.blogserve/status >/dev/null
}

# The one who asked reads all of it now; $dir/body: what came behind the head.
answered() {
	put "$dir/go" now
	wait_for dead $asker
	sed '1,/^.$/d' "$dir/answer" >"$dir/body"
}

refused() {
	rc=0
	"$helper" http -s / >/dev/null || rc=$?
	[ "$rc" -eq 2 ]
}

page_has() { # path text
	case $(get "$1") in
	*"$2"*) ;;
	*) return 1 ;;
	esac
}

# The page comes to be what is saved.
shows() { # text
	put src/post "$1"
	wait_for page_has /a.txt "$1"
}

# What the program said; a wrapper may have said more.
own_lines() {
	grep 'blogserve: ' "$err"
}

# The number of builds that ended.
builds() {
	grep -c 'blogserve: build [0-9]*: .*, [0-9.]* s$' "$err"
}

built() { # number
	[ "$(builds)" -ge "$1" ]
}

# Starts it, and waits for the end of its first build.
once_built() { # start or blog [argument ...]
	"$@"
	wait_for built 1
}

# Of what the command does comes a build.
rebuilds() { # command [argument ...]
	before=$(builds)
	"$@"
	wait_for built $((before + 1))
}

# There were so many, and come no more.
stays_at() { # number [ms]
	nap "${2:-300}"
	is 'builds' "$(builds)" "$1"
}

# No build for some time.
quiet() {
	quiet=$(builds)
	nap 400
	[ "$(builds)" -eq "$quiet" ] && [ "$(told state)" != building ]
}

# A build that takes until there is $dir/go; written as one operand for sh -c.
slow_build='echo "$BLOGSERVE_BUILD" >>"$dir/started"
'"$gate"'
cat src/post >site/a.txt'

started() { # number
	[ -e "$dir/started" ] && [ "$(wc -l <"$dir/started")" -ge "$1" ]
}

# A page that is half written until there is $dir/go. The command is said, too, but not what it prints.
half_build='echo be""gun; printf "half " >"${BLOGSERVE_OUT:-site}/a.txt"
'"$gate"'; echo whole >>"${BLOGSERVE_OUT:-site}/a.txt"'

# Runs a command on a terminal of its own, to type on.
terminal() { # [option for pty ...] -- argument ...
	count=$((count + 1))
	out=$dir/screen.$count
	err=$out
	: >"$out"
	options=
	while [ "$1" != -- ]; do
		options=$options$newline$1
		shift
	done
	shift
	mkfifo "$dir/keys.$count"
	{ IFS=$newline; set -f; exec "$helper" pty $options -p "$dir/leader" $program "$@"; } \
	    <"$dir/keys.$count" >"$out" &
	pty=$!
	note "$pty"
	exec 3>"$dir/keys.$count"
}

on_screen() {
	url=$(sed -n 's|^\(http://[^ ]*/\)$|\1|p' "$out")
	[ -n "$url" ]
}

type_() { # format
	printf "$1" >&3
}

left_terminal() { # [exit status]
	rc=0
	wait "$pty" || rc=$?
	note "-$pty"
	exec 3>&-
	[ $# -eq 0 ] || is 'exit status' "$rc" "$1"
}

leave_terminal() { # [exit status]
	type_ '\003'
	left_terminal "$@"
}

# Like wait_for, and it must not take longer.
within() { # ms command [argument ...]
	limit=$(($1 * SLOW))
	shift
	began=$("$helper" now)
	wait_for "$@"
	took=$(since "$began")
	[ "$took" -lt "$limit" ] || fail "took $took ms: $*"
}

# What root may do all the same is tried as nobody, with a program where nobody can reach it.
as_user() { # name that nobody may read no more
	! wrapped || skip 'a wrapper may need more than nobody may'
	if [ "$(id -u)" -eq 0 ]; then
		for_nobody
		chmod 755 .
		chmod 1777 "$TMPDIR"
		with="-u${newline}nobody"
	fi
	chmod 000 "$@"
	! "$helper" run $with cat "$1" >/dev/null 2>&1 || skip 'everybody may read all here'
}

# What no program can do that has nothing but POSIX.
needs_extras() {
	start -v
	wait_for says "$err" 'server: confined by '
	! says "$err" 'server: confined by nothing' || skip 'it has nothing but POSIX, or this system has not'
	ends INT
}

at_rest() {
	[ "$(told state)" = ok ]
}

many() { # number
	awk "BEGIN { for (i = 1; i <= $1; i++) print i }"
}

# --- the helper: what sh cannot do ---

build_helper() { # file
	cat >"$1.c" <<'END'
#define _XOPEN_SOURCE 700
#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* What an exchange came to: the exit status of http and raw. */
enum { WHOLE, USAGE, REFUSED, SHORT, LATE, RESET, GARBLED };

struct text { char *at; size_t len, size; };

static const struct { const char *name; int number; } signals[] = {
	{ "HUP", SIGHUP }, { "INT", SIGINT }, { "QUIT", SIGQUIT }, { "PIPE", SIGPIPE },
	{ "TERM", SIGTERM }, { "CHLD", SIGCHLD }, { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 },
	{ "TSTP", SIGTSTP }, { "TTIN", SIGTTIN }, { "TTOU", SIGTTOU }, { "ALRM", SIGALRM }
};
enum { SIGNALS = sizeof signals / sizeof signals[0] };

static struct text opt[128];	/* what each option was given with, a line each */
static char host[256], port[16];	/* of the URL that was taken apart last */
static volatile sig_atomic_t told_to_end;
static long slow = 1;

static void
die(const char *what)
{
	fprintf(stderr, "helper: %s: %s\n", what, strerror(errno));
	exit(USAGE);
}

static void
end(int signo)
{
	(void)signo;
	told_to_end = 1;
}

static long
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	/* small enough for a shell with 32 bits */
	return (long)(t.tv_sec % 1000000) * 1000 + t.tv_nsec / 1000000;
}

static void
nap(long ms)
{
	struct timespec t;

	t.tv_sec = ms / 1000;
	t.tv_nsec = ms % 1000 * 1000000;
	nanosleep(&t, NULL);
}

/* Says a number at once, and stays until it is told to end. */
static int
hold(long number)
{
	printf("%ld\n", number);
	fflush(stdout);
	while (!told_to_end)
		pause();
	return 0;
}

static void
text_add(struct text *t, const char *at, size_t len)
{
	if (t->len + len + 1 > t->size) {
		t->size = 2 * (t->len + len) + 4096;
		if ((t->at = realloc(t->at, t->size)) == NULL)
			die("memory");
	}
	memcpy(t->at + t->len, at, len);
	t->len += len;
	t->at[t->len] = '\0';
}

static long
number(int option, long otherwise)
{
	return opt[option].at != NULL ? atol(opt[option].at) : otherwise;
}

static int
exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The shell makes its background jobs ignore SIGINT; what is tested must not start so. */
static void
signals_reset(void)
{
	sigset_t none;
	int i;

	for (i = 0; i < SIGNALS; i++)
		signal(signals[i].number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* --- clients and listeners --- */

/* Takes http://host:port/path apart, and returns the path; a bare one is of $url. */
static const char *
url_split(const char *url)
{
	const char *p = url[0] == '/' ? getenv("url") : url;
	size_t n;

	if (p == NULL || strncmp(p, "http://", 7) != 0 || strlen(p) > 6000 || strlen(url) > 6000) {
		fprintf(stderr, "helper: not a URL: %s\n", p != NULL ? p : url);
		exit(USAGE);
	}
	p += 7;
	n = *p == '[' ? strcspn(p, "]") + 1 : strcspn(p, ":/");
	snprintf(host, sizeof host, "%.*s", (int)n, p);
	p += n;
	n = strcspn(p, "/");
	snprintf(port, sizeof port, "%.*s", *p == ':' ? (int)n - 1 : 2, *p == ':' ? p + 1 : "80");
	p += n;
	return url[0] == '/' ? url : *p != '\0' ? p : "/";
}

/* A connection, or with a backlog a listener; -1 when it is not to be had. */
static int
stream_open(const char *address, const char *at, int backlog)
{
	struct addrinfo want, *found;
	char bare[256];
	int fd, on = 1;

	snprintf(bare, sizeof bare, "%s", address + (address[0] == '['));
	bare[strcspn(bare, "]")] = '\0';
	memset(&want, 0, sizeof want);
	want.ai_flags = AI_NUMERICHOST;
	want.ai_socktype = SOCK_STREAM;
	if (getaddrinfo(bare, at, &want, &found) != 0)
		return -1;
	if ((fd = socket(found->ai_family, SOCK_STREAM, 0)) != -1 && backlog > 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (fd != -1 && (backlog == 0 ? connect(fd, found->ai_addr, found->ai_addrlen) :
	    bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, backlog) != 0)) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

static int
port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof a;

	return getsockname(fd, (struct sockaddr *)&a, &len) == 0 ? ntohs(a.sin_port) : -1;
}

static int
send_all(int fd, const char *at, size_t len)
{
	ssize_t n;

	for (; len > 0; at += n, len -= (size_t)n)
		if ((n = write(fd, at, len)) < 0)
			return RESET;
	return WHOLE;
}

/* Reads what there is into in: WHOLE, SHORT at the end, RESET, LATE past the deadline. */
static int
receive(int fd, struct text *in, long until)
{
	struct pollfd p = { fd, POLLIN, 0 };
	char piece[65536];
	long left = until - now();
	ssize_t n;

	if (left <= 0 || poll(&p, 1, (int)left) <= 0)
		return LATE;
	if ((n = read(fd, piece, sizeof piece)) > 0)
		text_add(in, piece, (size_t)n);
	return n > 0 ? WHOLE : n == 0 ? SHORT : RESET;
}

/* The value of a field in a head that ends at body, or NULL; for the length of the line. */
static const char *
field(const char *head, const char *body, const char *name, int *len)
{
	const char *line = head;
	size_t n = strlen(name);

	while ((line = strstr(line, "\r\n")) != NULL && (line += 2) < body)
		if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
			line += n + 1;
			line += strspn(line, " ");
			*len = (int)strcspn(line, "\r");
			return line;
		}
	return NULL;
}

/* Reads one response to its end. *head is the length of its head, *all of the whole. */
static int
response_read(int fd, struct text *in, int bodiless, long until, size_t *head, size_t *all)
{
	const char *body, *value;
	int how, len, by_close;

	*head = *all = 0;
	while (in->len == 0 || (body = strstr(in->at, "\r\n\r\n")) == NULL)
		if ((how = receive(fd, in, until)) != WHOLE)
			return how;
	body += 4;
	*head = *all = (size_t)(body - in->at);
	if (strncmp(in->at, "HTTP/1.", 7) != 0 || in->len < 12)
		return GARBLED;
	if (bodiless || strncmp(in->at + 9, "304", 3) == 0)
		return WHOLE;
	value = field(in->at, body, "Content-Length", &len);
	if (!(by_close = value == NULL))
		*all = *head + (size_t)strtoull(value, NULL, 10);
	while (by_close || in->len < *all)
		if ((how = receive(fd, in, until)) != WHOLE) {
			*all = in->len;
			return by_close && how == SHORT ? WHOLE : how;
		}
	return WHOLE;
}

static void
response_print(const char *at, size_t head, size_t all)
{
	const char *value;
	size_t i;
	int len;

	if (opt['s'].at != NULL)
		printf("%.3s\n", all >= 12 ? at + 9 : "");
	else if (opt['f'].at != NULL) {
		if ((value = field(at, at + head, opt['f'].at, &len)) != NULL)
			printf("%.*s\n", len, value);
	} else if (opt['i'].at != NULL) {
		for (i = 0; i < head; i++)
			if (at[i] != '\r')
				putchar(at[i]);
	} else if (opt['b'].at != NULL)
		fwrite(at + head, 1, all - head, stdout);
	else
		fwrite(at, 1, all, stdout);
}

/*
 * http [-0bis] [-f name] [-H field] [-n times] [-t ms] [-X method] url ...: prints the response, only its body,
 * head, status or one field. All are asked for on one connection, each as often as -n says.
 */
static int
http(char **url)
{
	struct text ask = { 0 }, in = { 0 };
	const char *line, *path, *method = opt['X'].at != NULL ? opt['X'].at : "GET";
	char text[8192];
	long until = now() + number('t', 20000) * slow, times;
	size_t head, all;
	int fd = -1, how = WHOLE, hosted = 0;

	for (; *url != NULL && how == WHOLE; url++) {
		path = url_split(*url);
		snprintf(text, sizeof text, "%s %s HTTP/1.%d\r\n", method, path, opt['0'].at == NULL);
		ask.len = 0;
		text_add(&ask, text, strlen(text));
		for (line = opt['H'].at; line != NULL && *line != '\0'; line += *line == '\n') {
			hosted |= strncasecmp(line, "Host:", 5) == 0;
			text_add(&ask, line, strcspn(line, "\n"));
			text_add(&ask, "\r\n", 2);
			line += strcspn(line, "\n");
		}
		snprintf(text, sizeof text, "Host: %s:%s\r\n\r\n", host, port);
		text_add(&ask, hosted ? "\r\n" : text, hosted ? 2 : strlen(text));
		if (fd == -1 && (fd = stream_open(host, port, 0)) == -1)
			return REFUSED;
		for (times = number('n', 1); times > 0 && how == WHOLE; times--) {
			in.len = 0;
			if (send_all(fd, ask.at, ask.len) != WHOLE)
				return RESET;
			how = response_read(fd, &in, strcmp(method, "HEAD") == 0, until, &head, &all);
			if (in.len > all)
				how = GARBLED;
			if (in.len > 0)
				response_print(in.at, head, all);
		}
	}
	return how;
}

/*
 * raw [-cp] [-d ms] [-g file] [-m file] [-n connections] [-s ms] [-t ms] url: sends standard input as it is, and
 * prints what comes until the other side closes. -c closes its half after sending, -d sends a byte every ms, -m
 * makes a file once all is sent, -s waits before it reads, -g until a file is there, -p prints at once. With -n
 * every other connection sends; it says how many there are, and holds them.
 */
static int
raw(char **url)
{
	struct text in = { 0 }, out = { 0 };
	char piece[4096];
	long drip = number('d', 0), until = now() + number('t', 10000) * slow;
	int fd, how;
	ssize_t n;
	size_t i;

	url_split(*url);
	while ((n = read(0, piece, sizeof piece)) > 0)
		text_add(&in, piece, (size_t)n);
	for (i = 0; i < (size_t)number('n', 0) && (fd = stream_open(host, port, 0)) != -1; i++)
		if (i % 2 == 0)
			send_all(fd, in.at, in.len);
	if (opt['n'].at != NULL)
		return hold((long)i);
	if ((fd = stream_open(host, port, 0)) == -1)
		return REFUSED;
	for (i = 0; drip > 0 && i < in.len && now() < until; i++, nap(drip))
		if (send_all(fd, in.at + i, 1) != WHOLE)
			break;
	if (drip == 0)
		send_all(fd, in.at, in.len);
	if (opt['c'].at != NULL)
		shutdown(fd, SHUT_WR);
	if (opt['m'].at != NULL && open(opt['m'].at, O_WRONLY | O_CREAT, 0666) == -1)
		die(opt['m'].at);
	nap(number('s', 0));
	while (opt['g'].at != NULL && access(opt['g'].at, F_OK) != 0 && now() < until && !told_to_end)
		nap(5);
	while ((how = receive(fd, &out, until)) == WHOLE)
		if (opt['p'].at != NULL) {
			fwrite(out.at, 1, out.len, stdout);
			fflush(stdout);
			out.len = 0;
		}
	fwrite(out.at, 1, out.len, stdout);
	return how == SHORT ? WHOLE : how;
}

/* listen port [address]: takes a port, of 127.0.0.1 unless told otherwise, says which, and keeps it. */
static int
take(char **arg)
{
	int fd = stream_open(arg[1] != NULL ? arg[1] : "127.0.0.1", arg[0], 5);

	if (fd == -1) {
		printf("taken\n");
		return REFUSED;
	}
	return hold(port_of(fd));
}

/* datagrams path: a socket there; prints what comes, each on a line of its own. */
static int
datagrams(char **path)
{
	struct sockaddr_un a;
	char got[4096], *p;
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	ssize_t n;

	memset(&a, 0, sizeof a);
	a.sun_family = AF_UNIX;
	snprintf(a.sun_path, sizeof a.sun_path, "%s", *path);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0)
		die(*path);
	while (!told_to_end && (n = recv(fd, got, sizeof got - 1, 0)) >= 0) {
		got[n] = '\0';
		while ((p = strchr(got, '\n')) != NULL)
			*p = '|';
		printf("%s\n", got);
		fflush(stdout);
	}
	return 0;
}

/* --- processes --- */

/* How a process is, and whose child; '?' where /proc does not tell, '\0' when there is none. */
static int
state_of(long pid, long *parent)
{
	char name[64], line[512], *state = NULL;
	FILE *f;

	sprintf(name, "/proc/%ld/stat", pid);
	if ((f = fopen(name, "r")) == NULL)
		return pid != (long)getpid() && state_of((long)getpid(), parent) != '?' ? '\0' : '?';
	if (fgets(line, sizeof line, f) != NULL)
		state = strrchr(line, ')');
	fclose(f);
	return state != NULL && sscanf(state + 3, "%ld", parent) == 1 ? state[2] : '\0';
}

/* A process that has ended but whom nobody has waited for is not alive. */
static int
is_alive(long pid)
{
	long parent;

	return (kill((pid_t)pid, 0) == 0 || errno != ESRCH) && strchr("ZX", state_of(pid, &parent)) == NULL;
}

/* The children that are alive; -1 where neither /proc nor ps tells. */
static int
children_of(long pid, long *child, int max)
{
	char line[256];
	long it, parent;
	int n = 0, seen = 0;
	struct dirent *e;
	DIR *d;
	FILE *f;

	if (state_of((long)getpid(), &parent) != '?' && (d = opendir("/proc")) != NULL) {
		while ((e = readdir(d)) != NULL && n < max)
			if ((it = atol(e->d_name)) > 0 && state_of(it, &parent) != '\0' && parent == pid && is_alive(it))
				child[n++] = it;
		closedir(d);
		return n;
	}
	if ((f = popen("{ ps -A -o pid= -o ppid= || ps -o pid,ppid; } 2>/dev/null", "r")) == NULL)
		return -1;
	while (fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "%ld %ld", &it, &parent) == 2 && (seen = 1) && parent == pid && is_alive(it) && n < max)
			child[n++] = it;
	pclose(f);
	return seen ? n : -1;
}

static int
children(char **arg)
{
	long child[64];
	int n = children_of(atol(arg[0]), child, 64), i;

	for (i = 0; i < n; i++)
		printf("%ld\n", child[i]);
	return n == -1 ? 3 : 0;
}

static int
alive(char **arg)
{
	return !is_alive(atol(arg[0]));
}

/*
 * end: the processes whose numbers stand on standard input; gently, then not. -pid strikes one off:
 * it was waited for, and its number may be another's by now.
 */
static int
end_all(char **none)
{
	static const struct { int number; long ms; } blow[] = {
		{ SIGTERM, 300 }, { SIGTERM, 4000 }, { SIGKILL, 2000 }
	};
	long pid[256], p, until;
	int i, k, n = 0, left;

	(void)none;
	while (n < 256 && scanf("%ld", &p) == 1) {
		if (p > 1)
			pid[n++] = p;
		for (i = 0; p < -1 && i < n; i++)
			if (pid[i] == -p)
				pid[i--] = pid[--n];
	}
	for (k = 0, left = n; k < 3 && left > 0; k++) {
		for (i = 0; i < n; i++)
			if (is_alive(pid[i])) {
				kill((pid_t)pid[i], blow[k].number);
				kill((pid_t)pid[i], SIGCONT);
			}
		for (until = now() + blow[k].ms * slow; ; nap(5)) {
			for (left = i = 0; i < n; i++)
				left += is_alive(pid[i]);
			if (left == 0 || now() > until)
				break;
		}
	}
	return left > 0;
}

/* watchdog ms pid: ends a case that takes too long, and what it waits for. */
static int
watchdog(char **arg)
{
	long ms = atol(arg[0]), until = now() + ms, pid = atol(arg[1]), child[64];
	int n;

	/* never outlives the case: its number may soon be another's */
	for (; now() < until; nap(200))
		if (told_to_end || !is_alive(pid))
			return 0;
	if (pid < 2 || !is_alive(pid))
		return 0;
	printf("took longer than %ld s\n", ms / 1000);
	n = children_of(pid, child, 64);
	kill((pid_t)pid, SIGKILL);
	while (n > 0)
		kill((pid_t)child[--n], SIGTERM);
	return 0;
}

/* cpu pid: the processor time that it has used, in milliseconds. */
static int
cpu(char **arg)
{
	struct timespec t;
	clockid_t id;

	if (clock_getcpuclockid((pid_t)atol(arg[0]), &id) != 0 || clock_gettime(id, &t) != 0)
		return 1;
	return printf("%ld\n", (long)(t.tv_sec * 1000 + t.tv_nsec / 1000000)) < 0;
}

/* A listener at descriptor 3, and the variables that tell of it; $given is its port. */
static void
listener_pass(void)
{
	char text[32];
	int fd = stream_open("127.0.0.1", "0", 5);

	if (fd == -1 || (fd != 3 && dup2(fd, 3) != 3))
		die("listener");
	sprintf(text, "%d", port_of(3));
	setenv("given", text, 1);
	sprintf(text, "%ld", (long)getpid());
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDS", "1", 1);
}

/*
 * run [-c fd] [-i signal] [-l] [-n files] [-t ms] [-u user] command: with default signals but those
 * of -i, without the descriptors of -c, with a listener (-l), at most -n files open, as a user; -t
 * bounds its time, without it the command takes our place.
 */
static int
run(char **command)
{
	struct rlimit files;
	struct passwd *pw;
	pid_t pid;
	long ms = number('t', 0) * slow, until;
	char *word;
	int i, status;

	signals_reset();
	text_add(&opt['c'], "", 0);
	text_add(&opt['i'], "", 0);
	for (word = strtok(opt['c'].at, "\n"); word != NULL; word = strtok(NULL, "\n"))
		close(atoi(word));
	for (word = strtok(opt['i'].at, "\n"); word != NULL; word = strtok(NULL, "\n"))
		for (i = 0; i < SIGNALS; i++)
			if (strcmp(signals[i].name, word) == 0)
				signal(signals[i].number, SIG_IGN);
	if (opt['u'].at != NULL && ((pw = getpwnam(opt['u'].at)) == NULL || setgid(pw->pw_gid) != 0 ||
	    setuid(pw->pw_uid) != 0))
		die(opt['u'].at);
	if (opt['n'].at != NULL) {
		files.rlim_cur = files.rlim_max = (rlim_t)number('n', 0);
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (ms > 0 && (pid = fork()) > 0) {
		signal(SIGTERM, end);
		for (until = now() + ms; waitpid(pid, &status, WNOHANG) == 0; nap(2))
			if (told_to_end || now() > until) {
				fprintf(stderr, "helper: still there after %ld ms: %s\n", ms, command[0]);
				kill(pid, SIGKILL);
				waitpid(pid, &status, 0);
				return 124;
			}
		return exit_status(status);
	}
	if (opt['l'].at != NULL)
		listener_pass();
	execvp(command[0], command);
	die(command[0]);
	return 127;
}

/* sigs: the open descriptors below 1024, whether 0 is /dev/null, whether it leads its session, its signals. */
static int
inherited(char **none)
{
	struct sigaction was;
	struct stat in, null;
	sigset_t mask;
	int i;

	(void)none;
	printf("fds:");
	for (i = 0; i < 1024; i++)
		if (fcntl(i, F_GETFD) != -1)
			printf(" %d", i);
	if (fstat(0, &in) == 0 && stat("/dev/null", &null) == 0 && in.st_rdev == null.st_rdev && S_ISCHR(in.st_mode))
		printf(" null");
	sigprocmask(SIG_SETMASK, NULL, &mask);
	printf("\nleader: %s blocked:", getsid(0) == getpid() ? "yes" : "no");
	for (i = 0; i < SIGNALS; i++)
		if (sigismember(&mask, signals[i].number))
			printf(" %s", signals[i].name);
	printf(" ignored:");
	for (i = 0; i < SIGNALS; i++)
		if (sigaction(signals[i].number, NULL, &was) == 0 && was.sa_handler == SIG_IGN)
			printf(" %s", signals[i].name);
	printf(".\n");
	return 0;
}

/* --- terminals --- */

/* The process that leads the terminal's session: a shell of one job that can be stopped, which returns. */
static void
job(int ready)
{
	sigset_t usr1;
	pid_t pid;
	int status, signo;

	signal(SIGTTOU, SIG_IGN);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	if ((pid = fork()) == 0) {
		setpgid(0, 0);
		tcsetpgrp(0, getpid());
		return;
	}
	setpgid(pid, pid);
	close(ready);
	while (waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status)) {
		tcsetpgrp(0, getpgrp());
		if (write(1, "[stopped]\n", 10) < 0)
			break;
		sigwait(&usr1, &signo);
		tcsetpgrp(0, pid);
		kill(-pid, SIGCONT);
	}
	tcsetpgrp(0, getpgrp());
	_exit(exit_status(status));
}

static void
pty_child(const char *name, int ready, char **command)
{
	int fd;

	setsid();
	if ((fd = open(name, O_RDWR)) == -1)
		die(name);
#ifdef TIOCSCTTY
	ioctl(fd, TIOCSCTTY, 0);
#endif
	dup2(fd, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	if (fd > 2)
		close(fd);
	fcntl(ready, F_SETFD, FD_CLOEXEC);
	if (opt['j'].at != NULL)
		job(ready);
	signals_reset();
	execvp(command[0], command);
	die(command[0]);
}

/*
 * pty [-j] [-p file] command: runs it on a terminal of its own, whose screen is our standard output, and whose
 * keyboard our standard input. -j: the command is a job of the session's leader, so that ^Z works, and SIGUSR1 to
 * that continues it; -p: a file for the number of the process that was started. Ends as the command ends.
 */
static int
pty(char **command)
{
	struct pollfd p[2];
	char piece[4096], name[64];
	size_t i, k;
	int master, slave, ready[2], status;
	ssize_t n;
	pid_t pid;

	if ((master = posix_openpt(O_RDWR | O_NOCTTY)) == -1 || grantpt(master) != 0 || unlockpt(master) != 0)
		die("posix_openpt");
	/* held open until the child has it: else the master could see a hang-up first */
	if ((slave = open(ptsname(master), O_RDWR | O_NOCTTY)) == -1 || pipe(ready) != 0)
		die("ptsname");
	fcntl(slave, F_SETFD, FD_CLOEXEC);
	snprintf(name, sizeof name, "%s", ptsname(master));
	if ((pid = fork()) == 0) {
		close(master);
		close(ready[0]);
		pty_child(name, ready[1], command);
	}
	/* keys typed before the terminal is the command's would be lost */
	close(ready[1]);
	if (read(ready[0], piece, 1) != 0)
		die("ready");
	if (opt['p'].at != NULL)
		dprintf(open(opt['p'].at, O_WRONLY | O_CREAT | O_TRUNC, 0666), "%ld\n", (long)pid);
	p[0].fd = master;
	p[1].fd = 0;
	p[0].events = p[1].events = POLLIN;
	while (!told_to_end) {
		if (poll(p, 2, 20) > 0 && p[1].revents != 0) {
			if ((n = read(0, piece, sizeof piece)) <= 0)
				p[1].fd = -1;
			else
				send_all(master, piece, (size_t)n);
		}
		if (p[0].revents != 0 && (n = read(master, piece, sizeof piece)) > 0) {
			for (i = k = 0; i < (size_t)n; i++)
				if (piece[i] != '\r')
					piece[k++] = piece[i];
			send_all(1, piece, k);
			continue;
		}
		/* a terminal that hung up is always ready */
		if (p[0].revents != 0)
			nap(5);
		if (waitpid(pid, &status, WNOHANG) == pid)
			return exit_status(status);
	}
	return 128 + SIGTERM;
}

/* --- the rest --- */

/* fill n [text]: that many bytes; the text's first, or not all alike. */
static int
fill(char **arg)
{
	unsigned long x = 1;
	long n;

	for (n = atol(arg[0]); n > 0; n--) {
		x = x * 1103515245UL + 12345UL;
		putchar(arg[1] != NULL ? *arg[1] : (int)(x >> 16 & 255));
	}
	return fflush(stdout) != 0;
}

static int
sleeps(char **arg)
{
	nap(atol(arg[0]));
	return 0;
}

static int
tells_time(char **none)
{
	(void)none;
	return printf("%ld\n", now()) < 0;
}

static const struct verb {
	const char *name, *options;
	int least, most;	/* operands */
	int (*it)(char **operands);
} verbs[] = {
	/* signals stay as they are for these, and there is no end to what takes their place */
	{ "run", "+c:i:ln:t:u:", 1, 1000, run },
	{ "sigs", "", 0, 0, inherited },
	{ "watchdog", "", 2, 2, watchdog },
	{ "end", "", 0, 0, end_all },
	/* these do not stay, whatever goes wrong */
	{ "http", "0bf:H:in:st:X:", 1, 100000, http },
	{ "raw", "cd:g:m:n:ps:t:", 1, 1, raw },
	{ "listen", "", 1, 2, take },
	{ "datagrams", "", 1, 1, datagrams },
	{ "pty", "+jp:", 1, 1000, pty },
	{ "children", "", 1, 1, children },
	{ "alive", "", 1, 1, alive },
	{ "cpu", "", 1, 1, cpu },
	{ "nap", "", 1, 1, sleeps },
	{ "now", "", 0, 0, tells_time },
	{ "fill", "", 1, 2, fill },
	{ NULL, NULL, 0, 0, NULL }
};

int
main(int argc, char **argv)
{
	const struct verb *v;
	const char *env = getenv("SLOW");
	struct sigaction act;
	int c;

	if (env != NULL && atol(env) > 0)
		slow = atol(env);
	for (v = verbs; v->name != NULL && (argc < 2 || strcmp(v->name, argv[1]) != 0); )
		v++;
	if (v->name == NULL)
		return USAGE;
	argc--, argv++;
	while ((c = getopt(argc, argv, v->options)) != -1) {
		if (c == '?')
			return USAGE;
		if (opt[c].len > 0)
			text_add(&opt[c], "\n", 1);
		text_add(&opt[c], optarg != NULL ? optarg : "", optarg != NULL ? strlen(optarg) : 0);
	}
	argc -= optind, argv += optind;
	if (argc < v->least || argc > v->most)
		return USAGE;
	if (v - verbs > 1) {
		/* yash starts commands with signals blocked */
		sigemptyset(&act.sa_mask);
		sigprocmask(SIG_SETMASK, &act.sa_mask, NULL);
		act.sa_flags = 0;
		act.sa_handler = end;
		sigaction(SIGTERM, &act, NULL);
		signal(SIGPIPE, SIG_IGN);
	}
	if (v - verbs > 3)
		alarm((unsigned)(60 * slow));
	return v->it(argv);
}
END
	$HOSTCC -o "$1" "$1.c" || exit 1
}

# --- starting ---

t_takes_the_next_free_port_when_8000_is_taken() {
	take 8000
	anyport=
	start
	case $port in
	# if it is not by us, it may be free by now
	8000) [ "$taken" = taken ] || fail 'the port that is taken' ;;
	8[0-9][0-9][0-9]) wait_for says "$err" "port 8000 is taken: $port instead" ;;
	*) fail "port [$port] of [$url]" ;;
	esac
	is 'status' "$(status /)" 200
}

t_takes_any_port_for_0() {
	start
	first=$url
	start
	[ "$url" != "$first" ] || fail "twice $url"
	is 'the first' "$(status "$first")" 200
	is 'the second' "$(status "$url")" 200
}

# What listens to all of IPv6 answers by IPv4, too.
t_listens_on_both_loopback_addresses_or_where_a_says_alone() {
	take 0 ::1
	while read -r address by4 by6 hosts; do
		[ "$taken$by6" != takenyes ] || continue # no ::1 here
		set -- -a $address
		[ $address != none ] || set --
		hello "$@"
		for at in 127.0.0.1=$by4 "[::1]=$by6"; do
			url=http://${at%=*}:$port/
			case $at in
			*=no) refused || fail "$at answers, too, with -a $address" ;;
			*) is "$url" "$(get -H "Host: $hosts" /a.txt)" hello ;;
			esac
		done
		fails "$port" -p "$port"
		fails '' -p "$port" "$@"
	done <<-END
		none yes yes localhost
		127.0.0.1 yes no localhost
		0.0.0.0 yes no blog.example
		:: yes yes blog.example
	END
}

t_answers_help_and_version_by_long_options_too_and_the_manual_knows_as_many() {
	for pair in --version:-V --help:-h; do
		try "${pair#*:}"
		short=$(cat "$out")
		is "exit status of $pair" "$rc" 0
		has "$pair" "$short" 'blogserve '
		try "${pair%:*}"
		is "${pair%:*}" "$rc $(cat "$out")" "0 $short"
	done
	for letter in A b h L n q R V v a d H i k l P p r t u w x; do
		grep "^\.It Fl $letter" "$source/blogserve.1" >/dev/null || fail "the manual lacks -$letter"
		grep -e "-[A-Za-z]*$letter" "$out" >/dev/null || fail "-h lacks -$letter"
	done
}

t_starts_with_the_standard_descriptors_closed() {
	for with in -c0 "-c0$newline-c2"; do
		[ "$with" = -c0 ] || ! wrapped || return 0 # a wrapper may need its own
		hello -x '*' 'echo lost; echo lost >&2; echo "$BLOGSERVE_BUILD" >>"$dir/builds"'
		is "with $with" "$(get /a.txt)" hello
		# a message that got into a pipe of its own would be taken for signals
		nap 200
		ends INT
	done
	is 'builds' "$(cat "$dir/builds")" "1${newline}1"
}

# --- building ---

t_builds_before_it_serves_the_first_page() {
	put site/a.txt old
	start -d site "'$helper' nap 200; echo new >site/a.txt"
	is 'first answer' "$(get /a.txt)" new
	mkdir src
	start -d made -w src 'mkdir -p made; echo made >made/a.txt'
	is 'where the build makes the docroot' "$(get /a.txt)" made
}

t_watches_single_files_and_several_paths() {
	files theme/head=head src/post=one
	mkdir site
	once_built start -d site -w src/post -w theme 'cat theme/head src/post >site/a.txt'
	put src/other two
	stays_at 1
	put theme/head new
	wait_for page_has /a.txt "new${newline}one"
	echo two >src/post
	wait_for page_has /a.txt two
	# the way most editors save
	shows three
	rm src/post
	echo four >src/post
	wait_for page_has /a.txt four
	# a directory in its place, and a file again
	rm src/post
	mkdir src/post
	wait_for says "$err" 'exit status 1'
	rmdir src/post
	echo five >src/post
	wait_for page_has /a.txt five
	echo six >src/post
	wait_for page_has /a.txt six
}

t_tells_on_a_line_how_each_build_went() {
	once_built blog 'read -r how <src/post; [ "$how" != bad ] || exit 3; [ "$how" != worse ] || kill -9 $$
		[ "$how" != missing ] || no-such-command || exit; cp src/post site/a.txt'
	for post in bad worse missing; do
		rebuilds put src/post $post
		is "the page after $post" "$(get /a.txt)" one
	done
	rebuilds kill -USR1 "$pid"
	sed -n 's/ ([^)]*)\(, [0-9.]* s\)$/\1/; s/^blogserve: build \(.*\), [0-9]*\.[0-9][0-9] s$/\1/p' "$err" >"$dir/lines"
	is 'lines' "$(cat "$dir/lines")" "1: first build: ok
2: src/post: FAILED, exit status 3
3: src/post: FAILED, killed by signal 9
4: src/post: FAILED, exit status 127
5: asked for: FAILED, exit status 127"
	shows two
}

t_gives_one_operand_to_sh_and_executes_more_as_they_are() {
	once_built start -d . -x '*' 'echo $((1 + 1)) and more >"$dir/one"'
	is 'one operand' "$(cat "$dir/one")" '2 and more'
	start -d . -x '*' printf '<%s>' 'a  b' '$HOME' '*' -p -z --help --port
	wait_for says "$err" '<a  b><$HOME><*><-p><-z><--help><--port>'
}

t_tells_the_build_what_changed() {
	put src/other one
	once_built blog 'printf "%s|" "$BLOGSERVE_BUILD" "$BLOGSERVE_URL" "$BLOGSERVE_CHANGED" >"$dir/env"; [ ! -e src/fail ]'
	is 'the first build' "$(cat "$dir/env")" "1|$url||"
	rebuilds put src/post two
	is 'the second' "$(cat "$dir/env")" "2|$url|src/post$newline|"
	rebuilds rm src/post
	is 'the third' "$(cat "$dir/env")" "3|$url|src/post$newline|"
	files src/new/deep=one src/other=two
	wait_for says "$dir/env" src/other
	wait_for quiet
	# none after one that failed, nor when they are odd or too many, which come in one step
	rebuilds put src/fail now
	rebuilds rm src/fail
	is 'after one that failed' "$(cat "$dir/env")" "$(builds)|$url||"
	rebuilds put src/post three
	is 'one' "$(cat "$dir/env")" "$(builds)|$url|src/post$newline|"
	rebuilds put "src/of${newline}lines" one
	is 'an odd one' "$(cat "$dir/env")" "$(builds)|$url||"
	mkdir "$dir/many"
	long=$("$helper" fill 200 n)
	for i in $(many 400); do
		: >"$dir/many/$i.$long"
	done
	rebuilds mv "$dir/many" src
	is 'too many' "$(cat "$dir/env")" "$(builds)|$url||"
}

t_builds_once_more_after_changes_during_a_build() {
	put src/other one
	blog "$slow_build"'; printf "%s\n" $BLOGSERVE_CHANGED >"$dir/changed"'
	wait_for started 1
	for change in post:two other:two post:three; do
		put src/${change%:*} ${change#*:}
		nap 100
	done
	is 'builds begun' "$(cat "$dir/started")" 1
	put "$dir/go" now
	wait_for built 2
	is 'answer' "$(get /a.txt)" three
	is 'what changed' "$(sort <"$dir/changed")" "src/other${newline}src/post"
	stays_at 2
	grep 'build 2: src/[a-z]* and 1 more: ok' "$err" >/dev/null || fail 'the line does not say: and 1 more'
}

t_never_runs_two_builds_at_once() {
	blog 'mkdir "$dir/lock" || echo twice >>"$dir/twice"; "$helper" nap 40; rmdir "$dir/lock"'
	i=0
	until built 5; do
		put src/post $((i += 1))
		kill -USR1 "$pid"
		nap 25
	done
	[ ! -e "$dir/twice" ] || fail 'two builds at once'
}

t_makes_few_builds_of_many_changes_but_waits_for_no_end_of_them() {
	once_built blog :
	mkdir "$dir/new"
	for i in $(many 20); do
		echo "$i" >"$dir/new/$i"
	done
	cp "$dir"/new/* src
	wait_for built 2
	nap 300
	before=$(builds)
	[ "$before" -le $((9 + SLOW)) ] || fail "$before builds for one burst"
	{ i=0
	while [ ! -e "$dir/enough" ]; do
		echo "$((i += 1))" >src/post
	done; } &
	note $!
	wait_for built $((before + 2))
	put "$dir/enough" now
}

t_copies_what_the_build_prints_to_standard_error_as_it_comes() {
	blog 'echo to-""out; echo to-""err >&2; "$helper" nap 200; echo and"" on; '"$slow_build"'; printf un""finished'
	for text in to-out to-err 'and on'; do
		wait_for says "$err" "$text"
	done
	is 'builds' "$(builds)" 0
	put "$dir/go" now
	wait_for built 1
	says "$err" unfinished || fail "not its last line: $(cat "$err")"
	is 'standard output' "$(cat "$out")" "$url"
}

# A pipe is full of what builds print, and holds up nobody; then it is read.
t_says_later_what_it_could_not_say() {
	mkdir src site
	mkfifo "$dir/err.1"
	gated cat <"$dir/err.1" >"$dir/seen" &
	note $!
	start -d site -w src '"$helper" fill 200000 x; echo; echo "$BLOGSERVE_BUILD" >site/a.txt; exit 1'
	for build in 1 2 3 4 5; do
		wait_for eval '[ "$(told build) $(told state)" = "$build failed" ]'
		is 'a page' "$(get /a.txt)" "$build"
		[ $build = 5 ] || kill -USR1 "$pid"
	done
	put "$dir/go" now
	wait_for says "$dir/seen" 'build 5: asked for: FAILED'
	is 'lines of the builds' "$(sed -n 's/^blogserve: build \([0-9]\): .*FAILED.*/\1/p' "$dir/seen" | tr '\n' ' ')" '1 2 3 4 5 '
	is 'what the builds printed' "$(grep '^xx*$' "$dir/seen" | bytes)" 1000005
	ends INT
}

# What a build prints before a reader has time must not be lost, nor may the line after it.
t_copies_all_to_a_reader_that_is_slow() {
	mkdir src
	# more than a pipe takes, and what begins the last of its pages on Linux
	for size in 400000 61600; do
		rm -f "$dir/go" "$dir/seen"
		mkfifo "$dir/err.$((count + 1))"
		gated sh -c "\"\$helper\" nap 100; exec cat" <"$dir/err.$((count + 1))" >"$dir/seen" &
		note $!
		start -d . -w src "\"\$helper\" fill $size x; echo; : >\"\$dir/go\""
		wait_for says "$dir/seen" 'build 1: first build: ok'
		is 'what the build printed' "$(grep '^xx*$' "$dir/seen" | bytes)" $((size + 1))
		ends INT
	done
}

t_ends_though_nobody_reads_what_builds_print() {
	mkfifo "$dir/err.1"
	exec 4<>"$dir/err.1"
	blog '"$helper" fill 800000 x; cat src/post >site/a.txt'
	wait_for page_has /a.txt one
	kill -TERM "$pid"
	within 4000 dead "$pid"
	gone 0
}

# The URL comes through a pipe, too.
t_survives_readers_of_its_output_that_went_away() {
	mkfifo "$dir/out.1" "$dir/err.1"
	: <"$dir/err.1" &
	blog 'echo much; cat src/post >site/a.txt'
	is 'at first' "$(get /a.txt)" one
	shows two
	ends INT
}

t_is_quiet_with_q_but_for_errors() {
	blog -q 'cat src/post >site/a.txt; [ "$(cat src/post)" != bad ]'
	is 'at first' "$(get /a.txt)" one
	is 'standard error' "$(own_lines)" ''
	put src/post bad
	wait_for says "$err" 'exit status 1'
}

own_inheritance() {
	says "$err" 'fds: 0 1 2 null' || fail "$(cat "$err")"
	says "$err" 'leader: yes blocked: ignored:.' || fail "$(cat "$err")"
}

t_runs_the_build_in_a_session_of_its_own_without_what_is_not_its_own() {
	input=$self
	# not by exec: some shells close such descriptors in what they start
	{ start -d . -x '*' "$helper" sigs; } 7<"$self"
	wait_for built 1
	own_inheritance
	# the signals are as they were given
	with="-iINT$newline-iPIPE"
	once_built start -d . -x '*' "$helper" sigs
	says "$err" 'leader: yes blocked: ignored: INT PIPE.' || fail "$(grep leader "$err")"
	with=-iCHLD
	start -d . -x '*' 'exit 5'
	wait_for says "$err" 'exit status 5'
}

# The whole group is told: what the shell started, too.
t_stops_a_build_that_takes_longer_than_k() {
	start -k 1 -d . -x '*' '( trap "echo told >\"\$dir/told\"; exit" TERM
		while "$helper" nap 20; do :; done ) & wait'
	wait_for says "$err" 'build 1: longer than 1 s: stopping it'
	wait_for says "$err" 'build 1: first build: FAILED, killed by signal 15 ('
	wait_for says "$dir/told" told
	is 'status' "$(status /)" 200
	# the last one, too, and even if it will not stop
	start -k 0.5 -d . -x '*' 'trap "" TERM; echo be""gun; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1; done'
	wait_for says "$err" begun
	ends INT
	says "$err" 'killed by signal 9 (' || fail "$(cat "$err")"
}

# --- watching ---

# The site is a listing of all sources; it must come to be what the sources are.
all_sources='cd src && find . ! -name . -type f | LC_ALL=C sort | while read -r f; do printf "%s: " "$f"; cat "$f"; done'

settled() {
	( eval "$all_sources" ) >"$dir/want"
	cmp -s "$dir/want" site/all.txt
}

every_kind_of_save() { # [option ...]
	files src/a=one src2/linked=one
	ln src2/linked "$dir/outside"
	mkdir site
	start "$@" -d site -w src -w src2 "cat src2/linked >site/linked; ($all_sources) >site/all.txt"
	wait_for settled
	scanned=-2000 number=0
	while read -r save; do
		if [ $# -eq 0 ] && [ "$(since $scanned)" -gt 700 ]; then
			echo "$((number += 1))" >"$dir/outside"
			wait_for says site/linked $number
			scanned=$("$helper" now)
			wait_for settled
		fi
		eval "$save"
		echo "after: $save"
		wait_for settled
		[ $# -gt 0 ] || [ "$(since $scanned)" -lt 1900 ] || fail 'too late'
	done <<-'END'
		echo two >src/a
		echo more >>src/a
		echo temporary >src/a.new; mv src/a.new src/a
		echo outside >"$dir/a"; mv "$dir/a" src/a
		echo old >"$dir/a"; touch -t 200001010000 "$dir/a"; mv "$dir/a" src/a
		echo new >src/b
		echo newer >src/b; touch -t 200001010000 src/b
		ln src/a src/hard
		rm src/a
		mkdir -p src/deep/er/and; echo deep >src/deep/er/and/more
		echo deeper >src/deep/er/and/more
		mv src/deep src/moved
		echo again >src/moved/er/and/more
		mv src/moved/er "$dir/er"
		mv "$dir/er" src/back
		echo back >src/back/and/more
		rm src/b; mkdir src/b; echo dir >src/b/c
		rm -r src/b; echo file >src/b
		: >src/b
		rm -r src; mkdir src; echo made anew >src/a
		echo and changed >src/a
		mv src "$dir/src"; mkdir src; echo another >src/a
		rm -r src; mv "$dir/src" src
		echo last >src/a
	END
}

# Not by the slow scan, which comes every 2 s at most: it has just come when it has found what nothing
# else can, a write by a name outside.
t_is_notified_of_every_kind_of_save() {
	! wrapped || skip 'a wrapper is too slow'
	every_kind_of_save
}

t_notices_every_kind_of_save_by_scanning() {
	every_kind_of_save -i 0.05
}

# Two saves of the same size so close that the clock of the file system may not tell them apart.
t_notices_a_second_save_in_the_same_instant() {
	put src/a 00
	mkdir site
	for option in -q '-i 0.001'; do
		start $option -d site -w src 'cat src/a >site/a.txt'
		for i in $(many 50); do
			echo $((i + 100)) >src/a
			echo $((i + 200)) >src/a
			wait_for says site/a.txt $((i + 200))
		done
		ends INT
	done
}

t_makes_the_site_of_the_sources_as_they_are_after_many_changes() {
	mkdir -p src/d site
	start -d site -w src "($all_sources) >site/all.txt"
	for i in $(many 20); do
		echo "$i" >"src/$((i % 7))"
		echo "$i" >"src/d/new"
		mv src/d/new "src/d/$((i % 3))"
		rm -f "src/$((i * 3 % 7))"
		nap $((i % 4 * 9))
	done
	wait_for settled
	nap 200
	settled || fail 'it did not stay settled'
}

# Left out by their form are files alone.
t_does_not_count_what_x_and_custom_name() {
	files src/drafts/new=one src/sub/keep=one
	mkdir 'src/old~'
	once_built blog -x '*.tmp' -x 'src/drafts' -x out 'echo "$BLOGSERVE_CHANGED" >>"$dir/changed"'
	mkdir 'src/#a#' src/a.swp src/4913 'src/new~'
	nap 300
	for name in post 'a~b' '#a' swp 4913a sub/drafts tmp 'old~/post' '#a#/post' a.swp/post 4913/post 'new~/post'; do
		put "src/$name" two
		wait_for says "$dir/changed" "src/$name"
	done
	wait_for at_rest
	before=$(builds)
	for name in .hidden .dir/file post~ '#post#' '.#post' post.swp .post.swp sub/4913 post.tmp sub/post.tmp drafts/new \
	    drafts/b out/a sub/out/a 'old~/x~' a.swp/4913 'new~/.x'; do
		put "src/$name" two
	done
	stays_at $before
}

t_does_not_count_the_docroot_nor_what_it_writes_itself() {
	files post=one public/a.txt=old
	# where start() lets its output go, and the log
	ln -s "$dir" outside
	once_built start -d public -l "$dir/access" -x here -x started -x pids -x 'put.*' -x said 'cat post >public/a.txt; date >public/now.txt'
	put public/by-hand.txt new
	for ms in 500 300; do
		get /a.txt >/dev/null
		nap $ms
	done
	is 'builds' "$(builds)" 1
	put post two
	wait_for page_has /a.txt two
	stays_at 2
}

t_follows_a_linked_directory_and_cuts_cycles() {
	files other/post=one src/posts/a=1
	mkdir site
	ln -s ../other src/linked
	ln -s . src/self
	ln -s .. src/up
	start -d site -w src '{ cat other/post; ls -l src; } >site/a.txt'
	has 'at first' "$(get /a.txt)" one
	put other/post two
	wait_for page_has /a.txt two
	nap 300
	[ "$(builds)" -le 3 ] || fail "$(builds) builds for one change"
	# one more to what it watches already is a change
	ln -s posts src/z
	wait_for page_has /a.txt 'z -> posts'
	rm src/z
	ln -s ../other src/z
	wait_for page_has /a.txt 'z -> ../other'
	rm src/z
	wait_for eval '! page_has /a.txt "z ->"'
}

t_builds_again_when_a_source_was_another_during_a_build() {
	files src/a=A src/b=b
	mkdir site
	start -d site -w src ': >"$dir/began"; until [ -e "$dir/read" ]; do "$helper" nap 10 || exit; done
		cat src/a >site/a.txt; : >"$dir/was"; '"$gate"
	: >"$dir/read"; : >"$dir/go"
	wait_for built 1
	put src/a B
	wait_for built 2
	put src/a A
	wait_for built 3
	rm "$dir/read" "$dir/go" "$dir/was" "$dir/began"
	put src/b again
	wait_for [ -e "$dir/began" ]
	put src/a B
	: >"$dir/read"
	wait_for test -e "$dir/was"
	put src/a A
	: >"$dir/go"
	wait_for page_has /a.txt A
}

t_settles_when_a_build_writes_the_same_among_the_sources() {
	put src/feed one
	once_built blog 'cat src/post >src/feed; cat src/feed >site/a.txt'
	shows two
	nap 500
	before=$(builds)
	[ "$before" -le 4 ] || fail "$before builds, though the bytes are the same"
	stays_at "$before" 500
}

# --- what browsers see of builds ---

held() { # what is answered later
	rm -f "$dir/sent"
	ask /a.txt
	nap 300
	is 'state' "$(told state)" building
	is 'answer during the build' "$(cat "$dir/answer")" ''
	answered
	is 'answer' "$(tail -n 1 "$dir/answer")" "$1"
	is 'state later' "$(told state)" ok
}

t_holds_a_request_until_the_build_ends() {
	put "$dir/go" now
	blog "$slow_build"
	is 'at first' "$(get /a.txt)" one
	rm "$dir/go"
	put src/post two
	wait_for started 2
	held two
	ends INT
	# by another server, too; with -A until there is a version
	rm "$dir/go" "$dir/started"
	blog 'echo $$ >"$dir/build"; '"$slow_build"
	wait_for started 1
	kill -KILL "$(server | grep -v -x "$(cat "$dir/build")")"
	wait_for says "$err" 'server: killed by signal 9'
	held one
	ends INT
	rm -r "$dir/go" site
	start -A -d site -w src "$gate"'; cat src/post >"$BLOGSERVE_OUT/a.txt"'
	held one
}

# Asked for on a connection of its own, and many times on one; each answer is a status line and a page to its end.
t_never_shows_a_half_built_page() {
	blog -i 0.02 'printf half >site/a.txt; "$helper" nap 20; { cat src/post; echo whole; } >site/a.txt'
	{ until [ -e "$dir/enough" ]; do
		"$helper" http /a.txt && "$helper" http -n 20 /a.txt || echo "HTTP/1.0: $?"
	done; } >"$dir/answers" &
	reader=$!
	note $reader
	i=0
	until built 40; do
		put src/post $((i += 1))
		kill -USR1 "$pid"
		nap $((i % 3 * 20))
	done
	put "$dir/enough" now
	wait_for dead $reader
	answers=$(grep -c HTTP/1 "$dir/answers")
	[ "$answers" -gt 40 ] || fail "only $answers answers"
	is 'good answers' "$(grep -c 'HTTP/1.[01] 200 ' "$dir/answers")" "$answers"
	is 'whole pages' "$(grep -c -x whole "$dir/answers")" "$answers"
	! grep half "$dir/answers" || fail 'half a page'
}

# The next version is as large as the one that is sent, or larger.
t_never_mixes_two_versions_in_one_answer() {
	for more in '' more; do
		rm -f "$dir/go" "$dir/sent"
		once_built blog '"$helper" fill 20000000 "$(cat src/post)" >site/big.txt
			[ "$BLOGSERVE_BUILD" = 1 ] || printf "'$more'" >>site/big.txt'
		# as much as the sockets take, then nothing until the next version is there
		ask /big.txt -g "$dir/go" -t 20000
		put src/post two
		wait_for built 2
		answered
		has 'the answer' "$(head -n 1 "$dir/answer")" ' 200 '
		is 'the end of the answer' "$(tail -c 1000 "$dir/body" | tr -d o)" ''
		[ "$(bytes "$dir/body")" -lt 20000000 ] || fail 'the sockets took all: this proved nothing'
		ends INT
	done
}

t_says_what_it_builds_after_ten_seconds() {
	blog "$slow_build"
	wait_for started 1
	"$helper" http / >"$dir/page"
	has 'status' "$(head -n 1 "$dir/page")" ' 503 '
	grep -i '^Retry-After: [0-9]' "$dir/page" >/dev/null || fail "no Retry-After: $(cat "$dir/page")"
	grep -i 'http-equiv="*refresh\|<script defer src="/.blogserve/reload.js"[^>]* data-wait' "$dir/page" >/dev/null ||
	    fail "does not reload itself: $(cat "$dir/page")"
	grep 'first build' "$dir/page" >/dev/null || fail "it does not say what: $(cat "$dir/page")"
	sed 's/<[^>]*>//g' "$dir/page" | grep '1[0-9] s' >/dev/null || fail "it does not say for how long: $(cat "$dir/page")"
	put src/post new
	put "$dir/go" now
	wait_for page_has /a.txt new
}

# --- life and death ---

t_leaves_at_once_when_it_is_idle() {
	for signal in INT TERM HUP; do
		hello
		is 'answer' "$(get /a.txt)" hello
		child=$(server)
		wait_for says "$err" 'serving .'
		leaves_within 500 $signal
		dead "$child" || fail "the server is still there after $signal"
		refused || fail "the port is still open after $signal"
		is 'standard output' "$(cat "$out")" "$url"
		is 'standard error' "$(own_lines)" 'blogserve: serving ., reloading pages as files change'
	done
}

# A build is wanted that comes no more, and a client takes nothing: no reason to go round in
# circles. What that client was sent is in the log.
t_rests_while_a_client_keeps_it_from_leaving() {
	once_built blog -l "$dir/log" '[ "$BLOGSERVE_BUILD" -gt 1 ] || exit 0; echo >>"$dir/started"; '"$gate"
	"$helper" fill 20000000 x >site/big.txt
	ask /big.txt -g "$dir/never" -t 40000
	put src/post two
	wait_for started 1
	kill -USR1 "$pid"
	kill -INT "$pid"
	wait_for says "$err" 'finishing build 2'
	put "$dir/go" now
	wait_for says "$err" 'build 2: src/post: ok'
	"$helper" cpu $$ >/dev/null || skip 'no clock of another process here'
	before=$("$helper" cpu "$pid") || fail 'it did not wait for the client'
	nap 1000
	took=$("$helper" cpu "$pid") || fail 'it did not wait for the client'
	took=$((took - before))
	[ "$took" -lt 250 ] || fail "$took ms of processor time in 1 s"
	gone 0
	says "$dir/log" 'GET /big.txt HTTP/1.0" 200 ' || fail "$(cat "$dir/log")"
}

t_kills_a_server_that_does_not_leave() {
	for signals in INT 'INT TERM'; do
		start
		child=$(server)
		kill -STOP "$child"
		before=$("$helper" now)
		for signal in $signals; do
			[ "$signal" = INT ] || nap 700
			kill -"$signal" "$pid"
		done
		gone
		dead "$child" || fail "after $signals its server is still there"
		took=$(since "$before")
		case $signals/$rc in
		INT/0) ;;
		*TERM/130|*TERM/143) [ "$took" -lt 5000 ] || fail "$took ms, as after one signal" ;;
		*) fail "exit status after $signals: $rc" ;;
		esac
	done
}

t_lets_the_build_finish_when_interrupt_is_typed() {
	for option in -v -A; do
		rm -rf "$dir/go" src site
		mkdir src
		[ $option = -A ] || mkdir site
		terminal -- -p 0 $option -d site -w src "$half_build"
		wait_for on_screen
		wait_for says "$out" begun
		type_ '\003'
		wait_for says "$out" 'blogserve: finishing build 1; ^C again stops it'
		wait_for refused
		put "$dir/go" now
		left_terminal 0
		is "page with $option" "$(cat site/a.txt)" 'half whole'
		is "what is left with $option" "$(ls -A)" "site${newline}src"
	done
}

t_builds_no_more_before_it_leaves_and_tells_those_that_wait() {
	blog "$slow_build"
	wait_for started 1
	ask /a.txt
	put src/post two
	nap 100
	kill -INT "$pid"
	wait_for says "$err" 'finishing build 1'
	wait_for says "$dir/answer" ' 503 '
	put "$dir/go" now
	gone 0
	is 'builds' "$(cat "$dir/started")" 1
}

t_kills_even_a_build_that_ignores_the_second_signal() {
	start -d . -x '*' 'trap "" TERM; echo $$ >"$dir/build"; while "$helper" nap 100; do :; done'
	wait_for says "$dir/build" ''
	note "$(cat "$dir/build")"
	kill -INT "$pid"
	wait_for says "$err" 'finishing build 1'
	nap 700
	leave INT 130
	dead "$(cat "$dir/build")" || fail 'the build is still there'
}

# Before the program has set up its signals, a signal just ends it; then nothing has begun.
t_leaves_well_when_interrupt_is_typed_as_it_starts() {
	mkdir src site
	for delay in 0 1 2 3 4 6 8 10 15 20 30 40; do
		rm -f site/1.txt
		terminal -- -p 0 -d site -w src 'printf "half " >site/1.txt; "$helper" nap 15; echo whole >>site/1.txt'
		nap "$delay"
		leave_terminal
		is "exit status after $delay ms" "$((rc == 130 ? 0 : rc))" 0
		[ ! -e site/1.txt ] || is "page after $delay ms" "$(cat site/1.txt)" 'half whole'
		if [ "$rc" -eq 130 ] && [ -e site/1.txt ]; then
			fail "killed after $delay ms, though a build had begun: $(cat "$out")"
		fi
		wait_for dead "$(cat "$dir/leader")"
		! on_screen || refused || fail "the port is open after $delay ms"
	done
}

t_keeps_ignoring_what_was_ignored_at_the_start() {
	with="-iINT$newline-iHUP"
	start
	kill -INT "$pid"
	kill -HUP "$pid"
	nap 150
	is 'status' "$(status /)" 200
	ends TERM
	# a SIGTERM is never ignored
	with=-iTERM
	start
	ends TERM
}

t_stops_and_goes_on_in_a_shell() {
	put src/post one
	mkdir site
	[ "${program#*valgrind}" = "$program" ] || skip 'valgrind does not stop'
	terminal -j -- -p 0 -d site -w src 'cat src/post >site/a.txt'
	wait_for on_screen
	wait_for built 1
	times=0
	for post in two three; do
		type_ '\032'
		times=$((times + 1))
		wait_for eval '[ "$(grep -c "\[stopped\]" "$out")" -eq $times ]'
		put src/post $post
		kill -USR1 "$(cat "$dir/leader")"
		wait_for page_has /a.txt $post
	done
	leave_terminal 0
	refused || fail 'the port is still open'
}

t_takes_no_harm_when_only_the_parent_is_stopped_and_leaves_nothing_behind() {
	blog -k 2 'echo some output; cat src/post >site/a.txt; [ "$BLOGSERVE_BUILD" -lt 3 ] || { : >site/begun; "$helper" nap 50; }'
	is 'at first' "$(get /a.txt)" one
	kill -STOP "$pid"
	put src/post two
	is 'stopped' "$(get -t 3000 /a.txt)" one
	kill -CONT "$pid"
	wait_for page_has /a.txt two
	wait_for at_rest
	# a build has ended long before its time is up, though that is seen later
	kill -USR1 "$pid"
	wait_for [ -e site/begun ]
	kill -STOP "$pid"
	nap 2100
	kill -CONT "$pid"
	wait_for built 3
	! says "$err" FAILED || fail "$(cat "$err")"
	rm site/begun
	ends INT site src
	is 'temporary files' "$(ls -A "$TMPDIR")" ''
	is 'files' "$(ls -A site)" a.txt
}

t_replaces_a_server_that_died_at_once_but_ten_times_a_second_at_most() {
	hello
	for i in 1 2 3 4 5 6 7 8; do
		first=$(server)
		wait_for server_killed
		before=$("$helper" now)
		is "a page after $i deaths" "$(get /a.txt)" hello
		took=$(since "$before")
		[ "$took" -lt $((200 * SLOW)) ] || fail "it took $took ms"
		[ "$(server)" != "$first" ] || fail 'the same server'
		nap 250
	done
	says "$err" 'blogserve: server: killed by signal 9' || fail "$(cat "$err")"
	before=$("$helper" now)
	for i in $(many 21); do
		wait_for server_killed
	done
	took=$(since "$before")
	[ "$took" -ge 900 ] || fail "twenty starts in $took ms"
	is 'a page' "$(get /a.txt)" hello
	ends INT
}

t_takes_its_server_along_when_it_is_killed() {
	"$helper" fill 30000000 x >a.txt
	start
	is 'status' "$(status -X HEAD /a.txt)" 200
	child=$(server)
	[ -n "$child" ] || fail 'no server'
	# even from one who does not read
	ask /a.txt -g "$dir/never" -t 60000
	leave KILL
	wait_for refused
	wait_for dead "$child"
}

t_lets_a_build_outlive_a_killed_parent() {
	mkdir src site
	# what it prints must not be its end, either
	mkfifo "$dir/err.1"
	cat <"$dir/err.1" >"$dir/seen" &
	cat=$!
	note $cat
	start -d site -w src "$half_build; echo yes; echo yes >&2; echo yes >\"\$dir/done\""
	wait_for says "$dir/seen" begun
	kill -KILL "$cat"
	leave KILL
	put "$dir/go" now
	wait_for says "$dir/done" yes
	is 'page' "$(cat site/a.txt)" 'half whole'
	wait_for refused
}

# --- versions: -A ---

# Makes a.txt of src/post; the builds after the first wait for $dir/go. Says what it found.
version_build='echo "$BLOGSERVE_BUILD $(ls -A "$BLOGSERVE_OUT")." >>"$dir/started"
[ "$BLOGSERVE_BUILD" = 1 ] || '"$gate"'
cat src/post >"$BLOGSERVE_OUT/a.txt"'

t_A_serves_the_last_version_until_the_next_is_whole() {
	blog -A "$version_build"
	is 'the first' "$(get /a.txt)" one
	put src/post two
	wait_for started 2
	is 'while the next is made' "$(get -t 5000 /a.txt)" one
	is 'on disk' "$(cat site/a.txt)" one
	put "$dir/go" now
	wait_for page_has /a.txt two
	is 'on disk' "$(cat site/a.txt)" two
	is 'what builds found in their directories' "$(cat "$dir/started")" "1 .${newline}2 ."
	is 'the mark' "$(status /.blogserve)" 404
	ends INT site src
	# what it made it may replace
	put src/post three
	start -A -d site -w src "$version_build"
	wait_for page_has /a.txt three
}

t_A_keeps_the_last_version_when_a_build_fails() {
	put src/way 'echo one >"$BLOGSERVE_OUT/a.txt"'
	once_built start -A -k 1 -d site -w src '. ./src/way'
	is 'the first' "$(get /a.txt)" one
	while IFS='|' read -r way said; do
		rebuilds put src/way 'echo two >"$BLOGSERVE_OUT/a.txt"' "$way"
		is "after $way" "$(get /a.txt)" one
		is "state after $way" "$(told state)" failed
		has "what it said after $way" "$(own_lines | tail -n 1)" "$said"
	done <<-'END'
		exit 3|exit status 3
		kill -KILL $$|killed by signal 9
		exec "$helper" nap 20000|killed by signal 15
		rm "$BLOGSERVE_OUT/a.txt"|site: nothing is in BLOGSERVE_OUT
		rm -r "$BLOGSERVE_OUT"|site: nothing is in BLOGSERVE_OUT
		rm -r "$BLOGSERVE_OUT"; echo >"$BLOGSERVE_OUT"|site: nothing is in BLOGSERVE_OUT
	END
	ends TERM site src
	is 'on disk' "$(cat site/a.txt)" one
}

t_A_replaces_nothing_that_it_did_not_make() {
	files src/post=one site/a.txt=mine
	ln -s empty link
	mkdir empty "$dir/other"
	for docroot in site link . .. "$PWD"; do
		fails "$docroot: -A replaces only a directory that is empty or that it made" -A -p 0 -d $docroot -w src true
	done
	is 'the site' "$(cat site/a.txt)" mine
	start -A -d empty -w src 'cp src/post "$BLOGSERVE_OUT/a.txt"'
	is 'in an empty one' "$(get /a.txt)" one
	# nor later
	mv empty "$dir/moved"
	files empty/b.txt=mine src/post=two
	wait_for says "$err" 'empty: not empty, and not made by blogserve -A'
	is 'the site' "$(ls empty)" b.txt
	ends INT empty link site src
}

t_A_lets_no_two_programs_have_one_docroot() {
	start -A -d site -x '*' 'echo one >"$BLOGSERVE_OUT/a.txt"'
	first=$pid
	put .other.blogserve mine
	fails "$PWD/.site.blogserve/lock: a blogserve that runs has it" -A -P pid -p 0 -d site -x '*' true
	fails "$PWD/.other.blogserve/lock: " -A -P pid -p 0 -d other -x '*' true
	is 'the first still' "$(get /a.txt)" one
	is 'what is in the way' "$(cat .other.blogserve)" mine
	pid=$first
	ends INT .other.blogserve site
}

t_A_leaves_no_trace_of_a_sudden_end() {
	blog -A "$version_build"
	wait_for page_has /a.txt one
	put src/post two
	wait_for started 2
	leave KILL
	put "$dir/go" now
	is 'the site' "$(cat site/a.txt)" one
	[ -d .site.blogserve ] || fail "no $(ls -A)"
	start -A -d site -w src 'until [ -e "$dir/more" ]; do "$helper" nap 10 || exit; done; cp src/post "$BLOGSERVE_OUT/a.txt"'
	is 'from the first moment on' "$(get -t 5000 /a.txt)" one
	put "$dir/more" now
	wait_for page_has /a.txt two
	ends INT site src
	# where it takes two steps and the second was not taken
	mkdir .site.blogserve .site.blogserve/1-1
	put .site.blogserve/1-1/a.txt half
	mv site .site.blogserve/1-2
	rm "$dir/more"
	start -A -d site -w src 'until [ -e "$dir/more" ]; do "$helper" nap 10 || exit; done; exit 1'
	is 'the whole one' "$(get -t 5000 /a.txt)" two
	put "$dir/more" now
	ends INT site src
	# of two whole ones the old is called so; whichever a directory has first
	for old in 1-1 9-9; do
		rm -r site
		files .site.blogserve/$old.old/a.txt=old .site.blogserve/5-5/a.txt=new
		: >.site.blogserve/$old.old/.blogserve
		: >.site.blogserve/5-5/.blogserve
		start -A -d site -w src 'exit 1'
		is "with $old" "$(get -t 5000 /a.txt)" new
		ends INT site src
	done
}

# What only an open would notice is no trouble, either. As process 1 of a container is another one each time, of the same number; or somebody tidies up.
t_A_goes_on_whatever_is_left_of_others_or_not_of_it() {
	blog -A 'cat src/post >"$BLOGSERVE_OUT/a.txt"; mkfifo "$BLOGSERVE_OUT/.blogserve"'
	wait_for page_has /a.txt one
	mkdir -p ".site.blogserve/$(cat .site.blogserve/lock)-1.old/from-before"
	shows two
	wait_for eval '[ "$(ls .site.blogserve)" = lock ]'
	rm -r .site.blogserve
	shows three
	ends INT site src
}

# The first process of a build is killed, another makes again what was removed.
t_A_leaves_nothing_that_a_build_left_behind() {
	blog -A '[ "$BLOGSERVE_BUILD" -gt 1 ] || { echo one >"$BLOGSERVE_OUT/a.txt"; exit; }
		exec "$helper" run sh -c '\''"$helper" nap 300; mkdir -p "$BLOGSERVE_OUT/sub"; echo done >"$dir/made"'\'' &
		exit 1'
	wait_for page_has /a.txt one
	kill -USR1 "$pid"
	wait_for [ -e "$dir/made" ]
	[ "$(ls .site.blogserve)" != lock ] || fail 'nothing is left over'
	ends INT site src
}

# The file is longer than all that lies between the server and a client that does not read; it is
# linked to by the next build, and removed with its version, while it is sent.
t_A_answers_with_one_version_whole() {
	once_built blog -A '"$helper" fill 30000000 "$BLOGSERVE_BUILD" >"$BLOGSERVE_OUT/a.txt"
		[ "$BLOGSERVE_BUILD" = 1 ] || ln site/a.txt "$BLOGSERVE_OUT/b.txt"'
	ask /a.txt -g "$dir/go" -t 20000
	for post in two three; do
		rebuilds put src/post $post
	done
	answered
	is 'length' "$(bytes "$dir/body")" 30000000
	is 'of other versions' "$(tr -d 1 <"$dir/body" | bytes)" 0
	ends INT site src
}

# --- in the background, and other ways of a daemon ---

# Starts it with -b, and waits for what it was called with.
pidfile=
background() { # [argument ...]
	pidfile=${pidfile:-$dir/pid}
	out=$dir/out.b
	err=$dir/err.b
	rc=0
	( IFS=$newline; set -f; exec "$helper" run -t 10000 $with $program -p 0 -b -P "$pidfile" "$@" ) \
	    >"$out" 2>"$err" </dev/null || rc=$?
	! says "$err" 'Function not implemented' || skip 'it cannot, without what is not in POSIX'
	is 'exit status' "$rc" 0
	read -r url <"$out"
	pid=$(cat "$pidfile")
	note "$pid"
}

end_background() {
	kill -TERM "$pid"
	wait_for dead "$pid"
	note "-$pid"
	[ ! -e "${pidfile:-$dir/pid}" ] || fail 'the pid file is still there'
	refused || fail 'the port is still open'
}

# Its output is a pipe that is read to its end, which would not come if it held on to it.
t_goes_to_the_background_once_it_serves() {
	put src/post one
	got=$(
		IFS=$newline
		set -f
		{ "$helper" run -t 10000 $program -p 0 -b -P "$dir/pid" -l "$dir/log" -d site -w src \
		    'mkdir -p site; cp src/post site/a.txt; exec "$helper" sigs' </dev/null 2>"$dir/err.0"; } 7>&1
		echo "$?"
		note "$(cat "$dir/pid")"
	)
	url=${got%%"$newline"*}
	pid=$(cat "$dir/pid")
	is 'what it said' "$got" "$url${newline}0"
	is 'a page' "$(get /a.txt)" one
	err=$dir/log.err
	wait_for built 1
	own_inheritance
	shows two
	says "$dir/log" 'GET /a.txt ' || fail 'no log'
	for signal in USR1 HUP; do
		rebuilds kill -$signal "$pid"
	done
	end_background
}

# They lie among the sources, and stay out of the count when they are new. SIGHUP was ignored, as when init
# starts its scripts: nohup is for the foreground, and for builds.
t_begins_new_logs_on_SIGHUP_in_the_background_though_it_was_ignored() {
	put src/post one
	# ours, however old they are
	files src/log= src/log.err=
	nap 100
	pidfile=src/pid
	with=-iHUP
	background -l src/log -d site -w src 'mkdir -p site; cp src/post site/a.txt; exec "$helper" sigs'
	err=src/log.err
	wait_for built 1
	is 'a page' "$(get /a.txt)" one
	wait_for says src/log 'GET /a.txt '
	mv src/log "$dir/log.1"
	mv $err "$dir/err.1"
	put src/post two
	wait_for says "$dir/err.1" 'build 2: src/post: ok'
	kill -HUP "$pid"
	wait_for says $err 'build 3: asked for: ok'
	is 'none' "$(status /none)" 404
	wait_for says src/log 'GET /none '
	! says "$dir/log.1" 'GET /none ' || fail 'it stands in the old log'
	! says "$dir/err.1" 'build 3' || fail 'the build stands in the old log'
	stays_at 1 500
	for log in "$dir/err.1" $err; do
		says "$log" 'leader: yes blocked: ignored: HUP.' || fail "$(cat $log)"
		! grep 'build [123]: ' "$log" | grep -v '[0-2][0-9]:[0-5][0-9]:[0-6][0-9].*build ' || fail 'lines without the time'
	done
	# a lock goes with any descriptor of its file that is closed
	fails 'src/pid: a blogserve that runs has it' -p 0 -P src/pid -w src true
	err=src/log.err
	# where no new one can be had it goes on with the old
	mv src/log "$dir/log.2"
	mkdir src/log
	kill -HUP "$pid"
	wait_for says $err 'src/log: '
	wait_for built 2
	is 'none' "$(status /still)" 404
	wait_for says "$dir/log.2" 'GET /still '
	end_background
}

t_lets_one_program_have_a_pid_file() {
	hello -P "$dir/pid"
	is 'pid' "$(cat "$dir/pid")" "$pid"
	first=$pid
	fails "$dir/pid: a blogserve that runs has it" -p 0 -P "$dir/pid"
	is 'pid' "$(cat "$dir/pid")" "$first"
	leave KILL
	is 'after a sudden end' "$(cat "$dir/pid")" "$first"
	start -P "$dir/pid"
	is 'pid' "$(cat "$dir/pid")" "$pid"
	leave INT
	[ ! -e "$dir/pid" ] || fail 'it is still there'
}

# Nobody may come here, and where the program is, too: it is a copy.
for_nobody() {
	chmod 711 "$tmp" "$dir" .
	"$helper" run -u nobody test -x "$PWD" 2>/dev/null || skip 'nobody may not come here'
	wrapped || { cp "$program" "$dir/blogserve" && program=$dir/blogserve; }
}

# Logs and pid file are where only root may write.
t_becomes_the_user() {
	[ "$(id -u)" -eq 0 ] || skip 'for root only'
	umask 022	# nobody reads the sources
	for_nobody
	put src/post one
	mkdir site private
	chmod 700 private
	chown nobody site
	pidfile=private/pid
	background -u nobody -l private/log -d site -w src 'cp src/post site/a.txt; id -un; id -G; echo "$HOME $USER $LOGNAME"'
	err=private/log.err
	wait_for built 1
	is 'a page' "$(get /a.txt)" one
	is 'whose it is' "$(find site -user nobody -type f)" site/a.txt
	is 'who built' "$(grep -v 'blogserve: ' "$err")" "nobody
$(id -G nobody)
$(awk -F: '$1 == "nobody" { print $6 }' /etc/passwd) nobody nobody"
	wait_for says private/log 'GET /a.txt '
	kill -TERM "$pid"
	wait_for dead "$pid"
	note "-$pid"
	is 'pid later' "$(cat private/pid)" ''
	fails '-u no-such-user: no such user' -p 0 -P pid -u no-such-user
	[ ! -e pid ] || fail 'it left its pid'
	! wrapped || return 0 # a wrapper may need more than nobody may
	with="-u${newline}nobody"
	fails '-u root: only root can become another user' -p 0 -u root
}

t_tells_the_service_manager_how_it_is() {
	put src/post one
	{ exec "$helper" datagrams notify; } >"$dir/told" &
	note $!
	wait_for [ -S notify ]
	export NOTIFY_SOCKET=notify WATCHDOG_USEC=200000
	once_built start -d site -w src 'mkdir -p site; cp src/post site/a.txt; echo "env: ${NOTIFY_SOCKET-none}"'
	says "$err" 'env: none' || fail "$(cat "$err")"
	wait_for grep 'STATUS=.*build 1: first build: ok' "$dir/told"
	says "$dir/told" READY=1 || fail "$(cat "$dir/told")"
	kill -USR1 "$pid"
	wait_for grep 'STATUS=.*build 2: asked for: ok' "$dir/told"
	ends TERM
	wait_for says "$dir/told" STOPPING=1
	is 'what else it tells' "$(tr '|' '\n' <"$dir/told" | grep -v -e '^$' -e '^READY=1$' -e '^STATUS=' -e '^STOPPING=1$')" ''
	# and of no build where there is none
	start
	wait_for eval 'tail -n 1 "$dir/told" | grep "READY=1.*STATUS=$url"'
	# where there is none it ends with its terminal
	NOTIFY_SOCKET=nobody
	start
	ends HUP
}

t_takes_the_listeners_that_it_is_given() {
	with=-l
	once_built hello -x '*' 'echo "env: ${LISTEN_FDS-none} ${LISTEN_PID-none} $given."; "$helper" sigs'
	says "$err" "env: none none $port." || fail "$url: $(cat "$err")"
	says "$err" 'fds: 0 1 2 null' || fail "$(cat "$err")"
	is 'a page' "$(get /a.txt)" hello
	ends TERM
	refused || fail 'the port is still open'
	background -x '*' 'echo "$given" >"$dir/given"'
	wait_for [ -s "$dir/given" ]
	is 'the port' "$url" "http://127.0.0.1:$(cat "$dir/given")/"
	is 'a page' "$(get /a.txt)" hello
	end_background
}

# If the directory that holds the docroot is another one after each build, it is out of the reach of
# a server that was confined to the one before.
t_finds_the_docroot_anew_when_a_build_made_it_or_its_parent_again() {
	for made in site build/site; do
		put src/post one
		mkdir -p $made
		start -d $made -w src "rm -rf ${made%%/*}; mkdir -p $made; cp src/post $made/a.txt"
		wait_for page_has /a.txt one
		for post in two three four; do
			shows $post
		done
		lacks 'what it said' "$(cat "$err")" 'server: '
		ends INT
	done
}

# A library that is loaded with the program tries in the server, at a signal, what one that was taken over would;
# the exit status tells what it could.
t_gives_up_what_its_server_does_not_need() {
	! wrapped || skip 'a wrapper, not the program'
	$HOSTCC -shared -fPIC -o captive.so "$source/.ci/captive.c" 2>/dev/null || skip 'no library can be made'
	put "$dir/in/site/a.txt" hello
	put secret hidden
	take 0
	export taken
	start -v
	wait_for says "$err" 'server: confined by '
	case $(cat "$err") in
	*Landlock*|*pledge*) ;;
	*)
		! says /sys/kernel/security/lsm landlock || fail "there is Landlock, but: $(cat "$err")"
		skip 'this system has nothing of that kind'
		;;
	esac
	ends INT
	LD_PRELOAD=$PWD/captive.so "$program" -V >/dev/null 2>&1 || skip 'no library can be loaded with it'
	with="env${newline}LD_PRELOAD=$PWD/captive.so"
	start -v -d "$dir/in/site"
	is 'a page' "$(get /a.txt)" hello
	kill -BUS "$(server)"
	wait_for grep -e 'server: exit status' -e 'server: killed' "$err"
	! says "$err" 'server: killed by signal' || skip 'no library was loaded with it'
	says "$err" 'server: exit status 50' || fail "$(cat "$err"): see .ci/captive.c"
}

# --- many, slow and silent clients ---

t_no_client_that_is_slow_or_silent_holds_up_another() {
	"$helper" fill 20000000 >big.bin
	hello
	printf 'GET /a.txt HT' | { exec "$helper" raw -m "$dir/half" /; } >"$dir/halved" &
	note $!
	wait_for [ -e "$dir/half" ]
	printf 'HEAD /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n' | { exec "$helper" run -n 1100 "$helper" raw -n 1000 /; } >"$dir/idle" &
	note $!
	wait_for says "$dir/idle" ''
	is 'connections' "$(cat "$dir/idle")" 1000
	is 'answer' "$(get /a.txt)" hello
	leaves_within 1000
	start
	ask /big.bin -g "$dir/never" -t 60000
	is 'another' "$(get -t 5000 /a.txt)" hello
	# nor the end of the program, for long
	leaves_within 10000
}

# The oldest that is idle gives way; streams of events are that most of the time.
t_answers_though_descriptors_are_few() {
	with=-n40
	hello
	printf 'HEAD /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n' | { exec "$helper" raw -t 60000 -m "$dir/sent" /; } >"$dir/answer" &
	oldest=$!
	note $oldest
	wait_for [ -e "$dir/sent" ]
	printf 'HEAD /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n' | { exec "$helper" raw -n 100 /; } >"$dir/idle" &
	note $!
	wait_for says "$dir/idle" ''
	for i in 1 2; do
		is 'answer' "$(get /a.txt)" hello
	done
	wait_for dead $oldest
	ends INT
	with=-n64
	start
	for i in $(many 100); do
		printf 'GET /.blogserve/events HTTP/1.1\r\nHost: localhost\r\n\r\n' | { exec "$helper" raw -p -t 60000 /; } >"$dir/stream.$i" 2>&1 &
		note $!
	done
	wait_for eval '[ "$(cat "$dir"/stream.* | grep -c "^data: ")" -ge 40 ]'
	for i in 1 2 3; do
		is "page $i" "$(get -t 5000 /a.txt)" hello
	done
}

t_closes_on_a_client_that_is_slow_with_its_head_or_idle_or_does_not_read() {
	"$helper" fill 20000000 x >big
	start -t 1 -l "$dir/log"
	before=$("$helper" now)
	raw 'GET / HTTP/1.0\r\nHo' >"$dir/answer" || fail 'it kept the connection'
	has 'the answer' "$(head -n 1 "$dir/answer")" ' 408 '
	took=$(since "$before")
	[ "$took" -ge 800 ] || fail "closed after $took ms"
	[ "$took" -lt $((5000 * SLOW)) ] || fail "closed after $took ms"
	# a byte now and then does not buy time; all of them would take longer than is waited for
	before=$("$helper" now)
	raw "GET / HTTP/1.0\r\nX: $("$helper" fill $((60 * SLOW)) a)" -d 100 >"$dir/answer" || :
	[ "$(since "$before")" -lt $((4500 * SLOW)) ] || fail 'a slow client was given more time'
	raw 'HEAD /big HTTP/1.1\r\nHost: localhost\r\n\r\n' >"$dir/answer" || fail 'it kept an idle connection'
	raw '' >"$dir/answer" || fail 'it kept one that never spoke'
	is 'the answer to nothing' "$(cat "$dir/answer")" ''
	ask /big -g "$dir/go" -t 60000
	wait_for says "$dir/log" 'GET /big '
	answered
	[ "$(bytes "$dir/answer")" -lt 20000000 ] || fail 'the sockets took all: this proved nothing'
}

t_takes_requests_in_pieces_and_several_on_one_connection() {
	files a.txt=hello b.txt=hello-b c.txt=hello-longer
	start
	is 'of HTTP/1.1' "$(get -n 3 /a.txt)" "hello${newline}hello${newline}hello"
	is 'of HTTP/1.0' "$(get -0 -n 2 -H 'Connection: keep-alive' /a.txt)" "hello${newline}hello"
	is 'after a 404' "$(status -n 2 /missing)" "404${newline}404"
	request='GET /a.txt HTTP/1.0\r\nHost: localhost\r\n\r\n'
	has 'byte by byte' "$(raw "$request" -d 2)" hello
	has 'by one that closes its half' "$(raw "$request" -c)" hello
	# even in one piece, answered in order
	raw 'GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\nHEAD /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\nGET /b.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' \
	    >"$dir/answer" || fail 'the connection stayed open'
	is 'bodies' "$(grep hello "$dir/answer")" "hello${newline}hello-b"
	is 'answers' "$(grep -c '^HTTP/1' "$dir/answer")" 3
	# each by what is known of its own file, though some of that serves for several
	of_a=$(tag_of /a.txt)
	of_c=$(tag_of /c.txt)
	for tag in "$of_c" "$of_a"; do
		raw "GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\nGET /c.txt HTTP/1.1\r\nHost: localhost\r\nRange: bytes=6-\r\n\r\nGET /a.txt HTTP/1.0\r\nIf-None-Match: $tag\r\n\r\n" |
		    sed -n 's/^HTTP[^ ]* \([0-9]*\).*/\1/p'
	done >"$dir/answer"
	is 'statuses' "$(tr '\n' ' ' <"$dir/answer")" '200 206 200 200 206 304 '
}

# --- requests and answers ---

# On each line the statuses of the answer to a request and of that to another on the same connection, if there is
# one (a dot for a body without a head), and requests.
t_reads_requests_as_they_are_written() {
	files index.txt=hello a=hello b=hello
	start
	child=$(server)
	L='Host: localhost\r\n'
	while IFS= read -r line; do
		IFS='|'
		set -f -- $line
		unset IFS
		want=$1
		shift
		for request; do
			printf "$request%b" "GET /a HTTP/1.0\r\n$L\r\n" | "$helper" raw -c -t 3000 / >"$dir/answer" ||
			    fail "[$request]: the connection stayed open"
			got=$(sed -n 's/^HTTP[^ ]* \([0-9]*\).*/\1/p' "$dir/answer" | tr '\n' ' ')
			[ -n "$got" ] || [ ! -s "$dir/answer" ] || got='. '
			is "answers to [$request]" "$got" "$want "
		done
	done <<-END
		200|GET / HTTP/1.0\r\n$L\r\n|GET / HTTP/1.0\n$L\n|\r\nGET / HTTP/1.0\r\n$L\r\n
		200 200|GET / HTTP/1.0\r\nConnection: keep-alive\r\n$L\r\n|GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n$L\r\n
		200|GET / HTTP/1.0\r\nConnection: keep-alive-not\r\n$L\r\n|GET / HTTP/1.0\r\nX-Connection: keep-alive\r\n$L\r\n
		200 200|GET / HTTP/1.1\r\n$L\r\n|GET / HTTP/1.1\nHost: localhost\n\n|HEAD /a?b HTTP/1.1\r\n$L\r\n
		200|GET / HTTP/1.1\r\nhost:localhost\r\nCONNECTION:\tClose \r\n\r\n
		200 200|GET http://localhost/b HTTP/1.1\r\n$L\r\n|GET http://localhost?b HTTP/1.1\r\n$L\r\n
		200 200|GET http://localhost HTTP/1.1\r\n$L\r\n
		.|GET /a\r\n
		405|POST / HTTP/1.1\r\n${L}Content-Length: 1\r\n\r\n|OPTIONS / HTTP/1.0\r\n$L\r\n
		405 200|POST / HTTP/1.1\r\n${L}Content-Length: 0\r\n\r\n
		200|GET / HTTP/1.1\r\n${L}Content-Length: 40\r\n\r\n|GET / HTTP/1.1\r\n${L}Transfer-Encoding: chunked\r\n\r\n
		501|GET / HTTP/1.1\r\n${L}Transfer-Encoding: gzip\r\n\r\n
		501|get / HTTP/1.0\r\n$L\r\n|FOO / HTTP/1.0\r\n$L\r\n|GETT / HTTP/1.0\r\n$L\r\n
		505|GET / HTTP/2.0\r\n\r\n|PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n
		400|GET / HTTP/1.1\r\n${L}Content-Length: abc\r\n\r\n
		400|GET / HTTP/1.1\r\n${L}Content-Length: 0\r\nContent-Length: 40\r\n\r\n
		400|GET / HTTP/1.1\r\n\r\n|GET / HTTP/1.1\r\n${L}Host: b\r\n\r\n
		400|GET / HTTP/1\r\n\r\n|GET / HTTP/x.y\r\n\r\n|GET / HTTP/1.0 \r\n\r\n|GET / HTTP/1.0 more\r\n\r\n
		400|GET  / HTTP/1.0\r\n\r\n| GET / HTTP/1.0\r\n\r\n|G(T / HTTP/1.0\r\n\r\n|GET a HTTP/1.0\r\n\r\n|GET * HTTP/1.0\r\n\r\n|GET  HTTP/1.0\r\n\r\n
		400|GET /\001 HTTP/1.0\r\n\r\n|GET /\000 HTTP/1.0\r\n\r\n|HEAD /\r\n|GET\r\n\r\n|GARBAGE\r\n\r\n
		400|GET / HTTP/1.0\r\nHost : a\r\n\r\n|GET / HTTP/1.0\r\nNo colon\r\n\r\n|GET / HTTP/1.0\r\n: a\r\n\r\n
		400|GET / HTTP/1.0\r\n folded: a\r\n\r\n|GET / HTTP/1.0\r\n${L}A: b\r\n folded\r\n\r\n
		400|GET / HTTP/1.0\r\n${L}A: b\rc\r\n\r\n|GET / HTTP/1.0\r\n${L}A \001 b: c\r\n\r\n
		400|\026\003\001\002\000\001\000\001\374\003\003
	END
	for head in '' G 'GET / HTTP/1.0' 'GET / HTTP/1.0\r\n\r' 'GET / HTTP/1.0\r\nHost: a\r\n' '\r\n\r\n' 'GET /'; do
		raw "$head" -c -t 3000 >"$dir/answer" || fail "[$head]: it waits for more"
	done
	for method in POST PUT DELETE OPTIONS TRACE CONNECT PATCH; do
		is "$method" "$(status -X $method /a) $(answer Allow -X $method /a)" '405 GET, HEAD'
	done
	long=$("$helper" fill 17000 x)
	has 'a long path' "$(raw "GET /$long HTTP/1.0\r\nHost: localhost\r\n\r\n")" 'HTTP/1.0 414 '
	raw "GET / HTTP/1.0\r\nHost: localhost\r\nCookie: a=$long\r\n\r\n" >"$dir/answer"
	has 'a long field' "$(head -n 1 "$dir/answer")" 'HTTP/1.0 431 '
	has 'its page' "$(tr C c <"$dir/answer")" 'cookie'
	has 'its page' "$(cat "$dir/answer")" localhost
	for size in 1 100 5000 20000 200000; do
		"$helper" fill "$size" | "$helper" raw -c -t 3000 / >/dev/null || :
	done
	is 'status' "$(status /)" 200
	is 'the server' "$(server)" "$child"
}

# On each line the status, what comes, and what is asked for.
t_finds_files_by_their_paths_and_nothing_outside_or_hidden() {
	for file in SECRET site/.hidden site/.git/config site/sub/.hidden/c site/.well-known/.b site/.well-knownx/c site/... \
	    site/sub/.well-known/b; do
		put "$file" CONFIDENTIAL
	done
	files "site/sp ace$(printf '\303\244')%"=percent 'site/q?b'=mark 'site/p%3f'=twice
	for file in a sub/b a+b a..b/c. .well-known/a; do
		put "site/$file" "in $file"
	done
	start -d site
	while IFS='|' read -r want body paths; do
		for path in $paths; do
			"$helper" http "$path" >"$dir/answer" || :
			is "status of $path" "$(sed -n '1s/^[^ ]* \([0-9]*\) .*/\1/p' "$dir/answer")" "$want"
			[ -z "$body" ] || is "$path" "$(tail -n 1 "$dir/answer")" "$body"
			! says "$dir/answer" CONFIDENTIAL || fail "$path: $(cat "$dir/answer")"
		done
	done <<-'END'
		200||/ // /sub/ //sub// /sub/.
		200|in a|/a /%61 /%2e/a /./a //a /a?b=/../c /a?
		200|in sub/b|/sub/b //sub///b /./sub/./b
		200|in a+b|/a+b
		200|in a..b/c.|/a..b/c.
		200|in .well-known/a|/.well-known/a
		200|percent|/sp%20ace%C3%A4%25
		200|mark|/q%3Fb
		200|twice|/p%253f
		400||/% /%4 /%4g /%%zz /%00 /a%00 /a%00.html
		404||/sub%2fb /..%2fSECRET /%2fetc/passwd /missing /a/below
		404||/.. /sub/.. /sub/../b /sub/..?b /%2e%2E/a /../SECRET /../../../../../../../../etc/passwd /%2e%2e/SECRET
		404||/.%2E/SECRET /sub/../../SECRET /sub/%2e%2e/%2e%2e/SECRET /.well-known/../SECRET /.well-known/../.hidden
		404||/... /.hidden /%2ehidden /.git/config /.git/ /sub/.hidden/c /sub/.well-known/b /.well-known/.b /.well-knownx/c
	END
}

t_serves_the_index_of_a_directory_and_leads_there() {
	files index.html='<p>top</p>' sub/index.html='<p>sub</p>'
	mkdir -p linked 'b c' '\sub' 127.0.0.1/sub
	ln -s /etc/passwd linked/index.html
	start
	has '/' "$(get /)" '<p>top</p>'
	has '/sub/' "$(get '/sub/?a=b')" '<p>sub</p>'
	is 'an index that it may not serve' "$(status /linked/)" 403
	# a browser takes //sub/ and /\sub/ for another host
	while read -r path to; do
		is "where $path leads" "$(status "$path") $(answer Location "$path")" "301 $to"
	done <<-'END'
		/sub /sub/
		/sub?a=b&c=d /sub/?a=b&c=d
		/b%20c /b%20c/
		//sub /sub/
		///sub /sub/
		/%5csub /%5Csub/
		/\sub /%5Csub/
		//127.0.0.1/sub /127.0.0.1/sub/
	END
}

t_lists_a_directory_sorted_and_escaped() {
	mkdir sub
	files banana.txt apple.txt cherry.txt .secret
	for name in '<b>&"x'"'.txt" 'a b%41.txt' 'javascript:alert(1)' 'q?#\-._~'; do
		put "$name" odd
	done
	"$helper" fill 1234 x >sized
	touch -t 202001020304 sized
	start
	page=$(get /)
	printf '%s' "$page" | tr -d '\n' | grep 'sized.*1234.*2020-01-02.03:04' >/dev/null || fail "size and time: $page"
	has 'type' "$(answer Content-Type /)" 'text/html'
	has 'order' "$(printf '%s' "$page" | tr -d '\n' | sed 's/.*apple\.txt.*banana\.txt.*cherry\.txt.*/sorted/')" sorted
	for part in 'sub/' '&#60;b&#62;&#38;&#34;x&#39;.txt' 'a%20b%2541.txt' 'q%3F%23%5C-._~'; do
		has 'the listing' "$page" "$part"
	done
	for part in '<b>' '"javascript:' secret; do
		lacks 'the listing' "$page" "$part"
	done
	is 'an odd name' "$(get '/%3Cb%3E&%22x%27.txt')" odd
	is 'a per cent sign' "$(get '/a%20b%2541.txt')" odd
	(cd sub && i=1000 && while [ $i -lt 3500 ]; do : >f$i; i=$((i + 1)); done)
	is 'entries' "$(get /sub/ | grep -c 'href="./f[0-9]*"')" 2500
	has 'its end' "$(get /sub/ | tail -n 2)" '</table>'
	is 'its length' "$(answer Content-Length -X HEAD /sub/)" "$(get /sub/ | bytes)"
	ends INT
	start -n
	is 'with -n' "$(status /)" 404
	lacks 'with -n' "$(get /)" apple
	put sub/index.html hello
	is 'an index with -n' "$(status /sub/)" 200
}

t_answers_404_with_a_page_or_the_one_of_the_site() {
	hello
	is 'status' "$(status /missing)" 404
	for path in '/%3Cb%3Ebold' '/<b>bold?<b>'; do
		lacks "the page for $path" "$(get "$path")" '<b>'
	done
	page=$(get /private/plan/of/somebody)
	has 'the path' "$page" /private/plan/of/somebody
	has 'the way home' "$page" 'href="/"'
	# the pages of ours are text to their ends
	is 'bytes that are no text' "$(get /missing | tr -d '\n -~' | wc -c | tr -d ' ')" 0
	# of nothing that another was told
	for path in /a/../b /.x /a/.b /%2f '/a%'; do
		lacks "the page for $path" "$(get $path)" plan
	done
	put 404.html '<p>lost</p>'
	# as for what is never served, whether or not it is there
	for path in /missing /a.txt/b /.git/config /a.txt%2Fb /../a.txt; do
		is "status of $path" "$(status "$path")" 404
		has "the page of $path" "$(get "$path")" '<p>lost</p>'
	done
}

t_gives_dates_and_tags_and_answers_304() {
	put a.txt hello
	touch -t 202001020304 a.txt
	start
	tag=$(tag_of /a.txt)
	date=$(answer Last-Modified /a.txt)
	has 'date' "$date" ' Jan 2020 '
	is 'Cache-Control' "$(answer Cache-Control /a.txt)" no-cache
	is 'of HEAD' "$(status -X HEAD -H "If-None-Match: $tag" /a.txt)" 304
	is 'the connection' "$(status -n 2 -H "If-None-Match: $tag" /a.txt)" "304${newline}304"
	put later hello
	touch -t 203501020304 later
	tag_of /later >/dev/null
	"$helper" http -i /later >"$dir/head"
	is 'a date to come' "$(sed -n 's/^Last-Modified: //p' "$dir/head")" "$(sed -n 's/^Date: //p' "$dir/head")"
	put new HELLO
	touch -t 202001020304 new
	mv new a.txt
	is 'changed, of the same size and date' "$(status -H "If-None-Match: $tag" /a.txt)" 200
	put a.txt fresh
	[ "$(tag_of /a.txt)" != "$tag" ] || fail 'the tag of before'
	date=$(answer Last-Modified /a.txt)
	has 'the date' "$date" ' GMT'
	is 'a date of just now' "$(status -H "If-Modified-Since: $date" /a.txt)" 200
	wait_for eval '[ "$(status -H "If-Modified-Since: $date" /a.txt)" = 304 ]'
	is 'its date, more than a second later' "$(answer Last-Modified /a.txt)" "$date"
}

# When a file was changed, and a date: a file of then, of a second before and one after is not modified since,
# unless there is no such date.
t_compares_dates_of_all_three_forms() {
	files earlier same later
	start
	# shellcheck disable=SC2034 # by their names
	while IFS='|' read -r earlier same later dates; do
		for name in earlier same later; do
			eval "TZ=UTC0 touch -t \$$name $name"
			tag_of /$name >/dev/null
		done
		IFS=/
		set -f -- $dates
		unset IFS
		for date; do
			for name in earlier same later; do
				case $name/$date in
				*/'!'*) want='200 200' ;;
				later/*) want='200 412' ;;
				*) want='304 200' ;;
				esac
				got="$(status -H "If-Modified-Since: ${date#!}" /$name) $(status -H "If-Unmodified-Since: ${date#!}" /$name)"
				is "$name: $date" "$got" "$want"
			done
		done
		is 'Last-Modified' "$(answer Last-Modified /same)" "$1"
	done <<-'END'
		199411060849.36|199411060849.37|199411060849.38|Sun, 06 Nov 1994 08:49:37 GMT/Sunday, 06-Nov-94 08:49:37 GMT/Sun Nov  6 08:49:37 1994/!/!yesterday/!Sun, 06 Nov 1994 08:49:37/!Sun, 06 Nov 1994 08:49:37 GMT+1/!Sun, 06 Nov 1994 25:49:37 GMT/!Sun, 32 Nov 1994 08:49:37 GMT/!Sun, 06 Foo 1994 08:49:37 GMT/!Sun, 06 anF 1994 08:49:37 GMT
		200002292359.58|200002292359.59|200003010000.00|Tue, 29 Feb 2000 23:59:59 GMT
	END
}

t_sends_the_range_that_is_asked_for() {
	printf 0123456789 >a.txt
	: >empty
	touch -t 202001020304 a.txt
	start
	tag=$(tag_of /a.txt)
	tag_of /empty >/dev/null
	date=$(answer Last-Modified /a.txt)
	while IFS='|' read -r status body ranges; do
		for range in $ranges; do
			is "status of $range" "$(status -H "Range: $range" /a.txt)" "$status"
			[ -z "$body" ] || is "$range" "$(get -H "Range: $range" /a.txt)" "$body"
		done
	done <<-'END'
		206|0|bytes=0-0
		206|2345|bytes=2-5
		206|23456789|bytes=2-
		206|789|bytes=-3
		206|56789|bytes=5-99999999999999999999999999
		206|0123456789|bytes=-30 bytes=0-9999999999999999999
		416||bytes=10- bytes=99999999999999999999999999- bytes=-0
		200|0123456789|bytes=5-2 bytes=0-1,3-4 bytes=- bytes= bytes=a-b bytes=1-2x lines=1-2
	END
	is 'with blanks' "$(status -H 'Range: Bytes= 0-9 ' /a.txt)" 206
	is 'the first of nothing' "$(status -H 'Range: bytes=0-' /empty)" 416
	is 'the last of nothing' "$(status -H 'Range: bytes=-1' /empty)" 200
	is 'where' "$(answer Content-Range -H 'Range: bytes=2-4' /a.txt)" 'bytes 2-4/10'
	is 'the size' "$(answer Content-Range -H 'Range: bytes=10-' /a.txt)" 'bytes */10'
	while IFS='|' read -r condition body; do
		is "If-Range: $condition" "$(get -H 'Range: bytes=0-1' -H "If-Range: $condition" /a.txt)" "$body"
	done <<-END
		$tag|01
		W/$tag|0123456789
		"x"|0123456789
		$date|01
		Thu, 02 Jan 2020 03:04:01 GMT|0123456789
	END
	is 'HEAD' "$(status -X HEAD -H 'Range: bytes=2-4' /a.txt)" 200
}

# Each line: the status, then one field or two. Read, then kept.
t_heeds_conditions_in_their_order() {
	put a.txt hello
	touch -t 202001020304 a.txt
	start
	tag=$(tag_of /a.txt)
	date=$(answer Last-Modified /a.txt)
	late='Tue, 19 Jan 2038 03:14:08 GMT'
	early='Tue, 01 Jan 2019 00:00:00 GMT'
	for twice in read kept; do
		while IFS='|' read -r want first second; do
			set -- -H "$first"
			[ -z "$second" ] || set -- -H "$first" -H "$second"
			is "$first $second, $twice" "$(status "$@" /a.txt)" "$want"
		done <<-END
			304|If-None-Match: $tag|
			304|If-None-Match: W/$tag|
			304|If-None-Match: "0", $tag|
			304|If-None-Match: "0",W/$tag,"2"|
			304|If-None-Match: *|
			200|If-None-Match: |
			200|If-None-Match: x|
			200|If-None-Match: "x"|
			200|If-None-Match: "1${tag#?}|
			200|If-None-Match: ${tag%?}|
			200|If-None-Match: w/$tag|
			200|If-None-Match: "a, $tag|
			304|If-Modified-Since: $date|
			200|If-Modified-Since: $early|
			200|If-None-Match: "x"|If-Modified-Since: $date
			200|If-Match: "x", $tag|
			412|If-Match: W/$tag|
			200|If-Match: W/$tag, $tag|
			412|If-Match: "x"|
			200|If-Match: *|
			200|If-Unmodified-Since: $late|
			412|If-Unmodified-Since: $early|
			200|If-Match: $tag|If-Unmodified-Since: $early
			412|If-Match: "x"|If-None-Match: $tag
			304|If-None-Match: $tag|Range: bytes=0-1
		END
	done
	is 'of what is missing' "$(status -H 'If-None-Match: *' /missing)" 404
}

# Of "*" gzip may be one, but the file may be sent as it is.
t_sends_what_is_packed_to_those_who_take_it() {
	files a.css=plain a.css.gz=packed old.css=plain old.css.gz=packed
	touch -t 202001020304 old.css.gz
	start
	is 'plain' "$(get /a.css)" plain
	while IFS='|' read -r want all; do
		IFS=/
		set -f -- $all
		unset IFS
		for codings; do
			is "Accept-Encoding: $codings" "$(get -H "Accept-Encoding: $codings" /a.css)" "$want"
		done
	done <<-'END'
		packed|gzip/GZip/deflate, gzip;q=0.1, br/gzip ; q=1
		plain|*//identity/gzipped/gzip;q=0/gzip;q=0.000, br/*;q=0/*, gzip;q=0/br;q=1.0
	END
	is 'its coding' "$(answer Content-Encoding -H 'Accept-Encoding: gzip' /a.css)" gzip
	is 'its type' "$(answer Content-Type -H 'Accept-Encoding: gzip' /a.css)" 'text/css; charset=utf-8'
	has 'Vary' "$(answer Vary /a.css)" Accept-Encoding
	[ "$(tag_of /a.css)" != "$(tag_of -H 'Accept-Encoding: gzip' /a.css)" ] ||
	    fail 'both have the same tag'
	is 'coding of an error' "$(answer Content-Encoding -H 'Accept-Encoding: gzip' -H 'Range: bytes=99-' /a.css)" ''
	is 'older than the file' "$(get -H 'Accept-Encoding: gzip' /old.css)" plain
	is 'by its own name' "$(answer Content-Type /a.css.gz)" application/gzip
	long=
	for i in $(many 40); do		# so young that they are not kept
		long=xxxxxxxx$long
		put new.css $long
		put new.css.gz packed
		is "the type of $long" "$(answer Content-Type -H 'Accept-Encoding: gzip' /new.css)" 'text/css; charset=utf-8'
	done
	nap 50
	rm a.css.gz
	for i in 1 2; do
		is 'while it is away' "$(get -n 2 -H 'Accept-Encoding: gzip' /a.css)" "plain${newline}plain"
		put a.css.gz again
		is 'and here again' "$(get -n 2 -H 'Accept-Encoding: gzip' /a.css)" "again${newline}again"
		is 'to those who do not take it' "$(get -n 2 /a.css)" "plain${newline}plain"
		mv a.css.gz away
	done
}

t_serves_below_a_prefix_and_leads_there_whatever_is_asked() {
	files index.html=top sub/index.html=deep
	for prefix in blog blog/ /a/b/; do
		start -R -r $prefix
		base=${url#"http://127.0.0.1:$port"}
		case $prefix$base in
		blog/blog/|blog//blog/|/a/b//a/b/) ;;
		*) fail "the URL is $url" ;;
		esac
		is 'top' "$(get $base)" top
		is 'below' "$(get ${base}sub/)" deep
		while read -r path to; do
			is "$prefix: where $path leads" "$(status "$path") $(answer Location "$path")" "301 $to"
		done <<-END
			/ $base
			/?q $base?q
			${base%/} $base
			${base%/}?q $base?q
			${base}sub?q ${base}sub/?q
		END
		has "$prefix: where /? leads" "$(answer Location '/?')" "$base"
		for path in /sub/ '/sub/?q' ${base%/}s/ "$base..$base"; do
			is "$prefix: status of $path" "$(status "$path")" 404
		done
	done
	start -r blog -x '*' 'echo "url: $BLOGSERVE_URL."'
	has 'the way home' "$(get /blog/nothing)" 'href="/blog/"'
	for path in /blog/nothing /other /bloggers /blog/.hidden /blog/a/../b /.blogserve/no /blog/.blogserve/no; do
		has 'what is missing' "$(get "$path?q")" "<code>$path</code>"
	done
	has 'what is missing' "$(get /blog/%61%2f%C3%A9)" '<code>/blog/a/é</code>'
	has 'the script' "$(get /blog/)" '<script defer src="/blog/.blogserve/reload.js"'
	is 'the state' "$(status /blog/.blogserve/status)" 200
	is 'the state outside' "$(status /.blogserve/status)" 404
	wait_for says "$err" "url: $url."
}

t_logs_each_request_on_a_line() {
	hello -l "$dir/log"
	get -H "Referer: http://x/\"\\" -H 'User-Agent: me' /a.txt >/dev/null
	status -X HEAD /a.txt >/dev/null
	status '/missing?q' >/dev/null
	raw 'GET /\033[1m"\200 HTTP/1.0\r\nUser-Agent: a\tb\r\n\r\n' >/dev/null
	wait_for says "$dir/log" '" 400 '
	is 'lines' "$(wc -l <"$dir/log" | tr -d ' ')" 4
	[ "$(grep -c '^[0-9a-f.:]* - - \[[0-9]*/[A-Z][a-z][a-z]/[0-9]*:[0-9:]* [-+][0-9]*\] "[^"]*" [0-9][0-9]* [0-9][0-9]* "[^"]*" "[^"]*"$' "$dir/log")" -eq 4 ] ||
	    fail "$(cat "$dir/log")"
	has 'the first' "$(sed -n 1p "$dir/log")" ' 200 6 "http://x/\x22\x5c" "me"'
	has 'HEAD' "$(sed -n 2p "$dir/log")" '"HEAD /a.txt HTTP/1.1" 200 0 '
	has 'the missing' "$(sed -n 3p "$dir/log")" '"GET /missing?q HTTP/1.1" 404 '
	has 'the odd' "$(sed -n 4p "$dir/log")" '"GET /\x1b[1m\x22\x80 HTTP/1.0" 400 '
	leave TERM
	start -t 1 -l "$dir/log2"
	status '/secret?token' >/dev/null
	raw 'GET /slow' >/dev/null
	wait_for says "$dir/log2" '" 408 '
	has 'the slow one' "$(grep 408 "$dir/log2")" '"GET /slow" 408'
	leave TERM
	[ -c /dev/full ] || return
	hello -l /dev/full
	for i in 1 2; do
		is 'a page that cannot be logged' "$(get /a.txt)" hello
	done
	ends INT
	is 'what it said' "$(own_lines | grep -c '/dev/full: ')" 1
}

t_never_serves_what_a_file_was() {
	files a.txt=0 keep/a.txt=kept
	start
	tag_of /a.txt >/dev/null
	is 'kept' "$(get /a.txt)" 0
	for i in 1 2 3 4 5 6 7 8 9; do
		tag=$(tag_of /a.txt)
		echo $i >a.txt
		is 'by its tag' "$(status -H "If-None-Match: $tag" /a.txt)" 200
		is 'in place' "$(get /a.txt)" $i
		put a.txt $((9 - i))
		is 'renamed' "$(get /a.txt)" $((9 - i))
		tag_of /a.txt >/dev/null
		get /a.txt >/dev/null
	done
	get /keep/a.txt >/dev/null
	is 'before' "$(get /keep/a.txt)" kept
	mv keep gone
	is 'the directory is gone' "$(status /keep/a.txt)" 404
	mv gone keep
	put "$dir/secret" secret
	rm -r keep
	ln -s "$dir" keep
	is 'the directory leads elsewhere' "$(status /keep/secret)" 403
	rm a.txt
	is 'removed' "$(status /a.txt)" 404
}

# The busy one sees to it that it is never at rest, when it would let go of all.
t_never_serves_what_a_large_file_was() {
	put a.txt busy
	"$helper" fill 100000 >big.bin
	cp big.bin one.bin
	cp big.bin two.bin
	start
	tag_of /two.bin >/dev/null
	{ exec "$helper" http -s -n 10000000 -t 60000 /a.txt; } >/dev/null &
	busy=$!
	note $busy
	"$helper" http -i -n 2 /big.bin | grep -v '^Date' >"$dir/heads"
	is 'a field that is not in both heads' "$(sort "$dir/heads" | uniq -u)" ''
	has 'the heads' "$(cat "$dir/heads")" 'Content-Length: 100000'
	is 'the head alone' "$(status -n 2 -X HEAD /big.bin)" "200${newline}200"
	tag=$(tag_of /big.bin)
	is 'not changed' "$(status -n 2 -H "If-None-Match: $tag" /big.bin)" "304${newline}304"
	is 'a condition' "$(status -n 2 -H 'If-Match: "x"' /big.bin)" "412${newline}412"
	cat big.bin big.bin big.bin >"$dir/thrice"
	for name in big.bin one.bin two.bin; do
		get -n 3 /$name | cmp - "$dir/thrice" || fail "$name: not what it is"
	done
	printf y | dd of=one.bin bs=1 seek=50000 conv=notrunc 2>/dev/null
	get /one.bin | cmp - one.bin || fail 'not what it is after a change in place'
	mv one.bin two.bin
	get /two.bin | cmp - two.bin || fail 'not what it is after another came'
	is 'one that went' "$(status /one.bin)" 404
	get -n 2 /big.bin >/dev/null
	put big.bin.gz packed
	is 'packed' "$(get -H 'Accept-Encoding: gzip' /big.bin)" packed
	get /big.bin | cmp - big.bin || fail 'not what it is for those who do not take gzip'
	rm big.bin.gz
	# what was removed, or is at rest, is not held on to
	get /two.bin >/dev/null
	rm two.bin
	wait_for closed two.bin
	get -n 3 -H 'Accept-Encoding: gzip' /big.bin | cmp - "$dir/thrice" || fail 'not what it is without it'
	kill "$busy"
	wait_for closed big.bin
	echo small >big.bin
	is 'a small one' "$(get -n 2 /big.bin)" "small${newline}small"
}

closed() { # file
	wait_for has_child
	case $(ls -l "/proc/$server/fd" 2>/dev/null) in
	*"/$1"*) return 1 ;;
	esac
}

# More than is kept: each is what it is, and memory does not grow with them.
t_serves_thousands_of_files_in_little_memory() {
	mkdir many
	awk 'BEGIN { while (length(x) < 8000) x = x "0123456789"; for (i = 0; i < 3000; i++) { f = "many/" i; print i, x >f; close(f) } }'
	awk 'BEGIN { for (i = 0; i < 3000; i++) print "/many/" i * 7 % 3000 }' >"$dir/paths"
	sed 's/.//' "$dir/paths" | xargs cat >"$dir/want"
	start
	for i in 1 2; do
		xargs -n 3000 "$helper" http -b <"$dir/paths" | cmp - "$dir/want" || fail 'something else came'
	done
	is 'the server' "$(server | wc -l | tr -d ' ')" 1
	memory=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(server)/status" 2>/dev/null)
	wrapped || grep __asan_init "$program" >/dev/null || [ "${memory:-0}" -lt 14000 ] || fail "$memory KiB of memory"
}

# --- live reload, as far as HTTP goes ---

script='<script defer src="/.blogserve/reload.js" data-start="'

t_puts_its_script_into_pages_which_have_no_validators() {
	files a.html='<html><body><p>hello</p></body></html>' c.txt='<body>text</body>'
	: >empty.html
	touch -t 202001020304 a.html empty.html
	put 404.html '<p>nothing</p></body>'
	start
	for path in /a.html /empty.html / /missing; do
		is "$path" "$(get $path | grep -c -F -e "$script")" 1
		# they would have to change with the script
		is "$path" "$("$helper" http -i $path | grep -e ETag -e Last-Modified -e Accept-Ranges)" ''
	done
	is 'a later date' "$(status -H "If-Modified-Since: $(answer Date /)" /a.html)" 200
	is 'a range' "$(status -H 'Range: bytes=0-1' /a.html)" 200
	tag=$(tag_of -H 'Sec-Fetch-Dest: empty' /a.html)
	is 'the tag without the script' "$(status -H 'Sec-Fetch-Dest: empty' -H "If-None-Match: $tag" /a.html)" 304
	is 'that tag' "$(status -H "If-None-Match: $tag" /a.html)" 200
	lacks 'a text' "$(get /c.txt)" "$script"
	get /.blogserve/reload.js >"$dir/script"
	is 'its first line' "$(sed -n 1p "$dir/script")" '(() => {'
	is 'its last line' "$(sed -n '$p' "$dir/script")" '})();'
	# a line that is lost in the program's source would end live reload without a sign
	for pair in '{}' '()'; do
		is "closing of $pair" "$(tr -dc "${pair#?}" <"$dir/script" | bytes)" "$(tr -dc "${pair%?}" <"$dir/script" | bytes)"
	done
	! grep -e '# \|[?][?]' "$dir/script" || fail 'a trigraph'
	has 'at first' "$(get /a.html)" 'data-done="0"'
	put a.html 'changed</body>'
	wait_for page_has /a.html 'data-done="1"'
	leave TERM
	start -R
	lacks 'with -R' "$(get /a.html)" "$script"
	is 'the script with -R' "$(status /.blogserve/reload.js)" 404
}

t_tells_of_builds_while_a_page_listens() {
	put src/a.css 1
	once_built blog 'echo "this is build $BLOGSERVE_BUILD"; cat src/post >site/a.txt; [ ! -e src/fail ]'
	printf 'GET /.blogserve/events HTTP/1.1\r\nHost: localhost\r\n\r\n' |
	    { exec "$helper" raw -p -t 20000 /; } >"$dir/events" &
	note $!
	wait_for says "$dir/events" '"done":1,"other":1,"build":1,"building":-1,'
	has 'its type' "$(cat "$dir/events")" 'Content-Type: text/event-stream'
	put src/a.css 2
	wait_for says "$dir/events" '"done":2,"other":1,"build":2,"building":-1,'
	put src/post two
	wait_for says "$dir/events" '"done":3,"other":3,"build":3,"building":-1,'
	put src/fail now
	wait_for says "$dir/events" '"done":3,"other":3,"build":4,"building":-1,"took":'
	has 'the failure' "$(tail -n 2 "$dir/events")" '"failed":"exit status 1"'
	for field in 'state failed' 'build 4' 'exit 1' 'changed src/fail'; do
		is "$field" "$(told ${field% *})" ${field#* }
	done
	is 'the log' "$(get /.blogserve/log)" 'this is build 4'
	echo hidden >site/.gz
	is 'the log, packed' "$(get -H 'Accept-Encoding: gzip' /.blogserve/log)" 'this is build 4'
	is 'its end' "$(get -H 'Range: bytes=-2' /.blogserve/log)" 4
	is 'past its end' "$(status -H 'Range: bytes=99-' /.blogserve/log)" 416
	is 'a range for HEAD' "$(status -X HEAD -H 'Range: bytes=0-0' /.blogserve/log)" 200
	leaves_within 1000
}

t_sends_all_even_to_a_client_that_says_more_or_when_it_leaves() {
	"$helper" fill 20000000 x >big
	start
	raw 'GET /big HTTP/1.0\r\n\r\n\r\nmore' -d 10 -s 300 >"$dir/answer" || fail 'the answer was cut'
	[ "$(bytes "$dir/answer")" -gt 20000000 ] || fail "$(bytes "$dir/answer") bytes"
	# nor when the last answer is short: more than is read with it lies there when it is sent
	put small last
	raw "GET /big HTTP/1.1\r\nHost: localhost\r\n\r\nGET /small HTTP/1.0\r\n\r\n$("$helper" fill 40000 y)" -s 300 \
	    >"$dir/answer" || fail 'the first answer was cut'
	is 'the end' "$(tail -n 1 "$dir/answer")" last
	ask /big -g "$dir/go" -t 20000
	kill -INT "$pid"
	wait_for refused
	put "$dir/go" now
	gone 0
	wait_for dead $asker
	is 'length' "$(sed '1,/^.$/d' "$dir/answer" | bytes)" 20000000
}

t_answers_HEAD_like_GET_without_a_body() {
	hello
	is 'length' "$(answer Content-Length -X HEAD /a.txt)" 6
	tag_of /a.txt >/dev/null
	for path in /a.txt / /missing; do
		lacks "the head of $path" "$("$helper" http -i -H 'Origin: http://evil.example' $path)" Access-Control
		is "the head of $path" "$("$helper" http -i -X HEAD $path | grep -v '^Date: ')" \
		    "$("$helper" http -i $path | grep -v '^Date: ')"
	done
	lacks 'answer' "$(raw 'HEAD /a.txt HTTP/1.0\r\nHost: localhost\r\n\r\n')" hello
}

t_serves_large_files_whole() {
	"$helper" fill 5000000 >big.bin
	: >empty.bin
	start
	get /big.bin >"$dir/got" || fail 'not whole'
	cmp big.bin "$dir/got" || fail 'not the same'
	tag_of /big.bin >/dev/null
	tail -c 4999999 big.bin >"$dir/most"
	get -H 'Range: bytes=1-' /big.bin | cmp - "$dir/most" || fail 'most of it is not the same'
	is 'length' "$(answer Content-Length -X HEAD /big.bin)" 5000000
	is 'length of nothing' "$(answer Content-Length -X HEAD /empty.bin)" 0
	is 'nothing' "$(status -n 2 /empty.bin)" "200${newline}200"
	printf end | dd of=huge bs=1048576 seek=4096 2>/dev/null || skip 'no file of 4 GiB here'
	tag_of -X HEAD /huge >/dev/null
	is 'length' "$(answer Content-Length -X HEAD /huge)" 4294967299
	is 'its end' "$(get -H 'Range: bytes=4294967296-' /huge)" end
	is 'where' "$(answer Content-Range -H 'Range: bytes=-1' /huge)" 'bytes 4294967298-4294967298/4294967299'
}

t_answers_only_its_own_hosts_on_loopback_however_they_are_written() {
	hello -H blog.test -H port.test:8000 -H http://url.test/ -H https://both.test:8443/ -H '*.wild.test' -H UPPER.Test
	while IFS='|' read -r want hosts; do
		for host in $hosts; do
			is "Host: $host" "$(status -H "Host: $host" /a.txt)" "$want"
			[ "$want" = 200 ] || lacks "page for $host" "$(get -H "Host: $host" /a.txt)" hello
		done
	done <<-END
		200|localhost LOCALHOST localhost:$port LocalHost:8000 localhost. blog.localhost a.localhost
		200|127.0.0.1 127.0.0.1: 127.0.0.1:80 127.1.2.3 127.255.0.1:1 [::1] [::1]:$port [::ffff:7f00:1] [::ffff:127.9.9.9]
		200|blog.test BLOG.test:99 port.test port.test:1 url.test both.test both.test:8443 a.wild.test A.Wild.Test:80 upper.test
		403|evil.example localhost.evil.example 127.0.0.1.evil.example evillocalhost 192.0.2.1 blog.test.evil x.blog.test
		403|xblog.test test xwild.test a.wild.test.evil http 8000 [::ffff:8.8.8.8] :80 .localhost 128.0.0.1 0.0.0.0 [::2]
		400|a/b a@b a,b:c a:80:80 [::1 [::1]x a\\b
	END
	is 'Host: a b' "$(status -H 'Host: a b' /a.txt)" 400
	is 'no host' "$(status -H 'Host:' /a.txt)" 403
	for host in evil.example:8000 evil.example; do
		page=$(get -H "Host: $host" /)
		has "the page for $host" "$page" '-H evil.example'
		lacks "the page for $host" "$page" '-H evil.example:'
	done
	lacks 'markup' "$(get -H 'Host: <b>x' /)" '<b>'
	start -H '*'
	is 'any host' "$(status -H 'Host: evil.example' /a.txt)" 200
}

t_serves_regular_files_and_links_that_stay_inside_others_only_with_L() {
	mkdir real
	mkfifo real/pipe real/pipe.html
	put real/closed hello
	chmod 0 real/closed
	put "$dir/outside/a.txt" outside
	files real/sub/a.txt=hello real/b.txt=bee
	ln -s "$PWD/real/sub/a.txt" real/absolute
	ln -s sub/../b.txt real/up
	ln -s sub/./a.txt real/dot
	ln -s ../b.txt real/sub/below
	ln -s sub real/within
	ln -s sub/../../real/b.txt real/out
	ln -s "$dir/outside/a.txt" real/far.txt
	ln -s ../../outside/a.txt real/file.txt
	ln -s ../../outside real/dir
	ln -s loop real/loop
	ln -s real link
	for docroot in real link link/; do
		start -d $docroot
		while IFS='|' read -r path want; do
			got=$(status -t 3000 $path)
			[ "$want" != 40x ] || got=${got%[34]}x
			is "$docroot: $path" "$got" "${want%% *}"
			[ "$want" = "${want%% *}" ] || is "$docroot: $path" "$(get $path)" "${want#* }"
		done <<-'END'
			/absolute|200 hello
			/up|200 bee
			/dot|200 hello
			/sub/below|200 bee
			/within/a.txt|200 hello
			/out|200 bee
			/far.txt|403
			/file.txt|403
			/dir/|403
			/dir/a.txt|403
			/loop|40x
			/pipe|40x
			/pipe.html|40x
		END
		has 'the listing' "$(get /)" 'href="./absolute"'
		lacks 'the listing' "$(get /)" 'href="./file.txt"'
		# root may read it
		[ -r real/closed ] || is 'unreadable' "$(status /closed)" 403
		ends INT
	done
	start -L -d real
	for path in /file.txt /dir/a.txt /far.txt; do
		is "$path with -L" "$(get "$path")" outside
	done
}

# --- README, manual and Makefile, as they stand ---

# The program under the name of blogserve, for those who look it up by that.
wrapper() { # file
	{
		printf '#!/bin/sh\necho $$ >>"$dir/pids"; exec "$helper" run'
		IFS=$newline
		for word in $program; do
			printf " '%s'" "$word"
		done
		printf ' "$@"\n'
	} >"$1"
	chmod +x "$1"
	unset IFS
}

# The indented lines of the section, up to the call of blogserve; it can be pasted with or without
# its indentation.
t_makes_a_blog_from_nothing_as_the_README_says() {
	mkdir "$dir/bin"
	wrapper "$dir/bin/blogserve"
	awk '/^A blog from nothing/ { on = 1 }
		on && (/^    / || /^$/) { print }
		on && /^    blogserve/ { exit }' "$source/README" >"$dir/indented"
	sed 's/^    //' "$dir/indented" >"$dir/bare"
	for paste in indented bare; do
		: >"$dir/pids"
		mkdir "$paste"
		out=$dir/out.$paste
		err=$dir/err.$paste
		: >"$out"
		{ cd "$paste" || exit; PATH=$dir/bin:$PATH; exec "$helper" run sh; } <"$dir/$paste" >"$out" 2>"$err" &
		pid=$!
		wait_for first_line
		says "$err" 'build 1: first build: ok' || wait_for built 1
		has 'first build' "$(cat "$err")" 'blogserve: build 1: first build: ok'
		is_that_blog "$paste"
		kill -INT "$(tail -n 1 "$dir/pids")"
		gone 0
	done
}

is_that_blog() { # directory
	has 'index' "$(get /)" '<h1>My blog</h1>'
	has 'index' "$(get /)" '<a href="tools.html">About tools</a>'
	has 'a post' "$(get /hello.html)" '<em>this</em>'
	has 'a post' "$(get /tools.html)" 'text &amp; blank'
	put "$1/blog/posts/hello.txt" '# Edited' '' 'Another *text*.'
	wait_for page_has /hello.html '<em>text</em>'
	has 'index' "$(get /)" 'Edited'
}

# A copy of what make needs, with the program in its place, newer than its source.
copy_for_make() {
	command -v make >/dev/null || skip 'no make here'
	for file in Makefile README blogserve.c blogserve.1; do
		cp "$source/$file" .
	done
	wrapper blogserve
}

t_make_demo_serves_that_blog_and_removes_it() {
	copy_for_make
	program='make'
	terminal -- demo 'DEMOFLAGS=-p 0'
	wait_for on_screen
	is_that_blog "$(echo "$TMPDIR"/blogserve-demo.*)"
	leave_terminal
	refused || fail 'the port is still open'
	is 'temporary files' "$(ls -A "$TMPDIR")" ''
}

t_make_installs_and_uninstalls() {
	copy_for_make
	make install DESTDIR="$dir/root" PREFIX=/opt >"$dir/made" 2>&1 || fail "$(cat "$dir/made")"
	( cd "$dir/root" && find . -type f | sort ) >"$dir/files"
	is 'files' "$(cat "$dir/files")" "./opt/bin/blogserve$newline./opt/share/man/man1/blogserve.1"
	make uninstall DESTDIR="$dir/root" PREFIX=/opt >"$dir/made" 2>&1 || fail "$(cat "$dir/made")"
	is 'files later' "$(find "$dir/root" -type f)" ''
}

# --- the page and its script ---

tag_to_at='s|<script defer src="[^"]*/.blogserve/reload.js" data-start="[^"]*" data-done="[0-9]*"></script>|@|'

# A page on each line: what must stand before the script, what may, and what must not.
t_puts_its_script_in_front_of_a_page() {
	long=$("$helper" fill 5000 x)
	# the tag names how many changes there were: let none count
	start -x '*'
	while IFS='|' read -r before flex rest; do
		printf "$before$flex$rest" >a.html
		got=$(get /a.html | sed "$tag_to_at")
		case $got in
		"$(printf "$before@$flex$rest")"|"$(printf "$before$flex@$rest")") ;;
		*) fail "expected [$before@$flex$rest], got [$got]" ;;
		esac
		# its length is said right, or the second answer is garbled
		is "twice: $rest" "$(get -n 2 /a.html | sed "$tag_to_at;$tag_to_at" | tr -d '\n')" "$(echo "$got$got" | tr -d '\n')"
		is "HEAD: $rest" "$("$helper" http -X HEAD -f Content-Length /a.html)" "$(get /a.html | wc -c | tr -d ' ')"
	done <<-END
		||<p>no doctype</p>
		||<html lang="en"><head><base href="https://elsewhere.example/"></head>
		<!doctype html>||<html><head><title>t</title></head><body>b</body></html>
		<!DocType HTML>|\n|<html>
		<!DOCTYPE html SYSTEM "about:legacy-compat">||<head><script>var x = "<!doctype html>"</script></head>
		\357\273\277<!DOCTYPE html>|\r\n|<html>
		\357\273\277||<p>a mark alone</p>
		\r\n\t \f<!doctype html>|  |<p>white space</p>
		<!-- a > b --><!doctype html>| <!-- after --> |<p>comment</p>
		<!-- one -->\n<!-- <!doctype html> <p> two -->\n<!DOCTYPE html>||<frameset><frame src="a"></frameset>
		|<!-- a comment alone -->|<html><!-- more --></html>
		<!-- $long --><!doctype html>||<p>behind a licence</p>
		<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN"\n "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">|\n|<html xmlns="http://www.w3.org/1999/xhtml">
		<!doctype html>||</body></html>
		<!doctype html>||
		||
	END
	for size in 1000 70000 3000000; do
		{ printf '<!doctype html>@'; "$helper" fill $size x; echo '</body></html>'; } >long
		tr -d @ <long >long.html
		get /long.html >"$dir/answer"
		sed "$tag_to_at" "$dir/answer" | cmp - long || fail "a page of $size bytes"
		is 'its length' "$("$helper" http -X HEAD -f Content-Length /long.html)" "$(wc -c <"$dir/answer" | tr -d ' ')"
	done
}

# One that is written all the time is never old enough when it is asked for, or the writer has to wait.
# It is too large to be read at once: a small one might not keep still for long enough, and be a 503.
t_gives_a_file_that_may_change_unseen_no_validators() {
	dd if=/dev/zero of=a.txt bs=40000 count=1 2>/dev/null
	start
	{ while [ ! -e "$dir/enough" ]; do
		echo hello >>a.txt
	done; } &
	writer=$!
	note $writer
	young=0
	for i in $(many 20); do
		"$helper" http -i -H 'Range: bytes=0-1' /a.txt >"$dir/head"
		case $(cat "$dir/head") in
		*ETag:*|*Last-Modified:*) ;;
		'HTTP/1.0 200'*) young=$((young + 1)) ;;
		*) fail "$(cat "$dir/head")" ;;
		esac
	done
	put "$dir/enough" now
	wait_for dead $writer
	[ "$young" -gt 5 ] || fail "only $young of 20 had none"
	tag=$(tag_of /a.txt)
	is 'later' "$(status -H "If-None-Match: $tag" /a.txt)" 304
}

# Where the server may read no more than its docroot, that is another one now.
t_serves_a_docroot_that_was_made_again_at_once() {
	for site in site deep/er/site; do
		put $site/a.txt one
		start -d $site
		for text in two three; do
			is "$site" "$(status /a.txt)" 200
			rm -r $site
			is "$site removed" "$(status /a.txt)" 503
			put $site/a.txt $text
			is "$site made again" "$(status /a.txt) $(get /a.txt)" "200 $text"
		done
	done
}

# --- what is a source ---

# No end, no beginning, nobody at the other end; some are read only when a build may have changed them.
t_is_not_held_up_by_sources_that_never_end() {
	mkdir src
	mkfifo src/fifo
	ln -s /dev/zero src/zero
	ln -s itself src/itself
	for name in pagemap mem mountinfo environ; do
		[ ! -e /proc/self/$name ] || ln -s /proc/self/$name src/$name
	done
	blog 'cat src/post >site/a.txt; "$helper" nap 50'
	is 'at first' "$(get -t 5000 /a.txt)" one
	for text in two three four; do
		put src/post $text
		within 3000 page_has /a.txt $text
	done
	leaves_within 1000
}

# Whether it waits for quiet or for a build: what may have changed is anything.
t_builds_anew_when_asked_though_a_save_is_pending() {
	blog 'echo "$BLOGSERVE_CHANGED." >>"$dir/changed"; '"$gate"
	for order in 'save ask' 'ask save' 'save ask save' quick; do
		wait_for [ -s "$dir/changed" ]
		[ "$order" != quick ] || { put "$dir/go" now; wait_for at_rest; }
		: >"$dir/changed"
		for what in $order; do
			[ $what = ask ] || put src/post "$order"
			[ $what = save ] || kill -USR1 "$pid"
			[ $what = quick ] || nap 80
		done
		put "$dir/go" now
		# if that came late, one that was quick had two builds
		[ "$order" = quick ] || { wait_for [ -s "$dir/changed" ]; is "after $order" "$(cat "$dir/changed")" .; }
		wait_for eval '[ "$(tail -n 1 "$dir/changed")" = . ]'
		wait_for at_rest
		rm "$dir/go"
		: >"$dir/changed"
		kill -USR1 "$pid"
	done
	put "$dir/go" now
}

# By renaming, or every other time in place: who writes there is not seen, and more than nine would seem to be builds.
t_takes_no_source_for_a_product_that_its_writer_saves_in_each_build() {
	for way in renamed in-place; do
		rm -f "$dir/started"
		blog 'echo "$BLOGSERVE_BUILD" >>"$dir/started"; "$helper" nap 60; cat src/post >site/a.txt'
		before=0 saves=9
		[ $way = in-place ] || { wait_for built 1; nap 100; shows two; before=1 saves=11; }
		for i in $(many $saves); do
			wait_for started $((i + before))
			case $way/$i in
			in-place/*[13579]) echo "text $i" >src/post ;;
			*) put src/post "text $i" ;;
			esac
		done
		wait_for page_has /a.txt "text $saves"
		lacks "what it said, $way" "$(cat "$err")" '-x'
		put src/post last
		within 1000 page_has /a.txt last
		ends INT
	done
}

t_hears_of_a_root_made_again_however_it_is_written() {
	mkdir site
	for root in src src/ ./src src/. "$PWD/src/"; do
		put src/post one
		start -d site -w "$root" 'cat src/post >site/a.txt'
		is "$root" "$(get /a.txt)" one
		for text in two three; do
			rebuilds rm -r src
			mkdir src
			nap 100
			put src/post $text
			within 1000 page_has /a.txt $text
		done
		ends INT
		echo "$root was heard"
	done
}

# --- what fails below it ---

# The largest tree that is anywhere; what it takes is too short on a small machine to tell.
t_ends_at_once_though_it_scans_the_system() {
	! wrapped || skip 'a wrapper is too slow'
	mkdir site
	ln -s /usr system
	TERM=xterm
	for when in now progress; do
		began=$("$helper" now)
		terminal -- -p 0 -i 60 -d site -w . 'echo built'
		case $when in
		now) nap 100 ;;
		*) wait_for eval 'says "$out" " files" || built 1' ;;
		esac
		before=$("$helper" now)
		if built 1; then
			[ $((before - began)) -lt $((1500 * SLOW)) ] || fail 'it showed no progress'
			[ $when = progress ] || skip 'the system is small'
			return
		fi
		leave_terminal
		took=$(($("$helper" now) - before))
		is 'exit status' "$rc" 0
		[ "$took" -lt $((250 * SLOW)) ] || fail "took $took ms to leave"
	done
}

# Two links to each of the next: a million ways to the last.
t_watches_each_directory_once_whatever_links_lead_there() {
	for i in $(many 20); do
		mkdir $i
		ln -s "../$((i + 1))" $i/a
		ln -s "../$((i + 1))" $i/b
	done
	mkdir src
	put 21/post one
	ln -s ../1 src/first
	blog 'cat 21/post >site/a.txt'
	within 1000 page_has /a.txt one
	put 21/post two
	within 1000 page_has /a.txt two
}

t_follows_no_links_that_lead_to_themselves() {
	for i in $(many 150); do
		put src/$i/post $i
		ln -s x src/$i/x
		ln -s ../$i/y src/$i/y
	done
	once_built blog 'cat src/post >site/a.txt'
	put src/post two
	within 2000 page_has /a.txt two
	rebuilds put src/2/post new
	ends INT
}

t_stays_off_the_file_systems_of_the_kernel() {
	[ -d /proc/self ] || skip 'no /proc here'
	needs_extras
	mkdir src
	for name in proc sys proc/self proc/1 proc/self/task; do
		[ ! -d /$name ] || ln -s /$name "src/$(echo $name | tr / -)"
	done
	blog 'cat src/post >site/a.txt'
	within 2000 page_has /a.txt one
	put src/post two
	within 1000 page_has /a.txt two
	stays_at 2 500
	leaves_within 500
}

t_lists_no_directory_that_it_cannot_read_and_says_once_that_a_page_may_not_be_read() {
	files none/a.txt=hello list/a.txt=hello enter/a.txt=hello closed.html=hello shut.txt=hello
	as_user none/a.txt none closed.html shut.txt
	chmod 444 list
	chmod 311 enter
	start
	for path in /none/ /list/ /enter/; do
		case $(status $path) in
		403|404|500|503) ;;
		*) fail "$path: $(status $path)" ;;
		esac
	done
	for path in /closed.html /closed /closed.html /shut.txt /shut.txt; do
		is "$path" "$(status $path)" 403
	done
	for name in closed.html shut.txt; do
		is "lines of $name" "$(own_lines | grep -c "$name.*Permission denied")" 1
	done
	chmod 755 none list
	needs_extras
	start
	is 'the file in one' "$(get /enter/a.txt)" hello
	chmod 755 enter
}

# Few descriptors, one more in each turn: it may refuse to start or to answer, but never lists less than there is.
t_lists_all_or_nothing_when_descriptors_are_few() {
	! wrapped || skip 'a wrapper needs more'
	files sub/a.txt=1 sub/z.txt=1
	answers=
	for files in 6 7 8 9 10 11 12 13; do
		with=-n$files
		count=$files
		: >"$dir/answer"
		( start && touch "$dir/runs"; "$helper" http -t 500 /sub/ >"$dir/answer"
		kill -INT "$pid"
		wait_for dead "$pid" && rm "$dir/runs"; note "-$pid" ) >/dev/null 2>&1
		[ ! -e "$dir/runs" ] || fail "with $files descriptors it does not leave"
		case $(head -n 1 "$dir/answer") in
		*' 200 '*)
			has "with $files descriptors" "$(tr -d '\n' <"$dir/answer" | sed 's/.*a\.txt.*z\.txt.*/both/')" both
			answers=$answers.200 ;;
		*' 50'[03]*|'') ;;
		*) fail "with $files descriptors: $(cat "$dir/answer")" ;;
		esac
	done
	has 'answers' "$answers" .200
}

# The limit is the builds', too, and theirs to heed.
t_goes_on_when_its_log_may_not_grow() {
	ulimit -f 16 || skip 'no such limit here'
	once_built hello -l "$dir/log" -x '*' '"$helper" fill 100000 x >"$dir/big"; echo "status $?."'
	first=$(server)
	long=$("$helper" fill 700 x)
	for i in $(many 30); do
		is "answer $i" "$(get -t 2000 "/a.txt?$long")" hello
	done
	is 'the server' "$(server)" "$first"
	[ "$(wc -c <"$dir/log")" -le 16384 ] || skip 'the limit is not kept here'
	is 'lines that say so' "$(grep -c "$dir/log: " "$err")" 1
	grep '^status 1[0-9][0-9]\.' "$err" >/dev/null || fail "the build was not stopped by it: $(cat "$err")"
	leaves_within 500
}

t_waits_for_what_its_builds_leave_behind() {
	needs_extras
	once_built start -d . -x '*' '"$helper" run sh -c "exec \"\$helper\" nap 500" >/dev/null 2>&1 & echo $! >"$dir/orphan"'
	orphan=$(cat "$dir/orphan")
	note "$orphan"
	case $("$helper" children "$pid"):$(uname) in
	*"$orphan"*) ;;
	*:Linux|*:FreeBSD) fail 'it is not the child of the program' ;;
	*) skip 'this system has no such way' ;;
	esac
	note "-$orphan"
	wait_for eval '! kill -0 "$orphan" 2>/dev/null'
	is 'status' "$(status /)" 200
}

# --- signals: one wish, whoever forwards it ---

# Signals, and milliseconds between them; then its exit status.
t_takes_signals_within_half_a_second_for_one_wish() {
	while read -r signals status; do
		rm -f "$dir/go"
		blog "$half_build"
		wait_for grep -x begun "$err"
		for signal in $(echo "$signals" | tr , ' '); do
			case $signal in
			[0-9]*) nap "$signal" ;;
			*) kill -"$signal" "$pid" 2>/dev/null ;;
			esac
		done
		nap 60
		put "$dir/go" now
		gone
		is "exit status after $signals" "$rc" "$status"
		[ "$status" -gt 0 ] || is "page after $signals" "$(cat site/a.txt)" 'half whole'
		[ "$status" -eq 0 ] || is "page after $signals" "$(cat site/a.txt)" 'half '
		has 'what it said' "$(cat "$err")" 'blogserve: finishing build 1; a second signal stops it'
	done <<-'END'
		TERM,30,TERM 0
		INT,0,TERM 0
		TERM,INT,INT,INT 0
		INT,60,INT 0
		INT,120,TERM,120,INT 0
		INT,HUP 0
		HUP,30,HUP 0
		INT,600,HUP 0
		HUP,600,HUP,HUP 0
		INT,600,INT 130
		INT,600,TERM 143
		HUP,30,TERM,600,INT 130
	END
}

t_takes_interrupts_typed_together_for_one_wish() {
	terminal -- -p 0 -d . -x '*' 'trap "echo told >\"\$dir/told\"; exit 1" TERM; echo begun; '"$gate"
	wait_for grep -x begun "$out"
	type_ '\003'
	wait_for says "$out" 'blogserve: finishing build 1; ^C again stops it'
	nap 50
	type_ '\003'
	nap 850
	[ ! -e "$dir/told" ] || fail 'it took the second for another wish'
	leave_terminal 130
	[ -e "$dir/told" ] || fail 'the build was not told'
}

# A window that is closed, before or after ^C in it.
t_lets_the_build_finish_when_its_terminal_goes_away() {
	mkdir src site
	for first in nothing interrupt; do
		rm -f "$dir/go"
		terminal -- -p 0 -d site -w src "$half_build"
		wait_for grep -x begun "$out"
		[ $first = nothing ] || type_ '\003'
		nap 100
		leader=$(cat "$dir/leader")
		note "$leader"
		kill "$pty"
		left_terminal
		nap 100
		! dead "$leader" || fail "after $first it is gone at once"
		put "$dir/go" now
		wait_for dead "$leader"
		note "-$leader"
		is "page after $first" "$(cat site/a.txt)" 'half whole'
	done
}

# --- addresses and types ---

# What is there (a slash at its end: a directory with an index), the path, and what it is answered with.
t_takes_a_page_before_the_directory_of_its_name() {
	while read -r there path answer; do
		rm -rf site
		mkdir site
		for name in $(echo "$there" | tr , ' '); do
			case $name in
			*/) put "site/${name}index.html" "index of $name" ;;
			*) put "site/$name" "file $name" ;;
			esac
		done
		start -R -d site
		got=$(status "$path")
		case $got in
		200) got=$(get "$path" | tr ' ' _) ;;
		301) got="301,$("$helper" http -f Location "$path")" ;;
		esac
		is "$path of $there" "$got" "$answer"
	done <<-'END'
		blog.html,blog/ /blog file_blog.html
		blog.html,blog/ /blog?a=b file_blog.html
		blog.html,blog/ /blog/ index_of_blog/
		blog.html,blog/ /blog.html file_blog.html
		blog.html /blog file_blog.html
		blog.html /blog/ 404
		blog.html /blo 404
		blog/ /blog?a=b 301,/blog/?a=b
		blog,blog.html /blog file_blog
		blog.html,blog/a.txt /blog file_blog.html
		blog.html,blog/a.html /blog/a file_blog/a.html
		en/blog.html,en/blog/ /en/blog file_en/blog.html
		blog.html/,blog/ /blog 301,/blog/
		blog.htm,blog/ /blog 301,/blog/
		index.html,index/ /index file_index.html
	END
	long=$("$helper" fill 252 x)
	mkdir "site/$long"
	is 'a name with no room for .html' "$(status "/$long")" 301
}

# Whether it is declared, and how a page begins.
t_leaves_the_charset_to_a_page_that_declares_another() {
	blanks=$("$helper" fill 1024 ' ')
	cat >"$dir/pages" <<-END
		yes|<meta charset=shift_jis>
		yes|<!DOCTYPE HTML>\n<HTML><HEAD><META CHARSET="ISO-8859-1">
		yes|<meta\n\tcharset = 'windows-1252' >
		yes|<meta name="viewport" content="width=device-width"><meta charset="koi8-r"/>
		yes|<meta http-equiv="Content-Type" content="text/html; charset=euc-jp">
		yes|<meta content='text/html;charset=gb2312' http-equiv=content-type>
		yes|<META HTTP-EQUIV=Content-Type CONTENT="text/html; CHARSET = iso-8859-15">
		yes|<!-- <meta charset=utf-8> --><title>t</title><meta charset=windows-1251>
		no|
		no|<meta charset=utf-8>
		no|<meta charset="UTF-8"><meta charset=shift_jis>
		no|<meta http-equiv=content-type content="text/html; charset=utf-8">
		no|<!-- a > b <meta charset=shift_jis> -->
		no|<meta name="description" content="text/html; charset=shift_jis">
		no|<meta name=charset content=big5>
		no|<meta data-charset=big5>
		no|<metadata charset=big5>
		no|<p data-charset=big5 title="<meta charset=big5>">charset=big5
		no|<meta http-equiv=content-type content="text/html">
		no|$blanks<meta charset=shift_jis>
	END
	printf '<meta charset=shift_jis>' >404.html
	for option in -n -R; do
		start $option
		while IFS='|' read -r declared page; do
			printf "$page<p>hello" >a.html
			type='text/html; charset=utf-8'
			[ $declared = no ] || type=text/html
			is "$option: $page" "$("$helper" http -f Content-Type /a.html)" "$type"
			is "$option, HEAD: $page" "$("$helper" http -X HEAD -f Content-Type /a)" "$type"
		done <"$dir/pages"
		is 'the page for what is missing' "$("$helper" http -f Content-Type /missing)" text/html
	done
}

# Types, in which @ is the suffix and * what is called differently here and there, and suffixes.
t_knows_the_types_of_what_blogs_hold() {
	start
	while IFS='|' read -r type suffixes; do
		for suffix in $suffixes; do
			case $type in
			*@*) want=${type%@*}$suffix${type#*@} ;;
			*) want=$type ;;
			esac
			for name in file.$suffix "file.$(echo $suffix | tr '[:lower:]' '[:upper:]')"; do
				put $name hello
				head=$("$helper" http -i /$name)
				# shellcheck disable=SC2254
				case $(echo "$head" | sed -n 's/^Content-Type: //p') in
				*xml*charset*) fail "$name: a charset" ;;
				$want) ;;
				*) fail "$name: expected $want in [$head]" ;;
				esac
				has "$name" "$head" 'X-Content-Type-Options: nosniff'
				case $suffix in
				svgz) has "$name" "$head" 'Content-Encoding: gzip' ;;
				*) lacks "$name" "$head" Content-Encoding ;;
				esac
			done
		done
	done <<-'END'
		text/@; charset=utf-8|html css
		text/html; charset=utf-8|htm
		text/javascript; charset=utf-8|js mjs
		text/markdown; charset=utf-8|md
		text/plain; charset=utf-8|yml yaml toml log c h java py sh diff patch txt
		text/*; charset=utf-8|csv tsv
		application/@|json xml pdf zip wasm
		application/gzip|gz
		application/manifest+json|webmanifest
		application/*+xml|atom rss
		application/xhtml+xml|xhtml
		application/*x[ms]l*|xsl xslt
		application/vnd.ms-fontobject|eot
		application/ld+json|jsonld
		application/geo+json|geojson
		application/vnd.apple.mpegurl|m3u8
		application/x-@|tar xz
		application/x-bzip*|bz2
		application/x-7z-compressed|7z
		image/@|png gif webp avif bmp apng jxl
		image/jpeg|jpg jpeg
		image/x-icon|ico
		image/svg+xml|svg svgz
		font/@|woff woff2 ttf otf
		audio/@|aac
		audio/mpeg|mp3
		audio/ogg|ogg oga
		video/@|mp4 webm
		video/quicktime|mov
		video/*|m4v
		video/*matroska|mkv
	END
	# scripts and styles of no type are refused by a browser that may not look
	for name in app.js.download style.css.v2 LICENSE a.b.unheard-of trailing. file.html.b/c file.html_; do
		put "$name" hello
		is "$name" "$(answer Content-Type "/$name") $(answer X-Content-Type-Options "/$name")" 'application/octet-stream '
	done
}

# A log or a recording, and one with the script.
t_sends_what_it_announced_of_a_file_that_grows() {
	for file in big.log big.html; do
		"$helper" fill 20000000 x >$file
		start
		ask /$file -g "$dir/go" -t 20000
		for i in 1 2 3; do
			nap 60
			echo more >>$file
		done
		answered
		is "length of $file" "$(wc -c <"$dir/body" | tr -d ' ')" \
		    "$(sed -n 's/^Content-Length: \([0-9]*\).*/\1/p' "$dir/answer")"
		is "what is in $file" "$(sed 's/.*<.script>//' "$dir/body" | tr -d x)" ''
		rm "$dir/go" "$dir/sent"
	done
}

# --- watching ---

linked_sources='cat src/plain src/now src/later src/sub/chain 2>/dev/null'
has_linked() {
	[ "$(eval "$linked_sources")" = "$(cat site/all.txt 2>/dev/null)" ]
}

# Each line is a save of what a link leads to; none of those directories is below the root.
t_hears_at_once_of_what_a_linked_file_leads_to() {
	files far/plain=one far/v1/file=one far/v2/file=other
	ln -s v1 far/now
	ln -s plain far/second
	mkdir -p src/sub site
	ln -s ../far/plain src/plain
	ln -s ../../far/second src/sub/chain
	ln -s "$PWD/far/now/file" src/now
	ln -s ../far/later src/later
	ln -s far/plain link
	put "$dir/saves" 'echo two >far/plain' 'put far/plain three' 'rm far/plain' 'echo four >far/plain' \
	    'rm far/second; ln -s v1/file far/second' 'echo five >far/v1/file' \
	    'rm far/now; ln -s v2 far/now' 'put far/v2/file six' 'echo seven >far/later' \
	    'rm src/plain; ln -s ../far/v2/file src/plain' 'echo eight >far/v2/file' \
	    'mv far/v2 far/v3' 'mkdir far/v2; echo nine >far/v2/file' 'rm src/later; echo ten >src/later'
	start -d site -w src "($linked_sources) >site/all.txt"
	wait_for has_linked
	# one that it is told to watch
	start -d site -w link 'cat link >site/a.txt'
	wait_for page_has /a.txt one
	while read -r save; do
		eval "$save"
		echo "after: $save"
		within 800 has_linked
		case $save in
		*far/plain|*far/plain\ three) [ ! -e link ] || within 800 cmp -s link site/a.txt ;;
		esac
	done <"$dir/saves"
	rm -r far
	put far/v2/file eleven
	wait_for has_linked
}

# What builds write among the sources. After three saves a save is one build, the product is named
# once, and nothing that a user saves meanwhile is lost.
product() { # names, commands of the build, option ...
	names=$1
	build=$2
	shift 2
	put src/other one
	blog "$@" "$build"'; echo "$BLOGSERVE_BUILD" >>"$dir/started"; "$helper" nap 40; cat src/post src/other >site/a.txt'
	for text in 1 2 3 4 5 6; do
		nap 300
		wait_for at_rest
		before=$(builds)
		shows "text $text"
		[ $text -gt 3 ] || continue
		stays_at $((before + 1))
	done
	# one that starts a build and one while that runs
	for text in 7 8 9 10; do
		: >"$dir/started"
		put src/other "before $text"
		wait_for [ -s "$dir/started" ]
		put src/post "during $text"
		within 2000 page_has /a.txt "during $text${newline}before $text"
	done
	wait_for at_rest
	grep -E -e "-x [^ ]*($names)" "$err" >"$dir/named" || fail "it does not say -x $names"
	is 'named twice' "$(sort "$dir/named" | uniq -d)" ''
	! grep -e '-x [^ ]*\(post\|other\)' "$err" || fail 'it takes a source for a product'
}

t_takes_for_a_product_what_changes_with_each_save() { product db.json 'cat src/post src/other | tr a-m A-M >src/db.json'; }
t_takes_for_a_product_what_changes_with_each_build_but_hears_who_saves_it_by_hand() {
	product 'stamp|doctrees|_build' 'mkdir -p src/_build/doctrees; echo "$BLOGSERVE_BUILD" >src/_build/doctrees/stamp'
	# the build for what was saved during the last one, if that did not see it
	nap 300
	wait_for at_rest
	before=$(grep -c 'doctrees/stamp: ok' "$err")
	put src/_build/doctrees/stamp 'by hand'
	wait_for eval '[ "$(grep -c "doctrees/stamp: ok" "$err")" -gt $before ]'
}
t_takes_for_a_product_what_has_a_new_name_with_each_save() { product 'gen|resources' 'mkdir -p src/resources/gen; : >"src/resources/gen/$(cat src/post src/other | tr " \n" --).css"'; }
t_takes_for_a_product_what_has_a_new_name_with_each_build() { product cache 'mkdir -p src/cache; rm -f src/cache/*; echo "$BLOGSERVE_BUILD" >"src/cache/$BLOGSERVE_BUILD.tmp.json"'; }
t_takes_for_a_product_what_has_a_new_directory_with_each_build() { product cache 'mkdir -p "src/cache/$BLOGSERVE_BUILD"; echo >"src/cache/$BLOGSERVE_BUILD/f"'; }
t_builds_once_more_for_a_product_until_it_is_sure() {
	blog 'tr a-m A-M <src/post >src/db.json; cp src/post site/a.txt'
	for text in 1 2 3 4; do
		shows "text $text"
		nap 300
		wait_for at_rest
	done
	wait_for says "$err" ': once more: ok'
	wait_for at_rest
	before=$(builds)
	shows 'text 5'
	stays_at $((before + 1)) 2500
	# made by hand it is what it was
	echo 'by hand' >src/db.json
	wait_for built $((before + 2))
	stays_at $((before + 2)) 300
}
t_ends_the_loop_of_a_large_file_that_builds_write_by_scanning() {
	blog -i 0.05 'cp src/post site/a.txt; dd if=/dev/zero of=src/db bs=1000000 count=17'
	wait_for quiet
	shows two
	wait_for quiet
}
anew='rm -rf src/out; mkdir -p src/out/sub; date >src/out/sub/date; echo "$BLOGSERVE_BUILD" >src/out/n'
t_takes_for_a_product_a_directory_that_each_build_makes_anew() { product 'out|date|n' "$anew"; }
t_takes_for_a_product_what_each_build_makes_anew_by_scanning() { product 'out|date|n' "$anew" -i 0.05; }

# Three builds that make it: as needed, from nothing, and with -A.
t_does_not_count_a_directory_on_the_way_to_the_docroot() {
	for docroot in _build/html a/b/c/site; do
		top=${docroot%%/*}
		for build in "mkdir -p $docroot; cat post >$docroot/a.txt" "rm -rf $top; mkdir -p $docroot; cat post >$docroot/a.txt" -A; do
			put post one
			case $build in
			-A) start -A -d $docroot 'cat post >"$BLOGSERVE_OUT/a.txt"' ;;
			*) start -d $docroot "$build" ;;
			esac
			wait_for page_has /a.txt one
			stays_at 1
			put post two
			wait_for page_has /a.txt two
			stays_at 2
			ends INT
			is "on disk: $build" "$(cat $docroot/a.txt) $(ls -A "${docroot%/*}")" "two ${docroot##*/}"
			rm -r $top
		done
	done
}

t_takes_a_pattern_with_a_slash_at_its_end_or_a_dot_before() {
	put post one
	mkdir -p site cache c/d sub e a/b node_modules
	once_built start -d site -x node_modules/ -x ./cache -x ./a/b/ -x c/d// -x './e/*.tmp' :
	files node_modules/x node_modules/deep/x sub/node_modules/x cache/x a/b/x a/b/new/y c/d/x e/x.tmp
	stays_at 1
	for name in a/x a/bb/x c/x e/x.txt e/node_modules_/x; do
		rebuilds put $name two
	done
	for root in a a/ ./a; do
		once_built start -d site -w $root -x ./a/b/ -x a/sub :
		files a/b/x=$root a/sub/x=$root
		stays_at 1
	done
}

t_watches_what_is_hidden_when_it_is_told_to() {
	files .vitepress/config .vitepress/.cache/x .eleventy.js posts/.drafts/a posts/b
	mkdir site
	once_built start -v -d site -w . :
	put .vitepress/config two
	stays_at 1
	for name in .vitepress .eleventy.js; do
		grep "^blogserve: .*$name" "$err" >/dev/null || fail "it does not say that $name is not watched"
	done
	ends INT
	once_built start -d site -w . -w .vitepress -w ./.eleventy.js -w posts/.drafts/ 'printf "%s\n" $BLOGSERVE_CHANGED >>"$dir/changed"'
	for name in .vitepress/config .eleventy.js posts/.drafts/a posts/b; do
		put $name three
		wait_for says "$dir/changed" $name
	done
	wait_for at_rest
	before=$(builds)
	files .vitepress/.cache/x=two .other/x=two
	stays_at $before
}

# --- what is said ---

# Each line: options and command, and how the first line begins; * is anything.
t_says_at_its_start_what_it_does() {
	put src/post one
	mkdir site theme
	while IFS='|' read -r args line; do
		IFS=';'
		start $args
		unset IFS
		wait_for [ -s "$err" ]
		# shellcheck disable=SC2254
		case $(head -n 1 "$err") in
		"blogserve: "$line) ;;
		*) fail "$args: expected [$line] first in [$(cat "$err")]" ;;
		esac
	done <<-'END'
		-n|serving ., reloading pages as files change
		-d;site|serving site, reloading pages as files change
		-d;site;true|serving site, watching ., building with: true
		-d;site;-w;src;-w;theme;true a b|serving site, watching src*theme, building with: true a b
		-d;site;-w;src;true;a;b|serving site, watching src, building with: true a b
		true;-d;site|serving ., watching ., building with: true -d site
		-A;-d;out/new;-w;src;cp src/post "$BLOGSERVE_OUT"|serving out/new, watching src, building with: cp src/post "$BLOGSERVE_OUT"
	END
	blog -q 'echo printed'
	wait_for at_rest
	is 'with -q' "$(cat "$err")" printed
}

t_only_serves_without_a_command_and_tells_on_a_line_of_each_change() {
	mkdir sub
	hello
	get / >/dev/null	# then the watch is armed
	for name in a.txt b.txt sub/c.txt; do
		put $name two
		is 'at once' "$(get /$name)" two
		wait_for eval '[ "$(own_lines | grep -c "$name")" -eq 1 ]'
	done
	stays_at 0
	hello -q
	put a.txt three
	nap 200
	is 'with -q' "$(own_lines)" ''
}

# TERM, NO_COLOR (- is none), and how many lines are red.
t_shows_how_long_a_build_takes_and_its_failure_in_red_on_a_terminal_that_may() {
	mkdir src
	build='echo line; "$helper" nap 1300; printf part; "$helper" nap 1300; echo whole; exit 1'
	while read -r TERM color lines; do
		export NO_COLOR="$color"
		[ "$color" != - ] || unset NO_COLOR
		terminal -- -p 0 -d . -w src "$build"
		wait_for says "$out" 'exit status 1'
		case $TERM in
		dumb) lacks 'a dumb terminal' "$(cat "$out")" 'build: 1 s' ;;
		*)
			has 'progress' "$(cat "$out")" 'blogserve: build 1: first build: 1 s'
			# what was begun stays, what is taken back is gone before the next line
			has 'what the build printed' "$(cat "$out")" 'partwhole'
			has 'the end' "$(sed "s/$(printf '\033')\[[0-9;]*m//g" "$out")" "whole${newline}blogserve: build 1: first build: FAILED"
			;;
		esac
		leave_terminal
		is "red, $TERM, $color" "$(grep -c "$(printf '\033')\[[0-9;]*31[0-9;]*m.*FAILED" "$out")" "$lines"
	done <<-'END'
		xterm - 1
		xterm 1 0
		dumb - 0
	END
	unset NO_COLOR
	TERM=xterm
	once_built start -d . -w src "$build"
	lacks 'in a file' "$(cat "$err")" 'build: 1 s'
	lacks 'in a file' "$(cat "$err")" "$(printf '\033')"
}

t_keeps_its_line_of_progress_on_one_line_of_the_terminal() {
	needs_extras
	mkdir src
	TERM=xterm
	# what it begins anew is a line for us
	put "$dir/narrow" 'stty ocrnl columns 44 && tty >"$dir/tty"' 'exec "$@"'
	program=sh$newline$dir/narrow$newline$program
	terminal -- -p 0 -d . -w src '[ "$BLOGSERVE_BUILD" = 1 ] || exec "$helper" nap 2300'
	wait_for says "$out" 'build 1: first build: ok'
	put src/a-name-that-is-longer-than-a-terminal-is-wide-or-nearly-so x
	wait_for eval '[ -n "$(progress)" ]'
	before=$(progress | wc -l)
	stty columns 24 <"$(cat "$dir/tty")"
	wait_for grep 'build 2: .*: ok' "$out"
	[ "$(progress | wc -l)" -gt "$before" ] || fail 'none after the change'
	! progress | grep '.\{45\}' || fail 'too wide for 44 columns'
	! progress | tail -n 1 | grep '.\{25\}' || fail 'too wide for 24 columns'
	leave_terminal
}

progress() {
	sed -e "s/$(printf '\033')\[[0-9;]*[A-Za-z]//g" -e '/^\(blogserve: \)*build 2/!d' -e '/[0-9]\.[0-9][0-9] s$/d' "$out"
}

# A page, how often it is said, and the build; nothing is meant where there are two directories, or none.
t_says_once_where_the_builds_write_when_that_may_be_meant() {
	put post one
	while IFS='|' read -r page times build; do
		start -x '*.txt' "$build"
		wait_for at_rest
		for text in two three; do
			put post $text
			wait_for page_has $page $text
		done
		name=${page%/*}
		name=${name#/}
		[ $times = 0 ] || wait_for says "$err" "blogserve: the build writes to $name: to serve that, say -d $name"
		wait_for at_rest
		rebuilds kill -USR1 "$pid"
		is "lines of $build" "$(grep -c 'to serve that' "$err")" $times
		ends INT
		rm -rf public _site
	done <<-'END'
		/public/a.html|1|mkdir -p public; cat post >public/a.html
		/_site/a.html|1|mkdir -p _site; cat post >_site/a.html
		/a.html|0|cat post >a.html
		/two/a.html|0|mkdir -p one two; cat post >one/a.html; cat post >two/a.html
	END
}

# Docroot, build, and what the page says.
t_says_in_the_page_why_there_is_nothing() {
	put src/post one
	while IFS='|' read -r docroot build said; do
		once_built start -d "$docroot" -w src "$build"
		for path in / /a.html /sub/; do
			is "$path: $build" "$(status $path)" 503
			has "$path: $build" "$(get $path)" "$said"
		done
		lacks "$build" "$(get /)" '<b>broken'
		case $build in
		echo*) has "the log of $build" "$(get /)" broken ;;
		esac
	done <<-'END'
		site|echo "<b>broken"; exit 2|There is no site yet: build 1 failed (exit status 2)
		site|kill -9 $$|There is no site yet: build 1 failed (killed by signal 9
		pubic|mkdir -p public; echo hello >public/index.html|The docroot pubic is not there: the build did not make it
		some/where|true|The docroot some/where is not there: the build did not make it
	END
	# without the script it is the page that asks again
	once_built start -R -d pubic -w src true
	has 'the page' "$(get /)" "$newline<meta http-equiv=\"refresh\""
	# that of yesterday is a site
	files old/index.html=hello
	once_built start -d old -w src 'exit 2'
	is 'what is missing in it' "$(status /missing)" 404
}

t_says_in_one_line_that_directories_cannot_be_read() {
	put src/post one
	mkdir site
	chmod 777 site
	for n in $(many 40); do
		mkdir src/d$n
		: >src/d$n/file
	done
	as_user src/d1/file src/d[0-9]*
	start -d site -w src 'cat src/post >site/a.txt'
	wait_for page_has /a.txt one
	shows two
	own_lines | grep 'src/d[0-9]' >"$dir/lines" || fail "nothing: $(cat "$err")"
	is 'lines' "$(wc -l <"$dir/lines" | tr -d ' ')" 1
	grep -e 39 -e 40 "$dir/lines" || fail "no number: $(cat "$dir/lines")"
	chmod 755 src/d[0-9]*
}

# --- mistakes ---

# Each line: the exit status, how the message begins, and mistakes. Of usage there is the synopsis, too; of all
# else one line.
t_answers_each_mistake_with_what_to_do() {
	files public/index.html=hello file=text build='#!/bin/sh'
	mkfifo fifo
	ln -s file link
	ln -s public linkdir
	ln -s nowhere dangling
	# longer than a name may be, so that none is asked for it
	nowhere=$("$helper" fill 64 n).invalid
	take 0
	ls -A . public >"$dir/before"
	while IFS= read -r line; do
		IFS='|'
		set -f -- $line
		unset IFS
		status=$1 said=$2
		shift 2
		for args; do
			eval "try -p 0 $args"
			is "exit status of $args" "$rc" "$status"
			is "standard output of $args" "$(cat "$out")" ''
			# shellcheck disable=SC2254
			case $(head -n 1 "$err") in
			"blogserve: "$said*) ;;
			*) fail "$args: expected [$said] first in [$(cat "$err")]" ;;
			esac
			case $status in
			1) is "lines of $args" "$(wc -l <"$err" | tr -d ' ')" 1 ;;
			2) has "synopsis of $args" "$(sed 1d "$err")" 'blogserve [' ;;
			esac
		done
	done <<-END
		2|-z: |-z
		2|-d: |-d
		2|-w: |-w
		2|-p: |-p|-p ''|-p 65536|-p -1
		2|-p: 99999: |-p 99999
		2|-p: 80x: |-p 80x
		2|-i: -1: |-i -1
		2|-i: x: |-i x
		2|-i: 1.2345.6: |-i 1.2345.6
		2|-k: 1x: |-k 1x
		2|-t: -1: |-t -1
		2|-A|-A -d public
		2|-H |-H a/b|-H 'a*b'|-H http://|-H :80|-H ''|-H 'a b'
		2|--port*: there are no long options; see blogserve -h|--port|--port=8000
		2|--watch: there are no long options; see blogserve -h|-d public --watch public
		2|public is a directory; to serve it: blogserve -d public|public|-w file public
		2|*public* is a directory; to serve it: blogserve -d|./public|public/|./public make|'$PWD/public'
		2|. is a directory; to serve it: blogserve -d|.
		2|-a *: an address alone; the port goes to -p|-a localhost:8000|-a 127.0.0.1:8000|-a [::1]:8000|-a 0.0.0.0:80
		1|*-a 192.0.2.1: |-a 192.0.2.1
		1|-a $nowhere: |-a $nowhere
		1|port $taken: |-p $taken|-b -p $taken
		1|-w nosuch: No such file|-w nosuch|-w file -w nosuch true
		1|-d nosuch: No such file|-d nosuch|-b -d nosuch
		1|-d file: Not a directory|-d file|-d file true
		1|-l public: |-l public|-b -l public
		1|-l no/log: No such file|-l no/log|-b -l no/log
		1|-l fifo: |-l fifo
		1|-P public: *directory|-P public|-b -P public
		1|-P no/pid: No such file|-P no/pid|-b -P no/pid
		1|-P fifo: |-P fifo
		1|-P link: *sym*link|-P link
		1|-P linkdir: *sym*link|-P linkdir
		1|-P dangling: *sym*link|-P dangling
		1|missing-command: |missing-command with arguments
		1|./file: |./file with arguments
		1|./build: not executable ?chmod +x|./build|./build x
		1|$PWD/build: not executable ?chmod +x|'$PWD/build'
	END
	is 'what is left' "$(ls -A . public)" "$(cat "$dir/before")"
	is 'what the link leads to' "$(cat file)" text
}

t_says_that_low_ports_need_root() {
	: >closed
	as_user closed
	[ "$("$helper" run -t 300 $with "$helper" listen 81)" = taken ] || skip 'no port needs root here'
	fails root -p 81
	has 'message' "$(cat "$err")" 81
}

t_names_the_directory_for_temporary_files_that_it_cannot_use() {
	! wrapped || skip 'a wrapper may need it'
	put file text
	for TMPDIR in "$dir/nowhere" "$PWD/file"; do
		export TMPDIR
		blog 'cat src/post >site/a.txt; echo printed'
		is 'a page' "$(get /a.txt)" one
		wait_for built 1
		is "lines of $TMPDIR" "$(own_lines | grep -c "$TMPDIR")" 1
		grep -x printed "$err" || fail "what the build printed: $(cat "$err")"
		ends INT # or its last build might run while the next serves that site
	done
}

# Nobody would learn where it is.
t_does_not_start_when_its_url_cannot_be_written() {
	mkfifo "$dir/pipe"
	{ exec cat "$dir/pipe"; } >/dev/null &
	reader=$!
	note "$reader"
	exec 4>"$dir/pipe"
	kill $reader
	wait $reader 2>/dev/null
	for to in pipe full; do
		[ $to = pipe ] || [ ! -c /dev/full ] || exec 4>/dev/full
		for options in -n "-b$newline-P${newline}pid"; do
			rc=0
			( IFS=$newline; set -f; exec "$helper" run -t 3000 $program -p 0 $options ) >&4 2>"$dir/err.try" </dev/null || rc=$?
			is "exit status with $options" "$rc" 1
			has "message with $options" "$(cat "$dir/err.try")" 'blogserve: standard output: '
			[ ! -e pid ] || fail 'it left its pid'
		done
	done
}

# A build makes the pages of the paths that it is told: one of them is taken for a product, by mistake.
t_tells_no_paths_to_a_build_that_is_to_be_sure() {
	put src/other one
	blog 'echo "$BLOGSERVE_BUILD" >>"$dir/started"; "$helper" nap 150
	for path in ${BLOGSERVE_CHANGED:-src/*}; do cp "$path" site/; done'
	i=0
	until grep 'src/post: changed by builds alone' "$err"; do
		i=$((i + 1))
		wait_for started $i
		echo "text $i" >src/post
	done
	wait_for quiet
	i=$(builds)
	echo another >src/other
	wait_for started $((i + 1))
	echo last >src/post
	wait_for built $((i + 1))
	echo 'and another' >src/other
	wait_for page_has /other 'and another'
	wait_for page_has /post last
	# one that is to be sure shows that somebody else saves it
	before=$(grep -c ': once more: ok' "$err")
	for text in later 'at once'; do
		i=$(builds)
		echo "$text" >src/other
		wait_for started $((i + 1))
		echo "$text" >src/post
		wait_for page_has /post "$text"
	done
	is 'builds to be sure' "$(grep -c ': once more: ok' "$err")" $((before + 1))
}

# --- running them ---

sentence() { # name
	printf '%s\n' "${1#t_}" | tr _ ' '
}

run_case() { # name
	dir=$tmp/$1
	mkdir -p "$dir/here" "$dir/tmp"
	: >"$dir/pids"
	{ cd "$dir/here" && TMPDIR=$dir/tmp && export TMPDIR && "$1"; } >"$dir/said" 2>&1 &
	case_pid=$!
	{ exec "$helper" watchdog $((30000 * SLOW)) "$case_pid"; } >>"$dir/said" 2>&1 &
	dog=$!
	rc=0
	wait "$case_pid" 2>/dev/null || rc=$?
	# its number may soon be another's
	case_pid=
	kill "$dog" 2>/dev/null
	wait "$dog" 2>/dev/null
	dog=
	[ ! -e "$dir/skip" ] || rc=0
	if ! "$helper" end <"$dir/pids"; then
		echo 'a process would not end' >>"$dir/said"
		rc=1
	fi
}

# Writes down what came of a case, as TAP.
tell() { # number name
	if [ "$rc" -ne 0 ]; then
		echo "not ok $1 - $(sentence $2)"
		for file in "$dir/said" "$dir"/err.* "$dir"/screen.*; do
			[ ! -s "$file" ] || { printf '%s:\n' "${file##*/}"; tail -n 20 "$file"; echo; }
		done | sed 's/^/# /'
	elif [ -e "$dir/skip" ]; then
		echo "ok $1 - $(sentence $2) # SKIP $(cat "$dir/skip")"
	else
		echo "ok $1 - $(sentence $2)"
	fi
}

# One of JOBS workers: each takes the next case that no other has taken.
work() { # name ...
	number=0
	case_pid='' dog=''
	trap '"$helper" watchdog 0 "$case_pid"; [ -z "$dog" ] || kill $dog; "$helper" end <"$dir/pids"; exit 1' TERM
	for name; do
		number=$((number + 1))
		mkdir "$tmp/$number" 2>/dev/null || continue
		run_case "$name"
		tell "$number" "$name" >"$tmp/$number/tap"
		rm -rf "$dir"
		mv "$tmp/$number/tap" "$tmp/$number.tap"
	done
}

all=$(sed -n 's/^\(t_[A-Za-z0-9_]*\)() {.*/\1/p' "$self")
case ${1-} in
-l)
	for name in $all; do
		sentence $name
	done
	exit
	;;
helper)
	[ $# -eq 2 ] || { echo 'usage: sh test.sh helper file' >&2; exit 2; }
	build_helper "$2"
	rm "$2.c"
	exit
	;;
esac
names=
for name; do
	name=t_$(printf '%s\n' "${name#t_}" | tr ' ' _)
	case "$newline$all$newline" in
	*"$newline$name$newline"*) names="$names $name" ;;
	*) echo "test.sh: no such case: $name" >&2; exit 2 ;;
	esac
done
set -- ${names:-$all}

( umask 077; mkdir "$tmp" ) || exit 1
workers=
clean() {
	trap '' EXIT HUP INT TERM
	[ -z "$workers" ] || kill $workers 2>/dev/null
	for worker in $workers; do
		while "$helper" alive "$worker"; do
			"$helper" nap 20
		done
	done
	rm -rf "$tmp"
}
trap clean EXIT
trap 'clean; exit 130' INT
trap 'clean; exit 143' HUP TERM
build_helper "$helper"

working() {
	for worker in $workers; do
		! "$helper" alive "$worker" || return 0
	done
	return 1
}

echo "1..$#"
while [ "$(echo $workers | wc -w)" -lt "$JOBS" ]; do
	work "$@" &
	workers="$workers $!"
done
number=0 passed=0 skipped=0 failed=
for name; do
	number=$((number + 1))
	until [ -e "$tmp/$number.tap" ]; do
		nap 20
		working || [ -e "$tmp/$number.tap" ] || echo "not ok $number - $name: who ran it is dead" >"$tmp/$number.tap"
	done
	cat "$tmp/$number.tap"
	case $(head -n 1 "$tmp/$number.tap") in
	*'# SKIP '*) skipped=$((skipped + 1)) ;;
	ok*) passed=$((passed + 1)) ;;
	*) failed="$failed $name" ;;
	esac
done
wait
workers=
clean
for name in $failed; do
	echo "# failed: $(sentence $name)"
done
[ $skipped -eq 0 ] && skipped= || skipped=", $skipped skipped"
echo "$passed passed, $(echo $failed | wc -w | tr -d ' ') failed$skipped"
[ -z "$failed" ]
