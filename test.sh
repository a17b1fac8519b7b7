#!/bin/sh
# test.sh: what blogserve promises, a case for each; prints TAP.
#
#	sh test.sh [name ...]
#	sh test.sh bench
#
# BLOGSERVE	the program, perhaps behind a wrapper; split at blanks ("valgrind -q ./blogserve")
# HOSTCC	compiles the helper and the tables of pure functions
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

# --- the program ---

# Whatever is started in the background is written down, and struck off once it was waited for. It is
# started by exec: in yash and ksh93 $! is else a shell that waits for it, and it would be left over.
note() { # pid
	echo "$1" >>"$dir/pids"
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
	port=${url#http://*:}
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

# It cannot start, and says why in a line that begins so.
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

gone() {
	rc=0
	wait "$pid" || rc=$?
	note "-$pid"
}

leave() { # signal
	kill -"$1" "$pid"
	gone
}

# It ends well; names: all that is left here.
ends() { # signal [name ...]
	leave "$1"
	shift
	is 'exit status' "$rc" 0
	[ $# -eq 0 ] || is 'what is left' "$(ls -A)" "$(printf '%s\n' "$@")"
}

take() { # port, 0 for any
	{ exec "$helper" listen "$1"; } >"$dir/taken" &
	note $!
	wait_for [ -s "$dir/taken" ]
}

leaves_within() { # ms
	before=$("$helper" now)
	ends INT
	took=$(($("$helper" now) - before))
	[ "$took" -lt $(($1 * SLOW)) ] || fail "took $took ms to leave"
}

# At rest the server is the only child; it comes after the URL.
server() {
	wait_for has_child
	echo "$server"
}

has_child() {
	server=$("$helper" children "$pid")
	[ -n "$server" ]
}

dead() { # pid
	! "$helper" alive "$1"
}

get() { # [option ...] path
	"$helper" http -b "$@"
}

told() { # field of the status
	get /.blogserve/status | sed -n "s/^$1: //p"
}

status() { # [option ...] path
	"$helper" http -s "$@"
}

# A file that may change unseen has none as yet.
tag_of() { # [option ...] path
	wait_for has_tag "$@"
	cat "$dir/tag"
}

has_tag() {
	"$helper" http -f ETag "$@" >"$dir/tag"
	grep '^".*"$' "$dir/tag" >/dev/null
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

page_lacks() { # path text
	! page_has "$@"
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

# A build that takes until there is $dir/go; written as one operand for sh -c.
slow_build='echo "$BLOGSERVE_BUILD" >>"$dir/started"
'"$gate"'
cat src/post >site/a.txt'

started() { # number
	[ -e "$dir/started" ] && [ "$(wc -l <"$dir/started")" -ge "$1" ]
}

# Runs a command on a terminal of its own; then "type 03" and the like are orders to it.
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
	mkfifo "$dir/orders.$count"
	{ IFS=$newline; set -f
	exec "$helper" pty $options -p "$dir/leader" $program "$@"; } \
	    <"$dir/orders.$count" >"$out" &
	pty=$!
	note "$pty"
	exec 3>"$dir/orders.$count"
}

on_screen() {
	url=$(sed -n 's|^\(http://[^ ]*/\)$|\1|p' "$out")
	[ -n "$url" ]
}

type_() { # hex ...
	echo "type $*" >&3
}

left_terminal() {
	rc=0
	wait "$pty" || rc=$?
	note "-$pty"
	exec 3>&-
}

# --- the helper: what sh cannot do ---

build_helper() {
	cat >"$helper.c" <<'END'
#define _XOPEN_SOURCE 700
#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
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

/* What an exchange came to; the exit status of http and raw. */
enum { WHOLE = 0, USAGE = 1, REFUSED = 2, SHORT = 3, LATE = 4, RESET = 5, GARBLED = 6 };

struct text { char *at; size_t len, size; };

static const struct { const char *name; int number; } signals[] = {
	{ "HUP", SIGHUP }, { "INT", SIGINT }, { "QUIT", SIGQUIT }, { "PIPE", SIGPIPE },
	{ "TERM", SIGTERM }, { "CHLD", SIGCHLD }, { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 },
	{ "TSTP", SIGTSTP }, { "TTIN", SIGTTIN }, { "TTOU", SIGTTOU }, { "ALRM", SIGALRM }
};
enum { SIGNALS = sizeof signals / sizeof signals[0] };

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

/* Takes http://host:port/path apart, in place; a bare path is one of $url's. */
static void
url_split(const char *url, char *host, char *port, const char **path)
{
	const char *base = url[0] == '/' ? getenv("url") : url, *p;
	size_t n;

	if (base == NULL || strncmp(base, "http://", 7) != 0 ||
	    strlen(base) > 4000) {
		fprintf(stderr, "helper: not a URL: %s\n", base ? base : url);
		exit(USAGE);
	}
	p = base + 7;
	n = *p == '[' ? strcspn(p, "]") + 1 : strcspn(p, ":/");
	sprintf(host, "%.*s", (int)(n > 200 ? 200 : n), p);
	p += n;
	strcpy(port, "80");
	if (*p == ':') {
		n = strcspn(++p, "/");
		sprintf(port, "%.*s", (int)(n > 9 ? 9 : n), p);
		p += n;
	}
	*path = url[0] == '/' ? url : p;
}

static int
url_connect(const char *host, const char *port)
{
	struct addrinfo want, *found;
	char bare[256];
	int fd;

	sprintf(bare, "%.250s", host[0] == '[' ? host + 1 : host);
	bare[strcspn(bare, "]")] = '\0';
	memset(&want, 0, sizeof want);
	want.ai_flags = AI_NUMERICHOST;
	want.ai_socktype = SOCK_STREAM;
	if (getaddrinfo(bare, port, &want, &found) != 0)
		exit(USAGE);
	if ((fd = socket(found->ai_family, SOCK_STREAM, 0)) < 0)
		die("socket");
	if (connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

static int
send_all(int fd, const char *at, size_t len)
{
	ssize_t n;

	for (; len > 0; at += n, len -= (size_t)n)
		if ((n = write(fd, at, len)) < 0)
			return -1;
	return 0;
}

/* Reads what there is into in: WHOLE, SHORT at the end, RESET, LATE past the deadline. */
static int
receive(int fd, struct text *in, long until)
{
	struct pollfd p;
	char piece[65536];
	long left = until - now();
	ssize_t n;

	p.fd = fd;
	p.events = POLLIN;
	if (left <= 0 || poll(&p, 1, (int)left) <= 0)
		return LATE;
	if ((n = read(fd, piece, sizeof piece)) > 0)
		text_add(in, piece, (size_t)n);
	return n > 0 ? WHOLE : n == 0 ? SHORT : RESET;
}

/* The value of a field in a head that ends at body, or NULL; for the length of the line. */
static const char *
field(const char *head, const char *body, const char *name, size_t *len)
{
	const char *line = head;
	size_t n = strlen(name);

	while ((line = strstr(line, "\r\n")) != NULL && (line += 2) < body)
		if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
			line += n + 1;
			line += strspn(line, " ");
			*len = strcspn(line, "\r");
			return line;
		}
	return NULL;
}

/* Reads one response to its end. *head is the length of its head, *all of the whole. */
static int
response_read(int fd, struct text *in, const char *method, long until, size_t *head, size_t *all)
{
	const char *body, *value;
	size_t len;
	int how, by_close;

	while (in->len == 0 || (body = strstr(in->at, "\r\n\r\n")) == NULL)
		if ((how = receive(fd, in, until)) != WHOLE)
			return how;
	body += 4;
	*head = *all = (size_t)(body - in->at);
	if (strncmp(in->at, "HTTP/1.", 7) != 0 || in->len < 12)
		return GARBLED;
	if (strcmp(method, "HEAD") == 0 || strncmp(in->at + 9, "304", 3) == 0)
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
response_print(const char *at, size_t head, size_t all, int what, const char *name)
{
	const char *value;
	size_t i, len;

	if (what == 's')
		printf("%.3s\n", all >= 12 ? at + 9 : "");
	else if (what == 'f' && (value = field(at, at + head, name, &len)) != NULL)
		printf("%.*s\n", (int)len, value);
	else if (what == 'i')
		for (i = 0; i < head && i < all; i++) {
			if (at[i] != '\r')
				putchar(at[i]);
		}
	else if (what == 'b' && all > head)
		fwrite(at + head, 1, all - head, stdout);
	else if (what == 0)
		fwrite(at, 1, all, stdout);
}

/*
 * http [-01bis] [-f name] [-H 'name: value'] [-n times] [-t ms] [-X method] url: prints the response,
 * only its body, head, status or one field; -n asks again on the same connection.
 */
static int
http(int argc, char **argv)
{
	struct text request = { 0 }, in = { 0 };
	char host[256], port[16], line[8192];
	const char *method = "GET", *fields = "", *name = "", *path, *minor = "1";
	long ms = 20000, until;
	size_t head = 0, all = 0;
	int c, fd, how = WHOLE, times = 1, what = 0, hosted = 0;
	struct text extra = { 0 };

	while ((c = getopt(argc, argv, "01bf:H:in:st:X:")) != -1)
		switch (c) {
		case '0': case '1': minor = c == '0' ? "0" : "1"; break;
		case 'f': name = optarg; /* FALLTHROUGH */
		case 'b': case 'i': case 's': what = c; break;
		case 'H':
			hosted |= strncasecmp(optarg, "Host:", 5) == 0;
			text_add(&extra, optarg, strlen(optarg));
			text_add(&extra, "\r\n", 2);
			fields = extra.at;
			break;
		case 'n': times = atoi(optarg); break;
		case 't': ms = atol(optarg); break;
		case 'X': method = optarg; break;
		default: return USAGE;
		}
	if (optind != argc - 1)
		return USAGE;
	until = now() + ms * slow;
	url_split(argv[optind], host, port, &path);
	if (strlen(path) > 6000)
		return USAGE;
	sprintf(line, "%s %s HTTP/1.%s\r\n", method, *path ? path : "/", minor);
	text_add(&request, line, strlen(line));
	if (!hosted) {
		sprintf(line, "Host: %s:%s\r\n", host, port);
		text_add(&request, line, strlen(line));
	}
	text_add(&request, fields, strlen(fields));
	text_add(&request, "\r\n", 2);
	if ((fd = url_connect(host, port)) < 0)
		return REFUSED;
	for (; times > 0 && how == WHOLE; times--) {
		if (send_all(fd, request.at, request.len) != 0)
			return RESET;
		how = response_read(fd, &in, method, until, &head, &all);
		if (how != WHOLE && in.len == 0)
			break;
		response_print(in.at, head, all, what, name);
		memmove(in.at, in.at + all, in.len - all + 1);
		in.len -= all;
	}
	return how;
}

/*
 * raw [-cp] [-d ms] [-g file] [-m file] [-s ms] [-t ms] url: sends standard input as it is and prints
 * what comes, until the other side closes. -c closes its half after sending, -d sends a byte every
 * ms, -m makes a file once all is sent, -s waits before it reads, -g until a file is there, -p prints
 * at once.
 */
static int
raw(int argc, char **argv)
{
	struct text in = { 0 }, out = { 0 };
	char host[256], port[16], piece[4096];
	const char *path, *gate = NULL, *mark = NULL;
	long ms = 10000, drip = 0, silent = 0, until;
	int c, fd, how, half = 0, soon = 0;
	ssize_t n;
	size_t i;

	while ((c = getopt(argc, argv, "cd:g:m:ps:t:")) != -1)
		switch (c) {
		case 'c': half = 1; break;
		case 'd': drip = atol(optarg); break;
		case 'g': gate = optarg; break;
		case 'm': mark = optarg; break;
		case 'p': soon = 1; break;
		case 's': silent = atol(optarg); break;
		case 't': ms = atol(optarg); break;
		default: return USAGE;
		}
	if (optind != argc - 1)
		return USAGE;
	until = now() + ms * slow;
	url_split(argv[optind], host, port, &path);
	while ((n = read(0, piece, sizeof piece)) > 0)
		text_add(&in, piece, (size_t)n);
	if ((fd = url_connect(host, port)) < 0)
		return REFUSED;
	for (i = 0; drip > 0 && i < in.len && now() < until; i++, nap(drip))
		if (send_all(fd, in.at + i, 1) != 0)
			break;
	if (drip == 0 && in.len > 0)
		send_all(fd, in.at, in.len);
	if (half)
		shutdown(fd, SHUT_WR);
	if (mark != NULL && (c = open(mark, O_WRONLY | O_CREAT, 0666)) < 0)
		die(mark);
	nap(silent);
	while (gate != NULL && access(gate, F_OK) != 0 && now() < until && !told_to_end)
		nap(5);
	while ((how = receive(fd, &out, until)) == WHOLE)
		if (soon) {
			fwrite(out.at, 1, out.len, stdout);
			fflush(stdout);
			out.len = 0;
		}
	if (out.len > 0)
		fwrite(out.at, 1, out.len, stdout);
	return how == SHORT ? WHOLE : how;
}

/*
 * hammer ms text url: asks without pause for that long, times SLOW; every answer must be whole and hold the text.
 * Says how many there were.
 */
static int
hammer(long ms, const char *text, const char *url)
{
	struct text in = { 0 };
	char host[256], port[16], line[4400];
	const char *path;
	long until = now() + ms * slow;
	size_t head, all;
	int fd, n, how;

	url_split(url, host, port, &path);
	sprintf(line, "GET %.4000s HTTP/1.0\r\nHost: %s\r\n\r\n", path, host);
	for (n = 0; now() < until; n++, close(fd)) {
		in.len = head = 0;
		if ((fd = url_connect(host, port)) < 0)
			return REFUSED;
		how = send_all(fd, line, strlen(line)) != 0 ? RESET :
		    response_read(fd, &in, "GET", until + 20000 * slow, &head, &all);
		if (how != WHOLE || in.len == 0 || strstr(in.at + head, text) == NULL) {
			printf("answer %d, how %d: %s\n", n, how, in.len > 0 ? in.at : "");
			return GARBLED;
		}
	}
	printf("%d\n", n);
	return WHOLE;
}

/* idle n url: asks once on every other one of n connections, and holds them until it is ended; says how many it got. */
static int
idle(int argc, char **argv)
{
	static const char head[] = "HEAD /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct rlimit files;
	char host[256], port[16];
	const char *path;
	int i, n, fd;

	if (argc != 3)
		return USAGE;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	url_split(argv[2], host, port, &path);
	for (i = 0, n = atoi(argv[1]); i < n && (fd = url_connect(host, port)) >= 0; i++)
		if (i % 2 == 0)
			send_all(fd, head, sizeof head - 1);
	printf("%d\n", i);
	fflush(stdout);
	while (!told_to_end)
		pause();
	return 0;
}

/* A listener on 127.0.0.1, at any port for 0; *port is where. */
static int
loopback(int backlog, int *port)
{
	struct sockaddr_in a;
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	memset(&a, 0, sizeof a);
	a.sin_family = AF_INET;
	a.sin_addr.s_addr = htonl(0x7f000001);
	a.sin_port = htons((unsigned short)*port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, backlog) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		return -1;
	*port = ntohs(a.sin_port);
	return fd;
}

/* listen port: takes a port of 127.0.0.1, says which, and keeps it until it is ended. */
static int
take_port(int argc, char **argv)
{
	int port = argc == 2 ? atoi(argv[1]) : 0;

	if (loopback(1, &port) < 0) {
		printf("taken\n");
		return USAGE;
	}
	printf("%d\n", port);
	fflush(stdout);
	while (!told_to_end)
		pause();
	return 0;
}

/* ipv6: is there a ::1 to listen on? */
static int
ipv6(void)
{
	struct sockaddr_in6 a;
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	memset(&a, 0, sizeof a);
	a.sin6_family = AF_INET6;
	a.sin6_addr.s6_addr[15] = 1;
	return fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0;
}

/* A process that has ended but whom nobody has waited for is not alive. */
static int
alive(pid_t pid)
{
	char name[64], line[512], *state;
	FILE *f;

	if (kill(pid, 0) != 0 && errno == ESRCH)
		return 0;
	sprintf(name, "/proc/%ld/stat", (long)pid);
	line[0] = '\0';
	if ((f = fopen(name, "r")) == NULL)
		return 1;
	if (fgets(line, sizeof line, f) == NULL)
		line[0] = '\0';
	fclose(f);
	state = strrchr(line, ')');
	return state == NULL || (state[2] != 'Z' && state[2] != 'X');
}

/* The children of a process that are alive. */
static int
children(long of, pid_t *child, int max)
{
	long pid, parent;
	char line[256];
	int n = 0;
	FILE *f = popen("ps -A -o pid= -o ppid= 2>/dev/null || ps -o pid,ppid", "r");

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "%ld %ld", &pid, &parent) == 2 && parent == of &&
		    alive((pid_t)pid) && n < max)
			child[n++] = (pid_t)pid;
	if (f != NULL)
		pclose(f);
	return n;
}

/*
 * end: the processes whose numbers stand on standard input; gently, then not. -pid strikes one off:
 * it was waited for, and its number may be another's by now.
 */
static int
end_all(void)
{
	static const struct { int number; long ms; } blow[] = {
		{ SIGTERM, 300 }, { SIGTERM, 4000 }, { SIGKILL, 2000 }
	};
	pid_t pid[256];
	long p, until;
	int i, k, n = 0, left;

	while (n < 256 && scanf("%ld", &p) == 1) {
		if (p > 1)
			pid[n++] = (pid_t)p;
		for (i = 0; p < -1 && i < n; i++)
			if (pid[i] == (pid_t)-p)
				pid[i--] = pid[--n];
	}
	for (k = 0, left = n; k < 3 && left > 0; k++) {
		for (i = 0; i < n; i++)
			if (alive(pid[i])) {
				kill(pid[i], blow[k].number);
				kill(pid[i], SIGCONT);
			}
		for (until = now() + blow[k].ms * slow; ; nap(5)) {
			for (left = i = 0; i < n; i++)
				left += alive(pid[i]);
			if (left == 0 || now() > until)
				break;
		}
	}
	return left > 0;
}

/* watchdog ms pid: ends a case that takes too long, and what it waits for. */
static int
watchdog(long ms, pid_t pid)
{
	long until = now() + ms;
	pid_t child[64];
	int n;

	/* never outlives the case: its number may soon be another's */
	while (now() < until) {
		if (told_to_end || !alive(pid))
			return 0;
		nap(200);
	}
	if (pid < 2 || !alive(pid))
		return 0;
	printf("took longer than %ld s\n", ms / 1000);
	n = children((long)pid, child, 64);
	kill(pid, SIGKILL);
	while (n > 0)
		kill(child[--n], SIGTERM);
	return 0;
}

/* datagrams path: a socket there; prints what comes, each on a line of its own. */
static int
datagrams(const char *path)
{
	struct sockaddr_un a;
	char got[4096];
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0), i;
	ssize_t n;

	memset(&a, 0, sizeof a);
	a.sun_family = AF_UNIX;
	sprintf(a.sun_path, "%.90s", path);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0)
		die(path);
	while (!told_to_end && (n = recv(fd, got, sizeof got, 0)) >= 0) {
		for (i = 0; i < n; i++)
			putchar(got[i] == '\n' ? '|' : got[i]);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}

/* A listener at descriptor 3, and the variables that tell of it; $given is its port. */
static void
listener_pass(void)
{
	char text[32];
	int port = 0, fd = loopback(5, &port);

	if (fd < 0 || (fd != 3 && dup2(fd, 3) != 3))
		die("listener");
	sprintf(text, "%d", port);
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
run(int argc, char **argv)
{
	struct rlimit files;
	struct passwd *pw;
	pid_t pid;
	long ms = 0, until;
	int c, i, status, pass = 0;

	signals_reset();
	while ((c = getopt(argc, argv, "+c:i:ln:t:u:")) != -1)
		switch (c) {
		case 'c': close(atoi(optarg)); break;
		case 'i':
			for (i = 0; i < SIGNALS; i++)
				if (strcmp(signals[i].name, optarg) == 0)
					signal(signals[i].number, SIG_IGN);
			break;
		case 'l': pass = 1; break;
		case 'u':
			if ((pw = getpwnam(optarg)) == NULL || setgid(pw->pw_gid) != 0 ||
			    setuid(pw->pw_uid) != 0)
				die(optarg);
			break;
		case 'n':
			files.rlim_cur = files.rlim_max = (rlim_t)atol(optarg);
			setrlimit(RLIMIT_NOFILE, &files);
			break;
		case 't': ms = atol(optarg) * slow; break;
		default: return USAGE;
		}
	if (optind >= argc)
		return USAGE;
	if (ms > 0 && (pid = fork()) > 0) {
		signal(SIGTERM, end);
		for (until = now() + ms; waitpid(pid, &status, WNOHANG) == 0; nap(2))
			if (told_to_end || now() > until) {
				fprintf(stderr, "helper: still there after %ld ms: %s\n", ms, argv[optind]);
				kill(pid, SIGKILL);
				waitpid(pid, &status, 0);
				return 124;
			}
		return exit_status(status);
	}
	if (pass)
		listener_pass();
	execvp(argv[optind], argv + optind);
	die(argv[optind]);
	return 127;
}

/* pty, the process that leads the terminal's session: a shell of one job that can be stopped. */
static void
job(char **argv, int ready)
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
		signals_reset();
		execvp(argv[0], argv);
		die(argv[0]);
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
pty_child(const char *name, int ready, char **argv, int stoppable)
{
	int fd;

	setsid();
	if ((fd = open(name, O_RDWR)) < 0)
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
	signals_reset();
	if (stoppable)
		job(argv, ready);
	execvp(argv[0], argv);
	die(argv[0]);
}

static void
pty_order(int master, pid_t pid, char *line)
{
	char *word = strtok(line, " "), byte;

	if (word != NULL && strcmp(word, "fg") == 0)
		kill(pid, SIGUSR1);
	else if (word != NULL && strcmp(word, "type") == 0)
		while ((word = strtok(NULL, " ")) != NULL) {
			byte = (char)strtol(word, NULL, 16);
			send_all(master, &byte, 1);
		}
}

/*
 * pty [-j] [-p file] command: runs it on a terminal of its own, whose screen is our standard
 * output. Orders come on standard input, a line each: "type 03" types bytes, "fg" continues a
 * stopped job. -j: the command is a job of the session's leader, so that ^Z works; -p: a file for
 * the number of the process that was started. Ends as the command ends.
 */
static int
pty(int argc, char **argv)
{
	struct pollfd p[2];
	char piece[4096], line[256], name[64], *next;
	const char *pidfile = NULL;
	size_t i, k, len = 0;
	int c, master, slave, ready[2], status, stoppable = 0;
	ssize_t n;
	pid_t pid;
	FILE *f;

	while ((c = getopt(argc, argv, "+jp:")) != -1)
		switch (c) {
		case 'j': stoppable = 1; break;
		case 'p': pidfile = optarg; break;
		default: return USAGE;
		}
	if (optind >= argc)
		return USAGE;
	if ((master = posix_openpt(O_RDWR | O_NOCTTY)) < 0 || grantpt(master) != 0 ||
	    unlockpt(master) != 0)
		die("posix_openpt");
	/* held open until the child has it: else the master could see a hang-up first */
	if ((slave = open(ptsname(master), O_RDWR | O_NOCTTY)) < 0)
		die("ptsname");
	fcntl(slave, F_SETFD, FD_CLOEXEC);
	if (pipe(ready) != 0)
		die("pipe");
	sprintf(name, "%.60s", ptsname(master));
	if ((pid = fork()) == 0) {
		close(master);
		close(ready[0]);
		pty_child(name, ready[1], argv + optind, stoppable);
	}
	/* keys typed before the terminal is the command's would be lost */
	close(ready[1]);
	if (read(ready[0], piece, 1) != 0)
		die("ready");
	if (pidfile != NULL && (f = fopen(pidfile, "w")) != NULL) {
		fprintf(f, "%ld\n", (long)pid);
		fclose(f);
	}
	p[0].fd = master;
	p[1].fd = 0;
	p[0].events = p[1].events = POLLIN;
	while (!told_to_end) {
		if (poll(p, 2, 20) > 0 && p[1].revents != 0) {
			if ((n = read(0, line + len, sizeof line - 1 - len)) <= 0)
				p[1].fd = -1;
			else
				len += (size_t)n;
			line[len] = '\0';
			while ((next = strchr(line, '\n')) != NULL) {
				*next++ = '\0';
				pty_order(master, pid, line);
				len -= (size_t)(next - line);
				memmove(line, next, len + 1);
			}
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

/* fds: which descriptors below 1024 are open, and whether 0 is /dev/null. */
static int
fds(void)
{
	struct stat in, null;
	int fd;

	printf("fds:");
	for (fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) != -1)
			printf(" %d", fd);
	if (fstat(0, &in) == 0 && stat("/dev/null", &null) == 0 && in.st_rdev == null.st_rdev &&
	    S_ISCHR(in.st_mode))
		printf(" null");
	printf("\n");
	return 0;
}

/* sigs: whether it leads its session, what is blocked and what is ignored. */
static int
sigs(void)
{
	struct sigaction was;
	sigset_t mask;
	int i;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	printf("leader:%s", getsid(0) == getpid() ? " yes" : " no");
	printf(" blocked:");
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

/* fill n [text]: that many bytes; the text's first, or not all alike. */
static int
fill(long n, const char *text)
{
	unsigned long x = 1;

	for (; n > 0; n--) {
		x = x * 1103515245UL + 12345UL;
		putchar(text != NULL ? *text : (int)(x >> 16 & 255));
	}
	return fflush(stdout) != 0;
}

/* --- for make bench: a server that does nothing but answer, and a load --- */

enum { BENCH_CONNS = 64 };

/* An answer of so many bytes to whatever comes, as fast as poll, read and write allow. */
static int
canned(long size)
{
	static struct pollfd p[BENCH_CONNS + 1];
	static char got[4096];
	char *answer = malloc((size_t)size + 256);
	int i, n = 1, port = 0, total;

	p[0].fd = loopback(64, &port);
	p[0].events = POLLIN;
	if (answer == NULL || p[0].fd < 0)
		die("canned");
	total = sprintf(answer, "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n"
	    "Connection: keep-alive\r\nContent-Length: %ld\r\n\r\n", size);
	memset(answer + total, 'x', (size_t)size);
	total += (int)size;
	printf("http://127.0.0.1:%d/\n", port);
	fflush(stdout);
	while (!told_to_end) {
		if (poll(p, (nfds_t)n, -1) <= 0)
			continue;
		for (i = n - 1; i > 0; i--)
			if (p[i].revents != 0 && (read(p[i].fd, got, sizeof got) <= 0 ||
			    write(p[i].fd, answer, (size_t)total) != total)) {
				close(p[i].fd);
				p[i] = p[--n];
			}
		if (p[0].revents != 0 && n <= BENCH_CONNS &&
		    (p[n].fd = accept(p[0].fd, NULL, NULL)) != -1)
			p[n++].events = POLLIN;
	}
	return 0;
}

/* Requests a second, of the same answer over kept connections, for so many milliseconds. */
static int
load(long ms, const char *url)
{
	static struct pollfd p[BENCH_CONNS];
	static long got[BENCH_CONNS];
	static char buf[256 * 1024];
	char host[256], port[16], request[512];
	const char *path, *length, *body;
	long whole, count = 0, until;
	ssize_t n;
	int i, len;

	url_split(url, host, port, &path);
	len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
	for (i = 0; i < BENCH_CONNS; i++) {
		p[i].fd = url_connect(host, port);
		p[i].events = POLLIN;
		if (write(p[i].fd, request, (size_t)len) != len)
			die(url);
	}
	n = recv(p[0].fd, buf, 4096, MSG_PEEK);
	buf[n > 0 ? n : 0] = '\0';
	length = strstr(buf, "Content-Length: ");
	body = strstr(buf, "\r\n\r\n");
	if (length == NULL || body == NULL)
		die("no length");
	whole = body + 4 - buf + atol(length + 16);
	for (until = now() + ms; now() < until; )
		for (i = poll(p, BENCH_CONNS, 1000) > 0 ? 0 : BENCH_CONNS; i < BENCH_CONNS; i++) {
			if (p[i].revents == 0)
				continue;
			if ((n = read(p[i].fd, buf, sizeof buf)) <= 0)
				die("the connection ended");
			if ((got[i] += n) < whole)
				continue;
			got[i] = 0;
			count++;
			if (write(p[i].fd, request, (size_t)len) != len)
				die(url);
		}
	printf("%ld\n", count * 1000 / ms);
	return 0;
}

/* The processor time that a process has used, in milliseconds. */
static int
cpu(pid_t pid)
{
	struct timespec t;
	clockid_t id;

	if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) != 0)
		return 1;
	return printf("%ld\n", (long)(t.tv_sec * 1000 + t.tv_nsec / 1000000)) < 0;
}

int
main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "", *env = getenv("SLOW");
	struct sigaction act;
	pid_t child[64];
	int n;

	if (env != NULL && atol(env) > 0)
		slow = atol(env);
	if (strcmp(verb, "run") == 0)
		return run(argc - 1, argv + 1);
	if (strcmp(verb, "sigs") == 0)
		return sigs();
	if (strcmp(verb, "fds") == 0)
		return fds();
	/* yash starts commands with signals blocked */
	sigemptyset(&act.sa_mask);
	sigprocmask(SIG_SETMASK, &act.sa_mask, NULL);
	act.sa_flags = 0;
	act.sa_handler = end;
	sigaction(SIGTERM, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (strcmp(verb, "watchdog") == 0 && argc == 4)
		return watchdog(atol(argv[2]), (pid_t)atol(argv[3]));
	if (strcmp(verb, "end") == 0)
		return end_all();
	/* whatever goes wrong, nothing of ours stays */
	alarm((unsigned)(60 * slow));
	if (strcmp(verb, "http") == 0)
		return http(argc - 1, argv + 1);
	if (strcmp(verb, "raw") == 0)
		return raw(argc - 1, argv + 1);
	if (strcmp(verb, "idle") == 0)
		return idle(argc - 1, argv + 1);
	if (strcmp(verb, "listen") == 0)
		return take_port(argc - 1, argv + 1);
	if (strcmp(verb, "pty") == 0)
		return pty(argc - 1, argv + 1);
	if (strcmp(verb, "ipv6") == 0)
		return ipv6();
	if (strcmp(verb, "now") == 0)
		return printf("%ld\n", now()) < 0;
	if (argc == 3 && strcmp(verb, "nap") == 0)
		nap(atol(argv[2]));
	else if (argc == 3 && strcmp(verb, "alive") == 0)
		return !alive((pid_t)atol(argv[2]));
	else if (argc == 3 && strcmp(verb, "children") == 0)
		for (n = children(atol(argv[2]), child, 64); n > 0; )
			printf("%ld\n", (long)child[--n]);
	else if (argc == 3 && strcmp(verb, "cpu") == 0)
		return cpu((pid_t)atol(argv[2]));
	else if (argc == 3 && strcmp(verb, "datagrams") == 0)
		return datagrams(argv[2]);
	else if (argc >= 3 && strcmp(verb, "fill") == 0)
		return fill(atol(argv[2]), argv[3]);
	else if (argc == 3 && strcmp(verb, "canned") == 0)
		return canned(atol(argv[2]));
	else if (argc == 4 && strcmp(verb, "load") == 0)
		return load(atol(argv[2]), argv[3]);
	else if (argc == 5 && strcmp(verb, "hammer") == 0)
		return hammer(atol(argv[2]), argv[3], argv[4]);
	else
		return USAGE;
	return 0;
}
END
	$HOSTCC -o "$helper" "$helper.c" || exit 1
}

# A program of the .c, with another main, which the function of that name prints.
compile() { # name
	{
		echo "#define main blogserve_main"
		echo "#include \"$source/blogserve.c\""
		echo "#undef main"
		"$1"
	} >"$1.c"
	$HOSTCC -o "$1" "$1.c" 2>"$dir/warnings" || fail "$(cat "$dir/warnings")"
}

# --- starting ---

t_prints_the_url_as_its_first_line_even_to_a_pipe() {
	mkfifo "$dir/pipe"
	{ IFS=$newline; set -f; exec "$helper" run $program -p 0; } >"$dir/pipe" 2>"$dir/err.1" &
	pid=$!
	note "$pid"
	exec 4<"$dir/pipe"
	read -r url <&4
	is 'status of the URL' "$(status "$url")" 200
	leave INT
	is 'the rest of standard output' "$(cat <&4)" ''
}

t_serves_on_both_loopback_addresses_at_the_same_port() {
	"$helper" ipv6 || skip 'no ::1 here'
	hello
	is 'by IPv4' "$(get "http://127.0.0.1:$port/a.txt")" hello
	is 'by IPv6' "$(get "http://[::1]:$port/a.txt")" hello
}

t_takes_the_next_free_port_when_8000_is_taken() {
	take 8000
	anyport=
	start
	case $port in
	# if it is not by us, it may be free by now
	8000) ! says "$dir/taken" 8000 || fail 'the port that is taken' ;;
	8[0-9][0-9][0-9]) ;;
	*) fail "port [$port] of [$url]" ;;
	esac
	is 'status' "$(status /)" 200
}

t_insists_on_the_port_that_was_named() {
	take 0
	port=$(cat "$dir/taken")
	fails "port $port: " -p "$port"
}

t_takes_any_port_for_port_0() {
	start
	first=$url
	start
	[ "$url" != "$first" ] || fail "twice $url"
	is 'the first' "$(status "$first")" 200
	is 'the second' "$(status "$url")" 200
}

t_listens_only_where_a_says() {
	"$helper" ipv6 || skip 'no ::1 here'
	start -a 127.0.0.1
	is 'there' "$(status /)" 200
	url="http://[::1]:$port/"
	refused || fail '::1 answers, too'
}

t_serves_to_all_addresses_when_told_to() {
	hello -a 0.0.0.0
	is 'any host' "$(get -H 'Host: blog.example' "http://127.0.0.1:$port/a.txt")" hello
}

t_prints_help_and_version_on_standard_output() {
	try -h
	is 'exit status of -h' "$rc" 0
	has 'help' "$(cat "$out")" 'blogserve ['
	has 'help' "$(cat "$out")" '-d docroot'
	try -V
	is 'exit status of -V' "$rc" 0
	has 'version' "$(cat "$out")" 'blogserve '
}

# Each line: the option and its value, then what the message names.
t_refuses_wrong_usage_with_the_synopsis() {
	while IFS=' ' read -r option value message; do
		set -- "$option"
		case $value in
		-) ;;
		nil) set -- "$option" '' ;;
		*) set -- "$option" "$value" ;;
		esac
		try "$@"
		is "exit status of $*" "$rc" 2
		is "standard output of $*" "$(cat "$out")" ''
		head -n 1 "$err" | grep "^blogserve: $message: ." >/dev/null ||
		    fail "$*: expected [blogserve: $message: ...] first in [$(cat "$err")]"
		has "synopsis after $*" "$(cat "$err")" 'blogserve ['
	done <<-END
		-z - -z
		-p - -p
		-d - -d
		-w - -w
		-p 99999 -p: 99999
		-p 65536 -p: 65536
		-p -1 -p: -1
		-p x -p: x
		-p 80x -p: 80x
		-p nil -p
		-i x -i: x
		-i -1 -i: -1
		-i 1x -i: 1x
		-i 1.2345.6 -i: 1.2345.6
		-k x -k: x
		-k -3 -k: -3
		-t x -t: x
		-t -1 -t: -1
	END
}

t_says_in_one_line_why_it_cannot_start() {
	put file text
	# longer than a name may be, so that none is asked for it
	nowhere=$("$helper" fill 64 n).invalid
	while IFS='|' read -r args message; do
		fails "$message: " $args
	done <<-END
		-p 0 -d missing|missing
		-p 0 -d file|file
		-p 0 -w missing|missing
		-p 0 -w missing true|missing
		-p 0 -a 192.0.2.1|192.0.2.1, port 0
		-p 0 -a $nowhere|$nowhere
		-p 0 missing-command with arguments|missing-command
		-p 0 ./file with arguments|./file
		-p 0 -d file true|file
	END
}

t_starts_with_the_standard_descriptors_closed() {
	put a.txt hello
	with=-c0
	start -x '*' 'echo "$BLOGSERVE_BUILD" >>"$dir/builds"'
	is 'without 0' "$(get /a.txt)" hello
	ends INT
	case $program in
	*"$newline"*) return ;; # a wrapper may need its own
	esac
	with="-c0$newline-c2"
	start -x '*' 'echo lost; echo lost >&2; echo "$BLOGSERVE_BUILD" >>"$dir/builds"'
	is 'without 0 and 2' "$(get /a.txt)" hello
	# a message that got into a pipe of its own would be taken for signals
	nap 200
	ends INT
	is 'builds' "$(cat "$dir/builds")" "1${newline}1"
}

# --- building ---

t_builds_before_it_serves_the_first_page() {
	mkdir site
	put site/a.txt old
	start -d site "'$helper' nap 200; echo new >site/a.txt"
	is 'first answer' "$(get /a.txt)" new
}

t_lets_the_first_build_make_the_docroot() {
	mkdir src
	start -d site -w src 'mkdir -p site; echo made >site/a.txt'
	is 'answer' "$(get /a.txt)" made
}

t_rebuilds_when_a_source_changes() {
	blog 'cat src/post >site/a.txt'
	is 'at first' "$(get /a.txt)" one
	shows two
}

t_watches_a_single_file() {
	put src/post one
	mkdir site
	start -d site -w src/post 'cat src/post >site/a.txt'
	wait_for built 1
	put src/other two
	nap 200
	is 'builds' "$(builds)" 1
	echo two >src/post
	wait_for page_has /a.txt two
	# the way most editors save
	shows three
	rm src/post
	echo four >src/post
	wait_for page_has /a.txt four
}

t_watches_more_than_one_path() {
	put theme/head two
	blog -w theme 'cat theme/head src/post >site/a.txt'
	wait_for built 1
	put theme/head three
	wait_for page_has /a.txt "three${newline}one"
	put src/post four
	wait_for page_has /a.txt "three${newline}four"
}

t_tells_on_a_line_how_each_build_went() {
	blog 'read -r how <src/post; [ "$how" != bad ] || exit 3; [ "$how" != worse ] || kill -9 $$'
	wait_for built 1
	put src/post bad
	wait_for built 2
	put src/post worse
	wait_for built 3
	kill -USR1 "$pid"
	wait_for built 4
	sed -n 's/ ([^)]*)\(, [0-9.]* s\)$/\1/; s/, [0-9]*\.[0-9][0-9] s$/, N s/p' "$err" >"$dir/lines"
	is 'lines' "$(cat "$dir/lines")" "blogserve: build 1: first build: ok, N s
blogserve: build 2: src/post: FAILED, exit status 3, N s
blogserve: build 3: src/post: FAILED, killed by signal 9, N s
blogserve: build 4: asked for: FAILED, killed by signal 9, N s"
}

t_goes_on_serving_and_building_after_a_failed_build() {
	blog '[ "$(cat src/post)" != bad ] && cat src/post >site/a.txt'
	is 'at first' "$(get /a.txt)" one
	put src/post bad
	wait_for says "$err" 'exit status 1'
	is 'after the failure' "$(get /a.txt)" one
	shows two
}

t_reports_a_command_that_sh_does_not_find() {
	start no-such-command
	wait_for says "$err" 'build 1: first build: FAILED, exit status 127'
	is 'status' "$(status /)" 200
}

t_gives_one_operand_to_sh_and_executes_more_as_they_are() {
	start -d . -x '*' 'echo $((1 + 1)) and more >"$dir/one"'
	wait_for built 1
	is 'one operand' "$(cat "$dir/one")" '2 and more'
	start -d . -x '*' printf '<%s>' 'a  b' '$HOME' '*' -p -z
	wait_for says "$err" '<a  b><$HOME><*><-p><-z>'
}

t_tells_the_build_what_changed() {
	put src/other one
	blog 'printf "%s|" "$BLOGSERVE_BUILD" "$BLOGSERVE_URL" $BLOGSERVE_CHANGED >"$dir/env"'
	wait_for built 1
	is 'the first build' "$(cat "$dir/env")" "1|$url|"
	put src/post two
	wait_for built 2
	is 'the second' "$(cat "$dir/env")" "2|$url|src/post|"
	rm src/post
	wait_for built 3
	is 'the third' "$(cat "$dir/env")" "3|$url|src/post|"
	put src/new/deep one
	put src/other two
	wait_for says "$dir/env" src/other
}

t_names_no_change_when_they_are_too_many_or_odd() {
	blog 'printf "%s\n" "$BLOGSERVE_CHANGED." >"$dir/changed"'
	wait_for built 1
	put src/post two
	wait_for built 2
	is 'one' "$(cat "$dir/changed")" "src/post$newline."
	put "src/of${newline}lines" one
	wait_for built 3
	is 'an odd one' "$(cat "$dir/changed")" .
	# in one step
	mkdir "$dir/many"
	i=1000
	while [ $((i += 1)) -le 1400 ]; do
		: >"$dir/many/$i.a-name-that-is-as-long-as-they-seldom-are-so-that-not-many-of-them-are-needed-to-be-more-than-64-KiB-in-all-which-takes-about-four-hundred-of-some-two-hundred-bytes-each"
	done
	mv "$dir/many" src
	wait_for built 4
	is 'too many' "$(cat "$dir/changed")" .
}

t_builds_once_more_after_changes_during_a_build() {
	put src/other one
	blog "$slow_build"'; printf "%s\n" $BLOGSERVE_CHANGED >"$dir/changed"'
	wait_for started 1
	put src/post two
	nap 100
	put src/other two
	nap 100
	put src/post three
	nap 100
	is 'builds begun' "$(cat "$dir/started")" 1
	put "$dir/go" now
	wait_for built 2
	is 'answer' "$(get /a.txt)" three
	is 'what changed' "$(sort <"$dir/changed")" "src/other${newline}src/post"
	nap 300
	is 'builds' "$(cat "$dir/started")" "1${newline}2"
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

t_gathers_changes_that_come_together_into_few_builds() {
	blog :
	wait_for built 1
	mkdir "$dir/new"
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		echo "$i" >"$dir/new/$i"
	done
	cp "$dir"/new/* src
	wait_for built 2
	nap 300
	[ "$(builds)" -le $((9 + SLOW)) ] || fail "$(builds) builds for one burst"
}

t_builds_though_changes_never_cease() {
	blog :
	wait_for built 1
	{ i=0
	while [ ! -e "$dir/enough" ]; do
		echo "$((i += 1))" >src/post
	done; } &
	note $!
	wait_for built 3
	put "$dir/enough" now
}

t_copies_what_the_build_prints_to_standard_error() {
	start -d . -x '*' 'echo to-out; echo to-err >&2; printf unfinished'
	wait_for built 1
	says "$err" to-out || fail "no output of the build: $(cat "$err")"
	says "$err" to-err || fail "no errors of the build: $(cat "$err")"
	says "$err" unfinished || fail "not its last line: $(cat "$err")"
	is 'standard output' "$(cat "$out")" "$url"
}

t_shows_what_a_build_prints_while_it_runs() {
	blog 'echo going on; "$helper" nap 200; echo and on; '"$slow_build"
	wait_for says "$err" 'going on'
	wait_for says "$err" 'and on'
	is 'builds' "$(builds)" 0
	put "$dir/go" now
	wait_for built 1
}

t_is_not_held_up_by_a_terminal_that_nobody_reads() {
	put src/post one
	mkdir site
	mkfifo "$dir/err.1"
	{ exec "$helper" nap $((20000 * SLOW)); } <"$dir/err.1" &
	note $!
	# more than any pipe holds
	start -d site -w src 'awk "BEGIN { for (i = 0; i < 20000; i++) print \"a line of forty bytes, one of very many\" }"
		cat src/post >site/a.txt'
	is 'at first' "$(get /a.txt)" one
	shows two
	ends INT
}

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

t_gives_the_build_no_input_and_no_descriptors_but_three() {
	input=$self
	# not by exec: some shells close such descriptors in what they start
	{ start -d . -x '*' "$helper" fds; } 7<"$self"
	wait_for built 1
	says "$err" 'fds: 0 1 2 null' || fail "$(grep fds "$err")"
}

t_runs_the_build_in_a_session_of_its_own_with_the_signals_it_was_given() {
	start -d . -x '*' "$helper" sigs
	wait_for built 1
	says "$err" 'leader: yes blocked: ignored:.' || fail "$(grep leader "$err")"
	with="-iINT$newline-iPIPE"
	start -d . -x '*' "$helper" sigs
	wait_for built 1
	says "$err" 'leader: yes blocked: ignored: INT PIPE.' || fail "$(grep leader "$err")"
}

t_sees_builds_end_though_SIGCHLD_was_ignored() {
	with=-iCHLD
	start -d . -x '*' 'exit 5'
	wait_for says "$err" 'exit status 5'
}

t_stops_a_build_that_takes_longer_than_k() {
	# the whole group is told: what the shell started, too
	start -k 1 -d . -x '*' '( trap "echo told >\"\$dir/told\"; exit" TERM
		while "$helper" nap 20; do :; done ) & wait'
	wait_for says "$err" 'build 1: longer than 1 s: stopping it'
	wait_for says "$err" 'build 1: first build: FAILED, killed by signal 15 ('
	wait_for says "$dir/told" told
	is 'status' "$(status /)" 200
}

t_kills_a_build_that_will_not_stop() {
	start -k 1 -d . -x '*' 'trap "" TERM; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1; done'
	wait_for says "$err" 'killed by signal 9 ('
}

t_serves_a_docroot_that_is_made_again_without_a_command() {
	put site/a.txt one
	start -d site
	is 'at first' "$(get /a.txt)" one
	rm -r site
	is 'removed' "$(status /a.txt)" 404
	put site/a.txt two
	wait_for page_has /a.txt two
}

t_only_serves_without_a_command() {
	put a.txt one
	start
	is 'at first' "$(get /a.txt)" one
	echo two >a.txt
	is 'at once' "$(get /a.txt)" two
	put b/c.txt three
	is 'new' "$(get /b/c.txt)" three
	nap 200
	is 'builds' "$(builds)" 0
}

# --- watching ---

# The site is a listing of all sources; it must come to be what the sources are.
all_sources='cd src && find . ! -name . -type f | LC_ALL=C sort | while read -r f; do printf "%s: " "$f"; cat "$f"; done'

settled() {
	( eval "$all_sources" ) >"$dir/want"
	cmp -s "$dir/want" site/all.txt
}

saves() {
	cat <<-'END'
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

every_kind_of_save() { # [option ...]
	put src/a one
	mkdir site
	start "$@" -d site -w src "($all_sources) >site/all.txt"
	wait_for settled
	saves >"$dir/saves"
	while read -r save; do
		eval "$save"
		echo "after: $save"
		wait_for settled
	done <"$dir/saves"
	# the same size, as fast as it goes
	for i in 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
		echo "$i" >src/a
		wait_for settled
	done
}

t_notices_every_kind_of_save() {
	every_kind_of_save
}

# Not by the slow scan, which comes every 2 s at most: it has just come when it has found what nothing else can.
t_is_notified_of_every_kind_of_save() {
	case $program in
	*"$newline"*) skip 'a wrapper is too slow' ;;
	esac
	put src/a one
	put src2/linked one
	ln src2/linked "$dir/outside"
	mkdir site
	start -d site -w src -w src2 "cat src2/linked >site/linked; ($all_sources) >site/all.txt"
	wait_for settled
	saves >"$dir/saves"
	scanned=-2000 number=0
	while read -r save; do
		if [ $(($("$helper" now) - scanned)) -gt 700 ]; then
			echo "$((number += 1))" >"$dir/outside"
			wait_for says site/linked $number
			scanned=$("$helper" now)
			wait_for settled
		fi
		eval "$save"
		echo "after: $save"
		wait_for settled
		[ $(($("$helper" now) - scanned)) -lt 1900 ] || fail 'too late'
	done <"$dir/saves"
}

# A write by a name outside is none in the directory that is watched.
t_finds_what_notification_cannot_tell() {
	put src/post one
	ln src/post "$dir/outside"
	mkdir site
	start -d site -w src 'cat src/post >site/a.txt'
	is 'at first' "$(get /a.txt)" one
	echo two >"$dir/outside"
	wait_for page_has /a.txt two
}

# Two saves of the same size so close that the clock of the file system may not tell them apart.
t_notices_a_second_save_in_the_same_instant() {
	put src/a 00
	mkdir site
	start -i 0.001 -d site -w src 'cat src/a >site/a.txt'
	i=100
	while [ $((i += 1)) -le 160 ]; do
		echo "$i" >src/a
		echo "$((i + 100))" >src/a
		want=$((i + 100))
		wait_for says site/a.txt "$want"
	done
}

t_notices_every_kind_of_save_by_scanning() {
	every_kind_of_save -i 0.05
}

t_makes_the_site_of_the_sources_as_they_are_after_many_changes() {
	mkdir -p src/d site
	start -d site -w src "($all_sources) >site/all.txt"
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
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

t_does_not_count_what_x_and_custom_name() {
	put src/post one
	put src/drafts/new one
	put src/sub/keep one
	mkdir site
	start -d site -w src -x '*.tmp' -x 'src/drafts' -x out 'echo "$BLOGSERVE_CHANGED" >>"$dir/changed"'
	wait_for built 1
	for name in .hidden .dir/file post~ '#post#' '.#post' post.swp .post.swp 4913 post.tmp drafts/new drafts/b out/a sub/out/a; do
		put "src/$name" two
	done
	nap 300
	is 'builds' "$(builds)" 1
	put src/post two
	wait_for says "$dir/changed" src/post
}

t_does_not_count_the_docroot_inside_the_sources() {
	put post one
	put public/a.txt old
	start -d public 'cat post >public/a.txt; date >public/now.txt'
	wait_for built 1
	put public/by-hand.txt new
	nap 300
	is 'builds' "$(builds)" 1
	put post two
	wait_for page_has /a.txt two
	nap 300
	is 'builds' "$(builds)" 2
}

t_follows_a_linked_directory_and_cuts_cycles() {
	put other/post one
	mkdir src site
	ln -s ../other src/linked
	ln -s . src/self
	ln -s .. src/up
	start -d site -w src 'cat other/post >site/a.txt'
	is 'at first' "$(get /a.txt)" one
	put other/post two
	wait_for page_has /a.txt two
	nap 300
	[ "$(builds)" -le 3 ] || fail "$(builds) builds for one change"
}

t_builds_again_when_a_source_was_another_during_a_build() {
	put src/a A
	put src/b b
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

t_does_not_count_what_it_writes_itself() {
	put src/post one
	mkdir site
	# where start() lets its output go, and the log
	ln -s "$dir" src/outside
	start -d site -w src -l "$dir/access" -x here -x started -x pids 'cat src/post >site/a.txt'
	wait_for built 1
	get /a.txt >/dev/null
	nap 700
	get /a.txt >/dev/null
	nap 300
	[ "$(builds)" -le 2 ] || fail "$(builds) builds"
	shows two
}

# A build that writes another number among the sources each time; what somebody else saves meanwhile counts.
t_stops_counting_what_builds_alone_change() {
	put "$dir/go" now
	blog 'echo "$BLOGSERVE_BUILD" >src/number; cat src/post >site/a.txt; '"$gate"
	wait_for built 1
	for post in two three four five; do
		wait_for quiet
		before=$(builds)
		shows $post
	done
	wait_for quiet
	is 'builds of the fourth save' "$(builds)" $((before + 1))
	is 'how often it says so' "$(grep -c "src/number: changed by builds alone: a product, not a source (-x 'src/number' says so from the start)" "$err")" 1
	before=$(builds)
	put src/number by hand
	wait_for built $((before + 1))
	wait_for quiet
	rm "$dir/go"
	put src/post six
	wait_for says site/a.txt six
	put src/post seven
	put "$dir/go" now
	wait_for page_has /a.txt seven
}

# No build for some time.
quiet() {
	quiet=$(builds)
	nap 700
	[ "$(builds)" -eq "$quiet" ] && [ "$(told state)" != building ]
}

t_counts_links_to_what_it_watches_already() {
	put src/posts/a 1
	put src/other/a 2
	mkdir site
	start -d site -w src 'ls -l src >site/a.txt'
	wait_for built 1
	ln -s posts src/z
	wait_for page_has /a.txt 'z -> posts'
	rm src/z
	ln -s other src/z
	wait_for page_has /a.txt 'z -> other'
	rm src/z
	wait_for page_lacks /a.txt 'z ->'
}

t_settles_when_a_build_rewrites_the_same_bytes() {
	put src/feed one
	blog 'cat src/post >src/feed; cat src/feed >site/a.txt'
	wait_for built 1
	shows two
	nap 500
	[ "$(builds)" -le 4 ] || fail "$(builds) builds"
	before=$(builds)
	nap 500
	is 'builds later' "$(builds)" "$before"
}

# --- what browsers see of builds ---

t_holds_a_request_until_the_build_ends() {
	put "$dir/go" now
	blog "$slow_build"
	is 'at first' "$(get /a.txt)" one
	rm "$dir/go"
	put src/post two
	wait_for started 2
	held two
}

held() { # what is answered later
	ask /a.txt
	nap 300
	is 'state' "$(told state)" building
	is 'answer during the build' "$(cat "$dir/answer")" ''
	put "$dir/go" now
	wait_for dead $asker
	is 'answer' "$(tail -n 1 "$dir/answer")" "$1"
	is 'state later' "$(told state)" ok
}

t_holds_a_request_though_the_server_is_another() {
	blog 'echo $$ >"$dir/build"; '"$slow_build"
	wait_for started 1
	kill -KILL "$(server | grep -v -x "$(cat "$dir/build")")"
	wait_for deaths 1
	held one
}

t_A_holds_a_request_until_there_is_a_version() {
	put src/post one
	start -A -d site -w src "$gate"'; cat src/post >"$BLOGSERVE_OUT/a.txt"'
	held one
}

t_tells_those_that_wait_when_it_leaves() {
	blog "$slow_build"
	wait_for started 1
	ask /a.txt
	kill -INT "$pid"
	wait_for says "$dir/answer" ' 503 '
	put "$dir/go" now
	gone
	is 'exit status' "$rc" 0
}

t_never_shows_a_half_built_page() {
	put src/post whole
	mkdir site
	start -i 0.02 -d site -w src 'printf half >site/a.txt; "$helper" nap 20; cat src/post >site/a.txt'
	{ i=0
	while [ ! -e "$dir/enough" ]; do
		put src/post "whole $((i += 1))"
		"$helper" nap 50
	done; } &
	note $!
	i=0
	while [ $((i += 1)) -le 60 ]; do
		page=$(get /a.txt)
		case $page in
		whole*) ;;
		*) fail "answer $i: [$page]" ;;
		esac
	done
	put "$dir/enough" now
	[ "$(builds)" -gt 1 ] || fail 'it never built'
}

t_never_shows_a_half_built_page_to_clients_that_never_pause() {
	put src/post whole
	put site/a.txt whole
	start -d site -w src ': >site/a.txt; cat src/post >site/a.txt'
	{ exec "$helper" hammer 2000 whole /a.txt; } >"$dir/one" &
	one=$!
	{ exec "$helper" hammer 2000 whole /a.txt; } >"$dir/two" &
	two=$!
	note $one
	note $two
	while "$helper" alive $one; do
		kill -USR1 "$pid"
		nap 5
	done
	wait $one || fail "$(cat "$dir/one")"
	wait $two || fail "$(cat "$dir/two")"
	[ "$(builds)" -gt 10 ] || fail "only $(builds) builds"
}

t_never_mixes_two_versions_in_one_answer() {
	put src/post 1
	mkdir site
	start -d site -w src '"$helper" fill 20000000 "$(cat src/post)" >site/big.txt'
	wait_for built 1
	# as much as the sockets take, then nothing until the next version is there
	ask /big.txt -g "$dir/go" -t 20000
	put src/post 2
	wait_for built 2
	put "$dir/go" now
	wait_for dead $asker
	has 'the answer' "$(head -n 1 "$dir/answer")" ' 200 '
	is 'the end of the answer' "$(tail -c 1000 "$dir/answer" | tr -d 1)" ''
	[ "$(wc -c <"$dir/answer")" -lt 20000000 ] || fail 'the sockets took all: this proved nothing'
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
	hello
	is 'answer' "$(get /a.txt)" hello
	child=$(server)
	[ -n "$child" ] || fail 'no server'
	wait_for says "$err" 'serving .'
	leaves_within 500
	dead "$child" || fail 'the server is still there'
	refused || fail 'the port is still open'
	is 'standard error' "$(own_lines)" 'blogserve: serving ., reloading pages as files change'
}

t_finishes_what_it_sends_before_it_leaves() {
	"$helper" fill 20000000 x >big
	start
	ask /big -g "$dir/go" -t 20000
	kill -INT "$pid"
	wait_for refused
	put "$dir/go" now
	gone
	is 'exit status' "$rc" 0
	wait_for dead $asker
	is 'length' "$(sed '1,/^.$/d' "$dir/answer" | wc -c | tr -d ' ')" 20000000
}

# A build is wanted that comes no more, and a client takes nothing: no reason to go round in
# circles. What that client was sent is in the log.
t_rests_while_a_client_keeps_it_from_leaving() {
	put src/post one
	mkdir site
	"$helper" fill 20000000 x >site/big.txt
	start -l "$dir/log" -d site -w src '[ "$BLOGSERVE_BUILD" -gt 1 ] || exit 0; echo >>"$dir/started"
	    until [ -e "$dir/go" ]; do "$helper" nap 10 || exit; done'
	wait_for built 1
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
	nap 2000
	took=$("$helper" cpu "$pid") || fail 'it did not wait for the client'
	took=$((took - before))
	[ "$took" -lt 500 ] || fail "$took ms of processor time in 2 s"
	gone
	is 'exit status' "$rc" 0
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
		took=$(($("$helper" now) - before))
		case $signals/$rc in
		INT/0) ;;
		*TERM/130|*TERM/143) [ "$took" -lt 5000 ] || fail "$took ms, as after one signal" ;;
		*) fail "exit status after $signals: $rc" ;;
		esac
	done
}

t_leaves_with_0_on_SIGTERM_and_SIGHUP() {
	for signal in TERM HUP; do
		start -d . -x '*' :
		wait_for built 1
		leave "$signal"
		is "exit status after $signal" "$rc" 0
		refused || fail "the port is still open after $signal"
	done
}

# A page that is half written until there is $dir/go.
half_build='echo begun; printf "half " >"${BLOGSERVE_OUT:-site}/a.txt"
'"$gate"'; echo whole >>"${BLOGSERVE_OUT:-site}/a.txt"'

t_lets_the_build_finish_when_interrupt_is_typed() {
	mkdir src site
	terminal -- -p 0 -d site -w src "$half_build"
	wait_for on_screen
	wait_for says "$out" begun
	type_ 03
	wait_for says "$out" 'blogserve: finishing build 1; ^C again stops it'
	wait_for refused
	put "$dir/go" now
	left_terminal
	is 'exit status' "$rc" 0
	is 'page' "$(cat site/a.txt)" 'half whole'
}

t_lets_the_build_finish_on_SIGTERM_and_SIGHUP() {
	for signal in TERM HUP; do
		rm -f "$dir/go"
		blog "$half_build"
		wait_for says "$err" begun
		kill -"$signal" "$pid"
		wait_for refused
		put "$dir/go" now
		gone
		is "exit status after $signal" "$rc" 0
		is "page after $signal" "$(cat site/a.txt)" 'half whole'
	done
}

t_k_bounds_the_last_build_too() {
	start -k 1 -d . -x '*' 'echo begun; exec "$helper" nap 20000'
	wait_for says "$err" begun
	ends INT
	says "$err" 'longer than 1 s: stopping it' || fail "$(cat "$err")"
}

t_does_not_build_again_before_it_leaves() {
	blog "$slow_build"
	wait_for started 1
	put src/post two
	nap 100
	kill -INT "$pid"
	wait_for says "$err" 'finishing build 1'
	put "$dir/go" now
	gone
	is 'exit status' "$rc" 0
	is 'builds' "$(cat "$dir/started")" 1
}

t_kills_the_build_when_interrupt_is_typed_twice() {
	terminal -- -p 0 -d . -x '*' '"$helper" nap 20000 & echo $! >"$dir/napping"; wait'
	wait_for says "$dir/napping" ''
	type_ 03
	wait_for says "$out" 'finishing build 1'
	nap 700
	type_ 03
	left_terminal
	is 'exit status' "$rc" 130
	wait_for dead "$(cat "$dir/napping")"
}

t_leaves_with_128_and_the_second_signal() {
	for signal in TERM:143 INT:130; do
		start -d . -x '*' 'echo begun; exec "$helper" nap 20000'
		wait_for says "$err" begun
		kill -INT "$pid"
		wait_for says "$err" 'finishing build 1'
		nap 700
		leave "${signal%:*}"
		is "exit status after ${signal%:*}" "$rc" "${signal#*:}"
	done
}

# Whoever forwards it: make, npm, a terminal that goes away.
t_takes_what_follows_a_signal_at_once_for_the_same_wish() {
	for signals in 'TERM TERM' 'INT INT' 'INT TERM'; do
		rm -f "$dir/go"
		blog "$half_build"
		wait_for says "$err" begun
		for signal in $signals; do
			kill -"$signal" "$pid"
			nap 50
		done
		# SIGHUP is nobody who insists, however late
		nap 700
		kill -HUP "$pid"
		nap 50
		put "$dir/go" now
		gone
		is "exit status after $signals" "$rc" 0
		is "page after $signals" "$(cat site/a.txt)" 'half whole'
	done
}

t_kills_even_a_build_that_ignores_the_second_interrupt() {
	start -d . -x '*' 'trap "" TERM; echo $$ >"$dir/build"; while "$helper" nap 100; do :; done'
	wait_for says "$dir/build" ''
	note "$(cat "$dir/build")"
	kill -INT "$pid"
	wait_for says "$err" 'finishing build 1'
	nap 700
	leave INT
	is 'exit status' "$rc" 130
	dead "$(cat "$dir/build")" || fail 'the build is still there'
}

# Before the program has set up its signals, a signal just ends it; then nothing has begun.
t_leaves_well_when_interrupt_is_typed_as_it_starts() {
	mkdir src site
	for delay in 0 1 2 3 4 6 8 10 15 20 30 40; do
		rm -f site/1.txt
		terminal -- -p 0 -d site -w src 'printf "half " >site/1.txt; "$helper" nap 15; echo whole >>site/1.txt'
		nap "$delay"
		type_ 03
		left_terminal
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
	case $program in
	*valgrind*) skip 'valgrind does not stop' ;;
	esac
	terminal -j -- -p 0 -d site -w src 'cat src/post >site/a.txt'
	wait_for on_screen
	wait_for built 1
	times=0
	for post in two three; do
		type_ 1a
		wait_for stopped $((times += 1))
		put src/post $post
		echo fg >&3
		wait_for page_has /a.txt $post
	done
	type_ 03
	left_terminal
	is 'exit status' "$rc" 0
	refused || fail 'the port is still open'
}

stopped() { # times
	[ "$(grep -c '\[stopped\]' "$out")" -eq "$1" ]
}

t_takes_no_harm_when_only_the_parent_is_stopped() {
	blog 'cat src/post >site/a.txt'
	is 'at first' "$(get /a.txt)" one
	kill -STOP "$pid"
	put src/post two
	is 'stopped' "$(get -t 3000 /a.txt)" one
	kill -CONT "$pid"
	wait_for page_has /a.txt two
	ends INT
}

t_replaces_a_server_that_died_on_the_same_port() {
	hello
	is 'answer' "$(get /a.txt)" hello
	for i in 1 2 3; do
		first=$(server)
		[ -n "$first" ] || fail 'no server'
		kill -KILL "$first"
		is "answer $i" "$(get /a.txt)" hello
		[ "$(server)" != "$first" ] || fail 'the same server'
	done
	says "$err" 'blogserve: server: killed by signal 9' || fail "$(cat "$err")"
	ends INT
}

t_takes_its_server_along_when_it_is_killed() {
	start
	is 'status' "$(status /)" 200
	child=$(server)
	[ -n "$child" ] || fail 'no server'
	leave KILL
	wait_for dead "$child"
	wait_for refused
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

t_leaves_nothing_behind() {
	blog 'echo some output; cat src/post >site/a.txt'
	wait_for built 1
	ends INT
	is 'temporary files' "$(ls -A "$TMPDIR")" ''
	is 'files' "$(ls -A site)" a.txt
	is 'files' "$(ls -A .)" "site${newline}src"
}

# --- versions: -A ---

# Makes a.txt of src/post; the builds after the first wait for $dir/go. Says what it found.
version_build='echo "$BLOGSERVE_BUILD $(ls -A "$BLOGSERVE_OUT")." >>"$dir/started"
[ "$BLOGSERVE_BUILD" = 1 ] || '"$gate"'
cat src/post >"$BLOGSERVE_OUT/a.txt"'

t_A_serves_the_last_version_until_the_next_is_whole() {
	put src/post one
	start -A -d site -w src "$version_build"
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
	start -A -k 1 -d site -w src '. ./src/way'
	is 'the first' "$(get /a.txt)" one
	wait_for built 1
	put "$dir/expected" 'exit status 3' 'killed by signal 9' 'killed by signal 15' \
	    'site: nothing is in BLOGSERVE_OUT' 'site: nothing is in BLOGSERVE_OUT' 'site: nothing is in BLOGSERVE_OUT'
	for way in 'exit 3' 'kill -KILL $$' 'exec "$helper" nap 20000' 'rm "$BLOGSERVE_OUT/a.txt"' \
	    'rm -r "$BLOGSERVE_OUT"' 'rm -r "$BLOGSERVE_OUT"; echo >"$BLOGSERVE_OUT"'; do
		before=$(builds)
		put src/way 'echo two >"$BLOGSERVE_OUT/a.txt"' "$way"
		wait_for built $((before + 1))
		is "after $way" "$(get /a.txt)" one
		is "state after $way" "$(told state)" failed
	done
	is 'what it said' "$(sed -n 's/ (.*), /, /; s/FAILED, //; s/^blogserve: build [0-9]*: src[^:]*: \(.*\), [0-9.]* s$/\1/p' "$err")" "$(cat "$dir/expected")"
	ends TERM
	is 'on disk' "$(cat site/a.txt)" one
	is 'what is left' "$(ls -A)" "site${newline}src"
}

t_A_replaces_nothing_that_it_did_not_make() {
	put src/post one
	put site/a.txt mine
	ln -s empty link
	mkdir empty "$dir/other"
	for docroot in site link . .. "$PWD"; do
		fails "$docroot: -A replaces only a directory that is empty or that it made" -A -p 0 -d $docroot -w src true
	done
	is 'the site' "$(cat site/a.txt)" mine
	try -A -p 0 -d empty
	is 'exit status without a command' "$rc" 2
	start -A -d empty -w src 'cp src/post "$BLOGSERVE_OUT/a.txt"'
	is 'in an empty one' "$(get /a.txt)" one
	# nor later
	mv empty "$dir/moved"
	put empty/b.txt mine
	put src/post two
	wait_for says "$err" 'empty: not empty, and not made by blogserve -A'
	is 'the site' "$(ls empty)" b.txt
	ends INT empty link site src
}

# What only an open would notice.
t_A_is_not_held_up_by_a_strange_mark() {
	mkdir src
	start -A -d site -w src 'mkfifo "$BLOGSERVE_OUT/.blogserve"'
	wait_for built 1
	ends TERM site src
}

t_A_lets_no_two_programs_have_one_docroot() {
	start -A -d site -x '*' 'echo one >"$BLOGSERVE_OUT/a.txt"'
	is 'the first' "$(get /a.txt)" one
	first=$pid
	fails "$PWD/.site.blogserve/lock: a blogserve that runs has it" -A -P pid -p 0 -d site -x '*' true
	pid=$first
	is 'the first still' "$(get /a.txt)" one
	put .other.blogserve mine
	fails "$PWD/.other.blogserve/lock: " -A -P pid -p 0 -d other -x '*' true
	is 'what is in the way' "$(cat .other.blogserve)" mine
	rm .other.blogserve
	ends INT site
}

t_A_leaves_no_trace_of_a_sudden_end() {
	put src/post one
	start -A -d site -w src "$version_build"
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
}

# As process 1 of a container is another one each time, of the same number.
t_A_finds_a_name_for_what_is_old() {
	put src/post one
	start -A -d site -w src 'cat src/post >"$BLOGSERVE_OUT/a.txt"'
	wait_for page_has /a.txt one
	mkdir -p ".site.blogserve/$(cat .site.blogserve/lock)-1.old/from-before"
	shows two
	wait_for eval '[ "$(ls .site.blogserve)" = lock ]'
	ends INT site src
}

# Of two whole ones the old is called so; whichever a directory has first.
t_A_takes_the_newer_of_two_versions_after_a_sudden_end() {
	put src/post one
	for old in 1-1 9-9; do
		mkdir -p .site.blogserve/$old.old .site.blogserve/5-5
		: >.site.blogserve/$old.old/.blogserve
		: >.site.blogserve/5-5/.blogserve
		put .site.blogserve/$old.old/a.txt old
		put .site.blogserve/5-5/a.txt new
		start -A -d site -w src 'exit 1'
		is "with $old" "$(get -t 5000 /a.txt)" new
		ends INT site src
		rm -r site
	done
}

# The first process of a build is killed, another makes again what was removed.
t_A_leaves_nothing_that_a_build_left_behind() {
	mkdir src
	start -A -d site -w src '[ "$BLOGSERVE_BUILD" -gt 1 ] || { echo one >"$BLOGSERVE_OUT/a.txt"; exit; }
		exec "$helper" run sh -c '\''"$helper" nap 300; mkdir -p "$BLOGSERVE_OUT/sub"; echo done >"$dir/made"'\'' &
		exit 1'
	wait_for page_has /a.txt one
	kill -USR1 "$pid"
	wait_for [ -e "$dir/made" ]
	[ "$(ls .site.blogserve)" != lock ] || fail 'nothing is left over'
	ends INT site src
}

t_A_goes_on_when_somebody_tidies_up() {
	put src/post one
	start -A -d site -w src 'cp src/post "$BLOGSERVE_OUT/a.txt"'
	wait_for page_has /a.txt one
	rm -r .site.blogserve
	shows two
	ends INT site src
}

t_A_lets_the_build_finish_when_interrupt_is_typed() {
	mkdir src
	terminal -- -p 0 -A -d site -w src "$half_build"
	wait_for says "$out" begun
	type_ 03
	wait_for says "$out" 'finishing build 1'
	put "$dir/go" now
	left_terminal
	is 'exit status' "$rc" 0
	is 'page' "$(cat site/a.txt)" 'half whole'
	is 'what is left' "$(ls -A)" "site${newline}src"
}

# The file is longer than all that lies between the server and a client that does not read; it is
# linked to by the next build, and removed with its version, while it is sent.
t_A_answers_with_one_version_whole() {
	put src/post one
	start -A -d site -w src '"$helper" fill 30000000 "$BLOGSERVE_BUILD" >"$BLOGSERVE_OUT/a.txt"
		[ "$BLOGSERVE_BUILD" = 1 ] || ln site/a.txt "$BLOGSERVE_OUT/b.txt"'
	wait_for built 1
	ask /a.txt -g "$dir/go" -t 20000
	for post in two three; do
		put src/post $post
		before=$(builds)
		wait_for built $((before + 1))
	done
	put "$dir/go" now
	wait_for dead $asker
	sed '1,/^.$/d' "$dir/answer" >"$dir/body"
	is 'length' "$(wc -c <"$dir/body" | tr -d ' ')" 30000000
	is 'of other versions' "$(tr -d 1 <"$dir/body" | wc -c | tr -d ' ')" 0
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
	[ "$rc" -eq 0 ] || return 0
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
		"$helper" run -t 10000 $program -p 0 -b -P "$dir/pid" -l "$dir/log" -d site -w src \
		    'mkdir -p site; cp src/post site/a.txt; "$helper" fds; exec "$helper" sigs' </dev/null 2>&1
		echo "$?"
		note "$(cat "$dir/pid")"
	)
	url=${got%%"$newline"*}
	pid=$(cat "$dir/pid")
	is 'what it said' "$got" "$url${newline}0"
	is 'a page' "$(get /a.txt)" one
	err=$dir/log.err
	wait_for built 1
	says "$err" 'fds: 0 1 2 null' || fail "$(cat "$err")"
	says "$err" 'leader: yes blocked: ignored:.' || fail "$(cat "$err")"
	shows two
	says "$dir/log" 'GET /a.txt ' || fail 'no log'
	kill -USR1 "$pid"
	wait_for says "$err" 'asked for: ok'
	end_background
}

t_says_why_it_cannot_go_to_the_background() {
	put a.txt hello
	mkdir dir
	take 0
	for args in "-p $(cat "$dir/taken")" '-d missing' '-l dir' '-l dir/no/log' '-P dir' '-P no/pid' "-a $("$helper" fill 64 n)"; do
		fails '' -p 0 -b $args
	done
	is 'what is left' "$(ls -A dir)" ''
}

t_begins_new_logs_on_SIGHUP_in_the_background() {
	put src/post one
	background -l "$dir/log" -d site -w src 'mkdir -p site; cp src/post site/a.txt'
	is 'exit status' "$rc" 0
	err=$dir/log.err
	wait_for built 1
	is 'a page' "$(get /a.txt)" one
	wait_for says "$dir/log" 'GET /a.txt '
	mv "$dir/log" "$dir/log.1"
	mv "$err" "$err.1"
	kill -HUP "$pid"
	wait_for says "$err" 'build 2: asked for: ok'
	is 'none' "$(status /none)" 404
	wait_for says "$dir/log" 'GET /none '
	! says "$dir/log.1" 'GET /none ' || fail 'it stands in the old log'
	! says "$err.1" 'build 2' || fail 'the build stands in the old log'
	# where no new one can be had it goes on with the old
	mv "$dir/log" "$dir/log.2"
	mkdir "$dir/log"
	kill -HUP "$pid"
	wait_for says "$err" "blogserve: $dir/log: "
	wait_for built 2
	is 'none' "$(status /still)" 404
	wait_for says "$dir/log.2" 'GET /still '
	end_background
}

# Its logs and pid file lie among the sources, and stay out of the count when they are new.
t_does_not_count_its_logs_after_SIGHUP() {
	put src/post one
	pidfile=src/pid
	background -l src/log -w . 'echo built'
	err=src/log.err
	wait_for built 1
	mv src/log "$dir/log.1"
	mv src/log.err "$dir/err.1"
	kill -HUP "$pid"
	wait_for says "$err" 'build 2: asked for: ok'
	is 'none' "$(status /none)" 404
	nap 500
	is 'builds' "$(builds)" 1
	# a lock goes with any descriptor of its file that is closed
	fails 'src/pid: a blogserve that runs has it' -p 0 -P src/pid -w src true
	end_background
}

t_holds_no_descriptor_in_the_background() {
	mkfifo pipe
	( cat <pipe; echo end >"$dir/end" ) &
	note $!
	{ background -l "$dir/log"; } 7>pipe
	wait_for [ -e "$dir/end" ]
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
	put target other
	ln -s target link
	mkdir dir
	mkfifo fifo
	fails 'fifo: ' -p 0 -l fifo
	for file in link dir fifo none/pid; do
		fails "$file: " -p 0 -P $file
	done
	is 'what a link names' "$(cat target)" other
	is 'what is left' "$(ls -A)" "a.txt${newline}dir${newline}fifo${newline}link${newline}target"
}

nobody_may() {
	chmod 711 "$tmp" "$dir" .
	"$helper" run -u nobody test -x "$PWD" 2>/dev/null
}

# Logs and pid file are where only root may write. The program is copied to where the user can reach it.
t_becomes_the_user() {
	[ "$(id -u)" -eq 0 ] || skip 'for root only'
	nobody_may || skip 'nobody may not come here'
	umask 022	# nobody reads the sources
	case $program in
	*"$newline"*) ;;
	*)
		cp "$program" program
		program=$PWD/program
		;;
	esac
	put src/post one
	mkdir site private
	chmod 700 private
	chown nobody site
	pidfile=private/pid
	background -u nobody -l private/log -d site -w src 'cp src/post site/a.txt; id -un; id -G; echo "$HOME $USER $LOGNAME"'
	! says "$err" 'Function not implemented' || skip 'it cannot, without what is not in POSIX'
	is 'exit status' "$rc" 0
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
	case $program in
	*"$newline"*) return ;; # a wrapper may need more than nobody may
	esac
	with="-u${newline}nobody"
	fails '-u root: only root can become another user' -p 0 -u root
}

t_tells_the_service_manager_how_it_is() {
	put src/post one
	{ exec "$helper" datagrams notify; } >"$dir/told" &
	note $!
	wait_for [ -S notify ]
	export NOTIFY_SOCKET=notify WATCHDOG_USEC=200000
	start -d site -w src 'mkdir -p site; cp src/post site/a.txt; echo "env: ${NOTIFY_SOCKET-none}"'
	wait_for built 1
	says "$err" 'env: none' || fail "$(cat "$err")"
	wait_for grep 'STATUS=.*build 1: first build: ok' "$dir/told"
	kill -USR1 "$pid"
	wait_for grep 'STATUS=.*build 2: asked for: ok' "$dir/told"
	ends TERM
	wait_for says "$dir/told" STOPPING=1
	says "$dir/told" READY=1 || fail "$(cat "$dir/told")"
	is 'what else it tells' "$(tr '|' '\n' <"$dir/told" | grep -v -e '^$' -e '^READY=1$' -e '^STATUS=' -e '^STOPPING=1$')" ''
	# and of no build where there is none
	start
	wait_for eval 'tail -n 1 "$dir/told" | grep "READY=1.*STATUS=$url"'
}

t_takes_the_listeners_that_it_is_given() {
	put a.txt hello
	with=-l
	start -x '*' 'echo "env: ${LISTEN_FDS-none} ${LISTEN_PID-none} $given."; "$helper" fds'
	wait_for built 1
	says "$err" "env: none none $port." || fail "$url: $(cat "$err")"
	says "$err" 'fds: 0 1 2 null' || fail "$(cat "$err")"
	is 'a page' "$(get /a.txt)" hello
	ends TERM
	refused || fail 'the port is still open'
}

t_takes_the_listeners_that_it_is_given_to_the_background() {
	put a.txt hello
	with=-l
	background -x '*' 'echo "$given" >"$dir/given"'
	wait_for [ -s "$dir/given" ]
	is 'the port' "$url" "http://127.0.0.1:$(cat "$dir/given")/"
	is 'a page' "$(get /a.txt)" hello
	kill -TERM "$pid"
	wait_for dead "$pid"
	note "-$pid"
}

# A pipe is full of what builds print; then it is read.
t_says_later_what_it_could_not_say() {
	mkdir src
	mkfifo "$dir/err.1"
	gated cat <"$dir/err.1" >"$dir/seen" &
	note $!
	start -d . -w src '"$helper" fill 200000 x; echo; exit 1'
	wait_for state_of 1 failed
	for build in 2 3 4; do
		kill -USR1 "$pid"
		wait_for state_of "$build" failed
	done
	put "$dir/go" now
	wait_for says "$dir/seen" 'build 4: asked for: FAILED'
	is 'lines of the builds' "$(sed -n 's/^blogserve: build \([0-9]\): .*FAILED.*/\1/p' "$dir/seen" | tr '\n' ' ')" '1 2 3 4 '
	is 'what the builds printed' "$(grep -c '^x*$' "$dir/seen")" 4
	ends INT
}

# What a build prints before a reader has time must not be lost, nor may the line after it.
t_copies_all_to_a_reader_that_is_slow() {
	mkdir src
	# more than a pipe takes, and what begins the last of its pages on Linux
	for size in 400000 61600; do
		rm -f "$dir/go"
		mkfifo "$dir/err.$((count + 1))"
		gated sh -c "\"\$helper\" nap 100; exec cat" <"$dir/err.$((count + 1))" >"$dir/seen" &
		note $!
		start -d . -w src "\"\$helper\" fill $size x; echo; : >\"\$dir/go\""
		wait_for says "$dir/seen" 'build 1: first build: ok'
		is 'what the build printed' "$(head -n 1 "$dir/seen" | wc -c | tr -d ' ')" $((size + 1))
		ends INT
	done
}

state_of() { # build state
	case $(get /.blogserve/status) in
	"state: $2${newline}build: $1${newline}"*) ;;
	*) return 1 ;;
	esac
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

t_gives_up_on_who_does_not_read_when_its_parent_is_gone() {
	"$helper" fill 30000000 x >a.txt
	start
	child=$(server)
	ask /a.txt -g "$dir/never" -t 60000
	leave KILL
	wait_for dead "$child"
}

t_starts_a_server_at_once_but_ten_times_a_second_at_most() {
	hello
	for i in 1 2 3 4 5 6 7 8; do
		nap 250
		wait_for server_killed
		before=$("$helper" now)
		is "a page after $i deaths" "$(get /a.txt)" hello
		took=$(($("$helper" now) - before))
		[ "$took" -lt $((200 * SLOW)) ] || fail "it took $took ms"
	done
	before=$("$helper" now)
	i=0
	while [ $((i += 1)) -le 21 ]; do
		wait_for server_killed
	done
	took=$(($("$helper" now) - before))
	[ "$took" -ge 900 ] || fail "twenty starts in $took ms"
	is 'a page' "$(get /a.txt)" hello
	ends INT
}

deaths() { # number
	[ "$(grep -c 'server: killed by signal 9' "$err")" -ge "$1" ]
}

server_killed() {
	child=$(server)
	[ -n "$child" ] && kill -KILL "$child" 2>/dev/null && wait_for dead "$child"
}

t_shows_how_long_a_build_takes_on_a_terminal_only() {
	mkdir src
	TERM=xterm; export TERM
	build='echo line; "$helper" nap 1300; printf part; "$helper" nap 1300; echo whole'
	terminal -- -p 0 -d . -w src "$build"
	wait_for says "$out" 'build 1: first build: ok'
	says "$out" 'blogserve: build 1: first build: 1 s' || fail 'no progress'
	# what was begun stays, what is taken back is gone before the next line
	has 'what the build printed' "$(cat "$out")" 'partwhole'
	has 'the end' "$(cat "$out")" "whole${newline}blogserve: build 1: first build: ok"
	type_ 03
	left_terminal
	TERM=dumb
	terminal -- -p 0 -d . -w src "$build"
	wait_for says "$out" 'build 1: first build: ok'
	lacks 'a dumb terminal' "$(cat "$out")" 'build: 1 s'
	type_ 03
	left_terminal
	TERM=xterm
	start -d . -w src "$build"
	wait_for built 1
	lacks 'a file' "$(cat "$err")" 'build: 1 s'
	lacks 'a file' "$(cat "$err")" "$(printf '\033')"
}

# A library that is loaded with the program tries in the server, at a signal, what one that was taken over would;
# the exit status tells what it could.
t_gives_up_what_its_server_does_not_need() {
	case $program in
	*"$newline"*) skip 'a wrapper, not the program' ;;
	esac
	captive >captive.c
	$HOSTCC -shared -fPIC -o captive.so captive.c 2>/dev/null || skip 'no library can be made'
	put "$dir/in/site/a.txt" hello
	put secret hidden
	take 0
	taken=$(cat "$dir/taken")
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
	case $(cat "$err") in
	*'server: killed by signal '*) skip 'no library was loaded with it' ;;
	esac
	says "$err" 'server: exit status 50' || fail "$(cat "$err"): see captive()"
}

captive() {
	cat <<'END'
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
tried(int number, int worked, int may)
{
	if (worked != may)
		_exit(50 + number);
}

static void
at_signal(int signo)
{
	const char *in = getenv("dir"), *here = getenv("PWD"), *taken = getenv("taken");
	char text[4096];
	struct sockaddr_in a;
	pid_t pid;

	(void)signo;
	sprintf(text, "%s/in/site", in);
	if (chdir(text) != 0)
		_exit(51);
	tried(2, open("a.txt", O_RDONLY) != -1, 1);
	tried(3, opendir(".") != NULL, 1);
	tried(4, open("a.txt", O_WRONLY) != -1, 0);
	tried(5, open("b.txt", O_WRONLY | O_CREAT, 0666) != -1, 0);
	tried(6, unlink("a.txt") == 0, 0);
	tried(7, open("/etc/passwd", O_RDONLY) != -1, 0);
	sprintf(text, "%s/secret", here);
	tried(8, open(text, O_RDONLY) != -1, 0);
	tried(9, opendir("/") != NULL, 0);
	memset(&a, 0, sizeof a);
	a.sin_family = AF_INET;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons((unsigned short)atoi(taken));
#if defined(__linux__) && defined(SYS_landlock_create_ruleset)	/* it does that since its fourth version */
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 4)
		tried(10, connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof a) == 0, 0);
#endif
	if (getuid() != 0) {
		if ((pid = fork()) == 0)
			_exit(0);
		tried(11, pid > 0, 0);
	}
	execl("/bin/sh", "sh", "-c", "exit 62", (char *)NULL);
	_exit(50);
}

__attribute__((constructor)) static void
loaded(void)
{
	signal(SIGBUS, at_signal);
}
END
}

# --- many, slow and silent clients ---

t_a_half_sent_request_holds_up_nobody() {
	hello
	printf 'GET /a.txt HT' | { exec "$helper" raw -m "$dir/sent" /; } >"$dir/half" &
	note $!
	wait_for [ -e "$dir/sent" ]
	is 'another' "$(get /a.txt)" hello
	leaves_within 1000
}

t_a_client_that_does_not_read_holds_up_nobody() {
	put a.txt hello
	"$helper" fill 20000000 >big.bin
	start
	ask /big.bin -g "$dir/never" -t 60000
	is 'another' "$(get -t 5000 /a.txt)" hello
	# nor the end of the program, for long
	leaves_within 10000
}

t_a_thousand_idle_connections_hold_up_nobody() {
	hello
	{ exec "$helper" idle 1000 /; } >"$dir/idle" &
	note $!
	wait_for says "$dir/idle" ''
	is 'connections' "$(cat "$dir/idle")" 1000
	is 'answer' "$(get /a.txt)" hello
	leaves_within 1000
}

t_answers_though_descriptors_are_few() {
	put a.txt hello
	with=-n40
	start
	printf 'HEAD /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n' | { exec "$helper" raw -t 60000 -m "$dir/sent" /; } >"$dir/answer" &
	oldest=$!
	note $oldest
	wait_for [ -e "$dir/sent" ]
	{ exec "$helper" idle 100 /; } >"$dir/idle" &
	note $!
	wait_for says "$dir/idle" ''
	is 'answer' "$(get /a.txt)" hello
	is 'again' "$(get /a.txt)" hello
	wait_for dead $oldest
}

# Streams of events are idle most of the time; of those that are, the oldest gives way.
t_serves_pages_though_streams_fill_its_descriptors() {
	put a.txt hello
	with="-n${newline}64"
	start
	i=0
	while [ $((i += 1)) -le 100 ]; do
		printf 'GET /.blogserve/events HTTP/1.1\r\nHost: localhost\r\n\r\n' | { exec "$helper" raw -p -t 60000 /; } >"$dir/stream.$i" 2>&1 &
		note $!
	done
	wait_for streaming 40
	for i in 1 2 3; do
		is "page $i" "$(get -t 5000 /a.txt)" hello
	done
}

streaming() { # number
	[ "$(cat "$dir"/stream.* | grep -c '^data: ')" -ge "$1" ]
}

t_closes_on_a_client_that_is_slow_with_its_head() {
	start -t 1
	before=$("$helper" now)
	printf 'GET / HTTP/1.0\r\nHo' | "$helper" raw / >"$dir/answer" || fail 'it kept the connection'
	has 'the answer' "$(head -n 1 "$dir/answer")" ' 408 '
	took=$(($("$helper" now) - before))
	[ "$took" -ge 800 ] || fail "closed after $took ms"
	[ "$took" -lt $((5000 * SLOW)) ] || fail "closed after $took ms"
	# a byte now and then does not buy time; all of them would take longer than is waited for
	before=$("$helper" now)
	{ printf 'GET / HTTP/1.0\r\nX: '; "$helper" fill $((60 * SLOW)) a; } |
	    "$helper" raw -d 100 / >"$dir/answer" || :
	[ "$(($("$helper" now) - before))" -lt $((4500 * SLOW)) ] || fail 'a slow client was given more time'
}

t_closes_on_a_client_that_is_idle_or_does_not_read() {
	"$helper" fill 20000000 x >big
	start -t 1 -l "$dir/log"
	printf 'HEAD /big HTTP/1.1\r\nHost: localhost\r\n\r\n' | "$helper" raw / >"$dir/answer" ||
	    fail 'it kept an idle connection'
	"$helper" raw / </dev/null >"$dir/answer" || fail 'it kept one that never spoke'
	is 'the answer to nothing' "$(cat "$dir/answer")" ''
	ask /big -g "$dir/go" -t 60000
	wait_for says "$dir/log" 'GET /big '
	put "$dir/go" now
	wait_for dead $asker
	[ "$(wc -c <"$dir/answer")" -lt 20000000 ] || fail 'the sockets took all: this proved nothing'
}

t_understands_a_request_that_comes_byte_by_byte() {
	hello
	printf 'GET /a.txt HTTP/1.0\r\nHost: localhost\r\n\r\n' | "$helper" raw -d 2 / >"$dir/answer"
	has 'answer' "$(cat "$dir/answer")" hello
}

t_answers_a_client_that_closes_its_half() {
	hello
	printf 'GET /a.txt HTTP/1.0\r\nHost: localhost\r\n\r\n' | "$helper" raw -c / >"$dir/answer"
	has 'answer' "$(cat "$dir/answer")" hello
	# and closes on one that will never say all of it
	printf 'GET /a.txt HT' | "$helper" raw -c -t 5000 / >"$dir/answer" || fail 'it waits for more'
}

t_takes_several_requests_on_one_connection() {
	hello
	is 'of HTTP/1.1' "$(get -n 3 /a.txt)" "hello${newline}hello${newline}hello"
	is 'of HTTP/1.0' "$(get -0 -n 2 -H 'Connection: keep-alive' /a.txt)" "hello${newline}hello"
	rc=0
	"$helper" http -s -0 -n 2 /a.txt >/dev/null || rc=$?
	[ "$rc" -ne 0 ] || fail 'HTTP/1.0 kept the connection unasked'
	rc=0
	"$helper" http -s -n 2 -H 'Connection: close' /a.txt >/dev/null || rc=$?
	[ "$rc" -ne 0 ] || fail 'kept the connection in spite of close'
	is 'after a 404' "$(status -n 2 /missing)" "404${newline}404"
}

t_answers_requests_that_come_in_one_piece_in_order() {
	put a.txt hello-a
	put b.txt hello-b
	start
	printf 'GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\nHEAD /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\nGET /b.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
	    "$helper" raw / >"$dir/answer" || fail 'the connection stayed open'
	is 'bodies' "$(grep hello "$dir/answer")" "hello-a${newline}hello-b"
	is 'answers' "$(grep -c '^HTTP/1' "$dir/answer")" 3
	# each by what is known of its own file, though some of that serves for several
	put c.txt hello-longer
	of_a=$(tag_of /a.txt)
	of_c=$(tag_of /c.txt)
	for tag in "$of_c" "$of_a"; do
		printf 'GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\nGET /c.txt HTTP/1.1\r\nHost: localhost\r\nRange: bytes=6-\r\n\r\nGET /a.txt HTTP/1.0\r\nIf-None-Match: %s\r\n\r\n' "$tag" |
		    "$helper" raw / | sed -n 's/^HTTP[^ ]* \([0-9]*\).*/\1/p'
	done >"$dir/answer"
	is 'statuses' "$(tr '\n' ' ' <"$dir/answer")" '200 206 200 200 206 304 '
}

# --- requests and answers ---

t_serves_the_index_of_a_directory() {
	put index.html '<p>top</p>'
	put sub/index.html '<p>sub</p>'
	start
	has 'top' "$(get /)" '<p>top</p>'
	has 'sub' "$(get /sub/)" '<p>sub</p>'
	has 'with a query' "$(get '/sub/?a=b')" '<p>sub</p>'
}

t_redirects_a_directory_without_its_slash() {
	mkdir -p sub 'b c' '\sub' 127.0.0.1/sub
	start
	is 'status' "$(status /sub)" 301
	# a browser takes //sub/ and /\sub/ for another host
	while read -r path to; do
		is "where $path leads" "$("$helper" http -f Location "$path")" "$to"
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

t_finds_a_page_without_its_suffix() {
	put about.html '<p>about</p>'
	put both.html page
	put both/index.html directory
	start
	has 'about' "$(get /about)" '<p>about</p>'
	has 'beside a directory' "$(get /both)" page
	has 'the directory' "$(get /both/)" directory
	is 'type' "$("$helper" http -f Content-Type /about)" 'text/html; charset=utf-8'
	is 'neither' "$(status /abou)" 404
	is 'a slash after it' "$(status /about/)" 404
}

t_lists_a_directory_sorted_and_escaped() {
	mkdir sub
	put banana.txt 1
	put apple.txt 1
	put cherry.txt 1
	put '<b>&"x.txt' odd
	put 'a b%41.txt' odd
	put 'javascript:alert(1)' odd
	put .secret 1
	"$helper" fill 1234 x >sized
	touch -t 202001020304 sized
	start
	page=$(get /)
	printf '%s' "$page" | tr -d '\n' | grep 'sized.*1234.*2020-01-02.03:04' >/dev/null || fail "size and time: $page"
	has 'type' "$("$helper" http -f Content-Type /)" 'text/html'
	has 'order' "$(printf '%s' "$page" | tr -d '\n' | sed 's/.*apple\.txt.*banana\.txt.*cherry\.txt.*/sorted/')" sorted
	has 'a directory' "$page" 'sub/'
	has 'escaped' "$page" '&#60;b&#62;&#38;'
	lacks 'markup' "$page" '<b>'
	lacks 'a scheme' "$page" '"javascript:'
	lacks 'hidden names' "$page" secret
	is 'an odd name' "$(get '/%3Cb%3E&%22x.txt')" odd
	is 'a per cent sign' "$(get '/a%20b%2541.txt')" odd
	has 'link to it' "$page" 'a%20b%2541.txt'
}

t_lists_nothing_in_place_of_an_index_that_it_may_not_serve() {
	mkdir sub
	ln -s /etc/passwd sub/index.html
	start
	is 'status' "$(status /sub/)" 403
}

t_lists_nothing_with_n() {
	put apple.txt 1
	put sub/index.html hello
	start -n
	is 'status' "$(status /)" 404
	lacks 'page' "$(get /)" apple
	is 'an index' "$(status /sub/)" 200
}

t_answers_404_with_a_page_or_the_one_of_the_site() {
	hello
	is 'status' "$(status /missing)" 404
	has 'its own' "$(get /missing)" '<'
	lacks 'markup' "$(get '/%3Cscript%3Ealert(1)')" '<script>alert'
	put 404.html '<p>lost</p>'
	is 'status' "$(status /missing)" 404
	has 'the one of the site' "$(get /missing)" '<p>lost</p>'
	is 'below a file' "$(status /a.txt/b)" 404
	# as for what is never served, whether or not it is there
	for path in /.git/config /a.txt%2Fb /../a.txt; do
		is "status of $path" "$(status "$path")" 404
		has "the page of $path" "$(get "$path")" '<p>lost</p>'
	done
}

t_knows_the_types_of_what_blogs_hold() {
	cat >"$dir/types" <<-END
		html text/html; charset=utf-8
		htm text/html; charset=utf-8
		css text/css; charset=utf-8
		js text/javascript; charset=utf-8
		mjs text/javascript; charset=utf-8
		json application/json
		xml application/xml
		atom application/atom+xml
		rss application/rss+xml
		txt text/plain; charset=utf-8
		md text/markdown; charset=utf-8
		svg image/svg+xml
		png image/png
		jpg image/jpeg
		jpeg image/jpeg
		gif image/gif
		webp image/webp
		avif image/avif
		woff font/woff
		woff2 font/woff2
		ttf font/ttf
		otf font/otf
		mp3 audio/mpeg
		mp4 video/mp4
		webm video/webm
		pdf application/pdf
		zip application/zip
		gz application/gzip
		ico image/x-icon
		ogg audio/ogg
		wasm application/wasm
		webmanifest application/manifest+json
	END
	while read -r suffix type; do
		put "file.$suffix" hello
	done <"$dir/types"
	start
	while read -r suffix type; do
		is "$suffix" "$("$helper" http -f Content-Type "/file.$suffix")" "$type"
	done <"$dir/types"
	is 'nosniff' "$("$helper" http -f X-Content-Type-Options /file.css)" nosniff
	put FILE.HTML hello
	is 'capitals' "$("$helper" http -f Content-Type /FILE.HTML)" 'text/html; charset=utf-8'
	put unknown hello
	is 'unknown' "$("$helper" http -f Content-Type /unknown)" application/octet-stream
	is 'nosniff of it' "$("$helper" http -f X-Content-Type-Options /unknown)" ''
}

t_gives_dates_and_tags_and_answers_304() {
	put a.txt hello
	touch -t 202001020304 a.txt
	start
	tag=$(tag_of /a.txt)
	date=$("$helper" http -f Last-Modified /a.txt)
	has 'tag' "$tag" '"'
	has 'date' "$date" ' Jan 2020 '
	is 'Cache-Control' "$("$helper" http -f Cache-Control /a.txt)" no-cache
	is 'the tag' "$(status -H "If-None-Match: $tag" /a.txt)" 304
	is 'the weak tag' "$(status -H "If-None-Match: W/$tag" /a.txt)" 304
	is 'one of several' "$(status -H "If-None-Match: \"x\", $tag" /a.txt)" 304
	is 'any tag' "$(status -H 'If-None-Match: *' /a.txt)" 304
	is 'another tag' "$(status -H 'If-None-Match: "x"' /a.txt)" 200
	is 'the date' "$(status -H "If-Modified-Since: $date" /a.txt)" 304
	is 'an earlier date' "$(status -H 'If-Modified-Since: Tue, 01 Jan 2019 00:00:00 GMT' /a.txt)" 200
	is 'no date' "$(status -H 'If-Modified-Since: yesterday' /a.txt)" 200
	is 'the tag counts more' "$(status -H 'If-None-Match: "x"' -H "If-Modified-Since: $date" /a.txt)" 200
	is 'of HEAD' "$(status -X HEAD -H "If-None-Match: $tag" /a.txt)" 304
	is 'the connection' "$(status -n 2 -H "If-None-Match: $tag" /a.txt)" "304${newline}304"
	put later hello
	touch -t 203501020304 later
	"$helper" http -i /later >"$dir/head"
	is 'a date to come' "$(sed -n 's/^Last-Modified: //p' "$dir/head")" "$(sed -n 's/^Date: //p' "$dir/head")"
	put new HELLO
	touch -t 202001020304 new
	mv new a.txt
	is 'changed, of the same size and date' "$(status -H "If-None-Match: $tag" /a.txt)" 200
	put a.txt fresh
	[ "$(tag_of /a.txt)" != "$tag" ] || fail 'the tag of before'
	date=$("$helper" http -f Last-Modified /a.txt)
	has 'the date' "$date" ' GMT'
	is 'a date of just now' "$(status -H "If-Modified-Since: $date" /a.txt)" 200
	wait_for eval '[ "$(status -H "If-Modified-Since: $date" /a.txt)" = 304 ]'
}

# Within one tick of the clock of the file system.
t_gives_no_date_and_no_tag_while_a_file_may_change_unseen() {
	put a.txt 1
	start
	tag_of /a.txt >/dev/null
	wait_for young
	lacks 'its head' "$(cat "$dir/head")" Last-Modified
	tag=$(tag_of /a.txt)
	is 'the tag later' "$(tag_of /a.txt)" "$tag"
	is 'not changed' "$(status -H "If-None-Match: $tag" /a.txt)" 304
}

young() {
	echo more >>a.txt
	"$helper" http -i /a.txt >"$dir/head"
	! says "$dir/head" ETag:
}


t_sends_the_range_that_is_asked_for() {
	printf 0123456789 >a.txt
	touch -t 202001020304 a.txt
	start
	tag=$(tag_of /a.txt)
	date=$("$helper" http -f Last-Modified /a.txt)
	is 'status' "$(status -H 'Range: bytes=2-4' /a.txt)" 206
	is 'bytes' "$(get -H 'Range: bytes=2-4' /a.txt)" 234
	is 'where' "$("$helper" http -f Content-Range -H 'Range: bytes=2-4' /a.txt)" 'bytes 2-4/10'
	is 'the last' "$(get -H 'Range: bytes=-3' /a.txt)" 789
	is 'status past the end' "$(status -H 'Range: bytes=10-' /a.txt)" 416
	is 'the size' "$("$helper" http -f Content-Range -H 'Range: bytes=10-' /a.txt)" 'bytes */10'
	is 'several' "$(get -H 'Range: bytes=0-1,3-4' /a.txt)" 0123456789
	is 'of the tag' "$(get -H 'Range: bytes=0-1' -H "If-Range: $tag" /a.txt)" 01
	is 'of a weak tag' "$(get -H 'Range: bytes=0-1' -H "If-Range: W/$tag" /a.txt)" 0123456789
	is 'of another tag' "$(get -H 'Range: bytes=0-1' -H 'If-Range: "x"' /a.txt)" 0123456789
	is 'of the date' "$(get -H 'Range: bytes=0-1' -H "If-Range: $date" /a.txt)" 01
	is 'of another date' "$(get -H 'Range: bytes=0-1' -H 'If-Range: Thu, 02 Jan 2020 03:04:01 GMT' /a.txt)" 0123456789
	is 'HEAD' "$(status -X HEAD -H 'Range: bytes=2-4' /a.txt)" 200
	dd if=/dev/zero of=large bs=65536 count=40 2>/dev/null
	printf end >>large
	is 'of a large file' "$(get -H 'Range: bytes=2621440-' /large)" end
	is 'most of a large file' "$(get -H 'Range: bytes=1-' /large | wc -c | tr -d ' ')" 2621442
}

t_heeds_conditions_in_their_order() {
	put a.txt hello
	touch -t 202001020304 a.txt
	start
	tag=$(tag_of /a.txt)
	late='Thu, 01 Jan 2037 00:00:00 GMT'
	early='Tue, 01 Jan 2019 00:00:00 GMT'
	for twice in read kept; do
		is "If-Match, $twice" "$(status -H "If-Match: \"x\", $tag" /a.txt)" 200
		is "If-Match of a weak tag, $twice" "$(status -H "If-Match: W/$tag" /a.txt)" 412
		is "If-Match of another, $twice" "$(status -H 'If-Match: "x"' /a.txt)" 412
		is "If-Match of any, $twice" "$(status -H 'If-Match: *' /a.txt)" 200
		is "unmodified since late, $twice" "$(status -H "If-Unmodified-Since: $late" /a.txt)" 200
		is "unmodified since early, $twice" "$(status -H "If-Unmodified-Since: $early" /a.txt)" 412
		is "If-Match first, $twice" "$(status -H "If-Match: $tag" -H "If-Unmodified-Since: $early" /a.txt)" 200
		is "412 before 304, $twice" "$(status -H 'If-Match: "x"' -H "If-None-Match: $tag" /a.txt)" 412
		is "304 before 206, $twice" "$(status -H "If-None-Match: $tag" -H 'Range: bytes=0-1' /a.txt)" 304
	done
	is 'of what is missing' "$(status -H 'If-None-Match: *' /missing)" 404
}

t_sends_what_is_packed_to_those_who_take_it() {
	put a.css plain
	put a.css.gz packed
	put old.css plain
	put old.css.gz packed
	touch -t 202001020304 old.css.gz
	start
	is 'plain' "$(get /a.css)" plain
	is 'packed' "$(get -H 'Accept-Encoding: gzip' /a.css)" packed
	is 'its coding' "$("$helper" http -f Content-Encoding -H 'Accept-Encoding: gzip' /a.css)" gzip
	is 'its type' "$("$helper" http -f Content-Type -H 'Accept-Encoding: gzip' /a.css)" 'text/css; charset=utf-8'
	has 'Vary' "$("$helper" http -f Vary /a.css)" Accept-Encoding
	[ "$(tag_of /a.css)" != "$(tag_of -H 'Accept-Encoding: gzip' /a.css)" ] ||
	    fail 'both have the same tag'
	is 'not wanted' "$(get -H 'Accept-Encoding: gzip;q=0' /a.css)" plain
	is 'coding of an error' "$("$helper" http -f Content-Encoding -H 'Accept-Encoding: gzip' -H 'Range: bytes=99-' /a.css)" ''
	is 'older than the file' "$(get -H 'Accept-Encoding: gzip' /old.css)" plain
	is 'by its own name' "$("$helper" http -f Content-Type /a.css.gz)" application/gzip
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

t_serves_below_a_prefix() {
	put index.html top
	put sub/index.html deep
	start -R -r blog/
	case $url in
	http://*/blog/) ;;
	*) fail "the URL is $url" ;;
	esac
	is 'top' "$(get /blog/)" top
	is 'below' "$(get /blog/sub/)" deep
	is 'a directory' "$("$helper" http -f Location '/blog/sub?q')" '/blog/sub/?q'
	is 'the prefix' "$("$helper" http -f Location /blog)" /blog/
	is 'the host' "$("$helper" http -f Location /)" /blog/
	is 'the host, asked something' "$("$helper" http -f Location '/?q')" '/blog/?q'
	is 'outside' "$(status /sub/)" 404
	is 'another name' "$(status /blogs/)" 404
	is 'up' "$(status /blog/../blog/)" 404
	start -r blog -x '*' 'echo "url: $BLOGSERVE_URL."'
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
	printf 'GET /\033[1m"\200 HTTP/1.0\r\nUser-Agent: a\tb\r\n\r\n' | "$helper" raw / >/dev/null
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
	printf 'GET /slow' | "$helper" raw / >/dev/null
	wait_for says "$dir/log2" '" 408 '
	has 'the slow one' "$(grep 408 "$dir/log2")" '"GET /slow" 408'
	leave TERM
	fails "$dir/no/log: " -p 0 -l "$dir/no/log"
}

t_says_once_that_it_cannot_log() {
	[ -c /dev/full ] || skip 'no /dev/full here'
	hello -l /dev/full
	is 'a page' "$(get /a.txt)" hello
	is 'another' "$(get /a.txt)" hello
	ends INT
	is 'what it said' "$(own_lines | grep -c '^blogserve: /dev/full: ')" 1
}

t_never_serves_what_a_file_was() {
	put a.txt 0
	put keep/a.txt kept
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
	ln -s "$dir" out
	put "$dir/secret" secret
	rm -r keep
	ln -s "$dir" keep
	is 'the directory leads elsewhere' "$(status /keep/secret)" 403
	rm a.txt
	is 'removed' "$(status /a.txt)" 404
}

# A larger file is kept open while clients come, and not longer. The busy one sees to it that they do.
t_never_serves_what_a_large_file_was() {
	put a.txt busy
	"$helper" fill 100000 >big.bin
	cp big.bin one.bin
	cp big.bin two.bin
	start
	tag_of /two.bin >/dev/null
	server=
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
	if [ -d "/proc/$pid/fd" ]; then
		wait_for has_child
		get /two.bin >/dev/null
		rm two.bin
		wait_for closed two.bin
	fi
	get -n 3 -H 'Accept-Encoding: gzip' /big.bin | cmp - "$dir/thrice" || fail 'not what it is without it'
	get /big.bin >/dev/null
	kill "$busy"
	wait_for closed big.bin
	echo small >big.bin
	is 'a small one' "$(get -n 2 /big.bin)" "small${newline}small"
}

closed() { # file
	case $(ls -l "/proc/$server/fd" 2>/dev/null) in
	*"/$1"*) return 1 ;;
	esac
}

# --- live reload, as far as HTTP goes ---

script='<script defer src="/.blogserve/reload.js" data-start="'

# In front of each page: what may stand before it, then the rest.
t_puts_its_script_into_pages() {
	put a.html '<html><body><p>hello</p></body></html>'
	put c.txt '<body>text</body>'
	printf '\377\376<\0p\0>\0' >utf16.html
	: >empty.html
	put 404.html '<p>nothing</p></body>'
	start
	while IFS='|' read -r before after; do
		printf "$before$after" >b.html
		printf "$before" >"$dir/before"
		printf "$after" >"$dir/after"
		get /b.html >"$dir/page"
		size=$(wc -c <"$dir/before")
		dd bs=1 count=$((size)) <"$dir/page" 2>/dev/null | cmp - "$dir/before" || fail "before it: [$before]: $(cat "$dir/page")"
		has "behind [$before]" "$(dd bs=1 skip=$((size)) count=60 <"$dir/page" 2>/dev/null)" "$script"
		size=$(wc -c <"$dir/after")
		tail -c $((size)) "$dir/page" | cmp - "$dir/after" || fail "behind it: [$after]: $(cat "$dir/page")"
		is "the length of [$before]" "$("$helper" http -X HEAD -f Content-Length /b.html)" "$(wc -c <"$dir/page" | tr -d ' ')"
	done <<-'END'
		|no doctype
		<!DOCTYPE html>|<base href="https://elsewhere/"><p>a
		<!doctype HTML PUBLIC "-//W3C//DTD HTML 4.01//EN" "a>b">|<p>a
		\357\273\277|<p>a
		\357\273\277<!DOCTYPE html>|\n<p>a
		\n <!-- a > b --> \t\n<!DOCTYPE html>|<html>
		<!-- one --><!-- two --><!doctype html>|<frameset></frameset>
	END
	is 'scripts in it' "$(get /a.html | grep -c data-start)" 1
	has 'an empty one' "$(get /empty.html)" "$script"
	has 'a listing' "$(get /)" "$script"
	has 'the 404 page' "$(get /missing)" "$script"
	lacks 'a text' "$(get /c.txt)" "$script"
	is 'UTF-16' "$(get /utf16.html | wc -c | tr -d ' ')" 8
	has 'for a frame' "$(get -H 'Sec-Fetch-Dest: iframe' /a.html)" "$script"
	lacks 'fetched' "$(get -H 'Sec-Fetch-Dest: empty' /a.html)" "$script"
	tag=$(tag_of -H 'Sec-Fetch-Dest: empty' /a.html)
	is 'the tag of what is fetched' "$(status -H "If-None-Match: $tag" -H 'Sec-Fetch-Dest: empty' /a.html)" 304
	"$helper" http -i /a.html >"$dir/head"
	lacks 'a page' "$(cat "$dir/head")" ETag
	lacks 'a page' "$(cat "$dir/head")" Last-Modified
	is 'a page and a tag' "$(status -H "If-None-Match: $tag" /a.html)" 200
	is 'a range' "$(status -H 'Range: bytes=0-1' /a.html)" 200
	has 'the script' "$(get /.blogserve/reload.js)" EventSource
	put a.html 'changed</body>'
	wait_for page_has /a.html 'data-done="1"'
	leave TERM
	start -R
	lacks 'with -R' "$(get /a.html)" "$script"
	is 'the script with -R' "$(status /.blogserve/reload.js)" 404
}

t_puts_its_script_into_a_very_long_page() {
	{ printf '<!DOCTYPE html><p>'; "$helper" fill 3000000 x; echo '</p>'; } >long.html
	start
	get /long.html >"$dir/answer"
	has 'its beginning' "$(head -c 200 "$dir/answer")" "<!DOCTYPE html>$script"
	is 'its length' "$("$helper" http -X HEAD -f Content-Length /long.html)" "$(wc -c <"$dir/answer" | tr -d ' ')"
	sed 's/^<!DOCTYPE html>//' long.html >"$dir/rest"
	tail -c $(($(wc -c <"$dir/rest"))) "$dir/answer" | cmp - "$dir/rest" || fail 'its rest is another'
}

t_leaves_a_long_page_in_UTF_16_alone() {
	{ printf '\377\376'; "$helper" fill 3000000 x; } >long.html
	start
	get /long.html | cmp - long.html || fail 'it has more'
}

t_knows_ranges_of_the_log_for_GET_alone() {
	blog 'echo building'
	wait_for built 1
	is 'of a GET' "$(status -H 'Range: bytes=0-0' /.blogserve/log)" 206
	is 'of a HEAD' "$(status -X HEAD -H 'Range: bytes=0-0' /.blogserve/log)" 200
	is 'past its end' "$(status -H 'Range: bytes=99-' /.blogserve/log)" 416
}

t_tells_of_builds_while_a_page_listens() {
	put src/a.css 1
	blog 'echo "this is build $BLOGSERVE_BUILD"; cat src/post >site/a.txt; [ ! -e src/fail ]'
	wait_for built 1
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
	is 'state' "$(told state)" failed
	is 'build' "$(told build)" 4
	is 'exit' "$(told exit)" 1
	is 'changed' "$(told changed)" src/fail
	is 'the log' "$(get /.blogserve/log)" 'this is build 4'
	is 'its end' "$(get -H 'Range: bytes=-2' /.blogserve/log)" 4
	leaves_within 1000
}

t_follows_links_that_stay_inside() {
	put sub/a.txt hello
	put b.txt bee
	ln -s "$PWD/sub/a.txt" absolute
	ln -s sub/../b.txt up
	ln -s sub/./a.txt dot
	ln -s ../b.txt sub/below
	ln -s sub/../../b.txt out
	ln -s "$PWD/../url" far
	start
	is 'absolute' "$(get /absolute)" hello
	is 'up and down' "$(get /up)" bee
	is 'with a dot' "$(get /dot)" hello
	is 'from below' "$(get /sub/below)" bee
	is 'too far up' "$(status /out)" 403
	is 'absolute and out' "$(status /far)" 403
	has 'the listing' "$(get /)" 'href="./absolute"'
	lacks 'the listing' "$(get /)" 'href="./out"'
}

t_sends_all_even_to_a_client_that_says_more() {
	"$helper" fill 3000000 x >big
	start
	printf 'GET /big HTTP/1.0\r\n\r\n\r\nmore' | "$helper" raw -d 10 -s 300 / >"$dir/answer" ||
	    fail 'the answer was cut'
	[ "$(wc -c <"$dir/answer")" -gt 3000000 ] || fail "$(wc -c <"$dir/answer") bytes"
	# nor when the last answer is short: more than is read with it lies there when it is sent
	put small last
	{
		printf 'GET /big HTTP/1.1\r\nHost: localhost\r\n\r\nGET /small HTTP/1.0\r\n\r\n'
		"$helper" fill 40000 y
	} | "$helper" raw -s 300 / >"$dir/answer" || fail 'the first answer was cut'
	is 'the end' "$(tail -n 1 "$dir/answer")" last
}

t_lists_a_long_directory_to_its_end() {
	mkdir many
	(cd many && i=1000 && while [ $i -lt 3500 ]; do : >f$i; i=$((i + 1)); done)
	start
	is 'entries' "$(get /many/ | grep -c 'href="./f[0-9]*"')" 2500
	has 'its end' "$(get /many/ | tail -n 2)" '</table>'
	is 'its length' "$("$helper" http -X HEAD -f Content-Length /many/)" "$(get /many/ | wc -c | tr -d ' ')"
}

t_ends_what_speaks_another_protocol() {
	start
	printf '\026\003\001\002\000\001\000\001\374\003\003' | "$helper" raw / >"$dir/answer" ||
	    fail 'it kept a TLS hello'
	printf 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' | "$helper" raw / >"$dir/answer" ||
	    fail 'it kept a preface of HTTP/2'
	has 'answer' "$(head -n 1 "$dir/answer")" ' 505 '
}

t_answers_HEAD_like_GET_without_a_body() {
	hello
	is 'length' "$("$helper" http -X HEAD -f Content-Length /a.txt)" 6
	for path in /a.txt / /missing; do
		lacks "the head of $path" "$("$helper" http -i -H 'Origin: http://evil.example' $path)" Access-Control
		is "the head of $path" "$("$helper" http -i -X HEAD $path | grep -v '^Date: ')" \
		    "$("$helper" http -i $path | grep -v '^Date: ')"
	done
	printf 'HEAD /a.txt HTTP/1.0\r\nHost: localhost\r\n\r\n' | "$helper" raw / >"$dir/answer"
	lacks 'answer' "$(cat "$dir/answer")" hello
	is 'status of the missing' "$(status -X HEAD /missing)" 404
}

t_says_nothing_of_others_in_an_error() {
	start
	status /a-secret-of-somebody-else >/dev/null
	is 'status' "$(status /a/../b)" 404
	lacks 'the page' "$(get /a/../b)" somebody
}

t_refuses_other_methods() {
	hello
	for method in POST PUT DELETE OPTIONS TRACE CONNECT PATCH; do
		is "$method" "$(status -X $method /a.txt)" 405
		is "Allow of $method" "$("$helper" http -f Allow -X $method /a.txt)" 'GET, HEAD'
	done
	for method in FOO get GETT; do
		is "$method" "$(status -X $method /a.txt)" 501
	done
}

t_takes_no_body_for_a_request() {
	hello
	for method in POST GET; do
		printf '%s /a.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n' $method |
		    "$helper" raw / >"$dir/answer" || fail "$method: the connection stayed open"
		is "answers to $method" "$(grep -c '^HTTP/1' "$dir/answer")" 1
	done
	printf 'GET /a.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n' |
	    "$helper" raw / >"$dir/answer" || fail 'two lengths: the connection stayed open'
	is 'answers to two lengths' "$(grep -c '^HTTP/1' "$dir/answer")" 1
	is 'no length' "$(status -H 'Content-Length: abc' /a.txt)" 400
	is 'no coding' "$(status -H 'Transfer-Encoding: gzip' /a.txt)" 501
}

t_refuses_heads_past_the_limit() {
	start
	long=$("$helper" fill 17000 | tr -c '[:lower:]' x)
	printf 'GET /%s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$long" | "$helper" raw / >"$dir/answer"
	grep '^HTTP/1.0 414 ' "$dir/answer" >/dev/null || fail "a long path: $(head -n 1 "$dir/answer")"
	printf 'GET / HTTP/1.0\r\nHost: localhost\r\nX: %s\r\n\r\n' "$long" | "$helper" raw / >"$dir/answer"
	grep '^HTTP/1.0 431 ' "$dir/answer" >/dev/null || fail "a long field: $(head -n 1 "$dir/answer")"
	is 'status of the next' "$(status /)" 200
}

t_refuses_what_is_not_http() {
	start
	child=$(server)
	while IFS='|' read -r request want; do
		printf "$request" | "$helper" raw -c -t 3000 / >"$dir/answer" || :
		case $(head -n 1 "$dir/answer") in
		"HTTP/1.0 $want "*) ;;
		*) fail "[$request]: expected $want, got [$(head -n 1 "$dir/answer")]" ;;
		esac
	done <<-'END'
		GARBAGE\r\n\r\n|400
		GET\r\n\r\n|400
		GET a.txt HTTP/1.0\r\n\r\n|400
		GET / HTTP/x.y\r\n\r\n|400
		GET / HTTP/1.0 more\r\n\r\n|400
		GET / HTTP/1.0\r\nNo colon\r\n\r\n|400
		GET / HTTP/1.0\r\nHost: localhost\r\nA \001 b: c\r\n\r\n|400
		GET /%%zz HTTP/1.0\r\nHost: localhost\r\n\r\n|400
	END
	for size in 1 100 5000 20000 200000; do
		"$helper" fill "$size" | "$helper" raw -c -t 3000 / >/dev/null || :
	done
	is 'status' "$(status /)" 200
	is 'the server' "$(server)" "$child"
}

t_serves_a_large_file_whole() {
	"$helper" fill 5000000 >big.bin
	: >empty.bin
	start
	get /big.bin >"$dir/got" || fail 'not whole'
	cmp big.bin "$dir/got" || fail 'not the same'
	is 'length' "$("$helper" http -X HEAD -f Content-Length /big.bin)" 5000000
	is 'length of nothing' "$("$helper" http -X HEAD -f Content-Length /empty.bin)" 0
	is 'nothing' "$(status -n 2 /empty.bin)" "200${newline}200"
}

t_serves_files_of_more_than_4_GiB() {
	printf end | dd of=huge bs=1048576 seek=4096 2>/dev/null || skip 'no such file here'
	start
	is 'length' "$("$helper" http -X HEAD -f Content-Length /huge)" 4294967299
	is 'its end' "$(get -H 'Range: bytes=4294967296-' /huge)" end
	is 'where' "$("$helper" http -f Content-Range -H 'Range: bytes=-1' /huge)" 'bytes 4294967298-4294967298/4294967299'
}

t_answers_a_simple_request_with_nothing_but_the_body() {
	hello
	printf 'GET /a.txt\r\n' | "$helper" raw / >"$dir/answer"
	cmp a.txt "$dir/answer" || fail "$(cat "$dir/answer")"
}

t_answers_only_its_own_hosts_on_loopback() {
	hello -H blog.test -H other.test
	for host in localhost LOCALHOST "localhost:$port" blog.localhost 127.0.0.1 127.0.0.1:80 127.1.2.3 '[::1]' "[::1]:$port" blog.test BLOG.test:80 other.test; do
		is "Host: $host" "$(status -H "Host: $host" /a.txt)" 200
	done
	for host in evil.example localhost.evil.example 127.0.0.1.evil.example evillocalhost 192.0.2.1 blog.test.evil x.blog.test; do
		is "Host: $host" "$(status -H "Host: $host" /a.txt)" 403
		lacks "page for $host" "$(get -H "Host: $host" /a.txt)" hello
	done
	has 'page' "$(get -H 'Host: evil.example' /)" '-H'
	start -H '*'
	is 'any host' "$(status -H 'Host: evil.example' /a.txt)" 200
}

t_never_serves_what_lies_outside_or_is_hidden() {
	put SECRET CONFIDENTIAL
	put site/a.txt hello
	put site/sub/b.txt hello
	put site/.hidden CONFIDENTIAL
	put site/.git/config CONFIDENTIAL
	put site/sub/.hidden/c CONFIDENTIAL
	put site/.well-known/d.txt hello
	start -d site
	while read -r path; do
		rc=0
		"$helper" http "$path" >"$dir/answer" || rc=$?
		case $(head -n 1 "$dir/answer") in
		'HTTP/1.0 40'*) ;;
		*) fail "$path: $(head -n 1 "$dir/answer")" ;;
		esac
		! says "$dir/answer" CONFIDENTIAL || fail "$path: $(cat "$dir/answer")"
	done <<-'END'
		/../SECRET
		/../../../../../../../../etc/passwd
		/%2e%2e/SECRET
		/.%2E/SECRET
		/sub/../../SECRET
		/sub/%2e%2e/%2e%2e/SECRET
		/..%2fSECRET
		/sub%2fb.txt
		/%2fetc/passwd
		/a.txt%00
		/a.txt%00.html
		/%00
		/..
		/sub/..
		/.hidden
		/%2ehidden
		/.git/config
		/.git/
		/sub/.hidden/c
		/.well-known/../SECRET
		/.well-known/../.hidden
	END
	is 'plain' "$(get /a.txt)" hello
	is 'encoded' "$(get /%61.txt)" hello
	is 'well known' "$(get /.well-known/d.txt)" hello
}

t_follows_links_out_of_the_docroot_only_with_L() {
	put outside/a.txt outside
	put site/real/b.txt inside
	ln -s ../outside/a.txt site/file.txt
	ln -s ../outside site/dir
	ln -s "$PWD/outside/a.txt" site/absolute.txt
	ln -s real/b.txt site/inner.txt
	ln -s real site/within
	ln -s loop site/loop
	start -d site
	for path in /file.txt /dir/a.txt /dir/ /absolute.txt /loop; do
		case $(status "$path") in
		403|404) ;;
		*) fail "$path: $(status "$path")" ;;
		esac
	done
	is 'a file within' "$(get /inner.txt)" inside
	is 'a directory within' "$(get /within/b.txt)" inside
	leave INT
	start -L -d site
	for path in /file.txt /dir/a.txt /absolute.txt; do
		is "$path with -L" "$(get "$path")" outside
	done
}

t_serves_regular_files_only() {
	mkfifo pipe pipe.html
	put closed.txt hello
	chmod 0 closed.txt
	start
	for path in /pipe /pipe.html; do
		case $(status -t 3000 "$path") in
		403|404) ;;
		*) fail "$path: [$(status -t 3000 "$path")]" ;;
		esac
	done
	# root may read it
	[ -r closed.txt ] || is 'unreadable' "$(status /closed.txt)" 403
	is 'the next' "$(status /)" 200
}

t_serves_a_docroot_that_is_a_link() {
	put real/a.txt hello
	put real/sub/b.txt hello
	ln -s real link
	start -d link
	is 'a file' "$(get /a.txt)" hello
	is 'deeper' "$(get /sub/b.txt)" hello
	leave INT
	start -d link/
	is 'with a slash' "$(get /a.txt)" hello
}

# --- pure functions ---

# What the .c computes without asking anybody: a table for each, what is taken and what is refused.
t_computes_as_the_tables_say() {
	compile tables
	./tables || fail 'see above'
}

tables() {
	cat <<'END'
static int wrong;

static void
same(const char *what, const char *of, const char *got, const char *want)
{
	if (strcmp(got, want) != 0) {
		printf("%s of [%s]: expected [%s], got [%s]\n", what, of, want, got);
		wrong = 1;
	}
}

static void
same_number(const char *what, const char *of, long long got, long long want)
{
	if (got != want) {
		printf("%s of [%s]: expected %lld, got %lld\n", what, of, want, got);
		wrong = 1;
	}
}

static void
heads(void)
{
	static const struct { const char *data; int length; } table[] = {
		{ "", 0 },
		{ "G", 0 },
		{ "GET / HTTP/1.0", 0 },
		{ "GET / HTTP/1.0\r\n", 0 },
		{ "GET / HTTP/1.0\r\n\r", 0 },
		{ "GET / HTTP/1.0\r\n\r\n", 18 },
		{ "GET / HTTP/1.0\n\n", 16 },
		{ "GET / HTTP/1.0\r\n\r\nGET", 18 },
		{ "GET / HTTP/1.0\r\nHost: a\r\n", 0 },
		{ "GET / HTTP/1.0\r\nHost: a\r\n\r\n", 27 },
		{ "\r\n\r\n", 0 },
		{ "\r\nGET / HTTP/1.0\r\n\r\n", 20 },
		{ "GET /", 0 },
		{ "GET /\r\n", 7 },
		{ "GET /\r\nHost: a\r\n\r\n", 7 }
	};
	size_t i;

	for (i = 0; i < COUNT(table); i++)
		same_number("head_length", table[i].data,
		    (long long)head_length(table[i].data, strlen(table[i].data)), table[i].length);
}

static void
requests(void)
{
	static const struct {
		const char *head;
		int status;
		enum method method;
		const char *target;
		bool keep, body;
	} table[] = {
		{ "GET / HTTP/1.0\r\n\r\n", 0, METHOD_GET, "/", false, false },
		{ "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, METHOD_GET, "/", true, false },
		{ "GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n", 0, METHOD_GET, "/", true, false },
		{ "GET / HTTP/1.0\r\nConnection: keep-alive-not\r\n\r\n", 0, METHOD_GET, "/", false, false },
		{ "GET / HTTP/1.0\r\nX-Connection: keep-alive\r\n\r\n", 0, METHOD_GET, "/", false, false },
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, METHOD_GET, "/", true, false },
		{ "GET / HTTP/1.1\nHost: a\n\n", 0, METHOD_GET, "/", true, false },
		{ "GET / HTTP/1.1\r\nhost:a\r\nCONNECTION:\tClose \r\n\r\n", 0, METHOD_GET, "/", false, false },
		{ "HEAD /a?b HTTP/1.1\r\nHost: a\r\n\r\n", 0, METHOD_HEAD, "/a?b", true, false },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", 0, METHOD_KNOWN, "/", false, true },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 0, METHOD_KNOWN, "/", true, false },
		{ "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 0, METHOD_GET, "/", false, true },
		{ "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", 0, METHOD_GET, "/b", true, false },
		{ "GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", 0, METHOD_GET, "/?b", true, false },
		{ "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 0, METHOD_GET, "/", true, false },
		{ "get / HTTP/1.0\r\n\r\n", 0, METHOD_UNKNOWN, "/", false, false },
		{ "GET /\r\n", 0, METHOD_GET, "/", false, false },
		{ "GET / HTTP/1.1\r\n\r\n", 400, METHOD_GET, "/", false, false },
		{ "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, METHOD_GET, "/", false, false },
		{ "GET / HTTP/2.0\r\n\r\n", 505, METHOD_GET, "/", false, false },
		{ "GET / HTTP/1\r\n\r\n", 400, METHOD_GET, "/", false, false },
		{ "GET / HTTP/1.0 \r\n\r\n", 400, METHOD_GET, "/", false, false },
		{ "GET  / HTTP/1.0\r\n\r\n", 400, METHOD_GET, "/", false, false },
		{ " GET / HTTP/1.0\r\n\r\n", 400, METHOD_GET, "/", false, false },
		{ "G(T / HTTP/1.0\r\n\r\n", 400, METHOD_GET, "/", false, false },
		{ "GET /\001 HTTP/1.0\r\n\r\n", 400, METHOD_GET, "/", false, false },
		{ "GET / HTTP/1.0\r\nHost : a\r\n\r\n", 400, METHOD_GET, "/", false, false },
		{ "GET / HTTP/1.0\r\n folded: a\r\n\r\n", 400, METHOD_GET, "/", false, false },
		{ "GET / HTTP/1.0\r\nA: b\r\n folded\r\n\r\n", 400, METHOD_GET, "/", false, false },
		{ "GET / HTTP/1.0\r\nA: b\rc\r\n\r\n", 400, METHOD_GET, "/", false, false },
		{ "GET / HTTP/1.0\r\n: a\r\n\r\n", 400, METHOD_GET, "/", false, false },
		{ "HEAD /\r\n", 400, METHOD_HEAD, "/", false, false }
	};
	static struct request rq;
	char head[256];
	const char *of;
	size_t i;

	for (i = 0; i < COUNT(table); i++) {
		of = table[i].head;
		strcpy(head, of);
		same_number("status", of, request_parse(&rq, head, strlen(head)), table[i].status);
		same_number("keep", of, rq.keep, table[i].keep);
		if (table[i].status != 0)
			continue;
		same_number("method", of, rq.method, table[i].method);
		same_number("body", of, rq.body, table[i].body);
		same("target", of, rq.target, table[i].target);
	}
	memcpy(head, "GET /\0 HTTP/1.0\r\n\r\n", 20);
	same_number("status", "a NUL", request_parse(&rq, head, 19), 400);
}

static void
paths(void)
{
	static const struct { const char *target; int status; const char *path, *query; } table[] = {
		{ "/", 0, "", "" },
		{ "//", 0, "", "" },
		{ "/a", 0, "a", "" },
		{ "/a/", 0, "a/", "" },
		{ "//a///b//", 0, "a/b/", "" },
		{ "/./a/./b", 0, "a/b", "" },
		{ "/a/.", 0, "a/", "" },
		{ "/%2e/a", 0, "a", "" },
		{ "/a?b=/../c", 0, "a", "?b=/../c" },
		{ "/a?", 0, "a", "?" },
		{ "/a%20b%C3%A4%25", 0, "a b\303\244%", "" },
		{ "/a%3Fb", 0, "a?b", "" },
		{ "/a%253f", 0, "a%3f", "" },
		{ "/a+b", 0, "a+b", "" },
		{ "/a..b/c.", 0, "a..b/c.", "" },
		{ "/.well-known/a", 0, ".well-known/a", "" },
		{ "", 400, "", "" },
		{ "a", 400, "", "" },
		{ "*", 400, "", "" },
		{ "/%", 400, "", "" },
		{ "/%4", 400, "", "" },
		{ "/%4g", 400, "", "" },
		{ "/%00", 400, "", "" },
		{ "/a%2fb", 404, "", "" },
		{ "/..", 404, "", "" },
		{ "/a/..", 404, "", "" },
		{ "/a/../b", 404, "", "" },
		{ "/a/..?b", 404, "", "" },
		{ "/%2e%2E/a", 404, "", "" },
		{ "/...", 404, "", "" },
		{ "/.a", 404, "", "" },
		{ "/a/.b/c", 404, "", "" },
		{ "/a/.well-known/b", 404, "", "" },
		{ "/.well-known/.b", 404, "", "" },
		{ "/.well-knownx", 404, "", "" }
	};
	char path[64], want[64];
	const char *query;
	size_t i;

	for (i = 0; i < COUNT(table); i++) {
		same_number("status", table[i].target,
		    target_path(table[i].target, path, sizeof path, &query), table[i].status);
		if (table[i].status != 0)
			continue;
		same("path", table[i].target, path, table[i].path);
		same("query", table[i].target, query, table[i].query);
	}
	/* whatever fits the buffer, and not one byte more */
	memset(want, 'a', sizeof want);
	want[0] = '/';
	want[sizeof want - 2] = '\0';
	same_number("status", "a path that fits", target_path(want, path, sizeof path, &query), 0);
	same("path", "a path that fits", path, want + 1);
	same_number("status", "a path that does not", target_path(want, path, 40, &query), 414);
}

static void
dates(void)
{
	static const struct { const char *text; long long seconds; } table[] = {
		{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
		{ "Sun Nov  6 08:49:37 1994", 784111777 },
		{ "Tue, 29 Feb 2000 23:59:59 GMT", 951868799 },
		{ "Tue, 19 Jan 2038 03:14:08 GMT", 2147483648LL },
		{ "", -1 },
		{ "yesterday", -1 },
		{ "Sun, 06 Nov 1994 08:49:37", -1 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT+1", -1 },
		{ "Sun, 06 Nov 1994 25:49:37 GMT", -1 },
		{ "Sun, 32 Nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 Foo 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 anF 1994 08:49:37 GMT", -1 }
	};
	char text[80];
	size_t i;
	int at;

	for (i = 0; i < COUNT(table); i++)
		for (at = -1; at <= 1; at++)
			same_number("date_compare", table[i].text,
			    date_compare((time_t)(table[i].seconds + at), table[i].text),
			    table[i].seconds < 0 ? 2 : at);
	for (i = 0; i < COUNT(table) && table[i].seconds >= 0; i++)
		if (strlen(table[i].text) == 29) {
			date_format(text, (time_t)table[i].seconds);
			same("date_format", table[i].text, text, table[i].text);
		}
}

static void
ranges(void)
{
	static const struct { const char *text; int size, status, first, length; } table[] = {
		{ "bytes=0-0", 10, 206, 0, 1 },
		{ "bytes=2-5", 10, 206, 2, 4 },
		{ "bytes=2-", 10, 206, 2, 8 },
		{ "bytes=-3", 10, 206, 7, 3 },
		{ "bytes=-30", 10, 206, 0, 10 },
		{ "bytes=5-99999999999999999999999999", 10, 206, 5, 5 },
		{ "Bytes= 0-9 ", 10, 206, 0, 10 },
		{ "bytes=10-", 10, 416, 0, 0 },
		{ "bytes=0-9999999999999999999", 10, 206, 0, 10 },
		{ "bytes=99999999999999999999999999-", 10, 416, 0, 0 },
		{ "bytes=-0", 10, 416, 0, 0 },
		{ "bytes=0-", 0, 416, 0, 0 },
		{ "bytes=-1", 0, 200, 0, 0 },
		{ "bytes=5-2", 10, 200, 0, 0 },
		{ "bytes=0-1,3-4", 10, 200, 0, 0 },
		{ "bytes=-", 10, 200, 0, 0 },
		{ "bytes=", 10, 200, 0, 0 },
		{ "bytes=a-b", 10, 200, 0, 0 },
		{ "bytes=1-2x", 10, 200, 0, 0 },
		{ "lines=1-2", 10, 200, 0, 0 }
	};
	off_t first, length;
	size_t i;

	for (i = 0; i < COUNT(table); i++) {
		first = length = 0;
		same_number("range_parse", table[i].text,
		    range_parse(table[i].text, table[i].size, &first, &length), table[i].status);
		same_number("first byte", table[i].text, (long long)first, table[i].first);
		same_number("bytes", table[i].text, (long long)length, table[i].length);
	}
}

static void
escapes(void)
{
	struct buf b;

	memset(&b, 0, sizeof b);
	html_add(&b, "a<b>&\"c'");
	buf_add(&b, "", 1);
	same("html_add", "a<b>&\"c'", b.data, "a&#60;b&#62;&#38;&#34;c&#39;");
	b.at = b.len = 0;
	url_add(&b, "a b/%:?#&\\\303\244-._~");
	buf_add(&b, "", 1);
	same("url_add", "all sorts", b.data, "a%20b/%25%3A%3F%23%26%5C%C3%A4-._~");
	buf_free(&b);
}

static bool
tag_is_listed(const char *list)
{
	return etag_listed(list, "\"1\"", true);
}

static bool
strong_tag_is_listed(const char *list)
{
	return etag_listed(list, "\"1\"", false);
}

static bool
host_is_own(const char *host)
{
	static const char *own[] = { "blog.test", NULL };
	static const struct options opt = { .hosts = own };

	return host_allowed(host, &opt);
}

static void
questions(void)
{
	/* first those that are to be answered with yes, then those with no */
	static const struct {
		const char *name;
		bool (*answer)(const char *);
		const char *of[2][20];
	} table[] = {
		{ "etag_listed", tag_is_listed, { {
		    "\"1\"", "W/\"1\"", "\"0\", \"1\"", "\"0\",W/\"1\",\"2\"", "*" }, {
		    "", "1", "\"11\"", "\"1", "\"0\"", "\"a, \"1\"", "w/\"1\"" } } },
		{ "etag_listed, strongly", strong_tag_is_listed, { {
		    "W/\"1\", \"1\"", "*" }, {
		    "W/\"1\"" } } },
		/* of "*" gzip may be one, but the file may be sent as it is */
		{ "gzip_accepted", gzip_accepted, { {
		    "gzip", "GZip", "deflate, gzip;q=0.1, br", "gzip ; q=1" }, {
		    "*", "", "identity", "gzipped", "gzip;q=0", "gzip;q=0.000, br", "*;q=0",
		    "*, gzip;q=0", "br;q=1.0" } } },
		{ "host_allowed", host_is_own, { {
		    "localhost", "LocalHost:8000", "localhost.", "a.localhost", "127.0.0.1",
		    "127.255.0.1:1", "[::1]", "[::1]:8000", "[::ffff:7f00:1]", "[::ffff:127.9.9.9]",
		    "blog.test:80" }, {
		    "[::ffff:8.8.8.8]", "", ":80", ".localhost", "xlocalhost", "localhost.example",
		    "128.0.0.1", "127.0.0.1.example", "0.0.0.0", "[::2]", "a.blog.test",
		    "blog.test.example" } } }
	};
	const char *const *of;
	size_t i;
	int no;

	for (i = 0; i < COUNT(table); i++)
		for (no = 0; no < 2; no++)
			for (of = table[i].of[no]; *of != NULL; of++)
				same_number(table[i].name, *of, table[i].answer(*of), !no);
	same_number("gzip_accepted", "no field", gzip_accepted(NULL), false);
}

int
main(void)
{
	heads();
	requests();
	paths();
	dates();
	ranges();
	escapes();
	questions();
	return wrong;
}
END
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
		is 'first build' "$(sed -n 's/^\(.* build: [a-z]*\),.*/\1/p' "$err")" 'blogserve: build 1: first build: ok'
		has 'index' "$(get /)" '<h1>My blog</h1>'
		has 'index' "$(get /)" '<a href="tools.html">About tools</a>'
		has 'a post' "$(get /hello.html)" '<em>this</em>'
		has 'a post' "$(get /tools.html)" 'text &amp; blank'
		put "$paste/blog/posts/hello.txt" '# Edited' '' 'Another *text*.'
		wait_for page_has /hello.html '<em>text</em>'
		has 'index' "$(get /)" 'Edited'
		kill -INT "$(tail -n 1 "$dir/pids")"
		rc=0
		wait "$pid" || rc=$?
		is 'exit status' "$rc" 0
	done
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
	has 'index' "$(get /)" '<h1>My blog</h1>'
	demo=$(echo "$TMPDIR"/blogserve-demo.*)
	put "$demo/blog/posts/hello.txt" '# Edited' '' 'Another *text*.'
	wait_for page_has /hello.html '<em>text</em>'
	type_ 03
	left_terminal
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

t_has_a_manual_that_knows_every_option() {
	try -h
	for letter in A b h L n q R V v a d H i k l P p r t u w x; do
		grep "^\.It Fl $letter" "$source/blogserve.1" >/dev/null || fail "the manual lacks -$letter"
		grep -e "-[A-Za-z]*$letter" "$out" >/dev/null || fail "-h lacks -$letter"
	done
}

# --- running them ---

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
	if ! "$helper" end <"$dir/pids"; then
		echo 'a process would not end' >>"$dir/said"
		rc=1
	fi
}

# Writes down what came of a case, as TAP.
tell() { # number name
	sentence=$(printf '%s\n' "${2#t_}" | tr _ ' ')
	if [ "$rc" -ne 0 ]; then
		echo "not ok $1 - $sentence"
		for file in "$dir/said" "$dir"/err.* "$dir"/screen.*; do
			[ ! -s "$file" ] || { printf '%s:\n' "${file##*/}"; tail -n 20 "$file"; echo; }
		done | sed 's/^/# /'
	elif [ -e "$dir/skip" ]; then
		echo "ok $1 - $sentence # SKIP $(cat "$dir/skip")"
	else
		echo "ok $1 - $sentence"
	fi
}

# One of JOBS workers: every JOBSth case is its own.
work() { # which name ...
	which=$1
	number=0
	shift
	case_pid='' dog=''
	trap '"$helper" watchdog 0 "$case_pid"; [ -z "$dog" ] || kill $dog; "$helper" end <"$dir/pids"; exit 1' TERM
	for name; do
		number=$((number + 1))
		[ $((number % JOBS)) -eq "$which" ] || continue
		run_case "$name"
		tell "$number" "$name" >"$tmp/part.$which"
		rm -rf "$dir"
		mv "$tmp/part.$which" "$tmp/$number.tap"
	done
}

# make bench: not a test, but it needs the helper. Beside the least that a server can do, in turn.
bench() {
	dir=$tmp/bench
	mkdir -p "$dir/site"
	cd "$dir/site" || exit 1
	start -q -R
	echo "requests a second over 64 kept connections, the median of 5; canned: a server that reads no file"
	for size in 1024 102400; do
		dd if=/dev/zero of=$size bs=1024 count=$((size / 1024)) 2>/dev/null
		{ exec "$helper" canned $size; } >"$dir/canned" &
		canned=$!
		note $canned
		until [ -s "$dir/canned" ]; do nap 10; done
		: >"$dir/theirs.$size"
		while [ "$(wc -l <"$dir/theirs.$size")" -lt 5 ]; do
			"$helper" load 1000 "${url}$size" >>"$dir/ours.$size" || exit 1
			"$helper" load 1000 "$(cat "$dir/canned")" >>"$dir/theirs.$size" || exit 1
		done
		ours=$(sort -n "$dir/ours.$size" | sed -n 3p)
		theirs=$(sort -n "$dir/theirs.$size" | sed -n 3p)
		printf '%4d KiB: blogserve %7d, canned %7d: %d%%\n' $((size / 1024)) "$ours" "$theirs" \
		    $((ours * 100 / theirs))
		kill $canned
	done
	leave TERM
}

all=$(sed -n 's/^\(t_[A-Za-z0-9_]*\)() {.*/\1/p' "$self")
[ "${1-}" != bench ] || all=bench
for name; do
	case "$newline$all$newline" in
	*"$newline$name$newline"*) ;;
	*) echo "test.sh: no such case: $name" >&2; exit 2 ;;
	esac
done
[ $# -gt 0 ] || set -- $all

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
build_helper
[ "$all" != bench ] || { bench; exit; }

echo "1..$#"
which=0
while [ "$which" -lt "$JOBS" ]; do
	work "$which" "$@" &
	workers="$workers $!"
	which=$((which + 1))
done
number=0 passed=0 failed=0
for name; do
	number=$((number + 1))
	worker=$(echo $workers | cut -d ' ' -f $((number % JOBS + 1)))
	until [ -e "$tmp/$number.tap" ]; do
		nap 20
		! dead "$worker" || [ -e "$tmp/$number.tap" ] ||
		    echo "not ok $number - $name: who ran it is dead" >"$tmp/$number.tap"
	done
	cat "$tmp/$number.tap"
	case $(head -n 1 "$tmp/$number.tap") in
	ok*) passed=$((passed + 1)) ;;
	*) failed=$((failed + 1)) ;;
	esac
done
wait
workers=
clean
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
