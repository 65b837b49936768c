/*
 * Whatever a server answers to the client of libgrpc.  The first byte says in
 * which pieces.
 * needs: libgrpc libmsg libloop libbase
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int open_calls;

static void
message(void *arg, const void *p, size_t n)
{
	(void)arg;
	(void)p;
	(void)n;
}

static void
done(void *arg, const struct grpc_answer *r)
{
	(void)arg;
	must(strlen(r->message) < 65536);
	open_calls--;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static char path[64];
	char address[80], back[65536];
	struct grpc_client_opts o = { .address = address,
		.limits = { .message = 65536 },
		.connect_ms = 100000 };
	struct grpc_ask ask = {
		.path = "/E/E", .bytes = "x", .len = 1, .done = done
	};
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct grpc_client *c;
	struct loop *l;
	size_t piece, k;
	struct err e;
	int fd = -1, lfd, i;

	if (n < 2)
		return 0;
	log_open("fuzz", LOG_ERROR);
	if (path[0] == '\0')
		(void)snprintf(
		    path, sizeof(path), "/tmp/fuzz-grpc-%d", getpid());
	(void)unlink(path);
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	(void)snprintf(address, sizeof(address), "unix:%s", path);
	must((lfd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) != -1);
	must(bind(lfd, (struct sockaddr *)&un, sizeof(un)) == 0);
	must(listen(lfd, 8) == 0);
	piece = p[0] == 0 ? n : p[0];
	p++;
	n--;
	must((l = loop_open(&e)) != NULL);
	must((c = grpc_client_open(l, &o, &e)) != NULL);
	open_calls = 2;
	(void)grpc_client_call(c, &ask);
	ask.message = message;
	(void)grpc_client_call(c, &ask);
	for (i = 0; i < 4; i++)
		must(loop_turn(l, 0, &e) == 0);
	must((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) !=
	     -1);
	for (; n > 0; p += k, n -= k) {
		k = n < piece ? n : piece;
		if (send(fd, p, k, MSG_NOSIGNAL) == -1)
			break;
		must(loop_turn(l, 0, &e) == 0);
		while (recv(fd, back, sizeof(back), MSG_DONTWAIT) > 0)
			;
	}
	close(lfd);
	close(fd);
	for (i = 0; i < 6; i++)
		must(loop_turn(l, 0, &e) == 0);
	must(open_calls <= 2 && open_calls >= 0);
	grpc_client_close(c);
	loop_close(l);
	(void)unlink(path);
	return 0;
}
