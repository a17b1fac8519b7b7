/*
 * A library that is preloaded (cc -shared -fPIC) and refuses calls to the program, not to
 * what that executes:
 *
 *	REFUSE=FILE		as the struct orders in FILE says, which may change at any time
 *	REFUSE=ERROR:kind,...	these, always; the error is a number
 *
 * It knows the calls by the names that are linked on Linux with glibc, for the same _FILE_OFFSET_BITS.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "refuse.h"

static struct orders *orders;
static int always[KINDS];	/* the error */
static pid_t parent;

__attribute__((constructor))
static void
take_orders(void)
{
	const char *text = getenv("REFUSE"), *at;
	int fd, k;

	parent = getpid();
	unsetenv("LD_PRELOAD");
	if (text == NULL)
		return;
	for (k = 1; k < KINDS && text[0] != '/'; k++)
		if ((at = strstr(text, kind_name[k])) != NULL && strchr(":,", at[-1]) != NULL &&
		    strchr(",", at[strlen(kind_name[k])]) != NULL)
			always[k] = atoi(text);
	if (text[0] == '/' && (fd = open(text, O_RDWR)) != -1) {
		orders = mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (orders == MAP_FAILED)
			orders = NULL;
		close(fd);
	}
	unsetenv("REFUSE");
}

/* The error that the call is refused with, or 0. */
static int
refused(int kind)
{
	if (always[kind] != 0)
		return always[kind];
	if (orders == NULL || orders->kind != kind || orders->times <= 0 ||
	    (orders->who != ANYONE && (orders->who == PARENT) != (getpid() == parent)) ||
	    __atomic_fetch_sub(&orders->skip, 1, __ATOMIC_SEQ_CST) > 0 ||
	    __atomic_fetch_sub(&orders->times, 1, __ATOMIC_SEQ_CST) <= 0)
		return 0;
	__atomic_fetch_add(&orders->refused, 1, __ATOMIC_SEQ_CST);
	return orders->error;
}

/*
 * A call by its name: type, what it returns when refused, parameters, arguments, and what
 * halves it.
 */
#define CALL(kind, type, none, name, parameters, arguments, half)			\
type name parameters									\
{											\
	static type (*real) parameters;							\
	int e = refused(kind);								\
											\
	if (real == NULL)								\
		*(void **)&real = dlsym(RTLD_NEXT, #name);				\
	if (e == SHORT) {								\
		half;									\
	} else if (e != 0) {								\
		errno = e;								\
		return none;								\
	}										\
	return real arguments;								\
}

/* All that is given with a call, whatever that takes of it. */
#define GIVEN(a, last)									\
	long a[6];									\
	va_list ap;									\
	int i;										\
											\
	va_start(ap, last);								\
	for (i = 0; i < 6; i++)								\
		a[i] = va_arg(ap, long);						\
	va_end(ap)

static int
open_at(int dir, const char *path, int flags, mode_t mode)
{
	int e = refused(OPEN), both = O_NOFOLLOW | O_DIRECTORY;

	if (e != 0 && e != SHORT) {
		errno = e;
		return -1;
	}
	if (orders != NULL && (orders->follow == 2 || (orders->follow == 1 && (flags & both) == both)))
		flags &= ~O_NOFOLLOW;
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

int
open(const char *path, int flags, ...)
{
	GIVEN(a, flags);
	return open_at(AT_FDCWD, path, flags, (mode_t)a[0]);
}

int
openat(int dir, const char *path, int flags, ...)
{
	GIVEN(a, flags);
	return open_at(dir, path, flags, (mode_t)a[0]);
}

CALL(STAT, int, -1, fstat, (int fd, struct stat *st), (fd, st), )
CALL(STAT, int, -1, stat, (const char *p, struct stat *st), (p, st), )
CALL(STAT, int, -1, lstat, (const char *p, struct stat *st), (p, st), )
CALL(STAT, int, -1, fstatat, (int d, const char *p, struct stat *st, int f), (d, p, st, f), )
CALL(READ, ssize_t, -1, read, (int fd, void *p, size_t n), (fd, p, n), n -= n / 2)
CALL(PREAD, ssize_t, -1, pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), n -= n / 2)
CALL(WRITE, ssize_t, -1, write, (int fd, const void *p, size_t n), (fd, p, n), n -= n / 2)
CALL(WRITE, ssize_t, -1, send, (int fd, const void *p, size_t n, int f), (fd, p, n, f), n -= n / 2)
CALL(OPENDIR, DIR *, NULL, opendir, (const char *p), (p), )
CALL(READDIR, struct dirent *, NULL, readdir, (DIR *d), (d), )
CALL(FORK, pid_t, -1, fork, (void), (), )
CALL(PIPE, int, -1, pipe, (int p[2]), (p), )
CALL(POLL, int, -1, poll, (struct pollfd *p, nfds_t n, int ms), (p, n, ms), )
CALL(ACCEPT, int, -1, accept, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), )
CALL(RENAME, int, -1, rename, (const char *a, const char *b), (a, b), )
CALL(MKDIR, int, -1, mkdir, (const char *p, mode_t m), (p, m), )
CALL(NOTIFY, int, -1, inotify_init1, (int f), (f), )
CALL(WATCH, int, -1, inotify_add_watch, (int fd, const char *p, uint32_t m), (fd, p, m), )

int
prctl(int option, ...)
{
	int e = refused(PRCTL);
	GIVEN(a, option);

	if (e == 0)
		return (int)syscall(SYS_prctl, option, a[0], a[1], a[2], a[3]);
	errno = e;
	return -1;
}

/* What has no function in libc; by that, system calls of the numbers of newer ones. */
long
syscall(long number, ...)
{
	static long (*real)(long, ...);
	int e = refused(number >= 444 && number <= 446 ? LANDLOCK : NONE);
	GIVEN(a, number);

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	if (e == 0)
		return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	errno = e;
	return -1;
}

/* Not by CALL: dlsym itself may ask for memory. */
#define MEMORY_CALL(name, parameters, arguments)					\
void *__libc_##name parameters;								\
											\
void *											\
name parameters										\
{											\
	if (refused(MEMORY) == 0)							\
		return __libc_##name arguments;						\
	errno = ENOMEM;									\
	return NULL;									\
}

MEMORY_CALL(malloc, (size_t n), (n))
MEMORY_CALL(calloc, (size_t n, size_t size), (n, size))
MEMORY_CALL(realloc, (void *p, size_t n), (p, n))
