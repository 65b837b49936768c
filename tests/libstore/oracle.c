/*
 * An outside witness of what a store promised, while it is killed.
 *
 *	oracle DIR SLOTS	write until standard input ends, then check
 *
 * Each slot writes pairs of notes with the same number, all or none, and lines
 * of stage logs, in order, and remembers what was acknowledged.  At the end:
 * nothing acknowledged is missing, no pair is torn, no line is there twice, and
 * an object that was put has the content of an acknowledged put or a later one.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "msg.h"
#include "store.h"

struct slot {
	struct store *s;
	long n;
	bool busy;
	long acked, tried; /* number of the pair */
	long stage, lines; /* log: this stage, lines acknowledged */
	long said;	   /* lines in this request */
	long object, put;  /* acknowledged, tried */
	long ended[4096];  /* lines of stages that have ended */
	int turn;
	bool end;
};

static long acknowledged, unknown, refused;

static char *
text(struct arena *a, const char *what, long slot, long n)
{
	return arena_printf(a, "%s-%ld-%ld", what, slot, n);
}

static void
note_op(Store__Op *op, struct arena *a, const char *id, long number)
{
	Store__Note n;
	struct buf b = BUF_INIT;

	store__op__init(op);
	store__note__init(&n);
	n.id = arena_strdup(a, id);
	n.project_id = arena_strdup(a, "p");
	n.number = number;
	msg_pack(&b, &n.base);
	op->kind = STORE__OP__KIND__PUT;
	op->table = arena_strdup(a, "note");
	op->value.data = (uint8_t *)arena_strndup(a, b.p, b.len);
	op->value.len = b.len;
	buf_free(&b);
}

static void
counted(const Store__Reply *r)
{
	if (r->code == STORE__CODE__OK)
		acknowledged++;
	else if (r->code == STORE__CODE__UNAVAILABLE ||
		 r->code == STORE__CODE__DEADLINE_EXCEEDED)
		unknown++;
	else
		refused++;
}

static void
pair_done(void *arg, const Store__Reply *r, struct arena *a)
{
	struct slot *x = arg;

	(void)a;
	counted(r);
	x->busy = false;
	if (r->code == STORE__CODE__OK)
		x->acked = x->tried;
}

static void
pair(struct slot *x, struct arena *a)
{
	Store__Op ops[2], *v[2] = { &ops[0], &ops[1] };
	Store__Write w;
	Store__Request q;

	x->tried++;
	note_op(&ops[0], a, text(a, "a", x->n, 0), x->tried);
	note_op(&ops[1], a, text(a, "b", x->n, 0), x->tried);
	store__request__init(&q);
	store__write__init(&w);
	w.ops = v;
	w.n_ops = 2;
	STORE_ASK(&q, WRITE, write, &w);
	(void)store_send(x->s, &q, 60000, pair_done, x);
}

static void
log_done(void *arg, const Store__Reply *r, struct arena *a)
{
	struct slot *x = arg;

	(void)a;
	counted(r);
	x->busy = false;
	/* An end that was repeated has been heard before: it is one. */
	if (r->code == STORE__CODE__OK ||
	    (x->end && r->code == STORE__CODE__FAILED_PRECONDITION)) {
		x->lines += x->said;
		if (x->end) {
			x->ended[x->stage++] = x->lines;
			x->lines = 0;
		}
	}
}

static void
lines(struct slot *x, struct arena *a)
{
	Store__LogAppend l;
	Store__Request q;
	long i;

	store__request__init(&q);
	store__log_append__init(&l);
	l.deployment_id = text(a, "d", x->n, 0);
	l.stage_id = text(a, "s", x->n, x->stage);
	l.blocks = arena_array(a, Model__LogBlock *, 5);
	x->said = 5;
	for (i = 0; i < 5; i++) {
		l.blocks[i] = arena_new_of(a, Model__LogBlock);
		model__log_block__init(l.blocks[i]);
		l.blocks[i]->index = x->lines + i + 1;
		l.blocks[i]->log = text(a, "line", x->n, x->lines + i + 1);
		l.blocks[i]->created_at = 1;
	}
	l.n_blocks = 5;
	x->end = x->lines >= 20 && x->stage < 4000;
	l.completed = x->end;
	STORE_ASK(&q, LOG_APPEND, log_append, &l);
	(void)store_send(x->s, &q, 60000, log_done, x);
}

static void
object_done(void *arg, const Store__Reply *r, struct arena *a)
{
	struct slot *x = arg;

	(void)a;
	counted(r);
	x->busy = false;
	if (r->code == STORE__CODE__OK)
		x->object = x->put;
}

static void
object(struct slot *x, struct arena *a)
{
	Store__ObjectPut p;
	Store__Request q;
	char *data;

	store__request__init(&q);
	store__object_put__init(&p);
	x->put++;
	p.key = arena_printf(a, "live/%ld", x->n);
	data = arena_alloc(a, 20000);
	memset(data, 'x', 19999);
	memcpy(data, &x->put, sizeof(x->put));
	memcpy(data + 19990, &x->put, sizeof(x->put));
	p.data.data = (uint8_t *)data;
	p.data.len = 20000;
	STORE_ASK(&q, OBJECT_PUT, object_put, &p);
	(void)store_send(x->s, &q, 60000, object_done, x);
}

static void
next(struct slot *x, struct arena *a)
{
	x->busy = true;
	arena_reset(a);
	switch (x->turn++ % 8) {
	case 7:
		object(x, a);
		break;
	case 0:
	case 2:
	case 4:
		pair(x, a);
		break;
	default:
		lines(x, a);
	}
}

/* --- checking --------------------------------------------------------------- */

static long wrong;

#define CHECK(x, ...) \
	do { \
		if (!(x)) { \
			wrong++; \
			printf(__VA_ARGS__); \
			printf("\n"); \
		} \
	} while (0)

static long
note_number(struct store *s, const char *id, struct arena *a)
{
	char *ids[1] = { arena_strdup(a, id) };
	const Store__Reply *r;
	Store__Note *n;
	Store__Get g;
	Store__Request q;
	struct err e;

	store__request__init(&q);
	store__get__init(&g);
	g.table = arena_strdup(a, "note");
	g.ids = ids;
	g.n_ids = 1;
	STORE_ASK(&q, GET, get, &g);
	r = store_call(s, &q, 60000, a);
	if (r->code == STORE__CODE__NOT_FOUND)
		return 0;
	must(r->code == STORE__CODE__OK);
	n = (Store__Note *)msg_unpack(&store__note__descriptor,
	    r->records[0]->value.data, r->records[0]->value.len, a, 0, &e);
	must(n != NULL);
	return (long)n->number;
}

static void
log_check(struct slot *x, long stage, long acked, bool ended, struct arena *a)
{
	const Store__Reply *r;
	Store__LogRead l;
	Store__Request q;
	size_t i;

	store__request__init(&q);
	store__log_read__init(&l);
	l.deployment_id = text(a, "d", x->n, 0);
	l.stage_id = text(a, "s", x->n, stage);
	STORE_ASK(&q, LOG_READ, log_read, &l);
	r = store_call(x->s, &q, 60000, a);
	if (acked == 0 && r->code == STORE__CODE__NOT_FOUND)
		return;
	CHECK(r->code == STORE__CODE__OK, "slot %ld stage %ld: %s %s", x->n,
	    stage, store_code(r->code), r->error);
	if (r->code != STORE__CODE__OK)
		return;
	CHECK((long)r->n_blocks >= acked,
	    "slot %ld stage %ld: %zu of %ld lines", x->n, stage, r->n_blocks,
	    acked);
	CHECK(!ended || r->completed, "slot %ld stage %ld: not ended", x->n,
	    stage);
	for (i = 0; i < r->n_blocks; i++)
		CHECK(r->blocks[i]->index == (int64_t)i + 1 &&
			  strcmp(r->blocks[i]->log,
			      text(a, "line", x->n, (long)i + 1)) == 0,
		    "slot %ld stage %ld: line %zu is %lld", x->n, stage, i + 1,
		    (long long)r->blocks[i]->index);
}

static void
object_check(struct slot *x, struct arena *a)
{
	const Store__Reply *r;
	Store__ObjectGet g;
	Store__Request q;
	long first, last;

	store__request__init(&q);
	store__object_get__init(&g);
	g.key = arena_printf(a, "live/%ld", x->n);
	STORE_ASK(&q, OBJECT_GET, object_get, &g);
	r = store_call(x->s, &q, 60000, a);
	if (x->object == 0 && r->code == STORE__CODE__NOT_FOUND)
		return;
	CHECK(r->code == STORE__CODE__OK && r->data.len == 20000,
	    "slot %ld: object: %s", x->n, store_code(r->code));
	if (r->data.len != 20000)
		return;
	memcpy(&first, r->data.data, sizeof(first));
	memcpy(&last, r->data.data + 19990, sizeof(last));
	CHECK(first == last && first >= x->object && first <= x->put,
	    "slot %ld: object %ld/%ld, acknowledged %ld", x->n, first, last,
	    x->object);
}

static void
check(struct slot *x)
{
	struct arena *a = arena_new();
	long one = note_number(x->s, text(a, "a", x->n, 0), a), i;
	long two = note_number(x->s, text(a, "b", x->n, 0), a);

	CHECK(one == two, "slot %ld: torn, %ld and %ld", x->n, one, two);
	CHECK(one >= x->acked && one <= x->tried,
	    "slot %ld: %ld, acknowledged %ld, tried %ld", x->n, one, x->acked,
	    x->tried);
	for (i = 0; i < x->stage; i++)
		log_check(x, i, x->ended[i], true, a);
	log_check(x, x->stage, x->lines, false, a);
	object_check(x, a);
	arena_free(a);
}

int
main(int argc, char *argv[])
{
	struct pollfd p[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
		{ .events = POLLIN } };
	struct arena *a = arena_new();
	bool stop = false, busy;
	struct slot *x;
	struct store *s;
	struct err e;
	long n, i;

	log_open("oracle", LOG_WARN);
	if (argc != 3)
		usage("oracle dir slots");
	if ((s = store_open(argv[1], &e)) == NULL)
		die(&e);
	n = atol(argv[2]);
	x = xcalloc((size_t)n, sizeof(*x));
	p[1].fd = store_fd(s);
	for (i = 0; i < n; i++)
		x[i].s = s, x[i].n = i, x[i].turn = (int)i;
	for (;;) {
		busy = false;
		for (i = 0; i < n; i++) {
			if (!stop && !x[i].busy)
				next(&x[i], a);
			busy = busy || x[i].busy;
		}
		if (!busy)
			break;
		(void)poll(p, 2, 1000);
		store_turn(s);
		if (p[0].revents != 0) {
			stop = true;
			p[0].fd = -1;
		}
	}
	for (i = 0; i < n; i++)
		check(&x[i]);
	printf("acknowledged %ld, not known %ld, refused %ld, wrong %ld\n",
	    acknowledged, unknown, refused, wrong);
	store_close(s);
	arena_free(a);
	free(x);
	return wrong != 0;
}
