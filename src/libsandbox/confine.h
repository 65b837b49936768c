/* confine.h - the kernel's two means, one file each; private to libsandbox. */
#ifndef PIPECD_CONFINE_H
#define PIPECD_CONFINE_H

#include "base.h"

/* Landlock: which files. */
struct confine;
struct confine *confine_new(struct err *e);
void confine_free(struct confine *c); /* NULL is allowed */
/* how is r, w or x; a path that is not there is left out. */
int confine_path(struct confine *c, char how, const char *path, struct err *e);
int confine_files(struct confine *c, struct err *e); /* from now on */

/* seccomp: which system calls. */
int confine_calls(bool inet, bool exec, bool ptrace, struct err *e);

#endif
