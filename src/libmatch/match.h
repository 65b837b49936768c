/*
 * match.h - path patterns.  A library of its own, so that a program which only
 * matches paths does not pay for libgit2's start.
 */
#ifndef PIPECD_MATCH_H
#define PIPECD_MATCH_H

#include "base.h"

/*
 * gitignore-like patterns as PipeCD has them: '*' and '?' stop
 * at '/', a double star crosses it, a pattern that matches a parent directory
 * matches, a leading '!' excludes and wins.
 */
bool git_match(const char *const *patterns, size_t n, const char *path);

#endif
