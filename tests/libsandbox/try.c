/*
 * Locks itself down to profile argv[1] with state directory argv[2], then does
 * one thing per further argument and prints "THING: ok" or "THING: ERRNO".
 * TRY_MORE in the environment is a path rule to add.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox.h"

static int
sock(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd != -1)
		close(fd);
	return fd;
}

static int
file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd != -1)
		close(fd);
	return fd;
}

static int
run(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		(void)execl("/bin/true", "true", (char *)NULL);
		_exit(errno);
	}
	(void)waitpid(pid, &status, 0);
	errno = WEXITSTATUS(status);
	return errno == 0 ? 0 : -1;
}

static void *
nothing(void *arg)
{
	return arg;
}

static int
thread(void)
{
	pthread_t t;
	int no = pthread_create(&t, NULL, nothing, NULL);

	if (no == 0)
		(void)pthread_join(t, NULL);
	errno = no;
	return no == 0 ? 0 : -1;
}

static int
thing(const char *what)
{
	if (strncmp(what, "read:", 5) == 0)
		return file(what + 5, O_RDONLY);
	if (strncmp(what, "write:", 6) == 0)
		return file(what + 6, O_RDWR | O_CREAT);
	if (strcmp(what, "inet") == 0)
		return sock(AF_INET);
	if (strcmp(what, "unix") == 0)
		return sock(AF_UNIX);
	if (strcmp(what, "packet") == 0)
		return sock(AF_PACKET);
	if (strcmp(what, "mount") == 0)
		return mount("none", "/mnt", "tmpfs", 0, NULL);
	if (strcmp(what, "unshare") == 0)
		return unshare(CLONE_NEWUSER);
	if (strcmp(what, "ptrace") == 0)
		return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
	if (strcmp(what, "setuid") == 0)
		return setuid(getuid());
	if (strcmp(what, "capability") == 0)
		return prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) == 1 ? 0 : -1;
	if (strcmp(what, "dumpable") == 0)
		return prctl(PR_GET_DUMPABLE) == 1 ? 0 : -1;
	if (strcmp(what, "run") == 0)
		return run();
	if (strcmp(what, "thread") == 0)
		return thread();
	errno = EINVAL;
	return -1;
}

int
main(int argc, char *argv[])
{
	const char *more[] = { getenv("TRY_MORE"), NULL };
	struct err e;
	int i;

	log_open("try", LOG_INFO);
	if (argc < 3)
		usage("try profile state_dir thing...");
	if (sandbox(argv[1], argv[2], more, &e) == -1)
		die(&e);
	for (i = 3; i < argc; i++) {
		errno = 0;
		printf("%s: %s\n", argv[i],
		    thing(argv[i]) == -1 ? strerrorname_np(errno) : "ok");
	}
	return 0;
}
