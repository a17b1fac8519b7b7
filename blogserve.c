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
 *
 *                     terminal, init, kill(1)
 *                              | signals
 *                              v
 *     sources --watch-->  [ parent ] ==orders==>  [ server ]  <--HTTP-- browsers
 *                           |    ^                    |
 *                 fork+exec |    | SIGCHLD            | reads
 *                           v    |                    v
 *                        [ build ] ----writes----> docroot
 *
 * The parent watches the sources, starts builds and keeps the server alive.
 * The server answers browsers and knows the docroot and the parent's orders,
 * nothing else.  A build runs in a session of its own, where no signal of
 * the terminal reaches it.
 *
 * Rules that the code below keeps, and cites:
 *
 * R1  The listeners are opened once, by the parent, and closed by it only
 *     when it stops: they outlive a server that dies.
 * R2  Orders to the server are whole snapshots of the parent's state, each
 *     at most PIPE_BUF bytes, never increments: a new server needs only the
 *     latest.
 * R3  End of file on orders means that the parent is gone, so no process
 *     but the parent may hold the write end.
 * R4  A signal handler writes one byte, keeps errno, and does nothing else.
 * R5  There is one waitpid in the file.
 * R6  Once running, the parent never sleeps and never waits but in poll;
 *     what fails becomes a warning and a deadline.
 * R7  Only the build writes into the docroot; only the server reads from
 *     clients.
 * R8  Bytes from a client reach the file system through one function,
 *     site_open; a name that it opened may be looked at again, cache_find.
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
#if defined(POSIX_ONLY) && !defined(__APPLE__)
#define _XOPEN_SOURCE 700
#elif defined(__linux__)
#define _GNU_SOURCE
#elif defined(__sun)
#define _XOPEN_SOURCE 700
#define __EXTENSIONS__
#elif defined(__NetBSD__)
#define _NETBSD_SOURCE
#elif !defined(__APPLE__) && !defined(__FreeBSD__) && \
    !defined(__OpenBSD__) && !defined(__DragonFly__)
#define _XOPEN_SOURCE 700
#endif

/*
 * The program is to fit into 64 KiB: where small code was asked for, GCC is
 * kept from what makes ours larger, as does what it takes for small enough to
 * be inlined; and some structs begin with what is used most, because offsets
 * below 128 take a byte.
 */
#if defined(__OPTIMIZE_SIZE__) && !defined(__clang__) && __GNUC__ >= 12
#pragma GCC optimize("Oz", "no-thread-jumps", "no-tree-fre", \
    "no-tree-tail-merge", "no-move-loop-invariants", "no-caller-saves", \
    "no-expensive-optimizations", "no-forward-propagate", "no-jump-tables", \
    "no-tree-dominator-opts", "no-tree-loop-im", "optimize-strlen")
#define OUT_OF_LINE	__attribute__((noinline))
#else
#define OUT_OF_LINE
#endif

#include <sys/types.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
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
#include <time.h>
#include <unistd.h>

/*
 * The extras.  Each is one function below whose failure, ENOSYS where the
 * system has none, sends its caller the way that POSIX offers.
 */
#if !defined(POSIX_ONLY) && defined(__linux__)
#define HAVE_ACCEPT4	1
#define HAVE_CLOSE_RANGE 1
#define HAVE_GETIFADDRS	1
#define HAVE_INITGROUPS	1
#define HAVE_INOTIFY	1
#ifndef HAVE_LANDLOCK
#define HAVE_LANDLOCK	1
#endif
#define HAVE_OPENAT2	1
#define HAVE_RENAMEAT2	1
#define HAVE_SENDFILE	1
#elif !defined(POSIX_ONLY) && (defined(__FreeBSD__) || defined(__NetBSD__) || \
    defined(__OpenBSD__) || defined(__DragonFly__))
#define HAVE_ACCEPT4	1
#define HAVE_GETIFADDRS	1
#define HAVE_INITGROUPS	1
#elif !defined(POSIX_ONLY) && (defined(__APPLE__) || defined(__sun))
#define HAVE_GETIFADDRS	1
#define HAVE_INITGROUPS	1
#endif

#if HAVE_OPENAT2
#include <sys/prctl.h>
#include <sys/syscall.h>
#ifdef __alpha__
#define NR_SINCE_5	110	/* Alpha counts so many more */
#else
#define NR_SINCE_5	0
#endif
#define NR_CLOSE_RANGE	(436 + NR_SINCE_5)
#define NR_OPENAT2	(437 + NR_SINCE_5)
#define NR_LANDLOCK	(444 + NR_SINCE_5)	/* and the next two */
#endif
#if HAVE_INITGROUPS
#include <grp.h>
#endif
#if HAVE_GETIFADDRS
#include <ifaddrs.h>
#include <net/if.h>
#endif
#if HAVE_INOTIFY
#include <sys/inotify.h>
#endif
#if HAVE_SENDFILE
#include <sys/sendfile.h>
#endif
#ifdef __APPLE__
#define st_mtim st_mtimespec
#define st_ctim st_ctimespec
#endif
#ifdef __GLIBC__	/* its getopt looks behind operands, unless told so */
#define IN_ORDER	"+"
#else
#define IN_ORDER	""
#endif

/* Accept with O_NONBLOCK and FD_CLOEXEC set at once. */
static int
extra_accept(int fd)
{
#if HAVE_ACCEPT4
	return accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
	(void)fd;
	errno = ENOSYS;
	return -1;
#endif
}

/* Close every descriptor from low on. */
static int
extra_close_from(int low)
{
#if HAVE_CLOSE_RANGE
	return (int)syscall(NR_CLOSE_RANGE, low, ~0U, 0);
#else
	(void)low;
	errno = ENOSYS;
	return -1;
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
#if HAVE_OPENAT2
	struct { uint64_t flags, mode, resolve; } how;

	how.flags = (uint64_t)flags;
	how.mode = 0;
	how.resolve = 0x08 | 0x02;
	return (int)syscall(NR_OPENAT2, dir, path, &how, sizeof(how));
#else
	(void)dir, (void)path, (void)flags;
	errno = ENOSYS;
	return -1;
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
#if HAVE_GETIFADDRS
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

/* Let two names change places in one step. */
static int
extra_exchange(const char *a, const char *b)
{
#if HAVE_RENAMEAT2 && defined(SYS_renameat2)
	return (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 1U << 1);
#else
	(void)a, (void)b;
	errno = ENOSYS;
	return -1;
#endif
}

/* Have a user's groups and no others. */
static int
extra_initgroups(const char *user, gid_t group)
{
#if HAVE_INITGROUPS
#ifdef __APPLE__
	return initgroups(user, (int)group);
#else
	return initgroups(user, group);
#endif
#else
	(void)user, (void)group;
	errno = ENOSYS;
	return -1;
#endif
}

#if HAVE_LANDLOCK
/* Allow what path is beneath (linux/landlock.h) to a ruleset; 0 or -1. */
static long
landlock_allow(int rules, const char *path, uint64_t access)
{
	struct { uint64_t access; int32_t fd; } beneath;
	long r;

	beneath.access = access;
	beneath.fd = open(path, O_PATH | O_CLOEXEC);
	r = syscall(NR_LANDLOCK + 1, rules, 1, &beneath, 0);
	close(beneath.fd);
	return r;
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
	long abi = syscall(NR_LANDLOCK, NULL, 0, 1);
	int rules;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return "nothing";
	if (abi < 1)
		return "no new privileges";
	handled.files = (1U << kinds[abi < 5 ? abi : 5]) - 1;
	/* ... and 4 and 6 another field each. */
	rules = (int)syscall(NR_LANDLOCK, &handled,
	    abi < 4 ? 8 : abi < 6 ? 16 : 24, 0);
	abi = landlock_allow(rules, readable, 1 << 2 | 1 << 3);
	if (abi == 0 && appendable != NULL)
		abi = landlock_allow(rules, appendable, 1 << 1 | 1 << 8);
	if (abi == 0)	/* what cannot be allowed is not denied, either */
		abi = syscall(NR_LANDLOCK + 2, rules, 0);
	close(rules);
	return abi == 0 ? "Landlock, no new privileges" : "no new privileges";
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

/* Send full segments only, until that is taken back; a hint. */
static void
extra_cork(int fd, int on)
{
#if defined(TCP_CORK) && !defined(POSIX_ONLY)
	setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
#else
	(void)fd, (void)on;
#endif
}

/*
 * Let clients wait at a listener until they speak or a second has passed,
 * so that most are answered as soon as they are accepted.  Those that wait
 * there are no connections yet: not bound by -t, and not told of our end.
 */
static void
extra_defer(int fd)
{
#if defined(TCP_DEFER_ACCEPT) && !defined(POSIX_ONLY)
	const int seconds = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds,
	    sizeof(seconds));
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
	errno = ENOSYS;
	return -1;
#endif
}

static void
extra_notify_remove(int fd, int number)
{
#if HAVE_INOTIFY
	inotify_rm_watch(fd, number);
#else
	(void)fd, (void)number;
#endif
}

/*
 * Call fn for each event that waits: with the directory's number and the
 * entry's name, NULL for itself, "" when there will be no more of it; with
 * -1 where events were lost.  Those that come meanwhile may have to wait for
 * the next call, for they may never cease.
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
			    e->mask & IN_IGNORED ? "" :
			    e->len > 0 ? e->name : NULL);
		}
	} while (n > (ssize_t)(sizeof(u) - sizeof(*e) - NAME_MAX - 1));
#else
	(void)fd, (void)fn, (void)arg;
#endif
}

#define VERSION		"0.1"
#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

enum {
	HEAD_MAX = 16 * 1024,	/* bytes of a request's head */
	FIELDS_MAX = 200,	/* fields in it */
	PATH_LEN = 4096,	/* bytes of a path that a client may name */
	PRINT_MAX = 1024,	/* bytes that are formatted at a time */
	URL_LEN = 1024,		/* and of the site's own URL */
	CONN_MAX = 10000,	/* connections at a time */
	FD_SPARE = 16,		/* descriptors that are not connections */
	INLINE_MAX = 32 * 1024,	/* files up to here are sent with their head */
	CHUNK = 64 * 1024,	/* others are sent in pieces of this */
	SENDFILE_MAX = 1024 * 1024,	/* or of this, by sendfile, ... */
	SENDFILE_REST = 4 * 1024,	/* but for the last so many bytes */
	LOG_MAX = 1000,		/* bytes of a client's text in the log */
	BACKLOG = 4096,		/* clients that wait at a listener */
	ACCEPT_MAX = 64,	/* clients taken in a turn */
	READ_MAX = 256,		/* requests read before any is answered */
	TRIES_MAX = 100,	/* to read a file that changes meanwhile */
	TURN_MAX = 8,		/* pieces a connection may send in its turn */
	LINKS_MAX = 40,	/* symlinks and ".." followed in one path */
	INSERT_MAX = 1024 * 1024,	/* longer pages get the script behind */
	STREAM_MAX = 64 * 1024,	/* events that a client may leave unread */
	CACHE_SLOTS = 32768,	/* small files kept in memory ... */
	CACHE_FILE = 16 * 1024,	/* ... bytes of one, at most */
	CACHE_MAX = 32 * 1024 * 1024,	/* ... and of all of them */
	CACHE_OPEN = 8,		/* larger ones that are kept open */
	LISTING_PIECE = 1000,	/* lines of a listing made at a time */
	LISTEN_MAX = 16,	/* listeners */
	LOOP_MAX = 5,		/* builds in a row that a build may cause */
	PORT_FIRST = 8000,	/* the port, if nobody names one, ... */
	PORT_TRIES = 100,	/* ... or one of the next that are free */
	CHANGED_MAX = 64 * 1024,/* bytes of BLOGSERVE_CHANGED */
	WHAT_LEN = 200,		/* bytes of a build's cause in messages */
	HASH_MAX = 16 * 1024 * 1024	/* bytes of a file that is compared */
};

/* Milliseconds. */
enum {
	HEAD_TIME = 10 * 1000,	/* for a request's head, from its first byte */
	IDLE_TIME = 60 * 1000,	/* between requests, or without progress */
	HOLD_TIME = 10 * 1000,	/* a request waits for a build, at most */
	CACHE_TIME = 1000,	/* that a file is kept */
	PING_TIME = 50 * 1000,	/* between signs of life in an event stream */
	LINGER_TIME = 2 * 1000,	/* for a client to read our last words */
	DRAIN_TIME = 5 * 1000,	/* for responses in flight when stopping */
	KILL_TIME = 3 * 1000,	/* between SIGTERM and SIGKILL */
	QUIET_TIME = 8,	/* without a change, before a build starts */
	QUIET_MAX = 500,	/* changes delay a build no longer */
	SCAN_MIN = 100,		/* between scans, at least */
	SCAN_MAX = 60 * 1000,	/* ... and at most */
	SCAN_SHARE = 50,	/* a scan may take one part in so many */
	SLOW_MIN = 2 * 1000,	/* the same for the scans that find what */
	SLOW_MAX = 600 * 1000,	/* notification cannot tell */
	SLOW_SHARE = 500,
	RACY_TIME = 20,		/* a file changed so lately may change again
				   without any trace in its stat */
	COPY_TIME = 50,		/* between looks at what a build printed */
	TAKE_TIME = 1000,	/* for a reader to take it, after the end */
	REAP_TIME = 10,		/* between looks at a group being killed */
	RETRY_TIME = 1000,	/* after a fork that failed */
	CONFIRM_TIME = 1000,	/* before a build to see whose a change is */
	CONFIRM_LATE = 10 * 1000,	/* and before another */
	SHOW_TIME = 1000,	/* between signs of life on a terminal */
	SWEEP_TIME = 5,		/* between looks at quiet connections, ... */
	SWEEP_CONNS = 100,	/* ... and 1 more for so many of them */
	RESPAWN_MIN = 100,	/* before one that keeps dying is replaced */
	RESPAWN_MAX = 5000
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
	const char *errfile;	/* beside the log, with -b */
	const char *prefix;	/* the site's path: "" or "/..." */
	int64_t interval;	/* ms between scans; 0: by their cost */
	int64_t build_time;	/* ms that a build may take; 0: any */
	int64_t patience;	/* ms for clients, 0: HEAD_TIME, IDLE_TIME */
	int port;		/* -1: PORT_FIRST or one of the next */
	int log;		/* the access log, -1: none; it may be reopened */
	int err;		/* what is said with -b, -1: to syslog */
	int pid;		/* the pid file, locked; -1: none */
	bool atomic;		/* each build makes a directory of its own */
	bool background;
	bool follow;		/* symlinks out of the docroot */
	bool no_listings;
	bool no_reload;		/* of pages, after builds */
	const char *logfile, *pidfile, *user;	/* NULL: none */
};

/* Bytes data[at] to data[len - 1] wait; failed: memory ran out. */
struct buf {
	char *data;
	size_t at, len, cap;
	bool failed;
};

struct listeners {
	int fd[LISTEN_MAX];
	size_t count;
	int port;
	bool loopback;		/* all of them: strangers are kept out */
	const char *prefix;
	char url[URL_LEN];
};

/* What the parent tells the server; a snapshot (R2), so fixed in size. */
struct orders {
	int64_t started_at;	/* of the build under way */
	unsigned build;		/* number of the latest build */
	unsigned done;		/* good builds so far, or changes without */
	unsigned other;		/* the latest not of stylesheets alone */
	int status;		/* waitpid's, of the latest that ended */
	int64_t took;		/* ms that it took, -1: none has ended */
	bool building;
	bool hold;		/* a build writes in place, or none has been */
	bool stopping;
	unsigned reopen;	/* the log, each time that this grows */
	char what[WHAT_LEN];	/* the cause of the latest build */
};

typedef char orders_fit_a_pipe[sizeof(struct orders) <= _POSIX_PIPE_BUF ?
    1 : -1];

/* The variables of file scope: what a signal handler and a message need. */
static int self_pipe[2] = { -1, -1 };
static int verbosity;			/* -1 with -q, 1 with -v */
static unsigned long unsaid;		/* messages that nobody could take */
static bool to_syslog;			/* messages go there */
static bool progress;			/* such a line is on the terminal */

/* ---------------------------------------------------------------------
 * 2  Tools: messages, time, buffers, descriptors
 * ------------------------------------------------------------------ */

/* Whether fd takes PIPE_BUF bytes without waiting, as POSIX has of a pipe. */
static bool
is_writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

/* Write of data to fd what needs no waiting; returns how much that was. */
static size_t
write_ready(int fd, const char *data, size_t len)
{
	size_t done = 0, n;
	ssize_t r;

	while (done < len && is_writable(fd)) {
		n = len - done < _POSIX_PIPE_BUF ? len - done :
		    _POSIX_PIPE_BUF;
		if ((r = write(fd, data + done, n)) <= 0)
			break;
		done += (size_t)r;
	}
	return done;
}

/* Write a text, though that may have to wait. */
static bool
print(int fd, const char *text)
{
	size_t n = strlen(text);

	return write(fd, text, n) == (ssize_t)n;
}

/* write_ready to standard error, where a line of progress gives way. */
static size_t
err_write(const char *data, size_t len)
{
	if (progress)
		progress = write_ready(STDERR_FILENO, "\r\033[K", 4) != 4;
	return write_ready(STDERR_FILENO, data, len);
}

static const char synopsis[] =
    "usage: blogserve [-AbhLnqRVv] [-a address] [-d docroot] [-H host]...\n"
    "                 [-i seconds] [-k seconds] [-l logfile] [-P pidfile]\n"
    "                 [-p port] [-r prefix] [-t seconds] [-u user]\n"
    "                 [-w path]... [-x pattern]... [command [argument ...]]\n";

/* What a message means; -q leaves out notices, and -v adds details. */
enum level {
	USAGE = -3,		/* followed by the synopsis: exit 2 */
	FATAL = -2,		/* starting failed: exit 1 */
	WARNING = -1, NOTICE = 0, DETAIL = 1,
	PROGRESS = 2		/* for a terminal, where the next replaces it */
};

/*
 * One line to standard error, whole or not at all: control bytes in names
 * must not reach a terminal, and a reader that is stuck must not stop us.
 */
static void
say(enum level level, const char *fmt, ...)
{
	char line[1024] = "blogserve: ";
	size_t at = 11, len, room = level == PROGRESS ? 80 : sizeof(line) - 1;
	unsigned long dropped;
	va_list ap;

	if (verbosity < (int)level && level != PROGRESS)
		return;
	if ((dropped = unsaid) > 0) {
		unsaid = 0;
		say(WARNING, "standard error: %lu messages were dropped",
		    dropped);
		if (unsaid > 0)		/* that one, too */
			unsaid = dropped;
	}
	va_start(ap, fmt);
	vsnprintf(line + at, room - at, fmt, ap);
	va_end(ap);
	len = strlen(line);
	for (; at < len; at++)
		if ((unsigned char)line[at] < ' ' || line[at] == 0x7f)
			line[at] = '?';
	if (level != PROGRESS)
		line[len++] = '\n';
	if (to_syslog)
		syslog(level < NOTICE ? LOG_WARNING : LOG_INFO, "%s", line + 11);
	else if (err_write(line, len) != len)
		unsaid++;
	progress = level == PROGRESS;
	if (level == USAGE)
		print(STDERR_FILENO, synopsis);
	if (level <= FATAL)
		exit(level == USAGE ? 2 : 1);
}

/* The same about what failed, and errno's reason. */
static void
say_why(enum level level, const char *what)
{
	say(level, "%s: %s", what, strerror(errno));
}

/* Milliseconds of a clock. */
static int64_t
clock_of(clockid_t id)
{
	struct timespec t = { 0 };

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
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

/* The time-out for poll that ends at a deadline. */
static int
poll_time(int64_t until, int64_t now)
{
	if (until == 0)
		return -1;
	if (until <= now)
		return 0;
	return until - now > INT_MAX ? INT_MAX : (int)(until - now);
}

/* Make room for n more bytes; false when memory ran out. */
static bool
buf_room(struct buf *b, size_t n)
{
	size_t cap = b->cap > 0 ? b->cap : 256;
	char *data;

	if (b->failed)
		return false;
	while (cap - b->len < n)
		cap *= 2;
	if (cap != b->cap) {
		if ((data = realloc(b->data, cap)) == NULL) {
			b->failed = true;
			return false;
		}
		b->data = data;
		b->cap = cap;
	}
	return true;
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

/* Text of less than PRINT_MAX bytes. */
static void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (!buf_room(b, PRINT_MAX))
		return;
	va_start(ap, fmt);
	n = vsnprintf(b->data + b->len, PRINT_MAX, fmt, ap);
	va_end(ap);
	b->failed = n < 0 || n >= PRINT_MAX;
	b->len += b->failed ? 0 : (size_t)n;
}

static size_t
buf_left(const struct buf *b)
{
	return b->len - b->at;
}

static OUT_OF_LINE void
buf_clear(struct buf *b)
{
	b->at = b->len = 0;
	b->failed = false;
}

static void
buf_free(struct buf *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

/* Have to be what from is, which then is empty. */
static void
buf_move(struct buf *to, struct buf *from)
{
	*to = *from;
	memset(from, 0, sizeof(*from));
}

/* A path, cut short if it is too long. */
static void
path_copy(char to[PATH_LEN], const char *from)
{
	snprintf(to, PATH_LEN, "%s", from);
}

/* Zeroed memory, or the end of a process that cannot go on without. */
static void *
must_alloc(size_t n)
{
	void *p = calloc(1, n);

	if (p == NULL)
		say_why(FATAL, "memory");
	return p;
}

/* An address as text, "-" for one without; returns its port. */
static int
address_text(const struct sockaddr *sa, char text[INET6_ADDRSTRLEN])
{
	const struct sockaddr_in *v4 = (const void *)sa;
	const struct sockaddr_in6 *v6 = (const void *)sa;

	memcpy(text, "-", 2);
	if (sa->sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6->sin6_addr, text, INET6_ADDRSTRLEN);
		return ntohs(v6->sin6_port);
	}
	if (sa->sa_family != AF_INET)
		return 0;
	inet_ntop(AF_INET, &v4->sin_addr, text, INET6_ADDRSTRLEN);
	return ntohs(v4->sin_port);
}

/* Have our standard descriptors be /dev/null and, if not -1, these. */
static void
stdio_set(int out, int err)
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, STDIN_FILENO);
	dup2(out != -1 ? out : null, STDOUT_FILENO);
	dup2(err != -1 ? err : null, STDERR_FILENO);
	if (null > STDERR_FILENO)
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
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
		return -1;
	return fcntl(fd, F_SETFL, O_NONBLOCK);
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
	struct rlimit lim;

	do {
		if ((fd = open("/dev/null", O_RDWR)) == -1)
			break;
	} while (fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
	if (extra_close_from(low) == 0)
		return;
	if (getrlimit(RLIMIT_NOFILE, &lim) == -1 || lim.rlim_cur > 65536)
		lim.rlim_cur = 65536;
	for (fd = low; fd < (int)lim.rlim_cur; fd++)
		close(fd);
}

/*
 * Lock a regular file that is open.  Returns 0 or an errno: ESTALE if it is
 * no longer the one of that name.
 */
static int
file_lock(int fd, const char *name)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat st, named;

	if (fcntl(fd, F_SETLK, &lock) == -1 || fstat(fd, &st) == -1)
		return errno == EACCES ? EAGAIN : errno;
	if (!S_ISREG(st.st_mode))
		return EINVAL;
	return lstat(name, &named) == 0 && st.st_dev == named.st_dev &&
	    st.st_ino == named.st_ino ? 0 : ESTALE;
}

/*
 * Make a file with our process id, whole from its first moment on, and hold
 * its lock while we live.  One that nobody holds is replaced, but nothing
 * that is not a file; what a live program holds is refused, in words, and -1
 * is returned.
 */
static int
pidfile_open(const char *name)
{
	char temp[PATH_LEN], pid[24];
	int fd, old, why;
	bool linkable;

	snprintf(temp, sizeof(temp), "%s.XXXXXX", name);
	if ((fd = mkstemp(temp)) == -1) {
		say_why(WARNING, name);
		return -1;
	}
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	fchmod(fd, 0644);
	snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	why = print(fd, pid) ? file_lock(fd, temp) : errno;
	while (why == 0 && link(temp, name) == -1) {
		linkable = errno == EEXIST;
		old = open(name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
		    O_CLOEXEC);
		why = old != -1 ? file_lock(old, name) : errno != ENOENT ?
		    errno : linkable ? ESTALE : 0;
		if (why == 0 && rename(temp, name) == -1)
			why = errno;
		fd_close(&old);
		if (why == 0)
			return fd;
		if (why == ESTALE)
			why = 0;
	}
	unlink(temp);
	if (why == 0)
		return fd;
	say(WARNING, "%s: %s", name, why == EAGAIN ?
	    "a blogserve that runs has it" : strerror(why));
	close(fd);
	return -1;
}

/* Remove it or, where a user we became may not, empty it; but not another's. */
static void
pidfile_close(int fd, const char *name)
{
	if (fd == -1)
		return;
	if ((file_lock(fd, name) != 0 || unlink(name) == -1) &&
	    ftruncate(fd, 0) == -1)
		say_why(WARNING, name);
	close(fd);
}

/* Have fd be a log, to append to; -1 with errno, then it is what it was. */
static int
log_reopen(int fd, const char *name)
{
	int log = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC |
	    O_NOCTTY | O_NONBLOCK, 0644);

	if (log == -1 || log == fd || fd == -1)
		return log;
	dup2(log, fd);
	close(log);
	return fcntl(fd, F_SETFD, fd > STDERR_FILENO ? FD_CLOEXEC : 0);
}

/* The logs were renamed, perhaps: write to new ones, or on to the old. */
static void
logs_reopen(const struct options *o)
{
	if (o->log != -1 && log_reopen(o->log, o->logfile) == -1)
		say_why(WARNING, o->logfile);
	if (o->errfile != NULL && log_reopen(STDERR_FILENO, o->errfile) == -1)
		say_why(WARNING, o->errfile);
}

static uint64_t
mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ (h >> 29);
}

/*
 * What stat tells of a file's bytes, in one number that links and owners
 * leave alone.  Of what is not a file only its mode: a directory's entries
 * have stamps of their own.  Never 0.
 */
static uint64_t
stat_bytes(const struct stat *st)
{
	uint64_t h = mix(0, (uint64_t)st->st_mode);

	if (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode)) {
		h = mix(h, (uint64_t)st->st_ino);
		h = mix(h, (uint64_t)st->st_size);
		h = mix(h, (uint64_t)st->st_mtim.tv_sec);
		h = mix(h, (uint64_t)st->st_mtim.tv_nsec);
	}
	return h | 1;
}

/*
 * The same with the time of the inode's last change, which nobody can set:
 * equal stamps, equal files, but for a change within the same tick of the
 * file system's clock (RACY_TIME).
 */
static uint64_t
stat_stamp(const struct stat *st)
{
	uint64_t h = stat_bytes(st);

	if (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode)) {
		h = mix(h, (uint64_t)st->st_ctim.tv_sec);
		h = mix(h, (uint64_t)st->st_ctim.tv_nsec);
	}
	return h | 1;
}

/*
 * Whether a ctime that was read at now or later is so late that the next
 * change may have the same.
 */
static bool
is_racy(const struct timespec *t, const struct timespec *now)
{
	int64_t age;

	age = ((int64_t)now->tv_sec - t->tv_sec) * 1000 +
	    (now->tv_nsec - t->tv_nsec) / 1000000;
	return age > -1000 && age <= (t->tv_nsec == 0 ? 2000 : RACY_TIME);
}

/*
 * A hash of the bytes of a file, open at its begin, never 0 nor 1; 0 if it
 * cannot be read, 1 if it is too long to be compared.
 */
static uint64_t
content_hash(int fd, off_t size)
{
	uint64_t h = (uint64_t)size, v;
	char buf[16 * 1024];
	ssize_t n, i;

	if (size > HASH_MAX)
		return 1;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		memset(buf + n, 0, (size_t)-n % sizeof(v));
		for (i = 0; i < n; i += (ssize_t)sizeof(v)) {
			memcpy(&v, buf + i, sizeof(v));
			h = mix(h, v);
		}
		h = mix(h, (uint64_t)n);
	}
	return n == -1 ? 0 : h | 2;
}

static bool
is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec ||
	    (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/* Read a directory; NULL with errno. */
static DIR *
dir_open(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;

	if (d == NULL)
		fd_close(&fd);
	return d;
}

/* The names in a directory; sorted, once names_sort was called. */
struct names {
	size_t count;
	char **list;
	struct buf text;	/* each with its NUL */
};

static void
names_add(struct names *names, const char *name)
{
	buf_add(&names->text, name, strlen(name) + 1);
	names->count++;
}

static int
name_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Returns 0 or ENOMEM. */
static int
names_sort(struct names *names)
{
	size_t i, at;

	names->list = calloc(names->count + 1, sizeof(*names->list));
	if (names->text.failed || names->list == NULL)
		return ENOMEM;
	for (i = at = 0; i < names->count; i++) {
		names->list[i] = names->text.data + at;
		at += strlen(names->list[i]) + 1;
	}
	qsort(names->list, names->count, sizeof(*names->list), name_compare);
	return 0;
}

static void
names_free(struct names *names)
{
	buf_free(&names->text);
	free(names->list);
}

/* The signals that the program has a say in, and how it found them. */
static const int signal_list[] = {
	SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGUSR1,
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

	if (write(self_pipe[1], &byte, 1) == -1)
		errno = e;	/* full: the parent will wake all the same */
	errno = e;
}

/* Block every signal, or none. */
static void
signals_block(bool all)
{
	sigset_t mask;

	if (all)
		sigfillset(&mask);
	else
		sigemptyset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
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
		if (s->were[i].sa_handler == SIG_IGN && sig != SIGTERM &&
		    sig != SIGCHLD)
			continue;
		act.sa_handler = sig == SIGPIPE ? SIG_IGN : signal_caught;
		sigaction(sig, &act, NULL);
	}
	signals_block(false);
}

/*
 * In a child, where they are not ours any more: ignore all or, with s, have
 * everything as the program found it.  What the terminal sent before is
 * forgotten; a SIGTERM is from us.  Nothing stays blocked.
 */
static void
signals_leave(const struct signals *s)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	size_t i;

	for (i = 0; i < COUNT(signal_list); i++) {
		if (s == NULL || signal_list[i] != SIGTERM)
			sigaction(signal_list[i], &ignore, NULL);
		if (s != NULL)
			sigaction(signal_list[i], &s->were[i], NULL);
	}
	signals_block(false);
}

/*
 * fork; the child begins with all signals blocked, so that none reaches a
 * handler that is the parent's.  Returns whether this is the child; *pid is
 * 0 there, and where fork failed, which is said.
 */
static bool
fork_blocked(pid_t *pid)
{
	signals_block(true);
	if ((*pid = fork()) == 0)
		return true;
	if (*pid == -1) {
		say_why(WARNING, "fork");
		*pid = 0;
	}
	signals_block(false);
	return false;
}

/* As all systems have them: of exit(1), and of an end by SIGTERM. */
#define STATUS_FAILED	(1 << 8)
#define STATUS_STOPPED	SIGTERM

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
	FIELD_TRANSFER_ENCODING, FIELD_USER_AGENT,
	FIELDS
};

/* A request; its strings lie in the head it was parsed from. */
struct request {
	enum method method;
	int minor;			/* of HTTP/1; -1: Simple-Request */
	bool keep;			/* the client wants to go on */
	bool close;			/* ... or, in any field, not */
	bool body;			/* bytes follow that we do not read */
	bool lost;			/* it is for what is never served */
	char *target;
	const char *own;		/* NULL, or what of ours it names */
	const char *query;		/* from its '?' on, or "" */
	const char *field[FIELDS];	/* NULL: absent */
	char path[PATH_LEN];		/* decoded, without the first slash */
};

struct reply {
	bool insert;		/* the script is put into the file */
	int status;
	bool simple;		/* for a Simple-Request: no head at all */
	bool keep;
	bool endless;		/* its length is not known */
	bool stream;		/* and it goes on with events */
	off_t first, length;	/* of the body's bytes in the file */
	off_t size;		/* of the file, for Content-Range, or -1 */
	const char *type;
	const char *encoding;	/* NULL: none */
	const char *location;	/* NULL: none */
	const struct stat *st;	/* of the file, for validators, or NULL */
	const char *mark;	/* what the tag has beside that of the file */
	const struct cached *kept;	/* has the fields already, or NULL */
	bool cachable;		/* it may be what is kept, or may be kept */
	/* Where those parts of its head begin that tell of the file alone. */
	size_t validators, content;
};

/*
 * A file that is kept: a small one in memory, a larger one open, its head in
 * memory.  It is sent only if a stat of its path has the same stamp as when
 * it was read, and is later than all of the request; it is kept only if it
 * had not changed lately, when a stamp may miss a change.  What no stamp
 * tells, a write through mapped memory and a link that leads out where a
 * directory was, is found within CACHE_TIME.
 */
struct cached {
	uint64_t stamp;
	dev_t dev;
	int64_t until;		/* when it is to be looked up again */
	size_t validators;	/* length of those in the head, ... */
	size_t fields;		/* ... and of all that is the file's there, */
	size_t length;		/* ... which its bytes follow, ... */
	char *name;		/* ... and then its path below the docroot */
	int file;		/* -1, or what has the bytes instead */
	char data[];
};

/* Tables have no pointers, which would be relocated at each start. */
static const char field_names[FIELDS][20] = {
	"Accept-Encoding", "Connection", "Content-Length",
	"Host", "If-Match", "If-Modified-Since",
	"If-None-Match", "If-Range", "If-Unmodified-Since",
	"Range", "Referer", "Sec-Fetch-Dest",
	"Transfer-Encoding", "User-Agent",
};

/* RFC 9110, section 15. */
static const char statuses[] =
    "200 OK\0"
    "206 Partial Content\0"
    "301 Moved Permanently\0"
    "304 Not Modified\0"
    "400 Bad Request\0"
    "403 Forbidden\0"
    "404 Not Found\0"
    "405 Method Not Allowed\0"
    "408 Request Timeout\0"
    "412 Precondition Failed\0"
    "414 URI Too Long\0"
    "416 Range Not Satisfiable\0"
    "431 Request Header Fields Too Large\0"
    "500 Internal Server Error\0"
    "501 Not Implemented\0"
    "503 Service Unavailable\0"
    "505 HTTP Version Not Supported\0";

/* Ends of names, and after them their type; of text, in UTF-8. */
static const char types[] =
    "html htm\0" "text/html\0"
    "css\0" "text/css\0"
    "js mjs\0" "text/javascript\0"
    "json map\0" "application/json\0"
    "webmanifest\0" "application/manifest+json\0"
    "xml\0" "application/xml\0"
    "atom\0" "application/atom+xml\0"
    "rss\0" "application/rss+xml\0"
    "xhtml\0" "application/xhtml+xml\0"
    "txt asc\0" "text/plain\0"
    "md\0" "text/markdown\0"
    "csv\0" "text/csv\0"
    "ics\0" "text/calendar\0"
    "vtt\0" "text/vtt\0"
    "svg\0" "image/svg+xml\0"
    "png\0" "image/png\0"
    "jpg jpeg\0" "image/jpeg\0"
    "gif\0" "image/gif\0"
    "webp\0" "image/webp\0"
    "avif\0" "image/avif\0"
    "ico\0" "image/x-icon\0"
    "woff\0" "font/woff\0"
    "woff2\0" "font/woff2\0"
    "ttf\0" "font/ttf\0"
    "otf\0" "font/otf\0"
    "mp3\0" "audio/mpeg\0"
    "m4a\0" "audio/mp4\0"
    "ogg opus\0" "audio/ogg\0"
    "wav\0" "audio/wav\0"
    "flac\0" "audio/flac\0"
    "mp4\0" "video/mp4\0"
    "webm\0" "video/webm\0"
    "ogv\0" "video/ogg\0"
    "pdf\0" "application/pdf\0"
    "epub\0" "application/epub+zip\0"
    "zip\0" "application/zip\0"
    "gz\0" "application/gzip\0"
    "wasm\0" "application/wasm\0";

/* RFC 9110, section 9.1: the first two are served. */
static const char methods[][8] = {
	"GET", "HEAD",
	"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT",
};

/* A status and its reason: "404 Not Found". */
static const char *
status_line(int status)
{
	const char *line;

	for (line = statuses; *line != '\0'; line += strlen(line) + 1)
		if (strtol(line, NULL, 10) == status)
			return line;
	return "500 ";
}

/* The media type by the end of a file's name. */
static const char *
type_of(const char *path)
{
	const char *dot = strrchr(path, '.'), *ends;
	size_t n = dot != NULL ? strlen(++dot) : 0;

	for (ends = types; n > 0 && *ends != '\0'; ends++) {
		for (; *ends != '\0'; ends += *ends == ' ') {
			if (strncasecmp(ends, dot, n) == 0 &&
			    (ends[n] == ' ' || ends[n] == '\0'))
				return ends + strlen(ends) + 1;
			ends += strcspn(ends, " ");
		}
		ends += 1 + strlen(ends + 1);
	}
	return "application/octet-stream";
}

/* Whether a request line of n bytes names its version. */
static bool
line_has_version(const char *line, size_t n)
{
	size_t i = n;

	while (i > 0 && line[i - 1] != ' ')
		i--;
	return n - i >= 5 && memcmp(line + i, "HTTP/", 5) == 0;
}

/*
 * The length of the request head that data begins with, its empty line
 * included; 0 while it is not whole.  Empty lines before it belong to it
 * (RFC 9112, section 2.2).  A line without a version is a Simple-Request,
 * and all of the head (RFC 1945, section 4.1).
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
		if (n > 0 && p[n - 1] == '\r')
			n--;
		if (n == 0 && first)
			continue;
		if (n == 0 || (first && !line_has_version(p, n)))
			return (size_t)(nl + 1 - data);
		first = false;
	}
	return 0;
}

/*
 * How many characters of s are ASCII letters, digits, or among the others:
 * the locale is always C.
 */
static size_t
span(const char *s, const char *others)
{
	size_t n;

	for (n = 0; s[n] != '\0' && (isalnum((unsigned char)s[n]) ||
	    strchr(others, s[n]) != NULL); n++)
		;
	return n;
}

/* RFC 9110, section 5.6.2. */
static bool
is_token(const char *s)
{
	return *s != '\0' && s[span(s, "!#$%&'*+-.^_`|~")] == '\0';
}

/* Whether a comma-separated field value lists a token (any case). */
static bool
token_listed(const char *value, const char *token)
{
	size_t n = strlen(token);

	while (value != NULL && *value != '\0') {
		value += strspn(value, " \t,");
		if (strncasecmp(value, token, n) == 0 &&
		    strchr(" \t,;", value[n]) != NULL)
			return true;
		value += strcspn(value, ",");
	}
	return false;
}

/* Cut the next line off *text: without its line end, NULL at the end. */
static char *
line_cut(char **text)
{
	char *line = *text, *nl;

	if ((nl = strchr(line, '\n')) == NULL)
		return NULL;
	*text = nl + 1;
	if (nl > line && nl[-1] == '\r')
		nl--;
	*nl = '\0';
	return line;
}

/* What RFC 3986 has in a name beside letters and digits, but the comma. */
#define NAME_OTHERS	"-._~!$&'()*+;="

/* Host: a name or an address, perhaps a port (RFC 9110, section 7.2). */
static bool
host_valid(const char *host)
{
	size_t n;

	if (host[0] == '[') {
		n = strspn(host + 1, "0123456789abcdefABCDEFv:.") + 1;
		if (host[n++] != ']')
			return false;
	} else
		n = span(host, NAME_OTHERS);
	if (host[n] == ':')
		n += 1 + strspn(host + n + 1, "0123456789");
	return host[n] == '\0';
}

static enum method
method_of(const char *name)
{
	size_t i;

	for (i = 0; i < COUNT(methods); i++)
		if (strcmp(name, methods[i]) == 0)
			return i < METHOD_KNOWN ? (enum method)i : METHOD_KNOWN;
	return METHOD_UNKNOWN;
}

/*
 * method SP target SP version, or GET SP target.  Returns 0 or the status
 * that refuses it.
 */
static int
request_line_parse(struct request *rq, char *line)
{
	char *target, *version;

	for (target = line; *target != '\0'; target++)
		if ((unsigned char)*target < ' ' || *target == 0x7f)
			return 400;
	if ((target = strchr(line, ' ')) == NULL)
		return 400;
	*target++ = '\0';
	if ((rq->method = method_of(line)) == METHOD_UNKNOWN && !is_token(line))
		return 400;
	rq->target = target;
	rq->minor = -1;
	if ((version = strchr(target, ' ')) == NULL)
		return rq->method == METHOD_GET && *target == '/' ? 0 : 400;
	*version++ = '\0';
	if (strcmp(version, "HTTP/1.1") != 0 &&
	    fnmatch("HTTP/[0-9].[0-9]", version, 0) != 0)
		return 400;
	rq->minor = version[5] == '0' ? 0 : version[7] - '0';
	return version[5] > '1' ? 505 : 0;
}

/* name ":" value, RFC 9112, section 5; the first of equal names counts. */
static int
field_parse(struct request *rq, char *line)
{
	char *value, *end;
	int i;

	if ((value = strchr(line, ':')) == NULL)
		return 400;
	*value++ = '\0';
	if (strchr(value, '\r') != NULL)
		return 400;
	value += strspn(value, " \t");
	for (end = value + strlen(value); end > value &&
	    (end[-1] == ' ' || end[-1] == '\t'); end--)
		;
	*end = '\0';
	/* Most are none of ours, which their first letter shows. */
	for (i = 0; ((*line ^ *field_names[i]) & ~('a' ^ 'A')) != 0 ||
	    strcasecmp(line, field_names[i]) != 0;)
		if (++i == FIELDS)
			return is_token(line) ? 0 : 400;
	if (rq->field[i] != NULL && (i == FIELD_HOST ||
	    i == FIELD_CONTENT_LENGTH))
		return 400;
	if (i == FIELD_HOST && !host_valid(value))
		return 400;
	if (i == FIELD_CONTENT_LENGTH && (*value == '\0' ||
	    value[strspn(value, "0123456789")] != '\0'))
		return 400;
	if (i == FIELD_TRANSFER_ENCODING && strcasecmp(value, "chunked") != 0)
		return 501;
	if (i == FIELD_CONNECTION && token_listed(value, "close"))
		rq->close = true;
	if (rq->field[i] == NULL)
		rq->field[i] = value;
	return 0;
}

/*
 * Take the host out of a target in absolute-form, moved two bytes down to
 * make room for its end and for a slash where the path is empty.  Returns 0
 * or the status that refuses it.
 */
static int
target_split(struct request *rq)
{
	char *host;
	size_t n;

	if (strncasecmp(rq->target, "http://", 7) != 0)
		return 0;
	host = rq->target + 7;
	n = strcspn(host, "/?");
	memmove(host - 2, host, n);
	rq->field[FIELD_HOST] = host - 2;
	rq->target = host + n;
	rq->target[-2] = '\0';
	if (*rq->target != '/')
		*--rq->target = '/';
	return n > 0 && host_valid(rq->field[FIELD_HOST]) ? 0 : 400;
}

/*
 * Parse a whole head of len bytes, NUL-terminated, in place.  Returns 0 or
 * the status that refuses it; then rq->keep is false, for its framing is in
 * doubt.  A Host in the target overrules the field (RFC 9112, 3.2.2).
 */
static OUT_OF_LINE int
request_parse(struct request *rq, char *head, size_t len)
{
	char *line;
	int status, fields = 0;

	memset(rq, 0, offsetof(struct request, path));
	rq->query = "";
	rq->path[0] = '\0';
	if (memchr(head, '\0', len) != NULL)
		return 400;
	while ((line = line_cut(&head)) != NULL && *line == '\0')
		;
	if (line == NULL)
		return 400;
	if ((status = request_line_parse(rq, line)) != 0)
		return status;
	while ((line = line_cut(&head)) != NULL && *line != '\0') {
		if (++fields > FIELDS_MAX)
			return 431;
		if ((status = field_parse(rq, line)) != 0)
			return status;
	}
	if (rq->minor > 0 && rq->field[FIELD_HOST] == NULL)
		return 400;
	if ((status = target_split(rq)) != 0)
		return status;
	rq->body = rq->field[FIELD_TRANSFER_ENCODING] != NULL ||
	    (rq->field[FIELD_CONTENT_LENGTH] != NULL &&
	    strcmp(rq->field[FIELD_CONTENT_LENGTH], "0") != 0);
	rq->keep = rq->minor > 0 || (rq->minor == 0 &&
	    token_listed(rq->field[FIELD_CONNECTION], "keep-alive"));
	rq->keep = rq->keep && !rq->close && !rq->body;
	return 0;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Whether a decoded segment of a path may be served: nothing hidden, no way
 * up; ".well-known" is for the public (RFC 8615).
 */
static bool
segment_allowed(const char *seg, size_t n, bool first)
{
	if (n == 0 || seg[0] != '.')
		return true;
	return first && n == 11 && memcmp(seg, ".well-known", 11) == 0;
}

/*
 * The path that a target in origin-form names, built segment by segment, so
 * that no other can be expressed: decoded once, empty segments and "."
 * dropped, "..", hidden names, NUL and encoded slashes refused.  A last
 * slash stays, for it makes a difference; the first is not written.
 * Returns 0 or the status that refuses the target.
 */
static int
target_path(const char *target, char *path, size_t size, const char **query)
{
	size_t at = 0, seg = 0;
	int hi, lo;
	char c;

	if (*target != '/')
		return 400;
	do {
		c = *++target;
		if (c == '%') {
			if ((hi = hex_value(target[1])) == -1 ||
			    (lo = hex_value(target[2])) == -1)
				return 400;
			target += 2;
			if (hi == 0 && lo == 0)
				return 400;
			if ((c = (char)(hi * 16 + lo)) == '/')
				return 404;
		} else if (c == '/' || c == '?' || c == '\0') {
			if (at - seg == 1 && path[seg] == '.')
				at = seg;
			if (!segment_allowed(path + seg, at - seg, seg == 0))
				return 404;
			if (c == '/' && at > seg) {
				path[at++] = '/';
				seg = at;
			}
			continue;
		}
		if (at + 2 >= size)
			return 414;
		path[at++] = c;
	} while (*target != '?' && *target != '\0');
	path[at] = '\0';
	*query = target;
	return 0;
}

/* Append text with what HTML takes for markup escaped. */
static void
html_add(struct buf *b, const char *text)
{
	size_t n;

	for (;;) {
		n = strcspn(text, "&<>\"'");
		buf_add(b, text, n);
		text += n;
		if (*text == '\0')
			return;
		buf_printf(b, "&#%d;", *text++);
	}
}

/*
 * Append a path as a URL has it: all but RFC 3986's unreserved characters
 * and the slash percent-encoded, so that a browser can read nothing else
 * into it, such as another host after "//" or a backslash.
 */
static void
url_add(struct buf *b, const char *path)
{
	size_t n;

	for (;;) {
		n = span(path, "-._~/");
		buf_add(b, path, n);
		path += n;
		if (*path == '\0')
			return;
		buf_printf(b, "%%%02X", (unsigned char)*path++);
	}
}

static const char date_imf[] = "%a, %d %b %Y %H:%M:%S GMT";

/* IMF-fixdate (RFC 9110, section 5.6.7); the locale is always C. */
static void
date_format(char text[80], time_t t)
{
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || strftime(text, 80, date_imf, &tm) == 0)
		text[0] = '\0';
}

/*
 * Whether a time is before (-1), at (0) or after (1) a date, in any of the
 * three forms that RFC 9110, section 5.6.7, has; 2 if it is in none.
 */
static int
date_compare(time_t t, const char *text)
{
	static const char forms[][28] = { "%A, %d-%b-%y %H:%M:%S GMT",
	    "%a %b %d %H:%M:%S %Y" };
	struct tm tm = { 0 };
	const char *end = strptime(text, date_imf, &tm);
	char date[32], ours[32];
	size_t i;
	int cmp;

	for (i = 0; i < COUNT(forms) && (end == NULL || *end != '\0'); i++)
		end = strptime(text, forms[i], &tm);
	if (end == NULL || *end != '\0')
		return 2;
	strftime(date, sizeof(date), "%Y%m%d%H%M%S", &tm);
	gmtime_r(&t, &tm);
	strftime(ours, sizeof(ours), "%Y%m%d%H%M%S", &tm);
	cmp = strcmp(ours, date);
	return cmp < 0 ? -1 : cmp > 0;
}

/*
 * A strong validator: another inode, size or time, that of the inode's last
 * change included, is another file, another mark another page made of it.
 */
static void
etag_format(char text[128], const struct stat *st, const char *mark)
{
	snprintf(text, 128, "\"%jx-%jx%.60s\"", (uintmax_t)stat_stamp(st),
	    (uintmax_t)st->st_size, mark);
}

/*
 * Whether a list of tags has this one, or is "*".  A weak tag is compared
 * only where that is enough (RFC 9110, section 8.8.3.2).
 */
static bool
etag_listed(const char *list, const char *etag, bool weak)
{
	size_t n = strlen(etag);
	bool match;

	if (strcmp(list, "*") == 0)
		return true;
	for (;;) {
		list += strspn(list, " \t,");
		match = true;
		if (strncmp(list, "W/", 2) == 0) {
			list += 2;
			match = weak;
		}
		if (*list != '"')
			return false;
		if (match && strncmp(list, etag, n) == 0)
			return true;
		list += 1 + strcspn(list + 1, "\"");
		list += *list == '"';
	}
}

/*
 * Whether a file has not changed so lately that the seconds of its time
 * prove nothing: it may do so twice within one (RFC 9110, section 8.8.2.2).
 */
static bool
is_settled(const struct stat *st, time_t now)
{
	return st->st_mtim.tv_sec < now - 2;
}

/*
 * What a request's conditions make of a file: 0, 304 or 412.  In the order
 * of RFC 9110, section 13.2.2; a tag, where given, overrules a date, which
 * says nothing of a page with a mark.
 */
static int
preconditions(const struct request *rq, const struct stat *st,
    const char *mark, time_t now)
{
	const char *const *f = rq->field;
	char etag[128];

	if (f[FIELD_IF_MATCH] != NULL || f[FIELD_IF_NONE_MATCH] != NULL)
		etag_format(etag, st, mark);
	if (f[FIELD_IF_MATCH] != NULL) {
		if (!etag_listed(f[FIELD_IF_MATCH], etag, false))
			return 412;
	} else if (f[FIELD_IF_UNMODIFIED_SINCE] != NULL &&
	    date_compare(st->st_mtim.tv_sec, f[FIELD_IF_UNMODIFIED_SINCE]) == 1)
		return 412;
	if (f[FIELD_IF_NONE_MATCH] != NULL)
		return etag_listed(f[FIELD_IF_NONE_MATCH], etag, true) ?
		    304 : 0;
	return f[FIELD_IF_MODIFIED_SINCE] != NULL && *mark == '\0' &&
	    is_settled(st, now) && date_compare(st->st_mtim.tv_sec,
	    f[FIELD_IF_MODIFIED_SINCE]) <= 0 ? 304 : 0;
}

/* The number at *text, INT64_MAX if it is larger; false if there is none. */
static bool
offset_parse(const char **text, off_t *value)
{
	const char *begin = *text;

	for (*value = 0; **text >= '0' && **text <= '9'; ++*text)
		*value = *value > (INT64_MAX - 9) / 10 ? INT64_MAX :
		    *value * 10 + (**text - '0');
	return *text > begin;
}

/*
 * What a Range asks of size bytes (RFC 9110, section 14.2): 206 with *first
 * and *length set, 416, or 200 for all else, several ranges included.
 */
static int
range_parse(const char *text, off_t size, off_t *first, off_t *length)
{
	off_t from, to;
	bool suffix;

	if (strncasecmp(text, "bytes=", 6) != 0)
		return 200;
	text += 6 + strspn(text + 6, " \t");
	suffix = !offset_parse(&text, &from);
	if (*text++ != '-')
		return 200;
	if (!offset_parse(&text, &to)) {
		if (suffix)
			return 200;
		to = size - 1;
	} else if (suffix) {
		if (size == 0 && to > 0)
			return 200;
		from = to < size ? size - to : 0;
		to = size - 1;
	} else if (to < from)
		return 200;
	text += strspn(text, " \t");
	if (*text != '\0')
		return 200;
	if (from >= size)
		return 416;
	*first = from;
	*length = (to < size ? to + 1 : size) - from;
	return 206;
}

/* Whether a Range counts, as If-Range has it (RFC 9110, section 13.1.5). */
static bool
range_wanted(const struct request *rq, const struct stat *st, time_t now)
{
	const char *condition = rq->field[FIELD_IF_RANGE];
	char etag[128];

	if (rq->field[FIELD_RANGE] == NULL || rq->method != METHOD_GET)
		return false;
	if (condition == NULL)
		return true;
	if (condition[0] == '"') {
		etag_format(etag, st, "");
		return strcmp(condition, etag) == 0;
	}
	return is_settled(st, now) &&
	    date_compare(st->st_mtim.tv_sec, condition) == 0;
}

/* Whether Accept-Encoding names gzip, and with no q-value that is 0. */
static bool
gzip_accepted(const char *value)
{
	for (; value != NULL && *value != '\0'; value += strcspn(value, ",")) {
		value += strspn(value, " \t,");
		if (strncasecmp(value, "gzip", 4) != 0 ||
		    strchr(" \t,;", value[4]) == NULL)
			continue;
		value += 4 + strspn(value + 4, " \t;");
		return strncasecmp(value, "q=", 2) != 0 ||
		    strcspn(value, "123456789") < strcspn(value, ",");
	}
	return false;
}

/* Whether text is a loopback address. */
static bool
is_loopback(const char *text)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, text, &v6) == 1 &&
	    (IN6_IS_ADDR_LOOPBACK(&v6) ||
	    (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127));
}

/*
 * Whether a server on loopback may answer to this Host.  A page elsewhere
 * can point a name of its own at 127.0.0.1, but it cannot make the browser
 * send another name (DNS rebinding).
 */
static bool
host_allowed(const char *host, const struct options *opt)
{
	char name[256];
	const char **h;
	size_t n;

	if (host[0] == '[') {
		host++;
		n = strcspn(host, "]");
	} else
		n = strcspn(host, ":");
	if (n == 0 || n >= sizeof(name))
		return false;
	memcpy(name, host, n);
	name[n] = '\0';
	for (h = opt->hosts; *h != NULL; h++)
		if (strcmp(*h, "*") == 0 || strcasecmp(*h, name) == 0)
			return true;
	if (opt->address != NULL && strcasecmp(opt->address, name) == 0)
		return true;
	if (is_loopback(name))
		return true;
	if (name[n - 1] == '.')
		name[--n] = '\0';
	return strcasecmp(name, "localhost") == 0 ||
	    (n > 10 && strcasecmp(name + n - 10, ".localhost") == 0);
}

/* The validators of a file: no later than now (RFC 9110, 8.8.2.1). */
static void
validators_write(struct buf *out, const struct reply *r, time_t now)
{
	time_t changed = r->st->st_mtim.tv_sec;
	char date[80], etag[128];

	etag_format(etag, r->st, r->mark);
	date_format(date, changed < now ? changed : now);
	if (!r->insert)
		buf_printf(out, "Last-Modified: %s\r\n", date);
	buf_printf(out, "ETag: %s\r\n"
	    "Vary: Accept-Encoding, Sec-Fetch-Dest\r\n", etag);
}

/* What a body has. */
static void
content_write(struct buf *out, const struct reply *r)
{
	const char *end = r->type + strlen(r->type) - 3;

	buf_printf(out, "Content-Type: %s%s\r\n"
	    "X-Content-Type-Options: nosniff\r\n", r->type,
	    strncmp(r->type, "text/", 5) == 0 || strcmp(end, "xml") == 0 ?
	    "; charset=utf-8" : "");
	if (!r->endless)
		buf_printf(out, "Content-Length: %jd\r\n",
		    (intmax_t)r->length);
	if (r->encoding != NULL)
		buf_printf(out, "Content-Encoding: %s\r\n", r->encoding);
	if (r->st != NULL && !r->insert)
		buf_puts(out, "Accept-Ranges: bytes\r\n");
	if (r->stream)
		buf_puts(out, "X-Accel-Buffering: no\r\n");
	if (r->status == 206)
		buf_printf(out, "Content-Range: bytes %jd-%jd/%jd\r\n",
		    (intmax_t)r->first, (intmax_t)(r->first + r->length - 1),
		    (intmax_t)r->size);
	else if (r->status == 416)
		buf_printf(out, "Content-Range: bytes */%jd\r\n",
		    (intmax_t)r->size);
}

/* The one place that writes the head of a reply; date is now's. */
static void
reply_head(struct buf *out, struct reply *r, time_t now, const char *date)
{
	if (r->simple)
		return;
	buf_puts(out, "HTTP/1.0 ");
	buf_puts(out, status_line(r->status));
	buf_puts(out, "\r\nDate: ");
	buf_puts(out, date);
	buf_puts(out, r->keep ? "\r\nConnection: keep-alive\r\n" :
	    "\r\nConnection: close\r\n");
	buf_puts(out, "Server: blogserve\r\nCache-Control: no-cache\r\n");
	if (r->location != NULL) {
		buf_puts(out, "Location: ");
		buf_puts(out, r->location);
		buf_puts(out, "\r\n");
	}
	if (r->status == 405)
		buf_puts(out, "Allow: GET, HEAD\r\n");
	if (r->status == 503)
		buf_puts(out, "Retry-After: 1\r\n");
	r->validators = out->len;
	if (r->kept != NULL)
		buf_add(out, r->kept->data, r->status == 304 ?
		    r->kept->validators : r->kept->fields);
	else if (r->st != NULL)
		validators_write(out, r, now);
	r->content = out->len;
	if (r->kept == NULL && r->status != 304)
		content_write(out, r);
	if (r->kept == NULL || r->status == 304)
		buf_puts(out, "\r\n");
}

/* The head of a page of our own; its callers add the rest of the body. */
static void
page_begin(struct buf *b, const char *title, const char *rest, bool again)
{
	const char *part = "<title>\0"
	    "</title>\n<style>html{color-scheme:light dark;"
	    "font-family:sans-serif;max-width:50em;margin:2em auto}"
	    "td{padding-right:1em}.n{text-align:right}</style>\n<h1>\0";

	buf_puts(b, "<!DOCTYPE html>\n<html lang=\"en\">\n"
	    "<meta charset=\"utf-8\">\n"
	    "<meta name=\"viewport\" content=\"width=device-width\">\n");
	if (again)
		buf_puts(b, "<noscript><meta http-equiv=\"refresh\" "
		    "content=\"1\"></noscript>\n");
	for (; *part != '\0'; part += strlen(part) + 1) {
		buf_puts(b, part);
		html_add(b, title);
		html_add(b, rest);
	}
	buf_puts(b, "</h1>\n");
}

/* Whether html, len bytes at a tag's '<', has this name, and the tag's end. */
static bool
tag_named(const char *html, size_t len, const char *name)
{
	size_t n = strlen(name);

	return len > n + 1 && strncasecmp(html + 1, name, n) == 0 &&
	    strchr(" \t\r\n\f/>", html[1 + n]) != NULL;
}

/* The length of a tag, of quoted attributes as they are. */
static size_t
tag_length(const char *html, size_t len)
{
	size_t i;
	char quote = '\0';

	for (i = 1; i < len; i++)
		if (quote != '\0')
			quote = html[i] == quote ? '\0' : quote;
		else if (html[i] == '>')
			return i + 1;
		else if ((html[i] == '"' || html[i] == '\'') &&
		    html[i - 1] == '=')
			quote = html[i];
	return len;
}

/*
 * Where the script goes into a page: before the last </body> that is one,
 * and not part of a comment or of the text of an element that has no
 * markup; else to the end.
 */
static size_t
body_end(const char *html, size_t len)
{
	static const char raw[][10] = { "script", "style", "textarea", "title",
	    "iframe", "noframes" };
	char close[12];
	size_t at = 0, end = len, i;
	const char *p;

	while ((p = memchr(html + at, '<', len - at)) != NULL) {
		at = (size_t)(p - html);
		if (len - at > 3 && memcmp(p, "<!--", 4) == 0) {
			for (at += 4; at < len && !(len - at > 2 &&
			    memcmp(html + at, "-->", 3) == 0); at++)
				;
			continue;
		}
		if (tag_named(p, len - at, "/body"))
			end = at;
		at += tag_length(p, len - at);
		for (i = 0; i < COUNT(raw); i++) {
			if (!tag_named(p, len - (size_t)(p - html), raw[i]))
				continue;
			snprintf(close, sizeof(close), "/%.9s", raw[i]);
			while (at < len && !(html[at] == '<' &&
			    tag_named(html + at, len - at, close)))
				at++;
			break;
		}
	}
	return end;
}

/* By its byte order mark.  A script's tag would be in other characters. */
static bool
is_utf16(const char *html, size_t len)
{
	return len >= 2 && (memcmp(html, "\xfe\xff", 2) == 0 ||
	    memcmp(html, "\xff\xfe", 2) == 0);
}

/* FNV-1a, which the script can do, too. */
static uint32_t
page_hash(const char *html, size_t len)
{
	uint32_t h = 2166136261u;
	size_t i;

	for (i = 0; i < len; i++)
		h = (h ^ (unsigned char)html[i]) * 16777619u;
	return h;
}

/* Whether this page is one of the browser's, which a script can reload. */
static bool
is_document(const struct request *rq)
{
	const char *dest = rq->field[FIELD_SEC_FETCH_DEST];

	return dest == NULL || token_listed("document,iframe,frame", dest);
}

/* ---------------------------------------------------------------------
 * 4  Serving: the server's process
 *
 * Connections wait by their state and act by their state; each step tries
 * the next at once.  A request that comes while a build writes in place is
 * held: its bytes stay in conn.in and it is answered as if it came later.
 * ------------------------------------------------------------------ */

enum conn_state {
	CONN_READ,	/* for a head, or the rest of one */
	CONN_HOLD,	/* until the build ends, or the time is up */
	CONN_SEND,	/* the reply: conn.out, then conn.left bytes of file */
	CONN_STREAM,	/* for events to tell; conn.stream */
	CONN_LINGER,	/* discard what comes, lest a reset eats the reply */
	CONN_CLOSED
};

struct conn {
	struct buf out, in;	/* what is to go, and what came */
	int fd;
	enum conn_state state;
	bool keep;		/* READ comes after SEND */
	bool linger;		/* LINGER comes after SEND */
	bool stream;		/* STREAM comes after SEND */
	bool corked;		/* full segments only, till the reply is out */
	bool stirred;		/* it moved since the last sweep */
	bool more;		/* it gave others their turn */
	bool was_read;		/* since its last step: once is enough */
	int tries;		/* of composing, while the file changed */
	int file;		/* -1, or what conn.left is read from */
	off_t at, left;
	uint64_t bytes;		/* stat_bytes of the file when it was opened */
	int64_t until;		/* when its patience ends */
	int64_t held_until;	/* 0: the request was not held */
	struct listing *listing;	/* NULL, or what makes the rest */
	struct buf tail;	/* what follows the file */
	struct buf line;	/* of the log; the bytes go in at line.at */
	off_t sent;		/* bytes of the reply, its head taken off */
};

/* The docroot, open, and what proves that it is still the docroot. */
struct site {
	const struct options *opt;
	int fd;
	int why;		/* errno, where fd is -1 */
	bool moved;		/* to where the sandbox does not let us */
	dev_t dev;
	ino_t ino;
};

struct service {
	const struct options *opt;
	struct listeners *listeners;
	struct conn *conns;
	struct pollfd *polls;	/* orders, the listeners, the connections */
	size_t count, cap, max;
	size_t busy;		/* the first so many are polled each turn */
	size_t first;		/* index in polls of the first connection */
	int64_t now, until;	/* no connection's deadline is before until */
	int64_t sweep_at;	/* when the quiet ones are polled, too */
	int64_t drain_until;	/* when answers in flight are given up */
	bool draining;		/* no more clients, no next requests */
	bool full;		/* no descriptor for another client */
	bool holding;		/* some connection is held */
	int orders_fd;
	int builds_log;		/* what builds print, or -1 */
	struct listing *listing;	/* what goes on making page */
	struct buf page;	/* a body that is made here */
	struct buf location;	/* where else the client is sent to */
	struct buf spare;	/* an empty conn.out, to be used again */
	struct buf log;		/* lines to be written */
	bool log_mute;		/* that they cannot be was said */
	struct buf path;	/* of the file that was kept */
	int64_t started_at;
	struct timespec clock;	/* when the reply was begun */
	time_t date_at;		/* the second that date names */
	size_t cache_bytes, cache_hand;	/* the next to make room */
	/*
	 * The kept file that st is the stat of, made after all that is known
	 * of clients and of builds was read; or NULL: whoever reads more of
	 * either, or writes st, sets it so.
	 */
	const struct cached *proved;
	bool unpacked;		/* and there is no such file with ".gz" */
	struct orders orders;
	struct orders told;	/* what the event streams were told of */
	struct site site;
	char start[24];		/* names this run of the program */
	char mark[64];		/* of pages with the script, ... */
	char racy[96];		/* and of a file that may change unseen */
	char date[80];
	struct stat st;		/* of the file that answers the request, ... */
	char name[PATH_LEN + 16];	/* ... and its name, if it may be kept */
	struct request request;
	struct cached *cache[CACHE_SLOTS];	/* in memory */
	struct cached *open[CACHE_OPEN];	/* with a file */
	char in[HEAD_MAX + 1], head[HEAD_MAX + 1];
};

/*
 * Look where the docroot is now, for it may have been made anew: once for a
 * reply, so that all of that is from one version.
 */
static void
site_enter(struct site *site)
{
	struct stat st;
	int fd;

	if (stat(site->opt->root, &st) == -1) {
		site->why = errno;
		/* With -A it may be away while it is replaced. */
		if (!site->opt->atomic)
			fd_close(&site->fd);
		return;
	}
	if (site->fd != -1 && st.st_dev == site->dev &&
	    st.st_ino == site->ino)
		return;
	fd = open(site->opt->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	site->why = errno;
	/* access knows nothing of sandboxes. */
	site->moved = fd == -1 && errno == EACCES &&
	    access(site->opt->root, R_OK) == 0;
	if (site->moved)
		site->why = EMFILE;	/* the next server can */
	if (fd == -1 && site->opt->atomic)
		return;
	fd_close(&site->fd);
	site->fd = fd;
	if (site->fd != -1 && fstat(site->fd, &st) == 0) {
		site->dev = st.st_dev;
		site->ino = st.st_ino;
	}
}

/*
 * openat of path[at]'s name below dir failed: if it is a symlink, put what
 * it says into path in its place and set errno to EAGAIN, else leave errno
 * as it was.  An absolute one must point below the docroot.
 */
static void
site_relink(const struct site *site, int dir, char path[PATH_LEN], size_t at,
    const char *name)
{
	char target[PATH_LEN], tail[PATH_LEN], *text = target, *real;
	int why = errno;
	ssize_t len;
	size_t n;

	if ((len = readlinkat(dir, name, target, sizeof(target) - 1)) == -1) {
		errno = why;
		return;
	}
	target[len] = '\0';
	path_copy(tail, path + at + strlen(name));
	why = EAGAIN;
	if (target[0] == '/') {
		real = realpath(site->opt->root, NULL);
		n = real != NULL ? strlen(real) : 0;
		if (n == 0 || strncmp(target, real, n) != 0 ||
		    (target[n] != '/' && target[n] != '\0'))
			why = EXDEV;
		free(real);
		text += why == EXDEV ? 0 : n;
		at = 0;
	}
	n = PATH_LEN - at;
	if ((size_t)snprintf(path + at, n, "%s%s", text, tail) >= n)
		why = ENAMETOOLONG;
	errno = why;
}

/*
 * Open path below root, one real directory after the other.  A symlink is
 * replaced by its text, and ".." taken away with the name before it; then
 * errno is EAGAIN, and path is to be walked anew.
 */
static int
site_walk(const struct site *site, int root, char path[PATH_LEN])
{
	char name[NAME_MAX + 1];
	size_t at = 0, before = 0, n;
	int dir = root, fd, why;

	for (;; before = at, at += n) {
		at += strspn(path + at, "/");
		while (path[at] == '.' && path[at + 1] == '/')
			at += 1 + strspn(path + at + 1, "/");
		n = strcspn(path + at, "/");
		errno = ENAMETOOLONG;
		if (n > NAME_MAX)
			break;
		memcpy(name, path + at, n);
		name[n] = '\0';
		if (strcmp(name, "..") == 0) {
			errno = dir == root ? EXDEV : EAGAIN;
			memmove(path + before, path + at + n,
			    strlen(path + at + n) + 1);
			break;
		}
		fd = openat(dir, n > 0 ? name : ".", O_RDONLY | O_NONBLOCK |
		    O_NOCTTY | O_CLOEXEC | O_NOFOLLOW |
		    (path[at + n] == '/' ? O_DIRECTORY : 0));
		if (fd == -1) {
			site_relink(site, dir, path, at, name);
			break;
		}
		if (dir != root)
			close(dir);
		if (path[at + n] == '\0')
			return fd;
		dir = fd;
	}
	why = errno;
	if (dir != root)
		close(dir);
	errno = why;
	return -1;
}

/*
 * The one way from a client's bytes to the file system (R8): open a regular
 * file or a directory below the docroot.  No symlink leads out of it unless
 * -L says so, and no change of the tree meanwhile can make one do so.
 * Returns a descriptor, with *st filled, or -1 with errno.
 */
static int
site_open(struct site *site, const char *name, struct stat *st)
{
	char path[PATH_LEN];
	int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fd, tries;

	errno = site->why;
	if (site->fd == -1)
		return -1;
	if (*name == '\0')
		name = ".";
	if (site->opt->follow)
		fd = openat(site->fd, name, flags);
	else
		fd = extra_open_beneath(site->fd, name, flags);
	if (fd == -1 && !site->opt->follow && errno != ENOENT &&
	    errno != EMFILE) {
		path_copy(path, name);
		for (tries = 0; tries < LINKS_MAX; tries++)
			if ((fd = site_walk(site, site->fd, path)) != -1 ||
			    errno != EAGAIN)
				break;
	}
	if (fd == -1)
		return -1;
	if (fstat(fd, st) == 0 && (S_ISREG(st->st_mode) ||
	    S_ISDIR(st->st_mode)))
		return fd;
	close(fd);
	errno = ENOENT;
	return -1;
}

/* The status for a site_open that failed. */
static int
status_of_errno(void)
{
	switch (errno) {
	case EACCES:
	case EPERM:
	case EXDEV:
		return 403;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return 503;
	case EIO:
		return 500;
	default:
		return 404;
	}
}

/* Whether the page that is asked for reloads itself. */
static bool
is_live(const struct service *sv)
{
	return !sv->opt->no_reload && is_document(&sv->request);
}

/* The script's tag: it knows of which build the page is. */
static void
script_add(struct buf *b, const struct service *sv, const char *more)
{
	buf_puts(b, "<script src=\"");
	url_add(b, sv->opt->prefix);
	buf_printf(b, "/.blogserve/reload.js\" data-start=\"%s\" "
	    "data-done=\"%u\"%s></script>\n", sv->start, sv->orders.done,
	    more);
}

/* A directory that is being listed. */
struct listing {
	int fd;
	struct names names;
	size_t at;		/* the next of them */
	bool live;		/* it gets the script */
	char path[PATH_LEN];	/* as the client named it */
};

/* Whether an entry of the directory would be served; its stat. */
static bool
listing_served(struct site *site, const struct listing *l, const char *name,
    struct stat *st)
{
	char full[PATH_LEN + NAME_MAX + 1];
	int link;

	if (fstatat(l->fd, name, st, AT_SYMLINK_NOFOLLOW) == -1)
		return false;
	if (!S_ISLNK(st->st_mode))
		return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
	snprintf(full, sizeof(full), "%s%s", l->path, name);
	if ((link = site_open(site, full, st)) == -1)
		return false;
	close(link);
	return true;
}

static void
listing_free(struct listing **l)
{
	if (*l == NULL)
		return;
	names_free(&(*l)->names);
	fd_close(&(*l)->fd);
	free(*l);
	*l = NULL;
}

/* Begin to list directory fd, which is now the listing's; NULL: no memory. */
static struct listing *
listing_open(struct buf *page, int fd, const char *path)
{
	struct listing *l = calloc(1, sizeof(*l));
	struct dirent *e;
	DIR *d;

	if (l == NULL) {
		close(fd);
		return NULL;
	}
	l->fd = fd;
	memcpy(l->path, path, strlen(path) + 1);
	d = dir_open(fd, ".");
	while (d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			names_add(&l->names, e->d_name);
	if (d != NULL)
		closedir(d);
	if (names_sort(&l->names) != 0)
		listing_free(&l);
	page_begin(page, "Index of /", path, 0);
	buf_puts(page, "<table>\n");
	if (*path != '\0')
		buf_puts(page, "<tr><td><a href=\"../\">../</a></td></tr>\n");
	return l;
}

/*
 * Write the next lines of a listing, at most so many that no client has to
 * wait for them.  Returns whether there are more.
 */
static bool
listing_write(struct buf *page, struct service *sv, struct listing *l)
{
	size_t end = l->at + LISTING_PIECE;
	const char *name, *slash;
	struct stat st;
	struct tm tm;
	char when[32];

	site_enter(&sv->site);
	for (; l->at < l->names.count && l->at < end; l->at++) {
		name = l->names.list[l->at];
		if (!listing_served(&sv->site, l, name, &st))
			continue;
		slash = S_ISDIR(st.st_mode) ? "/" : "";
		buf_puts(page, "<tr><td><a href=\"./");
		url_add(page, name);
		buf_printf(page, "%s\">", slash);
		html_add(page, name);
		buf_printf(page, "%s</a></td><td class=\"n\">", slash);
		if (*slash == '\0')
			buf_printf(page, "%jd", (intmax_t)st.st_size);
		when[0] = '\0';
		if (localtime_r(&st.st_mtim.tv_sec, &tm) != NULL)
			strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
		buf_printf(page, "</td><td>%s</td></tr>\n", when);
	}
	if (l->at < l->names.count)
		return true;
	buf_puts(page, "</table>\n");
	if (l->live)
		script_add(page, sv, "");
	return false;
}

/* Whether a loopback's request is for a name that is not this machine's. */
static bool
is_stranger(const struct service *sv)
{
	const char *host = sv->request.field[FIELD_HOST];

	return sv->listeners->loopback && host != NULL &&
	    !host_allowed(host, sv->opt);
}

/* Say in a sentence what is wrong, for each status that has one. */
static void
error_explain(struct buf *page, int status, const struct service *sv)
{
	const struct orders *o = &sv->orders;

	if (status == 403 && is_stranger(sv)) {
		buf_puts(page, "<p>Only names of this machine are answered, "
		    "not <code>");
		html_add(page, sv->request.field[FIELD_HOST]);
		buf_puts(page, "</code>, lest pages elsewhere read this. If "
		    "the name is yours, give it to blogserve with "
		    "<code>-H</code>.</p>\n");
	} else if (status == 503 && o->hold) {
		buf_printf(page, "<p>Build %u (", o->build);
		html_add(page, o->what);
		buf_printf(page, ") has run for %d s. This page reloads "
		    "itself.</p>\n", o->started_at > 0 ?
		    (int)((sv->now - o->started_at) / 1000) : 0);
	}
}

/* The one place that makes error replies: the body is sv->page. */
static void
error_reply(struct service *sv, int status, struct reply *r)
{
	buf_clear(&sv->page);
	r->status = status;
	r->type = "text/html";
	r->st = NULL;
	r->location = r->encoding = NULL;
	r->kept = NULL;
	r->insert = false;
	page_begin(&sv->page, status_line(status), "", status == 503);
	error_explain(&sv->page, status, sv);
	if (is_live(sv))
		script_add(&sv->page, sv, status == 503 && sv->orders.hold ?
		    " data-wait" : "");
}

/* A redirect to a path below the prefix, the query kept. */
static void
redirect_reply(struct service *sv, struct reply *r, const char *path)
{
	struct buf *location = &sv->location;

	buf_clear(location);
	url_add(location, sv->opt->prefix);
	buf_puts(location, "/");
	url_add(location, path);
	if (*path != '\0')
		buf_puts(location, "/");
	buf_puts(location, sv->request.query);
	buf_add(location, "", 1);
	error_reply(sv, 301, r);
	r->location = location->failed ? "/" : location->data;
}

static bool
is_kept(const struct cached *c, const char *name)
{
	return c != NULL && strcmp(c->name, name) == 0;
}

/*
 * The place of sv->name among those that are kept open or, of two neighbours
 * in memory, the one that has it, else an empty one, else the one that was
 * read longer ago.
 */
static struct cached **
cache_slot(struct service *sv, bool open)
{
	uint64_t h = 0;
	const char *s;
	struct cached **slot;
	int i;

	for (s = sv->name; *s != '\0'; s++)
		h = mix(h, (unsigned char)*s);
	if (open)
		return &sv->open[h % CACHE_OPEN];
	slot = &sv->cache[h % (CACHE_SLOTS - 1)];
	for (i = 0; i < 2; i++)
		if (is_kept(slot[i], sv->name))
			return slot + i;
	return slot + (slot[0] != NULL && (slot[1] == NULL ||
	    slot[1]->until < slot[0]->until));
}

/*
 * The file sv->name, if it is kept and current and, for a client that takes
 * gzip, has no ".gz" beside it; sv->st becomes its stat.  What was found out
 * does for all requests that were read before.
 */
static const struct cached *
cache_find(struct service *sv, bool packable)
{
	const struct cached *c = *cache_slot(sv, false);
	struct buf *path = &sv->path;
	size_t end;

	if (!is_kept(c, sv->name))
		c = *cache_slot(sv, true);
	if (!is_kept(c, sv->name) || sv->now >= c->until)
		return NULL;
	if (c == sv->proved && packable <= sv->unpacked)
		return c;
	sv->proved = NULL;
	buf_clear(path);
	buf_puts(path, sv->opt->root);
	buf_puts(path, "/");
	buf_puts(path, sv->name);
	end = path->len;
	buf_add(path, ".gz", 4);
	if (path->failed || (packable && (stat(path->data, &sv->st) == 0 ||
	    errno != ENOENT)))
		return NULL;
	path->data[end] = '\0';
	if (stat(path->data, &sv->st) == -1 ||
	    sv->st.st_dev != c->dev || stat_stamp(&sv->st) != c->stamp)
		return NULL;
	sv->unpacked = packable;
	return sv->proved = c;
}

static void
cache_drop(struct service *sv, struct cached **slot)
{
	if (*slot != NULL) {
		sv->cache_bytes -= (*slot)->fields + (*slot)->length;
		fd_close(&(*slot)->file);
	}
	free(*slot);
	*slot = NULL;
}

/*
 * Keep sv->name; others make room.  The reply in out has all of it or, if
 * file is not -1, its head alone, and then another descriptor is kept, but
 * not where connections may need it.
 */
static void
cache_add(struct service *sv, const struct reply *r, const struct buf *out,
    int file)
{
	struct cached **slot = cache_slot(sv, false), *c;
	size_t length = file == -1 ? (size_t)r->length : 0;
	size_t n = strlen(sv->name) + 1;
	size_t fields = out->len - length - r->validators;

	if (file == -1 || is_kept(*slot, sv->name))
		cache_drop(sv, slot);
	if (file != -1) {
		if (sv->max < CACHE_OPEN * FD_SPARE)
			return;
		cache_drop(sv, slot = cache_slot(sv, true));
	}
	while (sv->cache_bytes + fields + length > CACHE_MAX)
		cache_drop(sv, &sv->cache[sv->cache_hand++ % CACHE_SLOTS]);
	if ((c = calloc(1, sizeof(*c) + fields + length + n)) == NULL)
		return;
	c->stamp = stat_stamp(&sv->st);
	c->dev = sv->st.st_dev;
	c->until = sv->now + CACHE_TIME;
	c->validators = r->content - r->validators;
	c->fields = fields;
	c->length = length;
	memcpy(c->data, out->data + r->validators, fields + length);
	c->name = memcpy(c->data + fields + length, sv->name, n);
	sv->cache_bytes += fields + length;
	c->file = file == -1 ? -1 : fcntl(file, F_DUPFD_CLOEXEC, 0);
	*slot = c;
}

/*
 * Say of a reply what the file's name tells.  Returns whether the same with
 * ".gz" would do, too.
 */
static bool
reply_named(struct service *sv, struct reply *r)
{
	r->type = type_of(sv->name);
	r->insert = strcmp(r->type, "text/html") == 0 && is_live(sv);
	return !r->insert &&
	    gzip_accepted(sv->request.field[FIELD_ACCEPT_ENCODING]);
}

/*
 * Open sv->name below the docroot or, for a client that takes it, the same
 * with ".gz", if that is not older.  Returns a descriptor or -1 with errno.
 */
static int
site_open_encoded(struct service *sv, struct reply *r)
{
	char path[sizeof(sv->name) + 4];
	bool packable = reply_named(sv, r);
	int fd = site_open(&sv->site, sv->name, &sv->st), gz;
	struct stat packed;

	if (fd == -1 || !S_ISREG(sv->st.st_mode) || !packable)
		return fd;
	snprintf(path, sizeof(path), "%s.gz", sv->name);
	if ((gz = site_open(&sv->site, path, &packed)) == -1)
		return fd;
	if (!S_ISREG(packed.st_mode) ||
	    is_later(&sv->st.st_mtim, &packed.st_mtim)) {
		close(gz);
		return fd;
	}
	close(fd);
	sv->st = packed;
	r->encoding = "gzip";
	r->cachable = false;
	return gz;
}

/*
 * Find what the request's path names: the file itself, a directory's
 * index.html, or path.html for a path without an end.  Returns a descriptor
 * or -1 with errno; sv->name, the first that was tried, becomes the name of
 * what was found, if that is a file.
 */
static int
site_find(struct service *sv, struct reply *r, bool slash)
{
	const char *path = sv->request.path;
	int fd = site_open_encoded(sv, r);

	if (slash) {
		if (fd != -1 ? S_ISREG(sv->st.st_mode) : errno != ENOENT)
			return fd;
		fd_close(&fd);
		return site_open(&sv->site, path, &sv->st);
	}
	if (fd != -1 || errno != ENOENT)
		return fd;
	snprintf(sv->name, sizeof(sv->name), "%s.html", path);
	return site_open_encoded(sv, r);
}

/* The reply to a path that names nothing: the site's page, or ours. */
static int
missing_reply(struct service *sv, struct reply *r)
{
	int fd = site_open(&sv->site, "404.html", &sv->st);

	if (fd == -1 || !S_ISREG(sv->st.st_mode)) {
		fd_close(&fd);
		error_reply(sv, 404, r);
		return -1;
	}
	r->status = 404;
	r->type = "text/html";
	r->length = sv->st.st_size;
	r->insert = is_live(sv);
	return fd;
}

/* The reply with a file: with some of it, or none, if that is asked for. */
static int
file_reply(struct service *sv, struct reply *r, int fd)
{
	const struct request *rq = &sv->request;
	const struct stat *st = &sv->st;
	time_t now = sv->clock.tv_sec;

	r->st = st;
	r->length = r->size = st->st_size;
	r->mark = r->insert ? sv->mark : "";
	if (is_racy(&st->st_ctim, &sv->clock)) {
		snprintf(sv->racy, sizeof(sv->racy), "%s-%jx", r->mark,
		    st->st_size <= INLINE_MAX ?
		    (uintmax_t)content_hash(fd, st->st_size) :
		    (uintmax_t)sv->clock.tv_nsec);
		r->mark = sv->racy;
	}
	if ((r->status = preconditions(rq, st, r->mark, now)) == 0)
		r->status = r->insert || !range_wanted(rq, st, now) ? 200 :
		    range_parse(rq->field[FIELD_RANGE], st->st_size, &r->first,
		    &r->length);
	if (r->status < 400)
		return fd;
	fd_close(&fd);
	error_reply(sv, r->status, r);
	return -1;
}

/*
 * The reply that lists directory fd.  A long one is sent while it is made:
 * without its length, so that the end of the connection ends it.
 */
static void
listing_reply(struct service *sv, struct reply *r, int fd)
{
	buf_clear(&sv->page);
	r->type = "text/html";
	sv->listing = listing_open(&sv->page, fd, sv->request.path);
	if (sv->listing == NULL) {
		error_reply(sv, 503, r);
		return;
	}
	sv->listing->live = is_live(sv);
	if (!listing_write(&sv->page, sv, sv->listing)) {
		listing_free(&sv->listing);
		return;
	}
	r->endless = true;
	r->keep = false;
}

/*
 * Decide what a good request for sv->request.path gets.  Returns the file
 * to send, or -1 if the body, such as it is, lies in sv->page or is kept.
 */
static int
request_answer(struct service *sv, struct reply *r)
{
	const struct request *rq = &sv->request;
	int fd, status;
	size_t len;
	bool slash, packable;

	if (rq->lost) {
		sv->proved = NULL;
		site_enter(&sv->site);
		return missing_reply(sv, r);
	}
	len = strlen(rq->path);
	slash = len == 0 || rq->path[len - 1] == '/';
	memcpy(sv->name, rq->path, len + 1);
	if (slash)
		memcpy(sv->name + len, "index.html", 11);
	packable = reply_named(sv, r);
	r->cachable = !r->insert && rq->field[FIELD_RANGE] == NULL;
	if (r->cachable && (r->kept = cache_find(sv, packable)) != NULL) {
		fd = r->kept->file == -1 ? -1 :
		    fcntl(r->kept->file, F_DUPFD_CLOEXEC, 0);
		if (fd != -1 || r->kept->length == (size_t)sv->st.st_size)
			return file_reply(sv, r, fd);
		r->kept = NULL;
	}
	sv->proved = NULL;
	site_enter(&sv->site);
	fd = site_find(sv, r, slash);
	status = fd == -1 ? status_of_errno() : 200;
	if (fd != -1 && S_ISDIR(sv->st.st_mode)) {
		if (slash && !sv->opt->no_listings) {
			listing_reply(sv, r, fd);
			return -1;
		}
		close(fd);
		status = slash ? 404 : 301;
	}
	if (!slash && strcmp(sv->name, rq->path) != 0)
		r->cachable = false;
	if (status == 200)
		return file_reply(sv, r, fd);
	if (status == 404)
		return missing_reply(sv, r);
	if (status == 301)
		redirect_reply(sv, r, rq->path);
	else
		error_reply(sv, status, r);
	return -1;
}

/*
 * Whether a request is refused before any file is looked for: its status,
 * 301 for what lies just outside of the prefix; 0: it is not.
 */
static int
request_refused(struct service *sv, int status)
{
	struct request *rq = &sv->request;
	size_t n = strlen(sv->opt->prefix);

	if (status != 0)
		return status;
	if (rq->method == METHOD_KNOWN)
		return 405;
	if (rq->method == METHOD_UNKNOWN)
		return 501;
	if (is_stranger(sv))
		return 403;
	if (n > 0 && rq->target[0] == '/') {
		if (strcmp(rq->target, "/") == 0)
			return 301;
		if (strncmp(rq->target, sv->opt->prefix, n) != 0)
			return 404;
		rq->target += n;
		if (*rq->target == '\0' || *rq->target == '?') {
			rq->query = rq->target;
			return 301;
		}
		if (*rq->target != '/')
			return 404;
	}
	if (strncmp(rq->target, "/.blogserve/", 12) == 0) {
		rq->own = rq->target + 12;
		rq->target[strcspn(rq->target, "?")] = '\0';
		return 0;
	}
	status = target_path(rq->target, rq->path, sizeof(rq->path),
	    &rq->query);
	if (status != 404)
		return status;
	rq->lost = true;
	rq->path[0] = '\0';
	return 0;
}

/*
 * The script in every page.  It listens only while its page is visible, for
 * a browser has few connections to a host; what it missed meanwhile the
 * numbers of the page tell.  It styles what it shows by properties alone
 * and loads nothing but from here, so a Content-Security-Policy of 'self'
 * lets it work; text from a log never becomes markup.
 */
static const char reload_js[] =
    "(() => {"
    "if (window.blogserve) return;"
    "window.blogserve = true;"
    "const me = document.currentScript, data = me.dataset, url = name => new URL(name, me.src),"
      "fields = () => [...document.querySelectorAll('input,textarea,select')],"
      "secret = f => /password|file/.test(f.type),"
      "make = (name, style, more) => Object.assign(document.createElement(name), { style }, more);"
    "let done = +data.done, busy, source, box, bar, panel;"
    "function again() {"
      "if (busy) return;"
      "busy = true;"
      "const list = fields();"
      "try {"
        "sessionStorage.blogserve = JSON.stringify([location.href, scrollX, scrollY,"
          "list.indexOf(document.activeElement), list.map(f => [secret(f) ? '' : f.value, f.checked])]);"
      "} catch { }"
      "location.reload();"
    "}"
    "function restore() {"
      "try {"
        "const [href, x, y, at, values] = JSON.parse(sessionStorage.blogserve), list = fields();"
        "delete sessionStorage.blogserve;"
        "if (href != location.href) return;"
        "if (values.length == list.length)"
          "list.forEach((f, i) => {"
            "if (!secret(f)) [f.value, f.checked] = values[i];"
          "});"
        "list[at]?.focus({ preventScroll: true });"
        "scrollTo(x, y);"
      "} catch { }"
    "}"
    "function show(e) {"
      "box ||= document.documentElement.appendChild("
        "make('blogserve-ui', 'all:initial;position:fixed;z-index:2147483647')).attachShadow({ mode: 'open' });"
      "box.append(e);"
    "}"
    "function building(ms, took) {"
      "bar?.remove();"
      "if (ms < 0) return;"
      "bar = make('div', 'position:fixed;top:0;left:0;height:3px;background:#3a7',"
        "{ role: 'progressbar', ariaLabel: 'building' });"
      "show(bar);"
      "bar.animate([{ width: 0 }, { width: '95%' }],"
        "{ duration: Math.max(took, 1000), delay: -ms, fill: 'forwards' });"
    "}"
    "const log = pre => fetch(url('log'), { headers: { Range: 'bytes=-20000' } })"
      ".then(r => r.status < 400 ? r.text() : '').then(t => {"
        "pre.textContent = t.replace(/\\x1b(\\[[0-9;?]*[ -\\/]*[@-~]|\\][^\\x07]*\\x07|.)/g, '')"
          ".split('\\n').slice(-40).join('\\n');"
      "}).catch(() => { });"
    "const close = () => panel?.remove();"
    "function failed(s) {"
      "if (panel?.build == s.build) return;"
      "close();"
      "panel = null;"
      "if (!s.failed) return;"
      "panel = make('section', 'position:fixed;inset:auto 0 0;max-height:50%;overflow:auto;' +"
        "'padding:1em;color-scheme:light dark;background:Canvas;color:CanvasText;' +"
        "'border-top:3px solid #c33;font:14px sans-serif', { role: 'alert', build: s.build });"
      "const pre = make('pre', 'font:13px monospace;white-space:pre-wrap');"
      "panel.append(make('button', 'float:right', { textContent: 'Close', onclick: close }),"
        "`Build ${s.build}: ${s.failed}`, pre);"
      "show(panel);"
      "log(pre);"
    "}"
    "const imports = () => [...document.styleSheets].some(sheet => {"
      "try {"
        "return [...sheet.cssRules].some(r => r.type == 3);"
      "} catch { }"
    "});"
    "const swap = () => document.querySelectorAll('link[rel~=stylesheet]').forEach(old => {"
      "const to = new URL(old.href), link = old.cloneNode();"
      "if (to.origin != location.origin || old.stale) return;"
      "old.stale = true;"
      "to.searchParams.set('blogserve', done);"
      "link.href = to;"
      "link.onload = link.onerror = () => old.remove();"
      "old.after(link);"
    "});"
    "function told(s) {"
      "if (s.start != data.start || s.other > done || ('wait' in data && s.building < 0)) return again();"
      "if (s.done != done) {"
        "if (!data.hash || imports()) return again();"
        "done = s.done;"
        "fetch(location.href).then(r => r.arrayBuffer()).then(b => {"
          "const hash = new Uint8Array(b).reduce((h, c) => Math.imul(h ^ c, 16777619), -2128831035) >>> 0;"
          "hash == data.hash ? swap() : again();"
        "}).catch(again);"
      "}"
      "building(s.building, s.took);"
      "if (s.building < 0) failed(s);"
    "}"
    "function hush() {"
      "source?.close();"
      "source = null;"
    "}"
    "function listen() {"
      "if (document.hidden) return hush();"
      "if (source) return;"
      "source = new EventSource(url('events'));"
      "source.onmessage = e => told(JSON.parse(e.data));"
      "source.onerror = () => {"
        "if (source?.readyState != 2) return;"
        "source = null;"
        "setTimeout(listen, 1000);"
      "};"
    "}"
    "addEventListener('load', restore);"
    "addEventListener('pagehide', hush);"
    "addEventListener('pageshow', e => {"
      "if (e.persisted) busy = false;"
      "listen();"
    "});"
    "addEventListener('keydown', e => {"
      "if (e.key == 'Escape') close();"
    "});"
    "document.addEventListener('visibilitychange', listen);"
    "if ('wait' in data) {"
      "const pre = make('pre', 'white-space:pre-wrap');"
      "me.before(pre);"
      "log(pre);"
      "setInterval(log, 1000, pre);"
    "}"
    "listen();"
    "})();";

/* An event: what the script compares, and shows. */
static void
event_add(struct buf *b, const struct service *sv)
{
	const struct orders *o = &sv->orders;
	char how[128] = "";

	if (o->took >= 0)
		status_text(how, sizeof(how), o->status);
	buf_printf(b, "data: {\"start\":\"%s\",\"done\":%u,\"other\":%u,"
	    "\"build\":%u,\"building\":%jd,\"took\":%jd,\"failed\":\"%s\"}\n\n",
	    sv->start, o->done, o->other, o->build,
	    (intmax_t)(!o->building ? -1 : o->started_at > 0 ?
	    sv->now - o->started_at : 0),
	    (intmax_t)o->took, how);
}

/* What /.blogserve/status says, for scripts: a line for each, "key: value". */
static void
status_write(struct buf *b, const struct service *sv)
{
	const struct orders *o = &sv->orders;
	const char *state = sv->opt->command == NULL ? "serving" :
	    o->building || o->took < 0 ? "building" :
	    o->status != 0 ? "failed" : "ok";

	buf_printf(b, "state: %s\nbuild: %u\n", state, o->build);
	if (o->took >= 0)
		buf_printf(b, "exit: %d\nseconds: %.3f\n",
		    WIFSIGNALED(o->status) ? 128 + WTERMSIG(o->status) :
		    WEXITSTATUS(o->status), (double)o->took / 1000);
	buf_printf(b, "changed: %s\nuptime: %jd\n", o->what,
	    (intmax_t)(sv->now - sv->started_at) / 1000);
}

/*
 * The reply to what is below /.blogserve/.  Returns the log's descriptor,
 * or -1 if the body lies in sv->page.
 */
static int
own_reply(struct service *sv, struct reply *r)
{
	const struct request *rq = &sv->request;
	int fd;

	buf_clear(&sv->page);
	r->type = "text/plain";
	if (strcmp(rq->own, "status") == 0) {
		status_write(&sv->page, sv);
	} else if (strcmp(rq->own, "log") == 0) {
		sv->proved = NULL;
		if (sv->builds_log != -1 &&
		    (fd = fcntl(sv->builds_log, F_DUPFD_CLOEXEC, 0)) != -1 &&
		    fstat(fd, &sv->st) == 0)
			return file_reply(sv, r, fd);
	} else if (strcmp(rq->own, "reload.js") == 0 &&
	    !sv->opt->no_reload) {
		r->type = type_of(".js");
		buf_puts(&sv->page, reload_js);
	} else if (strcmp(rq->own, "events") == 0 &&
	    !sv->opt->no_reload) {
		r->type = "text/event-stream";
		r->stream = r->endless = true;
		r->keep = false;
		buf_puts(&sv->page, "retry: 500\n");
		event_add(&sv->page, sv);
	} else
		error_reply(sv, 404, r);
	return -1;
}

/* Whether read's result ends what it read from: not that nothing came. */
static bool
is_end(ssize_t n)
{
	return n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR);
}

/*
 * Take the latest orders.  Returns how many snapshots came, or -1 when the
 * parent is gone.  Writes of up to PIPE_BUF bytes are whole, so reads of
 * what was written are, too.
 */
static int
orders_drain(struct service *sv)
{
	int count = 0;
	ssize_t n;

	while ((n = read(sv->orders_fd, &sv->orders, sizeof(sv->orders))) > 0)
		count++;
	if (count > 0)
		sv->proved = NULL;
	return is_end(n) ? -1 : count;
}

/* Set when a connection's patience ends; sv->until must not be later. */
static void
conn_wait(struct service *sv, struct conn *c, int64_t ms)
{
	c->until = sv->now + ms;
	sv->until = sooner(sv->until, c->until);
}

/* The same for a client that is slow, as -t says. */
static void
conn_bear(struct service *sv, struct conn *c, int64_t ms)
{
	conn_wait(sv, c, sv->opt->patience > 0 ? sv->opt->patience : ms);
}

/*
 * Add a line of text, "-" for none, to one of the log: what is not plain
 * ASCII, a quote or a backslash as \xHH, so that no client can forge one.
 */
static void
log_add(struct buf *b, const char *text)
{
	size_t i;

	if (text == NULL)
		text = "-";
	for (i = 0; i < LOG_MAX && strchr("\r\n", text[i]) == NULL; i++)
		if (text[i] < ' ' || text[i] > '~' || text[i] == '"' ||
		    text[i] == '\\')
			buf_printf(b, "\\x%02x", (unsigned char)text[i]);
		else
			buf_add(b, text + i, 1);
}

/* Begin the line of a reply; its bytes are counted while it is sent. */
static void
conn_log(struct service *sv, struct conn *c, int status)
{
	const char *const *f = sv->request.field;
	char host[INET6_ADDRSTRLEN] = "-", date[64] = "-";
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct tm tm;

	if (getpeername(c->fd, (struct sockaddr *)&ss, &len) == 0)
		address_text((struct sockaddr *)&ss, host);
	if (localtime_r(&sv->clock.tv_sec, &tm) != NULL)
		strftime(date, sizeof(date), "%d/%b/%Y:%H:%M:%S %z", &tm);
	buf_clear(&c->line);
	buf_printf(&c->line, "%s - - [%s] \"", host, date);
	log_add(&c->line, sv->in + strspn(sv->in, "\r\n"));
	buf_printf(&c->line, "\" %d ", status);
	c->line.at = c->line.len;
	buf_puts(&c->line, " \"");
	log_add(&c->line, f[FIELD_REFERER]);
	buf_puts(&c->line, "\" \"");
	log_add(&c->line, f[FIELD_USER_AGENT]);
	buf_puts(&c->line, "\"\n");
}

/* Write the log's lines, at once; that they are lost is said once. */
static void
log_flush(struct service *sv)
{
	if (sv->log.len > 0 && !sv->log.failed) {
		if (write(sv->opt->log, sv->log.data, sv->log.len) != -1)
			sv->log_mute = false;
		else if (!sv->log_mute) {
			sv->log_mute = true;
			say_why(WARNING, sv->opt->logfile);
		}
	}
	buf_clear(&sv->log);
}

/* The reply is over: its line is ready. */
static void
conn_logged(struct service *sv, struct conn *c)
{
	if (c->line.len == 0)
		return;
	buf_add(&sv->log, c->line.data, c->line.at);
	buf_printf(&sv->log, "%jd", (intmax_t)(c->sent > 0 ? c->sent : 0));
	buf_add(&sv->log, c->line.data + c->line.at, buf_left(&c->line));
	buf_free(&c->line);
	if (sv->log.len > INLINE_MAX)
		log_flush(sv);
}

/* Let the file of a reply go, and the buffer, to be used again. */
static void
conn_finish(struct service *sv, struct conn *c)
{
	conn_logged(sv, c);
	if (c->corked)
		extra_cork(c->fd, 0);
	c->corked = false;
	fd_close(&c->file);
	buf_free(&c->tail);
	listing_free(&c->listing);
	c->left = 0;
	c->held_until = 0;
	if (sv->spare.data == NULL && !c->out.failed) {
		buf_clear(&c->out);
		buf_move(&sv->spare, &c->out);
	} else
		buf_free(&c->out);
}

static void
conn_close(struct service *sv, struct conn *c)
{
	conn_finish(sv, c);
	buf_free(&c->in);
	fd_close(&c->fd);
	c->state = CONN_CLOSED;
}

/* Whether the file that is sent is as it was; the log, 0, may grow. */
static bool
conn_unchanged(const struct conn *c)
{
	struct stat st;

	return c->bytes == 0 ||
	    (fstat(c->file, &st) == 0 && stat_bytes(&st) == c->bytes);
}

/*
 * Add the next piece of the file to the reply.  False when the file is not
 * any more what the head says, for a build may write while we send: then
 * the connection must end, so that the client sees that it has not all.
 */
static bool
conn_fill(struct conn *c)
{
	size_t n = c->left < CHUNK ? (size_t)c->left : CHUNK;
	ssize_t r;

	if (!buf_room(&c->out, n))
		return false;
	if ((r = pread(c->file, c->out.data + c->out.len, n, c->at)) <= 0 ||
	    !conn_unchanged(c))
		return false;
	c->out.len += (size_t)r;
	c->at += r;
	c->left -= r;
	if (c->left == 0)
		buf_add(&c->out, c->tail.data, c->tail.len);
	return true;
}

/*
 * Put the script into the page that is to be sent: into sv->page with all
 * of it or, of a long one, behind it.  UTF-16 is left alone.  False when
 * the file changed meanwhile.
 */
static bool
conn_insert(struct service *sv, struct conn *c, struct reply *r)
{
	struct buf text = { 0 };
	char more[32], begin[2];
	size_t at;
	bool ok;

	if (r->length > INSERT_MAX) {
		if (pread(c->file, begin, 2, 0) == 2 && !is_utf16(begin, 2))
			script_add(&c->tail, sv, "");
		r->length += (off_t)c->tail.len;
		return true;
	}
	c->left = r->length;
	c->at = 0;
	buf_room(&c->out, 1);
	while (c->left > 0 && conn_fill(c))
		;
	ok = c->left == 0 && !c->out.failed && conn_unchanged(c);
	buf_move(&text, &c->out);
	if (ok) {
		fd_close(&c->file);
		buf_clear(&sv->page);
		at = body_end(text.data, text.len);
		snprintf(more, sizeof(more), " data-hash=\"%u\"",
		    (unsigned)page_hash(text.data, text.len));
		buf_add(&sv->page, text.data, at);
		if (!is_utf16(text.data, text.len))
			script_add(&sv->page, sv, more);
		buf_add(&sv->page, text.data + at, text.len - at);
	}
	buf_free(&text);
	return ok;
}

/* What we read changed meanwhile: answer once more, but not for ever. */
static void
conn_retry(struct conn *c)
{
	c->state = c->tries++ < TRIES_MAX && !c->out.failed ? CONN_HOLD :
	    CONN_CLOSED;
}

/*
 * Compose the reply: its head, then as much of its body as is sent with
 * it, which is what was kept, sv->page, or the first piece of the file.
 */
static OUT_OF_LINE void
conn_compose(struct service *sv, struct conn *c, struct reply *r)
{
	struct buf *page = &sv->page;
	time_t now = sv->clock.tv_sec;

	buf_free(&c->out);
	if (r->insert && c->file != -1 && r->status != 304 &&
	    !conn_insert(sv, c, r)) {
		conn_retry(c);
		return;
	}
	buf_move(&c->out, &sv->spare);
	if (c->file == -1 && r->kept == NULL)
		r->length = (off_t)page->len;
	if (now != sv->date_at) {
		sv->date_at = now;
		date_format(sv->date, now);
	}
	reply_head(&c->out, r, now, sv->date);
	c->sent = -(off_t)c->out.len;
	c->left = c->file != -1 ? r->length - (off_t)c->tail.len : 0;
	c->at = r->first;
	c->stream = r->stream && sv->request.method == METHOD_GET;
	c->keep = r->keep;
	c->state = CONN_SEND;
	if (sv->request.method == METHOD_HEAD || r->status == 304)
		c->left = 0;
	else if (r->kept != NULL)
		buf_add(&c->out, r->kept->data + r->kept->fields,
		    r->kept->length);
	else if (c->file == -1) {
		buf_add(&c->out, page->data, page->len);
		c->listing = sv->listing;
		sv->listing = NULL;
	} else if (c->left > 0 && c->left <= INLINE_MAX && !conn_fill(c))
		conn_retry(c);
	else if ((c->left == 0 ? r->length <= CACHE_FILE :
	    c->left == r->length) && r->cachable && r->status == 200 &&
	    !r->simple && !c->out.failed &&
	    !is_racy(&r->st->st_ctim, &sv->clock))
		cache_add(sv, r, &c->out, c->left > 0 ? c->file : -1);
	listing_free(&sv->listing);
	conn_bear(sv, c, IDLE_TIME);
	if (c->out.failed || page->failed)
		c->state = CONN_CLOSED;
	if (page->cap > INLINE_MAX || page->failed)
		buf_free(page);
}

/*
 * Whether a request must wait, for a build is writing its answer; at most
 * HOLD_TIME, and not when we stop: then it is told of the build.
 */
static bool
conn_held(struct service *sv, struct conn *c)
{
	if (!sv->orders.hold || sv->draining)
		return false;
	sv->holding = true;
	if (c->held_until == 0) {
		c->held_until = sv->now + HOLD_TIME;
		conn_wait(sv, c, HOLD_TIME);
	}
	return sv->now < c->held_until;
}

/*
 * Answer the head of len bytes in sv->head: with status, 0: as it deserves.
 * The reply is composed in c; or c is held, if there is a build under way
 * or one began meanwhile, for what we read may be half of a page (R9).
 */
static void
conn_answer(struct service *sv, struct conn *c, size_t len, int status)
{
	struct request *rq = &sv->request;
	struct reply r = { .status = 200, .size = -1, .mark = "" };

	clock_gettime(CLOCK_REALTIME, &sv->clock);
	if (status == 0)
		status = request_parse(rq, sv->head, len);
	else
		memset(rq, 0, sizeof(*rq));
	c->linger |= status != 0 || rq->body;
	r.simple = status == 0 && rq->minor == -1;
	r.keep = status == 0 && rq->keep && !sv->draining;
	if ((status = request_refused(sv, status)) == 0 && rq->own == NULL &&
	    sv->orders.hold) {
		if (conn_held(sv, c)) {
			c->state = CONN_HOLD;
			return;
		}
		status = 503;
	}
	if (status == 301)
		redirect_reply(sv, &r, "");
	else if (status != 0)
		error_reply(sv, status, &r);
	else if (rq->own != NULL) {
		c->file = own_reply(sv, &r);
		c->bytes = 0;
	} else {
		c->file = request_answer(sv, &r);
		c->bytes = stat_bytes(&sv->st);
	}
	conn_compose(sv, c, &r);
	if (c->state == CONN_CLOSED)
		conn_close(sv, c);
	if (status == 0 && rq->own == NULL && sv->opt->command != NULL &&
	    !sv->draining && c->state == CONN_SEND && orders_drain(sv) > 0)
		c->state = CONN_HOLD;
	if (c->state == CONN_HOLD)
		conn_finish(sv, c);
	else if (c->state == CONN_SEND) {
		c->tries = 0;
		if (sv->opt->log != -1)
			conn_log(sv, c, r.status);
	}
}

/*
 * Read what came into c->in: once a step at most, so that none can keep the
 * others waiting.
 */
static void
conn_read(struct service *sv, struct conn *c)
{
	size_t have = buf_left(&c->in);
	ssize_t n = read(c->fd, sv->in, HEAD_MAX - have);

	c->was_read = true;
	sv->proved = NULL;
	if (n > 0) {
		if (have == 0)
			conn_bear(sv, c, HEAD_TIME);
		buf_add(&c->in, sv->in, (size_t)n);
	}
	if (is_end(n) || c->in.failed)
		conn_close(sv, c);
}

/*
 * READ: answer the first whole head, or what will never be one or is late;
 * read once if there is none.  Returns whether there is more to do at once.
 */
static bool
conn_input(struct service *sv, struct conn *c)
{
	size_t have, len;

	for (;;) {
		if ((have = buf_left(&c->in)) > 0)
			memcpy(sv->in, c->in.data + c->in.at, have);
		if ((len = head_length(sv->in, have)) > 0 || c->was_read)
			break;
		conn_read(sv, c);
	}
	if (have == 0)
		return false;
	sv->in[have] = '\0';
	if (len > 0) {
		memcpy(sv->head, sv->in, len);
		sv->head[len] = '\0';
		conn_answer(sv, c, len, 0);
	} else if ((unsigned char)sv->in[0] < ' ' && sv->in[0] != '\r' &&
	    sv->in[0] != '\n')
		conn_answer(sv, c, 0, 400);	/* such as TLS */
	else if (have == HEAD_MAX)
		conn_answer(sv, c, 0, memchr(sv->in, '\n', have) == NULL ?
		    414 : 431);
	else if (sv->now >= c->until)
		conn_answer(sv, c, 0, 408);
	if (c->state == CONN_CLOSED)
		return false;
	if (c->state == CONN_HOLD)
		len = 0;
	buf_clear(&c->in);
	buf_add(&c->in, sv->in + len, have - len);
	if (have == len)
		buf_free(&c->in);
	return c->state == CONN_SEND || c->state == CONN_HOLD;
}

/*
 * Send the next piece: what is composed, then the file, by sendfile while
 * that is possible.  But a build may write while we send, so the last piece
 * goes through conn_fill, which sees that: a file that changed before it
 * was sent is never sent to its end.  (What sendfile has queued shares the
 * file's memory until the client has it.)  Returns what write(2) does, and
 * in *size what was to be sent.
 */
static ssize_t
conn_send(struct service *sv, struct conn *c, size_t *size)
{
	ssize_t n = -1;

	if (c->left > 0 && !c->corked) {
		c->corked = true;
		extra_cork(c->fd, 1);
	}
	if (buf_left(&c->out) == 0) {
		buf_clear(&c->out);
		if (c->listing != NULL && !listing_write(&c->out, sv,
		    c->listing))
			listing_free(&c->listing);
		if (c->left > SENDFILE_REST) {
			/* A change is seen before the last, anyway. */
			if (c->sent > 0 && !conn_unchanged(c))
				return errno = EIO, -1;
			*size = c->left - SENDFILE_REST < SENDFILE_MAX ?
			    (size_t)c->left - SENDFILE_REST : SENDFILE_MAX;
			n = extra_sendfile(c->fd, c->file, &c->at, *size);
			if (n > 0)
				c->left -= n;
			if (n > 0 || (n == -1 && errno == EAGAIN))
				return n;
		}
		if (c->out.failed || (c->left > 0 && !conn_fill(c)))
			return errno = EIO, -1;
	}
	*size = buf_left(&c->out);
	n = write(c->fd, c->out.data + c->out.at, *size);
	if (n > 0)
		c->out.at += (size_t)n;
	return n;
}

/*
 * SEND: the reply, a few pieces in a turn, and none after one that did not
 * go out whole: the next is cheaper once there is room for much of it.
 * Returns whether all is sent and there is more to do at once.
 */
static bool
conn_output(struct service *sv, struct conn *c)
{
	size_t size = 0;
	ssize_t n;
	int turn;

	for (turn = 0; c->left > 0 || buf_left(&c->out) > 0 ||
	    c->listing != NULL; turn++) {
		if (turn == TURN_MAX)
			return false;
		n = conn_send(sv, c, &size);
		if (n == -1 && errno != EAGAIN && errno != EINTR)
			conn_close(sv, c);
		if (n == -1)
			return false;
		c->sent += n;
		conn_bear(sv, c, IDLE_TIME);
		/* It may not all have arrived when we close. */
		c->linger |= turn > 0 || (size_t)n < size;
		if ((size_t)n < size)
			return false;
	}
	if (c->stream && !sv->draining) {
		buf_clear(&c->out);
		c->state = CONN_STREAM;
		conn_wait(sv, c, PING_TIME);
		return false;
	}
	conn_finish(sv, c);
	if (c->keep && !sv->draining) {
		c->state = CONN_READ;
		if (buf_left(&c->in) > 0)
			conn_bear(sv, c, HEAD_TIME);
		return buf_left(&c->in) > 0;
	}
	if (c->linger && !sv->draining && shutdown(c->fd, SHUT_WR) == 0) {
		c->state = CONN_LINGER;
		conn_wait(sv, c, LINGER_TIME);
		return true;
	}
	conn_close(sv, c);
	return false;
}

/* Let a connection do what it can without waiting. */
static void
conn_step(struct service *sv, struct conn *c)
{
	bool more = true;
	int turn;

	for (turn = 0; more && turn < 2 * TURN_MAX; turn++)
		switch (c->state) {
		case CONN_READ:
			more = conn_input(sv, c);
			break;
		case CONN_HOLD:
			if ((more = !conn_held(sv, c)))
				c->state = CONN_READ;
			break;
		case CONN_SEND:
			more = conn_output(sv, c);
			break;
		case CONN_STREAM:
		case CONN_LINGER:	/* discard (RFC 9112, 9.6) */
			if (is_end(read(c->fd, sv->in, sizeof(sv->in))))
				conn_close(sv, c);
			/* FALLTHROUGH */
		case CONN_CLOSED:
			more = false;
			break;
		}
	c->more = more;
	c->was_read = false;
}

/* What a connection waits for; to go on, for what is there already. */
static short
conn_events(const struct conn *c)
{
	if (c->more)
		return POLLIN | POLLOUT;
	switch (c->state) {
	case CONN_READ:
	case CONN_STREAM:
	case CONN_LINGER:
		return POLLIN;
	case CONN_SEND:
		return POLLOUT;
	case CONN_HOLD:
	case CONN_CLOSED:
		break;
	}
	return 0;
}

/* A connection's patience has ended; READ tells a slow one so itself. */
static void
conn_expire(struct service *sv, struct conn *c)
{
	if (c->state == CONN_STREAM) {
		buf_puts(&c->out, ":\n\n");
		c->state = CONN_SEND;
	} else if (c->state != CONN_HOLD &&
	    (c->state != CONN_READ || buf_left(&c->in) == 0))
		conn_close(sv, c);
}

/* Connections i and j change places. */
static void
service_swap(struct service *sv, size_t i, size_t j)
{
	struct pollfd p = sv->polls[sv->first + i];
	struct conn c = sv->conns[i];

	sv->polls[sv->first + i] = sv->polls[sv->first + j];
	sv->polls[sv->first + j] = p;
	sv->conns[i] = sv->conns[j];
	sv->conns[j] = c;
}

/*
 * Let connection i step.  If it ended, the last of its kind, busy or quiet,
 * takes its place; so those above i, which were done before, stay done.
 */
static void
service_step(struct service *sv, size_t i)
{
	struct pollfd *p = &sv->polls[sv->first + i];
	struct conn *c = &sv->conns[i];

	if ((p->revents & (POLLERR | POLLNVAL)) != 0 ||
	    (c->state == CONN_HOLD && (p->revents & POLLHUP) != 0))
		conn_close(sv, c);
	p->revents = 0;
	c->stirred = true;
	conn_step(sv, c);
	p->events = conn_events(c);
	if (c->state != CONN_CLOSED)
		return;
	if (i < sv->busy) {
		service_swap(sv, i, --sv->busy);
		i = sv->busy;
	}
	service_swap(sv, i, --sv->count);
	sv->full = false;
}

/*
 * After all were polled: those that are ready, and the busy ones that have
 * moved since the last time, are the busy ones.  A poll costs by the number
 * of descriptors, and most connections are open for a request that does not
 * come: the more there are, the later is the next time.
 */
static void
service_sweep(struct service *sv)
{
	size_t i, was = sv->busy;

	for (i = sv->busy = 0; i < sv->count; i++)
		if (sv->polls[sv->first + i].revents != 0 ||
		    (i < was && sv->conns[i].stirred)) {
			sv->conns[i].stirred = false;
			service_swap(sv, i, sv->busy++);
		}
	sv->sweep_at = sv->now + SWEEP_TIME + (int64_t)sv->count /
	    SWEEP_CONNS;
}

/*
 * Let the ready connections step: poll found so many, listeners included.
 * What they sent is read first, so that one stat of a file is later than
 * all requests for it; one that closes by that is removed in its step.
 */
static void
service_turn(struct service *sv, int ready)
{
	size_t i;
	int left, reads = 0;

	for (i = sv->busy, left = ready; left > 0 && i-- > 0;)
		if (sv->polls[sv->first + i].revents != 0) {
			left--;
			if (sv->conns[i].state == CONN_READ &&
			    buf_left(&sv->conns[i].in) == 0 &&
			    reads++ < READ_MAX)
				conn_read(sv, &sv->conns[i]);
		}
	for (i = sv->busy, left = ready; left > 0 && i-- > 0;)
		if (sv->polls[sv->first + i].revents != 0) {
			left--;
			service_step(sv, i);
		}
}

/* Let those go whose patience has ended; find the next whose will. */
static void
service_expire(struct service *sv)
{
	struct conn *c;
	size_t i;

	if (sv->until == 0 || sv->now < sv->until)
		return;
	for (sv->until = 0, i = sv->count; i-- > 0;) {
		c = &sv->conns[i];
		if (c->until > sv->now)
			sv->until = sooner(sv->until, c->until);
		else {
			conn_expire(sv, c);
			service_step(sv, i);
		}
	}
}

/* Let the one go that has been idle longest.  False when none is idle. */
static bool
service_evict(struct service *sv)
{
	int64_t until, first = INT64_MAX;
	struct conn *c, *oldest = NULL;

	for (c = sv->conns; c < sv->conns + sv->count; c++) {
		until = c->until + (buf_left(&c->in) > 0 ? IDLE_TIME : 0);
		if ((c->state == CONN_READ || c->state == CONN_STREAM) &&
		    until < first) {
			oldest = c;
			first = until;
		}
	}
	if (oldest == NULL)
		return false;
	conn_close(sv, oldest);
	service_step(sv, (size_t)(oldest - sv->conns));
	return true;
}

/* Room for another connection; false when there is none to be had. */
static bool
service_room(struct service *sv)
{
	size_t cap = sv->cap > 0 ? sv->cap * 2 : 16;
	struct pollfd *polls;
	struct conn *conns;

	if (sv->count == sv->max)
		return service_evict(sv);
	if (sv->count < sv->cap)
		return true;
	if ((conns = realloc(sv->conns, cap * sizeof(*conns))) != NULL)
		sv->conns = conns;
	if ((polls = realloc(sv->polls, (sv->first + cap) *
	    sizeof(*polls))) != NULL)
		sv->polls = polls;
	if (conns == NULL || polls == NULL)
		return service_evict(sv);
	sv->cap = cap;
	return true;
}

/* Accept some of what waits at a listener, and let each step at once. */
static void
service_accept(struct service *sv, int listener)
{
	struct conn *c;
	int fd, turn;

	for (turn = 0; turn < ACCEPT_MAX && !sv->full; turn++) {
		if (!service_room(sv)) {
			sv->full = true;
			return;
		}
		fd = extra_accept(listener);
		if (fd == -1 && (errno == ENOSYS || errno == EPERM) &&
		    (fd = accept(listener, NULL, NULL)) != -1)
			fd_prepare(fd);
		if (fd == -1 && status_of_errno() != 503)
			return;
		if (fd == -1) {
			sv->full = !service_evict(sv);
			continue;
		}
		c = &sv->conns[sv->count];
		memset(c, 0, sizeof(*c));
		c->fd = fd;
		c->file = -1;
		conn_bear(sv, c, IDLE_TIME);
		sv->polls[sv->first + sv->count].fd = fd;
		sv->polls[sv->first + sv->count].revents = 0;
		service_swap(sv, sv->count++, sv->busy);
		service_step(sv, sv->busy++);
	}
}

static void
listeners_close(struct listeners *l)
{
	size_t i;

	for (i = 0; i < l->count; i++)
		fd_close(&l->fd[i]);
}

/* No more clients; responses in flight go out, the rest ends now. */
static void
service_drain(struct service *sv)
{
	size_t i;

	sv->draining = true;
	sv->drain_until = sv->now + DRAIN_TIME;
	listeners_close(sv->listeners);
	for (i = sv->count; i-- > 0;) {
		if (sv->conns[i].state == CONN_READ || sv->conns[i].stream ||
		    sv->conns[i].state == CONN_LINGER)
			conn_close(sv, &sv->conns[i]);
		service_step(sv, i);
	}
}

/* Tell the event streams how things are now; one that does not read ends. */
static void
service_tell(struct service *sv)
{
	struct conn *c;
	size_t i;

	sv->told = sv->orders;
	snprintf(sv->mark, sizeof(sv->mark), "-%s.%u", sv->start,
	    sv->orders.done);
	for (i = sv->count; i-- > 0;) {
		c = &sv->conns[i];
		if (!c->stream)
			continue;
		event_add(&c->out, sv);
		c->state = CONN_SEND;
		if (c->out.failed || buf_left(&c->out) > STREAM_MAX)
			conn_close(sv, c);
		service_step(sv, i);
	}
}

/*
 * Obey the latest orders: stop, tell of the builds, let go those that were
 * held.
 */
static void
service_obey(struct service *sv)
{
	size_t i;

	if ((sv->orders.stopping || sv->site.moved) && !sv->draining)
		service_drain(sv);
	if (sv->orders.reopen != sv->told.reopen)
		logs_reopen(sv->opt);
	if (memcmp(&sv->told, &sv->orders, sizeof(sv->told)) != 0)
		service_tell(sv);
	if (!sv->holding || sv->orders.hold)
		return;
	sv->holding = false;
	for (i = sv->count; i-- > 0;)
		if (sv->conns[i].state == CONN_HOLD)
			service_step(sv, i);
}

/*
 * How many connections there may be: as many as descriptors, less those for
 * files.  The soft limit is set to that, if it can be.
 */
static size_t
conn_limit(void)
{
	const rlim_t want = CONN_MAX + CONN_MAX / 8 + FD_SPARE;
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == -1)
		return CONN_MAX;
	lim.rlim_cur = lim.rlim_max < want ? lim.rlim_max : want;
	setrlimit(RLIMIT_NOFILE, &lim);
	getrlimit(RLIMIT_NOFILE, &lim);
	if (lim.rlim_cur >= want)
		return CONN_MAX;
	return lim.rlim_cur < 2 * FD_SPARE ? FD_SPARE / 4 :
	    (size_t)(lim.rlim_cur - FD_SPARE) / 9 * 8;
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
 * Give up what serving does not need.  A docroot that builds make again must
 * stay in reach, so what is allowed is the directory that holds it; one that
 * goes elsewhere needs a server with other rights.
 */
static void
service_confine(struct service *sv)
{
	const struct options *opt = sv->opt;
	const struct rlimit none = { 0, 0 };
	char root[PATH_LEN], log[PATH_LEN];
	struct stat st;

	tzset();
#ifdef RLIMIT_NPROC
	setrlimit(RLIMIT_NPROC, &none);
#endif
	setrlimit(RLIMIT_CORE, &none);
	snprintf(root, sizeof(root), opt->command == NULL ? "%s" : "%s/..",
	    opt->root);
	if (stat(root, &st) == -1) {	/* the first build is to make it */
		path_copy(root, opt->root);
		path_parent(root);
	}
	if (opt->logfile != NULL)
		path_copy(log, opt->logfile);
	say(DETAIL, "server: confined by %s", extra_sandbox(opt->follow ?
	    "/" : root, opt->logfile != NULL ? path_parent(log) : NULL));
}

/* Allot what the service needs; at worst the server exits and is replaced. */
static void
service_open(struct service *sv)
{
	sv->max = conn_limit();
	sv->first = 1 + sv->listeners->count;
	sv->polls = must_alloc(sv->first * sizeof(*sv->polls));
	sv->polls[0].fd = sv->orders_fd;
	sv->polls[0].events = POLLIN;
	sv->site.opt = sv->opt;
	sv->site.fd = -1;
	service_confine(sv);
	sv->now = clock_ms();
}

/*
 * Close what was kept open for CACHE_TIME, for it may have been removed; at
 * rest all of it and, but for that of -A, the docroot, so that it can be
 * unmounted.
 */
static void
service_release(struct service *sv)
{
	struct cached **c;

	for (c = sv->open; c < sv->open + CACHE_OPEN; c++)
		if (*c != NULL && (sv->busy == 0 || sv->now >= (*c)->until))
			cache_drop(sv, c);
	if (sv->busy == 0 && !sv->opt->atomic)
		fd_close(&sv->site.fd);
}

/*
 * Wait for orders, clients and connections: the busy ones while there are
 * any, all of them now and then, and when none is busy.  Returns how many
 * are ready.
 */
static int
service_wait(struct service *sv)
{
	int64_t until = sooner(sv->until, sv->drain_until);
	bool all = sv->busy == 0 || sv->now >= sv->sweep_at;
	size_t i, count = sv->first + (all ? sv->count : sv->busy);
	int ready, wait;

	for (i = 0; i < sv->listeners->count; i++) {
		sv->polls[1 + i].fd = sv->listeners->fd[i];
		sv->polls[1 + i].events = sv->full ? 0 : POLLIN;
	}
	if (sv->full)
		until = sooner(until, sv->now + RETRY_TIME);
	if (sv->busy > 0)
		until = sooner(until, sv->sweep_at);
	service_release(sv);
	/* Not to wait is cheaper: poll need not queue at each of them. */
	wait = all && sv->busy > 0 ? 0 : poll_time(until, sv->now);
	ready = poll(sv->polls, (nfds_t)count, wait);
	sv->now = clock_ms();
	sv->proved = NULL;
	if (ready <= 0)
		for (i = 0; i < count; i++)
			sv->polls[i].revents = 0;
	if (ready == 0 && wait != 0)
		sv->full = false;
	if (all)
		service_sweep(sv);
	return ready > 0 ? ready : 0;
}

/* What is allotted goes with the process; what was cut short is logged. */
static void
service_close(struct service *sv)
{
	while (sv->count > 0)
		conn_close(sv, &sv->conns[--sv->count]);
	log_flush(sv);
	fd_close(&sv->orders_fd);
	fd_close(&sv->builds_log);
	fd_close(&sv->site.fd);
	if (sv->opt->log != -1)
		close(sv->opt->log);
}

/*
 * The server's life: orders first, then the connections, then new ones, so
 * that no stale readiness is acted on.  Returns when it is to exit.
 */
static void
serve(struct service *sv)
{
	size_t i;
	int ready;

	service_open(sv);
	for (;;) {
		service_obey(sv);
		log_flush(sv);
		if (sv->draining && (sv->count == 0 ||
		    sv->now >= sv->drain_until))
			return;
		ready = service_wait(sv);
		if (sv->polls[0].revents != 0) {
			ready--;
			if (orders_drain(sv) == -1) {
				sv->orders.stopping = true;
				sv->polls[0].fd = -1;
			}
		}
		service_turn(sv, ready);
		service_expire(sv);
		for (i = 0; i < sv->listeners->count; i++)
			if (sv->polls[1 + i].revents != 0)
				service_accept(sv, sv->listeners->fd[i]);
	}
}

/* ---------------------------------------------------------------------
 * 5  Watching: the parent's view of the sources
 *
 * The snapshot is a tree of directories with the stamps of their entries;
 * a scan compares it with the tree as it is.  The -w operands are the
 * entries of a directory without a name at its top.  Notification, where
 * there is one, only marks the directories to look at; what changed there
 * the snapshot says, as it does when all of them are scanned.
 * ------------------------------------------------------------------ */

/* How builds in a row changed a thing, to find out who lives on its own. */
struct habit {
	unsigned build;		/* the latest that changed it */
	uint8_t row;		/* how many in a row, each caused by the last */
	bool own;		/* the builds' own: no source */
};

struct entry {
	char *name;
	struct dir *dir;	/* NULL: not a directory that is watched */
	uint64_t stamp;		/* of its stat, 0: not looked at yet */
	uint64_t content;	/* hash of its bytes, 0: not known */
	struct habit habit;
	bool racy;		/* its stamp may miss a change: compare bytes */
};

struct dir {
	struct dir *up;
	struct entry *entries;	/* sorted by name */
	size_t count;
	char *names;		/* what the entries' names point into */
	dev_t dev;
	ino_t ino;
	int number;		/* for notification, 0: none */
	struct habit habit;	/* of its entries' coming and going */
	bool dirty;		/* to be looked at */
	bool below;		/* there are dirty ones below */
	bool mute;		/* that it cannot be read was said */
	char name[];
};

/* Which directory a notification's number means; a number may have many. */
struct numbered {
	int number;
	struct dir *dir;
};

/* What changed: the paths for BLOGSERVE_CHANGED, and how many. */
struct changes {
	struct buf paths;	/* each with a newline; empty if inexact */
	size_t count;
	bool inexact;		/* anything may have changed */
	bool others;		/* not stylesheets alone, or their sources */
};

struct watch {
	const struct options *opt;
	struct dir *top;
	int notify;		/* -1: scanning tells all */
	struct numbered *numbered;	/* sorted by number */
	size_t numbered_count, numbered_cap;
	bool overflowed;	/* that events were lost was said */
	int64_t heard_at;	/* the latest event not looked into, 0: none */
	int64_t first_at;	/* the first of them */
	int64_t scan_at;	/* when to look at everything */
	int64_t cost;		/* ms of processor time that this took */
	size_t files;
	/* The scan under way. */
	struct changes *changes;	/* where to, NULL: the first scan */
	bool all;		/* look at every directory */
	bool after_build;	/* compare what changed by its bytes ... */
	struct timespec ended;	/* ... unless that was later than this */
	unsigned build;		/* the latest */
	bool caused;		/* by nothing but the one before */
	bool dropped;		/* a change was held to be the build's own */
	/* What the walk leaves out: what we write ourselves, ... */
	struct stat own[4];
	/* ... and the docroot, if a command makes it. */
	struct stat out, out_parent;
};

/* The name is not a source by itself, or -x says so of name or path. */
static bool
name_ignored(const struct options *opt, const char *name, const char *path)
{
	const char **x;
	size_t n = strlen(name);

	if (name[0] == '.' || name[n - 1] == '~' || strcmp(name, "4913") == 0 ||
	    (name[0] == '#' && name[n - 1] == '#') ||
	    (n > 4 && strcmp(name + n - 4, ".swp") == 0))
		return true;
	for (x = opt->exclude; *x != NULL; x++)
		if (fnmatch(*x, name, 0) == 0 ||
		    (path != NULL && fnmatch(*x, path, 0) == 0))
			return true;
	return false;
}

/* The path of name in d, as given to -w, without "./"; and a NUL. */
static void
path_add(struct buf *b, const struct dir *d, const char *name)
{
	if (d->up != NULL) {
		path_add(b, d->up, d->name);
		b->len -= b->len > 0;
		if (buf_left(b) == 1 && b->data[b->at] == '.')
			b->len--;
		else if (b->len > 0 && b->data[b->len - 1] != '/')
			buf_puts(b, "/");
	}
	buf_add(b, name, strlen(name) + 1);
}

/* A warning about name in d: what is wrong with it. */
static void
path_warn(const struct dir *d, const char *name, const char *what)
{
	struct buf path = { 0 };

	path_add(&path, d, name);
	say(WARNING, "%s: %s", path.failed ? name : path.data, what);
	buf_free(&path);
}

/* Whether the lines of b hold this one, its newline included. */
static bool
line_listed(const struct buf *b, const char *line, size_t n)
{
	const char *p, *nl, *end;

	if (b->len == 0)
		return false;
	end = b->data + b->len;
	for (p = b->data; p < end; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if ((size_t)(nl + 1 - p) == n && memcmp(p, line, n) == 0)
			return true;
	}
	return false;
}

/* Note that name in d changed; twice the same is once. */
static void
change_add(struct watch *w, const struct dir *d, const char *name)
{
	struct changes *ch = w->changes;
	const char *dot = strrchr(name, '.');
	struct buf path = { 0 };

	if (ch == NULL)
		return;
	if (dot == NULL || !token_listed("css,scss,sass,less,styl", dot + 1))
		ch->others = true;
	path_add(&path, d, name);
	if (path.failed || strchr(path.data, '\n') != NULL ||
	    ch->paths.len + path.len > CHANGED_MAX)
		ch->inexact = true;
	else
		path.data[path.len - 1] = '\n';
	if (ch->inexact)
		ch->count++;
	else if (!line_listed(&ch->paths, path.data, path.len)) {
		buf_add(&ch->paths, path.data, path.len);
		ch->inexact = ch->paths.failed;
		ch->count++;
	}
	buf_free(&path);
}

static void
changes_clear(struct changes *ch)
{
	buf_clear(&ch->paths);
	ch->count = 0;
	ch->inexact = ch->others = false;
}

/*
 * A build changed a thing: whether that counts.  It does, unless as many
 * builds in a row have done so with no other cause: then it is their own,
 * until one leaves it alone.  Its name is told when that is found out.
 */
static bool
habit_counts(struct watch *w, struct habit *h, const struct dir *d,
    const char *name)
{
	if (h->build != w->build) {
		if (h->build + 1 != w->build)
			h->own = false;
		if (h->build + 1 != w->build || !w->caused)
			h->row = 0;
		h->build = w->build;
		if (h->row <= LOOP_MAX)
			h->row++;
	}
	if (!h->own && h->row > LOOP_MAX) {
		h->own = true;
		/* LOOP_MAX */
		path_warn(d, name, "changed by 5 builds in a row: "
		    "no longer a source (see -x)");
	}
	w->dropped |= h->own;
	return !h->own;
}

/*
 * Note that name in d changed, unless it is a build's habit; h is NULL if
 * no build did it.
 */
static void
change_note(struct watch *w, struct habit *h, const struct dir *d,
    const char *name)
{
	if (h == NULL || habit_counts(w, h, d, name))
		change_add(w, d, name);
}

/* The first of those that are numbered so or higher. */
static size_t
numbered_find(const struct watch *w, int number)
{
	size_t low = 0, high = w->numbered_count, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (w->numbered[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Number d; twice is once.  False when memory ran out. */
static bool
numbered_add(struct watch *w, int number, struct dir *d)
{
	size_t i = numbered_find(w, number), cap = w->numbered_cap * 2 + 16;
	struct numbered *more;

	for (; i < w->numbered_count && w->numbered[i].number == number; i++)
		if (w->numbered[i].dir == d)
			return true;
	if (w->numbered_count == w->numbered_cap) {
		if ((more = realloc(w->numbered, cap * sizeof(*more))) == NULL)
			return false;
		w->numbered = more;
		w->numbered_cap = cap;
	}
	memmove(w->numbered + i + 1, w->numbered + i,
	    (w->numbered_count++ - i) * sizeof(*w->numbered));
	w->numbered[i].number = number;
	w->numbered[i].dir = d;
	return true;
}

/* Take out number i. */
static void
numbered_cut(struct watch *w, size_t i)
{
	w->numbered[i].dir->number = 0;
	memmove(w->numbered + i, w->numbered + i + 1,
	    (--w->numbered_count - i) * sizeof(*w->numbered));
}

/* d is to be told of no more. */
static void
numbered_remove(struct watch *w, struct dir *d)
{
	size_t i = numbered_find(w, d->number), same = 0, at = i;

	for (; i < w->numbered_count &&
	    w->numbered[i].number == d->number; i++, same++)
		if (w->numbered[i].dir == d)
			at = i;
	if (same == 1)
		extra_notify_remove(w->notify, d->number);
	numbered_cut(w, at);
}

/* Say what notification cannot do, and which limit that is. */
static void
notify_warn(const char *what, const char *limit)
{
	say(WARNING, "inotify: %s (sysctl fs.inotify.max_%s)", what, limit);
}

/*
 * Be told of directory path, whatever d is known by.  One that cannot be
 * told of is found by the slow scan, but no limit may go unnoticed.
 */
static int
notify_add(struct watch *w, struct dir *d, const char *path, bool written)
{
	int number = extra_notify_add(w->notify, path, written);

	if (number == -1 && errno != ENOSPC && errno != EPERM &&
	    errno != ENOSYS)
		return 0;
	if (number != -1 && numbered_add(w, number, d))
		return number;
	notify_warn("no more watches: scanning instead", "user_watches");
	fd_close(&w->notify);
	w->scan_at = clock_ms() + SCAN_MIN;
	return 0;
}

/* Be told of d, which is open at fd, before its entries are read. */
static void
dir_notify(struct watch *w, struct dir *d, int fd)
{
	struct buf path = { 0 };
	char proc[32];

	if (w->notify == -1 || d->up == NULL || d->number != 0)
		return;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	d->number = notify_add(w, d, proc, true);
	if (d->number != 0 || w->notify == -1)
		return;
	path_add(&path, d->up, d->name);
	if (!path.failed)
		d->number = notify_add(w, d, path.data, true);
	buf_free(&path);
}

/* d is to be looked at. */
static void
dir_mark(struct dir *d)
{
	d->dirty = true;
	while ((d = d->up) != NULL)
		d->below = true;
}

/* Whether a -w operand ends in this name. */
static bool
name_is_root(const struct options *opt, const char *name)
{
	const char **root;

	for (root = opt->watch; *root != NULL; root++)
		if (strcmp(path_name(*root), name) == 0)
			return true;
	return false;
}

/* An event: mark what it is about, but for names that are no sources. */
static void
notify_heard(void *arg, int number, const char *name)
{
	struct watch *w = arg;
	struct dir *d;
	size_t i;

	if (number == -1) {
		if (!w->overflowed)
			notify_warn("events were lost: scanning all",
			    "queued_events");
		w->overflowed = true;
		w->scan_at = clock_ms();
		return;
	}
	for (i = numbered_find(w, number); i < w->numbered_count &&
	    w->numbered[i].number == number; i++) {
		d = w->numbered[i].dir;
		if (name != NULL && *name == '\0') {
			numbered_cut(w, i--);
		} else if (d->up == NULL ?
		    name == NULL || !name_is_root(w->opt, name) :
		    name != NULL && name_ignored(w->opt, name, NULL))
			continue;
		dir_mark(d);
		if (name == NULL)
			dir_mark(d->up);
		w->heard_at = clock_ms();
		if (w->first_at == 0)
			w->first_at = w->heard_at;
	}
}

static void
dir_free(struct watch *w, struct dir *d)
{
	size_t i;

	for (i = 0; i < d->count; i++)
		if (d->entries[i].dir != NULL)
			dir_free(w, d->entries[i].dir);
	if (d->number != 0)
		numbered_remove(w, d);
	free(d->entries);
	free(d->names);
	free(d);
}

/* An entry is there no more, nor is anything below it. */
static void
entry_gone(struct watch *w, struct dir *d, struct entry *e)
{
	size_t i;

	if (e->stamp != 0)
		change_note(w, w->after_build ? &d->habit : NULL, d, e->name);
	e->stamp = e->content = 0;
	e->racy = false;
	if (e->dir == NULL)
		return;
	for (i = 0; i < e->dir->count; i++)
		entry_gone(w, e->dir, &e->dir->entries[i]);
	dir_free(w, e->dir);
	e->dir = NULL;
}

/* Whether a directory below d is already watched. */
static bool
dir_known(const struct dir *d, const struct stat *st)
{
	size_t i;

	if (d->dev == st->st_dev && d->ino == st->st_ino && d->up != NULL)
		return true;
	for (i = 0; i < d->count; i++)
		if (d->entries[i].dir != NULL &&
		    dir_known(d->entries[i].dir, st))
			return true;
	return false;
}

/* Whether an entry of d is the docroot, which the builds write. */
static bool
entry_is_docroot(const struct watch *w, const struct dir *d, const char *name,
    const struct stat *st)
{
	return d->up != NULL && ((d->dev == w->out_parent.st_dev &&
	    d->ino == w->out_parent.st_ino &&
	    strcmp(name, path_name(w->opt->root)) == 0) ||
	    (st->st_dev == w->out.st_dev && st->st_ino == w->out.st_ino));
}

/* Whether a file is where our own output goes: it changes as we speak. */
static bool
entry_is_own(const struct watch *w, const struct stat *st)
{
	size_t i;

	for (i = 0; i < COUNT(w->own); i++)
		if (st->st_dev == w->own[i].st_dev &&
		    st->st_ino == w->own[i].st_ino)
			return true;
	return false;
}

/*
 * A directory that was not watched is, from now on; but what a symlink
 * leads to only once, which also cuts cycles.
 */
static void
entry_descend(struct watch *w, struct dir *d, struct entry *e,
    const struct stat *st, bool link)
{
	size_t n = strlen(e->name) + 1;

	if (link && dir_known(w->top, st))
		return;
	if ((e->dir = calloc(1, sizeof(*e->dir) + n)) == NULL)
		return;
	memcpy(e->dir->name, e->name, n);
	e->dir->up = d;
	e->dir->dirty = true;
}

/* d is the directory with this stat: if that is another one, look at it. */
static void
dir_identify(struct watch *w, struct dir *d, const struct stat *st)
{
	if (d->dev == st->st_dev && d->ino == st->st_ino)
		return;
	d->dev = st->st_dev;
	d->ino = st->st_ino;
	d->dirty = true;
	if (d->number != 0)
		numbered_remove(w, d);
}

/*
 * Look at an entry of the directory open at fd; note whether it changed.
 * What builds have written before counts after a build only if its bytes
 * are others than those last seen; what they have not may have been another
 * meanwhile, and the build may have read that.
 */
static void
entry_look(struct watch *w, struct dir *d, int fd, struct entry *e)
{
	uint64_t stamp, content;
	struct stat st, link = { 0 };
	bool changed, racy, fresh, built, docroot;
	struct timespec now;
	int file;

	clock_gettime(CLOCK_REALTIME, &now);
	if (fstatat(fd, e->name, &st, 0) == -1 &&
	    fstatat(fd, e->name, &st, AT_SYMLINK_NOFOLLOW) == -1) {
		if (errno == ENOENT || errno == ENOTDIR)
			entry_gone(w, d, e);
		return;
	}
	if (entry_is_own(w, &st))
		return;
	docroot = S_ISDIR(st.st_mode) && entry_is_docroot(w, d, e->name, &st);
	if (e->dir != NULL && (docroot || !S_ISDIR(st.st_mode)))
		entry_gone(w, d, e);
	if (docroot)
		return;
	stamp = stat_stamp(&st);
	if (S_ISDIR(st.st_mode)) {
		if (fstatat(fd, e->name, &link, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISLNK(link.st_mode))
			stamp = mix(stamp, stat_stamp(&link) + st.st_ino) | 1;
		if (e->dir == NULL)
			entry_descend(w, d, e, &st, S_ISLNK(link.st_mode));
		if (e->dir != NULL)
			dir_identify(w, e->dir, &st);
	}
	racy = S_ISREG(st.st_mode) && is_racy(&st.st_ctim, &now);
	built = w->after_build && !is_later(&st.st_ctim, &w->ended);
	changed = stamp != e->stamp;
	if (S_ISREG(st.st_mode) && (changed ? racy || built ||
	    e->content != 0 : e->racy)) {
		file = openat(fd, e->name, O_RDONLY | O_NONBLOCK | O_NOCTTY |
		    O_CLOEXEC);
		content = content_hash(file, st.st_size);
		fd_close(&file);
		if (!changed || (built && e->content != 0 &&
		    e->habit.build != 0))
			changed = content != e->content || content == 1;
		e->content = content;
	}
	fresh = e->stamp == 0;
	e->stamp = stamp;
	e->racy = racy;
	if (!changed)
		return;
	change_note(w, built ? fresh ? &d->habit : &e->habit : NULL, d,
	    e->name);
	if (fresh && built)
		e->habit.build = w->build;
}

/*
 * The names in directory d, open at fd, that are sources; of the top the
 * operands of -w.  Returns 0 or an errno: then nothing is known.
 */
static int
names_read(struct watch *w, const struct dir *d, int fd, struct names *names)
{
	const struct options *opt = w->opt;
	struct buf path = { 0 };
	struct dirent *e;
	DIR *stream = NULL;
	const char **root;
	int why;

	if (d->up == NULL)
		for (root = opt->watch; *root != NULL; root++)
			names_add(names, *root);
	else if ((stream = dir_open(fd, ".")) == NULL)
		return errno;
	while (errno = 0, stream != NULL && (e = readdir(stream)) != NULL) {
		buf_clear(&path);
		if (*opt->exclude != NULL)
			path_add(&path, d, e->d_name);
		if (name_ignored(opt, e->d_name, path.data))
			continue;
		names_add(names, e->d_name);
	}
	why = errno;
	buf_free(&path);
	if (stream != NULL)
		closedir(stream);
	return why != 0 ? why : names_sort(names);
}

/*
 * Give d an entry for each name, and no other: what was known of a name
 * stays, and what is gone is noted.  Returns 0 or ENOMEM; then d is as it
 * was.
 */
static int
dir_merge(struct watch *w, struct dir *d, const struct names *names)
{
	struct entry *entries;
	size_t i, j, at = 0, n;
	char *text;
	int cmp;

	for (i = 0; i < names->count && i < d->count &&
	    strcmp(names->list[i], d->entries[i].name) == 0; i++)
		;
	if (i == names->count && i == d->count)
		return 0;
	entries = calloc(names->count + 1, sizeof(*entries));
	text = calloc(1, names->text.len + 1);
	if (entries == NULL || text == NULL) {
		free(entries);
		free(text);
		return ENOMEM;
	}
	for (i = j = 0; i < names->count || j < d->count;) {
		cmp = i == names->count ? 1 : j == d->count ? -1 :
		    strcmp(names->list[i], d->entries[j].name);
		if (cmp > 0) {
			entry_gone(w, d, &d->entries[j++]);
			continue;
		}
		if (cmp == 0)
			entries[i] = d->entries[j++];
		n = strlen(names->list[i]) + 1;
		entries[i].name = memcpy(text + at, names->list[i], n);
		at += n;
		i++;
	}
	free(d->entries);
	free(d->names);
	d->entries = entries;
	d->names = text;
	d->count = names->count;
	return 0;
}

/*
 * Compare a directory, open at fd, with the snapshot, and those below it:
 * all, or the dirty ones.  One that cannot be read stays as it was known.
 */
static void
dir_scan(struct watch *w, struct dir *d, int fd)
{
	struct names names = { .count = 0 };
	bool look = w->all || d->dirty;
	struct entry *e;
	size_t i;
	int sub, why = 0;

	/* In this order, so that no change falls between. */
	d->dirty = d->below = false;
	if (look) {
		dir_notify(w, d, fd);
		if ((why = names_read(w, d, fd, &names)) == 0)
			why = dir_merge(w, d, &names);
		names_free(&names);
		if (why != 0 && !d->mute)
			path_warn(d->up != NULL ? d->up : d, d->name,
			    strerror(why));
		d->mute = why != 0;
	}
	for (i = 0; i < d->count; i++) {
		e = &d->entries[i];
		if (look) {
			entry_look(w, d, fd, e);
			w->files++;
		}
		if (e->dir == NULL || !(w->all || e->dir->dirty ||
		    e->dir->below))
			continue;
		sub = openat(fd, e->name, O_RDONLY | O_DIRECTORY | O_NONBLOCK |
		    O_CLOEXEC);
		if (sub != -1) {
			dir_scan(w, e->dir, sub);
			close(sub);
		} else if (errno != ENOENT && !e->dir->mute) {
			e->dir->mute = true;
			path_warn(d, e->name, strerror(errno));
		}
	}
}

/*
 * Be told of the -w operands' coming and going, and of what is written to
 * those that are files: of the directories that they are in, where those
 * have names.  Much may be written there that is none of ours.
 */
static void
watch_roots(struct watch *w)
{
	const struct options *opt = w->opt;
	const char **root, *name;
	char path[PATH_LEN];
	struct stat st;

	for (root = opt->watch; *root != NULL && w->notify != -1; root++) {
		name = path_name(*root);
		path_copy(path, *root);
		if (name[strspn(name, ".")] != '\0')
			notify_add(w, w->top, path_parent(path),
			    stat(*root, &st) == -1 || !S_ISDIR(st.st_mode));
	}
}

/* When everything is to be looked at again: by cost, or as -i says. */
static int64_t
watch_interval(const struct watch *w)
{
	bool told = w->notify != -1;
	int64_t ms = (w->cost + 1) * (told ? SLOW_SHARE : SCAN_SHARE);
	int64_t min = told ? SLOW_MIN : SCAN_MIN;
	int64_t max = told ? SLOW_MAX : SCAN_MAX;

	if (w->opt->interval > 0)
		return w->opt->interval;
	return ms < min ? min : ms > max ? max : ms;
}

/* Look at everything, or only where something is known to have changed. */
static void
watch_scan(struct watch *w, bool all)
{
	const int own[] = { STDOUT_FILENO, STDERR_FILENO, w->opt->log,
	    w->opt->pid };
	int64_t began = clock_of(CLOCK_PROCESS_CPUTIME_ID);
	char path[PATH_LEN];
	size_t i;

	for (i = 0; i < COUNT(own); i++)	/* a log may have been reopened */
		fstat(own[i], &w->own[i]);
	w->all = all;
	w->heard_at = w->first_at = 0;
	w->files = 0;
	w->out.st_ino = w->out_parent.st_ino = 0;
	if (w->opt->command != NULL) {
		path_copy(path, w->opt->root);
		stat(path, &w->out);
		stat(path_parent(path), &w->out_parent);
	}
	if (all || w->top->dirty)
		watch_roots(w);
	dir_scan(w, w->top, AT_FDCWD);
	if (all) {
		w->cost = clock_of(CLOCK_PROCESS_CPUTIME_ID) - began;
		w->scan_at = clock_ms() + watch_interval(w);
	}
}

/* Arm the watch, then take the first snapshot. */
static void
watch_open(struct watch *w, const struct options *opt)
{
	w->opt = opt;
	w->top = must_alloc(sizeof(*w->top) + 1);
	if (opt->interval == 0 && (w->notify = extra_notify_open()) == -1) {
		if (errno == EMFILE)
			notify_warn("no more instances: scanning instead",
			    "user_instances");
		else if (errno != 0)
			say_why(WARNING, "inotify");
	}
	watch_scan(w, true);
	say(DETAIL, "watching %zu files", w->files);
}

/* Hear what notification tells; to be looked into when it is time. */
static void
watch_hear(struct watch *w)
{
	if (w->notify != -1)
		extra_notify_drain(w->notify, notify_heard, w);
}

/* When watch_drain is to be called next: what was heard has its quiet. */
static OUT_OF_LINE int64_t
watch_due(const struct watch *w)
{
	return w->heard_at == 0 ? w->scan_at : sooner(w->heard_at + QUIET_TIME,
	    w->first_at + QUIET_MAX);
}

/*
 * Note in ch what changed since the last look, if it is time to look.
 * Returns how long to wait for more: a scan hears nothing by itself, so it
 * has to look again.
 */
static int64_t
watch_drain(struct watch *w, struct changes *ch, int64_t now)
{
	size_t before = ch->count;
	int64_t quiet = w->cost > QUIET_TIME ? w->cost : QUIET_TIME;

	if (now < watch_due(w))
		return 0;
	w->changes = ch;
	w->after_build = false;
	watch_scan(w, now >= w->scan_at);
	if (w->notify != -1 || ch->count == before)
		return 0;
	w->scan_at = sooner(w->scan_at, clock_ms() + quiet);
	return quiet;
}

/*
 * Note in ch what changed during a build, or since it ended: number build,
 * which had, or had not, another cause than the one before.  Returns whether
 * a change was held to be the build's own, and so not noted.
 */
static bool
watch_settle(struct watch *w, struct changes *ch, unsigned build, bool caused,
    const struct timespec *ended)
{
	w->changes = ch;
	w->after_build = true;
	w->ended = *ended;
	w->build = build;
	w->caused = caused;
	w->dropped = false;
	watch_hear(w);
	watch_scan(w, w->notify == -1);
	return w->dropped;
}

/* ---------------------------------------------------------------------
 * 6  Building: wishes (wanted, ...) and facts (pid, ...); build_step moves
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
	unsigned count;		/* of what was to be removed */
	bool site;		/* the docroot has a version */
	bool litter;		/* there is something to remove */
	bool swept;		/* for the last time */
	pid_t remover;		/* which does that; 0: none */
};

struct build {
	const struct options *opt;
	/* Wishes. */
	bool wanted;
	bool foreign;		/* ... not only for what the last one changed */
	bool confirming;
	int64_t since, due_at;	/* wanted since; to be started at */
	int64_t confirm_at;	/* ... once more, to be sure of a drop */
	int64_t term_at;	/* -k, or now: stop it */
	int64_t kill_at;	/* after SIGTERM */
	/* Facts. */
	bool announced;		/* orders say that it begins (R9) */
	bool reaped;		/* though its group may live on */
	bool killed;		/* SIGKILL was sent */
	bool ended;		/* what it changed was not yet looked for */
	bool caused;		/* the latest, by nothing but the one before */
	bool styles;		/* the changes since other were of no others */
	bool mute;		/* that there is no docroot was said */
	bool midline;		/* what was copied last lacks its newline */
	pid_t pid;		/* 0: none; its process group's number, too */
	unsigned number;
	unsigned done;		/* how many were good */
	unsigned other;		/* the latest not of stylesheets alone */
	int status;
	int confirms;		/* how often in a row at confirm_at */
	int64_t started_at;
	int64_t took;		/* ms, by the latest that ended, -1: none has */
	int64_t show_at;	/* progress, on a terminal */
	/* The log. */
	int log;		/* -1: builds write to our standard error */
	enum level level;	/* of line */
	off_t copied;		/* bytes of it copied to standard error */
	off_t end;		/* and to be, once it ended */
	int64_t copy_at;
	int64_t line_until;	/* for line, though nobody takes the rest */
	char line[WHAT_LEN + 160];	/* how it went, to be said; or "" */
	char what[WHAT_LEN];
	struct timespec ended_at;	/* by the clock of file systems */
	struct changes changes;	/* since the latest build began */
	struct versions versions;
	const struct signals *signals;
	const char *url;
};

/* Have what path names removed. */
static int
version_trash(struct versions *v, const char *path)
{
	char to[PATH_LEN];
	int r;

	do {	/* another process of our number may have been here */
		snprintf(to, sizeof(to), "%s%ld-%u.old", v->work,
		    (long)getpid(), ++v->count);
		r = rename(path, to);
	} while (r == -1 && (errno == ENOTEMPTY || errno == EEXIST));
	v->litter |= r == 0;
	return r;
}

/* Whether path is a version that is whole; from now on, if we say so. */
static bool
version_marked(const char *path, bool from_now)
{
	char mark[PATH_LEN + 16];
	struct stat st;
	int fd;

	snprintf(mark, sizeof(mark), "%s/.blogserve", path);
	if (from_now && (fd = open(mark, O_WRONLY | O_CREAT | O_NOFOLLOW |
	    O_NONBLOCK, 0666)) != -1)
		close(fd);
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	    lstat(mark, &st) == 0;
}

/*
 * A build made a version: have it for the docroot.  Returns NULL, or why
 * that cannot be.  Where two steps are needed and we die between them, the
 * next start takes the second.
 */
static const char *
version_switch(struct versions *v)
{
	if (rmdir(v->out) == 0 || errno == ENOENT || errno == ENOTDIR)
		return "nothing is in BLOGSERVE_OUT";
	if (!version_marked(v->out, true))
		return strerror(errno);
	v->site = version_marked(v->root, false);
	if (v->site && extra_exchange(v->out, v->root) == 0) {
		version_trash(v, v->out);
		return NULL;
	}
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
	struct stat st, here;
	int entries = 0;
	DIR *d;

	v->root = opt->root;
	if ((size_t)snprintf(v->work, sizeof(v->work), "%.*s.%s.blogserve/",
	    (int)(name - v->root), v->root, name) >= sizeof(v->work))
		say(FATAL, "%s: %s", opt->docroot, strerror(ENAMETOOLONG));
	v->site = version_marked(v->root, false);
	if (lstat(v->root, &st) == -1 && errno == ENOENT)
		return;
	d = dir_open(AT_FDCWD, v->root);
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
	DIR *d = dir_open(AT_FDCWD, v->work);
	char path[PATH_LEN];
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "%s%s", v->work, e->d_name);
		if (e->d_name[0] == '.' || strcmp(e->d_name, "lock") == 0)
			;
		else if (strchr(e->d_name, '.') != NULL)
			v->litter = true;
		else if (!v->site && version_marked(path, false))
			v->site = rename(path, v->root) == 0;
		else
			version_trash(v, path);
	}
	if (d != NULL)
		closedir(d);
}

/* Have a place for versions; clear up after a sudden end.  Or say why not. */
static bool
versions_open(struct versions *v)
{
	snprintf(v->lock, PATH_LEN, "%slock", v->work);
	if (mkdir(v->work, 0777) == -1 && errno != EEXIST) {
		say_why(WARNING, v->work);
		return false;
	}
	if ((v->lock_fd = pidfile_open(v->lock)) == -1) {
		rmdir(v->work);
		return false;
	}
	versions_sweep(v);
	return true;
}

/* Remove what is old, behind everyone's back. */
static void
versions_step(struct versions *v, const struct signals *signals)
{
	char *rm[] = { (char *)"/bin/sh", (char *)"-c",
	    (char *)"rm -rf \"$0\"*.old 2>/dev/null", v->work, NULL };

	if (!v->litter || v->remover != 0)
		return;
	v->litter = false;
	if (fork_blocked(&v->remover)) {
		setsid();
		signals_leave(signals);
		execvp(rm[0], rm);
		_exit(127);
	}
}

/* At the end: sweep once more.  Returns whether nothing is left to remove. */
static bool
versions_finish(struct versions *v)
{
	if (v->work[0] == '\0' || v->swept)
		return true;
	v->swept = true;
	versions_sweep(v);
	return !v->litter;
}

static void
versions_close(struct versions *v)
{
	if (v->work[0] == '\0')
		return;
	pidfile_close(v->lock_fd, v->lock);
	rmdir(v->work);
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
		say(NOTICE, "%s: %s: builds write to stderr", dir,
		    strerror(errno));
		return -1;
	}
	unlink(path);
	fcntl(fd, F_SETFL, O_APPEND);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

/*
 * Copy some of what the build printed to standard error, as much as can be
 * without waiting.  The log may become shorter: a build's ">/dev/stderr"
 * empties it.
 */
static void
log_copy(struct build *b, int64_t now)
{
	char text[16 * 1024];
	size_t done = 0;
	struct stat st;
	ssize_t n = 0;

	b->copy_at = now + (b->line[0] != '\0' ? REAP_TIME : COPY_TIME);
	if (fstat(b->log, &st) == 0 && st.st_size < b->copied)
		b->copied = 0;
	if ((n = pread(b->log, text, sizeof(text), b->copied)) > 0)
		done = err_write(text, (size_t)n);
	if (done == 0)
		return;
	b->copied += (off_t)done;
	b->midline = text[done - 1] != '\n';
	b->line_until = now + TAKE_TIME;
	if (done == sizeof(text))
		b->copy_at = now;
}

/* End the line that a build began on standard error. */
static void
log_newline(struct build *b)
{
	if (b->midline)
		b->midline = err_write("\n", 1) != 1;
}

/* A message about the build, on a line of its own. */
static void
build_say(struct build *b, enum level level, const char *text)
{
	if (verbosity < (int)level)
		return;
	log_newline(b);
	say(level, "build %u: %s", b->number, text);
}

/* Say how the latest build went, if that was not said. */
static void
build_tell(struct build *b)
{
	struct stat st;

	b->copy_at = 0;
	if (b->line[0] == '\0')
		return;
	build_say(b, b->level, b->line);
	b->line[0] = '\0';
	if (b->status != 0)
		return;
	if (stat(b->opt->root, &st) == 0)
		b->mute = false;
	else if (!b->mute) {
		b->mute = true;
		say(WARNING, "%s: %s: the build did not make it",
		    b->opt->docroot, strerror(errno));
	}
}

/* Go on copying; a build that is over is told of behind what it printed. */
static void
log_step(struct build *b, int64_t now)
{
	if (b->copy_at == 0 || now < b->copy_at)
		return;
	log_copy(b, now);
	if (b->line[0] != '\0' && (now >= b->line_until ||
	    (b->copied >= b->end && is_writable(STDERR_FILENO))))
		build_tell(b);
}

/* Say in b->what why the next build is. */
static void
build_explain(struct build *b)
{
	const struct changes *ch = &b->changes;
	const char *path = "a change";	/* with a name that is not for a line */
	size_t n = 8;

	if (ch->paths.len > 0 && (n = (size_t)((char *)memchr(ch->paths.data,
	    '\n', ch->paths.len) - ch->paths.data)) < WHAT_LEN - 32)
		path = ch->paths.data;
	else
		n = 8;
	if (ch->count > 0 && b->number > 0)
		snprintf(b->what, WHAT_LEN, ch->count == 1 ? "%.*s" :
		    "%.*s and %zu more", (int)n, path, ch->count - 1);
	else
		snprintf(b->what, WHAT_LEN, "%s", b->number == 0 ?
		    "first build" : b->confirming ? "once more" : "asked for");
}

/*
 * Something changed at now: build when it has been quiet, but not too late.
 * Foreign is what the latest build did not do.
 */
static void
build_want(struct build *b, int64_t now, int64_t quiet, bool foreign)
{
	if (!b->wanted)
		b->since = now;
	b->wanted = true;
	b->foreign |= foreign;
	b->due_at = sooner(now + quiet, b->since + QUIET_MAX);
}

/* The site is as the sources are: pages made before are old. */
static void
build_done(struct build *b)
{
	b->done++;
	if (!b->styles)
		b->other = b->done;
	b->styles = true;
}

/* In the child: become the build.  Does not return. */
static void
build_exec(struct build *b)
{
	const struct options *opt = b->opt;
	const struct changes *ch = &b->changes;
	char number[16], *shell[] = { (char *)"/bin/sh", (char *)"-c",
	    opt->command[0], NULL };
	char *const *argv = opt->command[1] == NULL ? shell : opt->command;
	int out = b->log != -1 ? b->log : STDERR_FILENO;

	setsid();
	stdio_set(out, out);
	snprintf(number, sizeof(number), "%u", b->number);
	setenv("BLOGSERVE_BUILD", number, 1);
	setenv("BLOGSERVE_URL", b->url, 1);
	if (b->versions.work[0] != '\0')
		setenv("BLOGSERVE_OUT", b->versions.out, 1);
	setenv("BLOGSERVE_CHANGED", ch->inexact || ch->paths.failed ||
	    b->number == 1 ? "" : ch->paths.data, 1);
	signals_leave(b->signals);
	to_syslog = false;
	execvp(argv[0], argv);
	say_why(WARNING, argv[0]);
	_exit(127);
}

/* Whether standard error is a terminal where a line can be taken back. */
static bool
terminal_knows(void)
{
	const char *term = getenv("TERM");

	return verbosity >= 0 && term != NULL && strcmp(term, "dumb") != 0 &&
	    isatty(STDERR_FILENO);
}

/* Show how long the build takes, and by the last one, how long it will. */
static void
build_show(struct build *b, int64_t now)
{
	b->show_at = now + SHOW_TIME;
	if (b->midline)
		return;
	say(PROGRESS, b->took < SHOW_TIME ? "build %u: %.40s: %d s" :
	    "build %u: %.40s: %d s of about %d", b->number,
	    b->what, (int)((now - b->started_at) / 1000),
	    (int)(b->took / 1000));
}

/* Start the build that was announced; try again later if that fails. */
static void
build_start(struct build *b, int64_t now)
{
	struct versions *v = &b->versions;
	bool room = true;

	if (b->log != -1)
		log_copy(b, now);
	build_tell(b);
	if (b->log != -1 && ftruncate(b->log, 0) == 0)
		b->copied = 0;
	b->end = 0;
	buf_add(&b->changes.paths, "", 1);
	b->number++;
	if (v->work[0] != '\0') {
		snprintf(v->out, PATH_LEN, "%s%ld-%u", v->work, (long)getpid(),
		    b->number);
		mkdir(v->work, 0777);	/* somebody may have tidied up */
		if (!(room = mkdir(v->out, 0777) == 0))
			say_why(WARNING, v->out);
	}
	if (room && fork_blocked(&b->pid))
		build_exec(b);
	b->changes.paths.len -= b->changes.paths.len > 0;
	if (b->pid == 0) {
		if (v->work[0] != '\0')
			rmdir(v->out);
		b->number--;
		b->due_at = now + RETRY_TIME;
		return;
	}
	build_say(b, DETAIL, "starts");
	b->styles = b->styles && b->changes.count > 0 && !b->changes.others;
	changes_clear(&b->changes);
	b->caused = !b->foreign;
	b->confirms = b->confirming ? b->confirms + 1 : 0;
	b->wanted = b->foreign = b->confirming = false;
	b->confirm_at = 0;
	b->started_at = now;
	b->copy_at = b->log != -1 ? now + COPY_TIME : 0;
	b->term_at = b->opt->build_time > 0 ? now + b->opt->build_time : 0;
	b->kill_at = 0;
	b->show_at = terminal_knows() ? now + SHOW_TIME : 0;
}

/* The build is over and nothing of it that was to be killed is left. */
static void
build_finish(struct build *b, int64_t now)
{
	char how[128];
	struct versions *v = &b->versions;
	const char *why = NULL;

	/* What we stopped is not whole, whatever it says. */
	if (b->kill_at != 0 && b->status == 0)
		b->status = STATUS_STOPPED;
	if (v->work[0] != '\0' && (b->status != 0 ||
	    (why = version_switch(v)) != NULL))
		version_trash(v, v->out);
	b->pid = 0;
	b->term_at = b->kill_at = b->show_at = 0;
	b->reaped = b->announced = b->killed = false;
	b->ended = true;
	b->took = now - b->started_at;
	clock_gettime(CLOCK_REALTIME, &b->ended_at);
	status_text(how, sizeof(how), b->status);
	if (why != NULL) {
		b->status = STATUS_FAILED;
		snprintf(how, sizeof(how), "%s: %s", b->opt->docroot, why);
	}
	if (b->status == 0)
		build_done(b);
	snprintf(b->line, sizeof(b->line), "%s: %s, %.2f s", b->what,
	    *how != '\0' ? how : "ok", (double)b->took / 1000);
	b->level = *how != '\0' ? WARNING : NOTICE;
	b->line_until = now + TAKE_TIME;
	b->copy_at = now;
}

/* waitpid says that the build ended. */
static void
build_reap(struct build *b, int status)
{
	struct stat st;

	/* What it leaves behind must not write beside the next one. */
	if (WIFSIGNALED(status) && b->kill_at == 0)
		kill(-b->pid, SIGKILL);
	b->status = status;
	b->reaped = true;
	b->end = b->log != -1 && fstat(b->log, &st) == 0 ? st.st_size : 0;
}

/* Stop the build: SIGTERM for its process group, soon SIGKILL. */
static void
build_stop(struct build *b, int64_t now)
{
	if (b->pid == 0 || b->kill_at != 0)
		return;
	/* Before its setsid there is no group of its number. */
	if (kill(-b->pid, SIGTERM) == -1 && !b->reaped)
		kill(b->pid, SIGTERM);
	b->term_at = 0;
	b->kill_at = now + KILL_TIME;
}

/*
 * Move the fact towards the wish: announce a build that is due, start it
 * once the server was told, stop one that takes too long, end one that is
 * over.
 */
static void
build_step(struct build *b, bool told, bool stopping, int64_t now)
{
	char limit[64];

	log_step(b, now);
	if (b->pid == 0) {
		if (stopping) {
			b->wanted = b->announced = false;
			b->confirm_at = 0;
		}
		if (b->confirm_at != 0 && now >= b->confirm_at && !b->wanted) {
			b->confirming = true;
			build_want(b, now, 0, false);
		}
		if (b->wanted && b->opt->command == NULL) {
			if (now >= b->due_at) {
				b->styles = !b->changes.others;
				build_done(b);
				changes_clear(&b->changes);
				b->wanted = false;
			}
		} else if (b->wanted && now >= b->due_at && !b->announced) {
			b->announced = true;
			build_explain(b);
		} else if (b->announced && now >= b->due_at &&
		    (told || now >= b->due_at + RETRY_TIME))
			build_start(b, now);
		return;
	}
	if (b->term_at != 0 && now >= b->term_at) {
		snprintf(limit, sizeof(limit), "longer than %g s: stopping it",
		    (double)b->opt->build_time / 1000);
		build_say(b, WARNING, limit);
		build_stop(b, now);
	}
	if (b->show_at != 0 && now >= b->show_at)
		build_show(b, now);
	if (b->kill_at != 0 && now >= b->kill_at) {
		kill(-b->pid, SIGKILL);
		b->killed = true;
		b->kill_at = now + KILL_TIME;
	}
	if (b->reaped && (b->kill_at == 0 || b->killed ||
	    kill(-b->pid, 0) == -1))
		build_finish(b, now);
}

/* When build_step is to be called next. */
static int64_t
build_due(const struct build *b, bool told, int64_t now)
{
	int64_t due = b->copy_at;

	if (b->pid == 0) {
		if (b->announced)
			return sooner(due, told ? b->due_at :
			    b->due_at + RETRY_TIME);
		return sooner(due, b->wanted ? b->due_at : b->confirm_at);
	}
	due = sooner(sooner(due, b->term_at), b->show_at);
	return sooner(due, b->reaped ? now + REAP_TIME : b->kill_at);
}

/* ---------------------------------------------------------------------
 * 7  Supervising: the parent's process
 * ------------------------------------------------------------------ */

/* The parent's view of the server. */
struct server {
	pid_t pid;		/* 0: none */
	int orders_fd;		/* the write end (R3) */
	struct orders told;	/* the latest that it was told */
	int64_t started_at;
	int64_t respawn_at;	/* not before */
	int64_t kill_at;	/* when it had its time to drain, 0: never */
	int64_t delay;		/* till the next one, if this one dies soon */
};

struct super {
	int ready;		/* with -b, where to say that we serve, or -1 */
	const struct options *opt;
	struct signals signals;
	struct listeners listeners;
	struct watch watch;
	struct build build;
	struct server server;
	char start[24];		/* names this run, for the pages of it */
	int64_t started_at;
	unsigned reopen;	/* how often the log was to be reopened */
	int manager;		/* the service manager's socket, or -1 */
	struct orders reported;	/* what it was told of */
	int64_t watchdog, watchdog_at;	/* ms between signs of life; 0: none */
	int stopping;		/* the signal that said so, or 0 */
	int hurry;		/* the one that said so again */
	int64_t stopping_at;
};

/* In the child: be the server.  What is the parent's alone is closed. */
static void
server_run(struct super *s, const struct orders *orders, int orders_fd)
{
	struct service *sv;

	signals_leave(NULL);	/* orders tell it to stop */
	fd_close(&self_pipe[0]);
	fd_close(&self_pipe[1]);
	fd_close(&s->watch.notify);
	fd_close(&s->manager);
	fd_close(&s->ready);
	sv = must_alloc(sizeof(*sv));
	sv->opt = s->opt;
	sv->listeners = &s->listeners;
	sv->orders = *orders;
	sv->orders_fd = orders_fd;
	sv->builds_log = s->build.log;
	sv->started_at = s->started_at;
	memcpy(sv->start, s->start, sizeof(sv->start));
	serve(sv);
	service_close(sv);
	_exit(0);
}

/* Start the server with what it would be told; later if that fails. */
static void
server_start(struct super *s, const struct orders *orders, int64_t now)
{
	struct server *sr = &s->server;
	int fd[2];

	sr->respawn_at = now + RETRY_TIME;
	if (!pipe_open(fd, WARNING))
		return;
	if (fork_blocked(&sr->pid)) {
		close(fd[1]);
		server_run(s, orders, fd[0]);
	}
	close(fd[0]);
	if (sr->pid == 0) {
		close(fd[1]);
		return;
	}
	sr->orders_fd = fd[1];
	sr->told = *orders;
	sr->started_at = now;
}

/*
 * Keep a server that knows the orders; when stopping, see it out.  Returns
 * whether no server can act on older ones.
 */
static bool
server_step(struct super *s, const struct orders *orders, int64_t now)
{
	struct server *sr = &s->server;
	bool told = memcmp(&sr->told, orders, sizeof(*orders)) == 0;

	if (sr->pid == 0) {
		if (s->stopping == 0 && now >= sr->respawn_at)
			server_start(s, orders, now);
		return true;
	}
	if (!told && write(sr->orders_fd, orders, sizeof(*orders)) ==
	    (ssize_t)sizeof(*orders)) {
		sr->told = *orders;
		told = true;
	}
	if (sr->kill_at != 0 && now >= sr->kill_at) {
		kill(sr->pid, SIGKILL);
		sr->kill_at = now + KILL_TIME;
	}
	return told;
}

/* When server_step is to be called next. */
static int64_t
server_due(const struct super *s)
{
	if (s->server.pid != 0)
		return s->server.kill_at;
	return s->stopping != 0 ? 0 : s->server.respawn_at;
}

/* waitpid says that the server is gone: another at once, or after a delay. */
static void
server_reap(struct super *s, int status, int64_t now)
{
	struct server *sr = &s->server;
	char how[128];

	sr->pid = 0;
	fd_close(&sr->orders_fd);
	/* 0: the docroot went where that server may not follow. */
	if (s->stopping != 0 || status == 0)
		return;
	if (now - sr->started_at >= RESPAWN_MAX)
		sr->delay = 0;
	sr->respawn_at = now + sr->delay;
	status_text(how, sizeof(how), status);
	say(WARNING, sr->delay == 0 ? "server: %s; started again" :
	    "server: %s; starting again in %g s", how,
	    (double)sr->delay / 1000);
	sr->delay = sr->delay == 0 ? RESPAWN_MIN : sr->delay * 2;
	if (sr->delay > RESPAWN_MAX)
		sr->delay = RESPAWN_MAX;
}

/* What the server is to know now; every byte of it set, to be compared. */
static void
orders_now(struct orders *o, const struct super *s)
{
	const struct build *b = &s->build;

	memset(o, 0, sizeof(*o));
	o->build = b->number + (b->pid == 0 && b->announced);
	o->started_at = b->pid != 0 ? b->started_at : 0;
	o->building = b->announced;
	o->done = b->done;
	o->other = b->other;
	o->status = b->status;
	o->took = b->took;
	o->hold = s->opt->command != NULL && !b->versions.site &&
	    (b->announced || b->number == 0);
	o->stopping = s->stopping != 0;
	o->reopen = s->reopen;
	memcpy(o->what, b->what, sizeof(o->what));
}

/* The first signal to stop lets the build end, the second stops it. */
static void
super_stop(struct super *s, int sig, int64_t now)
{
	if (s->stopping == 0) {
		s->stopping = sig;
		s->stopping_at = now;
		s->server.kill_at = now + DRAIN_TIME + RETRY_TIME;
		listeners_close(&s->listeners);
		if (s->build.pid == 0)
			return;
		log_newline(&s->build);
		say(NOTICE, "finishing build %u; ^C again stops it",
		    s->build.number);
		return;
	}
	/* A terminal that goes away may send SIGHUP, and its shell another. */
	if (sig == SIGHUP && s->stopping == SIGHUP &&
	    now - s->stopping_at < 1000)
		return;
	s->hurry = sig;
	s->server.kill_at = now;
	build_stop(&s->build, now);
}

/* Build though nothing changed. */
static void
super_build(struct super *s, int64_t now)
{
	if (s->opt->command != NULL)
		build_want(&s->build, now, 0, true);
}

/* Signals become wishes. */
static void
signals_drain(struct super *s, int64_t now)
{
	unsigned char got[64];
	ssize_t i, n;

	while ((n = read(self_pipe[0], got, sizeof(got))) > 0)
		for (i = 0; i < n; i++)
			switch (got[i]) {
			case SIGCHLD:
				break;
			case SIGUSR1:
				super_build(s, now);
				break;
			default:
				if (got[i] == SIGHUP && (s->manager != -1 ||
				    s->opt->background)) {
					logs_reopen(s->opt);
					s->reopen++;
					super_build(s, now);
				} else
					super_stop(s, got[i], now);
			}
}

/* The ended become facts (R5).  Others are orphans, if we are process 1. */
static void
super_reap(struct super *s, int64_t now)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == s->build.pid)
			build_reap(&s->build, status);
		else if (pid == s->server.pid)
			server_reap(s, status, now);
		else if (pid == s->build.versions.remover)
			s->build.versions.remover = 0;
}

/* Changes become a wish for a build; none is looked for during a build. */
static void
super_watch(struct super *s, int64_t now)
{
	struct build *b = &s->build;
	size_t before = b->changes.count;
	bool settle = b->ended;
	int64_t quiet = QUIET_TIME;

	watch_hear(&s->watch);
	if (b->pid != 0 || s->stopping != 0)
		return;
	if (b->wanted && s->watch.heard_at != 0)
		build_want(b, s->watch.heard_at, QUIET_TIME, false);
	b->ended = false;
	if (!settle)
		quiet = watch_drain(&s->watch, &b->changes, now);
	else if (watch_settle(&s->watch, &b->changes, b->number, b->caused,
	    &b->ended_at) && b->confirms < 2)
		b->confirm_at = now + (b->confirms == 0 ? CONFIRM_TIME :
		    CONFIRM_LATE);
	if (b->changes.count == before)
		return;
	build_want(b, clock_ms(), quiet, !settle);
}

/* Wait for a signal, or until something is due. */
static void
super_wait(struct super *s, bool told, int64_t now)
{
	bool idle = s->build.pid == 0 && s->stopping == 0;
	struct pollfd p[3] = {
		{ .fd = self_pipe[0], .events = POLLIN },
		{ .fd = s->stopping == 0 ? s->watch.notify : -1,
		    .events = POLLIN },
		{ .fd = told ? -1 : s->server.orders_fd, .events = POLLOUT },
	};
	int64_t until = sooner(server_due(s), s->watchdog_at);

	until = sooner(until, build_due(&s->build, told, now));
	if (idle)
		until = sooner(until, s->build.ended ? now :
		    watch_due(&s->watch));
	poll(p, 3, poll_time(until, now));
}

/*
 * The service manager of systemd, if it started us: sd_notify(3)'s protocol.
 * What it says is not for builds.
 */
static void
manager_open(struct super *s)
{
	const char *path = getenv("NOTIFY_SOCKET");
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID"), *own;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t n = path != NULL ? strlen(path) : 0;

	for (own = "NOTIFY_SOCKET\0WATCHDOG_USEC\0WATCHDOG_PID\0LISTEN_FDS\0"
	    "LISTEN_PID\0LISTEN_FDNAMES\0"; *own != '\0';
	    own += strlen(own) + 1)
		unsetenv(own);
	s->manager = -1;
	if (n == 0 || n > sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, n);
	if (*path == '@')
		sa.sun_path[0] = '\0';
	n += offsetof(struct sockaddr_un, sun_path);
	s->manager = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (s->manager == -1 || fd_prepare(s->manager) == -1 ||
	    connect(s->manager, (struct sockaddr *)&sa, (socklen_t)n) == -1)
		say_why(WARNING, "NOTIFY_SOCKET");
	if (usec != NULL && (pid == NULL || strtol(pid, NULL, 10) == getpid()))
		s->watchdog = strtol(usec, NULL, 10) / 2000;
}

/* Tell it what the server is told, and that we live. */
static OUT_OF_LINE void
manager_tell(struct super *s, const struct orders *o, int64_t now)
{
	char text[sizeof(s->listeners.url) + WHAT_LEN + 200];

	if (s->manager == -1)
		return;
	if (s->watchdog > 0 && now >= s->watchdog_at) {
		s->watchdog_at = now + s->watchdog;
		print(s->manager, "WATCHDOG=1");
	}
	if (memcmp(&s->reported, o, sizeof(*o)) == 0)
		return;
	if (o->reopen != s->reported.reopen) {
		snprintf(text, sizeof(text),
		    "RELOADING=1\nMONOTONIC_USEC=%jd",
		    ((intmax_t)now + 1) * 1000);
		print(s->manager, text);
	}
	snprintf(text, sizeof(text), "%s=1\nSTATUS=%s build %u: %s: %s",
	    o->stopping ? "STOPPING" : "READY", s->listeners.url,
	    o->build, o->what, o->building ? "under way" :
	    o->status != 0 ? "failed" : "ok");
	if (o->build == 0)
		text[strcspn(text, " ")] = '\0';
	print(s->manager, text);
	s->reported = *o;
}

/* Have a server at once, then a view of the sources, then a build. */
static void
super_open(struct super *s, const struct options *opt)
{
	struct orders orders;
	struct timespec t;

	s->opt = s->build.opt = opt;
	clock_gettime(CLOCK_REALTIME, &t);
	snprintf(s->start, sizeof(s->start), "%jx%08lx", (uintmax_t)t.tv_sec,
	    (unsigned long)t.tv_nsec);
	s->started_at = clock_ms();
	s->watch.notify = -1;
	s->build.took = -1;
	s->build.styles = true;
	s->build.signals = &s->signals;
	s->build.url = s->listeners.url;
	s->build.log = opt->command != NULL ? log_open() : -1;
	orders_now(&orders, s);
	server_step(s, &orders, clock_ms());
	watch_open(&s->watch, opt);
	if (opt->command != NULL)
		build_want(&s->build, clock_ms(), 0, true);
}

static void
super_close(struct super *s)
{
	fd_close(&s->watch.notify);
	fd_close(&s->build.log);
	fd_close(&s->manager);
	versions_close(&s->build.versions);
	fd_close(&self_pipe[0]);
	fd_close(&self_pipe[1]);
	if (s->opt->log != -1)
		close(s->opt->log);
}

/* The parent's life: wishes to facts, wait, events to wishes and facts. */
static int
supervise(struct super *s)
{
	struct orders orders;
	int64_t now = clock_ms();
	bool told = false;

	for (;;) {
		build_step(&s->build, told, s->stopping != 0, now);
		orders_now(&orders, s);
		told = server_step(s, &orders, now);
		manager_tell(s, &orders, now);
		if (s->stopping != 0 && s->build.pid == 0 &&
		    s->server.pid == 0 && s->build.versions.remover == 0 &&
		    s->build.line[0] == '\0' &&
		    versions_finish(&s->build.versions))
			return s->hurry != 0 ? 128 + s->hurry : 0;
		versions_step(&s->build.versions, &s->signals);
		super_wait(s, told, now);
		now = clock_ms();
		signals_drain(s, now);
		super_reap(s, now);
		super_watch(s, now);
	}
}

/* ---------------------------------------------------------------------
 * 8  Options, listeners, main
 * ------------------------------------------------------------------ */

static const char help[] =
    "  -d docroot  serve this directory (.)\n"
    "  -w path     watch this (.)\n"
    "  -x pattern  do not watch what matches\n"
    "  -A          builds make versions, in $BLOGSERVE_OUT\n"
    "  -a address  listen there (127.0.0.1 and ::1)\n"
    "  -p port     and there (8000 or the next free; 0: any)\n"
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
	if (!print(STDOUT_FILENO, text) || !print(STDOUT_FILENO, more))
		say_why(FATAL, "standard output");
	exit(0);
}

/* Seconds as a decimal number, in milliseconds, at least 1 of them. */
static int64_t
seconds_parse(int option, const char *text)
{
	int64_t ms = 0, scale = -1;
	const char *p;

	for (p = text; ms < 1000000000; p++)
		if (*p == '.' && scale == -1)
			scale = 1000;
		else if (*p < '0' || *p > '9')
			break;
		else if (scale == -1)
			ms = ms * 10 + (*p - '0') * 1000;
		else
			ms += (*p - '0') * (scale /= 10);
	if (*p != '\0' || ms < 1)
		say(USAGE, "-%c: %s: not a number of seconds", option, text);
	return ms;
}

static int
port_parse(const char *text)
{
	const char *end = text;
	off_t port;

	if (!offset_parse(&end, &port) || *end != '\0' || port > 65535)
		say(USAGE, "-p: %s: not a port (0 to 65535)", text);
	return (int)port;
}

/* The prefix: with a slash before and none after, or "". */
static char *
prefix_parse(const char *text)
{
	const char *p;
	char *prefix;
	size_t n;

	text += strspn(text, "/");
	for (p = text + span(text, NAME_OTHERS); p[0] == '/' && p[1] != '/';
	    p += 1 + span(p + 1, NAME_OTHERS))
		;
	if (*p != '\0')
		say(USAGE, "-r: %s: not a path", text);
	n = strlen(text);
	prefix = must_alloc(n + 2);
	prefix[0] = '/';
	memcpy(prefix + 1, text, n);
	if (prefix[n] == '/')
		prefix[n] = '\0';
	return prefix;
}

/* What an option's argument becomes, and where; what is not here is more. */
enum option_kind { IS_FLAG, IS_STRING, IS_SECONDS, IS_LIST };

static const struct {
	char letter, kind;
	unsigned char at;
} option_forms[] = {
	{ 'A', IS_FLAG, offsetof(struct options, atomic) },
	{ 'a', IS_STRING, offsetof(struct options, address) },
	{ 'b', IS_FLAG, offsetof(struct options, background) },
	{ 'd', IS_STRING, offsetof(struct options, docroot) },
	{ 'H', IS_LIST, offsetof(struct options, hosts) },
	{ 'i', IS_SECONDS, offsetof(struct options, interval) },
	{ 'k', IS_SECONDS, offsetof(struct options, build_time) },
	{ 'L', IS_FLAG, offsetof(struct options, follow) },
	{ 'l', IS_STRING, offsetof(struct options, logfile) },
	{ 'n', IS_FLAG, offsetof(struct options, no_listings) },
	{ 'P', IS_STRING, offsetof(struct options, pidfile) },
	{ 'R', IS_FLAG, offsetof(struct options, no_reload) },
	{ 't', IS_SECONDS, offsetof(struct options, patience) },
	{ 'u', IS_STRING, offsetof(struct options, user) },
	{ 'w', IS_LIST, offsetof(struct options, watch) },
	{ 'x', IS_LIST, offsetof(struct options, exclude) },
};

/* Set what option c stands for; false if it is not in the table. */
static bool
option_set(struct options *o, int c, const char *arg)
{
	const char **list;
	size_t i;
	void *at;

	for (i = 0; i < COUNT(option_forms); i++) {
		if (option_forms[i].letter != c)
			continue;
		at = (char *)o + option_forms[i].at;
		switch (option_forms[i].kind) {
		case IS_FLAG:
			*(bool *)at = true;
			break;
		case IS_STRING:
			*(const char **)at = arg;
			break;
		case IS_SECONDS:
			*(int64_t *)at = seconds_parse(c, arg);
			break;
		default:
			for (list = *(const char ***)at; *list != NULL; list++)
				;
			*list = arg;
		}
		return true;
	}
	return false;
}

static void
options_parse(struct options *o, int argc, char **argv)
{
	static const char forms[] = IN_ORDER
	    ":AbhLnqRVva:d:H:i:k:l:P:p:r:t:u:w:x:";
	size_t n = ((size_t)argc + 1) * sizeof(*o->watch);
	int c;

	o->docroot = ".";
	o->prefix = "";
	o->port = o->log = o->err = o->pid = -1;
	o->watch = must_alloc(n);
	o->exclude = must_alloc(n);
	o->hosts = must_alloc(n);
	while ((c = getopt(argc, argv, forms)) != -1)
		switch (c) {
		case 'h': tell(synopsis, help); break;
		case 'p': o->port = port_parse(optarg); break;
		case 'q': verbosity = -1; break;
		case 'r': o->prefix = prefix_parse(optarg); break;
		case 'V': tell("blogserve " VERSION, "\n"); break;
		case 'v': verbosity = 1; break;
		default:
			if (!option_set(o, c, optarg))
				say(USAGE, c == ':' ? "-%c: needs an argument" :
				    "-%c: unknown option", optopt);
		}
	if (optind < argc)
		o->command = argv + optind;
	else if (o->atomic)
		say(USAGE, "-A: needs a command");
	if (*o->watch == NULL)
		*o->watch = o->command != NULL ? "." : o->docroot;
}

/* The docroot's absolute path: it is looked up anew, wherever we are. */
static char *
path_absolute(const char *path)
{
	char cwd[PATH_LEN] = "", *full;
	size_t n;

	if (path[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
		say_why(FATAL, ".");
	n = strlen(cwd) + strlen(path) + 2;
	full = must_alloc(n);
	snprintf(full, n, "%s/%s", cwd, strcmp(path, ".") == 0 ? "" :
	    path + strspn(path, "/"));
	for (n = strlen(full); n > 1 && full[n - 1] == '/'; n--)
		full[n - 1] = '\0';
	return full;
}

/* Whether name can be executed, looked for as execvp does. */
static bool
command_found(const char *name)
{
	const char *dir = strchr(name, '/') != NULL ? "" : getenv("PATH");
	char path[PATH_LEN];
	struct stat st;
	size_t n;

	for (dir = dir != NULL ? dir : "/bin:/usr/bin";; dir += n + 1) {
		n = strcspn(dir, ":");
		snprintf(path, sizeof(path), "%.*s%s%s", (int)n, dir,
		    n > 0 ? "/" : "", name);
		if (stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		    (st.st_mode & 0111) != 0)
			return true;
		if (dir[n] == '\0')
			return false;
	}
}

/* Refuse what cannot work before anything is opened or forked. */
static void
options_check(struct options *o)
{
	const char **root;
	struct stat st;

	o->root = path_absolute(o->docroot);
	if (stat(o->root, &st) == -1) {
		if (errno != ENOENT || o->command == NULL)
			say_why(FATAL, o->docroot);
	} else if (!S_ISDIR(st.st_mode))
		say(FATAL, "%s: %s", o->docroot, strerror(ENOTDIR));
	for (root = o->watch; *root != NULL; root++)
		if (stat(*root, &st) == -1)
			say_why(FATAL, *root);
	if (o->command != NULL && o->command[1] != NULL &&
	    !command_found(o->command[0]))
		say(FATAL, "%s: not found, or not to be executed",
		    o->command[0]);
}

/* A listener at an address; -1 with errno. */
static int
listener_open(const struct addrinfo *ai)
{
	int fd, on = 1, e;

	if ((fd = socket(ai->ai_family, ai->ai_socktype, ai->ai_protocol))
	    == -1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	extra_defer(fd);
	if (fd_prepare(fd) == 0 && bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	e = errno;
	close(fd);
	errno = e;
	return -1;
}

/* The port of a bound socket, its address as text in host. */
static int
listener_name(int fd, char host[INET6_ADDRSTRLEN])
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	memset(&ss, 0, sizeof(ss));
	getsockname(fd, (struct sockaddr *)&ss, &len);
	return address_text((struct sockaddr *)&ss, host);
}

/* fd is a listener. */
static void
listener_add(struct listeners *l, int fd)
{
	char text[INET6_ADDRSTRLEN];

	int port = listener_name(fd, text);

	if (l->count == 0)
		l->port = port;
	l->fd[l->count++] = fd;
	l->loopback = l->loopback && is_loopback(text);
}

/*
 * Listen at each address of host, at port or the one that l has got already.
 * Returns 0 or an errno; a family that this machine lacks is none.
 */
static int
listeners_add(struct listeners *l, const char *host, int port)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_PASSIVE };
	struct addrinfo *all, *ai;
	in_port_t net;
	int fd, why;

	if ((why = getaddrinfo(host, NULL, &hints, &all)) != 0)
		say(FATAL, "%s: %s", host, gai_strerror(why));
	for (ai = all; ai != NULL && l->count < LISTEN_MAX; ai = ai->ai_next) {
		net = htons((in_port_t)(l->port > 0 ? l->port : port));
		if (ai->ai_family == AF_INET)
			((struct sockaddr_in *)(void *)ai->ai_addr)->sin_port =
			    net;
		else if (ai->ai_family == AF_INET6)
			((struct sockaddr_in6 *)(void *)ai->ai_addr)->
			    sin6_port = net;
		if ((fd = listener_open(ai)) == -1) {
			if (errno == EAFNOSUPPORT || (errno == EADDRNOTAVAIL &&
			    l->count > 0))
				continue;
			why = errno;
			break;
		}
		listener_add(l, fd);
	}
	freeaddrinfo(all);
	return why;
}

/*
 * Listen at one port of -a's address or both loopbacks.  Returns 0 or an
 * errno; then nothing is left open.
 */
static int
listeners_try(struct listeners *l, const char *address, int port)
{
	int why;

	l->count = 0;
	l->port = 0;
	l->loopback = true;
	why = listeners_add(l, address != NULL ? address : "127.0.0.1", port);
	if (address == NULL && (why == 0 || why == EADDRNOTAVAIL))
		why = listeners_add(l, "::1", port);
	if (why == 0 && l->count == 0)
		why = EAFNOSUPPORT;
	if (why != 0)
		listeners_close(l);
	return why;
}

/* The listeners that were passed on.  Returns how many. */
static size_t
listeners_inherit(struct listeners *l)
{
	int fd, end = STDERR_FILENO + 1 + fds_passed();

	l->loopback = true;
	for (fd = STDERR_FILENO + 1; fd < end; fd++) {
		if (listen(fd, BACKLOG) == -1 || fd_prepare(fd) == -1)
			say(FATAL, "LISTEN_FDS: %d: %s", fd, strerror(errno));
		listener_add(l, fd);
	}
	return l->count;
}

/* The site's URL, by a name or an address of this machine. */
static void
url_format(char url[URL_LEN], const struct listeners *l, const char *host)
{
	snprintf(url, URL_LEN, strchr(host, ':') != NULL ?
	    "http://[%s]:%d%s/" : "http://%s:%d%s/", host, l->port, l->prefix);
}

static void
listeners_open(struct listeners *l, const struct options *o)
{
	const char *host = o->address;
	char text[INET6_ADDRSTRLEN];
	int port = o->port == -1 ? PORT_FIRST : o->port, tries, why = 0;

	for (tries = listeners_inherit(l) > 0 ? PORT_TRIES : 0;
	    tries < PORT_TRIES; tries++) {
		why = listeners_try(l, o->address, port);
		if (why != EADDRINUSE || o->port > 0)
			break;
		port += o->port == -1;
	}
	if (why != 0)
		say(FATAL, "%s%sport %d: %s", host != NULL ? host : "",
		    host != NULL ? ", " : "", port, strerror(why));
	listener_name(l->fd[0], text);
	if (host == NULL || strcmp(text, "0.0.0.0") == 0)
		host = strcmp(text, "0.0.0.0") == 0 ? "127.0.0.1" : text;
	else if (strcmp(text, "::") == 0)
		host = "::1";
	l->prefix = o->prefix;
	url_format(l->url, l, host);
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
static void
listeners_tell(struct listeners *l)
{
	char text[INET6_ADDRSTRLEN];

	if (!print(STDOUT_FILENO, l->url) || !print(STDOUT_FILENO, "\n"))
		say_why(WARNING, "standard output");
	listener_name(l->fd[0], text);
	if (strcmp(text, "0.0.0.0") == 0 || strcmp(text, "::") == 0)
		extra_addresses(AF_INET, address_tell, l);
	if (strcmp(text, "::") == 0)
		extra_addresses(AF_INET6, address_tell, l);
}

/*
 * Go on in a process of its own session, while the one that was called waits
 * until that serves.  Returns where to say so.
 */
static int
background_begin(void)
{
	char byte;
	ssize_t n;
	pid_t pid;
	int fd[2];

	if (pipe(fd) == -1)
		say_why(FATAL, "pipe");
	fcntl(fd[1], F_SETFD, FD_CLOEXEC);
	if ((pid = fork()) == -1)
		say_why(FATAL, "fork");
	if (pid != 0) {
		close(fd[1]);
		while ((n = read(fd[0], &byte, 1)) == -1 && errno == EINTR)
			;
		close(fd[0]);
		_exit(n == 1 ? 0 : 1);
	}
	close(fd[0]);
	setsid();
	return fd[1];
}

/* Let go of the terminal: what is said goes beside the log, or to syslog. */
static void
background_detach(struct options *o)
{
	stdio_set(-1, o->err);
	if ((to_syslog = o->err == -1))
		openlog("blogserve", LOG_PID, LOG_DAEMON);
	fd_close(&o->err);
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

/* A log to append to. */
static int
log_first(const char *name)
{
	int fd = log_reopen(-1, name);

	if (fd == -1)
		say_why(FATAL, name);
	return fd;
}

/* All that a user who is not root may not open.  Or say why not. */
static bool
files_open(struct options *o)
{
	char *err;
	size_t n;

	if (o->logfile != NULL)
		o->log = log_first(o->logfile);
	if (o->logfile != NULL && o->background) {
		n = strlen(o->logfile) + 5;
		o->errfile = err = must_alloc(n);
		snprintf(err, n, "%s.err", o->logfile);
		o->err = log_first(err);
	}
	return o->pidfile == NULL || (o->pid = pidfile_open(o->pidfile)) != -1;
}

int
main(int argc, char **argv)
{
	static struct super super;
	static struct options options;
	int status = 1;

	fds_sanitize();
	signals_open(&super.signals);
	options_parse(&options, argc, argv);
	options_check(&options);
	if (options.atomic)
		versions_check(&super.build.versions, &options);
	listeners_open(&super.listeners, &options);
	super.ready = options.background ? background_begin() : -1;
	if (files_open(&options) &&
	    (options.user == NULL || user_become(&options)) &&
	    (!options.atomic || versions_open(&super.build.versions))) {
		manager_open(&super);
		listeners_tell(&super.listeners);
		if (options.background)
			background_detach(&options);
		super_open(&super, &options);
		print(super.ready, "!");
		fd_close(&super.ready);
		status = supervise(&super);
		super_close(&super);
	}
	pidfile_close(options.pid, options.pidfile);
	return status;
}
