#include <string.h>
#include <zlib.h>

#include "internal.h"

static size_t
length_of(const uint8_t head[FRAME_HEAD])
{
	return (size_t)head[1] << 24 | (size_t)head[2] << 16 |
	       (size_t)head[3] << 8 | head[4];
}

void
frame_head(uint8_t dst[FRAME_HEAD], uint8_t flag, size_t n)
{
	dst[0] = flag;
	dst[1] = (uint8_t)(n >> 24);
	dst[2] = (uint8_t)(n >> 16);
	dst[3] = (uint8_t)(n >> 8);
	dst[4] = (uint8_t)n;
}

void
frame_again(struct frame_in *f)
{
	f->n_head = 0;
	f->want = 0;
	buf_reset(&f->body);
}

bool
frame_partial(const struct frame_in *f)
{
	return f->n_head > 0;
}

int
frame_take(struct frame_in *f, const uint8_t **p, size_t *n, size_t max,
    int *code, struct err *e)
{
	size_t k;

	while (f->n_head < FRAME_HEAD) {
		if (*n == 0)
			return FRAME_MORE;
		f->head[f->n_head++] = *(*p)++;
		--*n;
		if (f->n_head < FRAME_HEAD)
			continue;
		f->want = length_of(f->head);
		if (f->want > max) {
			*code = GRPC_RESOURCE_EXHAUSTED;
			err_set(e, RC_PERM,
			    "a message of %zu bytes is more than the %zu that "
			    "are accepted",
			    f->want, max);
			return FRAME_REFUSED;
		}
	}
	k = f->want - f->body.len;
	if (k > *n)
		k = *n;
	if (k > 0)
		buf_add(&f->body, *p, k);
	*p += k;
	*n -= k;
	return f->body.len == f->want ? FRAME_WHOLE : FRAME_MORE;
}

int
gzip_inflate(struct buf *b, const void *p, size_t n, size_t max, int *code,
    struct err *e)
{
	uint8_t chunk[4096];
	z_stream z = { .next_in = (z_const Bytef *)(uintptr_t)p,
		.avail_in = (uInt)n };
	int rv = -1, r;

	*code = GRPC_INTERNAL;
	/* 16: a gzip header, which is what "gzip" means. */
	if (inflateInit2(&z, MAX_WBITS + 16) != Z_OK)
		return err_set(e, RC_TEMP, "zlib: no memory");
	do {
		z.next_out = chunk;
		z.avail_out = sizeof(chunk);
		r = inflate(&z, Z_NO_FLUSH);
		if (r != Z_OK && r != Z_STREAM_END) {
			err_set(e, RC_PERM, "not gzip, though it says so");
			goto out;
		}
		if (b->len + (sizeof(chunk) - z.avail_out) > max) {
			*code = GRPC_RESOURCE_EXHAUSTED;
			err_set(e, RC_PERM,
			    "a message inflates to more than the %zu bytes "
			    "that are accepted",
			    max);
			goto out;
		}
		buf_add(b, chunk, sizeof(chunk) - z.avail_out);
	} while (r != Z_STREAM_END);
	if (z.avail_in != 0) {
		err_set(e, RC_PERM, "more bytes behind the gzip");
		goto out;
	}
	rv = 0;
out:
	(void)inflateEnd(&z);
	return rv;
}
