/*
 * What FreeBSD (with -D__FreeBSD__=15) or NetBSD (-D__NetBSD__) declares and glibc does
 * not, over the calls of Linux: with -include .ci/bsd.h the code that is for there is
 * compiled, and run, here.  Declared as in <sys/socket.h>, <sys/procctl.h> and <netinet/tcp.h> of
 * FreeBSD 15 and <unistd.h> and <fcntl.h> of NetBSD 10.
 */
#undef __linux__
#undef __linux
#undef linux
#define _GNU_SOURCE
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* Hints of Linux that are not there, and the cork by its name there. */
enum { BSD_NOPUSH = TCP_CORK };
#undef TCP_CORK
#undef TCP_DEFER_ACCEPT
#undef TCP_QUICKACK

#ifdef __NetBSD__
#define F_CLOSEM	10
#define F_MAXFD		11
#define closefrom	bsd_closefrom

static inline int
bsd_closefrom(int from)
{
	return close_range((unsigned)from, ~0U, 0);
}
#else
#define TCP_NOPUSH	BSD_NOPUSH

#define PROC_REAP_ACQUIRE	2
#define PROC_NO_NEW_PRIVS_CTL	19
#define PROC_NO_NEW_PRIVS_ENABLE 1

/* It wants a process by its number, 0 being this one, and no data to acquire. */
static inline int
procctl(idtype_t type, id_t id, int command, void *data)
{
	if (type == P_PID && (id == 0 || id == (id_t)getpid())) {
		if (command == PROC_REAP_ACQUIRE && data == NULL)
			return prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L);
		if (command == PROC_NO_NEW_PRIVS_CTL && data != NULL)
			return prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L);
	}
	errno = EINVAL;
	return -1;
}

struct bsd_statfs { char f_fstypename[16]; };

static inline int
bsd_statfs(const char *path, struct bsd_statfs *fs)
{
	struct statfs here;

	if (statfs(path, &here) == -1)
		return -1;
	strcpy(fs->f_fstypename, here.f_type == 0x9fa0 ? "procfs" : "ufs");
	return 0;
}
#define statfs		bsd_statfs

struct sf_hdtr {
	struct iovec *headers;
	int hdr_cnt;
	struct iovec *trailers;
	int trl_cnt;
};

static inline ssize_t
linux_sendfile(int out, int in, off_t *at, size_t n)
{
	return sendfile(out, in, at, n);
}

/*
 * 0 when all, or all up to the end of the file, was sent; otherwise an error, EAGAIN
 * too, and *sent says how much went out before.  0 bytes are all up to the end.
 */
static inline int
bsd_sendfile(int in, int out, off_t from, size_t n, struct sf_hdtr *more, off_t *sent, int flags)
{
	ssize_t r = 0;
	off_t at = from;
	size_t all = n == 0 ? 1UL << 40 : n;

	(void)flags;
	if (more != NULL) {
		errno = EINVAL;
		return -1;
	}
	while ((size_t)(at - from) < all &&
	    (r = linux_sendfile(out, in, &at, all - (size_t)(at - from))) > 0)
		;
	if (sent != NULL)
		*sent = at - from;
	return r == -1 ? -1 : 0;
}
#define sendfile	bsd_sendfile
#endif
