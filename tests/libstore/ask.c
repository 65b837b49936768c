/*
 * Ask a store what one asks from C, in lines:
 *
 *	get TABLE ID...
 *	list TABLE [FIELD=VALUE|FIELD=V1,V2]... [order=F] [asc] [min=N] [max=N]
 *	    [limit=N] [cursor=C] [deleted] [all]
 *	create|update|put TABLE JSON [version=N]	delete|purge TABLE ID
 *	log DEPLOYMENT STAGE RETRY FIRST COUNT [end]	logread D S R FROM
 *	logdelete D
 *	oput KEY TEXT	oget KEY	olist PREFIX	odel KEY
 *	check KIND PROJECT ID KEY	make KIND ID [JSON] [secret=|hash=|user=]
 *	drop ID	stat	watch SECONDS
 *
 * Each answer is one line: the code, then what there is.  JSON is the mapping
 * of frames.  `ask DIR < lines`; `ask -l DIR BIN` starts a store for itself.
 * Lines are asked one after another; a leading "&" does not wait.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/apikey.pb-c.h"
#include "model/application.pb-c.h"
#include "model/command.pb-c.h"
#include "model/deployment.pb-c.h"
#include "model/deployment_chain.pb-c.h"
#include "model/deployment_trace.pb-c.h"
#include "model/event.pb-c.h"
#include "model/piped.pb-c.h"
#include "model/project.pb-c.h"
#include "msg.h"
#include "store.h"

static const struct {
	const char *table;
	const ProtobufCMessageDescriptor *d;
} tables[] = {
	{ "project", &model__project__descriptor },
	{ "application", &model__application__descriptor },
	{ "deployment", &model__deployment__descriptor },
	{ "piped", &model__piped__descriptor },
	{ "command", &model__command__descriptor },
	{ "event", &model__event__descriptor },
	{ "api_key", &model__apikey__descriptor },
	{ "deployment_chain", &model__deployment_chain__descriptor },
	{ "deployment_trace", &model__deployment_trace__descriptor },
	{ "unregistered", &store__unregistered__descriptor },
	{ "piped_stat", &store__piped_status__descriptor },
	{ "lease", &store__lease__descriptor },
	{ "note", &store__note__descriptor },
};

struct ask {
	struct store *s;
	struct arena *a;
	size_t pending;
	char *word[64];
	size_t n;
	const char *table; /* of the answer's records */
};

static const ProtobufCMessageDescriptor *
descriptor(const char *table)
{
	size_t i;

	for (i = 0; i < NITEMS(tables); i++)
		if (strcmp(tables[i].table, table) == 0)
			return tables[i].d;
	return NULL;
}

static void
record_print(const char *table, const Store__Record *r)
{
	const ProtobufCMessageDescriptor *d =
	    table == NULL ? NULL : descriptor(table);
	struct arena *a = arena_new();
	struct buf b = BUF_INIT;
	ProtobufCMessage *m;
	struct err e;

	printf(" %s@%llu%s", r->id, (unsigned long long)r->version,
	    r->deleted ? "-" : "");
	if (d != NULL && r->value.len > 0) {
		m = msg_unpack(d, r->value.data, r->value.len, a, 0, &e);
		must(m != NULL);
		msg_json(&b, m, MSG_FRAME);
		printf(" %s", b.p);
	}
	buf_free(&b);
	arena_free(a);
}

static void
answer_print(const char *table, const Store__Reply *r)
{
	size_t i;

	printf("%s", store_code(r->code));
	if (r->code != STORE__CODE__OK)
		printf(" \"%s\"", r->error);
	if (r->op != 0)
		printf(" op=%u", r->op);
	for (i = 0; i < r->n_records; i++)
		record_print(table, r->records[i]);
	for (i = 0; i < r->n_blocks; i++)
		printf(" %lld:%s", (long long)r->blocks[i]->index,
		    r->blocks[i]->log);
	if (r->completed)
		printf(" completed");
	if (r->data.len > 0)
		printf(" data=%.*s", (int)r->data.len, (char *)r->data.data);
	for (i = 0; i < r->n_objects; i++)
		printf(" %s(%llu)", r->objects[i]->key,
		    (unsigned long long)r->objects[i]->size);
	if (*r->key != '\0')
		printf(" key=%s", r->key);
	if (*r->username != '\0')
		printf(" username=%s", r->username);
	if (r->change != NULL)
		printf(" change=%s/%s%s%s", r->change->table, r->change->id,
		    r->change->deleted ? "-" : "",
		    r->change->lost ? " lost" : "");
	for (i = 0; i < r->n_numbers; i++)
		printf(" %s=%lld", r->numbers[i]->name,
		    (long long)r->numbers[i]->value);
	if (*r->cursor != '\0')
		printf(" cursor=%s", r->cursor);
	printf("\n");
	fflush(stdout);
}

static void
done(void *arg, const Store__Reply *r, struct arena *a)
{
	struct ask *k = arg;

	(void)a;
	k->pending--;
	answer_print(NULL, r);
}

static void
changed(void *arg, const Store__Reply *r, struct arena *a)
{
	(void)a, (void)arg;
	answer_print(NULL, r);
}

static bool
send_it(struct ask *k, const Store__Request *q, bool wait)
{
	const Store__Reply *r;

	if (!wait) {
		k->pending++;
		(void)store_send(k->s, q, 30000, done, k);
		return true;
	}
	r = store_call(k->s, q, 30000, k->a);
	answer_print(k->table, r);
	return r->code == STORE__CODE__OK;
}

static const char *
option(const struct ask *k, const char *name)
{
	size_t i, n = strlen(name);

	for (i = 0; i < k->n; i++)
		if (strncmp(k->word[i], name, n) == 0 && k->word[i][n] == '=')
			return k->word[i] + n + 1;
	return NULL;
}

static bool
flag(const struct ask *k, const char *name)
{
	size_t i;

	for (i = 0; i < k->n; i++)
		if (strcmp(k->word[i], name) == 0)
			return true;
	return false;
}

static void
do_list(struct ask *k, bool wait)
{
	static const char *const known[] = {
		"order=", "min=", "max=", "limit=", "cursor="
	};
	Store__List l;
	Store__Request q;
	Store__Filter *f;
	char *eq, *save = NULL, *v;
	size_t i, j;
	const char *s;

	store__request__init(&q);
	store__list__init(&l);
	l.table = k->word[1];
	k->table = l.table;
	l.filters = arena_array(k->a, Store__Filter *, k->n);
	for (i = 2; i < k->n; i++) {
		for (j = 0; j < NITEMS(known); j++)
			if (str_prefix(k->word[i], known[j]))
				break;
		eq = strchr(k->word[i], '=');
		if (j < NITEMS(known) || eq == NULL)
			continue;
		f = arena_new_of(k->a, Store__Filter);
		store__filter__init(f);
		f->field =
		    arena_strndup(k->a, k->word[i], (size_t)(eq - k->word[i]));
		f->values = arena_array(k->a, char *, 64);
		for (v = strtok_r(arena_strdup(k->a, eq + 1), ",", &save);
		     v != NULL; v = strtok_r(NULL, ",", &save))
			f->values[f->n_values++] = v;
		l.filters[l.n_filters++] = f;
	}
	if ((s = option(k, "order")) != NULL)
		l.order = arena_strdup(k->a, s);
	if ((s = option(k, "min")) != NULL)
		l.min = atoll(s);
	if ((s = option(k, "max")) != NULL)
		l.max = atoll(s);
	if ((s = option(k, "limit")) != NULL)
		l.limit = (uint32_t)atoi(s);
	if ((s = option(k, "cursor")) != NULL)
		l.cursor = arena_strdup(k->a, s);
	l.ascending = flag(k, "asc");
	l.deleted = flag(k, "deleted");
	STORE_ASK(&q, LIST, list, &l);
	if (!flag(k, "all")) {
		(void)send_it(k, &q, wait);
		return;
	}
	do {
		const Store__Reply *r = store_call(k->s, &q, 30000, k->a);

		answer_print(NULL, r);
		l.cursor = arena_strdup(k->a, r->cursor);
	} while (*l.cursor != '\0');
}

static void
do_op(struct ask *k, Store__Op__Kind kind, bool wait)
{
	Store__Op op, *ops[1] = { &op };
	const char *table = k->word[1], *s;
	ProtobufCMessage *m;
	struct buf b = BUF_INIT;
	Store__Write w;
	Store__Request q;
	struct err e;

	store__request__init(&q);
	store__write__init(&w);
	store__op__init(&op);
	op.kind = kind;
	op.table = arena_strdup(k->a, table);
	k->table = table;
	if (kind == STORE__OP__KIND__DELETE || kind == STORE__OP__KIND__PURGE)
		op.id = k->word[2];
	else {
		m = msg_from_json(descriptor(table), k->word[2],
		    strlen(k->word[2]), MSG_FRAME, k->a, 0, &e);
		if (m == NULL)
			die(&e);
		msg_pack(&b, m);
		op.value.data = (uint8_t *)b.p;
		op.value.len = b.len;
	}
	if ((s = option(k, "version")) != NULL)
		op.version = (uint64_t)atoll(s);
	w.ops = ops;
	w.n_ops = 1;
	STORE_ASK(&q, WRITE, write, &w);
	(void)send_it(k, &q, wait);
	buf_free(&b);
}

static void
do_log(struct ask *k, bool wait)
{
	Store__LogAppend l;
	Store__Request q;
	Model__LogBlock *b;
	long first = atol(k->word[4]), n = atol(k->word[5]), i;

	store__request__init(&q);
	store__log_append__init(&l);
	l.project_id = arena_strdup(k->a, "p");
	l.deployment_id = k->word[1];
	l.stage_id = k->word[2];
	l.retried_count = atoi(k->word[3]);
	l.completed = flag(k, "end");
	l.blocks = arena_array(k->a, Model__LogBlock *, (size_t)n + 1);
	for (i = 0; i < n; i++) {
		b = arena_new_of(k->a, Model__LogBlock);
		model__log_block__init(b);
		b->index = first + i;
		b->log = arena_printf(k->a, "line-%ld", first + i);
		b->created_at = 1700000000;
		l.blocks[l.n_blocks++] = b;
	}
	STORE_ASK(&q, LOG_APPEND, log_append, &l);
	(void)send_it(k, &q, wait);
}

static void
do_logread(struct ask *k)
{
	Store__LogRead l;
	Store__Request q;

	store__request__init(&q);
	store__log_read__init(&l);
	l.deployment_id = k->word[1];
	l.stage_id = k->word[2];
	l.retried_count = atoi(k->word[3]);
	l.from_index = atoll(k->word[4]);
	if (option(k, "limit") != NULL)
		l.limit = (uint32_t)atoi(option(k, "limit"));
	STORE_ASK(&q, LOG_READ, log_read, &l);
	(void)send_it(k, &q, true);
}

static void
do_get(struct ask *k, bool wait)
{
	Store__Get g;
	Store__Request q;

	store__request__init(&q);
	store__get__init(&g);
	g.table = k->word[1];
	k->table = g.table;
	g.ids = k->word + 2;
	g.n_ids = k->n - 2;
	if (flag(k, "deleted"))
		g.deleted = true, g.n_ids--;
	STORE_ASK(&q, GET, get, &g);
	(void)send_it(k, &q, wait);
}

static Store__KeyKind
kind_of(const char *s)
{
	return (Store__KeyKind)msg_enum_value(&store__key_kind__descriptor, s);
}

static void
do_key(struct ask *k, bool wait)
{
	Store__KeyCheck c;
	Store__KeyMake m;
	Store__KeyDrop d;
	Store__Request q;
	ProtobufCMessage *v;
	struct buf b = BUF_INIT;
	struct err e;
	size_t i;

	store__request__init(&q);
	store__key_check__init(&c);
	store__key_make__init(&m);
	store__key_drop__init(&d);
	if (strcmp(k->word[0], "check") == 0) {
		c.kind = kind_of(k->word[1]);
		c.project_id = strcmp(k->word[2], "-") == 0
				   ? arena_strdup(k->a, "")
				   : k->word[2];
		c.id = k->word[3];
		c.key = k->word[4];
		STORE_ASK(&q, KEY_CHECK, key_check, &c);
	} else if (strcmp(k->word[0], "drop") == 0) {
		d.id = k->word[1];
		STORE_ASK(&q, KEY_DROP, key_drop, &d);
	} else {
		m.kind = kind_of(k->word[1]);
		m.id = strcmp(k->word[2], "-") == 0 ? arena_strdup(k->a, "")
						    : k->word[2];
		m.creator = arena_strdup(k->a, "tester");
		for (i = 3; i < k->n; i++) {
			if (*k->word[i] != '{')
				continue;
			v = msg_from_json(m.kind == STORE__KEY_KIND__PIPED
					      ? &model__piped__descriptor
					  : m.kind == STORE__KEY_KIND__API_KEY
					      ? &model__apikey__descriptor
					      : &model__project__descriptor,
			    k->word[i], strlen(k->word[i]), MSG_FRAME, k->a, 0,
			    &e);
			if (v == NULL)
				die(&e);
			msg_pack(&b, v);
			m.value.data = (uint8_t *)b.p;
			m.value.len = b.len;
		}
		if (option(k, "secret") != NULL)
			m.secret = arena_strdup(k->a, option(k, "secret"));
		if (option(k, "hash") != NULL)
			m.hash = arena_strdup(k->a, option(k, "hash"));
		if (option(k, "user") != NULL)
			m.username = arena_strdup(k->a, option(k, "user"));
		STORE_ASK(&q, KEY_MAKE, key_make, &m);
	}
	(void)send_it(k, &q, wait);
	buf_free(&b);
}

static void
do_object(struct ask *k, bool wait)
{
	Store__ObjectPut p;
	Store__ObjectGet g;
	Store__ObjectList l;
	Store__ObjectDelete d;
	Store__LogDelete ld;
	Store__Request q;

	store__request__init(&q);
	store__object_put__init(&p);
	store__object_get__init(&g);
	store__object_list__init(&l);
	store__object_delete__init(&d);
	store__log_delete__init(&ld);
	p.key = g.key = d.key = l.prefix = ld.deployment_id =
	    k->n > 1 ? k->word[1] : arena_strdup(k->a, "");
	if (strcmp(k->word[0], "oput") == 0) {
		p.data.data = (uint8_t *)k->word[2];
		p.data.len = strlen(k->word[2]);
		STORE_ASK(&q, OBJECT_PUT, object_put, &p);
	} else if (strcmp(k->word[0], "oget") == 0) {
		STORE_ASK(&q, OBJECT_GET, object_get, &g);
	} else if (strcmp(k->word[0], "olist") == 0) {
		if (option(k, "limit") != NULL)
			l.limit = (uint32_t)atoi(option(k, "limit"));
		if (option(k, "cursor") != NULL)
			l.cursor = arena_strdup(k->a, option(k, "cursor"));
		STORE_ASK(&q, OBJECT_LIST, object_list, &l);
	} else if (strcmp(k->word[0], "odel") == 0) {
		STORE_ASK(&q, OBJECT_DELETE, object_delete, &d);
	} else {
		STORE_ASK(&q, LOG_DELETE, log_delete, &ld);
	}
	(void)send_it(k, &q, wait);
}

static void
turn(struct ask *k, int ms)
{
	struct pollfd p = { .fd = store_fd(k->s), .events = POLLIN };

	(void)poll(&p, 1, ms);
	store_turn(k->s);
}

static void
do_watch(struct ask *k)
{
	int64_t until = now_ms() + atoll(k->word[1]) * 1000;
	Store__Watch w;
	Store__Request q;

	store__request__init(&q);
	store__watch__init(&w);
	w.tables = k->word + 2;
	w.n_tables = k->n - 2;
	STORE_ASK(&q, WATCH, watch, &w);
	(void)store_send(k->s, &q, 5000, changed, k);
	while (now_ms() < until)
		turn(k, 100);
}

static void
do_line(struct ask *k, bool wait)
{
	static const char *const ops[] = { "create", "update", "put", "delete",
		"purge" };
	Store__Stat st;
	Store__Request q;
	const char *w = k->word[0];
	size_t i;

	for (i = 0; i < NITEMS(ops); i++)
		if (strcmp(w, ops[i]) == 0) {
			do_op(k, (Store__Op__Kind)i, wait);
			return;
		}
	if (strcmp(w, "get") == 0)
		do_get(k, wait);
	else if (strcmp(w, "list") == 0)
		do_list(k, wait);
	else if (strcmp(w, "log") == 0)
		do_log(k, wait);
	else if (strcmp(w, "logread") == 0)
		do_logread(k);
	else if (strcmp(w, "watch") == 0)
		do_watch(k);
	else if (strcmp(w, "check") == 0 || strcmp(w, "make") == 0 ||
		 strcmp(w, "drop") == 0)
		do_key(k, wait);
	else if (strcmp(w, "stat") == 0) {
		store__request__init(&q);
		store__stat__init(&st);
		STORE_ASK(&q, STAT, stat, &st);
		(void)send_it(k, &q, wait);
	} else
		do_object(k, wait);
}

int
main(int argc, char *argv[])
{
	bool local = argc == 4 && strcmp(argv[1], "-l") == 0, wait;
	struct ask k = { 0 };
	char *line = NULL, *s, *save;
	size_t cap = 0;
	struct err e;

	log_open("ask", LOG_INFO);
	if (argc != 2 && !local)
		usage("ask [-l] dir [bin]");
	k.a = arena_new();
	k.s = local ? store_open_local(argv[2], NULL, argv[3], &e)
		    : store_open(argv[1], &e);
	if (k.s == NULL)
		die(&e);
	while (getline(&line, &cap, stdin) != -1) {
		line[strcspn(line, "\n")] = '\0';
		wait = *line != '&';
		k.n = 0;
		k.table = NULL;
		for (s = strtok_r(line + !wait, " ", &save);
		     s != NULL && k.n < NITEMS(k.word);
		     s = strtok_r(NULL, " ", &save))
			k.word[k.n++] = s;
		if (k.n > 0)
			do_line(&k, wait);
		arena_reset(k.a);
	}
	while (k.pending > 0)
		turn(&k, 1000);
	store_close(k.s);
	arena_free(k.a);
	free(line);
	return 0;
}
