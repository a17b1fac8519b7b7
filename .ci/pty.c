/*
 * pty MS[+MS] SECONDS COMMAND [ARGUMENT ...]: runs a command on a new terminal, its
 * controlling one, types ^C there MS milliseconds after its exec, and so much later
 * another, and waits for its end, for SECONDS at the most.  Standard output gets what the terminal shows and then
 * a line "pty: status 0, gone 12 ms after ^C"; a signal counts as 128 + its number.
 */
#define _XOPEN_SOURCE 700
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void
die(const char *what)
{
	fprintf(stderr, "pty: %s: %s\n", what, strerror(errno));
	exit(125);
}

static long
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/*
 * In the child: the terminal becomes its controlling one and its 0, 1 and 2, and
 * ^C is not ignored, whoever started us.
 */
static void
run(int master, int ready, char **command)
{
	sigset_t none;
	int slave;

	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if ((slave = open(ptsname(master), O_RDWR)) < 0)
		die("terminal");
	ioctl(slave, TIOCSCTTY, 0);
	dup2(slave, 0);
	dup2(slave, 1);
	dup2(slave, 2);
	if (slave > 2)
		close(slave);
	close(master);
	fcntl(ready, F_SETFD, FD_CLOEXEC);
	execvp(command[0], command);
	die(command[0]);
}

/* Shows what the terminal shows until all have closed it; 0 when time is up first. */
static int
watch(int master, long type_at, long again, long until)
{
	struct pollfd p = { 0, POLLIN, 0 };
	char text[4096];
	ssize_t n;
	long left;

	p.fd = master;
	while (now() < until) {
		if (type_at != 0 && now() >= type_at && write(master, "\003", 1) == 1) {
			type_at = again;
			again = 0;
		}
		left = (type_at != 0 ? type_at : until) - now();
		if (poll(&p, 1, left > 0 ? (int)left : 0) <= 0)
			continue;
		if ((n = read(master, text, sizeof text)) <= 0)
			return 1;
		if (write(1, text, (size_t)n) != n)
			die("standard output");
	}
	return 0;
}

int
main(int argc, char **argv)
{
	long type_at, again = 0, until;
	int master, status, ready[2];
	char *more, byte;
	pid_t pid;

	if (argc < 4) {
		fprintf(stderr, "usage: pty ms[+ms] seconds command [argument ...]\n");
		return 125;
	}
	if ((master = posix_openpt(O_RDWR | O_NOCTTY)) < 0 ||
	    grantpt(master) != 0 || unlockpt(master) != 0 || pipe(ready) != 0)
		die("terminal");
	if ((pid = fork()) < 0)
		die("fork");
	if (pid == 0) {
		close(ready[0]);
		run(master, ready[1], argv + 3);
	}
	/* The exec closes the pipe. */
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 0)
		die("exec");
	close(ready[0]);
	type_at = now() + strtol(argv[1], &more, 10);
	if (*more == '+')
		again = type_at + atol(more + 1);
	until = now() + atol(argv[2]) * 1000;
	if (!watch(master, type_at, again, until))
		kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	printf("\npty: status %d, gone %ld ms after ^C\n", WIFEXITED(status) ?
	    WEXITSTATUS(status) : 128 + WTERMSIG(status), now() - type_at);
	return 0;
}
