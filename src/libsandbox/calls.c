/*
 * seccomp.  A list of what is refused, not of what is allowed: libc, nanomsg
 * and libgit2 choose their calls, and the next version chooses others.
 */
#include <errno.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "confine.h"

/* Ways into the kernel, other processes or the machine's setup. */
static const char *const never[] = { "mount", "umount2", "move_mount",
	"open_tree", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
	"pivot_root", "chroot", "bpf", "kexec_load", "kexec_file_load",
	"init_module", "finit_module", "delete_module", "perf_event_open",
	"userfaultfd", "keyctl", "add_key", "request_key", "io_uring_setup",
	"io_uring_enter", "io_uring_register", "setns", "unshare", "swapon",
	"swapoff", "reboot", "settimeofday", "clock_settime", "clock_adjtime",
	"adjtimex", "acct", "quotactl", "syslog", "personality", "modify_ldt",
	"iopl", "ioperm", "open_by_handle_at", "name_to_handle_at",
	"sethostname", "setdomainname", "vhangup", "kcmp", "process_vm_readv",
	"process_vm_writev", "process_madvise", "pidfd_getfd", "lookup_dcookie",
	"fanotify_init", "setuid", "setgid", "setreuid", "setregid",
	"setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid" };

/* Newer than this libseccomp's names: no number, nothing to refuse. */
static int
refuse(scmp_filter_ctx f, const char *name, struct err *e)
{
	int nr = seccomp_syscall_resolve_name(name), rc;

	if (nr == __NR_SCMP_ERROR)
		return 0;
	rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), nr, 0);
	return rc == 0 ? 0 : err_set(e, RC_PERM, "seccomp %s: %d", name, rc);
}

/*
 * Sockets: AF_UNIX for all; with `inet` also IPv4, IPv6 and what the resolver
 * asks the kernel for addresses with.
 */
static int
refuse_sockets(scmp_filter_ctx f, bool inet, struct err *e)
{
	int rc = 0, family;

	for (family = 0; family < 64 && rc == 0; family++) {
		if (family == AF_UNIX)
			continue;
		if (inet && (family == AF_INET || family == AF_INET6 ||
				family == AF_NETLINK))
			continue;
		const struct scmp_arg_cmp is = { .arg = 0,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = UINT32_MAX,
			.datum_b = (unsigned)family };

		rc = seccomp_rule_add_array(
		    f, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1, &is);
	}
	return rc == 0 ? 0 : err_set(e, RC_PERM, "seccomp socket: %d", rc);
}

int
confine_calls(bool inet, bool exec, bool ptrace, struct err *e)
{
	/* The kernel looks at the low half of the number only. */
	const struct scmp_arg_cmp typing = { .arg = 1,
		.op = SCMP_CMP_MASKED_EQ,
		.datum_a = UINT32_MAX,
		.datum_b = TIOCSTI };
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int rv = -1, rc;
	size_t i;

	must(f != NULL);
	for (i = 0; i < NITEMS(never); i++)
		if (refuse(f, never[i], e) == -1)
			goto out;
	if (!ptrace && refuse(f, "ptrace", e) == -1)
		goto out;
	if (!exec && !ptrace &&
	    (refuse(f, "execve", e) == -1 || refuse(f, "execveat", e) == -1))
		goto out;
	/* Typing into the terminal that started us. */
	rc = seccomp_rule_add_array(
	    f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1, &typing);
	if (rc != 0) {
		err_set(e, RC_PERM, "seccomp ioctl: %d", rc);
		goto out;
	}
	if (refuse_sockets(f, inet, e) == -1)
		goto out;
	if ((rc = seccomp_load(f)) == 0) {
		rv = 0;
	} else if (rc == -EINVAL || rc == -ENOSYS) {
		log_warn("-", "this kernel has no seccomp filters: system "
			      "calls are not confined");
		rv = 0;
	} else {
		err_set(e, RC_PERM, "seccomp: %d", rc);
	}
out:
	seccomp_release(f);
	return rv;
}
