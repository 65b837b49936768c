/* internal.h - shared between the files of libplatform. */
#ifndef PIPECD_PLATFORM_INTERNAL_H
#define PIPECD_PLATFORM_INTERNAL_H

#include "platform.h"

/* Signals as a descriptor (SIGTERM, SIGINT, SIGCHLD); set by platform_main. */
void cancel_open(int fd);
int cancel_fd(void);
/* Read what signals there are; true once one of them meant cancel. */
bool cancel_seen(void);

/*
 * What checkout opened for a directory that it gave, ROOT.secrets: each line is
 * base64 of one value that must not be said.
 */
void run_secrets_of(struct run *r, const char *root);

#endif
