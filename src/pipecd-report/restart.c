/*
 * A restart of the whole agent: the supervisor does it, on a word from us.
 */
#include "door.h"
#include "serve.h"

int
door_end_agent(struct err *e)
{
	Super__Request r = SUPER__REQUEST__INIT;
	Super__Restart restart = SUPER__RESTART__INIT;

	r.restart = &restart;
	if (super_send(FD_SUPER, &r.base, NULL, 0) == -1)
		return err_sys(e, "ask the supervisor for a restart");
	log_info("-", "restart: the supervisor was asked for it");
	return 0;
}
