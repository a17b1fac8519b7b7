/*
 * What a client may send, against the functions that are pure: each input is taken for a
 * head, a target, a date, a range, a list of tags, a Host and a text to be escaped, and what
 * must hold of the results is asserted.  Nothing is known here of the program but these
 * functions and struct buf's data.  See .ci/fuzz, which builds and runs it.
 */

int blogserve_main(int, char **);

#define main blogserve_main
#include "../blogserve.c"
#undef main

#define MUST(x)	do {									\
	if (!(x)) {									\
		fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);		\
		abort();								\
	}										\
} while (0)

static const char unreserved[] = "abcdefghijklmnopqrstuvwxyz"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";

/* The input as a string of its own, so that a read past its end is seen. */
static char *
text_of(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	MUST(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* A number that the input chooses, and that most often is small. */
static uint64_t
number_of(const uint8_t *data, size_t size)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < size && i < 8; i++)
		n = n << 8 | data[i];
	return size > 0 ? n >> data[size - 1] % 64 : 0;
}

/* The shortest head that the bytes begin with, whatever follows it; then its request. */
static void
fuzz_head(const char *data, size_t len)
{
	struct request rq;
	size_t n = head_length(data, len);
	char *head;
	int status;

	MUST(n <= len);
	if (n == 0)
		return;
	MUST(data[n - 1] == '\n');
	MUST(head_length(data, n) == n);
	MUST(head_length(data, n - 1) == 0);
	head = text_of((const uint8_t *)data, n);
	memset(&rq, 0, sizeof(rq));
	status = request_parse(&rq, head, n);
	MUST(status == 0 || (status >= 400 && status < 600));
	free(head);
}

/* A path below the docroot that names nothing hidden and nothing above. */
static void
fuzz_target(const char *target, size_t size)
{
	char *path = malloc(size);
	const char *query = NULL, *seg = path;
	int status;
	size_t n;

	MUST(path != NULL);
	memset(path, 1, size);
	status = target_path(target, path, size, &query);
	MUST(status == 0 || status == 400 || status == 404 || status == 414);
	if (status == 0) {
		MUST(memchr(path, '\0', size) != NULL && path[0] != '/');
		for (; *seg != '\0'; seg += n + (seg[n] == '/')) {
			n = strcspn(seg, "/");
			MUST(n > 0);
			MUST(seg[0] != '.' || (seg == path && n == 11 &&
			    memcmp(seg, ".well-known", 11) == 0));
		}
		MUST(query >= target && query <= target + strlen(target));
		MUST(*query == '\0' || *query == '?');
		MUST(strlen(path) < (size_t)(query - target));
	}
	free(path);
}

static void
date_must_be(time_t t, const char *date)
{
	MUST(date_compare(t, date) == 0);
	MUST(date_compare(t + 1, date) == 1);
}

/* All forms of a date are one time; any text is one that can be asked about. */
static void
fuzz_date(const char *text, uint64_t n)
{
	static const char form[3][28] = { "%a, %d %b %Y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y",
	    "%A, %d-%b-%y %H:%M:%S GMT" };
	int i, cmp = date_compare((time_t)(n % 4102444800), text);
	time_t t = (time_t)(n % 253402300800);		/* before the year 10000 */
	char date[80];
	struct tm tm;

	MUST(cmp >= -1 && cmp <= 2);
	MUST(gmtime_r(&t, &tm) != NULL);
	/* Two digits are for a year that is in this century for all to come. */
	for (i = 0; i < (t < 946684800 || t >= 2208988800 ? 2 : 3); i++) {
		MUST(strftime(date, sizeof(date), form[i], &tm) > 0);
		date_must_be(t, date);
	}
}

static void
fuzz_range(const char *text, off_t size)
{
	char whole[128];
	off_t first = -1, length = -1;
	int status = range_parse(text, size, &first, &length);

	MUST(status == 200 || status == 206 || status == 416);
	if (status == 206)
		MUST(first >= 0 && length > 0 && first < size && length <= size - first);
	else
		MUST(first == -1 && length == -1);
	snprintf(whole, sizeof(whole), "bytes=%jd-%.60s", (intmax_t)size / 2,
	    "9999999999999999999999999999");
	if (size > 0) {
		MUST(range_parse(whole, size, &first, &length) == 206);
		MUST(first == size / 2 && length == size - first);
	}
}

static void
fuzz_etag(const char *list, uint64_t n)
{
	char etag[64], both[160];

	snprintf(etag, sizeof(etag), "\"%jx-%jx\"", (uintmax_t)n, (uintmax_t)(n >> 7));
	MUST(etag_listed(etag, etag, false));
	snprintf(both, sizeof(both), "\"a,b\" ,, W/%s", etag);
	MUST(!etag_listed(both, etag, false) && etag_listed(both, etag, true));
	if (etag_listed(list, etag, false))
		MUST(etag_listed(list, etag, true));
	if (etag_listed(list, etag, true))
		MUST(strcmp(list, "*") == 0 || strstr(list, etag) != NULL);
}

/* Only names of this machine; said again in another way than the source. */
static void
fuzz_host(const char *text)
{
	static const char *none[] = { NULL };
	static struct options opt;
	char *copy = strdup(text), *host;
	size_t n;

	MUST(copy != NULL);
	opt.hosts = none;
	if ((host = host_cut(copy)) != NULL && host_allowed(host, &opt)) {
		n = strlen(host);
		if (n >= 9 && strcasecmp(host + n - 9, "localhost") == 0)
			MUST(n == 9 || host[n - 10] == '.');
		else if (copy[0] == '[')
			MUST(strchr(host, '1') != NULL || strcasestr(host, "7f") != NULL);
		else
			MUST(strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == n);
	}
	free(copy);
}

static void
fuzz_words(const char *text)
{
	const char *type = type_known(text, (char[TYPE_LEN]){ 0 });

	if (gzip_accepted(text))
		MUST(strcasestr(text, "gzip") != NULL || strchr(text, '*') != NULL);
	MUST(type == NULL || strchr(type, '/') != NULL);
}

/*
 * Escaped the same text comes out again, but for control bytes in HTML; there is no markup, and
 * in a URL nothing but what is reserved for nothing.
 */
static void
fuzz_escape(const char *text, bool url)
{
	struct buf b = { 0 };
	unsigned byte;
	const char *p;
	int n;

	escape_puts(&b, url ? URL : HTML, text);
	buf_add(&b, "", 1);
	MUST(b.data != NULL);
	for (p = b.data; ; p += n, text++) {
		byte = (unsigned char)*p;
		n = 1;
		if (url && *p == '%') {
			MUST(sscanf(p, "%%%2x%n", &byte, &n) == 1 && n == 3);
			MUST(byte == 0 || strchr(unreserved, (int)byte) == NULL);
		} else if (!url && *p == '&') {
			MUST(sscanf(p, "&#%u;%n", &byte, &n) == 1 && n == 5);
			MUST(byte != 0 && strchr("&<>\"'", (int)byte) != NULL);
		} else
			MUST(url ? strchr(unreserved, *p) != NULL : strchr("<>\"'", *p) == NULL || *p == '\0');
		while (!url && (unsigned char)*text < ' ' && (unsigned char)*text != byte && *text != '\0')
			text++;
		MUST((unsigned char)*text == byte);
		if (*p == '\0')
			break;
	}
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t n = number_of(data, size);
	char *text = text_of(data, size);

	fuzz_head((const char *)data, size);
	fuzz_target(text, 4096);
	fuzz_target(text, 1 + n % 64);
	fuzz_date(text, n);
	fuzz_range(text, (off_t)(n >> 1));
	fuzz_etag(text, n);
	fuzz_host(text);
	fuzz_words(text);
	fuzz_escape(text, false);
	fuzz_escape(text, true);
	free(text);
	return 0;
}
