/* Records: get, put with their index entries, purge, walk. */
#include <stdlib.h>
#include <string.h>

#include "inside.h"
#include "msg.h"

enum {
	FORM = 2,
	DELETED = 1,
	SUM_AT = 12
};

/*
 * LMDB believes the disk.  Each step takes a word in and can be undone, so that
 * no one changed word goes unseen but by a chance of 2^-32.
 */
static uint32_t
sum(const uint8_t *head, const uint8_t *p, size_t n)
{
	uint64_t h = n * UINT64_C(0x9e3779b97f4a7c15), w;
	size_t i;

	memcpy(&w, head, sizeof(w));
	h = (h ^ w) * UINT64_C(0xff51afd7ed558ccd);
	memcpy(&w, head + 4, sizeof(w));
	h = (h ^ h >> 32 ^ w) * UINT64_C(0xff51afd7ed558ccd);
	for (i = 0; i < n; i += sizeof(w)) {
		w = 0;
		memcpy(&w, p + i, n - i < sizeof(w) ? n - i : sizeof(w));
		h = (h ^ h >> 32 ^ w) * UINT64_C(0xff51afd7ed558ccd);
	}
	return (uint32_t)(h ^ h >> 32);
}

bool
record_read(struct record *r, const MDB_val *v)
{
	const uint8_t *p = v->mv_data;
	uint32_t is;
	int i;

	r->damaged = true;
	r->value = NULL;
	r->n = 0;
	if (v->mv_size < HEAD || p[0] != FORM)
		return false;
	memcpy(&is, p + SUM_AT, sizeof(is));
	if (is != sum(p, p + HEAD, v->mv_size - HEAD))
		return false;
	r->damaged = false;
	r->deleted = (p[1] & DELETED) != 0;
	for (r->version = 0, i = 4; i < SUM_AT; i++)
		r->version = r->version << 8 | p[i];
	r->value = p + HEAD;
	r->n = v->mv_size - HEAD;
	return true;
}

/* In front of a value that is there. */
static void
head_write(uint8_t *p, size_t n, bool deleted, uint64_t version)
{
	uint32_t is;
	int i;

	memset(p, 0, HEAD);
	p[0] = FORM;
	p[1] = deleted ? DELETED : 0;
	for (i = SUM_AT - 1; i >= 4; i--, version >>= 8)
		p[i] = (uint8_t)(version & 255);
	is = sum(p, p + HEAD, n);
	memcpy(p + SUM_AT, &is, sizeof(is));
}

int
table_get(struct table *b, const char *id, struct record *r, struct err *e)
{
	char raw[TABLE_ID_MAX + 2];
	struct buf key = { raw, 0, sizeof(raw) };
	MDB_val k, v;
	int rc;

	memset(r, 0, sizeof(*r));
	r->id = id;
	if (id_key(&key, id, e) == -1)
		return -1;
	k.mv_data = key.p, k.mv_size = key.len;
	rc = mdb_get(b->t->txn, b->records, &k, &v);
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return db_err(b->t, rc, e, b->name);
	if (!record_read(r, &v))
		return err_set(
		    e, RC_PERM, "%s %s: a damaged record", b->name, id);
	return 1;
}

ProtobufCMessage *
record_message(const struct table *b, const struct record *r, struct arena *a,
    struct err *e)
{
	ProtobufCMessage *m = msg_unpack(b->d, r->value, r->n, a, 0, e);

	if (m == NULL)
		err_wrap(e, "%s %s: a damaged record", b->name, r->id);
	return m;
}

static int
entry_change(struct table *b, const struct entry *x, bool add, struct err *e)
{
	MDB_val k, v = { 0, NULL };
	int rc;

	k.mv_size = x->n;
	k.mv_data = (void *)(uintptr_t)x->p;
	rc = add ? mdb_put(b->t->txn, b->entries, &k, &v, 0)
		 : mdb_del(b->t->txn, b->entries, &k, NULL);
	if (rc == MDB_NOTFOUND && !add)
		return 0;
	return rc == 0 ? 0 : db_err(b->t, rc, e, b->name);
}

static int
compare(const struct entry *x, const struct entry *y)
{
	int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return c != 0 ? c : (x->n > y->n) - (x->n < y->n);
}

/* What stays the same is not touched. */
static int
entries_change(struct table *b, const struct entries *was,
    const struct entries *is, struct err *e)
{
	size_t i = 0, k = 0;
	int c;

	while (i < was->n || k < is->n) {
		c = i == was->n	 ? 1
		    : k == is->n ? -1
				 : compare(&was->e[i], &is->e[k]);
		if (c == 0)
			i++, k++;
		else if (c < 0 && entry_change(b, &was->e[i++], false, e) == -1)
			return -1;
		else if (c > 0 && entry_change(b, &is->e[k++], true, e) == -1)
			return -1;
	}
	return 0;
}

static int
old_entries(struct entries *es, struct table *b, const struct record *old,
    struct arena *a, struct err *e)
{
	ProtobufCMessage *m = NULL;

	if (old != NULL && (m = record_message(b, old, a, e)) == NULL)
		return -1;
	entries_of(es, b, m, old != NULL && old->deleted, a);
	return 0;
}

int
table_put(struct table *b, const struct record *old, const ProtobufCMessage *m,
    bool deleted, uint64_t *version, struct arena *a, struct err *e)
{
	char raw[TABLE_ID_MAX + 2];
	struct buf key = { raw, 0, sizeof(raw) };
	struct entries was, is;
	MDB_val k, v;
	int rc;

	if (id_key(&key, table_id(b, m), e) == -1 ||
	    old_entries(&was, b, old, a, e) == -1)
		return -1;
	entries_of(&is, b, m, deleted, a);
	if (entries_change(b, &was, &is, e) == -1)
		return -1;
	k.mv_data = key.p, k.mv_size = key.len;
	v.mv_data = NULL;
	v.mv_size = HEAD + protobuf_c_message_get_packed_size(m);
	rc = mdb_put(b->t->txn, b->records, &k, &v, MDB_RESERVE);
	if (rc != 0)
		return db_err(b->t, rc, e, b->name);
	protobuf_c_message_pack(m, (uint8_t *)v.mv_data + HEAD);
	head_write(v.mv_data, v.mv_size - HEAD, deleted, ++b->t->version);
	if (version != NULL)
		*version = b->t->version;
	return 0;
}

int
table_purge(
    struct table *b, const struct record *old, struct arena *a, struct err *e)
{
	char raw[TABLE_ID_MAX + 2];
	struct buf key = { raw, 0, sizeof(raw) };
	struct entries was, none = { 0 };
	MDB_val k;
	int rc;

	if (id_key(&key, old->id, e) == -1 ||
	    old_entries(&was, b, old, a, e) == -1 ||
	    entries_change(b, &was, &none, e) == -1)
		return -1;
	k.mv_data = key.p, k.mv_size = key.len;
	rc = mdb_del(b->t->txn, b->records, &k, NULL);
	if (rc != 0)
		return db_err(b->t, rc, e, b->name);
	b->t->version++;
	return 0;
}

int
table_walk(struct table *b, const char *after, struct record *r,
    struct arena *a, struct err *e)
{
	char raw[TABLE_ID_MAX + 3];
	struct buf key = { raw, 0, sizeof(raw) };
	MDB_cursor *c;
	MDB_val k, v;
	int rc;

	memset(r, 0, sizeof(*r));
	if (after != NULL && id_key(&key, after, e) == -1)
		return -1;
	if ((rc = mdb_cursor_open(b->t->txn, b->records, &c)) != 0)
		return db_err(b->t, rc, e, b->name);
	if (after == NULL)
		rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
	else {
		buf_addc(&key, '\0'); /* the next possible key */
		k.mv_data = key.p, k.mv_size = key.len;
		rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
	}
	mdb_cursor_close(c);
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return db_err(b->t, rc, e, b->name);
	r->id = id_text(k.mv_data, k.mv_size, a);
	if (r->id == NULL)
		return err_set(e, RC_PERM, "%s: a key that is no id", b->name);
	(void)record_read(r, &v);
	return 1;
}
