/*
 * faults MODE PID PORT ERR ORDERS SEED PATH:LINES ...: has calls of a running blogserve
 * refused by .ci/refuse.c, one after the other: of each kind the first, the second, the
 * fourth, ... of the parent and of its children, with one of the errors that the kind has.
 * While it is so, a source is saved and everything asked for: an answer may be an error of
 * the server (5xx) or cut off, but no lie.  When it is over, the site must be that of the
 * sources, soon, without another save.  MODE is "inplace", "atomic" or "serve" (no command).
 *
 * faults order ORDERS KIND N: the call of that kind after N ones is refused, by anyone.
 * faults over ORDERS [FOLLOW]: no more; prints how many were.
 */
#define main soak_main
#include "soak.c"
#undef main
#include "refuse.h"

static const struct { int kind, error[5]; } refusals[] = {
	{ OPEN, { EMFILE, EIO, ENOMEM, EINTR } }, { STAT, { EIO, ENOMEM } },
	{ READ, { EIO, EINTR, EAGAIN, SHORT } }, { PREAD, { EIO, EINTR, EAGAIN, SHORT } },
	{ WRITE, { EIO, EINTR, EAGAIN, ENOSPC, SHORT } },
	{ OPENDIR, { EMFILE, EIO, ENOMEM } }, { READDIR, { EIO, ENOMEM } }, { MEMORY, { ENOMEM } },
	{ FORK, { EAGAIN, ENOMEM } }, { PIPE, { EMFILE, ENFILE } }, { POLL, { ENOMEM, EINTR, EAGAIN } },
	{ ACCEPT, { EMFILE, ENFILE, ECONNABORTED, EINTR, EAGAIN } },
	{ RENAME, { EIO, ENOSPC } },
	{ MKDIR, { ENOSPC, EIO, EMLINK } }, { WATCH, { ENOMEM, ENOSPC } },
	{ NOTIFY, { EMFILE, ENOSYS } }
};
enum { REFUSALS = sizeof refusals / sizeof refusals[0] };

static const struct check { const char *path, *fields; int page, want; const char *holds; } checks[] = {
	{ "/index.html", "", 0, 200, NULL }, { "/c.txt", "", 2, 200, NULL },
	{ "/sub/", "", -1, 200, "b.html" }, { "/sub/b.html", "", 1, 200, NULL },
	{ "/nothing", "", -1, 404, "404" }, { "/.blogserve/status", "", -1, 200, "state: " },
	{ "/c.txt", "Range: bytes=0-99\r\n", 2, 206, NULL }, { "/sub", "", -1, 301, NULL }
};
enum { CHECKS = sizeof checks / sizeof checks[0] };

static struct orders *orders;
static char now_on[200], got[1 << 20];
static int wrongs;
static long rounds, refusals_done;

static void
wrong(const char *fmt, ...)
{
	va_list ap;

	printf("%s: %s: ", mode, now_on);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	if (++wrongs >= 40)
		exit(1);
}

static void
version_save(void)
{
	FILE *f;
	int i;

	version++;
	if (strcmp(mode, "serve") != 0) {
		put("src/.version.new", version, 0);
		i = rename("src/.version.new", "src/version");
	} else {
		if ((f = fopen("src/.new", "w")) == NULL)
			fail("src/.new");
		for (i = 1; i <= pages[0].lines; i++)
			fprintf(f, "%ld.1 %s %d of %d %s\n", version, pages[0].path, i, pages[0].lines, filling);
		fclose(f);
		i = rename("src/.new", "src/index.html");
	}
	if (i != 0)
		fail("a save: %s", strerror(errno));
}

/* The status that came; 0: cut off, -1: nothing in time, or what is wrong, and is told. */
static int
ask(const struct check *c, int calm)
{
	const char *body, *why = NULL;
	int fd = dial(), status;
	long v = 0, b = 0;
	char line[200];
	size_t size;
	ssize_t n;

	dprintf(fd, "GET %s HTTP/1.0\r\n%s\r\n", c->path, c->fields);
	n = answer_read(fd, got, sizeof got, 0);
	close(fd);
	if (n < 0) {
		wrong("%s: no answer for %ld s", c->path, patience / SECOND);
		return -1;
	}
	body = body_find(got, &size);
	if (body == NULL || body + size > got + n)
		return 0;
	status = atoi(got + 9);
	if (body + size < got + n)
		why = "longer than it says";
	/* Of a file that is very young there are no ranges. */
	else if (status != c->want && (status < 500 || calm) && (c->want != 206 || status != 200))
		why = "another status";
	else if (status == 200 && c->page >= 0)
		why = page_check(&pages[c->page], body, size, &v, &b);
	else if (status == 206) {
		if (sscanf(body, "%ld.%ld ", &v, &b) == 2)
			snprintf(line, sizeof line, "%ld.%ld %s 1 of %d xxxxxxxxxx", v, b, c->path, pages[2].lines);
		if (size != 100 || strncmp(body, line, strlen(line)) != 0)
			why = "other bytes";
	} else if (status == c->want && c->holds != NULL && strstr(body, c->holds) == NULL)
		why = "not what is there";
	if (why == NULL && status == 200 && c->page == 0 && v != version && calm)
		return 0;	/* not yet */
	if (why != NULL)
		wrong("%s: %s: %d: %.*s", c->path, why, status, (int)strcspn(status == 200 ? body : got, "\r\n"),
		    status == 200 ? body : got);
	return why == NULL ? status : -1;
}

/* The site is what the sources are, and everything answered as it must be. */
static void
well_again(void)
{
	long until = now() + patience;
	char line[1000];
	int i, status;

	while ((status = ask(&checks[0], 0)) != 200 || (status = ask(&checks[0], 1)) != 200) {
		if (now() > until || status == -1) {
			wrong("not well after %ld s: status %d, wanted version %ld: %.*s", patience / SECOND, status,
			    version, (int)strcspn(got, "\r\n"), got);
			version_save();		/* to go on with the next */
			nap(700000);
			return;
		}
		nap(3000);
	}
	for (i = 1; i < CHECKS; i++)
		if (ask(&checks[i], 1) <= 0)
			wrong("%s: cut off, though all is well again", checks[i].path);
	if (kill(pid, 0) != 0)
		fail("%s: the parent died", now_on);
	for (clearerr(said); fgets(line, sizeof line, said) != NULL; )
		if (strncmp(line, "blogserve: server: ", 19) == 0)
			wrong("the server fell");
}

static int
order(int kind, int error, int who, long skip, long times)
{
	static const char *const name[] = { "anyone", "the parent", "the others" };
	int i;

	snprintf(now_on, sizeof now_on, "%s, %s, by %s, after %ld%s", kind_name[kind],
	    error == SHORT ? "half" : strerror(error), name[who], skip, times > 1 ? ", ever again" : "");
	orders->times = 0;
	orders->refused = 0;
	orders->kind = kind;
	orders->error = error;
	orders->who = who;
	orders->skip = skip;
	__atomic_store_n(&orders->times, times, __ATOMIC_SEQ_CST);
	version_save();
	if (times > 1) {		/* all that can be done is wait till it is over */
		i = dial();
		dprintf(i, "GET /index.html HTTP/1.0\r\n\r\n");
		nap(100000);
		orders->times = 0;
		if (orders->refused > 3000 && kind != READ && kind != WRITE)
			wrong("it spins: %ld calls within 100 ms", orders->refused);
		if (answer_read(i, got, sizeof got, 0) < 0)
			wrong("no answer, though it is over");
		close(i);
	} else
		for (i = 0; i < CHECKS; i++)
			ask(&checks[i], 0);
	/* A build may still begin. */
	for (i = 0; i < 20 && orders->refused == 0 && strcmp(mode, "serve") != 0 && who == PARENT; i++)
		nap(2000);
	orders->times = 0;
	rounds++;
	refusals_done += orders->refused;
	well_again();
	return orders->refused > 0;
}

static void
kind_refuse(int which, int who)
{
	const int *error = refusals[which].error;
	int n = 0, i, kind = refusals[which].kind;
	long k, files[2] = { descriptors(pid), descriptors(server_find()) };

	while (n < 5 && error[n] != 0)
		n++;
	for (k = 0; k < 400 && order(kind, error[(k + (long)seed) % n], who, k, 1); k += 1 + k)
		;
	order(kind, error[0], who, 0, 1000000000);
	for (i = 0; i < 100 && (descriptors(pid) > files[0] || descriptors(server_find()) > files[1] + 8); i++)
		nap(20000);
	if (i == 100)
		wrong("descriptors: of the parent %ld, then %ld, of the server %ld, then %ld", files[0],
		    descriptors(pid), files[1], descriptors(server_find()));
}

int
main(int argc, char **argv)
{
	int fd, i;

	mode = argv[1];
	if (argc < 3 || (fd = open(argv[argc < 8 ? 2 : 5], O_RDWR)) == -1)
		return 2;
	orders = mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (strcmp(mode, "order") == 0 && argc == 5) {
		for (i = 0; i < REFUSALS && strcmp(kind_name[refusals[i].kind], argv[3]) != 0; i++)
			;
		memset(orders, 0, sizeof *orders);
		orders->kind = refusals[i % REFUSALS].kind;
		orders->skip = atol(argv[4]);
		orders->error = refusals[i % REFUSALS].error[orders->skip % 3];
		if (orders->error == 0)
			orders->error = refusals[i % REFUSALS].error[0];
		orders->times = 1;
		return i == REFUSALS;
	}
	orders->times = 0;
	if (strcmp(mode, "over") == 0) {
		orders->follow = argc == 4 ? atoi(argv[3]) : 0;
		return printf("%ld\n", orders->refused) < 0;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	pid = (pid_t)atol(argv[2]);
	port = atoi(argv[3]);
	if ((said = fopen(argv[4], "r")) == NULL)
		fail("%s: %s", argv[4], strerror(errno));
	seed = strtoul(argv[6], NULL, 10);
	pages_add(argv + 7);
	patience = 5L * SECOND;
	snprintf(now_on, sizeof now_on, "at first");
	well_again();
	for (i = 0; i < REFUSALS; i++) {
		kind_refuse(i, PARENT);
		kind_refuse(i, OTHERS);
	}
	printf("note: %s: %ld rounds, %ld calls refused, %d wrong\n", mode, rounds, refusals_done, wrongs);
	return wrongs > 0;
}
