/* version.h - what every program here calls itself; raised with a release. */
#ifndef PIPECD_VERSION_H
#define PIPECD_VERSION_H

#define PIPECD_VERSION "v0.2.0"

#endif
