/* The client: what waits, and when a connection is tried again. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client.h"

struct grpc_client *
grpc_client_open(
    struct loop *l, const struct grpc_client_opts *o, struct err *e)
{
	struct grpc_client *c = xcalloc(1, sizeof(*c));
	struct sockaddr_storage ss;
	socklen_t len;

	c->loop = l;
	c->o = *o;
	if (str_prefix(o->address, "unix:")
		? address_unix(o->address, &ss, &len, e) == -1
		: address_split(
		      o->address, c->host, sizeof(c->host), &c->port, e) == -1)
		goto fail;
	if (o->tls && (c->tls = tls_client_new(o, e)) == NULL)
		goto fail;
	if (c->host[0] == '\0')
		(void)snprintf(c->host, sizeof(c->host), "localhost");
	if (str_prefix(o->address, "unix:"))
		(void)snprintf(c->authority, sizeof(c->authority), "localhost");
	else if (strchr(c->host, ':') != NULL)
		(void)snprintf(c->authority, sizeof(c->authority), "[%s]:%u",
		    c->host, c->port);
	else
		(void)snprintf(c->authority, sizeof(c->authority), "%s:%u",
		    c->host, c->port);
	c->o.address = xstrdup(o->address);
	c->o.server_name =
	    xstrdup(o->server_name != NULL ? o->server_name : c->host);
	c->o.user_agent =
	    xstrdup(o->user_agent != NULL ? o->user_agent : "pipecd");
	c->authorization = xstrdup(o->authorization);
	limits_fill(&c->o.limits);
	/* PipeCD's servers send away who pings more often. */
	if (o->limits.ping_ms == 0)
		c->o.limits.ping_ms = 300000;
	if (c->o.connect_ms == 0)
		c->o.connect_ms = 20000;
	if (c->o.backoff_ms == 0)
		c->o.backoff_ms = 200;
	if (c->o.backoff_max_ms == 0)
		c->o.backoff_max_ms = 30000;
	if (c->o.keep)
		client_kick(c);
	return c;
fail:
	SSL_CTX_free(c->tls);
	free(c);
	return NULL;
}

static void
client_free(void *p)
{
	struct grpc_client *c = p;

	SSL_SESSION_free(c->session);
	SSL_CTX_free(c->tls);
	free((void *)(uintptr_t)c->o.address);
	free((void *)(uintptr_t)c->o.server_name);
	free((void *)(uintptr_t)c->o.user_agent);
	if (c->authorization != NULL)
		explicit_bzero(c->authorization, strlen(c->authorization));
	free(c->authorization);
	free(c);
}

static void
forget(struct grpc_request *head)
{
	struct grpc_request *r, *next;

	for (r = head; r != NULL; r = next) {
		next = r->next;
		r->cancelled = true;
		request_finish(r, GRPC_CANCELLED, "", false);
	}
}

void
grpc_client_close(struct grpc_client *c)
{
	struct link *k, *next;

	if (c == NULL)
		return;
	c->closed = true;
	loop_timer_stop(c->loop, &c->again);
	loop_soon_not(c->loop, &c->kick);
	forget(c->first);
	if ((k = c->link) != NULL) {
		forget(k->requests);
		link_kill(k, "closed");
	}
	for (k = c->going; k != NULL; k = next) {
		next = k->next;
		forget(k->requests);
		link_kill(k, "closed");
	}
	loop_soon_not(c->loop, &c->kick);
	loop_free_later(c->loop, client_free, c);
}

void
grpc_client_authorization(struct grpc_client *c, const char *s)
{
	if (c->authorization != NULL)
		explicit_bzero(c->authorization, strlen(c->authorization));
	free(c->authorization);
	c->authorization = xstrdup(s);
}

struct grpc_request *
grpc_client_call(struct grpc_client *c, const struct grpc_ask *ask)
{
	struct grpc_request *r = request_new(c, ask);

	client_enqueue(c, r, false);
	client_kick(c);
	return r;
}

/* Those that do not wait for a connection have had their answer. */
static void
fail_waiting(struct grpc_client *c)
{
	struct grpc_request *r;
	size_t n = 0;

	for (r = c->first; r != NULL; r = r->next)
		n += !r->wait;
	/* Those that are called back may cancel others, or call again. */
	while (n-- > 0 && !c->closed) {
		for (r = c->first; r != NULL && r->wait; r = r->next)
			;
		if (r == NULL)
			return;
		request_finish(r, GRPC_UNAVAILABLE, c->why, true);
	}
}

static void
client_work(void *arg)
{
	struct grpc_client *c = arg;
	struct grpc_request *r;

	if (c->closed)
		return;
	if (c->link != NULL && c->link->state == LINK_UP) {
		while ((r = c->first) != NULL) {
			request_unlink(r);
			if (link_submit(c->link, r) == -1) {
				client_enqueue(c, r, true);
				client_going(c->link);
				break;
			}
		}
	}
	if (c->link != NULL)
		return;
	if (c->paused) {
		fail_waiting(c);
		return;
	}
	if (c->first != NULL || c->o.keep)
		c->link = link_new(c);
}

void
client_kick(struct grpc_client *c)
{
	if (!c->closed)
		loop_soon(c->loop, &c->kick, client_work, c);
}

void
client_up(struct grpc_client *c)
{
	c->fails = 0;
	c->up = true;
	if (c->o.state != NULL)
		c->o.state(c->o.arg, true, "");
	client_kick(c);
}

static void
client_again(void *arg)
{
	struct grpc_client *c = arg;

	c->paused = false;
	client_kick(c);
}

/* The pause grows, and is never the same for two clients. */
static int64_t
backoff(struct grpc_client *c)
{
	int64_t ms = c->o.backoff_ms;
	uint32_t dice = 0;
	unsigned i;

	for (i = 1; i < c->fails && ms < c->o.backoff_max_ms; i++)
		ms += ms / 2 + 1;
	if (ms > c->o.backoff_max_ms)
		ms = c->o.backoff_max_ms;
	(void)!getrandom(&dice, sizeof(dice), 0);
	return ms * 3 / 4 + (int64_t)(dice % (uint32_t)(ms / 2 + 1));
}

static void
link_off(struct grpc_client *c, struct link *k)
{
	struct link **p;

	if (c->link == k)
		c->link = NULL;
	for (p = &c->going; *p != NULL; p = &(*p)->next) {
		if (*p == k) {
			*p = k->next;
			break;
		}
	}
}

/* Its requests go back to the queue when no byte of them was sent. */
static void
link_orphans(struct grpc_client *c, struct link *k, const char *why)
{
	struct grpc_request *r;

	while ((r = k->requests) != NULL) {
		if (r->sent || c->closed || r->again) {
			request_finish(r, GRPC_UNAVAILABLE, why, !r->sent);
			continue;
		}
		r->again = true;
		r->off = 0;
		request_unlink(r);
		client_enqueue(c, r, true);
	}
}

void
client_down(struct link *k, const char *why)
{
	struct grpc_client *c = k->client;
	bool was = c->link == k, served = k->heard_ms != 0;

	link_off(c, k);
	link_orphans(c, k, why);
	if (c->closed || !was)
		return;
	(void)snprintf(
	    c->why, sizeof(c->why), "%.100s: %.150s", c->o.address, why);
	if (c->up && c->o.state != NULL)
		c->o.state(c->o.arg, false, c->why);
	else if (!c->up && c->fails == 0 && c->o.state != NULL)
		c->o.state(c->o.arg, false, c->why);
	if (c->closed)
		return;
	c->up = false;
	/* One that was good is tried again soon, a bad one later. */
	if (!served || k->state != LINK_UP)
		c->fails++;
	else
		c->fails = 1;
	c->paused = true;
	loop_timer(c->loop, &c->again, loop_now(c->loop) + backoff(c),
	    client_again, c);
	fail_waiting(c);
}

void
client_going(struct link *k)
{
	struct grpc_client *c = k->client;

	if (k->going)
		return;
	k->going = true;
	if (c->link != k)
		return;
	c->link = NULL;
	k->next = c->going;
	c->going = k;
	client_kick(c);
}
