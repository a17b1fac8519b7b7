/*
 * soak: what .ci/soak does that a shell cannot.
 *
 * soak drive MODE PID PORT ERR BUILDS SEED PATH:LINES ...
 *	Clients get the pages round and round, sources in the directory src are saved,
 *	and the server, builds and their children are killed, until the blogserve PID,
 *	which says on the file ERR what it does, has built BUILDS times.  MODE is
 *	"inplace" or "atomic".
 * soak throw PORT SECONDS SEED PATH:LINES ...
 *	Throws requests at it, right ones and broken ones, in pieces, and often more than
 *	one; every answer must be one, every page whole, and no answer may hold SECRET.
 * soak check PATH:LINES FILE
 *	Whether the file is a whole page; prints its version.
 *
 * A page is so many lines of "VERSION.BUILD PATH LINE of LINES" and 60 times x; blogserve
 * may have put its script in front.
 */
#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/stat.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
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
	NOTES = 20,		/* sources beside src/version */
	PATIENCE = 20 * 1000	/* ms for an answer */
};

struct page {
	char path[64];
	int lines;
	long seen;		/* its latest version */
};

struct client {
	int fd;			/* -1: none */
	int keep, slow;
	int losable;		/* in flight when the server was killed */
	struct page *page;
	long floor;		/* no older version may come */
	char *answer;
	size_t len, cap;
	size_t head, all;	/* bytes of the head, and with the body; 0: not known */
	long begun, read_at;
};

/* What is measured at one moment of quiet. */
struct mark {
	int build;
	pid_t server;
	long memory[2], files[2];	/* of parent and server */
};

struct process {
	pid_t pid, parent, session;
	char state;
};

static const char *mode;
static int atomic, port, err_fd;
static pid_t pid;
static struct page pages[PAGES];
static struct client clients[CLIENTS];
static struct mark marks[MARKS + 1];
static struct process processes[10000];
static int npages, nmarks, nprocesses;
static char good[BUILDS_MAX], served[BUILDS_MAX];
static int builds, failed;
static long newest, version = 1000000, saves, answers, busy, lost, slowest, back_after;
static double bytes;
static int killed_leaders, killed_groups, killed_children, killed_servers;
static int stopped;		/* no new requests */
static unsigned long seed;

static void
fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "soak: %s, build %d: ", mode, builds);
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

static long
chance(long n)
{
	seed = (seed * 1103515245u + 12345u) & 0x7fffffffu;
	return (long)(seed >> 8) % n;
}

/* --- processes --- */

/* A file of /proc, whole; its length, or -1. */
static ssize_t
proc(pid_t which, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t n, len = 0;
	int fd;

	snprintf(path, sizeof path, "/proc/%ld/%s", (long)which, name);
	if ((fd = open(path, O_RDONLY)) < 0)
		return -1;
	while ((n = read(fd, text + len, size - 1 - (size_t)len)) > 0)
		len += n;
	close(fd);
	text[len] = '\0';
	return len;
}

static int
process_read(struct process *q, pid_t which)
{
	char text[1024], *p;
	int parent, group, session;

	if (proc(which, "stat", text, sizeof text) < 0 || (p = strrchr(text, ')')) == NULL ||
	    sscanf(p + 1, " %c %d %d %d", &q->state, &parent, &group, &session) != 4 ||
	    q->state == 'Z' || q->state == 'X')
		return 0;
	q->pid = which;
	q->parent = parent;
	q->session = session;
	return 1;
}

/* Everything in /proc that lives. */
static void
look(void)
{
	struct dirent *e;
	DIR *d = opendir("/proc");

	nprocesses = 0;
	while (d != NULL && (e = readdir(d)) != NULL && nprocesses < 10000)
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
			nprocesses += process_read(&processes[nprocesses], (pid_t)atol(e->d_name));
	if (d != NULL)
		closedir(d);
}

/*
 * The server is the child in the parent's own session; a build or a remover is that
 * only from its fork to its setsid.  0 when there is none.
 */
static pid_t
server_once(void)
{
	struct process parent;
	int i;

	if (!process_read(&parent, pid))
		fail("the parent is gone");
	look();
	for (i = 0; i < nprocesses; i++)
		if (processes[i].parent == pid && processes[i].session == parent.session)
			return processes[i].pid;
	return 0;
}

static pid_t
server_find(void)
{
	long until = now() + 10 * 1000000L;
	pid_t one, two;

	do {
		one = server_once();
		nap(1000);
		two = server_once();
		if (one != 0 && one == two)
			return one;
	} while (now() < until);
	fail("no server for 10 s");
	return 0;
}

/* The first process of the build under way, known by its environment; or 0. */
static pid_t
leader_find(void)
{
	static char text[65536];
	const struct process *q;
	ssize_t n;

	look();
	for (q = processes; q < processes + nprocesses; q++)
		if (q->parent == pid && q->session == q->pid &&
		    (n = proc(q->pid, "environ", text, sizeof text)) > 0 &&
		    memmem(text, (size_t)n, "\0BLOGSERVE_BUILD=", 17) != NULL)
			return q->pid;
	return 0;
}

/*
 * Kill something of the build under way.  What its first process leaves behind goes
 * on: with a docroot built in place it meets the next build, which is the generator's
 * matter.
 */
static int
kill_build(void)
{
	pid_t leader = leader_find(), victim = 0;
	int i, n = 0;

	if (leader == 0)
		return 0;
	switch (chance(3)) {
	case 0:
		killed_groups += kill(-leader, SIGKILL) == 0;
		return 1;
	case 1:
		killed_leaders += kill(leader, SIGKILL) == 0;
		return 1;
	}
	for (i = 0; i < nprocesses; i++)
		if (processes[i].session == leader && processes[i].pid != leader &&
		    chance(++n) == 0)
			victim = processes[i].pid;
	killed_children += victim != 0 && kill(victim, SIGKILL) == 0;
	return victim != 0;
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

	snprintf(name, sizeof name, "/proc/%ld/fd", (long)which);
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
	struct page *p;
	char *colon;

	for (; *text != NULL; text++) {
		p = &pages[npages++];
		colon = strrchr(*text, ':');
		if (npages > PAGES || colon == NULL || (size_t)(colon - *text) >= sizeof p->path)
			fail("%s: no page", *text);
		memcpy(p->path, *text, (size_t)(colon - *text));
		p->lines = atoi(colon + 1);
	}
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
dial(int small)
{
	struct sockaddr_in to;
	int fd = socket(AF_INET, SOCK_STREAM, 0), size = 4096;

	memset(&to, 0, sizeof to);
	to.sin_family = AF_INET;
	to.sin_port = htons((unsigned short)port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (small)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
		fail("connect: %s", strerror(errno));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void
hang_up(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->page = NULL;
	c->losable = 0;
}

static void
cut(struct client *c, const char *how)
{
	if (!c->losable)
		fail("%s: %s after %lu bytes of %lu, though no server was killed\n%.600s",
		    c->page->path, how, (unsigned long)c->len, (unsigned long)c->all, c->answer);
	lost++;
	hang_up(c);
}

static void
request(struct client *c)
{
	char text[200];
	int n;

	c->page = &pages[chance(npages)];
	c->floor = atomic ? newest : c->page->seen;
	c->len = c->head = c->all = 0;
	c->answer[0] = '\0';
	c->begun = c->read_at = now();
	if (c->fd < 0)
		c->fd = dial(c->slow);
	n = snprintf(text, sizeof text, "GET %s HTTP/1.%d\r\nHost: localhost\r\n\r\n",
	    c->page->path, c->keep);
	if (write(c->fd, text, (size_t)n) != n)
		cut(c, strerror(errno));
}

/* The head is there: what is to come. */
static void
head(struct client *c)
{
	char *end = strstr(c->answer, "\r\n\r\n"), *length;
	int status = atoi(c->answer + 9);

	if (end == NULL)
		return;
	length = strstr(c->answer, "\r\nContent-Length: ");
	if ((status != 200 && status != 503) || length == NULL || length > end)
		fail("%s: not what was asked for:\n%.600s", c->page->path, c->answer);
	c->head = (size_t)(end + 4 - c->answer);
	c->all = c->head + strtoul(length + 18, NULL, 10);
}

static void
answered(struct client *c)
{
	const char *why = NULL, *body = c->answer + c->head, *closes;
	size_t len = c->all - c->head;
	long took = (now() - c->begun) / 1000, v = 0, b = 0;

	if (c->len > c->all)
		why = "longer than it says";
	else if (atoi(c->answer + 9) == 503) {
		busy++;
		if (len < 8 || strcmp(body + len - 8, "</html>\n") != 0)
			why = "not the whole page of 503";
	} else if ((why = page_check(c->page, body, len, &v, &b)) == NULL) {
		if (v < c->floor || b < 1 || b >= BUILDS_MAX)
			fail("%s: version %ld of build %ld, after %ld was served", c->page->path,
			    v, b, c->floor);
		if (v > newest)
			newest = v;
		if (v > c->page->seen)
			c->page->seen = v;
		served[b] = 1;
	}
	if (why != NULL)
		fail("%s: %s", c->page->path, why);
	answers++;
	bytes += (double)c->all;
	if (took > slowest)
		slowest = took;
	closes = strstr(c->answer, "\r\nConnection: close\r\n");
	if (!c->keep || (closes != NULL && closes < body))
		hang_up(c);
	c->page = NULL;
}

static void
receive(struct client *c)
{
	ssize_t n;

	if (c->cap - c->len < 65536 && (c->cap = c->cap * 2) > 0 &&
	    (c->answer = realloc(c->answer, c->cap + 1)) == NULL)
		fail("no memory");
	n = read(c->fd, c->answer + c->len, c->slow ? 8192 : c->cap - c->len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->read_at = now() + (c->slow ? 2000 : 0);
	if (n <= 0) {
		cut(c, n == 0 ? "closed" : strerror(errno));
		return;
	}
	c->answer[c->len += (size_t)n] = '\0';
	if (c->head == 0)
		head(c);
	if (c->head > 0 && c->len >= c->all)
		answered(c);
}

/* What the clients can do within some time. */
static void
turn(long us)
{
	struct pollfd p[CLIENTS];
	long t = now();
	int i;

	for (i = 0; i < CLIENTS; i++) {
		struct client *c = &clients[i];

		if (c->page == NULL && !stopped)
			request(c);
		p[i].fd = c->page != NULL && c->read_at <= t ? c->fd : -1;
		p[i].events = POLLIN;
		if (c->page != NULL && c->slow && c->read_at > t && us > 1000)
			us = 1000;
		if (c->page != NULL && t - c->begun > PATIENCE * 1000L)
			fail("%s: no answer for %d s, %lu bytes", c->page->path,
			    PATIENCE / 1000, (unsigned long)c->len);
	}
	if (poll(p, CLIENTS, (int)(us / 1000)) <= 0)
		return;
	for (i = 0; i < CLIENTS; i++)
		if (p[i].fd >= 0 && p[i].revents != 0 && clients[i].page != NULL)
			receive(&clients[i]);
}

/* Reads what comes until the other side closes; its length, -1: too late. */
static ssize_t
exchange(int fd, char *text, size_t size, long until)
{
	struct pollfd p = { fd, POLLIN, 0 };
	size_t len = 0;
	ssize_t n = 1;
	long left;

	while (n > 0 && len < size - 1) {
		if ((left = (until - now()) / 1000) <= 0 || poll(&p, 1, (int)left) <= 0)
			return -1;
		if ((n = read(fd, text + len, size - 1 - len)) > 0)
			len += (size_t)n;
	}
	text[len] = '\0';
	return (ssize_t)len;
}

/*
 * Kill the server; the microseconds till there is an answer.  One that is being killed
 * may still accept, so nothing is asked before it is gone.
 */
static long
kill_server(const char *path)
{
	static char text[1 << 20];
	pid_t server = server_find();
	struct process gone;
	long begin = now();
	int fd;

	if (kill(server, SIGKILL) != 0)
		fail("the server %ld: %s", (long)server, strerror(errno));
	while (process_read(&gone, server))
		if (now() - begin > 5 * 1000000L)
			fail("the server %ld does not die", (long)server);
	fd = dial(0);
	if (dprintf(fd, "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path) < 0 ||
	    exchange(fd, text, sizeof text, now() + PATIENCE * 1000L) < 0 ||
	    strncmp(text + 8, " 200 ", 5) != 0)
		fail("%s: not answered after the server was killed: [%s]", path, text);
	close(fd);
	return now() - begin;
}

/* --- requests, right ones and broken ones --- */

static const char *const seeds[] = {
	"GET %s HTTP/1.0\r\n\r\n", "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"HEAD %s HTTP/1.1\r\nHost: a.localhost:80\r\nConnection: close\r\n\r\n", "GET %s\r\n",
	"GET %s?q HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: localhost\r\nRange: bytes=10-500\r\nIf-Range: \"1-2\"\r\n\r\n",
	"GET %s HTTP/1.0\r\nIf-None-Match: \"a\", *\r\nSec-Fetch-Dest: empty\r\n\r\n",
	"GET /sub HTTP/1.0\r\n\r\n", "GET /.blogserve/log HTTP/1.0\r\nRange: bytes=-200\r\n\r\n",
	"GET /.blogserve/status HTTP/1.1\r\nHost: localhost\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: [::1]\r\n\r\n",
	"GET /.blogserve/reload.js HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET /nothing HTTP/1.0\r\n\r\n",
	"GET /.blogserve/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n",
	"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabcde", "GET /.hidden HTTP/1.0\r\n\r\n",
	"GET http://localhost%s HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /out/secret HTTP/1.0\r\n\r\n",
	"GET /sub/..%%2f../src/secret HTTP/1.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
};
static const char *const words[] = {
	"\r\n", "\n", "\r\n\r\n", " ", "/", "%2e", "%2F", "..", "/.", "%00", "Host: localhost\r\n", "HTTP/1.1", ":",
	"Range: bytes=0-0\r\n", "Range: bytes=-99999999999999999999\r\n", "Content-Length: 3\r\n", ",", "\xff", "?",
	"Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
};
enum { SEEDS = sizeof seeds / sizeof seeds[0], WORDS = sizeof words / sizeof words[0] };

/* Some bytes put in place of some. */
static size_t
splice_in(char *text, size_t len, size_t max, const char *by, size_t n)
{
	size_t at = len > 0 ? (size_t)chance((long)len + 1) : 0, gone = chance(2) == 0 ? 0 : (size_t)chance(12);

	if (gone > len - at)
		gone = len - at;
	if (len - gone + n > max)
		return len;
	memmove(text + at + n, text + at + gone, len - at - gone);
	memcpy(text + at, by, n);
	return len - gone + n;
}

static size_t
request_make(char *text, size_t max, struct page **page)
{
	size_t len = 0, n;
	long i, requests = chance(4) == 0 ? 1 + chance(6) : 1, spoil = chance(3) == 0 ? 0 : 1 + chance(5);
	const char *word;
	char byte;

	*page = &pages[chance(npages)];
	for (i = 0; i < requests; i++)
		len += (size_t)snprintf(text + len, max - len, seeds[chance(SEEDS)], (*page)->path);
	for (i = 0; i < spoil; i++)
		if (chance(3) == 0) {
			byte = (char)chance(256);
			len = splice_in(text, len, max, &byte, 1);
		} else {
			word = words[chance(WORDS)];
			for (n = chance(30) == 0 ? 400 : 1; n > 0; n--)
				len = splice_in(text, len, max, word, strlen(word));
		}
	return len;
}

/*
 * One answer after the other as they must be, as far as can be told from outside.  Those
 * who say more when they are answered may lose what they have not read.
 */
static void
answers_check(const char *got, size_t len, const char *request, size_t request_len, int losable)
{
	const char *end, *length, *why = NULL, *at = got, *line;
	size_t body;
	long v, b;
	int i, status = 0;

	if (memmem(got, len, "SECRET", 6) != NULL)
		why = "the secret";
	/* HEAD has a length and no body; to a Simple-Request there is a body and no head. */
	if (why == NULL && memmem(request, request_len, "HEAD", 4) == NULL)
		for (; why == NULL && strncmp(at, "HTTP/", 5) == 0; at = end + 4 + body) {
			end = strstr(at, "\r\n\r\n");
			status = atoi(at + 9);
			if (strncmp(at, "HTTP/1.0 ", 9) != 0 || end == NULL || status < 200 || status > 599) {
				why = "no answer";
				break;
			}
			for (line = at; line < end && why == NULL; line++)
				if (*line == '\0' || (*line == '\n' && line[-1] != '\r'))
					why = "a head that is none";
			length = strstr(at, "\r\nContent-Length: ");
			if (status == 304 || length == NULL || length > end)
				break;
			body = strtoul(length + 18, NULL, 10);
			if (body > len - (size_t)(end + 4 - got)) {
				why = losable ? NULL : "cut short";
				break;
			}
			for (i = 0; i < npages && status == 200; i++)
				if (request_len == strlen(seeds[0]) - 2 + strlen(pages[i].path) &&
				    strncmp(request + 4, pages[i].path, strlen(pages[i].path)) == 0 &&
				    memcmp(request + 4 + strlen(pages[i].path), seeds[0] + 6, 9) == 0)
					why = page_check(&pages[i], end + 4, body, &v, &b);
			answers++;
			busy += status == 503;
		}
	if (why != NULL)
		fail("%s:\n%.*s\n--- to:\n%.*s", why, (int)(len > 600 ? 600 : len), got, (int)request_len,
		    request);
}

static void
throw(long seconds)
{
	static char text[20000], got[4 << 20];
	long until = now() + seconds * 1000000, begin, given_up = 0, thrown = 0;
	struct page *page;
	size_t len, at, n;
	ssize_t r;
	int fd, pieces;

	for (; now() < until; close(fd), thrown++) {
		len = request_make(text, sizeof text, &page);
		fd = dial(chance(4) == 0);
		begin = now();
		for (at = 0, pieces = 0; at < len; at += (size_t)r, pieces++) {
			n = chance(2) == 0 ? len - at : 1 + (size_t)chance((long)(len - at));
			if ((r = send(fd, text + at, n, MSG_NOSIGNAL)) <= 0)
				break;
			if (at > 0 && chance(4) == 0)
				nap(chance(2000));
		}
		/* Some go without a word; a stream has no end. */
		if (chance(12) == 0 || memmem(text, len, "ev", 2) != NULL) {
			given_up++;
			continue;
		}
		shutdown(fd, SHUT_WR);
		if ((r = exchange(fd, got, sizeof got, now() + PATIENCE * 1000L)) < 0)
			fail("no end after %ld ms of:\n%.*s", (now() - begin) / 1000, (int)len, text);
		if (now() - begin > slowest)
			slowest = now() - begin;
		answers_check(got, (size_t)r, text, len, pieces > 1 || at < len);
	}
	printf("note: %ld requests thrown in %ld s, %ld given up: %ld answers that can be told apart, %ld of them 503, the slowest after %ld ms\n",
	    thrown, seconds, given_up, answers, busy, slowest / 1000);
}

/* --- driving --- */

/* Read what blogserve said since the last time. */
static void
hear(void)
{
	static char text[65536];
	static size_t len;
	char *line, *nl, *said;
	ssize_t n;
	int number;

	while ((n = read(err_fd, text + len, sizeof text - 1 - len)) > 0) {
		len += (size_t)n;
		text[len] = '\0';
		for (line = text; (nl = strchr(line, '\n')) != NULL; line = nl + 1) {
			*nl = '\0';
			if (strstr(line, "dropped") != NULL || strstr(line, "Sanitizer") != NULL)
				fail("it said: %s", line);
			if (sscanf(line, "blogserve: build %d: ", &number) != 1 ||
			    nl - line < 2 || strcmp(nl - 2, " s") != 0 ||
			    (said = strrchr(line, ',')) == NULL)
				continue;
			if (number != builds + 1 || number >= BUILDS_MAX)
				fail("build %d, by: %s", number, line);
			builds = number;
			*said = '\0';
			if (said - line > 4 && strcmp(said - 4, ": ok") == 0)
				good[number] = 1;
			else
				failed++;
		}
		len -= (size_t)(line - text);
		memmove(text, line, len);
	}
}

static void
put(const char *name, long value, int pieces)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644), ok = fd >= 0;
	char text[64];
	size_t len = (size_t)snprintf(text, sizeof text, "%ld\n", value), half = pieces ? len / 2 : len;

	ok = ok && write(fd, text, half) == (ssize_t)half;
	if (pieces)
		nap(300);
	ok = ok && write(fd, text + half, len - half) == (ssize_t)(len - half) && close(fd) == 0;
	if (!ok)
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
	long until = now() + PATIENCE * 1000L, n;
	int i, which, before;

	stopped = 1;
	for (i = 0; i < CLIENTS; )
		if (clients[i].page == NULL)
			i++;
		else
			turn(1000), i = 0;
	for (i = 0; i < CLIENTS; i++)
		hang_up(&clients[i]);
	do {
		before = builds;
		nap(60000);
		hear();
	} while ((before != builds || leader_find() != 0) && now() < until);
	m->build = builds;
	m->server = server_find();
	for (which = 0; which < 2; which++) {
		m->files[which] = 1000000;
		m->memory[which] = memory(which == 0 ? pid : m->server);
		for (i = 0; i < 5; i++, nap(2000))
			if ((n = descriptors(which == 0 ? pid : m->server)) < m->files[which])
				m->files[which] = n;
	}
	stopped = 0;
}

static int
compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return x < y ? -1 : x > y;
}

/*
 * The first tenth against the last, by their medians: of the parent, over all builds; of
 * the server, over those that the last one has seen, but for its first mark, which may
 * come before it has served all pages.
 */
static void
grown(void)
{
	static const char *const name[] = { "parent", "server" };
	long v[4][MARKS + 1], slack = getenv("SOAK_SLACK") != NULL ? atol(getenv("SOAK_SLACK")) : 16;
	int which, i, n, first;

	for (which = 0; which < 2; which++) {
		for (first = 0; which == 1 && marks[first].server != marks[nmarks - 1].server; )
			first++;
		first += which;
		n = (nmarks - first + 9) / 10;
		if (n < 1 || nmarks - first < 2)
			fail("no marks");
		for (i = 0; i < n; i++) {
			v[0][i] = marks[first + i].memory[which];
			v[1][i] = marks[nmarks - 1 - i].memory[which];
			v[2][i] = marks[first + i].files[which];
			v[3][i] = marks[nmarks - 1 - i].files[which];
		}
		for (i = 0; i < 4; i++) {
			qsort(v[i], (size_t)n, sizeof v[i][0], compare);
			v[i][0] = v[i][n / 2];
		}
		printf("note: %s: the %s, builds %d to %d against %d to %d: memory %ld and %ld KiB, descriptors %ld and %ld\n",
		    mode, name[which], marks[first].build, marks[first + n - 1].build,
		    marks[nmarks - n].build, marks[nmarks - 1].build, v[0][0], v[1][0], v[2][0], v[3][0]);
		/* The server keeps small files, those that were asked for of late. */
		if (v[1][0] > v[0][0] + slack * (which == 1 ? 4 : 1) || v[3][0] > v[2][0])
			fail("the %s grows", name[which]);
	}
}

static void
report(long began)
{
	int i;

	for (i = 1; i <= builds; i++)
		if (atomic && served[i] && !good[i])
			fail("build %d failed, and was served", i);
	printf("note: %s: %d builds, %d of them failed, in %ld s; %ld saves; %ld answers, %.0f MiB, each a whole page of one version, %ld of them 503, the slowest after %ld ms\n",
	    mode, builds, failed, (now() - began) / 1000000, saves, answers, bytes / 1048576, busy, slowest);
	printf("note: %s: killed: %d builds alone, %d with all of theirs, %d children of builds, %d servers, with %ld answers in flight; answering again after %ld ms at most\n",
	    mode, killed_leaders, killed_groups, killed_children, killed_servers, lost, back_after / 1000);
}

/* After the last save all pages become those of its version. */
static void
settle(void)
{
	long until;
	int i;

	save(2);
	until = now() + PATIENCE * 1000L;
	for (i = 0; i < npages; )
		if (pages[i].seen == version)
			i++;
		else if (now() > until)
			fail("%s: version %ld after the last save, that of %ld", pages[i].path,
			    pages[i].seen, version);
		else
			turn(5000);
	hear();
}

static void
drive(int wanted)
{
	long began = now(), save_at = began, kill_at = began + 200000, server_at = began + 500000,
	    mark_at = 0, us;
	int i;

	for (i = 0; i < CLIENTS; i++) {
		clients[i].fd = -1;
		clients[i].keep = i % 2;
		clients[i].slow = i == 0 || i == 1;
		clients[i].cap = 1 << 20;
		if ((clients[i].answer = malloc(clients[i].cap + 1)) == NULL)
			fail("no memory");
	}
	while (builds < wanted) {
		turn(2000);
		hear();
		if (now() >= save_at) {
			save(chance(7));
			save_at = now() + chance(80000);
		}
		if (now() >= kill_at)
			kill_at = now() + (kill_build() ? 20000 + chance(500000) : chance(8000));
		/* The last half of the builds is one server's, to see it grow. */
		if (now() >= server_at && builds < wanted / 2) {
			for (i = 0; i < CLIENTS; i++)
				clients[i].losable = clients[i].fd >= 0;
			killed_servers++;
			us = kill_server(atomic ? pages[0].path : "/.blogserve/status");
			if (us > back_after)
				back_after = us;
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
	FILE *f;

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	mode = argc > 1 ? argv[1] : "";
	if (strcmp(mode, "check") == 0 && argc == 4) {
		if ((f = fopen(argv[3], "r")) == NULL)
			fail("%s: %s", argv[3], strerror(errno));
		v = (long)fread(text, 1, sizeof text - 1, f);
		argv[3] = NULL;
		pages_add(argv + 2);
		if ((why = page_check(&pages[0], text, (size_t)v, &v, &b)) != NULL)
			fail("%s", why);
		printf("%ld.%ld\n", v, b);
	} else if (strcmp(mode, "throw") == 0 && argc > 5) {
		port = atoi(argv[2]);
		seed = strtoul(argv[4], NULL, 10);
		pages_add(argv + 5);
		throw(atol(argv[3]));
	} else if (strcmp(mode, "drive") == 0 && argc > 8) {
		mode = argv[2];
		atomic = strcmp(mode, "atomic") == 0;
		pid = (pid_t)atol(argv[3]);
		port = atoi(argv[4]);
		if ((err_fd = open(argv[5], O_RDONLY)) < 0)
			fail("%s: %s", argv[5], strerror(errno));
		seed = strtoul(argv[7], NULL, 10);
		pages_add(argv + 8);
		drive(atoi(argv[6]));
	} else
		return 2;
	return 0;
}
