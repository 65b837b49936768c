/* HTTP/2, as far as both sides do the same. */
#include <string.h>

#include "internal.h"

enum {
	PATIENCE = 200,	    /* useless frames in one go */
	PATIENCE_MS = 100,  /* and one more each */
	RESET_BURST = 500,  /* streams that the peer resets */
	RESET_RATE = 50,    /* per second, from then on */
	ACKS = 100,	    /* answers of ours that may wait to be read */
	SETTINGS_MOST = 32, /* of one frame */
};

/* What nghttp2 counts for us; the first two have been holes elsewhere. */
nghttp2_option *
h2_options(void)
{
	nghttp2_option *o;

	must(nghttp2_option_new(&o) == 0);
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_stream_reset_rate_limit(o, RESET_BURST, RESET_RATE);
	nghttp2_option_set_max_outbound_ack(o, ACKS);
	nghttp2_option_set_max_settings(o, SETTINGS_MOST);
	nghttp2_option_set_no_closed_streams(o, 1);
	return o;
}

int
h2_settings(nghttp2_session *s, const struct grpc_limits *l, bool server)
{
	nghttp2_settings_entry iv[] = {
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_STREAM },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)l->headers },
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->streams },
		/* Trees of priorities cost memory, and nobody uses them. */
		{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
	};

	/* The last is for clients alone, and they have no streams to limit. */
	if (nghttp2_submit_settings(s, NGHTTP2_FLAG_NONE, iv,
		server ? NITEMS(iv) - 1 : NITEMS(iv)) != 0)
		return -1;
	return nghttp2_session_set_local_window_size(
	    s, NGHTTP2_FLAG_NONE, 0, WINDOW_CONN);
}

int
h2_flush(nghttp2_session *s, struct wire *w)
{
	static uint8_t out[SCRATCH]; /* one record, one write */
	const uint8_t *p;
	size_t n = 0;
	ssize_t k;

	while (wire_unsent(w) < HIGH_WATER) {
		if ((k = nghttp2_session_mem_send(s, &p)) < 0)
			return -1;
		if (k == 0)
			break;
		if (n + (size_t)k > sizeof(out)) {
			if (wire_send(w, out, n) == -1)
				return -1;
			n = 0;
		}
		if ((size_t)k > sizeof(out)) {
			if (wire_send(w, p, (size_t)k) == -1)
				return -1;
			continue;
		}
		memcpy(out + n, p, (size_t)k);
		n += (size_t)k;
	}
	return n == 0 ? 0 : wire_send(w, out, n);
}

/* Neither is copied: they live until the frame is made. */
nghttp2_nv
h2_nv(const char *name, const char *value)
{
	nghttp2_nv nv = { .name = (uint8_t *)(uintptr_t)name,
		.value = (uint8_t *)(uintptr_t)value,
		.namelen = strlen(name),
		.valuelen = strlen(value) };

	/* Keys are not for tables that others' requests might measure. */
	if (strcmp(name, "authorization") == 0)
		nv.flags |= NGHTTP2_NV_FLAG_NO_INDEX;
	return nv;
}

bool
h2_patience(struct h2_patience *p, int64_t now, int cost)
{
	int64_t more = (now - p->at_ms) / PATIENCE_MS;

	if (p->at_ms == 0 || more > PATIENCE) {
		p->left = PATIENCE;
		p->at_ms = now;
	} else if (more > 0) {
		p->left += (int)more;
		p->at_ms += more * PATIENCE_MS;
		if (p->left > PATIENCE)
			p->left = PATIENCE;
	}
	p->left -= cost;
	return p->left >= 0;
}
