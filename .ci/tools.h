/* What soak.c, faults.c and storm.c have in common. */
#define _GNU_SOURCE
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t seed;		/* not 0 */

__attribute__((format(printf, 1, 2), noreturn))
static void
fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* Microseconds. */
static void
nap(long us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&t, NULL);
}

/* A number below n. */
static long
chance(long n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (long)(seed >> 20) % n;
}

/* So that near numbers begin ways that are far from each other. */
static void
seed_set(unsigned long from)
{
	seed = (from + 1) * 0x9e3779b97f4a7c15U | 1;
}
