/*
 * Files that one program hands to another when they are different users.  An
 * ACL names whom: a group for each set of readers would have to exist before.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base.h"

enum {
	READERS = 64
};

/* The extended attribute as the kernel takes it: acl(5), little endian. */
struct acl {
	uint32_t version;
	struct entry {
		uint16_t tag, perm;
		uint32_t id;
	} v[READERS + 8];
};

enum {
	ACL_VERSION = 2,
	TAG_OWNER = 0x01,
	TAG_USER = 0x02,
	TAG_GROUP = 0x04,
	TAG_MASK = 0x10,
	TAG_OTHER = 0x20
};

/* The number after NAME= in the list; -1: it has no account, or there is no
 * list. */
static long
account(const char *name)
{
	const char *s = getenv("PIPECD_ACCOUNTS");
	size_t n = strlen(name);

	for (; s != NULL && *s != '\0'; s += *s == ' ') {
		if (strncmp(s, name, n) == 0 && s[n] == '=')
			return strtol(s + n + 1, NULL, 10);
		s += strcspn(s, " ");
	}
	return -1;
}

static void
put(struct acl *acl, size_t *n, unsigned tag, unsigned perm, uint32_t id)
{
	acl->v[*n].tag = htole16((uint16_t)tag);
	acl->v[*n].perm = htole16((uint16_t)perm);
	acl->v[(*n)++].id = htole32(id);
}

static int
by_id(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int
acl_set(const char *path, const char *name, const uint32_t *uids, size_t n_uids,
    unsigned own, unsigned perm, struct err *e)
{
	struct acl acl = { .version = htole32(ACL_VERSION) };
	size_t n = 0, i;

	put(&acl, &n, TAG_OWNER, own, UINT32_MAX);
	for (i = 0; i < n_uids; i++) /* in order, each once */
		if (i == 0 || uids[i] != uids[i - 1])
			put(&acl, &n, TAG_USER, perm, uids[i]);
	put(&acl, &n, TAG_GROUP, 0, UINT32_MAX);
	put(&acl, &n, TAG_MASK, perm, UINT32_MAX);
	put(&acl, &n, TAG_OTHER, 0, UINT32_MAX);
	if (setxattr(path, name, &acl,
		sizeof(acl.version) + n * sizeof(acl.v[0]), 0) == 0)
		return 0;
	if (errno == EOPNOTSUPP)
		return err_set(e, RC_PERM,
		    "%s: its file system has no ACLs, without which programs "
		    "of different users cannot share files",
		    path);
	return err_sys(e, "acl of %s", path);
}

int
share_with(const char *path, const char *const *programs, size_t n,
    unsigned perm, bool inherit, struct err *e)
{
	uint32_t uids[READERS + 1];
	size_t n_uids = 0, i;
	struct stat st;
	long uid;

	if (account("*") == -1)
		return 0;
	for (i = 0; i < n; i++) {
		if (n_uids == READERS)
			return err_set(e, RC_PERM,
			    "%s: more than %d programs share it", path,
			    READERS);
		if ((uid = account(programs[i])) != -1)
			uids[n_uids++] = (uint32_t)uid;
	}
	if (stat(path, &st) == -1)
		return err_sys(e, "%s", path);
	qsort(uids, n_uids, sizeof(uids[0]), by_id);
	if (acl_set(path, "system.posix_acl_access", uids, n_uids,
		(st.st_mode >> 6) & 7, perm, e) == -1)
		return -1;
	if (!inherit)
		return 0;
	uids[n_uids++] = geteuid(); /* also of what they make */
	qsort(uids, n_uids, sizeof(uids[0]), by_id);
	return acl_set(
	    path, "system.posix_acl_default", uids, n_uids, 7, perm, e);
}

int
share_all(const char *path, struct err *e)
{
	long gid = account("*");
	struct stat st;

	if (gid == -1)
		return 0;
	if (lstat(path, &st) == -1 ||
	    chown(path, (uid_t)-1, (gid_t)gid) == -1 ||
	    chmod(path, S_ISDIR(st.st_mode) ? 0710 : 0640) == -1)
		return err_sys(e, "%s", path);
	return 0;
}
