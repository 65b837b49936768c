/*
 * NAME
 *	pipecd-store-object - keep objects, in a directory or in S3
 * SYNOPSIS
 *	pipecd-store-object
 * DESCRIPTION
 *	pipecd-store starts it, and asks it on standard input to put, get, list
 *	and delete objects: stage logs that have ended, live states, insights,
 *	outputs of commands.  It alone has the credentials of S3, and the
 *	network.
 *
 *	With filestore.type DIR objects are files below <stateDir>/objects,
 *	replaced as a whole and synced before that is said.
 * OPTIONS
 *	None: it is started by pipecd-store.
 * INPUT
 *	Messages of store.proto (Object...), each after its length.
 * OUTPUT
 *	Their answers, on the same socket.
 * EXIT STATUS
 *	0	nobody asks any more
 *	100	usage, config
 *	111	standard input is no socket of pipecd-store
 * FILES
 *	<stateDir>/objects/
 *		objects by their keys
 * PRIVILEGES
 *	Reads and writes <stateDir>/objects; or reads the files with
 *	credentials that filestore.config names, and connects to S3.
 * SEE ALSO
 *	pipecd-store(1)
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "msg.h"
#include "object.h"
#include "sandbox.h"
#include "wire.h"

static const char synopsis[] = "pipecd-store-object";

enum {
	HEAD = 9
};

/* Like a path, but none that leads anywhere else. */
int
object_key_check(const char *key, struct err *e)
{
	const char *s = key;
	size_t n;

	if (*key == '\0' || strlen(key) > OBJECT_KEY_MAX)
		return err_set(e, RC_PERM, "an object's key has 1 to %d bytes",
		    OBJECT_KEY_MAX);
	for (;; s += n + 1) {
		n = strspn(s,
		    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		    "0123456789._-");
		if (n == 0 || n > 200 || *s == '.' ||
		    (s[n] != '/' && s[n] != '\0'))
			return err_set(e, RC_PERM,
			    "\"%.100s\" is no key of an object: parts of "
			    "[A-Za-z0-9._-], not beginning with a dot, joined "
			    "by /",
			    key);
		if (s[n] == '\0')
			return 0;
	}
}

static void
fail(Store__Reply *r, const struct err *e, struct arena *a)
{
	r->code = e->exit == RC_PERM ? STORE__CODE__INTERNAL
				     : STORE__CODE__RESOURCE_EXHAUSTED;
	r->error = arena_strdup(a, e->text);
}

static void
refuse(Store__Reply *r, Store__Code code, const struct err *e, struct arena *a)
{
	r->code = code;
	r->error = arena_strdup(a, e->text);
}

static void
put(struct objects *o, const Store__ObjectPut *q, Store__Reply *r,
    struct arena *a)
{
	struct err e;

	if (object_key_check(q->key, &e) == -1) {
		refuse(r, STORE__CODE__INVALID_ARGUMENT, &e, a);
	} else if (q->data.len > OBJECT_MAX) {
		err_set(&e, RC_PERM, "object %s: %zu bytes, at most %d", q->key,
		    q->data.len, OBJECT_MAX);
		refuse(r, STORE__CODE__RESOURCE_EXHAUSTED, &e, a);
	} else if (o->ops->put(o, q->key, q->data.data, q->data.len, &e) ==
		   -1) {
		fail(r, &e, a);
	}
}

static void
get(struct objects *o, const Store__ObjectGet *q, Store__Reply *r,
    struct arena *a)
{
	struct buf b = BUF_INIT;
	struct err e;

	if (object_key_check(q->key, &e) == -1) {
		refuse(r, STORE__CODE__INVALID_ARGUMENT, &e, a);
		return;
	}
	switch (o->ops->get(o, q->key, &b, &e)) {
	case -1:
		fail(r, &e, a);
		break;
	case 0:
		err_set(&e, RC_PERM, "object %s: not there", q->key);
		refuse(r, STORE__CODE__NOT_FOUND, &e, a);
		break;
	default:
		r->data.data = (uint8_t *)arena_strndup(a, b.p, b.len);
		r->data.len = b.len;
	}
	buf_free(&b);
}

static void
list(struct objects *o, const Store__ObjectList *q, Store__Reply *r,
    struct arena *a)
{
	size_t limit = q->limit == 0 || q->limit > 1000 ? 1000 : q->limit, i, n;
	struct object *v = arena_array(a, struct object, limit);
	Store__Object *x;
	struct err e;
	bool more;

	if (o->ops->list(o, q->prefix, *q->cursor == '\0' ? NULL : q->cursor,
		limit, v, &n, &more, a, &e) == -1) {
		fail(r, &e, a);
		return;
	}
	r->objects = arena_array(a, Store__Object *, n + 1);
	for (i = 0; i < n; i++) {
		x = arena_new_of(a, Store__Object);
		store__object__init(x);
		x->key = (char *)(uintptr_t)v[i].key;
		x->size = v[i].size;
		x->updated_at = v[i].updated_at;
		r->objects[r->n_objects++] = x;
	}
	if (more)
		r->cursor = r->objects[n - 1]->key;
}

static void
drop(struct objects *o, const Store__ObjectDelete *q, Store__Reply *r,
    struct arena *a)
{
	struct err e;

	if (object_key_check(q->key, &e) == -1)
		refuse(r, STORE__CODE__INVALID_ARGUMENT, &e, a);
	else if (o->ops->drop(o, q->key, &e) == -1)
		fail(r, &e, a);
}

static void
answer(struct objects *o, const Store__Request *q, Store__Reply *r,
    struct arena *a)
{
	struct err e;

	r->id = q->id;
	switch (q->ask_case) {
	case STORE__REQUEST__ASK_OBJECT_PUT:
		put(o, q->object_put, r, a);
		break;
	case STORE__REQUEST__ASK_OBJECT_GET:
		get(o, q->object_get, r, a);
		break;
	case STORE__REQUEST__ASK_OBJECT_LIST:
		list(o, q->object_list, r, a);
		break;
	case STORE__REQUEST__ASK_OBJECT_DELETE:
		drop(o, q->object_delete, r, a);
		break;
	default:
		err_set(&e, RC_PERM, "nothing that is done here");
		refuse(r, STORE__CODE__INVALID_ARGUMENT, &e, a);
	}
}

static int
serve(struct objects *o, struct err *e)
{
	struct arena *a = arena_new();
	uint8_t head[HEAD];
	const uint8_t *p;
	Store__Request *q;
	Store__Reply r;
	struct wire w;
	size_t n;
	int rv = -1;

	wire_init(&w, STDIN_FILENO);
	while (wire_fill(&w) == 1)
		while (wire_next(&w, &p, &n) == 1) {
			if (n < HEAD) {
				err_set(e, RC_TEMP, "a message without a head");
				goto out;
			}
			memcpy(head, p, HEAD);
			arena_reset(a);
			q = (Store__Request *)msg_unpack(
			    &store__request__descriptor, p + HEAD, n - HEAD, a,
			    0, e);
			if (q == NULL)
				goto out;
			store__reply__init(&r);
			answer(o, q, &r, a);
			wire_put(&w, head, HEAD, &r.base);
			if (wire_drain(&w) == -1)
				break;
		}
	rv = 0;
out:
	wire_free(&w);
	arena_free(a);
	return rv;
}

int
main(int argc, char *argv[])
{
	struct objects o = { .ops = &objects_dir };
	struct arena *a = arena_new();
	struct conf_control c;
	struct err e;
	bool dir;

	(void)argv;
	if (argc != 1)
		usage(synopsis);
	log_open("pipecd-store-object", LOG_INFO);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	if (conf_control_open(&c, NULL, a, &e) == -1)
		die(&e);
	o.conf = &c;
	o.dir = arena_printf(a, "%s/objects", c.state_dir);
	dir = strcmp(c.filestore.type, "DIR") == 0;
	/* Credentials are read before files are out of reach. */
	if ((dir && (dir_make(o.dir, 0700, &e) == -1 ||
			dir_sync(o.dir, &e) == -1)) ||
	    (!dir && objects_s3_open(&o, a, &e) == -1) ||
	    sandbox("store-object", c.state_dir, NULL, &e) == -1 ||
	    serve(&o, &e) == -1)
		die(&e);
	arena_free(a);
	return RC_OK;
}
