/*
 * storm site SOURCE OUT MS
 *	A build: writes what it finds in directory (or file) SOURCE to file OUT, a line
 *	for each entry, sorted; takes up to MS milliseconds longer than it needs, at a
 *	random moment.  With STORM_INCREMENTAL set only the paths of BLOGSERVE_CHANGED,
 *	where it is not empty, are looked at; the rest is taken from OUT.  With
 *	STORM_INPLACE set two files gen-* in SOURCE are written too.
 * storm run SOURCE OUTSIDE SEED OPERATIONS WRITERS
 *	So many processes do random things to SOURCE, and to OUTSIDE unless that is "-".
 */
#include "tools.h"
#include <fts.h>
#include <ftw.h>

static int incremental;

/* --- what a build makes of the sources --- */

/* Without bytes that a line, or its reader, would take for something else. */
static char *
escaped(const char *s, char but)
{
	char *out = malloc(strlen(s) * 3 + 1), *p = out;

	if (out == NULL)
		fail("no memory");
	for (; *s != '\0'; s++)
		if (*s == but || (*s > ' ' && *s != '%' && *s != 127))
			*p++ = *s;
		else
			p += sprintf(p, "%%%02x", (unsigned)(unsigned char)*s);
	*p = '\0';
	return out;
}

static int
no_source(const char *s)
{
	size_t n = strlen(s);

	return s[0] == '.' || s[n - 1] == '~' || strcmp(s, "4913") == 0 ||
	    (s[0] == '#' && s[n - 1] == '#') || (n > 4 && strcmp(s + n - 4, ".swp") == 0) ||
	    strncmp(s, "gen-", 4) == 0;
}

static unsigned long long
sum(const char *path)
{
	static char buf[65536];
	uint64_t h = 14695981039346656037U;
	ssize_t i, n;
	int fd = open(path, O_RDONLY | O_NONBLOCK);

	if (fd == -1)
		return 0;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (i = 0; i < n; i++)
			h = (h ^ (unsigned char)buf[i]) * 1099511628211U;
	close(fd);
	return h;
}

/*
 * The line of an entry; whether it is a link that is to be followed: out of SOURCE, but not
 * below another one.  Only where all is looked at a line depends on what a link leads to.
 */
static int
describe(FILE *to, const FTSENT *e)
{
	char target[4096] = "", *text = escaped(e->fts_path, '\0');
	int link = S_ISLNK(e->fts_statp->st_mode);
	struct stat st = { 0 };

	fprintf(to, "%s\t", text);
	free(text);
	if (S_ISREG(e->fts_statp->st_mode))
		fprintf(to, "file %lld %016llx\n", (long long)e->fts_statp->st_size, sum(e->fts_path));
	else if (link) {
		if (readlink(e->fts_path, target, sizeof(target) - 1) != -1)
			stat(e->fts_path, &st);
		text = escaped(target, '\0');
		fprintf(to, "link %s %016llx\n", text, !incremental && S_ISREG(st.st_mode) ? sum(e->fts_path) : 0);
		free(text);
	} else
		fprintf(to, "%s\n", S_ISDIR(e->fts_statp->st_mode) ? "directory" : "other");
	return link && !incremental && S_ISDIR(st.st_mode) && target[0] == '/' && e->fts_number == 0;
}

/* One entry; of a directory, if so told, also what is in it. */
static void
look(FILE *to, char *path, int deep)
{
	char *paths[] = { path, NULL };
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *e;

	while (tree != NULL && (e = fts_read(tree)) != NULL) {
		if (e->fts_info == FTS_DP || e->fts_info == FTS_DNR || e->fts_info == FTS_NS || e->fts_number == 2)
			continue;
		if (e->fts_level > 0 && no_source(e->fts_name)) {
			fts_set(tree, e, FTS_SKIP);
			continue;
		}
		e->fts_number = e->fts_parent->fts_number;
		if (describe(to, e)) {
			e->fts_number = 2;	/* it comes again as the directory that it leads to */
			fts_set(tree, e, FTS_FOLLOW);
		} else if (!deep)
			fts_set(tree, e, FTS_SKIP);
	}
	if (tree != NULL)
		fts_close(tree);
}

/* What was known of other paths than these, and what these are now. */
static void
look_again(FILE *to, const char *out, const char *changed)
{
	char *all, *paths, *key, *line = NULL;
	FILE *f = fopen(out, "r");
	size_t cap = 0;

	if (f == NULL || asprintf(&paths, "\n%s\n", changed) == -1)
		fail("%s: %s", out, strerror(errno));
	all = escaped(paths, '\n');
	while (getline(&line, &cap, f) > 0) {
		if (asprintf(&key, "\n%.*s\n", (int)strcspn(line, "\t"), line) == -1)
			fail("no memory");
		if (strstr(all, key) == NULL)
			fputs(line, to);
		free(key);
	}
	fclose(f);
	for (key = strtok(paths, "\n"); key != NULL; key = strtok(NULL, "\n"))
		look(to, key, 0);
}

/* A file among the sources that a build writes in place. */
static void
generate(const char *source, const char *name, unsigned long long value)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", source, name);
	if ((f = fopen(path, "w")) == NULL)
		return;
	fprintf(f, "%016llx\n", value);
	fclose(f);
}

static int
site(char *source, const char *out, long ms)
{
	const char *changed = getenv("BLOGSERVE_CHANGED");
	long longer, begin;
	char *tmp, *sort;
	FILE *to;

	seed_set((unsigned long)now() + (unsigned long)getpid());
	longer = ms > 0 ? chance(ms) : 0;
	begin = chance(longer + 1);
	incremental = getenv("STORM_INCREMENTAL") != NULL;
	nap(begin * 1000);
	if (asprintf(&tmp, "%s.%ld", out, (long)getpid()) == -1 || asprintf(&sort, "exec sort -o '%s'", tmp) == -1 ||
	    (to = popen(sort, "w")) == NULL)
		fail("%s: %s", out, strerror(errno));
	if (incremental && changed != NULL && *changed != '\0')
		look_again(to, out, changed);
	else
		look(to, source, 1);
	nap((longer - begin) * 1000);
	if (pclose(to) != 0 || rename(tmp, out) != 0)
		fail("%s: %s", out, strerror(errno));
	if (getenv("STORM_INPLACE") != NULL) {
		generate(source, "gen-same", 0);
		generate(source, "gen-sum", sum(out));
	}
	return 0;
}

/* --- random things --- */

enum { PATH = 512 };

static const char *base[2];

static void
random_dir(char *path, long depth)
{
	int at = snprintf(path, PATH, "%s", base[base[1] != NULL && chance(8) == 0]);

	while (depth-- > 0)
		at += snprintf(path + at, (size_t)(PATH - at), "/d%ld", chance(4));
}

static void
random_file(char *path)
{
	static const char *const odd[] = { "/with space", "/\xe4\xff", "/with\nnewline", "/%s" };
	size_t n;

	random_dir(path, chance(4));
	n = strlen(path);
	if (chance(50) == 0)
		snprintf(path + n, PATH - n, "%s", odd[chance(4)]);
	else
		snprintf(path + n, PATH - n, "/f%ld", chance(8));
}

static void
put(const char *path, int flags)
{
	size_t i, n = (size_t)(chance(10) == 0 ? chance(32768) : chance(3) == 0 ? 8 : chance(100));
	char buf[32768];
	int fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | flags, 0644);

	if (fd == -1)
		return;
	for (i = 0; i < n; i++)
		buf[i] = (char)('a' + chance(26));
	for (; n > 0; n -= i) {
		i = chance(4) == 0 ? n / 2 + 1 : n;
		if (write(fd, buf, i) == -1)
			break;
	}
	close(fd);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	remove(path);
	return 0;
}

/* As rm -r does. */
static void
remove_all(const char *path)
{
	nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* As mkdir -p does; and some files in it. */
static void
make_all(char *path)
{
	char *p, file[PATH + 8];
	long n;

	for (p = path + 1; *p != '\0'; p++)
		if (*p == '/') {
			*p = '\0';
			mkdir(path, 0755);
			*p = '/';
		}
	mkdir(path, 0755);
	for (n = chance(4); n > 0; n--) {
		snprintf(file, sizeof(file), "%s/f%ld", path, chance(8));
		put(file, O_CREAT | O_TRUNC);
	}
}

static void
link_somewhere(const char *path)
{
	static const char *const near[] = { "f0", "f1", "d0", "d1", "..", "../d2", "../../d3",
	    "nowhere", "." };
	char to[PATH + 8];

	unlink(path);
	if (base[1] != NULL && chance(3) == 0)
		snprintf(to, sizeof(to), "%s/d%ld", base[1], chance(4));
	else
		snprintf(to, sizeof(to), "%s", near[chance(9)]);
	if (symlink(to, path) == -1)
		return;
}

static void
operate(void)
{
	char a[PATH], b[PATH], tmp[PATH + 32];
	long what = chance(20);

	if (what < 12 || what > 17)
		random_file(a);
	else
		random_dir(a, 1 + chance(3));
	switch (what) {
	case 0: case 1: case 2: case 3:
		put(a, O_CREAT | O_TRUNC);
		break;
	case 4: case 5:
		put(a, 0);
		break;
	case 6:
		put(a, O_APPEND);
		break;
	case 7:
		if (truncate(a, (off_t)chance(64)) == -1)
			break;
		break;
	case 8: case 9:
		random_dir(b, chance(4));
		snprintf(tmp, sizeof(tmp), "%s/%st%ld", b, chance(2) ? "." : "", (long)getpid());
		put(tmp, O_CREAT | O_TRUNC);
		if (rename(tmp, a) == -1)
			unlink(tmp);
		break;
	case 10:
		random_file(b);
		rename(a, b);
		break;
	case 11:
		unlink(a);
		break;
	case 12: case 13:
		make_all(a);
		break;
	case 14:
		remove_all(a);
		break;
	case 15:
		remove_all(a);
		make_all(a);
		break;
	case 16: case 17:
		random_dir(b, 1 + chance(3));
		rename(a, b);
		break;
	case 18:
		link_somewhere(a);
		break;
	case 19:
		if (chance(8) == 0)
			mkfifo(a, 0644);	/* to be opened by nobody who would wait */
		else if (chance(2) == 0)
			chmod(a, chance(2) ? 0600 : 0644);
		else {
			random_file(b);
			if (link(a, b) == -1)
				unlink(b);
		}
		break;
	}
}

static int
run(unsigned long first, long operations, long writers)
{
	long i, j;

	for (i = 0; i < writers; i++)
		if (fork() == 0) {
			seed_set(first * 1000003 + (unsigned long)i);
			for (j = i; j < operations; j += writers) {
				operate();
				if (chance(3) == 0)
					nap(1000 * (chance(20) == 0 ? chance(100) : chance(4)));
			}
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "site") == 0)
		return site(argv[2], argv[3], atol(argv[4]));
	if (argc == 7 && strcmp(argv[1], "run") == 0) {
		base[0] = argv[2];
		base[1] = strcmp(argv[3], "-") == 0 ? NULL : argv[3];
		return run(strtoul(argv[4], NULL, 10), atol(argv[5]), atol(argv[6]));
	}
	fprintf(stderr, "usage: storm site | run ...\n");
	return 2;
}
