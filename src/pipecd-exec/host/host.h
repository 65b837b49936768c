/*
 * host.h - the parts of pipecd-exec-host.
 *
 * On a deploy target, below its root:
 *
 *	<application>/current			-> releases/<commit>
 *	<application>/releases/<commit>/	the files of a release
 *	<application>/releases/.<commit>.tmp/	one that is being laid out
 *	<application>/.pipecd/owner		-> repo:path/config-file
 *	<application>/.pipecd/state		-> phase:deployment:release:hash
 *	<application>/.pipecd/made/<release>	what activate made in it
 *	<application>/.pipecd/stat		hashes by size, times and inode
 *
 * Records are symlinks: the kernel replaces them whole, also across a crash,
 * and `ls -l` shows them.
 */
#ifndef PIPECD_HOST_H
#define PIPECD_HOST_H

#include "confdef.h"
#include "hash.h"
#include "platform.h"

/* --- tree.c: files of a source or a release ---------------------- */

struct file {
	const char *path; /* relative */
	const char *link; /* a symlink's target, else NULL */
	unsigned mode;	  /* 0644 or 0755 */
	int64_t size, mtime_ns, ctime_ns;
	uint64_t ino;
	char hash[SHA256_HEX]; /* of what we compare: kind, mode, content */
};

struct tree {
	struct file *v; /* sorted by path */
	size_t n, cap;
	int64_t bytes;
	char hash[SHA256_HEX]; /* of the whole */
};

/* Which paths to leave out of a scan: patterns, or top-most names. */
struct scan {
	const char *const *patterns; /* NULL: all but application configs */
	size_t n_patterns;
	const char *skip_file;	/* our own config's name, or NULL */
	const struct map *made; /* paths that are not ours, or NULL */
	bool everything;	/* a release: no pattern at all */
};

int tree_scan(struct tree *t, const char *dir, const struct scan *s,
    struct arena *a, struct err *e);
/* Fill in hashes; `known` (may be NULL) maps paths to files hashed before. */
int tree_hash(
    struct tree *t, const char *dir, const struct map *known, struct err *e);

enum change {
	CHANGE_ADD,    /* wanted, and not there */
	CHANGE_DELETE, /* there, and not wanted */
	CHANGE_EDIT
};
struct diff {
	struct {
		enum change how;
		const char *path;
		const struct file *want, *have;
	} * v;
	size_t n, count[3];
};
void tree_diff(struct diff *d, const struct tree *want, const struct tree *have,
    struct arena *a);

/* --- release.c: one application on one target -------------------- */

struct place {
	const char *target, *root;
	const char *dir;     /* root/application */
	const char *current; /* release that current points to, NULL: none */
	const char *odd;     /* where else current points, or NULL */
};

struct state {
	char phase[16]; /* switching, activated, healthy */
	char deployment[64], release[64], hash[SHA256_HEX];
};

/* Whether a name can be a directory of its own. */
int name_check(const char *name, struct err *e);
/* Read what is there, changing nothing; a missing directory is no error. */
int place_look(struct place *p, const struct conf_target *t, const char *app,
    struct arena *a, struct err *e);
/* The same, making it ours; removes what a killed stage left. */
int place_open(struct place *p, const struct conf_target *t, const char *app,
    const char *owner, struct arena *a, struct err *e);
bool place_state(const struct place *p, struct state *s);
int place_set_state(
    const struct place *p, const struct state *s, struct err *e);
/* What activate made in a release: map of top-most paths (may be empty). */
struct map *place_made(
    const struct place *p, const char *release, struct arena *a);
int place_save_made(const struct place *p, const char *release,
    const struct tree *want, struct arena *a, struct err *e);

/*
 * Have a complete release of these files; *name is what it is called.
 * 1: it was there already, 0: laid out now.
 */
int release_lay(const struct place *p, const char *commit,
    const struct tree *want, const char *src, const char **name,
    struct arena *a, struct err *e);
int release_switch(
    struct place *p, const char *name, struct arena *a, struct err *e);
/* Keep the newest `keep` beside current and those named. */
int release_prune(const struct place *p, int64_t keep, const char *const *spare,
    struct arena *a, struct err *e);

/* --- health.c ---------------------------------------------------- */

struct job;
/* 0; -1 with *e; 1: cancelled. */
int host_activate(struct job *j, const struct place *p, struct err *e);
int host_health(struct job *j, const struct place *p, struct err *e);
/* One GET: the status, or -1 with a reason in e.  http.c */
int http_get(const char *url, int64_t timeout_ms, struct err *e);

/* --- stage.c ----------------------------------------------------- */

/* What is to run: one commit's files and its configuration. */
struct job {
	struct run *r;
	struct conf_host_app conf;
	const char *app, *owner, *commit, *dir;
	struct tree want;
	bool forward; /* to the target commit, not back */
};

int host_stage(struct run *r, struct err *e);
int host_app_conf(struct conf_host_app *c, const Frame__Json *j,
    struct arena *a, struct err *e);
const char *host_owner(const Model__ApplicationGitPath *g, struct arena *a);
int host_want(struct tree *t, const struct conf_host_app *c, const char *dir,
    const char *config_filename, struct arena *a, struct err *e);

/* --- view.c: what a target has, against what it should have ------ */

struct view {
	struct place p;
	const char *target;
	const char *unknown; /* why it cannot be said, or NULL */
	const char *why;     /* what is wrong beside files, or NULL */
	struct tree have;
	struct diff d;
	struct state state;
	bool has_state;
	int64_t since; /* when current was switched, Unix seconds */
};

void view_look(struct view *v, const struct run *r, const char *target,
    const char *app, const struct tree *want, struct arena *a);
/*
 * Append what differs, of all n views, in words: names, and the lines of small
 * text files found below `dir`.  Of `hidden` paths only that they changed;
 * hidden NULL hides them all.
 */
void view_text(struct buf *b, const struct view *v, size_t n, const char *dir,
    const struct map *hidden);
/* Paths into which opened secrets or attachments went; NULL: unknown. */
struct map *view_hidden(const char *dir, const char *config_filename);
/* Totals by enum change, over all views. */
void view_count(const struct view *v, size_t n, size_t count[3]);

/* --- live.c, preview.c, render.c --------------------------------- */

int host_live(struct run *r, struct err *e);
int host_preview(struct run *r, struct err *e);
int host_render(struct run *r, struct err *e);

/* Append the lines in which two texts differ, with some context.  text.c */
bool text_diff(struct buf *out, const char *have, size_t n_have,
    const char *want, size_t n_want, size_t max_lines);

#endif
