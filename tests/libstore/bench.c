/*
 * bench DIR fill APPLICATIONS DEPLOYMENTS
 * bench DIR get SECONDS IN_FLIGHT
 * bench DIR list SECONDS IN_FLIGHT FIELD=VALUE...
 * bench DIR log SECONDS IN_FLIGHT LINES
 * bench DIR write SECONDS IN_FLIGHT
 *
 * Loads a store as a control plane would, and says what it took: one line,
 * "per_s=... p50_us=... p99_us=...".
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/application.pb-c.h"
#include "model/deployment.pb-c.h"
#include "msg.h"
#include "store.h"

enum {
	SAMPLES = 1 << 20
};

struct bench {
	struct store *s;
	struct arena *a;
	int64_t until;
	size_t in_flight, done, failed;
	int64_t *sample;
	char **arg;
	int n;
	const char *what;
	long next;
};

struct one {
	struct bench *b;
	int64_t from;
	long n; /* which of those in flight */
	long round;
};

static char *
uuid(struct arena *a, char kind, long n)
{
	return arena_printf(a, "%c0000000-0000-4000-8000-%012ld", kind, n);
}

static void ask(struct one *o);

static void
answered(void *arg, const Store__Reply *r, struct arena *a)
{
	struct one *o = arg;
	struct bench *b = o->b;

	(void)a;
	if (b->done < SAMPLES)
		b->sample[b->done] = now_us() - o->from;
	b->done++;
	if (r->code != STORE__CODE__OK && b->failed++ == 0)
		fprintf(stderr, "%s: %s\n", store_code(r->code), r->error);
	if (now_ms() < b->until)
		ask(o);
	else
		b->in_flight--;
}

static void
ask_get(struct one *o, Store__Request *q, struct arena *a)
{
	Store__Get *g = arena_new_of(a, Store__Get);
	char **ids = arena_array(a, char *, 1);

	store__get__init(g);
	g->table = arena_strdup(a, "deployment");
	ids[0] = uuid(a, 'd', (o->b->next = (o->b->next * 7919 + 1) % 100000));
	g->ids = ids;
	g->n_ids = 1;
	STORE_ASK(q, GET, get, g);
}

static void
ask_list(struct one *o, Store__Request *q, struct arena *a)
{
	Store__List *l = arena_new_of(a, Store__List);
	Store__Filter *f;
	char *eq;
	int i;

	store__list__init(l);
	l->table = arena_strdup(a, "deployment");
	l->filters = arena_array(a, Store__Filter *, (size_t)o->b->n + 1);
	for (i = 0; i < o->b->n; i++) {
		f = arena_new_of(a, Store__Filter);
		store__filter__init(f);
		eq = strchr(o->b->arg[i], '=');
		f->field =
		    arena_strndup(a, o->b->arg[i], (size_t)(eq - o->b->arg[i]));
		f->values = arena_array(a, char *, 1);
		f->values[0] = eq + 1;
		f->n_values = 1;
		l->filters[l->n_filters++] = f;
	}
	STORE_ASK(q, LIST, list, l);
}

static void
ask_log(struct one *o, Store__Request *q, struct arena *a)
{
	Store__LogAppend *l = arena_new_of(a, Store__LogAppend);
	int lines = atoi(o->b->arg[0]), i;

	store__log_append__init(l);
	l->project_id = arena_strdup(a, "p1");
	/* A new stage every 100 calls, as logs end. */
	l->deployment_id = uuid(a, 'd', o->n);
	l->stage_id = arena_printf(a, "stage-%ld", o->round / 100);
	l->completed = o->round % 100 == 99;
	l->blocks = arena_array(a, Model__LogBlock *, (size_t)lines);
	for (i = 0; i < lines; i++) {
		l->blocks[i] = arena_new_of(a, Model__LogBlock);
		model__log_block__init(l->blocks[i]);
		l->blocks[i]->index = o->round * lines + i + 1;
		l->blocks[i]->log = arena_printf(a,
		    "deployment.apps/web-%ld condition met, %d of %d replicas "
		    "are up\n",
		    o->n, i, lines);
		l->blocks[i]->created_at = 1700000000;
	}
	l->n_blocks = (size_t)lines;
	o->round++;
	STORE_ASK(q, LOG_APPEND, log_append, l);
}

static Model__Deployment *
deployment(struct arena *a, long n, long applications)
{
	static const int statuses[] = { 4, 4, 4, 4, 5, 6, 4, 4, 2, 0 };
	Model__Deployment *d = arena_new_of(a, Model__Deployment);
	Model__Deployment__LabelsEntry *l;
	Model__PipelineStage *s;
	int i;

	model__deployment__init(d);
	d->id = uuid(a, 'd', n);
	d->application_id = uuid(a, 'a', n % applications);
	d->application_name = arena_printf(a, "app-%ld", n % applications);
	d->piped_id = uuid(a, 'e', n % 50);
	d->project_id = arena_printf(a, "p%ld", n % 4);
	d->status = (Model__DeploymentStatus)statuses[n / 4 % 10];
	d->created_at = 1700000000 + n;
	d->completed_at = d->status >= 4 ? 1700000100 + n : 0;
	d->git_path = arena_new_of(a, Model__ApplicationGitPath);
	model__application_git_path__init(d->git_path);
	d->git_path->path = arena_printf(a, "apps/app-%ld", n % applications);
	d->git_path->repo = arena_new_of(a, Model__ApplicationGitRepository);
	model__application_git_repository__init(d->git_path->repo);
	d->git_path->repo->id = arena_strdup(a, "repo-1");
	d->trigger = arena_new_of(a, Model__DeploymentTrigger);
	model__deployment_trigger__init(d->trigger);
	d->trigger->timestamp = d->created_at;
	d->trigger->commit = arena_new_of(a, Model__Commit);
	model__commit__init(d->trigger->commit);
	d->trigger->commit->hash = arena_printf(a, "%040ld", n);
	d->trigger->commit->message = arena_strdup(a, "Raise the limit");
	d->trigger->commit->author = arena_strdup(a, "dev");
	d->labels = arena_array(a, Model__Deployment__LabelsEntry *, 2);
	for (i = 0; i < 2; i++) {
		l = d->labels[i] =
		    arena_new_of(a, Model__Deployment__LabelsEntry);
		model__deployment__labels_entry__init(l);
		l->key = arena_strdup(a, i == 0 ? "env" : "team");
		l->value = i == 0 ? arena_strdup(a, n % 3 ? "dev" : "prod")
				  : arena_printf(a, "team-%ld", n % 100);
	}
	d->n_labels = 2;
	d->stages = arena_array(a, Model__PipelineStage *, 3);
	for (i = 0; i < 3; i++) {
		s = d->stages[i] = arena_new_of(a, Model__PipelineStage);
		model__pipeline_stage__init(s);
		s->id = arena_printf(a, "stage-%d", i);
		s->name = arena_strdup(a, "K8S_CANARY_ROLLOUT");
		s->index = i;
		s->status = MODEL__STAGE_STATUS__STAGE_SUCCESS;
		s->created_at = d->created_at;
		s->updated_at = d->created_at;
	}
	d->n_stages = 3;
	return d;
}

static Model__Application *
application(struct arena *a, long n)
{
	Model__Application *p = arena_new_of(a, Model__Application);

	model__application__init(p);
	p->id = uuid(a, 'a', n);
	p->name = arena_printf(a, "app-%ld", n);
	p->piped_id = uuid(a, 'e', n % 50);
	p->project_id = arena_printf(a, "p%ld", n % 4);
	p->created_at = 1700000000;
	return p;
}

static void
op_fill(Store__Op *op, const char *table, const ProtobufCMessage *m,
    struct arena *a)
{
	store__op__init(op);
	op->kind = STORE__OP__KIND__PUT;
	op->table = arena_strdup(a, table);
	op->value.len = protobuf_c_message_get_packed_size(m);
	op->value.data = arena_alloc(a, op->value.len + 1);
	protobuf_c_message_pack(m, op->value.data);
}

static void
ask_write(struct one *o, Store__Request *q, struct arena *a)
{
	Store__Write *w = arena_new_of(a, Store__Write);
	Model__Deployment *d = deployment(a, 200000 + o->n, 100);

	d->status = MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_RUNNING;
	store__write__init(w);
	w->ops = arena_array(a, Store__Op *, 1);
	w->ops[0] = arena_new_of(a, Store__Op);
	op_fill(w->ops[0], "deployment", &d->base, a);
	w->n_ops = 1;
	STORE_ASK(q, WRITE, write, w);
}

static void
ask(struct one *o)
{
	struct bench *b = o->b;
	Store__Request q;

	arena_reset(b->a);
	store__request__init(&q);
	if (strcmp(b->what, "get") == 0)
		ask_get(o, &q, b->a);
	else if (strcmp(b->what, "list") == 0)
		ask_list(o, &q, b->a);
	else if (strcmp(b->what, "log") == 0)
		ask_log(o, &q, b->a);
	else
		ask_write(o, &q, b->a);
	o->from = now_us();
	(void)store_send(b->s, &q, 60000, answered, o);
}

static void
fill(struct bench *b, long applications, long deployments)
{
	const Store__Reply *r;
	Store__Request q;
	Store__Write w;
	long i, k, n;

	for (i = 0; i < applications + deployments; i += n) {
		arena_reset(b->a);
		n = applications + deployments - i;
		n = n < 1000 ? n : 1000;
		if (i < applications && i + n > applications)
			n = applications - i;
		store__request__init(&q);
		store__write__init(&w);
		w.ops = arena_array(b->a, Store__Op *, (size_t)n);
		for (k = 0; k < n; k++) {
			w.ops[k] = arena_new_of(b->a, Store__Op);
			op_fill(w.ops[k],
			    i < applications ? "application" : "deployment",
			    i < applications
				? &application(b->a, i + k)->base
				: &deployment(
				      b->a, i + k - applications, applications)
				       ->base,
			    b->a);
		}
		w.n_ops = (size_t)n;
		STORE_ASK(&q, WRITE, write, &w);
		r = store_call(b->s, &q, 60000, b->a);
		if (r->code != STORE__CODE__OK) {
			fprintf(
			    stderr, "%s: %s\n", store_code(r->code), r->error);
			exit(1);
		}
	}
}

static int
by_time(const void *x, const void *y)
{
	int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;

	return (a > b) - (a < b);
}

static void
run(struct bench *b, double seconds, size_t in_flight)
{
	struct one *o = xcalloc(in_flight, sizeof(*o));
	struct pollfd p = { .fd = store_fd(b->s), .events = POLLIN };
	int64_t from = now_us();
	size_t i, n;

	b->sample = xcalloc(SAMPLES, sizeof(*b->sample));
	b->until = now_ms() + (int64_t)(seconds * 1000);
	b->in_flight = in_flight;
	for (i = 0; i < in_flight; i++) {
		o[i].b = b;
		o[i].n = (long)i;
		ask(&o[i]);
	}
	while (b->in_flight > 0) {
		(void)poll(&p, 1, 1000);
		store_turn(b->s);
	}
	n = b->done < SAMPLES ? b->done : SAMPLES;
	qsort(b->sample, n, sizeof(*b->sample), by_time);
	printf("per_s=%.0f p50_us=%lld p99_us=%lld failed=%zu\n",
	    (double)b->done * 1e6 / (double)(now_us() - from),
	    (long long)b->sample[n / 2], (long long)b->sample[n * 99 / 100],
	    b->failed);
	free(b->sample);
	free(o);
}

int
main(int argc, char *argv[])
{
	struct bench b = { 0 };
	struct err e;

	log_open("bench", LOG_INFO);
	if (argc < 5)
		usage("bench dir what ...");
	b.a = arena_new();
	if ((b.s = store_open(argv[1], &e)) == NULL)
		die(&e);
	b.what = argv[2];
	if (strcmp(b.what, "fill") == 0) {
		fill(&b, atol(argv[3]), atol(argv[4]));
	} else {
		b.arg = argv + 5;
		b.n = argc - 5;
		run(&b, atof(argv[3]), (size_t)atol(argv[4]));
	}
	store_close(b.s);
	arena_free(b.a);
	return b.failed > 0;
}
