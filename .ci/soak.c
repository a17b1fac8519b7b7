/*
 * soak: what .ci/soak does that a shell cannot.
 *
 * soak drive MODE PID PORT ERR BUILDS SEED PATH:LINES ...
 *	Clients get the pages round and round, sources in the directory src are saved,
 *	and the server, builds and their children are killed, until the blogserve PID,
 *	which says on the file ERR what it does, has built BUILDS times.  MODE is
 *	"inplace" or "atomic".
 * soak check PATH:LINES FILE
 *	Whether the file is a whole page; prints its version.
 * soak server PID PORT PATH
 *	Kills the server; prints the microseconds till PATH is answered again.
 * soak parent PID PORT [PATH]
 *	Kills the parent; prints the milliseconds till the port is free, and till the
 *	server is gone.  A client that asked for PATH then reads none of it.
 *
 * A page is so many lines of "VERSION.BUILD PATH LINE of LINES" and 60 times x; that of
 * a page .html ends with </body></html>, and blogserve may have put its script before.
 */
#define _XOPEN_SOURCE 700
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
	long answers;
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
	pid_t pid, parent, group, session;
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
static long newest, version = 1000000, saves, answers, busy, lost, slowest;
static double bytes;
static int killed_leaders, killed_groups, killed_children, killed_servers;
static long at_once[1000], later;
static int n_at_once;
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
	struct timespec t;

	t.tv_sec = us / 1000000;
	t.tv_nsec = us % 1000000 * 1000;
	nanosleep(&t, NULL);
}

static long
chance(long n)
{
	seed = (seed * 1103515245u + 12345u) & 0x7fffffffu;
	return (long)(seed >> 8) % n;
}

/* --- processes --- */

/* Everything in /proc that lives. */
static void
look(void)
{
	char name[300], text[1024], *p;
	struct process *q;
	struct dirent *e;
	ssize_t n;
	int fd, a, b, c;
	DIR *d = opendir("/proc");

	nprocesses = 0;
	while (d != NULL && (e = readdir(d)) != NULL && nprocesses < 10000) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		snprintf(name, sizeof name, "/proc/%s/stat", e->d_name);
		if ((fd = open(name, O_RDONLY)) < 0)
			continue;
		n = read(fd, text, sizeof text - 1);
		close(fd);
		text[n > 0 ? n : 0] = '\0';
		q = &processes[nprocesses];
		if ((p = strrchr(text, ')')) == NULL ||
		    sscanf(p + 1, " %c %d %d %d", &q->state, &a, &b, &c) != 4)
			continue;
		q->pid = (pid_t)atol(e->d_name);
		q->parent = a, q->group = b, q->session = c;
		if (q->state != 'Z' && q->state != 'X')
			nprocesses++;
	}
	if (d != NULL)
		closedir(d);
}

static struct process *
find(pid_t which)
{
	int i;

	for (i = 0; i < nprocesses; i++)
		if (processes[i].pid == which)
			return &processes[i];
	return NULL;
}

static int
is_gone(pid_t which)
{
	char name[64], text[512], *p;
	ssize_t n;
	int fd;

	snprintf(name, sizeof name, "/proc/%ld/stat", (long)which);
	if ((fd = open(name, O_RDONLY)) < 0)
		return 1;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return (p = strrchr(text, ')')) == NULL || p[2] == 'Z' || p[2] == 'X';
}

/*
 * The server is the child in the parent's own session; a build or a remover is that
 * only from its fork to its setsid.  0 when there is none.
 */
static pid_t
server_once(void)
{
	struct process *parent;
	int i;

	look();
	if ((parent = find(pid)) == NULL)
		fail("the parent is gone");
	for (i = 0; i < nprocesses; i++)
		if (processes[i].parent == pid && processes[i].session == parent->session)
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

/* Whether the process is a build or a part of one, by its environment. */
static int
is_build(pid_t which)
{
	static char text[65536];
	char name[64];
	size_t at, n = 0;
	ssize_t r;
	int fd;

	snprintf(name, sizeof name, "/proc/%ld/environ", (long)which);
	if ((fd = open(name, O_RDONLY)) < 0)
		return 0;
	while ((r = read(fd, text + n, sizeof text - 1 - n)) > 0)
		n += (size_t)r;
	close(fd);
	text[n] = '\0';
	for (at = 0; at < n; at += strlen(text + at) + 1)
		if (strncmp(text + at, "BLOGSERVE_BUILD=", 16) == 0)
			return 1;
	return 0;
}

/* The first process of the build under way, or 0. */
static pid_t
leader_find(void)
{
	int i;

	look();
	for (i = 0; i < nprocesses; i++)
		if (processes[i].parent == pid && processes[i].session == processes[i].pid &&
		    is_build(processes[i].pid))
			return processes[i].pid;
	return 0;
}

/*
 * Kill something of the build under way.  What its first process leaves behind goes
 * on: with a docroot built in place it could meet the next build, which is the
 * generator's matter, so there it all goes at once.
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
		if (kill(-leader, SIGKILL) == 0)
			killed_groups++;
		return 1;
	case 1:
		if (kill(leader, SIGKILL) == 0)
			killed_leaders++;
		return 1;
	}
	for (i = 0; i < nprocesses; i++)
		if (processes[i].session == leader && processes[i].pid != leader &&
		    chance(++n) == 0)
			victim = processes[i].pid;
	if (victim != 0 && kill(victim, SIGKILL) == 0)
		killed_children++;
	return victim != 0;
}

static long
memory(pid_t which)
{
	char name[64], line[256];
	long kib = -1;
	FILE *f;

	snprintf(name, sizeof name, "/proc/%ld/status", (long)which);
	if ((f = fopen(name, "r")) == NULL)
		return -1;
	while (fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, "RssAnon:", 8) == 0)
			kib = atol(line + 8);
	fclose(f);
	return kib;
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
page_add(const char *text)
{
	struct page *p = &pages[npages++];
	const char *colon = strrchr(text, ':');

	if (npages > PAGES || colon == NULL || (size_t)(colon - text) >= sizeof p->path)
		fail("%s: no page", text);
	memcpy(p->path, text, (size_t)(colon - text));
	p->lines = atoi(colon + 1);
}

/* NULL when the body is a whole page of one version and build, else why not. */
static const char *
page_check(const struct page *p, const char *body, size_t len, long *v, long *b)
{
	static const char x[] =
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", end[] = "</body></html>";
	static char why[400];
	char line[200];
	const char *at = body, *nl, *tail;
	int i, n, html = strstr(p->path, ".html") != NULL;

	if (len > 0 && sscanf(body, "%ld.%ld ", v, b) != 2)
		return "no version";
	for (i = 1; i <= p->lines; i++, at = nl + 1) {
		n = snprintf(line, sizeof line, "%ld.%ld %s %d of %d %s", *v, *b, p->path, i,
		    p->lines, x);
		nl = memchr(at, '\n', len - (size_t)(at - body));
		if (nl == NULL || nl - at < n || memcmp(at, line, (size_t)n) != 0)
			break;
		tail = at + n;
		if (i == p->lines && html) {
			if (strncmp(tail, "<script ", 8) == 0 &&
			    (tail = strstr(tail, "</script>\n")) != NULL)
				tail += 10;
			if (tail == NULL || strncmp(tail, end, sizeof end - 1) != 0)
				break;
			tail += sizeof end - 1;
			if ((nl = strchr(tail, '\n')) == NULL)
				break;
		}
		if (tail != nl)
			break;
	}
	if (i > p->lines && at == body + len)
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
		fail("%s: longer than it says", c->page->path);
	if (atoi(c->answer + 9) == 503) {
		busy++;
		if (len < 8 || strcmp(body + len - 8, "</html>\n") != 0)
			why = "not the whole page of 503";
	} else if ((why = page_check(c->page, body, len, &v, &b)) == NULL) {
		if (v < c->floor)
			fail("%s: version %ld, after %ld was served", c->page->path, v,
			    c->floor);
		if (v > newest)
			newest = v;
		if (v > c->page->seen)
			c->page->seen = v;
		if (b < 1 || b >= BUILDS_MAX)
			fail("%s: build %ld", c->page->path, b);
		served[b] = 1;
	}
	if (why != NULL)
		fail("%s: %s", c->page->path, why);
	c->page->answers++;
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

/* --- one at a time --- */

/* Gets a page that must be there; the microseconds since begin. */
static long
get(const char *path, long begin)
{
	static char text[4096];
	size_t len = 0;
	ssize_t n = 0;
	struct pollfd p;

	p.fd = dial(0);
	p.events = POLLIN;
	snprintf(text, sizeof text, "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
	if (write(p.fd, text, strlen(text)) < 0)
		fail("%s: %s", path, strerror(errno));
	do {
		if (poll(&p, 1, PATIENCE) <= 0)
			fail("%s: no answer for %d s", path, PATIENCE / 1000);
		n = read(p.fd, text + len, sizeof text - 1 - len);
		len += n > 0 ? (size_t)n : 0;
		text[len] = '\0';
	} while (n > 0 && len < sizeof text - 1 && strstr(text, "\r\n\r\n") == NULL);
	begin = now() - begin;
	close(p.fd);
	if (strncmp(text + 8, " 200 ", 5) != 0)
		fail("%s: not answered: [%s] %s", path, text, n < 0 ? strerror(errno) : "");
	return begin;
}

/*
 * Kill the server; the microseconds till there is an answer.  One that is being killed
 * may still accept, so nothing is asked before it is gone.
 */
static long
kill_server(const char *path)
{
	pid_t server = server_find();
	long begin = now();

	if (kill(server, SIGKILL) != 0)
		fail("the server %ld: %s", (long)server, strerror(errno));
	while (!is_gone(server))
		if (now() - begin > 5 * 1000000L)
			fail("the server %ld does not die", (long)server);
	return get(path, begin);
}

/* A listener may have the port again, on both loopbacks; 1 when not yet. */
static int
port_taken(void)
{
	struct sockaddr_in a;
	struct sockaddr_in6 b;
	int fd, taken, one = 1;

	memset(&a, 0, sizeof a);
	a.sin_family = AF_INET;
	a.sin_port = htons((unsigned short)port);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	taken = bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 1) != 0;
	close(fd);
	memset(&b, 0, sizeof b);
	b.sin6_family = AF_INET6;
	b.sin6_port = a.sin_port;
	b.sin6_addr = in6addr_loopback;
	if ((fd = socket(AF_INET6, SOCK_STREAM, 0)) < 0)
		return taken;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&b, sizeof b) != 0 ? errno == EADDRINUSE :
	    listen(fd, 1) != 0)
		taken = 1;
	close(fd);
	return taken;
}

static void
kill_parent(const char *path)
{
	pid_t server = server_find();
	long begin, freed = -1, gone = -1;
	char text[200];
	int fd = -1;

	if (path != NULL) {
		fd = dial(1);
		snprintf(text, sizeof text, "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
		if (write(fd, text, strlen(text)) < 0)
			fail("%s: %s", path, strerror(errno));
		nap(200000);
	}
	begin = now();
	kill(pid, SIGKILL);
	while (freed < 0 || gone < 0) {
		if (freed < 0 && !port_taken())
			freed = now() - begin;
		if (gone < 0 && is_gone(server))
			gone = now() - begin;
		if (now() - begin > 10 * 1000000L)
			fail("10 s after the parent was killed %s", freed < 0 ?
			    "the port is not free" : "the server is not gone");
		nap(500);
	}
	if (fd >= 0)
		close(fd);
	printf("%ld %ld\n", freed / 1000, gone / 1000);
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
put(const char *name, const char *text, int pieces)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	size_t len = strlen(text), half = pieces ? len / 2 : len;

	if (fd < 0 || write(fd, text, half) != (ssize_t)half)
		fail("%s: %s", name, strerror(errno));
	if (pieces)
		nap(300);
	if (write(fd, text + half, len - half) != (ssize_t)(len - half) || close(fd) != 0)
		fail("%s: %s", name, strerror(errno));
}

static void
save(int how)
{
	char text[64], name[64];

	saves++;
	snprintf(name, sizeof name, "src/notes/%ld", chance(NOTES));
	switch (how) {
	case 0:
	case 1:
		snprintf(text, sizeof text, "%ld\n", ++version);
		put("src/version", text, how);
		return;
	case 2:
	case 3:
		snprintf(text, sizeof text, "%ld\n", ++version);
		put("src/.version.new", text, 0);
		if (rename("src/.version.new", "src/version") != 0)
			fail("rename: %s", strerror(errno));
		return;
	case 4:
		snprintf(text, sizeof text, "%ld\n", chance(1000));
		put(name, text, 0);
		return;
	case 5:
		unlink(name);
		return;
	default:
		if (mkdir("src/more", 0755) != 0)
			rmdir("src/more");
	}
}

/* When all is quiet: how much memory and how many descriptors there are. */
static void
measure(void)
{
	struct mark *m = &marks[nmarks++];
	long until, n;
	int i, before;

	stopped = 1;
	until = now() + PATIENCE * 1000L;
	for (i = 0; i < CLIENTS; )
		if (clients[i].page == NULL)
			i++;
		else if (now() > until)
			fail("clients get no answer");
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
	m->files[0] = m->files[1] = 1000000;
	for (i = 0; i < 5; i++, nap(2000)) {
		if ((n = descriptors(pid)) < m->files[0])
			m->files[0] = n;
		if ((n = descriptors(m->server)) < m->files[1])
			m->files[1] = n;
	}
	m->memory[0] = memory(pid);
	m->memory[1] = memory(m->server);
	stopped = 0;
}

static int
compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return x < y ? -1 : x > y;
}

static long
median(long *v, int n)
{
	qsort(v, (size_t)n, sizeof *v, compare);
	return n > 0 ? v[n / 2] : 0;
}

/*
 * The first tenth against the last: of the parent, over all builds; of the server, over
 * those that the last one has seen.
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
		/* The server's first mark may come before it has served all pages. */
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
		for (i = 0; i < 4; i++)
			v[i][0] = median(v[i], n);
		printf("note: %s: the %s, builds %d to %d against %d to %d: memory %ld and %ld KiB, descriptors %ld and %ld\n",
		    mode, name[which], marks[first].build, marks[first + n - 1].build,
		    marks[nmarks - n].build, marks[nmarks - 1].build, v[0][0], v[1][0], v[2][0], v[3][0]);
		/* The server keeps small files, those that were asked for of late. */
		if (v[1][0] > v[0][0] + slack * (which == 1 ? 4 : 1) || v[3][0] > v[2][0])
			fail("the %s grows", name[which]);
	}
}

static void
report(int wanted, long began)
{
	int i;

	for (i = 1; i <= builds; i++)
		if (atomic && served[i] && !good[i])
			fail("build %d failed, and was served", i);
	printf("note: %s: %d builds, %d of them failed, in %ld s; %ld saves; %ld answers, %.0f MiB, each a whole page of one version, %ld of them 503, the slowest after %ld ms\n",
	    mode, builds, failed, (now() - began) / 1000000, saves, answers, bytes / 1048576, busy, slowest);
	printf("note: %s: killed: %d builds alone, %d with all of theirs, %d children of builds, %d servers, with %ld answers in flight",
	    mode, killed_leaders, killed_groups, killed_children, killed_servers, lost);
	if (n_at_once > 0) {
		long middle = median(at_once, n_at_once);

		printf("; answering again after %ld.%ld ms (median of %d, at most %ld.%ld)",
		    middle / 1000, middle / 100 % 10, n_at_once, at_once[n_at_once - 1] / 1000,
		    at_once[n_at_once - 1] / 100 % 10);
	}
	if (later > 0)
		printf(", those killed again within 5 s after at most %ld ms", later / 1000);
	printf("\n");
	if (builds < wanted)
		fail("%d builds", builds);
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
	    born = 0, mark_at = 0, us;

	while (builds < wanted) {
		turn(2000);
		hear();
		if (now() >= save_at) {
			save((int)chance(7));
			save_at = now() + chance(80000);
		}
		if (now() >= kill_at)
			kill_at = now() + (kill_build() ? 20000 + chance(500000) : chance(8000));
		/* The last half of the builds is one server's, to see it grow. */
		if (now() >= server_at && builds < wanted / 2) {
			int i;

			for (i = 0; i < CLIENTS; i++)
				clients[i].losable = clients[i].fd >= 0;
			us = now() - born;
			killed_servers++;
			if (born == 0 || us > 5100000) {
				us = kill_server(atomic ? pages[0].path : "/.blogserve/status");
				if (n_at_once < 1000)
					at_once[n_at_once++] = us;
			} else if ((us = kill_server("/.blogserve/status")) > later)
				later = us;
			born = now();
			server_at = born + (chance(4) > 0 ? 5200000 + chance(500000) : 200000 + chance(800000));
		}
		if (builds >= mark_at && nmarks < MARKS) {
			measure();
			mark_at = builds + (wanted > 4 * MARKS ? wanted / MARKS : 4);
		}
	}
	nap(500000);
	settle();
	measure();
	report(wanted, began);
	grown();
}

int
main(int argc, char **argv)
{
	int i;

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	mode = argc > 1 ? argv[1] : "";
	if (strcmp(mode, "check") == 0 && argc == 4) {
		static char text[1 << 22];
		const char *why;
		long v = 0, b = 0;
		FILE *f = fopen(argv[3], "r");
		size_t n;

		if (f == NULL)
			fail("%s: %s", argv[3], strerror(errno));
		n = fread(text, 1, sizeof text - 1, f);
		page_add(argv[2]);
		if ((why = page_check(&pages[0], text, n, &v, &b)) != NULL)
			fail("%s: %s", argv[3], why);
		printf("%ld.%ld\n", v, b);
		return 0;
	}
	if (argc >= 4 && strcmp(mode, "drive") != 0) {
		pid = (pid_t)atol(argv[2]);
		port = atoi(argv[3]);
		if (strcmp(mode, "server") == 0 && argc == 5)
			printf("%ld\n", kill_server(argv[4]));
		else if (strcmp(mode, "parent") == 0)
			kill_parent(argv[4]);
		else
			return 2;
		return 0;
	}
	if (argc < 9)
		return 2;
	mode = argv[2];
	atomic = strcmp(mode, "atomic") == 0;
	pid = (pid_t)atol(argv[3]);
	port = atoi(argv[4]);
	if ((err_fd = open(argv[5], O_RDONLY)) < 0)
		fail("%s: %s", argv[5], strerror(errno));
	seed = strtoul(argv[7], NULL, 10);
	for (i = 8; i < argc; i++)
		page_add(argv[i]);
	for (i = 0; i < CLIENTS; i++) {
		clients[i].fd = -1;
		clients[i].keep = i % 2;
		clients[i].slow = i == 0 || i == 1;
		clients[i].cap = 1 << 20;
		if ((clients[i].answer = malloc(clients[i].cap + 1)) == NULL)
			fail("no memory");
	}
	drive(atoi(argv[6]));
	return 0;
}
