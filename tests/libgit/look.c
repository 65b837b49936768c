/*
 * look - libgit on the command line, for its tests: one verb, its arguments.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "git.h"

static struct git *g;

static bool
want(const char *base)
{
	return str_suffix(base, ".pipecd.yaml");
}

static int
found(void *arg, const char *path, const char *blob_id, struct err *e)
{
	int *left = arg;

	printf("%s %.7s\n", path, blob_id);
	if (*left > 0 && --*left == 0)
		return err_set(e, RC_NO, "enough");
	return 0;
}

/* look bench REPO COMMIT N FORMAT: look N paths up, again and again. */
static int
bench(const char *commit, int n, const char *fmt, struct err *e)
{
	char path[256], id[GIT_ID];
	int64_t t, best = INT64_MAX;
	int i, k;

	for (k = 0; k < 20; k++) {
		t = now_us();
		for (i = 0; i < n; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(path, sizeof(path), fmt, i);
#pragma GCC diagnostic pop
			if (git_path_id(g, commit, path, id, e) != 1)
				return -1;
		}
		if ((t = now_us() - t) < best)
			best = t;
	}
	printf("%d lookups %lld us\n", n, (long long)best);
	return 0;
}

/*
 * look mirror DIR fetch URL BRANCH and K=V options.
 * look mirror DIR copy PATH BRANCH MAX, look mirror DIR tidy PACKS LOOSE,
 * look mirror DIR check COMMIT.
 */
static int
mirror(int argc, char **argv, struct err *e)
{
	char branch[256] = "", commit[GIT_ID] = "";
	struct git_fetch f = { 0 };
	int i, r;

	if (git_mirror_open(&g, argv[2], true, e) == -1)
		return -1;
	if (strcmp(argv[3], "tidy") == 0)
		return git_mirror_tidy(
		    g, (size_t)atoi(argv[4]), (size_t)atoi(argv[5]), e);
	if (strcmp(argv[3], "check") == 0)
		return git_mirror_check(g, argv[4], e);
	f.branch = argv[5][0] != '\0' ? argv[5] : NULL;
	if (strcmp(argv[3], "copy") == 0) {
		r = git_local_head(argv[4], f.branch, branch, commit, e);
		if (r == 1)
			r = git_mirror_copy(g, argv[4], branch, commit,
			    (size_t)atoi(argv[6]), 8 << 20, e);
		printf("%s %s\n", branch, commit);
		return r;
	}
	f.url = argv[4];
	for (i = 6; i < argc; i++) {
		const char *v = strchr(argv[i], '=') + 1;

		if (str_prefix(argv[i], "user="))
			f.user = v;
		else if (str_prefix(argv[i], "password="))
			f.password = v;
		else if (str_prefix(argv[i], "key="))
			f.ssh_key_file = v;
		else if (str_prefix(argv[i], "keydata="))
			f.ssh_key = v;
		else if (str_prefix(argv[i], "ca="))
			f.ca_file = v;
		else if (str_prefix(argv[i], "hosts="))
			f.known_hosts_file = v;
	}
	r = git_mirror_fetch(g, &f, branch, commit, e);
	printf("%s %s\n", branch, commit);
	return r;
}

static int
verb(int argc, char **argv, struct arena *a, struct err *e)
{
	const char *v = argv[1];
	struct git_commit_info c;
	struct buf b = BUF_INIT;
	char id[GIT_ID];
	const char **paths;
	size_t n, i;
	int r = 0, left = argc > 5 ? atoi(argv[5]) : 0;

	if (strcmp(v, "head") == 0) {
		if ((r = git_head(g, argv[3], id, e)) == 1)
			puts(id);
	} else if (strcmp(v, "commit") == 0) {
		if ((r = git_commit_read(g, argv[3], &c, a, e)) == 1)
			printf("%s %s %lld %s\n", c.hash, c.author,
			    (long long)c.created_at, c.message);
	} else if (strcmp(v, "id") == 0) {
		if ((r = git_path_id(g, argv[3], argv[4], id, e)) == 1)
			puts(id);
	} else if (strcmp(v, "file") == 0) {
		r = git_file_read(g, argv[3], argv[4], 1000, &b, e);
		fwrite(b.p, 1, b.len, stdout);
	} else if (strcmp(v, "ancestor") == 0) {
		r = git_is_ancestor(g, argv[3], argv[4], e);
	} else if (strcmp(v, "walk") == 0) {
		r = git_walk(g, argv[3], argv[4], want, found, &left, e);
	} else if (strcmp(v, "all") == 0) {
		r = git_walk(g, argv[3], argv[4], NULL, found, &left, e);
	} else if (strcmp(v, "bench") == 0) {
		r = bench(argv[3], atoi(argv[4]), argv[5], e);
	} else if (strcmp(v, "changed") == 0) {
		r = git_changed(g, argv[3], argv[4], &paths, &n, a, e);
		for (i = 0; r == 0 && i < n; i++)
			puts(paths[i]);
	} else {
		r = err_set(e, RC_PERM, "no verb %s", v);
	}
	buf_free(&b);
	return r;
}

int
main(int argc, char **argv)
{
	struct arena *a = arena_new();
	struct err e = { 0 };
	int r;

	log_open("look", LOG_INFO);
	if (argc > 3 && strcmp(argv[1], "match") == 0) {
		/* look match PATH PATTERN...: exit 0 when it matches */
		arena_free(a);
		return git_match((const char *const *)argv + 3,
			   (size_t)argc - 3, argv[2])
			   ? 0
			   : 1;
	}
	if (git_open(strcmp(argv[1], "mirror") == 0, &e) == -1)
		die(&e);
	if (strcmp(argv[1], "mirror") == 0) {
		if ((r = mirror(argc, argv, &e)) == -1)
			fprintf(stderr, "%s\n", e.text);
		else
			printf("= %d\n", r);
		/*
		 * As a worker of gitwatch ends: libgit2 1.5 loses a regular
		 * expression for each remote and a string for each 401.
		 */
		git_repo_free(g);
		arena_free(a);
		fflush(stdout);
		_exit(r == -1 ? e.exit : 0);
	}
	if (git_repo_open(&g, argv[2], &e) == -1)
		die(&e);
	if (g == NULL) {
		puts("absent");
		r = 0;
	} else if ((r = verb(argc, argv, a, &e)) == -1) {
		fprintf(stderr, "%s\n", e.text);
	} else {
		printf("= %d\n", r);
	}
	git_repo_free(g);
	git_close();
	arena_free(a);
	return r == -1 ? e.exit : 0;
}
