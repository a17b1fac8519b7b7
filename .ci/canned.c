/*
 * canned BYTES: says its URL, and gives one answer of so many bytes to whatever comes, as fast as poll, read and
 * write allow: the least that a server can do, for .ci/bench.
 */
#define _XOPEN_SOURCE 700
#include <sys/socket.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLIENTS = 64 };

int
main(int argc, char **argv)
{
	static struct pollfd p[CLIENTS + 1];
	static char got[4096];
	size_t size = argc == 2 ? (size_t)atol(argv[1]) : 0, total;
	char *answer = malloc(size + 256);
	struct sockaddr_in a;
	socklen_t len = sizeof a;
	int i, n = 1;

	memset(&a, 0, sizeof a);
	a.sin_family = AF_INET;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p[0].fd = socket(AF_INET, SOCK_STREAM, 0);
	p[0].events = POLLIN;
	if (size == 0 || answer == NULL || bind(p[0].fd, (struct sockaddr *)&a, sizeof a) != 0 ||
	    listen(p[0].fd, CLIENTS) != 0 || getsockname(p[0].fd, (struct sockaddr *)&a, &len) != 0)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	total = (size_t)sprintf(answer, "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n"
	    "Connection: keep-alive\r\nContent-Length: %lu\r\n\r\n", (unsigned long)size);
	memset(answer + total, 'x', size);
	total += size;
	answer[total - 1] = '\n';
	printf("http://127.0.0.1:%d/\n", ntohs(a.sin_port));
	fflush(stdout);
	for (;;) {
		if (poll(p, (nfds_t)n, -1) <= 0)
			continue;
		for (i = n - 1; i > 0; i--)
			if (p[i].revents != 0 && (read(p[i].fd, got, sizeof got) <= 0 ||
			    write(p[i].fd, answer, total) != (ssize_t)total)) {
				close(p[i].fd);
				p[i] = p[--n];
			}
		if (p[0].revents != 0 && n <= CLIENTS && (p[n].fd = accept(p[0].fd, NULL, NULL)) != -1)
			p[n++].events = POLLIN;
	}
}
