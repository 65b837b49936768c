/* internal.h - shared between the files of libplatform. */
#ifndef PIPECD_PLATFORM_INTERNAL_H
#define PIPECD_PLATFORM_INTERNAL_H

#include "platform.h"

/* Signals as a descriptor (SIGTERM, SIGINT, SIGCHLD); set by platform_main. */
void cancel_open(int fd);
int cancel_fd(void);
/* Read what signals there are; true once one of them meant cancel. */
bool cancel_seen(void);

#endif
