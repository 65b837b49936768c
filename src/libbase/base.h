/*
 * base.h - errors, logging, memory, files, time, children: what every program
 * here links.  It knows nothing of PipeCD.
 */
#ifndef PIPECD_BASE_H
#define PIPECD_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/types.h>

#define NITEMS(a)    (sizeof(a) / sizeof((a)[0]))
#define PRINTF(f, a) __attribute__((__format__(__printf__, f, a)))

/*
 * Errors.  Exit codes speak to the caller: a supervisor restarts 111, and
 * never 100.
 */
enum {
	RC_OK = 0,     /* done; the answer is yes */
	RC_NO = 1,     /* nothing broke; the answer is no */
	RC_PERM = 100, /* will fail again: usage, config, permission */
	RC_TEMP = 111, /* may work later: network, disk, peer gone */
};

struct err {
	int exit;	/* RC_PERM or RC_TEMP */
	char text[480]; /* one line, no newline, most specific last */
};

/* Fill *e and return -1, so that a caller can `return err_set(...)`. */
int err_set(struct err *e, int exit, const char *fmt, ...) PRINTF(3, 4);
/* The same with strerror(errno) behind it; ENOSPC, EAGAIN ... are RC_TEMP. */
int err_sys(struct err *e, const char *fmt, ...) PRINTF(2, 3);
/* Put context in front of *e; returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF(2, 3);

/*
 * Logging: one line on stderr, "prog[pid]: level: id text".  `id` is what the
 * line is about, "-" for the process.  Control characters become '?'.
 * log_open comes first in main; it also ignores SIGPIPE: a reader that has gone
 * is an error of write, which is returned.
 */
enum log_level {
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR,
	LOG_BUG
};
void log_open(const char *prog, enum log_level least);
const char *log_prog(void);
void log_at(enum log_level l, const char *id, const char *fmt, ...)
    PRINTF(3, 4);
#define log_debug(id, ...) log_at(LOG_DEBUG, id, __VA_ARGS__)
#define log_info(id, ...)  log_at(LOG_INFO, id, __VA_ARGS__)
#define log_warn(id, ...)  log_at(LOG_WARN, id, __VA_ARGS__)
#define log_error(id, ...) log_at(LOG_ERROR, id, __VA_ARGS__)
noreturn void die(const struct err *e);	   /* log it, exit with its code */
noreturn void usage(const char *synopsis); /* "usage: ...", exit 100 */
noreturn void bug(const char *file, int line, const char *what);
/* For what only a bug can break, and for memory; never for input. */
#define must(x) ((x) ? (void)0 : bug(__FILE__, __LINE__, #x))

/*
 * Arenas: memory of one unit of work, zeroed, freed together.  A reset keeps
 * the first chunk, so that a loop settles at no allocation at all.
 */
struct arena;
struct arena *arena_new(void);
void arena_reset(struct arena *a);
void arena_free(struct arena *a); /* NULL is allowed */
void *arena_alloc(struct arena *a, size_t n);
char *arena_strdup(struct arena *a, const char *s); /* NULL stays NULL */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3);
size_t arena_size(const struct arena *a); /* bytes held from malloc */
#define arena_new_of(a, type) ((type *)arena_alloc((a), sizeof(type)))
/* Room for n of a type; n * size is checked. */
#define arena_array(a, type, n) ((type *)arena_calloc((a), (n), sizeof(type)))
void *arena_calloc(struct arena *a, size_t n, size_t size);

/* malloc that does not return NULL, for what outlives a unit of work. */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s); /* NULL stays NULL */

/* A string being built: p is never NULL and always NUL-terminated. */
struct buf {
	char *p;
	size_t len, cap;
};
#define BUF_INIT \
	{ \
		buf_empty, 0, 0 \
	}
extern char buf_empty[];
void buf_add(struct buf *b, const void *s, size_t n);
void buf_addc(struct buf *b, char c);
void buf_adds(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_grow(struct buf *b, size_t more); /* room for more bytes and NUL */
void buf_reset(struct buf *b);		   /* empty, memory kept */
void buf_free(struct buf *b);
/* Write what goes without waiting, and take it out; false: gone, see errno. */
bool buf_send(struct buf *b, int fd);

/* Secrets: wiped when freed, never in argv, a frame or a log. */
struct secret {
	char *p;
	size_t len;
};
void secret_set(struct secret *s, const void *p, size_t n);
void secret_free(struct secret *s);

/* A map from strings to pointers; keys are copied, values borrowed. */
struct map;
struct map *map_new(void);
void map_free(struct map *m);
void *map_get(const struct map *m, const char *key);	/* NULL: not there */
void *map_put(struct map *m, const char *key, void *v); /* the old value */
void *map_del(struct map *m, const char *key);		/* the old value */
size_t map_len(const struct map *m);
/*
 * Walk in insertion order: for (i = 0; map_next(m, &i, &k, &v);).  Deleting
 * the entry just handed out is allowed; putting a new key is not.
 */
bool map_next(const struct map *m, size_t *i, const char **key, void **v);

/* Strings. */
bool str_prefix(const char *s, const char *prefix);
bool str_suffix(const char *s, const char *suffix);
/*
 * Base64, the standard alphabet with padding.  Decoding skips line ends, and
 * returns -1 with *b as it was for anything else that is not base64.
 */
void base64_encode(struct buf *b, const void *p, size_t n);
int base64_decode(struct buf *b, const char *s, size_t n);
void hex_encode(char *dst, const void *src, size_t n); /* 2n digits and NUL */

/* Time.  now_ms never goes back; wall_ms is Unix time and may. */
int64_t now_ms(void);
int64_t now_us(void);
int64_t wall_ms(void);
int64_t wall_s(void);
/* "2026-11-21T09:05:00Z" into 21 bytes. */
void time_iso(char dst[21], int64_t unix_s);

/*
 * Files.  Paths are NUL-terminated; -1 with *e set names the path.
 */
/* Create dir and its parents, each with `mode`; existing ones stay. */
int dir_make(const char *path, mode_t mode, struct err *e);
/* Remove path and all below it, following no symlink; absence is success. */
int tree_remove(const char *path, struct err *e);
/* Read at most `max` bytes; a longer file is an error.  1, or 0 if absent. */
int file_read(const char *path, size_t max, struct buf *b, struct err *e);
/*
 * Replace path by these bytes through a temporary name beside it; readers see
 * the old or the new file.  `sync`: also survives a power cut.
 */
int file_write(const char *path, const void *p, size_t n, mode_t mode,
    bool sync, struct err *e);
int dir_sync(const char *path, struct err *e);	/* fsync a directory */
int write_all(int fd, const void *p, size_t n); /* -1 with errno */
/*
 * Open `path` below dirfd: no "..", absolute path, symlink or mount trick
 * leaves it (openat2 RESOLVE_BENEATH, NO_MAGICLINKS; and NO_SYMLINKS with
 * `nolinks`).  Returns a descriptor, or -1 with errno (EXDEV, ELOOP: it tried).
 */
int open_beneath(
    int dirfd, const char *path, int flags, mode_t mode, bool nolinks);
/*
 * Keep a directory below PARENT, where PARENT.lock says who may remove what is
 * there: exclusively locked by who removes, shared by who needs.  A descriptor
 * to close when done; -1: the directory is gone.  Without that lock beside its
 * parent the directory is nobody's to remove, and just has to be there.
 */
int dir_hold(const char *dir);
/*
 * Where a supervisor starts each program as a user of its own, PIPECD_ACCOUNTS
 * says who they are; without it all are one user, and these do nothing.
 * Let the named programs at a file or directory of ours, by an ACL: 4 reads, 2
 * writes, 1 enters.  Those that are not in the list run as root and need none.
 * `inherit`: what is made below is theirs and ours in the same way.
 */
int share_with(const char *path, const char *const *programs, size_t n,
    unsigned perm, bool inherit, struct err *e);
/* Let all programs read a file, or pass a directory that they cannot list. */
int share_all(const char *path, struct err *e);
/*
 * Whether `path`, taken relative to a root, stays in it by its letters:
 * writes the cleaned form ("." for the root) into dst of PATH_MAX bytes.
 */
bool path_clean(char *dst, const char *path);

/*
 * Signals and readiness of a daemon: SIGTERM, SIGINT, SIGHUP, SIGCHLD become
 * reads of the returned descriptor; SIGPIPE is ignored.  Call before the first
 * thread (nanomsg starts one).
 */
int signals_open(struct err *e);
int signals_next(int fd); /* a signal number, 0 when there is none now */
/*
 * poll(2) for a daemon's loop.  When nothing has happened for a second, memory
 * that a burst of work left behind is given back to the system, once.
 */
struct pollfd;
int poll_idle(struct pollfd *p, unsigned long n, int timeout_ms);
/* The supervisor waits for one line on descriptor 4, if it gave us one. */
void ready(void);
enum {
	FD_CONF = 3,
	FD_READY = 4,
	FD_SUPER = 5,
	FD_LOCK = 6,
	FD_LISTEN = 8, /* the first of ... */
	LISTEN_MAX = 8 /* ... so many */
};
/*
 * A supervisor that listens for its programs hands them the sockets, bound and
 * listening, from descriptor 8 on, and says in PIPECD_LISTEN what each is for:
 * "main admin".  Several processes may have the same one: watch it with
 * EPOLLEXCLUSIVE, and take EAGAIN from accept for an answer.
 */
struct listening {
	char name[24];
	int fd; /* close-on-exec, non-blocking */
};
/* How many there are, 0: nobody listens for us. */
size_t listen_fds(struct listening l[LISTEN_MAX]);

/*
 * Unix stream sockets by an open directory and a name in it, however long the
 * directory's path is; -1 with errno.  Listening takes the place of a socket
 * that was there, and does not block; connecting does when `wait`.
 */
int unix_listen(int dirfd, const char *name, int backlog);
int unix_connect(int dirfd, const char *name, bool wait);

/*
 * UTF-8, where overlong forms and surrogates are none.
 * The bytes of the character at s, which is before end; 0 when it is none.
 */
size_t utf8_len(const char *s, const char *end);
/* The offset of the first byte that is no UTF-8; n when all is well. */
size_t utf8_check(const char *s, size_t n);
/* The code of the character at s, whose length utf8_len gave. */
uint32_t utf8_code(const char *s, size_t n);

/* Sanitizers map terabytes, trace us at the end and are told by variables. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if !defined(SANITIZED) && defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/*
 * Children: fill a struct, start, wait.  The child gets exactly the listed
 * descriptors, its own process group, a fresh environment, default signals.
 */
struct child {
	const char *const *argv; /* argv[0] is a path, or a name on PATH */
	const char *path;	 /* what to run when it is not argv[0] */
	const char *const *env;	 /* "K=V", NULL-terminated; NULL: PATH only */
	const char *dir;	 /* working directory, NULL: ours */
	int fd[16];		 /* fd[i] becomes descriptor i; -1: closed */
	uid_t uid;		 /* 0: stay who we are */
	gid_t gid;
	const gid_t *groups; /* with uid: these and no others */
	size_t n_groups;
	uint64_t mem_bytes;  /* RLIMIT_AS, 0: ours */
	uint64_t cpu_s;	     /* RLIMIT_CPU */
	uint64_t file_bytes; /* RLIMIT_FSIZE */
	uint64_t nofile;     /* RLIMIT_NOFILE */
	int nice;
	int death_signal; /* what it gets when we die first, 0: nothing */
	bool same_group;  /* stays in our process group */
};
#define CHILD_INIT \
	{ \
		.fd = { -1, \
			-1, \
			-1, \
			-1, \
			-1, \
			-1, \
			-1, \
			-1, \
			-1, \
			-1, \
			-1, \
			-1, \
			-1, \
			-1, \
			-1, \
			-1 } \
	}
/*
 * Start it.  The pid, or -1 with *e set, also for what only exec can find out
 * (no such file).  0, 1 and 2 that are -1 become /dev/null.
 */
pid_t child_start(const struct child *c, struct err *e);
int child_pidfd(pid_t pid); /* readable once it has ended; CLOEXEC */
/*
 * Run it to its end: stdin from `in` (may be NULL), stdout into `out` up to
 * max_out bytes, stderr's tail into `errout` (either may be NULL), killed with
 * its group after timeout_ms (0: none).  Returns the exit code, 128 + signal,
 * or -1 with *e set (timeout, too much output, cannot start).
 */
int child_run(const struct child *c, const struct buf *in, struct buf *out,
    size_t max_out, struct buf *errout, int64_t timeout_ms, struct err *e);
/* SIGTERM to the group, SIGKILL after grace_ms; always waited for. */
int child_stop(pid_t pid, int64_t grace_ms);
/* What a wait status means, in words: "exit 1", "signal 9 (Killed)". */
const char *child_status(int status, char dst[64]);

#endif
