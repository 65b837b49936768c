/*
 * Landlock.  Debian's kernels offer older ABIs than this header: the rights
 * are masked by what the running kernel knows.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"

/* Rights newer than Debian 12's header. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

#define FILE_READ LANDLOCK_ACCESS_FS_READ_FILE
#define DIR_READ  (FILE_READ | LANDLOCK_ACCESS_FS_READ_DIR)
#define FILE_WRITE \
	(FILE_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | \
	    LANDLOCK_ACCESS_FS_TRUNCATE)
#define DIR_WRITE \
	(DIR_READ | FILE_WRITE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
	    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | \
	    LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | \
	    LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | \
	    LANDLOCK_ACCESS_FS_REFER)
#define ALL \
	(DIR_WRITE | LANDLOCK_ACCESS_FS_EXECUTE | \
	    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK | \
	    LANDLOCK_ACCESS_FS_IOCTL_DEV)

struct confine {
	int ruleset; /* -1: this kernel has none */
	uint64_t known;
};

/* What the kernel's ABI knows of ALL. */
static uint64_t
known(long abi)
{
	uint64_t all = ALL;

	if (abi < 2)
		all &= ~LANDLOCK_ACCESS_FS_REFER;
	if (abi < 3)
		all &= ~LANDLOCK_ACCESS_FS_TRUNCATE;
	if (abi < 5)
		all &= ~LANDLOCK_ACCESS_FS_IOCTL_DEV;
	return all;
}

struct confine *
confine_new(struct err *e)
{
	struct landlock_ruleset_attr attr = { 0 };
	struct confine *c = xcalloc(1, sizeof(*c));
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);

	c->ruleset = -1;
	if (abi < 1) {
		log_warn(
		    "-", "this kernel has no Landlock: files are not confined");
		return c;
	}
	attr.handled_access_fs = c->known = known(abi);
	c->ruleset =
	    (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (c->ruleset == -1) {
		err_sys(e, "landlock");
		free(c);
		return NULL;
	}
	(void)fcntl(c->ruleset, F_SETFD, FD_CLOEXEC);
	return c;
}

void
confine_free(struct confine *c)
{
	if (c != NULL && c->ruleset != -1)
		close(c->ruleset);
	free(c);
}

int
confine_path(struct confine *c, char how, const char *path, struct err *e)
{
	struct landlock_path_beneath_attr rule = { 0 };
	struct stat st;
	int rv = 0;

	if (c->ruleset == -1)
		return 0;
	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd == -1)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES
			   ? 0
			   : err_sys(e, "%s", path);
	if (fstat(rule.parent_fd, &st) == 0 && S_ISDIR(st.st_mode))
		rule.allowed_access = how == 'w' ? DIR_WRITE : DIR_READ;
	else
		rule.allowed_access = how == 'w' ? FILE_WRITE : FILE_READ;
	if (how == 'x')
		rule.allowed_access |= LANDLOCK_ACCESS_FS_EXECUTE;
	rule.allowed_access &= c->known;
	if (syscall(SYS_landlock_add_rule, c->ruleset,
		LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == -1)
		rv = err_sys(e, "landlock %s", path);
	close(rule.parent_fd);
	return rv;
}

int
confine_files(struct confine *c, struct err *e)
{
	if (c->ruleset != -1 &&
	    syscall(SYS_landlock_restrict_self, c->ruleset, 0) == -1)
		return err_sys(e, "landlock");
	return 0;
}
