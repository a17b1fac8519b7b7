/* What the two sides of a fault share: the library that refuses a call, and who orders it. */
enum kind {
	NONE, OPEN, STAT, READ, PREAD, WRITE, OPENDIR, READDIR, MEMORY, FORK, PIPE, POLL, ACCEPT,
	RENAME, MKDIR, LANDLOCK, PRCTL, NOTIFY, WATCH, KINDS
};

enum { SHORT = 1000 };	/* in place of an error: half of what was asked for */
enum who { ANYONE, PARENT, OTHERS };

struct orders {
	int kind, error, who;
	long skip;		/* so many calls pass first, ... */
	long times;		/* ... so many are refused; 0: none */
	long refused;		/* were */
	int follow;		/* O_NOFOLLOW means nothing: 1: beside O_DIRECTORY, 2: ever */
};

static const char *const kind_name[KINDS] = {
	"none", "open", "stat", "read", "pread", "write", "opendir", "readdir", "malloc", "fork", "pipe",
	"poll", "accept", "rename", "mkdir", "landlock", "prctl", "inotify_init1", "inotify_add_watch"
};
