/*
 * Calls to the control plane.  An outage is said once when it begins and once
 * when it is over; in between calls wait here, in their order.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "door.h"

#define SERVICE "/grpc.service.pipedservice.PipedService/"

static void plane_send(struct door *d);

static int64_t
jitter(int64_t ms)
{
	return ms / 2 + (int64_t)((uint64_t)random() % (uint64_t)(ms + 1));
}

bool
plane_ready(const struct door *d)
{
	return d->plane.up && d->plane.pause_until == 0;
}

/* --- who we are ------------------------------------------------------------
 */

/* "PIPED-TOKEN project,piped,key": owned, to be wiped; NULL with *e. */
static char *
token(const struct conf_piped *c, struct err *e)
{
	struct buf key = BUF_INIT, all = BUF_INIT;
	char *s = NULL;

	if (c->piped_key_data != NULL) {
		if (base64_decode(&key, c->piped_key_data,
			strlen(c->piped_key_data)) == -1) {
			err_set(e, RC_PERM, "spec.pipedKeyData: is no base64");
			goto out;
		}
	} else if (c->piped_key_file == NULL) {
		err_set(
		    e, RC_PERM, "spec.pipedKeyFile or pipedKeyData: missing");
		goto out;
	} else {
		switch (file_read(c->piped_key_file, 65536, &key, e)) {
		case 0:
			err_set(e, RC_TEMP, "spec.pipedKeyFile: %s: not there",
			    c->piped_key_file);
			/* FALLTHROUGH */
		case -1:
			goto out;
		default:
			break;
		}
	}
	while (key.len > 0 && strchr(" \t\r\n", key.p[key.len - 1]) != NULL)
		key.p[--key.len] = '\0';
	if (key.len == 0 || strpbrk(key.p, ", \t\r\n") != NULL) {
		err_set(e, RC_PERM, "spec.pipedKey%s: holds no key",
		    c->piped_key_data != NULL ? "Data" : "File");
		goto out;
	}
	buf_grow(&all, key.len + strlen(c->project_id) + strlen(c->piped_id) +
			   16); /* not left behind by a move */
	buf_printf(
	    &all, "PIPED-TOKEN %s,%s,%s", c->project_id, c->piped_id, key.p);
	s = xstrdup(all.p);
out:
	if (key.cap > 0)
		explicit_bzero(key.p, key.cap);
	if (all.cap > 0)
		explicit_bzero(all.p, all.cap);
	buf_free(&key);
	buf_free(&all);
	return s;
}

static void
token_set(struct door *d, char *s)
{
	if (d->plane.authorization != NULL) {
		explicit_bzero(
		    d->plane.authorization, strlen(d->plane.authorization));
		free(d->plane.authorization);
	}
	d->plane.authorization = s;
}

/* A refused key may have been replaced in its file. */
static bool
token_again(struct door *d)
{
	struct err e;
	char *s = token(d->conf, &e);

	if (s == NULL) {
		log_warn("-", "%s", e.text);
		return false;
	}
	if (strcmp(s, d->plane.authorization) == 0) {
		explicit_bzero(s, strlen(s));
		free(s);
		return false;
	}
	token_set(d, s);
	grpc_client_authorization(d->plane.client, s);
	log_info(
	    "-", "control plane: our key was replaced, trying the new one");
	return true;
}

/* --- outages ----------------------------------------------------------------
 */

static void
pause_over(void *arg)
{
	struct door *d = arg;

	d->plane.pause_until = 0;
	d->plane.probing = true;
	watch_start(d);
	plane_send(d);
}

static void
plane_pause(struct door *d, int64_t ms)
{
	struct plane *w = &d->plane;

	w->pause_until = now_ms() + ms;
	w->probing = false;
	loop_timer(d->loop, &w->timer, w->pause_until, pause_over, d);
}

static void
say_down(struct door *d, const char *why)
{
	if (d->plane.said_down)
		return;
	d->plane.said_down = true;
	d->plane.down_at = now_ms();
	log_warn("-",
	    "control plane %s is out of reach: %s; what happens is kept in "
	    "the journals, and we try again",
	    d->conf->api_address, why);
}

void
plane_good(struct door *d)
{
	struct plane *w = &d->plane;

	w->pause_ms = 0;
	w->key_bad = false;
	w->probing = false;
	if (!w->said_down)
		return;
	w->said_down = false;
	log_info("-", "control plane %s is back after_s=%lld",
	    d->conf->api_address, (long long)(now_ms() - w->down_at) / 1000);
}

static void
trouble(struct door *d, const char *method, int code, const char *text)
{
	struct plane *w = &d->plane;
	char why[300];

	w->bad++;
	if (w->pause_until != 0)
		return;
	(void)snprintf(
	    why, sizeof(why), "%s: %s: %s", method, grpc_code_name(code), text);
	say_down(d, why);
	w->pause_ms = w->pause_ms == 0 ? PAUSE_MS : w->pause_ms * 2;
	if (w->pause_ms > PAUSE_MAX_MS)
		w->pause_ms = PAUSE_MAX_MS;
	plane_pause(d, jitter(w->pause_ms));
}

void
plane_refused(struct door *d, int code, const char *text)
{
	struct plane *w = &d->plane;

	w->bad++;
	if (w->pause_until != 0)
		return;
	if (token_again(d)) {
		plane_pause(d, 0);
		return;
	}
	if (!w->key_bad)
		log_error("-",
		    "control plane %s refuses us as %s of project %s: %s: %s; "
		    "is the piped registered and enabled, and its key the one "
		    "in spec.pipedKeyFile? We go on by ourselves and ask again "
		    "now and then",
		    d->conf->api_address, d->conf->piped_id,
		    d->conf->project_id, grpc_code_name(code), text);
	w->pause_ms = w->key_bad ? w->pause_ms * 2 : KEY_PAUSE_MS;
	if (w->pause_ms > KEY_PAUSE_MAX_MS)
		w->pause_ms = KEY_PAUSE_MAX_MS;
	if (!w->said_down) {
		w->said_down = true;
		w->down_at = now_ms();
	}
	w->key_bad = true;
	plane_pause(d, jitter(w->pause_ms));
}

static void
state(void *arg, bool up, const char *why)
{
	struct door *d = arg;

	if (d->plane.up == up && (up || d->plane.said_down))
		return;
	d->plane.up = up;
	if (!up) {
		say_down(d, why != NULL ? why : "no connection");
		watch_stop(d);
		return;
	}
	log_debug("-", "connected to %s", d->conf->api_address);
	watch_start(d);
	plane_send(d);
}

void
plane_fenced(struct door *d, const char *why)
{
	struct plane *w = &d->plane;

	if (w->fenced != NULL)
		return;
	w->fenced = xstrdup(why);
	w->fenced_at = 0;
	log_error("-",
	    "%s: another agent runs as %s; this one begins no deployment and "
	    "reports nothing any more; end one of the two, and restart the "
	    "other",
	    why, d->conf->piped_id);
	door_fenced(d);
}

/* --- calls -------------------------------------------------------------------
 */

enum verdict {
	STANDS,
	AGAIN,
	KEY,
	FENCED
};

static enum verdict
judge(struct door *d, struct call *c, int code, const char *text)
{
	switch (code) {
	case GRPC_OK:
		return STANDS;
	case GRPC_UNAUTHENTICATED:
		return KEY;
	case GRPC_PERMISSION_DENIED:
		return c->identity ? KEY : STANDS;
	case GRPC_FAILED_PRECONDITION:
		return str_prefix(text, "fenced: ") ? FENCED : STANDS;
	case GRPC_CANCELLED:
	case GRPC_DEADLINE_EXCEEDED:
	case GRPC_ABORTED:
	case GRPC_UNAVAILABLE:
		return AGAIN;
	case GRPC_UNKNOWN:
	case GRPC_INTERNAL:
	case GRPC_RESOURCE_EXHAUSTED:
		/* Its own fault, if others are answered meanwhile. */
		if (c->tries > 1 && d->plane.good == c->good)
			c->tries--;
		c->good = d->plane.good;
		return c->tries >= CALL_TRIES ? STANDS : AGAIN;
	default:
		return STANDS;
	}
}

static void
call_finish(struct door *d, struct call *c, int code, const char *text,
    const void *p, size_t n)
{
	struct arena *a = arena_new();
	ProtobufCMessage *res = NULL;
	struct err e;

	if (code == GRPC_OK && c->res != NULL &&
	    (res = msg_unpack(c->res, p, n, a, 0, &e)) == NULL) {
		code = GRPC_INTERNAL;
		text = arena_strdup(a, e.text);
	}
	buf_free(&c->bytes);
	c->bytes = (struct buf)BUF_INIT;
	c->busy = false;
	c->done(d, c, code, text, res, a);
	arena_free(a);
}

static void
answered(void *arg, const struct grpc_answer *r)
{
	struct call *c = arg;
	struct door *d = c->door;
	enum verdict v;

	c->request = NULL;
	d->plane.under_way--;
	c->tries++;
	v = judge(d, c, r->code, r->message);
	if (v == STANDS) {
		if (r->code == GRPC_OK || r->code == GRPC_ALREADY_EXISTS ||
		    r->code == GRPC_NOT_FOUND) {
			d->plane.good++;
			plane_good(d);
		}
		log_debug("-", "%s: %s %s", c->method, grpc_code_name(r->code),
		    r->message);
		call_finish(d, c, r->code, r->message, r->bytes, r->len);
		plane_send(d);
		return;
	}
	/* Back to its place: the front, for its followers depend on it. */
	TAILQ_INSERT_HEAD(&d->plane.wait, c, next);
	d->plane.n_wait++;
	if (v == FENCED)
		plane_fenced(d, r->message);
	else if (v == KEY)
		plane_refused(d, r->code, r->message);
	else
		trouble(d, c->method, r->code, r->message);
}

static bool
may_send(const struct door *d, const struct call *c)
{
	const struct plane *w = &d->plane;

	if (c->read)
		return true;
	return w->known && w->fenced == NULL;
}

static void
call_send(struct door *d, struct call *c)
{
	struct plane *w = &d->plane;
	struct grpc_pair epoch = { "pipecd-epoch", NULL };
	struct grpc_ask ask = { .bytes = c->bytes.p,
		.len = c->bytes.len,
		.timeout_ms = CALL_MS,
		.done = answered,
		.arg = c };
	char path[160], number[24];

	(void)snprintf(path, sizeof(path), SERVICE "%s", c->method);
	ask.path = path;
	if (w->ours && w->epoch != 0) {
		(void)snprintf(number, sizeof(number), "%llu",
		    (unsigned long long)w->epoch);
		epoch.value = number;
		ask.pairs = &epoch;
		ask.n_pairs = 1;
	}
	TAILQ_REMOVE(&w->wait, c, next);
	w->n_wait--;
	w->under_way++;
	c->request = grpc_client_call(w->client, &ask);
}

static void
plane_send(struct door *d)
{
	struct plane *w = &d->plane;
	struct call *c, *after;

	if (!plane_ready(d))
		return;
	for (c = TAILQ_FIRST(&w->wait); c != NULL; c = after) {
		after = TAILQ_NEXT(c, next);
		if (w->under_way >= (w->probing ? 1 : PLANE_CALLS))
			break;
		if (may_send(d, c))
			call_send(d, c);
	}
}

void
plane_kick(struct door *d)
{
	plane_send(d);
	follow_pump(d);
}

void
plane_call(struct door *d, struct call *c, const ProtobufCMessage *req)
{
	must(!c->busy);
	if (req != NULL) {
		c->bytes = (struct buf)BUF_INIT;
		msg_pack(&c->bytes, req);
	}
	c->door = d;
	c->busy = true;
	c->tries = 0;
	c->request = NULL;
	TAILQ_INSERT_TAIL(&d->plane.wait, c, next);
	d->plane.n_wait++;
	plane_send(d);
}

void
plane_drop(struct door *d, struct call *c)
{
	if (!c->busy)
		return;
	if (c->request != NULL) {
		grpc_cancel(c->request);
		d->plane.under_way--;
	} else {
		TAILQ_REMOVE(&d->plane.wait, c, next);
		d->plane.n_wait--;
	}
	buf_free(&c->bytes);
	c->bytes = (struct buf)BUF_INIT;
	c->busy = false;
}

int
plane_open(struct door *d, struct err *e)
{
	const struct conf_piped *c = d->conf;
	struct grpc_client_opts o = { .address = c->api_address,
		.tls = !c->api_insecure,
		.ca_file = c->api_cert_file,
		.user_agent = "piped (pipecd-report)",
		.backoff_ms = 500,
		.backoff_max_ms = 15000,
		.keep = true,
		.limits = { .message = 10 * 1024 * 1024, .ping_ms = 30000 },
		.state = state,
		.arg = d };
	unsigned char r[16];
	char *s;

	TAILQ_INIT(&d->plane.wait);
	if ((s = token(c, e)) == NULL)
		return -1;
	token_set(d, s);
	o.authorization = s;
	if (getentropy(r, sizeof(r)) == -1)
		return err_sys(e, "getentropy");
	srandom((unsigned)r[0] | (unsigned)r[1] << 8 | (unsigned)r[2] << 16 |
		(unsigned)r[3] << 24);
	r[6] = (r[6] & 0x0f) | 0x40;
	r[8] = (r[8] & 0x3f) | 0x80;
	(void)snprintf(d->plane.instance, sizeof(d->plane.instance),
	    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x"
	    "%02x",
	    r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10],
	    r[11], r[12], r[13], r[14], r[15]);
	d->plane.client = grpc_client_open(d->loop, &o, e);
	return d->plane.client == NULL ? -1 : 0;
}

void
plane_close(struct door *d)
{
	watch_stop(d);
	loop_timer_stop(d->loop, &d->plane.timer);
	if (d->plane.client != NULL)
		grpc_client_close(d->plane.client);
	d->plane.client = NULL;
	token_set(d, NULL);
	free(d->plane.fenced);
}
