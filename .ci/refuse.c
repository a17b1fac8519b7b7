/*
 * refuse error syscall[,syscall ...] command [argument ...]
 *
 * Runs a command to which the kernel refuses system calls with an error, as an older
 * kernel (ENOSYS) or the sandbox of a container (EPERM) does.
 */
#define _GNU_SOURCE
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Those that the headers may not know have the same number on every newer system. */
static const struct { const char *name; long number; } calls[] = {
	{ "accept4", SYS_accept4 }, { "close_range", 436 }, { "openat2", 437 },
	{ "inotify_init1", SYS_inotify_init1 }, { "inotify_add_watch", SYS_inotify_add_watch },
	{ "sendfile", SYS_sendfile }, { "renameat2", SYS_renameat2 }, { "prctl", SYS_prctl },
	{ "landlock_create_ruleset", 444 }, { "landlock_add_rule", 445 },
	{ "landlock_restrict_self", 446 }
};
enum { CALLS = sizeof calls / sizeof calls[0] };

static const struct { const char *name; unsigned number; } errors[] = {
	{ "EPERM", EPERM }, { "ENOSYS", ENOSYS }, { "ENOSPC", ENOSPC }, { "EMFILE", EMFILE }
};
enum { ERRORS = sizeof errors / sizeof errors[0] };

/* The filter: load the number, compare it with each, allow all else. */
static struct sock_filter filter[2 * CALLS + 2] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
};
static unsigned short length = 1;

static void
filter_add(struct sock_filter one)
{
	filter[length++] = one;
}

static int
filter_refuse(const char *name, unsigned error)
{
	const struct sock_filter refuse = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
	int i;

	for (i = 0; i < CALLS && strcmp(name, calls[i].name) != 0; i++)
		;
	if (i == CALLS || length + 3 > 2 * CALLS + 2)
		return -1;
	filter_add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number, 0, 1));
	filter_add(refuse);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program;
	char *name;
	int i;

	if (argc < 4)
		goto usage;
	for (i = 0; i < ERRORS && strcmp(argv[1], errors[i].name) != 0; i++)
		;
	if (i == ERRORS)
		goto usage;
	for (name = strtok(argv[2], ","); name != NULL; name = strtok(NULL, ","))
		if (filter_refuse(name, errors[i].number) == -1)
			goto usage;
	filter_add(allow);
	program.len = length;
	program.filter = filter;
	/* Without the privilege to filter what may gain others, that must be given up. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1 &&
	    (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1)) {
		perror("refuse: seccomp");
		return 125;
	}
	execvp(argv[3], argv + 3);
	perror(argv[3]);
	return 127;
usage:
	fputs("usage: refuse error syscall[,syscall ...] command [argument ...]\n", stderr);
	return 2;
}
