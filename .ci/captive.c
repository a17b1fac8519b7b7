/*
 * For test.sh: a library that is loaded with blogserve, and tries at SIGBUS, in the server, what one that was taken
 * over would.  The exit status is 50 when all is as it must be, else it is 50 and the number of what is not.
 */
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
tried(int number, int worked, int may)
{
	if (worked != may)
		_exit(50 + number);
}

static void
at_signal(int signo)
{
	char text[4096];
	struct sockaddr_in a;
	pid_t pid;

	(void)signo;
	sprintf(text, "%.4000s/in/site", getenv("dir"));
	tried(1, chdir(text) == 0, 1);
	tried(2, open("a.txt", O_RDONLY) != -1, 1);
	tried(3, opendir(".") != NULL, 1);
	tried(4, open("a.txt", O_WRONLY) != -1, 0);
	tried(5, open("b.txt", O_WRONLY | O_CREAT, 0666) != -1, 0);
	tried(6, unlink("a.txt") == 0, 0);
	tried(7, open("/etc/passwd", O_RDONLY) != -1, 0);
	sprintf(text, "%.4000s/here/secret", getenv("dir"));
	tried(8, open(text, O_RDONLY) != -1, 0);
	tried(9, opendir("/") != NULL, 0);
	memset(&a, 0, sizeof a);
	a.sin_family = AF_INET;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons((unsigned short)atoi(getenv("taken")));
#if defined(__linux__) && defined(SYS_landlock_create_ruleset)	/* it does that since its fourth version */
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 4)
		tried(10, connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof a) == 0, 0);
#endif
	if (getuid() != 0) {
		if ((pid = fork()) == 0)
			_exit(0);
		tried(11, pid > 0, 0);
	}
	execl("/bin/sh", "sh", "-c", "exit 62", (char *)NULL);
	_exit(50);
}

__attribute__((constructor)) static void
loaded(void)
{
	signal(SIGBUS, at_signal);
}
