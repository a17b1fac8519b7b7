/*
 * What FreeBSD (with -D__FreeBSD__=15) or NetBSD (-D__NetBSD__) declares and glibc does
 * not, over the calls of Linux: with -include .ci/bsd.h the code that is for there is
 * compiled, and run, here.  Declared as in <sys/procctl.h> of FreeBSD 15.
 */
#undef __linux__
#undef __linux
#undef linux
#define _GNU_SOURCE
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <unistd.h>

#undef TCP_DEFER_ACCEPT	/* a hint of Linux */

#ifndef __NetBSD__
#define PROC_REAP_ACQUIRE	2

/* It wants a process by its number, 0 being this one, and no data to acquire. */
static inline int
procctl(idtype_t type, id_t id, int command, void *data)
{
	if (type == P_PID && (id == 0 || id == (id_t)getpid()) && command == PROC_REAP_ACQUIRE && data == NULL)
		return prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L);
	errno = EINVAL;
	return -1;
}
#endif
