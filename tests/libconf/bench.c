/*
 * How fast and how lean libconf is:
 *	bench [apps N]	parse and check N application configs (1000)
 *	bench yaml FILE	read a manifest; bytes of text, of memory, seconds
 *	bench manifest MB	print a manifest of that size
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "conf.h"
#include "node.h"

static const char app[] =
    "apiVersion: pipecd.dev/v1beta1\n"
    "kind: Application\n"
    "spec:\n"
    "  name: app-%d\n"
    "  labels:\n"
    "    env: production\n"
    "    team: web-%d\n"
    "  description: |\n"
    "    The web site, part %d.\n"
    "  deployTargets: [web-1, web-2, web-3]\n"
    "  trigger:\n"
    "    onCommit:\n"
    "      paths: [../shared/**]\n"
    "      ignores: ['*.md']\n"
    "    onOutOfSync: {disabled: false, minWindow: 10m}\n"
    "  plugins:\n"
    "    host:\n"
    "      input:\n"
    "        activate: systemctl --user restart web\n"
    "        health: {http: 'http://127.0.0.1:8080/', timeout: 20s}\n"
    "        keepReleases: 3\n"
    "  pipeline:\n"
    "    stages:\n"
    "      - name: HOST_CANARY_ROLLOUT\n"
    "        with: {targets: 25%%}\n"
    "      - name: WAIT\n"
    "        with: {duration: 30s}\n"
    "      - name: WAIT_APPROVAL\n"
    "        with:\n"
    "          approvers: [alice, bob]\n"
    "      - name: HOST_PRIMARY_ROLLOUT\n"
    "      - name: HOST_CANARY_CLEAN\n";

static double
one_run(int n)
{
	struct arena *a = arena_new();
	struct conf_report rep = { 0 };
	struct conf_app c;
	struct err e;
	char text[2048];
	clock_t from = clock();
	int i, len;

	for (i = 0; i < n; i++) {
		arena_reset(a);
		len = snprintf(text, sizeof(text), app, i, i % 7, i);
		if (conf_app_read(&c, "app.pipecd.yaml", text, (size_t)len, a,
			&rep, &e) == -1)
			die(&e);
	}
	arena_free(a);
	return (double)(clock() - from) * 1e3 / CLOCKS_PER_SEC;
}

static int
by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int
bench_apps(int n)
{
	double t[7];
	size_t i;

	for (i = 0; i < NITEMS(t); i++)
		t[i] = one_run(n);
	qsort(t, NITEMS(t), sizeof(t[0]), by_size);
	printf("%d application configs, CPU time, median of %zu: %.1f ms\n", n,
	    NITEMS(t), t[NITEMS(t) / 2]);
	return 0;
}

static void
manifest(long mb)
{
	long i, n = 0;

	for (i = 0; n < mb << 20; i++)
		n += printf("%s"
			    "  - apiVersion: apps/v1\n"
			    "    kind: Deployment\n"
			    "    metadata:\n"
			    "      name: web-%ld\n"
			    "      namespace: shop\n"
			    "      labels: {app: web, tier: \"front\"}\n"
			    "    spec:\n"
			    "      replicas: %ld\n"
			    "      selector:\n"
			    "        matchLabels:\n"
			    "          app: web\n"
			    "      template:\n"
			    "        spec:\n"
			    "          containers:\n"
			    "            - name: web\n"
			    "              image: example.com/web:v1.%ld\n"
			    "              args: [--port, \"8080\"]\n"
			    "              ports:\n"
			    "                - containerPort: 8080\n",
		    i == 0 ? "kind: List\nitems:\n" : "", i, i % 9 + 1, i);
}

static int
bench_yaml(const char *path)
{
	struct arena *a = arena_new();
	struct buf b = BUF_INIT;
	struct rusage ru;
	struct node *n;
	struct err e;
	int64_t from;

	if (file_read(path, NODE_TEXT_MAX, &b, &e) == -1)
		die(&e);
	from = now_us();
	if (node_yaml(&n, path, b.p, b.len, NULL, a, &e) == -1)
		die(&e);
	getrusage(RUSAGE_SELF, &ru);
	printf("%zu bytes, tree %zu, process %ld, %.2f s\n", b.len,
	    arena_size(a), ru.ru_maxrss * 1024,
	    (double)(now_us() - from) / 1e6);
	buf_free(&b);
	arena_free(a);
	return 0;
}

int
main(int argc, char *argv[])
{
	log_open("bench", LOG_INFO);
	if (argc > 2 && strcmp(argv[1], "yaml") == 0)
		return bench_yaml(argv[2]);
	if (argc > 2 && strcmp(argv[1], "manifest") == 0)
		manifest(atol(argv[2]));
	else
		return bench_apps(argc > 2 ? atoi(argv[2]) : 1000);
	return 0;
}
