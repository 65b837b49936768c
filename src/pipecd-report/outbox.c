/*
 * Facts outside of deployments that must arrive: report/outbox.ndjson has each
 * as the frame that said it, and an ok frame behind it when it was delivered.
 * Only the newest of a kind and thing counts.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "door.h"

enum {
	COMPACT_BYTES = 256 * 1024
};

#define REQ(x)	   Grpc__Service__Pipedservice__##x##Request
#define INIT(m, x) grpc__service__pipedservice__##x##_request__init(m)

struct fact {
	char *key;  /* owned */
	char *line; /* owned; its frame, with the newline */
	size_t len;
	struct call call;
	bool again; /* a newer one came while it was on its way */
};

static char *
key_of(struct arena *a, const struct frame *f)
{
	switch (f->kind) {
	case FRAME_app_state:
		return arena_printf(
		    a, "state/%s", f->u.app_state->application_id);
	case FRAME_held:
		return arena_printf(a, "state/%s", f->u.held->application_id);
	case FRAME_command_done:
		return arena_printf(
		    a, "command/%s", f->u.command_done->command_id);
	default:
		return NULL;
	}
}

/* --- the file --------------------------------------------------------------
 */

static void
file_add(struct door *d, const char *p, size_t n)
{
	struct outbox *x = &d->outbox;

	if (write_all(x->fd, p, n) == -1)
		log_warn("-",
		    "%s/report/outbox.ndjson: %s; the last news "
		    "may be lost if we are killed now",
		    d->conf->state_dir, strerror(errno));
	x->size += (int64_t)n;
	x->dirty = true;
}

/* Only what was not delivered, in a new file. */
static void
file_compact(struct door *d)
{
	struct outbox *x = &d->outbox;
	char *path = arena_printf(
	    d->turn, "%s/report/outbox.ndjson", d->conf->state_dir);
	struct buf b = BUF_INIT;
	const char *key;
	struct err e;
	size_t i = 0;
	void *v;
	int fd;

	while (map_next(x->by_key, &i, &key, &v))
		buf_add(&b, ((struct fact *)v)->line, ((struct fact *)v)->len);
	if (file_write(path, b.p, b.len, 0600, true, &e) == -1) {
		log_warn("-", "%s", e.text);
	} else if ((fd = openat(d->dir, "outbox.ndjson",
			O_WRONLY | O_APPEND | O_CLOEXEC)) != -1) {
		close(x->fd);
		x->fd = fd;
		x->size = (int64_t)b.len;
		x->dirty = false;
	}
	buf_free(&b);
}

static void
file_sync(void *arg)
{
	struct door *d = arg;
	struct outbox *x = &d->outbox;

	if (x->size > COMPACT_BYTES && x->size > 4 * x->live)
		file_compact(d);
	else if (x->dirty && fdatasync(x->fd) == -1)
		log_warn("-", "outbox: %s", strerror(errno));
	x->dirty = false;
	arena_reset(d->turn);
}

/* --- sending -----------------------------------------------------------------
 */

static void
fact_free(struct door *d, struct fact *x)
{
	plane_drop(d, &x->call);
	d->outbox.live -= (int64_t)x->len;
	map_del(d->outbox.by_key, x->key);
	free(x->key);
	free(x->line);
	free(x);
}

static void fact_send(struct door *d, struct fact *x);

static void
delivered(struct door *d, struct call *c, int code, const char *text,
    const ProtobufCMessage *res, struct arena *a)
{
	struct fact *x = c->owner;
	Frame__Ok ok = FRAME__OK__INIT;
	struct frame f = { .kind = FRAME_ok, .re = x->key, .u.ok = &ok };
	struct buf b = BUF_INIT;

	(void)res;
	(void)a;
	if (x->again) {
		x->again = false;
		fact_send(d, x);
		return;
	}
	/* What went by while somebody else said so is well. */
	if (code != GRPC_OK && code != GRPC_ALREADY_EXISTS)
		log_warn("-", "%s was refused for %s: %s: %s", c->method,
		    x->key, grpc_code_name(code), text);
	frame_write(&b, &f);
	file_add(d, b.p, b.len);
	buf_free(&b);
	if (str_prefix(x->key, "command/"))
		orders_reported(d, x->key + strlen("command/"));
	fact_free(d, x);
	loop_soon(d->loop, &d->outbox.sync, file_sync, d);
}

static void
send_state(struct door *d, struct fact *x, const char *app,
    Model__ApplicationSyncState *s)
{
	REQ(ReportApplicationSyncState) m;

	INIT(&m, report_application_sync_state);
	m.application_id = arena_strdup(d->turn, app);
	m.state = s;
	if (s->timestamp <= 0)
		s->timestamp = wall_s();
	x->call.method = "ReportApplicationSyncState";
	plane_call(d, &x->call, &m.base);
}

static void
send_held(struct door *d, struct fact *x, const Frame__Held *h)
{
	Model__ApplicationSyncState s = MODEL__APPLICATION_SYNC_STATE__INIT;
	struct buf b = BUF_INIT;
	size_t i;

	buf_printf(&b, "%s\n", h->reason);
	for (i = 0; i < h->n_objects; i++)
		buf_printf(&b, "  %s\n", h->objects[i]);
	buf_printf(&b, "To go on: %s", h->confirm);
	s.status = MODEL__APPLICATION_SYNC_STATUS__OUT_OF_SYNC;
	s.short_reason = arena_printf(d->turn, "held: %s", h->reason);
	s.reason = b.p;
	send_state(d, x, h->application_id, &s);
	buf_free(&b);
}

static void
send_command(struct door *d, struct fact *x, const Frame__CommandDone *f)
{
	typedef Grpc__Service__Pipedservice__ReportCommandHandledRequest__MetadataEntry
	    Entry;
	REQ(ReportCommandHandled) m;
	Entry **list = arena_array(d->turn, Entry *, f->n_metadata + 1), *e;
	size_t i;

	INIT(&m, report_command_handled);
	m.command_id = f->command_id;
	m.status = f->status;
	m.handled_at = wall_s();
	for (i = 0; i < f->n_metadata; i++)
		list[i] = (void *)f->metadata[i];
	if (f->reason != NULL && f->reason[0] != '\0') {
		e = list[i++] = arena_new_of(d->turn, Entry);
		grpc__service__pipedservice__report_command_handled_request__metadata_entry__init(
		    e);
		e->key = arena_strdup(d->turn, "Reason");
		e->value = f->reason;
	}
	m.metadata = list;
	m.n_metadata = i;
	x->call.method = "ReportCommandHandled";
	plane_call(d, &x->call, &m.base);
}

static void
fact_send(struct door *d, struct fact *x)
{
	struct arena *a = arena_new();
	struct frame f;
	struct err e;

	x->call.done = delivered;
	x->call.owner = x;
	if (frame_parse(&f, x->line, x->len, a, &e) == 1) {
		if (f.kind == FRAME_app_state)
			send_state(d, x, f.u.app_state->application_id,
			    f.u.app_state->sync_state);
		else if (f.kind == FRAME_held)
			send_held(d, x, f.u.held);
		else if (f.kind == FRAME_command_done)
			send_command(d, x, f.u.command_done);
	}
	arena_free(a);
}

static void
fact_put(struct door *d, const struct frame *f, const char *line, size_t len)
{
	const char *key = key_of(d->turn, f);
	struct fact *x;

	if (key == NULL)
		return;
	if ((x = map_get(d->outbox.by_key, key)) == NULL) {
		x = xcalloc(1, sizeof(*x));
		x->key = xstrdup(key);
		map_put(d->outbox.by_key, key, x);
	}
	d->outbox.live += (int64_t)len - (int64_t)x->len;
	free(x->line);
	x->line = xcalloc(1, len + 1);
	memcpy(x->line, line, len);
	x->len = len;
	if (x->call.request != NULL) {
		x->again = true;
		return;
	}
	plane_drop(d, &x->call);
	fact_send(d, x);
}

void
outbox_put(struct door *d, const struct frame *f)
{
	struct buf b = BUF_INIT;
	struct frame plain = *f;

	plain.id = plain.re = plain.prev = NULL;
	plain.seq = 0;
	frame_write(&b, &plain);
	file_add(d, b.p, b.len);
	fact_put(d, &plain, b.p, b.len);
	buf_free(&b);
	loop_soon(d->loop, &d->outbox.sync, file_sync, d);
}

bool
outbox_has(const struct door *d, const char *key)
{
	return map_get(d->outbox.by_key, key) != NULL;
}

bool
outbox_idle(const struct door *d)
{
	return map_len(d->outbox.by_key) == 0;
}

static void
take_line(struct door *d, const struct frame *f, const char *line, size_t len)
{
	struct fact *x;

	if (f->kind != FRAME_ok) {
		fact_put(d, f, line, len);
		return;
	}
	if (f->re != NULL && (x = map_get(d->outbox.by_key, f->re)) != NULL)
		fact_free(d, x);
}

int
outbox_open(struct door *d, struct err *e)
{
	struct outbox *x = &d->outbox;
	struct frame_reader r = { .name = "outbox.ndjson" };
	struct arena *a = arena_new();
	struct frame f;
	struct stat st;
	int rv = -1, got, in;

	x->by_key = map_new();
	x->fd = openat(d->dir, "outbox.ndjson",
	    O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (x->fd == -1 || fstat(x->fd, &st) == -1) {
		err_sys(e, "%s/report/outbox.ndjson", d->conf->state_dir);
		goto out;
	}
	in = openat(d->dir, "outbox.ndjson", O_RDONLY | O_CLOEXEC);
	if (in == -1 || (r.in = fdopen(in, "r")) == NULL) {
		err_sys(e, "%s/report/outbox.ndjson", d->conf->state_dir);
		if (in != -1)
			close(in);
		goto out;
	}
	x->size = st.st_size;
	while ((got = frame_next(&r, &f, a, e)) != 2) {
		if (got == -1 && e->exit == RC_TEMP)
			break; /* the last line was cut off */
		if (got == -1)
			log_warn("-", "%s", e->text);
		else if (got == 1)
			take_line(d, &f, r.line, (size_t)r.len);
		arena_reset(a);
	}
	file_compact(d);
	rv = 0;
out:
	if (r.in != NULL)
		fclose(r.in);
	frame_reader_free(&r);
	arena_free(a);
	return rv;
}

void
outbox_close(struct door *d)
{
	const char *key;
	size_t i = 0;
	void *v;

	if (d->outbox.by_key == NULL)
		return;
	while (map_next(d->outbox.by_key, &i, &key, &v))
		fact_free(d, v);
	map_free(d->outbox.by_key);
	loop_soon_not(d->loop, &d->outbox.sync);
	if (d->outbox.fd > 0)
		close(d->outbox.fd);
}
