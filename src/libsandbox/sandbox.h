/*
 * sandbox.h - give up, before the first byte from outside, what a program
 * will never need.  profiles.def says what each keeps.
 */
#ifndef PIPECD_SANDBOX_H
#define PIPECD_SANDBOX_H

#include "base.h"

/*
 * Lock this process and all it will ever start down to a profile ("plan").
 * Call after the config is read and signals are set up, before a library
 * starts threads (nanomsg), before readiness.
 * `more`, NULL-terminated or NULL, adds paths that only the config knows, as
 * "r:/srv/git/web" (read), "w:/..." (read and write), "x:/..." (read, run).
 * Directories below state_dir that the profile may write are made.
 *
 * A profile of a program that starts others by itself where there is no
 * supervisor (plan, exec, drift in a shell pipe) is then not applied: they
 * would inherit it, and terraform would break.
 *
 * A kernel that cannot do a part of it is warned about, and we carry on.
 */
int sandbox(const char *profile, const char *state_dir, const char *const *more,
    struct err *e);

#endif
