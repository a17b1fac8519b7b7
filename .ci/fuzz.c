/*
 * What a client may send, against the functions that are pure: each input is
 * taken for a head, a target, a date, a range, a list of tags, a Host and a
 * text to be escaped, and what must hold of the results is asserted.  See
 * .ci/fuzz, which builds and runs it.
 */

int blogserve_main(int, char **);

#define main blogserve_main
#include "../blogserve.c"
#undef main

#define MUST(x)	do {							\
	if (!(x)) {							\
		fprintf(stderr, "%s:%d: not so: %s\n", __FILE__,	\
		    __LINE__, #x);					\
		abort();						\
	}								\
} while (0)

enum { MARK = 0x01 };	/* no parsed request holds it: left by the one before */

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

/* The shortest head that the bytes begin with, whatever follows it. */
static size_t
fuzz_head_length(const char *data, size_t len)
{
	size_t n = head_length(data, len);

	MUST(n <= len);
	if (n == 0)
		return 0;
	MUST(data[n - 1] == '\n');
	MUST(head_length(data, n) == n);
	MUST(head_length(data, n - 1) == 0);
	return n;
}

/* A path below the docroot, that names nothing hidden and nothing above. */
static void
path_check(const char *path, size_t size)
{
	const char *seg = path;
	size_t n;

	MUST(memchr(path, '\0', size) != NULL);
	MUST(path[0] != '/');
	while (*seg != '\0') {
		n = strcspn(seg, "/");
		MUST(n > 0);
		MUST(seg[0] != '.' || (seg == path && n == 11 &&
		    memcmp(seg, ".well-known", 11) == 0));
		seg += n;
		seg += *seg == '/';
	}
}

static void
fuzz_target_path(const char *target, size_t size)
{
	char *path = malloc(size);
	const char *query = NULL;
	int status;

	MUST(path != NULL);
	memset(path, MARK, size);
	status = target_path(target, path, size, &query);
	MUST(status == 0 || status == 400 || status == 404 || status == 414);
	if (status == 0) {
		path_check(path, size);
		MUST(query >= target && query <= target + strlen(target));
		MUST(*query == '\0' || *query == '?');
		MUST(strlen(path) < (size_t)(query - target));
	}
	free(path);
}

static bool
lies_in(const char *p, const char *data, size_t len)
{
	return p >= data && p < data + len && memchr(p, '\0',
	    (size_t)(data + len - p)) != NULL;
}

/* What holds of every request that is not refused as malformed. */
static void
request_check(const struct request *rq, const char *head, size_t len)
{
	const char *p;
	size_t i;

	MUST(lies_in(rq->target, head, len));
	MUST(rq->minor >= -1 && rq->minor <= 9);
	MUST(rq->minor >= 0 || (rq->method == METHOD_GET && !rq->keep));
	MUST(rq->minor < 1 || rq->field[FIELD_HOST] != NULL);
	MUST(!rq->keep || !rq->body);
	for (p = rq->target; *p != '\0'; p++)
		MUST((unsigned char)*p > ' ' && *p != 0x7f);
	for (i = 0; i < FIELDS; i++)
		if (rq->field[i] != NULL) {
			MUST(lies_in(rq->field[i], head, len));
			MUST(strpbrk(rq->field[i], "\r\n") == NULL);
		}
}

/* A head is lines, and an empty one; no byte in it could end one sooner. */
static void
head_check(const struct buf *b)
{
	size_t i, lines = 0;

	MUST(!b->failed && b->len > 4);
	MUST(memcmp(b->data, "HTTP/1.0 ", 9) == 0);
	for (i = 0; i < b->len; i++) {
		if (b->data[i] != '\r') {
			MUST(b->data[i] != '\n' && b->data[i] != '\0');
			continue;
		}
		MUST(i + 1 < b->len && b->data[++i] == '\n');
		lines++;
		if (i + 2 < b->len && b->data[i + 1] == '\r')
			MUST(i + 3 == b->len);
	}
	MUST(lines > 4);
	MUST(memcmp(b->data + b->len - 4, "\r\n\r\n", 4) == 0);
}

/* What is answered with a file, or by its conditions without one. */
static void
fuzz_file_reply(struct service *sv, uint64_t n)
{
	struct reply r = { .status = 200, .size = -1, .mark = "" };
	struct buf head = { 0 };
	struct stat *st = &sv->st;
	char date[64];

	clock_gettime(CLOCK_REALTIME, &sv->clock);
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFREG | 0644;
	st->st_ino = (ino_t)(n % 1000);
	st->st_size = (off_t)(n >> 2);
	st->st_mtim.tv_sec = (time_t)(n % 2000000000);
	r.type = type_of("a.txt");
	r.insert = n % 3 == 0;
	r.encoding = n % 2 != 0 ? "gzip" : NULL;
	MUST(file_reply(sv, &r, -1) == -1);
	switch (r.status) {
	case 200:
	case 304:
		MUST(r.length == st->st_size && r.first == 0);
		break;
	case 206:
		MUST(r.first >= 0 && r.length > 0);
		MUST(r.first < st->st_size && r.length <= st->st_size - r.first);
		break;
	case 412:
	case 416:
		MUST(r.st == NULL);
		MUST(r.encoding == NULL);	/* the page is not packed */
		break;
	default:
		MUST(r.status == 0);
	}
	date_format(date, sv->clock.tv_sec);
	reply_head(&head, &r, sv->clock.tv_sec, date);
	head_check(&head);
	buf_free(&head);
}

/*
 * A head, from its first byte to the decision.  Of what the request before
 * it left nothing may be seen.
 */
static void
fuzz_request(struct service *sv, const uint8_t *data, size_t size)
{
	struct reply r = { .size = -1, .mark = "" };
	struct request *rq = &sv->request;
	struct buf out = { 0 };
	size_t len = fuzz_head_length((const char *)data, size);
	char *head = text_of(data, len);
	int status;

	memset(rq->path, MARK, sizeof(rq->path) - 1);
	rq->path[sizeof(rq->path) - 1] = '\0';
	if (len > 0) {
		status = request_parse(rq, head, len);
		MUST(strchr(rq->path, MARK) == NULL);
		if (status == 0)
			request_check(rq, head, len + 1);
		else
			MUST(!rq->keep);
		memset(rq->path, MARK, sizeof(rq->path) - 1);
		rq->path[0] = '\0';
		status = request_refused(sv, status);
		if (status == 0 && rq->own != NULL) {
			MUST(lies_in(rq->own, head, len + 1));
		} else if (status == 0) {
			path_check(rq->path, sizeof(rq->path));
			fuzz_file_reply(sv, number_of(data, size));
			redirect_reply(sv, &r, rq->path);
			MUST(r.location[0] == '/');
			MUST(r.location[1] != '/');
			reply_head(&out, &r, 0, "");
			head_check(&out);
		} else {
			MUST(atoi(status_line(status)) == status);
			error_reply(sv, status, &r);
			MUST(memchr(data, MARK, size) != NULL ||
			    memchr(sv->page.data, MARK, sv->page.len) == NULL);
		}
	}
	buf_free(&out);
	free(head);
}

/* All forms of a date are one time; any text is one that can be written. */
static void
fuzz_date(const char *text, uint64_t n)
{
	static const char long_days[7][10] = { "Sunday", "Monday", "Tuesday",
	    "Wednesday", "Thursday", "Friday", "Saturday" };
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char date[80];
	struct tm tm;
	time_t t;
	int cmp = date_compare((time_t)(n % 4102444800), text);

	MUST(cmp >= -1 && cmp <= 2);
	t = (time_t)(n % 253402300800);		/* before the year 10000 */
	date_format(date, t);
	MUST(strlen(date) == 29);
	MUST(date_compare(t, date) == 0);
	MUST(date_compare(t + 1, date) == 1);
	MUST(gmtime_r(&t, &tm) != NULL);
	snprintf(date, sizeof(date), "%.3s %.3s %2d %02d:%02d:%02d %04d",
	    days + 3 * tm.tm_wday, months + 3 * tm.tm_mon, tm.tm_mday % 100,
	    tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100,
	    (tm.tm_year + 1900) % 10000);
	MUST(date_compare(t, date) == 0);
	MUST(date_compare(t + 1, date) == 1);
	/* Two digits of a year that is in this century for all to come. */
	if (t < 946684800 || t >= 2208988800)
		return;
	snprintf(date, sizeof(date), "%s, %02d-%.3s-%02d %02d:%02d:%02d GMT",
	    long_days[tm.tm_wday], tm.tm_mday % 100, months + 3 * tm.tm_mon,
	    tm.tm_year % 100, tm.tm_hour % 100, tm.tm_min % 100,
	    tm.tm_sec % 100);
	MUST(date_compare(t, date) == 0);
	MUST(date_compare(t + 1, date) == 1);
}

static void
fuzz_range(const char *text, off_t size)
{
	char whole[128];
	off_t first = -1, length = -1;
	int status = range_parse(text, size, &first, &length);

	MUST(status == 200 || status == 206 || status == 416);
	if (status == 206)
		MUST(first >= 0 && length > 0 && first < size &&
		    length <= size - first);
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
	char etag[128], both[160];
	struct stat st;

	memset(&st, 0, sizeof(st));
	st.st_ino = (ino_t)n;
	st.st_size = (off_t)(n >> 1);
	st.st_mtim.tv_nsec = (long)(n % 1000000000);
	etag_format(etag, &st, n % 3 != 0 ? "-mark" : "");
	MUST(etag_listed(etag, etag, false));
	snprintf(both, sizeof(both), "\"a,b\" ,, W/%s", etag);
	MUST(!etag_listed(both, etag, false) && etag_listed(both, etag, true));
	if (etag_listed(list, etag, false))
		MUST(etag_listed(list, etag, true));
	if (etag_listed(list, etag, true))
		MUST(strcmp(list, "*") == 0 || strstr(list, etag) != NULL);
}

/* The script goes into the page, before its end or at it. */
static void
fuzz_page(const char *html, size_t len)
{
	size_t at = body_end(html, len);

	MUST(at <= len);
	if (at < len)
		MUST(len - at > 6 && strncasecmp(html + at, "</body", 6) == 0);
}

/* Only names of this machine; said again in another way than the source. */
static void
fuzz_host(const struct options *opt, const char *host)
{
	size_t n = strcspn(host, ":");

	if (!host_valid(host))
		return;
	MUST(strpbrk(host, "<>\"\\/@?# \t") == NULL);
	if (!host_allowed(host, opt))
		return;
	if (host[0] == '[') {
		MUST(strchr(host, ']') != NULL);
		MUST(strstr(host, "1") != NULL || strcasestr(host, "7f") != NULL);
		return;
	}
	if (n > 0 && host[n - 1] == '.')
		n--;
	if (n >= 9 && strncasecmp(host + n - 9, "localhost", 9) == 0)
		MUST(n == 9 || host[n - 10] == '.');
	else
		MUST(strncmp(host, "127.", 4) == 0 &&
		    strspn(host, "0123456789.") == strcspn(host, ":"));
}

static void
fuzz_lists(const char *text)
{
	if (gzip_accepted(text))
		MUST(strcasestr(text, "gzip") != NULL);
	if (token_listed(text, "close"))
		MUST(strcasestr(text, "close") != NULL);
	MUST(strchr(type_of(text), '/') != NULL);
}

/* Escaped for HTML: no markup, and the text comes out again. */
static void
fuzz_html(const char *text)
{
	static const char names[5][6] = { "&#38;", "&#60;", "&#62;", "&#34;",
	    "&#39;" };
	static const char chars[] = "&<>\"'";
	struct buf b = { 0 };
	const char *p;
	size_t i;

	html_add(&b, text);
	buf_add(&b, "", 1);
	MUST(!b.failed && strpbrk(b.data, "<>\"'") == NULL);
	for (p = b.data; *p != '\0'; text++) {
		for (i = 0; i < 5; i++)
			if (strncmp(p, names[i], strlen(names[i])) == 0)
				break;
		MUST(*text == (i < 5 ? chars[i] : *p));
		MUST(i < 5 || *p != '&');
		p += i < 5 ? strlen(names[i]) : 1;
	}
	MUST(*text == '\0');
	buf_free(&b);
}

static char
hex_byte(const char *p)
{
	MUST(hex_value(p[0]) != -1 && hex_value(p[1]) != -1);
	return (char)(hex_value(p[0]) * 16 + hex_value(p[1]));
}

/* In a URL: nothing but what is reserved for nothing, and the same path. */
static void
fuzz_url(const char *text)
{
	struct buf b = { 0 };
	const char *p;
	char c;

	url_add(&b, text);
	buf_add(&b, "", 1);
	MUST(!b.failed);
	for (p = b.data; *p != '\0'; p++, text++) {
		MUST(*p == '%' || strchr(unreserved, *p) != NULL);
		c = *p;
		if (c == '%') {
			c = hex_byte(p + 1);
			MUST(strchr(unreserved, c) == NULL);
			p += 2;
		}
		MUST(*text == c);
	}
	MUST(*text == '\0');
	buf_free(&b);
}

/* In the log: one field, and the bytes of the line can be told again. */
static void
fuzz_log(const char *text)
{
	struct buf b = { 0 };
	size_t i, at = 0, len;
	char c;

	len = strcspn(text, "\r\n");
	log_add(&b, text);
	MUST(!b.failed);
	for (i = 0; i < b.len; i++) {
		c = b.data[i];
		MUST(c >= ' ' && c <= '~' && c != '"');
		if (c == '\\') {
			MUST(i + 3 < b.len && b.data[i + 1] == 'x');
			c = hex_byte(b.data + i + 2);
			i += 3;
		}
		MUST(at < len && text[at++] == c);
	}
	MUST(at == (len < LOG_MAX ? len : LOG_MAX));
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct service sv;
	static const char *none[] = { NULL };
	static struct options opt = { .log = -1 };
	static struct listeners listeners;
	uint64_t n = number_of(data, size);
	char *text;

	if (size > HEAD_MAX)
		return 0;
	opt.prefix = n % 8 == 0 ? "/a" : "";
	opt.no_reload = n % 5 == 0;
	opt.hosts = none;
	listeners.loopback = n % 4 == 0;
	sv.opt = &opt;
	sv.listeners = &listeners;
	fuzz_request(&sv, data, size);
	text = text_of(data, size);
	fuzz_target_path(text, PATH_LEN);
	fuzz_target_path(text, 1 + n % 64);
	fuzz_date(text, n);
	fuzz_range(text, (off_t)(n >> 1));
	fuzz_etag(text, n);
	fuzz_host(&opt, text);
	fuzz_lists(text);
	fuzz_page((const char *)data, size);
	fuzz_html(text);
	fuzz_url(text);
	fuzz_log(text);
	free(text);
	return 0;
}
