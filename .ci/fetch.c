/*
 * fetch [-k] PORT DIRECTORY PATH ...: gets the pages from 127.0.0.1 round and round
 * until SIGTERM, with -k on one connection for as long as the server keeps it.
 * Every answer must be 200, as long as its Content-Length, and end with </html>;
 * the first that is not is shown, and the exit status is 1.  Each body that has not
 * been seen before is kept in DIRECTORY as PATH.HASH, with _ for the slashes.
 */
#define _XOPEN_SOURCE 700
#include <sys/socket.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t told_to_end;
static char answer[1 << 20];

static void
end(int signo)
{
	(void)signo;
	told_to_end = 1;
}

static void
fail(const char *path, const char *why, size_t len)
{
	fprintf(stderr, "fetch: %s: %s\n%.*s\n", path, why, (int)len, answer);
	exit(1);
}

static long
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int
dial(int port)
{
	struct sockaddr_in to;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(&to, 0, sizeof to);
	to.sin_family = AF_INET;
	to.sin_port = htons((unsigned short)port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
		fail("connect", "refused", 0);
	return fd;
}

/* Reads the head and as many bytes as it announces; the length of the head. */
static size_t
receive(int fd, const char *path, size_t *len)
{
	char *body = NULL, *line;
	size_t head = 0, all = sizeof answer - 1;
	ssize_t n;

	for (*len = 0; *len < all; ) {
		if ((n = read(fd, answer + *len, all - *len)) <= 0)
			fail(path, *len == 0 ? "no answer" : "cut short", *len);
		answer[*len += (size_t)n] = '\0';
		if (body == NULL && (body = strstr(answer, "\r\n\r\n")) != NULL) {
			line = strstr(answer, "\r\nContent-Length: ");
			if (strncmp(answer + 8, " 200 ", 5) != 0 || line == NULL || line > body)
				fail(path, "not what was asked for", *len);
			head = (size_t)(body + 4 - answer);
			all = head + strtoul(line + 18, NULL, 10);
			if (all >= sizeof answer)
				fail(path, "too long", head);
		}
	}
	if (*len > all)
		fail(path, "longer than it says", *len);
	return head;
}

static void
keep(const char *directory, const char *path, const char *body, size_t len)
{
	char name[4096], *p;
	unsigned long hash = 2166136261u;
	size_t i;
	FILE *file;

	for (i = 0; i < len; i++)
		hash = ((hash ^ (unsigned char)body[i]) * 16777619u) & 0xffffffffu;
	snprintf(name, sizeof name, "%s/%s.%08lx", directory, path + 1, hash);
	for (p = name + strlen(directory) + 1; *p != '\0'; p++)
		if (*p == '/')
			*p = '_';
	if (access(name, F_OK) == 0)
		return;
	if ((file = fopen(name, "w")) == NULL || fwrite(body, 1, len, file) != len ||
	    fclose(file) != 0)
		fail(name, "not written", 0);
}

static void
get(int fd, const char *path, int kept, const char *directory)
{
	char request[4096];
	size_t head, len;
	int n = snprintf(request, sizeof request, "GET %s HTTP/1.%d\r\nHost: localhost\r\n\r\n",
	    path, kept);

	if (write(fd, request, (size_t)n) != n)
		fail(path, "not asked for", 0);
	head = receive(fd, path, &len);
	if (len < head + 8 || strncmp(answer + len - 8, "</html>\n", 8) != 0)
		fail(path, "not a whole page", len);
	keep(directory, path, answer + head, len - head);
}

/* Whether the last answer says that no other follows on this connection. */
static int
closed(void)
{
	char *at = strstr(answer, "\r\nConnection: close\r\n");

	return at != NULL && at < strstr(answer, "\r\n\r\n");
}

int
main(int argc, char **argv)
{
	struct sigaction on_term;
	int i, fd = -1, kept = argc > 1 && strcmp(argv[1], "-k") == 0;
	long answers = 0, slowest = 0, start;

	argc -= kept, argv += kept;
	if (argc < 4) {
		fprintf(stderr, "usage: fetch [-k] port directory path ...\n");
		return 2;
	}
	memset(&on_term, 0, sizeof on_term);
	on_term.sa_handler = end;
	on_term.sa_flags = SA_RESTART;
	sigaction(SIGTERM, &on_term, NULL);
	for (i = 3; !told_to_end; i = i + 1 < argc ? i + 1 : 3) {
		start = now();
		if (fd < 0)
			fd = dial(atoi(argv[1]));
		get(fd, argv[i], kept, argv[2]);
		if (!kept || closed()) {
			close(fd);
			fd = -1;
		}
		answers++;
		if (now() - start > slowest)
			slowest = now() - start;
	}
	printf("%ld %ld\n", answers, slowest);
	return 0;
}
