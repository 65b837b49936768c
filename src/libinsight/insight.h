/*
 * insight.h - delivery figures: where pipecd-ops keeps them among the store's
 * objects (insight.proto), and how a question is answered from them.
 */
#ifndef PIPECD_INSIGHT_H
#define PIPECD_INSIGHT_H

#include "base.h"
#include "insight.pb-c.h"
#include "service/webservice.pb-c.h"

enum {
	INSIGHT_KEY = 256 /* bytes of an object's name */
};

/* Names of objects; of all chunks of a project, of one, of its applications. */
void insight_prefix(char key[INSIGHT_KEY], const char *project);
void insight_chunk(
    char key[INSIGHT_KEY], const char *project, const char *month, unsigned n);
void insight_applications(char key[INSIGHT_KEY], const char *project);
/* "2026-11" of a time; the first second of the day or month of a time, UTC. */
void insight_month(char month[8], int64_t at);
int64_t insight_floor(int64_t at, bool monthly);
int64_t insight_step(int64_t floor, bool monthly); /* the next one */

/*
 * A question: list the objects below insight_prefix, get those that
 * insight_wants, add each, and there is the answer:
 *
 * DEPLOYMENT_FREQUENCY	how many were completed
 * CHANGE_FAILURE_RATE	the share of FAILURE in these
 * LEAD_TIME, MTTR	the median, in seconds; 0 where there is none
 *
 * one value for each day or month (UTC) of the range.  -1 with *e (RC_PERM) is
 * INVALID_ARGUMENT.  Everything is in `a`, also the answer.
 */
struct insight;
struct insight *insight_new(
    const Grpc__Service__Webservice__GetInsightDataRequest *q, struct arena *a,
    struct err *e);
bool insight_wants(const struct insight *i, const char *key);
int insight_add(struct insight *i, const void *p, size_t n, struct err *e);
Grpc__Service__Webservice__GetInsightDataResponse *insight_answer(
    struct insight *i);

#endif
