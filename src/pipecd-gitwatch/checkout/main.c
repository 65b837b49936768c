/*
 * NAME
 *	pipecd-gitwatch-checkout - lay out one application at one commit
 * SYNOPSIS
 *	pipecd-gitwatch-checkout [-1esv] [-f config] [-cdkpr value]
 * DESCRIPTION
 *	Reads checkout frames and answers each with the directory where it has
 *	written that application, from the mirror's objects: modes and links
 *	are kept, there is no work tree and no filter.
 *
 *	An application whose files mention a path above them ("../"), or link
 *	there, gets the whole repository: one tree per commit, which all who
 *	need it share.  Others get their own directory alone.  Whoever is given
 *	a directory may not write to it.
 *
 *	Links must lead to something in the repository.  One that is absolute,
 *	leaves it, or leads into .git, a submodule or nothing is refused, and so
 *	is a submodule: by name, in the application's directory; elsewhere it is
 *	left out.
 *
 *	When a frame asks for it, sealed values (spec.encryption) are opened and
 *	attachments (spec.attachment) placed: the files that the application's
 *	config names are rendered as templates, values first.
 *
 *	With -e it seals what is on standard input for a public key, and prints
 *	what goes into encryption.encryptedSecrets.
 * OPTIONS
 *	-1	Once, for people and scripts: -1 [-s] -r repo -c commit -p path
 *		-d dir
 *	-r repo
 *		repoId in the Piped config
 *	-c commit
 *		a commit's id, or a branch
 *	-p path	the application's directory
 *	-d dir	where to: new, or empty
 *	-s	Open sealed values, place attachments.  The config is
 *		app.pipecd.yaml.
 *	-e	Seal standard input: -e -k key
 *	-k key	for it: a file with "BEGIN PUBLIC KEY"
 *	-f config
 *		The Piped config.  Without it, the slice on descriptor 3.
 *	-v	Say more.
 * INPUT
 *	checkout, checkout_done.
 * OUTPUT
 *	ok (dir: the application's; root: the repository's), err.  With -e
 *	base64.
 * EXIT STATUS
 *	0	done; the end of input
 *	100	usage, config, what the application asks for is refused
 *	111	the commit is not mirrored yet; disk full
 * FILES
 *	<stateDir>/mirror
 *		read
 *	$XDG_RUNTIME_DIR/pipecd-*, /dev/shm/pipecd-*, <stateDir>/work/checkout
 *		where directories are made (0700): the first that is memory
 *		with room and lets programs run; whole trees are in the last
 *		one.  They are removed when they are not needed any more, and
 *		what a killed one left, by the next one.
 * PRIVILEGES
 *	Reads the mirrors and the private key for sealed values.  No network.
 * BUGS
 *	LFS files are laid out as their pointers.
 * SEE ALSO
 *	pipecd-gitwatch(1), pipecd-exec(1)
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkout.h"
#include "sandbox.h"
#include "seal.h"

static const char synopsis[] =
    "pipecd-gitwatch-checkout [-1esv] [-f config] [-cdkpr value]";

static volatile sig_atomic_t stop;

static void
on_stop(int sig)
{
	(void)sig;
	stop = 1;
}

/* A read that waits ends with EINTR; an ask in hand is finished. */
static void
stop_on(int sig)
{
	struct sigaction sa = { .sa_handler = on_stop };

	sigaction(sig, &sa, NULL);
}

static int
seal(const char *file, struct err *e)
{
	struct buf pem = BUF_INIT, in = BUF_INIT, out = BUF_INIT;
	struct seal_key *k = NULL;
	int rv = -1, r;
	ssize_t n;

	if ((r = file_read(file, 65536, &pem, e)) != 1) {
		if (r == 0)
			err_set(e, RC_PERM, "%s: not there", file);
		goto out;
	}
	if ((k = seal_public(pem.p, pem.len, e)) == NULL) {
		err_wrap(e, "%s", file);
		goto out;
	}
	do {
		buf_grow(&in, 65536);
		n = read(STDIN_FILENO, in.p + in.len, 65536);
		if (n > 0)
			in.len += (size_t)n;
	} while (n > 0 && in.len <= SEAL_MAX);
	if (seal_close(&out, k, in.p, in.len, e) == -1) {
		err_wrap(e, "stdin");
		goto out;
	}
	buf_addc(&out, '\n');
	if (write_all(STDOUT_FILENO, out.p, out.len) == -1)
		err_sys(e, "stdout");
	else
		rv = 0;
out:
	seal_key_free(k);
	explicit_bzero(in.p, in.cap);
	buf_free(&pem);
	buf_free(&in);
	buf_free(&out);
	return rv;
}

static int
answer(const char *re, const char *dir, const char *root, bool alone,
    const struct err *why, struct err *e)
{
	Frame__Ok ok = FRAME__OK__INIT;
	Frame__Err no = FRAME__ERR__INIT;
	struct frame f = { .re = re };
	char text[sizeof(why->text)];
	struct arena *a = arena_new();
	int rv;

	if (why == NULL) {
		f.kind = FRAME_ok;
		f.u.ok = &ok;
		ok.dir = arena_strdup(a, dir);
		ok.root = arena_strdup(a, root);
		ok.has_alone = ok.alone = alone;
	} else {
		f.kind = FRAME_err;
		f.u.err = &no;
		snprintf(text, sizeof(text), "%s", why->text);
		no.text = text;
		no.exit = why->exit;
	}
	rv = frame_print(STDOUT_FILENO, &f, e);
	arena_free(a);
	return rv;
}

static int
frame(struct checkout *c, const struct frame *f, struct arena *a, struct err *e)
{
	const char *root, *dir;
	struct err why;
	bool alone;

	if (f->kind == FRAME_checkout_done) {
		checkout_done(c, f->u.checkout_done->dir);
		return 0;
	}
	if (f->kind != FRAME_checkout)
		return 0;
	if (checkout_do(c,
		&(struct ask){ .repo = f->u.checkout->repo,
		    .commit = f->u.checkout->commit,
		    .path = f->u.checkout->path,
		    .config_filename = f->u.checkout->config_filename,
		    .secrets = f->u.checkout->secrets,
		    .readers = f->u.checkout->readers,
		    .n_readers = f->u.checkout->n_readers },
		&root, &dir, &alone, a, &why) == -1)
		return answer(f->id, NULL, NULL, false, &why, e);
	return answer(f->id, dir, root, alone, NULL, e);
}

static int
resident(struct checkout *c, struct err *e)
{
	struct frame_reader in = { .in = stdin, .name = "stdin" };
	struct arena *a = arena_new();
	struct frame f;
	int rv = -1, r;

	stop_on(SIGTERM);
	stop_on(SIGINT);
	stop_on(SIGHUP);
	ready();
	while (!stop) {
		arena_reset(a);
		r = frame_next(&in, &f, a, e);
		if (stop || r == 2)
			break;
		if (r == -1 || (r == 1 && frame(c, &f, a, e) == -1))
			goto out;
	}
	rv = 0;
out:
	frame_reader_free(&in);
	arena_free(a);
	return rv;
}

/* A branch's name stands for its head. */
static int
commit_of(struct checkout *c, struct ask *q, char commit[GIT_ID], struct err *e)
{
	struct git *g = NULL;
	char path[PATH_MAX];
	int r;

	if (strlen(q->commit) == GIT_ID - 1 &&
	    strspn(q->commit, "0123456789abcdef") == GIT_ID - 1)
		return 0;
	snprintf(path, sizeof(path), "%s/mirror/%.100s.git", c->conf.state_dir,
	    q->repo);
	if (strchr(q->repo, '/') != NULL || git_repo_open(&g, path, e) == -1 ||
	    g == NULL)
		return err_set(
		    e, RC_TEMP, "repo %.100s: is not mirrored yet", q->repo);
	r = git_head(g, q->commit, commit, e);
	git_repo_free(g);
	if (r == 0)
		return err_set(e, RC_PERM,
		    "\"%.100s\" is no commit id and no branch", q->commit);
	q->commit = commit;
	return r == 1 ? 0 : -1;
}

static int
once(struct checkout *c, struct ask *q, struct err *e)
{
	struct arena *a = arena_new();
	const char *root, *dir;
	char commit[GIT_ID], full[PATH_MAX];
	bool alone;
	int rv = -1;

	if (mkdir(q->into, 0700) == -1 &&
	    (errno != EEXIST || rmdir(q->into) == -1 ||
		mkdir(q->into, 0700) == -1))
		err_sys(e, "%s: must be new or empty", q->into);
	else if (realpath(q->into, full) == NULL)
		err_sys(e, "%s", q->into);
	else if (commit_of(c, q, commit, e) == 0) {
		q->into = full;
		rv = checkout_do(c, q, &root, &dir, &alone, a, e);
		if (rv == 0)
			rv = answer(NULL, dir, root, alone, NULL, e);
	}
	arena_free(a);
	return rv;
}

static int
lock_down(struct checkout *c, const struct ask *q, struct err *e)
{
	const char *key = c->conf.secret_management.private_key_file;
	const char *more[3];
	char *slash, *up;
	size_t n = 0;

	if (key != NULL)
		more[n++] = arena_printf(c->a, "r:%s", key);
	if (q->into != NULL) {
		up = arena_strdup(c->a, q->into);
		while ((slash = strrchr(up, '/')) != NULL && slash[1] == '\0' &&
		       slash > up)
			*slash = '\0';
		if (slash == NULL)
			more[n++] = "w:.";
		else
			more[n++] = arena_printf(c->a, "w:%.*s",
			    slash == up ? 1 : (int)(slash - up), up);
	}
	more[n] = NULL;
	return sandbox("checkout", c->conf.state_dir, more, e);
}

/* One checkout, or all that are asked for. */
static int
checkout_run(const char *conf, struct ask *q, bool one, struct err *e)
{
	struct checkout c = { .next = 1 };
	int rv = -1;

	c.a = arena_new();
	c.repos = map_new();
	c.trees = map_new();
	c.given = map_new();
	if (conf_piped_open(&c.conf, conf, c.a, e) == 0 &&
	    lock_down(&c, q, e) == 0 && git_open(false, e) == 0)
		rv = one ? once(&c, q, e) : resident(&c, e);
	checkout_close(&c);
	if (rv == 0)
		git_close();
	arena_free(c.a);
	return rv;
}

int
main(int argc, char *argv[])
{
	struct ask q = { .config_filename = "app.pipecd.yaml" };
	const char *conf = NULL, *key = NULL;
	enum log_level least = LOG_INFO;
	bool one = false, sealing = false;
	struct err e;
	int o;

	while ((o = getopt(argc, argv, "1c:d:ef:k:p:r:sv")) != -1)
		switch (o) {
		case '1':
			one = true;
			break;
		case 'c':
			q.commit = optarg;
			break;
		case 'd':
			q.into = optarg;
			break;
		case 'e':
			sealing = true;
			break;
		case 'f':
			conf = optarg;
			break;
		case 'k':
			key = optarg;
			break;
		case 'p':
			q.path = optarg;
			break;
		case 'r':
			q.repo = optarg;
			break;
		case 's':
			q.secrets = true;
			break;
		case 'v':
			least = LOG_DEBUG;
			break;
		default:
			usage(synopsis);
		}
	if (optind != argc || (sealing && (one || key == NULL)) ||
	    (one && (q.repo == NULL || q.commit == NULL || q.path == NULL ||
			q.into == NULL)) ||
	    (!one && (q.repo != NULL || q.into != NULL)))
		usage(synopsis);
	log_open("pipecd-gitwatch-checkout", least);
	if (sealing) {
		if (seal(key, &e) == -1)
			die(&e);
		return RC_OK;
	}
	if (checkout_run(conf, &q, one, &e) == -1)
		die(&e);
	return RC_OK;
}
