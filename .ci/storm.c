/*
 * storm site SOURCE OUT MS
 *	A build: writes what it finds in directory (or file) SOURCE to file OUT, a line
 *	for each entry, sorted; takes up to MS milliseconds longer than it needs, at a
 *	random moment.  With STORM_INCREMENTAL set only the paths of BLOGSERVE_CHANGED,
 *	where it is not empty, are looked at; the rest is taken from OUT.  With
 *	STORM_INPLACE set two files gen-* in SOURCE are written too.
 * storm run SOURCE OUTSIDE SEED OPERATIONS WRITERS
 *	So many processes do random things to SOURCE, and to OUTSIDE unless that is "-".
 *	With STORM_RESTORE set some files and directories get back what they had.
 */
#define _GNU_SOURCE
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t seed;

static uint32_t
below(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)((seed >> 20) % n);
}

static void
pause_ms(uint32_t ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

static void
die(const char *what)
{
	fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- what a build makes of the sources --- */

struct lines {
	char **line;
	size_t count, cap;
};

static void
add(struct lines *l, char *line)
{
	if (l->count == l->cap) {
		l->cap = l->cap * 2 + 64;
		if ((l->line = realloc(l->line, l->cap * sizeof(*l->line))) == NULL)
			die("memory");
	}
	l->line[l->count++] = line;
}

/* Up to the tab stands the path. */
static int
by_path(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Without bytes that a line, or its reader, would take for something else. */
static char *
escaped(const char *s)
{
	char *out = malloc(strlen(s) * 3 + 1), *p = out;

	if (out == NULL)
		die("memory");
	for (; *s != '\0'; s++)
		if (*s > ' ' && *s != '%' && *s != 127)
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

static int following;	/* 1: links out of SOURCE, too; 2: below one */

static void walk(struct lines *, int, const char *);

static uint64_t
sum(int dir, const char *name)
{
	static char buf[65536];
	uint64_t h = 14695981039346656037U;
	ssize_t i, n;
	int fd = openat(dir, name, O_RDONLY | O_NONBLOCK);

	if (fd == -1)
		return 0;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (i = 0; i < n; i++)
			h = (h ^ (unsigned char)buf[i]) * 1099511628211U;
	close(fd);
	return h;
}

/* One entry; of a directory, if so told, also what is in it. */
static void
look(struct lines *l, int dir, const char *name, const char *path, int deep)
{
	static char target[4096];
	char *text, *line, *what;
	struct stat st, to;
	ssize_t n;
	int fd, was, rc = 0;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return;
	text = escaped(path);
	if (S_ISREG(st.st_mode))
		rc = asprintf(&line, "%s\tfile %lld %016llx", text, (long long)st.st_size,
		    (unsigned long long)sum(dir, name));
	else if (S_ISLNK(st.st_mode)) {
		if ((n = readlinkat(dir, name, target, sizeof(target) - 1)) == -1)
			n = 0;
		target[n] = '\0';
		what = escaped(target);
		to.st_mode = 0;
		fstatat(dir, name, &to, 0);
		rc = asprintf(&line, "%s\tlink %s %016llx", text, what,
		    following && S_ISREG(to.st_mode) ? (unsigned long long)sum(dir, name) : 0);
		free(what);
	} else
		rc = asprintf(&line, "%s\t%s", text, S_ISDIR(st.st_mode) ? "directory" : "other");
	if (rc == -1)
		die("memory");
	add(l, line);
	free(text);
	was = following;
	if (S_ISLNK(st.st_mode) && following == 1 && S_ISDIR(to.st_mode) && target[0] == '/')
		following = 2;
	if (deep && (S_ISDIR(st.st_mode) || was != following) &&
	    (fd = openat(dir, name, O_RDONLY | O_DIRECTORY)) != -1) {
		walk(l, fd, path);
		close(fd);
	}
	following = was;
}

static void
walk(struct lines *l, int fd, const char *path)
{
	struct dirent *e;
	DIR *d = fdopendir(dup(fd));
	char *sub;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (no_source(e->d_name))
			continue;
		if (asprintf(&sub, "%s/%s", path, e->d_name) == -1)
			die("memory");
		look(l, fd, e->d_name, sub, 1);
		free(sub);
	}
	if (d != NULL)
		closedir(d);
}

static void
load(struct lines *l, const char *path)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while (f != NULL && (n = getline(&line, &cap, f)) > 0) {
		line[n - 1] = '\0';
		add(l, strdup(line));
	}
	free(line);
	if (f != NULL)
		fclose(f);
}

/* Take what was known of a path away. */
static void
forget(struct lines *l, const char *path)
{
	char *text = escaped(path);
	size_t i, at = 0, n = strlen(text);

	for (i = 0; i < l->count; i++)
		if (strncmp(l->line[i], text, n) == 0 && l->line[i][n] == '\t')
			free(l->line[i]);
		else
			l->line[at++] = l->line[i];
	l->count = at;
	free(text);
}

static void
generate(const char *source, const char *name, const char *text)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", source, name);
	if ((f = fopen(path, "w")) == NULL)
		return;
	fputs(text, f);
	fclose(f);
}

static int
site(const char *source, const char *out, uint32_t ms)
{
	const char *changed = getenv("BLOGSERVE_CHANGED");
	int some = getenv("STORM_INCREMENTAL") != NULL && changed != NULL && *changed != '\0';
	struct lines l = { NULL, 0, 0 };
	uint32_t longer, begin;
	uint64_t h = 0;
	char *tmp, *copy, *p, text[64];
	struct rlimit lim;
	struct timespec t;
	size_t i;
	FILE *f;

	/* Each level of the tree takes two. */
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	clock_gettime(CLOCK_MONOTONIC, &t);
	seed = (uint64_t)t.tv_nsec * 2654435761U + (uint64_t)getpid() + 1;
	longer = ms > 0 ? below(ms) : 0;
	begin = longer > 0 ? below(longer) : 0;
	following = getenv("STORM_INCREMENTAL") == NULL;
	pause_ms(begin);
	if (some) {
		load(&l, out);
		copy = strdup(changed);
		for (p = strtok(copy, "\n"); p != NULL; p = strtok(NULL, "\n")) {
			forget(&l, p);
			look(&l, AT_FDCWD, p, p, 0);
		}
		free(copy);
	} else
		look(&l, AT_FDCWD, source, source, 1);
	pause_ms(longer - begin);
	qsort(l.line, l.count, sizeof(*l.line), by_path);
	if (asprintf(&tmp, "%s.%ld", out, (long)getpid()) == -1 || (f = fopen(tmp, "w")) == NULL)
		die(out);
	for (i = 0; i < l.count; i++) {
		fprintf(f, "%s\n", l.line[i]);
		for (p = l.line[i]; *p != '\0'; p++)
			h = (h ^ (unsigned char)*p) * 1099511628211U;
	}
	if (fclose(f) != 0 || rename(tmp, out) != 0)
		die(out);
	if (getenv("STORM_INPLACE") != NULL) {
		generate(source, "gen-same", "always the same\n");
		snprintf(text, sizeof(text), "%016llx\n", (unsigned long long)h);
		generate(source, "gen-sum", text);
	}
	return 0;
}

/* --- random things --- */

enum { PATH = 512 };

static const char *base[2];

static void
random_dir(char *path, int bare)
{
	int depth = (int)below(4), at;

	at = snprintf(path, PATH, "%s", base[base[1] != NULL && below(8) == 0]);
	if (bare && depth == 0)
		depth = 1;
	while (depth-- > 0)
		at += snprintf(path + at, (size_t)(PATH - at), "/d%u", (unsigned)below(4));
}

static void
random_file(char *path)
{
	static const char *const odd[] = { "/with space", "/\xe4\xff", "/with\nnewline", "/%s" };
	size_t n;

	random_dir(path, 0);
	n = strlen(path);
	if (below(50) == 0)
		snprintf(path + n, PATH - n, "%s", odd[below(4)]);
	else
		snprintf(path + n, PATH - n, "/f%u", (unsigned)below(8));
}

static void
put(const char *path, int flags, size_t n)
{
	char buf[32768];
	size_t i;
	int fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | flags, 0644);

	if (fd == -1)
		return;
	for (i = 0; i < n; i++)
		buf[i] = (char)('a' + below(26));
	while (n > 0) {
		i = below(4) == 0 ? n / 2 + 1 : n;
		if (write(fd, buf, i) == -1)
			break;
		n -= i;
	}
	close(fd);
}

static size_t
random_size(void)
{
	return below(10) == 0 ? below(32768) : below(3) == 0 ? 8 : below(100);
}

/* As rm -r does, but never through a link; keeps path itself if so told. */
static void
remove_all(const char *path, int keep)
{
	char sub[PATH * 2];
	struct dirent *e;
	struct stat st;
	DIR *d;

	if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && (d = opendir(path)) != NULL) {
		while ((e = readdir(d)) != NULL)
			if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
			    snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name) < (int)sizeof(sub))
				remove_all(sub, 0);
		closedir(d);
		if (!keep)
			rmdir(path);
	} else
		unlink(path);
}

static void
make_all(char *path)
{
	char *p;

	for (p = path + 1; *p != '\0'; p++)
		if (*p == '/') {
			*p = '\0';
			mkdir(path, 0755);
			*p = '/';
		}
	mkdir(path, 0755);
}

static void
fill(const char *dir)
{
	char path[PATH * 2];
	uint32_t n = below(4);

	while (n-- > 0) {
		snprintf(path, sizeof(path), "%s/f%u", dir, (unsigned)below(8));
		put(path, O_CREAT | O_TRUNC, random_size());
	}
}

static void
link_somewhere(const char *path)
{
	static const char *const near[] = { "f0", "f1", "d0", "d1", "..", "../d2", "../../d3",
	    "nowhere", "." };
	char to[PATH + 8];

	unlink(path);
	if (base[1] != NULL && below(3) == 0)
		snprintf(to, sizeof(to), "%s/d%u", base[1], (unsigned)below(4));
	else
		snprintf(to, sizeof(to), "%s", near[below(9)]);
	if (symlink(to, path) == -1)
		return;
}

/* What is there becomes something else, and after a while what it was. */
static void
restore(const char *path)
{
	char buf[32768], away[PATH + 8];
	ssize_t n;
	int fd;

	if (below(2) == 0) {
		snprintf(away, sizeof(away), "%s~", path);
		if (rename(path, away) == -1)
			return;
		pause_ms(below(120));
		if (rename(away, path) == -1)
			remove_all(away, 0);
		return;
	}
	if ((fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK)) == -1)
		return;
	n = read(fd, buf, sizeof(buf));
	if (n > 0 && pwrite(fd, "other", n < 5 ? (size_t)n : 5, 0) > 0) {
		pause_ms(below(120));
		if (pwrite(fd, buf, n < 5 ? (size_t)n : 5, 0) == -1)
			die(path);
	}
	close(fd);
}

static void
operate(void)
{
	char a[PATH], b[PATH], tmp[PATH + 32];

	random_file(a);
	switch (below(getenv("STORM_RESTORE") != NULL ? 22 : 20)) {
	case 0: case 1: case 2: case 3:
		put(a, O_CREAT | O_TRUNC, random_size());
		break;
	case 4: case 5:
		put(a, 0, random_size());
		break;
	case 6:
		put(a, O_APPEND, random_size());
		break;
	case 7:
		if (truncate(a, (off_t)below(64)) == -1)
			break;
		break;
	case 8: case 9:
		random_dir(b, 0);
		snprintf(tmp, sizeof(tmp), "%s/%st%ld", b, below(2) ? "." : "", (long)getpid());
		put(tmp, O_CREAT | O_TRUNC, random_size());
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
		random_dir(a, 1);
		make_all(a);
		fill(a);
		break;
	case 14:
		random_dir(a, 1);
		remove_all(a, 1);
		rmdir(a);
		break;
	case 15:
		random_dir(a, 1);
		remove_all(a, 0);
		make_all(a);
		fill(a);
		break;
	case 16: case 17:
		random_dir(a, 1);
		random_dir(b, 1);
		rename(a, b);
		break;
	case 18:
		link_somewhere(a);
		break;
	case 19:
		if (below(8) == 0)
			mkfifo(a, 0644);	/* to be opened by nobody who would wait */
		else if (below(2) == 0)
			chmod(a, below(2) ? 0600 : 0644);
		else {
			random_file(b);
			if (link(a, b) == -1)
				unlink(b);
		}
		break;
	case 20:
		restore(a);
		break;
	case 21:
		random_dir(a, 1);
		restore(a);
		break;
	}
}

static int
run(uint64_t first, uint32_t operations, uint32_t writers)
{
	uint32_t i, j;

	for (i = 0; i < writers; i++)
		if (fork() == 0) {
			seed = (first * 1000003 + i + 1) * 0x9e3779b97f4a7c15U;
			for (j = i; j < operations; j += writers) {
				operate();
				if (below(3) == 0)
					pause_ms(below(20) == 0 ? below(100) : below(4));
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
		return site(argv[2], argv[3], (uint32_t)atoi(argv[4]));
	if (argc == 7 && strcmp(argv[1], "run") == 0) {
		base[0] = argv[2];
		base[1] = strcmp(argv[3], "-") == 0 ? NULL : argv[3];
		return run((uint64_t)atoll(argv[4]), (uint32_t)atoi(argv[5]),
		    (uint32_t)atoi(argv[6]));
	}
	fprintf(stderr, "usage: storm site | run ...\n");
	return 2;
}
