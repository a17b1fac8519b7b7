/*
 * blogserve: serve a blog, rebuild it when its sources change.
 *
 * Copyright (c) 2026 the blogserve authors
 *
 * Permission to use, copy, modify, and/or distribute this software for any
 * purpose with or without fee is hereby granted, provided that the above
 * copyright notice and this permission notice appear in all copies.
 *
 * THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES
 * WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF
 * MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR
 * ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES
 * WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN
 * ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF
 * OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
 *
 *                     terminal, init, kill(1)
 *                              | signals
 *                              v
 *     sources --watch-->  [ parent ] ==orders==>  [ server ]  <--HTTP-- browsers
 *                          |   ^  ^                  |   |
 *                fork+exec |   |  |                  |   | reads
 *                          v   |  +--- the log ------+   v
 *                       [ build ] ------- writes ---->  docroot
 *
 * The parent watches the sources, starts builds and keeps the server alive.
 * The server answers browsers; it knows the docroot, the log of the build
 * and the parent's orders, nothing else.  A build runs in a session of its
 * own, where no signal of the terminal reaches it.  With -A there is now
 * and then one child more, the remover, which removes old versions.
 *
 * Rules that the code below keeps, and cites:
 *
 * R1  The listeners are opened once, by the parent, and closed by it only
 *     when it stops: they outlive a server that dies.
 * R2  Orders to the server are whole snapshots of at most PIPE_BUF bytes,
 *     never increments: a new server needs only the latest.
 * R3  End of file on orders means that the parent is gone, so no process
 *     but the parent may hold the write end.
 * R4  A signal handler writes one byte, keeps errno, and does nothing else.
 * R5  There is one waitpid in the file.
 * R6  Once running, the parent waits only in poll_wait, and does
 *     nothing that takes longer than some SLICE_TIME: a scan is done in
 *     slices.  What fails becomes a warning and a deadline.
 * R7  Only builds write into the docroot; with -A the parent renames what
 *     a build made to be the docroot.  Only the server reads from clients.
 * R8  Bytes from a client reach the file system through site_open alone; a
 *     name that it opened may be looked at again, in file_verify.
 * R9  An order that announces a build is in the pipe before the build
 *     exists.  So a file that was read before the pipe was found empty was
 *     read before any byte that the build writes.
 *
 * The file is read from the end: main, then what the parent does
 * (supervising, building, watching), then what the server does (serving),
 * then what both stand on.  A section calls only sections above it.
 *
 * Deadlines are milliseconds of the monotonic clock; 0 is never.
 */

/* ---------------------------------------------------------------------
 * 1  Limits, types, and what this system has beyond POSIX.1-2008
 * ------------------------------------------------------------------ */

#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64
#if !defined(POSIX_ONLY) && (defined(__linux__) || defined(__APPLE__) || \
    defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__) || defined(__sun))
#define HAVE_MORE	1	/* which some show only if they are asked */
#define _GNU_SOURCE
#define _NETBSD_SOURCE
#define __EXTENSIONS__
#endif
#if defined(__sun) || !(defined(HAVE_MORE) || defined(__APPLE__))
#define _XOPEN_SOURCE 700
#endif

#include <sys/types.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/*
 * What each system has.  Each of these is one function below; where the
 * system has none, or refuses, its caller goes the way that POSIX offers.
 */
#if HAVE_MORE
#include <sys/ioctl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <net/if.h>
#endif
#if HAVE_MORE && defined(__linux__)
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#define HAVE_INOTIFY	1
#define HAVE_SENDFILE	1
#elif HAVE_MORE && defined(__FreeBSD__)
#include <sys/procctl.h>
#if __has_include(<sys/inotify.h>)	/* since 15 */
#include <sys/inotify.h>
#define HAVE_INOTIFY	1
#endif
#endif
#if defined(SYS_landlock_create_ruleset) && !defined(HAVE_LANDLOCK)
#define HAVE_LANDLOCK	1
#endif
#ifdef __FreeBSD__
#define NOTIFY_SYSCTL	"vfs.inotify.max_"
#else
#define NOTIFY_SYSCTL	"fs.inotify.max_"
#endif
#ifdef __APPLE__
#define st_mtim st_mtimespec
#define st_ctim st_ctimespec
#endif
#if !defined(O_SEARCH) && defined(O_PATH) && !defined(POSIX_ONLY)
#define O_SEARCH O_PATH
#elif !defined(O_SEARCH)
#define O_SEARCH O_RDONLY	/* only directories that can be listed, then */
#endif
#ifdef __GLIBC__	/* its getopt looks behind operands, unless told so */
#define IN_ORDER	"+"
#else
#define IN_ORDER	""
#endif

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

/* The columns of the terminal that shows what is said, as they are now. */
static size_t
extra_columns(void)
{
#if HAVE_MORE
	struct winsize w;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
		return w.ws_col;
#endif
	return 80;
}

/* Have what a build's children leave behind be ours to reap. */
static void
extra_subreaper(void)
{
#if defined(PROC_REAP_ACQUIRE)
	procctl(P_PID, 0, PROC_REAP_ACQUIRE, NULL);
#elif defined(PR_SET_CHILD_SUBREAPER)
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
#endif
}

/*
 * Call fn with each address of this machine that is of the family and not
 * loopback nor link-local.
 */
static void
extra_addresses(int family, void (*fn)(const struct sockaddr *, void *),
    void *arg)
{
#if HAVE_MORE
	struct ifaddrs *all, *i;

	if (getifaddrs(&all) == -1)
		return;
	for (i = all; i != NULL; i = i->ifa_next)
		if (i->ifa_addr != NULL && !(i->ifa_flags & IFF_LOOPBACK) &&
		    i->ifa_addr->sa_family == family && (family == AF_INET ||
		    !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)
		    (const void *)i->ifa_addr)->sin6_addr)))
			fn(i->ifa_addr, arg);
	freeifaddrs(all);
#else
	(void)family, (void)fn, (void)arg;
#endif
}

/*
 * Open path below dir; no symlink on the way may lead out of dir, nor be
 * absolute (EXDEV): linux/openat2.h's RESOLVE_BENEATH and
 * RESOLVE_NO_MAGICLINKS, which libc's headers need not have.
 */
static int
extra_open_beneath(int dir, const char *path, int flags)
{
#ifdef SYS_openat2
	const struct { uint64_t flags, mode, resolve; } how = {
	    (uint64_t)flags, 0, 0x08 | 0x02 };

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
#else
	(void)dir, (void)path, (void)flags;
	errno = ENOSYS;
	return -1;
#endif
}

/* Let two names change places in one step. */
static int
extra_exchange(const char *a, const char *b)
{
#ifdef SYS_renameat2
	return (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 1U << 1);
#else
	(void)a, (void)b;
	return -1;
#endif
}

/* Have a user's groups and no others. */
static int
extra_initgroups(const char *user, gid_t group)
{
#if HAVE_MORE && defined(__APPLE__)
	return initgroups(user, (int)group);
#elif HAVE_MORE
	return initgroups(user, group);
#else
	(void)user, (void)group;
	errno = ENOSYS;
	return -1;
#endif
}

#if HAVE_LANDLOCK
/* Allow what path is beneath (linux/landlock.h) to a ruleset. */
static bool
landlock_allow(int rules, const char *path, uint64_t access)
{
	const struct { uint64_t access; int32_t fd; } beneath = {
	    access, open(path, O_PATH | O_CLOEXEC) };
	long r = syscall(SYS_landlock_add_rule, rules, 1, &beneath, 0);

	close(beneath.fd);
	return r == 0;
}
#endif

/*
 * From now on read only below one directory, append only to files in
 * another, NULL: none; execute nothing, reach no other network.  Returns
 * what of that holds, in words.
 */
static const char *
extra_sandbox(const char *readable, const char *appendable)
{
#if defined(__OpenBSD__) && !defined(POSIX_ONLY)
	if (unveil(readable, "r") == 0 &&
	    (appendable == NULL || unveil(appendable, "wc") == 0) &&
	    pledge(appendable == NULL ? "stdio rpath inet" :
	    "stdio rpath wpath cpath inet", NULL) == 0)
		return "pledge, unveil";
#elif HAVE_LANDLOCK
	/* The versions 2, 3 and 5 know another kind of access each, ... */
	static const unsigned char kinds[] = { 13, 13, 14, 15, 15, 16 };
	struct { uint64_t files, net, scope; } handled = { 0, 3, 3 };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	bool confined;
	int rules;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return "nothing";
	if (abi < 1)
		return "no new privileges";
	handled.files = (1U << kinds[abi < 5 ? abi : 5]) - 1;
	/* ... and 4 and 6 another field each. */
	rules = (int)syscall(SYS_landlock_create_ruleset, &handled,
	    abi < 4 ? 8 : abi < 6 ? 16 : 24, 0);
	/* What cannot be allowed is not denied, either. */
	confined = landlock_allow(rules, readable, 1 << 2 | 1 << 3) &&
	    (appendable == NULL ||
	    landlock_allow(rules, appendable, 1 << 1 | 1 << 8)) &&
	    syscall(SYS_landlock_restrict_self, rules, 0) == 0;
	close(rules);
	return confined ? "Landlock, no new privileges" : "no new privileges";
#else
	(void)readable, (void)appendable;
#endif
	return "nothing";
}

/* Send up to n bytes of a file from *at on, which moves; as write(2) does. */
static ssize_t
extra_sendfile(int out, int in, off_t *at, size_t n)
{
#if HAVE_SENDFILE
	return sendfile(out, in, at, n);
#else
	(void)out, (void)in, (void)at, (void)n;
	errno = ENOSYS;
	return -1;
#endif
}

/* More is sent soon: do not send a segment that is not full. */
#if HAVE_MORE && defined(MSG_MORE)
#define SEND_MORE MSG_MORE
#else
#define SEND_MORE 0
#endif

/*
 * Let clients wait at a listener until they speak or a second has passed,
 * so that most are answered as soon as they are accepted.  One that waits
 * there is no connection yet: -t does not bound it, nor is it told of our end.
 */
static void
extra_defer(int fd)
{
#if HAVE_MORE && defined(TCP_DEFER_ACCEPT)
	setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &(int){ 1 }, sizeof(int));
#else
	(void)fd;
#endif
}

/* A descriptor that tells of changes; -1 with errno, 0 where none can. */
static int
extra_notify_open(void)
{
#if HAVE_INOTIFY
	return inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
#else
	errno = 0;
	return -1;
#endif
}

/*
 * Tell of the coming and going of a directory's entries and, if written, of
 * what is written to them.  Returns its number, or -1 with errno.
 */
static int
extra_notify_add(int fd, const char *path, bool written)
{
#if HAVE_INOTIFY
	return inotify_add_watch(fd, path, IN_MASK_ADD | IN_ONLYDIR |
	    IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
	    IN_DELETE_SELF | IN_MOVE_SELF |
	    (written ? IN_MODIFY | IN_CLOSE_WRITE : 0));
#else
	(void)fd, (void)path, (void)written;
	return -1;
#endif
}

/*
 * Call fn for each event that waits: with the directory's number and the
 * entry's name, NULL for itself; with -1 where events were lost.  Those that
 * come meanwhile may have to wait for the next call, for they may never cease.
 */
static void
extra_notify_drain(int fd, void (*fn)(void *, int, const char *), void *arg)
{
#if HAVE_INOTIFY
	union { struct inotify_event event; char bytes[16 * 1024]; } u;
	const struct inotify_event *e;
	const char *p;
	ssize_t n;

	do {
		n = read(fd, &u, sizeof(u));
		for (p = u.bytes; n > p - u.bytes; p += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)(const void *)p;
			fn(arg, e->mask & IN_Q_OVERFLOW ? -1 : e->wd,
			    e->len > 0 ? e->name : NULL);
		}
	} while (n > (ssize_t)(sizeof(u) - sizeof(*e) - NAME_MAX - 1));
#else
	(void)fd, (void)fn, (void)arg;
#endif
}

#define VERSION		"0.1"

enum {
	HEAD_MAX = 16 * 1024,	/* bytes of a request's head */
	PATH_LEN = 4096,	/* bytes of a path that a client may name */
	URL_LEN = 1024,		/* bytes of the site's own URL */
	TYPE_LEN = 48,		/* and of a type of media */
	CONN_MAX = 10000,	/* connections at a time */
	INLINE_MAX = 32 * 1024,	/* files up to here are sent from memory */
	CHUNK = 64 * 1024,	/* others are read in pieces of this ... */
	SENDFILE_MAX = 1024 * 1024,	/* ... or sent so much in a call, ... */
	SENDFILE_REST = 4 * 1024,	/* but for the last so many bytes */
	LOG_MAX = 1000,		/* bytes of a client's text in the log */
	BACKLOG = 4096,		/* clients that wait at a listener */
	ACCEPT_MAX = 64,	/* clients taken in a turn */
	TRIES_MAX = 100,	/* to read a file that changes meanwhile */
	TURN_MAX = 8,		/* steps of a connection in its turn */
	LINKS_MAX = 40,		/* symlinks on the way to a source */
	FRONT_MAX = 64 * 1024,	/* the doctype of a page ends before this */
	STREAM_MAX = 64 * 1024,	/* events that a client may leave unread */
	FDS_MAX = 64 * 1024,	/* descriptors of the server */
	CACHE_MAX = 4 * 1024 * 1024,	/* bytes of files that are kept */
	LISTEN_MAX = 16,	/* listeners */
	TABLE_SLOTS = 4 * 1024,	/* of what is found by hash, each a list */
	PORT_FIRST = 8000,	/* the port, if nobody names one */
	CHANGED_MAX = 64 * 1024,/* bytes of BLOGSERVE_CHANGED */
	WHAT_LEN = 200,		/* bytes of a build's cause in messages */
	PRODUCT = 15,		/* builds, for no save, that change a product */
	SURE = PRODUCT + 5,	/* and builds that were made to be sure of that */
	ERR_MAX = 4 * 1024 * 1024	/* bytes that standard error may leave unread */
};

/* Milliseconds. */
enum {
	HEAD_TIME = 10 * 1000,	/* for a request's head, from its first byte */
	IDLE_TIME = 60 * 1000,	/* between requests, or without progress */
	HOLD_TIME = 10 * 1000,	/* a request waits for a build, at most */
	CACHE_TIME = 5 * 1000,	/* that a file is kept, at most */
	PING_TIME = 50 * 1000,	/* between signs of life in an event stream */
	LINGER_TIME = 2 * 1000,	/* for a client to read our last words */
	DRAIN_TIME = 5 * 1000,	/* for responses in flight when stopping */
	KILL_TIME = 3 * 1000,	/* between SIGTERM and SIGKILL */
	REPEAT_TIME = 500,	/* signals of one wish come within this */
	QUIET_TIME = 8,		/* without a change, before a build starts */
	QUIET_MAX = 500,	/* changes delay a build no longer */
	SLICE_TIME = 10,	/* the parent looks at sources in one go */
	SCAN_MIN = 100,		/* between scans, at least */
	SCAN_SHARE = 50,	/* a scan may take one part in so many */
	SLOW_MIN = 2 * 1000,	/* the same for scans that find what was not */
	SLOW_SHARE = 500,	/* told of */
	FIRST_TIME = 1000,	/* the first build waits for the first scan */
	RACY_TIME = 20,		/* two changes within it may have one ctime */
	COPY_TIME = 50,		/* between looks at what a build printed */
	TAKE_TIME = 1000,	/* for a reader to take it, at the end */
	START_TIME = 100,	/* between starts of a server, at least */
	RETRY_TIME = 1000,	/* after a fork that failed */
	DOUBT_TIME = 2 * 1000,	/* before a build to see whose a change is */
	SHOW_TIME = 1000,	/* between signs of life on a terminal */
	LONG_TIME = 30 * 1000	/* a first build that takes this is a mistake */
};

/* What the command line says; constant after main.  Lists end with NULL. */
struct options {
	const char *docroot;	/* as given */
	char *root;		/* the docroot's absolute path */
	const char **watch;	/* sources, as given */
	const char **exclude;	/* patterns of what is not a source */
	const char **hosts;	/* further Hosts to answer to */
	char *const *command;	/* NULL: nothing to build */
	const char *address;	/* NULL: both loopbacks */
	const char *logfile, *pidfile, *user;	/* NULL: none */
	const char *errfile;	/* beside the log, with -b */
	const char *prefix;	/* the site's path: "" or "/...", fit for URLs */
	int64_t interval;	/* ms between scans; 0: by their cost */
	int64_t build_time;	/* ms that a build may take; 0: any */
	int64_t patience;	/* ms for clients, 0: HEAD_TIME, IDLE_TIME */
	int port;		/* -1: PORT_FIRST or one of the next */
	int log;		/* the access log, -1: none; it may be reopened */
	int err;		/* what is said with -b, -1: to syslog */
	int pid;		/* the pid file, locked; -1: none */
	bool atomic;		/* each build makes a directory of its own */
	bool background, no_listings;
	bool follow;		/* symlinks out of the docroot */
	bool no_reload;		/* of pages, after builds */
};

/* Bytes data[at] to data[len - 1] wait; failed: some that belong there lack. */
struct buf {
	char *data;
	size_t at, len, cap;
	bool failed;
};

/* What is found by its hash: the first member of what is found. */
struct item {
	struct item *next;	/* of those in the same slot */
	uint64_t hash;
};

struct table {
	struct item *slots[TABLE_SLOTS];
};

struct listeners {
	int fd[LISTEN_MAX];
	size_t count;
	int port;		/* of the last, and its address */
	char host[INET6_ADDRSTRLEN];
	bool loopback;		/* all of them: strangers are kept out */
	const char *prefix;
	char url[URL_LEN];
};

/* The record of builds that the server is told of; in orders. */
struct record {
	int64_t started_at;	/* of the build under way, 0: none */
	int64_t took;		/* ms that the latest took, -1: none has ended */
	unsigned number;	/* of the latest build */
	unsigned done;		/* good builds so far, or changes without */
	unsigned other;		/* the last that changed more than styles */
	int status;		/* waitpid's, of the latest that ended */
	bool building;		/* from when it is announced on (R9) */
	char what[WHAT_LEN];	/* why the latest build was made */
};

/* What the parent tells the server; a snapshot (R2), so fixed in size. */
struct orders {
	struct record build;
	bool hold;		/* a build writes in place, or none has been */
	bool stopping;
	unsigned reopen;	/* the log, each time that this grows */
};

typedef char orders_fit_a_pipe[sizeof(struct orders) <= _POSIX_PIPE_BUF ?
    1 : -1];

/* What is said to standard error waits here until a reader takes it. */
static struct {
	struct buf waiting;
	int verbosity;		/* -1 with -q, 1 with -v */
	bool to_syslog, coloured;
	bool stamped;		/* the time stands before each line */
	bool terminal;		/* where a line can be overwritten */
	bool midline;		/* what was copied last lacks its newline */
	bool progress;		/* one to be overwritten is shown */
} messages;

static int self_pipe[2] = { -1, -1 };	/* from signal handlers to poll */

/* ---------------------------------------------------------------------
 * 2  Tools: messages, time, buffers, tables, descriptors, signals
 * ------------------------------------------------------------------ */

static int64_t
time_ms(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

/* Milliseconds of a clock. */
static int64_t
clock_of(clockid_t id)
{
	struct timespec t = { 0 };

	clock_gettime(id, &t);
	return time_ms(&t);
}

static int64_t
clock_ms(void)
{
	return clock_of(CLOCK_MONOTONIC);
}

/* The earlier of two deadlines. */
static int64_t
sooner(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/*
 * Whether a deadline has come.  One that has not is noted in *until, which
 * becomes the time when whoever asks wants to be called again.
 */
static bool
is_due(int64_t at, int64_t now, int64_t *until)
{
	if (at != 0 && now < at)
		*until = sooner(*until, at);
	return at != 0 && now >= at;
}

/* poll until a deadline; it may fail again and again, so with a pause. */
static int
poll_wait(struct pollfd *p, size_t n, int64_t until, int64_t now)
{
	const struct timespec nap = { 0, 10 * 1000 * 1000 };
	int64_t ms = until - now;
	int r = poll(p, (nfds_t)n, until == 0 ? -1 : ms < 0 ? 0 :
	    ms > INT_MAX ? INT_MAX : (int)ms);

	if (r == -1 && errno != EINTR)
		nanosleep(&nap, NULL);
	return r;
}

/* Make room for n more bytes; false when memory ran out. */
static bool
buf_room(struct buf *b, size_t n)
{
	size_t cap = b->cap > 0 ? b->cap : 256;
	char *data;

	while (cap - b->len < n)
		cap *= 2;
	if (cap != b->cap && !b->failed) {
		if ((data = realloc(b->data, cap)) != NULL) {
			b->data = data;
			b->cap = cap;
		} else
			b->failed = true;
	}
	return !b->failed;
}

static void
buf_add(struct buf *b, const char *data, size_t n)
{
	if (n > 0 && buf_room(b, n)) {
		memcpy(b->data + b->len, data, n);
		b->len += n;
	}
}

static void
buf_puts(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

#define END	((const char *)NULL)

/* Append several strings; END ends them. */
static void
buf_join(struct buf *b, ...)
{
	const char *s;
	va_list ap;

	va_start(ap, b);
	while ((s = va_arg(ap, const char *)) != NULL)
		buf_puts(b, s);
	va_end(ap);
}

/* Append text, and a NUL behind it that is not counted. */
static void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n = 511, room;

	do {
		room = n + 1;
		if (!buf_room(b, (size_t)room))
			return;
		va_start(ap, fmt);
		n = vsnprintf(b->data + b->len, (size_t)room, fmt, ap);
		va_end(ap);
	} while (n >= room);
	b->len += n > 0 ? (size_t)n : 0;
}

static size_t
buf_left(const struct buf *b)
{
	return b->len - b->at;
}

static void
buf_clear(struct buf *b)
{
	b->at = b->len = 0;
	b->failed = false;
}

/* Forget what was taken, once that is the larger part. */
static void
buf_pack(struct buf *b)
{
	if (b->at > 0 && b->at >= b->len / 2) {
		memmove(b->data, b->data + b->at, buf_left(b));
		b->len -= b->at;
		b->at = 0;
	}
}

static void
buf_free(struct buf *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

/*
 * Write what waits for standard error, as far as it is taken within ms, for a
 * reader may be stuck.  POSIX lets a pipe that is ready take PIPE_BUF bytes.
 */
static void
err_drain(int64_t ms)
{
	struct buf *b = &messages.waiting;
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	int64_t until = clock_ms() + ms;
	size_t n;
	ssize_t r;

	while ((n = buf_left(b)) > 0) {
		if (poll_wait(&p, 1, until, clock_ms()) != 1)
			return;	/* an error is found by write */
		r = write(STDERR_FILENO, b->data + b->at,
		    n < _POSIX_PIPE_BUF ? n : _POSIX_PIPE_BUF);
		if (r == -1 && errno != EAGAIN && errno != EINTR)
			r = (ssize_t)n;		/* nobody will ever read it */
		if (r > 0)
			b->at += (size_t)r;
		else if (ms == 0)
			return;
	}
	buf_clear(b);
}

/* Say text later, behind all else; what does not fit ERR_MAX is lost. */
static void
err_add(const char *text, size_t n)
{
	struct buf *b = &messages.waiting;

	if (messages.progress)
		buf_puts(b, "\r\033[K");
	messages.progress = false;
	buf_pack(b);
	if (buf_left(b) + n < ERR_MAX)
		buf_add(b, text, n);
	b->failed = false;
	messages.midline = text[n - 1] != '\n';
}

static const char synopsis[] =
    "usage: blogserve [-AbhLnqRVv] [-a address] [-d docroot] [-H host]...\n"
    "                 [-i seconds] [-k seconds] [-l logfile] [-P pidfile]\n"
    "                 [-p port] [-r prefix] [-t seconds] [-u user]\n"
    "                 [-w path]... [-x pattern]... [command [argument ...]]\n"
    "blogserve -h says what each option is.\n";

/* What a message means; -q leaves out notices, and -v adds details. */
enum level {
	USAGE = -3,		/* followed by the synopsis: exit 2 */
	FATAL = -2,		/* starting failed: exit 1 */
	WARNING = -1, NOTICE = 0, DETAIL = 1,
	PROGRESS = 2		/* for a terminal, where the next replaces it */
};

/* Control bytes in names must not reach a terminal. */
static void
text_clean(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

/* A line of progress: never longer than the terminal is wide just now. */
static void
say_progress(const char *line)
{
	size_t n = strlen(line), columns = extra_columns();

	if (messages.midline || buf_left(&messages.waiting) > 0)
		return;
	for (n = n < columns ? n : columns - 1; (line[n] & 0xc0) == 0x80; n--)
		;	/* not within a character of UTF-8 */
	buf_printf(&messages.waiting, "\r\033[K%.*s", (int)n, line);
	messages.progress = true;
	err_drain(0);
}

/* One line to standard error, in its turn. */
static void
say(enum level level, const char *fmt, ...)
{
	char line[1024], text[2048], when[32] = "";
	bool red;
	time_t now = time(NULL);
	struct tm tm;
	va_list ap;
	int n;

	if (messages.verbosity < (int)level && level != PROGRESS)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	text_clean(line);
	if (messages.to_syslog)
		syslog(level < NOTICE ? LOG_WARNING : LOG_INFO, "%s", line);
	else if (level == PROGRESS)
		say_progress(line);
	if (messages.to_syslog || level == PROGRESS)
		return;
	if (messages.stamped && localtime_r(&now, &tm) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S ", &tm);
	red = messages.coloured && level < NOTICE && strstr(line, "FAILED");
	n = snprintf(text, sizeof(text), "%s%s%sblogserve: %s%s\n%s",
	    messages.midline ? "\n" : "", when, red ? "\033[31m" : "", line,
	    red ? "\033[m" : "", level == USAGE ? synopsis : "");
	err_add(text, (size_t)n);
	err_drain(level > FATAL ? 0 : TAKE_TIME);
	if (level <= FATAL)
		exit(level == USAGE ? 2 : 1);
}

/* The same about what failed, and errno's reason. */
static void
say_why(enum level level, const char *what)
{
	say(level, "%s: %s", what, strerror(errno));
}

static void *
must_alloc(size_t n)
{
	void *p = calloc(1, n);

	if (p == NULL)
		say_why(FATAL, "memory");
	return p;
}

/* The item after i, NULL: the first, with this hash; NULL: there is none. */
static struct item *
table_next(const struct table *t, const struct item *i, uint64_t hash)
{
	struct item *next = i != NULL ? i->next : t->slots[hash % TABLE_SLOTS];

	while (next != NULL && next->hash != hash)
		next = next->next;
	return next;
}

/* Put an item before the others. */
static void
table_add(struct table *t, struct item *i, uint64_t hash)
{
	i->hash = hash;
	i->next = t->slots[hash % TABLE_SLOTS];
	t->slots[hash % TABLE_SLOTS] = i;
}

static void
table_cut(struct table *t, const struct item *i)
{
	struct item **at = &t->slots[i->hash % TABLE_SLOTS];

	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
}

static uint64_t
mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ (h >> 29);
}

static uint64_t
text_hash(uint64_t h, const char *s)
{
	while (*s != '\0')
		h = mix(h, (unsigned char)*s++);
	return h;
}

static int
address_text(const struct sockaddr *sa, char text[INET6_ADDRSTRLEN])
{
	const struct sockaddr_in *v4 = (const void *)sa;
	const struct sockaddr_in6 *v6 = (const void *)sa;
	bool is_v6 = sa->sa_family == AF_INET6;

	if (inet_ntop(sa->sa_family, is_v6 ? (const void *)&v6->sin6_addr :
	    &v4->sin_addr, text, INET6_ADDRSTRLEN) == NULL)
		memcpy(text, "-", 2);	/* a socket of another kind */
	return ntohs(is_v6 ? v6->sin6_port : v4->sin_port);
}

/* Have our standard descriptors be /dev/null and, if not -1, these. */
static void
stdio_set(int out, int err)
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, STDIN_FILENO);
	dup2(out != -1 ? out : null, STDOUT_FILENO);
	dup2(err != -1 ? err : null, STDERR_FILENO);
	close(null);
}

static void
fd_close(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

/* A new descriptor: close-on-exec and non-blocking; -1 with errno. */
static int
fd_prepare(int fd)
{
	return fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 ? -1 :
	    fcntl(fd, F_SETFL, O_NONBLOCK);
}

/* A pipe of ours; false if there is none, which is said. */
static bool
pipe_open(int fd[2], enum level level)
{
	if (pipe(fd) == 0 && fd_prepare(fd[0]) == 0 && fd_prepare(fd[1]) == 0)
		return true;
	say_why(level, "pipe");
	return false;
}

/* How many listeners whoever started us passes on: sd_listen_fds(3). */
static int
fds_passed(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	long n = pid != NULL && count != NULL &&
	    strtol(pid, NULL, 10) == getpid() ? strtol(count, NULL, 10) : 0;

	return n < 0 ? 0 : n > LISTEN_MAX ? LISTEN_MAX : (int)n;
}

/*
 * Standard descriptors that came closed are opened, lest a socket takes
 * their number; what else came open and was not passed on is closed.
 */
static void
fds_sanitize(void)
{
	int low = STDERR_FILENO + 1 + fds_passed(), fd;

	while ((fd = open("/dev/null", O_RDWR)) != -1 && fd <= STDERR_FILENO)
		;
	for (fd = low; fd < 4096; fd++)
		close(fd);
}

/* Whether a name means the file that is open at fd. */
static bool
is_named(int fd, const char *name)
{
	struct stat st, named;

	return fstat(fd, &st) == 0 && lstat(name, &named) == 0 &&
	    st.st_dev == named.st_dev && st.st_ino == named.st_ino;
}

/*
 * Open a file that only we may have, with our process id, and hold its lock
 * while we live.  One that nobody holds is taken, but nothing that is not a
 * regular file.  Returns a descriptor, or -1, which is said.
 */
static int
lock_open(const char *option, const char *name)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	const char *why = NULL;
	struct stat st;
	int fd = -1;

	do {
		fd_close(&fd);
		if (lstat(name, &st) == 0 && !S_ISREG(st.st_mode))
			why = S_ISLNK(st.st_mode) ? "is a symlink" :
			    S_ISDIR(st.st_mode) ? "is a directory" :
			    "is not a regular file";
		else if ((fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW |
		    O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644)) == -1)
			why = strerror(errno);
		else if (fcntl(fd, F_SETLK, &lock) == -1)
			why = errno == EACCES || errno == EAGAIN ?
			    "a blogserve that runs has it" : strerror(errno);
		/* Who had it may have removed it meanwhile. */
	} while (why == NULL && !is_named(fd, name));
	if (why == NULL && (ftruncate(fd, 0) == -1 ||
	    dprintf(fd, "%ld\n", (long)getpid()) < 0)) {
		why = strerror(errno);
		unlink(name);
	}
	if (why == NULL)
		return fd;
	say(WARNING, "%s%s: %s", option, name, why);
	fd_close(&fd);
	return -1;
}

/* Remove it or, where a user we became may not, empty it; but not another's. */
static void
lock_close(int fd, const char *name)
{
	if (fd != -1 && (!is_named(fd, name) || unlink(name) == -1) &&
	    ftruncate(fd, 0) == -1)
		say_why(WARNING, name);
	fd_close(&fd);
}

/*
 * Open a log to append to: the first one, for which fd is -1, must be had;
 * another one is fd from now on.
 */
static int
log_reopen(int fd, const char *name)
{
	int log = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC |
	    O_NOCTTY | O_NONBLOCK, 0644);

	if (log == -1)
		say(fd == -1 ? FATAL : WARNING, "-l %s: %s", name,
		    strerror(errno));
	if (log == -1 || fd == -1)
		return log;
	dup2(log, fd);
	close(log);
	return fcntl(fd, F_SETFD, fd > STDERR_FILENO ? FD_CLOEXEC : 0);
}

/* The logs were renamed, perhaps: write to new ones, or on to the old. */
static void
logs_reopen(const struct options *o)
{
	if (o->log != -1)
		log_reopen(o->log, o->logfile);
	if (o->errfile != NULL)
		log_reopen(STDERR_FILENO, o->errfile);
}

/*
 * What stat tells of a file, in one number: with the time of the inode's last
 * change, which nobody can set, equal stamps mean equal files, but for a
 * change within the same tick of the file system's clock (RACY_TIME).  Of
 * what is not a file only its mode, for entries have their own.  Never 0.
 */
static uint64_t
stat_stamp(const struct stat *st)
{
	uint64_t h = mix(0, (uint64_t)st->st_mode);

	if (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode)) {
		h = mix(h, (uint64_t)st->st_ino);
		h = mix(h, (uint64_t)st->st_size);
		h = mix(h, (uint64_t)st->st_mtim.tv_sec);
		h = mix(h, (uint64_t)st->st_mtim.tv_nsec);
		h = mix(h, (uint64_t)st->st_ctim.tv_sec);
		h = mix(h, (uint64_t)st->st_ctim.tv_nsec);
	}
	return h | 1;
}

/* Whether the next change may have this ctime, too, read at now or later. */
static bool
is_racy(const struct timespec *t, const struct timespec *now)
{
	int64_t age = time_ms(now) - time_ms(t);

	return age > -1000 && age <= (t->tv_nsec == 0 ? 2000 : RACY_TIME);
}

/*
 * A hash of a file, open at its begin, never 0 nor 1; 0 if it cannot be read,
 * 1 if it is too long to be compared.  Some files say that they have no size
 * and never end: once its size is read that is all.
 */
static uint64_t
content_hash(int fd, off_t size)
{
	uint64_t h = (uint64_t)size, buf[2 * 1024];
	ssize_t n = 0, i;

	if (size > 16 * 1024 * 1024)
		return 1;
	for (; size > 0 && (n = read(fd, buf, sizeof(buf))) > 0; size -= n) {
		memset((char *)buf + n, 0, (size_t)-n % 8);
		for (i = 0; i < n; i += 8)
			h = mix(h, buf[i / 8]);
		h = mix(h, (uint64_t)n);
	}
	return size > 0 && n == -1 ? 0 : h | 2;
}

/* The signals that the program has a say in, and how it found them. */
static const int signal_list[] = {
	SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGUSR1, SIGXFSZ,
};

struct signals {
	struct sigaction were[COUNT(signal_list)];
};

/* R4 */
static void
signal_caught(int sig)
{
	unsigned char byte = (unsigned char)sig;
	int e = errno;

	/* If it is full, whoever reads it will wake all the same. */
	(void)!write(self_pipe[1], &byte, 1);
	errno = e;
}

static void
signals_block(bool all)
{
	sigset_t mask;

	sigfillset(&mask);
	sigprocmask(all ? SIG_BLOCK : SIG_UNBLOCK, &mask, NULL);
}

/*
 * Catch what is ours, from now on.  What was ignored stays so (nohup, "&"
 * in a script), but SIGTERM and SIGCHLD; the mask we got is dropped.
 */
static void
signals_open(struct signals *s)
{
	struct sigaction act = { .sa_flags = SA_RESTART | SA_NOCLDSTOP };
	size_t i;
	int sig;

	pipe_open(self_pipe, FATAL);
	for (i = 0; i < COUNT(signal_list); i++) {
		sig = signal_list[i];
		sigaction(sig, NULL, &s->were[i]);
		act.sa_handler = sig == SIGPIPE || sig == SIGXFSZ ? SIG_IGN :
		    signal_caught;
		if (s->were[i].sa_handler != SIG_IGN || sig == SIGTERM ||
		    sig == SIGCHLD)
			sigaction(sig, &act, NULL);
	}
	signals_block(false);
}

/*
 * fork.  With s the child begins a session of its own and has all signals as
 * the program found them; else it ignores them.  Until then they are blocked:
 * none reaches a handler that is the parent's, and what the terminal sent is
 * forgotten; a SIGTERM is from us.  Returns whether this is the child; *pid
 * is 0 there, and where fork failed, which is said.
 */
static bool
fork_child(pid_t *pid, const struct signals *s)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	size_t i;
	bool child;

	signals_block(true);
	*pid = fork();
	child = *pid == 0;
	if (*pid == -1) {
		say_why(WARNING, "fork");
		*pid = 0;
	}
	if (child && s != NULL)
		setsid();
	for (i = 0; child && i < COUNT(signal_list); i++) {
		if (s == NULL || signal_list[i] != SIGTERM)
			sigaction(signal_list[i], &ignore, NULL);
		if (s != NULL)
			sigaction(signal_list[i], &s->were[i], NULL);
	}
	signals_block(false);
	return child;
}

/* What became of a process, in words; "" of one that succeeded. */
static void
status_text(char *text, size_t size, int status)
{
	text[0] = '\0';
	if (WIFSIGNALED(status))
		snprintf(text, size, "killed by signal %d (%s)",
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0)
		snprintf(text, size, "exit status %d", WEXITSTATUS(status));
}

/* ---------------------------------------------------------------------
 * 3  HTTP text: pure functions, from bytes to values and back
 * ------------------------------------------------------------------ */

enum method { METHOD_GET, METHOD_HEAD, METHOD_KNOWN, METHOD_UNKNOWN };

/* The fields of a request that we look at; field_names has theirs. */
enum field {
	FIELD_ACCEPT_ENCODING, FIELD_CONNECTION, FIELD_CONTENT_LENGTH,
	FIELD_HOST, FIELD_IF_MATCH, FIELD_IF_MODIFIED_SINCE,
	FIELD_IF_NONE_MATCH, FIELD_IF_RANGE, FIELD_IF_UNMODIFIED_SINCE,
	FIELD_RANGE, FIELD_REFERER, FIELD_SEC_FETCH_DEST,
	FIELD_TRANSFER_ENCODING, FIELD_USER_AGENT, FIELDS
};

/* Its strings lie in the head; parsing returns 0 or the status to refuse it. */
struct request {
	enum method method;
	int minor;			/* of HTTP/1; -1: Simple-Request */
	bool keep;			/* the client wants to go on */
	bool body;			/* bytes follow that we do not read */
	char *target;
	const char *asked;		/* the target, before it was parsed */
	const char *own;		/* NULL, or what of ours it names */
	const char *query;		/* from its '?' on, or "" */
	const char *field[FIELDS];	/* NULL: absent */
	char path[PATH_LEN];		/* decoded, without the first slash */
};

static const char field_names[FIELDS][20] = {
	"Accept-Encoding", "Connection", "Content-Length",
	"Host", "If-Match", "If-Modified-Since",
	"If-None-Match", "If-Range", "If-Unmodified-Since",
	"Range", "Referer", "Sec-Fetch-Dest",
	"Transfer-Encoding", "User-Agent",
};

/* RFC 9110, section 15; what a page of ours says of it, or NULL. */
static const struct status {
	int code;
	const char *line, *text;
} statuses[] = {
	{ 200, "200 OK", NULL },
	{ 206, "206 Partial Content", NULL },
	{ 301, "301 Moved Permanently", NULL },
	{ 304, "304 Not Modified", NULL },
	{ 400, "400 Bad Request", "The request is not one of HTTP." },
	{ 403, "403 Forbidden", NULL },
	{ 404, "404 Not Found", NULL },
	{ 405, "405 Method Not Allowed", "Only GET and HEAD are answered." },
	{ 408, "408 Request Timeout", NULL },
	{ 412, "412 Precondition Failed", NULL },
	{ 414, "414 URI Too Long", "The address is too long." },
	{ 416, "416 Range Not Satisfiable", "The file has no such part." },
	{ 431, "431 Request Header Fields Too Large", "The request has more "
	    "than 16 KiB of header. Cookies of all programs on one host add "
	    "up, whatever their ports: delete those of <code>localhost</code> "
	    "in the browser's settings, or open this site by another name: "
	    "<code>127.0.0.1</code> or <code>name.localhost</code>." },
	{ 501, "501 Not Implemented", "Only GET and HEAD are answered." },
	{ 503, "503 Service Unavailable", NULL },
	{ 505, "505 HTTP Version Not Supported", NULL },
	{ 500, "500 Internal Server Error", NULL }	/* and all else */
};

/* Ends of names, some with a semicolon and the type, if it has another word. */
static const struct {
	const char *kind, *ends;
} types[] = {
	{ "text", "html htm;html shtml;html css js;javascript mjs;javascript "
	    "cjs;javascript md;markdown markdown csv tsv;tab-separated-values "
	    "ics;calendar vcf;vcard vtt" },
	{ "image", "png apng jpg;jpeg jpeg jpe;jpeg jfif;jpeg gif webp avif "
	    "jxl svg;svg+xml svgz;svg+xml bmp tif;tiff tiff heic ico;x-icon "
	    "cur;x-icon" },
	{ "font", "woff woff2 ttf otf ttc;collection" },
	{ "audio", "mp3;mpeg m4a;mp4 aac ogg oga;ogg opus;ogg wav flac "
	    "weba;webm mid;midi midi" },
	{ "video", "mp4 m4v;x-m4v mov;quicktime webm ogv;ogg mkv;x-matroska "
	    "ts;mp2t avi;x-msvideo mpg;mpeg mpeg" },
	{ "model", "glb;gltf-binary gltf;gltf+json" },
	{ "application", "json map;json jsonld;ld+json geojson;geo+json "
	    "webmanifest;manifest+json xml xsd;xml rng;xml opml;xml "
	    "xsl;xslt+xml xslt;xslt+xml rdf;rdf+xml gpx;gpx+xml atom;atom+xml "
	    "rss;rss+xml kml;vnd.google-earth.kml+xml xhtml;xhtml+xml "
	    "xht;xhtml+xml eot;vnd.ms-fontobject m3u8;vnd.apple.mpegurl pdf "
	    "epub;epub+zip wasm zip gz;gzip tgz;gzip bz2;x-bzip2 xz;x-xz "
	    "tar;x-tar 7z;x-7z-compressed rar;vnd.rar zst;zstd rtf doc;msword "
	    "jar;java-archive ps;postscript eps;postscript "
	    "odt;vnd.oasis.opendocument.text" },
};

/* Plain text: what is to be read, and not downloaded. */
static const char plain_ends[] = "txt text asc log yml yaml toml ini conf cfg "
    "properties env c h cc cpp cxx hh hpp cs m java kt scala swift go rs d "
    "zig nim py rb pl pm php lua tcl r jl hs ml clj el lisp scm erl ex exs "
    "sql awk sed sh bash zsh fish bat ps1 diff patch tex bib rst org adoc "
    "textile scss sass less styl jsx tsx vue svelte vim mk cmake gradle srt "
    "nfo lock sum";

static const struct status *
status_of(int code)
{
	const struct status *s;

	for (s = statuses; s->code != code && s->code != 500; s++)
		;
	return s;
}

/* The end of a file's name: what follows its last dot, or "". */
static const char *
name_end(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot != NULL && strchr(dot, '/') == NULL ? dot + 1 : "";
}

/* What follows a word in a list, capitals or not; NULL: it is not there. */
static const char *
word_find(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (; list != NULL && *list != '\0'; list += strcspn(list, " \t,")) {
		list += strspn(list, " \t,");
		if (n > 0 && strncasecmp(list, word, n) == 0 &&
		    strchr(" \t,;", list[n]) != NULL)
			return list + n;
	}
	return NULL;
}

/* The media type by the end of a file's name; NULL: none is known. */
static const char *
type_known(const char *path, char type[TYPE_LEN])
{
	const char *end = name_end(path), *name;
	size_t i;

	for (i = 0; i < COUNT(types); i++)
		if ((name = word_find(types[i].ends, end)) != NULL) {
			name = *name == ';' ? name + 1 : name - strlen(end);
			snprintf(type, TYPE_LEN, "%s/%.*s", types[i].kind,
			    (int)strcspn(name, " "), name);
			return type;
		}
	return word_find(plain_ends, end) != NULL ? "text/plain" : NULL;
}

/*
 * The length of the request head that data begins with, its empty line
 * included; 0 while it is not whole.  Empty lines before it belong to it
 * (RFC 9112, section 2.2).  A first line that does not end in a version,
 * HTTP/1.0 say, is a Simple-Request and all of the head (RFC 1945, 4.1).
 */
static size_t
head_length(const char *data, size_t len)
{
	const char *p, *nl, *end = data + len;
	bool first = true;
	size_t n;

	for (p = data; (nl = memchr(p, '\n', (size_t)(end - p))) != NULL;
	    p = nl + 1) {
		n = (size_t)(nl - p);
		n -= n > 0 && p[n - 1] == '\r';
		if (n == 0 && first)
			continue;
		if (n == 0 || (first && (n < 9 ||
		    memcmp(p + n - 9, " HTTP/", 6) != 0)))
			return (size_t)(nl + 1 - data);
		first = false;
	}
	return 0;
}

#define DIGITS	"0123456789"
#define ALNUM	DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define TOKEN	ALNUM "!#$%&'*+-.^_`|~"		/* RFC 9110, section 5.6.2 */

/*
 * Cut a Host (RFC 9110, section 7.2) down to its name, as RFC 3986 has it but
 * for , and %, or address: without port, brackets, last dot.  NULL: invalid.
 */
static char *
host_cut(char *host)
{
	bool v6 = *host == '[';
	const char *end;
	size_t n;

	host += v6;
	n = strspn(host, v6 ? DIGITS "abcdefABCDEFv:." :
	    ALNUM "-._~!$&'()*+;=");
	end = host + n;
	if (v6 && *end++ != ']')
		return NULL;
	end += *end == ':' ? 1 + strspn(end + 1, DIGITS) : 0;
	if (*end != '\0')
		return NULL;
	host[n - (n > 0 && host[n - 1] == '.')] = '\0';
	return host;
}

/* method SP target SP version, or GET SP target. */
static int
request_line_parse(struct request *rq, char *line)
{
	/* RFC 9110, section 9.1: the first two are served. */
	static const char methods[][8] = { "GET", "HEAD", "POST", "PUT",
	    "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT" };
	size_t i, n = strcspn(line, " ");
	char *version;

	if (line[n] != ' ' || strchr(line, '\t') != NULL)
		return 400;
	line[n] = '\0';
	for (i = 0; i < COUNT(methods) && strcmp(line, methods[i]) != 0; i++)
		;
	if (i == COUNT(methods) && (n == 0 || strspn(line, TOKEN) != n))
		return 400;
	rq->method = i == COUNT(methods) ? METHOD_UNKNOWN :
	    i < METHOD_KNOWN ? (enum method)i : METHOD_KNOWN;
	rq->target = line + n + 1;
	rq->minor = -1;
	if ((version = strchr(rq->target, ' ')) == NULL)
		return rq->method == METHOD_GET && *rq->target == '/' ? 0 : 400;
	*version++ = '\0';
	if (strcmp(version, "HTTP/1.1") != 0 &&
	    fnmatch("HTTP/[0-9].[0-9]", version, 0) != 0)
		return 400;
	rq->minor = version[5] == '0' ? 0 : version[7] - '0';
	return version[5] > '1' ? 505 : 0;
}

/* RFC 9112, section 5; the first of equal names counts, but any "close". */
static int
field_parse(struct request *rq, char *line)
{
	size_t n = strcspn(line, ":");
	char *value, *end;
	int i;

	if (line[n] != ':')
		return 400;
	line[n] = '\0';
	value = line + n + 1 + strspn(line + n + 1, " \t");
	for (end = value + strlen(value); isblank((unsigned char)end[-1]);)
		*--end = '\0';
	for (i = 0; i < FIELDS && strcasecmp(line, field_names[i]) != 0; i++)
		;
	if (i == FIELDS)
		return n > 0 && strspn(line, TOKEN) == n ? 0 : 400;
	if (i == FIELD_HOST ? rq->field[i] != NULL ||
	    (value = host_cut(value)) == NULL :
	    i == FIELD_CONTENT_LENGTH && (rq->field[i] != NULL ||
	    *value == '\0' || value[strspn(value, DIGITS)] != '\0'))
		return 400;
	if (i == FIELD_TRANSFER_ENCODING && strcasecmp(value, "chunked") != 0)
		return 501;
	if (rq->field[i] == NULL || (i == FIELD_CONNECTION &&
	    word_find(value, "close") != NULL))
		rq->field[i] = value;
	return 0;
}

/*
 * Take the host out of a target in absolute-form, which overrules the field
 * (RFC 9112, section 3.2.2): moved to its begin, it leaves room for an end,
 * and for a slash where the path is empty.
 */
static int
target_split(struct request *rq)
{
	char *host = rq->target;
	size_t n;

	if (strncasecmp(host, "http://", 7) != 0)
		return 0;
	n = strcspn(host + 7, "/?");
	memmove(host, host + 7, n);
	host[n] = '\0';
	rq->target += 7 + n;
	if (*rq->target != '/')
		*--rq->target = '/';
	rq->field[FIELD_HOST] = host_cut(host);
	return n > 0 && rq->field[FIELD_HOST] != NULL ? 0 : 400;
}

/*
 * Parse a whole head of len bytes, NUL-terminated, in place.  Where it is
 * refused rq->keep is false, for its framing is in doubt.
 */
static int
request_parse(struct request *rq, char *head, size_t len)
{
	const char *const *f = rq->field;
	char *line, *rest;
	int status;

	memset(rq, 0, sizeof(*rq));
	for (line = head; line < head + len; line++)
		if (iscntrl((unsigned char)*line) && *line != '\t' &&
		    *line != '\n' && strncmp(line, "\r\n", 2) != 0)
			return 400;
	if ((line = strtok_r(head, "\r\n", &rest)) == NULL)
		return 400;
	status = request_line_parse(rq, line);
	while (status == 0 && (line = strtok_r(NULL, "\r\n", &rest)) != NULL)
		status = field_parse(rq, line);
	if (status == 0)
		status = rq->minor > 0 && f[FIELD_HOST] == NULL ? 400 :
		    target_split(rq);
	if (status != 0)
		return status;
	rq->body = f[FIELD_TRANSFER_ENCODING] != NULL ||
	    (f[FIELD_CONTENT_LENGTH] != NULL &&
	    strcmp(f[FIELD_CONTENT_LENGTH], "0") != 0);
	rq->keep = !rq->body &&
	    word_find(f[FIELD_CONNECTION], "close") == NULL &&
	    (rq->minor > 0 ||
	    word_find(f[FIELD_CONNECTION], "keep-alive") != NULL);
	return 0;
}

/*
 * The path that a target in origin-form names, built segment by segment, so
 * that no other can be expressed: decoded once, empty segments and "."
 * dropped, "..", hidden names, NUL and encoded slashes refused; but
 * ".well-known" is for the public (RFC 8615).  A last slash stays: it matters.
 * With 404 the path is for the page alone that says so.
 */
static int
target_path(const char *target, char *path, size_t size, const char **query)
{
	char c, hex[3] = "";
	size_t at = 0, seg = 0;
	int status = 0;

	if (*target != '/')
		return 400;
	do {
		c = *++target;
		if (c == '/' || c == '?' || c == '\0') {
			if (at - seg == 1 && path[seg] == '.')
				at = seg;
			path[at] = '\0';
			if (path[seg] == '.' &&
			    strcmp(path, ".well-known") != 0)
				status = 404;
			if (c != '/' || at == seg)
				continue;
			seg = at + 1;
		} else if (c == '%') {
			if (strspn(target + 1, DIGITS "abcdefABCDEF") < 2)
				return 400;
			memcpy(hex, target + 1, 2);
			target += 2;
			c = (char)strtol(hex, NULL, 16);
			if (c == '\0')
				return 400;
			status = c == '/' ? 404 : status;
		}
		if (at + 2 >= size)
			return 414;
		path[at++] = c;
	} while (*target != '?' && *target != '\0');
	*query = target;
	return status;
}

enum escape { HTML, URL, JSON, LOG };

/*
 * Append n bytes of text as the place where it goes has it: in HTML without
 * the control bytes, which no page may have; in a URL without what a browser
 * could read anything into, such as another host after a backslash; in the
 * log plain ASCII alone, so that no client can forge a line.
 */
static void
escape_add(struct buf *b, enum escape how, const char *text, size_t n)
{
	static const char *const forms[] = { "&#%d;", "%%%02X", "\\u%04x",
	    "\\x%02x" }, *const special[] = { "&<>\"'", "", "\"\\", "\"\\" };
	unsigned char c;
	bool plain;

	for (; n > 0; text++, n--) {
		c = (unsigned char)*text;
		plain = how == URL ? isalnum(c) || strchr("-._~/", c) != NULL :
		    c >= ' ' && strchr(special[how], c) == NULL &&
		    (how != LOG || c <= '~');
		if (plain || (how == HTML && (c == '\n' || c == '\t')))
			buf_add(b, text, 1);
		else if (how != HTML || c >= ' ')
			buf_printf(b, forms[how], c);
	}
}

static void
escape_puts(struct buf *b, enum escape how, const char *text)
{
	escape_add(b, how, text, strlen(text));
}

/* Append text in which each % stands for the next argument, escaped. */
static void
html_put(struct buf *b, const char *text, ...)
{
	va_list ap;

	va_start(ap, text);
	for (; *text != '\0'; text++)
		if (*text == '%')
			escape_puts(b, HTML, va_arg(ap, const char *));
		else
			buf_add(b, text, 1);
	va_end(ap);
}

/* RFC 9110, section 5.6.7: the first is what we write; the locale is C. */
static const char date_forms[][28] = { "%a, %d %b %Y %H:%M:%S GMT",
    "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y" };

static void
date_format(char text[32], time_t t)
{
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(text, 32, date_forms[0], &tm) == 0)
		text[0] = '\0';
}

/* Whether a time is before (-1), at (0) or after (1) a date; 2: it is none. */
static int
date_compare(time_t t, const char *text)
{
	struct tm tm = { 0 };
	const char *end;
	char date[32], ours[32];
	size_t i = 0;
	int cmp;

	while ((end = strptime(text, date_forms[i], &tm)) == NULL ||
	    *end != '\0')
		if (++i == COUNT(date_forms))
			return 2;
	strftime(date, sizeof(date), "%Y%m%d%H%M%S", &tm);
	gmtime_r(&t, &tm);
	strftime(ours, sizeof(ours), "%Y%m%d%H%M%S", &tm);
	cmp = strcmp(ours, date);
	return cmp < 0 ? -1 : cmp > 0;
}

/*
 * Whether a list of tags has this one, "" for none, or is "*".  Weak ones
 * count only where that is enough (RFC 9110, section 8.8.3.2).
 */
static bool
etag_listed(const char *list, const char *etag, bool weak)
{
	size_t n = strlen(etag);
	const char *tag;

	if (strcmp(list, "*") == 0)
		return true;
	for (;; list++) {
		list += strspn(list, " \t,");
		tag = list + (strncmp(list, "W/", 2) == 0 ? 2 : 0);
		if (n > 0 && (weak || tag == list) &&
		    strncmp(tag, etag, n) == 0)
			return true;
		if (*tag != '"' || (list = strchr(tag + 1, '"')) == NULL)
			return false;
	}
}

/* What proves which version of a file a client has. */
struct validators {
	char etag[40];		/* "": none, nor is there a Last-Modified */
	char date[32];		/* Last-Modified; "": in the future */
	time_t modified;
};

/*
 * What a request's conditions make of a file: 412, 304, 206 if a Range
 * counts, or 200.  In the order of RFC 9110, section 13.2.2; a tag, where
 * given, overrules a date.  The seconds of its time prove nothing while it is
 * not settled: it may change twice within one (section 8.8.2.2).
 */
static int
preconditions(const struct request *rq, const struct validators *v, time_t now)
{
	const char *const *f = rq->field, *either = f[FIELD_IF_RANGE];
	bool settled = v->etag[0] != '\0' && v->modified < now - 2;

	if (f[FIELD_IF_MATCH] != NULL ?
	    !etag_listed(f[FIELD_IF_MATCH], v->etag, false) :
	    f[FIELD_IF_UNMODIFIED_SINCE] != NULL &&
	    date_compare(v->modified, f[FIELD_IF_UNMODIFIED_SINCE]) == 1)
		return 412;
	if (f[FIELD_IF_NONE_MATCH] != NULL ?
	    etag_listed(f[FIELD_IF_NONE_MATCH], v->etag, true) :
	    f[FIELD_IF_MODIFIED_SINCE] != NULL && settled &&
	    date_compare(v->modified, f[FIELD_IF_MODIFIED_SINCE]) <= 0)
		return 304;
	if (f[FIELD_RANGE] != NULL && rq->method == METHOD_GET &&
	    (either == NULL || strcmp(either, v->etag) == 0 ||
	    (settled && date_compare(v->modified, either) == 0)))
		return 206;
	return 200;
}

/*
 * What a Range asks of size bytes (RFC 9110, section 14.2): 206 with *first
 * and *length set, 416, or 200 for all else, several ranges included.
 */
static int
range_parse(const char *text, off_t size, off_t *first, off_t *length)
{
	off_t from, to;
	bool suffix, open;

	if (strncasecmp(text, "bytes=", 6) != 0)
		return 200;
	text += 6 + strspn(text + 6, " \t");
	/* Numbers past the largest are the largest. */
	from = strtoll(text, NULL, 10);
	suffix = *text == '-';
	text += strspn(text, DIGITS);
	if (*text++ != '-')
		return 200;
	to = strtoll(text, NULL, 10);
	open = *text == '\0';
	if (text[strspn(text, DIGITS)] != '\0' || (suffix ?
	    open || (size == 0 && to > 0) : !open && to < from))
		return 200;
	if (suffix)
		from = to < size ? size - to : 0;
	if (from >= size)
		return 416;
	*first = from;
	*length = (suffix || open || to >= size ? size : to + 1) - from;
	return 206;
}

/* Whether Accept-Encoding names gzip, and with no q-value that is 0. */
static bool
gzip_accepted(const char *value)
{
	if ((value = word_find(value, "gzip")) == NULL)
		return false;
	value += strspn(value, " \t;");
	return strncasecmp(value, "q=", 2) != 0 ||
	    strcspn(value, "123456789") < strcspn(value, ",");
}

static bool
is_loopback(const char *text)
{
	struct in6_addr v6;

	if (inet_pton(AF_INET, text, &v6) == 1)
		return strncmp(text, "127.", 4) == 0;
	return inet_pton(AF_INET6, text, &v6) == 1 &&
	    (IN6_IS_ADDR_LOOPBACK(&v6) ||
	    (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127));
}

/* Whether a name is in the domain that a pattern "*.domain" names. */
static bool
host_matches(const char *pattern, const char *name)
{
	size_t n = strlen(name), p = strlen(pattern) - 1;

	return pattern[0] != '*' ? strcasecmp(pattern, name) == 0 :
	    n > p && strcasecmp(name + n - p, pattern + 1) == 0;
}

/*
 * Whether a server on loopback may answer to this name.  A page elsewhere
 * can point a name of its own at 127.0.0.1, but it cannot make the browser
 * send another name (DNS rebinding).
 */
static bool
host_allowed(const char *name, const struct options *opt)
{
	const char **h;

	for (h = opt->hosts; *h != NULL; h++)
		if (host_matches(*h, name))
			return true;
	return (opt->address != NULL && strcasecmp(opt->address, name) == 0) ||
	    is_loopback(name) || host_matches("localhost", name) ||
	    host_matches("*.localhost", name);
}

/* Where the comment, or what else it is, ends that begins at p. */
static const char *
markup_end(const char *p, const char *end)
{
	bool comment = end - p > 4 && memcmp(p, "<!--", 4) == 0;

	while ((p = memchr(p, '>', (size_t)(end - p))) != NULL && comment &&
	    memcmp(p - 2, "--", 2) != 0)
		p++;
	return p;
}

/*
 * Where the script goes into a page: behind its byte order mark and, lest it
 * change the page's mode, its doctype, before which there may be white space
 * and comments (HTML, "the initial insertion mode").  -1: nowhere, as in
 * UTF-16, where the tag would be other characters.
 */
static int
html_front(const char *html, size_t len)
{
	const char *p = html, *end = html + len, *front;
	bool doctype = false;

	if (len >= 2 && (memcmp(p, "\xfe\xff", 2) == 0 ||
	    memcmp(p, "\xff\xfe", 2) == 0))
		return -1;
	if (len >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
		p += 3;
	for (front = p; p < end && !doctype; p++) {
		if (isspace((unsigned char)*p))
			continue;
		if (end - p < 2 || *p != '<' || (p[1] != '!' && p[1] != '?'))
			break;
		doctype = end - p > 9 && strncasecmp(p, "<!doctype", 9) == 0;
		if ((p = markup_end(p, end)) == NULL)
			return -1;
	}
	return (int)((doctype ? p : front) - html);
}

/*
 * Whether a page declares another charset than UTF-8 in its first bytes
 * (HTML, "prescan a byte stream to determine its encoding"): in a <meta>
 * with http-equiv, or in one without content, which could say anything.
 */
static bool
html_has_charset(const char *html, size_t len)
{
	char text[1024 + 1], *tag, *name;
	const char *p = text, *end;
	size_t n;
	int c;

	/* Words with blanks about them. */
	for (n = 0; n < len && n < sizeof(text) - 1; n++) {
		c = tolower((unsigned char)html[n]);
		text[n] = isspace(c) || c == ';' || c == '"' || c == '\'' ||
		    c == '\0' ? ' ' : (char)c;
	}
	text[n] = '\0';
	for (; (tag = strchr(p, '<')) != NULL &&
	    (end = markup_end(tag, text + n)) != NULL; p = end + 1) {
		text[end - text] = '\0';
		if (strncmp(tag, "<meta ", 6) == 0 &&
		    (strstr(tag, " http-equiv") != NULL ||
		    strstr(tag, " content") == NULL) &&
		    (name = strstr(tag, " charset")) != NULL &&
		    (name = strchr(name, '=')) != NULL) {
			name += strspn(name, "= ");
			name[strcspn(name, " /")] = '\0';
			return word_find("utf-8 utf8 utf-16 utf-16le utf-16be",
			    name) == NULL;
		}
	}
	return false;
}

/* ---------------------------------------------------------------------
 * 3b  In the browser: the script of every page
 * ------------------------------------------------------------------ */

/* In pieces that are no longer than C99 promises. */
static const char *const reload_js[] = {
    "(() => {\n"
    "  const key = Symbol.for('blogserve'), me = document.currentScript;\n"
    "  if (self.origin == 'null' || window[key]) return;\n"
    "  // Not me.src, which a <base> can lead elsewhere.\n"
    "  const data = me.dataset, home = new URL(me.getAttribute('src'), location);\n"
    "  const url = name => new URL(name, home), waits = 'wait' in data;\n"
    "  const mine = window[key] = { told, listen, keep, close, state: null };\n"
    "  let done = +data.done, own, looking, busy, asked, restored, source;\n"
    "  let box, bar, note, panel, shown, space, words;\n"
    "  const make = (name, more) => Object.assign(document.createElement(name), more);\n"
    "  const tried = f => { // undefined where what f does is not allowed\n"
    "    try { return f(); } catch { }\n"
    "  };\n"
    "\n",
    "  // Call f for the script of each window of this tab, the outermost first;\n"
    "  // where it returns true, not for the frames of that window.\n"
    "  function each(f, w = top) {\n"
    "    const script = tried(() => w[key]);\n"
    "    if (script && f(script)) return;\n"
    "    for (let i = 0; i < w.length && w[i]; i++) each(f, w[i]);\n"
    "  }\n"
    "  // One listens for all, and alone shows how builds go.\n"
    "  function first(found) {\n"
    "    each(script => void (found ||= script));\n"
    "    return found;\n"
    "  }\n"
    "\n",
    "  // --- reloading ---\n"
    "\n",
    "  const store = () => 'blogserve ' + location.href;\n"
    "  const fields = () => [...document.querySelectorAll(\n"
    "    'input:not([type=password], [type=file]), textarea, select')];\n"
    "  function keep(focus) {\n"
    "    const list = fields(), values = list.map(f => // typed\n"
    "      (f.value != f.defaultValue || f.checked != f.defaultChecked) && [f.value, f.checked]);\n"
    "    const at = focus ? list.indexOf(document.activeElement) : -1;\n"
    "    tried(() => {\n"
    "      if (restored || !sessionStorage[store()]) sessionStorage[store()] =\n"
    "        JSON.stringify([Date.now(), scrollX, scrollY, at, values]);\n"
    "    });\n"
    "  }\n"
    "  const restore = () => tried(() => {\n"
    "    if (busy) return;\n"
    "    restored = true;\n"
    "    const [when, left, top, at, values] = JSON.parse(sessionStorage[store()]);\n"
    "    const list = fields(), scroll = () => scrollTo({ left, top, behavior: 'instant' });\n"
    "    delete sessionStorage[store()];\n"
    "    if (Date.now() - when > 20000) return;\n"
    "    if (values.length == list.length)\n"
    "      list.forEach((f, i) => values[i] && ([f.value, f.checked] = values[i]));\n"
    "    list[at]?.focus({ preventScroll: true });\n"
    "    scroll();\n"
    "    requestAnimationFrame(() => setTimeout(scroll)); // WebKit went to the focus\n"
    "  });\n"
    "  // Reload, once a change: \"Leave site?\" may be answered with no.\n"
    "  function again(s) {\n"
    "    if (busy || asked == s.start + s.done) return true;\n"
    "    asked = s.start + s.done;\n"
    "    busy = setTimeout(() => { // no, it seems\n"
    "      busy = null;\n"
    "      hush(); // a load that was stopped takes WebKit's stream along\n"
    "      listen();\n"
    "    }, 5000);\n"
    "    each(script => void script.keep(script == mine), window);\n"
    "    location.reload();\n"
    "    return true;\n"
    "  }\n"
    "\n",
    "  // --- exchanging stylesheets, where the page itself is what it was ---\n"
    "\n",
    "  const text = () => fetch(location.href).then(r => r.text()).then(t =>\n"
    "    t.replace(/<script[^>]*\\/\\.blogserve\\/reload\\.js[^>]*><\\/script>\\s*/, ''));\n"
    "  const imports = () => [...document.styleSheets].some(sheet =>\n"
    "    tried(() => [...sheet.cssRules].some(rule => rule.type == 3)));\n"
    "  function exchange() {\n"
    "    for (const old of document.querySelectorAll('link[rel~=stylesheet]')) {\n"
    "      const to = new URL(old.href), link = old.cloneNode();\n"
    "      if (to.origin != location.origin || old.stale) continue;\n"
    "      old.stale = true;\n"
    "      to.searchParams.set('blogserve', done);\n"
    "      link.href = to;\n"
    "      link.onload = link.onerror = () => old.remove();\n"
    "      old.after(link);\n"
    "    }\n"
    "  }\n"
    "  // Act on an event.  Returns whether the page is about to go.\n"
    "  function told(s) {\n"
    "    mine.state = { ...s, since: Date.now() - s.building };\n"
    "    // What was fetched while no build ran is what this page was made of.\n"
    "    if (s.building >= 0 || s.done != done) looking = null;\n"
    "    else if (own == null && !looking) {\n"
    "      const mark = looking = {};\n"
    "      text().then(t => looking == mark && (own = t)).catch(() => looking = null);\n"
    "    }\n"
    "    if (s.start != data.start || s.other > done ||\n"
    "      (waits && s.building < 0 && s.build != data.wait) ||\n"
    "      (s.done != done && (own == null || imports()))) return again(s);\n"
    "    if (s.done == done) return;\n"
    "    done = s.done;\n"
    "    text().then(t => t == own ? exchange() : again(s)).catch(() => again(s));\n"
    "  }\n"
    "\n",
    "  // --- showing, styled by a sheet, which a policy of 'self' allows ---\n"
    "\n",
    "  const css = `\n"
    "    :host { all: initial !important; position: fixed !important;\n"
    "      z-index: 2147483647 !important; color-scheme: light dark !important;\n"
    "      direction: ltr !important; font: 14px/1.4 sans-serif !important }\n"
    "    div { position: fixed; inset: 0 auto auto 0; width: 25%; height: 4px;\n"
    "      background: #1d8a5b; animation: slow 2s infinite alternate }\n"
    "    p, section { position: fixed; background: Canvas; color: CanvasText }\n"
    "    p { inset: 8px 8px auto auto; margin: 0; padding: 2px 8px;\n"
    "      border: 1px solid; animation: late 1s }\n"
    "    section { inset: auto 0 0; max-height: 50%; display: flex;\n"
    "      flex-direction: column; border-top: 3px solid #c33;\n"
    "      overflow-wrap: anywhere }\n"
    "    header { display: flex; gap: 16px; padding: 8px 16px } b { flex: auto }\n"
    "    button { align-self: start; min-height: 28px; font: inherit }\n"
    "    pre { margin: 0; padding: 0 16px 8px; overflow: auto; outline-offset: -2px;\n"
    "      font: 13px/1.4 monospace; white-space: pre-wrap }\n"
    "    @keyframes grow { from { width: 0 } to { width: 95% } }\n"
    "    @keyframes slow { to { left: 75% } }\n"
    "    @keyframes late { from, to { visibility: hidden } }\n"
    "    @media (forced-colors: active) { div { background: Highlight } }\n"
    "    @media (prefers-reduced-motion) { div { width: 100%; animation: none !important } }\n"
    "    @media print { :host { display: none !important } }`;\n"
    "  function style(root, text) {\n"
    "    const sheet = new CSSStyleSheet();\n"
    "    sheet.replaceSync(text);\n"
    "    root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];\n"
    "    return sheet;\n"
    "  }\n"
    "  function show(name, more) {\n"
    "    if (!box) {\n"
    "      box = make('blogserve-ui', { lang: 'en' });\n"
    "      style(box.attachShadow({ mode: 'open' }), css);\n"
    "    }\n"
    "    if (!box.isConnected) document.documentElement.append(box);\n"
    "    return box.shadowRoot.appendChild(make(name, more));\n"
    "  }\n"
    "  function say(text, s) {\n"
    "    bar?.remove();\n"
    "    if (s?.building >= 0) {\n"
    "      bar = show('div', { role: 'progressbar', ariaLabel: 'building' });\n"
    "      if (s.took >= 0) bar.style.animation =\n"
    "        `grow ${Math.max(s.took, 1000)}ms linear -${s.building}ms both`;\n"
    "    }\n"
    "    if (note?.isConnected && note.textContent == text) return;\n"
    "    note?.remove();\n"
    "    if (text) note = show('p', { role: 'status', textContent: text });\n"
    "  }\n"
    "\n",
    "  // A log as a terminal shows it.\n"
    "  const plain = text => text\n"
    "    .replace(/\\x1b(\\[[0-?]*[ -\\/]*[@-~]|[\\]PX^_].*?(\\x07|\\x1b\\\\)|[ -\\/]*.)/g, '')\n"
    "    .replace(/\\r+(?=\\n|$)/g, '').replace(/[^\\n]*\\r/g, '');\n"
    "  // Its end, from a whole line on.\n"
    "  const range = { headers: { Range: 'bytes=-20000' } };\n"
    "  const log = pre => fetch(url('log'), range).then(async r => {\n"
    "    const part = /^bytes [1-9]/.test(r.headers.get('Content-Range'));\n"
    "    const all = r.status < 400 ? await r.text() : '';\n"
    "    const text = plain(part ? all.replace(/^[^\\n]*\\n(?=[^])/, '') : all);\n"
    "    const end = !pre.told || pre.scrollTop + pre.clientHeight > pre.scrollHeight - 9;\n"
    "    pre.told = true;\n"
    "    if (text != pre.textContent) pre.textContent = text;\n"
    "    if (end) pre.scrollTop = pre.scrollHeight;\n"
    "  }).catch(() => { });\n"
    "  function close() { panel?.remove(); }\n"
    "  function failed(s) {\n"
    "    if (s.building >= 0 || shown == s.build || waits) return;\n"
    "    shown = s.build;\n"
    "    close();\n"
    "    if (!s.failed) return;\n"
    "    const title = `Build ${s.build} failed (${s.failed}): ${s.what}`, head = make('header');\n"
    "    const pre = make('pre', { role: 'region', tabIndex: 0, ariaLabel: `Log of build ${s.build}` });\n"
    "    head.append(make('b', { role: 'alert', textContent: title }),\n"
    "      make('button', { textContent: 'Close', onclick: close }));\n"
    "    panel = show('section');\n"
    "    panel.append(head, pre);\n"
    "    space ||= style(document, '');\n"
    "    new ResizeObserver(([{ target }]) => { // also when it goes\n"
    "      const high = target.offsetHeight;\n"
    "      space.replaceSync(!high ? '' : `html { padding-bottom: ${high}px !important;\n"
    "        scroll-padding-bottom: ${high}px !important }`);\n"
    "    }).observe(panel);\n"
    "    log(pre);\n"
    "  }\n"
    "  // The page that stands for one that is being built.\n"
    "  function wait() {\n"
    "    const p = document.querySelector('p'), s = mine.state;\n"
    "    words ||= p.textContent;\n"
    "    p.textContent = first().lost ?\n"
    "      'blogserve does not answer. This page goes on when it does.' :\n"
    "      !s || s.building < 0 ? words : `Build ${s.build} (${s.what}) has run for ` +\n"
    "      `${Math.floor((Date.now() - s.since) / 1000)} s. ` +\n"
    "      'The page opens by itself when it is done.';\n"
    "    document.querySelectorAll('pre').forEach(log);\n"
    "  }\n"
    "\n",
    "  // --- listening, while the page is visible: a browser has few connections ---\n"
    "\n",
    "  const hush = () => source?.close();\n"
    "  function listen() {\n"
    "    if (first() != mine) box?.remove();\n"
    "    if (document.hidden || first() != mine) return hush();\n"
    "    if (source?.readyState < 2) return;\n"
    "    source = new EventSource(url('events'));\n"
    "    source.onmessage = e => {\n"
    "      const s = JSON.parse(e.data);\n"
    "      mine.lost = false;\n"
    "      each(script => script.told(s));\n"
    "      say(s.building < 0 ? '' : 'Building…', s);\n"
    "      failed(s);\n"
    "    };\n"
    "    source.onerror = () => {\n"
    "      mine.lost = true;\n"
    "      say('The connection to blogserve is lost');\n"
    "    };\n"
    "  }\n"
    "  addEventListener('load', restore);\n"
    "  addEventListener('pagehide', hush);\n"
    "  addEventListener('pageshow', e => {\n"
    "    if (e.persisted) busy = asked = null;\n"
    "    listen();\n"
    "  });\n"
    "  addEventListener('keydown', e => e.key == 'Escape' && first().close());\n"
    "  document.addEventListener('visibilitychange', listen);\n"
    "  setInterval(() => {\n"
    "    listen();\n"
    "    if (waits && !document.hidden) wait();\n"
    "  }, 1000);\n"
    "  each(script => void script.listen());\n"
    "  if (first().state) told(first().state);\n"
    "  if (waits) wait();\n"
    "})();\n",
    NULL
};

/* ---------------------------------------------------------------------
 * 4  Serving: the server's process
 *
 * A turn: wait, take orders and clients, read from all that have something
 * to say, then let each connection step.  So what is looked at in a step is
 * looked at later than all requests of the turn were read, and need not be
 * looked at again before the next reading: server.reads counts those.
 *
 * Connections wait by their state and act by their state; each step tries
 * the next at once.  A request that comes while a build writes in place is
 * held: its bytes stay in conn.in and it is answered as if it came later.
 * ------------------------------------------------------------------ */

enum conn_state {
	CONN_READ,	/* for a head, or the rest of one */
	CONN_HOLD,	/* until the build ends, or the time is up */
	CONN_SEND,	/* the reply: conn.out, then conn.left bytes of file */
	CONN_STREAM,	/* for events to tell */
	CONN_LINGER,	/* discard what comes, lest a reset eats the reply */
	CONN_CLOSED
};

/*
 * A file as it was when it was opened.  It lives while somebody refers to
 * it: a connection that sends it, and the server, which keeps files and
 * forgets all of them after CACHE_TIME or news.  Only those are kept that had
 * not changed lately, when a stamp may miss a change.  A reply with a file goes
 * out only if a stat of its name, later than all of the request and than
 * what was read of it, has the same stamp.
 */
struct file {
	struct item item;	/* by name, among those that are kept */
	unsigned refs;
	int fd;			/* -1: its bytes are in data */
	bool growing;		/* the log of a build: it may grow */
	bool other_charset;	/* a page that declares it */
	int front;		/* of a page: where the script goes, or -1 */
	unsigned long looked;	/* server.reads when the name still meant it */
	unsigned long unpacked;	/* and when no ".gz" was beside it */
	uint64_t stamp;		/* stat_stamp's; 0: it is another now */
	off_t size;
	struct timespec mtime;
	struct validators validators;
	const char *type;	/* NULL: not known */
	char type_text[TYPE_LEN];
	char *data;
	char name[];		/* below the docroot; "": of no name there */
};

struct reply {
	int status;
	bool simple;		/* for a Simple-Request: no head at all */
	bool keep;		/* the connection, for more requests */
	bool stream;		/* goes on with events; its length is not known */
	bool script;		/* is put into the file */
	struct file *file;	/* has the body; NULL: server.page is it */
	off_t first, length;	/* of its bytes that are sent */
	const char *type;	/* of media; NULL: not known */
	char type_text[TYPE_LEN];
	const char *encoding, *location;	/* NULL: none */
};

struct conn {
	struct buf out, in;	/* what is to go, and what came */
	int fd;
	enum conn_state state, next;	/* next: after SEND */
	bool stirred;		/* it moved since the last sweep */
	struct file *file;	/* NULL, or what left is sent from */
	off_t at, left;
	int64_t until;		/* when its patience ends */
	struct buf line;	/* of the log; the bytes go in at line.at */
	off_t sent;		/* bytes of the body; below 0: of the head */
	unsigned build;		/* the latest when the reply was begun */
};

struct server {
	const struct options *opt;
	struct listeners *listeners;
	struct conn *conns;
	struct pollfd *all;	/* orders, the listeners, the connections */
	struct pollfd *polls;	/* those of the connections */
	size_t count, max;
	size_t busy;		/* the first so many are polled each turn */
	int64_t now, until;	/* no connection's deadline is before until */
	int64_t sweep_at;	/* when the quiet ones are polled, too */
	int64_t drain_until;	/* when answers in flight are given up */
	int64_t full_until;	/* no descriptor for another client, till then */
	bool draining;		/* no more clients, no next requests */
	bool news;		/* orders that are not obeyed yet */
	int orders_fd;		/* -1: the parent is gone */
	int builds_log;		/* what builds print, or -1 */
	unsigned long reads;	/* how often clients, orders, poll were read */
	struct table kept;	/* files, by their names */
	size_t kept_open, kept_bytes, kept_max;	/* without bytes; of others */
	int64_t forget_at;	/* when all that are kept are let go */
	struct buf page;	/* a body that is made here */
	struct buf tag;		/* of the script, as it is now */
	struct buf location;	/* where else the client is sent to */
	struct buf log;		/* lines to be written */
	bool log_lost;		/* that they are was said */
	uint64_t denied;	/* hash of the name that was said to be */
	int64_t started_at;
	struct timespec clock;	/* when the reply was begun */
	struct orders orders;
	unsigned reopened;	/* orders.reopen, when the log was */
	int site_fd, site_why;	/* the docroot, open; errno, where it is -1 */
	unsigned long site_looked;	/* server.reads then */
	char start[24];		/* names this run of the program */
	char date[32];		/* of the second date_at */
	time_t date_at;
	struct request request;
	char in[HEAD_MAX], head[HEAD_MAX + 1], front[FRONT_MAX];
};

/* Open the docroot anew after what was read: a reply is of one version. */
static void
site_enter(struct server *sv)
{
	int fd;

	if (sv->site_looked == sv->reads)
		return;
	sv->site_looked = sv->reads;
	fd = open(sv->opt->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* access knows nothing of sandboxes: here, another server is needed. */
	if (fd == -1 && errno == EACCES && access(sv->opt->root, R_OK) == 0) {
		sv->orders.stopping = true;
		errno = EMFILE;
	}
	sv->site_why = errno;
	if (fd == -1 && sv->opt->atomic)
		return;		/* it may be away while it is replaced */
	fd_close(&sv->site_fd);
	sv->site_fd = fd;
}

/*
 * Open one name in dir, but no symlink.  -1 with errno; EAGAIN: it is one,
 * or became another meanwhile.  Some kernels do not heed O_NOFOLLOW: so what
 * was opened must be what lstat saw.
 */
static int
site_step(int dir, const char *name, bool last)
{
	struct stat st, named;
	int fd;

	if (fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == -1)
		return -1;
	errno = EAGAIN;
	fd = S_ISLNK(named.st_mode) ? -1 : openat(dir, name, (last ?
	    O_RDONLY : O_SEARCH) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC |
	    O_NOFOLLOW);
	if (fd == -1)
		return -1;
	errno = EAGAIN;		/* unless fstat fails */
	if (fstat(fd, &st) == 0 && st.st_dev == named.st_dev &&
	    st.st_ino == named.st_ino)
		return fd;
	close(fd);
	return -1;
}

/* Open path below root, one real directory after the other. */
static int
site_walk(int root, char *path)
{
	char *name = strtok(path, "/"), *next;
	int dir = root, fd, why;

	for (;; name = next, dir = fd) {
		next = name != NULL ? strtok(NULL, "/") : NULL;
		fd = site_step(dir, name != NULL ? name : ".", next == NULL);
		why = errno;
		if (dir != root)
			close(dir);
		errno = why;
		if (fd == -1 || next == NULL)
			return fd;
	}
}

/*
 * Open what a name leads to, if that lies below the docroot (else EXDEV):
 * symlinks are followed by name, and then what they lead to is walked to
 * without any.  EAGAIN: the tree changed in between.
 */
static int
site_find(const struct server *sv, const char *name)
{
	char path[PATH_LEN], *root = realpath(sv->opt->root, NULL);
	char *real = NULL;
	size_t n;
	int fd = -1, why;

	if (snprintf(path, PATH_LEN, "%s/%s", sv->opt->root, name) >= PATH_LEN)
		errno = ENAMETOOLONG;
	else if (root != NULL && (real = realpath(path, NULL)) != NULL) {
		n = root[1] == '\0' ? 0 : strlen(root);
		errno = EXDEV;
		if (strncmp(root, real, n) == 0 &&
		    (real[n] == '/' || real[n] == '\0'))
			fd = site_walk(sv->site_fd, real + n);
	}
	why = errno;
	free(root);
	free(real);
	errno = why;
	return fd;
}

/*
 * The one way from a client's bytes to the file system (R8): open a regular
 * file or a directory below the docroot.  No symlink leads out of it unless
 * -L says so, and no change of the tree meanwhile can make one do so.
 * Returns a descriptor, with *st filled, or -1 with errno.
 */
static int
site_open(const struct server *sv, const char *name, struct stat *st)
{
	const int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fd, tries = 0;

	if (*name == '\0')
		name = ".";
	errno = sv->site_why;
	if (sv->site_fd == -1)
		return -1;
	fd = sv->opt->follow ? openat(sv->site_fd, name, flags) :
	    extra_open_beneath(sv->site_fd, name, flags);
	if (fd == -1 && !sv->opt->follow && errno != ENOENT && errno != EMFILE)
		do
			fd = site_find(sv, name);
		while (fd == -1 && errno == EAGAIN && ++tries < TRIES_MAX);
	if (fd == -1)
		return -1;
	errno = ENOENT;		/* unless fstat fails */
	if (fstat(fd, st) == 0 && (S_ISREG(st->st_mode) ||
	    S_ISDIR(st->st_mode)))
		return fd;
	close(fd);
	return -1;
}

static int
status_of_errno(int why)
{
	return why == EACCES || why == EPERM || why == EXDEV ? 403 :
	    why == EAGAIN || why == EINTR || why == EMFILE || why == ENFILE ||
	    why == ENOBUFS || why == ENOMEM ? 503 : why == EIO ? 500 : 404;
}

/* Give up a reference to a file; the last one frees it. */
static void
file_drop(struct file **f)
{
	if (*f != NULL && --(*f)->refs == 0) {
		fd_close(&(*f)->fd);
		free(*f);
	}
	*f = NULL;
}

/* Read n bytes of a file from at on; false if there are not so many. */
static bool
read_all(int fd, char *data, size_t n, off_t at)
{
	ssize_t r;

	for (; n > 0; data += r, n -= (size_t)r, at += r)
		while ((r = pread(fd, data, n, at)) <= 0)
			if (r == 0 || errno != EINTR)
				return false;
	return true;
}

/*
 * The file that is open at fd, which is the file's from now on, with all of
 * its bytes if they are few and there is room to keep them.  NULL with errno.
 */
static struct file *
file_make(struct server *sv, int fd, const char *name, const struct stat *st)
{
	/* All of the file, if it is whole: INLINE_MAX is less. */
	size_t n = strlen(name) + 1, front = st->st_size < FRONT_MAX ?
	    (size_t)st->st_size : FRONT_MAX;
	bool page, whole = st->st_size <= INLINE_MAX && *name != '\0' &&
	    sv->kept_bytes + front < CACHE_MAX;
	struct file *f = malloc(sizeof(*f) + n + (whole ? front : 0));
	char *text;

	if (f == NULL) {
		close(fd);
		return NULL;
	}
	*f = (struct file){ .refs = 1, .fd = fd, .data = f->name + n,
	    .growing = *name == '\0', .front = -1, .stamp = stat_stamp(st),
	    .size = st->st_size, .mtime = st->st_mtim };
	memcpy(f->name, name, n);
	f->type = f->growing ? "text/plain" : type_known(name, f->type_text);
	page = f->type != NULL && strcmp(f->type, "text/html") == 0;
	text = whole ? f->data : sv->front;
	f->looked = whole || page ? 0 : sv->reads;	/* nothing is read */
	errno = 0;
	if ((whole || page) && !read_all(fd, text, front, 0)) {
		if (errno != 0) {
			file_drop(&f);
			return NULL;
		}
		front = 0;
		f->stamp = 0;		/* it is shorter now */
	}
	if (whole)
		fd_close(&f->fd);
	if (page) {
		f->front = html_front(text, front);
		f->other_charset = html_has_charset(text, front);
	}
	if (is_racy(&st->st_ctim, &sv->clock) || f->growing)
		return f;
	snprintf(f->validators.etag, sizeof(f->validators.etag),
	    "\"%jx-%jx\"", (uintmax_t)f->stamp, (uintmax_t)f->size);
	f->validators.modified = st->st_mtim.tv_sec;
	if (st->st_mtim.tv_sec <= sv->clock.tv_sec)
		date_format(f->validators.date, st->st_mtim.tv_sec);
	return f;
}

/* Let all go that are kept, and make room by that. */
static void
files_forget(struct server *sv)
{
	struct file *f;
	size_t i;

	for (i = 0; i < COUNT(sv->kept.slots); i++)
		while ((f = (struct file *)sv->kept.slots[i]) != NULL) {
			table_cut(&sv->kept, &f->item);
			file_drop(&f);
		}
	sv->kept_bytes = sv->kept_open = 0;
	sv->forget_at = 0;
}

/* Whether the name of a file still means it, as it was. */
static bool
file_verify(struct server *sv, struct file *f)
{
	struct stat st;

	if (!f->growing && f->looked != sv->reads &&
	    (fstatat(sv->site_fd, f->name, &st, 0) == -1 ||
	    stat_stamp(&st) != f->stamp))
		f->stamp = 0;
	f->looked = sv->reads;
	return f->stamp != 0;
}

/*
 * A reference to the file of that name below the docroot, to be verified; it
 * is kept, if there is room.  NULL with errno; EISDIR: it is a directory.
 * A file that may not be read is said.
 */
static struct file *
file_get(struct server *sv, const char *name)
{
	uint64_t hash = text_hash(0, name);
	struct file *f = (struct file *)table_next(&sv->kept, NULL, hash);
	struct stat st;
	int fd;

	site_enter(sv);
	if (f != NULL && f->stamp != 0 && strcmp(f->name, name) == 0) {
		f->refs++;
		return f;
	}
	f = NULL;
	if ((fd = site_open(sv, name, &st)) != -1 && S_ISDIR(st.st_mode)) {
		close(fd);
		errno = EISDIR;
	} else if (fd != -1)
		f = file_make(sv, fd, name, &st);
	if (f != NULL && f->validators.etag[0] != '\0' &&
	    (f->fd == -1 || sv->kept_open < sv->kept_max)) {
		table_add(&sv->kept, &f->item, hash);
		f->refs++;
		sv->kept_open += f->fd != -1;
		sv->kept_bytes += f->fd == -1 ? (size_t)f->size : 0;
		sv->forget_at = sooner(sv->forget_at, sv->now + CACHE_TIME);
	} else if (f == NULL && errno == EACCES && hash != sv->denied) {
		sv->denied = hash;
		say(WARNING, "%s/%s: %s", sv->opt->docroot, name,
		    strerror(EACCES));
		errno = EACCES;
	}
	return f;
}

/*
 * Make the script's tag, which knows of which build the page is, and after
 * which it is worth another try.  False: the page that is asked for has none.
 */
static bool
tag_make(struct server *sv, const struct reply *r)
{
	const char *dest = sv->request.field[FIELD_SEC_FETCH_DEST];

	buf_clear(&sv->tag);
	if (sv->opt->no_reload || (dest != NULL &&
	    word_find("document iframe frame", dest) == NULL))
		return false;
	buf_printf(&sv->tag, "<script defer src=\"%s/.blogserve/reload.js\" "
	    "data-start=\"%s\" data-done=\"%u\"", sv->opt->prefix,
	    sv->start, sv->orders.build.done);
	if (r->status == 503)
		buf_printf(&sv->tag, " data-wait=\"%u\"",
		    sv->orders.build.number - sv->orders.hold);
	buf_puts(&sv->tag, "></script>");
	return true;
}

#define REFRESH	"<meta http-equiv=\"refresh\" content=\"1\">"

/* Begin a page of our own, in server.page; its caller adds the rest. */
static void
page_begin(struct server *sv, struct reply *r, const char *title)
{
	static const char style[] = "<style>\n"
	    "html { color-scheme: light dark; font: 16px/1.5 sans-serif }\n"
	    "body { max-width: 50em; margin: 2em auto; padding: 0 1em; "
	    "overflow-wrap: anywhere }\n"
	    "h1 { font-size: 1.5em; line-height: 1.2 }\n"
	    "table { border-collapse: collapse; width: 100% }\n"
	    "th, td { border-bottom: 1px solid #8886; padding: .25em 0; "
	    "text-align: left; vertical-align: top }\n"
	    "th + th, td + td { padding-left: 1em; text-align: right; "
	    "white-space: nowrap }\n"
	    "pre { max-height: 70vh; overflow: auto; white-space: pre-wrap; "
	    "font-size: 13px; border: 1px solid #8888; padding: .5em }\n"
	    "</style>\n";
	bool script = tag_make(sv, r);
	struct buf *b = &sv->page;

	r->type = "text/html";
	buf_clear(b);
	buf_puts(b, "<!DOCTYPE html>\n");
	if (script)
		buf_add(b, sv->tag.data, sv->tag.len);
	buf_printf(b, "<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
	    "<meta name=\"viewport\" content=\"width=device-width\">\n%s%s",
	    r->status != 503 ? "" : script ?
	    "<noscript>" REFRESH "</noscript>\n" : REFRESH "\n", style);
	html_put(b, "<title>%</title>\n<h1>%</h1>\n", title, title);
}

/*
 * Add a line about name to a listing of directory dir, if it is served.  A
 * size is as people read it: "512 B", "1.2 kB", "34 MB".  Returns 200, or
 * the status of what the system would not tell.
 */
static int
listing_add(struct server *sv, int dir, const char *name)
{
	char full[PATH_LEN + NAME_MAX + 1], when[32] = "";
	struct buf *b = &sv->page;
	const char *slash, *unit = " kMGTPE";
	struct stat st;
	struct tm tm;
	double n;
	int r = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);

	if (r == 0 && S_ISLNK(st.st_mode)) {
		snprintf(full, sizeof(full), "%s%s", sv->request.path, name);
		if ((r = site_open(sv, full, &st)) != -1)
			close(r);
	}
	if (r == -1 && status_of_errno(errno) >= 500)
		return status_of_errno(errno);
	if (r == -1 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return 200;
	slash = S_ISDIR(st.st_mode) ? "/" : "";
	buf_puts(b, "<tr><td><a href=\"./");
	escape_puts(b, URL, name);
	html_put(b, "%\">%%</a></td><td>", slash, name, slash);
	for (n = (double)st.st_size; n >= 999.5; n /= 1000)
		unit++;
	if (*slash == '\0')
		buf_printf(b, "<data value=\"%jd\">%.*f %.*sB</data>",
		    (intmax_t)st.st_size, *unit != ' ' && n < 9.95, n,
		    *unit != ' ', unit);
	if (localtime_r(&st.st_mtim.tv_sec, &tm) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
	html_put(b, "</td><td>%</td></tr>\n", when);
	return 200;
}

/* Whether a loopback's request is for a name that is not this machine's. */
static bool
is_stranger(const struct server *sv)
{
	const char *host = sv->request.field[FIELD_HOST];

	return sv->listeners->loopback && host != NULL &&
	    !host_allowed(host, sv->opt);
}

/*
 * The page that waits for a build under way or, where there is no site, for
 * the next, with the end of what it printed.  False: there may be a site.
 */
static bool
waiting_page(struct server *sv, struct reply *r)
{
	const struct record *o = &sv->orders.build;
	char title[PATH_LEN + 100] = "Building\xe2\x80\xa6", how[128];
	char text[WHAT_LEN + 100] = "", log[20 * 1000 + 1];
	struct stat st;
	ssize_t n;

	status_text(how, sizeof(how), o->status);
	if (sv->orders.hold)
		snprintf(text, sizeof(text), "Build %u (%s) has run for %d s. ",
		    o->number, o->what, o->started_at == 0 ? 0 :
		    (int)((sv->now - o->started_at) / 1000));
	else if (sv->site_fd == -1 && o->done == 0 && o->took >= 0)
		snprintf(title, sizeof(title), "There is no site yet: build %u "
		    "failed (%s)", o->number, how);
	else if (sv->site_fd == -1 && status_of_errno(sv->site_why) == 404)
		snprintf(title, sizeof(title), "The docroot %s is not there%s",
		    sv->opt->docroot, sv->opt->command == NULL ? "" :
		    ": the build did not make it");
	else
		return false;
	r->status = 503;
	page_begin(sv, r, title);
	html_put(&sv->page, "<p>%The page opens by itself when it is done."
	    "</p>\n", text);
	if (fstat(sv->builds_log, &st) == 0) {
		n = pread(sv->builds_log, log, 20000, st.st_size > 20000 ?
		    st.st_size - 20000 : 0);
		log[n > 0 ? n : 0] = '\0';
		html_put(&sv->page, "<pre role=\"region\" aria-label=\"Log of "
		    "the build\" tabindex=\"0\">%</pre>\n", log);
	}
	return true;
}

/* The one place that makes pages of errors: what is wrong, or where to go. */
static void
error_page(struct server *sv, struct reply *r)
{
	struct request *rq = &sv->request;
	const char *host = rq->field[FIELD_HOST];
	const struct status *s = status_of(r->status);
	struct buf *b = &sv->page, *to = &sv->location;
	const char *prefix = sv->opt->prefix;
	char *path = rq->path;

	if ((s->code == 503 || (s->code == 404 && rq->own == NULL)) &&
	    waiting_page(sv, r))
		return;
	page_begin(sv, r, s->line);
	if (s->code == 301) {	/* to the same, with a slash at its end */
		buf_clear(to);
		buf_printf(to, "%s/", prefix);
		escape_puts(to, URL, path);
		buf_printf(to, "%s%s", *path != '\0' ? "/" : "", rq->query);
		r->location = to->failed ? "/" : to->data;
		html_put(b, "<p>It is at <a href=\"%\">%</a>.</p>\n",
		    r->location, r->location);
	} else if (s->code == 403 && is_stranger(sv))
		html_put(b, "<p>Pages elsewhere on the web must not read this "
		    "site, so it answers to the names of this machine alone, "
		    "not to <code>%</code>.</p>\n<p>If that name is yours, "
		    "start blogserve with <code>-H %</code>.</p>\n", host, host);
	else if (s->code == 403)
		html_put(b, "<p>blogserve may not read <code>/%</code>: see "
		    "its permissions, those of its directories, and where "
		    "links lead.</p>\n", path);
	else if (s->code == 404) {
		target_path(rq->asked, path, PATH_LEN, &rq->query);
		html_put(b, "<p>There is no page <code>/%</code> here.</p>\n"
		    "<p><a href=\"%/\">Home</a></p>\n", path, prefix);
	} else	/* the script, which waits after 503, needs some paragraph */
		buf_printf(b, "<p>%s</p>\n", s->text != NULL ? s->text : "");
}

/* The reply with a file, or a part of it; it takes over the reference. */
static void
file_reply(struct server *sv, struct reply *r, struct file *f)
{
	const struct request *rq = &sv->request;
	const struct validators *v;
	struct file *plain = f, *packed = NULL;
	char name[PATH_LEN + 20];

	r->type = f->type != NULL ? strcpy(r->type_text, f->type) : NULL;
	r->script = f->front >= 0 && tag_make(sv, r);
	if (strcasecmp(name_end(f->name), "svgz") == 0)
		r->encoding = "gzip";
	else if (!r->script && !f->growing && f->unpacked != sv->reads &&
	    gzip_accepted(rq->field[FIELD_ACCEPT_ENCODING])) {
		snprintf(name, sizeof(name), "%s.gz", f->name);
		if ((packed = file_get(sv, name)) == NULL)
			f->unpacked = sv->reads;
	}
	if (packed != NULL && file_verify(sv, plain) &&
	    time_ms(&plain->mtime) <= time_ms(&packed->mtime)) {
		r->encoding = "gzip";
		f = packed;
		f->other_charset = plain->other_charset;
	}
	file_drop(f == plain ? &packed : &plain);
	v = &f->validators;
	r->length = f->size;
	if (r->status == 200 && !r->script) {	/* nor has a 404 page any */
		r->status = preconditions(rq, v, sv->clock.tv_sec);
		if (r->status == 206)
			r->status = v->etag[0] == '\0' && !f->growing ? 200 :
			    range_parse(rq->field[FIELD_RANGE], f->size,
			    &r->first, &r->length);
	}
	if (r->status == 412 || r->status == 416) {
		file_drop(&f);
		r->encoding = NULL;
	}
	r->file = f;
}

static void
listing_reply(struct server *sv, struct reply *r)
{
	const char *path = sv->request.path;
	char title[PATH_LEN + 16];
	struct dirent **list = NULL;
	struct stat st;
	int fd = site_open(sv, path, &st), n = -1, i;

	if (fd != -1 && fchdir(fd) == 0)
		n = scandir(".", &list, NULL, alphasort);
	r->status = n == -1 ? status_of_errno(errno) : 200;
	(void)!chdir("/");	/* lest we hold on to it */
	snprintf(title, sizeof(title), "Index of /%s", path);
	page_begin(sv, r, title);
	buf_puts(&sv->page, "<table>\n<tr><th scope=\"col\">Name</th><th "
	    "scope=\"col\">Size</th><th scope=\"col\">Modified</th></tr>\n");
	if (*path != '\0')
		buf_puts(&sv->page, "<tr><td><a href=\"../\">../</a></td>"
		    "<td></td><td></td></tr>\n");
	for (i = 0; i < n; free(list[i++]))
		if (r->status == 200 && list[i]->d_name[0] != '.') /* hidden */
			r->status = listing_add(sv, fd, list[i]->d_name);
	buf_puts(&sv->page, "</table>\n");
	free(list);
	fd_close(&fd);
}

/*
 * The reply to a good request for a path: the file of that name, or with
 * .html, or the directory's index.html; else the directory.
 */
static void
path_reply(struct server *sv, struct reply *r)
{
	const char *path = sv->request.path;
	size_t len = strlen(path);
	bool slash = len == 0 || path[len - 1] == '/';
	char name[PATH_LEN + 16];
	struct file *f;
	int why;

	snprintf(name, sizeof(name), "%s%s", path, slash ? "index.html" : "");
	f = file_get(sv, name);
	why = errno;
	if (f == NULL && !slash && (why == ENOENT || why == EISDIR)) {
		snprintf(name, sizeof(name), "%s.html", path);
		f = file_get(sv, name);
		if (f == NULL && status_of_errno(errno) != 404)
			why = errno;
	}
	if (f != NULL)
		file_reply(sv, r, f);
	else if (slash && (why == ENOENT || why == EISDIR) &&
	    !sv->opt->no_listings)
		listing_reply(sv, r);
	else
		r->status = why == EISDIR && !slash ? 301 :
		    status_of_errno(why);
}

/*
 * What a request is for, before any file is looked at: 0 with request.path
 * or request.own set, or the status that refuses it, or leads to the prefix.
 */
static int
request_route(struct server *sv)
{
	struct request *rq = &sv->request;
	size_t n = strlen(sv->opt->prefix);
	bool inside;

	if (rq->method >= METHOD_KNOWN)
		return rq->method == METHOD_KNOWN ? 405 : 501;
	if (is_stranger(sv))
		return 403;
	rq->asked = rq->target;
	if (n > 0 && rq->target[0] == '/') {
		inside = strncmp(rq->target, sv->opt->prefix, n) == 0;
		rq->target += inside ? n : 1;
		rq->query = rq->target;
		if (*rq->target == '\0' || *rq->target == '?')
			return 301;
		if (!inside || *rq->target != '/')
			return 404;
	}
	if (strncmp(rq->target, "/.blogserve/", 12) == 0) {
		rq->own = rq->target + 12;
		rq->target[strcspn(rq->target, "?")] = '\0';
		return 0;
	}
	return target_path(rq->target, rq->path, sizeof(rq->path), &rq->query);
}

/* An event: what the script compares, and shows. */
static void
event_add(struct buf *b, const struct server *sv)
{
	const struct record *o = &sv->orders.build;
	char how[128];

	status_text(how, sizeof(how), o->status);
	buf_printf(b, "data: {\"start\":\"%s\",\"done\":%u,\"other\":%u,"
	    "\"build\":%u,\"building\":%jd,\"took\":%jd,\"failed\":\"%s\","
	    "\"what\":\"", sv->start, o->done, o->other, o->number,
	    (intmax_t)(!o->building ? -1 : o->started_at > 0 &&
	    sv->now > o->started_at ? sv->now - o->started_at : 0),
	    (intmax_t)o->took, how);
	escape_puts(b, JSON, o->what);
	buf_puts(b, "\"}\n\n");
}

/* What /.blogserve/status says, for scripts: lines of "key: value". */
static void
status_write(struct buf *b, const struct server *sv)
{
	const struct record *o = &sv->orders.build;
	const char *state = sv->opt->command == NULL ? "serving" :
	    o->building || o->took < 0 ? "building" :
	    o->status != 0 ? "failed" : "ok";

	buf_printf(b, "state: %s\nbuild: %u\n", state, o->number);
	if (o->took >= 0)
		buf_printf(b, "exit: %d\nseconds: %.3f\n",
		    WIFSIGNALED(o->status) ? 128 + WTERMSIG(o->status) :
		    WEXITSTATUS(o->status), (double)o->took / 1000);
	buf_printf(b, "changed: %s\nuptime: %jd\n", o->what,
	    (intmax_t)(sv->now - sv->started_at) / 1000);
}

/* The reply to what is below /.blogserve/; with -R that is the status. */
static void
own_reply(struct server *sv, struct reply *r)
{
	const char *own = sv->request.own, *const *line;
	struct file *f;
	struct stat st;
	int fd;

	buf_clear(&sv->page);
	r->type = "text/plain";
	if (strcmp(own, "status") == 0)
		status_write(&sv->page, sv);
	else if (sv->opt->no_reload)
		r->status = 404;
	else if (strcmp(own, "log") == 0) {
		if (fstat(sv->builds_log, &st) == 0 &&
		    (fd = dup(sv->builds_log)) != -1 &&
		    (f = file_make(sv, fd, "", &st)) != NULL)
			file_reply(sv, r, f);
		else if (sv->builds_log != -1)
			r->status = status_of_errno(errno);
	} else if (strcmp(own, "reload.js") == 0) {
		r->type = "text/javascript";
		for (line = reload_js; *line != NULL; line++)
			buf_puts(&sv->page, *line);
	} else if (strcmp(own, "events") == 0) {
		r->type = "text/event-stream";
		r->stream = true;
		r->keep = false;
		buf_puts(&sv->page, "retry: 500\n");
		event_add(&sv->page, sv);
	} else
		r->status = 404;
}

/*
 * Take the latest orders.  Returns whether any came; that the parent is gone
 * is noted.  Writes of up to PIPE_BUF bytes are whole, so reads are, too.
 */
static bool
orders_drain(struct server *sv)
{
	bool came = false;
	ssize_t n;

	while ((n = read(sv->orders_fd, &sv->orders, sizeof(sv->orders))) > 0)
		came = true;
	sv->reads += came;
	sv->news |= came;
	if (n == 0)
		fd_close(&sv->orders_fd);
	return came;
}

/* Set when a connection's patience ends; server.until must not be later. */
static void
conn_wait(struct server *sv, struct conn *c, int64_t ms)
{
	c->until = sv->now + ms;
	sv->until = sooner(sv->until, c->until);
}

/* The same for a client that is slow, as -t says. */
static void
conn_bear(struct server *sv, struct conn *c, int64_t ms)
{
	conn_wait(sv, c, sv->opt->patience > 0 ? sv->opt->patience : ms);
}

static void
log_field(struct buf *b, const char *text)
{
	text = text != NULL ? text : "-";
	buf_puts(b, " \"");
	escape_add(b, LOG, text, strnlen(text, LOG_MAX));
	buf_puts(b, "\"");
}

/* Begin the line of a reply; its bytes are counted while it is sent. */
static void
conn_log(struct server *sv, struct conn *c, int status)
{
	char host[INET6_ADDRSTRLEN] = "-", date[64] = "-", head[LOG_MAX + 1];
	const char *line = head;
	struct sockaddr_storage ss;
	socklen_t size = sizeof(ss);
	struct tm tm;

	if (getpeername(c->fd, (struct sockaddr *)&ss, &size) == 0)
		address_text((struct sockaddr *)&ss, host);
	if (localtime_r(&sv->clock.tv_sec, &tm) != NULL)
		strftime(date, sizeof(date), "%d/%b/%Y:%H:%M:%S %z", &tm);
	snprintf(head, sizeof(head), "%.*s", (int)buf_left(&c->in),
	    c->in.data + c->in.at);
	line += strspn(line, "\r\n");
	buf_clear(&c->line);
	buf_printf(&c->line, "%s - - [%s] \"", host, date);
	escape_add(&c->line, LOG, line, strcspn(line, "\r\n"));
	buf_printf(&c->line, "\" %d ", status);
	c->line.at = c->line.len;
	log_field(&c->line, sv->request.field[FIELD_REFERER]);
	log_field(&c->line, sv->request.field[FIELD_USER_AGENT]);
}

/* Write the log's lines, at once; that they are lost is said once. */
static void
log_flush(struct server *sv)
{
	struct buf *b = &sv->log;
	bool lost = b->len > 0 && write(sv->opt->log, b->data, b->len) == -1;

	if (lost && !sv->log_lost)
		say_why(WARNING, sv->opt->logfile);
	if (b->len > 0)
		sv->log_lost = lost;
	buf_clear(b);
}

/* The reply is over: its line is ready, its file and its buffer are free. */
static void
conn_finish(struct server *sv, struct conn *c)
{
	if (c->line.len > 0) {
		buf_printf(&sv->log, "%.*s%jd%.*s\n", (int)c->line.at,
		    c->line.data, (intmax_t)(c->sent > 0 ? c->sent : 0),
		    (int)buf_left(&c->line), c->line.data + c->line.at);
		buf_free(&c->line);
	}
	if (sv->log.len > CHUNK)
		log_flush(sv);
	file_drop(&c->file);
	buf_free(&c->out);
}

static void
conn_close(struct server *sv, struct conn *c)
{
	conn_finish(sv, c);
	buf_free(&c->in);
	fd_close(&c->fd);
	c->state = CONN_CLOSED;
}

/* The one place that writes the head of a reply with length bytes of body. */
static void
reply_head(struct buf *out, const struct reply *r, const struct server *sv,
    off_t length)
{
	const struct file *f = r->file;
	const char *type = r->type != NULL ? r->type :
	    "application/octet-stream";
	bool utf8 = strncmp(type, "text/", 5) == 0 &&
	    (f == NULL || !f->other_charset);

	buf_join(out, "HTTP/1.0 ", status_of(r->status)->line, "\r\nDate: ",
	    sv->date, "\r\nConnection: ", r->keep ? "keep-alive" : "close",
	    "\r\nServer: blogserve\r\nCache-Control: no-cache\r\n",
	    r->status == 405 ? "Allow: GET, HEAD\r\n" : "",
	    r->status == 503 ? "Retry-After: 1\r\n" : "",
	    f != NULL ? "Vary: Accept-Encoding, Sec-Fetch-Dest\r\n" : "",
	    END);
	if (r->location != NULL)
		buf_join(out, "Location: ", r->location, "\r\n", END);
	/* No later than Date (RFC 9110, section 8.8.2.1). */
	if (f != NULL && !r->script && r->status != 404 &&
	    f->validators.etag[0] != '\0')
		buf_join(out, "Last-Modified: ", f->validators.date[0] == '\0' ?
		    sv->date : f->validators.date, "\r\nETag: ",
		    f->validators.etag, "\r\nAccept-Ranges: bytes\r\n", END);
	if (r->status != 304)
		buf_join(out, "Content-Type: ", type, utf8 ?
		    "; charset=utf-8\r\n" : "\r\n", r->type != NULL ?
		    "X-Content-Type-Options: nosniff\r\n" : "",
		    r->encoding != NULL ? "Content-Encoding: gzip\r\n" : "",
		    r->stream ? "X-Accel-Buffering: no\r\n" : "", END);
	if (r->status != 304 && !r->stream)
		buf_printf(out, "Content-Length: %jd\r\n", (intmax_t)length);
	if (r->status == 206)
		buf_printf(out, "Content-Range: bytes %jd-%jd/%jd\r\n",
		    (intmax_t)r->first, (intmax_t)(r->first + r->length - 1),
		    (intmax_t)f->size);
	else if (r->status == 416)
		buf_printf(out, "Content-Range: bytes */%jd\r\n",
		    (intmax_t)r->length);
	buf_puts(out, "\r\n");
}

/*
 * Whether the file that is sent is what its head says, for a build may write
 * while we send; that its name goes, and so its ctime changes, is no matter.
 * It may grow where no build does it: a log, a recording.
 */
static bool
conn_unchanged(struct server *sv, const struct conn *c)
{
	const struct file *f = c->file;
	struct stat st;

	return fstat(f->fd, &st) == 0 && ((st.st_size == f->size &&
	    st.st_mtim.tv_sec == f->mtime.tv_sec &&
	    st.st_mtim.tv_nsec == f->mtime.tv_nsec) ||
	    (st.st_size > f->size && (orders_drain(sv),
	    c->build == sv->orders.build.number)));
}

/* Add the next n bytes of the file to conn.out, which fails without them. */
static void
conn_fill(struct conn *c, size_t n)
{
	struct buf *out = &c->out;

	if (!buf_room(out, n))
		return;
	if (c->file->fd == -1)
		memcpy(out->data + out->len, c->file->data + c->at, n);
	else {
		out->failed = !read_all(c->file->fd, out->data + out->len, n,
		    c->at);
		c->file->looked = 0;
	}
	out->len += n;
	c->at += (off_t)n;
	c->left -= (off_t)n;
}

/*
 * Compose the reply in conn.out: its head, and its body but for a large
 * file, from which the rest is sent.  False: the file is another by now.
 */
static bool
conn_compose(struct server *sv, struct conn *c, struct reply *r)
{
	struct buf *out = &c->out, *page = &sv->page, *tag = &sv->tag;
	bool body = sv->request.method != METHOD_HEAD && r->status != 304;
	off_t length = r->file != NULL ? r->length : (off_t)page->len;
	size_t n;
	char *at;

	buf_free(out);
	if (sv->date_at != sv->clock.tv_sec)
		date_format(sv->date, sv->date_at = sv->clock.tv_sec);
	if (!r->simple)
		reply_head(out, r, sv,
		    length + (r->script ? (off_t)tag->len : 0));
	c->sent = -(off_t)out->len;
	c->file = r->file;
	c->build = sv->orders.build.number;
	c->at = r->first;
	c->left = body && r->file != NULL ? length : 0;
	c->state = CONN_SEND;
	if (body && r->file == NULL)
		buf_add(out, page->data, page->len);
	n = c->left <= INLINE_MAX ? (size_t)c->left : r->script ?
	    (size_t)r->file->front : 0;
	if (n > 0)
		conn_fill(c, n);
	if (body && r->script && !tag->failed && buf_room(out, tag->len)) {
		n -= (size_t)r->file->front;	/* which follow the tag */
		at = out->data + out->len - n;
		memmove(at + tag->len, at, n);
		memcpy(at, tag->data, tag->len);
		out->len += tag->len;
	}
	if (r->file != NULL && !file_verify(sv, r->file)) {
		file_drop(&c->file);
		return false;
	}
	conn_bear(sv, c, IDLE_TIME);
	if (out->failed || page->failed || (r->script && tag->failed))
		c->state = CONN_CLOSED;
	buf_free(page);
	return true;
}

/*
 * Answer the head of len bytes in server.head: with status, or what it asks
 * for if that is 0.  The reply is composed; or c is held while a build writes
 * the site: at most HOLD_TIME, and not when we stop, then 503 tells of it.  If
 * one began meanwhile, the page may be half (R9): c is to be read again.
 */
static void
conn_answer(struct server *sv, struct conn *c, size_t len, int status)
{
	struct request *rq = &sv->request;
	struct reply r;
	struct file *f;
	int refused = request_parse(rq, sv->head, len), tries = 0;
	bool parsed = refused == 0, site;

	clock_gettime(CLOCK_REALTIME, &sv->clock);
	if (status == 0)
		status = parsed ? request_route(sv) : refused;
	site = parsed && rq->own == NULL && (status == 0 || status == 404);
	if (site && sv->orders.hold) {
		if (c->state != CONN_HOLD)
			conn_wait(sv, c, HOLD_TIME);
		c->state = CONN_HOLD;
		if (sv->now < c->until && !sv->draining)
			return;
		status = 503;
	}
	do {
		if (tries++ == TRIES_MAX)
			status = 503;
		r = (struct reply){ .status = status != 0 ? status : 200,
		    .simple = parsed && rq->minor == -1,
		    .keep = parsed && rq->keep && !sv->draining };
		if (status == 0 && rq->own != NULL)
			own_reply(sv, &r);
		else if (status == 0)
			path_reply(sv, &r);
		if (r.status == 404 && rq->own == NULL &&
		    (f = file_get(sv, "404.html")) != NULL)
			file_reply(sv, &r, f);
		else if (r.status >= 300 && r.status != 304)
			error_page(sv, &r);
	} while (!conn_compose(sv, c, &r));
	c->next = r.stream && rq->method == METHOD_GET ? CONN_STREAM :
	    r.keep ? CONN_READ : !parsed || rq->body || c->left > 0 ||
	    buf_left(&c->in) > len ? CONN_LINGER : CONN_CLOSED;
	if (c->state == CONN_CLOSED)
		conn_close(sv, c);
	else if (site && status != 503 && sv->opt->command != NULL &&
	    !sv->draining && orders_drain(sv)) {
		c->state = CONN_READ;
		conn_finish(sv, c);
	} else if (sv->opt->log != -1)
		conn_log(sv, c, r.status);
}

/*
 * The only place that reads from a client (R7): what comes where no head is
 * awaited is discarded (RFC 9112, section 9.6).
 */
static void
conn_read(struct server *sv, struct conn *c)
{
	size_t have = buf_left(&c->in);
	ssize_t n = read(c->fd, sv->in, HEAD_MAX - have);

	sv->reads++;
	if (n > 0 && c->state == CONN_READ) {
		if (have == 0)
			conn_bear(sv, c, HEAD_TIME);
		buf_pack(&c->in);
		buf_add(&c->in, sv->in, (size_t)n);
	}
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR) ||
	    c->in.failed)
		conn_close(sv, c);
}

/*
 * READ, HOLD: answer the first whole head, or refuse what is none, too long,
 * or late.  Returns whether there is more to do.
 */
static bool
conn_input(struct server *sv, struct conn *c)
{
	size_t have = buf_left(&c->in), len;
	const char *in;
	int status = 0;

	if (have == 0)
		return false;
	in = c->in.data + c->in.at;
	if ((len = head_length(in, have)) > 0)
		memcpy(sv->head, in, len);
	else if ((unsigned char)in[0] < ' ' && in[0] != '\r' && in[0] != '\n')
		status = 400;	/* such as TLS */
	else if (have == HEAD_MAX)
		status = memchr(in, '\n', have) == NULL ? 414 : 431;
	else if (sv->now >= c->until)
		status = 408;
	else
		return false;
	sv->head[len] = '\0';
	conn_answer(sv, c, len, status);
	if (c->state == CONN_SEND) {
		c->in.at += len;
		if (len == 0 || buf_left(&c->in) == 0)
			buf_free(&c->in);
	}
	return c->state != CONN_HOLD;
}

/*
 * Send what is composed; if nothing is, the next piece of the file, by
 * sendfile while that is possible.  But the last piece goes through
 * conn_fill, and what a build changed is seen then: a file that changed
 * before it was sent is never sent to its end.  (What sendfile has queued
 * shares the file's memory until the client has it.)  Returns whether all of
 * the piece went: if not, to wait for room is cheaper than many small ones.
 */
static bool
conn_send(struct server *sv, struct conn *c)
{
	size_t n = buf_left(&c->out);
	ssize_t r = 0;

	if (n == 0 && c->left > SENDFILE_REST &&
	    (c->sent <= 0 || conn_unchanged(sv, c))) {
		n = c->left - SENDFILE_REST < SENDFILE_MAX ?
		    (size_t)c->left - SENDFILE_REST : SENDFILE_MAX;
		r = extra_sendfile(c->fd, c->file->fd, &c->at, n);
		c->left -= r > 0 ? r : 0;
	}
	if (r == 0 || (r == -1 && errno != EAGAIN)) {
		if (buf_left(&c->out) == 0) {
			buf_clear(&c->out);
			conn_fill(c, c->left < CHUNK ? (size_t)c->left : CHUNK);
			if (c->out.failed || !conn_unchanged(sv, c)) {
				conn_close(sv, c);
				return false;
			}
		}
		n = buf_left(&c->out);
		r = send(c->fd, c->out.data + c->out.at, n,
		    c->left > 0 ? SEND_MORE : 0);
		c->out.at += r > 0 ? (size_t)r : 0;
	}
	if (r == -1 && errno != EAGAIN && errno != EINTR)
		conn_close(sv, c);
	if (r <= 0)
		return false;
	c->sent += r;
	conn_bear(sv, c, IDLE_TIME);
	return (size_t)r == n;
}

static void
conn_sent(struct server *sv, struct conn *c)
{
	c->state = sv->draining ? CONN_CLOSED : c->next;
	if (c->state == CONN_STREAM) {
		buf_clear(&c->out);
		conn_wait(sv, c, PING_TIME);
		return;
	}
	conn_finish(sv, c);
	if (c->state == CONN_READ && buf_left(&c->in) > 0)
		conn_bear(sv, c, HEAD_TIME);
	else if (c->state == CONN_LINGER && shutdown(c->fd, SHUT_WR) == 0)
		conn_wait(sv, c, LINGER_TIME);
	else if (c->state != CONN_READ)
		conn_close(sv, c);
}

/*
 * Let a connection do what it can without waiting, but no more than its
 * share: what is left then is a piece to be sent.
 */
static void
conn_step(struct server *sv, struct conn *c)
{
	bool more = true;
	int turn;

	for (turn = 0; more; turn++)
		switch (c->state) {
		case CONN_HOLD:
		case CONN_READ:
			more = conn_input(sv, c);
			break;
		case CONN_SEND:
			if (c->left == 0 && buf_left(&c->out) == 0)
				conn_sent(sv, c);
			else
				more = turn < TURN_MAX && conn_send(sv, c);
			break;
		default:
			return;
		}
}

/* What a connection waits for, by its state. */
static const short conn_events[CONN_CLOSED + 1] = { [CONN_READ] = POLLIN,
	[CONN_SEND] = POLLOUT, [CONN_STREAM] = POLLIN, [CONN_LINGER] = POLLIN };

static void
server_swap(struct server *sv, size_t i, size_t j)
{
	struct pollfd p = sv->polls[i];
	struct conn c = sv->conns[i];

	sv->polls[i] = sv->polls[j];
	sv->polls[j] = p;
	sv->conns[i] = sv->conns[j];
	sv->conns[j] = c;
}

/*
 * Let connection i step.  If it ended, the last of its kind, busy or quiet,
 * takes its place; so those above i, which were done before, stay done.
 */
static void
server_step(struct server *sv, size_t i)
{
	struct pollfd *p = &sv->polls[i];
	struct conn *c = &sv->conns[i];

	if (c->state == CONN_HOLD && p->revents != 0)	/* the client left */
		conn_close(sv, c);
	p->revents = 0;
	c->stirred = true;
	conn_step(sv, c);
	p->events = conn_events[c->state];
	if (c->state != CONN_CLOSED)
		return;
	if (i < sv->busy) {
		server_swap(sv, i, --sv->busy);
		i = sv->busy;
	}
	server_swap(sv, i, --sv->count);
	sv->full_until = 0;
}

/*
 * After all were polled: those that are ready, and the busy ones that have
 * moved since the last time, are the busy ones; those whose patience has
 * ended go.  A poll costs by the number of descriptors, most of them open
 * for a request that does not come: the more there are, the later is the next.
 */
static void
server_sweep(struct server *sv)
{
	size_t i, was = sv->busy;
	struct conn *c;

	for (i = sv->busy = 0; i < sv->count; i++)
		if (sv->polls[i].revents != 0 ||
		    (i < was && sv->conns[i].stirred)) {
			sv->conns[i].stirred = false;
			server_swap(sv, i, sv->busy++);
		}
	sv->sweep_at = sv->now + 5 + (int64_t)sv->count / 100;
	if (sv->now < sv->until)
		return;
	for (sv->until = 0, i = sv->count; i-- > 0;) {
		c = &sv->conns[i];
		if (!is_due(c->until, sv->now, &sv->until))
			continue;
		if (c->state == CONN_STREAM) {
			conn_bear(sv, c, IDLE_TIME);
			buf_puts(&c->out, ":\n\n");
			c->state = CONN_SEND;
		} else if (c->state != CONN_HOLD &&	/* these are told */
		    (c->state != CONN_READ || buf_left(&c->in) == 0))
			conn_close(sv, c);
		server_step(sv, i);
	}
}

/* Let the one go that has been idle longest, or accept no more for a while. */
static void
server_evict(struct server *sv)
{
	int64_t until, first = INT64_MAX;
	const struct conn *c;
	size_t i, oldest = 0;

	for (i = 0; i < sv->count; i++) {
		c = &sv->conns[i];
		until = c->until + (buf_left(&c->in) > 0 ? IDLE_TIME : 0);
		if ((c->state == CONN_READ || c->state == CONN_STREAM) &&
		    sv->polls[i].revents == 0 && until < first) {
			oldest = i;
			first = until;
		}
	}
	if (first < INT64_MAX) {
		conn_close(sv, &sv->conns[oldest]);
		server_step(sv, oldest);
	} else
		sv->full_until = sv->now + RETRY_TIME;
}

/* Accept some of what waits at a listener; they are read from at once. */
static void
server_accept(struct server *sv, int listener)
{
	int fd, turn;

	for (turn = 0; turn < ACCEPT_MAX && sv->full_until == 0; turn++) {
		errno = EMFILE;
		fd = sv->count < sv->max ? accept(listener, NULL, NULL) : -1;
		if (fd == -1) {
			if (status_of_errno(errno) != 503 || errno == EAGAIN ||
			    errno == EINTR)
				return;
			server_evict(sv);
			continue;
		}
		fcntl(fd, F_SETFL, O_NONBLOCK);	/* we never execute */
		sv->conns[sv->count] = (struct conn){ .fd = fd };
		conn_bear(sv, &sv->conns[sv->count], IDLE_TIME);
		sv->polls[sv->count] = (struct pollfd){ fd, POLLIN, POLLIN };
		server_swap(sv, sv->count++, sv->busy++);
	}
}

static void
listeners_close(struct listeners *l)
{
	size_t i;

	for (i = 0; i < l->count; i++)
		fd_close(&l->fd[i]);
}

/*
 * Obey the latest orders: no more clients if we are to stop, and all but the
 * responses in flight end now; tell the event streams how things are, one
 * that does not read ends; let those go on that were held.
 */
static void
server_obey(struct server *sv)
{
	bool stop = !sv->draining && (sv->orders.stopping ||
	    sv->orders_fd == -1), ends;
	struct conn *c;
	size_t i;

	if (!stop && !sv->news)
		return;
	sv->news = false;
	if (sv->orders.reopen != sv->reopened)
		logs_reopen(sv->opt);
	sv->reopened = sv->orders.reopen;
	files_forget(sv);	/* on NFS what is open stays when removed */
	if (stop) {
		sv->draining = true;
		sv->drain_until = sv->now + DRAIN_TIME;
		listeners_close(sv->listeners);
	}
	for (i = sv->count; i-- > 0;) {
		c = &sv->conns[i];
		ends = sv->draining && conn_events[c->state] == POLLIN;
		if (c->next == CONN_STREAM) {
			event_add(&c->out, sv);
			c->state = CONN_SEND;
			ends = sv->draining || c->out.failed ||
			    buf_left(&c->out) > STREAM_MAX;
		}
		if (ends)
			conn_close(sv, c);
		server_step(sv, i);
	}
}

/* The last name in a path, which may be "". */
static const char *
path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* The directory that holds what path names: path itself, cut. */
static char *
path_parent(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash == NULL)
		return (char *)".";
	slash[slash == path] = '\0';
	return path;
}

/*
 * Give up what serving does not need.  A docroot that is made again must
 * stay in reach, so what is allowed is the directory that holds it; one that
 * goes elsewhere needs another server, confined anew.
 */
static void
server_confine(struct server *sv)
{
	const struct options *opt = sv->opt;
	const struct rlimit none = { 0, 0 };
	char root[PATH_LEN], log[PATH_LEN];

	tzset();
#ifdef RLIMIT_NPROC
	setrlimit(RLIMIT_NPROC, &none);
#endif
	setrlimit(RLIMIT_CORE, &none);
	snprintf(root, sizeof(root), "%s/..", opt->root);
	if (access(root, F_OK) == -1)	/* the first build is to make it */
		path_parent(path_parent(root));
	if (opt->logfile != NULL)
		snprintf(log, PATH_LEN, "%s", opt->logfile);
	say(DETAIL, "server: confined by %s", extra_sandbox(opt->follow ?
	    "/" : root, opt->logfile != NULL ? path_parent(log) : NULL));
}

/*
 * Allot what the server needs; at worst it exits and is replaced.  Half of
 * its descriptors may be connections; an eighth of the others is for files
 * that connections send, the rest for files that are kept.
 */
static void
server_open(struct server *sv)
{
	const size_t first = 1 + sv->listeners->count;
	struct rlimit lim;

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max < FDS_MAX ? lim.rlim_max : FDS_MAX;
	if (setrlimit(RLIMIT_NOFILE, &lim) == -1)
		getrlimit(RLIMIT_NOFILE, &lim);
	sv->max = lim.rlim_cur / 2 < CONN_MAX ? (size_t)lim.rlim_cur / 2 :
	    CONN_MAX;
	sv->kept_max = ((size_t)lim.rlim_cur - sv->max) / 8 * 7;
	sv->conns = must_alloc(sv->max * sizeof(*sv->conns));
	sv->all = must_alloc((first + sv->max) * sizeof(*sv->all));
	sv->all[0].events = POLLIN;
	sv->polls = sv->all + first;
	sv->site_fd = -1;
	server_confine(sv);
	sv->now = clock_ms();
}

/*
 * Wait for orders, clients and connections: for the busy ones, and for all of
 * them now and then, when none is busy, or when one's patience has ended.
 */
static void
server_wait(struct server *sv)
{
	bool all = sv->busy == 0 ||
	    sv->now >= sooner(sv->sweep_at, sv->until);
	size_t i, n = 1 + sv->listeners->count + (all ? sv->count : sv->busy);
	int64_t until = sooner(sv->until, sv->drain_until);

	if (is_due(sv->full_until, sv->now, &until))
		sv->full_until = 0;
	if (is_due(sv->forget_at, sv->now, &until))
		files_forget(sv);
	sv->all[0].fd = sv->orders_fd;
	for (i = 0; i < sv->listeners->count; i++) {
		sv->all[1 + i].fd = sv->listeners->fd[i];
		sv->all[1 + i].events = sv->full_until != 0 ? 0 : POLLIN;
	}
	/* A poll of all does not wait: the kernel then queues at none of them. */
	if (sv->busy > 0)
		until = all ? sv->now : sooner(until, sv->sweep_at);
	if (buf_left(&messages.waiting) > 0)
		until = sooner(until, sv->now + COPY_TIME);
	if (!sv->opt->atomic)		/* so that it can be unmounted */
		fd_close(&sv->site_fd);
	poll_wait(sv->all, n, until, sv->now);
	sv->now = clock_ms();
	sv->reads++;
	if (all)
		server_sweep(sv);
}

/* Give all back; the replies that are cut short are logged. */
static void
server_close(struct server *sv)
{
	while (sv->count > 0)
		conn_close(sv, &sv->conns[--sv->count]);
	log_flush(sv);
	files_forget(sv);
	fd_close(&sv->orders_fd);
	fd_close(&sv->builds_log);
	fd_close(&sv->site_fd);
	if (sv->opt->log != -1)
		close(sv->opt->log);
	err_drain(TAKE_TIME);
}

/*
 * The server's life: orders first, then clients, then all that is to be
 * read, then the connections' steps.  Returns when it is to exit.
 */
static void
serve(struct server *sv)
{
	size_t i;

	server_open(sv);
	for (;;) {
		server_obey(sv);
		log_flush(sv);
		err_drain(0);
		if (sv->draining && (sv->count == 0 ||
		    sv->now >= sv->drain_until))
			return;
		server_wait(sv);
		if (sv->all[0].revents != 0)
			orders_drain(sv);
		for (i = 0; i < sv->listeners->count; i++)
			if (sv->all[1 + i].revents != 0)
				server_accept(sv, sv->listeners->fd[i]);
		for (i = sv->busy; i-- > 0;)
			if (sv->polls[i].revents != 0 &&
			    sv->polls[i].events == POLLIN)
				conn_read(sv, &sv->conns[i]);
		for (i = sv->busy; i-- > 0;)
			if (sv->polls[i].revents != 0)
				server_step(sv, i);
	}
}

/* ---------------------------------------------------------------------
 * 5  Watching: the parent's view of the sources
 *
 * The snapshot is a tree of nodes, one for a name; the -w operands are the
 * names in a directory without a name at its top.  A directory that is
 * marked is looked at: read, and each of its entries compared with its node.
 * Notification marks directories, when it is told of something there.  A
 * scan marks the top, and what is looked at in a scan marks all that is below
 * it.  Marked directories are looked at in slices, the latest first: one call
 * of watch_step takes SLICE_TIME (R6), and goes on later where it stopped.
 *
 * So a change takes this way: number -> those who listen to it -> marked
 * directory -> quiet -> look -> changes -> a wish for a build.  What is heard
 * of while a build runs, and what a scan finds first after one, may be the
 * work of that build.
 * ------------------------------------------------------------------ */

struct node {
	struct item item;	/* by directory and name */
	struct dir *up;		/* in which it is; NULL: the top */
	struct node *next;	/* in the same directory */
	struct dir *dir;	/* NULL: not a directory that is watched */
	uint64_t stamp;		/* of its stat, 0: new, or its changes are none */
	uint64_t content;	/* hash of its bytes, 0: not known */
	unsigned long seen;	/* by which look */
	unsigned build;		/* the latest build that changed it, 0: none */
	unsigned noted;		/* among the changes since then */
	unsigned whole;		/* the build at which its directory is_built */
	int made;		/* what speaks for a product, up to SURE */
	bool racy;		/* its stamp may miss a change: compare bytes */
	char name[];
};

struct dir {
	struct item item;	/* by stat_id */
	struct node *node;	/* whose directory this is; NULL: gone */
	struct node *first;	/* in it */
	struct listener *listeners;	/* through which it hears */
	struct dir *next;	/* that is marked, too */
	bool marked;
	bool scan;		/* what is below is to be looked at, too */
	bool built;		/* heard of while a build ran, and not since */
	bool unreadable;	/* that it is was said */
};

/* A directory hears of a name in the directory with this number. */
struct listener {
	struct item item;	/* by number */
	struct listener *next;	/* of the same directory */
	struct dir *dir;
	char name[];		/* "": of all names */
};

/* What changed: the paths for BLOGSERVE_CHANGED, and how many. */
struct changes {
	struct buf paths;	/* each with a newline; not all if inexact */
	size_t count;
	unsigned since;		/* how often this was cleared before */
	bool inexact;		/* anything may have changed: build */
	bool others;		/* not stylesheets alone, or their sources */
	bool foreign;		/* somebody else than the latest build did some */
};

#define ALL	ULONG_MAX	/* no look has this number */

/* The directory that is being looked at. */
struct look {
	struct dir *dir;	/* NULL: none */
	bool scan;		/* what is below is to be looked at, too */
	bool built;		/* what changed there may be a build's work */
	DIR *stream;		/* NULL: it is the operands of -w */
	int fd;
	unsigned long seen;	/* the number of this look */
	char path[PATH_LEN];	/* of what is looked at, as given to -w, ... */
	size_t len;		/* ... with so many bytes for the directory */
};

struct watch {
	const struct options *opt;
	struct dir *top;
	struct table names, dirs, numbers;
	struct dir *marked;	/* the latest first */
	struct look look;
	int notify;		/* -1: scanning tells all */
	int64_t heard_at;	/* the first event not looked into */
	int64_t quiet_at;	/* to be looked into then, 0: none */
	bool scanning;
	bool scanned;		/* once, at least: what is new is a change */
	int64_t scan_at;	/* when the next scan begins */
	int64_t cost;		/* ms of processor time that the last took */
	int64_t show_at;	/* progress of the first scan */
	size_t files;		/* seen in this scan */
	size_t unreadable;	/* directories, not yet said; and of one ... */
	char unreadable_why[PATH_LEN + 64];	/* ... its path and why */
	bool overflowed;	/* that events were lost was said */
	struct changes *changes;	/* where what changed is noted */
	struct {		/* the latest build */
		unsigned number;	/* 0: none */
		bool unasked;		/* no save before it was its reason */
	} ran;
	unsigned confirmed;	/* the latest that was made to be sure */
	bool building;		/* one runs, perhaps that */
	bool built;		/* what a scan finds may be its work */
	int64_t doubt_at;	/* when a build is to resolve one, 0: none */
	char writes[PATH_LEN];	/* where builds write, "/": all over */
};

static bool
name_matches(const char **patterns, const char *name, const char *path)
{
	for (; *patterns != NULL; patterns++)
		if (fnmatch(*patterns, name, 0) == 0 ||
		    fnmatch(*patterns, path, 0) == 0)
			return true;
	return false;
}

/* The name is hidden, or -x says of name or path that it is no source. */
static bool
name_ignored(const struct options *opt, const char *name, const char *path)
{
	return name[0] == '.' || name_matches(opt->exclude, name, path);
}

/*
 * Append a name to its directory's path, which has len bytes; "." is left
 * out.  Returns the length; one that is too long for the system, too, is "".
 */
static size_t
path_add(char path[PATH_LEN], size_t len, const char *name)
{
	size_t n = strlen(name);

	if (len == 1 && path[0] == '.')
		len = 0;
	if (len > 0 && path[len - 1] != '/')
		path[len++] = '/';
	if (n >= PATH_LEN - len)
		len = n = 0;
	memcpy(path + len, name, n);
	path[len + n] = '\0';
	return len + n;
}

/* The path of a node, as given to -w.  Returns its length. */
static size_t
node_path(char path[PATH_LEN], const struct node *n)
{
	path[0] = '\0';
	return n->up == NULL ? 0 :
	    path_add(path, node_path(path, n->up->node), n->name);
}

/* Note that a node changed; twice the same is once. */
static void
change_add(struct watch *w, struct node *node)
{
	struct changes *ch = w->changes;
	char path[PATH_LEN];
	size_t len;

	if (word_find("css scss sass less styl", name_end(node->name)) == NULL)
		ch->others = true;
	if (node->noted == ch->since)
		return;
	node->noted = ch->since;
	ch->count++;
	len = node_path(path, node);
	if (len == 0 || strchr(path, '\n') != NULL ||
	    ch->paths.len + len >= CHANGED_MAX)
		ch->inexact = true;
	else
		buf_printf(&ch->paths, "%s\n", path);
}

static void
changes_clear(struct changes *ch)
{
	buf_clear(&ch->paths);
	*ch = (struct changes){ .paths = ch->paths, .since = ch->since + 1 };
}

/* Builds have written all that is below d, and nobody else any of it. */
static bool
is_built(const struct dir *d)
{
	const struct node *n = d->first;

	while (n != NULL && (n->dir != NULL ? is_built(n->dir) :
	    n->build != 0 && n->made >= 0))
		n = n->next;
	return n == NULL;
}

/* The product that n is in, unless somebody else has changed n; or n itself. */
static struct node *
product_of(const struct watch *w, struct node *n)
{
	struct node *up;

	for (up = n; n->made >= 0 && up->up != NULL; up = up->up->node)
		if (up->made >= SURE || (up->made >= PRODUCT && up != n &&
		    (up->whole == w->ran.number || is_built(up->dir)))) {
			n = up;
			n->whole = w->ran.number;	/* asked once */
		}
	return n;
}

/*
 * The latest build changed a node: whether that is a product.  If that is a
 * mistake, a change is lost: so a build is made later, to be sure.  When that
 * changes it, too, the next comes after twice the time, to a limit; when not,
 * somebody else did, and it is no product any more.  Names alone make no
 * directory sure in which there is what builds have not made.
 */
static bool
product_judge(struct watch *w, struct node *n)
{
	bool sure = w->confirmed == w->ran.number, was;
	char path[PATH_LEN];
	struct node *up;
	int most = sure && n->made >= PRODUCT && n->made < SURE &&
	    n->dir != NULL && !is_built(n->dir) ? SURE - 1 : SURE;

	if (!sure && n->build < w->confirmed && n->made >= PRODUCT &&
	    n->made < SURE)
		n->made = -9 * PRODUCT;
	was = n->made >= PRODUCT;
	if (n->build != w->ran.number)
		n->made += !was ? w->ran.unasked ? 1 : PRODUCT / 3 :
		    sure && n->made < most;
	n->build = w->ran.number;
	if (n->made < PRODUCT || n->up == NULL)
		return false;
	if (!was) {
		n->made = PRODUCT;
		node_path(path, n);
		say(WARNING, "%s: changed by builds alone: a product, no "
		    "source (-x %s says so from the start)", path, path);
		/* So is a directory that is built, but no operand of -w. */
		up = n->up->node;
		up->build = n->build;
		if (up->up != NULL && up->up != w->top && is_built(n->up))
			up->made = PRODUCT;
	}
	if (n->made < most)
		w->doubt_at = sooner(w->doubt_at, clock_ms() +
		    ((int64_t)DOUBT_TIME << (n->made - PRODUCT)));
	return true;
}

/*
 * A node changed or, if named, came or went.  What happens while a build runs
 * may be its work or somebody's save, so it counts.  But what only builds
 * have changed, those of three saves or PRODUCT in a row, is a product: that
 * counts no more.  Where names come and go, the directory is one.
 */
static void
change_note(struct watch *w, struct node *n, bool named)
{
	bool built = w->look.built, of_dir = named && n->made >= 0;
	struct node *dir = n->up->node, *of = product_of(w, of_dir ? dir : n);

	if (!built) {
		w->changes->foreign = true;
		if (n->build == 0 || of->made < SURE)
			n->made = -9 * PRODUCT;
		if (named && abs(dir->made) < PRODUCT)
			dir->made = -PRODUCT;
	} else if (of_dir)
		n->build = w->ran.number;
	if (!built || !product_judge(w, of))
		change_add(w, n);
	else if (of_dir && n->dir != NULL)
		n->made = of->made;
	if (built)
		n->build = w->ran.number;
}

/* A build wrote a file: note in which directory of the docroot, if in one. */
static void
written_note(struct watch *w, const struct node *n)
{
	char path[PATH_LEN];
	size_t len = node_path(path, n), dir = strcspn(path, "/");

	path[dir < len || n->dir != NULL ? dir : 0] = '\0';
	if (path[0] == '\0' || (w->writes[0] != '\0' &&
	    strcmp(w->writes, path) != 0))
		memcpy(path, "/", 2);
	snprintf(w->writes, PATH_LEN, "%s", path);
}

/* Mark a directory: it is to be looked at and, in a scan, what is below. */
static void
dir_mark(struct watch *w, struct dir *d, bool scan)
{
	d->scan |= scan;
	if (d->marked)
		return;
	d->marked = true;
	d->next = w->marked;
	w->marked = d;
}

/*
 * Let d hear of a name in the directory path, "": of all names, and of its
 * own if it is that directory.  One that cannot be told of is found by the
 * slow scan, but no limit may go unnoticed.
 */
static void
notify_add(struct watch *w, struct dir *d, const char *path, const char *name,
    bool written)
{
	size_t n = strlen(name) + 1;
	struct listener *l;
	struct item *i = NULL;
	uint64_t hash;
	int number;

	if (w->notify == -1)
		return;
	if ((number = extra_notify_add(w->notify, path, written)) == -1) {
		if (errno != ENOSPC && errno != EPERM && errno != ENOSYS &&
		    errno != ENOMEM)
			return;
		say(WARNING, "inotify: no more watches: scanning instead "
		    "(sysctl " NOTIFY_SYSCTL "user_watches)");
		fd_close(&w->notify);
		w->scan_at = clock_ms() + SCAN_MIN;
		return;
	}
	hash = mix(0, (uint64_t)number);
	while ((i = table_next(&w->numbers, i, hash)) != NULL) {
		l = (struct listener *)i;
		if (l->dir == d && strcmp(l->name, name) == 0)
			return;
	}
	if ((l = calloc(1, sizeof(*l) + n)) == NULL)
		return;
	l->dir = d;
	memcpy(l->name, name, n);
	table_add(&w->numbers, &l->item, hash);
	l->next = d->listeners;
	d->listeners = l;
}

/* d is not found any more, nor does it hear of anything. */
static void
dir_forget(struct watch *w, struct dir *d)
{
	struct listener *l;

	table_cut(&w->dirs, &d->item);
	while ((l = d->listeners) != NULL) {
		d->listeners = l->next;
		table_cut(&w->numbers, &l->item);
		free(l);
	}
}

/*
 * An event in the directory with a number: about an entry or, NULL, about
 * itself.  Mark those whom it concerns.
 */
static void
notify_heard(void *arg, int number, const char *name)
{
	uint64_t hash = mix(0, (uint64_t)number);
	struct watch *w = arg;
	struct listener *l;
	struct item *i = NULL;
	int64_t now = clock_ms();

	if (number == -1) {
		if (!w->overflowed)
			say(WARNING, "inotify: events were lost: scanning all "
			    "(sysctl " NOTIFY_SYSCTL "queued_events)");
		w->overflowed = true;
		w->built = w->building;
		w->scan_at = now;
		return;
	}
	while ((i = table_next(&w->numbers, i, hash)) != NULL) {
		l = (struct listener *)i;
		if (name == NULL) {
			if (l->dir->node->up != NULL)
				dir_mark(w, l->dir->node->up, false);
		} else if (*l->name == '\0' ?
		    name_ignored(w->opt, name, name) :
		    strcmp(name, l->name) != 0)
			continue;
		l->dir->built = w->building;
		dir_mark(w, l->dir, false);
		if (w->quiet_at == 0)
			w->heard_at = now;
		w->quiet_at = sooner(now + QUIET_TIME,
		    w->heard_at + QUIET_MAX);
	}
}

/*
 * What no look has seen since this one is not in the directory any more, nor
 * is there anything below it: note that.  ALL: the directory is watched no
 * more, either; one that is marked is freed when it is its turn.
 */
static void
dir_sweep(struct watch *w, struct dir *d, unsigned long seen)
{
	struct node **at = &d->first, *n;

	while ((n = *at) != NULL)
		if (n->seen < seen) {
			if (n->dir != NULL)
				dir_sweep(w, n->dir, ALL);
			if (n->stamp != 0)
				change_note(w, n, true);
			*at = n->next;
			table_cut(&w->names, &n->item);
			free(n);
		} else
			at = &n->next;
	if (seen != ALL)
		return;
	dir_forget(w, d);
	d->node->dir = NULL;
	d->node = NULL;
	if (!d->marked)
		free(d);
}

/* Which file it is, in one number. */
static uint64_t
stat_id(const struct stat *st)
{
	return mix(mix(0, (uint64_t)st->st_dev), (uint64_t)st->st_ino);
}

/* The node of a name in d, made if there is none; NULL: no memory. */
static struct node *
node_get(struct watch *w, struct dir *d, const char *name)
{
	uint64_t hash = text_hash((uint64_t)(uintptr_t)d, name);
	struct item *i = NULL;
	size_t size = strlen(name) + 1;
	struct node *n;

	while ((i = table_next(&w->names, i, hash)) != NULL) {
		n = (struct node *)i;
		if (n->up == d && strcmp(n->name, name) == 0)
			return n;
	}
	if ((n = calloc(1, sizeof(*n) + size)) == NULL)
		return NULL;
	memcpy(n->name, name, size);
	n->up = d;
	table_add(&w->names, &n->item, hash);
	n->next = d->first;
	return d->first = n;
}

/* Whether it is a file that we write ourselves. */
static bool
is_own(const struct watch *w, const struct stat *st)
{
	const int own[] = { STDOUT_FILENO, STDERR_FILENO, w->opt->log,
	    w->opt->pid };
	struct stat ours;
	size_t i;

	for (i = 0; i < COUNT(own); i++)
		if (fstat(own[i], &ours) == 0 && stat_id(&ours) == stat_id(st))
			return true;
	return false;
}

/* Whether it is the docroot that a command makes or, with way, on the way. */
static bool
is_docroot(const struct watch *w, const struct stat *st, bool way)
{
	char path[PATH_LEN];
	struct stat root;

	if (w->opt->command == NULL)
		return false;
	snprintf(path, PATH_LEN, "%s", w->opt->root);
	do {
		if (stat(path, &root) == 0 && stat_id(&root) == stat_id(st))
			return true;
	} while (way && strcmp(path_parent(path), "/") != 0);
	return false;
}

/*
 * Let d hear of each name on the way to what is looked at, through symlinks,
 * and of what is written to its end: a symlink is a source as its target is.
 */
static void
path_listen(struct watch *w, struct dir *d)
{
	char at[PATH_LEN], rest[PATH_LEN], to[PATH_LEN], dir[PATH_LEN];
	char *end = at, *up;
	int links = 0;
	struct stat st;
	ssize_t len;

	snprintf(at, PATH_LEN, "%s", w->look.path);
	while (end[strspn(end, "/")] != '\0' && links <= LINKS_MAX) {
		end += strspn(end, "/");
		end += strcspn(end, "/");
		snprintf(rest, PATH_LEN, "%s", end);
		*end = '\0';
		snprintf(dir, PATH_LEN, "%s", at);
		up = path_parent(dir);
		notify_add(w, d, up, path_name(at),
		    stat(at, &st) == -1 || !S_ISDIR(st.st_mode));
		if ((len = readlink(at, to, sizeof(to) - 1)) != -1) {
			to[len] = '\0';
			if (snprintf(at, PATH_LEN, "%s/%s%s", *to == '/' ? "" :
			    up, to + (*to == '/'), rest) >= PATH_LEN)
				return;
			end = at;
			links++;
		} else if (errno == EINVAL)
			*end = *rest;
		else
			return;
	}
}

/* Whether a file system shows the kernel's own state: it is mounted there. */
static bool
is_kernels(dev_t dev)
{
	struct stat root, st;

	return stat("/", &root) == 0 && dev != root.st_dev &&
	    ((stat("/proc", &st) == 0 && st.st_dev == dev) ||
	    (stat("/sys", &st) == 0 && st.st_dev == dev));
}

/*
 * A node is a directory with this stat: have it watched, unless that is so.
 * What a symlink leads to is watched only once, which also cuts cycles; and
 * a walk stays off the kernel's own file systems.
 */
static void
node_descend(struct watch *w, struct node *n, const struct stat *st, bool link)
{
	bool known = link && table_next(&w->dirs, NULL, stat_id(st)) != NULL;
	struct dir *d = n->dir;

	if (d != NULL && d->item.hash == stat_id(st)) {
		if (d->unreadable)	/* perhaps no more */
			dir_mark(w, d, false);
		return;
	}
	if (known || (n->up != w->top && is_kernels(st->st_dev))) {
		if (d != NULL)
			dir_sweep(w, d, ALL);
		return;
	}
	if (d != NULL)		/* another has its name now */
		dir_forget(w, d);
	else if ((d = calloc(1, sizeof(*d))) == NULL)
		return;
	n->dir = d;
	d->node = n;
	d->built = w->look.built;
	table_add(&w->dirs, &d->item, stat_id(st));
	dir_mark(w, d, false);
}

/*
 * Look at a node, whose stat this is, and note a change.  Where builds have
 * written before, one while a build ran counts only if the bytes are others
 * than those last seen; elsewhere the build may have read what was there in
 * between.  Our own files and the way to the docroot never change.
 */
static void
node_compare(struct watch *w, struct node *n, const struct stat *st,
    const struct stat *link, const struct timespec *now)
{
	bool regular = S_ISREG(st->st_mode), fresh = n->stamp == 0;
	bool racy = regular && is_racy(&st->st_ctim, now);
	bool built = w->look.built, changed;
	uint64_t stamp = stat_stamp(st), content;
	int file;

	if (S_ISLNK(link->st_mode))
		stamp = mix(stamp, stat_stamp(link) + (S_ISDIR(st->st_mode) ?
		    (uint64_t)st->st_ino : 0)) | 1;
	changed = stamp != n->stamp;
	/* Our own pid file is never opened: to close it would end its lock. */
	if (changed && (n->dir != NULL ? is_docroot(w, st, true) :
	    is_own(w, st)))
		return;
	if (S_ISLNK(link->st_mode) && (changed || S_ISLNK(st->st_mode))) {
		path_listen(w, n->up);
		/* What it leads to may have come before that. */
		if (S_ISLNK(st->st_mode) && access(w->look.path, F_OK) == 0)
			dir_mark(w, n->up, w->look.scan);
	}
	if (regular && (changed ? racy || built || n->content != 0 :
	    n->racy)) {
		file = openat(w->look.fd, n->name, O_RDONLY | O_NONBLOCK |
		    O_NOCTTY | O_CLOEXEC);
		content = content_hash(file, st->st_size);
		fd_close(&file);
		if (!changed || (built && n->content != 0 && n->build != 0))
			changed = content != n->content || (content == 1 &&
			    (changed || n->build != w->ran.number));
		/* Only a build writes the same again, if one runs alone. */
		if (!changed && stamp != n->stamp && built &&
		    w->confirmed == w->ran.number &&
		    product_of(w, n)->made >= PRODUCT)
			product_of(w, n)->made = SURE;
		n->content = content;
	}
	n->stamp = stamp;
	n->racy = racy;
	if (!changed || (fresh && !w->scanned))
		return;
	if (built && w->ran.number == 1)	/* later ones may be saves */
		written_note(w, n);
	change_note(w, n, fresh);
}

static void
look_at(struct watch *w, const char *name)
{
	/* Files that come and go beside what is edited. */
	static const char *litter[] = { "*~", "#*#", "*.swp", "4913", NULL };
	struct look *l = &w->look;
	struct stat st, link = { 0 };
	struct timespec now;
	struct node *n;

	clock_gettime(CLOCK_REALTIME, &now);
	if (fstatat(l->fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1) {
		if (errno != ENOENT && errno != ENOTDIR &&
		    (n = node_get(w, l->dir, name)) != NULL)
			n->seen = l->seen;	/* not known to be gone */
		return;
	}
	if (S_ISLNK(st.st_mode)) {
		link = st;
		if (fstatat(l->fd, name, &st, 0) == -1)
			st = link;
	}
	if (!S_ISDIR(st.st_mode) && name_matches(litter, name, ""))
		return;
	w->files++;
	if ((S_ISDIR(st.st_mode) && l->dir != w->top &&
	    is_docroot(w, &st, false)) ||
	    (n = node_get(w, l->dir, name)) == NULL)
		return;
	n->seen = l->seen;
	if (S_ISDIR(st.st_mode))
		node_descend(w, n, &st, S_ISLNK(link.st_mode));
	else if (n->dir != NULL)
		dir_sweep(w, n->dir, ALL);
	node_compare(w, n, &st, &link, &now);
	if (l->scan && n->dir != NULL)
		dir_mark(w, n->dir, true);
}

static void
look_end(struct look *l)
{
	if (l->stream != NULL)
		closedir(l->stream);
	l->stream = NULL;
	l->dir = NULL;
}

/* The directory was read, and what was not seen is gone; or it could not be. */
static void
look_close(struct watch *w, int why)
{
	struct look *l = &w->look;
	struct dir *d = l->dir;

	if (why == 0) {
		d->unreadable = false;
		dir_sweep(w, d, l->seen);
	} else if (!d->unreadable && why != ENOENT && why != ENOTDIR) {
		d->unreadable = true;
		w->unreadable++;
		snprintf(w->unreadable_why, sizeof(w->unreadable_why),
		    "%.*s: %s", (int)l->len, l->path, strerror(why));
	}
	look_end(l);
}

/* Begin to look at the directory that was marked last. */
static void
look_open(struct watch *w)
{
	struct look *l = &w->look;
	struct dir *d = w->marked;
	const char **path;

	w->marked = d->next;
	d->marked = false;
	if (d->node == NULL) {
		free(d);
		return;
	}
	l->scan = d->scan;
	l->built = d->scan ? w->built : d->built;
	d->scan = d->built = false;
	l->seen++;
	l->dir = d;
	l->fd = AT_FDCWD;
	if (d == w->top) {
		for (path = w->opt->watch; *path != NULL; path++) {
			snprintf(l->path, PATH_LEN, "%s", *path);
			path_listen(w, d);
			look_at(w, *path);
		}
		look_close(w, 0);
		return;
	}
	l->len = node_path(l->path, d->node);
	/* In this order, so that no change falls between. */
	notify_add(w, d, l->path, "", true);
	if ((l->stream = opendir(l->path)) == NULL)
		look_close(w, errno);
	else
		l->fd = dirfd(l->stream);
}

/* Look at the next entry, or begin with the next directory. */
static void
look_step(struct watch *w)
{
	struct look *l = &w->look;
	struct dirent *e;
	const char *name;

	if (l->dir == NULL) {
		look_open(w);
		return;
	}
	errno = 0;
	if ((e = readdir(l->stream)) == NULL) {
		look_close(w, errno);
		return;
	}
	name = e->d_name;
	path_add(l->path, l->len, name);
	if (!name_ignored(w->opt, name, l->path))
		look_at(w, name);
	else if (!w->scanned && l->dir->node->up == w->top &&
	    fnmatch(".[!.]*", name, 0) == 0 && strcmp(name, ".git") != 0)
		say(DETAIL, "%s: hidden, so not watched but with -w", l->path);
}

/* When everything is to be looked at again: by cost, or as -i says. */
static int64_t
watch_interval(const struct watch *w)
{
	bool told = w->notify != -1;
	int64_t ms = (w->cost + 1) * (told ? SLOW_SHARE : SCAN_SHARE);
	int64_t min = told ? SLOW_MIN : SCAN_MIN;

	return w->opt->interval > 0 ? w->opt->interval : ms < min ? min : ms;
}

/* Arm the watch; the first scan is due. */
static void
watch_open(struct watch *w, const struct options *opt)
{
	w->opt = opt;
	w->top = must_alloc(sizeof(*w->top));
	w->top->node = must_alloc(sizeof(*w->top->node) + 1);
	if (opt->interval == 0 && (w->notify = extra_notify_open()) == -1 &&
	    errno != 0)
		say(WARNING, "inotify: %s: scanning instead (sysctl "
		    NOTIFY_SYSCTL "user_instances)", strerror(errno));
	w->scan_at = clock_ms();
	w->show_at = w->scan_at + SHOW_TIME;
}

/*
 * Look at what is due, for SLICE_TIME at most, and note in ch what changed.
 * *until becomes when this is to be called again.
 */
static void
watch_step(struct watch *w, struct changes *ch, int64_t now, int64_t *until)
{
	int64_t began = clock_of(CLOCK_PROCESS_CPUTIME_ID);
	int64_t end = clock_ms() + SLICE_TIME;
	bool looking;

	w->changes = ch;
	if (!w->scanning && is_due(w->scan_at, now, until)) {
		w->scanning = true;
		w->scan_at = w->cost = 0;
		w->files = 0;
		dir_mark(w, w->top, true);
	}
	looking = is_due(w->quiet_at, now, until) || w->scanning;
	while (looking && (w->look.dir != NULL || w->marked != NULL)) {
		look_step(w);
		if (clock_ms() >= end) {
			looking = false;
			*until = now;
		}
	}
	if (w->scanning)
		w->cost += clock_of(CLOCK_PROCESS_CPUTIME_ID) - began;
	if (looking) {		/* all is done that was to be */
		if (w->quiet_at <= now)
			w->quiet_at = 0;
		if (w->scan_at == 0) {	/* else another is wanted meanwhile */
			w->scan_at = clock_ms() + watch_interval(w);
			w->built = false;
		}
		if (w->scanning && !w->scanned)
			say(DETAIL, "watching %zu files", w->files);
		w->scanned |= w->scanning;
		w->scanning = false;
		if (w->unreadable > 0)
			say(WARNING, "%s (directories like it: %zu)",
			    w->unreadable_why, w->unreadable);
		w->unreadable = 0;
	}
	*until = sooner(sooner(*until, w->scan_at), w->quiet_at);
	if (!w->scanned && messages.terminal && now >= w->show_at) {
		say(PROGRESS, "blogserve: looking at the sources: %zu files so far",
		    w->files);
		w->show_at = now + SHOW_TIME / 4;
	}
}

/*
 * A build ended: what changed meanwhile may be its work.  A directory that
 * was half looked at when it began is looked at anew.
 */
static void
watch_built(struct watch *w)
{
	extra_notify_drain(w->notify, notify_heard, w);
	w->built = true;
	w->doubt_at = 0;
	if (w->quiet_at != 0)	/* at once: later saves are not the build's */
		w->heard_at = w->quiet_at = 1;
	if (w->look.dir != NULL) {
		dir_mark(w, w->look.dir, w->look.scan);
		look_end(&w->look);
	}
	if (w->notify == -1)	/* and no other build before that scan */
		w->scan_at = w->quiet_at = clock_ms();
}

/* ---------------------------------------------------------------------
 * 6  Building: wishes (due_at, ...) and facts (state, ...); build_step moves
 *    the one to the other
 * ------------------------------------------------------------------ */

/*
 * -A: a build makes a version of the site in the directory out, which then
 * changes places with the docroot.  All of ours stands beside the docroot in
 * one directory, work, that goes when we go: "lock", which a living program
 * holds; the version under way; and "*.old", what is to be removed.  One that
 * is whole, and so may be the docroot, has a file that says so, the mark.
 */
struct versions {
	const char *root;	/* the docroot */
	char work[PATH_LEN - 320];	/* with its slash; "": no -A */
	char lock[PATH_LEN], out[PATH_LEN];	/* in it */
	int lock_fd;
	bool site;		/* the docroot has a version */
	bool litter;		/* there is something to remove */
	bool swept;		/* for the last time, as we end */
	pid_t remover;		/* which does that; 0: none */
};

enum build_state {
	BUILD_NONE,
	BUILD_ANNOUNCED,	/* orders say that it begins (R9) */
	BUILD_RUNS,
	BUILD_ENDED		/* it was reaped, though its group may live */
};

struct build {
	const struct options *opt;
	struct signals signals;	/* as builds are to have them */
	/* Wishes. */
	int64_t due_at;		/* once it is quiet; 0: not wanted */
	int64_t stop_at;	/* SIGTERM, by -k; once stopped, SIGKILL */
	/* Facts. */
	enum build_state state;
	struct record record;	/* what the server is told */
	pid_t pid;		/* its process group's number, too */
	bool stopped;		/* SIGTERM was sent */
	bool others;		/* not styles alone changed since the latest */
	int64_t show_at;	/* that it still runs is said */
	struct changes changes;	/* since the latest build began */
	struct versions versions;
	/* The log. */
	int log;		/* -1: builds write to our standard error */
	off_t copied;		/* bytes of it copied to standard error */
	int64_t copy_at;	/* 0: all was said of the latest build */
	int64_t take_at;	/* nobody took any of it since long */
	char line[WHAT_LEN + 200];	/* how it went, to be said last */
};

/* Have what path names removed: as out's name and ".old". */
static int
version_trash(struct versions *v, const char *path)
{
	char to[PATH_LEN + 4];

	snprintf(to, sizeof(to), "%s.old", v->out);
	v->litter = true;
	return rename(path, to);
}

/* Whether path is a version that is whole; from now on, if we say so. */
static bool
version_marked(const char *path, bool from_now)
{
	char mark[PATH_LEN + 16];
	struct stat st;
	int fd;

	snprintf(mark, sizeof(mark), "%s/.blogserve", path);
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	    (lstat(mark, &st) == 0 || (from_now && (fd = open(mark, O_WRONLY |
	    O_CREAT | O_EXCL, 0666)) != -1 && close(fd) == 0));
}

/*
 * A build made a version: have it for the docroot (R7); what then has its
 * name is trash.  Returns NULL, or why that cannot be.  Where two steps are
 * needed and we die between them, the next start takes the second.
 */
static const char *
version_switch(struct versions *v)
{
	if (rmdir(v->out) == 0 || errno == ENOENT || errno == ENOTDIR)
		return "nothing is in BLOGSERVE_OUT";
	if (!version_marked(v->out, true))
		return strerror(errno);
	v->site = version_marked(v->root, false);
	if (v->site && extra_exchange(v->out, v->root) == 0)
		return NULL;
	if ((v->site && version_trash(v, v->root) == -1) ||
	    rename(v->out, v->root) == -1)
		return errno == ENOTEMPTY || errno == EEXIST ?
		    "not empty, and not made by blogserve -A" : strerror(errno);
	v->site = true;
	return NULL;
}

/*
 * Refuse a docroot that may not be replaced: that we did not make and that
 * is not absent, nor an empty directory, or that we are in; or whose name is
 * too long for what is put beside it.
 */
static void
versions_check(struct versions *v, const struct options *opt)
{
	const char *name = path_name(opt->root);
	struct stat st = { 0 }, here;
	int entries = 0;
	DIR *d;

	v->root = opt->root;
	if ((size_t)snprintf(v->work, sizeof(v->work), "%.*s.%s.blogserve/",
	    (int)(name - v->root), v->root, name) >= sizeof(v->work))
		say(FATAL, "%s: %s", opt->docroot, strerror(ENAMETOOLONG));
	v->site = version_marked(v->root, false);
	if (lstat(v->root, &st) == -1 && errno == ENOENT)
		return;
	d = opendir(v->root);
	while (d != NULL && readdir(d) != NULL)
		entries++;
	if (name[strspn(name, ".")] == '\0' || !S_ISDIR(st.st_mode) ||
	    (!v->site && entries > 2) || stat(".", &here) == -1 ||
	    (st.st_dev == here.st_dev && st.st_ino == here.st_ino))
		say(FATAL, "%s: -A replaces only a directory that is empty or "
		    "that it made", opt->docroot);
	if (d != NULL)
		closedir(d);
}

/*
 * Have all that is left over removed.  A version that is whole is the
 * docroot, if there is none: a sudden end came between two steps.
 */
static void
versions_sweep(struct versions *v)
{
	DIR *d = opendir(v->work);
	struct dirent *e;

	v->litter = d != NULL;
	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strchr(e->d_name, '.') != NULL ||
		    strcmp(e->d_name, "lock") == 0)
			continue;
		snprintf(v->out, PATH_LEN, "%s%s", v->work, e->d_name);
		if (!v->site && version_marked(v->out, false))
			v->site = rename(v->out, v->root) == 0;
		else
			version_trash(v, v->out);
	}
	if (d != NULL)
		closedir(d);
}

/* Have a directory, and those on the way to it; -1 with errno. */
static int
dir_make(const char *path)
{
	char each[PATH_LEN];
	size_t n = 0;
	int r;

	do {
		n += 1 + strcspn(path + n + 1, "/");
		snprintf(each, sizeof(each), "%.*s", (int)n, path);
		r = mkdir(each, 0777);
	} while (path[n] != '\0');
	return r == -1 && errno != EEXIST ? -1 : 0;
}

/* Have a place for versions; clear up after a sudden end.  Or say why not. */
static bool
versions_open(struct versions *v)
{
	snprintf(v->lock, PATH_LEN, "%slock", v->work);
	if (dir_make(v->work) == -1)
		say_why(WARNING, v->work);
	else if ((v->lock_fd = lock_open("", v->lock)) != -1)
		versions_sweep(v);
	return v->lock_fd != -1;
}

/* Have a child remove what is old; true if none is at it. */
static bool
versions_step(struct versions *v, const struct signals *signals, bool ending)
{
	if (v->remover != 0)
		return false;
	if (ending && !v->swept)
		versions_sweep(v);
	v->swept = ending;
	if (v->litter && fork_child(&v->remover, signals)) {
		execl("/bin/sh", "sh", "-c", "exec 2>/dev/null; rm -rf "
		    "\"$0\"*.old || chmod -R u+rwx \"$0\"*.old && rm -rf "
		    "\"$0\"*.old", v->work, (char *)NULL);
		_exit(127);
	}
	v->litter = false;
	return v->remover == 0;
}

/* The file that builds write to: without a name, so that it ends with us. */
static int
log_open(void)
{
	const char *dir = getenv("TMPDIR");
	char path[PATH_LEN];
	int fd;

	if (dir == NULL || *dir == '\0')
		dir = "/tmp";
	snprintf(path, sizeof(path), "%s/blogserve.XXXXXX", dir);
	if ((fd = mkstemp(path)) == -1) {
		say(WARNING, "TMPDIR %s: %s: builds write to standard error, "
		    "and no page shows it", dir, strerror(errno));
		return -1;
	}
	unlink(path);
	fcntl(fd, F_SETFL, O_APPEND);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

/*
 * Copy what the build printed to standard error, as long as that takes it;
 * once all is copied that an ended build printed, or nobody takes any more,
 * say how it went.  A build's ">/dev/stderr" makes the log empty again.
 */
static void
log_copy(struct build *b, int64_t now)
{
	char text[16 * 1024];
	struct stat st;
	ssize_t n = 1;		/* 0: there is no more, -1: nor a log */

	if (fstat(b->log, &st) == 0 && st.st_size < b->copied)
		b->copied = 0;
	while (n > 0 && clock_ms() < now + SLICE_TIME &&
	    buf_left(&messages.waiting) < ERR_MAX - CHUNK &&
	    (n = pread(b->log, text, sizeof(text), b->copied)) > 0) {
		b->copied += n;
		b->take_at = now + TAKE_TIME;
		err_add(text, (size_t)n);
		err_drain(0);
	}
	b->copy_at = now;	/* at once, if it was time alone that ran out */
	if (n <= 0 || buf_left(&messages.waiting) > 0)
		b->copy_at += COPY_TIME;
	if (b->state != BUILD_NONE || (n > 0 && now < b->take_at))
		return;
	say(b->record.status != 0 ? WARNING : NOTICE, "%s", b->line);
	b->copy_at = 0;
	if (b->record.status == 0 && stat(b->opt->root, &st) == -1)
		say(WARNING, "%s: is not there: the build did not make it",
		    b->opt->docroot);
}

/* Say in record.what why the next build is. */
static void
build_explain(struct build *b)
{
	const struct changes *ch = &b->changes;
	/* Each path has its newline; one may be too long for a line. */
	const char *why = ch->paths.len > 0 && strcspn(ch->paths.data, "\n") <
	    WHAT_LEN - 32 ? ch->paths.data : "a change";
	char more[32] = "";

	if (b->record.number == 0 && b->opt->command != NULL)
		why = "first build";
	else if (ch->count == 0)
		why = ch->inexact ? "asked for" : "once more";
	else if (ch->count > 1)
		snprintf(more, sizeof(more), " and %zu more", ch->count - 1);
	snprintf(b->record.what, WHAT_LEN, "%.*s%s",
	    (int)strcspn(why, "\n"), why, more);
	text_clean(b->record.what);
}

/* The site is as the sources are: pages made before are old. */
static void
build_done(struct build *b)
{
	b->record.done++;
	if (b->others)
		b->record.other = b->record.done;
	b->others = false;
}

/* In the child: become the build.  Does not return. */
static void
build_exec(struct build *b)
{
	char *const *command = b->opt->command;
	int out = b->log != -1 ? b->log : STDERR_FILENO;
	struct buf *paths = &b->changes.paths;
	char number[16];
	bool exact;

	stdio_set(out, out);
	memset(&messages, 0, sizeof(messages));
	snprintf(number, sizeof(number), "%u", b->record.number);
	buf_add(paths, "", 1);
	/* After one that failed, it is to make what that should have, too. */
	exact = b->record.status == 0 && !b->changes.inexact && !paths->failed;
	while (setenv("BLOGSERVE_BUILD", number, 1) == -1 ||
	    setenv("BLOGSERVE_CHANGED", exact ? paths->data : "", 1) == -1 ||
	    (b->opt->atomic &&
	    setenv("BLOGSERVE_OUT", b->versions.out, 1) == -1))
		poll(NULL, 0, COPY_TIME);	/* memory is scarce just now */
	if (command[1] == NULL)
		execl("/bin/sh", "/bin/sh", "-c", command[0], (char *)NULL);
	else
		execvp(command[0], command);
	say_why(WARNING, command[0]);
	_exit(127);
}

/* A build is due: announce it; or, without a command, say what changed. */
static void
build_announce(struct build *b)
{
	build_explain(b);
	if (b->opt->command != NULL) {
		b->record.number++;
		b->state = BUILD_ANNOUNCED;
		return;
	}
	say(NOTICE, "changed: %s", b->record.what);
	b->others = b->changes.others;
	build_done(b);
	changes_clear(&b->changes);
	b->due_at = 0;
}

/* Start the build that was announced; try again later if that fails. */
static void
build_start(struct build *b, struct watch *w, int64_t now)
{
	struct versions *v = &b->versions;
	bool confirming = w->doubt_at != 0 && now >= w->doubt_at &&
	    w->quiet_at == 0 && b->changes.count == 0 && !b->changes.inexact;

	if (ftruncate(b->log, 0) == 0)
		b->copied = 0;
	if (b->opt->atomic)
		snprintf(v->out, PATH_LEN, "%s%jx-%u", v->work,
		    (uintmax_t)clock_of(CLOCK_REALTIME), b->record.number);
	if (w->doubt_at != 0)	/* what it is about is not among the paths */
		b->changes.inexact = true;
	b->pid = 0;
	/* Somebody may have tidied up. */
	if (b->opt->atomic && dir_make(v->out) == -1)
		say_why(WARNING, v->out);
	else if (fork_child(&b->pid, &b->signals))
		build_exec(b);
	if (b->pid == 0) {
		rmdir(v->out);
		b->due_at = now + RETRY_TIME;
		return;
	}
	say(DETAIL, "build %u: starts", b->record.number);
	b->state = BUILD_RUNS;
	b->others = b->others || b->changes.count == 0 || b->changes.others;
	w->ran.number = b->record.number;
	if (confirming)
		w->confirmed = w->ran.number;
	w->ran.unasked = b->record.number > 1 && !b->changes.foreign;
	changes_clear(&b->changes);
	b->stopped = false;
	b->due_at = 0;
	b->record.started_at = now;
	b->copy_at = now + COPY_TIME;
	b->stop_at = b->opt->build_time > 0 ? now + b->opt->build_time : 0;
	b->show_at = now + SHOW_TIME;
}

/* The build is over, and what was to be stopped of it is. */
static void
build_finish(struct build *b, struct watch *w, int64_t now)
{
	char how[128];
	struct record *r = &b->record;
	const char *why;

	/* It was killed: what is left of its group must not go on writing. */
	if (WIFSIGNALED(r->status) && !b->stopped)
		kill(-b->pid, SIGKILL);
	/* What we stopped is not whole, whatever it says: SIGTERM ended it. */
	if (b->stopped && r->status == 0)
		r->status = SIGTERM;
	status_text(how, sizeof(how), r->status);
	/* What is only scarce just now is asked for once more. */
	if (b->opt->atomic && r->status == 0 &&
	    (why = version_switch(&b->versions)) != NULL &&
	    (status_of_errno(errno) < 500 ||
	    (why = version_switch(&b->versions)) != NULL)) {
		r->status = 1 << 8;	/* exit(1), on all systems */
		snprintf(how, sizeof(how), "%s: %s", b->opt->docroot, why);
	}
	if (b->opt->atomic)
		version_trash(&b->versions, b->versions.out);
	b->state = BUILD_NONE;
	r->took = now - r->started_at;
	r->started_at = 0;
	watch_built(w);
	if (r->status == 0)
		build_done(b);
	snprintf(b->line, sizeof(b->line), "build %u: %s: %s%s, %.2f s",
	    r->number, r->what, r->status == 0 ? "ok" : "FAILED, ", how,
	    (double)r->took / 1000);
	b->copy_at = now;
	b->take_at = now + TAKE_TIME;
}

/* Stop the build: SIGTERM for its process group, soon SIGKILL. */
static void
build_stop(struct build *b, int64_t now)
{
	if (b->state < BUILD_RUNS || b->stopped)
		return;
	/* Before its setsid there is no group of its number. */
	if (kill(-b->pid, SIGTERM) == -1 && b->state == BUILD_RUNS)
		kill(b->pid, SIGTERM);
	b->stopped = true;
	b->stop_at = now + KILL_TIME;
}

/* While a build runs: stop one that takes too long, end one that is over. */
static void
build_watch(struct build *b, struct watch *w, int64_t now, int64_t *until)
{
	const struct record *r = &b->record;
	bool due = is_due(b->stop_at, now, until);

	if (due && b->stopped)
		kill(-b->pid, SIGKILL);
	else if (due && b->state == BUILD_RUNS) {
		say(WARNING, "build %u: longer than %g s: stopping it",
		    r->number, (double)b->opt->build_time / 1000);
		build_stop(b, now);
	}
	if (is_due(b->show_at, now, until)) {
		if (messages.terminal)
			say(PROGRESS, r->took < SHOW_TIME ?
			    "blogserve: build %u: %.40s: %d s" :
			    "blogserve: build %u: %.40s: %d s of about %d",
			    r->number, r->what,
			    (int)((now - r->started_at) / 1000),
			    (int)(r->took / 1000));	/* as the last one */
		if (r->number == 1 && b->show_at == r->started_at + LONG_TIME)
			say(NOTICE, "build 1 still runs: a command should "
			    "build once and end (-k bounds it)");
		b->show_at += SHOW_TIME;
	}
	if (b->state == BUILD_ENDED && (!b->stopped || due ||
	    kill(-b->pid, 0) == -1)) {
		build_finish(b, w, now);
		*until = now;
	}
}

/* See to a build that runs; announce one that is due, for build_start. */
static void
build_step(struct build *b, struct watch *w, bool stopping, int64_t now,
    int64_t *until)
{
	if (b->state >= BUILD_RUNS)
		build_watch(b, w, now, until);
	if (is_due(b->copy_at, now, until))
		log_copy(b, now);
	*until = sooner(*until, b->copy_at);	/* the heartbeat of a build */
	if (b->state < BUILD_RUNS && stopping)
		b->state = BUILD_NONE;
	if (b->state >= BUILD_RUNS || stopping)
		return;
	if (b->due_at == 0 && b->opt->command != NULL &&
	    (b->changes.inexact || is_due(w->doubt_at, now, until)))
		b->due_at = now;
	/* What the last one printed comes first, and a look at the sources. */
	if (b->state == BUILD_NONE && b->copy_at == 0 &&
	    is_due(b->due_at, now, until) && ((w->quiet_at == 0 &&
	    (w->scanned || b->record.number > 0)) || is_due(b->due_at +
	    (w->scanned ? QUIET_MAX : FIRST_TIME), now, until)))
		build_announce(b);
}

/* ---------------------------------------------------------------------
 * 7  Supervising: the parent's process
 * ------------------------------------------------------------------ */

struct super {
	struct listeners listeners;
	struct watch watch;
	struct build build;
	struct {		/* the parent's view of the server */
		pid_t pid;		/* 0: none */
		int orders_fd;		/* the write end (R3); -1 */
		bool told;		/* the latest orders are in the pipe */
		int64_t start_at;	/* another is started then, not before */
		int64_t kill_at;	/* it had its time to drain, 0: never */
	} child;
	int manager;		/* the service manager's socket, or -1 */
	struct server server;	/* as each begins, with the latest orders */
	unsigned reopen;	/* how often the log was to be reopened */
	int64_t stopping;	/* since when, or 0 */
	int status;		/* to exit with */
};

/* Close what is the parent's alone. */
static void
super_close(struct super *s)
{
	fd_close(&self_pipe[0]);
	fd_close(&self_pipe[1]);
	fd_close(&s->watch.notify);
	look_end(&s->watch.look);
	fd_close(&s->manager);
	fd_close(&s->child.orders_fd);
}

/* Start the server with what it would be told; later if that fails. */
static void
child_start(struct super *s, int64_t now)
{
	int fd[2];

	s->child.start_at = now + RETRY_TIME;
	if (!pipe_open(fd, WARNING))
		return;
	s->server.orders_fd = fd[0];
	s->child.orders_fd = fd[1];
	if (fork_child(&s->child.pid, NULL)) {
		/* In the child: be the server; orders tell it to stop. */
		super_close(s);
		buf_clear(&messages.waiting);	/* the parent says it */
		messages.progress = false;
		serve(&s->server);
		server_close(&s->server);
		_exit(0);
	}
	close(fd[0]);
	if (s->child.pid == 0)
		fd_close(&s->child.orders_fd);
	else
		s->child.start_at = now + START_TIME;
}

/* Keep a server that knows the orders; when stopping, see it out. */
static void
child_step(struct super *s, int64_t now, int64_t *until)
{
	if (s->child.pid == 0 && s->stopping == 0 &&
	    is_due(s->child.start_at, now, until))
		child_start(s, now);
	if (!s->child.told)
		s->child.told = s->child.pid == 0 || write(s->child.orders_fd,
		    &s->server.orders, sizeof(struct orders)) > 0;	/* R2 */
	if (s->child.pid != 0 && is_due(s->child.kill_at, now, until))
		kill(s->child.pid, SIGKILL);
}

/*
 * The first signal to stop lets the build end; a later one insists.  But one
 * wish comes more than once: what the terminal sent to all is forwarded by
 * wrappers, and a terminal that goes away sends SIGHUP.
 */
static void
super_stop(struct super *s, int sig, int64_t now)
{
	if (s->stopping == 0) {
		s->stopping = now;
		s->child.kill_at = now + DRAIN_TIME + RETRY_TIME;
		listeners_close(&s->listeners);
		if (s->build.state >= BUILD_RUNS)
			say(NOTICE, "finishing build %u; %s stops it",
			    s->build.record.number, isatty(STDERR_FILENO) ?
			    "^C again" : "a second signal");
	} else if (sig != SIGHUP && now - s->stopping >= REPEAT_TIME) {
		s->status = 128 + sig;
		s->child.kill_at = now;
		build_stop(&s->build, now);
	}
}

/* Signals become wishes. */
static void
signals_drain(struct super *s, int64_t now)
{
	bool daemon = s->build.opt->background || s->manager != -1;
	unsigned char sig;

	while (read(self_pipe[0], &sig, 1) == 1) {
		if (sig == SIGHUP && daemon) {
			logs_reopen(s->build.opt);
			s->reopen++;
			sig = SIGUSR1;
		}
		if (sig == SIGUSR1)
			s->build.changes.inexact = true;
		else if (sig != SIGCHLD)
			super_stop(s, sig, now);
	}
}

/* The ended become facts (R5).  Others are orphans of builds. */
static void
super_reap(struct super *s)
{
	char how[128];
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == s->build.pid && s->build.state == BUILD_RUNS) {
			s->build.record.status = status;
			s->build.state = BUILD_ENDED;
		} else if (pid == s->child.pid) {
			s->child.pid = 0;
			fd_close(&s->child.orders_fd);
			status_text(how, sizeof(how), status);
			/* Status 0 asks for another, confined anew. */
			if (s->stopping == 0 && status != 0)
				say(WARNING, "server: %s; started again", how);
		} else if (pid == s->build.versions.remover)
			s->build.versions.remover = 0;
}

/* Changes become a wish for a build; none is looked for during a build. */
static void
super_watch(struct super *s, int64_t now, int64_t *until)
{
	struct build *b = &s->build;
	struct watch *w = &s->watch;
	size_t before = b->changes.count;
	bool scanned = w->scanned;

	w->building = b->state >= BUILD_RUNS;
	extra_notify_drain(w->notify, notify_heard, w);
	if (w->building || s->stopping != 0)
		return;
	watch_step(w, &b->changes, now, until);
	if (!scanned && w->scanned && b->record.number > 0)
		b->changes.inexact = true;	/* what did the first one see? */
	if (b->changes.count > before) {
		if (b->due_at == 0)
			b->due_at = now;
		if (w->notify == -1) {	/* a scan hears nothing by itself */
			w->quiet_at = now + (w->cost > QUIET_TIME ? w->cost :
			    QUIET_TIME);
			if (!w->scanning)
				w->scan_at = sooner(w->scan_at, w->quiet_at);
			*until = sooner(*until, w->quiet_at);
		}
	}
	if (w->writes[0] != '\0' && w->writes[0] != '/' && w->quiet_at == 0 &&
	    !w->scanning && strcmp(b->opt->docroot, ".") == 0) {
		say(NOTICE, "the build writes to %s: to serve that, say -d %s",
		    w->writes, w->writes);
		memcpy(w->writes, "/", 2);	/* once */
	}
}

/* Wait for a signal, or until something is due. */
static void
super_wait(struct super *s, int64_t now, int64_t until)
{
	struct pollfd p[] = {
		{ .fd = self_pipe[0], .events = POLLIN },
		{ .fd = s->stopping == 0 ? s->watch.notify : -1,
		    .events = POLLIN },
		{ .fd = s->child.told ? -1 : s->child.orders_fd,
		    .events = POLLOUT },
		{ .fd = buf_left(&messages.waiting) > 0 ? STDERR_FILENO : -1,
		    .events = POLLOUT },
	};

	poll_wait(p, COUNT(p), until, now);
	if (p[3].revents != 0) {
		err_drain(0);
		if (s->build.copy_at != 0)
			s->build.copy_at = now;
	}
}

/* systemd's sd_notify(3), if it started us; what it says is not for builds. */
static void
manager_open(struct super *s)
{
	static const char *const own[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC",
	    "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES" };
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t i, n = path != NULL ? strlen(path) : 0;

	if (n > 0 && n <= sizeof(sa.sun_path)) {
		memcpy(sa.sun_path, path, n);
		if (*path == '@')
			sa.sun_path[0] = '\0';
		n += offsetof(struct sockaddr_un, sun_path);
		s->manager = socket(AF_UNIX, SOCK_DGRAM, 0);
		if (fd_prepare(s->manager) == -1 || connect(s->manager,
		    (struct sockaddr *)&sa, (socklen_t)n) == -1) {
			say_why(WARNING, "NOTIFY_SOCKET");
			fd_close(&s->manager);
		}
	}
	for (i = 0; i < COUNT(own); i++)
		unsetenv(own[i]);
}

/* Tell it what the server is told. */
static void
manager_tell(const struct super *s)
{
	const struct orders *o = &s->server.orders;
	const struct record *b = &o->build;
	char text[sizeof(s->listeners.url) + WHAT_LEN + 200];

	snprintf(text, sizeof(text), b->number == 0 ? "%s=1\nSTATUS=%s" :
	    "%s=1\nSTATUS=%s build %u: %s: %s",
	    o->stopping ? "STOPPING" : "READY", s->listeners.url, b->number,
	    b->what, b->building ? "under way" :
	    b->status != 0 ? "failed" : "ok");
	send(s->manager, text, strlen(text), 0);
}

/* Find out what is to be told now; every byte of it is set, to be compared. */
static void
orders_step(struct super *s)
{
	const struct build *b = &s->build;
	struct orders o;

	memset(&o, 0, sizeof(o));
	memcpy(&o.build, &b->record, sizeof(o.build));
	o.build.building = b->state != BUILD_NONE;
	o.hold = b->opt->command != NULL && !b->versions.site &&
	    (b->state != BUILD_NONE || b->record.number == 0);
	o.stopping = s->stopping != 0;
	o.reopen = s->reopen;
	if (memcmp(&s->server.orders, &o, sizeof(o)) != 0) {
		memcpy(&s->server.orders, &o, sizeof(o));
		s->child.told = false;
		manager_tell(s);
	}
}

/* Say on a line what is served, watched and built with. */
static void
super_tell(const struct options *o)
{
	struct buf b = { 0 };
	size_t i;

	buf_printf(&b, "serving %s%s", o->docroot, o->command != NULL ?
	    ", watching " : o->no_reload ? "" :
	    ", reloading pages as files change");
	for (i = 0; o->command != NULL && o->watch[i] != NULL; i++)
		buf_printf(&b, "%s%s", i > 0 ? ", " : "", o->watch[i]);
	for (i = 0; o->command != NULL && o->command[i] != NULL; i++)
		buf_printf(&b, "%s%s", i > 0 ? " " : ", building with: ",
		    o->command[i]);
	if (!b.failed)
		say(NOTICE, "%s", b.data);
	buf_free(&b);
}

/* Have ready what is supervised; the first scan, server, build are due. */
static void
super_open(struct super *s, const struct options *opt)
{
	s->build.opt = s->server.opt = opt;
	snprintf(s->server.start, sizeof(s->server.start), "%jx%lx",
	    (uintmax_t)clock_of(CLOCK_REALTIME), (unsigned long)getpid());
	s->server.started_at = s->child.start_at = clock_ms();
	s->server.listeners = &s->listeners;
	s->watch.notify = s->child.orders_fd = -1;
	s->build.record.took = -1;
	s->build.changes.since = 1;
	s->build.changes.inexact = true;	/* for the first build */
	s->build.log = opt->command != NULL ? log_open() : -1;
	s->server.builds_log = s->build.log;
	super_tell(opt);
	if (setenv("BLOGSERVE_URL", s->listeners.url, 1) == -1)
		say_why(FATAL, "BLOGSERVE_URL");
	extra_subreaper();
	watch_open(&s->watch, opt);
}

/*
 * The parent's life: events to wishes and facts, wishes to facts, wait.  The
 * first slice of the first scan, which is all of it mostly, comes before the
 * first page is served, as does the first build after that.
 */
static int
supervise(struct super *s)
{
	struct build *b = &s->build;
	int64_t now, until;
	bool ending;

	for (;;) {
		now = clock_ms();
		signals_drain(s, now);
		super_reap(s);
		until = 0;
		super_watch(s, now, &until);
		build_step(b, &s->watch, s->stopping != 0, now, &until);
		orders_step(s);
		child_step(s, now, &until);
		if (b->state == BUILD_ANNOUNCED && s->child.told &&
		    is_due(b->due_at, now, &until)) {
			build_start(b, &s->watch, now);
			until = now;
		}
		ending = s->stopping != 0 && b->state < BUILD_RUNS &&
		    s->child.pid == 0 && b->copy_at == 0;
		if (versions_step(&b->versions, &b->signals, ending) && ending)
			return s->status;
		super_wait(s, now, until);
	}
}

/* ---------------------------------------------------------------------
 * 8  Options, listeners, main
 * ------------------------------------------------------------------ */

static const char help[] =
    "  -d docroot  serve this directory (.)\n"
    "  -w path     watch this (. or, with no command, the docroot)\n"
    "  -x pattern  do not watch what matches\n"
    "  -A          builds make versions, in $BLOGSERVE_OUT\n"
    "  -a address  listen on this (127.0.0.1 and ::1)\n"
    "  -p port     on this port (8000 or the next free; 0: any)\n"
    "  -H host     answer to this Host, too; *: to any\n"
    "  -r prefix   the site's path on the host (/)\n"
    "  -L, -n, -R  follow links out; no listings; no live reload\n"
    "  -i seconds  scan so often\n"
    "  -k, -t      a build, a client may take so long\n"
    "  -l logfile  log each request\n"
    "  -b, -P, -u  background, pid file, user\n"
    "  -q, -v      say less, say more\n"
    "One operand alone is given to sh -c.\n";

/* What was asked for, to standard output, and out. */
static void
tell(const char *text, const char *more)
{
	if (dprintf(STDOUT_FILENO, "%s%s", text, more) < 0)
		say_why(FATAL, "standard output");
	exit(0);
}

/* Seconds as a decimal number, in milliseconds, at least 1 of them. */
static int64_t
seconds_parse(int option, const char *text)
{
	char *end;
	double s = strtod(text, &end);

	if (*end != '\0' || !(s >= 0.001 && s < 1e9) ||
	    text[strspn(text, "0123456789.")] != '\0')
		say(USAGE, "-%c: %s: not a number of seconds", option, text);
	return (int64_t)(s * 1000 + 0.5);
}

static int
port_parse(const char *text)
{
	size_t n = strspn(text, DIGITS);

	if (n == 0 || n > 5 || text[n] != '\0' || atoi(text) > 65535)
		say(USAGE, "-p: %s: not a port (0 to 65535)", text);
	return atoi(text);
}

static char *
text_join(const char *a, const char *b, const char *c)
{
	size_t size = strlen(a) + strlen(b) + strlen(c) + 1;
	char *text = must_alloc(size);

	snprintf(text, size, "%s%s%s", a, b, c);
	return text;
}

/* A path or pattern: without "./" before and slashes behind, cut in place. */
static char *
path_parse(char *text)
{
	size_t n;

	for (n = strlen(text); n > 1 && (text[n - 1] == '/' || (n > 2 &&
	    text[n - 1] == '.' && text[n - 2] == '/')); n--)
		text[n - 1] = '\0';
	while (text[0] == '.' && text[1] == '/')
		text += 2 + strspn(text + 2, "/");
	return text;
}

/* The absolute path: it is looked up anew, wherever we are. */
static char *
path_absolute(const char *path)
{
	char cwd[PATH_LEN] = "";

	if (path[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
		say_why(FATAL, ".");
	return path_parse(text_join(cwd, path[0] != '/' ? "/" : "", path));
}

/* The prefix: with a slash before and none after, or "". */
static char *
prefix_parse(char *text)
{
	text = path_parse(text + strspn(text, "/"));
	if (text[strspn(text, ALNUM "/-._~")] != '\0' ||
	    strstr(text, "//") != NULL)
		say(USAGE, "-r: %s: not a path", text);
	return text_join(*text != '\0' ? "/" : "", text, "");
}

/* A Host to answer to: a name, as it stands or as URLs and Hosts have it. */
static char *
host_parse(char *text)
{
	char *scheme = strstr(text, "://");
	char *name = path_parse(scheme != NULL ? scheme + 3 : text);
	struct in6_addr v6;

	if (inet_pton(AF_INET6, name, &v6) == 1 || strcmp(name, "*") == 0)
		return name;
	name = host_cut(name);
	if (name == NULL || *name == '\0' || strchr(name + 1, '*') != NULL ||
	    (*name == '*' && name[1] != '.'))
		say(USAGE, "-H %s: not a name (a host alone, without a path)",
		    text);
	return name;
}

/* Append to a list that has room, of lists that end with NULL. */
static void
list_add(const char **list, const char *text)
{
	while (*list != NULL)
		list++;
	*list = text;
}

/* What getopt did not know, or --help and --version, which are answered. */
static void
option_unknown(int c, const char *word)
{
	if (strcmp(word, "--help") == 0)
		tell(synopsis, help);
	if (strcmp(word, "--version") == 0)
		tell("blogserve " VERSION, "\n");
	if (optopt == '-')
		say(USAGE, "%s: there are no long options; see blogserve -h",
		    word);
	say(USAGE, "-%c: %s", optopt, c == ':' ? "needs an argument" :
	    "unknown option");
}

static void
options_parse(struct options *o, int argc, char **argv)
{
	size_t n = ((size_t)argc + 1) * sizeof(*o->watch);
	int c, at = 1;

	o->docroot = ".";
	o->prefix = "";
	o->port = o->log = o->err = o->pid = -1;
	o->watch = must_alloc(n);
	o->exclude = must_alloc(n);
	o->hosts = must_alloc(n);
	for (; (c = getopt(argc, argv, IN_ORDER
	    ":AbhLnqRVva:d:H:i:k:l:P:p:r:t:u:w:x:")) != -1; at = optind)
		switch (c) {
		case 'A': o->atomic = true; break;
		case 'a': o->address = optarg; break;
		case 'b': o->background = true; break;
		case 'd': o->docroot = path_parse(optarg); break;
		case 'H': list_add(o->hosts, host_parse(optarg)); break;
		case 'h': tell(synopsis, help); break;
		case 'i': o->interval = seconds_parse(c, optarg); break;
		case 'k': o->build_time = seconds_parse(c, optarg); break;
		case 'L': o->follow = true; break;
		case 'l': o->logfile = optarg; break;
		case 'n': o->no_listings = true; break;
		case 'P': o->pidfile = optarg; break;
		case 'p': o->port = port_parse(optarg); break;
		case 'q': messages.verbosity = -1; break;
		case 'R': o->no_reload = true; break;
		case 'r': o->prefix = prefix_parse(optarg); break;
		case 't': o->patience = seconds_parse(c, optarg); break;
		case 'u': o->user = optarg; break;
		case 'V': tell("blogserve " VERSION, "\n"); break;
		case 'v': messages.verbosity = 1; break;
		case 'w': list_add(o->watch, path_parse(optarg)); break;
		case 'x': list_add(o->exclude, path_parse(optarg)); break;
		default: option_unknown(c, argv[at]);
		}
	if (optind < argc)
		o->command = argv + optind;
	else if (o->atomic)
		say(USAGE, "-A: needs a command");
	if (*o->watch == NULL)
		*o->watch = o->command != NULL ? "." : o->docroot;
}

/* Refuse a command that execvp does not find. */
static void
command_check(const char *name)
{
	const char *dir = strchr(name, '/') != NULL ? "" : getenv("PATH");
	char path[PATH_LEN];
	size_t n;

	for (dir = dir != NULL ? dir : "/bin:/usr/bin";; dir += n + 1) {
		n = strcspn(dir, ":");
		snprintf(path, sizeof(path), "%.*s%s%s", (int)n, dir,
		    n > 0 ? "/" : "", name);
		if (access(path, X_OK) == 0)
			return;
		if (dir[n] == '\0' && access(path, F_OK) == 0)
			say(FATAL, "%s: not executable (chmod +x %s)", path,
			    path);
		if (dir[n] == '\0')
			say(FATAL, "%s: not found", name);
	}
}

/* Refuse what cannot work before anything is opened or forked. */
static void
options_check(struct options *o)
{
	const char **root, *first = o->command != NULL ? o->command[0] : NULL;
	const char *colon = strpbrk(o->address != NULL ? o->address : "", "[:");
	struct stat st;

	if (first != NULL && stat(first, &st) == 0 && S_ISDIR(st.st_mode))
		say(USAGE, "%s is a directory; to serve it: blogserve -d %s",
		    first, first);
	if (colon != NULL && (*colon == '[' || strchr(colon + 1, ':') == NULL))
		say(USAGE, "-a %s: an address alone; the port goes to -p",
		    o->address);
	o->root = path_absolute(o->docroot);
	if (stat(o->root, &st) == -1) {
		if (errno != ENOENT || o->command == NULL)
			say(FATAL, "-d %s: %s", o->docroot, strerror(errno));
	} else if (!S_ISDIR(st.st_mode))
		say(FATAL, "-d %s: %s", o->docroot, strerror(ENOTDIR));
	for (root = o->watch; *root != NULL; root++)
		if (stat(*root, &st) == -1)
			say(FATAL, "-w %s: %s", *root, strerror(errno));
	if (first != NULL && (o->command[1] != NULL || (strchr(first, '/') !=
	    NULL && strpbrk(first, " \t\n;&|<>()$`\\\"'*?[#~=%{!") == NULL)))
		command_check(first);	/* else it is for sh */
}

/* fd is one; the last one's address and port are the site's. */
static void
listener_add(struct listeners *l, int fd)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	getsockname(fd, (struct sockaddr *)&ss, &len);
	l->port = address_text((struct sockaddr *)&ss, l->host);
	l->fd[l->count++] = fd;
	l->loopback = l->loopback && is_loopback(l->host);
}

/* Bind a port and, with a backlog, listen there.  Returns 0 or an errno. */
static int
listener_open(struct listeners *l, const struct addrinfo *ai, int backlog)
{
	int fd = socket(ai->ai_family, ai->ai_socktype, 0), on = 1, why;

	if (fd == -1)
		return errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	extra_defer(fd);
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (fd_prepare(fd) == 0 && bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
	    (backlog == 0 || listen(fd, backlog) == 0)) {
		listener_add(l, fd);
		return 0;
	}
	why = errno;
	close(fd);
	return why;
}

/*
 * Listen at l's port of each address of host; NULL: only bind it at all
 * addresses.  Returns 0 or an errno; a family that this machine lacks is none.
 */
static int
listeners_add(struct listeners *l, const char *host)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_PASSIVE };
	struct addrinfo *all, *ai;
	char port[16];
	int why;

	snprintf(port, sizeof(port), "%d", l->port);
	if ((why = getaddrinfo(host, port, &hints, &all)) != 0)
		say(FATAL, "-a %s: %s", host != NULL ? host : "",
		    gai_strerror(why));
	for (ai = all; ai != NULL && why == 0 && l->count < LISTEN_MAX;
	    ai = ai->ai_next) {
		why = listener_open(l, ai, host != NULL ? BACKLOG : 0);
		if (why == EAFNOSUPPORT || why == EADDRNOTAVAIL)
			why = 0;
	}
	freeaddrinfo(all);
	return why;
}

/*
 * Listen at one port of -a's address, both loopbacks, or with "::", which is
 * of IPv6 alone, both wildcards.  To bind it at all addresses finds one for 0,
 * and tells if it is in use.  Returns 0 or, with nothing left open, an errno.
 */
static int
listeners_try(struct listeners *l, const char *address, int port)
{
	const char *first = address == NULL ? "::1" :
	    strcmp(address, "::") == 0 ? "0.0.0.0" : NULL;
	struct listeners all = { .port = port };
	int why = listeners_add(&all, NULL);

	listeners_close(&all);
	if (why == EADDRINUSE)
		return why;
	l->port = all.port;
	why = first != NULL ? listeners_add(l, first) : 0;
	if (why == 0)
		why = listeners_add(l, address != NULL ? address : "127.0.0.1");
	if (why == 0 && l->count == 0)
		why = EADDRNOTAVAIL;
	if (why != 0) {
		listeners_close(l);
		l->count = 0;
	}
	return why;
}

/* The site's URL, by a name or an address of this machine. */
static void
url_format(char url[URL_LEN], const struct listeners *l, const char *host)
{
	snprintf(url, URL_LEN, strchr(host, ':') != NULL ?
	    "http://[%s]:%d%s/" : "http://%s:%d%s/", host, l->port, l->prefix);
}

/* Have the listeners that were passed on, or open them (R1). */
static void
listeners_open(struct listeners *l, const struct options *o)
{
	int port = o->port == -1 ? PORT_FIRST : o->port, why = 0, fd;
	int tries = o->port > 0 ? 1 : 100;
	int end = STDERR_FILENO + 1 + fds_passed();

	l->loopback = true;
	l->prefix = o->prefix;
	for (fd = STDERR_FILENO + 1; fd < end; fd++) {
		if (listen(fd, BACKLOG) == -1 || fd_prepare(fd) == -1)
			say(FATAL, "LISTEN_FDS: %d: %s", fd, strerror(errno));
		listener_add(l, fd);
	}
	while (l->count == 0 && (why = listeners_try(l, o->address, port)) ==
	    EADDRINUSE && --tries > 0)
		port += o->port == -1;
	if (why != 0)
		say(FATAL, "port %d%s%s: %s%s", port,
		    o->address != NULL ? " of -a " : "",
		    o->address != NULL ? o->address : "", strerror(why),
		    why == EACCES ? " (ports below 1024 need root)" : "");
	if (port != PORT_FIRST && o->port == -1)
		say(NOTICE, "port %d is taken: %d instead", PORT_FIRST, port);
	url_format(l->url, l, strcmp(l->host, "0.0.0.0") == 0 ? "127.0.0.1" :
	    strcmp(l->host, "::") == 0 ? "::1" :
	    o->address != NULL ? o->address : l->host);
}

/* A URL for other devices. */
static void
address_tell(const struct sockaddr *sa, void *arg)
{
	char address[INET6_ADDRSTRLEN], url[URL_LEN];

	address_text(sa, address);
	url_format(url, arg, address);
	say(NOTICE, "also %s", url);
}

/* Tell where the site is: first of all, and even to a pipe at once. */
static bool
listeners_tell(struct listeners *l)
{
	if (dprintf(STDOUT_FILENO, "%s\n", l->url) < 0) {
		say_why(WARNING, "standard output");
		return false;
	}
	if (strcmp(l->host, "0.0.0.0") == 0 || strcmp(l->host, "::") == 0)
		extra_addresses(AF_INET, address_tell, l);
	if (strcmp(l->host, "::") == 0)
		extra_addresses(AF_INET6, address_tell, l);
	return true;
}

/*
 * Go on in a process of its own session, while the one that was called waits
 * to read that it serves (SA_RESTART goes on).  Returns where to say so.
 */
static int
background_begin(void)
{
	struct sigaction act;
	char byte;
	pid_t pid = -1;
	int fd[2];

	if (pipe(fd) == -1 || (pid = fork()) == -1)
		say_why(FATAL, "-b");
	if (pid != 0) {
		close(fd[1]);
		_exit(read(fd[0], &byte, 1) == 1 ? 0 : 1);
	}
	close(fd[0]);
	setsid();
	/* SIGHUP is ours, though init or nohup had it ignored. */
	sigaction(SIGTERM, NULL, &act);
	sigaction(SIGHUP, &act, NULL);
	return fd[1];
}

/* As root: be this user from now on, with no way back.  Or say why not. */
static bool
user_become(const struct options *o)
{
	struct passwd *pw = getpwnam(o->user);

	if (pw != NULL && extra_initgroups(o->user, pw->pw_gid) == 0 &&
	    setgid(pw->pw_gid) == 0 && setuid(pw->pw_uid) == 0 &&
	    (pw->pw_uid == 0 || setuid(0) == -1)) {
		setenv("HOME", pw->pw_dir, 1);
		setenv("LOGNAME", o->user, 1);
		setenv("USER", o->user, 1);
		return true;
	}
	say(WARNING, "-u %s: %s", o->user, pw == NULL ? "no such user" :
	    errno == EPERM ? "only root can become another user" :
	    strerror(errno));
	return false;
}

/* All that a user who is not root may not open; false: no pid file. */
static bool
files_open(struct options *o)
{
	if (o->logfile != NULL) {
		o->log = log_reopen(-1, o->logfile);
		/* The server has another directory. */
		o->logfile = path_absolute(o->logfile);
	}
	if (o->logfile != NULL && o->background) {
		o->errfile = text_join(o->logfile, ".err", "");
		o->err = log_reopen(-1, o->errfile);
	}
	return o->pidfile == NULL ||
	    (o->pid = lock_open("-P ", o->pidfile)) != -1;
}

/* Where messages go; with -b not to the terminal: beside the log, or syslog. */
static void
err_open(struct options *o)
{
	const char *term = getenv("TERM"), *plain = getenv("NO_COLOR");
	bool able;

	if (o->background) {
		stdio_set(-1, o->err);
		if ((messages.to_syslog = o->err == -1))
			openlog("blogserve", LOG_PID, LOG_DAEMON);
		messages.stamped = true;
		fd_close(&o->err);
	}
	able = term != NULL && strcmp(term, "dumb") != 0 &&
	    isatty(STDERR_FILENO);
	messages.terminal = able && messages.verbosity >= 0;
	messages.coloured = able && (plain == NULL || *plain == '\0');
}

int
main(int argc, char **argv)
{
	static struct super super;
	static struct options options;
	int status = 1, ready;	/* with -b, where to say that we serve */

	fds_sanitize();
	signals_open(&super.build.signals);
	options_parse(&options, argc, argv);
	options_check(&options);
	super.manager = super.build.versions.lock_fd = -1;
	if (options.atomic)
		versions_check(&super.build.versions, &options);
	listeners_open(&super.listeners, &options);
	ready = options.background ? background_begin() : -1;
	if (files_open(&options) &&
	    (options.user == NULL || user_become(&options)) &&
	    (!options.atomic || versions_open(&super.build.versions)) &&
	    listeners_tell(&super.listeners)) {
		manager_open(&super);
		err_open(&options);
		super_open(&super, &options);
		if (ready != -1)
			dprintf(ready, "!");
		fd_close(&ready);
		status = supervise(&super);
		super_close(&super);
		fd_close(&super.build.log);
		fd_close(&options.log);
	}
	lock_close(super.build.versions.lock_fd, super.build.versions.lock);
	rmdir(super.build.versions.work);	/* "" without -A */
	lock_close(options.pid, options.pidfile);
	if (messages.progress)
		buf_puts(&messages.waiting, "\r\033[K");
	err_drain(TAKE_TIME);
	return status;
}
