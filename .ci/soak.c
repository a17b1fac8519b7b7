/*
 * soak: what .ci/soak does that a shell cannot.
 *
 * soak drive MODE PID PORT ERR BUILDS SEED PATH:LINES ...
 *	Clients get the pages round and round, sources in the directory src are saved,
 *	and the server, builds and their children are killed, until the blogserve PID,
 *	which says on the file ERR what it does, has built BUILDS times.  MODE is
 *	"inplace" or "atomic".  With SOAK_CORPUS they throw requests, too, those in the files of
 *	that directory, in pieces, often more than one or with another byte; every answer must be
 *	one, and none may hold SECRET.
 * soak check PATH:LINES FILE
 *	Whether the file is a whole page; prints its version.
 *
 * A page is so many lines of "VERSION.BUILD PATH LINE of LINES" and 60 times x; blogserve
 * may have put its script in front.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	CLIENTS = 6,
	PAGES = 16,
	MARKS = 50,		/* looks at memory and descriptors, over all builds */
	BUILDS_MAX = 100000,
	CHILDREN = 100,
	NOTES = 20,		/* sources beside src/version */
	SECOND = 1000000
};

static struct page { char path[64]; int lines; } pages[PAGES];

/* What is measured at one moment of quiet: of parent and server memory and descriptors. */
static struct mark { int build; pid_t server; long held[2][2]; } marks[MARKS + 1];

/* What the clients, each a process, are told and tell. */
static struct {
	int stopped;		/* no new requests */
	int idle;		/* so many clients obey */
	long kills;		/* of servers, twice; odd while it is done */
	long newest, seen[PAGES];	/* the latest version of all pages and of each */
	long answers, busy, lost, slowest, bytes, thrown;
	char served[BUILDS_MAX];
} *all;

static const char *mode;
static uint64_t seed;		/* not 0 */
static int atomic, port, npages, nmarks, builds, failed;
static int keep, slow;		/* of a client: its connection, and reading */
static FILE *said;		/* by blogserve */
static pid_t pid;
static char good[BUILDS_MAX];
static long version = 1000000, saves, back_after, patience = 20L * SECOND;
static int killed[3], killed_servers;	/* all of a build, its first process, another */

__attribute__((format(printf, 1, 2), noreturn))
static void
fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* Microseconds. */
static long
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void
nap(long us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&t, NULL);
}

/* A number below n. */
static long
chance(long n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (long)(seed >> 20) % n;
}

/* So that near numbers begin ways that are far from each other. */
static void
seed_set(unsigned long from)
{
	seed = (from + 1) * 0x9e3779b97f4a7c15U | 1;
}

/* --- processes --- */

/* A file of /proc, whole; its length, or -1. */
static ssize_t
proc(pid_t which, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t n, len = 0;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/%s", which, name);
	if ((fd = open(path, O_RDONLY)) < 0)
		return -1;
	while ((n = read(fd, text + len, size - 1 - (size_t)len)) > 0)
		len += n;
	close(fd);
	text[len] = '\0';
	return len;
}

/* The processes that one has begun; how many. */
static int
children(pid_t of, pid_t *list)
{
	char name[64], text[2000], *at = text;
	int n = 0;

	snprintf(name, sizeof name, "task/%d/children", of);
	if (proc(of, name, text, sizeof text) <= 0)
		return 0;
	while (n < CHILDREN && (list[n] = (pid_t)strtol(at, &at, 10)) > 0)
		n++;
	return n;
}

/*
 * The server is the child in the parent's own session; a build or a remover is that
 * only from its fork to its setsid, so it must be found twice.
 */
static pid_t
server_find(void)
{
	long until = now() + 10 * SECOND;
	pid_t list[CHILDREN], found = 0;
	int i, n;

	for (; now() < until; nap(1000)) {
		if (kill(pid, 0) != 0)
			fail("the parent is gone");
		n = children(pid, list);
		for (i = 0; i < n && getsid(list[i]) != getsid(pid); i++)
			;
		if (i < n && list[i] == found)
			return found;
		found = i < n ? list[i] : 0;
	}
	fail("no server for 10 s");
}

/* The first process of the build under way, known by its environment; or 0. */
static pid_t
leader_find(void)
{
	static char text[65536];
	pid_t list[CHILDREN];
	ssize_t len;
	int n = children(pid, list);

	while (n-- > 0)
		if (getsid(list[n]) == list[n] && (len = proc(list[n], "environ", text, sizeof text)) > 0 &&
		    memmem(text, (size_t)len, "\0BLOGSERVE_BUILD=", 17) != NULL)
			return list[n];
	return 0;
}

/*
 * Kill something of the build under way.  What its first process leaves behind goes
 * on: with a docroot built in place it meets the next build, which is the generator's
 * matter.
 */
static int
build_kill(void)
{
	pid_t list[CHILDREN], leader = leader_find(), victim = leader;
	long how = chance(3);
	int n;

	if (leader == 0)
		return 0;
	if (how == 0)
		victim = -leader;
	while (how == 2 && (victim == leader || chance(2) == 0) && (n = children(victim, list)) > 0)
		victim = list[chance(n)];
	return killed[how] += kill(victim, SIGKILL) == 0;
}

static long
memory(pid_t which)
{
	char text[8192], *at;

	if (proc(which, "status", text, sizeof text) < 0 ||
	    (at = strstr(text, "RssAnon:")) == NULL)
		return -1;
	return atol(at + 8);
}

static long
descriptors(pid_t which)
{
	char name[64];
	long n = 0;
	DIR *d;

	snprintf(name, sizeof name, "/proc/%d/fd", which);
	if ((d = opendir(name)) == NULL)
		return -1;
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 2;
}

/* --- pages --- */

static void
pages_add(char **text)
{
	for (; *text != NULL; text++, npages++)
		if (npages == PAGES || sscanf(*text, "%63[^:]:%d", pages[npages].path, &pages[npages].lines) != 2)
			fail("%s: no page", *text);
}

static const char filling[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/* NULL when the body is a whole page of one version and build, else why not. */
static const char *
page_check(const struct page *p, const char *body, size_t len, long *v, long *b)
{
	static char why[400];
	const char *at = body, *end = body + len;
	char line[200];
	int i, n;

	if (strncmp(body, "<script ", 8) == 0 && strstr(p->path, ".html") != NULL) {
		if ((at = strstr(body, "</script>")) == NULL)
			return "half a script";
		at += 9;
		at += *at == '\n';
	}
	if (len > 0 && sscanf(at, "%ld.%ld ", v, b) != 2)
		return "no version";
	for (i = 1; i <= p->lines; i++, at += n) {
		n = snprintf(line, sizeof line, "%ld.%ld %s %d of %d %s\n", *v, *b, p->path, i,
		    p->lines, filling);
		if (end - at < n || memcmp(at, line, (size_t)n) != 0)
			break;
	}
	if (i > p->lines && at == end)
		return NULL;
	snprintf(why, sizeof why, "%ld.%ld: line %d of %d, at byte %ld of %lu: %.160s", *v, *b, i,
	    p->lines, (long)(at - body), (unsigned long)len, at);
	return why;
}

/* --- clients --- */

static int
dial(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), size = 4096;

	if (slow)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
		fail("connect: %s", strerror(errno));
	return fd;
}

/* The body of an answer whose head is there, and how long it is to be; or NULL. */
static const char *
body_find(const char *answer, size_t *size)
{
	const char *end = strstr(answer, "\r\n\r\n"), *length = strstr(answer, "\r\nContent-Length: ");

	if (end == NULL || length == NULL || length > end)
		return NULL;
	*size = strtoul(length + 18, NULL, 10);
	return end + 4;
}

/* One answer, or what comes until the end; the length, -1: too late. */
static ssize_t
answer_read(int fd, char *text, size_t size, int one)
{
	struct pollfd p = { fd, POLLIN, 0 };
	long until = now() + patience, left;
	const char *body = NULL;
	size_t len = 0, want = 0;
	ssize_t n = 1;

	text[0] = '\0';
	while (n > 0 && len < size - 1 && (body == NULL || (size_t)(body - text) + want > len)) {
		if ((left = (until - now()) / 1000) <= 0 || poll(&p, 1, (int)left) <= 0)
			return -1;
		if ((n = read(fd, text + len, slow ? 8192 : size - 1 - len)) > 0)
			len += (size_t)n;
		text[len] = '\0';
		if (one && body == NULL)
			body = body_find(text, &want);
		if (slow)
			nap(2000);
	}
	return (ssize_t)len;
}

static void
at_least(long *what, long n)
{
	long was = *what;

	while (was < n && !__atomic_compare_exchange_n(what, &was, n, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

static void
count(long *what, long n)
{
	__atomic_fetch_add(what, n, __ATOMIC_SEQ_CST);
}

/* Whoever is connected when a server is killed may be cut off, and only they. */
static int
kills_since(long kills)
{
	return kills % 2 != 0 || kills != all->kills;
}

/* Gets a page; whether the connection goes on. */
static int
page_get(int fd, long kills)
{
	static char text[1 << 21];
	long which = chance(npages), floor = atomic ? all->newest : all->seen[which], begun = now(), v = 0, b = 0;
	const struct page *p = &pages[which];
	const char *why = NULL, *body, *closes;
	size_t size = 0;
	ssize_t len;

	dprintf(fd, "GET %s HTTP/1.%d\r\nHost: localhost\r\n\r\n", p->path, keep);
	if ((len = answer_read(fd, text, sizeof text, keep)) < 0)
		fail("%s: no answer for %ld s", p->path, patience / SECOND);
	body = body_find(text, &size);
	if (body == NULL || body + size > text + len) {
		if (!kills_since(kills))
			fail("%s: cut off after %ld bytes, though no server was killed\n%.600s", p->path, len, text);
		count(&all->lost, 1);
		return 0;
	}
	if (body + size < text + len)
		why = "longer than it says";
	else if (strncmp(text + 8, " 503 ", 5) == 0) {
		count(&all->busy, 1);
		if (size < 8 || strcmp(body + size - 8, "</html>\n") != 0)
			why = "not the whole page of 503";
	} else if (strncmp(text + 8, " 200 ", 5) != 0)
		why = "not what was asked for";
	else if ((why = page_check(p, body, size, &v, &b)) == NULL) {
		if (v < floor || b < 1 || b >= BUILDS_MAX)
			fail("%s: version %ld of build %ld, after %ld was served", p->path, v, b, floor);
		at_least(&all->newest, v);
		at_least(&all->seen[which], v);
		all->served[b] = 1;
	}
	if (why != NULL)
		fail("%s: %s\n%.600s", p->path, why, text);
	count(&all->answers, 1);
	count(&all->bytes, len);
	at_least(&all->slowest, (now() - begun) / 1000);
	closes = strstr(text, "\r\nConnection: close\r\n");
	return keep && (closes == NULL || closes > body);
}

/* --- thrown bytes --- */

static glob_t corpus, seeds;

static void
corpus_find(const char *dir)
{
	char pattern[4096];

	snprintf(pattern, sizeof pattern, "%s/*", dir);
	if (glob(pattern, 0, NULL, &corpus) != 0)
		fail("%s: nothing there", dir);
	snprintf(pattern, sizeof pattern, "%s/seed*", dir);
	if (glob(pattern, 0, NULL, &seeds) != 0)
		fail("%s: no seeds", dir);
}

/* Sets the page if that is all that is asked for. */
static size_t
request_make(char *text, size_t max, const struct page **page)
{
	const struct page *p = &pages[chance(npages)];
	const glob_t *from;
	size_t len = 0;
	long n = chance(4) == 0 ? 1 + chance(6) : 1;
	FILE *f;

	*page = NULL;
	if (chance(8) == 0) {
		*page = p;
		return (size_t)snprintf(text, max, "GET %s HTTP/1.0\r\n\r\n", p->path);
	}
	for (; n > 0; n--) {
		from = chance(2) == 0 ? &corpus : &seeds;
		if ((f = fopen(from->gl_pathv[chance((long)from->gl_pathc)], "r")) != NULL) {
			len += fread(text + len, 1, max - len, f);
			fclose(f);
		}
	}
	if (len > 0 && chance(2) == 0)
		text[chance((long)len)] = (char)chance(256);
	return len;
}

/*
 * One answer after the other as they must be, as far as can be told from outside: why they
 * are not.  Those who say more when they are answered may lose what they have not read.
 */
static const char *
answers_check(const char *got, size_t len, const struct page *page, int losable)
{
	const char *body, *at, *line, *why;
	size_t size;
	long v, b;

	for (at = got; strncmp(at, "HTTP/", 5) == 0; at = body + size) {
		body = strstr(at, "\r\n\r\n");
		if (strncmp(at, "HTTP/1.0 ", 9) != 0 || body == NULL || atoi(at + 9) < 200 || atoi(at + 9) > 599)
			return "no answer";
		for (line = at; line < body; line++)
			if (*line == '\0' || (*line == '\n' && line[-1] != '\r'))
				return "a head that is none";
		if (atoi(at + 9) == 304 || (body = body_find(at, &size)) == NULL)
			break;
		if (size > len - (size_t)(body - got))
			return losable ? NULL : "cut short";
		if (page != NULL && atoi(at + 9) == 200 && (why = page_check(page, body, size, &v, &b)) != NULL)
			return why;
		all->answers++;
		all->busy += atoi(at + 9) == 503;
	}
	return NULL;
}

/* Throws some, and reads what comes. */
static void
throw(long kills)
{
	static char text[20000], got[4 << 20];
	const struct page *page;
	const char *why = NULL;
	int fd = dial(), pieces = 0;
	size_t len = request_make(text, sizeof text, &page), at = 0, n;
	ssize_t r;

	count(&all->thrown, 1);
	for (; at < len; at += (size_t)r, pieces++) {
		n = chance(2) == 0 ? len - at : 1 + (size_t)chance((long)(len - at));
		if ((r = send(fd, text + at, n, MSG_DONTWAIT)) <= 0)
			break;
		if (at > 0 && chance(4) == 0)
			nap(chance(2000));
	}
	/* Some go without a word; a stream has no end. */
	if (chance(12) != 0 && memmem(text, len, "ev", 2) == NULL) {
		shutdown(fd, SHUT_WR);
		if ((r = answer_read(fd, got, sizeof got, 0)) < 0)
			fail("no end after %ld s of:\n%.*s", patience / SECOND, (int)len, text);
		/* HEAD has a length and no body; to a Simple-Request there is a body and no head. */
		if (memmem(text, len, "HEAD", 4) == NULL)
			why = answers_check(got, (size_t)r, page, pieces > 1 || at < len || kills_since(kills));
		if (memmem(got, (size_t)r, "SECRET", 6) != NULL)
			why = "the secret";
		if (why != NULL)
			fail("%s:\n%.600s\n--- to:\n%.*s", why, got, (int)len, text);
	}
	close(fd);
}

static void
client(int number)
{
	int fd = -1;
	long kills = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	seed_set((unsigned long)seed + (unsigned)number);
	keep = number % 2;
	slow = number < 2;
	for (;;) {
		if (fd < 0) {
			kills = all->kills;
			fd = dial();
		}
		if (!all->stopped && page_get(fd, kills)) {
			nap(chance(2000));
			continue;
		}
		if (corpus.gl_pathc > 0)
			throw(all->kills);
		close(fd);
		fd = -1;
		if (all->stopped) {
			__atomic_fetch_add(&all->idle, 1, __ATOMIC_SEQ_CST);
			while (all->stopped)
				nap(1000);
			__atomic_fetch_sub(&all->idle, 1, __ATOMIC_SEQ_CST);
		}
	}
}

/* They end only when something is wrong, and have said so. */
static void
clients_go_on(void)
{
	if (waitpid(-1, NULL, WNOHANG) > 0)
		exit(1);
}

/*
 * Kill the server; the microseconds till there is an answer.  One that is being killed
 * may still accept, so nothing is asked before it is gone.
 */
static long
server_kill(const char *path)
{
	static char text[1 << 20];
	pid_t server = server_find();
	long begin = now();
	int fd;

	count(&all->kills, 1);
	if (kill(server, SIGKILL) != 0)
		fail("the server %d: %s", server, strerror(errno));
	for (; kill(server, 0) == 0; nap(100))
		if (now() - begin > 5L * SECOND)
			fail("the server %d does not die", server);
	fd = dial();
	if (dprintf(fd, "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path) < 0 ||
	    answer_read(fd, text, sizeof text, 0) < 0 || strncmp(text + 8, " 200 ", 5) != 0)
		fail("%s: not answered after the server was killed: [%s]", path, text);
	close(fd);
	count(&all->kills, 1);
	return now() - begin;
}

/* --- driving --- */

/* Read what blogserve said since the last time. */
static void
hear(void)
{
	char line[1000];
	int number;

	for (clearerr(said); fgets(line, sizeof line, said) != NULL; ) {
		if (strchr(line, '\n') == NULL) {	/* not all of it yet */
			fseek(said, -(long)strlen(line), SEEK_CUR);
			return;
		}
		if (strstr(line, "dropped") != NULL || strstr(line, "Sanitizer") != NULL)
			fail("it said: %s", line);
		if (sscanf(line, "blogserve: build %d: ", &number) != 1 || strstr(line, " s\n") == NULL)
			continue;
		if (number != builds + 1 || number >= BUILDS_MAX)
			fail("build %d, by: %s", builds + 1, line);
		builds = number;
		good[number] = strstr(line, ": ok, ") != NULL;
		failed += !good[number];
	}
}

static void
put(const char *name, long value, int pieces)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	char text[64];
	size_t len = (size_t)snprintf(text, sizeof text, "%ld\n", value), half = pieces ? len / 2 : 0;

	if (write(fd, text, half) == (ssize_t)half && pieces)
		nap(300);
	if (write(fd, text + half, len - half) != (ssize_t)(len - half) || close(fd) != 0)
		fail("%s: %s", name, strerror(errno));
}

static void
save(long how)
{
	char name[64];

	saves++;
	snprintf(name, sizeof name, "src/notes/%ld", chance(NOTES));
	if (how < 2)
		put("src/version", ++version, how == 1);
	else if (how < 4) {
		put("src/.version.new", ++version, 0);
		if (rename("src/.version.new", "src/version") != 0)
			fail("rename: %s", strerror(errno));
	} else if (how == 4)
		put(name, chance(1000), 0);
	else if (how == 5)
		unlink(name);
	else if (mkdir("src/more", 0755) != 0)
		rmdir("src/more");
}

/* When all is quiet: how much memory and how many descriptors there are. */
static void
measure(void)
{
	struct mark *m = &marks[nmarks++];
	long until = now() + patience;
	int which, before;
	pid_t of;

	for (all->stopped = 1; all->idle < CLIENTS; nap(1000))
		clients_go_on();
	do {
		before = builds;
		nap(60000);
		hear();
	} while ((before != builds || leader_find() != 0) && now() < until);
	m->build = builds;
	m->server = server_find();
	for (which = 0; which < 2; which++) {
		of = which == 0 ? pid : m->server;
		m->held[which][0] = memory(of);
		m->held[which][1] = descriptors(of);
	}
	all->stopped = 0;
}

/* Of so many. */
static long
least(const struct mark *m, int n, int which, int what)
{
	long v = m->held[which][what];

	for (; n > 0; n--, m++)
		if (m->held[which][what] < v)
			v = m->held[which][what];
	return v;
}

/*
 * The first third against the last, the least of each: of the parent, over all builds; of
 * the server, over those that the last one has seen, but for its first mark, which may
 * come before it has served all pages.
 */
static void
grown(void)
{
	static const char *const name[] = { "parent", "server" };
	long is[2], was[2];
	const struct mark *first = marks, *last;
	int which, what, n;

	for (which = 0; which < 2; which++) {
		if (which == 1) {
			while (first->server != marks[nmarks - 1].server)
				first++;
			first++;
		}
		n = ((int)(marks + nmarks - first) + 2) / 3;
		last = marks + nmarks - n;
		if (last <= first)
			fail("no marks");
		for (what = 0; what < 2; what++) {
			was[what] = least(first, n, which, what);
			is[what] = least(last, n, which, what);
		}
		printf("note: %s: the %s, builds %d to %d against %d to %d: memory %ld and %ld KiB, descriptors %ld and %ld\n",
		    mode, name[which], first->build, first[n - 1].build, last->build, marks[nmarks - 1].build,
		    was[0], is[0], was[1], is[1]);
		/* The server keeps files. */
		if (is[0] > was[0] + (which == 1 ? 64 : 16) || is[1] > was[1])
			fail("the %s grows", name[which]);
	}
}

static void
report(long began)
{
	int i;

	for (i = 1; i <= builds; i++)
		if (atomic && all->served[i] && !good[i])
			fail("build %d failed, and was served", i);
	printf("note: %s: %d builds, %d of them failed, in %ld s; %ld saves; %ld answers, %ld MiB, each a whole page of one version, %ld of them 503, the slowest after %ld ms\n",
	    mode, builds, failed, (now() - began) / SECOND, saves, all->answers, all->bytes >> 20, all->busy,
	    all->slowest);
	if (all->thrown > 0)
		printf("note: %s: %ld requests thrown, of %lu\n", mode, all->thrown, (unsigned long)corpus.gl_pathc);
	printf("note: %s: killed: %d builds with all of theirs, %d alone, %d children of builds, %d servers, with %ld answers in flight; answering again after %ld ms at most\n",
	    mode, killed[0], killed[1], killed[2], killed_servers, all->lost, back_after / 1000);
}

/* After the last save all pages become those of its version. */
static void
settle(void)
{
	long until;
	int i;

	save(2);
	until = now() + patience;
	for (i = 0; i < npages; i++)
		for (; all->seen[i] != version; nap(5000)) {
			clients_go_on();
			if (now() > until)
				fail("%s: version %ld after the last save, that of %ld", pages[i].path,
				    all->seen[i], version);
		}
	hear();
}

static void
drive(int wanted)
{
	long began = now(), save_at = began, kill_at = began + 200000, server_at = began + 500000,
	    mark_at = 0;
	int i;

	for (i = 0; i < CLIENTS; i++)
		if (fork() == 0)
			client(i);
	for (; builds < wanted; nap(2000)) {
		clients_go_on();
		hear();
		if (now() >= save_at) {
			save(chance(7));
			save_at = now() + chance(80000);
		}
		if (now() >= kill_at)
			kill_at = now() + (build_kill() ? 20000 + chance(500000) : chance(8000));
		/* The last half of the builds is one server's, to see it grow. */
		if (now() >= server_at && builds < wanted / 2) {
			killed_servers++;
			at_least(&back_after, server_kill(atomic ? pages[0].path : "/.blogserve/status"));
			server_at = now() + 150000 + chance(800000);
		}
		if (builds >= mark_at && nmarks < MARKS) {
			measure();
			mark_at = builds + (wanted > 4 * MARKS ? wanted / MARKS : 4);
		}
	}
	nap(500000);
	settle();
	measure();
	report(began);
	if (all->thrown > 0)		/* sanitizers keep much, and take their time */
		return;
	grown();
	/* At most ten starts a second, at once otherwise. */
	if (back_after > 300000)
		fail("a server that was killed was away for %ld ms", back_after / 1000);
}

int
main(int argc, char **argv)
{
	static char text[1 << 22];
	const char *why;
	long v = 0, b = 0;

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	mode = argc > 1 ? argv[1] : "";
	if (strcmp(mode, "check") == 0 && argc == 4) {
		if ((said = fopen(argv[3], "r")) == NULL)
			fail("%s: %s", argv[3], strerror(errno));
		v = (long)fread(text, 1, sizeof text - 1, said);
		argv[3] = NULL;
		pages_add(argv + 2);
		if ((why = page_check(&pages[0], text, (size_t)v, &v, &b)) != NULL)
			fail("%s", why);
		printf("%ld.%ld\n", v, b);
	} else if (strcmp(mode, "drive") == 0 && argc > 8) {
		mode = argv[2];
		atomic = strcmp(mode, "atomic") == 0;
		pid = (pid_t)atol(argv[3]);
		port = atoi(argv[4]);
		if ((said = fopen(argv[5], "r")) == NULL)
			fail("%s: %s", argv[5], strerror(errno));
		seed_set(strtoul(argv[7], NULL, 10));
		pages_add(argv + 8);
		if (getenv("SOAK_CORPUS") != NULL)
			corpus_find(getenv("SOAK_CORPUS"));
		drive(atoi(argv[6]));
	} else
		return 2;
	return 0;
}
