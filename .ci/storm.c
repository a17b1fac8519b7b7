/*
 * storm SOURCE OUTSIDE SEED OPERATIONS WRITERS: so many processes do random things to SOURCE,
 * and to OUTSIDE unless that is "-".
 */
#include "tools.h"
#include <ftw.h>

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
		if (chance(2) == 0)
			chmod(a, chance(2) ? 0600 : 0644);
		else {
			random_file(b);
			if (link(a, b) == -1)
				unlink(b);
		}
		break;
	}
}

int
main(int argc, char **argv)
{
	long i, j, operations, writers;

	if (argc != 6)
		fail("what?");
	base[0] = argv[1];
	base[1] = strcmp(argv[2], "-") == 0 ? NULL : argv[2];
	operations = atol(argv[4]);
	writers = atol(argv[5]);
	for (i = 0; i < writers; i++)
		if (fork() == 0) {
			seed_set(strtoul(argv[3], NULL, 10) * 1000003 + (unsigned long)i);
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
